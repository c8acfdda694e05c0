"""What a declared table does by itself in an open project."""

from datetime import UTC, datetime

import polars as pl
import pytest

import slipway as sw
from slipway.data.declare import table
from slipway.errors import InvalidInput
from slipway.ports.workspace import Workspace


@table(key="id", checks=[sw.between("n", 0, 100)])
def counts() -> pl.DataFrame:
    return rows(0, 3)


def rows(start: int, stop: int, n: int | None = None) -> pl.DataFrame:
    return pl.DataFrame({"id": range(start, stop), "n": [i if n is None else n for i in range(start, stop)]})


@pytest.mark.usefixtures("workspace")
def test_a_table_is_written_named_branched_and_merged() -> None:
    first = counts.overwrite(counts())
    counts.tag("begin")
    assert counts.append(rows(3, 5).lazy()).rows == 5
    changed = counts.upsert(rows(4, 6, 7))
    assert (changed.changed_rows, changed.added_rows) == (1, 1)
    assert counts.branch("fix") == changed
    counts.append(rows(8, 9), branch="fix")
    assert counts.read().collect()["id"].to_list() == [0, 1, 2, 3, 4, 5]
    assert counts.merge("fix").rows == 7
    assert counts.read("begin").collect().equals(counts())
    assert counts.diff("begin").added == 4
    assert [version.number for version in counts.history()] == [4, 3, 2, 1]
    assert counts.read(1).collect().height == first.rows


def test_checks_look_at_what_comes_each_way(workspace: Workspace) -> None:
    counts.overwrite(counts())
    for write in (counts.overwrite, counts.append, counts.upsert):
        with pytest.raises(InvalidInput, match="n is between 0 and 100"):
            write(rows(9, 10, 101))
    assert len(counts.history()) == 1
    assert workspace.project == "flights"


@table(time="at")
def visits() -> pl.DataFrame:
    return pl.DataFrame({"at": [datetime(2013, 1, 1, tzinfo=UTC)]})


@pytest.mark.usefixtures("workspace")
def test_instants_without_a_zone_are_refused_with_the_line_that_gives_them_one() -> None:
    visits.overwrite(visits())
    with pytest.raises(InvalidInput) as said:
        visits.append(pl.DataFrame({"at": [datetime(2013, 1, 2)]}))
    assert said.value.fix == "Say in which zone they are: pl.col('at').dt.replace_time_zone('UTC')."
    assert visits.append(pl.DataFrame({"at": [datetime(2013, 1, 2, tzinfo=UTC)]})).rows == 2
