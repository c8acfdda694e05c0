"""A project's code as one blob."""

import os
from pathlib import Path

import pytest

from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.ledger import archive
from slipway.pipelines import snapshot
from slipway.ports.workspace import Workspace


def _project(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "flow.py").write_text("x = 1\n")
    (folder / "deep" / "more.py").write_text("y = 2\n")
    (folder / "slipway.toml").write_text('[project]\nname = "p"\n')
    return folder


def test_the_same_content_gives_the_same_bytes_anywhere(tmp_path: Path) -> None:
    one, two = _project(tmp_path / "one"), _project(tmp_path / "two" / "far")
    os.utime(two / "flow.py", (1, 1))
    (two / "flow.py").chmod(0o700)
    for name in (
        ".venv/a.py",
        "venv/pyvenv.cfg",
        "venv/b.py",
        "env/pyvenv.cfg",
        "env/c.py",
        "__pycache__/d.py",
        "data.csv",
        ".slipway/e.py",
    ):
        (two / name).parent.mkdir(exist_ok=True)
        (two / name).write_text("")
    assert snapshot.pack(one, declared=["b", "a"]) == snapshot.pack(two, declared=["a", "b"])
    (two / "deep" / "more.py").write_text("y = 3\n")
    assert snapshot.pack(one) != snapshot.pack(two)


def test_it_comes_back_whole(workspace: Workspace, tmp_path: Path) -> None:
    digest = snapshot.take(workspace, _project(tmp_path / "one"), declared=["pipeline release"])
    contents = snapshot.fetch(workspace, digest, tmp_path / "back")
    assert contents.declared == ("pipeline release",)
    assert any(line.startswith("polars==") for line in contents.lock)
    assert (tmp_path / "back" / "deep" / "more.py").read_text() == "y = 2\n"
    assert (tmp_path / "back" / "slipway.toml").exists()


def test_unpacked_once_it_is_mended_where_it_was_tampered_with(workspace: Workspace, tmp_path: Path) -> None:
    digest = snapshot.take(workspace, _project(tmp_path / "one"))
    folder = snapshot.unpacked(workspace, digest)
    before = (folder / "flow.py").stat().st_ino
    assert snapshot.unpacked(workspace, digest) == folder
    assert (folder / "flow.py").stat().st_ino == before
    for damage in (
        lambda: (folder / "flow.py").write_text("x = 2\n"),
        lambda: (folder / "polars.py").write_text(""),
        lambda: (folder / "deep" / "more.py").unlink(),
        lambda: (folder / "link").symlink_to(tmp_path),
    ):
        damage()
        assert snapshot.unpacked(workspace, digest) == folder
        assert sorted(path.name for path in folder.rglob("*")) == [
            "deep",
            "flow.py",
            "more.py",
            "slipway.toml",
            "snapshot.json",
        ]
        assert (folder / "flow.py").read_text() == "x = 1\n"
    assert not list(folder.parent.glob("*.part"))


def test_what_is_no_snapshot_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        snapshot.fetch(workspace, "0" * 64, tmp_path)
    for data in (b"no zip", archive.pack({"a.py": b""})):
        with pytest.raises(Corrupt):
            snapshot.fetch(workspace, workspace.blobs.put(data), tmp_path / "x")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InvalidInput, match="no Python file"):
        snapshot.pack(empty)


@pytest.mark.parametrize("name", ["../up.py", "/root.py", "a/../../b.py", "c:\\x.py"])
def test_an_archive_cannot_lead_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(Corrupt, match="outside"):
        archive.unpack(archive.pack({name: b"x"}), tmp_path / "in")
