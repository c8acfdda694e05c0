"""Trivial trials of a search beside Optuna on SQLite, four workers each.

Raw is Optuna: four processes that share a study in a SQLite file, as its documentation has it. Slipway is `sw.search` with
`parallel=4` on an embedded store: each trial is a run with a step, its parameters and its metric, all in the ledger. Both
choose by chance. Optuna's environment is that of the peers (`make .venv/stamps/peers`); without it nothing is measured. The
last row: trials of 200 ms, the trials a second of four workers beside those of one; raw is one worker.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.pairs import Compared, compare, row
from slipway.hosts.project import open_workspace
from slipway.pipelines.declare import step
from slipway.pipelines.search import search
from slipway.pipelines.search_space import uniform

TRIALS, PAIRS, WORKERS = 100, 3, 4
REMARK = """\
Optuna keeps a trial in several transactions of its own, and its four workers wait for one lock. A trial of Slipway's is one
transaction and two files: its run's, by which a killed trial is known, and its step's result. Asking and telling happen in one thread and in memory.
"""

_PATH = "trials of a search"
_HERE = Path(__file__).parent
_PYTHON = _HERE.parent / ".venv" / "peers" / "bin" / "python"
_SPACE = {"x": uniform(-1, 1), "y": uniform(-1, 1)}


@step
def bowl(x: float, y: float) -> float:
    return x * x + y * y


@step
def slow_bowl(x: float, y: float) -> float:
    time.sleep(0.2)
    return x * x + y * y


def _ours(train: Any, trials: int, parallel: int) -> float:
    """Seconds of a search in a store that had one trial."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder), project="bench")
        options = {"metric": "loss", "direction": "minimize", "sampler": "random", "parallel": parallel}
        search(workspace, train, _SPACE, trials=1, seed=1, **options)  # what is done once a store is not a trial's
        started = time.perf_counter()
        search(workspace, train, _SPACE, trials=trials, **options)
        seconds = time.perf_counter() - started
        workspace.ledger.close()
    return seconds


def _theirs(trials: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [str(_PYTHON), str(_HERE / "peers" / "optuna_trials.py"), str(WORKERS), str(trials), folder],
            env=os.environ,
            capture_output=True,
            text=True,
            check=True,
        )
    return float(json.loads(done.stdout.splitlines()[-1])["trial"]) * 1000


def run(trials: int = TRIALS, pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Rows of the table."""
    if not _PYTHON.exists():
        print(f"{_PYTHON} is not there", file=sys.stderr)
        return []
    each = compare(lambda: _theirs(trials), lambda: _ours(bowl, trials, WORKERS) * 1000 / trials, pairs)
    alone = _ours(slow_bowl, 20, 1)
    together = _ours(slow_bowl, 20, WORKERS)
    return [
        row(_PATH, f"{trials} trivial trials, {WORKERS} workers, ms a trial", each, goal=3.0),
        row(
            _PATH,
            f"trials of 200 ms, {WORKERS} workers: trials a second (the ratio is of times)",
            Compared(20 / alone, 20 / together, together / alone),
            goal_ratio=1 / 3.5,
        ),
    ]
