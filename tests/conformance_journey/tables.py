"""What a table does, wherever its store lies."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from conformance_journey.world import World
from slipway.errors import Conflict, InvalidInput, NotFound


def _row(id: Any, name: str | None, worth: float, **more: Any) -> pl.DataFrame:
    return pl.DataFrame({"id": [id], "name": [name], "worth": [worth], **more}, schema_overrides={"name": pl.String})


def _ids(world: World, version: int | str | None = None) -> list[int]:
    return sorted(world.module.notes.read(version).collect()["id"].to_list())


def first_version(world: World) -> None:
    """The first write of a table makes its version 1."""
    notes = world.module.notes
    assert notes.overwrite(notes()).number == 1


def append(world: World) -> None:
    """An append makes the next version, and its rows are read."""
    assert world.module.notes.append(_row(4, "di", 4.5)).number == 2
    assert _ids(world) == [1, 2, 3, 4]


def travel(world: World) -> None:
    """An earlier version is read as it was."""
    assert _ids(world, 1) == [1, 2, 3]


def unchanged(world: World) -> None:
    """Writing what a table holds already makes no version."""
    notes = world.module.notes
    assert notes.overwrite(notes.read().collect()).number == notes.history()[0].number == 2


def upsert(world: World) -> None:
    """An upsert replaces the row of a key and adds no second one."""
    notes = world.module.notes
    notes.upsert(_row(1, "Ada", 1.5))
    assert notes.read().filter(pl.col("id") == 1).collect()["name"].to_list() == ["Ada"]
    assert _ids(world) == [1, 2, 3, 4]


def upsert_twice(world: World) -> None:
    """An upsert that gives a key twice is refused."""
    with pytest.raises(InvalidInput):
        world.module.notes.upsert(pl.concat([_row(1, "a", 1.0), _row(1, "b", 2.0)]))


def tag(world: World) -> None:
    """A tag names a version: by it the same rows are read."""
    world.call("tables.tag", name="notes", tag="first", version="1")
    assert _ids(world, "first") == [1, 2, 3]


def tag_stands(world: World) -> None:
    """A tag moves only where one says so."""
    with pytest.raises(Conflict):
        world.call("tables.tag", name="notes", tag="first", version="2")
    assert _ids(world, "first") == [1, 2, 3]


def surprise(world: World) -> None:
    """An append with an unknown column is refused, and the table stays as it was."""
    notes = world.module.notes
    before = notes.read().collect()
    with pytest.raises(InvalidInput, match="more"):
        notes.append(_row(9, "x", 0.0, more=[1]))
    assert notes.read().collect().equals(before)


def wrong_type(world: World) -> None:
    """Rows of another type are refused by the name of the column and both types."""
    with pytest.raises(InvalidInput, match=r"'id' comes as String.*Int64"):
        world.module.notes.append(_row("x", "x", 0.0))


def check_refuses(world: World) -> None:
    """A check that blocks refuses the rows, names one of them, and stores nothing."""
    before = world.module.notes.history()[0].number
    with pytest.raises(InvalidInput, match="'name is not null' fails for 1 of 5 rows"):
        world.module.notes.append(_row(8, None, 0.0))
    assert world.module.notes.history()[0].number == before


def refusal_kept(world: World) -> None:
    """What was refused is kept with the row that failed."""
    (refused, *_) = world.call("tables.refusals", name="notes").refusals
    assert [(one.check, one.sample) for one in refused.checks if not one.passed] == [("name is not null", ("8",))]


def key_twice(world: World) -> None:
    """A key that an append brings twice is told of, and both rows are shown."""
    notes = world.module.notes
    notes.append(pl.concat([_row(8, "a", 1.0), _row(8, "b", 2.0)]))
    (failing,) = world.call("tables.failing", name="notes").checks
    assert (failing.result.check, failing.result.severity) == ("id is unique", "warn")
    assert [row[:2] for row in failing.rows] == [("8", "a"), ("8", "b")]
    notes.overwrite(notes.read(3).collect())


def history(world: World) -> None:
    """The history tells every version's change, newest first, with its tags."""
    told = world.call("tables.history", name="notes")
    assert [one.change for one in told.versions] == ["overwrite", "append", "upsert", "append", "overwrite"]
    assert told.tags == {"first": told.versions[-1].version}


def diff(world: World) -> None:
    """Two versions are compared by key, in words."""
    found = world.call("tables.diff", name="notes", before="1", after="2")
    assert found.words == ("1 rows were added, 0 removed, 0 changed.",)


def branch(world: World) -> None:
    """What is appended to a branch is not in the table."""
    world.call("tables.branch", name="notes", branch="fix")
    world.module.notes.append(_row(7, "gus", 7.5), branch="fix")
    assert (_ids(world), _ids(world, "fix")) == ([1, 2, 3, 4], [1, 2, 3, 4, 7])


def merge(world: World) -> None:
    """A merge brings the rows of a branch."""
    world.call("tables.merge", name="notes", branch="fix")
    assert _ids(world) == [1, 2, 3, 4, 7]


def rename(world: World) -> None:
    """A renamed column keeps its values, and earlier versions their name of it."""
    world.call("tables.alter", name="notes", rename={"worth": "value"})
    notes = world.module.notes
    assert notes.read().filter(pl.col("id") == 7).collect()["value"].to_list() == [7.5]
    assert "worth" in notes.read(2).collect_schema()
    world.call("tables.alter", name="notes", rename={"value": "worth"})


def compact(world: World) -> None:
    """A compaction makes one part of many and leaves every row."""
    before = world.module.notes.read().sort("id").collect()
    made = world.call("tables.compact", name="notes").version
    assert made.change == "compact"
    assert world.module.notes.read().sort("id").collect().equals(before)


def profile(world: World) -> None:
    """A profile tells each column's range, mean and nulls."""
    found = {one.name: one for one in world.call("tables.profile", name="notes").columns}
    assert (found["id"].low, found["id"].high, found["id"].mean, found["name"].nulls) == (1, 7, 3.4, 0)


def as_of(world: World) -> None:
    """An instant names the version that stood then."""
    before = world.module.notes.history()[0].number
    later = world.later(minutes=5)
    world.module.notes.append(_row(9, "ida", 9.5))
    then = (later - timedelta(minutes=1)).isoformat()
    assert world.call("tables.get", name="notes", version=then).versions[0].number == before
    assert 9 not in _ids(world, then)
    assert 9 in _ids(world, later.isoformat())


def before_all(world: World) -> None:
    """An instant before a table's first version is told with the instant of that."""
    with pytest.raises(NotFound, match="had no version on 2001-01-01"):
        world.module.notes.read("2001-01-01")


def no_such_version(world: World) -> None:
    """A version that does not exist is told with what there is."""
    with pytest.raises(NotFound, match=r"has no version '99'.*first, fix"):
        world.module.notes.read(99)


def searched(world: World) -> None:
    """Versions of tables are found by what they hold."""
    found = world.call("tables.search", where="name = 'notes' and rows > 5").versions
    assert {one.rows for one in found} == {6}


def exported(world: World) -> None:
    """A table is a Delta table for those who read one."""
    made = world.call("delta.export", name="notes")
    assert made.number == world.module.notes.history()[0].number
    assert made.files >= 1
    if "://" not in made.path:
        assert sorted(pl.read_delta(made.path)["id"].to_list()) == _ids(world)


def clean_keeps(world: World) -> None:
    """A dry run of the cleaning tells what it would free, and frees nothing."""
    found = world.call("tables.clean", names=["notes"], keep=1, grace_days=0.0, dry_run=True)
    assert found.dry_run
    assert found.tables[0].versions
    assert _ids(world, 2) == [1, 2, 3, 4]


def erased(world: World) -> None:
    """Erasing a key takes its rows out of every version."""
    done = world.call("erasures.start", table="notes", key=["4"], reason="request 17")
    assert done.left == 0
    assert 4 not in _ids(world)
    assert _ids(world, 2) == [1, 2, 3]


def erasure_told(world: World) -> None:
    """An erasure is kept with its reason and without the key."""
    (told,) = world.call("erasures.list").erasures
    assert (told.state, told.reason, told.tables) == ("finished", "request 17", ("notes",))
    assert told.name != "4"


def csv(world: World) -> None:
    """A table with files as its source is ingested as they are."""
    (world.project.folder / "towns.csv").write_text("code,people\na,1\nb,2\n")
    world.answer("data", "sync", "towns")
    assert world.module.towns.read().collect().rows() == [("a", 1), ("b", 2)]


def csv_again(world: World) -> None:
    """A sync of files that have not changed makes no version."""
    world.answer("data", "sync", "towns")
    assert world.module.towns.history()[0].number == 1


def csv_grown(world: World) -> None:
    """A sync brings what is new in a source, and tells when it did."""
    (world.project.folder / "towns.csv").write_text("code,people\na,1\nb,2\nc,3\n")
    world.answer("data", "sync", "towns")
    assert world.module.towns.read().collect().height == 3
    (told,) = (one for one in world.call("tables.list").syncs if one.table == "towns")
    assert told.good_at is not None
    assert told.good_at >= datetime(2013, 3, 13, tzinfo=UTC)


def csv_broken(world: World) -> None:
    """A file that stops within a row is refused, and the table stays as it was."""
    (world.project.folder / "towns.csv").write_text('code,people\na,1\n"b')
    done = world.slipway("data", "sync", "towns")
    assert done.exit_code != 0
    assert world.module.towns.read().collect().height == 3


def database(world: World) -> None:
    """A table with a database's query as its source is ingested as it stands."""
    with closing(sqlite3.connect(world.project.folder / "till.db")) as till, till:
        till.execute("create table sales (id integer primary key, cents integer, sold_at timestamp)")
        till.execute("insert into sales values (1, 250, '2013-03-01 10:00:00'), (2, 900, '2013-03-02 11:30:00')")
    world.answer("data", "sync", "sales")
    assert world.module.sales.read().collect()["cents"].to_list() == [250, 900]


def database_grown(world: World) -> None:
    """By its watermark a sync reads what is newer, and changes what came again."""
    with closing(sqlite3.connect(world.project.folder / "till.db")) as till, till:
        till.execute("insert into sales values (3, 100, '2013-03-03 09:00:00')")
        till.execute("update sales set cents = 950, sold_at = '2013-03-03 09:30:00' where id = 2")
    world.answer("data", "sync", "sales")
    assert world.module.sales.read().collect().sort("id")["cents"].to_list() == [250, 950, 100]


BEHAVIOURS = (
    first_version,
    append,
    travel,
    unchanged,
    upsert,
    upsert_twice,
    tag,
    tag_stands,
    surprise,
    wrong_type,
    check_refuses,
    refusal_kept,
    key_twice,
    history,
    diff,
    branch,
    merge,
    rename,
    compact,
    profile,
    as_of,
    before_all,
    no_such_version,
    searched,
    exported,
    clean_keeps,
    erased,
    erasure_told,
    csv,
    csv_again,
    csv_grown,
    csv_broken,
    database,
    database_grown,
)
