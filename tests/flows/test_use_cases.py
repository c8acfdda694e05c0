"""How far a use case has come and what it waits for, case by case."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipway.flows.journey_evidence import Known
from slipway.flows.use_cases import stage_of, waits_of
from slipway.operations.business import Stage
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, Revision, Served
from slipway.records.gates import Outcome, Verdict
from slipway.records.models import ModelVersion
from slipway.records.people import Actor
from slipway.records.promotions import Promotion, PromotionStage
from slipway.records.rollouts import CanarySpec, Rollout, RolloutSpec, ShadowSpec
from slipway.records.scopes import KeptScope, Requirement, ScopeTerms

AT = datetime(2013, 4, 1, tzinfo=UTC)
LATER = AT + timedelta(days=9)
ADA = Actor("ada")


def common(id: str, name: str, at: datetime = AT) -> dict[str, Any]:
    return {"id": id, "project": "flights", "name": name, "created_at": at}


TERMS = ScopeTerms(name="late", decision="Whether to wait", owner="grace")
SCOPE = KeptScope(
    **common("flights/late", "late"), number=1, terms=TERMS, digest=TERMS.digest, actor=ADA, updated_at=LATER
)
VERSION = ModelVersion(**common("m1", "late"), number=1, bundle="b" * 64, actor=ADA)
SERVED = Served(model="late", number=1, bundle="b" * 64)


def revision(environment: str, at: datetime = AT) -> Revision:
    return Revision(
        **common(f"flights/late/{environment}", "late", at), number=1, environment=environment, served=SERVED,
        contract=Contract(fields=()), verdict_id="", actor=ADA,
    )  # fmt: skip


def promotion(state: Any, stage: Any, **more: Any) -> Promotion:
    step = PromotionStage(name="approval", state=stage, at=LATER, **more)
    return Promotion(
        **common("p1", "late"), number=1, source="dev", target="prod", workflow="w", version=1, bundle="b" * 64, endpoint="late",
        stages=(step,), state=state, actor=ADA, updated_at=LATER,
    )  # fmt: skip


def verdict(*kinds: Any) -> Verdict:
    outcomes = tuple(Outcome(check=kind, result="refused", kind=kind) for kind in kinds)
    return Verdict(
        **common("v", "", LATER),
        bundle="b" * 64,
        gate="g",
        environment="prod",
        passed=False,
        outcomes=outcomes,
        actor=ADA,
    )


IDEA = Known(model="", scope=SCOPE)
MADE = Known(model="late", versions=(VERSION,), version=VERSION)
PILOT = Known(model="late", versions=(VERSION,), version=VERSION, revisions=(revision("dev"),), live=(revision("dev"),))
PROD = Known(
    model="late",
    versions=(VERSION,),
    revisions=(revision("dev"), revision("prod", LATER)),
    live=(revision("prod", LATER),),
)
REPLACED = Known(model="late", versions=(VERSION,), revisions=(revision("prod", LATER),))


@pytest.mark.parametrize(
    ("known", "stopped", "stage", "since"),
    [
        (IDEA, None, "idea", AT),
        (MADE, None, "proof of concept", AT),
        (PILOT, None, "pilot", AT),
        (PROD, None, "in production", LATER),
        (PROD, LATER + timedelta(days=1), "retired", LATER + timedelta(days=1)),
        (REPLACED, None, "retired", LATER),
    ],
)
def test_how_far_it_has_come(known: Known, stopped: datetime | None, stage: Stage, since: datetime) -> None:
    first = AT if known.versions else None
    assert stage_of(known, stopped, first) == (stage, since)


def needs(state: Any) -> tuple[Requirement, ...]:
    return (Requirement(need="latency", asked="100 ms", state=state, at=LATER),)


WAITS: list[tuple[Any, Stage, tuple[Requirement, ...], list[Any]]] = [
    (IDEA, "idea", (), [("first work", ("grace",), LATER, 1)]),
    (MADE, "proof of concept", (), [("next step", ("ml engineer",), AT, 1)]),
    (MADE, "proof of concept", needs("missed"), [("needs", ("data scientist",), LATER, 1)]),
    (MADE, "proof of concept", needs("measured"), [("next step", ("ml engineer",), AT, 1)]),
    (
        {"verdicts": (verdict("metric", "approval"),)},
        "proof of concept",
        (),
        [("checks", ("data scientist",), LATER, 2)],
    ),
    ({"verdicts": (verdict("approval"),)}, "proof of concept", (), [("approval", ("accountable",), LATER, 1)]),
    (
        {"promotions": (promotion("waiting", "waiting", asked=("gov",)),)},
        "pilot",
        (),
        [("promotion", ("gov",), LATER, 1)],
    ),
    ({"promotions": (promotion("failed", "failed"),)}, "pilot", (), [("promotion", ("ada",), LATER, 1)]),
    (PROD, "in production", needs("missed"), []),
    (PROD, "retired", (), []),
]


def test_what_it_waits_for(workspace: Workspace) -> None:
    for known, stage, asked, waits in WAITS:
        meant = (
            known if isinstance(known, Known) else Known(model="late", versions=(VERSION,), version=VERSION, **known)
        )
        with workspace.ledger.read() as tx:
            found = waits_of(tx, workspace, meant, stage, asked)
        assert [(one.kind, one.on, one.since, one.count) for one in found] == waits


def test_a_roll_out_that_is_undecided_waits_until_there_is_a_newer_one(workspace: Workspace) -> None:
    def rolled(id: str, state: Any, at: datetime) -> Rollout:
        return Rollout(
            **common(id, "late", at), parent_id="flights/late", state=state, champion=SERVED, challenger=SERVED,
            spec=RolloutSpec(shadow=ShadowSpec(), canary=CanarySpec()), since=at, ended_at=at,
        )  # fmt: skip

    old, new = rolled("r1", "undecided", AT), rolled("r2", "promoted", LATER)
    for rollouts, kinds in (((old,), ["decision"]), ((new, old), [])):
        known = Known(model="late", live=(revision("prod"),), revisions=(revision("prod"),), rollouts=rollouts)
        with workspace.ledger.read() as tx:
            assert [one.kind for one in waits_of(tx, workspace, known, "in production", ())] == kinds
