"""Pipelines of CI systems: the same stages everywhere, commands that exist, and nobody's file is overwritten."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from pushing import commit, git, project_in

from slipway.cli import main
from slipway.errors import Conflict, InvalidInput
from slipway.flows.ci_files import SYSTEMS, CiFile, ci_file, hook, write
from slipway.flows.ci_run import STAGES

GITHUB_KEYS = {"name", "on", "permissions", "concurrency", "jobs"}
GITHUB_JOB = {"needs", "if", "runs-on", "outputs", "steps"}
GITHUB_STEP = {"if", "id", "uses", "with", "run", "working-directory"}
GITLAB_KEYS = {"stages", "workflow", "default", "variables"}
GITLAB_JOB = {"stage", "rules", "needs", "resource_group", "allow_failure", "script"}


def parsed(words: list[str]) -> None:
    """Let click read a command as it stands in a file; nothing is carried out."""
    command: click.Command = main
    context = click.Context(main, info_name="slipway")
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, words
        command, words = found, words[1:]
    command.make_context("slipway", ["." if word.startswith("$") else word for word in words], resilient_parsing=False)


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of every `slipway` command of a file, without "slipway" itself; comments are none."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("#", "//"))]
    for found in re.finditer(r"slipway (ci\b[^\n|&;'#]*)", "\n".join(lines)):
        yield shlex.split(found[1].replace("\\", " ").replace('"', " "))


def stages_in(text: str) -> list[str]:
    """The stages that a file's commands carry out, the last one by the command for all that are left."""
    found = []
    for words in commands_in(text):
        parsed(words)
        if words[:2] == ["ci", "run"]:
            found.append(words[words.index("--stage") + 1] if "--stage" in words else "deploy-prod")
    return found


def follows(needs: dict[str, list[str]]) -> list[str]:
    """Jobs in an order in which each comes after those that it needs; none where they go in a circle."""
    order: list[str] = []
    while left := [name for name in needs if name not in order]:
        ready = [name for name in left if all(one in order for one in needs[name])]
        assert ready, f"a circle: {left}"
        assert all(one in needs for name in left for one in needs[name])
        order += ready
    return order


@pytest.mark.parametrize("folder", ["", "models/parcels"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_all_systems_have_the_same_stages_and_commands_that_exist(system: str, folder: str, tmp_path: Path) -> None:
    file = ci_file(system, tmp_path, branch="main", folder=folder)
    assert stages_in(file.text) == list(STAGES)
    assert not folder or folder in file.text


def test_github(tmp_path: Path) -> None:
    file = ci_file("github", tmp_path, branch="main")
    assert file.path == tmp_path / ".github" / "workflows" / "slipway.yml"
    found: dict[str, Any] = yaml.safe_load(file.text)
    assert set(found) == GITHUB_KEYS  # "on" is quoted: a bare one would be read as true
    assert found["on"] == {"push": {"branches": ["main"]}, "pull_request": {"branches": ["main"]}}
    jobs = found["jobs"]
    check = jobs.pop("check")
    assert "head.repo.full_name == github.repository" in check["if"]  # a stranger's code runs on nobody's machine
    assert "GITHUB_STEP_SUMMARY" in check["steps"][-1]["run"]
    assert {name: job.get("if") for name, job in jobs.items() if name == "test"} == {
        "test": "github.event_name == 'push'"
    }
    assert follows({name: job.get("needs", []) for name, job in jobs.items()}) == list(STAGES)
    for job in jobs.values():
        assert set(job) <= GITHUB_JOB
        for step in job["steps"]:
            assert set(step) <= GITHUB_STEP
            assert ("uses" in step) != ("run" in step)
    assert jobs["deploy-prod"]["if"] == "needs.approve.outputs.given == 'yes'"
    assert jobs["approve"]["outputs"] == {"given": "${{ steps.ask.outputs.given }}"}
    assert [step.get("id") for step in jobs["approve"]["steps"]] == [None, "ask"]


def test_gitlab(tmp_path: Path) -> None:
    found: dict[str, Any] = yaml.safe_load(ci_file("gitlab", tmp_path, branch="main").text)
    jobs = {name: job for name, job in found.items() if name not in GITLAB_KEYS}
    check = jobs.pop("check")
    assert (check["rules"], check["artifacts"]["reports"]) == (
        [{"if": '$CI_PIPELINE_SOURCE == "merge_request_event"'}],
        {"junit": "slipway-junit.xml"},
    )
    assert found["stages"] == list(STAGES) == list(jobs)
    assert follows({name: job.get("needs", []) for name, job in jobs.items()}) == list(STAGES)
    for name, job in jobs.items():
        assert set(job) <= GITLAB_JOB
        assert (job["stage"], job["rules"]) == (name, [{"if": '$CI_COMMIT_BRANCH == "main"'}])
        assert ("allow_failure" in job) == (name in ("approve", "deploy-prod"))  # waiting for a word is no failure


def test_bitbucket_and_jenkins(tmp_path: Path) -> None:
    found = yaml.safe_load(ci_file("bitbucket", tmp_path, branch="main").text)
    steps = [one["step"] for one in found["pipelines"]["branches"]["main"]]
    assert [step["name"] for step in steps] == list(STAGES)
    text = ci_file("jenkins", tmp_path, branch="main", folder="models").text
    assert text.count("{") == text.count("}")
    assert re.findall(r"stage\('([a-z-]+)'\)", text) == list(STAGES)


@pytest.mark.parametrize("is_bare", [True, False])
def test_hooks_are_programs_that_bash_reads(is_bare: bool, tmp_path: Path) -> None:
    file = hook(tmp_path, is_bare=is_bare, python="/opt/my python/bin/python")
    write(file, force=False)
    assert file.path.stat().st_mode & 0o111
    assert file.path.read_text().startswith("#!/bin/bash\n")
    bash = shutil.which("bash")
    assert bash is not None
    assert subprocess.run([bash, "-n", str(file.path)], capture_output=True, text=True, check=True).stderr == ""
    assert "'/opt/my python/bin/python'" in file.text
    commands = list(commands_in(file.text))
    assert commands
    for words in commands:
        parsed(words)


def test_nobodys_file_is_overwritten(tmp_path: Path) -> None:
    file = ci_file("gitlab", tmp_path, branch="main")
    assert write(file, force=False)
    assert not write(file, force=False)  # the same again changes nothing
    other = ci_file("gitlab", tmp_path, branch="release")
    assert write(other, force=False)  # what it wrote itself, it may write anew
    broken = other.text.replace("stages:", "stages")
    file.path.write_text(broken)
    with pytest.raises(Conflict, match="was edited since `slipway ci init` wrote it, or is broken") as caught:
        write(file, force=False)
    assert "--force" in caught.value.fix
    assert file.path.read_text() == broken
    assert write(file, force=True)
    theirs = CiFile(path=tmp_path / "post-receive", text=hook(tmp_path, is_bare=True, python="python").text)
    theirs.path.write_text("#!/bin/sh\nmake deploy\n")
    with pytest.raises(Conflict, match="did not write it"):
        write(theirs, force=False)
    assert theirs.path.read_text() == "#!/bin/sh\nmake deploy\n"


@pytest.mark.parametrize("given", [{"branch": "a b"}, {"branch": "a'b"}, {"branch": "main", "folder": "a{b"}])
def test_what_would_break_a_file_is_refused(given: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be written into a pipeline"):
        ci_file("github", tmp_path, **given)


def init(folder: Path, *words: str) -> tuple[int, str]:
    """How `slipway ci init` ended, and what it said."""
    command = [sys.executable, "-m", "slipway", "ci", "init", *words]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert "Traceback" not in done.stdout
    return done.returncode, done.stdout


@pytest.mark.full
def test_the_command_in_repositories_of_all_sorts(tmp_path: Path) -> None:
    code, said = init(tmp_path, "--github")
    assert (code, "is in no git repository" in said) == (5, True)
    bare = tmp_path / "bare.git"
    git(tmp_path, "init", "--quiet", "--bare", str(bare))
    code, said = init(bare, "--gitlab")
    assert (code, "is a bare repository" in said) == (2, True)
    assert init(bare, "--hook")[0] == 0
    assert (bare / "hooks" / "post-receive").is_file()
    top = tmp_path / "top"
    git(tmp_path, "init", "--quiet", "--initial-branch=trunk", str(top))
    project_in(top / "models", tmp_path / "stores")
    commit(top, "First")
    code, said = init(top / "models", "--github")
    assert code == 0, said
    text = (top / ".github" / "workflows" / "slipway.yml").read_text()
    assert "working-directory: models" in text
    assert "- trunk" in text
    assert init(top)[0] == 2
    git(top, "config", "core.hooksPath", "own-hooks")
    assert init(top, "--hook")[0] == 0
    assert (top / "own-hooks" / "pre-push").is_file()
