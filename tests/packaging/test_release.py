"""The release's check-list: a version is prepared in a clone, and each point says what does not hold."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from release import __main__ as release
from release.archives import tracked
from release.locked import ROOT, pins, project, requirements


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=R. Elease", "-c", "user.email=r@example.com")
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def committed(folder: Path, why: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", why)


def small(folder: Path) -> Path:
    """A work tree with what a version and the change log lie in."""
    (folder / "src/slipway").mkdir(parents=True)
    (folder / "changelog.d").mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "slipway"\nversion = "0.1.0"\n')
    (folder / "src/slipway/__init__.py").write_text('__version__ = "0.1.0"\n')
    (folder / "CHANGELOG.md").write_text("# Changelog\n\nOf all.\n\n## 0.1.0 (2026-01-01)\n\n- First.\n")
    (folder / "changelog.d/b.md").write_text("- Second of two.\n")
    (folder / "changelog.d/a.md").write_text("- First of two,\n  on two lines.\n")
    git(folder, "init", "--quiet")
    committed(folder, "Begin")
    return folder


def test_fragments_become_the_newest_section_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = small(tmp_path)
    monkeypatch.setattr(release, "_generated", lambda root, *words: None)
    told = list(release.prepare("0.2.0", root, date(2026, 2, 3)))
    assert told[2] == "moved 2 fragments of changelog.d/ to CHANGELOG.md"
    assert (root / "CHANGELOG.md").read_text() == (
        "# Changelog\n\nOf all.\n\n## 0.2.0 (2026-02-03)\n\n- First of two,\n  on two lines.\n- Second of two.\n"
        "\n## 0.1.0 (2026-01-01)\n\n- First.\n"
    )
    assert not release.fragments(root)
    assert project(root)["version"] == "0.2.0"
    assert list(release.prepare("0.2.0", root, date(2026, 2, 3)))[:-1] == []  # done again, it changes nothing


@pytest.mark.parametrize(
    ("version", "sentence"),
    [("next", "is no version"), ("0.02.0", "is written"), ("0.0.9", "comes before"), ("0.2.0", "")],
)
def test_a_version_is_a_later_one(version: str, sentence: str, tmp_path: Path) -> None:
    wrong = release.wrong_version(version, small(tmp_path))
    assert sentence in wrong if wrong else not sentence
    git(tmp_path, "tag", "v0.2.0")
    assert "there already" in (release.wrong_version("0.2.0", tmp_path) or "")


def test_every_point_that_does_not_hold_is_told(tmp_path: Path) -> None:
    root = small(tmp_path)
    (root / "stray.txt").write_text("x")
    assert release._unclean(root) == ["changed: ?? stray.txt"]
    assert release._versions(root, "0.2.0") == ["pyproject.toml says 0.1.0", "src/slipway/__init__.py says 0.1.0"]
    assert release._uncollected(root, "0.2.0")[-1] == "CHANGELOG.md has no section for 0.2.0"
    assert release._untested(root) == [f"`make {suite}` passed on nothing last" for suite in release.SUITES]
    (root / ".venv/stamps").mkdir(parents=True)
    for suite in release.SUITES:
        (root / ".venv/stamps" / f"passed-{suite}").write_text(git(root, "rev-parse", "HEAD^{tree}") + "\n")
    assert release._untested(root) == []


def test_what_pyproject_asks_for_is_locked_with_hashes_and_no_addresses(tmp_path: Path) -> None:
    assert release._unlocked(ROOT) == []
    for path in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in path.read_text(), path
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/all.txt").write_text("click==8.1.0 \\\n    --hash=sha256:00\nhttpx==0.28.1\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["click>=8.2", "httpx>=0.28", "jinja2>=3"]\n[project.optional-dependencies]\n'
    )
    assert [told.split(":")[0] for told in release._unlocked(tmp_path)] == [
        "requirements/all.txt has no click>=8.2", "requirements/all.txt has httpx without a hash.",
        "requirements/all.txt has no jinja2>=3",
    ]  # fmt: skip


def test_a_tiers_requirements_are_its_own(tmp_path: Path) -> None:
    names = set(pins_of(requirements(), tmp_path))
    assert {"click", "httpx", "starlette"} <= names
    assert not {"numpy", "polars", "pytest"} & names
    assert pins_of(requirements(["data"]), tmp_path).keys() - names == {"numpy", "polars", "polars-runtime-32"}


def pins_of(text: str, folder: Path) -> dict[str, str]:
    (folder / "r.txt").write_text(text)
    return pins(folder / "r.txt")


@pytest.mark.full
def test_a_release_is_prepared_and_checked_in_a_clone(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="licences of all extras: make test-all")
    for name in tracked(ROOT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    git(tmp_path, "init", "--quiet")
    committed(tmp_path, "As it is")

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "release", "9.9.9", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    first = ask()
    assert first.returncode == 0, first.stderr
    assert "moved" in first.stdout
    committed(tmp_path, "Release 9.9.9")
    (tmp_path / ".venv/stamps").mkdir(parents=True)
    for suite in release.SUITES:
        (tmp_path / ".venv/stamps" / f"passed-{suite}").write_text(git(tmp_path, "rev-parse", "HEAD^{tree}"))
    before = git(tmp_path, "rev-parse", "HEAD"), git(tmp_path, "for-each-ref")
    second = ask("--check")
    assert second.returncode == 0, second.stdout
    assert "git tag -a v9.9.9" in second.stdout
    assert (git(tmp_path, "rev-parse", "HEAD"), git(tmp_path, "for-each-ref")) == before
    assert not git(tmp_path, "status", "--porcelain")
