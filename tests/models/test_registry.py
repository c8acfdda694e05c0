"""Versions count, aliases move with a condition, and the lineage tells what made what."""

import msgspec
import pytest
from model_flights import lightgbm_model

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.hashing import fingerprint
from slipway.ledger import artifacts
from slipway.ledger.lineage import trace
from slipway.models import registry
from slipway.models.model import Model
from slipway.models.packing import Packed, pack
from slipway.ports.workspace import Workspace


@pytest.fixture
def packed(workspace: Workspace) -> Packed:
    return pack(workspace, lightgbm_model(), name="delays", data=["table:flights/flights@1"], run_id="0f" * 16)


def test_versions_count_and_are_found(workspace: Workspace, packed: Packed, said: list[str]) -> None:
    first = registry.register(workspace, packed)
    second = registry.register(workspace, packed, description="again")
    assert (first.number, second.number) == (1, 2)
    assert first.id.startswith("m-")
    assert len(first.id) == 34
    assert [v.number for v in registry.versions(workspace, "delays")] == [2, 1]
    assert registry.get(workspace, "delays") == second
    assert registry.get(workspace, "delays", 1) == first
    assert registry.bundle_of(workspace, first) == packed.bundle
    assert registry.names(workspace) == ["delays"]
    assert said[0].startswith("Registered delays version 1 (bundle ")


def test_lineage_runs_from_tables_to_the_bundle(workspace: Workspace, packed: Packed) -> None:
    version = registry.register(workspace, packed)
    with workspace.ledger.read() as tx:
        found = {
            (link.source.partition(":")[0], link.target.partition(":")[0]) for link in trace(tx, f"model:{version.id}")
        }
        told = [event for event in tx.events() if event.verb == "models.register"]
    assert found == {("table", "run"), ("run", "model"), ("model", "bundle")}
    assert told[0].subject == f"model:{version.id}"


def test_aliases_move_with_a_condition(workspace: Workspace, packed: Packed) -> None:
    registry.register(workspace, packed)
    registry.register(workspace, packed)
    assert registry.set_alias(workspace, "delays", "champion", 1, before=0).number == 1
    registry.set_alias(workspace, "delays", "challenger", "latest")
    assert registry.aliases(workspace, "delays") == {"champion": 1, "challenger": 2}
    assert registry.get(workspace, "delays", "champion").number == 1
    registry.set_alias(workspace, "delays", "champion", "challenger", before=1, reason="better")
    with pytest.raises(Conflict, match=r"'champion' of 'delays' points at version 2, not at 1"):
        registry.set_alias(workspace, "delays", "champion", 1, before=1)
    with workspace.ledger.read() as tx:
        moved = [event.body for event in tx.events() if event.verb == "models.alias"]
    assert moved[-1] | {"reason": "better"} == moved[-1]
    assert (moved[-1]["before"], moved[-1]["number"]) == (1, 2)


def test_what_is_not_there_is_named(workspace: Workspace, packed: Packed) -> None:
    with pytest.raises(NotFound, match="no model 'delay'"):
        registry.get(workspace, "delay")
    registry.register(workspace, packed)
    with pytest.raises(NotFound, match=r"no model 'delay' .*Did you mean 'delays'"):
        registry.get(workspace, "delay")
    with pytest.raises(NotFound, match=r"no version '7'\. The newest version is 1"):
        registry.get(workspace, "delays", 7)
    registry.set_alias(workspace, "delays", "champion", 1)
    with pytest.raises(NotFound, match=r"no alias 'champ'\. Did you mean 'champion'"):
        registry.get(workspace, "delays", "champ")
    for taken in ("latest", "3"):
        with pytest.raises(InvalidInput, match="cannot be an alias"):
            registry.set_alias(workspace, "delays", taken, 1)
    assert registry.versions(workspace, "other") == []


def test_a_model_is_an_artifact_of_its_own_kind(workspace: Workspace) -> None:
    model = lightgbm_model()
    encoded = artifacts.encode("model", model, lambda value: value.slipway_fingerprint())
    assert [artifact.format for artifact in encoded.artifacts] == ["model"]
    assert encoded.pickled == ()
    again = artifacts.load(workspace.blobs, artifacts.store(workspace.blobs, encoded))
    assert isinstance(again, Model)
    assert again.slipway_fingerprint() == model.slipway_fingerprint()
    assert fingerprint(msgspec.to_builtins(again.state)) == fingerprint(msgspec.to_builtins(model.state))
