"""Twenty checks of a table of ten columns that all hold, beside one hand-written Polars select that asks the same.

By hand: one lazy select of twenty booleans over a frame in memory, the unique key as `n_unique() == len()`. Slipway counts
the failing rows of each check and the nulls of each column; for a key of text it counts hashes, which proves the same.
The profile of all columns (nulls, distinct values, exact mean, histogram) is beside the same select; an append of one
in a hundred rows, judged with its profile, is beside judging all rows.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.pairs import compare, row, seconds_of
from slipway.data.check_run import look
from slipway.data.checks import Check, between, check, matches, not_null, one_of, unique
from slipway.data.declare import Table, table
from slipway.data.joined import stays_of
from slipway.data.judge import judge_rows
from slipway.data.profiles import profile_of
from slipway.data.references import Known
from slipway.data.write import write
from slipway.hosts.project import open_workspace
from slipway.ports.workspace import Workspace

ROWS = 1_000_000
PAIRS = 5
REMARK = """\
The select's time goes into the unique key, the regular expression and the list of carriers. With 5 million rows the
ratio is about the same (measured by `python -m benchmarks.table_checks 5000000`). A profile reads every value once and
is made when a version is written, where encoding, compressing and hashing the rows takes several times as long.
"""

_PATH = "checks of a table"
_CARRIERS = ["AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV", "9E"]
_FLOATS = ("delay", "distance", "speed", "fuel", "score")


def make_rows(rows: int) -> pl.DataFrame:
    """Flights as they might be: a key of text, carriers, instants, counts and measures."""
    rng = np.random.default_rng(0)
    measures = {name: rng.normal(size=rows) * 100 + 500 for name in _FLOATS}
    return pl.DataFrame(
        {
            "id": pl.select(pl.format("F{}", pl.int_range(10**8, 10**8 + rows))).to_series(),
            "carrier": pl.Series(rng.choice(_CARRIERS, rows)),
            "seats": rng.integers(20, 400, rows),
            "departure": pl.Series(rng.integers(10**15, 10**15 + 10**13, rows)).cast(pl.Datetime("us", "UTC")),
            "hour": rng.integers(0, 24, rows),
            **measures,
        }
    )


def declared() -> tuple[Check, ...]:
    """The twenty checks."""
    return (
        unique("id"),
        *(not_null(name) for name in ("id", "carrier", "seats", "departure", "hour", *_FLOATS)),
        *(between(name, -9_000, 9_000) for name in _FLOATS),
        between("hour", 0, 23),
        one_of("carrier", _CARRIERS),
        matches("id", "F[0-9]{9}"),
        check("seats are there", lambda: pl.col("seats") >= 0),
    )


def by_hand(frame: pl.DataFrame) -> dict[str, bool]:
    """The same as one writes it who knows Polars."""
    asked = [
        (pl.col("id").n_unique() == pl.len()).alias("unique"),
        *((pl.col(name).null_count() == 0).alias(f"null {name}") for name in frame.columns),
        *(pl.col(name).is_between(-9_000, 9_000).all().alias(f"range {name}") for name in _FLOATS),
        pl.col("hour").is_between(0, 23).all().alias("range hour"),
        pl.col("carrier").is_in(_CARRIERS).all().alias("carrier"),
        pl.col("id").str.contains(r"^F[0-9]{9}$").all().alias("id"),
        (pl.col("seats") >= 0).all().alias("seats"),
    ]
    return frame.lazy().select(asked).collect().row(0, named=True)


def cpu_seconds_of(work: Callable[[], Any]) -> float:
    """Processor seconds that a call takes, of all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def run(rows: int = ROWS, pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Measure checks, profile and append."""
    frame, checks = make_rows(rows), declared()
    raw = by_hand(frame)
    found = look(frame, checks, table="flights")
    assert len(raw) == len(checks) == 20
    assert all(raw.values())
    assert all(result.passed for result in found.results)
    hand, ours = partial(by_hand, frame), partial(look, frame, checks, table="flights")
    profiled = partial(profile_of, frame)
    size = f"{rows:,} rows x 10 columns"
    measured = [
        row(_PATH, f"20 checks of {size}, CPU s", _cpu(hand, ours, pairs), goal_ratio=1.1),
        row(_PATH, f"20 checks of {size}, s", compare(*_timed(hand, ours), pairs), goal_ratio=1.1),
        row(_PATH, f"profile of {size} beside that select, CPU s", _cpu(hand, profiled, pairs)),
    ]
    return [*measured, _appended(frame, checks, pairs)]


def _cpu(raw: Callable[[], Any], ours: Callable[[], Any], pairs: int) -> Any:
    return compare(lambda: cpu_seconds_of(raw), lambda: cpu_seconds_of(ours), pairs)


def _timed(raw: Callable[[], Any], ours: Callable[[], Any]) -> tuple[Callable[[], float], Callable[[], float]]:
    return lambda: seconds_of(raw), lambda: seconds_of(ours)


def _appended(frame: pl.DataFrame, checks: tuple[Check, ...], pairs: int) -> dict[str, Any]:
    """Judging and profiling one row in a hundred that comes, beside judging and profiling all."""

    @table(checks=checks)
    def flights() -> pl.DataFrame:
        return frame

    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder), project="bench")
        try:
            version = write(workspace, flights, frame)
            few = make_rows(frame.height + max(frame.height // 100, 1))[frame.height :]

            def judged(rows: pl.DataFrame, joins: bool) -> None:
                stays = stays_of(workspace, version, rows.lazy()) if joins else None
                judge_rows(flights, rows, stays=stays, known=_known(workspace, flights, rows))
                profile_of(rows)

            everything, added = partial(judged, frame, False), partial(judged, few, True)
            return row(_PATH, "judging 1 % appended, beside all, CPU s", _cpu(everything, added, pairs))
        finally:
            workspace.ledger.close()


def _known(workspace: Workspace, flights: Table, rows: pl.DataFrame) -> Known:
    return Known(workspace, flights.name, rows, keeps=True)


if __name__ == "__main__":
    import sys

    for line in run(*map(int, sys.argv[1:])):
        print({name: round(value, 4) if isinstance(value, float) else value for name, value in line.items()})
