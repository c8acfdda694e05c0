"""The point-in-time join of three feature views, beside the same three as-of joins written in Polars by hand.

By hand: a lazy query that sorts both sides, joins each view as of the decision within its ttl and puts the labels back
in their order. Slipway also settles ties (by content, not by position), drops rows without key or time with a note,
makes -0.0 and 0.0 one value, proves each side sorted and proves that no row comes from the future. Each side runs in a
fresh process on frames in memory; what all answer is compared before anything is measured. DuckDB, beside which Slipway
runs too, joins the same frames by three ASOF joins, reading and returning Polars frames.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

import slipway.features.windows as w
from benchmarks.pairs import Compared, row, seconds_of
from slipway.features.offline import History, compute
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.features.views import FeatureView, feature_view
from slipway.hosts.project import open_workspace
from slipway.ports.workspace import current_workspace
from slipway.tables import versions

SIZES = (300_000, 1_000_000)
PAIRS = 5
REPEATS = 3
REMARK = """\
Slipway joins views side by side, because more of its work than of the lazy query's runs on one core: where both cores are
free, its time lies close to the goal; where they are not, time follows CPU. Of the CPU, a third is the engine's as-of
join, a fifth the preparing of the views, ties included, and a seventh the gathering of the values. Training sets also
read and fingerprint their tables, choose the labelled rows and record what they are made of; nothing in Polars alone
does the same exactly, so theirs is a figure of its own.
"""

_PATH = "point-in-time join"
_VIEWS = 3
_FLOATS = 5
_TTL_DAYS = 3
_PERIOD_US = 90 * 86_400 * 10**6
_START_US = int(datetime(2013, 1, 1, tzinfo=UTC).timestamp()) * 10**6
_UTC = pl.Datetime("us", "UTC")


def make_tables(rows: int) -> dict[str, pl.DataFrame]:
    """Labels and views with decision and knowledge times in no order, about thirty rows an entity."""
    rng = np.random.default_rng(0)
    entities = max(rows // 30, 2)

    def frame(time_column: str, values: dict[str, Any]) -> pl.DataFrame:
        at = pl.Series(_START_US + rng.integers(0, _PERIOD_US, rows)).cast(_UTC)
        return pl.DataFrame({"entity": rng.integers(0, entities, rows), time_column: at, **values})

    tables = {"labels": frame("at", {"key": np.arange(rows), "label": rng.normal(size=rows)})}
    for number in range(_VIEWS):
        tables[f"view{number}"] = frame("known_at", {f"x{i}": rng.normal(size=rows) for i in range(_FLOATS)})
    return tables


def by_hand(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The join as one writes it who knows Polars."""
    labels = tables["labels"].lazy().select("entity", "at").with_row_index("place").sort("at")
    for number in range(_VIEWS):
        view = tables[f"view{number}"].lazy()
        right = view.sort("known_at").rename({f"x{i}": f"view{number}_x{i}" for i in range(_FLOATS)})
        labels = labels.join_asof(
            right, left_on="at", right_on="known_at", by="entity", tolerance=f"{_TTL_DAYS}d", check_sortedness=False
        )
        labels = labels.drop("known_at", strict=False)
    return labels.sort("place").drop("place", "entity", "at").collect()


def by_duckdb(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The join as one writes it in DuckDB, the rows in the order of the labels."""
    duckdb: Any = import_module("duckdb")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    connection.register("labels", tables["labels"].select("entity", "at").with_row_index("place").to_arrow())
    columns, joins = [], []
    for number in range(_VIEWS):
        connection.register(f"view{number}", tables[f"view{number}"].to_arrow())
        fresh = f"CASE WHEN l.at - v{number}.known_at <= INTERVAL {_TTL_DAYS} DAY THEN"
        columns += [f"{fresh} v{number}.x{i} END AS view{number}_x{i}" for i in range(_FLOATS)]
        joins.append(
            f"ASOF LEFT JOIN view{number} v{number} ON l.entity = v{number}.entity AND l.at >= v{number}.known_at"
        )
    found = connection.sql(f"SELECT {', '.join(columns)} FROM labels l {' '.join(joins)} ORDER BY l.place")
    frame = pl.DataFrame(found.to_arrow_table())
    connection.close()
    return frame


def _view(number: int) -> FeatureView:
    def view(table: pl.LazyFrame) -> pl.LazyFrame:
        return table

    view.__name__ = f"view{number}"
    declared = feature_view(entity="entity", time="known_at", ttl=f"{_TTL_DAYS}d")(view)
    declared.sources = (declared.name,)
    return declared


class BySlipway:
    """The same through the offline path of a feature set."""

    def __init__(self, tables: dict[str, pl.DataFrame]) -> None:
        features = FeatureSet(*(_view(number) for number in range(_VIEWS)))
        self.spec = build_spec(features, {"entity": "int"}, FrameTables(tables), lambda function: function.__name__)
        self.labels = tables["labels"]
        self.history = History(views={name: tables[name] for name in features.views})

    def __call__(self) -> pl.DataFrame:
        return compute(self.spec, self.labels, "at", self.history, {}).frame


def _measure(side: str, folder: Path, repeats: int) -> dict[str, float]:
    """In a fresh process: the least seconds and CPU seconds of some repeats; the first one's peak of memory."""
    tables = {path.stem: pl.read_ipc(path) for path in sorted(folder.glob("*.arrow"))}
    others = {"raw": by_hand, "duckdb": by_duckdb}
    work: Callable[[], pl.DataFrame] = BySlipway(tables) if side == "slipway" else partial(others[side], tables)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak so far is forgotten
    took = []
    peak_kib = 0
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        took.append((time.perf_counter() - wall, time.process_time() - cpu))
        peak_kib = peak_kib or _peak_kib()
    seconds, cpu_s = (min(one[kind] for one in took) for kind in (0, 1))
    return {"s": seconds, "CPU s": cpu_s, "MB": peak_kib / 1024}


def _peak_kib() -> int:
    # Not getrusage: its peak begins with that of the process that started this one.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def _in_fresh_process(side: str, folder: Path, repeats: int) -> dict[str, float]:
    command = [sys.executable, "-m", __name__, side, str(folder), str(repeats)]
    home = Path(__file__).resolve().parents[1]
    answer = subprocess.run(command, cwd=home, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def _join(rows: int, pairs: int, repeats: int) -> list[dict[str, Any]]:
    tables = make_tables(rows)
    # Nearly all times differ, so all sides must find the same rows.
    expected = BySlipway(tables)()
    peers = ["raw", *(["duckdb"] if find_spec("duckdb") else [])]
    for side in peers:
        assert_frame_equal({"raw": by_hand, "duckdb": by_duckdb}[side](tables), expected)
    found: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {side: [] for side in peers}
    with tempfile.TemporaryDirectory() as folder:
        for name, frame in tables.items():
            frame.write_ipc(Path(folder) / f"{name}.arrow")
        for number in range(pairs):
            order = [*peers, "slipway"] if number % 2 == 0 else ["slipway", *peers]
            took = {side: _in_fresh_process(side, Path(folder), repeats) for side in order}
            for side in peers:
                found[side].append((took[side], took["slipway"]))
    size = f"{rows:,} labels x {_VIEWS} views of {rows:,} rows x {_FLOATS} floats"
    made = []
    for side in peers:
        beside, goal = ("", {"goal_ratio": 1.15}) if side == "raw" else (" (raw is DuckDB)", {})
        for unit, words in (("s", "time, s"), ("CPU s", "CPU of all threads, s"), ("MB", "peak of the process, MB")):
            compared = Compared.of([(raw[unit], ours[unit]) for raw, ours in found[side]])
            made.append(row(_PATH, f"{size}: {words}{beside}", compared, **goal))
    return made


def _windows() -> w.DeclaredWindows:
    return w.windows(
        "events",
        time="known_at",
        by=["entity"],
        mean_6h=w.mean("x0", "6h"),
        mean_7d=w.mean("x0", "7d"),
        sum_7d=w.sum_("x1", "7d"),
        seen_6h=w.count("6h"),
        std_7d=w.std("x2", "7d"),
        most_7d=w.max_("x2", "7d"),
    )


def _training_set(rows: int, pairs: int) -> dict[str, Any]:
    tables = make_tables(rows)
    events = tables["view0"].with_row_index("event")
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder), project="bench")
        with current_workspace.filled(workspace):
            versions.overwrite(workspace, "labels", tables["labels"], key=("key",), time="at")
            versions.overwrite(workspace, "events", events, key=("event",), time="known_at")
            features = FeatureSet(_windows())
            took = [seconds_of(lambda: features.training_set("labels", label="label")) for _ in range(pairs)]
        workspace.ledger.close()
    what = f"training set from stored tables, 6 windows over {rows:,} events: thousand label rows/s"
    rate = rows / statistics.median(took) / 1000
    return {"path": _PATH, "what": what, "raw": None, "slipway": rate, "ratio": None}


def run(sizes: tuple[int, ...] = SIZES, pairs: int = PAIRS, repeats: int = REPEATS) -> list[dict[str, Any]]:
    """Rows of the table: medians of the pairs; the windows' training set has nothing raw that does the same."""
    return [line for rows in sizes for line in _join(rows, pairs, repeats)] + [_training_set(sizes[0], pairs)]


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
