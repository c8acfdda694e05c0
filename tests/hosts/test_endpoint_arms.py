"""A roll-out over real HTTP, with two bundles and two workers: from shadow through canary to promotion."""

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import endpoint_folder as ef
import msgspec
import pytest

from slipway.backends.process_launcher import ProcessLauncher
from slipway.client.endpoint import EndpointClient
from slipway.errors import Unavailable
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.predictions import PredictionRow, ShadowRow
from slipway.serving.arms import share_of
from slipway.serving.swap import publish
from slipway.tables.segments import read_segments

pytestmark = pytest.mark.full
T = TypeVar("T")


def until(look: Callable[[], T], within_s: float = 180.0) -> T:
    end = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


class Rollout:
    """An endpoint of two workers in the hands of a test."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.folder = ef.folder_of(workspace)
        self.launcher = ProcessLauncher()
        self.first = ef.deploy_plain(workspace, workers=2)
        self.url = self.launcher.ensure(self.folder).url

    def step(self, number: int, fraction: float) -> Revision:
        revision = ef.challenged(self.workspace, self.first, number, fraction)
        self.wait_for(number)
        return revision

    def wait_for(self, number: int) -> None:
        def serves() -> bool:
            status = self.launcher.status(self.folder)
            return status is not None and status.revision == number

        until(serves)

    def workers(self) -> list[int]:
        return [int(path.stem.rpartition("-")[2]) for path in (self.folder / "workers").glob("*.json")]

    def predictions(self) -> list[PredictionRow]:
        return read_segments(self.folder / "log", "predictions", PredictionRow)[0]

    def shadows(self) -> list[ShadowRow]:
        return read_segments(self.folder / "log", "shadows", ShadowRow)[0]


@pytest.fixture
def rollout(workspace: Workspace) -> Iterator[Rollout]:
    made = Rollout(workspace)
    yield made
    made.launcher.stop(made.folder)


class Steady:
    """Keep-alive clients that ask again and again, never send twice, and keep each answer."""

    def __init__(self, url: str, clients: int) -> None:
        self.host = url.removeprefix("http://")
        self.failures: list[str] = []
        self.answers: list[tuple[str, dict[str, Any]]] = []
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def _ask(self, client: int) -> None:
        connection = http.client.HTTPConnection(self.host, timeout=180)
        number = 0
        while not self.enough.is_set():
            keys = [f"C{client}-{(number + i) % 40}" for i in range(3)]
            number += 3
            rows = [{"flight_id": key, "a": 30.0, "b": 40.0} for key in keys]
            try:
                connection.request("POST", "/endpoints/delays/predict", json.dumps({"rows": rows}))
                answer = connection.getresponse()
                said = json.loads(answer.read())
                assert answer.status == 200, said
                self.answers += zip(keys, said["predictions"], strict=True)
            except (OSError, http.client.HTTPException, AssertionError) as problem:
                self.failures.append(repr(problem))
                connection.close()
            time.sleep(0.005)
        connection.close()

    def until_more(self, n: int = 60) -> None:
        had = len(self.answers)
        until(lambda: len(self.answers) > had + n)

    def stop(self) -> None:
        self.enough.set()
        for thread in self.threads:
            thread.join()


def test_from_shadow_to_promotion_no_request_is_lost_and_everything_adds_up(rollout: Rollout) -> None:
    steady = Steady(rollout.url, clients=3)
    steady.until_more()
    rollout.step(2, 0.0)
    steady.until_more()
    rollout.step(3, 0.3)
    steady.until_more()
    last = rollout.step(4, 1.0)
    steady.until_more()
    assert last.challenger is not None
    promoted = msgspec.structs.replace(
        last, id="flights/delays/5", number=5, served=last.challenger.served, challenger=None
    )
    publish(rollout.folder, promoted, rollout.workspace.signer)
    rollout.wait_for(5)
    steady.until_more()
    steady.stop()
    assert steady.failures == []
    with EndpointClient(rollout.url, "delays") as client:
        client.settle()
    logged = {row.id: row for row in rollout.predictions()}
    assert sorted(logged) == sorted(prediction["id"] for _, prediction in steady.answers)
    for key, said in steady.answers:
        row = logged[said["id"]]
        fraction = {1: 0.0, 2: 0.0, 3: 0.3, 4: 1.0, 5: 0.0}[row.revision]
        theirs = share_of("delays/2", key) < fraction
        assert row.arm == ("challenger" if theirs else "champion")
        assert said["version"] == row.version == (2 if theirs or row.revision == 5 else 1)
        assert said["score"] == pytest.approx(0.7 if said["version"] == 2 else 0.07)
    shadows = {row.prediction: row for row in rollout.shadows()}
    assert shadows.keys() == {row.id for row in logged.values() if row.revision in (2, 3, 4)}
    for id, shadow in shadows.items():
        assert {shadow.arm, logged[id].arm} == {"champion", "challenger"}
        assert shadow.score == pytest.approx(0.7 if shadow.arm == "challenger" else 0.07)
    assert Counter(row.revision for row in logged.values()).keys() == {1, 2, 3, 4, 5}


def test_a_worker_killed_in_canary_is_replaced_and_the_log_settles(rollout: Rollout) -> None:
    rollout.step(2, 0.5)
    steady = Steady(rollout.url, clients=3)
    steady.until_more()
    os.kill(rollout.workers()[0], signal.SIGKILL)
    steady.until_more(300)
    steady.stop()
    with EndpointClient(rollout.url, "delays") as client:
        client.settle()
        metrics = client.send("GET", "/metrics").decode()
    found = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[:1] != "#")
    written, lost = (int(found[f'slipway_log_{what}_total{{endpoint="delays"}}']) for what in ("written", "failed"))
    logged = {row.id: row for row in rollout.predictions()}
    assert (
        written <= len(logged) <= written + lost
    )  # killed between writing and counting, a row is in the log and counts as lost
    for key, said in steady.answers:
        assert said["version"] == (2 if share_of("delays/2", key) < 0.5 else 1)
    missing = {said["id"] for _, said in steady.answers} - logged.keys()
    assert len(missing) <= lost
    assert len(steady.failures) <= 3  # what the killed worker had in hand, one a connection


def test_what_waits_is_compared_on_an_orderly_stop(rollout: Rollout) -> None:
    rollout.step(2, 0.0)
    with EndpointClient(rollout.url, "delays") as client:
        for i in range(20):
            client.predict([{"flight_id": f"F{i}-{n}", "a": 1.0, "b": 2.0} for n in range(50)])
    rollout.launcher.stop(rollout.folder)
    assert len(rollout.shadows()) == len(rollout.predictions()) == 1000


def test_every_answer_is_in_the_log_once_it_settled(rollout: Rollout) -> None:
    rollout.step(2, 0.5)
    with EndpointClient(rollout.url, "delays") as client:
        for i in range(30):
            client.predict([{"flight_id": f"F{i}", "a": 1.0, "b": 2.0}])
            client.settle()
            assert len(rollout.predictions()) == len(rollout.shadows()) == i + 1
    rollout.launcher.stop(rollout.folder)
    with EndpointClient(rollout.url, "delays") as client, pytest.raises(Unavailable, match="did not settle"):
        client.settle(timeout_s=0.05)
