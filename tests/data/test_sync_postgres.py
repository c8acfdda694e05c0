"""Syncs from a real PostgreSQL: times with zones as watermarks, and a server that goes away while it is read."""

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy

import slipway as sw
from slipway.data.declare import Table
from slipway.data.marks import value_of
from slipway.data.sync import sync
from slipway.errors import Unavailable
from slipway.ports.workspace import Workspace
from slipway.tables.versions import head, history, read

POSTGRES = os.environ.get("SLIPWAY_TEST_POSTGRES", "postgresql+psycopg://127.0.0.1:5432/test")
pytestmark = pytest.mark.full


@pytest.fixture
def engine() -> Iterator[sqlalchemy.Engine]:
    pytest.importorskip("psycopg", reason="needs psycopg: make test-all installs it")
    found = sqlalchemy.create_engine(POSTGRES, poolclass=sqlalchemy.NullPool)
    try:
        found.connect().close()
    except sqlalchemy.exc.OperationalError:
        pytest.skip(
            f"needs PostgreSQL at {POSTGRES}: docker run -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres"
        )
    yield found
    found.dispose()


def run(engine: sqlalchemy.Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(statement))


def declared(query: str, where: str = POSTGRES) -> Table:
    @sw.table(key="id", time="at", watermark="at", source=sw.sql(where, query))
    def orders() -> None: ...

    return orders


def test_instants_are_watermarks_to_the_microsecond(
    workspace: Workspace, tmp_path: Path, engine: sqlalchemy.Engine
) -> None:
    name = f"slipway_sync_{os.getpid()}"
    run(engine, f"create table {name} (id integer, at timestamptz)")
    try:
        run(
            engine,
            f"insert into {name} values (1, '2013-03-01 10:00:00.000001+02'), (2, '2013-03-01 08:00:00.000001Z')",
        )
        assert sync(workspace, declared(name), tmp_path).rows == 2
        reached = head(workspace, "orders").synced
        assert reached is not None
        assert reached.reached is not None
        assert value_of(reached.reached) == datetime(2013, 3, 1, 8, 0, 0, 1, tzinfo=UTC)
        run(engine, f"insert into {name} values (3, '2013-03-01 08:00:00.000001Z'), (4, '2013-03-01 08:00:00Z')")
        assert sync(workspace, declared(name), tmp_path).rows == 3  # the fourth is older than what was reached
        assert read(workspace, "orders").collect()["id"].to_list() == [1, 2, 3]
        assert sync(workspace, declared(name), tmp_path, full=True).rows == 4
    finally:
        run(engine, f"drop table {name}")


def test_a_server_that_goes_away_while_it_is_read_leaves_the_table_as_it_was(
    workspace: Workspace, tmp_path: Path, engine: sqlalchemy.Engine
) -> None:
    mark = f"mark_{os.getpid()}"
    where = f"{POSTGRES}?application_name={mark}"
    row = "select i as id, timestamptz '2013-01-01' + i * interval '1 second' as at"
    sync(workspace, declared(f"{row} from generate_series(1, 3) i", where), tmp_path)
    slow = (
        f"{row}, pg_sleep(case when i > 60000 then 0.001 else 0 end)::text as pause from generate_series(1, 900000) i"
    )
    ended = threading.Event()

    def terminate() -> None:
        old = "now() - query_start > interval '1 second'"
        find = f"select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{mark}' and {old}"
        while not ended.is_set():
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text(find))
            time.sleep(0.2)

    killer = threading.Thread(target=terminate)
    killer.start()
    try:
        with pytest.raises(Unavailable, match=r"stopped answering after .* rows: .*Nothing of them was stored"):
            sync(workspace, declared(slow, where), tmp_path, full=True)
    finally:
        ended.set()
        killer.join()
    assert len(history(workspace, "orders")) == 1
    assert read(workspace, "orders").collect().height == 3
