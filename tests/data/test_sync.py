"""Tables synced with their sources: what is new comes once, what is killed comes again, and nothing is lost."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import slipway as sw
from slipway.backends.clocks import SimulatedClock
from slipway.data.declare import Table
from slipway.data.ingest import ingest
from slipway.data.marks import mark_of, value_of
from slipway.data.sync import sync
from slipway.errors import Conflict, InvalidDeclaration, InvalidInput, SlipwayError, StepFailed, Unavailable
from slipway.ledger import entries, lineage
from slipway.ports.workspace import Workspace
from slipway.records.sources import Sync
from slipway.tables.catalog import node
from slipway.tables.versions import append, head, history, overwrite, read

NOW = datetime(2013, 4, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return datetime(2013, 3, number, tzinfo=UTC)


def shop(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / "shop.db") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def orders(**more: Any) -> Table:
    given = {"key": "id", "watermark": "seen", "source": sw.sql("sqlite:///shop.db", "orders")} | more

    @sw.table(**given)
    def orders() -> None: ...

    return orders


def content(workspace: Workspace, name: str = "orders") -> list[tuple[Any, ...]]:
    return read(workspace, name).collect().sort("id").rows()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    shop(
        tmp_path,
        "create table orders (id integer, amount real, seen integer)",
        "insert into orders values (1, 1.5, 10), (2, 2.5, 20)",
    )
    return tmp_path


def test_only_what_is_new_is_read_and_replaces_its_key(workspace: Workspace, database: Path, said: list[str]) -> None:
    first = sync(workspace, orders(), database)
    assert (first.state, first.rows, first.trigger) == ("made", 2, "by hand")
    shop(database, "insert into orders values (3, 3.5, 30)", "update orders set amount = 9.5, seen = 30 where id = 1")
    second = sync(workspace, orders(), database)
    assert (second.state, second.rows) == ("made", 3)
    assert "orders: reading seen from 20 on" in said
    assert content(workspace) == [(1, 9.5, 30), (2, 2.5, 20), (3, 3.5, 30)]
    made = head(workspace, "orders")
    assert (made.change, made.added_rows, made.changed_rows) == ("upsert", 1, 1)
    assert made.synced is not None
    assert made.synced.reached is not None
    assert value_of(made.synced.reached) == 30


def test_nothing_new_makes_no_version(workspace: Workspace, database: Path) -> None:
    made = sync(workspace, orders(), database)
    again = sync(workspace, orders(), database)
    assert (again.state, again.version) == ("unchanged", made.version)
    assert again.sentence == "1 rows were read; version 1 stays: nothing is new."
    assert len(history(workspace, "orders")) == 1


@pytest.mark.parametrize("key", [("id",), ()])
def test_late_rows_of_the_same_watermark_are_not_lost_and_not_doubled(
    workspace: Workspace, database: Path, key: tuple[str, ...]
) -> None:
    sync(workspace, orders(key=key), database)
    shop(database, "insert into orders values (3, 0.5, 20), (4, 0.5, 20)")
    for _ in range(2):
        sync(workspace, orders(key=key), database)
        assert content(workspace) == [(1, 1.5, 10), (2, 2.5, 20), (3, 0.5, 20), (4, 0.5, 20)]
    assert len(history(workspace, "orders")) == 2


def test_equal_rows_without_a_key_are_counted(workspace: Workspace, database: Path) -> None:
    sync(workspace, orders(key=()), database)
    shop(database, "insert into orders values (2, 2.5, 20), (2, 2.5, 20), (5, null, 21)")
    for _ in range(2):
        sync(workspace, orders(key=()), database)
        assert read(workspace, "orders").collect().height == 5
    assert head(workspace, "orders").change == "append"


def test_what_is_gone_from_the_source_is_found_by_a_full_sync(workspace: Workspace, database: Path) -> None:
    sync(workspace, orders(), database)
    shop(database, "delete from orders where id = 1")
    assert sync(workspace, orders(), database).state == "unchanged"
    assert len(content(workspace)) == 2
    assert sync(workspace, orders(), database, full=True).state == "made"
    assert content(workspace) == [(2, 2.5, 20)]
    assert head(workspace, "orders").change == "overwrite"


def test_ingest_syncs_what_has_a_watermark(workspace: Workspace, database: Path) -> None:
    ingest(workspace, orders(), folder=database)
    shop(database, "insert into orders values (3, 3.5, 30)")
    assert ingest(workspace, orders(), folder=database).added_rows == 1


def test_a_function_is_asked_for_what_is_newer(workspace: Workspace, tmp_path: Path) -> None:
    rows = pl.DataFrame({"id": [1, 2], "at": [day(1), day(2)]})
    asked: list[Any] = []

    @sw.table(key="id", watermark="at", time="at")
    def events(since: datetime | None) -> Any:
        asked.append(since)
        return rows.to_pandas() if len(asked) == 2 else rows.lazy()

    sync(workspace, events, tmp_path)
    rows = pl.concat([rows, pl.DataFrame({"id": [3], "at": [day(3)]})])
    sync(workspace, events, tmp_path)
    assert asked == [None, day(2)]
    assert content(workspace, "events") == [(1, day(1)), (2, day(2)), (3, day(3))]
    assert head(workspace, "events").change == "upsert"


def test_rows_are_cleaned_and_the_watermark_need_not_survive(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,at,seen\n1,2013-03-01T10:00,5\n2,2013-03-02T10:00,6\n")
    overwrite(workspace, "other", pl.DataFrame({"id": [1]}))

    @sw.table(key="id", time="at", watermark="seen", source=sw.files("*.csv"))
    def visits(rows: pl.LazyFrame) -> pl.LazyFrame:
        assert read(workspace, "other").collect().height == 1
        return rows.with_columns(pl.col("at").str.to_datetime(time_zone="UTC")).drop("seen")

    made = ingest(workspace, visits, folder=tmp_path)
    assert read(workspace, "visits").collect().columns == ["id", "at"]
    (tmp_path / "b.csv").write_text("id,at,seen\n3,2013-03-03T10:00,7\n")
    assert ingest(workspace, visits, folder=tmp_path).added_rows == 1
    with workspace.ledger.read() as tx:
        sources = {link.source for link in lineage.trace(tx, node("flights", "visits", made.version))}
    assert {"source:files:*.csv", node("flights", "other", head(workspace, "other").version)} <= sources
    assert made.source == "*.csv"


def test_files_that_have_not_changed_are_not_read_again(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,a\n")

    @sw.table(key="id", source=sw.files("a.csv"))
    def names() -> None: ...

    assert sync(workspace, names, tmp_path).rows == 1
    again = sync(workspace, names, tmp_path)
    assert (again.state, again.rows) == ("unchanged", 0)
    assert sync(workspace, names, tmp_path, full=True).rows == 1
    (tmp_path / "a.csv").write_text("id,name\n1,b\n")
    assert sync(workspace, names, tmp_path).state == "made"
    assert content(workspace, "names") == [(1, "b")]


def test_a_table_that_was_there_before_its_watermark_is_read_on_from_there(
    workspace: Workspace, database: Path
) -> None:
    rows = pl.DataFrame({"id": [1, 2], "amount": [1.5, 2.5], "seen": [10, 20]})
    overwrite(workspace, "orders", rows, key=("id",))
    assert sync(workspace, orders(), database).state == "unchanged"
    assert sync(workspace, orders(), database).rows == 1


def test_another_source_is_read_from_the_beginning(workspace: Workspace, database: Path, said: list[str]) -> None:
    sync(workspace, orders(), database)
    shop(database, "create table old as select 7 as id, 0.5 as amount, 1 as seen")
    sync(workspace, orders(source=sw.sql("sqlite:///shop.db", "old")), database)
    assert content(workspace) == [(7, 0.5, 1)]
    assert any("everything is read again" in line for line in said)


def test_rows_written_by_hand_on_top_keep_how_far_was_read(workspace: Workspace, database: Path) -> None:
    sync(workspace, orders(), database)
    append(workspace, "orders", pl.DataFrame({"id": [9], "amount": [0.0], "seen": [0]}))
    assert sync(workspace, orders(), database).rows == 1
    overwrite(workspace, "orders", pl.DataFrame({"id": [9], "amount": [0.0], "seen": [0]}), key=("id",))
    assert sync(workspace, orders(), database).rows == 2
    assert len(content(workspace)) == 2


def test_a_watermark_in_the_future_hides_nothing(
    workspace: Workspace, tmp_path: Path, said: list[str], clock: SimulatedClock
) -> None:
    rows = {"id": [1, 2], "at": [day(1), NOW + timedelta(days=300)]}

    @sw.table(key="id", watermark="at", time="at")
    def events(since: datetime | None) -> pl.DataFrame:
        return pl.DataFrame(rows)

    sync(workspace, events, tmp_path)
    assert "  warning: 1 rows have a at in the future: kept, and read again next time" in said
    assert "  warning: 1 rows have a at in the future: kept" in said
    rows = {"id": [3], "at": [day(2)]}
    sync(workspace, events, tmp_path)
    assert [row[0] for row in content(workspace, "events")] == [1, 2, 3]


def test_of_a_key_given_twice_the_newest_stands(workspace: Workspace, database: Path, said: list[str]) -> None:
    shop(database, "insert into orders values (1, 7.5, 40), (1, 8.5, 30)")
    sync(workspace, orders(), database)
    assert content(workspace) == [(1, 7.5, 40), (2, 2.5, 20)]
    assert "  2 rows have the key of a newer one: the newest of each stands" in said


@pytest.mark.parametrize(
    ("more", "statement", "sentence"),
    [
        ({}, "insert into orders values (null, 1, 50)", r"1 of 2 rows for 'orders' have no id"),
        ({}, "alter table orders add column city text default 'x'", r"'city' is not one of them"),
        ({}, "alter table orders drop column amount", r"'amount' is missing"),
        ({}, "update orders set amount = 'much', seen = 30", r"'amount'.*String"),
        ({"watermark": "sen"}, "select 1", r"'sen' is no column .* Did you mean 'seen'"),
        ({"watermark": "amount"}, "select 1", r"'amount' of the table 'orders' is Float64"),
        ({"time": "seen"}, "insert into orders values (5, 1, 50)", r"time column 'seen'"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_moves(
    workspace: Workspace, database: Path, more: dict[str, Any], statement: str, sentence: str
) -> None:
    sync(workspace, orders(), database)
    before = head(workspace, "orders")
    shop(database, statement)
    full = "time" in more
    with pytest.raises(InvalidInput, match=sentence):
        sync(workspace, orders(**more), database, full=full)
    assert head(workspace, "orders") == before
    assert syncs(workspace)[0].state == "failed"


def test_text_is_no_time(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,at\n1,2013-03-01T10:00\n")

    @sw.table(time="at", source=sw.files("a.csv"))
    def visits() -> None: ...

    with pytest.raises(InvalidInput, match=r"comes from its source as text\. .*to_datetime\(time_zone='UTC'\)"):
        sync(workspace, visits, tmp_path)


def test_a_damaged_row_is_told_from_a_broken_function(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,a\n2,b,c\n")

    @sw.table(source=sw.files("a.csv"))
    def names(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.with_columns(pl.col("name").cast(pl.Int64))

    with pytest.raises(InvalidInput, match=r"The rows from a\.csv cannot be read: found more fields"):
        sync(workspace, names, tmp_path)
    (tmp_path / "a.csv").write_text("id,name\n1,a\n")
    with pytest.raises(StepFailed, match="The table function 'names' raised InvalidOperationError"):
        sync(workspace, names, tmp_path)


def test_a_source_without_rows_empties_no_table(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n')

    @sw.table(key="id", source=sw.files("a.jsonl"))
    def names() -> None: ...

    sync(workspace, names, tmp_path)
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(InvalidInput, match="gave no rows"):
        sync(workspace, names, tmp_path)
    assert content(workspace, "names") == [(1,)]


def test_a_column_of_nulls_gets_a_type(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "name": null}\n')

    @sw.table(key="id", source=sw.files("a.jsonl"), watermark="id")
    def names() -> None: ...

    sync(workspace, names, tmp_path)
    assert read(workspace, "names").collect_schema()["name"] == pl.String
    (tmp_path / "a.jsonl").write_text('{"id": 2, "name": "b"}\n')
    sync(workspace, names, tmp_path)
    assert content(workspace, "names") == [(1, None), (2, "b")]


def test_a_file_that_grows_while_it_is_read_is_not_stored(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")

    @sw.table(source=sw.files("a.csv"))
    def names(rows: pl.LazyFrame) -> pl.LazyFrame:
        path.write_text("id\n1\n2\n")
        return rows

    with pytest.raises(Unavailable, match="changed while it was read"):
        sync(workspace, names, tmp_path)


def test_two_processes_do_not_sync_one_table_at_once(workspace: Workspace, tmp_path: Path) -> None:
    @sw.table(watermark="id", key="id")
    def names(since: int | None) -> pl.DataFrame:
        with pytest.raises(Conflict, match="is being synced by another process"):
            sync(workspace, names, tmp_path)
        return pl.DataFrame({"id": [1]})

    sync(workspace, names, tmp_path)


def syncs(workspace: Workspace) -> list[Sync]:
    with workspace.ledger.read() as tx:
        return entries.find(tx, Sync, project="flights", limit=100)


def test_secrets_reach_no_record(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DB", "postgresql+psycopg://ada:hunter2@127.0.0.1:9/shop")
    with pytest.raises(SlipwayError) as refused:
        sync(workspace, orders(source=sw.sql("env:SHOP_DB", "orders")), tmp_path)

    @sw.table(watermark="id", key="id")
    def names(since: int | None) -> pl.DataFrame:
        raise ValueError("cannot reach mysql://ada:hunter2@db/shop")

    with pytest.raises(StepFailed) as raised:
        sync(workspace, names, tmp_path)
    assert "hunter2" not in str(refused.value) + str(raised.value)
    data = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hunter2" not in data


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda: sw.sql("postgresql://ada:hunter2@db/shop", "orders"), "given a secret in code"),
        (lambda: sw.files("https://x.example/a.csv?token=hunter2"), "given a secret in code"),
        (
            lambda: sw.api("https://x.example/a", headers={"Authorization": "Bearer hunter2"}),
            "header 'Authorization' in",
        ),
        (lambda: sw.api("ftp://x.example/a"), "no web address"),
        (lambda: sw.api("http://x.example/a", cursor="after"), "not where an answer holds its value"),
        (lambda: sw.files(), "names no file"),
        (lambda: sw.files("a", format="xml"), "'xml' is no format"),
        (lambda: sw.sql("shop.db", "orders"), "no database's URL"),
        (lambda: sw.sql("env:X", " "), "no query"),
        (lambda: orders(schedule="every day"), "'every day' is no schedule"),
        (lambda: orders(schedule=5), "given 5 as its schedule"),
        (lambda: orders(schedule=sw.degraded), "as its schedule"),
        (lambda: orders(source="orders.csv"), "given 'orders.csv' as its source"),
        (lambda: sw.table(watermark="at")(lambda_without()), "takes 0 arguments"),
        (lambda: sw.table(source=sw.files("a.csv"))(with_two), "takes rows and more"),
    ],
)
def test_what_cannot_be_declared_is_refused_in_words(declare: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence) as told:
        declare()
    assert "hunter2" not in str(told.value)


def lambda_without() -> Callable[..., Any]:
    def none() -> None: ...

    return none


def with_two(rows: Any, more: Any) -> None: ...


@pytest.mark.parametrize("value", [5, "x", date(2020, 1, 2), datetime(2020, 1, 2, 3, 4, 5, 6), day(3)])
def test_a_watermark_comes_back_as_it_was(value: Any) -> None:
    assert value_of(mark_of(value)) == value


def killed_at(root: Path, folder: Path, place: str) -> None:
    """Sync in a process of its own that is killed when it comes to a place."""
    code = f"""
import os, signal
from pathlib import Path
import slipway as sw
from slipway.data import sync as syncing
from slipway.hosts.project import open_workspace
from importlib import import_module

def die(*args, **more):
    os.kill(os.getpid(), signal.SIGKILL)

module, _, name = {place!r}.rpartition(".")
setattr(import_module(module), name, die)

@sw.table(key="id", watermark="seen", source=sw.sql("sqlite:///shop.db", "orders"))
def orders(): ...

syncing.sync(open_workspace(Path({str(root)!r}), project="flights"), orders, Path({str(folder)!r}))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.parametrize(
    "place",
    [
        "slipway.backends.sql_source._written",
        "slipway.data.sync.reach_of",
        "slipway.data.sync.write",
        "slipway.tables.upserts.commit",
        "slipway.data.sync._end",
    ],
)
def test_a_sync_that_was_killed_is_made_good_by_the_next(workspace: Workspace, database: Path, place: str) -> None:
    sync(workspace, orders(), database)
    shop(database, "insert into orders values (3, 3.5, 30), (4, 4.5, 20)", "update orders set seen = 30 where id = 1")
    killed_at(workspace.root, database, place)
    ended = sync(workspace, orders(), database)
    assert content(workspace) == [(1, 1.5, 30), (2, 2.5, 20), (3, 3.5, 30), (4, 4.5, 20)]
    assert ended.state == ("unchanged" if place.endswith("_end") else "made")
    assert [one.state for one in syncs(workspace)].count("running") == 0
    assert len(history(workspace, "orders")) == 2
    assert list((workspace.root / "syncs" / "flights" / "orders").iterdir()) == [
        workspace.root / "syncs" / "flights" / "orders" / "sync.lock"
    ]


@pytest.mark.full
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9), st.integers(0, 3)), max_size=5), min_size=1, max_size=5
    ),
    keyed=st.booleans(),
)
def test_however_rows_come_the_table_is_the_source(
    workspace: Workspace, steps: list[list[tuple[int, int, int]]], keyed: bool, tmp_path: Path
) -> None:
    """Watermarks grow by step, with ties between steps; the table is what a full sync would make of the source."""
    name = f"t{time.monotonic_ns()}"
    source: list[dict[str, int]] = []
    full: dict[int, dict[str, int]] = {}

    def fetch(since: int | None) -> pl.DataFrame:
        rows = [row for row in (list(full.values()) if keyed else source) if since is None or row["mark"] >= since]
        return pl.DataFrame(rows, schema={"id": pl.Int64, "value": pl.Int64, "mark": pl.Int64})

    fetch.__name__ = name
    declared = sw.table(key="id" if keyed else None, watermark="mark")(fetch)
    for number, step in enumerate(steps):
        for id, value, ahead in step:
            row = {"id": id, "value": value, "mark": number * 2 + min(ahead, 2)}
            source.append(row)
            full[id] = row
        # Within one step marks may go back; between steps never below what was reached.
        floor = max((row["mark"] for row in source[: len(source) - len(step)]), default=0)
        for row in source[len(source) - len(step) :]:
            row["mark"] = max(row["mark"], floor)
        sync(workspace, declared, tmp_path)
    got = sorted(json.dumps(row) for row in read(workspace, name).collect().to_dicts())
    assert got == sorted(json.dumps(row) for row in (full.values() if keyed else source))


def test_pandas_rows_may_be_given_as_a_source_of_their_own(workspace: Workspace, tmp_path: Path) -> None:
    @sw.table(key="id", watermark="id")
    def names(since: int | None) -> pd.DataFrame:
        return pd.DataFrame({"id": [1, 2], "name": ["a", None]})

    sync(workspace, names, tmp_path)
    assert content(workspace, "names") == [(1, "a"), (2, None)]
    assert os.listdir(workspace.root / "syncs" / "flights" / "names") == ["sync.lock"]


def test_a_plain_function_may_be_synced_on_a_schedule(workspace: Workspace, tmp_path: Path) -> None:
    rows = {"id": [1, 2]}

    @sw.table(key="id", schedule="0 3 * * *")
    def names() -> pl.DataFrame:
        return pl.DataFrame(rows)

    assert names.feed.is_declared
    assert [sync(workspace, names, tmp_path).state for _ in range(2)] == ["made", "unchanged"]
    rows = {"id": [2, 3, 4]}
    assert sync(workspace, names, tmp_path).state == "made"
    assert content(workspace, "names") == [(2,), (3,), (4,)]
