"""Tables that the loop syncs: what is due, once, from the snapshot, in a process of its own, whoever is killed."""

import fcntl
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from slipway.backends.clocks import FileClock
from slipway.cli import main
from slipway.data.sync import begin_sync
from slipway.hosts.project import open_project
from slipway.hosts.store_clock import CLOCK_FILE
from slipway.ledger import entries
from slipway.loop.syncs import pass_over_tables
from slipway.operations.declare import call
from slipway.operations.rollouts import Reconcile, Reconciled
from slipway.operations.table import operation
from slipway.ports.ledger_store import LedgerStore, WriteTransaction
from slipway.records.monitors import Incident
from slipway.records.sources import Sync
from slipway.tables import syncs
from slipway.tables.syncs import list_syncs
from slipway.tables.versions import history

START = datetime(2013, 4, 1, 12, tzinfo=UTC)
DECLARED = """
import slipway as sw

SCHEDULE = sw.cron("0 3 * * *", timezone="Europe/Berlin")  # 01:00 UTC in summer

@sw.table(key="id", watermark="seen", source=sw.sql("{url}", "orders"), schedule=SCHEDULE)
def orders(rows):
    return rows
"""


def shop(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute(statement)
    connection.close()


class Desk:
    """A project with one table on a schedule, in simulated time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FileClock(folder / ".slipway" / CLOCK_FILE)

    def declare(self, url: str = "sqlite:///shop.db") -> None:
        (self.folder / "shop_orders.py").write_text(DECLARED.format(url=url))

    def type(self, *words: str) -> str:
        sys.modules.pop("shop_orders", None)  # it is read anew
        answer = CliRunner().invoke(main, [*words, "-C", str(self.folder)], catch_exceptions=False)
        return answer.output

    def look(self, *, settle: bool = True) -> Reconciled:
        with open_project(self.folder) as project:
            done: Reconciled = call(project.workspace, operation("loop.reconcile"), Reconcile(settle=settle))
            return done

    def at(self, days: float) -> None:
        self.clock.advance_to(START + timedelta(days=days))

    def syncs(self) -> list[tuple[str, str]]:
        with open_project(self.folder) as project, project.workspace.ledger.read() as tx:
            found = entries.find(tx, Sync, project="shop", limit=100)
        return [(one.trigger, one.state) for one in sorted(found, key=lambda one: (one.created_at, one.id))]

    def running(self) -> Sync | None:
        with open_project(self.folder) as project, project.workspace.ledger.read() as tx:
            return next(iter(entries.find(tx, Sync, project="shop", state="running", limit=1)), None)

    def versions(self) -> int:
        with open_project(self.folder) as project:
            return len(history(project.workspace, "orders"))

    def incidents(self) -> list[str]:
        with open_project(self.folder) as project, project.workspace.ledger.read() as tx:
            return [one.state for one in entries.find(tx, Incident, parent="shop/table:orders", limit=10)]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "shop"\nmodule = "shop_orders"\n')
    (tmp_path / ".slipway").mkdir()
    shop(tmp_path, "create table orders (id integer, seen integer)")
    shop(tmp_path, "insert into orders values (1, 10)")
    made = Desk(tmp_path)
    made.clock.advance_to(START)
    made.declare()
    monkeypatch.syspath_prepend(tmp_path)
    made.type("data", "sync")
    return made


BY_HAND, DUE = ("by hand", "made"), "schedule 0 3 * * * Europe/Berlin"


def test_what_is_due_is_synced_once_without_anybodys_checkout(desk: Desk) -> None:
    (desk.folder / "shop_orders.py").unlink()
    desk.look()
    assert desk.syncs() == [BY_HAND]  # times before the schedule was declared are not caught up
    shop(desk.folder, "insert into orders values (2, 20)")
    desk.at(1)
    assert desk.look(settle=False).syncing == 1
    for _ in range(3):
        desk.look()
    assert desk.syncs() == [BY_HAND, (DUE, "made")]
    assert desk.versions() == 2
    desk.at(5)  # four times were missed: one is caught up
    for _ in range(3):
        desk.look()
    assert desk.syncs() == [BY_HAND, (DUE, "made"), (DUE, "unchanged")]
    assert len(list((desk.folder / ".slipway" / "tasks").iterdir())) == 1  # of the last one
    text = desk.type("data", "list")
    assert "0 3 * * * Europe/Berlin" in text
    assert "2013-04-07 01:00" in text
    assert "late" not in text


def test_a_pass_in_which_nothing_is_due_writes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_project(desk.folder) as project:
        monkeypatch.setattr(project.workspace.ledger, "write", None)
        assert pass_over_tables(project.workspace) == []


def test_a_table_whose_last_sync_is_long_ago_stays_in_the_list(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncs, "_RECENT", 3)
    with open_project(desk.folder) as project:
        begin_sync(project.workspace, "returns", trigger="by hand")
        desk.at(1)
        for number in range(4):
            begun = begin_sync(project.workspace, "visits", trigger=f"time {number}")
            with project.workspace.ledger.write() as tx:
                entries.put(tx, msgspec.structs.replace(begun, state="unchanged" if number < 2 else "failed"))
        told = {one.table: one for one in list_syncs(project.workspace)}
    assert set(told) == {"orders", "returns", "visits"}
    assert (told["orders"].state, told["returns"].state, told["visits"].state) == ("made", "running", "failed")
    assert told["visits"].good_at == START + timedelta(days=1)


def test_what_fails_opens_an_incident_and_has_its_turn_at_the_next_time(desk: Desk) -> None:
    (desk.folder / "shop.db").rename(desk.folder / "away.db")
    desk.at(1)
    for _ in range(4):
        desk.look()
    assert desk.syncs() == [BY_HAND, (DUE, "failed")]
    assert desk.incidents() == ["open"]
    text = desk.type("data", "list")
    assert "failed, late" in text
    assert "There is no SQLite file" in text
    (desk.folder / "away.db").rename(desk.folder / "shop.db")
    desk.at(2)
    for _ in range(3):
        desk.look()
    assert desk.syncs()[-1] == (DUE, "unchanged")
    assert desk.incidents() == ["closed"]


def test_a_project_that_cannot_be_imported_fails_in_words(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (desk.folder / "shop_orders.py").read_text()
    code += "\nimport os\nif os.environ.get('BROKEN'):\n    raise ValueError('the module is broken')\n"
    (desk.folder / "shop_orders.py").write_text(code)
    desk.type("data", "sync")
    monkeypatch.setenv("BROKEN", "yes")
    desk.at(1)
    for _ in range(3):
        desk.look()
    assert desk.syncs()[-1] == (DUE, "failed")
    assert "the module is broken" in desk.type("data", "list")


def test_of_two_controllers_that_look_at_once_one_syncs(desk: Desk) -> None:
    desk.at(1)

    class Overtaken:
        """A ledger whose first writer finds that another controller was faster."""

        def __init__(self, real: LedgerStore, other: Callable[[], object]) -> None:
            self.read, self._real, self._other = real.read, real, [other]

        def write(self) -> AbstractContextManager[WriteTransaction]:
            if self._other:
                self._other.pop()()
            return self._real.write()

    with open_project(desk.folder) as project:
        real = project.workspace
        ledger: Any = Overtaken(real.ledger, lambda: pass_over_tables(real))
        assert pass_over_tables(replace(real, ledger=ledger)) == []
    desk.look()
    assert desk.syncs() == [BY_HAND, (DUE, "unchanged")]


@pytest.mark.full
def test_a_killed_process_starts_again_and_after_three_times_it_has_failed(desk: Desk) -> None:
    shop(desk.folder, "insert into orders values (2, 20)")
    with sqlite3.connect(desk.folder / "shop.db") as holder:
        holder.execute("begin exclusive")  # nobody can read: the process waits
        desk.at(1)
        for _ in range(3):
            desk.look(settle=False)
            present = desk.running()
            assert present is not None
            kill(desk.folder / ".slipway" / "tasks" / present.id / "run.lock")
    holder.close()
    for _ in range(2):
        desk.look()
    assert desk.syncs() == [BY_HAND, (DUE, "failed")]
    desk.at(2)
    for _ in range(3):
        desk.look()
    assert desk.syncs()[-1] == (DUE, "made")
    assert desk.versions() == 2


def kill(lock: Path) -> None:
    until = time.monotonic() + 30
    while not (pid := lock.read_text().strip() if lock.exists() else "") and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(int(pid), signal.SIGKILL)
    with lock.open() as file:  # free when the last of its threads has gone
        fcntl.flock(file, fcntl.LOCK_EX)


def test_a_schedule_that_is_declared_no_more_is_over(desk: Desk) -> None:
    text = (desk.folder / "shop_orders.py").read_text().replace(", schedule=SCHEDULE", "")
    (desk.folder / "shop_orders.py").write_text(text)
    assert "orders: not synced any more" in desk.type("data", "sync")
    desk.at(3)
    desk.look()
    assert [state for _, state in desk.syncs()] == ["made", "unchanged"]
    assert json.loads(desk.type("data", "list", "--json"))["syncs"][0]["schedule"] == ""


def test_no_secret_is_left_of_a_scheduled_sync(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DB", f"sqlite:///{desk.folder}/shop.db")
    desk.declare("env:SHOP_DB")
    desk.type("data", "sync")
    monkeypatch.setenv("SHOP_DB", "postgresql+psycopg://ada:hunter2@127.0.0.1:9/shop")
    desk.at(1)
    for _ in range(3):
        desk.look()
    assert desk.syncs()[-1] == (DUE, "failed")
    for path in desk.folder.rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes(), path
