"""Versions count, aliases move with a condition, and the lineage tells what made what."""

import math
from dataclasses import replace

import msgspec
import pytest
from model_flights import lightgbm_model

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.hashing import fingerprint
from slipway.ledger import artifacts, entries
from slipway.ledger.lineage import trace
from slipway.ledger.reindex import index_anew
from slipway.ledger.search import search
from slipway.models import found_by, numbered, registered, registered_versions, registry
from slipway.models.manifest import encode_manifest
from slipway.models.model import Model
from slipway.models.packing import Packed, pack
from slipway.ports.workspace import Workspace
from slipway.records.models import MetricValue, ModelVersion
from slipway.records.runs import MetricPoint, Run


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


def test_a_version_is_found_by_what_was_measured_and_by_what_points_at_it(workspace: Workspace, packed: Packed) -> None:
    with workspace.ledger.write() as tx:
        run = Run(
            id="0f" * 16, project="flights", created_at=workspace.clock.now(), actor=workspace.actor,
            started_at=workspace.clock.now(), params={"depth": 6},
        )  # fmt: skip
        entries.put(tx, run)
        tx.add_points(run.id, [MetricPoint("auc", 0.6), MetricPoint("loss", math.nan), MetricPoint("system/cpu", 1.0)])
    measured = (
        MetricValue(metric="auc", value=0.9),
        MetricValue(metric="auc", value=0.7, slice="carrier=AA"),
        MetricValue(metric="odd", value=math.nan),
    )
    first = registry.register(workspace, packed)
    second = registry.register(
        workspace, replace(packed, bundle=msgspec.structs.replace(packed.bundle, metrics=measured))
    )
    assert (first.metrics, first.params) == ({"auc": 0.6}, {"depth": 6})  # a bundle that was not evaluated: of its run
    assert second.metrics == {"auc": 0.9, "auc[carrier=AA]": 0.7}
    registry.set_alias(workspace, "delays", "champion", 1)
    registry.set_alias(workspace, "delays", "best", 2)
    assert found(workspace, "metrics.auc > 0.8") == [2]
    assert found(workspace, "metrics.auc[carrier=AA] < 0.8 and params.depth = 6") == [2]
    assert found(workspace, "alias = 'champion'") == [1]
    registry.set_alias(workspace, "delays", "champion", 2)
    registry.set_alias(workspace, "delays", "champion", 2)
    assert registry.get(workspace, "delays", 2).aliases == ("best", "champion")
    assert found(workspace, "alias = 'champion' and alias = 'best'") == [2]
    assert found(workspace, "alias is null") == [1]
    with workspace.ledger.write() as tx:
        numbered.drop_alias(tx, workspace, "delays", "best")
    assert registry.get(workspace, "delays", 2).aliases == ("champion",)


def found(workspace: Workspace, where: str) -> list[int]:
    with workspace.ledger.read() as tx:
        return sorted(one.number for one in search(tx, ModelVersion, project="flights", where=where).records)


def test_a_store_of_an_earlier_release_is_completed(workspace: Workspace, packed: Packed) -> None:
    measured = replace(
        packed, bundle=msgspec.structs.replace(packed.bundle, metrics=(MetricValue(metric="auc", value=0.9),))
    )
    manifest = workspace.blobs.put(encode_manifest(measured.bundle))
    made = registry.register(workspace, replace(measured, manifest=manifest))
    lost = registry.register(workspace, replace(measured, manifest="0" * 64))
    registry.set_alias(workspace, "delays", "champion", 1)
    with workspace.ledger.write() as tx:
        for version in (made, lost):
            entries.put(tx, msgspec.structs.replace(version, metrics={}, params={}, aliases=()))
        entries.put(tx, msgspec.structs.replace(registered.get(tx, workspace, "delays"), state="deleted"))
        tx.set_ref("", "search", "edition", "1", expect=tx.ref("", "search", "edition"))
    index_anew(workspace.ledger, {ModelVersion: found_by.completing(workspace.blobs)})
    assert found(workspace, "metrics.auc = 0.9 and alias = 'champion'") == [1]
    assert found(workspace, "metrics.auc is null") == [2]
    with workspace.ledger.read() as tx:
        assert registered.get(tx, workspace, "delays").created_at == made.created_at


def test_models_whose_versions_are_deleted_have_no_name_here(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        for name, numbers in (("a", "1"), ("b", "12"), ("c", "1"), ("d", "")):
            registered.create(tx, workspace, name, tags={})
            for _ in numbers:
                registered_versions.add_version(tx, workspace, name, source="x", location="", tags={})
        for name, number in (("b", "2"), ("c", "1")):
            registered_versions.delete_version(tx, workspace, name, number)
    assert registry.names(workspace) == ["a", "b"]


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
