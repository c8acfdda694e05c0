"""Promotions that waited go on by themselves: with the word that was given, with nobody at hand, and not before."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from small_desk import BETTER, FIRST, NAME
from test_promote import Chain, chain, states  # noqa: F401 - `chain` is a fixture

from slipway.flows import promote as flow
from slipway.flows import rollouts
from slipway.flows.endpoints import revision_of
from slipway.flows.promotion import Promoted, Promotion
from slipway.flows.promotion_onward import may_go_on, workflow_of
from slipway.flows.promotions import newest_of
from slipway.flows.release import declare_endpoint
from slipway.flows.turns import turn
from slipway.hosts.onward import go_on
from slipway.loop import CONTROLLER
from slipway.models import registry
from slipway.records.promotions import Promotion as Record
from slipway.rollout.declare import Canary


def waiting_for_prod(chain: Chain) -> Record:  # noqa: F811
    chain.trusted("test", "prod")
    chain.promote("test")
    chain.approve("test")
    chain.promote("test")
    return chain.promote("prod")


def look(chain: Chain, tmp_path: Path) -> list[str]:  # noqa: F811
    """A pass of the server of prod over its promotions; gives what it says of those that did not go on."""
    said: list[str] = []
    go_on(chain.of("prod"), tmp_path / "small", said.append)
    return said


def test_it_goes_on_once_the_word_was_given(chain: Chain, tmp_path: Path) -> None:  # noqa: F811
    waits = waiting_for_prod(chain)
    assert may_go_on(chain.of("prod")) == []
    assert look(chain, tmp_path) == []
    assert newest_of(chain.of("prod"), NAME, "prod") == waits  # looking changes nothing
    chain.approve("prod")
    assert look(chain, tmp_path) == []
    for name in ("dev", "test", "prod"):
        found = newest_of(chain.of(name), NAME, "prod")
        assert found is not None
        assert found.state == "done"
    served = revision_of(chain.of("prod"), NAME)
    assert (served.served.bundle, served.actor) == (waits.bundle, CONTROLLER)
    assert may_go_on(chain.of("prod")) == []


def test_what_stops_before_a_stage_is_left_there(chain: Chain) -> None:  # noqa: F811
    waiting_for_prod(chain)
    chain.approve("prod")
    asked = chain.promote("prod", before="deploy")
    assert (asked.state, states(asked)["approval"], states(asked)["deploy"]) == ("under way", "done", "to do")
    assert may_go_on(chain.of("prod")) == []
    assert chain.promote("prod").state == "done"


def test_a_rejection_ends_it(chain: Chain, tmp_path: Path) -> None:  # noqa: F811
    from slipway.flows.approve import grant
    from slipway.operations.governance import Grant

    waiting_for_prod(chain)
    grant(chain.of("prod"), Grant(model=NAME, version=str(FIRST), decision="rejected", comment="no"))
    (said,) = look(chain, tmp_path)
    assert "does not go on" in said
    found = newest_of(chain.of("prod"), NAME, "prod")
    assert found is not None
    assert found.state == "failed"
    assert look(chain, tmp_path) == []  # said once


def test_one_that_was_killed_goes_on(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    class Killed(BaseException):
        pass

    waiting_for_prod(chain)
    chain.approve("prod")
    original = flow._carried_out

    def killed(way: Any, stage: Any) -> Any:
        came = original(way, stage)
        if stage == "deploy":
            raise Killed
        return came

    with monkeypatch.context() as patched:
        patched.setattr(flow, "_carried_out", killed)
        with pytest.raises(Killed):
            look(chain, tmp_path)
    assert look(chain, tmp_path) == []
    found = newest_of(chain.of("prod"), NAME, "prod")
    assert found is not None
    assert found.state == "done"


def test_a_stage_of_the_projects_own_is_left_to_the_command(chain: Chain) -> None:  # noqa: F811
    def seen(version: Promoted) -> str:
        return "Seen."

    chain.trusted("test")
    own = Promotion("careful", to="test", stages=["copy", "gate", "approval", seen, "deploy"])
    assert chain.promote("test", workflow=own).state == "waiting"
    chain.approve("test")
    assert may_go_on(chain.of("test")) == []


def test_its_way_is_read_from_its_record(chain: Chain) -> None:  # noqa: F811
    waits = waiting_for_prod(chain)
    found = workflow_of(waits)
    assert (found.name, found.to, list(found.stages)) == ("default", "prod", [one.name for one in waits.stages])
    assert dataclasses.is_dataclass(found)


@pytest.mark.parametrize("end", ["promoted", "stopped"])
def test_it_goes_on_when_its_roll_out_has_ended(chain: Chain, tmp_path: Path, end: str) -> None:  # noqa: F811
    waiting_for_prod(chain)
    chain.approve("prod")
    look(chain, tmp_path)
    prod = chain.of("prod")
    rolled_out = dataclasses.replace(chain.dev.project.module().delays, rollout=[Canary(steps=(50, 100))])
    declare_endpoint(prod, rolled_out)
    for name in ("test", "prod"):
        chain.promote(name, BETTER)
        chain.approve(name, BETTER)
        waits = chain.promote(name, BETTER)
    assert (waits.state, states(waits)["deploy"]) == ("waiting", "waiting")
    assert may_go_on(prod) == []  # the roll-out goes on, and nobody is asked
    rollout = rollouts.under_way(prod, NAME)
    assert rollout is not None
    with turn(prod, NAME):
        rollouts.end(prod, rollout, end, "because of a test")
    said = look(chain, tmp_path)
    found = newest_of(prod, NAME, "prod")
    assert found is not None
    assert (found.state, bool(said)) == (("done", False) if end == "promoted" else ("failed", True))
    assert registry.aliases(prod, NAME)["prod"] == (BETTER if end == "promoted" else FIRST)
