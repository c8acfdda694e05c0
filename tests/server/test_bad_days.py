"""The client dies, the disk is full, the ledger is locked or taken away: a sentence, nothing lost, the server stays up."""

import asyncio
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import mlflow_filled
import pytest
from mlflow_desk import Desk

from hosts_up import up
from slipway.backends import sqlite_ledger
from slipway.hosts.project import open_workspace
from slipway.ledger import projects, uploads
from slipway.ports.workspace import Workspace
from slipway.server.app import make_app

ALL = "/api/2.0/mlflow-artifacts/artifacts"
HOME = "/api/v1/projects/flights"
BUSY = (503, "TEMPORARILY_UNAVAILABLE", "2")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ledgers that are opened from here on, each connection with its own wait, give up soon."""
    monkeypatch.setattr(sqlite_ledger, "_BUSY_S", 0.05)


@pytest.fixture
def desk(workspace: Workspace) -> Desk:
    projects.register(workspace)
    return Desk(workspace)


def said(answer: Any) -> tuple[int, str, str]:
    return answer.status_code, answer.json().get("error_code"), answer.headers.get("retry-after")


def test_a_ledger_that_stays_locked_is_a_503_and_reading_goes_on(
    impatient: None, desk: Desk, workspace: Workspace
) -> None:
    run = desk.run()
    point = {"run_id": run, "key": "auc", "value": 1, "timestamp": 1}
    other = sqlite3.connect(workspace.root / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert said(desk.send("POST", "/runs/log-metric", point)) == BUSY
    assert said(desk.send("PUT", f"{ALL}/0/{run}/artifacts/a", content=b"x")) == BUSY
    native = desk.ask("POST", f"{HOME}/audit/seal")
    assert (native.status_code, native.json()["error"]["code"], native.headers["retry-after"]) == (
        503,
        "Unavailable",
        "2",
    )
    assert "metrics" not in desk.get(run)["data"]
    assert desk.ask("GET", f"/projects/flights/runs/{run}").status_code == 200
    other.execute("ROLLBACK")
    other.close()
    desk.good("POST", "/runs/log-metric", point)
    assert [one["key"] for one in desk.get(run)["data"]["metrics"]] == ["auc"]


@pytest.mark.parametrize("how", ["moved", "replaced"])
def test_a_ledger_that_is_taken_away_takes_nothing_more(desk: Desk, workspace: Workspace, how: str) -> None:
    """What is written into a file without a name is lost when the last process closes it."""
    run = desk.run()
    path, aside = workspace.root / "ledger.db", workspace.root / "aside.db"
    path.rename(aside)
    if how == "replaced":
        shutil.copy(aside, path)
    point = {"run_id": run, "key": "auc", "value": 1, "timestamp": 1}
    answer = desk.send("POST", "/runs/log-metric", point)
    assert said(answer) == BUSY
    assert "was moved or replaced" in answer.json()["message"]
    assert said(desk.send("GET", "/runs/get", {"run_id": run})) == BUSY
    page = desk.ask("GET", "/projects/flights/runs")
    assert (page.status_code, page.headers.get("retry-after")) == (503, "2")
    aside.replace(path)
    desk.good("POST", "/runs/log-metric", point)
    assert len(desk.get(run)["data"]["metrics"]) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() or not shutil.which("mount"):
        pytest.skip("a file system of its own can be had by root on Linux only")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_a_503_and_loses_nothing(small_disk: Path) -> None:
    workspace = open_workspace(small_disk / "store", project="flights", environment="dev", say=print)
    projects.register(workspace)
    desk = Desk(workspace)
    ids = mlflow_filled.fill(desk)
    before = desk.get(ids["run"])
    filler = small_disk / "filler"
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", f"{ALL}/{ids['place']}/large", {"content": os.urandom(5 << 20)}),
        ("PUT", f"{ALL}/{ids['place']}/small", {"content": os.urandom(200_000)}),
        ("PUT", f"/api/2.0/mlflow-artifacts/mpu/parts/{ids['upload']}/1", {"content": os.urandom(3 << 20)}),
        ("POST", "/api/v1/projects/add", {"json": {"name": "another"}}),
        ("POST", f"{HOME}/audit/seal", {}),
    ]
    kept: list[int] = []
    with filler.open("wb") as file:
        written = 1
        while written:  # to the last byte
            try:
                written = os.write(file.fileno(), bytes(1 << 16))
            except OSError:
                written = 0
    for step in range(400):  # until the ledger's own file cannot grow either
        body = {"run_id": ids["run"], "metrics": [
            {"key": f"k{n}", "value": n + step / 7, "timestamp": step, "step": step} for n in range(100)
        ]}  # fmt: skip
        answer = desk.send("POST", "/runs/log-batch", body)
        if answer.status_code == 200:
            kept.append(step)
        else:
            assert said(answer) == BUSY, answer.text
            break
    else:
        pytest.fail("the disk was never full")
    for method, path, options in asked:
        answer = desk.ask(method, path, **options)
        assert (answer.status_code, answer.headers.get("retry-after")) == (503, "2"), (path, answer.text)
    assert desk.ask("GET", f"/projects/flights/runs/{ids['run']}").status_code == 200
    assert [path.name for path in (workspace.root / "uploads").glob("*.part")] == []
    filler.unlink()
    for method, path, options in asked[:4]:
        assert desk.ask(method, path, **options).status_code == 200, path
    desk.good("POST", "/runs/log-metric", {"run_id": ids["run"], "key": "after", "value": 1, "timestamp": 1})
    history = desk.good("GET", "/metrics/get-history", {"run_id": ids["run"], "metric_key": "k99"}) if kept else {}
    assert [point["step"] for point in history.get("metrics", [])] == kept
    assert desk.get(ids["run"])["data"]["params"] == before["data"]["params"]
    workspace.ledger.close()


def test_what_a_dead_client_sent_is_nothing(desk: Desk, workspace: Workspace) -> None:
    ids = mlflow_filled.fill(desk)
    before = sorted((workspace.root / "uploads").rglob("*"))
    app = make_app(replace(workspace, project=""))
    for path in (f"{ALL}/{ids['place']}/half", f"/api/2.0/mlflow-artifacts/mpu/parts/{ids['upload']}/1"):
        assert dies(app, "PUT", path, bytes(3 << 20)) == 400
    for path in ("/api/2.0/mlflow/runs/create", "/api/v1/projects/add"):
        assert dies(app, "POST", path, b'{"name": "ha') == 400
    assert sorted((workspace.root / "uploads").rglob("*")) == before
    assert desk.ask("GET", f"{ALL}/{ids['place']}/half").status_code == 404
    with workspace.ledger.read() as tx:
        assert all(event.verb != "projects.add" or event.body.get("name") != "ha" for event in tx.events())


def dies(app: Any, method: str, path: str, sent: bytes) -> int:
    """The status of a request whose client goes away before its body is whole."""
    waiting = [{"type": "http.request", "body": sent, "more_body": True}, {"type": "http.disconnect"}]
    answered: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answered.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(), "headers": headers,
        "query_string": b"", "scheme": "http", "server": ("127.0.0.1", 8300), "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return int(answered[0]["status"])


def test_a_server_that_starts_sweeps_what_was_left(workspace: Workspace) -> None:
    left, fresh = uploads.new_file(workspace), uploads.new_file(workspace)
    for path in (left, fresh):
        path.write_bytes(b"left")
    begun = uploads.begin(workspace, "0/x/artifacts/a")
    old = time.time() - 8 * 86_400
    for path in (left, workspace.root / "uploads" / begun):
        os.utime(path, (old, old))
    uploads.sweep(workspace)
    assert list((workspace.root / "uploads").iterdir()) == [fresh]


@pytest.mark.full
def test_a_client_that_is_killed_while_it_sends_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with up(root) as (address, process):
        made = httpx.post(f"{address}/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).json()
        info = made["run"]["info"]
        place = f"{ALL}/{info['artifact_uri'].removeprefix('mlflow-artifacts:/')}/half"
        host = address.removeprefix("http://")
        name, _, port = host.partition(":")
        for _ in range(5):
            with socket.create_connection((name, int(port))) as client:
                head = f"PUT {place} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {20 << 20}\r\n\r\n"
                client.sendall(head.encode() + bytes(6 << 20))
        deadline = time.monotonic() + 120
        while list((root / "uploads").glob("*.part")):
            assert time.monotonic() < deadline, "what came of it is still there"
            time.sleep(0.05)
        assert httpx.get(address + place).status_code == 404
        assert httpx.put(address + place, content=b"whole", timeout=60).status_code == 200
        assert httpx.get(address + place).content == b"whole"
        assert process.poll() is None
