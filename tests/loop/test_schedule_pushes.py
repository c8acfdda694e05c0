"""Pushes to a repository: what was pushed runs, once for each move of the branch."""

import subprocess
from pathlib import Path

import pytest

from scheduled import CODE, Desk
from slipway.errors import SlipwayError
from slipway.pipelines.snapshot import contents_of


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


PUSHED = 'when=[sw.on_push("main")]'


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A project two folders below the top of its repository."""
    folder = tmp_path / "work" / "flights"
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(folder)
    found = Desk(folder)
    found.declare(PUSHED, apply=False)
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text(".slipway\nlog\n__pycache__\n")
    commit(found, "first")
    found.type("apply")
    return found


def commit(desk: Desk, words: str, factor: int = 1) -> str:
    code = CODE.format(log=str(desk.folder / "log"), declared=PUSHED).replace(
        "factor: int = 1", f"factor: int = {factor}"
    )
    (desk.folder / "nights.py").write_text(code)
    git(desk.folder, "add", "-A", ":/")
    git(desk.folder, "commit", "--quiet", "--allow-empty", "-m", words)
    return git(desk.folder, "rev-parse", "HEAD")


def test_what_was_pushed_is_what_runs(desk: Desk) -> None:
    assert desk.decide() == []  # where the branch was when it was declared
    (desk.folder / "rates.csv").write_text("rate\n1\n")
    pushed = commit(desk, "second", factor=2)
    (desk.folder / "rates.csv").write_text("rate\n2\n")
    (desk.folder / "nights.py").write_text("raise ValueError('unfinished work in the folder')\n")
    desk.look(2)
    (one,) = desk.firings()
    assert (one.state, one.commit, one.trigger) == ("finished", pushed, "push main")
    assert desk.log() == ["None 2"]
    assert one.snapshot != desk.schedule().snapshot
    with desk.opened() as project:
        files = contents_of(project.workspace, one.snapshot).files
        assert project.workspace.blobs.get(files["rates.csv"]) == b"rate\n1\n"


def test_a_branch_that_returns_has_moved_and_one_that_stands_has_not(desk: Desk) -> None:
    first = git(desk.folder, "rev-parse", "HEAD")
    second = commit(desk, "second", factor=2)
    desk.decide()
    desk.decide()
    git(desk.folder, "reset", "--quiet", "--hard", first)
    desk.decide()
    git(desk.folder, "reset", "--quiet", "--hard", second)
    desk.decide()
    desk.decide()
    assert sorted(one.commit for one in desk.firings()) == sorted([second, first, second])


def test_a_repository_that_is_away_is_said_and_keeps_nothing_else(desk: Desk) -> None:
    desk.declare('when=[sw.on_push("main"), sw.cron("0 3 * * *")]')
    commit(desk, "second")
    home = desk.folder.parents[1]
    (home / ".git").rename(home / "away")
    desk.at(days=1)
    with pytest.raises(SlipwayError, match="A git repository cannot be read"):
        desk.decide()
    assert [one.trigger for one in desk.firings()] == ["schedule 0 3 * * *"]
    (home / "away").rename(home / ".git")
    desk.decide()
    assert sorted(one.trigger for one in desk.firings()) == ["push main", "schedule 0 3 * * *"]


def test_a_commit_without_the_project_is_said(desk: Desk) -> None:
    git(desk.folder, "rm", "--quiet", "-r", "--cached", ".")
    git(desk.folder, "commit", "--quiet", "-m", "gone")
    with pytest.raises(SlipwayError, match="has no folder 'work/flights/'"):
        desk.decide()
    assert desk.firings() == []


def test_a_branch_that_is_not_there_is_refused(desk: Desk) -> None:
    assert "a branch that" in desk.type_declared('when=[sw.on_push("release")]', code=5)


def test_what_is_pushed_while_it_is_paused_is_not_caught_up(desk: Desk) -> None:
    desk.type("pause", "nightly")
    commit(desk, "second", factor=2)
    desk.type("resume", "nightly")
    assert desk.decide() == []
