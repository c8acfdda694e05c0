"""The ledger in PostgreSQL against the port's suite, and what only it can show."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

import postgres_here
from slipway.backends import sql_search
from slipway.conformance.ledger_store import LedgerStoreSuite
from slipway.errors import BackendError, InvalidInput, InvalidSetting, Unavailable
from slipway.ports.ledger_store import LedgerStore
from slipway.records.record import Entry
from slipway.records.search import Compare, Facet, Field

psycopg = pytest.importorskip("psycopg", reason="pip install 'slipway[postgres]'")

pytestmark = pytest.mark.full


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_here.cleaned() as found:
        yield found


def opened(url: str) -> LedgerStore:
    from slipway.backends.postgres_ledger import PostgresLedger

    return PostgresLedger(url)


class TestPostgresLedger(LedgerStoreSuite):
    @pytest.fixture(autouse=True)
    def _here(self, url: str, request: pytest.FixtureRequest) -> None:
        self.url, self.request = url, request

    def make(self, folder: Path) -> LedgerStore:
        return opened(self.url)

    def make_empty(self, folder: Path) -> LedgerStore:
        self.emptied = postgres_here.cleaned()
        self.request.addfinalizer(lambda: self.emptied.__exit__(None, None, None))
        return opened(self.emptied.__enter__())


def entry(id: str, body: bytes = b"{}") -> Entry:
    return Entry(
        kind="run", id=id, project="p", name="", number=0, state="", parent="", created_us=1, etag=0, body=body
    )


def put(store: LedgerStore, *ids: str) -> None:
    with store.write() as tx:
        for id in ids:
            tx.put(entry(id))


def found(store: LedgerStore) -> set[str]:
    with store.read() as tx:
        return {known.id for known in tx.find("run", limit=100_000)}


def own_backend(tx: Any) -> int:
    return int(tx._execute("SELECT pg_backend_pid()").fetchone()[0])


def ended(pid: int) -> None:
    """End a connection as a restarting server does, and wait until it is gone."""
    with postgres_here.connection() as other:
        other.execute("SELECT pg_terminate_backend(%s, 30000)", (pid,))


def test_a_transaction_inside_another_is_refused_and_a_read_is_not(url: str) -> None:
    store = opened(url)
    with store.write() as tx:
        tx.put(entry("r1"))
        with store.read() as seen:
            assert seen.get("run", "r1") is not None
        with pytest.raises(BackendError, match="inside another"), store.write():
            pass
    assert found(store) == {"r1"}
    store.close()


def test_a_ledger_of_a_newer_release_is_left_alone(url: str) -> None:
    opened(url).close()
    with psycopg.connect(url) as other:
        other.execute("UPDATE slipway_schema SET version=version+1")
    with pytest.raises(BackendError, match="Upgrade"):
        opened(url)


def test_many_that_open_an_empty_schema_at_once_make_it_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: opened(url), range(4)))
    for number, store in enumerate(stores):
        put(store, str(number))
    assert found(stores[0]) == {"0", "1", "2", "3"}
    for store in stores:
        store.close()


def test_a_connection_that_died_between_transactions_is_not_noticed(url: str) -> None:
    store = opened(url)
    with store.read() as tx:
        pid = own_backend(tx)
    ended(pid)
    put(store, "r1")
    with store.read() as tx:
        pid = own_backend(tx)
    ended(pid)
    assert found(store) == {"r1"}
    store.close()


def test_a_connection_that_dies_inside_a_transaction_leaves_nothing_of_it(url: str) -> None:
    store = opened(url)

    def half() -> None:
        with store.write() as tx:
            tx.put(entry("r1"))
            ended(own_backend(tx))
            tx.put(entry("r2"))

    with pytest.raises(Unavailable, match="broke off") as broken:
        half()
    assert "whole or not at all" in str(broken.value)

    def uncommitted() -> None:
        with store.write() as tx:
            tx.put(entry("r1"))
            ended(own_backend(tx))

    with pytest.raises(Unavailable, match="broke off"):
        uncommitted()
    with store.read() as tx:
        ended(own_backend(tx))
        with pytest.raises(psycopg.OperationalError):
            tx.get("run", "r1")
    assert found(store) == set()
    put(store, "r3")
    assert found(store) == {"r3"}
    store.close()


def test_a_transaction_that_goes_on_after_a_failed_statement_is_not_half_kept(url: str) -> None:
    store = opened(url)

    def half() -> None:
        with store.write() as tx:
            tx.put(entry("r1"))
            with pytest.raises(psycopg.Error):
                tx._execute("SELECT 1/0")  # type: ignore[attr-defined]

    with pytest.raises(BackendError, match="after one of its statements had failed"):
        half()
    assert found(store) == set()
    store.close()


def test_a_search_that_takes_too_long_is_given_up_and_the_transaction_goes_on(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(url)
    with store.write() as tx:
        tx.put(msgspec.structs.replace(entry("r1"), facets=(Facet("tag", "user", "ada"),)))
    with store.read() as tx:
        assert len(tx.find("run")) == 1
        monkeypatch.setattr(sql_search, "_LONGEST_S", 0.0)
        with pytest.raises(InvalidInput, match="was given up"):
            tx.search("run", project="p")
        assert len(tx.find("run")) == 1
        # The database itself gives up too: here its statement waits for a lock.
        monkeypatch.setattr(sql_search, "_LONGEST_S", 0.3)
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE facets IN ACCESS EXCLUSIVE MODE")
            where = Compare(Field("tag", "user"), "=", "ada")
            with pytest.raises(InvalidInput, match="was given up"):
                tx.search("run", project="p", where=where)
            other.rollback()
        monkeypatch.setattr(sql_search, "_LONGEST_S", 20.0)
        assert len(tx.search("run", project="p", where=where).entries) == 1
    store.close()


_WRITER = """
import sys
from slipway.backends.postgres_ledger import PostgresLedger
from slipway.records.record import Entry

store = PostgresLedger(sys.argv[1])
i = 0
while True:
    with store.write() as tx:
        for half in ("a", "b"):
            tx.put(Entry(kind="run", id=f"{i}{half}", project="p", name="", number=i, state="", parent="",
                         created_us=i, etag=0, body=b"{}"))
    print(i, flush=True)
    i += 1
"""


def test_what_was_acknowledged_survives_kill_9_and_nothing_is_half(url: str) -> None:
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = -1
    for line in writer.stdout:
        acknowledged = int(line)
        if acknowledged == 20:
            os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    store = opened(url)
    put(store, "after")  # whoever was killed holds no lock
    ids = found(store) - {"after"}
    store.close()
    assert {f"{i}{half}" for i in range(acknowledged + 1) for half in "ab"} <= ids
    assert {id[:-1] for id in ids if id.endswith("a")} == {id[:-1] for id in ids if id.endswith("b")}


def test_a_forked_process_has_connections_of_its_own(url: str) -> None:
    store = opened(url)
    put(store, "r1")
    child = os.fork()
    if child == 0:
        try:
            put(store, "r2")
            store.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    put(store, "r3")
    assert found(store) == {"r1", "r2", "r3"}
    store.close()


def test_few_connections_stay_open_and_threads_share_them(url: str) -> None:
    store = opened(url)
    gate = threading.Barrier(12)

    def read(number: int) -> int:
        with store.read() as tx:
            gate.wait(60)
            return own_backend(tx)

    with ThreadPoolExecutor(12) as pool:
        used = set(pool.map(read, range(12)))
    assert len(used) == 12
    with postgres_here.connection() as other:
        for _ in range(600):
            (left,) = other.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", (list(used),)
            ).fetchone()
            if left <= 4:
                break
            time.sleep(0.1)
    assert left <= 4
    store.close()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda url: "postgresql://ada:hunter2@127.0.0.1:9/x", "cannot be reached"),
        (lambda url: re.sub(r"//([^/@]*@)?", "//ada:hunter2@", url, count=1), "does not let Slipway in"),
        (lambda url: "postgresql://ada:hun/ter2@h/x", "cannot be read"),
        (lambda url: "postgresql://ada:hun@ter2@h/x", "cannot be read"),
        (lambda url: "postgresql//ada:hunter2@h/x", "cannot be read"),
        (lambda url: url.partition("=-c")[0] + "=-csearch_path%3Dno_such_schema", "no schema"),
    ],
)
def test_what_cannot_be_opened_is_said_without_the_password(
    url: str, change: Callable[[str], str], sentence: str
) -> None:
    with pytest.raises((BackendError, InvalidSetting), match=sentence) as refusal:
        opened(change(url))
    problem: BaseException | None = refusal.value
    while problem is not None:
        assert "hunter2" not in str(problem)
        assert "ter2" not in str(problem)
        problem = problem.__cause__


def test_a_database_that_takes_no_connections_for_a_while_is_away_and_comes_back(url: str) -> None:
    """As an administrator has it while it is moved or restored: nothing about the URL is wrong."""
    name = f"slipway_test_{os.urandom(8).hex()}"
    with postgres_here.connection() as other:
        other.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
        try:
            store = opened(re.sub(r"(//[^/]*)/[^?]*.*", rf"\1/{name}", url))
            put(store, "a")
            other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            other.execute("SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname=%s", (name,))
            for _ in range(2):
                with pytest.raises(Unavailable, match="not currently accepting connections"):
                    put(store, "b")
            other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            put(store, "b")
            assert found(store) == {"a", "b"}
            store.close()
        finally:
            other.execute(f"DROP DATABASE {name} WITH (FORCE)")
