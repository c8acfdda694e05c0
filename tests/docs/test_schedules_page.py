"""The page on schedules: what it declares is declared, published and fired as it says, and its table names every trigger."""

import re
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner

import slipway
from slipway.cli import main
from slipway.records.schedules import CatchUp, FiringState, Overlap

PAGE = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()


def blocks(language: str) -> list[str]:
    return [text for name, text in re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.S | re.M) if name == language]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "flights"\nmodule = "schedules_page"\n')
    (tmp_path / "schedules_page.py").write_text(blocks("python")[0])
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("schedules_page", None)
    return tmp_path


def typed(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(main, ["schedules", *words, "-C", str(folder)], catch_exceptions=False)


def test_what_it_declares_can_be_published_and_its_commands_do_what_they_say(folder: Path) -> None:
    commands = [line.removeprefix("slipway schedules ") for line in blocks("")[0].splitlines()]
    assert len(commands) == 8
    assert typed(folder, "apply").exit_code == 0
    assert (
        "schedule 0 3 * * * Europe/Berlin, table flights, incident table:flights, hook" in typed(folder, "list").output
    )
    told = typed(folder, "next", "nightly", "--count", "5").output.splitlines()
    assert len(told) == 6
    assert all(" 03:00 CE" in line for line in told[1:])
    assert "holidays" in typed(folder, "pause", "nightly", "--reason", "holidays").output
    assert typed(folder, "resume", "nightly").exit_code == 0
    assert re.search(r"POST /api/v1/hooks/[0-9a-f]{32}\nSecret: \S{43}\n", typed(folder, "hook", "nightly").output)


def test_it_names_every_trigger_policy_and_state() -> None:
    triggers = {name for name in slipway.__all__ if name.startswith("on_")} | {"cron"}
    assert triggers == set(re.findall(r"^\| `sw\.(\w+)\(", PAGE, re.M))
    assert set(re.findall(r'^\| `"(\w+)"` \|', PAGE, re.M)) == set(get_args(CatchUp))
    assert {name for name in get_args(Overlap) if f'`"{name}"`' in PAGE} == set(get_args(Overlap))
    assert {name for name in get_args(FiringState) if f"*{name}*" in PAGE} == set(get_args(FiringState))
