"""The page on runs says what works: every example on it is run, and leaves what it says."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from slipway.cli import main
from slipway.hosts.project import open_workspace
from slipway.hosts.settings import EnvironmentSettings
from slipway.runs import search

PAGE = Path(__file__).parents[2] / "docs" / "runs.md"


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
    return [text for name, text in fenced if name == language]


def test_every_example_runs(tmp_path: Path) -> None:
    told = []
    for number, code in enumerate(blocks("python")):
        (tmp_path / f"example_{number}.py").write_text(code)
        command = [sys.executable, f"example_{number}.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        told.append(done.stdout.strip())
    assert told == ["", "", "", "The run was stopped: not finite: loss is nan at step 30.", ""]
    workspace = open_workspace(tmp_path / ".slipway", project=tmp_path.name)
    try:
        found = {run.name: run for run in search.list_runs(workspace)}
        assert set(found) == {
            "baseline",
            "with artifacts",
            "search",
            "depth 4",
            "depth 6",
            "late",
            "long training",
            "careless",
        }
        children = {name for name, run in found.items() if run.parent_id == found["search"].id}
        assert children == {"depth 4", "depth 6", "late"}
        assert len(search.history(workspace, found["baseline"].id, "loss")) == 100
        made = [artifact.name for artifact in found["with artifacts"].artifacts]
        assert made == ["notes.txt", "thresholds", "report.md", "settings.json", "worst rows"]
    finally:
        workspace.ledger.close()


def test_its_settings_are_settings() -> None:
    (text,) = blocks("toml")
    (section,) = tomllib.loads(text)["environments"].values()
    assert EnvironmentSettings(**section).server


def test_its_commands_are_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "-c", blocks("python")[0]], cwd=tmp_path, check=True, env={**os.environ})
    run_id = re.search(r"[0-9a-f]{32}", CliRunner().invoke(main, ["runs", "list"]).output)
    assert run_id
    for line in "".join(blocks("")).splitlines():
        words = line.partition("#")[0].split()[1:]
        words = [re.sub(r"\b[0-9a-f]{8}\b", run_id[0][:12], word) for word in words]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
