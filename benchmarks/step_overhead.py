"""What a step costs beyond its own work, beside the least that persisting a result takes by hand.

By hand: one file written whole (temporary file, fsync, rename) and one SQLite commit a step; again: one SQLite look-up
and one file read. Slipway does that and also hashes code and inputs, records the step and verifies what it reads.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.pairs import Compared, row
from slipway.hosts.project import open_workspace
from slipway.pipelines import engine
from slipway.pipelines.declare import pipeline, step
from slipway.pipelines.mapping import each

STEPS = 100
ROUNDS = 5
REMARK = """\
Mapped steps run on as many threads as there are cores. What a trivial step costs is mostly Python's own work, which threads
share, so they gain nothing over the plain loop, and must not lose; the disk's waiting is shared.
"Again" pays for a sound key: the step's code, its inputs and what it read are compared with what was recorded, and what
is read back is verified by its digest; by hand, a changed helper or input would go unnoticed. The process of the last
row opens a store, a ledger and its keys for the first time.
"""

_PATH = "step overhead"
_GOALS_MS = {
    "sequence, first": 2.0,
    "sequence, again": 0.5,
    "fan-out, first": 3.0,
    "fan-out, again": 0.5,
    "mapped, first": 3.0,
    "mapped, again": 0.5,
}


@step
def increase(n: int) -> int:
    return n + 1


@step
def square(n: int) -> int:
    return n * n


@pipeline
def sequence(steps: int) -> int:
    n = 0
    for _ in range(steps):
        n = increase(n)
    return n


@pipeline
def fan_out(width: int) -> int:
    return sum(square(n) for n in range(width))


@step
def cube(n: int) -> int:
    return n * n * n


@pipeline
def mapped(width: int) -> int:
    return sum(cube.map(each(range(width))))


class ByHand:
    """The least that keeps a result: a file and a row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = sqlite3.connect(folder / "rows.db", isolation_level=None)
        self.rows.execute("PRAGMA journal_mode=WAL")
        self.rows.execute("PRAGMA synchronous=NORMAL")
        self.rows.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, path TEXT)")

    def call(self, function: Callable[[int], int], n: int) -> int:
        key = f"{function.__name__}-{n}"
        found = self.rows.execute("SELECT path FROM rows WHERE key=?", (key,)).fetchone()
        if found:
            return int(json.loads(Path(found[0]).read_bytes()))
        value = function(n)
        path = self.folder / key
        with (self.folder / f"{key}.part").open("wb") as file:
            file.write(json.dumps(value).encode())
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
        self.rows.execute("INSERT INTO rows VALUES (?, ?)", (key, str(path)))
        return value


def _ms(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def _round(folder: Path, steps: int) -> dict[str, tuple[float, float]]:
    hand_folder = folder / "by-hand"
    hand_folder.mkdir()
    hand = ByHand(hand_folder)
    workspace = open_workspace(folder / "store", project="bench")

    def raw_sequence() -> None:
        n = 0
        for _ in range(steps):
            n = hand.call(increase.function, n)

    def raw_fan_out() -> None:
        for n in range(steps):
            hand.call(square.function, n)

    def raw_mapped() -> None:
        for n in range(steps):
            hand.call(cube.function, n)

    found = {}
    for name, raw, ours in (
        ("sequence", raw_sequence, lambda: engine.run(workspace, sequence, {"steps": steps})),
        ("fan-out", raw_fan_out, lambda: engine.run(workspace, fan_out, {"width": steps})),
        ("mapped", raw_mapped, lambda: engine.run(workspace, mapped, {"width": steps})),
    ):
        for time_of in ("first", "again"):
            found[f"{name}, {time_of}"] = (_ms(raw) / steps, _ms(ours) / steps)
    hand.rows.close()
    workspace.ledger.close()
    return found


_FIVE = """
import sys
from pathlib import Path
from slipway.hosts.project import open_workspace
from slipway.pipelines import engine
from benchmarks.step_overhead import sequence
engine.run(open_workspace(Path(sys.argv[1]), project="bench"), sequence, {"steps": 5})
"""


def run(steps: int = STEPS, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Rows of the table: medians of the rounds, milliseconds a step (the last row: of a whole process)."""
    measured = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            measured.append(_round(Path(folder), steps))
    rows = []
    for what in measured[0]:
        words = f"{what}, {steps} trivial steps, ms a step"
        rows.append(row(_PATH, words, Compared.of([one[what] for one in measured]), goal=_GOALS_MS[what]))
    home = Path(__file__).resolve().parents[1]
    started = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            bare = _ms(lambda: subprocess.run([sys.executable, "-c", "import polars"], check=True))
            five = [sys.executable, "-c", _FIVE, folder]
            started.append((bare, _ms(partial(subprocess.run, five, check=True, cwd=home))))
    words = "a process that imports and runs 5 steps, beside one that imports Polars, ms"
    rows.append(row(_PATH, words, Compared.of(started)))
    return rows


if __name__ == "__main__":
    for one in run():
        print(f"{one['what']}: {one['raw']:.3f} by hand, {one['slipway']:.3f} Slipway, {one['ratio']:.1f}x")
