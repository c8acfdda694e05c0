"""Deploying a version whose lock the endpoint's interpreter does not have."""

import dataclasses
import time
from pathlib import Path

import msgspec
import pytest
from small_desk import BETTER, FIRST, NAME, Desk

from slipway.client.endpoint import EndpointClient
from slipway.errors import Conflict
from slipway.flows.own_environment import environment_of, with_environments
from slipway.ledger import locks
from slipway.models import registry
from slipway.models.manifest import encode_manifest
from slipway.records.endpoints import Challenger, FallbackSpec, Served, Way
from slipway.records.models import ModelVersion
from slipway.serving.interpreter import installed, read_base
from slipway.serving.swap import publish
from slipway.serving.worker_state import state_file


def pretend(desk: Desk, **versions: str) -> None:
    """The endpoint's process says that it had other versions when it started."""
    here = installed()
    told = msgspec.structs.replace(here, packages=here.packages | versions)
    (desk.folder / "interpreter.json").write_bytes(msgspec.json.encode(told))


def test_what_the_endpoint_has_is_enough_where_versions_are_the_same(desk: Desk) -> None:
    assert environment_of(desk.workspace, NAME, desk.version(BETTER)) == ""


def without_libraries(desk: Desk, version: ModelVersion) -> ModelVersion:
    """A version as if it had been trained without any."""
    bundle = registry.bundle_of(desk.workspace, version)
    lock = locks.lock_of(desk.workspace.blobs, bundle.environment)
    assert lock is not None
    assert bundle.environment is not None
    kept = desk.workspace.blobs.put(msgspec.structs.replace(lock, packages=()).encoded)
    environment = msgspec.structs.replace(bundle.environment, imports=kept)
    manifest = encode_manifest(msgspec.structs.replace(bundle, environment=environment))
    return msgspec.structs.replace(version, manifest=desk.workspace.blobs.put(manifest))


def test_an_earlier_version_that_needs_other_libraries_does_not_stand_in(desk: Desk) -> None:
    desk = desk.without_processes()
    desk.approve(FIRST, BETTER)
    present = desk.deploy(FIRST).revision
    assert present is not None
    first, better = desk.version(FIRST), without_libraries(desk, desk.version(BETTER))
    earlier = Way(by="version", served=Served(model=NAME, number=FIRST, bundle=first.bundle))
    value = Way(by="value", value=0.5)
    spec = FallbackSpec(ways=(earlier, value), within_us=100_000)
    draft = msgspec.structs.replace(present, fallback=spec)
    assert with_environments(desk.workspace, draft, [better]).fallback == spec, "the endpoint has what both need"
    pretend(desk, msgspec="0.0.1")
    found = with_environments(desk.workspace, draft, [better])
    assert found.served.environment == ""
    assert found.fallback == msgspec.structs.replace(spec, ways=(value,))
    alone = msgspec.structs.replace(draft, fallback=msgspec.structs.replace(spec, ways=(earlier,)))
    assert with_environments(desk.workspace, alone, [better]).fallback is None
    named = msgspec.structs.replace(spec, ways=(msgspec.structs.replace(earlier, number=FIRST),))
    with pytest.raises(Conflict, match="other versions of libraries"):
        with_environments(desk.workspace, msgspec.structs.replace(draft, fallback=named), [better])


def test_a_challenger_that_needs_other_libraries_is_rolled_out_in_an_environment_of_its_own(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is made before anything is published; making one is tried for real beside this."""
    made = {FIRST: "", BETTER: "abc"}
    monkeypatch.setattr(
        "slipway.flows.own_environment.environment_of", lambda workspace, endpoint, version: made[version.number]
    )
    desk = desk.without_processes()
    desk.approve(FIRST, BETTER)
    present = desk.deploy(FIRST).revision
    assert present is not None
    first, better = desk.version(FIRST), desk.version(BETTER)
    rival = Challenger(served=Served(model=NAME, number=BETTER, bundle=better.bundle), rollout_id="r1")
    found = with_environments(desk.workspace, msgspec.structs.replace(present, challenger=rival), [first, better])
    assert found.challenger is not None
    assert (found.served.environment, found.challenger.served.environment) == ("", "abc")
    former = Challenger(served=present.served, rollout_id="r1")
    changed = msgspec.structs.replace(present, served=rival.served, challenger=former)
    promoted = with_environments(desk.workspace, changed, [better, first])
    assert promoted.challenger is not None
    assert (promoted.served.environment, promoted.challenger.served.environment) == ("abc", "")


@pytest.mark.full
@pytest.mark.long
def test_it_serves_in_an_environment_of_its_own_and_the_way_back_is_open(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    said: list[str] = []
    desk = Desk(
        dataclasses.replace(desk.project, workspace=dataclasses.replace(desk.workspace, say=said.append)), desk.clock
    )
    desk.approve(FIRST, BETTER)
    first = desk.deploy(BETTER)
    assert first.revision is not None
    assert first.revision.served.environment == ""
    assert read_base(desk.folder) == installed()
    pretend(desk, msgspec="0.0.1")
    second = desk.deploy(BETTER)
    assert second.revision is not None
    assert second.status is not None
    environment = second.revision.served.environment
    assert environment, said
    assert second.status.revision == 2
    assert desk.ask(second)["revision"] == 2
    workers = [path.stem.rpartition("-")[2] for path in state_file(desk.folder, 0).parent.glob("*-*.json")]
    assert any(environment in Path(f"/proc/{pid}/cmdline").read_text() for pid in workers)
    (desk.folder / "interpreter.json").write_bytes(msgspec.json.encode(installed()))
    third = desk.rollback()
    assert third.revision is not None
    assert third.revision.served.environment == ""
    assert desk.ask(third)["revision"] == 3


@pytest.mark.full
def test_a_trained_model_challenges_from_an_environment_made_of_its_lock(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    desk.approve(FIRST, BETTER)
    desk.deploy(FIRST)
    desk.deploy(BETTER)
    present = desk.rollback().revision
    assert present is not None
    first, better = without_libraries(desk, desk.version(FIRST)), desk.version(BETTER)
    pretend(desk, msgspec="0.0.1")
    rival = Challenger(served=Served(model=NAME, number=BETTER, bundle=better.bundle), fraction=1.0, rollout_id="r1")
    number = present.number + 1
    draft = msgspec.structs.replace(present, id=f"{present.project}/{NAME}/{number}", number=number, challenger=rival)
    revision = with_environments(desk.workspace, draft, [first, better])
    assert revision.challenger is not None
    assert revision.challenger.served.environment != revision.served.environment == ""
    publish(desk.folder, revision, desk.workspace.signer)
    end = time.monotonic() + 60
    while (status := desk.workspace.launcher.status(desk.folder)) is None or status.revision != number:
        assert time.monotonic() < end, status
        time.sleep(0.05)
    row = {"flight_id": "Q1", "origin": "JFK", "distance": 500, "departure": "2013-04-01T09:00:00Z"}
    with EndpointClient(status.url, NAME) as client:
        answer = client.predict([row])
    assert answer["revision"] == number
    assert answer["predictions"][0]["version"] == BETTER
