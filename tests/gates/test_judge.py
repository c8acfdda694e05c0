"""Verdicts: closed by default, bound to bytes, honest about what cannot be told."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.gates import evidence as make
from slipway.gates.declare import (
    Gate,
    approval,
    calibrated,
    consistent,
    environment_resolves,
    latency,
    metric,
    no_finding,
    no_skew,
    reproduced,
)
from slipway.gates.floors import effective
from slipway.gates.judge import gate_fingerprint, judge, passes, verdict
from slipway.records.gates import Approval, Evidence, GateSpec, Outcome
from slipway.records.models import MetricValue
from slipway.records.people import Actor

NOW = datetime(2013, 4, 1, tzinfo=UTC)
US = "b" * 64
OTHER = "c" * 64
NAN = float("nan")


def one(check: object, *found: Evidence, approvals: tuple[Approval, ...] = (), champion: bool = True) -> Outcome:
    gate = Gate(check).spec  # type: ignore[arg-type]
    (outcome,) = judge(gate, found, approvals, subject=US, at=NOW, champion_known=champion, model="delays", number=4)
    return outcome


def figures(*values: MetricValue, subject: str = US) -> Evidence:
    return make.figures(subject, NOW, values)


def auc(value: float, slice: str = "", n: int = 28_330) -> MetricValue:
    return MetricValue(metric="auc", value=value, low=value - 0.008, high=value + 0.008, n=n, slice=slice)


def difference(metric_name: str, value: float, half: float, n: int = 1000) -> Evidence:
    return make.against_champion(
        US, NOW, metric=metric_name, difference=value, low=value - half, high=value + half, n=n, champion="delays 3"
    )


def word(
    role: str = "accountable",
    decision: str = "approved",
    who: Actor | None = None,
    bundle: str = US,
    at: datetime = NOW,
    until: datetime | None = None,
) -> Approval:
    return Approval(
        id=f"{at:%H%M%S}{decision}", project="flights", name=role, created_at=at, bundle=bundle,
        actor=who or Actor("ada"), decision=decision, expires_at=until,
    )  # type: ignore[arg-type]  # fmt: skip


def test_a_figure_is_compared_by_its_value_and_shown_with_its_interval() -> None:
    passed = one(metric("auc") >= 0.74, figures(auc(0.746)))
    assert (passed.result, passed.found) == ("passed", "0.746 (0.738 to 0.754), 28,330 rows")
    refused = one(metric("auc") >= 0.75, figures(auc(0.746)))
    assert refused.result == "refused"
    assert "It misses by 0.004" in refused.fix
    assert one(metric("auc") >= 0.746, figures(auc(0.746))).result == "passed"
    assert one(metric("log_loss") <= 0.5, figures(MetricValue(metric="log_loss", value=0.6))).result == "refused"


def test_without_evidence_nothing_passes() -> None:
    assert one(metric("auc") >= 0.1).result == "cannot tell"
    assert "sw.evaluate" in one(metric("auc") >= 0.1).fix
    assert one(metric("aucc") >= 0.1, figures(auc(0.9))).fix == "Did you mean 'auc'?"
    assert one(metric("auc") >= 0.1, figures(auc(0.9), subject=OTHER)).result == "cannot tell"
    assert one(metric("auc") >= 0.1, figures(auc(NAN))).result == "cannot tell"
    assert one(metric("auc") >= 0.1, figures(auc(0.9, "carrier=AA"))).result == "cannot tell"
    for check in (no_finding(), no_skew(), reproduced(), environment_resolves(), calibrated(), approval("accountable")):
        assert one(check).result == "cannot tell"
        assert one(check).fix


def test_every_slice_with_enough_rows_must_hold() -> None:
    check = metric("auc", slice="carrier") >= 0.55
    small = MetricValue(metric="auc", value=NAN, n=12, slice="carrier=HA", note="too few")
    good = figures(auc(0.6, "carrier=AA"), auc(0.7, "carrier=UA"), small, auc(0.1, "origin=EWR"))
    assert one(check, good).result == "passed"
    assert one(check, good).found == (
        "all 2 hold, the weakest is carrier=AA: 0.6 (0.592 to 0.608), 28,330 rows; carrier=HA cannot tell, n=12"
    )
    bad = figures(auc(0.6, "carrier=AA"), auc(0.5, "carrier=UA"), small)
    assert one(check, bad).result == "refused"
    assert "look at carrier=UA first" in one(check, bad).fix
    assert one(check, figures(auc(0.9), small)).result == "cannot tell"
    assert "slices=['carrier']" in one(check, figures(auc(0.9))).fix


def test_the_champion_is_compared_by_the_worst_that_is_likely() -> None:
    check = metric("auc").not_worse_than("champion", margin=0.005)
    assert one(check, difference("auc", 0.001, 0.002)).result == "passed"
    assert one(check, difference("auc", -0.01, 0.002)).result == "refused"
    unsure = one(check, difference("auc", -0.001, 0.008))
    assert unsure.result == "cannot tell"
    assert "About 4,000 evaluation rows" in unsure.fix
    assert "0.001 worse than delays 3 (-0.009 to +0.007), 1,000 rows" in unsure.found
    assert one(check).result == "cannot tell"
    first = one(check, champion=False)
    assert (first.result, first.found) == ("not applicable", "first release: there is no champion yet")


def test_lower_is_better_for_a_loss() -> None:
    check = metric("log_loss").not_worse_than("champion", margin=0.002)
    assert one(check, difference("log_loss", -0.01, 0.001)).result == "passed"
    assert one(check, difference("log_loss", 0.01, 0.001)).result == "refused"
    assert "0.01 worse than" in one(check, difference("log_loss", 0.01, 0.001)).found


def test_calibration_reads_the_mean_difference() -> None:
    bias = MetricValue(metric="calibration_in_the_large", value=-0.064, low=-0.07, high=-0.058, n=900)
    assert one(calibrated(0.05), figures(bias)).result == "refused"
    assert one(calibrated(0.07), figures(bias)).result == "passed"


def test_latency_and_environment() -> None:
    slow = make.latency(US, NOW, candidate_ms=0.4, champion_ms=0.2)
    assert one(latency(times_champion=1.5), slow).result == "refused"
    assert one(latency(times_champion=2), slow).result == "passed"
    assert one(latency(times_champion=2), champion=False).result == "not applicable"
    same = make.environment(US, NOW, differing=[], checked=40)
    other = make.environment(US, NOW, differing=["numpy 2.4.6 in the lock, 2.3.1 installed"], checked=40)
    assert one(environment_resolves(), same).found == "40 distributions agree"
    assert "numpy 2.4.6 in the lock" in one(environment_resolves(), other).found
    assert one(environment_resolves(), other).result == "refused"


def test_what_was_refuted_refuses() -> None:
    held = make.proof("no_skew", US, NOW, holds=True, note="4,000 rows, bit for bit")
    broken = make.proof("no_skew", US, NOW, holds=False, note="delay_6h differs")
    assert one(no_skew(), held).found == "4,000 rows, bit for bit"
    assert one(no_skew(), held, broken).result == "refused"


def reported(share: float, compared: int = 5000, at: datetime = NOW) -> Evidence:
    return make.consistency(
        US,
        at,
        endpoint="delays",
        model="delays 3",
        share=share,
        compared=compared,
        note="5,000 served values: 1 differs",
    )


def test_what_is_served_must_be_consistent_before_anything_replaces_it() -> None:
    check = consistent(max_share=0.001)
    assert one(check, reported(0.001)).result == "passed"
    refused = one(check, reported(0.0011))
    assert (refused.result, refused.found) == ("refused", "5,000 served values: 1 differs")
    assert one(check).result == "cannot tell"
    assert one(check).fix == "slipway endpoints consistency delays"
    assert one(check, reported(0.0, compared=0)).result == "cannot tell"
    assert one(check, reported(0.0, at=NOW - timedelta(days=7))).result == "passed"
    assert one(check, reported(0.0, at=NOW - timedelta(days=8))).result == "cannot tell"
    assert one(check, champion=False).result == "not applicable"


def test_approvals_are_bound_to_bytes_and_lapse() -> None:
    check = approval("accountable")
    assert one(check, approvals=(word(),)).result == "passed"
    assert one(check, approvals=(word(bundle=OTHER),)).result == "cannot tell"
    assert one(check, approvals=(word(role="owner"),)).result == "cannot tell"
    assert one(check, approvals=(word(until=NOW),)).result == "cannot tell"
    assert one(check).fix == "slipway approve delays --version 4 --role accountable"
    later = word(decision="rejected", at=NOW + timedelta(seconds=5))
    assert one(check, approvals=(later, word())).result == "refused"
    changed = word(at=NOW + timedelta(seconds=9))
    assert one(check, approvals=(changed, later, word())).result == "passed"
    assert one(check, approvals=(word(), word(decision="rejected", who=Actor("bob")))).result == "refused"


def test_simulated_people_are_marked() -> None:
    given_by = one(approval("accountable"), approvals=(word(who=Actor("Grace", "simulated")),))
    assert given_by.found.startswith("Grace (simulated) approved on 2013-04-01")


def floor_evidence() -> list[Evidence]:
    return [make.proof(kind, US, NOW, holds=True, note="yes") for kind in ("signature", "parity", "loads")]  # type: ignore[arg-type]


CHECKS = [
    metric("auc") >= 0.7,
    metric("auc", slice="carrier") >= 0.55,
    metric("auc").not_worse_than("champion", margin=0.005),
    calibrated(),
    no_skew(),
    latency(times_champion=1.5),
    environment_resolves(),
    approval("accountable"),
]
EVIDENCE = [
    *floor_evidence(),
    figures(auc(0.8), auc(0.6, "carrier=AA"), MetricValue(metric="calibration_in_the_large", value=0.01, n=9)),
    difference("auc", 0.01, 0.001),
    make.proof("no_skew", US, NOW, holds=True, note="yes"),
    make.latency(US, NOW, candidate_ms=0.1, champion_ms=0.1),
    make.environment(US, NOW, differing=[], checked=3),
]


@given(
    st.lists(st.sampled_from(CHECKS), min_size=1),
    st.lists(st.sampled_from(EVIDENCE), unique_by=id),
    st.booleans(),
    st.booleans(),
)
@settings(deadline=None)
def test_only_full_evidence_about_these_bytes_opens_the_gate(
    checks: list, found: list[Evidence], approved: bool, elsewhere: bool
) -> None:
    gate = effective(Gate(*checks).spec, "prod")
    if elsewhere:
        found = [msgspec.structs.replace(item, subject=OTHER) for item in found]
    words = [word(bundle=OTHER if elsewhere else US)] if approved else []
    outcomes = judge(gate, found, words, subject=US, at=NOW, champion_known=True)
    needed = {"metric" if check.kind == "calibrated" else check.kind for check in gate.checks}
    there = set() if elsewhere else {item.kind for item in found} | ({"approval"} if approved else set())
    assert passes(outcomes) == (needed <= there)
    assert len(outcomes) == len(gate.checks)
    assert all(outcome.fix for outcome in outcomes if outcome.result in ("refused", "cannot tell"))


def test_a_verdict_is_bound_to_both_digests_and_survives_the_ledger() -> None:
    gate = effective(Gate(metric("auc") >= 0.7).spec, "dev")
    outcomes = judge(
        gate,
        [*floor_evidence(), figures(auc(0.8), auc(NAN, "carrier=HA"))],
        [],
        subject=US,
        at=NOW,
        champion_known=False,
    )
    said = verdict(
        outcomes,
        gate=gate,
        subject=US,
        environment="dev",
        actor=Actor("ada"),
        project="flights",
        model="delays",
        at=NOW,
    )
    assert said.passed
    assert (said.bundle, said.gate) == (US, gate_fingerprint(gate))
    assert gate_fingerprint(GateSpec(checks=gate.checks[1:])) != said.gate
    assert msgspec.json.decode(msgspec.json.encode(said), type=type(said)) == said
    refused = verdict(
        outcomes[:1] + judge(gate, [], [], subject=US, at=NOW, champion_known=False),
        gate=gate,
        subject=US,
        environment="dev",
        actor=Actor("ada"),
        project="flights",
        model="delays",
        at=NOW,
    )
    assert not refused.passed


def test_evidence_survives_the_ledger() -> None:
    kept = figures(auc(0.8), MetricValue(metric="auc", value=NAN, n=3, slice="carrier=HA", note="too few"))
    again = msgspec.json.decode(msgspec.json.encode(kept), type=Evidence)
    assert again == kept
    values = make.figures_of(again)
    assert values[0] == auc(0.8)
    assert values[1].value != values[1].value
    assert values[1].note == "too few"


def test_unknown_kinds_cannot_be_declared() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"checks":[{"kind":"magic"}]}', type=GateSpec)


def repeated(verdict: str, day: int = 0) -> Evidence:
    at = NOW + timedelta(days=day)
    return make.reproduction(US, at, verdict=verdict, id=f"r-{day}", note="so it was found")


def test_a_reproduction_counts_by_the_newest_verdict_that_could_tell() -> None:
    for found, exactly, result in (
        ([repeated("equal")], False, "passed"),
        ([repeated("within tolerance")], False, "passed"),
        ([repeated("within tolerance")], True, "refused"),
        ([repeated("equal")], True, "passed"),
        ([repeated("differs")], False, "refused"),
        ([repeated("altered")], False, "refused"),
        ([repeated("differs", 2), repeated("equal", 1)], False, "refused"),
        ([repeated("equal", 2), repeated("differs", 1)], False, "passed"),
        ([repeated("cannot", 2), repeated("equal", 1)], False, "passed"),
        ([repeated("cannot", 2), repeated("differs", 1)], False, "refused"),
        ([repeated("cannot")], False, "cannot tell"),
        ([], False, "cannot tell"),
    ):
        assert one(reproduced(exactly=exactly), *found).result == result, (found, exactly)
    assert one(reproduced()).fix == "slipway reproduce delays:4"
    assert one(reproduced(), repeated("equal")).found == "equal, on 2013-04-01: so it was found"
    assert one(reproduced(exactly=True), repeated("equal")).check.endswith("came to the same exactly")
