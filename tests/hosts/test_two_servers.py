"""Two servers on one ledger in PostgreSQL: what both take at once is all there, and one goes on when the other is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest

import postgres_here
from slipway.hosts.project import open_workspace
from slipway.ledger import entries, events
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run

pytestmark = pytest.mark.full

TOML = '[project]\nname = "flights"\n[environments.prod]\nstore = "store"\nledger = "env:SLIPWAY_TEST_LEDGER"\n'
SERVE = """
import sys
from pathlib import Path
from slipway.hosts import controller
from slipway.hosts.control_plane import serve
from slipway.hosts.settings import read_settings
from slipway.server.app import make_app

home = Path(sys.argv[1])
called = controller.call

def call(workspace, operation, request):
    with (home.parent / "passes").open("a") as file:
        file.write(home.name + "\\n")
    return called(workspace, operation, request)

controller.call = call
said = lambda line: print(line, flush=True)
ledger = read_settings(home).environment("prod").ledger
serve(home / "store", make_app, environment="prod", ledger=ledger, port=0, say=said, once_ready=said, pass_every_s=1.0)
"""
TRAIN = """
import sys
import slipway as sw

with sw.run("trained", environment="prod", system_metrics=False) as run:
    for step in range(300):
        run.log_metrics({"loss": 1 / (step + 1)}, step=step)
    print(run.id)
"""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with postgres_here.cleaned() as found:
        monkeypatch.setenv("SLIPWAY_TEST_LEDGER", found)
        yield found


@contextmanager
def serving(home: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", SERVE, str(home)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline().strip()
        assert line.startswith("http://"), line + process.stdout.read()
        yield line, process
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def homes(folder: Path) -> list[Path]:
    """Two folders whose servers trust each other: they have one key."""
    found = [folder / name for name in ("one", "two")]
    for home in found:
        home.mkdir()
        (home / "slipway.toml").write_text(TOML)
    opened(found[0]).ledger.close()
    shutil.copytree(found[0] / "store" / "keys", found[1] / "store" / "keys")
    return found


def opened(home: Path) -> Workspace:
    return open_workspace(home / "store", project="flights", environment="prod", ledger="env:SLIPWAY_TEST_LEDGER")


def awaited(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def hammered(client: httpx.Client, urls: list[str], number: int) -> tuple[str, int]:
    """A run that a client logs to both servers in turn, as MLflow's does; its id and how many points were taken."""
    turn = iter(urls[number % 2 :] + urls * 100)

    def post(route: str, **fields: object) -> httpx.Response:
        answer = client.post(f"{next(turn)}/api/2.0/mlflow/{route}", json=fields)
        assert answer.status_code == 200, answer.text
        return answer

    run_id = post("runs/create", experiment_id="0", start_time=number, run_name=f"run {number}").json()["run"]["info"][
        "run_id"
    ]
    for step in range(10):
        metrics = [{"key": f"m{key}", "value": step + key, "timestamp": step, "step": step} for key in range(3)]
        post("runs/log-batch", run_id=run_id, metrics=metrics, params=[{"key": f"p{step}", "value": str(number)}])
        post("runs/set-tag", run_id=run_id, key="last", value=str(step))
    post("runs/update", run_id=run_id, status="FINISHED", end_time=number + 1)
    return run_id, 10


def test_two_servers_take_runs_at_once_and_nothing_is_lost_or_doubled(url: str, tmp_path: Path) -> None:
    one, two = homes(tmp_path)
    with serving(one) as (first, _), serving(two) as (second, _), httpx.Client(trust_env=False, timeout=120) as client:
        with ThreadPoolExecutor(6) as pool:
            taken = list(pool.map(lambda number: hammered(client, [first, second], number), range(12)))
        trained = []
        for server in (first, second):
            home = tmp_path / f"client-{len(trained)}"
            home.mkdir()
            (home / "slipway.toml").write_text(
                f'[project]\nname = "flights"\n[environments.prod]\nserver = "{server}"\n'
            )
            answer = subprocess.run(
                [sys.executable, "-c", TRAIN], cwd=home, capture_output=True, text=True, check=True, timeout=900
            )
            trained.append(answer.stdout.strip())
        awaited(lambda: (tmp_path / "passes").exists())
        seen = {
            client.post(f"{server}/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"]}).text
            for server in (first, second)
        }
        assert len(seen) == 1, "both show the same"
    workspace = opened(one)
    with closing(workspace.ledger), workspace.ledger.read() as tx:
        assert len(entries.find(tx, Run, limit=1000)) == 14
        for run_id, points in taken:
            run = entries.get(tx, Run, run_id)
            assert (run.state, len(run.params), run.tags["last"]) == ("finished", points, str(points - 1))
            for key in range(3):
                assert [point.step for point in tx.points(run_id, f"m{key}")] == list(range(points))
        for run_id in trained:
            assert entries.get(tx, Run, run_id).state == "finished"
            assert [point.step for point in tx.points(run_id, "loss")] == list(range(300))
        written = tx.events(limit=100_000)
        assert [event.seq for event in written] == list(range(1, len(written) + 1))
    sealed, unsealed = events.verify(workspace.ledger, workspace.signer)
    assert (sealed > 0, unsealed) == (True, 0)
    workspace.ledger.close()


def test_one_server_passes_over_the_projects_and_the_other_goes_on_when_it_is_killed(url: str, tmp_path: Path) -> None:
    one, two = homes(tmp_path)
    passes = tmp_path / "passes"
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(trust_env=False, timeout=120))
        servers = {home.name: stack.enter_context(serving(home)) for home in (one, two)}
        urls = [address for address, _ in servers.values()]
        hammered(client, urls, 1)  # a project, so that there is something to pass over
        awaited(lambda: passes.exists() and len(passes.read_text().split()) >= 3)
        (leader,) = set(passes.read_text().split())
        other = "two" if leader == "one" else "one"
        os.kill(servers[leader][1].pid, signal.SIGKILL)
        run_id, _ = hammered(client, [servers[other][0]], 2)
        awaited(lambda: other in passes.read_text().split())
        shown = client.get(f"{servers[other][0]}/api/2.0/mlflow/runs/get", params={"run_id": run_id}).json()
        assert shown["run"]["info"]["status"] == "FINISHED"
