"""Each ledger store against the port's suite, and what only the one on SQLite can show."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest

from slipway.backends import sql_search, sqlite_ledger
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.backends.sqlite_ledger_schema import MIGRATIONS, SCHEMA_VERSION
from slipway.conformance.ledger_store import LedgerStoreSuite
from slipway.errors import BackendError, Corrupt, InvalidInput
from slipway.ports.ledger_store import LedgerStore
from slipway.records.record import Entry
from slipway.records.runs import MetricPoint
from slipway.records.search import Field, Order


class TestSqliteLedger(LedgerStoreSuite):
    def make(self, folder: Path) -> LedgerStore:
        return SqliteLedger(folder / "ledger.db")


def test_a_transaction_inside_another_is_refused(tmp_path: Path) -> None:
    store = SqliteLedger(tmp_path / "ledger.db")
    with store.write(), pytest.raises(BackendError, match="inside another"), store.write():
        pass
    store.close()


def test_a_file_that_is_no_database_is_damage_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is text, not a database " * 100)
    with pytest.raises(Corrupt, match="backup"):
        SqliteLedger(path)
    assert path.read_bytes().startswith(b"this is text")


def test_a_store_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    SqliteLedger(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(BackendError, match="Upgrade"):
        SqliteLedger(path)


def test_a_thread_that_ended_leaves_no_file_open(tmp_path: Path) -> None:
    store = SqliteLedger(tmp_path / "ledger.db")

    def look() -> None:
        with store.read() as tx:
            tx.get("run", "r1")

    look()
    counts = []
    for _ in range(10):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts == counts[:1] * 10  # SQLite keeps a closed file for the next connection while another one is open
    store.close()


_WRITER = """
import sys
from pathlib import Path
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.records.record import Entry

store = SqliteLedger(Path(sys.argv[1]))
i = 0
while True:
    with store.write() as tx:
        for half in ("a", "b"):
            tx.put(Entry(kind="run", id=f"{i}{half}", project="p", name="", number=i, state="", parent="",
                         created_us=i, etag=0, body=b"{}"))
    print(i, flush=True)
    i += 1
"""


def test_what_was_acknowledged_survives_kill_9_and_nothing_is_half(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = -1
    for line in writer.stdout:
        acknowledged = int(line)
        if acknowledged == 20:
            os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    store = SqliteLedger(path)
    with store.read() as tx:
        found = {entry.id for entry in tx.find("run", limit=100_000)}
    store.close()
    assert {f"{i}{half}" for i in range(acknowledged + 1) for half in "ab"} <= found
    assert {id[:-1] for id in found if id.endswith("a")} == {id[:-1] for id in found if id.endswith("b")}


def test_a_store_of_the_first_schema_is_moved_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in MIGRATIONS[0]:
        assert isinstance(statement, str)
        connection.execute(statement)
    for number, id in enumerate(("r2", "r1")):
        connection.execute(
            "INSERT INTO entries VALUES ('run', ?, 'flights', 'baseline', 0, 'finished', 'p', ?, 3, '{}')", (id, number)
        )
    rows = [("r1", "loss", step, step, 1, step / 2) for step in range(12_000)]
    rows += [("r1", "loss", 12_000, 5, 0, 0.0), ("r2", "auc", 1, 1, 1, 0.7), ("r2", "auc", 1, 1, 0, 0.0)]
    rows += [("gone", "auc", 1, 1, 1, 0.7)]
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.execute("COMMIT")
    connection.execute("INSERT INTO events VALUES (1, 'flights', 's', 'v', '{}')")
    connection.execute("PRAGMA user_version=1")
    connection.close()

    store = SqliteLedger(path)
    with store.read() as tx:
        assert [(entry.id, entry.etag, entry.created_us) for entry in tx.find("run")] == [("r1", 3, 1), ("r2", 3, 0)]
        assert [entry.id for entry in tx.find("run", parent="p")] == ["r1", "r2"]
        points = tx.points("r1", "loss")
        assert [(p.step, p.at_us, p.value) for p in points[:-1]] == [(step, step, step / 2) for step in range(12_000)]
        assert (points[-1].step, str(points[-1].value)) == (12_000, "nan")
        assert [str(point.value) for point in tx.points("r2", "auc")] == ["nan", "0.7"]
        latest = tx.latest_points(["r1", "r2"])
        assert [(p.key, p.step, str(p.value)) for p in latest["r1"]] == [("loss", 12_000, "nan")]
        assert [(p.key, p.value) for p in latest["r2"]] == [("auc", 0.7)]
        found = tx.search("run", project="flights", order=[Order(Field("metric", "auc"))])
        assert [entry.id for entry in found.entries] == ["r2", "r1"]
    with store.write() as tx:
        tx.add_points("r2", [MetricPoint("auc", 0.8, 2)])
        assert tx.put(found.entries[0], expect=3) == 4
    store.close()
    assert len(connection_tables(path) & {"points", "numbered"}) == 0


def connection_tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    return names


def test_damaged_points_are_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    store = SqliteLedger(path)
    with store.write() as tx:
        tx.put(
            Entry(
                kind="run", id="r1", project="p", name="", number=0, state="", parent="", created_us=1, etag=0, body=b""
            )
        )
        tx.add_points("r1", [MetricPoint("auc", 0.5, step) for step in range(9)])
    connection = sqlite3.connect(path)
    for body in (b"\x01nonsense", b"\x07" + zlib.compress(bytes(24)), b"\x01" + zlib.compress(bytes(25))):
        connection.execute("UPDATE bodies SET body=?", (body,))
        connection.commit()
        with store.read() as tx, pytest.raises(Corrupt, match="block of metric points"):
            tx.points("r1", "auc")
    connection.close()
    store.close()


def test_a_search_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteLedger(tmp_path / "ledger.db")
    monkeypatch.setattr(sql_search, "_LONGEST_S", 0.0)
    monkeypatch.setattr(sqlite_ledger, "_LOOKS", 1)
    with store.read() as tx:
        with pytest.raises(InvalidInput, match="was given up"):
            tx.search("run", project="p")
        assert tx.find("run") == []
    store.close()
