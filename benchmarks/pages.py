"""The pages of runs, asked of a real server over HTTP on loopback: 10,000 runs of 200 metrics, and one run of 12,000.

By hand: the same records and values read from the ledger's SQLite file by the shortest statements, with nothing made of
them and no server. Slipway's figure is the whole answer as one client on one connection waits for it: search, rights,
the page, compression. A time is the 95th percentile of 40 requests, each with another bound, metric or set of runs; it
grows with whatever else the machine does meanwhile. CPU is the mean of the same requests, of the server's process beside
the one that reads by hand. Bytes are the answer's with its headers, compressed as a browser gets it; raw is then the same page as it is before. Runs have
6 parameters and 2 tags; in the newest 200, 20 metrics are curves of 20 points. The file is in the machine's cache.
"""

import gzip
import http.client
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from benchmarks.pairs import Compared, row, seconds_of
from slipway.hosts.project import open_workspace
from slipway.ledger import entries, projects
from slipway.records.people import Actor
from slipway.records.runs import MetricPoint, Run

RUNS, METRICS, LARGE, COMPARED, ASKED = 10_000, 200, 12_000, 100, 40
GOAL_MS, GOAL_LARGE_MS, GOAL_BYTES = 300.0, 1000.0, 500_000
REMARK = """\
Raw reads less than a page needs: it does not look which runs are inside others, which columns there are, nor who asks.
Where other processes want the cores too, a time is a multiple of the CPU: the load average below says whether they did.
"""

_PATH = "pages of runs"
_PROJECT, _LARGE_ID = "bench", "f" * 32
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_CURVES, _STEPS, _WITH_CURVES = 20, 20, 200


def fill(root: Path, runs: int, metrics: int, large: int) -> None:
    """The store that is asked: straight through the ledger, some hundred runs a transaction."""
    workspace = open_workspace(root, project=_PROJECT)
    projects.register(workspace)
    chance = random.Random(7)
    keys = [f"m{number:03d}" for number in range(metrics)]
    for begin in range(0, runs, 200):
        with workspace.ledger.write() as tx:
            for number in range(begin, min(runs, begin + 200)):
                made = _run(number, chance, f"{number:032x}")
                entries.put(tx, made)
                steps = _STEPS if number >= runs - _WITH_CURVES else 1
                points = [MetricPoint(key, chance.random(), steps - 1, number) for key in keys]
                points += [
                    MetricPoint(key, chance.random() / (step + 1), step, number)
                    for key in keys[:_CURVES]
                    for step in range(steps - 1)
                ]
                tx.add_points(made.id, points)
    with workspace.ledger.write() as tx:
        entries.put(tx, _run(0, chance, _LARGE_ID))
        names = [f"layer{number // 100}/weight{number % 100}" for number in range(large)]
        tx.add_points(_LARGE_ID, [MetricPoint(name, chance.random(), step) for name in names for step in range(2)])


class Asked(NamedTuple):
    """One sort of request: what it is called, its address and what is read by hand, by the request's number."""

    name: str
    address: Callable[[int], str]
    by_hand: Callable[[sqlite3.Connection, int], int]
    goal: float = GOAL_MS


def asked(runs: int, metrics: int, compared: int) -> list[Asked]:
    """All sorts."""
    here = f"/projects/{_PROJECT}/runs"

    def some(number: int) -> list[int]:
        newest = min(runs, _WITH_CURVES)
        return [runs - 1 - (number * 7 + place) % newest for place in range(compared)]

    def beside(number: int) -> str:
        return f"{here}/compare?{urlencode([('run', f'{one:032x}') for one in some(number)])}"

    def key(number: int) -> str:
        return f"m{number % metrics:03d}"

    return [
        Asked("the list, 100 runs a page", lambda number: here, lambda file, number: _read(file, _NEWEST, ())),
        Asked(
            "runs with a metric above a bound",
            lambda number: f"{here}?{urlencode({'where': f'metrics.{key(number)} > 0.{number % 9}5'})}",
            lambda file, number: _read(file, _ABOVE, (key(number), number % 9 / 10 + 0.05)),
        ),
        Asked(
            "runs ordered by a metric",
            lambda number: f"{here}?{urlencode({'order': f'metrics.{key(number)} desc'})}",
            lambda file, number: _read(file, _ABOVE, (key(number), -1.0)),
        ),
        Asked(
            "all runs grouped by a parameter, with a metric's best, mean and median",
            lambda number: f"{here}?{urlencode({'group': 'params.depth', 'metric': f'metrics.{key(number)}'})}",
            lambda file, number: len(file.execute(_GROUPED, (key(number),)).fetchall()),
        ),
        Asked(
            f"{compared} runs compared, with {compared} curves",
            beside,
            lambda file, number: _read(file, _NAMED, [f"{one:032x}" for one in some(number)]),
        ),
        Asked(
            "the page of the run with 12,000 metrics",
            lambda number: f"{here}/{_LARGE_ID}",
            lambda file, number: len(file.execute(_LARGEST, (_LARGE_ID,)).fetchall()),
            GOAL_LARGE_MS,
        ),
        Asked(
            "its metrics with a part of a name, and their curves",
            lambda number: f"{here}/{_LARGE_ID}/curves?find=layer{number}",
            lambda file, number: len(file.execute(_LARGEST, (_LARGE_ID,)).fetchall()),
            GOAL_LARGE_MS,
        ),
    ]


_KEY = "(SELECT key FROM fields WHERE project='bench' AND kind='run' AND space='{}' AND name={})"
_NEWEST = (
    "SELECT no, body FROM entries WHERE kind='run' AND project='bench' ORDER BY created_us DESC, id DESC LIMIT 100"
)
_ABOVE = (
    "SELECT e.no, e.body FROM series s JOIN entries e ON e.no=s.no WHERE "
    f"s.key={_KEY.format('metric', '?')} AND s.number>? ORDER BY s.number DESC LIMIT 100"
)
_NAMED = "SELECT no, body FROM entries WHERE kind='run' AND id IN ({})"
_GROUPED = (
    f"SELECT f.text, s.number FROM series s JOIN facets f ON f.no=s.no AND f.key={_KEY.format('param', chr(39) + 'depth' + chr(39))} "
    f"WHERE s.key={_KEY.format('metric', '?')}"
)
_LARGEST = "SELECT f.name, s.number FROM series s JOIN fields f ON f.key=s.key WHERE s.no=(SELECT no FROM entries WHERE kind='run' AND id=?)"


def _read(file: sqlite3.Connection, statement: str, values: Any) -> int:
    """Records, and all the latest values of each."""
    found = file.execute(statement.format(",".join("?" * len(values))), values).fetchall()
    return sum(len(file.execute("SELECT key, number FROM series WHERE no=?", (no,)).fetchall()) for no, _ in found)


@contextmanager
def served(root: Path) -> Iterator[tuple[http.client.HTTPConnection, int]]:
    """A server over a store: one connection to it, and its process."""
    command = [sys.executable, "-c", "from slipway.cli import main; main()", "up", "--root", str(root), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://([^\s\"/]+)", process.stdout.readline())
        assert found is not None, "the server did not start"
        with closing(http.client.HTTPConnection(found[1], timeout=120)) as connection:
            yield connection, process.pid
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def got(connection: http.client.HTTPConnection, address: str) -> tuple[int, int]:
    """The bytes of an answer to a browser, and those of its page as text."""
    connection.request("GET", address, headers={"Accept-Encoding": "gzip", "Sec-Fetch-Site": "none"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{address[:200]} was answered {answer.status}: {body[:300]!r}")
    headers = sum(len(name) + len(value) + 4 for name, value in answer.getheaders())
    text = gzip.decompress(body) if answer.getheader("Content-Encoding") == "gzip" else body
    return len(body) + headers, len(text) + headers


def run(
    runs: int = RUNS, metrics: int = METRICS, large: int = LARGE, compared: int = COMPARED, requests: int = ASKED
) -> list[dict[str, Any]]:
    """Rows of the table: 95th percentiles of requests in turns with reading by hand, and the most bytes of any of them."""
    rows: list[list[dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fill(root, runs, metrics, large)
        file = sqlite3.connect(f"file:{root / 'ledger.db'}?mode=ro", uri=True)
        try:
            with served(root) as (connection, pid):
                rows += [_measured(connection, pid, file, one, requests) for one in asked(runs, metrics, compared)]
        finally:
            file.close()
    return [one[place] for place in range(3) for one in rows]


def _measured(
    connection: http.client.HTTPConnection, pid: int, file: sqlite3.Connection, one: Asked, requests: int
) -> list[dict[str, Any]]:
    """The rows of one sort of request: time, CPU, bytes."""
    got(connection, one.address(0))  # what a server does once only, templates for example
    theirs, ours, cpu, moved = [], [], 0.0, []
    before = _cpu_s(pid)
    for number in range(requests):
        begun = time.process_time()
        theirs.append(seconds_of(partial(one.by_hand, file, number)) * 1000)
        cpu += time.process_time() - begun
        ours.append(seconds_of(lambda number=number: moved.append(got(connection, one.address(number)))) * 1000)  # type: ignore[misc]
    used = (_cpu_s(pid) - before) * 1000 / requests
    by_hand = cpu * 1000 / requests
    raw, slipway = (_p95(side) for side in (theirs, ours))
    packed, plain = max(moved)
    return [
        row(_PATH, f"{one.name}, 95th percentile, ms", Compared(raw, slipway, slipway / raw), goal=one.goal),
        row(_PATH, f"{one.name}, CPU a request, ms", Compared(by_hand, used, used / by_hand)),
        row(_PATH, f"{one.name}, bytes moved", Compared(plain, packed, packed / plain), goal=GOAL_BYTES),
    ]


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, all its threads together."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3): exact, where /proc counts ticks of 10 ms


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def _run(number: int, chance: random.Random, id: str) -> Run:
    began = _NOW + timedelta(minutes=number)
    return Run(
        id=id,
        project=_PROJECT,
        name=f"run-{number}",
        created_at=began,
        started_at=began,
        ended_at=began + timedelta(minutes=chance.randrange(1, 200)),
        state="failed" if chance.random() < 0.05 else "finished",
        actor=Actor("ada"),
        params={
            "depth": chance.randrange(1, 11),
            "learning_rate": round(10 ** chance.uniform(-4, -1), 6),
            "booster": chance.choice(("gbdt", "dart", "goss")),
            "rows": chance.choice((1000, 10_000, 100_000)),
            "seed": number,
            "folds": 5,
        },
        tags={"user": f"user-{chance.randrange(20)}", "note": f"word {number % 7}"},
    )
