"""A hundred trivial steps beside Hamilton, Kedro and Dagster, each result kept on disk.

Each side runs in a process of its own, and the time is that of the run in it, divided by the steps: starting and importing
are not in it. Here raw is the peer. The peers live in an environment of their own (`make .venv/stamps/peers`); without it
nothing is measured. Sequence: each step takes what the one before returned. Fan-out: a hundred calls that need not wait for
each other; Slipway's are `step.map`. Again: the same once more, in Slipway and Hamilton by their caches.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.pairs import Compared, row

STEPS = 100
PAIRS = 3
PEERS = ("Hamilton", "Kedro", "Dagster")
REMARK = """\
The same work is not done on all sides. Kedro keeps no key: again it looks whether files exist, and serves what is there
whatever changed. Dagster skips nothing: again is a whole run. Hamilton's key knows a function's own source and its inputs,
but no helper, constant, library or file (10 of 13 kinds of change go unnoticed); Slipway's knows all of these, and it
records each call with its reason and lineage. What the first run of a process pays once, whatever its steps, stands in a row
of its own: Slipway reads what is installed for the run's lock, and packs its own wheel for a new store.
"""

_PATH = "pipelines beside their peers"
_HERE = Path(__file__).parent
_PYTHON = _HERE.parent / ".venv" / "peers" / "bin" / "python"
_QUIET = {"DO_NOT_TRACK": "1", "DAGSTER_DISABLE_TELEMETRY": "yes", "HAMILTON_TELEMETRY_ENABLED": "false"}
_GOALS_MS = {"sequence": {"first": 2.0, "again": 0.5}, "fan-out": {"first": 3.0}}

_OURS = """
import json, sys, time
from pathlib import Path
from benchmarks.step_overhead import mapped, sequence
from slipway.hosts.project import open_workspace
from slipway.pipelines import engine

shape, steps, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
made, other = {"sequence": (sequence, mapped), "fan-out": (mapped, sequence)}[shape]
workspace = open_workspace(folder / "store", project="bench")
started = time.perf_counter()
engine.run(workspace, other, {"steps" if shape == "fan-out" else "width": 1})
once = time.perf_counter() - started
seconds = []
for _ in range(2):
    started = time.perf_counter()
    engine.run(workspace, made, {"steps" if shape == "sequence" else "width": steps})
    seconds.append(time.perf_counter() - started)
workspace.ledger.close()
print(json.dumps({"first": seconds[0], "again": seconds[1], "once": once}))
"""


def _measured(command: Callable[[str], list[str]]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command(folder),
            env={**os.environ, **_QUIET},
            cwd=_HERE.parent,
            capture_output=True,
            text=True,
            check=True,
        )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _ours(shape: str, steps: int) -> dict[str, float]:
    return _measured(lambda folder: [sys.executable, "-c", _OURS, shape, str(steps), folder])


def _theirs(peer: str, shape: str, steps: int) -> dict[str, float]:
    script = str(_HERE / "peers" / f"{peer.lower()}_steps.py")
    return _measured(lambda folder: [str(_PYTHON), script, shape, str(steps), folder])


def run(steps: int = STEPS, pairs: int = PAIRS, peers: tuple[str, ...] = PEERS) -> list[dict[str, Any]]:
    """Rows of the table: milliseconds a step; no row where the peers' environment is not there."""
    if not _PYTHON.exists():
        return []
    rows = []
    for shape in ("sequence", "fan-out"):
        for peer in peers:
            found: list[tuple[dict[str, float], dict[str, float]]] = []
            for number in range(pairs):
                sides = [partial(_theirs, peer, shape, steps), partial(_ours, shape, steps)]
                if number % 2:
                    ours, theirs = sides[1](), sides[0]()
                else:
                    theirs, ours = sides[0](), sides[1]()
                found.append((theirs, ours))
            for when in ("first", "again"):
                each = Compared.of([(1000 * a[when] / steps, 1000 * b[when] / steps) for a, b in found])
                what = f"{shape}, {when}, {steps} steps, ms a step (raw is {peer})"
                goal = _GOALS_MS[shape].get(when)
                rows.append(row(_PATH, what, each, **({} if goal is None else {"goal": goal})))
        once = statistics.median(1000 * ours["once"] for _, ours in found)
        what = f"{shape}: the first run of a process, of one step, in a new store, ms in all"
        rows.append({"path": _PATH, "what": what, "raw": None, "slipway": once, "ratio": None})
    return rows
