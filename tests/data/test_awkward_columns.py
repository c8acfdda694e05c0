"""Columns with awkward names and types go through every kind of write, or are refused in a sentence."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from slipway.data.browse import profile_table
from slipway.data.checks import between, not_null, unique
from slipway.data.declare import Table, table
from slipway.data.failing import kept_rows, set_aside
from slipway.data.write import write
from slipway.errors import InvalidInput
from slipway.operations.table_checks import GetProfile
from slipway.ports.workspace import Workspace
from slipway.tables.alters import alter
from slipway.tables.compaction import compact
from slipway.tables.diffs import diff
from slipway.tables.versions import append, head, history, read, verify


def declared(*checks: Any, name: str = "things", **more: Any) -> Table:
    def made() -> Any:
        return None

    made.__name__ = name
    return table(checks=checks, **more)(made)


def through_everything(workspace: Workspace, frame: pl.DataFrame, key: str) -> None:
    """Overwrite, append and upsert, all checked; read, compare, compact, verify."""
    things = declared(unique(key, severity="warn"), not_null(key, severity="quarantine"), key=key)
    first = write(workspace, things, frame)
    back = read(workspace, "things").collect()
    assert back.schema == frame.schema
    assert back.equals(frame, null_equal=True)
    assert write(workspace, things, frame.lazy()).version == first.version
    assert write(workspace, things, frame.head(1), mode="upsert").version == first.version
    twice = write(workspace, things, frame.head(1), mode="append")
    assert next(check for check in twice.checks if "unique" in check.check).failed_rows == 2
    assert diff(workspace, "things", first.number, twice.number).added == 1
    assert [c.name for c in profile(workspace)] == frame.columns
    compact(workspace, "things")
    assert verify(workspace, "things").rows == frame.height + 1


def profile(workspace: Workspace) -> Any:
    return profile_table(workspace, GetProfile(name="things")).columns


NAMES = ["a.b", 'quo"te', "new\nline", "ünï 😀", "x" * 3000, "len", "count", "old", "new", "rows", "index", "k0", "\\"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_columns_may_be_called_what_they_like(workspace: Workspace, name: str) -> None:
    through_everything(workspace, pl.DataFrame({name: ["a", "b", "c"], "v": ["x", None, "z"]}), name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "needs a name"),
        ("*", "pattern of columns"),
        ("^v.*$", "pattern of columns"),
        ("slipway row", "used while rows are checked"),
    ],
)
def test_a_name_that_would_lose_a_column_is_refused(workspace: Workspace, name: str, why: str) -> None:
    frame = pl.DataFrame({"v": [1], name: [2]})
    for rows in (frame, frame.lazy(), iter([frame])):
        with pytest.raises(InvalidInput, match=why):
            write(workspace, declared(), rows)
    write(workspace, declared(), frame.select("v"))
    with pytest.raises(InvalidInput, match=why):
        alter(workspace, "things", rename={"v": name})
    assert len(history(workspace, "things")) == 1


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([[1], [2], [3]]),
        pl.Series([[1, 2], [3, 4], [5, 6]], dtype=pl.Array(pl.Int64, 2)),
        pl.Series([{"a": 1}, {"a": 2}, {"a": None}]),
        pl.Series([b"\xff", b"a", b""]),
        pl.Series([Decimal("1.10"), Decimal("2.5"), Decimal(0)]),
        pl.Series([timedelta(days=1), timedelta(days=-1), timedelta(0)], dtype=pl.Duration("ns")),
        pl.Series([0.5, float("nan"), float("inf")]),
        pl.Series([2**64 - 1, 0, 1], dtype=pl.UInt64),
        pl.Series([datetime(1905, 1, 1), datetime(2020, 1, 1), datetime(1969, 12, 31)]),
        pl.Series(["a", "b", "c"], dtype=pl.Enum(["c", "b", "a"])),
        pl.Series(["a", "b", "c"], dtype=pl.Categorical),
    ],
    ids=lambda values: str(values.dtype),
)
def test_a_key_may_be_of_any_type(workspace: Workspace, values: pl.Series) -> None:
    through_everything(workspace, values.alias("key").to_frame().with_columns(v=pl.Series([1, 2, 3])), "key")


def test_rows_whose_columns_changed_their_types_lie_in_one_quarantine(workspace: Workspace) -> None:
    things = declared(between("v", 0, 5, severity="quarantine"))
    kinds = [pl.Series([True]), pl.Series([date(2020, 1, 1)]), pl.Series([[1, 2]])]
    for count, kind in enumerate(kinds, 1):
        made = write(workspace, things, pl.DataFrame({"v": [9], "w": kind}))
        assert (made.rows, made.quarantined_rows) == (0, 1)
        assert read(workspace, "quarantine.things").collect().height == count
    assert read(workspace, "quarantine.things").collect()["w"].to_list() == ["true", "2020-01-01", "[1, 2]"]


def test_rows_that_another_sets_aside_meanwhile_stay(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    things = declared()
    told = pl.DataFrame({"v": [1], "slipway checks": ["v is right"]})
    set_aside(workspace, things, told, source="here", run_id="")
    theirs = read(workspace, "quarantine.things").collect().with_columns(pl.lit(2, pl.Int64).alias("v"))
    real, once = workspace.ledger.read, [True]

    def read_late() -> Any:
        if len(once) == 2:  # the head was looked up; what follows has not been read yet
            once.clear()
            append(workspace, "quarantine.things", theirs)
        elif once:
            once.append(True)
        return real()

    monkeypatch.setattr(workspace.ledger, "read", read_late)
    set_aside(workspace, things, told.with_columns(w=pl.lit(True)), source="here", run_id="")
    assert sorted(read(workspace, "quarantine.things").collect()["v"]) == [1, 1, 2]


def test_a_quarantine_does_not_write_over_a_column_of_the_rows(workspace: Workspace) -> None:
    rows = pl.DataFrame({"v": [9], "quarantine_at": ["noon"]})
    with pytest.raises(InvalidInput, match="cannot be set aside: they have a column 'quarantine_at'"):
        write(workspace, declared(between("v", 0, 5, severity="quarantine")), rows)
    assert write(workspace, declared(between("v", 0, 5, severity="warn")), rows).rows == 1


def test_nan_that_stays_is_no_difference_that_is_shown(workspace: Workspace) -> None:
    things = declared(key="id")
    write(workspace, things, pl.DataFrame({"id": [1], "v": [1], "x": [float("nan")]}))
    write(workspace, things, pl.DataFrame({"id": [1], "v": [2], "x": [float("nan")]}))
    (shown,) = diff(workspace, "things", 1, 2).sample
    assert shown.columns == (("v", "1", "2"),)


def test_failing_rows_are_kept_of_any_type(workspace: Workspace) -> None:
    things = declared(between("v", 0, 5, severity="warn"), key="k")
    write(workspace, things, pl.DataFrame({"v": [9], "k": [b"\xff"]}))
    (result, _) = head(workspace, "things").checks
    kept = kept_rows(workspace, result)
    assert kept is not None
    assert kept.rows() == [(9, b"\xff")]
    assert result.sample == ("b'\\xff'",)
