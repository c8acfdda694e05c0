"""Versions whose libraries conflict, each in the workers of an environment of its own, behind one address."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import endpoint_folder as ef
import httpx
import msgspec
import pytest
from hulls import deploy, environment

from slipway.backends.process_launcher import ProcessLauncher
from slipway.conformance.environments import kept
from slipway.pipelines import isolation
from slipway.ports.workspace import Workspace
from slipway.records.locks import Lock
from slipway.serving.interpreter import Base, installed
from slipway.serving.worker_state import state_file


def test_an_interpreter_says_what_it_lacks() -> None:
    here = installed()
    assert here.packages["slipway"]
    lock = Lock(python=here.python, platform="linux-x86_64")
    assert here.lacks(lock, besides="slipway") == ""
    old = Base(here.python, {"hull": "1.2"})
    (hull,) = (kept({}, "hull", "2.0", ""),)
    wanted = msgspec.structs.replace(lock, packages=(hull,))
    assert old.lacks(wanted, besides="slipway") == "hull 2.0, and here is 1.2"
    assert old.lacks(wanted, besides="hull") == ""
    assert "Python 2.7" in old.lacks(msgspec.structs.replace(lock, python="2.7.1"), besides="")


def ask(client: httpx.Client) -> float:
    answer = client.post("/endpoints/delays/predict", json={"rows": [{"flight_id": "x", "a": 1000.0}]})
    assert answer.status_code == 200, answer.text
    return round(float(answer.json()["predictions"][0]["score"]), 6)


def until(look, within_s: float = 180.0):  # type: ignore[no-untyped-def]
    end = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


@pytest.mark.full
def test_two_versions_of_a_library_behind_one_address(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    old, new = environment(workspace, "1.2"), environment(workspace, "2.0")
    launcher, folder = ProcessLauncher(), ef.folder_of(workspace)
    deploy(workspace, tmp_path, 1, old, "1.2")
    scores: set[float] = set()
    failures: list[str] = []
    enough = threading.Event()

    def keep_asking(url: str) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:  # it keeps its connection, and sends nothing twice
            while not enough.is_set():
                try:
                    scores.add(ask(client))
                except (httpx.HTTPError, AssertionError) as problem:
                    failures.append(repr(problem))

    try:
        url = launcher.ensure(folder).url
        threads = [threading.Thread(target=keep_asking, args=(url,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: 1.0 in scores)
        deploy(workspace, tmp_path, 2, new, "2.0")
        until(lambda: launcher.status(folder).revision == 2)  # type: ignore[union-attr]
        with httpx.Client(base_url=url, timeout=60) as client:
            assert ask(client) == 2.0
            for pid in workers_in(folder, new):
                os.kill(pid, signal.SIGKILL)  # what it was answering is answered by its successor
            assert ask(client) == 2.0
            assert "slipway_front_requests_total" in client.get("/metrics").text
            deploy(workspace, tmp_path, 3, old, "1.2")
            until(lambda: launcher.status(folder).revision == 3)  # type: ignore[union-attr]
            assert ask(client) == 1.0
        enough.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert scores == {1.0, 2.0}
        assert not isolation.opened(workspace).drop(old)  # in use
    finally:
        enough.set()
        launcher.stop(folder)
    said = json.loads((folder / "interpreter.json").read_bytes())
    assert "hull" not in said["packages"]
    assert isolation.opened(workspace).drop(new)


def workers_in(folder: Path, environment: str) -> list[int]:
    found = [int(path.stem.rpartition("-")[2]) for path in state_file(folder, 0).parent.glob("*-*.json")]
    return [pid for pid in found if environment in Path(f"/proc/{pid}/cmdline").read_text()]
