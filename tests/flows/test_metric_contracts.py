"""Metric contracts from declaration to signature, gate, watch, A/B test and hypothesis, on a real store."""

import dataclasses
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from small_desk import BETTER, FIRST, NAME, Desk
from test_watch import answer, label

import slipway as sw
from slipway.data.ingest import ingest
from slipway.errors import Conflict, Denied, InvalidInput, NotFound
from slipway.flows.abtest_rows import abtest_rows
from slipway.flows.deploy import check
from slipway.flows.endpoints import revision_of
from slipway.flows.hypotheses import look_at_hypothesis
from slipway.flows.metric_contracts import draft, get_contract, list_contracts, sign
from slipway.flows.rollouts import newest
from slipway.flows.watch import watch
from slipway.ledger import entries
from slipway.loop.reconcile import reconcile
from slipway.operations.contracts import GetContract, SignContract
from slipway.operations.declare import Empty
from slipway.operations.endpoints import Check, Watch
from slipway.operations.rollouts import Reconcile
from slipway.records.abtests import ABLook, ArmResult
from slipway.records.contracts import Standing
from slipway.records.gates import Outcome
from slipway.records.people import Actor
from slipway.records.responsibility import Notice

LOOSE = sw.Gate(sw.metric("auc") >= 0.3)
COSTLY = sw.MetricContract(
    "cost of delays",
    costs={"true_positive": 1, "false_positive": 1, "false_negative": 5},
    unit="USD",
    guard=0.5,
    metric="log_loss",
    hypothesis=sw.Hypothesis(effect=0.2, by="2013-06-01", author="dan"),
)


@sw.table(key="flight_id")
def sales() -> Any:
    """What each flight sold for."""
    import polars as pl

    return pl.DataFrame({"flight_id": [f"F{i}" for i in range(2000)], "fare": [50.0 + i % 7 for i in range(2000)]})


def state(desk: Desk, kpi: str = "cost of delays") -> str:
    return get_contract(desk.workspace, GetContract(kpi=kpi)).found.state


def asked(desk: Desk, number: int, *checks: Any) -> dict[str, Outcome]:
    desk.declare(gate=sw.Gate(*checks), kpi=COSTLY, key="flight_id")
    verdict = check(desk.workspace, Check(model=NAME, version=str(number))).verdict
    return {one.kind: one for one in verdict.outcomes}


def test_a_contract_is_drafted_signed_and_void_once_it_changes(desk: Desk) -> None:
    desk.declare(kpi=COSTLY)
    assert state(desk) == "drafted"
    signed = sign(desk.workspace, SignContract(kpi="cost of delays", comment="as agreed"))
    assert (signed.state, signed.by) == ("signed", desk.workspace.actor.name)
    desk.declare(kpi=COSTLY)
    assert state(desk) == "signed", "the same again changes nothing"
    desk.declare(kpi=dataclasses.replace(COSTLY, guard=0.6))
    detail = get_contract(desk.workspace, GetContract(kpi="cost of delays"))
    assert detail.found.state == "void"
    assert "signed other terms" in detail.found.void
    assert detail.found.contract.number == 2
    desk.declare(kpi=COSTLY)
    assert state(desk) == "signed", "the terms that were signed stand again"
    withdrawn = sign(desk.workspace, SignContract(kpi="cost of delays", withdraw=True))
    assert withdrawn.state == "drafted"
    with pytest.raises(NotFound, match="has not signed"):
        sign(desk.workspace, SignContract(kpi="cost of delays", withdraw=True))
    verbs = [one.verb for one in desk.events()]
    assert verbs.count("contracts.sign") == 2
    assert verbs.count("contracts.draft") == 3


def test_only_what_was_read_is_signed_and_only_by_its_owner(desk: Desk) -> None:
    draft(desk.workspace, COSTLY.terms())
    with pytest.raises(Conflict, match="changed since you read it"):
        sign(desk.workspace, SignContract(kpi="cost of delays", digest="0" * 64))
    with pytest.raises(NotFound, match="cost"):
        sign(desk.workspace, SignContract(kpi="cost of delay"))
    for roles, fits in ((("data scientist",), False), (("business owner",), True)):
        identity = Actor("zoe", roles=roles)
        workspace = dataclasses.replace(desk.workspace, actor=identity, identity=identity)  # type: ignore[arg-type]
        if fits:
            assert sign(workspace, SignContract(kpi="cost of delays")).by == "zoe"
        else:
            with pytest.raises(Denied, match="not the owner"):
                sign(workspace, SignContract(kpi="cost of delays"))


def test_its_page_says_it_in_plain_words(desk: Desk) -> None:
    desk.declare(kpi=COSTLY)
    detail = get_contract(desk.workspace, GetContract(kpi="cost of delays"))
    told = "\n".join(f"{title}: {said}" for title, said in detail.words)
    for part in (
        "Lower is better",
        "a false negative costs 5",
        "by up to 0.5 USD",
        "1 day after",
        f"At {NAME}.",
        "log loss",
        "0.2 USD",
    ):
        assert part in told, told
    assert [one.contract.name for one in list_contracts(desk.workspace, Empty()).contracts] == ["cost-of-delays"]


def test_a_gate_asks_for_the_kpi_and_for_the_signature(desk: Desk) -> None:
    found = asked(desk, FIRST, COSTLY, sw.contract_signed())
    assert found["contract"].result == "passed", found["contract"].found
    assert "cost of delays" in found["contract"].found
    assert found["contract_signed"].result == "refused"
    assert "slipway contract sign cost-of-delays" in found["contract_signed"].fix
    sign(desk.workspace, SignContract(kpi="cost of delays"))
    assert asked(desk, FIRST, sw.contract_signed())["contract_signed"].result == "passed"
    strict = dataclasses.replace(COSTLY, limit=0.0001)
    found = asked(desk, FIRST, strict)
    assert (found["contract"].result, found["contract"].helper) == ("refused", "data scientist")
    assert asked(desk, FIRST, sw.contract_signed("revenue"))["contract_signed"].result == "refused"


def test_a_gate_compares_with_the_champion_and_tells_what_it_cannot(desk: Desk) -> None:
    still = desk.without_processes()
    still.declare(gate=LOOSE, key="flight_id")
    still.deploy(FIRST)
    found = asked(still, BETTER, COSTLY)
    assert found["contract"].result == "passed", found["contract"].found
    assert "beside the champion's on the same rows" in found["contract"].found
    lost = sw.MetricContract("revenue", value="fare * label", table="sales", key="flight_id")
    found = asked(still, BETTER, lost)
    assert found["contract"].result == "cannot tell"
    assert "sales" in found["contract"].found


def test_an_endpoint_under_a_contract_watches_it_and_guards_its_canary(desk: Desk) -> None:
    endpoint = dataclasses.replace(desk.project.module().delays, kpi=COSTLY, rollout=[sw.Canary(steps=[10, 100])])
    declared = endpoint.declared("p", desk.clock.now())
    assert declared.kpi == COSTLY.terms()
    assert [one.contract for one in declared.monitors if one.contract] == [COSTLY.terms()]
    assert declared.rollout is not None
    assert declared.rollout.canary is not None
    assert declared.rollout.canary.contract == COSTLY.terms()
    by_itself = sw.Canary(kpi=COSTLY).spec()
    assert (by_itself.contract, by_itself.kpi) == (COSTLY.terms(), pytest.approx(0.1))
    with pytest.raises(sw.errors.InvalidDeclaration, match="between what one prediction's value lies"):
        sw.Canary(kpi=sw.MetricContract("revenue", value="fare"))


def _watched(desk: Desk, contract: sw.MetricContract) -> Desk:
    still = desk.without_processes()
    still.declare(gate=LOOSE, key="flight_id", monitors=(), kpi=contract)
    still.deploy(FIRST)
    return still


def test_a_watch_finds_the_kpi_and_keeps_going_without_its_table(desk: Desk) -> None:
    still = _watched(desk, COSTLY)
    still.clock.advance_to(still.clock.now() + timedelta(days=40))
    label(still, answer(still, 1500, days=20))
    (finding,) = watch(still.workspace, Watch(name=NAME)).findings
    assert finding.name == "cost of delays"
    assert finding.values["value"] == pytest.approx(1.0), "all were decided yes, which costs 1 each"
    fares = sw.MetricContract("revenue", value="fare * label", unit="USD", table="sales", key={"flight_id": "key"})
    still.declare(gate=LOOSE, key="flight_id", monitors=(), kpi=fares)
    still.deploy(FIRST, at_once=True)
    found = {one.name: one for one in watch(still.workspace, Watch(name=NAME)).findings}
    assert found["revenue"].state == "cannot tell"
    assert "sales" in found["revenue"].sentence


def test_business_columns_come_from_the_table(desk: Desk) -> None:
    fares = sw.MetricContract("revenue", value="fare * label", unit="USD", table=sales, key={"flight_id": "key"})
    ingest(desk.workspace, sales)
    still = _watched(desk, fares)
    still.clock.advance_to(still.clock.now() + timedelta(days=40))
    label(still, answer(still, 1500, days=20, prefix="F"))
    (finding,) = watch(still.workspace, Watch(name=NAME)).findings
    assert finding.state in ("ok", "note"), finding.sentence
    assert 20 < finding.values["value"] < 32, "about half of the labels are true, each fare is 50 to 56"


def test_a_hypothesis_is_told_before_and_after_and_its_author_hears_once(desk: Desk) -> None:
    still = _watched(desk, COSTLY)
    terms = COSTLY.terms()
    still.clock.advance_to(still.clock.now() + timedelta(days=40))
    label(still, answer(still, 1500, days=20))
    found = look_at_hypothesis(still.workspace, revision_of(still.workspace, NAME), terms, still.clock.now())
    assert found is not None
    assert (found.verdict, found.source, found.is_final) == ("cannot tell", "before and after", False)
    still.clock.advance_to(still.clock.now() + timedelta(days=60))
    for _ in range(2):
        found = look_at_hypothesis(still.workspace, revision_of(still.workspace, NAME), terms, still.clock.now())
        assert found is not None
        assert found.is_final
    with still.workspace.ledger.read() as tx:
        notices = [one for one in entries.every(tx, Notice, name="dan") if "hypothesis" in one.sentence]
    assert len(notices) == 1
    assert "its day has come" in notices[0].sentence
    kept: Standing | None = get_contract(still.workspace, GetContract(kpi="cost of delays")).found.contract.standing
    assert kept == found


def test_before_and_after_is_decided_on_its_day_and_says_that_it_shows_no_cause(desk: Desk) -> None:
    still = desk.without_processes()
    still.declare(gate=LOOSE, key="flight_id", monitors=())
    still.deploy(FIRST)
    still.clock.advance_to(still.clock.now() + timedelta(days=30))
    label(still, answer(still, 1500, days=20, prefix="A"))
    still.clock.advance_to(still.clock.now() + timedelta(days=2))
    saved = sw.MetricContract(
        "cost", value="5 * label if score < 0.5 else 1", better="lower", unit="USD", delay="1d",
        hypothesis=sw.Hypothesis(effect=3.0, by="2013-06-20", author="dan"),
    )  # fmt: skip
    still.declare(gate=LOOSE, key="flight_id", monitors=(), kpi=saved)
    still.deploy(BETTER, at_once=True)
    still.clock.advance_to(still.clock.now() + timedelta(days=25))
    label(still, answer(still, 1500, days=20, prefix="B", number=BETTER))
    now = still.clock.now()
    found = look_at_hypothesis(still.workspace, revision_of(still.workspace, NAME), saved.terms(), now)
    assert found is not None
    assert (found.verdict, found.is_final) == ("undecided", False), found.sentence
    assert "not causal" in found.sentence
    still.clock.advance_to(still.clock.now() + timedelta(days=40))
    found = look_at_hypothesis(still.workspace, revision_of(still.workspace, NAME), saved.terms(), still.clock.now())
    assert found is not None
    assert (found.verdict, found.source, found.is_final) == ("refuted", "before and after", True), found.sentence


def test_an_ab_test_compares_by_the_contract(desk: Desk) -> None:
    from test_abtests import begun

    still = desk.without_processes()
    still.declare(gate=LOOSE, key="flight_id", monitors=(), kpi=COSTLY)
    still.deploy(FIRST)
    still.declare(gate=LOOSE, key="flight_id", monitors=())
    with pytest.raises(InvalidInput, match="under no metric contract"):
        begun(still, {"2": 50}, metric="contract")
    still.declare(gate=LOOSE, key="flight_id", monitors=(), kpi=COSTLY)
    test = begun(still, {"2": 50}, metric="contract")
    assert test.spec.contract == COSTLY.terms()
    assert (test.spec.better, test.spec.unit) == ("lower", "USD")
    still.clock.advance_to(still.clock.now() + timedelta(days=30))
    label(still, answer(still, 1500, days=20))
    (finding,) = watch(still.workspace, Watch(name=NAME)).findings
    values = abtest_rows(still.workspace, test)["value"].drop_nulls()
    known = values.len()
    assert known >= finding.values["labelled"] > 1000
    assert float(values.mean()) == pytest.approx(finding.values["value"], rel=1e-12)  # type: ignore[arg-type]


def test_an_ab_test_by_the_contract_decides_its_hypothesis_at_once(desk: Desk) -> None:
    from test_abtests import begun

    still = _watched(desk, COSTLY)
    test = begun(still, {"2": 50}, metric="contract")
    revision, terms = revision_of(still.workspace, NAME), COSTLY.terms()

    def looked(effect: float, low: float, high: float) -> Standing:
        arms = (
            ArmResult(name="champion", assigned=9, measured=9),
            ArmResult(name="2", assigned=9, measured=9, effect=effect, low=low, high=high),
        )
        look = ABLook(at=still.clock.now(), verdict="decided", sentence="x", arms=arms)
        with still.workspace.ledger.write() as tx:
            entries.put(tx, msgspec.structs.replace(test, looks=(look,)))
        found = look_at_hypothesis(still.workspace, revision, terms, still.clock.now())
        assert found is not None
        return found

    found = looked(-0.3, -0.5, -0.1)
    assert (found.verdict, found.source, found.is_final) == ("undecided", "A/B test", False)
    assert (found.effect, found.low, found.high) == pytest.approx((0.3, 0.1, 0.5)), "costs that fall are a gain"
    found = looked(-0.3, -0.4, -0.25)
    assert (found.verdict, found.is_final) == ("confirmed", True), found.sentence
    assert looked(1.0, 0.9, 1.1).verdict == "confirmed", "what was decided stays"
    with still.workspace.ledger.read() as tx:
        told = [one.sentence for one in entries.every(tx, Notice, name="dan") if "hypothesis" in one.sentence]
    assert len(told) == 1
    assert "is confirmed" in told[0]


PER_MILE = sw.MetricContract(
    "cost per mile", costs={"true_positive": 1, "false_positive": 1, "false_negative": 5}, per="distance / 1000",
    per_between=(0, 5), unit="USD", guard=0.5, metric="log_loss",
)  # fmt: skip


def test_a_ratio_is_one_figure_in_watch_and_ab_test_and_a_gate_and_a_canary_hold_it(desk: Desk) -> None:
    from test_abtests import begun

    found = asked(desk, FIRST, PER_MILE)
    assert found["contract"].result == "passed", found["contract"].found
    assert "cost per mile" in found["contract"].found
    still = _watched(desk, PER_MILE)
    found = asked(still, BETTER, PER_MILE)
    assert found["contract"].result in ("passed", "cannot tell"), found["contract"].found
    assert "beside the champion's on the same rows" in found["contract"].found
    still.declare(gate=LOOSE, key="flight_id", monitors=(), kpi=PER_MILE, rollout=[sw.Canary(steps=[10, 100])])
    canary = dataclasses.replace(desk.project.module().delays, kpi=PER_MILE, rollout=[sw.Canary()]).declared(
        "p", desk.clock.now()
    )
    assert canary.rollout is not None
    assert canary.rollout.canary is not None
    assert (canary.rollout.canary.contract, canary.rollout.canary.kpi) == (PER_MILE.terms(), pytest.approx(0.5))
    test = begun(still, {"2": 50}, metric="contract")
    still.clock.advance_to(still.clock.now() + timedelta(days=40))
    assert abtest_rows(still.workspace, test)["value"].null_count() == 0, "nothing is known, and nothing breaks"
    label(still, answer(still, 1500, days=20))
    (finding,) = watch(still.workspace, Watch(name=NAME)).findings
    assert 1 / 1.7 < finding.values["value"] < 1 / 1.4, "all were decided yes, which costs 1, at about 1,550 miles each"
    values = abtest_rows(still.workspace, test)["value"].drop_nulls()
    # The watch leaves out the last day, which is not old enough.
    assert float(values.mean()) == pytest.approx(finding.values["value"], rel=0.01)  # type: ignore[arg-type]
    told = dict(get_contract(still.workspace, GetContract(kpi="cost per mile")).words)
    assert "divided by what they count for together" in told["What it is for"]
    assert "counts for distance / 1000" in told["How it is reckoned"]


def test_a_ratio_whose_sum_is_zero_is_told_and_the_watch_goes_on(desk: Desk) -> None:
    nothing = sw.MetricContract("cost per mile", value="label", per="0 * distance", metric="log_loss")
    still = _watched(desk, nothing)
    still.clock.advance_to(still.clock.now() + timedelta(days=40))
    label(still, answer(still, 1500, days=20))
    (finding,) = watch(still.workspace, Watch(name=NAME)).findings
    assert finding.state == "cannot tell"
    assert "comes to 0, by which nothing can be divided" in finding.sentence


def test_a_contract_that_is_changed_in_a_roll_out_leaves_it_its_terms(desk: Desk) -> None:
    still = desk.without_processes()
    still.declare(gate=LOOSE, key="flight_id", monitors=(), kpi=COSTLY, rollout=[sw.Canary(steps=(10, 100))])
    still.deploy(FIRST)
    sign(still.workspace, SignContract(kpi="cost of delays"))
    still.deploy(BETTER)
    still.declare(
        gate=LOOSE, key="flight_id", monitors=(), kpi=dataclasses.replace(COSTLY, guard=2.0), rollout=[sw.Canary(steps=(10, 100))]
    )  # fmt: skip
    assert state(still) == "void"
    detail = get_contract(still.workspace, GetContract(kpi="cost of delays"))
    assert "What is good enough" in {title for title, _, _ in detail.changed}
    still.clock.advance_to(still.clock.now() + timedelta(hours=2))
    reconcile(still.workspace, Reconcile(endpoint=NAME))
    rollout = newest(still.workspace, NAME)
    assert rollout is not None
    assert rollout.state == "canary"
    assert rollout.spec.canary is not None
    assert rollout.spec.canary.contract == COSTLY.terms(), "it goes on by what it began with"
    assert rollout.spec.canary.kpi == pytest.approx(0.1), "and its labels are waited for"
    assert "label" in rollout.looks[-1].sentence
