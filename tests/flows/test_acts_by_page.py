"""Acts on an endpoint as a browser sends them: the page that shows what would change holds the form that does it."""

import re
from collections.abc import Callable
from html import unescape

from scoring_desk import NIGHTLY, nightly
from small_desk import BETTER, FIRST, NAME, Desk
from test_rollouts import at, carried, prepared

import slipway as sw
from server_desk import Ask, asker
from slipway.flows.endpoints import get_endpoint, revision_of
from slipway.flows.score import newest
from slipway.flows.standing import list_standing
from slipway.operations.endpoints import GetEndpoint
from slipway.operations.governance import ListStanding

Fill = Callable[..., None]


def filling(desk: Desk, ask: Ask, name: str = NAME) -> Fill:
    """A function that opens an act's page, fills in its form and sends it with whatever the page put there."""
    home = f"/projects/{desk.workspace.project}/endpoints/{name}"

    def fill(page: str, act: str, **given: str) -> None:
        shown = ask("GET", f"{home}{page}")
        assert shown.status_code == 200
        (form,) = re.findall(rf'<form method="post" action="{home}/{act}"(.*?)</form>', shown.text, re.DOTALL)
        fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
        for field in given:
            assert f'name="{field}"' in form, "the form asks for it"
        sent = ask("POST", f"{home}/{act}", data={**{key: unescape(value) for key, value in fields.items()}, **given})
        assert sent.status_code == 303, sent.text
        assert ask("GET", sent.headers["location"].partition("#")[0]).status_code == 200

    return fill


def test_a_roll_out_is_paused_taken_a_step_let_go_on_and_ended(desk: Desk) -> None:
    still = prepared(desk.without_processes())
    still.deploy(BETTER)
    fill = filling(still, asker(still.workspace))
    fill("/decide?what=pause", "pause", reason="the holidays")
    assert at(still).paused_at is not None
    fill("/decide?what=resume", "resume", reason="they are over")
    assert at(still).paused_at is None
    fill("/decide?what=advance", "advance", reason="we know it from the old system")
    assert at(still).state == "canary"
    assert carried(still)[:2] == (FIRST, BETTER)
    fill("/decide?what=abort", "abort", reason="not this week")
    assert at(still).state == "stopped"
    assert carried(still) == (FIRST, 0, 0.0)
    assert [(word.what, word.reason) for word in at(still).words] == [
        ("pause", "the holidays"),
        ("resume", "they are over"),
        ("advance", "we know it from the old system"),
        ("abort", "not this week"),
    ]


def test_an_endpoint_is_stopped_and_started(desk: Desk) -> None:
    desk.approve(FIRST)
    desk.deploy(FIRST)
    fill = filling(desk, asker(desk.workspace))

    def state() -> str | None:
        status = get_endpoint(desk.workspace, GetEndpoint(name=NAME)).status
        return status.state if status is not None else None

    assert state() == "ready"
    fill("/decide?what=stop", "stop")
    assert state() != "ready"
    fill("/decide?what=start", "start")
    assert state() == "ready"
    assert revision_of(desk.workspace, NAME).served.number == FIRST


def test_a_policy_is_approved_ahead_of_time_and_the_word_taken_back(desk: Desk) -> None:
    still = desk.without_processes()
    still.declare(retrain=sw.Retrain(still.project.module().release, when=[sw.cron("0 3 1 * *")]))
    still.approve(FIRST)
    still.deploy(FIRST)
    fill = filling(still, asker(still.workspace))
    fill("", "stand", until="2013-12-31", role="accountable", comment="as agreed in March")
    (one,) = list_standing(still.workspace, ListStanding(endpoint=NAME)).approvals
    assert (one.comment, one.until.date().isoformat(), one.revoked_at) == ("as agreed in March", "2013-12-31", None)
    fill("", "revoke", comment="the rules changed")
    (one,) = list_standing(still.workspace, ListStanding(endpoint=NAME)).approvals
    assert one.revoked_at is not None


def test_a_batch_endpoint_scores_now(desk: Desk) -> None:
    nightly(desk)
    filling(desk, asker(desk.workspace), NIGHTLY)("", "score")
    with desk.workspace.ledger.read() as tx:
        begun = newest(tx, desk.workspace.project, NIGHTLY)
    assert begun is not None
    assert begun.number == 1
