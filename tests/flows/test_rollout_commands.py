"""What a person types wrongly, and what a terminal tells of an endpoint: sentences, and nothing is changed."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_desk import BETTER, FIRST, NAME, Desk
from test_rollouts import prepared

import slipway as sw
from slipway.cli import main
from slipway.errors import InvalidDeclaration
from slipway.flows.endpoints import revision_of


def run(desk: Desk, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--root", str(desk.workspace.root), "--project", NAME])


@pytest.fixture
def still(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    monkeypatch.chdir(tmp_path)
    return prepared(desk.without_processes(), [sw.Canary(steps=(10, 100))])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("deploy", NAME, "--version", "99"), "has no version '99'"),
        (("deploy", "small-delay"), "small-delays"),
        (("rollback", NAME, "--to", "17"), "has no revision 17"),
        (("rollback", NAME), "nothing to go back to"),
        (("rollback", NAME, "--live"), "--live was given without --drill"),
        (("rollout", "advance", NAME), "No reason was given"),
        (("rollout", "abort", NAME), "No roll-out is under way"),
        (("rollout", "resume", NAME, "--more", "soon"), "'soon'"),
        (("abtest", "start", NAME, "--minimal-effect", "1", "--arm", "2"), "'2' is no arm"),
        (("abtest", "start", NAME, "--minimal-effect", "1", "--arm", "2=x"), "'2=x' is no arm"),
        (("abtest", "start", NAME, "--minimal-effect", "1", "--arm", "2=30", "--arm", "2=40"), "was given twice"),
        (("abtest", "start", NAME, "--minimal-effect", "1", "--arm", "2=70", "--arm", "3=70"), "add up to 140 %"),
        (("abtest", "start", NAME, "--minimal-effect", "1", "--arm", "2=30", "--metric", "price"), "'price'"),
        (("abtest", "start", NAME, "--minimal-effect", "1", "--arm", "2=30", "--look", "soon"), "'soon'"),
        (("abtest", "start", NAME, "--minimal-effect", "1", "--arm", "2=30", "--window", "-3d"), "'-3d'"),
    ],
)
def test_what_is_typed_wrongly_is_said_and_changes_nothing(still: Desk, words: tuple[str, ...], told: str) -> None:
    before = revision_of(still.workspace, NAME)
    answer = run(still, *words)
    assert answer.exit_code != 0
    assert told in answer.output, answer.output
    assert "Traceback" not in answer.output
    assert revision_of(still.workspace, NAME) == before


@pytest.mark.parametrize("steps", [(50, 10, 100), (10, 10, 100), (10, 50), (0, 100), (10, 120), ()])
def test_steps_that_do_not_add_up_to_all_traffic_cannot_be_declared(steps: tuple[int, ...]) -> None:
    with pytest.raises(InvalidDeclaration):
        sw.Canary(steps=steps)


def test_a_terminal_tells_the_limit_of_each_caller_and_where_there_is_none_nothing(still: Desk) -> None:
    assert "each caller" not in run(still, "endpoints", "show", NAME).output
    still.declare(rollout=(), gate=sw.Gate(sw.metric("auc") >= 0.3), per_caller="90/m")
    still.deploy(BETTER)
    assert "1.5 requests a second at most" in run(still, "endpoints", "show", NAME).output
    assert revision_of(still.workspace, NAME).served.number != FIRST
