"""Several endpoints behind one port: by name, and what happens to one is nothing to the other."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import endpoint_folder as ef
import httpx
import pytest

from slipway.backends.process_launcher import ProcessLauncher
from slipway.hosts.endpoint_port import keep_port
from slipway.hosts.settings import read_settings
from slipway.hosts.shared_front import is_held
from slipway.ports.launcher import LOCK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.reach import Reach
from slipway.serving.reach import REACH_FILE, encoded
from slipway.serving.worker_state import state_file

pytestmark = pytest.mark.full
ROW = {"rows": [{"flight_id": "UA1", "a": 30.0, "b": 40.0}]}
NAMES = ("delays", "fares")


def until(look: Callable[[], Any], within_s: float = 180.0) -> Any:
    end = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def port(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    found = free_port()
    (workspace.root / REACH_FILE).write_bytes(encoded(Reach(port=found)))
    launcher = ProcessLauncher()
    for name in NAMES:
        monkeypatch.setattr(ef, "NAME", name)
        ef.deploy_plain(workspace)
    folders = [workspace.root / "endpoints" / workspace.project / name for name in NAMES]
    try:
        for folder in folders:
            assert launcher.ensure(folder).url == f"http://127.0.0.1:{found}"
        yield found
    finally:
        for folder in folders:
            launcher.stop(folder)
        endpoints = workspace.root / "endpoints"
        os.kill(int((endpoints / LOCK_FILE).read_text()), signal.SIGTERM)
        until(lambda: not is_held(endpoints))


def ask(client: httpx.Client, name: str) -> httpx.Response:
    return client.post(f"/endpoints/{name}/predict", json=ROW)


def workers_of(workspace: Workspace, name: str) -> list[int]:
    folder = workspace.root / "endpoints" / workspace.project / name
    return [int(path.stem.rpartition("-")[2]) for path in state_file(folder, 0).parent.glob("*-*.json")]


def test_each_answers_by_name_and_what_ends_one_is_nothing_to_the_other(
    workspace: Workspace, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, timeout=60) as client:
        for name in NAMES:
            assert ask(client, name).json()["model"]["name"] == name
            assert client.get(f"/endpoints/{name}").json()["endpoint"] == name
            assert client.get(f"/endpoints/{name}/health").json()["status"] == "ready"
            assert f'slipway_front_requests_total{{endpoint="{name}"}}' in client.get(f"/endpoints/{name}/metrics").text
            assert client.get(f"/v2/models/{name}/ready").status_code == 200
            there = f"/{workspace.project}/endpoints/{name}/predict"
            assert client.post(there, json=ROW).status_code == 200
        assert client.get("/health").json() == {"status": "ready"}
        for path in ("/endpoints/others/predict", "/invocations", "/metrics", "/", "/endpoints"):
            assert client.post(path, json=ROW).status_code == 404
        (victim,), (other,) = workers_of(workspace, "delays"), workers_of(workspace, "fares")
        os.kill(victim, signal.SIGSTOP)  # it hangs
        for _ in range(20):
            assert ask(client, "fares").status_code == 200
        os.kill(victim, signal.SIGKILL)
        assert ask(client, "delays").status_code == 200  # it waits for the next worker
        assert workers_of(workspace, "fares") == [other]
        ProcessLauncher().stop(workspace.root / "endpoints" / workspace.project / "delays")
        stopped = ask(client, "delays")
        assert stopped.status_code == 503
        assert stopped.headers["retry-after"] == "1"
        assert ask(client, "fares").status_code == 200


def test_the_shared_front_is_replaced_under_a_client_and_started_again_when_it_was_killed(
    workspace: Workspace, port: int
) -> None:
    lock = workspace.root / "endpoints" / LOCK_FILE
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        assert ask(client, "delays").status_code == 200
        os.kill(int(lock.read_text()), signal.SIGHUP)
        for _ in range(50):
            assert ask(client, "delays").status_code == 200
            time.sleep(0.02)
    former = int(lock.read_text())
    os.kill(former, signal.SIGKILL)
    until(lambda: is_held(lock.parent) and int(lock.read_text().strip() or former) != former)
    until(lambda: is_up(port))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        assert ask(client, "fares").status_code == 200


@pytest.mark.long
def test_a_port_that_slipway_toml_moves_counts_once_all_endpoints_were_stopped_and_start_anew(
    workspace: Workspace, port: int, tmp_path: Path
) -> None:
    project, endpoints, moved = tmp_path / "project", workspace.root / "endpoints", free_port()
    project.mkdir()
    (project / "slipway.toml").write_text(
        f'[project]\nname = "{workspace.project}"\n[environments.dev]\nport = {moved}\n'
    )
    keep_port(workspace.root, read_settings(project).environment("dev").port)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        assert ask(client, "delays").status_code == 200, "who runs goes on where it is"
    launcher = ProcessLauncher()
    folders = [endpoints / workspace.project / name for name in NAMES]
    for folder in folders:
        launcher.stop(folder)
    until(lambda: not is_held(endpoints))
    for folder in folders:
        assert launcher.ensure(folder).url == f"http://127.0.0.1:{moved}"
    until(lambda: is_up(moved))
    with httpx.Client(base_url=f"http://127.0.0.1:{moved}", timeout=60) as client:
        assert [ask(client, name).status_code for name in NAMES] == [200, 200]
    assert not is_up(port)


def is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.HTTPError:
        return False
