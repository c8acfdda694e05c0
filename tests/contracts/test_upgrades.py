"""A ledger of an older schema, killed at each step of its way to this one, on SQLite and PostgreSQL."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import postgres_here
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.backends.sqlite_ledger_schema import SCHEMA_VERSION
from slipway.errors import BackendError
from slipway.governance import audit
from slipway.hosts.ledgers import upgrade_ledger
from slipway.hosts.project import open_workspace
from slipway.operations.declare import Empty
from slipway.ports.ledger_store import LedgerStore
from slipway.records.record import Entry
from slipway.records.search import Search
from slipway.runs.browse import search_runs

FIRST = Path(__file__).with_name("first_schema.sql")
"""What Slipway wrote when its ledger had the first schema: three runs with points, and their events."""

DYING = """
import os, signal, sqlite3, sys
from contextlib import closing
from pathlib import Path

left = int(sys.argv[1])

def one_more(frame=None):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

def dying(function):
    def called(*arguments, **more):
        one_more()
        return function(*arguments, **more)
    return called

class Connection(sqlite3.Connection):
    execute = dying(sqlite3.Connection.execute)
    executemany = dying(sqlite3.Connection.executemany)
    backup = dying(sqlite3.Connection.backup)

connect = sqlite3.connect
sqlite3.connect = lambda *arguments, **more: connect(*arguments, **{"factory": Connection} | more)
os.fsync, os.replace, os.unlink = dying(os.fsync), dying(os.replace), dying(os.unlink)
from slipway.backends.sqlite_ledger import SqliteLedger

for step in range(1, 1000):
    left = step
    child = os.fork()
    if not child:
        SqliteLedger(Path(sys.argv[2]) / str(step) / "ledger.db")
        os._exit(0)
    print(step, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    left = 0
    sys.stdin.readline()
"""


def first(path: Path) -> None:
    """A ledger as a release of the first schema left it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(FIRST.read_text())
    connection.execute("PRAGMA user_version=1")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def read_as_first(path: Path) -> list[Any]:
    """All that a release of the first schema finds in a ledger; it refuses one whose version is not 1."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [
            row
            for table in ("entries", "refs", "links", "points", "events", "roots")
            for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
        ]
    finally:
        connection.close()


def entry(id: str) -> Entry:
    return Entry(
        kind="run", id=id, project="p", name="", number=0, state="", parent="", created_us=1, etag=0, body=b"{}"
    )


def seen(store: LedgerStore) -> tuple[list[Any], dict[Any, Any], list[Any], list[Any]]:
    with store.read() as tx:
        runs = tx.find("run", limit=1000)
        points = {(run.id, key): tx.points(run.id, key) for run in runs for key in ("loss", "auc")}
        return [(run.id, run.etag, run.body) for run in runs], points, tx.written_events(), tx.written_roots()


def test_a_store_of_the_first_schema_is_kept_beside_and_all_of_it_is_there(tmp_path: Path) -> None:
    """Opened by what any command opens it by."""
    path = tmp_path / "ledger.db"
    first(path)
    before = read_as_first(path)
    said: list[str] = []
    workspace = open_workspace(tmp_path, project="oldp2", say=said.append)
    assert said == [
        f"The ledger was brought from schema 1 to {SCHEMA_VERSION}. As it was it lies in "
        f"{tmp_path / 'ledger.schema-1.db'}; remove it when you do not want to go back."
    ]
    assert read_as_first(tmp_path / "ledger.schema-1.db") == before
    assert audit.seal(workspace, Empty()).root.last_seq == 7
    assert audit.verify(workspace, Empty()).sealed == 7
    found = search_runs(workspace, Search(where="metrics.loss < 0.0195 and state = 'finished'"))
    assert [one.run.name for one in found.runs] == ["try-2"]
    runs, points, events, _ = seen(workspace.ledger)
    assert [len(known) for known in points.values()] == [50, 1] * 3
    assert (len(runs), len(events)) == (3, 7)
    assert [bytes(body) for _, body in events[:6]] == [row[-1] for row in before if isinstance(row[0], int)]
    workspace.ledger.close()
    assert "nothing was to be done" in upgrade_ledger(tmp_path).sentence


def test_who_has_a_ledger_open_that_a_newer_release_upgrades_is_told_so(tmp_path: Path) -> None:
    store = SqliteLedger(tmp_path / "ledger.db")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as newer:
        newer.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    with pytest.raises(BackendError, match="newer Slipway"), store.write() as tx:
        tx.put(entry("r1"))
    with pytest.raises(BackendError, match="newer Slipway"), store.read():
        pass
    store.close()


def test_files_of_a_newer_format_are_left_alone_and_earlier_releases_leave_newer_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_workspace(tmp_path, project="p").ledger.close()
    monkeypatch.setattr("slipway.hosts.ledgers.FORMAT", 2)
    open_workspace(tmp_path, project="p").ledger.close()
    open_workspace(tmp_path, project="p").ledger.close()
    monkeypatch.setattr("slipway.hosts.ledgers.FORMAT", 1)
    with pytest.raises(BackendError, match="its files are of format 2, this one knows 1"):
        open_workspace(tmp_path, project="p")


@pytest.mark.full
def test_a_ledger_in_a_file_killed_at_each_step_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    first(tmp_path / "whole" / "ledger.db")
    before = read_as_first(tmp_path / "whole" / "ledger.db")
    whole = SqliteLedger(tmp_path / "whole" / "ledger.db")
    after = seen(whole)
    whole.close()
    first(tmp_path / "1" / "ledger.db")
    with subprocess.Popen(
        [sys.executable, "-c", DYING, "0", str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as dying:
        assert dying.stdin
        assert dying.stdout
        killed = 0
        for line in dying.stdout:
            step, ended = map(int, line.split())
            path = tmp_path / str(step) / "ledger.db"
            if ended == 0:
                break
            assert ended == -signal.SIGKILL
            killed += 1
            connection = sqlite3.connect(path)
            is_old = connection.execute("PRAGMA user_version").fetchone() == (1,)
            connection.close()
            if is_old:
                assert read_as_first(path) == before
            kept = path.with_name("ledger.schema-1.db")
            assert not kept.exists() or read_as_first(kept) == before
            assert is_old or kept.exists()
            store = SqliteLedger(path)
            assert seen(store) == after
            store.close()
            assert [one.name for one in path.parent.glob("*.part")] == []
            first(tmp_path / str(step + 1) / "ledger.db")
            dying.stdin.write("\n")
            dying.stdin.flush()
        dying.kill()
    assert killed > 30


NEXT = """
import os, signal, sys
import psycopg
from slipway.backends import postgres_ledger

postgres_ledger.MIGRATIONS += (
    ("ALTER TABLE entries ADD COLUMN extra TEXT", "UPDATE entries SET extra=id", "CREATE INDEX more ON entries (extra)"),
)
postgres_ledger.SCHEMA_VERSION += 1
left, execute = int(sys.argv[1]), psycopg.Connection.execute

def dying(*arguments, **more):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(*arguments, **more)

psycopg.Connection.execute = dying
store = postgres_ledger.PostgresLedger(sys.argv[2], upgrade=len(sys.argv) > 3)
print(store.upgraded_from)
"""
"""A release whose ledger has one schema more, which is killed before its nth statement."""


@pytest.mark.full
def test_a_ledger_in_postgresql_is_upgraded_by_command_alone_and_killed_at_each_step_is_the_old_one() -> None:
    from slipway.backends.postgres_ledger import PostgresLedger

    with postgres_here.cleaned() as url:
        store = PostgresLedger(url)
        with store.write() as tx:
            tx.put(entry("r1"))
        refused = subprocess.run([sys.executable, "-c", NEXT, "0", url], capture_output=True, text=True)
        assert refused.returncode == 1
        assert "slipway env upgrade NAME" in refused.stderr
        for step in range(1, 100):
            done = subprocess.run(
                [sys.executable, "-c", NEXT, str(step), url, "upgrade"], capture_output=True, text=True
            )
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, done.stderr
            with store.write() as tx:  # the older release goes on
                tx.put(entry(f"after-{step}"))
        assert done.stdout == "1\n"
        assert step > 8
        with pytest.raises(BackendError, match="newer Slipway"), store.write():
            pass
        store.close()
        with pytest.raises(BackendError, match="Upgrade Slipway"):
            PostgresLedger(url)
        with postgres_here.connection() as other:
            schema = url.rpartition("%3D")[2]
            rows = other.execute(f"SELECT id, extra FROM {schema}.entries ORDER BY no").fetchall()
        assert rows == [(id, id) for id in ("r1", *(f"after-{one}" for one in range(1, step)))]


@pytest.mark.full
def test_several_that_upgrade_at_once_do_it_once(tmp_path: Path) -> None:
    with postgres_here.cleaned() as url:
        from slipway.backends.postgres_ledger import PostgresLedger

        PostgresLedger(url).close()
        several = [
            subprocess.Popen([sys.executable, "-c", NEXT, "0", url, "upgrade"], stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        assert sorted(one.communicate()[0] for one in several) == ["0\n", "0\n", "1\n"]
    first(tmp_path / "ledger.db")
    opens = "import sys; from slipway.hosts.ledgers import upgrade_ledger; from pathlib import Path; "
    opens += "print(upgrade_ledger(Path(sys.argv[1])).before)"
    several = [
        subprocess.Popen([sys.executable, "-c", opens, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert sorted(one.communicate()[0] for one in several) == ["0\n", "0\n", "1\n"]
