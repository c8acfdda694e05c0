"""A store copied to another folder: the same in every byte that counts, refused until it is, gone on with after a stop."""

import os
import pwd
import shutil
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from moving_house import PART, build, opened
from slipway.backends.clocks import SimulatedClock
from slipway.errors import BackendError, Conflict, Denied, InvalidInput, NotFound
from slipway.governance.audit import verify
from slipway.governance.people import add
from slipway.hashing import digest
from slipway.hosts import store_copy
from slipway.hosts.copied_files import COPY_FILE, listed
from slipway.hosts.ledgers import open_ledger
from slipway.hosts.project import open_project
from slipway.hosts.settings import Settings, read_settings
from slipway.ledger import copying, events
from slipway.operations.declare import Empty
from slipway.operations.people import AddPerson
from slipway.ports.workspace import Workspace
from slipway.records.copies import StoreCopy

CLOCK = SimulatedClock(datetime(2013, 4, 1, tzinfo=UTC))


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a filled store, to be copied for each test."""
    home = tmp_path_factory.mktemp("filled")
    build(home, CLOCK)
    return home


@pytest.fixture
def home(tmp_path: Path, filled: Path) -> Path:
    return shutil.copytree(filled, tmp_path / "home", symlinks=True)


@pytest.fixture
def settings(home: Path) -> Settings:
    return read_settings(home)


def copy(home: Path, source: str = "dev", target: str = "disk", stop_at: int = -1) -> StoreCopy:
    """Copy; or stop where the notice of this number comes."""
    came = 0

    def notice(what: str, done: int, of: int) -> None:
        nonlocal came
        came += 1
        if came == stop_at:
            raise Stopped

    return store_copy.copy_store(home, read_settings(home), source, target, notice=notice)


def same(home: Path, *stores: str) -> None:
    """See that stores are equal in all that can be seen of them, and whole."""
    states = []
    for store in stores:
        root = home / store
        with opened(root, CLOCK) as workspace:
            state = copying.state_of(workspace.ledger)
            assert verify(workspace, Empty()).sealed > 0
            blobs = {one.digest: workspace.blobs.get(one.digest) for one in workspace.blobs.stored()}
        files = {name: (root / name).read_bytes() for name in listed(root) if (root / name).is_file()}
        parts = {path.name: path.read_bytes() for path in root.glob("tables/*/*/*.parquet")}
        states.append((state, blobs, files, parts))
    assert all(state == states[0] for state in states[1:])
    assert all(len(part) > 0 for part in states[0])


def test_a_store_moves_to_another_disk_and_back(home: Path, settings: Settings) -> None:
    made = copy(home)
    assert made.differences == ()
    assert {one.table: one.rows for one in made.ledger}["entries"] > 50
    assert [one.sort for one in made.files] == ["blobs", "parts of tables", "files of the folder"]
    assert all(one.count > 0 for one in made.files)
    root = home / "disk" / "store"
    assert (root / "keys" / "signing.key").stat().st_mode == (home / ".slipway/keys/signing.key").stat().st_mode
    assert os.readlink(root / "tables/flights/flights/link") == "notes.json"
    assert (root / f"tables/flights/flights/{digest(PART)}.parquet").read_bytes() == PART
    assert not (root / ".copying").exists()
    assert copy(home, "disk", "back").differences == ()
    same(home, ".slipway", "disk/store", "back")


def test_wherever_it_is_stopped_it_is_refused_until_it_came_to_its_end(home: Path) -> None:
    stopped = 0
    while True:
        try:
            made = copy(home, stop_at=1 + stopped % 3 + 7 * stopped)
        except Stopped:
            stopped += 1
            with pytest.raises(Conflict, match=r"is a copy that is not whole.*slipway env copy dev disk"):
                open_ledger(home / "disk" / "store")
        else:
            break
    assert stopped >= 5
    assert made.differences == ()
    same(home, ".slipway", "disk/store")


def test_the_same_command_brings_what_was_written_since(home: Path) -> None:
    copy(home)
    with opened(home / ".slipway", CLOCK) as workspace:
        kept = workspace.blobs.put(b"since")
        gone = next(one for one in [found.digest for found in workspace.blobs.stored()] if one != kept)
        workspace.blobs.delete(gone)
        with workspace.ledger.write() as tx:
            tx.set_ref("flights", "alias", "flight-delays/second", "1", expect=None)
    (home / ".slipway/keys/further").write_text("x")
    (home / ".slipway/tables/flights/flights/notes.json").unlink()
    assert copy(home).differences == ()
    same(home, ".slipway", "disk/store")
    with opened(home / "disk/store", CLOCK) as workspace:
        assert workspace.blobs.has(kept)
        assert not workspace.blobs.has(gone)


def test_one_that_was_used_since_is_not_overwritten(home: Path) -> None:
    copy(home)
    with opened(home / "disk/store", CLOCK) as workspace, workspace.ledger.write() as tx:
        tx.set_ref("flights", "alias", "flight-delays/own", "1", expect=None)
    with pytest.raises(Conflict, match="used since it was copied"):
        copy(home)
    with opened(home / "disk/store", CLOCK) as workspace, workspace.ledger.read() as tx:
        assert tx.ref("flights", "alias", "flight-delays/own") == "1"


def test_a_place_that_holds_something_else_is_refused(home: Path) -> None:
    root = home / "disk" / "store"
    root.mkdir(parents=True)
    (root / "thesis.txt").write_text("x")
    with pytest.raises(Conflict, match=r"something lies in its place: thesis\.txt"):
        copy(home)
    with pytest.raises(Conflict, match=r"thesis\.txt"):
        store_copy.sizes(home, read_settings(home), "dev", "disk")
    (root / "thesis.txt").unlink()
    (root / "blobs/ab").mkdir(parents=True)
    (root / "blobs/ab/cd").write_text("x")
    with pytest.raises(Conflict, match="something lies in its place: cd"):
        copy(home)
    shutil.rmtree(root)
    (root / "tables/p/t").mkdir(parents=True)
    (root / f"tables/p/t/{digest(PART)}.parquet").write_bytes(PART)
    with pytest.raises(Conflict, match=r"something lies in its place: [0-9a-f]{64}"):
        copy(home)
    assert (root / f"tables/p/t/{digest(PART)}.parquet").read_bytes() == PART
    with opened(home / "back", CLOCK) as workspace, workspace.ledger.write() as tx:
        tx.set_ref("p", "alias", "a", "b", expect=None)
    with pytest.raises(Conflict, match="holds something already"):
        copy(home, "dev", "back")


def test_a_place_that_was_only_looked_at_is_copied_to(home: Path) -> None:
    """Opening a store makes its ledger, its keys, and the project that slipway.toml names."""
    with open_project(home, environment="disk"):
        pass
    key = (home / "disk/store/keys/signing.key").read_bytes()
    assert copy(home).differences == ()
    same(home, ".slipway", "disk/store")
    assert (home / "disk/store/keys/signing.key").read_bytes() != key


def test_keys_that_signed_something_are_not_overwritten(home: Path) -> None:
    root = home / "back"
    with open_project(home, environment="back") as project:
        with project.workspace.ledger.write() as tx:
            events.record(tx, project.workspace, verb="runs.tagged", subject="run:1")
        events.seal(project.workspace.ledger, project.workspace.signer)
    key = (root / "keys/signing.key").read_bytes()
    with pytest.raises(Conflict, match="holds something already"):
        copy(home, "dev", "back")
    for path in root.glob("ledger.db*"):
        path.unlink()
    with pytest.raises(Conflict, match=r"something lies in its place: .*"):
        copy(home, "dev", "back")
    with open_project(home, environment="disk") as project:
        (project.workspace.root / "keys/trusted/0123456789abcdef.pub").write_bytes(b"of somebody else")
    with pytest.raises(Conflict, match=r"something lies in its place: keys/signing\.key"):
        copy(home)
    assert (root / "keys/signing.key").read_bytes() == key


def test_what_was_begun_from_another_store_is_not_gone_on_with(home: Path) -> None:
    with pytest.raises(Stopped):
        copy(home, stop_at=9)
    shutil.copytree(home / ".slipway", home / "back", symlinks=True)
    with pytest.raises(Conflict, match=r"was begun of another store: .*slipway env copy dev disk"):
        copy(home, "back", "disk")


def test_a_folder_in_the_other_the_same_and_nothing_are_refused(home: Path) -> None:
    with pytest.raises(InvalidInput, match="one holds the other"):
        copy(home, "dev", "dev")
    text = (home / "slipway.toml").read_text()
    (home / "slipway.toml").write_text(text.replace('"back"', '".slipway/inside"'))
    with pytest.raises(InvalidInput, match="one holds the other"):
        copy(home, "dev", "back")
    with pytest.raises(NotFound, match="has nothing in"):
        copy(home, "disk", "dev")
    with pytest.raises(NotFound, match="no environment 'disc'"):
        copy(home, "dev", "disc")


def test_what_cannot_be_read_at_the_source_is_named_and_keeps_the_copy_marked(home: Path) -> None:
    with opened(home / ".slipway", CLOCK) as workspace:
        hurt = workspace.blobs.put(b"to be hurt")
    path = home / ".slipway/blobs" / hurt[:2] / hurt[2:]
    path.write_bytes(b"to be hurT")
    part = home / f".slipway/tables/flights/flights/{digest(PART)}.parquet"
    part.write_bytes(PART[:-1] + b"?")
    found = copy(home).differences
    assert [line.partition(" is damaged")[0] for line in found] == [
        f"blobs: {hurt} cannot be read: The blob {hurt}",
        f"parts of tables, flights/flights: {digest(PART)} cannot be read: The part {digest(PART)} in {part.parent}",
    ]
    with pytest.raises(Conflict, match="was found to differ"):
        open_ledger(home / "disk" / "store")
    path.write_bytes(b"to be hurt")
    part.write_bytes(PART)
    assert copy(home).differences == ()
    same(home, ".slipway", "disk/store")


def test_what_was_hurt_in_the_copy_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of thing is altered after it was copied and before it is compared."""
    root = home / "disk" / "store"

    def notice(what: str, done: int, of: int) -> None:
        if what == "compare: blobs" and done == 0:
            blob = next(path for path in (root / "blobs").glob("*/*") if path.stat().st_size == 10_000_000)
            blob.chmod(0o600)
            blob.write_bytes(b"Large" + blob.read_bytes()[5:])
            (root / f"tables/flights/flights/{digest(PART)}.parquet").write_bytes(PART.upper())
            (root / "keys" / "signing.key").write_bytes(b"")
            (root / "stranger").write_text("x")
        if what == "compare: ledger, refs":
            with closing(copying_ledger(root)) as ledger, ledger.write() as tx:
                tx.set_ref("flights", "alias", "flight-delays/champion", "7", expect="1")

    made = store_copy.copy_store(home, read_settings(home), "dev", "disk", notice=notice)
    large = digest(b"large" * 2_000_000)
    assert made.differences == (
        "ledger, refs: flights/alias/flight-delays/champion is another in the copy",
        f"blobs: {large} has other bytes in the copy",
        f"parts of tables, flights/flights: {digest(PART)} has other bytes in the copy",
        "files: stranger is only in the copy",
        "files: keys/signing.key has other bytes in the copy",
    )
    assert b"has other bytes" in (root / COPY_FILE).read_bytes()


def copying_ledger(root: Path):  # type: ignore[no-untyped-def]
    from slipway.hosts.ledgers import open_unfinished

    return open_unfinished(root)


def test_a_disk_that_fails_is_a_sentence(home: Path) -> None:
    def notice(what: str, done: int, of: int) -> None:
        if what == "copy: blobs" and not done:
            shutil.rmtree(home / "disk/store/.copying")

    with pytest.raises(BackendError, match="Copying 'dev' to 'disk' failed: No such file or directory"):
        store_copy.copy_store(home, read_settings(home), "dev", "disk", notice=notice)
    assert copy(home).differences == ()


def test_two_at_once_are_not_let(home: Path) -> None:
    def notice(what: str, done: int, of: int) -> None:
        if what == "the copy is marked":
            with pytest.raises(Conflict, match="is being filled by another command"):
                copy(home)

    assert store_copy.copy_store(home, read_settings(home), "dev", "disk", notice=notice).differences == ()


def test_what_is_written_meanwhile_is_not_copied_and_said(home: Path) -> None:
    with opened(home / ".slipway", CLOCK) as busy:

        def notice(what: str, done: int, of: int) -> None:
            if what == "compare: ledger, entries":
                said(busy)

        made = store_copy.copy_store(home, read_settings(home), "dev", "disk", notice=notice)
    assert (made.differences, made.written_meanwhile) == ((), 1)
    assert copy(home).written_meanwhile == 0
    same(home, ".slipway", "disk/store")


def said(workspace: Workspace) -> None:
    from slipway.ledger import events

    with workspace.ledger.write() as tx:
        events.record(tx, workspace, verb="runs.tagged", subject="run:2")


def test_sizes_are_said_and_nothing_is_made(home: Path, settings: Settings) -> None:
    told = store_copy.sizes(home, settings, "dev", "disk")
    assert not (home / "disk").exists()
    made = copy(home)
    assert told.files == made.files
    assert [(one.table, one.rows) for one in told.ledger] == [(one.table, one.rows) for one in made.ledger]


def test_who_has_no_right_in_all_of_the_store_copies_nothing(home: Path) -> None:
    with opened(home / ".slipway", CLOCK) as workspace:
        there = replace(workspace, project="")
        add(there, AddPerson(name="boss", roles=("admin",), account="boss"))
        add(there, AddPerson(name="me", roles=("business owner",), account=pwd.getpwuid(os.getuid()).pw_name))
    with pytest.raises(Denied, match=r"environments\.copy"):
        copy(home)
    with pytest.raises(Denied, match=r"environments\.copy"):
        store_copy.sizes(home, read_settings(home), "dev", "disk")
    assert not (home / "disk").exists()


def test_the_section_that_moves_an_environment_is_shown(home: Path) -> None:
    text = '[environments.big]\nstore = "store"\nledger = "postgresql://s:${PW}@h/s"\nblobs = "s3://bucket/s"\nworkers = 9\n'
    (home / "slipway.toml").write_text((home / "slipway.toml").read_text() + text)
    assert store_copy.section(read_settings(home), "dev", "big") == (
        '[environments.dev]\nstore = "store"\nledger = "postgresql://s:${PW}@h/s"\nblobs = "s3://bucket/s"\nworkers = 2'
    )
