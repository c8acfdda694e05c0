"""A stand-in endpoint as processes, and clients that keep their connection and never send twice."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
from serving_desk import a_revision

from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.hosts.endpoint import keys_folder
from slipway.ports.launcher import STATUS_FILE
from slipway.records.endpoints import EndpointStatus
from slipway.serving.swap import publish
from slipway.serving.worker_state import state_file

T = TypeVar("T")
ROW = {"rows": [{"flight_id": "UA1", "distance": 5, "departure": None}]}


def until(look: Callable[[], T], within_s: float = 180.0) -> T:
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
        found = [int(path.stem.rpartition("-")[2]) for path in state_file(self.folder, 0).parent.glob("*-*.json")]
        self.pids.update(found)
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process
        self.workers()
        self.process.send_signal(number)
        return self.process.wait(60)


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


def is_refused(url: str) -> bool:
    """Whether a new connection is not taken any more."""
    try:
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False
