"""A training set that is never a frame: stored by `features.training_batches` and read again, with the memory it took.

Labels and three feature views of five floats lie as tables on disk, written in batches; decisions and knowledge times are
in no order. A fresh process makes the training set, stores it as a version of a table (fsynced) and reads it batch by
batch. Its peak of memory is the whole process's, imports included. Raw is `features.training_set`, which holds the frame.
`--full` makes it of 100 million labels and three views of 10 million rows of two floats, without raw, and takes half an hour.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from slipway.features.sets import FeatureSet
from slipway.features.views import FeatureView, feature_view
from slipway.hosts.project import open_workspace
from slipway.ports.workspace import current_workspace
from slipway.tables import versions

ROWS = 3_000_000
FULL_ROWS = 100_000_000
FULL_VIEW_ROWS = 10_000_000
FULL_FLOATS = 2
FULL_GOAL_MB = 8_000
__all__ = ["in_fresh_process", "peak_mb", "run"]
REMARK = """\
What grows with the training set is disk: about its own size while it is made, where the views do not fit in memory.
"""

_PATH = "training set in batches"
_VIEWS = 3
FLOATS = 5
_STEP = 1 << 20
_PERIOD_US = 90 * 86_400 * 10**6
_START_US = int(datetime(2013, 1, 1, tzinfo=UTC).timestamp()) * 10**6


def _made(rows: int, entities: int, time_column: str, floats: int, seed: int) -> Iterator[pl.DataFrame]:
    """A table in batches, the same every time."""
    for start in range(0, rows, _STEP):
        rng, count = np.random.default_rng((seed, start)), min(_STEP, rows - start)
        at = pl.Series(_START_US + rng.integers(0, _PERIOD_US, count)).cast(pl.Datetime("us", "UTC"))
        yield pl.DataFrame(
            {
                "key": np.arange(start, start + count),
                "entity": rng.integers(0, entities, count),
                time_column: at,
                **{f"x{i}": rng.normal(size=count) for i in range(floats)},
            }
        )


def _views() -> FeatureSet:
    def named(number: int) -> FeatureView:
        def view(table: pl.LazyFrame) -> pl.LazyFrame:
            return table.drop("key")

        view.__name__ = f"view{number}"
        declared = feature_view(entity="entity", time="known_at", ttl="3d")(view)
        declared.sources = (declared.name,)
        return declared

    return FeatureSet(*(named(number) for number in range(_VIEWS)))


def _prepare(folder: Path, rows: int, view_rows: int, floats: int) -> None:
    workspace = open_workspace(folder, project="bench")
    entities = max(view_rows // 30, 2)
    labels = _made(rows, entities, "at", 1, 0)
    versions.overwrite(workspace, "labels", labels, key=("key",), time="at")
    for number in range(_VIEWS):
        frames = _made(view_rows, entities, "known_at", floats, number + 1)
        versions.overwrite(workspace, f"view{number}", frames, time="known_at")
    workspace.ledger.close()


def _work(side: str, folder: Path) -> dict[str, float]:
    """In a fresh process: seconds to make and to read, and the peak of memory."""
    workspace = open_workspace(folder, project="bench")
    before = peak_mb()
    with current_workspace.filled(workspace):
        started = time.perf_counter()
        if side == "raw":
            rows = _views().training_set("labels", label="x0")
            made, read, count = time.perf_counter() - started, 0.0, rows.height
        else:
            batches = _views().training_batches("labels", label="x0", name=f"training.{side}")
            made = time.perf_counter() - started
            started, count = time.perf_counter(), 0
            for frame in batches:
                count += frame.height
            read = time.perf_counter() - started
    workspace.ledger.close()
    return {"made_s": made, "read_s": read, "rows": count, "MB": peak_mb(), "MB before": before}


def peak_mb() -> float:
    """The greatest memory of this process so far."""
    # Not getrusage: its peak begins with that of the process that started this one.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def in_fresh_process(module: str, *arguments: str) -> dict[str, float]:
    """What a module prints last, as JSON, when it is run with arguments in a process of its own."""
    home = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", module, *arguments]
    answer = subprocess.run(command, cwd=home, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads((answer.stdout.strip() or "{}").splitlines()[-1])
    return found


def run(rows: int = ROWS, view_rows: int | None = None, *, full: bool = False) -> list[dict[str, Any]]:
    """Rows of the table; with `full` the largest size too, which has nothing beside it."""
    made = _sizes(rows, view_rows or max(rows // 3, 2), FLOATS, is_beside_raw=True)
    return made + (_sizes(FULL_ROWS, FULL_VIEW_ROWS, FULL_FLOATS, is_beside_raw=False) if full else [])


def _sizes(rows: int, view_rows: int, floats: int, *, is_beside_raw: bool) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        in_fresh_process(__name__, "prepare", folder, str(rows), str(view_rows), str(floats))
        raw = in_fresh_process(__name__, "raw", folder) if is_beside_raw else None
        ours = in_fresh_process(__name__, "slipway", folder)
    size = f"{rows:,} labels x {_VIEWS} views of {view_rows:,} rows x {floats} floats"
    goal = {} if is_beside_raw else {"goal": FULL_GOAL_MB}
    return [
        {
            "path": _PATH,
            "what": f"{size}: {words}",
            "raw": None if raw is None or unit == "read_s" else raw[unit],
            "slipway": ours[unit],
            "ratio": None if raw is None or unit == "read_s" else ours[unit] / raw[unit],
            **(goal if unit == "MB" else {}),
        }
        for unit, words in (
            ("made_s", "made and stored, s"),
            ("read_s", "read in batches of 100,000, s"),
            ("MB", "peak of the process, MB"),
        )
    ]


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        _prepare(Path(sys.argv[2]), *map(int, sys.argv[3:]))
    else:
        print(json.dumps(_work(sys.argv[1], Path(sys.argv[2]))))
