"""Each ledger store against the port's suite, and what only the one on SQLite can show."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.backends.sqlite_ledger_schema import SCHEMA_VERSION
from slipway.conformance.ledger_store import LedgerStoreSuite
from slipway.errors import BackendError, Corrupt
from slipway.ports.ledger_store import LedgerStore


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
