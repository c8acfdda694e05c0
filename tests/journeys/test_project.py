"""From `slipway new` to a watched endpoint, and what it survives."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import (
    answer,
    answers,
    ask,
    children_of,
    kill,
    read_until,
    slipway,
    start,
    stop_all,
    wait_for,
)

pytest.importorskip("sklearn", reason="the template's model needs scikit-learn: pip install 'slipway[sklearn]'")
pytestmark = pytest.mark.full

NAME = "my-project"
ROW = {"customer_id": "c1", "plan": "basic", "months": 3, "spent": 40.0, "calls": 4}
REMOTE = ("--project", NAME)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project with one released model, in a store beside it; nobody may write here."""
    home = tmp_path_factory.mktemp("made")
    told = answer("new", NAME, cwd=home)
    assert "my_project.py" in told["files"]
    folder = home / NAME
    first = answer("run", "release", cwd=folder, SLIPWAY_STORE=str(home / "store"))
    assert (first["model"]["name"], first["model"]["number"], first["run"]["state"]) == (NAME, 1, "finished")
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it: the project's folder `my-project` and the store `store`."""
    home = tmp_path / "home"
    shutil.copytree(made, home)
    monkeypatch.setenv("SLIPWAY_STORE", str(home / "store"))
    yield home
    stop_all(home / "store")


def deployed(home: Path) -> tuple[str, int]:
    """Deploy the newest model; gives its address and its supervisor's process."""
    status = answer("deploy", NAME, cwd=home / NAME)["status"]
    return status["url"], status["pid"]


def test_from_a_new_project_to_a_watched_endpoint(home: Path) -> None:
    folder = home / NAME
    assert answer("deploy", f"{NAME}:1", "--dry-run", cwd=folder)["revision"] is None
    url, _ = deployed(home)
    one = answer("predict", NAME, json.dumps(ROW), cwd=folder)
    assert one["model"]["version"] == 1
    assert 0 < one["predictions"][0]["score"] < 1
    many = [{**ROW, "customer_id": f"n{i}", "calls": i % 7} for i in range(300)]
    assert len(answer("predict", NAME, "-", cwd=folder, stdin=json.dumps(many))["predictions"]) == 300
    told = [{"key": {"customer_id": row["customer_id"]}, "value": row["calls"] > 3} for row in many]
    assert answer("labels", NAME, "-", cwd=folder, stdin=json.dumps(told))["accepted"] == 300
    by_id = [{"prediction": one["predictions"][0]["id"], "value": 1}]
    assert httpx.post(f"{url}/endpoints/{NAME}/labels", json={"labels": by_id}).json()["accepted"] == 1

    found = wait_for(lambda: _watched(folder, 301), "301 predictions and labels are seen")
    assert {finding["name"]: finding["state"] for finding in found["findings"]}["quality of log_loss"] == "cannot tell"

    assert answer("runs", "list", cwd=folder)["runs"][0]["run"]["pipeline"] == "release"
    assert answer("models", "list", cwd=folder)["models"][0]["aliases"] == ["champion"]
    assert [table["name"] for table in answer("data", "list", cwd=folder)["tables"]] == ["customers"]
    verbs = [event["verb"] for event in answer("audit", "list", cwd=folder)["events"]]
    for verb in ("models.register", "gates.judge", "endpoints.deploy", "models.alias", "endpoints.watch"):
        assert verb in verbs
    assert answer("audit", "seal", cwd=folder)["root"]["last_seq"] >= len(verbs)
    assert answer("audit", "verify", cwd=folder)["unsealed"] <= 1

    # the same code on the same data is the same model; another parameter makes another version
    assert answer("run", "release", cwd=folder)["model"]["number"] == 1
    assert answer("run", "release", "--set", "c=0.01", cwd=folder)["model"]["number"] == 2
    assert _watched(folder, 301)
    second = answer("deploy", NAME, cwd=folder)
    assert (second["revision"]["number"], second["status"]["url"]) == (2, url)
    assert answer("rollback", NAME, cwd=folder)["revision"]["served"]["number"] == 1
    assert answer("endpoints", "stop", NAME, cwd=folder)["was_running"]
    assert f"slipway deploy {NAME} --version 1" in slipway("predict", NAME, "{}", cwd=folder, fails=75)


def _watched(folder: Path, rows: int) -> dict[str, Any] | None:
    found: dict[str, Any] = answer("endpoints", "watch", NAME, cwd=folder)
    return found if (found["predictions"], found["labels"]) == (rows, rows) else None


def test_what_the_file_says_now_is_the_gate(home: Path) -> None:
    folder = home / NAME
    module = folder / "my_project.py"
    module.write_text(module.read_text().replace('sw.metric("auc") >= 0.60', 'sw.metric("auc") >= 0.99'))
    refused = slipway("deploy", NAME, cwd=folder, fails=3)
    assert "auc at least 0.99" in refused
    assert "It misses by" in refused
    assert json.loads(slipway("deploy", NAME, "--json", cwd=folder, fails=3))["error"]["code"] == "GateRefused"


def test_an_endpoint_needs_neither_project_nor_anything_that_runs(home: Path) -> None:
    url, pid = deployed(home)
    before = ask(url, NAME, [ROW])
    (home / NAME).rename(home / "gone")
    shutil.rmtree(home / "gone")
    for worker in children_of(pid):
        os.kill(worker, signal.SIGKILL)
    # a new worker loads the bundle without the project's code
    assert answers(url, NAME, [ROW]) == before
    store = ("--root", str(home / "store"), *REMOTE)
    assert answer("endpoints", "stop", NAME, *store, cwd=home)["was_running"]
    again = answer("deploy", NAME, *store, cwd=home)
    assert again["status"]["url"] == url
    assert ask(url, NAME, [ROW]) == before


def test_a_killed_worker_is_replaced(home: Path) -> None:
    url, pid = deployed(home)
    before = ask(url, NAME, [ROW])
    for turn in (1, 2):
        (worker,) = children_of(pid)
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda gone=worker: children_of(pid) not in ([], [gone]), "another worker is there")
        assert answers(url, NAME, [ROW]) == before, turn
    shown = answer("endpoints", "show", NAME, cwd=home / NAME)
    assert shown["status"]["restarts"] == 2


def test_a_killed_supervisor_is_started_again_by_the_next_deployment(home: Path) -> None:
    url, pid = deployed(home)
    before = ask(url, NAME, [ROW])
    workers = children_of(pid)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), "its workers have stopped")
    assert answer("endpoints", "list", cwd=home / NAME)["endpoints"][0]["status"] is None
    assert deployed(home)[0] == url
    assert ask(url, NAME, [ROW]) == before
    answer("audit", "verify", cwd=home / NAME)


def test_supervisor_and_workers_killed_together(home: Path) -> None:
    url, pid = deployed(home)
    before = ask(url, NAME, [ROW])
    for process in (pid, *children_of(pid)):
        os.kill(process, signal.SIGKILL)
    assert answer("rollback", NAME, "--to", "1", cwd=home / NAME)["status"]["url"] == url
    assert ask(url, NAME, [ROW]) == before


def test_a_killed_server_loses_nothing_and_stops_no_endpoint(home: Path) -> None:
    url, _ = deployed(home)
    server = start("up", "--root", str(home / "store"), "--port", "0", cwd=home)
    address = read_until(server, "http://").split()[-1]
    deploy = httpx.post(f"{address}/api/v1/projects/{NAME}/endpoints/deploy", json={"model": NAME}, timeout=60)
    routes = httpx.get(f"{address}/api/v1/openapi.json").text
    assert deploy.status_code == 200, deploy.text + routes[:2000]
    kill(server)
    assert ask(url, NAME, [ROW])
    again = start("up", "--root", str(home / "store"), "--port", "0", cwd=home)
    try:
        address = read_until(again, "http://").split()[-1]
        assert httpx.get(f"{address}/health").status_code == 200
    finally:
        kill(again)
    assert answer("endpoints", "list", cwd=home / NAME)["endpoints"][0]["revision"]["number"] == 2
    answer("audit", "verify", cwd=home / NAME)


@pytest.mark.parametrize(
    "words",
    ["train:", *(pytest.param(each, marks=pytest.mark.long) for each in ("customers:", "split:", "Registered"))],
)
def test_a_killed_run_is_told_and_the_next_one_finishes(home: Path, words: str) -> None:
    folder = home / NAME
    running = start("run", "release", "--set", "c=0.5", cwd=folder)
    read_until(running, words)
    kill(running)
    done = answer("run", "release", "--set", "c=0.5", cwd=folder)
    assert done["run"]["state"] == "finished"
    states = [row["run"]["state"] for row in answer("runs", "list", cwd=folder)["runs"]]
    assert "running" not in states
    deployed(home)
    answer("audit", "verify", cwd=folder)


def test_a_killed_deployment_leaves_a_working_store(home: Path) -> None:
    folder = home / NAME
    lock = home / "store" / "endpoints" / NAME / NAME / "deploy.lock"
    running = start("deploy", NAME, cwd=folder)
    wait_for(lock.exists, "the deployment has begun")
    kill(running)
    url, _ = deployed(home)
    assert ask(url, NAME, [ROW])
    answer("audit", "verify", cwd=folder)
