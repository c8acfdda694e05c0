"""A store that is copied while it is written, and taken back: whole or refused."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import polars as pl
import pytest
from click.testing import CliRunner, Result

import postgres_here
from filled_store import fill
from hosts_up import up
from slipway.cli import main
from slipway.errors import Conflict, Corrupt, Denied, InvalidInput, NotFound
from slipway.hosts.backup import PRIVATE, back_up, object_path
from slipway.hosts.project import open_workspace
from slipway.hosts.restoring import read_backup, restore, verify_backup
from slipway.ledger import entries, events
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.runs import Run
from slipway.tables.versions import overwrite, read


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    fill(workspace)
    events.seal(workspace.ledger, workspace.signer, head=workspace.root / "keys" / "audit.head")
    (workspace.root / "keys" / "hooks.key").write_bytes(b"secret")
    return workspace


def test_what_is_restored_is_what_was_there(filled: Workspace, tmp_path: Path) -> None:
    overwrite(filled, "numbers", pl.DataFrame({"id": [1, 2]}))
    filled.blobs.put(b"an artifact")
    made = back_up(filled, tmp_path / "backups")
    found = restore(tmp_path / "backups", tmp_path / "new")
    assert found.sealed + found.unsealed >= made.backup.events > 2
    before, after = content(filled.root), content(tmp_path / "new")
    assert {name for name in before if name.startswith(("blobs", "tables"))} <= set(after)
    assert all(after[name] == before[name] for name in after if name in before and not name.startswith("ledger"))
    there = open_workspace(tmp_path / "new", project="flights", actor=filled.actor)
    assert read(there, "numbers").collect().to_dict(as_series=False) == {"id": [1, 2]}
    there.ledger.close()
    assert not list(tmp_path.glob(".new*"))


def test_private_keys_are_copied_only_when_that_is_asked_for(filled: Workspace, tmp_path: Path) -> None:
    plain = back_up(filled, tmp_path / "plain")
    assert not plain.backup.has_keys
    assert not [one.path for one in plain.backup.files if one.path.endswith(PRIVATE)]
    secret = (filled.root / "keys" / "signing.key").read_bytes()
    assert not [name for name, data in content(tmp_path / "plain").items() if secret in data]
    assert {"keys/signing.key", "keys/hooks.key"} <= set(plain.backup.left_out)
    back_up(filled, tmp_path / "whole", has_keys=True)
    restore(tmp_path / "whole", tmp_path / "new")
    assert (tmp_path / "new" / "keys" / "signing.key").read_bytes() == secret
    assert (tmp_path / "new" / "keys" / "signing.key").stat().st_mode & 0o777 == 0o600


def modes(folder: Path) -> dict[str, set[int]]:
    found = {"folder": {folder.stat().st_mode & 0o777}, "file": set()}
    for path in folder.rglob("*"):
        found["folder" if path.is_dir() else "file"].add(path.stat().st_mode & 0o777)
    return found


def test_nobody_but_the_owner_may_read_a_backup(filled: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    home = filled.root / "endpoints" / "flights" / "delays"
    home.mkdir(parents=True)
    (home / "bundle").write_bytes(b"closed")
    (home / "bundle").chmod(0o600)
    (home / "open").write_bytes(b"open")
    back_up(filled, folder, has_keys=True)
    assert modes(folder) == {"folder": {0o700}, "file": {0o600}}
    for path in (folder, *folder.rglob("*")):  # as earlier releases left it
        path.chmod(0o755 if path.is_dir() else 0o644)
    back_up(filled, folder, has_keys=True)
    assert modes(folder) == {"folder": {0o700, 0o755}, "file": {0o600, 0o644}}
    assert modes(folder / "objects") == {"folder": {0o700}, "file": {0o600}}, (
        "the folder itself stays its owner's matter"
    )
    restore(folder, tmp_path / "new")
    found = tmp_path / "new" / "endpoints" / "flights" / "delays"
    assert {path.name: path.stat().st_mode & 0o777 for path in found.iterdir()} == {"bundle": 0o600, "open": 0o644}


def test_locks_and_sockets_beside_what_is_copied_are_no_news(filled: Workspace, tmp_path: Path) -> None:
    folder = filled.root / "endpoints" / "flights" / "delays"
    folder.mkdir(parents=True)
    for name in ("status.json", "front.lock", "front.sock", "rows.part"):
        (folder / name).write_text("{}")
    (filled.root / "ledger.url").write_text("postgresql://there/slipway")
    (filled.root / "tasks").mkdir(exist_ok=True)
    (filled.root / "tasks" / "one").write_text("")
    made = back_up(filled, tmp_path / "backups", has_keys=True).backup
    assert [one.path for one in made.files if one.path.startswith("endpoints")] == [
        "endpoints/flights/delays/status.json"
    ]
    assert "ledger.url" not in {one.path for one in made.files}
    assert made.ledger_url == "postgresql://there/slipway"
    assert not {"endpoints", "ledger.url"} & set(made.left_out)
    assert "tasks" in made.left_out


def test_the_second_backup_copies_what_is_new_and_older_ones_can_go(filled: Workspace, tmp_path: Path) -> None:
    filled.blobs.put(b"x" * 100_000)
    folder = tmp_path / "backups"
    first = back_up(filled, folder)
    assert first.new_files == len({one.digest for one in first.backup.files}) + 1
    digest = filled.blobs.put(b"new")
    second = back_up(filled, folder)
    assert second.new_files == 2, "the ledger's copy and the new blob"
    assert {one.id for one in (first.backup, second.backup)} == {path.stem for path in (folder / "manifests").iterdir()}
    filled.blobs.delete(digest)
    third = back_up(filled, folder, keep=1)
    assert third.removed == 2
    assert not object_path(folder, digest).exists()
    assert verify_backup(folder).backup.id == third.backup.id
    with pytest.raises(NotFound, match="holds no backup"):
        read_backup(folder, first.backup.id)


@pytest.mark.full
def test_every_altered_cut_or_missing_content_is_named_and_nothing_is_left(filled: Workspace, tmp_path: Path) -> None:
    filled.blobs.put(b"content")
    folder, root = tmp_path / "backups", tmp_path / "new"
    backup = back_up(filled, folder).backup
    for one in {one.digest: one for one in (*backup.files, backup.ledger)}.values():
        path = object_path(folder, one.digest)
        data = path.read_bytes()
        for damage in (data[:-1], data[:-1] + bytes([data[-1] ^ 1]), None):
            path.unlink() if damage is None else path.write_bytes(damage)
            for check in (lambda: verify_backup(folder), lambda: restore(folder, root)):
                with pytest.raises(Corrupt, match=path.name) as refused:
                    check()
                assert (one.path or "the ledger") in str(refused.value)
            assert not root.exists()
        path.write_bytes(data)
    assert restore(folder, root).backup.id == backup.id


def test_an_altered_list_and_a_foreign_signature_are_refused(filled: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    made = back_up(filled, folder)
    assert read_backup(folder, signed_by=made.key_id) == made.backup
    with pytest.raises(Corrupt, match="not by 0123456789abcdef"):
        read_backup(folder, signed_by="0123456789abcdef")
    path = folder / "manifests" / f"{made.backup.id}.json"
    envelope = json.loads(path.read_text())
    for altered in (path.read_bytes()[:-9], json.dumps(envelope | {"payload": "e30="}).encode(), b"{}", b""):
        path.write_bytes(altered)
        with pytest.raises(Corrupt, match=made.backup.id):
            restore(folder, tmp_path / "new")
    path.unlink()
    with pytest.raises(NotFound, match="no whole backup"):
        restore(folder, tmp_path / "new")


def test_only_an_empty_folder_is_restored_into(filled: Workspace, tmp_path: Path) -> None:
    back_up(filled, tmp_path / "backups")
    root = tmp_path / "new"
    root.mkdir()
    (root / "mine").touch()
    with pytest.raises(Conflict, match="is not empty"):
        restore(tmp_path / "backups", root)
    assert [path.name for path in root.iterdir()] == ["mine"]
    (root / "mine").unlink()
    (tmp_path / ".new.restoring").mkdir()
    (tmp_path / ".new.restoring" / "ledger.db").write_bytes(b"of a restore that was killed")
    restore(tmp_path / "backups", root)


def test_what_stands_against_a_backup_is_said(filled: Workspace, tmp_path: Path) -> None:
    with pytest.raises(Denied, match=r"backups\.make"):
        back_up(replace(filled, actor=Actor("bob", roles=("data scientist",))), tmp_path / "backups")
    with pytest.raises(InvalidInput, match="lies in the store"):
        back_up(filled, filled.root / "backups")
    back_up(filled, tmp_path / "backups")
    other = open_workspace(tmp_path / "other", project="", actor=filled.actor)
    with pytest.raises(Conflict, match="another store"):
        back_up(other, tmp_path / "backups")
    other.ledger.close()


def test_damage_in_the_store_is_told_and_the_rest_is_kept(filled: Workspace, tmp_path: Path) -> None:
    digest = filled.blobs.put(b"whole")
    (filled.root / "blobs" / digest[:2] / digest[2:]).chmod(0o644)
    (filled.root / "blobs" / digest[:2] / digest[2:]).write_bytes(b"hole")
    made = back_up(filled, tmp_path / "backups")
    assert made.damaged == (f"blobs/{digest[:2]}/{digest[2:]}",)
    verify_backup(tmp_path / "backups")


def test_what_is_removed_while_it_is_copied_begins_the_copy_anew(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purge between the ledger's moment and the copying would leave a ledger that names what is not there."""
    digest = filled.blobs.put(b"to be purged")
    copy_to, rounds = type(filled.ledger).copy_to, []

    def purging(self: object, path: Path) -> None:
        copy_to(self, path)  # type: ignore[arg-type]
        rounds.append(filled.blobs.delete(digest))

    monkeypatch.setattr(type(filled.ledger), "copy_to", purging)
    back_up(filled, tmp_path / "backups")
    assert rounds == [True, False]


def test_databases_of_endpoints_are_copied_of_one_moment(filled: Workspace, tmp_path: Path) -> None:
    home = filled.root / "endpoints" / "flights" / "delays"
    home.mkdir(parents=True)
    opened = sqlite3.connect(home / "online.db", isolation_level=None)
    opened.execute("PRAGMA journal_mode=WAL")
    opened.execute("CREATE TABLE t (a)")
    opened.execute("INSERT INTO t VALUES (7)")
    (home / "endpoint.lock").touch()
    back_up(filled, tmp_path / "backups")
    restore(tmp_path / "backups", tmp_path / "new")
    opened.close()
    found = tmp_path / "new" / "endpoints" / "flights" / "delays"
    assert [path.name for path in found.iterdir()] == ["online.db"]
    again = sqlite3.connect(found / "online.db")
    assert again.execute("SELECT a FROM t").fetchall() == [(7,)]
    again.close()


def slipway(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def test_the_commands_say_what_they_did(filled: Workspace, tmp_path: Path) -> None:
    folder, root = str(tmp_path / "backups"), str(filled.root)
    made = slipway("backup", folder, "--root", root)
    assert made.exit_code == 0, made.output
    assert "Private keys are not in it" in made.output
    assert slipway("restore", folder, "--check").output.startswith("Whole: ")
    assert slipway("restore", folder).exit_code == 2
    told = slipway("restore", folder, "--root", str(tmp_path / "new"))
    assert "The audit log holds: " in told.output
    verified = slipway("audit", "verify", "--root", str(tmp_path / "new"), "--project", "flights")
    assert verified.exit_code == 0, verified.output
    assert slipway("backup", folder, "--root", str(tmp_path / "nothing")).exit_code == 2
    assert slipway("restore", folder, "--root", str(tmp_path / "new")).exit_code == 6


COMMAND = [sys.executable, "-c", "from slipway.cli import main; main()"]
WRITER = """
import time, slipway as sw
for number in range(100_000):
    with sw.run(f"run-{number}") as run:
        run.log_param("number", number)
        run.log_text("notes.txt", "x" * 2000 + str(number))
    print(number, flush=True)
    time.sleep(0.05)
"""


MOMENTS = (1, 3, 5)
DIES = """
import os, signal, sys
left, fsync = int(sys.argv.pop(1)), os.fsync
def dies(file):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(file)
os.fsync = dies
from slipway.cli import main; main()
"""


def killed(*arguments: str) -> None:
    """Begin a command again and again; it is killed before it has made sure of its first file, its third, its fifth."""
    for moment in MOMENTS:
        done = subprocess.run([sys.executable, "-c", DIES, str(moment), *arguments], stdout=subprocess.DEVNULL)
        assert done.returncode == -signal.SIGKILL


@pytest.mark.full
def test_a_backup_under_writing_load_holds_all_that_was_acknowledged_before(tmp_path: Path) -> None:
    """A server, two of its clients and a process beside it write; backups are killed, then made; so are restores."""
    project, folder, new = tmp_path / "project", tmp_path / "backups", tmp_path / "new"
    project.mkdir()
    root = project / ".slipway"
    beside = subprocess.Popen([sys.executable, "-c", WRITER], cwd=project, stdout=subprocess.PIPE, text=True)
    assert beside.stdout is not None
    logged: list[int] = []
    threading.Thread(target=lambda: logged.extend(map(int, beside.stdout or ())), daemon=True).start()
    try:
        while len(logged) < 3:
            assert beside.poll() is None
            time.sleep(0.05)
        with up(root) as (url, _):
            added: list[str] = []
            ends = threading.Event()

            def add(which: int) -> None:
                with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
                    while not ends.is_set():
                        name = f"p{which}-{len(added)}"
                        assert client.post("/api/v1/projects/add", json={"name": name}).status_code in (200, 201)
                        added.append(name)
                        time.sleep(0.02)

            writers = [threading.Thread(target=add, args=(which,)) for which in range(2)]
            for writer in writers:
                writer.start()
            try:
                command = ["backup", str(folder), "--root", str(root)]
                killed(*command)
                assert not (folder / "manifests").exists()
                before = set(added), set(logged)
                assert before[0]
                assert len(before[1]) > 3
                subprocess.run([*COMMAND, *command], check=True, stdout=subprocess.DEVNULL)
            finally:
                ends.set()
                for writer in writers:
                    writer.join()
            assert len(added) > len(before[0]), "they wrote while it was made"
    finally:
        beside.kill()
        beside.wait()
        beside.stdout.close()
    command = ["restore", str(folder), "--root", str(new)]
    killed(*command)
    assert not new.exists()
    subprocess.run([*COMMAND, *command], check=True, stdout=subprocess.DEVNULL)
    assert not (tmp_path / ".new.restoring").exists()
    with up(new) as (url, _):  # takes in what runs had written ahead
        found = httpx.get(f"{url}/api/v1/projects", trust_env=False).json()["projects"]
    assert before[0] <= {one["name"] for one in found}
    there = open_workspace(new, project="project", actor=Actor("ada", roles=("admin",)))
    with there.ledger.read() as tx:
        runs = {run.name: run for run in entries.find(tx, Run, project="project", limit=10_000)}
    for number in before[1]:
        run = runs[f"run-{number}"]
        assert run.state == "finished"
        assert there.blobs.get(run.artifacts[0].digest).endswith(str(number).encode())
    there.ledger.close()


@pytest.mark.full
def test_a_ledger_in_postgres_goes_into_an_empty_database(tmp_path: Path) -> None:
    with postgres_here.cleaned() as url, postgres_here.cleaned() as other:
        workspace = open_workspace(
            tmp_path / "store", project="flights", ledger=url, actor=Actor("ada", roles=("admin",))
        )
        fill(workspace)
        events.seal(workspace.ledger, workspace.signer)
        made = back_up(workspace, tmp_path / "backups")
        assert (made.backup.database, made.backup.ledger_url) == ("postgres", url)
        with pytest.raises(Conflict, match="is not empty"):
            restore(tmp_path / "backups", tmp_path / "new")
        found = restore(tmp_path / "backups", tmp_path / "new", ledger_url=other)
        assert found.sealed + found.unsealed == made.backup.events
        again = open_workspace(tmp_path / "new", project="flights", actor=workspace.actor)
        with workspace.ledger.read() as one, again.ledger.read() as two:
            assert one.find("run", limit=100) == two.find("run", limit=100)
            assert one.names("run", project="flights", space="metric", limit=99) == two.names(
                "run", project="flights", space="metric", limit=99
            )
        with again.ledger.write() as tx:
            entries.put(tx, replace_id(entries.find(tx, Run, limit=1)[0]))
        again.ledger.close()
        workspace.ledger.close()


def replace_id(run: Run) -> Run:
    return msgspec.structs.replace(run, id=os.urandom(16).hex())
