from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl
import pytest

from slipway.data.browse import failing_rows, list_refusals, profile_table
from slipway.data.checks import between, one_of
from slipway.data.declare import Table, table
from slipway.data.profile_view import summary_of
from slipway.data.profiles import profile_of, stored
from slipway.data.write import write
from slipway.errors import InvalidInput, NotFound
from slipway.hashing import digest
from slipway.ledger import entries
from slipway.operations.table_checks import ColumnSummary, GetProfile, GetRefusals, ShowFailing
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.tables import Erased
from slipway.tables import versions
from slipway.tables.commits import note_profile
from slipway.tables.personal import MASK

PEOPLE = pl.DataFrame(
    {
        "email": ["ada@x.org", "bob@x.org", "cyd@x.org"],
        "age": [30, 200, 41],
        "joined": [datetime(2013, 1, 1, tzinfo=UTC)] * 3,
    }
)


def declared(*checks: Any, **more: Any) -> Table:
    @table(checks=checks, **more)
    def people() -> Any: ...

    return people


def test_a_profile_that_a_version_came_without_is_kept(workspace: Workspace) -> None:
    made = versions.overwrite(workspace, "people", PEOPLE)  # past `write`: nobody made its profile
    assert not made.profile
    first = profile_table(workspace, GetProfile(name="people"))
    assert stored(workspace, versions.head(workspace, "people")) == profile_of(PEOPLE)
    for part in (workspace.root / "tables").rglob("*.parquet"):
        part.unlink()
    assert profile_table(workspace, GetProfile(name="people")) == first


def test_a_profile_of_rows_that_were_erased_meanwhile_is_not_kept(workspace: Workspace) -> None:
    made = versions.overwrite(workspace, "people", PEOPLE)
    with workspace.ledger.write() as tx:
        erasure = Erased(
            erasure="e1", at=workspace.clock.now(), by="ada", reason="asked", rows=1, manifest=made.version
        )
        entries.put(tx, msgspec.structs.replace(made, erased=(erasure,)))
    note_profile(workspace, made, b"what tells of them")
    assert not versions.head(workspace, "people").profile
    assert not workspace.blobs.has(digest(b"what tells of them"))


def viewer(workspace: Workspace) -> Workspace:
    return replace(workspace, actor=Actor("vera", roles=("business owner",)))


def summary(values: list[Any], **more: Any) -> ColumnSummary:
    return summary_of(
        profile_of(pl.DataFrame({"v": values})).columns[0], **({"personal": False, "may_see": True} | more)
    )


def test_a_column_in_figures() -> None:
    found = summary([float(number) for number in range(1, 1001)] + [None])
    assert (found.low, found.high, found.mean, found.nulls) == (1.0, 1000.0, 500.5, 1)
    assert found.quantiles == pytest.approx((50, 250, 500, 750, 950), rel=0.02)
    assert len(found.bars) == 20
    assert sum(found.bars) == 1000
    assert max(found.bars) < 80


def test_few_values_are_named_with_their_rows() -> None:
    assert summary([3, 1, 3, None]).top == (("3", 2), ("1", 1))
    assert summary(["b", "a", "b"]).top == (("b", 2), ("a", 1))
    assert summary([True, False, True]).mean == pytest.approx(2 / 3)


def test_times_are_shown_as_times() -> None:
    at = datetime(2013, 1, 1, 12, tzinfo=UTC)
    found = summary([at, at + timedelta(hours=2)])
    assert (found.low, found.mean, found.high) == (
        "2013-01-01T12:00:00+00:00",
        "2013-01-01T13:00:00+00:00",
        "2013-01-01T14:00:00+00:00",
    )
    assert summary([at.date()]).low == "2013-01-01"
    assert summary([timedelta(minutes=1)]).high == 60


@pytest.mark.parametrize(
    "values",
    [[None], [float("nan")], [float("inf"), 1.0], [1e308, -1e308], [0.0], [2**62, -(2**62)], [[1], [2]], [5e-324, 1.0]],
)
def test_strange_columns_are_shown_too(values: list[Any]) -> None:
    found = summary(values)
    assert found.rows == len(values)
    assert sum(found.bars) in (0, len(values))


def test_far_values_do_not_flatten_the_bars() -> None:
    found = summary([float(number % 100) for number in range(5000)] + [1e12])
    assert found.high == 1e12
    assert isinstance(found.bars_to, float)
    assert found.bars_to < 200


class TestPersonal:
    def test_values_are_shown_to_who_may_see_them_only(self, workspace: Workspace) -> None:
        write(
            workspace, declared(between("age", 0, 130, severity="warn"), key="email", personal=["email", "age"]), PEOPLE
        )
        seen = profile_table(workspace, GetProfile(name="people"))
        assert [column.low for column in seen.columns[:2]] == ["ada@x.org", 30]
        masked = profile_table(viewer(workspace), GetProfile(name="people"))
        for column in masked.columns[:2]:
            assert column.personal
            assert (column.rows, column.nulls, column.distinct) == (3, 0, 3)
            assert (column.low, column.high, column.mean, column.quantiles, column.top, column.bars) == (
                None,
                None,
                None,
                (),
                (),
                (),
            )
        assert masked.columns[2].low == "2013-01-01T00:00:00+00:00"

    def test_failing_rows_are_masked(self, workspace: Workspace) -> None:
        write(workspace, declared(between("age", 0, 130, severity="warn"), personal="email"), PEOPLE)
        (shown,) = failing_rows(workspace, ShowFailing(name="people")).checks
        assert shown.rows == (("bob@x.org", "200", "2013-01-01T00:00:00.000000+00:00"),)
        (masked,) = failing_rows(viewer(workspace), ShowFailing(name="people")).checks
        assert masked.rows[0][:2] == (MASK, "200")


class TestFailing:
    def test_what_was_refused_last_is_shown_until_something_is_stored(self, workspace: Workspace) -> None:
        declaration = declared(between("age", 0, 130), one_of("email", PEOPLE["email"].to_list()))
        with pytest.raises(InvalidInput, match="slipway data failing people"):
            write(workspace, declaration, PEOPLE, source="a file")
        found = failing_rows(workspace, ShowFailing(name="people", check="AGE"))
        assert found.refusal is not None
        assert (found.number, found.refusal.source, [c.result.failed_rows for c in found.checks]) == (0, "a file", [1])
        write(workspace, declaration, PEOPLE.filter(pl.col("age") < 130))
        assert failing_rows(workspace, ShowFailing(name="people")).checks == ()
        again = failing_rows(workspace, ShowFailing(name="people", version="refused"))
        assert again.refusal is not None
        assert len(list_refusals(workspace, GetRefusals(name="people")).refusals) == 1

    def test_what_is_not_there_is_a_sentence(self, workspace: Workspace) -> None:
        with pytest.raises(NotFound, match="no table 'people'"):
            failing_rows(workspace, ShowFailing(name="people"))
        write(workspace, declared(between("age", 0, 300)), PEOPLE)
        with pytest.raises(NotFound, match="No check of the table 'people' has 'nothing' in its words"):
            failing_rows(workspace, ShowFailing(name="people", check="nothing"))
        with pytest.raises(NotFound, match="Nothing that came for the table 'people' was refused"):
            failing_rows(workspace, ShowFailing(name="people", version="refused"))
        with pytest.raises(InvalidInput, match="The limit is 0"):
            failing_rows(workspace, ShowFailing(name="people", limit=0))


def test_a_profile_beside_another_version_says_what_moved(workspace: Workspace) -> None:
    before = pl.DataFrame({"x": [number % 50 for number in range(1000)], "c": ["a", "b"] * 500})
    write(workspace, declared(), before)
    write(workspace, declared(), before.with_columns(pl.col("x") + 40, new=1, at=datetime(2013, 1, 1, tzinfo=UTC)))
    found = profile_table(workspace, GetProfile(name="people", version="2", against="1"))
    assert (found.number, found.against) == (2, 1)
    assert [column.change for column in found.columns] == ["moved", "steady", "new", "new"]
    assert "than in version 1" in found.columns[0].told
