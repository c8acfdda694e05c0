"""A distribution that is installed, as a wheel again: the same content, whoever installs it."""

import io
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from slipway.code import wheels
from slipway.errors import InvalidInput


def unpacked(data: bytes, folder: Path, name: str) -> Distribution:
    """Install a wheel as simply as can be."""
    zipfile.ZipFile(io.BytesIO(data)).extractall(folder)
    found = wheels.find(name, str(folder))
    assert found is not None
    return found


def editable(folder: Path, source: str = "SIZE = 1\n") -> Distribution:
    """A project that is installed in editable form, and its metadata."""
    (folder / "src" / "rudder_mod").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "rudder_mod" / "__init__.py").write_text(source)
    (folder / "src" / "rudder_mod" / "words.txt").write_text("port\n")
    info = folder / "site" / "rudder_mod-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rudder-mod\nVersion: 1.0\n")
    (info / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {"editable": true}}')
    (info / "RECORD").write_text("rudder_mod-1.0.dist-info/METADATA,,\nrudder_mod-1.0.dist-info/RECORD,,\n")
    found = wheels.find("rudder-mod", str(folder / "site"))
    assert found is not None
    return found


def test_an_installed_one_is_packed_and_installed_with_the_same_content(tmp_path: Path) -> None:
    found = distribution("click")
    name, data = wheels.pack(found, compressed=True)
    assert (name, wheels.pack(found, compressed=True)[1]) == (f"click-{found.version}-py3-none-any.whl", data)
    again = unpacked(data, tmp_path, "click")
    assert wheels.content_of(again) == wheels.content_of(found) != ""
    assert wheels.altered(again) == ""
    assert wheels.about(again)[:2] == ("click", found.version)


def test_compiled_ones_keep_their_tags() -> None:
    found = distribution("msgspec")
    name, _ = wheels.pack(found)
    assert name.startswith(f"msgspec-{found.version}-cp3")
    assert not name.endswith("none-any.whl")


def test_scripts_of_entry_points_are_left_to_the_installer_also_with_a_dot_in_their_name() -> None:
    found = distribution("pytest")
    assert "py.test" in {entry.name for entry in found.entry_points}
    names = zipfile.ZipFile(io.BytesIO(wheels.pack(found)[1])).namelist()
    assert not [name for name in names if ".data/" in name]


def test_an_altered_file_is_found_and_not_packed(tmp_path: Path) -> None:
    again = unpacked(wheels.pack(distribution("click"))[1], tmp_path, "click")
    file = tmp_path / "click" / "core.py"
    text = file.read_text()
    file.write_text("#" + text[1:])
    assert wheels.altered(again) == "click/core.py"
    assert wheels.altered(again, is_read=False) == ""
    with pytest.raises(InvalidInput, match=r"core\.py was altered"):
        wheels.pack(again)
    file.write_text("#" + text)
    assert wheels.altered(again, is_read=False) == "click/core.py"
    file.unlink()
    assert wheels.altered(again, is_read=False) == "click/core.py"
    with pytest.raises(InvalidInput, match=r"core\.py is gone"):
        wheels.pack(again)


def test_an_editable_one_is_told_by_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = editable(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "src"), *sys.path])
    name, data = wheels.pack(found)
    assert (name, wheels.origin_of(found)) == ("rudder_mod-1.0-py3-none-any.whl", "editable")
    again = unpacked(data, tmp_path / "elsewhere", "rudder-mod")
    assert (tmp_path / "elsewhere" / "rudder_mod" / "words.txt").read_text() == "port\n"
    assert wheels.content_of(again) == wheels.content_of(found)
    assert wheels.origin_of(again) == ""
    before = wheels.content_of(found)
    assert wheels.content_of(editable(tmp_path, "SIZE = 2\n")) != before


def test_slipway_itself_is_whole(tmp_path: Path) -> None:
    found = distribution("slipway")
    names = zipfile.ZipFile(io.BytesIO(wheels.pack(found)[1])).namelist()
    assert {"slipway/__init__.py", "slipway/py.typed", "slipway/server/templates/run.html"} <= set(names)
    assert any(name.endswith(".dist-info/entry_points.txt") for name in names)
    assert not [name for name in names if name.endswith(".pyc")]


def recorded(folder: Path, record: str) -> Distribution:
    info = folder / "comma_mod-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: comma-mod\nVersion: 1.0\n")
    (info / "RECORD").write_text(record)
    found = wheels.find("comma-mod", str(folder))
    assert found is not None
    return found


def test_a_record_is_read_with_and_without_quoted_names(tmp_path: Path) -> None:
    plain = recorded(tmp_path / "plain", "a/b.py,sha256=x,1\n\na/c.py,sha256=y,2\n")
    quoted = recorded(tmp_path / "quoted", '"a/b.py",sha256=x,1\n"a/c.py",sha256=y,2\n')
    named = recorded(tmp_path / "named", '"a/b,d.py",sha256=x,1\na/c.py,sha256=y,2\n')
    assert wheels.files_of(plain) == wheels.files_of(quoted) == {"a/b.py", "a/c.py"}
    assert wheels.content_of(plain) == wheels.content_of(quoted)
    assert wheels.files_of(named) == {"a/b,d.py", "a/c.py"}
    assert wheels.content_of(named) != wheels.content_of(plain)
