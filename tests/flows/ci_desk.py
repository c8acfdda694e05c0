"""What tests of `ci check` share: the suites over an opened project, and its folder as a git repository."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from slipway.cli.ci_check import _away, _code
from slipway.flows.ci_check import Ask, Code, check
from slipway.hosts.project import Project
from slipway.records.ci import CiCheck, CiReport

NOBODY = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com", "-c", "init.defaultBranch=main")


def checked(project: Project, ask: Ask, *, code: Callable[[], Code] | None = None) -> CiReport:
    return check(
        project.workspace,
        code or (lambda: _code(project)),
        project.folder,
        ask,
        away=lambda root: _away(project, root),
    )


def named(report: CiReport, name: str) -> CiCheck:
    found = [one for one in report.checks if one.name == name]
    assert len(found) == 1, [one.name for one in report.checks]
    return found[0]


def git(folder: Path, *words: str, fails: bool = False) -> str:
    done = subprocess.run(["git", *NOBODY, *words], cwd=folder, capture_output=True, text=True, check=not fails)
    return done.stdout.strip()


def committed(folder: Path) -> str:
    """Make a folder a repository with all that is in it; returns the commit."""
    (folder / ".gitignore").write_text(".slipway/\n__pycache__/\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    return git(folder, "rev-parse", "HEAD")
