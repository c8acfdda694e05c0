"""The project's own tests, by pytest in a process of its own; its JUnit file becomes checks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from slipway.flows.ci_found import Found, look
from slipway.flows.ci_scratch import Scratch
from slipway.records.ci import CiCheck, State

__all__ = ["unit_checks"]

_SUITE = "unit"
_NAMES = ("test_*.py", "*_test.py")
_PASSED_OVER = {"node_modules", "site-packages", "build", "dist", "venv", "__pycache__"}
_NO_TESTS = 5
_TOLD_LINES = 40
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def unit_checks(folder: Path, scratch: Scratch) -> Iterator[CiCheck]:
    """Run the tests that lie in a project's folder; one check a test.

    Args:
        folder: The project's.
        scratch: Where pytest writes.
    """
    if not _has_tests(folder):
        told = f"There are no tests: no file {' or '.join(_NAMES)} in the project's folder."
        yield look(_SUITE, "pytest", lambda: Found("skipped", told, "Write some: docs/testing.md shows how."))
        return
    if find_spec("pytest") is None:
        told = f"The project has tests, and pytest is not installed for {sys.executable}."
        yield look(_SUITE, "pytest", lambda: Found("failed", told, "Install it: pip install pytest"))
        return
    out = scratch.folder / "unit.xml"
    code, said = _run(folder, out, scratch.lock)
    cases = list(_cases(out))
    yield from cases
    if code == _NO_TESTS and not cases:
        told = "pytest found no test in the files of tests."
        yield look(_SUITE, "pytest", lambda: Found("skipped", told, "A test is a function test_...(): docs/testing.md"))
    elif not cases or (code and not any(one.state == "failed" for one in cases)):
        told = f"pytest ended with {_ending(code)} before it could say of each test what came of it."
        found = Found("failed", told, "See what `python -m pytest` says in the project's folder.", said)
        yield look(_SUITE, "pytest", lambda: found)


def _has_tests(folder: Path) -> bool:
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _PASSED_OVER]
        if any(Path(name).match(pattern) for name in files for pattern in _NAMES):
            return True
    return False


def _run(folder: Path, out: Path, lock: int) -> tuple[int, str]:
    """Its exit code, and the last lines that it said."""
    # Its cache, and what is compiled of tests, would be files of the user's that nobody asked for.
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", f"--junitxml={out}"]
    # One file that does not load keeps the others from nothing.
    command += ["-o", "junit_family=xunit2", "--continue-on-collection-errors", "."]
    log = out.with_suffix(".log")
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock,),  # the folder stays as long as it writes there
        )
        try:
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    lines = _COLOURS.sub("", log.read_text(encoding="utf-8", errors="replace")).strip().splitlines()
    return code, "\n".join(lines[-_TOLD_LINES:])


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _cases(out: Path) -> Iterator[CiCheck]:
    """The tests of a JUnit file; none where pytest was ended before it wrote one."""
    try:
        root = ElementTree.parse(out).getroot()
    except (OSError, ElementTree.ParseError):
        return
    for case in root.iter("testcase"):
        module = case.get("classname", "")
        name = f"{module}::{case.get('name', '')}" if module else case.get("name", "")
        yield _case(case, name)


def _case(case: ElementTree.Element, name: str) -> CiCheck:
    seconds = float(case.get("time") or 0.0)
    bad = case.find("failure") if case.find("error") is None else case.find("error")
    skipped = case.find("skipped")
    state: State = "passed" if bad is None and skipped is None else "failed" if bad is not None else "skipped"
    sentence, fix, detail = "", "", ""
    if bad is not None:
        detail = (bad.text or "").strip()
        sentence = _first(bad.get("message", ""), detail)
        fix = f"python -m pytest {_argument(case, name)}"
    elif skipped is not None:
        sentence = _first(skipped.get("message", ""), "")
    return CiCheck(suite=_SUITE, name=name, state=state, seconds=seconds, sentence=sentence, fix=fix, detail=detail)


def _first(message: str, detail: str) -> str:
    """What a test says in a line: pytest's message, and of a file that does not load what Python said of it."""
    if message == "collection failure":
        said = [line.removeprefix("E ").strip() for line in detail.splitlines() if line.startswith("E ")]
        return f"The file cannot be loaded: {said[-1] if said else 'see below'}"
    return " ".join(message.split())[:500]


def _argument(case: ElementTree.Element, name: str) -> str:
    """What pytest is given to run this test alone; the test's bare name is enough."""
    bare = case.get("name", "").partition("[")[0]
    return f"-k {bare}" if bare.isidentifier() else name.replace(".", "/").strip(":") + ".py"
