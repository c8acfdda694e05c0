"""`slipway simulate`: what cannot be is said before anything is made, and how a simulation is told."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.cli.simulate import Story, simulation_text
from slipway.records.loop import Action
from slipway.records.simulations import Fault, Figures, Month, Simulation

START = datetime(2013, 4, 1, tzinfo=UTC)
MODULE = """
import slipway as sw

@sw.pipeline
def release() -> int:
    return 1

one = sw.Endpoint("one", pipeline=release, features=sw.FeatureSet("x"), key="id")
bare = sw.Endpoint("bare", pipeline=release, features=sw.FeatureSet("x"))
"""
PERIOD = ("--since", "2013-04-01", "--until", "2013-05-01")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "p"\nmodule = "simulated_by_hand"\n')
    (tmp_path / "simulated_by_hand.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "simulated_by_hand", raising=False)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["simulate", *arguments])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("one",), 2, "Missing option '--since'"),
        (("on", *PERIOD), 5, "Did you mean 'one'?"),
        (PERIOD, 2, "declares 2 endpoints: bare, one"),
        (("bare", *PERIOD), 2, "'bare' has no key"),
        (("one", "--since", "2013-05-01", "--until", "2013-04-01"), 2, "It must end after it begins"),
        (("one", "--since", "April", "--until", "2013-05-01"), 2, "--since 'April' is no day"),
        (("one", *PERIOD, "--tick", "six"), 2, "Write it as 30m, 6h or 1d"),
        (("one", *PERIOD, "--tick", "0h"), 2, "--tick '0h' is no length of time"),
        (("one", *PERIOD, "--from-log", "nowhere"), 5, "no prediction log in nowhere"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(
    folder: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    answer = run(*arguments)
    assert answer.exit_code == code, answer.output
    assert words in answer.stderr
    assert not (folder / ".slipway" / "simulations").exists()


def test_a_folder_that_holds_something_else_is_left_as_it_is(folder: Path) -> None:
    answer = run("one", *PERIOD, "--root", str(folder), "--json")
    assert answer.exit_code == 6
    assert json.loads(answer.stderr)["error"]["code"] == "Conflict"
    assert (folder / "simulated_by_hand.py").read_text() == MODULE


def test_a_story_has_a_line_for_whatever_happens(capsys: pytest.CaptureFixture[str]) -> None:
    with Story(START, START + timedelta(days=2), "April") as story:
        story.asked(START + timedelta(days=1), 5)
        story.acted(
            START + timedelta(days=1),
            Action(
                id="a", project="p", created_at=START, name="alert", parent_id="p/e", number=1, sentence="It is late.",
                owner="data engineer",
            ),
        )  # fmt: skip
        story.said(START + timedelta(days=3), "it breaks")
        story.asked(START + timedelta(days=9), 5)
    told = capsys.readouterr()
    assert told.out == ""
    assert "2013-04-02 00:00  alert [data engineer]: It is late." in told.err
    assert "2013-04-04 00:00  ! it breaks" in told.err


def test_a_report_in_plain_words() -> None:
    figures = {"slipway": Figures(log_loss=0.4, calibration=0.0, auc=0.7, cost=10.0)}
    month = Month(name="2013-04", asked=1000, labelled=900, rate=0.2, figures=figures, versions=(1, 2))
    told = simulation_text(
        Simulation(
            id="s", project="p", name="one", created_at=START, parent_id="p/one", state="finished", since=START,
            until=START + timedelta(days=30), seed=4, requests=1200, events=5, labels=1, months=(month,), total=month,
            faults=(Fault(name="feed", at=START, was_handled=True, sentence="Told."),
                    Fault(name="kill", at=START, was_handled=False, sentence="It never struck.")),
            sentence="It was worth it.", fingerprint="f" * 64,
        )
    )  # fmt: skip
    assert "one, 2013-04-01 to 2013-05-01, seed 4" in told
    assert "1,200 requests, 5 events, 1 label" in told
    assert "handled. Told." in told
    assert "NOT handled. It never struck." in told
    assert "Log loss, then cost of errors" in told
    assert "It was worth it." in told
