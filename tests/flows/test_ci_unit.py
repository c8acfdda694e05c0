"""A project's own tests in a process of their own, its work tree in git, and the folder that is gone afterwards."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from ci_desk import committed, git

from slipway.errors import Conflict, NotFound
from slipway.flows.ci_code import commit_meant, moved_files, standing
from slipway.flows.ci_scratch import scratch
from slipway.flows.ci_unit import unit_checks
from slipway.records.ci import CiCheck

TESTS = """
import pytest

def test_holds():
    assert True

@pytest.mark.parametrize("name", ["a|b", "<i>\\x00"])
def test_fails(name):
    assert name == "", "it is " + name

@pytest.mark.skip(reason="no data yet")
def test_later():
    pass
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary folders of these tests are their own."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "project"
    found.mkdir()
    (found / "slipway.toml").write_text("")
    return found


def asked(folder: Path) -> dict[str, CiCheck]:
    with scratch() as place:
        return {one.name: one for one in unit_checks(folder, place)}


def test_each_test_is_told_also_beside_a_file_that_does_not_load(folder: Path) -> None:
    (folder / "test_one.py").write_text(TESTS)
    (folder / "test_broken.py").write_text("def test_a(:\n")
    found = asked(folder)
    assert found["test_one::test_holds"].state == "passed"
    assert found["test_one::test_later"].state == "skipped"
    assert "no data yet" in found["test_one::test_later"].sentence
    failed = found["test_one::test_fails[a|b]"]
    assert (failed.state, failed.fix) == ("failed", "python -m pytest -k test_fails")
    assert "it is a|b" in failed.sentence
    assert "assert name ==" in failed.detail
    broken = found["test_broken"]
    assert broken.state == "failed"
    assert "cannot be loaded: SyntaxError" in broken.sentence
    assert len(found) == 5
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == [
        "slipway.toml",
        "test_broken.py",
        "test_one.py",
    ]


def test_a_project_without_tests_or_without_pytest_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (none,) = asked(folder).values()
    assert (none.state, "docs/testing.md" in none.fix) == ("skipped", True)
    (folder / "test_empty.py").write_text("A = 1\n")
    (empty,) = asked(folder).values()
    assert (empty.state, "no test" in empty.sentence) == ("skipped", True)
    monkeypatch.setitem(sys.modules, "pytest", None)
    (missing,) = asked(folder).values()
    assert (missing.state, missing.fix) == ("failed", "Install it: pip install pytest")


def test_a_run_that_ends_before_it_could_say_anything_has_failed(folder: Path) -> None:
    (folder / "test_one.py").write_text(TESTS)
    (folder / "conftest.py").write_text("raise RuntimeError('last words')\n")
    (found,) = asked(folder).values()
    assert found.state == "failed"
    assert "exit code 4" in found.sentence
    assert "last words" in found.detail


def test_a_run_that_ends_well_and_says_nothing_has_failed(folder: Path) -> None:
    (folder / "test_one.py").write_text(TESTS)
    (folder / "conftest.py").write_text("import os\n\nos._exit(0)\n")
    (found,) = asked(folder).values()
    assert (found.state, "exit code 0" in found.sentence) == ("failed", True)


def test_what_moved_is_told_file_by_file(folder: Path) -> None:
    (folder / "gone.py").write_text("1\n")
    (folder / "picture.png").write_bytes(b"\0\1\2")
    first = committed(folder)
    stands = standing(folder)
    assert (stands.commit, stands.is_dirty, stands.amid, stands.unknown) == (first, False, "", "")
    assert moved_files(folder, first) == ()
    (folder / "gone.py").unlink()
    (folder / "picture.png").write_bytes(b"\0\3")
    (folder / "slipway.toml").write_text("a\nb\n")
    (folder / "new | <b>.py").write_text("1\n2\n3\n")
    found = {one.path: (one.added, one.removed, one.is_known) for one in moved_files(folder, first)}
    assert found == {
        "gone.py": (0, 1, True),
        "picture.png": (-1, -1, True),
        "slipway.toml": (2, 0, True),
        "new | <b>.py": (3, 0, False),
    }
    assert standing(folder).is_dirty
    assert commit_meant(folder, "HEAD") == first
    for name in ("nowhere", "--output=x"):
        with pytest.raises(NotFound, match="There is no commit"):
            commit_meant(folder, name)


def test_a_conflict_is_refused_and_a_rebase_that_stands_still_is_told(folder: Path) -> None:
    committed(folder)
    branch = git(folder, "symbolic-ref", "--short", "HEAD")
    git(folder, "checkout", "-qb", "side")
    for name, text in (("side", "side\n"), (branch, "own\n")):
        git(folder, "checkout", "-q", name)
        (folder / "slipway.toml").write_text(text)
        git(folder, "commit", "-qam", name)
    git(folder, "merge", "side", fails=True)
    with pytest.raises(Conflict, match=r"slipway\.toml") as problem:
        standing(folder)
    assert "middle of a merge" in problem.value.why
    assert "git merge --abort" in problem.value.fix
    git(folder, "merge", "--abort")
    git(folder, "rebase", "side", fails=True)
    with pytest.raises(Conflict, match=r"slipway\.toml") as problem:
        standing(folder)
    assert "git rebase --continue" in problem.value.fix
    (folder / "slipway.toml").write_text("both\n")
    git(folder, "add", "-A")
    assert standing(folder).amid == "rebase"


def test_outside_of_git_the_reason_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "git init" in standing(folder).unknown
    monkeypatch.setenv("PATH", str(folder))
    assert "git is not installed" in standing(folder).unknown


def test_a_folder_whose_holder_is_gone_is_removed_by_the_next(elsewhere: Path) -> None:
    program = "import time\nfrom slipway.flows.ci_scratch import scratch\nwith scratch() as place:\n    (place.folder / 'a').mkdir(); print(place.folder, flush=True); time.sleep(60)"
    environment = {**os.environ, "TMPDIR": str(elsewhere)}
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    assert holder.stdout is not None
    left = Path(holder.stdout.readline().strip())
    try:
        with scratch() as place:
            assert left.is_dir()  # it is held
            assert place.folder != left
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert left.is_dir()
    with scratch() as place:
        assert not left.exists()
        assert place.folder.is_dir()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.full
def test_tests_end_with_whoever_asked_to_end(folder: Path, elsewhere: Path) -> None:
    (folder / "slipway.toml").write_text('[project]\nname = "slow"\nmodule = "slow"\n')
    (folder / "slow.py").write_text("")
    started = folder / "started"
    (folder / "test_slow.py").write_text(
        f"import os, time, pathlib\n\ndef test_slow():\n    pathlib.Path({str(started)!r}).write_text(str(os.getpid()))\n    time.sleep(120)\n"
    )
    command = [sys.executable, "-m", "slipway", "ci", "check", "--only", "unit"]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "TMPDIR": str(elsewhere)}, stderr=subprocess.PIPE
    )
    while not started.exists() or not started.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 143
    assert b"as it was" in said
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
    assert [path.name for path in elsewhere.iterdir() if path.name.startswith("slipway-ci-")] == []
