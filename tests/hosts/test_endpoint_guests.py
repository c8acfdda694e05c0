"""A roll-out whose challenger needs other versions of libraries: it answers in a process of its own environment."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import endpoint_folder as ef
import httpx
import msgspec
import pytest
from hulls import bring, deploy, environment
from test_endpoint_arms import Steady

from slipway.backends.process_launcher import ProcessLauncher
from slipway.client.endpoint import EndpointClient
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Challenger, Revision, Served
from slipway.records.predictions import FailureRow, PredictionRow, ShadowRow
from slipway.records.schema import Field
from slipway.serving.swap import publish
from slipway.tables.segments import read_segments

pytestmark = pytest.mark.full
T = TypeVar("T")
ROWS = [{"flight_id": f"F{i}", "a": 1000.0} for i in range(40)]


def until(look: Callable[[], T], within_s: float = 180.0) -> T:
    end = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


class Endpoint:
    """An endpoint whose champion has hull 1.2 and whose challenger needs hull 2.0: ten score 1.0, ten score 2.0."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self.workspace, self.folder = workspace, ef.folder_of(workspace)
        self.old, self.new = environment(workspace, "1.2"), environment(workspace, "2.0")
        self.first = deploy(workspace, folder, 1, self.old, "1.2")
        self.rival = bring(workspace, folder, 2, self.new, "2.0").served
        self.launcher = ProcessLauncher()
        self.client = httpx.Client(base_url=self.launcher.ensure(self.folder).url, timeout=60)

    def publish(self, number: int, **changes: Any) -> None:
        revision: Revision = msgspec.structs.replace(
            self.first, id=f"{self.first.project}/{ef.NAME}/{number}", number=number, **changes
        )
        publish(self.folder, revision, self.workspace.signer)

        def serves() -> bool:
            status = self.launcher.status(self.folder)
            assert status is None or status.refused != number, status.note
            return status is not None and status.revision == number

        until(serves)

    def step(self, number: int, fraction: float) -> None:
        self.publish(number, challenger=Challenger(served=self.rival, fraction=fraction, rollout_id="r1"))

    def ask(self) -> dict[int, set[float]]:
        """The scores that each version gave to forty rows."""
        answer = self.client.post("/endpoints/delays/predict", json={"rows": ROWS})
        assert answer.status_code == 200, answer.text
        found: dict[int, set[float]] = {}
        for one in answer.json()["predictions"]:
            found.setdefault(one["version"], set()).add(round(one["score"], 6))
        return found

    def guests(self, environment: str) -> list[int]:
        return [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if str(self.folder) in (said := read(path)) and "endpoint_guest" in said and environment in said
        ]

    def rows(self, kind: str, type: Any) -> list[Any]:
        with EndpointClient(str(self.client.base_url), "delays") as client:
            client.settle()
        return read_segments(self.folder / "log", kind, type)[0]


def read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.fixture
def endpoint(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("UV_OFFLINE", "1")
    made = Endpoint(workspace, tmp_path)
    yield made
    made.client.close()
    made.launcher.stop(made.folder)


@pytest.mark.long
def test_from_a_shadow_to_the_watch_across_two_environments(endpoint: Endpoint) -> None:
    assert endpoint.ask() == {1: {1.0}}
    endpoint.step(2, 0.0)
    assert endpoint.ask() == {1: {1.0}}, "callers see nothing of a shadow"
    assert len(endpoint.guests(endpoint.new)) == 1
    shadows: list[ShadowRow] = endpoint.rows("shadows", ShadowRow)
    assert {(one.arm, round(one.score or 0.0, 6), one.problem) for one in shadows} == {("challenger", 2.0, "")}
    assert len(shadows) == len(ROWS)
    endpoint.step(3, 0.5)
    assert endpoint.ask() == {1: {1.0}, 2: {2.0}}, "each arm has its own library"
    logged: list[PredictionRow] = endpoint.rows("predictions", PredictionRow)
    assert {(one.arm, one.features[0]) for one in logged} == {("champion", 1000.0), ("challenger", 2000.0)}
    unseen = {(one.arm, round(one.score or 0.0, 6)) for one in endpoint.rows("shadows", ShadowRow)}
    assert unseen == {("challenger", 2.0), ("champion", 1.0)}
    assert endpoint.rows("failures", FailureRow) == []
    former = Challenger(served=endpoint.first.served, rollout_id="r1")
    endpoint.publish(4, served=endpoint.rival, challenger=former)
    assert endpoint.ask() == {2: {2.0}}
    assert len(endpoint.guests(endpoint.old)) == 1, "the former champion scores unseen, in its own environment"
    watched = [one for one in endpoint.rows("shadows", ShadowRow) if one.revision == 4]
    assert {(one.arm, round(one.score or 0.0, 6)) for one in watched} == {("challenger", 1.0)}
    endpoint.publish(5, challenger=None)
    assert endpoint.ask() == {1: {1.0}}


def test_a_challenger_whose_process_dies_costs_no_answer_and_is_its_crash(endpoint: Endpoint) -> None:
    endpoint.step(2, 0.5)
    assert endpoint.ask() == {1: {1.0}, 2: {2.0}}
    (killed,) = endpoint.guests(endpoint.new)
    os.kill(killed, signal.SIGKILL)
    assert endpoint.ask() == {1: {1.0}}, "the champion answers for it"
    until(lambda: endpoint.ask() == {1: {1.0}, 2: {2.0}})
    (crash,) = until(lambda: status.crashes if (status := endpoint.launcher.status(endpoint.folder)) else ())
    assert crash[0] == 2
    failures: list[FailureRow] = endpoint.rows("failures", FailureRow)
    assert {(one.arm, one.was_covered) for one in failures} == {("challenger", True)}
    endpoint.publish(3, challenger=None)
    until(lambda: not endpoint.guests(endpoint.new))
    said = json.loads((endpoint.folder / "status.json").read_bytes())
    assert said["restarts"] == 1


def test_a_champion_of_the_endpoint_s_own_interpreter_is_followed_without_losing_a_request(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    new, folder, launcher = environment(workspace, "2.0"), ef.folder_of(workspace), ProcessLauncher()
    first = ef.deploy_plain(workspace, workers=2)
    # Compiled: the environment has no scikit-learn, which the former champion needs in its own interpreter.
    digest = ef.bring(workspace, ef.a_model([Field("a", "float")], scale=10))
    rival = Served(model=ef.NAME, number=2, bundle=digest, environment=new)
    url = launcher.ensure(folder).url
    steady = Steady(url, clients=3)

    def step(number: int, **changes: Any) -> None:
        changed: Revision = msgspec.structs.replace(first, id=f"{first.project}/{ef.NAME}/{number}", number=number)
        publish(folder, msgspec.structs.replace(changed, **changes), workspace.signer)
        until(lambda: (status := launcher.status(folder)) is not None and status.revision == number)
        steady.until_more()

    def watched() -> set[tuple[str, float]]:
        shadows: list[ShadowRow] = read_segments(folder / "log", "shadows", ShadowRow)[0]
        return {(row.arm, round(row.score or 0.0, 6)) for row in shadows if row.revision == 4}

    try:
        steady.until_more()
        step(2, challenger=Challenger(served=rival, fraction=0.4, rollout_id="r1"))
        step(3, challenger=Challenger(served=rival, fraction=1.0, rollout_id="r1"))
        step(4, served=rival, challenger=Challenger(served=first.served, rollout_id="r1"))
        until(watched)  # its process takes its time to start
        step(5)
    finally:
        steady.stop()
        with EndpointClient(url, "delays") as client:
            client.settle()
        launcher.stop(folder)
    assert steady.failures == []
    logged: list[PredictionRow] = read_segments(folder / "log", "predictions", PredictionRow)[0]
    assert sorted(row.id for row in logged) == sorted(said["id"] for _, said in steady.answers)
    assert {row.version for row in logged if row.revision == 2} == {1, 2}
    assert {row.version for row in logged if row.revision in (3, 4)} == {2}
    assert all(round(row.score, 6) == (0.3 if row.version == 2 else 0.07) for row in logged)
    assert watched() == {("challenger", 0.07)}, "the former champion, in the interpreter that it had"
    assert read_segments(folder / "log", "failures", FailureRow)[0] == []
