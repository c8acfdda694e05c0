"""`slipway run`: a pipeline's parameters as text, and the endpoint that it feeds."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main

MODULE = """
from datetime import date, datetime
import slipway as sw

@sw.pipeline
def told(n: int, share: float = 0.5, on: bool = False, day: date = date(2013, 1, 1), until: datetime | None = None,
         names: list[str] | None = None, kind: complex = 1j) -> str:
    return repr((n, share, on, day, until))

@sw.pipeline
def shared() -> int:
    return 1

one = sw.Endpoint("one", pipeline=shared)
two = sw.Endpoint("two", pipeline=shared)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "p"\nmodule = "told_on_the_command_line"\n')
    (tmp_path / "told_on_the_command_line.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "told_on_the_command_line", raising=False)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["run", *arguments])


def test_parameters_are_read_by_their_types(folder: Path) -> None:
    given = ["n=3", "share=0.25", "on=true", "day=2013-04-01", "until=2013-04-01T12:00:00"]
    answer = run("told", *(f"--set={setting}" for setting in given), "--json")
    assert answer.exit_code == 0, answer.output
    params = json.loads(answer.stdout)["run"]["params"]
    assert (params["n"], params["share"], params["on"]) == (3, 0.25, True)
    assert params["day"].startswith("2013-04-01")
    assert params["until"].startswith("2013-04-01T12:00")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([], "needs 'n'"),
        (["n"], "not NAME=VALUE"),
        (["n=3", "shar=1"], "Did you mean 'share'?"),
        (["n=three"], "'three' does not fit the parameter 'n'"),
        (["n=3", "on=perhaps"], "'perhaps' does not fit"),
        (["n=3", "day=first of May"], "Write it as 2013-04-01"),
        (["n=3", "until=soon"], "Write it as 2013-04-01"),
        (["n=3", "kind=1j"], "Give a complex, or call the pipeline from Python"),
    ],
)
def test_what_does_not_fit_is_a_sentence_and_no_run(folder: Path, settings: list[str], words: str) -> None:
    answer = run("told", *(f"--set={setting}" for setting in settings))
    assert answer.exit_code == 2, answer.output
    assert words in answer.stderr
    listed = CliRunner().invoke(main, ["runs", "list", "--json"])
    assert json.loads(listed.stdout)["runs"] == []


def test_an_unknown_pipeline_names_the_nearest(folder: Path) -> None:
    answer = run("tol")
    assert answer.exit_code == 5
    assert "Did you mean 'told'?" in answer.stderr


def test_a_pipeline_of_two_endpoints_is_not_guessed(folder: Path) -> None:
    answer = run("shared")
    assert answer.exit_code == 2
    assert "feeds 2 endpoints: 'one', 'two'" in answer.stderr


def test_a_script_s_run_makes_no_store_beside_a_server(folder: Path) -> None:
    """It waits in the outbox for the server, which is away; a store is opened where the server keeps it."""
    from slipway.errors import InvalidSetting
    from slipway.hosts import session

    with (folder / "slipway.toml").open("a") as file:
        file.write('[environments.dev]\nserver = "http://127.0.0.1:9"\n')
    with pytest.raises(InvalidSetting, match="kept by the server"), session.open(folder):
        pass
    assert not (folder / ".slipway").exists()
    with session.run("x"):
        pass
    assert not (folder / ".slipway" / "ledger.db").exists()
    assert len(list((folder / ".slipway" / "outbox" / "run-logs").iterdir())) == 1
