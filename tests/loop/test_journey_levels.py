"""Prepared histories get their level of maturity, and what is suggested for a missing item brings it."""

import dataclasses
import subprocess
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

import slipway as sw
from looping_desk import NAME
from looping_hand import HandDesk
from slipway.flows.approve import grant
from slipway.flows.deploy import deploy
from slipway.flows.journey import journey, model_journey
from slipway.flows.release import declare_endpoint, run_pipeline
from slipway.governance import raci
from slipway.ledger import entries, lineage
from slipway.ledger.attest import signed
from slipway.loop.retrain import start_by_hand
from slipway.operations.declare import Empty, call
from slipway.operations.endpoints import Deploy
from slipway.operations.governance import Grant
from slipway.operations.journey import GetJourney, JourneyItem, ModelJourney
from slipway.operations.rollouts import StartRetraining
from slipway.operations.scopes import KeepScope
from slipway.operations.table import operation
from slipway.records.ci_runs import CiRun, CiStage
from slipway.records.promotions import Promotion, PromotionStage
from slipway.records.reproductions import Reproduction
from slipway.records.responsibility import STAGES, RaciRow
from slipway.records.rollouts import Drill
from slipway.records.scopes import ScopeTerms

pytestmark = pytest.mark.full  # each rolls real versions out, for seconds
GOOD = 2


def seen(desk: HandDesk) -> ModelJourney:
    return model_journey(desk.workspace, GetJourney(name=NAME))


def item(desk: HandDesk, name: str) -> JourneyItem:
    return next(one for one in seen(desk).items if one.name == name)


def missing(desk: HandDesk, level: int) -> list[str]:
    return [one.name for one in seen(desk).items if one.level == level and not one.is_shown]


def keep_scope(desk: HandDesk) -> None:
    terms = ScopeTerms(
        name=NAME, decision="Which orders are hurried", owner="business owner", value=90_000, currency="USD"
    )
    call(desk.workspace, operation("scopes.keep"), KeepScope(terms=terms))


def test_what_a_person_deployed_is_level_0_and_the_loop_and_a_scope_raise_it_to_1(desk: HandDesk) -> None:
    found = seen(desk)
    assert (found.level, found.needed, found.is_enough) == (0, 0, True)
    assert "pilot" in found.why
    assert missing(desk, 1) == ["scope", "labels", "retraining"]
    assert item(desk, "retraining").commands[0] == f'slipway retrain {NAME} --reason "to see that it works"'
    start_by_hand(desk.workspace, StartRetraining(endpoint=NAME, reason="to see that it works"))
    assert not item(desk, "retraining").is_shown, "it has only begun"
    assert item(desk, "retraining").commands == ("slipway up",)
    desk.runner.brings(GOOD)
    desk.days(0, 7)
    assert item(desk, "retraining").is_shown
    assert item(desk, "labels").is_shown, item(desk, "labels")
    assert seen(desk).level == 0
    assert item(desk, "scope").commands[-1] == f"slipway scope keep scopes/{NAME}.toml"
    keep_scope(desk)
    assert (seen(desk).level, missing(desk, 1)) == (1, [])
    for one in seen(desk).items:
        assert one.is_shown == (not one.commands), "a command stands where something is missing, and only there"
        assert one.is_shown == bool(one.evidence), "what is shown names its record"


def test_a_figure_that_no_longer_serves_shows_nothing(desk: HandDesk) -> None:
    assert item(desk, "monitors").is_shown
    declare_endpoint(desk.workspace, dataclasses.replace(desk.endpoint, monitors=[]))
    grant(desk.workspace, Grant(model=NAME, version="1"))
    deploy(desk.act_as(desk.workspace.actor), Deploy(model=NAME, version="1"))
    gone = item(desk, "monitors")
    assert not gone.is_shown
    assert "monitors=[sw.Drift()" in gone.line


def test_a_delivered_pipeline_is_level_2(desk: HandDesk) -> None:
    workspace, folder = desk.workspace, desk.project.folder
    git(folder, "init", "-q")
    git(folder, "add", "looping_orders.py", "slipway.toml")
    git(folder, "-c", "user.name=ada", "-c", "user.email=ada@example.com", "commit", "-qm", "as it is")
    (folder / ".git" / "info" / "exclude").write_text("*\n")
    keep_scope(desk)
    changed = dataclasses.replace(desk.endpoint, monitors=[*desk.endpoint.monitors, sw.Service(availability=0.99)])
    declare_endpoint(workspace, changed, snapshot=desk.project.snapshot())
    made = run_pipeline(
        workspace, desk.project.module().release, {"until": date(2013, 3, 28)}, endpoint=changed, declare=False
    )
    assert made.version is not None
    desk.days(0, 5)
    start_by_hand(workspace, StartRetraining(endpoint=NAME, reason="new code"))
    desk.runner.brings(made.version.number)
    desk.days(5, 10)
    assert missing(desk, 1) == []
    assert item(desk, "source control").is_shown, item(desk, "source control")
    assert item(desk, "delivery by itself").is_shown, desk.actions()
    assert seen(desk).level == 1
    raci.declare(workspace, [RaciRow(stage=stage, accountable=("ada",)) for stage in STAGES])
    assert item(desk, "responsibility").is_shown
    assert missing(desk, 2) == ["reproduced", "checks", "push", "promotion", "way back"]
    for record in elsewhere(desk):
        with workspace.ledger.write() as tx:
            entries.put(tx, signed(record, workspace.signer) if isinstance(record, Reproduction) else record, expect=0)
            if isinstance(record, Reproduction):
                lineage.link(tx, f"bundle:{record.bundle}", f"reproduction:{record.id}", "reproduced")
    found = seen(desk)
    assert (found.level, missing(desk, 2)) == (2, [])
    assert (found.in_production, found.needed, found.is_enough) == (True, 1, True)
    together = journey(workspace, Empty())
    assert together.pilot == NAME
    assert together.steps == ()


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def elsewhere(desk: HandDesk) -> list[Any]:
    """What takes another store, a server or minutes: records as their flows write them, whose own tests make them."""
    workspace, now = desk.workspace, desk.clock.now()
    version = max((one for one in desk.revisions()), key=lambda one: one.number).served
    common = {"project": workspace.project, "created_at": now}
    run = next(one for one in seen(desk).items if one.name == "tracked run").evidence.partition(":")[2]
    stages = (PromotionStage(name="deploy", state="done", at=now + timedelta(hours=1)),)
    return [
        Reproduction(
            **common, id=f"{run}-1", parent_id=run, number=1, name="release", verdict="equal", sentence="The same.",
            bundle=version.bundle, actor=workspace.actor,
        ),
        CiRun(
            **common, id="c1", name="release", number=1, commit="c" * 40, state="done", model=NAME, version=1,
            stages=(CiStage(name="test", state="done", at=now), CiStage(name="train", state="done", at=now)),
            actor=workspace.actor, updated_at=now,
        ),
        Promotion(
            **common, id="p1", name=NAME, number=1, source="dev", target="prod", workflow="default", state="done",
            version=version.number, bundle=version.bundle, endpoint=NAME, stages=stages, actor=workspace.actor,
            updated_at=now,
        ),
        Drill(
            **common, id="d1", name=NAME, parent_id=f"{workspace.project}/{NAME}", state="passed", present=2, back_to=1,
            actor=workspace.actor, sentence="It went back.",
        ),
    ]  # fmt: skip
