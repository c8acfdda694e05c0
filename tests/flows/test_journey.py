"""The journey: levels from evidence, rules that can be read, commands that exist, figures of deliveries."""

import dataclasses
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner
from small_desk import BETTER, FIRST, GUESSING, NAME, Desk

import slipway as sw
from slipway.cli import main
from slipway.errors import GateRefused, NotFound
from slipway.flows.deploy import deploy
from slipway.flows.journey import LOW_VALUE, journey, judged, level_of, model_journey, needed_of
from slipway.flows.journey_evidence import Known, known_of
from slipway.flows.journey_items import items_of
from slipway.ledger import entries
from slipway.operations.declare import Empty
from slipway.operations.endpoints import Deploy
from slipway.operations.journey import GetJourney
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import BatchSpec
from slipway.records.monitors import Incident
from slipway.records.people import Actor
from slipway.records.promotions import Promotion, PromotionStage
from slipway.records.runs import Run
from slipway.records.scopes import KeptScope, ScopeTerms

NOW = datetime(2013, 4, 1, tzinfo=UTC)


@pytest.fixture
def still(desk: Desk) -> Desk:
    """The small project, whose endpoints are files only."""
    quiet = desk.without_processes()
    quiet.approve(FIRST, BETTER)
    return quiet


def known(desk: Desk) -> Known:
    return known_of(desk.workspace, NAME)


def scoped(value: float) -> KeptScope:
    terms = ScopeTerms(name=NAME, decision="d", owner="o", value=value, currency="USD")
    by = Actor("ada")
    return KeptScope(
        id="s", project="p", name=NAME, created_at=NOW, number=1, terms=terms, digest="", actor=by, updated_at=NOW
    )


def test_an_empty_store_and_an_unknown_model_say_what_to_do(workspace: Workspace) -> None:
    found = journey(workspace, Empty())
    assert (found.models, found.steps, found.pilot, found.endpoints) == ((), (), "", ())
    assert (found.together.deployments, found.together.a_week) == (0, None)
    with pytest.raises(NotFound, match="no model 'x'") as caught:
        model_journey(workspace, GetJourney(name="x"))
    assert "slipway run" in str(caught.value.fix)


def test_the_suggested_command_brings_level_0(still: Desk) -> None:
    with pytest.raises(NotFound) as caught:
        model_journey(still.workspace, GetJourney(name="small-delay"))
    assert NAME in str(caught.value.fix)
    before = model_journey(still.workspace, GetJourney(name=NAME))
    assert (before.level, before.is_enough) == (None, False)
    (step,) = journey(still.workspace, Empty()).steps
    assert (step.model, step.item.name, step.item.commands) == (NAME, "answers", (f"slipway deploy {NAME}",))
    still.deploy(BETTER)
    after = model_journey(still.workspace, GetJourney(name=NAME))
    assert (after.level, after.needed, after.is_enough, after.version) == (0, 0, True, BETTER)
    assert journey(still.workspace, Empty()).steps == ()


def test_what_serves_in_prod_is_known_where_it_came_from(still: Desk) -> None:
    promotion = Promotion(
        id="p1", project="p", name=NAME, created_at=NOW, number=1, source="test", target="prod", workflow="default",
        version=3, bundle="b", endpoint=NAME, stages=(PromotionStage(name="monitors", state="done"),), state="done",
        actor=Actor("ada"), updated_at=NOW,
    )  # fmt: skip
    (declared,) = known(still).declared
    declared = msgspec.structs.replace(declared, monitors=(sw.Drift().spec(), sw.Quality("auc").spec()))

    def shown(one: Promotion, of: DeclaredEndpoint = declared) -> dict[str, str]:
        found = items_of(Known(model=NAME, promotions=(one,), declared=(of,)))
        return {each.name: each.evidence for each in found if each.is_shown}

    found = shown(promotion)
    assert found["answers"] == found["monitors"] == "promotion:p1"
    assert "answers" not in shown(msgspec.structs.replace(promotion, target="test"))
    assert "answers" not in shown(msgspec.structs.replace(promotion, state="waiting"))
    assert "monitors" not in shown(promotion, msgspec.structs.replace(declared, monitors=(sw.Drift().spec(),)))
    assert "monitors" not in shown(msgspec.structs.replace(promotion, stages=()))


def test_every_suggested_command_is_one_that_there_is(
    still: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scopes").mkdir()
    for name in (NAME, "a model"):
        (tmp_path / "scopes" / f"{name}.toml").touch()
    lines = {command for one in knowns(still) for item in items_of(one) for command in item.commands}
    assert len(lines) > 20
    for line in sorted(lines):
        words = shlex.split(line)
        assert words.pop(0) == "slipway"
        found: click.Command = main
        while isinstance(found, click.Group):
            found = found.get_command(click.Context(found), words[0]) or pytest.fail(line)
            words.pop(0)
        found.make_context(found.name or "", words)  # refused where an argument or option is not known


def knowns(desk: Desk) -> Iterator[Known]:
    """What is known at several places of the way, each of which suggests other commands."""
    yield Known(model="a model")
    yield known(desk)
    desk.deploy(FIRST)
    served = known(desk)
    yield served
    yield dataclasses.replace(served, bundle=None, run=None, tables=())
    yield dataclasses.replace(served, bundle=None, run=None, tables=(), environment="test")
    yield Known(model="a model", environment="prod")
    unchecked = [msgspec.structs.replace(one, checks=()) for one in served.tables]
    yield dataclasses.replace(served, tables=tuple(unchecked))
    desk.declare(retrain=sw.Retrain(desk.project.module().release, when=[sw.cron("0 3 1 * *")]))
    yield known(desk)


def test_which_level_is_enough_is_a_rule_that_can_be_read(still: Desk) -> None:
    still.deploy(FIRST)
    pilot = known(still)
    assert needed_of(pilot, NOW)[0] == 0
    live = dataclasses.replace(
        pilot, live=tuple(msgspec.structs.replace(one, environment="prod") for one in pilot.live)
    )
    level, why = needed_of(live, NOW)
    assert (level, "new data, no new ideas" in why) == (1, True)
    run = live.runs[0]
    changing = [
        msgspec.structs.replace(run, id=str(place), code=msgspec.structs.replace(run.code, closure=str(place)))
        for place in range(4)
    ]
    busy = dataclasses.replace(live, runs=tuple(changing))
    assert needed_of(busy, NOW)[0] == 2
    assert needed_of(busy, NOW + timedelta(days=365))[0] == 1, "that was long ago"
    assert needed_of(dataclasses.replace(busy, scope=scoped(LOW_VALUE - 1)), NOW)[0] == 1
    assert needed_of(dataclasses.replace(busy, scope=scoped(LOW_VALUE)), NOW)[0] == 2
    assert not judged(busy, NOW).is_enough


def test_a_batch_endpoint_needs_no_way_back_of_requests(still: Desk) -> None:
    still.deploy(FIRST)
    served = known(still)
    spec = BatchSpec(table="flights", into="scores")
    scored = [msgspec.structs.replace(one, environment="prod", batch=spec) for one in served.live]
    batch = dataclasses.replace(served, live=tuple(scored))
    names = [one.name for one in items_of(batch)]
    assert len(names) == len(items_of(served)) - 2
    assert not {"way back", "service"} & set(names)
    assert needed_of(batch, NOW)[0] == 1
    answers = next(one for one in items_of(batch) if one.name == "answers")
    assert answers.commands == (f"slipway score {NAME}",)


def test_a_level_needs_all_of_the_levels_below(still: Desk) -> None:
    still.deploy(FIRST)
    items = [msgspec.structs.replace(one, is_shown=True) for one in items_of(known(still))]
    assert level_of(items) == 2
    for level, reached in ((2, 1), (1, 0), (0, None)):
        place = next(n for n, one in enumerate(items) if one.level == level)
        one_missing = [*items[:place], msgspec.structs.replace(items[place], is_shown=False), *items[place + 1 :]]
        assert level_of(one_missing) == reached


def test_deliveries_are_counted_from_revisions(still: Desk) -> None:
    def later(hours: float) -> None:
        still.clock.advance_to(still.clock.now() + timedelta(hours=hours))

    still.declare(gate=sw.Gate(sw.metric("auc") >= 0.5))
    later(24)
    still.deploy(FIRST)
    later(24)
    still.deploy(BETTER)
    later(2)
    still.rollback()
    found = journey(still.workspace, Empty())
    (one,) = found.endpoints
    assert one.deployments == 2, "the way back is none"
    assert (one.change_fail.part, one.change_fail.whole, one.change_fail.low) == (1, 2, None)
    assert one.a_week is None, "two tell nothing of how often"
    assert one.restore.seconds == pytest.approx(7200, abs=1)
    assert one.lead_time.count == 2
    assert one.lead_time.seconds == pytest.approx(36 * 3600, abs=120)
    for number in (BETTER, FIRST, BETTER, FIRST):
        later(24)
        still.deploy(number)
    (one,) = journey(still.workspace, Empty()).endpoints
    assert one.deployments == 6
    assert one.a_week is not None
    assert one.low is not None
    assert one.high is not None
    assert one.low < one.a_week < one.high
    assert one.change_fail.low is not None


def test_a_run_of_the_future_has_no_lead_time(still: Desk) -> None:
    still.deploy(FIRST)
    with still.workspace.ledger.write() as tx:
        run = entries.get(tx, Run, still.version(FIRST).run_id)
        entries.put(tx, msgspec.structs.replace(run, created_at=still.clock.now() + timedelta(days=1)))
    together = journey(still.workspace, Empty()).together
    assert (together.untold, together.lead_time.count, together.lead_time.seconds) == (1, 0, None)


def test_an_incident_right_after_a_deployment_fails_it(still: Desk) -> None:
    still.deploy(FIRST)
    still.deploy(BETTER)
    began = still.clock.now() + timedelta(minutes=5)
    incident = Incident(
        id="i1", project=still.workspace.project, name="service", created_at=began, cause="service", sentence="down",
        parent_id=f"{still.workspace.project}/{NAME}", owner="ml engineer", state="closed",
        closed_at=began + timedelta(hours=1),
    )  # fmt: skip
    with still.workspace.ledger.write() as tx:
        entries.put(tx, incident)
    (one,) = journey(still.workspace, Empty()).endpoints
    assert one.change_fail.part == 1
    assert one.restore.seconds == 3600


def test_friction_names_the_checks_that_refuse(still: Desk) -> None:
    still.deploy(FIRST)
    for _ in range(2):
        with pytest.raises(GateRefused):
            deploy(still.workspace, Deploy(model=NAME, version=str(GUESSING)))
    found = journey(still.workspace, Empty()).friction
    assert (found.verdicts, found.refused) == (3, 2)
    assert {(one.check, one.verdicts, one.bundles) for one in found.refusals} >= {("auc at least 0.6", 2, 1)}


@pytest.mark.parametrize("page", ["journey", "cost"])
def test_the_commands_of_its_page_run(still: Desk, page: str) -> None:
    still.deploy(FIRST)
    text = (Path(__file__).parents[2] / "docs" / f"{page}.md").read_text()
    (block,) = re.findall(r"^```\n(.*?)^```", text, re.S | re.M)
    folder = str(still.project.folder)
    for line in block.splitlines():
        words = shlex.split(line.replace("RUN", still.version(FIRST).run_id), comments=True)[1:]
        words = [NAME if word == "flight-delays" else word for word in words]
        answer = CliRunner().invoke(main, [*words, "-C", folder])
        assert answer.exit_code == 0, (line, answer.output)
        assert NAME in answer.output or "release" in answer.output
