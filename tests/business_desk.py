"""A filled store with all that a business page tells of: an agreed figure over weeks, money, incidents, drills, ideas."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import msgspec

from filled_store import MODELS, NOW, fill
from slipway.flows.cost_rates import declare_rates
from slipway.ledger import entries, events
from slipway.ports.workspace import Workspace
from slipway.records.abtests import ABArm, ABLook, ABTest, ABTestSpec, ArmResult
from slipway.records.contracts import ContractTerms, HypothesisTerms, KeptContract, Standing
from slipway.records.costs import Rates
from slipway.records.endpoints import Revision, Served
from slipway.records.models import ModelVersion
from slipway.records.monitors import Finding, Incident
from slipway.records.people import Actor
from slipway.records.promotions import Promotion, PromotionStage
from slipway.records.rollouts import Drill
from slipway.records.scopes import KeptScope, ScopeTerms

WORDS = (
    r"auc|log[ _]loss|mse|rmse|mae|f1|accurac\w*|precision|recall|drift\w*|skew\w*|features?|champions?|challengers?|canar\w*"
    r"|shadow\w*|roll-?outs?|a/b|embedding\w*|epochs?|hyper-?parameters?|calibrat\w*|labels?|labelled|train\w*|retrain\w*"
    r"|inference|predict\w*|endpoints?|pipelines?|thresholds?|classif\w*|regress\w*|bundles?|artifacts?|lineage|monitors?"
    r"|monitoring|gates?|verdicts?|datasets?|e-values?|baselines?|overfit\w*|gradient\w*|tensor\w*|parameters?|quantiles?"
    r"|percentiles?|confidence|metrics?|scor(?:e|es|ing)|feeds?|deploy\w*|registry|algorithm\w*|machine learning|null|nan"
)
FORBIDDEN = re.compile(rf"(?<![\w-])(?:{WORDS})(?![\w-])", re.IGNORECASE)
"""Words that whoever reads a business page need not know."""

PROMOTED = datetime(2013, 3, 20, tzinfo=UTC)


def prosper(workspace: Workspace) -> None:
    """Fill a store, and let things have happened in it."""
    fill(workspace)
    enrich(workspace)


def enrich(workspace: Workspace) -> None:
    """Let the model of a filled store have gone through a good deal; and let there be an idea, and a use case that ended."""
    declare_rates(workspace, Rates(cpu_hour=0.05, gb_month=0.02, currency="EUR"))
    with workspace.ledger.write() as tx:
        version = entries.get(tx, ModelVersion, MODELS[-1])
        for record in (
            _contract(), _scope("late-flights", 120_000.0), _scope("refunds", 30_000.0), *_looks(), *_incidents(), _test(), _drill(),
            _promotion(version.bundle), *_ended(tx, version),
        ):  # fmt: skip
            entries.put(tx, record)
        tx.set_ref("flights", "model", "old-fares", "old-fares-1", expect=None)
        tx.set_ref("flights", "endpoint", "old-fares", "flights/old-fares/1", expect=None)
        events.record(tx, workspace, "endpoints.stop", "revision:flights/old-fares/1", was_running=True)


def words_of(page: str) -> str:
    """What a page says in its own words: without markup, drawings' marks, and what users wrote."""
    main = page[page.index("<main") : page.index("</main>")]
    own = re.sub(r'<span data-given(?:="")?>.*?</span>', " ", main, flags=re.DOTALL)
    attributes = " ".join(re.findall(r'(?:title|alt|placeholder)="([^"]*)"', own))
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", own)) + " " + attributes)


def _common(id: str, name: str, at: datetime = NOW, **more: Any) -> dict[str, Any]:
    return {"id": id, "project": "flights", "name": name, "created_at": at, **more}


def _contract() -> KeptContract:
    terms = ContractTerms(
        kpi="revenue per seat", formula="price * label / seats", columns=("price", "label", "seats"), unit="EUR a seat",
        limit=0.9, hypothesis=HypothesisTerms(effect=0.1, by="2013-06-01", author="dan"),
    )  # fmt: skip
    stands = Standing(
        verdict="undecided", sentence="AUC of the champion", source="before and after", effect=-0.05, low=-0.2, high=0.1, at=NOW
    )  # fmt: skip
    return KeptContract(
        **_common("flights/dev/revenue-per-seat", "revenue-per-seat"), number=2, terms=terms, digest=terms.digest,
        endpoints=("flight-delays",), actor=Actor("ada"), standing=stands,
    )  # fmt: skip


def _scope(name: str, value: float) -> KeptScope:
    terms = ScopeTerms(
        name=name, decision="Whether to hold a connection", owner="business owner", value=value, currency="EUR",
        endpoint="flight-delays" if name == "late-flights" else "",
    )  # fmt: skip
    return KeptScope(
        **_common(f"flights/{name}", name, NOW - timedelta(days=60)), number=1, terms=terms, digest=terms.digest,
        actor=Actor("ada"), updated_at=NOW - timedelta(days=60),
    )  # fmt: skip


def _looks() -> list[Finding]:
    found = []
    for week in range(6):
        until, value = NOW - timedelta(days=7 * (5 - week)), 1.0 - 0.03 * week
        figures = {"value": value, "low": value - 0.04, "high": value + 0.04, "limit": 0.9, "labelled": 900 + week}
        found.append(
            Finding(
                **_common(f"look{week}", "revenue per seat", until), parent_id="flights/flight-delays",
                state="alert" if week == 5 else "ok", window_from=until - timedelta(days=7), window_until=until, rows=1000,
                sentence="log loss drifted", values=figures,
            )
        )  # fmt: skip
    return found


def _incidents() -> list[Incident]:
    at = NOW - timedelta(days=3)
    told = "log loss 0.6 where 0.5 is expected: retrain the champion"
    return [
        Incident(
            **_common("i7", "revenue per seat", at), parent_id="flights/flight-delays", cause="kpi", about="revenue per seat",
            sentence=told, owner="mia", value=0.85, low=0.81, high=0.89, before=0.97, unit="EUR a seat", rows=905,
            acknowledged_by="mia",
        ),
        Incident(
            **_common("i8", "drift", at), parent_id="flights/flight-delays", cause="drift", state="closed", sentence=told,
            owner="mia", closed_at=NOW, why="closed by hand by mia: the AUC is fine",
        ),
    ]  # fmt: skip


def _test() -> ABTest:
    arms = (
        ArmResult(name="champion", assigned=9000, measured=8000, mean=10.0),
        ArmResult(
            name="4", assigned=9000, measured=8000, mean=10.5, effect=0.5, low=0.2, high=0.8, verdict="better",
            month=15_000.0, month_low=6_000.0, month_high=24_000.0,
        ),
    )  # fmt: skip
    served = Served(model="flight-delays", number=4, bundle="4" * 64)
    return ABTest(
        **_common("ab7", "flight-delays", NOW - timedelta(days=9)), parent_id="flights/flight-delays", state="promoted",
        control=served, arms=(ABArm(name="4", served=served, fraction=0.5),), spec=ABTestSpec(unit="EUR", minimal_effect=0.1), salt="s",
        ended_at=NOW - timedelta(days=1), chosen="4", reason="better", looks=(ABLook(at=NOW, verdict="decided", sentence="AUC", arms=arms),),
    )  # fmt: skip


def _drill() -> Drill:
    return Drill(
        **_common("d7", "flight-delays"), parent_id="flights/flight-delays", state="passed", actor=Actor("mia"), present=2,
        back_to=1, live=True, sentence="The canary came back",
    )  # fmt: skip


def _promotion(bundle: str) -> Promotion:
    return Promotion(
        **_common("flights/prod/flight-delays/1", "flight-delays", PROMOTED), number=1, source="dev", target="prod",
        workflow="default", version=1, arrived=1, bundle=bundle, endpoint="flight-delays",
        stages=(PromotionStage(name="deploy", state="done", at=PROMOTED),), state="done", actor=Actor("mia"), updated_at=PROMOTED,
    )  # fmt: skip


def _ended(tx: Any, version: ModelVersion) -> list[ModelVersion | Revision]:
    """A model that answered, and was stopped."""
    revision = entries.get(tx, Revision, "flights/flight-delays/1")
    made = msgspec.structs.replace(version, id="old-fares-1", name="old-fares", number=1)
    served = Served(model="old-fares", number=1, bundle=version.bundle)
    was = msgspec.structs.replace(
        revision, id="flights/old-fares/1", name="old-fares", served=served, monitors=(), fallback=None
    )
    return [made, was]
