"""The lock files that people commit."""

from pathlib import Path

import pytest

from slipway.code import project_locks
from slipway.code.project_locks import Pin
from slipway.errors import InvalidInput

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
REQUIREMENTS = f"""# compiled
--index-url https://example.org/simple
Foo.Bar[extra]==1.2 ; sys_platform == 'linux' \\
    --hash={A} \\
    --hash={B}
baz==3.0  # via foo
"""
UV = f"""
version = 1
[[package]]
name = "baz"
version = "3.0"
source = {{ registry = "https://example.org/simple" }}
sdist = {{ url = "x", hash = "{A}" }}
wheels = [{{ url = "y", hash = "{B}" }}]
[[package]]
name = "own"
version = "0.1"
source = {{ editable = "." }}
"""
PYLOCK = f"""
lock-version = "1.0"
[[packages]]
name = "Baz"
version = "3.0"
marker = "python_version > '3'"
wheels = [{{ name = "y", hashes = {{ sha256 = "{"b" * 64}" }} }}]
[[packages]]
name = "own"
directory = {{ path = "." }}
"""


def test_compiled_requirements(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(REQUIREMENTS)
    assert project_locks.find(tmp_path) == path
    assert project_locks.pins(path) == (
        Pin("baz", "3.0"),
        Pin("foo-bar", "1.2", "sys_platform == 'linux'", (A, B)),
    )


def test_requirements_that_leave_a_version_open_are_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    for text in ("pandas>=2\n", "-e .\n", "pandas==2.*\n", "pandas\n", "x @ file:///x.whl\n"):
        path.write_text(text)
        assert project_locks.find(tmp_path) is None
        with pytest.raises(InvalidInput, match="pins no version"):
            project_locks.pins(path)


def test_toml_locks_come_first_and_leave_the_project_out(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(REQUIREMENTS)
    uv = tmp_path / "uv.lock"
    uv.write_text(UV)
    assert project_locks.find(tmp_path) == uv
    assert project_locks.pins(uv) == (Pin("baz", "3.0", "", (A, B)),)
    pylock = tmp_path / "pylock.toml"
    pylock.write_text(PYLOCK)
    assert project_locks.find(tmp_path) == pylock
    assert project_locks.pins(pylock) == (Pin("baz", "3.0", "python_version > '3'", (B,)),)


@pytest.mark.parametrize("text", ["[", "packages = 3\n", '[[packages]]\nversion = "1"\n'])
def test_a_broken_lock_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pylock.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"pylock\.toml cannot be read"):
        project_locks.pins(path)


def test_hashes_are_those_of_the_version(tmp_path: Path) -> None:
    (tmp_path / "slipway.toml").write_text("")
    (tmp_path / "code").mkdir()
    (tmp_path / "requirements.txt").write_text(REQUIREMENTS)
    known = project_locks.hashes([str(tmp_path / "code" / "x.py")])
    assert known("foo-bar", "1.2") == (A, B)
    assert known("foo-bar", "1.3") == ()
