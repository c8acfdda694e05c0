"""The page on explanations says what works: its project is run, explained and asked by its own commands."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from slipway.cli import main
from slipway.serving import explaining

PAGE = (Path(__file__).parents[2] / "docs" / "explanations.md").read_text()


def blocks(language: str) -> list[str]:
    return [text for name, text in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.S | re.M) if name == language]


def test_its_limits_are_those_that_hold() -> None:
    assert f"1 to {explaining.MOST_TOLD}; at most {explaining.MOST_ROWS} rows" in PAGE


@pytest.mark.full
def test_its_commands_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project,), (code,) = blocks("toml"), blocks("python")
    (tmp_path / "slipway.toml").write_text(project)
    (tmp_path / "diabetes.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    told = {}
    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    try:
        for line in lines:
            done = CliRunner().invoke(main, shlex.split(line)[1:])
            assert done.exit_code == 0, (line, done.output)
            told[line] = done.output
        predict = next(line for line in lines if " predict " in line)
    finally:
        CliRunner().invoke(main, ["endpoints", "stop", "diabetes"])
        sys.modules.pop("diabetes", None)
    card = told["slipway card diabetes"]
    (said,) = re.findall(r"In patients version \w{12}, .* of what the model's answers rest on\.", card)
    assert re.search(r"\bs5\b|\bbmi\b", said), said
    asked = told[predict]
    assert "score (log-odds)" in asked
    assert "exact, by the trees" in asked
    assert len(re.findall(r"^(?:age|sex|bmi|bp|s[1-6]) ", asked, re.M)) == 5
    first, second = (told[line] for line in lines if "what-if" in line)
    assert "The smallest change found that turns the decision" in first
    assert "With bmi = 0.1" in second
    (shown,) = (json.loads(block) for block in blocks("json"))
    parts = sum(one["contribution"] for one in shown["contributions"])
    assert shown["base"] + parts + shown["rest"] + shown["residual"] == pytest.approx(shown["score"])
