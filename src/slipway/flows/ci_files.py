"""Pipelines of CI systems, and git's hooks, that carry out the stages of `slipway ci run`: written whole, checked before.

All of them have the same stages, a job each where the system has jobs. A job is done on a machine that reaches the stores
and has Slipway: its state is in the ledger, so that it does not matter which.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.errors import Conflict, InvalidInput
from slipway.flows.ci_hooks import post_receive, pre_push
from slipway.flows.ci_run import STAGES
from slipway.hashing import digest
from slipway.pipelines.workload import as_yaml
from slipway.records.ci_runs import WAITING
from slipway.whole_files import write_whole

__all__ = ["SYSTEMS", "CiFile", "ci_file", "hook", "write"]

SYSTEMS = ("github", "gitlab", "jenkins", "bitbucket")
_MARK = re.compile(r"^(?:#|//) written by slipway ci init, ([0-9a-f]{16})$", re.MULTILINE)
_SHOWN = 16
_WAIT = ("approve", "deploy-prod")
"""Stages that may wait: for a person's word, or for a roll-out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CiFile:
    """A file of a CI system.

    Args:
        path: Where it goes.
        text: What is in it, its mark included.
        is_program: Whether it is run by its name.
    """

    path: Path
    text: str
    is_program: bool = False


def ci_file(system: str, top: Path, *, branch: str, folder: str = "") -> CiFile:
    """The pipeline of a CI system.

    Args:
        system: One of `SYSTEMS`.
        top: The top folder of the repository.
        branch: The branch whose pushes go to production.
        folder: Where the project lies below it, "" for there.

    Raises:
        InvalidInput: The branch or the folder has a character that such a file cannot hold.
    """
    for what, text in (("branch", branch), ("folder", folder)):
        if not re.fullmatch(r"[\w./-]*", text):
            raise InvalidInput(
                f"The {what} {text!r} cannot be written into a pipeline.",
                why="It has other characters than letters, digits and ._/-.",
                fix=f"Rename the {what}.",
            )
    places = {
        "github": ".github/workflows/slipway.yml",
        "gitlab": ".gitlab-ci.yml",
        "jenkins": "Jenkinsfile",
        "bitbucket": "bitbucket-pipelines.yml",
    }
    comment = "//" if system == "jenkins" else "#"
    text = _jenkins(branch, folder) if system == "jenkins" else as_yaml([_CONTENT[system](branch, folder)])
    notes = "".join(f"{comment} {line}\n" for line in _NOTES[system])
    return CiFile(path=top / places[system], text=_marked(notes + text, comment))


def hook(folder: Path, *, is_bare: bool, python: str) -> CiFile:
    """The hook that fits a repository: `post-receive` of a bare one, `pre-push` of a clone.

    Args:
        folder: The repository's folder of hooks.
        is_bare: Whether it is bare, so that it is pushed to.
        python: The interpreter that has Slipway.
    """
    name, text = ("post-receive", post_receive(python)) if is_bare else ("pre-push", pre_push(python))
    first, rest = text.split("\n", 1)
    return CiFile(path=folder / name, text=f"{first}\n{_marked(rest, '#')}", is_program=True)


def write(file: CiFile, *, force: bool) -> bool:
    """Write a file; one that somebody else wrote or edited is left alone.

    Returns:
        Whether anything changed.

    Raises:
        Conflict: Another file is there.
    """
    path = file.path
    if path.exists() and not force:
        present = path.read_text(errors="replace")
        if present == file.text:
            return False
        found = _MARK.search(present)
        if found is None:
            raise Conflict(
                f"{path} is there already, and `slipway ci init` did not write it.",
                why="What it does would be lost.",
                fix=f"Put it aside (mv {path} {path}.before) and take over what you need of it; or overwrite it: --force",
            )
        if digest(_without_mark(present).encode())[:_SHOWN] != found[1]:
            raise Conflict(
                f"{path} was edited since `slipway ci init` wrote it, or is broken.",
                why="The edits would be lost.",
                fix=f"Look: git diff -- {path.name}; keep it as it is, or write it anew without the edits: --force",
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, file.text.encode())
    path.chmod(0o755 if file.is_program else 0o644)
    return True


def _marked(text: str, comment: str) -> str:
    return f"{comment} written by slipway ci init, {digest(text.encode())[:_SHOWN]}\n{text}"


def _without_mark(text: str) -> str:
    """What the mark's digest is over: all that comes after its line."""
    found = _MARK.search(text)
    return text[found.end() + 1 :] if found else text


def _run(stage: str) -> str:
    # The last job is for all that is left: where a word is missing it says whose, and that is no failure.
    return "slipway ci run" if stage == "deploy-prod" else f"slipway ci run --stage {stage}"


def _patient(stage: str) -> str:
    """The command, waiting being no failure of what may wait."""
    return f"{_run(stage)} || test $? -eq {WAITING}" if stage in _WAIT else _run(stage)


def _github(branch: str, folder: str) -> dict[str, Any]:
    jobs: dict[str, Any] = {}
    before = ""
    checkout = {"uses": "actions/checkout@v4", "with": {"clean": False}}
    for stage in STAGES:
        job: dict[str, Any] = {"needs": [before]} if before else {}
        if before == "approve":
            job["if"] = "needs.approve.outputs.given == 'yes'"
        job["runs-on"] = ["self-hosted", "slipway"]
        step: dict[str, Any] = {"run": _patient(stage)}
        if stage == "approve":
            job["outputs"] = {"given": "${{ steps.ask.outputs.given }}"}
            step = {"id": "ask", "run": f'{_run(stage)} && echo given=yes >> "$GITHUB_OUTPUT" || test $? -eq {WAITING}'}
        if folder:
            step["working-directory"] = folder
        job["steps"] = [checkout, step]
        jobs[stage] = job
        before = stage
    jobs["test"]["if"] = "github.event_name == 'push'"  # and those after it, which need it
    jobs["check"] = _github_check(branch, folder)
    return {
        "name": "slipway",
        "on": {"push": {"branches": [branch]}, "pull_request": {"branches": [branch]}},
        "permissions": {"contents": "read"},
        "concurrency": {"group": "slipway", "cancel-in-progress": False},
        "jobs": jobs,
    }


def _github_check(branch: str, folder: str) -> dict[str, Any]:
    """What a proposed change is told: the report is the run's summary. The code of strangers runs on nobody's machine."""
    place = {"working-directory": folder} if folder else {}
    return {
        "if": "github.event_name == 'pull_request' && github.event.pull_request.head.repo.full_name == github.repository",
        "runs-on": ["self-hosted", "slipway"],
        "steps": [
            {"uses": "actions/checkout@v4", "with": {"clean": False, "fetch-depth": 0}},
            {"run": f"{_check(f'origin/{branch}')} --markdown slipway-report.md", **place},
            {"if": "always()", "run": 'cat slipway-report.md >> "$GITHUB_STEP_SUMMARY"', **place},
        ],
    }


def _check(since: str) -> str:
    return f"slipway ci check --since {since}"


def _gitlab(branch: str, folder: str) -> dict[str, Any]:
    pushed, proposed = f'$CI_COMMIT_BRANCH == "{branch}"', '$CI_PIPELINE_SOURCE == "merge_request_event"'
    content: dict[str, Any] = {
        "stages": list(STAGES),
        "workflow": {"rules": [{"if": pushed}, {"if": proposed}]},
        "default": {"tags": ["slipway"]},
        "variables": {"GIT_STRATEGY": "fetch", "GIT_CLEAN_FLAGS": "none", "GIT_DEPTH": "0"},
    }
    there = f"{folder}/" if folder else ""
    content["check"] = {
        "stage": "test",
        "rules": [{"if": proposed}],
        "script": [
            *([f"cd {folder}"] if folder else []),
            f"git fetch --quiet origin {branch}",
            f"{_check('FETCH_HEAD')} --junit slipway-junit.xml --markdown slipway-report.md",
        ],
        "artifacts": {
            "when": "always",
            "paths": [f"{there}slipway-report.md"],
            "reports": {"junit": f"{there}slipway-junit.xml"},
        },
    }
    before = ""
    for stage in STAGES:
        job: dict[str, Any] = {"stage": stage, "rules": [{"if": pushed}]}
        if before:
            job["needs"] = [before]
        job["resource_group"] = "slipway"
        if stage in _WAIT:
            job["allow_failure"] = {"exit_codes": [WAITING]}
        job["script"] = [*([f"cd {folder}"] if folder else []), _run(stage)]
        content[stage] = job
        before = stage
    return content


def _bitbucket(branch: str, folder: str) -> dict[str, Any]:
    steps = []
    for stage in STAGES:
        script = [*([f"cd {folder}"] if folder else []), _patient(stage)]
        steps.append({"step": {"name": stage, "runs-on": ["self.hosted", "linux.shell", "slipway"], "script": script}})
    return {"pipelines": {"branches": {branch: steps}}}


def _jenkins(branch: str, folder: str) -> str:
    lines = ["pipeline {", "  agent { label 'slipway' }", "  options { disableConcurrentBuilds() }", "  stages {"]
    for stage in STAGES:
        lines += [f"    stage('{stage}') {{", f"      when {{ branch '{branch}' }}", "      steps {"]
        inside = f"dir('{folder}') {{ sh '{_patient(stage)}' }}" if folder else f"sh '{_patient(stage)}'"
        lines += [f"        {inside}", "      }", "    }"]
    return "\n".join([*lines, "  }", "}"]) + "\n"


_CONTENT = {"github": _github, "gitlab": _gitlab, "bitbucket": _bitbucket}

_COMMON = (
    "Each job carries out one stage; what is done for this commit is not done again, on whichever machine.",
    "The machine has Slipway and the project's libraries, and reaches the stores that slipway.toml names.",
    "Where somebody's word is asked for, no machine waits: the run ends, and `slipway up --env prod` in the",
    "project's folder goes on once it was given. See docs/ci-pipelines.md.",
)
_NOTES: Mapping[str, tuple[str, ...]] = {
    "github": (*_COMMON, "The checkout is not cleaned: a store may lie in the project's folder."),
    "gitlab": (*_COMMON, "The checkout is not cleaned: a store may lie in the project's folder."),
    "jenkins": (*_COMMON, "For a multibranch pipeline."),
    "bitbucket": _COMMON,
}
