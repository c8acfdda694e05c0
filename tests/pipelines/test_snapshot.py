"""A project's code as one blob."""

import os
from pathlib import Path

import pytest

from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.ledger import archive
from slipway.pipelines import beside, snapshot
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


def test_files_beside_the_code_are_named_and_lie_there_again(workspace: Workspace, tmp_path: Path) -> None:
    home = _project(tmp_path / "one")
    (home / "data").mkdir()
    (home / "data" / "prices.csv").write_text("price\n1\n")
    (home / "data" / "own.env").write_text("A=1")
    (home / "outside.csv").symlink_to(tmp_path / "else.csv")
    (tmp_path / "else.csv").write_text("far away")
    named = ["data/prices.csv", "data/own.env", "outside.csv", "gone.csv"]
    chosen = beside.choose(workspace.blobs, home, named)
    assert chosen.files.keys() == {"data/prices.csv"}
    assert chosen.left_out == (
        "data/own.env (by its name it is a secret)",
        "outside.csv (it is a link that leads out of the project)",
    )
    digest = snapshot.take(workspace, home, files=chosen.files)
    assert snapshot.take(workspace, home, files=chosen.files) == digest != snapshot.take(workspace, home)
    (home / "data" / "prices.csv").write_text("price\n2\n")
    snapshot.fetch(workspace, digest, tmp_path / "back")
    assert (tmp_path / "back" / "data" / "prices.csv").read_text() == "price\n1\n"
    other = workspace.blobs.put(b"price\n3\n")
    snapshot.fetch(workspace, digest, tmp_path / "then", files={"data/prices.csv": other, "more.txt": other})
    assert (tmp_path / "then" / "data" / "prices.csv").read_text() == "price\n3\n"
    assert (tmp_path / "then" / "more.txt").read_text() == "price\n3\n"
    workspace.blobs.delete(chosen.files["data/prices.csv"])
    with pytest.raises(NotFound, match=r"The file data/prices\.csv beside the code"):
        snapshot.fetch(workspace, digest, tmp_path / "late")


def test_no_more_is_kept_than_there_is_room_for(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "ALL_BYTES", 1000)
    for name in "abc":
        (tmp_path / f"{name}.csv").write_bytes(name.encode() * 400)
    chosen = beside.choose(workspace.blobs, tmp_path, ["a.csv", "b.csv", "c.csv"])
    assert chosen.files.keys() == {"a.csv", "b.csv"}
    assert len(chosen.left_out) == 1
    assert chosen.left_out[0].startswith("c.csv (with it they would be more than")


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
