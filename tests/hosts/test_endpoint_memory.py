"""Two endpoints behind one port: what takes all memory in one of them is nothing to the clients of the other."""

import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import endpoint_folder as ef
import httpx
import pytest
from test_shared_front import ask, until

from slipway import code
from slipway.backends.process_launcher import ProcessLauncher
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.hosts.endpoint_port import keep_port
from slipway.hosts.shared_front import is_held
from slipway.ports.launcher import LOCK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.schema import Field
from slipway.serving.footprint import resident_bytes

pytestmark = pytest.mark.full
GREEDY = '''
from slipway.features.scalars import feature

@feature
def grown(distance: float) -> float:
    """Takes memory without end where the distance is one that no packaging tries; 4 GB end it all the same."""
    held = []
    while distance == 123456.0 and len(held) < 500:
        held.append(b"x" * 8_000_000)
    return distance
'''
MORE_BYTES = 400_000_000
FATAL = {"rows": [{"flight_id": "UA1", "distance": 123456.0}]}
PLAIN = {"rows": [{"flight_id": "UA1", "distance": 700.0}]}


class Group:
    """A control group of the kernel's own that holds an endpoint's processes, and kills what takes too much in it.

    Args:
        root: Where groups are made: of version 1, or of version 2.
        limit: The name of the file that holds the limit.
        events: The name of the file that counts kills.
    """

    def __init__(self, root: Path, limit: str, events: str, endpoint: Path) -> None:
        self._folder = root / f"slipway-test-{os.getpid()}"
        self._events = self._folder / events
        self._folder.mkdir()
        try:
            (self._folder / limit).write_text(str(MORE_BYTES))
            for pid in (int((endpoint / LOCK_FILE).read_text()), *pids_of(endpoint)):
                (self._folder / "cgroup.procs").write_text(str(pid))
        except OSError:
            self._folder.rmdir()
            raise

    @property
    def kills(self) -> int:
        """How many processes were killed in it."""
        told = dict(line.split() for line in self._events.read_text().splitlines())
        return int(told["oom_kill"])

    def end(self) -> None:
        """Let its processes go, and remove it."""
        for pid in (self._folder / "cgroup.procs").read_text().split():
            (self._folder.parent / "cgroup.procs").write_text(pid)
        self._folder.rmdir()


class Watch(threading.Thread):
    """Kills a worker with SIGKILL where it takes too much: the same from outside, where no group can be made."""

    def __init__(self, endpoint: Path) -> None:
        super().__init__(daemon=True)
        self._endpoint = endpoint
        self._over = threading.Event()
        self._first: dict[int, int] = {}
        self._killed: set[int] = set()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.01):
            for pid in set(pids_of(self._endpoint)) - self._killed:
                size = resident_bytes(pid)
                if size > self._first.setdefault(pid, max(size, 150_000_000)) + MORE_BYTES:
                    os.kill(pid, signal.SIGKILL)
                    self._killed.add(pid)

    @property
    def kills(self) -> int:
        """How many it killed."""
        return len(self._killed)

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()


def watched(endpoint: Path) -> Group | Watch:
    """What keeps an endpoint's processes to a limit of memory: the kernel, where this system lets it."""
    for root, limit, events in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.oom_control"),
        (Path("/sys/fs/cgroup"), "memory.max", "memory.events"),
    ):
        if (root / "cgroup.procs").exists() and os.access(root, os.W_OK):
            try:
                return Group(root, limit, events, endpoint)
            except OSError:
                continue  # the controller is not there, or its files are not ours
    return Watch(endpoint)


def pids_of(endpoint: Path) -> list[int]:
    return [int(path.stem.rpartition("-")[2]) for path in (endpoint / "workers").glob("*-*.json")]


class Client(threading.Thread):
    """Asks on one connection as long as it may, never twice, and keeps what it was told."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(daemon=True)
        self._url, self._name = url, name
        self._stop_it = threading.Event()
        self.told: list[int | str] = []

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._stop_it.is_set():
                try:
                    self.told.append(ask(client, self._name).status_code)
                except httpx.HTTPError as problem:
                    self.told.append(repr(problem))

    def end(self) -> None:
        self._stop_it.set()
        self.join()


def deploy_greedy(workspace: Workspace, folder: Path) -> None:
    (folder / "greedy_project.py").write_text(GREEDY, encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        project = importlib.import_module("greedy_project")
    finally:
        sys.path.remove(str(folder))
    spec = build_spec(
        FeatureSet(project.grown), {"distance": "float"}, FrameTables({}, {}), lambda function: function.__name__
    )
    sources = code.extract([project.grown], project_roots=(folder,))
    fields = (Field("flight_id", "string", nullable=False), *spec.request)
    ef.deploy(workspace, ef.a_model(list(spec.features)), fields, spec=spec, sources=sources)


@pytest.fixture
def url(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = int(found.getsockname()[1])
    keep_port(workspace.root, port)
    launcher = ProcessLauncher()
    monkeypatch.setattr(ef, "NAME", "fares")
    deploy_greedy(workspace, tmp_path)
    monkeypatch.setattr(ef, "NAME", "delays")
    ef.deploy_plain(workspace)
    endpoints = workspace.root / "endpoints"
    folders = [endpoints / workspace.project / name for name in ("delays", "fares")]
    try:
        for folder in folders:
            assert launcher.ensure(folder).url == f"http://127.0.0.1:{port}", "the settings' port is everybody's"
        yield f"http://127.0.0.1:{port}"
    finally:
        for folder in folders:
            launcher.stop(folder)
        os.kill(int((endpoints / LOCK_FILE).read_text()), signal.SIGTERM)
        until(lambda: not is_held(endpoints))


def test_a_worker_that_is_killed_for_its_memory_fails_no_request_of_the_other_endpoint(
    workspace: Workspace, url: str
) -> None:
    fares = workspace.root / "endpoints" / workspace.project / "fares"
    clients = [Client(url, "delays") for _ in range(3)]
    there = "/endpoints/fares/predict"
    untouched = pids_of(fares.with_name("delays"))
    with httpx.Client(base_url=url, timeout=120) as client:
        assert client.post(there, json=PLAIN).status_code == 200
        kernel = watched(fares)
        former = pids_of(fares)
        for one in clients:
            one.start()
        until(lambda: all(one.told for one in clients))
        before = [len(one.told) for one in clients]
        answer = client.post(there, json=FATAL)
        assert answer.status_code == 503, answer.text
        assert "retry-after" in answer.headers
        assert kernel.kills == 2, "the request was tried once more, alone"
        assert client.post(there, json=PLAIN).status_code == 200, "another worker is there"
        until(lambda: all(len(one.told) > count + 3 for one, count in zip(clients, before, strict=True)))
    for one in (kernel, *clients):
        one.end()
    assert {status for one in clients for status in one.told} == {200}
    assert pids_of(fares.with_name("delays")) == untouched
    assert not set(pids_of(fares)) & set(former)
