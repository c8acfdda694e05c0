"""Two `slipway up` on one PostgreSQL, under load: the one that runs the loop is killed in the middle, the other goes on."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import endpoint_folder as ef
import httpx
import pytest
from click.testing import CliRunner

import postgres_here
from slipway.cli import main
from slipway.flows.deploy import deploy
from slipway.hosts.project import open_workspace
from slipway.ledger import entries, events, projects
from slipway.models import registry
from slipway.models.packing import pack
from slipway.operations.endpoints import Deploy
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.responsibility import Comment
from slipway.records.runs import Run
from slipway.records.schedules import Firing
from slipway.records.schema import Field

pytestmark = pytest.mark.full

TOML = '[project]\nname = "flights"\nmodule = "nights"\n[environments.dev]\nledger = "env:SLIPWAY_TEST_LEDGER"\n'
CODE = """
import pathlib
import slipway as sw

@sw.step(cache=False)
def work(number):
    with pathlib.Path({log!r}).open("a") as file:
        file.write(f"{{number}}\\n")
    return number

@sw.pipeline
def nightly_work(number: int = 0):
    return work(number)

nightly = sw.Schedule(nightly_work)
"""
UP = """
import os, signal, sys
from pathlib import Path
from slipway.hosts import controller

controller.PASS_EVERY_S = 1.0  # a killed server is missed after three passes
from slipway.backends.process_runner import ProcessRunner
from slipway.cli import main

start = ProcessRunner.start

def start_and_die(self, folder, **more):
    start(self, folder, **more)
    if (doomed := Path("doomed")).exists():
        doomed.write_text(str(os.getpid()))
        doomed.rename("died")
        os.kill(os.getpid(), signal.SIGKILL)  # the pipeline begins, and nobody waits for it

ProcessRunner.start = start_and_die
main(["up", "--port", "0"])
"""
PATIENCE_S, CLIENTS, FIRINGS = 120.0, 2, 3
RETRIED = (429, 500, 502, 503, 504)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "slipway.toml").write_text(TOML)
    (tmp_path / "nights.py").write_text(CODE.format(log=str(tmp_path / "log")))
    with postgres_here.cleaned() as url:
        monkeypatch.setenv("SLIPWAY_TEST_LEDGER", url)
        yield tmp_path
    sys.modules.pop("nights", None)


@contextmanager
def opened(home: Path) -> Iterator[Workspace]:
    found = open_workspace(home / ".slipway", project="flights", ledger="env:SLIPWAY_TEST_LEDGER")
    with closing(found.ledger), current_workspace.filled(found):
        yield found


@contextmanager
def serving(home: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    with (home / f"server-{time.monotonic_ns()}.log").open("w+") as said:
        process = subprocess.Popen([sys.executable, "-P", "-c", UP], cwd=home, stdout=said, stderr=subprocess.STDOUT)
        try:
            awaited(lambda: "http://" in (home / said.name).read_text() or process.poll() is not None)
            text = (home / said.name).read_text()
            assert "http://" in text, text
            yield text.split(" at ")[1].split()[0], process
        finally:
            process.terminate()
            process.wait()


def awaited(condition: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


class Client:
    """Somebody who writes to both servers in turn, and turns to the other one where the first does not answer."""

    def __init__(self, urls: list[str], first: int = 0) -> None:
        self._urls, self._turns = urls, count(first)
        self._http = httpx.Client(trust_env=False, timeout=60)
        self.times_retried = 0

    def ask(self, path: str, **fields: Any) -> httpx.Response:
        """The answer of whoever gives one: a POST where there are fields, otherwise a page is looked at."""
        until = time.monotonic() + PATIENCE_S
        while True:
            url = f"{self._urls[next(self._turns) % len(self._urls)]}{path}"
            try:
                answer = self._http.post(url, json=fields) if fields else self._http.get(url)
            except httpx.TransportError:
                assert time.monotonic() < until
            else:
                if answer.status_code == 200:
                    return answer
                assert answer.status_code in RETRIED, answer.text
                assert time.monotonic() < until, answer.text
            self.times_retried += 1

    def close(self) -> None:
        self._http.close()


class Writer(Client):
    """Logs runs, comments, and looks at pages until it is told to stop; keeps what was acknowledged."""

    def __init__(self, urls: list[str], number: int, over: threading.Event) -> None:
        super().__init__(urls, number)
        self._number, self._over = number, over
        self.runs: dict[str, int] = {}
        self.comments: list[str] = []
        self.problem: BaseException | None = None
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()
        self.close()
        if self.problem is not None:
            raise self.problem

    def _work(self) -> None:
        try:
            while not self._over.is_set():
                self._write()
        except BaseException as problem:
            self.problem = problem

    def _write(self) -> None:
        named = f"{self._number}-{len(self.runs)}"
        mlflow = "/api/2.0/mlflow/runs"
        made = self.ask(f"{mlflow}/create", experiment_id="0", start_time=1, run_name=named).json()
        id = made["run"]["info"]["run_id"]
        self.runs[id] = 0
        for step in range(5):
            metrics = [{"key": "loss", "value": 1 / (step + 1), "timestamp": step, "step": step}]
            self.ask(f"{mlflow}/log-batch", run_id=id, metrics=metrics, params=[{"key": f"p{step}", "value": named}])
            self.runs[id] += 1
        self.ask(f"{mlflow}/update", run_id=id, status="FINISHED", end_time=2)
        self.ask("/api/v1/projects/flights/comments/add", about=f"run:{id}", text=f"said {named}")
        self.comments.append(f"said {named}")
        assert named in self.ask(f"/projects/flights/runs/{id}").text
        self.ask("/")


def prepared(home: Path) -> None:
    """A schedule, and an endpoint that answers."""
    applied = CliRunner().invoke(main, ["schedules", "apply", "-C", str(home)], catch_exceptions=False)
    assert applied.exit_code == 0, applied.output
    with opened(home) as workspace:
        projects.register(workspace)
        model = ef.a_model([Field("a", "float"), Field("b", "float")])
        registry.register(workspace, pack(workspace, model, name="delays"))
        deploy(workspace, Deploy(model="delays"))


def seen_on_the_other(client: httpx.Client, written: str, shown: str) -> None:
    """A page that is open on one server shows what another one was told."""
    at = f"{written}/api/2.0/mlflow/runs"
    id = client.post(f"{at}/create", json={"experiment_id": "0", "start_time": 1}).json()["run"]["info"]["run_id"]
    with client.stream("GET", f"{shown}/projects/flights/runs/{id}", headers={"accept": "text/event-stream"}) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        client.post(f"{at}/log-metric", json={"run_id": id, "key": "told_there", "value": 1, "timestamp": 1, "step": 0})
        assert any("told_there" in line for line in lines), "the stream ended before it was seen"
    client.post(f"{at}/update", json={"run_id": id, "status": "FINISHED", "end_time": 2})


def fired(client: Client) -> list[dict[str, Any]]:
    found = client.ask("/api/v1/projects/flights/schedules/get?name=nightly").json()
    return list(found["firings"])


def check_kept(home: Path, writers: list[Writer]) -> None:
    """All that was acknowledged is there, and the audit log is whole."""
    with opened(home) as workspace:
        with workspace.ledger.read() as tx:
            for id, taken in ((id, taken) for one in writers for id, taken in one.runs.items()):
                run = entries.get(tx, Run, id)
                assert run.state == "finished"
                assert len(run.params) == taken == 5
                assert {point.step for point in tx.points(id, "loss")} == set(range(5))
            said = [one.text for one in entries.every(tx, Comment, project="flights")]
            assert {text for one in writers for text in one.comments} <= set(said)
            firings = list(entries.every(tx, Firing, project="flights"))
            assert sorted(one.params["number"] for one in firings) == list(range(FIRINGS))
            assert all(one.state == "finished" and one.attempts == 1 for one in firings)
            written = tx.events(limit=1_000_000)
            assert [event.seq for event in written] == list(range(1, len(written) + 1))
        sealed, unsealed = events.verify(workspace.ledger, workspace.signer)
        assert sealed > 0
        assert unsealed == 0, "the survivor seals what came since when it stops"


def test_the_leader_is_killed_under_load_and_nothing_that_was_acknowledged_is_lost(home: Path) -> None:
    prepared(home)
    folder = home / ".slipway" / "endpoints" / "flights" / "delays"
    over = threading.Event()
    writers: list[Writer] = []
    try:
        with ExitStack() as stack:
            servers = [stack.enter_context(serving(home)) for _ in range(2)]
            urls = [url for url, _ in servers]
            with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
                seen_on_the_other(client, urls[0], urls[1])
                seen_on_the_other(client, urls[1], urls[0])
            asking = Client(urls)
            stack.callback(asking.close)
            writers = [Writer(urls, number, over) for number in range(CLIENTS)]
            stack.callback(over.set)  # a failure must not wait for them for ever
            awaited(lambda: all(one.comments or one.problem for one in writers))
            (home / "doomed").touch()  # whoever starts the next pipeline dies of it
            for number in range(FIRINGS):
                asking.ask(
                    "/api/v1/projects/flights/schedules/fire",
                    name="nightly",
                    params={"number": number},
                    key=f"k{number}",
                )
            awaited((home / "died").exists)
            (dead,) = [process for _, process in servers if process.pid == int((home / "died").read_text())]
            assert dead.wait(PATIENCE_S) == -signal.SIGKILL
            had = [len(one.comments) for one in writers]
            supervisor = int((folder / "endpoint.lock").read_text())
            os.kill(supervisor, signal.SIGKILL)
            awaited(lambda: [one["state"] for one in fired(asking)] == ["finished"] * FIRINGS)
            awaited(lambda: int((folder / "endpoint.lock").read_text() or supervisor) != supervisor)
            awaited(
                lambda: all(len(one.comments) > past or one.problem for one, past in zip(writers, had, strict=True))
            )
            over.set()
            for one in writers:
                one.join()
            again = asking.ask(
                "/api/v1/projects/flights/schedules/fire", name="nightly", params={"number": 0}, key="k0"
            )
            assert not again.json()["is_new"], "a client that tries again gets the firing that there is"
            with opened(home) as workspace:
                url = workspace.launcher.ensure(folder).url
                answer = httpx.post(
                    f"{url}/endpoints/delays/predict", json={"rows": [{"a": 30.0, "b": 40.0}]}, timeout=60
                )
                assert answer.status_code == 200, answer.text
        assert sorted(map(int, (home / "log").read_text().split())) == list(range(FIRINGS)), "each ran once"
        assert sum(one.times_retried for one in writers) > 0
        check_kept(home, writers)
    finally:
        over.set()
        with opened(home) as workspace:
            workspace.launcher.stop(folder)
