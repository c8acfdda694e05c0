"""The commands of docs/ci.md run in a new project that is in git, and its tables name what there is."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.cli.exits import ENDINGS
from slipway.records.ci import SUITES

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()
CODES = {"0", "2", "3", "5", "6", "130, 143"}


def test_its_suites_and_codes_are_those_that_there_are() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) == SUITES
    found = set(re.findall(r"^\| (\d+(?:, \d+)?) \|", PAGE, re.M))
    assert found == CODES
    assert found <= {code for code, *_ in ENDINGS}


@pytest.mark.full
def test_its_commands_run_in_a_new_project(tmp_path: Path) -> None:
    slipway = [sys.executable, "-m", "slipway"]
    subprocess.run([*slipway, "new", "my-project"], cwd=tmp_path, check=True, capture_output=True)
    folder = tmp_path / "my-project"
    nobody = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.com", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run(["git", *nobody, *words], cwd=folder, check=True, capture_output=True)
    block = re.findall(r"^```\n(slipway ci check.*?)^```", PAGE, re.S | re.M)[0]
    for line in block.splitlines()[1:]:
        words = [*shlex.split(line)[1:], "--no-image"]  # building one is tested where images are
        done = subprocess.run([*slipway, *words], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, line + done.stdout + done.stderr
        assert "No check failed" in done.stdout
    assert (folder / "junit.xml").read_bytes().startswith(b"<?xml")
    assert "since main" in (folder / "report.md").read_text()
