"""The effective gate: the floor and the project's checks, the stricter of two that ask the same."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.errors import GateRefused, InvalidInput
from slipway.gates.behaviour import data_checks, documented, fair, invariant, kpi, monotonic, no_leakage, robust
from slipway.gates.declare import (
    Check,
    Gate,
    approval,
    calibrated,
    consistent,
    latency,
    metric,
    no_finding,
    no_skew,
    reproduced,
)
from slipway.gates.floors import ALWAYS, effective, floor_name
from slipway.gates.written import read_check
from slipway.records.gates import CheckSpec, Floor
from slipway.records.people import Actor

NOW = datetime(2013, 4, 1, tzinfo=UTC)


def floor(*checks: Check, **more: object) -> Floor:
    specs = tuple(check.spec for check in checks)
    return Floor(
        id="prod/1", project="", name="prod", created_at=NOW, number=1, checks=specs, actor=Actor("gov"), **more
    )  # type: ignore[arg-type]


WEAK_AND_STRICT: list[tuple[Check, Check]] = [
    (metric("auc") >= 0.6, metric("auc") >= 0.7),
    (metric("log_loss") <= 0.7, metric("log_loss") <= 0.6),
    (metric("auc", slice="carrier") >= 0.5, metric("auc", slice="carrier") >= 0.55),
    (metric("auc").not_worse_than("champion", margin=0.1), metric("auc").not_worse_than("champion", margin=0.01)),
    (calibrated(0.1), calibrated(0.01)),
    (latency(times_champion=3), latency(times_champion=1.5)),
    (consistent(0.1), consistent(0.001)),
    (reproduced(), reproduced(exactly=True)),
    (approval("accountable"), approval("accountable", count=2)),
    (fair("selection_rate", by="sex", margin=0.1), fair("selection_rate", by="sex", margin=0.05)),
    (robust(0.1, 0.1, drop=0.1), robust(0.1, 0.1, drop=0.02)),
    (invariant("sex", share=0.1), invariant("sex")),
    (monotonic("income", "increasing", share=0.1), monotonic("income", "increasing", share=0.01)),
    (monotonic("income", "decreasing", share=0.1), monotonic("income", "decreasing", share=0.01)),
    (no_leakage(0.99), no_leakage(0.9)),
    (kpi("loss") <= 3, kpi("loss") <= 2),
    (kpi("loss") >= 1, kpi("loss") >= 2),
]


@pytest.mark.parametrize(("weak", "strict"), WEAK_AND_STRICT)
def test_of_two_that_ask_the_same_the_stricter_counts(weak: Check, strict: Check) -> None:
    assert strict.spec in effective(Gate(strict).spec, "prod", floor(weak)).checks
    assert weak.spec not in effective(Gate(strict).spec, "prod", floor(weak)).checks
    assert strict.spec in effective(None, "dev", floor(strict)).checks
    with pytest.raises(GateRefused, match="weakens the floor of prod") as refused:
        effective(Gate(no_skew(), weak).spec, "prod", floor(strict))
    assert "slipway floor show" in refused.value.fix


NEITHER_STRICTER: list[tuple[Check, Check]] = [
    (fair("selection_rate", by="sex", margin=0.1), fair("selection_rate", by="sex", margin=0.1, least=50)),
    (fair("selection_rate", by="sex", margin=0.1), fair("selection_rate", by="age", margin=0.2)),
    (robust(0.1, 0.1, drop=0.1), robust(0.01, 0.3, drop=0.2)),
    (invariant("sex", tolerance=0.1), invariant("sex", tolerance=0.01, share=0.2)),
    (monotonic("income", "increasing"), monotonic("income", "decreasing", share=0.5)),
    (documented("purpose"), documented("limits")),
]


@pytest.mark.parametrize(("asked", "own"), NEITHER_STRICTER)
def test_of_two_that_ask_different_things_both_count(asked: Check, own: Check) -> None:
    found = effective(Gate(own).spec, "prod", floor(asked)).checks
    assert asked.spec in found
    assert own.spec in found


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from([one for pair in WEAK_AND_STRICT for one in pair]), min_size=1, max_size=6))
def test_no_gate_asks_less_than_the_floor(checks: list[Check]) -> None:
    asked = floor(metric("auc") >= 0.65, approval("accountable"), calibrated(0.05), no_skew())
    try:
        found = effective(Gate(*checks).spec, "prod", asked).checks
    except GateRefused:
        return
    assert found[:3] == ALWAYS
    assert CheckSpec(kind="no_skew") in found
    assert max(one.limit for one in found if one.metric == "auc" and not one.slice and one.kind == "metric") >= 0.65
    assert min(one.limit for one in found if one.kind == "calibrated") <= 0.05


def test_a_floor_lists_formats_targets_and_templates() -> None:
    found = effective(None, "dev", floor(formats=("skops", "lightgbm"), templates=("tabular",))).checks
    assert [(check.kind, check.allowed) for check in found[3:]] == [
        ("format", ("skops", "lightgbm")),
        ("template", ("tabular",)),
    ]


def test_a_floor_says_whether_a_gate_must_be_declared() -> None:
    assert effective(None, "prod", floor(no_finding())).checks[-1].kind == "no_finding"
    with pytest.raises(GateRefused, match="No gate is declared"):
        effective(None, "dev", floor(needs_gate=True))
    names = ("prod-eu", "production", "test-7", "try", "dev")
    assert [floor_name(name) for name in names] == ["prod", "prod", "test", "dev", "dev"]


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("sw.metric('auc') >= 0.7", metric("auc") >= 0.7),
        ("metric('gain', better='higher') >= -1", metric("gain", better="higher") >= -1),
        (" metric('log_loss', slice='carrier') <= 0.6 ", metric("log_loss", slice="carrier") <= 0.6),
        ("sw.metric('auc').not_worse_than('champion', margin=0.01)", WEAK_AND_STRICT[3][1]),
        ("sw.no_skew()", no_skew()),
        ("sw.fair('auc', by='sex', margin=0.05, least=50)", fair("auc", by="sex", margin=0.05, least=50)),
        ("sw.robust(missing=0.1, noise=0.1, drop=0.02)", robust(0.1, 0.1, drop=0.02)),
        ("sw.invariant('sex')", invariant("sex")),
        ("monotonic('income', 'decreasing')", monotonic("income", "decreasing")),
        ("sw.no_leakage()", no_leakage()),
        ("sw.data_checks()", data_checks()),
        ("sw.documented('purpose', 'limits')", documented("purpose", "limits")),
        ("sw.kpi('loss') <= 2.5", kpi("loss") <= 2.5),
        ("calibrated(0.01)", calibrated(0.01)),
        ("sw.approval('accountable', count=2)", approval("accountable", count=2)),
    ],
)
def test_a_check_is_read_as_a_project_writes_it(text: str, check: Check) -> None:
    assert read_check(text) == check.spec


@pytest.mark.parametrize(
    "text",
    [
        "", "auc >= 0.7", "sw.metric('auc')", "sw.metric('auc') > 0.7", "sw.no_skew", "sw.approve('x')", "1 + 1",
        "__import__('os').system('true')", "sw.metric(open('/etc/passwd').read()) >= 1", "sw.metric('auc') >= x",
        "sw.metric('auc') >= 0.6 >= 0.5", "sw.no_skew(1)", "sw.approval('a', count=0)", "sw.Gate(sw.no_skew())",
        "sw.metric('auc').__class__('x')", "sw.metric('auc').not_worse_than('champion', margin=-1)", "(" * 500,
        "sw.kpi('loss')", "sw.kpi('loss') > 2", "finite(1, 'x')", "sw.fair('auc')",
        "sw.metric(**{'name': 'auc'}) >= 0.7", "not sw.no_skew()", "sw.calibrated(1e999)",
    ],
)  # fmt: skip
def test_what_is_no_check_is_a_sentence(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no check"):
        read_check(text)
