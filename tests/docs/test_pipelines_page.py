"""The page on pipelines says what works: its project runs by its commands, and its pipeline is as short as it says."""

import ast
import re
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from slipway.cli import exits, main

PAGE = Path(__file__).parents[2] / "docs" / "pipelines.md"


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
    return [text for name, text in fenced if name == language]


def test_its_commands_run_on_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, cautious = blocks("python")
    (tmp_path / "slipway.toml").write_text('[project]\nname = "page"\n')
    (tmp_path / "project.py").write_text(project)
    (tmp_path / "cautious_flow.py").write_text(cautious)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    told = {}
    for line in "".join(blocks("")).splitlines():
        done = CliRunner().invoke(main, shlex.split(line, comments=True)[1:])
        assert done.exit_code == 0, done.output
        told[line.partition("#")[0].strip()] = done.stdout
    assert told["slipway why train"].count("train ran at") == 3
    assert "training with slope 2.9\n" in told["slipway runs logs last"]
    assert told["slipway runs logs last train"].count("training") == 3
    assert told["slipway run release --key 2013-04-01 --json"].startswith('{"run":')
    import cautious_flow  # type: ignore[import-not-found]  # written above

    assert cautious_flow.cautious() == "good enough"
    for name in ("project", "cautious_flow"):
        sys.modules.pop(name, None)


def test_its_pipeline_has_at_most_six_lines() -> None:
    (pipeline,) = (
        node
        for node in ast.parse(blocks("python")[0]).body
        if isinstance(node, ast.FunctionDef) and node.name == "release"
    )
    assert pipeline.end_lineno is not None
    assert pipeline.end_lineno - pipeline.decorator_list[0].lineno + 1 <= 6


def test_its_exit_codes_are_all_that_there_are() -> None:
    told = {int(code) for cell in re.findall(r"^\| ([\d, ]+) \|", PAGE.read_text(), re.M) for code in cell.split(", ")}
    assert told == {0, exits.INTERRUPTED, exits.TERMINATED, *exits._CODES.values()}
