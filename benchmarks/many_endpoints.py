"""Fifty endpoints of three versions each, with monitors and schedules, on one small machine, and a server that looks after them.

What a sensible user of a small machine declares: `workers=(0, 1)` and one port for all, so that an endpoint nobody asks is a
supervisor without a worker, and its first request starts one. Each has drift and service monitors, a log, three registered
versions of a logistic regression of ten inputs of which the last serves, and a schedule. All are real processes:
`slipway up`, the supervisors, the shared front, the workers that wake. Memory is the proportional set (PSS: what processes
share is counted once). CPU at rest is of all these processes together while nobody asks and the server makes its passes every
ten seconds. Times are 95th percentiles, of whole requests and of whole commands as a person waits for them.
"""

import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

from benchmarks.pages import got, served
from slipway.backends.process_launcher import ProcessLauncher
from slipway.flows.deploy import deploy
from slipway.flows.endpoint import Endpoint
from slipway.flows.release import declare_endpoint
from slipway.hosts.control_plane import listen
from slipway.hosts.project import open_workspace
from slipway.ledger import entries, projects
from slipway.models import registry
from slipway.models.inputs import inputs
from slipway.models.model import Model
from slipway.models.packing import pack
from slipway.monitoring.declare import Drift
from slipway.monitoring.service import Service
from slipway.operations.endpoints import Deploy
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.reach import Reach
from slipway.records.schedules import Schedule, ScheduleSpec, ScheduleTrigger
from slipway.serving.reach import REACH_FILE, encoded

ENDPOINTS, VERSIONS, ASKED, REST_S, PAGES, COMMANDS = 50, 3, 20, 60.0, 20, 10
GOAL_PAGE_MS, GOAL_COMMAND_MS = 500.0, 1000.0
REMARK = """\
A supervisor is a process of its own, so that a crash of one endpoint is nothing to another; at rest that is what memory goes
into. Workers add theirs while they are awake, ten minutes by default after the last request.
"""

_PATH = "many endpoints"
_PROJECT = "bench"
_IDLE = "1m"
_COLUMNS = tuple(f"x{number}" for number in range(10))
_PATIENCE_S = 600.0


def run(
    endpoints: int = ENDPOINTS,
    versions: int = VERSIONS,
    asked: int = ASKED,
    rest_s: float = REST_S,
    workers: int | tuple[int, int] = (0, 1),
    pages: int = PAGES,
    commands: int = COMMANDS,
) -> list[dict[str, Any]]:
    """Rows of the table; `workers` as the endpoints declare them."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "slipway.toml").write_text(f'[project]\nname = "{_PROJECT}"\n')
        root = home / ".slipway"
        with listen("127.0.0.1", 0) as free:
            port = free.getsockname()[1]
        names = [f"model-{number:02d}" for number in range(endpoints)]
        try:
            began = time.perf_counter()
            _fill(root, port, names, versions, workers)
            filled_s = time.perf_counter() - began
            with served(root) as (server, pid):
                found = _measured(
                    home, server, pid, port, names, asked, rest_s, isinstance(workers, tuple), pages, commands
                )
            made = f"{endpoints} endpoints of {versions} versions packed, registered and deployed, s each"
            return [*found, _row(made, filled_s / endpoints)]
        finally:
            for one in (root / "endpoints" / _PROJECT).glob("*/"):
                ProcessLauncher().stop(one)


def _fill(root: Path, port: int, names: list[str], versions: int, workers: int | tuple[int, int]) -> None:
    workspace = open_workspace(root, project=_PROJECT)
    (root / REACH_FILE).write_bytes(encoded(Reach(port=port)))
    with closing(workspace.ledger), current_workspace.filled(workspace):
        projects.register(workspace)
        models = [_model(number) for number in range(versions)]
        for name in names:
            declare_endpoint(
                workspace, Endpoint(name, workers=workers, idle=_IDLE, monitors=[Drift(every="1h"), Service()])
            )
            for model in models:
                registry.register(workspace, pack(workspace, model, name=name))
            deploy(workspace, Deploy(model=name))
            _schedule(workspace, name)


def _model(seed: int) -> Model:
    chance = np.random.default_rng(seed)
    frame = pl.DataFrame({name: chance.normal(0, 1, 2000) for name in _COLUMNS})
    fixed = inputs(frame.with_columns(y=(frame["x0"] + frame["x1"] > 0).cast(pl.Int64)), label="y")
    return Model(LogisticRegression().fit(fixed.matrix, (frame["x0"] + frame["x1"] > 0).to_numpy()), inputs=fixed)


def _schedule(workspace: Workspace, name: str) -> None:
    now = workspace.clock.now()
    record = Schedule(
        id=f"{_PROJECT}/dev/{name}",
        parent_id=f"{_PROJECT}/dev",
        project=_PROJECT,
        name=name,
        created_at=now,
        snapshot="0" * 64,
        spec=ScheduleSpec(
            pipeline="train",
            when=(ScheduleTrigger(kind="cron", cron=f"0 0 {(now - timedelta(days=2)).day} {now.month} *"),),
        ),
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, record)


def _measured(
    home: Path,
    server: http.client.HTTPConnection,
    pid: int,
    port: int,
    names: list[str],
    asked: int,
    rest_s: float,
    is_asleep: bool,
    pages: int,
    commands: int,
) -> list[dict[str, Any]]:
    root = home / ".slipway"
    _until(lambda: not is_asleep or not _workers(root))
    _until(lambda: _passes(server)[0] >= 2)  # the first ones read what there is
    count = len(names)
    at_rest = {one: _pss_mb(one) for one in _processes(root)}
    before, passes = _cpu_s({*at_rest, pid}), _passes(server)
    time.sleep(rest_s)
    _until(lambda: _passes(server)[0] > passes[0])
    used, more = _cpu_s({*at_rest, pid}) - before, _passes(server)
    elapsed = more[2] - passes[2]
    rows = [
        _row(f"{count} endpoints at rest: memory of all processes but the server, MB", sum(at_rest.values())),
        _row("memory of the server, MB", _pss_mb(pid)),
        _row(f"{count} endpoints and the server at rest: CPU, % of one core", 100 * used / elapsed),
        _row(
            f"a pass of the controller over {count} endpoints, ms", 1000 * (more[1] - passes[1]) / (more[0] - passes[0])
        ),
    ]
    woken, warm, answered, awake = _ask(root, port, names, asked)
    rows += [
        _row(
            f"rows answered rightly, of {count * (asked + 1)}", float(answered), goal_least=float(count * (asked + 1))
        ),
        _row("the first request of an endpoint that sleeps, 95th percentile, ms", _p95(woken)),
        _row("a request of one row to one that is awake, new connection, 95th percentile, ms", _p95(warm)),
        _row("memory of a worker that is awake, MB", statistics.median(awake)),
    ]
    server.close()  # asking took longer than a silent connection is kept; it opens another one by itself
    shown = {
        "the first page": "/",
        "the project": f"/projects/{_PROJECT}",
        "the list of endpoints": f"/projects/{_PROJECT}/endpoints",
        "an endpoint": f"/projects/{_PROJECT}/endpoints/{names[0]}",
    }
    for name, page in shown.items():
        got(server, page)
        rows.append(
            _row(
                f"{name}, 95th percentile, ms",
                _p95(_times(pages, partial(got, server, page))),
                goal=GOAL_PAGE_MS,
            )
        )
    for words in (("endpoints", "list"), ("models", "list"), ("schedules", "list")):
        took = _times(commands, partial(_command, home, *words))
        rows.append(_row(f"`slipway {' '.join(words)}`, 95th percentile, ms", _p95(took), goal=GOAL_COMMAND_MS))
    return rows


def _ask(root: Path, port: int, names: list[str], asked: int) -> tuple[list[float], list[float], int, list[float]]:
    """Milliseconds of the first requests and of the further ones, how many were right, and the memory of workers."""
    woken, warm, answered, awake = [], [], 0, []
    row = dict.fromkeys(_COLUMNS, 0.5)
    for name in names:
        for number in range(asked + 1):
            began = time.perf_counter()
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
                body = json.dumps({"rows": [row]})
                connection.request("POST", f"/endpoints/{name}/predict", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
            (warm if number else woken).append((time.perf_counter() - began) * 1000)
            answered += answer.status == 200 and json.loads(text)["predictions"][0]["score"] > 0.5
        awake += [_pss_mb(one) for one in _workers(root / "endpoints" / _PROJECT / name)]
    return woken, warm, answered, awake


def _command(home: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "slipway", *words], cwd=home, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"slipway {' '.join(words)}: {done.stderr}")


def _processes(root: Path, word: str = "") -> list[int]:
    """The processes whose command names the folder, or one below it, and the word."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            command = (one / "cmdline").read_bytes().decode(errors="replace")
            if str(root) in command and word in command and "\0up\0" not in command:
                found.append(int(one.name))
    return found


def _workers(root: Path) -> list[int]:
    return _processes(root, "endpoint_worker")


def _pss_mb(pid: int) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


def _cpu_s(pids: set[int]) -> float:
    """CPU seconds of processes so far, those of their children that ended included."""
    ticks = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / 100


def _passes(server: http.client.HTTPConnection) -> tuple[int, float, float]:
    """Passes of the controller so far, their seconds, and when that was asked."""
    server.request("GET", "/metrics")
    text = server.getresponse().read().decode()
    count, total = (
        sum(map(float, re.findall(rf"^slipway_controller_pass_seconds_{what}(?:{{.*}})? (\S+)$", text, re.M)))
        for what in ("count", "sum")
    )
    return int(count), total, time.monotonic()


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError("The endpoints did not come to rest.")
        time.sleep(0.5)


def _times(count: int, work: Callable[[], Any]) -> list[float]:
    found = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1000)
    return found


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def _row(what: str, value: float, **goal: float) -> dict[str, Any]:
    print(f"{what}: {value:g}", file=sys.stderr, flush=True)  # it takes minutes
    return {"path": _PATH, "what": what, "raw": None, "slipway": value, "ratio": None, **goal}
