"""`slipway floor set`: a floor is kept where an environment that has it looks, or not at all."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main

SETTINGS = """[project]
name = "p"
module = "without_anything"
[environments.dev]
store = ".slipway"
[environments.stage]
store = ".slipway"
[environments.prod]
store = ".slipway-prod"
[environments.test]
store = ".slipway"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text(SETTINGS)
    (tmp_path / "without_anything.py").write_text("")
    (tmp_path / "floor.toml").write_text('checks = ["sw.no_skew()"]\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def set_floor(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["floor", "set", *arguments, "--reason", "rule 12"])


@pytest.mark.usefixtures("folder")
def test_a_floor_is_not_set_where_it_would_hold_nowhere() -> None:
    for name, present in (("prod", "dev"), ("dev", "prod"), ("test", "prod")):
        answer = set_floor(name, "floor.toml", "--env", present)
        assert answer.exit_code == 2, answer.output
        assert f"slipway floor set {name} floor.toml --env {name}" in answer.output
    shown = CliRunner().invoke(main, ["floor", "show", "--env", "prod"]).output
    assert "Nothing was set for dev, test, prod" in shown


@pytest.mark.usefixtures("folder")
def test_a_floor_is_set_from_wherever_its_environment_is_kept() -> None:
    for name, present in (("prod", "prod"), ("test", "dev"), ("dev", "stage")):
        answer = set_floor(name, "floor.toml", "--env", present)
        assert answer.exit_code == 0, answer.output
