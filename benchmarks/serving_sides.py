"""The servers that serving is measured beside: how each is started, asked, held while others are measured, and ended."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from benchmarks.closed_loop import request
from slipway.ports.workspace import Workspace
from slipway.serving.footprint import family

__all__ = ["PYTHON", "Running", "Side", "by_hand", "held", "peers", "released", "slipway_side", "started"]

_HERE = Path(__file__).parent
PYTHON = _HERE.parent / ".venv" / "serving-peers" / "bin" / "python"
"""The peers' interpreter; `make .venv/stamps/serving-peers` makes their environment."""

_START_S = 120.0
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Side:
    """One server.

    Args:
        name: In the tables.
        path: Where a request goes.
        body: Rows as it takes them.
        scores: The scores in its answer.
        start: Starts it; gives its port, and its process from which all its others descend.
    """

    name: str
    path: str
    body: Callable[[Rows], Any]
    scores: Callable[[Any], list[float]]
    start: Callable[[], tuple[int, int]]


@dataclass(frozen=True)
class Running:
    """A server that has given its first right answer.

    Args:
        side: Which.
        port: Where it answers.
        pid: Its first process.
        first_s: Seconds from its start to that answer.
    """

    side: Side
    port: int
    pid: int
    first_s: float

    def request(self, rows: Rows) -> bytes:
        """A request for some rows."""
        return request(self.side.path, json.dumps(self.side.body(rows)).encode())

    def scores(self, rows: Rows) -> list[float]:
        """What it answers to some rows."""
        asked = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            asked.request(
                "POST", self.side.path, json.dumps(self.side.body(rows)), {"content-type": "application/json"}
            )
            answer = asked.getresponse()
            said = answer.read()
        finally:
            asked.close()
        if answer.status != 200:
            raise RuntimeError(f"{self.side.name}: {answer.status} {said[:300]!r}")
        return self.side.scores(json.loads(said))


@contextmanager
def started(side: Side, rows: Rows, right: float, within: float) -> Iterator[Running]:
    """A server, once it answers a row rightly; it and all of its processes end with the block."""
    began = time.perf_counter()
    port, pid = side.start()
    running = Running(side, port, pid, 0.0)
    try:
        while True:
            found: list[float] = []
            with suppress(OSError, HTTPException, RuntimeError):  # nobody listens yet, or it is not ready
                found = running.scores(rows)
            took = time.perf_counter() - began
            if found and abs(found[0] - right) <= within:
                break
            if took > _START_S:
                raise RuntimeError(f"{side.name} gave no right answer within {_START_S:g} s: {found}")
            time.sleep(0.01)
        yield Running(side, port, pid, took)
    finally:
        _end(pid)


def held(running: Running) -> None:
    """Hold a server, all its processes: it takes nothing from the one that is measured."""
    for pid in family(running.pid):
        os.kill(pid, signal.SIGSTOP)


def released(running: Running) -> None:
    """Let it go on, its descendants first."""
    for pid in reversed(family(running.pid)):
        os.kill(pid, signal.SIGCONT)


def _end(pid: int) -> None:
    for one in family(pid):
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
    with suppress(ChildProcessError):  # an endpoint is nobody's child
        os.waitpid(pid, 0)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def by_hand(folder: Path, name: str, command: Callable[[Path, int], list[str]], **how: Any) -> Side:
    """A server of the peers' environment.

    Args:
        folder: What it starts from, as `peers/serving_prepare.py` makes it.
        name: In the tables.
        command: Its words, given the folder and a port.
        how: The rest of the side, where it differs: `path`, `body`, `scores`.
    """
    path = f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}"

    def start() -> tuple[int, int]:
        port = _free_port()
        environment = {**os.environ, "PATH": path, "FOLDER": str(folder), "BENTOML_DO_NOT_TRACK": "True"}
        with (folder / f"{name.split()[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                command(folder, port), env=environment, cwd=_HERE / "peers", stdout=log, stderr=log
            )
        return port, process.pid

    whole: dict[str, Any] = {
        "path": "/predict",
        "body": lambda rows: {"rows": list(rows)},
        "scores": lambda said: said["scores"],
        **how,
    }
    return Side(name=name, start=start, **whole)


def _mlflow_body(rows: Rows) -> Any:
    return {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}}


def peers(folder: Path) -> list[Side]:
    """All of them, the hand-written limit last."""
    bin = PYTHON.parent
    at = ["--host", "127.0.0.1", "--port"]
    return [
        by_hand(
            folder,
            "mlflow models serve",
            lambda of, port: [
                f"{bin}/mlflow",
                "models",
                "serve",
                "-m",
                f"{of}/mlflow",
                "--env-manager",
                "local",
                *at,
                f"{port}",
            ],
            path="/invocations",
            body=_mlflow_body,
            scores=lambda said: [row[1] for row in said["predictions"]],
        ),
        by_hand(
            folder,
            "BentoML",
            lambda of, port: [f"{bin}/bentoml", "serve", "serving_bentoml:Pipeline", *at, f"{port}"],
            scores=lambda said: said,
        ),
        by_hand(folder, "FastAPI by hand", lambda of, port: [f"{PYTHON}", "serving_fastapi.py", f"{of}", f"{port}"]),
        by_hand(folder, "limit by hand", lambda of, port: [f"{PYTHON}", "serving_limit.py", f"{of}", f"{port}"]),
    ]


def slipway_side(workspace: Workspace, folder: Path, name: str) -> Side:
    """An endpoint with one worker, as shipped.

    Args:
        workspace: Its launcher starts it.
        folder: The endpoint's.
        name: The endpoint's.
    """

    def start() -> tuple[int, int]:
        status = workspace.launcher.ensure(folder)
        return int(status.url.rpartition(":")[2]), status.pid

    return Side(
        "Slipway",
        f"/endpoints/{name}/predict",
        lambda rows: {"rows": list(rows)},
        lambda said: [one["score"] for one in said["predictions"]],
        start,
    )
