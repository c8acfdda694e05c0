"""`slipway ci check` as it is typed: exit codes, one line a check, reports as files, JSON alone on standard output."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main

MODULE = """
import polars as pl
import slipway as sw

print("the project's code speaks")

@sw.table(key="id", checks=[sw.unique("id")])
def sales() -> pl.DataFrame:
    return pl.DataFrame({"id": [1, 2, 2]})
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "p"\nmodule = "checked_on_the_command_line"\n')
    (tmp_path / "checked_on_the_command_line.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "checked_on_the_command_line", raising=False)
    return tmp_path


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ci", "check", *arguments])


def test_what_failed_is_an_exit_code_a_sentence_and_two_files(folder: Path) -> None:
    (folder / "test_it.py").write_text("def test_it():\n    assert 1 == 2\n")
    answer = check("--only", "unit", "--only", "data", "--junit", "out.xml", "--markdown", "out.md")
    assert answer.exit_code == 3, answer.output
    assert "FAILED unit: test_it::test_it" in answer.stdout
    assert "1 of 2 checks failed; 0 passed, 1 skipped." in answer.stdout
    assert "failed   unit         test_it::test_it (" in answer.stderr
    assert "skipped  data         sales (" in answer.stderr
    assert ElementTree.parse(folder / "out.xml").getroot().get("failures") == "1"
    assert "slipway data ingest sales" in (folder / "out.md").read_text()


def test_where_nothing_failed_the_answer_is_json_alone_and_the_code_is_0(folder: Path) -> None:
    answer = check("--only", "model", "--only", "data", "--json")
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert {one["state"] for one in told["checks"]} == {"skipped"}
    assert told["suites"] == ["data", "model"]
    assert "speaks" in answer.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--only", "units"], "There is no suite 'units'"),
        (["--rows", "-1"], "are no sample"),
        (["--since", "main"], "which code moved since cannot be told"),
        (["--junit", "nowhere/out.xml"], "There is no folder"),
        (["--markdown", "."], "is a directory"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(folder: Path, given: list[str], words: str) -> None:
    answer = check("--only", "data", *given)
    assert answer.exit_code == 2, answer.output
    assert words in answer.output
    assert "speaks" not in answer.output


def test_code_that_does_not_load_is_a_check_that_failed(folder: Path) -> None:
    (folder / "checked_on_the_command_line.py").write_text("import nowhere_to_be_found\n")
    answer = check("--only", "model")
    assert answer.exit_code == 3, answer.output
    assert "FAILED unit: the project's code is imported" in answer.stdout
    assert "which is not installed" in answer.stdout
