"""Versions of file sets: what they store, what comes back, and what is refused."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.backends.local_blobs import LocalBlobs
from slipway.data.fileset import fileset
from slipway.errors import Conflict, Corrupt, InvalidInput, NotFound
from slipway.hashing import digest
from slipway.ledger import lineage
from slipway.ports.workspace import Workspace
from slipway.records.filesets import FileEntry
from slipway.tables import file_folders
from slipway.tables.catalog import pins, reads
from slipway.tables.file_folders import add_folder, check_out, read_file
from slipway.tables.filesets import (
    FileDiff,
    commit,
    diff,
    entries_of,
    fileset_history,
    fileset_node,
    filesets,
    resolve,
    store_lists,
)


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def stored(workspace: Workspace) -> int:
    return sum(path.stat().st_size for path in (workspace.root / "blobs").rglob("*") if path.is_file())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "photos", {"cat/1.jpg": b"one", "cat/2.jpg": b"two", "dog/ü 3.jpg": b"three", "e.txt": b""})


def test_a_version_holds_the_folder_and_gives_it_back(workspace: Workspace, photos: Path, tmp_path: Path) -> None:
    made = add_folder(workspace, "photos", photos)
    assert (made.number, made.files, made.size_bytes, made.added) == (1, 4, 11, 4)
    assert [entry.path for entry in entries_of(workspace, made)] == ["cat/1.jpg", "cat/2.jpg", "dog/ü 3.jpg", "e.txt"]
    done = check_out(workspace, made, tmp_path / "out")
    assert (done.written, done.unchanged) == (4, 0)
    assert content_of(tmp_path / "out") == content_of(photos)
    assert check_out(workspace, made, tmp_path / "out").unchanged == 4
    assert filesets(workspace) == (made,)
    assert read_file(workspace, "photos", "dog/ü 3.jpg") == b"three"


def test_the_same_files_make_no_new_version_and_going_back_returns_to_the_old_one(
    workspace: Workspace, photos: Path
) -> None:
    first = add_folder(workspace, "photos", photos)
    before = stored(workspace)
    assert add_folder(workspace, "photos", photos) == first
    assert stored(workspace) == before
    (photos / "cat/1.jpg").write_bytes(b"other")
    second = add_folder(workspace, "photos", photos)
    assert (second.number, second.changed, second.parent) == (2, 1, first.version)
    (photos / "cat/1.jpg").write_bytes(b"one")
    assert add_folder(workspace, "photos", photos) == first
    assert resolve(workspace, "photos") == first
    assert [one.number for one in fileset_history(workspace, "photos")] == [2, 1]


def test_differences_are_told_by_path(workspace: Workspace, photos: Path) -> None:
    first = add_folder(workspace, "photos", photos)
    (photos / "cat/2.jpg").unlink()
    fill(photos, {"cat/1.jpg": b"new", "fox.jpg": b"fox"})
    second = add_folder(workspace, "photos", photos)
    assert (second.added, second.changed, second.removed) == (1, 1, 1)
    expected = FileDiff(added=("fox.jpg",), removed=("cat/2.jpg",), changed=("cat/1.jpg",))
    assert diff(workspace, first, second) == expected
    back = diff(workspace, second, first)
    assert (back.added, back.removed, back.changed) == (expected.removed, expected.added, expected.changed)


def test_one_percent_more_files_store_one_percent_more_bytes(workspace: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "many", {f"{n // 100:02d}/{n:05d}.jpg": os.urandom(10_000) for n in range(1000)})
    first = add_folder(workspace, "many", folder)
    before = stored(workspace)
    fill(folder, {f"99/{n:05d}.jpg": os.urandom(10_000) for n in range(10)})
    second = add_folder(workspace, "many", folder)
    grown = stored(workspace) - before
    assert (
        grown == second.stored_bytes + (workspace.root / "blobs" / second.index[:2] / second.index[2:]).stat().st_size
    )
    assert grown <= 0.0125 * first.size_bytes
    assert (second.added, second.files) == (10, 1010)


def test_equal_files_are_stored_once(workspace: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "twins", {f"{n}.bin": b"x" * 100_000 for n in range(20)})
    assert add_folder(workspace, "twins", folder).stored_bytes < 110_000


def test_only_some_paths_are_checked_out(workspace: Workspace, photos: Path, tmp_path: Path) -> None:
    made = add_folder(workspace, "photos", photos)
    check_out(workspace, made, tmp_path / "out", paths=["cat/", "e.txt"])
    assert set(content_of(tmp_path / "out")) == {"cat/1.jpg", "cat/2.jpg", "e.txt"}
    with pytest.raises(NotFound, match=r"no file 'cat/3.jpg'.*cat/"):
        check_out(workspace, made, tmp_path / "none", paths=["cat/3.jpg"])


def test_links_share_the_stores_bytes_and_cannot_be_written(workspace: Workspace, photos: Path, tmp_path: Path) -> None:
    made = add_folder(workspace, "photos", photos)
    out = tmp_path / "out"
    assert check_out(workspace, made, out, link=True).linked == 4
    assert content_of(out) == content_of(photos)
    one = digest(b"one")
    blob = workspace.root / "blobs" / one[:2] / one[2:]
    assert (out / "cat/1.jpg").stat().st_ino == blob.stat().st_ino
    assert not (out / "cat/1.jpg").stat().st_mode & 0o222
    (out / "cat/1.jpg").unlink()
    (out / "cat/1.jpg").write_bytes(b"mine")
    assert workspace.blobs.get(one) == b"one"


def test_changed_files_are_not_overwritten_unless_forced(workspace: Workspace, photos: Path, tmp_path: Path) -> None:
    made = add_folder(workspace, "photos", photos)
    out = fill(tmp_path / "out", {"cat/1.jpg": b"mine", "other.txt": b"kept"})
    with pytest.raises(Conflict, match=r"1 files .*cat/1.jpg.*--force"):
        check_out(workspace, made, out)
    assert content_of(out) == {"cat/1.jpg": b"mine", "other.txt": b"kept"}
    check_out(workspace, made, out, force=True)
    assert content_of(out) == {**content_of(photos), "other.txt": b"kept"}


@pytest.mark.parametrize("path", ["../evil.txt", "/tmp/evil.txt", "a/../../evil.txt", "..", "a\0b"])
def test_no_path_leads_out_of_the_folder(workspace: Workspace, tmp_path: Path, path: str) -> None:
    entry = FileEntry(path, workspace.blobs.put(b"evil"), 4)
    index, _ = store_lists(workspace, [entry])
    told = FileDiff(added=(path,), removed=(), changed=())
    made = commit(workspace, "evil", index, parent=None, told=told, files=1, size_bytes=4, stored_bytes=4, source="")
    with pytest.raises(InvalidInput, match="lead out of"):
        check_out(workspace, made, tmp_path / "inner" / "out")
    assert not list(tmp_path.rglob("evil.txt"))


def test_no_link_in_the_target_leads_out_of_the_folder(workspace: Workspace, photos: Path, tmp_path: Path) -> None:
    made = add_folder(workspace, "photos", photos)
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    out.mkdir()
    (out / "cat").symlink_to(outside)
    with pytest.raises(InvalidInput, match="by a symbolic link"):
        check_out(workspace, made, out, force=True)
    assert list(outside.iterdir()) == []
    (out / "cat").unlink()
    (outside / "target").write_bytes(b"safe")
    (out / "e.txt").symlink_to(outside / "target")
    check_out(workspace, made, out, force=True)
    assert (outside / "target").read_bytes() == b"safe"


def test_what_cannot_be_kept_is_named(workspace: Workspace, photos: Path, tmp_path: Path) -> None:
    (photos / "link.jpg").symlink_to(photos / "e.txt")
    with pytest.raises(InvalidInput, match=r"'link.jpg' .* symbolic link"):
        add_folder(workspace, "photos", photos)
    (photos / "link.jpg").unlink()
    (photos / "cats").symlink_to(photos / "cat")
    with pytest.raises(InvalidInput, match=r"'cats' .* symbolic link"):
        add_folder(workspace, "photos", photos)
    (photos / "cats").unlink()
    os.mkfifo(photos / "pipe")
    with pytest.raises(InvalidInput, match=r"'pipe' .* no plain file"):
        add_folder(workspace, "photos", photos)
    (photos / "pipe").unlink()
    Path(os.fsdecode(os.fsencode(photos) + b"/\xff.jpg")).write_bytes(b"x")
    with pytest.raises(InvalidInput, match="not in UTF-8"):
        add_folder(workspace, "photos", photos)
    for wrong in (tmp_path / "none", photos / "e.txt"):
        with pytest.raises(InvalidInput, match="is no folder"):
            add_folder(workspace, "photos", wrong)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="has no files"):
        add_folder(workspace, "photos", tmp_path / "empty")
    with pytest.raises(InvalidInput, match="holds the store"):
        add_folder(workspace, "photos", tmp_path)
    assert filesets(workspace) == ()


def test_a_file_that_cannot_be_read_is_named(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid():
        (photos / "e.txt").chmod(0)
    else:  # root may read everything: the file goes away instead, between the walk and the reading
        walked = file_folders._files_in

        def and_gone(*args: object) -> object:
            found = walked(*args)  # type: ignore[arg-type]  # handed on as they came
            (photos / "e.txt").unlink()
            return found

        monkeypatch.setattr(file_folders, "_files_in", and_gone)
    with pytest.raises(InvalidInput, match=r"e.txt' cannot be read"):
        add_folder(workspace, "photos", photos)
    assert filesets(workspace) == ()


def test_a_file_that_is_written_while_it_is_read_makes_no_version(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_files = LocalBlobs.put_files

    def written_meanwhile(self: LocalBlobs, paths: list[Path]) -> list[tuple[str, bool]]:
        told = put_files(self, paths)
        (photos / "cat/2.jpg").write_bytes(b"TWO")
        return told

    monkeypatch.setattr(LocalBlobs, "put_files", written_meanwhile)
    with pytest.raises(Conflict, match=r"'cat/2.jpg' was written while it was read"):
        add_folder(workspace, "photos", photos)
    assert filesets(workspace) == ()


def test_damage_is_told_and_never_handed_out(workspace: Workspace, photos: Path, tmp_path: Path) -> None:
    made = add_folder(workspace, "photos", photos)
    one = digest(b"one")
    blob = workspace.root / "blobs" / one[:2] / one[2:]
    blob.chmod(0o644)
    blob.write_bytes(b"0ne")
    for link in (False, True):
        with pytest.raises(Corrupt, match="damaged"):
            check_out(workspace, made, tmp_path / "out", link=link)
    assert not (tmp_path / "out/cat/1.jpg").exists()
    with pytest.raises(Corrupt):
        read_file(workspace, "photos", "cat/1.jpg")


def test_two_writers_get_one_conflict(workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = add_folder(workspace, "photos", photos)
    (photos / "e.txt").write_bytes(b"mine")
    lists = file_folders.store_lists

    def meanwhile(*args: object) -> object:
        monkeypatch.setattr(file_folders, "store_lists", lists)
        (photos / "e.txt").write_bytes(b"theirs")
        add_folder(workspace, "photos", photos)
        return lists(*args)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(file_folders, "store_lists", meanwhile)
    with pytest.raises(Conflict, match="by somebody else"):
        add_folder(workspace, "photos", photos)
    assert [one.number for one in fileset_history(workspace, "photos")] == [2, 1]
    assert resolve(workspace, "photos").parent == first.version


def test_a_kill_while_files_are_stored_leaves_no_half_version(
    workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    first = add_folder(workspace, "photos", photos)
    fill(photos, {f"more/{n}.bin": os.urandom(100) for n in range(50)})
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from slipway.backends import local_blobs
        from slipway.hosts.project import open_workspace
        from slipway.tables.file_folders import add_folder

        local_blobs._sync_files = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        add_folder(open_workspace(Path({str(workspace.root)!r}), project="flights", environment="dev"), "photos", Path({str(photos)!r}))
        """
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert resolve(workspace, "photos") == first
    check_out(workspace, first, tmp_path / "out")
    assert add_folder(workspace, "photos", photos).added == 50


def test_what_is_read_is_an_input_and_pins_hold(workspace: Workspace, photos: Path) -> None:
    first = add_folder(workspace, "photos", photos)
    (photos / "e.txt").write_bytes(b"later")
    second = add_folder(workspace, "photos", photos)
    handle = fileset("photos", photos)
    with reads.filled([]) as seen:
        assert handle.read("e.txt") == b"later"
        assert handle.paths() == [entry.path for entry in entries_of(workspace, second)]
    assert seen == [fileset_node("flights", "photos", second.version)]
    with pins.filled({"files:flights/photos": first.version}), reads.filled([]) as seen:
        assert handle.read("e.txt") == b""
        (photos / "e.txt").write_bytes(b"even later")
        third = handle.add()
    assert seen == [fileset_node("flights", "photos", first.version)]
    assert (third.number, third.parent) == (3, second.version)
    with workspace.ledger.read() as tx:
        links = lineage.trace(tx, fileset_node("flights", "photos", third.version))
        verbs = [event.verb for event in tx.events(subject="files:flights/photos", after=0, limit=100)]
    assert links[0].role == "parent"
    assert verbs == ["files.add"] * 3


def test_versions_by_number_and_hash(workspace: Workspace, photos: Path) -> None:
    made = add_folder(workspace, "photos", photos)
    for text in ("1", made.version, made.version[:8]):
        assert resolve(workspace, "photos", text) == made
    for wrong in ("2", "f" * 12, made.version[:4]):
        with pytest.raises(NotFound, match="has no version"):
            resolve(workspace, "photos", wrong)
    with pytest.raises(NotFound, match=r"no file set 'photo'.*photos"):
        resolve(workspace, "photo")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    old=st.dictionaries(st.integers(0, 3000), st.integers(0, 2), max_size=300),
    change=st.dictionaries(st.integers(0, 3000), st.integers(0, 3), max_size=60),
)
def test_lists_give_back_what_went_in_and_differences_are_exact(
    workspace: Workspace, old: dict[int, int], change: dict[int, int]
) -> None:
    def version(files: dict[int, int]) -> object:
        entries = [FileEntry(f"{n:05d}", digest(bytes([value])), 1) for n, value in files.items()]
        index, _ = store_lists(workspace, entries)
        with workspace.ledger.read() as tx:
            ref = tx.ref("flights", "files", "any")
        parent = resolve(workspace, "any", ref) if ref else None
        told = FileDiff(added=(), removed=(), changed=())
        return commit(
            workspace, "any", index, parent=parent, told=told, files=len(files), size_bytes=0, stored_bytes=0, source=""
        )

    new = {**old, **change}
    new = {n: value for n, value in new.items() if value != 3}
    before, after = version(old), version(new)
    assert {entry.path for entry in entries_of(workspace, after)} == {f"{n:05d}" for n in new}
    found = diff(workspace, before, after)
    assert set(found.added) == {f"{n:05d}" for n in new.keys() - old.keys()}
    assert set(found.removed) == {f"{n:05d}" for n in old.keys() - new.keys()}
    assert set(found.changed) == {f"{n:05d}" for n in new.keys() & old.keys() if new[n] != old[n]}


def test_a_socket_is_no_file(workspace: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "s", {"a": b"a"})
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "x.sock"))
        with pytest.raises(InvalidInput, match="no plain file"):
            add_folder(workspace, "s", folder)
