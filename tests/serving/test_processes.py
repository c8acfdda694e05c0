"""Real processes: what happens when one of them is killed, stopped or given another revision."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
import pytest
from serving_desk import a_revision

from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.hosts.endpoint import keys_folder
from slipway.ports.launcher import STATUS_FILE
from slipway.records.endpoints import EndpointStatus, Served
from slipway.serving.swap import publish
from slipway.serving.worker_state import state_file

T = TypeVar("T")
ROW = {"rows": [{"flight_id": "UA1", "distance": 5, "departure": None}]}


def until(look: Callable[[], T], within_s: float = 20.0) -> T:
    """What `look` finds once it finds something; machine time only bounds how long a broken test may hang."""
    end = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


class Endpoint:
    """An endpoint's folder and the supervisor that was last started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signer = Ed25519Signer(keys_folder(folder))
        self.process: subprocess.Popen[bytes] | None = None
        self.pids: set[int] = set()

    def publish(self, number: int, **changes: object) -> None:
        publish(self.folder, a_revision(number, **changes), self.signer)

    def launch(self) -> None:
        script = Path(__file__).with_name("stand_in_endpoint.py")
        with (self.folder / "front.log").open("ab") as log:
            self.process = subprocess.Popen([sys.executable, str(script), str(self.folder)], stdout=log, stderr=log)

    def start(self) -> str:
        self.launch()
        until(lambda: self.status.pid == self.pid and self.status.state == "ready")
        return self.status.url

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    @property
    def status(self) -> EndpointStatus:
        until((self.folder / STATUS_FILE).exists)
        return msgspec.json.decode((self.folder / STATUS_FILE).read_bytes(), type=EndpointStatus)

    def workers(self) -> list[int]:
        found = [int(path.stem.rpartition("-")[2]) for path in state_file(self.folder, 0).parent.glob("*.json")]
        self.pids.update(found)
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process
        self.workers()
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    folder = tmp_path / "endpoints" / "flights" / "delays"
    folder.mkdir(parents=True)
    made = Endpoint(folder)
    made.publish(1)
    yield made
    if made.process and made.process.poll() is None:
        made.end(signal.SIGKILL)
    until(lambda: not any(map(alive, made.pids)))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def score(client: httpx.Client, row: float = 5) -> float:
    answer = client.post(
        "/endpoints/delays/predict", json={"rows": [{"flight_id": "x", "distance": row, "departure": None}]}
    )
    assert answer.status_code == 200, answer.text
    found: float = answer.json()["predictions"][0]["score"]
    return found


def test_a_status_that_cannot_be_written_is_tried_again(endpoint: Endpoint) -> None:
    (endpoint.folder / f".{STATUS_FILE}.part").symlink_to("/dev/full")
    with httpx.Client(base_url=endpoint.start()) as client:
        assert score(client) == 1.0
    assert "No space left" in (endpoint.folder / "front.log").read_text()


def test_it_answers_swaps_and_stops(endpoint: Endpoint) -> None:
    url = endpoint.start()
    with httpx.Client(base_url=url) as client:
        assert client.get("/health").json() == {"status": "ready", "revision": 1}
        assert score(client) == 1.0
        endpoint.publish(2)
        until(lambda: score(client) == 2.0)
        until(lambda: endpoint.status.revision == 2)
    assert endpoint.end() == 0
    assert endpoint.status.note == "Stopped."


def test_a_first_start_that_cannot_load_fails_with_its_reason(endpoint: Endpoint) -> None:
    endpoint.publish(1, served=Served(model="delays", number=1, bundle="bad"))
    endpoint.launch()
    assert endpoint.process
    assert endpoint.process.wait(20) == 1
    assert endpoint.status.state == "failed"
    assert "The bundle is bad." in endpoint.status.note


@pytest.mark.full
def test_a_killed_worker_is_replaced_and_the_others_go_on(endpoint: Endpoint) -> None:
    endpoint.publish(1, workers=2)
    url = endpoint.start()
    first, second = endpoint.workers()
    os.kill(first, signal.SIGKILL)
    with httpx.Client(base_url=url) as client:
        assert score(client) == 1.0
    until(lambda: endpoint.status.restarts == 1)
    until(lambda: len(endpoint.workers()) == 2 and first not in endpoint.workers())
    assert second in endpoint.workers()
    with httpx.Client(base_url=url) as client:
        assert score(client) == 1.0
    assert endpoint.status.state == "ready"


@pytest.mark.full
def test_a_killed_only_worker_is_replaced_and_waiting_clients_are_answered(endpoint: Endpoint) -> None:
    url = endpoint.start()
    (worker,) = endpoint.workers()
    os.kill(worker, signal.SIGKILL)
    with httpx.Client(base_url=url, timeout=20) as client:
        assert score(client) == 1.0  # waits in the socket's queue for the new worker


@pytest.mark.full
def test_after_a_killed_supervisor_its_workers_stop_and_the_next_start_has_the_same_address(
    endpoint: Endpoint,
) -> None:
    endpoint.publish(1, workers=2)
    url = endpoint.start()
    workers = endpoint.workers()
    endpoint.end(signal.SIGKILL)
    assert endpoint.start() == url
    with httpx.Client(base_url=url) as client:
        assert score(client) == 1.0
    until(lambda: not any(map(alive, workers)))


@pytest.mark.full
def test_a_second_supervisor_on_the_same_folder_is_refused(endpoint: Endpoint) -> None:
    endpoint.start()
    first = endpoint.process
    endpoint.launch()
    assert endpoint.process
    assert endpoint.process.wait(20) == 1
    endpoint.process = first
    assert endpoint.status.state == "ready"


@pytest.mark.full
def test_workers_follow_the_revision(endpoint: Endpoint) -> None:
    endpoint.start()
    endpoint.publish(2, workers=3)
    until(lambda: len(endpoint.workers()) == 3)
    endpoint.publish(3, workers=1)
    until(lambda: len(endpoint.workers()) == 1)
    assert endpoint.status.restarts == 0


class KeepAlive:
    """A client that sends on its open connection without a look whether it still is, and never sends twice."""

    def __init__(self, url: str) -> None:
        self.connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)

    def score(self) -> float:
        self.connection.request("POST", "/endpoints/delays/predict", json.dumps(ROW))
        answer = self.connection.getresponse()  # reopens next time if the answer says `Connection: close`
        body = json.loads(answer.read())
        assert answer.status == 200, body
        found: float = body["predictions"][0]["score"]
        return found


class Steady:
    """Keep-alive clients that ask again and again."""

    def __init__(self, url: str, clients: int) -> None:
        self.url = url
        self.answered = 0
        self.failures: list[str] = []
        self.scores: set[float] = set()
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _ask(self) -> None:
        client = KeepAlive(self.url)
        while not self.enough.is_set():
            try:
                self.scores.add(client.score())
                self.answered += 1
            except (OSError, http.client.HTTPException, AssertionError) as problem:
                self.failures.append(repr(problem))
                client.connection.close()
            time.sleep(0.01)
        client.connection.close()

    def stop(self) -> None:
        self.enough.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.full
def test_swaps_under_steady_traffic_lose_no_request(endpoint: Endpoint) -> None:
    endpoint.publish(1, workers=2)
    steady = Steady(endpoint.start(), clients=4)
    until(lambda: steady.scores)
    for number in range(2, 8):
        if number == 4:
            endpoint.publish(number, workers=2, served=Served(model="delays", number=4, bundle="bad"))
            until(lambda: endpoint.status.refused == 4 and "The bundle is bad." in endpoint.status.note)
        else:
            endpoint.publish(number, workers=2)
            until(lambda number=number: float(number) in steady.scores and endpoint.status.revision == number)
    steady.stop()
    assert steady.failures == []
    assert steady.answered > 100
    assert steady.scores == {1.0, 2.0, 3.0, 5.0, 6.0, 7.0}


@pytest.mark.full
def test_fewer_workers_under_steady_traffic_lose_no_request(endpoint: Endpoint) -> None:
    endpoint.publish(1, workers=3)
    steady = Steady(endpoint.start(), clients=6)
    endpoint.publish(2, workers=1)
    until(lambda: len(endpoint.workers()) == 1)
    answered = steady.answered
    until(lambda: steady.answered > answered + 100)
    steady.stop()
    assert steady.failures == []


@pytest.mark.full
def test_an_orderly_stop_answers_what_was_begun_and_tells_keep_alive_clients(endpoint: Endpoint) -> None:
    url = endpoint.start()
    idle = KeepAlive(url)
    assert idle.score() == 1.0
    answers: list[float] = []
    with httpx.Client(base_url=url, timeout=20) as slow:
        thread = threading.Thread(target=lambda: answers.append(score(slow, -1)))
        thread.start()
        assert endpoint.process
        time.sleep(0.1)  # the slow request is on its way; were it not, the test would pass all the same
        endpoint.process.terminate()
        until(lambda: is_refused(url))
        assert idle.score() == 1.0
        assert idle.connection.sock is None  # told to close
        thread.join()
    assert answers == [1.0]
    assert endpoint.process.wait(20) == 0


def is_refused(url: str) -> bool:
    """Whether a new connection is not taken any more."""
    try:
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False
