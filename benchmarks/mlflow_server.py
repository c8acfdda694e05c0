"""`slipway up` beside `mlflow server` with its defaults, both on SQLite, asked by MLflow's REST API.

One client on one connection sends raw requests and reads the answers. CPU is that of all processes of a server, read from
/proc before and after; wall is the client's time a request. Here raw is MLflow. MLflow's server runs in the environment
of its client (`make .venv/stamps/mlflow3`); without it nothing is measured.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.pairs import Compared, compare, row

PAIRS = 3
REMARK = """\
MLflow's server polls while it is idle (job consumers, four workers), and that is part of its CPU. Its wall time has a
floor of 40 ms a request where its workers' sockets delay the last segment of an answer until the client acknowledges the
first one; the row of a run that is read shows whether a server has such a floor.
"""

_PATH = "MLflow's API, beside MLflow's server"
_PYTHON = Path(__file__).parents[1] / ".venv" / "mlflow3" / "bin" / "python"
_TICKS = os.sysconf("SC_CLK_TCK")
_REQUESTS = {"log-metric": 200, "batch": 15, "get": 200, "create": 60, "search": 15}
_RUNS = 60


class Server:
    """A server that is under way.

    Args:
        pid: Its first process.
        port: Where it answers.
        started_s: Seconds from its start to its first answer.
    """

    def __init__(self, pid: int, port: int, started_s: float) -> None:
        self.pid = pid
        self.port = port
        self.started_s = started_s
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request over the one connection; gives the answer's JSON."""
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, f"/api/2.0/mlflow{path}", data, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        read = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path} was answered {answer.status}: {read[:300]!r}")
        return json.loads(read)

    def connect(self) -> None:
        """A new connection: the one before may have been idle for too long."""
        self._connection.close()

    def cpu_s(self) -> float:
        """CPU seconds of all its processes so far."""
        return sum(_cpu_ticks(pid) for pid in family(self.pid)) / _TICKS

    def memory_mib(self) -> float:
        """Resident memory of all its processes, shared pages counted in parts."""
        return sum(_pss_kib(pid) for pid in family(self.pid)) / 1024


def family(pid: int) -> list[int]:
    """A process and all that it started, now."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[11]) + int(fields[12])


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


@contextmanager
def served(command: list[str], folder: Path, port: int) -> Iterator[Server]:
    """Start a server in a folder, wait for its first answer, and stop it with all its processes."""
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=quiet, start_new_session=True
    )
    try:
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5):
                    pass
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                if process.poll() is not None or time.perf_counter() - begun > 600:
                    raise RuntimeError(f"The server did not answer: {' '.join(command)}") from None
                time.sleep(0.02)
        yield Server(process.pid, port, time.perf_counter() - begun)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def both(folder: Path) -> Iterator[tuple[Server, Server]]:
    """MLflow's server and Slipway's, each in a folder of its own."""
    ports = (_free_port(), _free_port())
    (folder / "mlflow").mkdir()
    (folder / "slipway").mkdir()
    theirs = [
        str(_PYTHON),
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        "sqlite:///mlflow.db",
        "--port",
        str(ports[0]),
    ]
    ours = [sys.executable, "-m", "slipway", "up", "--root", "store", "--port", str(ports[1])]
    with served(theirs, folder / "mlflow", ports[0]) as mlflow, served(ours, folder / "slipway", ports[1]) as slipway:
        time.sleep(5)  # what a start goes on doing
        yield mlflow, slipway


def _works(server: Server) -> dict[str, tuple[str, Callable[[int], Any]]]:
    """What is asked of a server, by name: what it is called in the table, and the request of a number."""
    ids = []
    for number in range(_RUNS):
        made = server.ask("POST", "/runs/create", {"experiment_id": "0", "start_time": 1_700_000_000_000 + number})
        ids.append(made["run"]["info"]["run_id"])
        points = [{"key": f"m{key}", "value": (number * 7 + key) % 31, "timestamp": 1} for key in range(10)]
        server.ask("POST", "/runs/log-batch", {"run_id": ids[-1], "metrics": points})
    run, batched = ids[0], ids[1]
    count = iter(range(10_000_000))

    def metric(number: int) -> Any:
        body = {"run_id": run, "key": "loss", "value": 0.5, "timestamp": 1_700_000_000_000, "step": next(count)}
        return server.ask("POST", "/runs/log-metric", body)

    def batch(number: int) -> Any:
        points = [
            {"key": "curve", "value": 0.25, "timestamp": 1_700_000_000_000, "step": next(count)} for _ in range(1000)
        ]
        return server.ask("POST", "/runs/log-batch", {"run_id": batched, "metrics": points})

    asked = {"experiment_ids": ["0"], "filter": "metrics.m1 > 3", "order_by": ["metrics.m2 DESC"], "max_results": 60}
    return {
        "log-metric": ("log-metric", metric),
        "batch": ("log-batch of 1,000 points of one key", batch),
        "create": ("create a run", lambda number: server.ask("POST", "/runs/create", {"experiment_id": "0"})),
        "get": ("read a run", lambda number: server.ask("GET", f"/runs/get?run_id={run}")),
        "search": (
            f"search {_RUNS} runs by a metric, ordered by another",
            lambda number: server.ask("POST", "/runs/search", asked),
        ),
    }


def _measured(server: Server, work: Callable[[int], Any], requests: int) -> tuple[float, float]:
    """CPU and wall milliseconds a request."""
    server.connect()
    work(0)
    cpu, began = server.cpu_s(), time.perf_counter()
    for number in range(requests):
        work(number)
    wall = time.perf_counter() - began
    return (server.cpu_s() - cpu) * 1000 / requests, wall * 1000 / requests


def run(pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Rows of the table; none where MLflow's server is not installed."""
    if not _PYTHON.exists():
        print("MLflow's server is not installed: make .venv/stamps/mlflow3", file=sys.stderr)
        return []
    goals = {"log-metric": 1.0, "batch": 8.0}
    rows = []
    with tempfile.TemporaryDirectory() as folder, both(Path(folder)) as (mlflow, slipway):
        for what, unit, look, goal in (
            ("start to the first answer", "s", lambda one: one.started_s, {}),
            ("processes", "", lambda one: float(len(family(one.pid))), {"goal": 1.0}),
            ("memory when idle, shared pages in parts", "MiB", Server.memory_mib, {"goal": 120.0}),
        ):
            theirs, ours = look(mlflow), look(slipway)
            rows.append(row(_PATH, f"{what}{', ' * bool(unit)}{unit}", Compared(theirs, ours, ours / theirs), **goal))
        works = (_works(mlflow), _works(slipway))
        for name, requests in _REQUESTS.items():
            found: dict[int, list[tuple[float, float]]] = {0: [], 1: []}

            def measure(side: int, name: str = name, requests: int = requests, found: Any = found) -> float:
                figures = _measured((mlflow, slipway)[side], works[side][name][1], requests)
                found[side].append(figures)
                return figures[0]

            cpu = compare(lambda: measure(0), lambda: measure(1), pairs)
            goal = {"goal": goals[name]} if name in goals else {}
            title = works[1][name][0]
            rows.append(row(_PATH, f"{title}: server CPU, ms", cpu, **goal))
            walls = [(theirs[1], ours[1]) for theirs, ours in zip(found[0], found[1], strict=True)]
            rows.append(row(_PATH, f"{title}: wall, ms", Compared.of(walls)))
        rows.append(
            row(
                _PATH,
                "memory after it, MiB",
                Compared(mlflow.memory_mib(), slipway.memory_mib(), slipway.memory_mib() / mlflow.memory_mib()),
            )
        )
    return rows
