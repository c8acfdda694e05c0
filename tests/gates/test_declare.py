"""A gate reads as it judges, and what would silently judge less is refused."""

import subprocess
import sys

import pytest

from slipway.errors import GateRefused, InvalidDeclaration
from slipway.gates.declare import (
    Gate,
    approval,
    calibrated,
    environment_resolves,
    latency,
    metric,
    no_skew,
)
from slipway.gates.floors import effective
from slipway.gates.wording import describe
from slipway.records.gates import CheckSpec
from slipway.schema import directions
from slipway.stats.metrics import METRICS


def flagship() -> Gate:
    return Gate(
        metric("auc") >= 0.70,
        metric("auc").not_worse_than("champion", margin=0.005),
        metric("auc", slice="carrier") >= 0.55,
        metric("log_loss") <= 0.6,
        calibrated(),
        no_skew(),
        latency(times_champion=1.5),
        environment_resolves(),
        approval("accountable"),
    )


def test_the_checks_in_words() -> None:
    assert [describe(check) for check in flagship().spec.checks] == [
        "auc at least 0.7",
        "auc not worse than the champion's by more than 0.005",
        "auc at least 0.55 on every carrier",
        "log_loss at most 0.6",
        "mean prediction within 0.05 of the rate",
        "served features proven equal to those of training",
        "answers within 1.5 times the champion's time",
        "the lock agrees with what is installed",
        "approved as accountable",
    ]
    assert flagship() == flagship()
    assert hash(flagship()) == hash(flagship())
    assert flagship() != Gate(no_skew())
    assert "auc at least 0.7" in repr(flagship())


def test_a_limit_may_stand_on_the_left() -> None:
    assert (metric("auc") >= 0.7) == (metric("auc") >= 0.7)


def test_the_champions_direction_is_in_the_check() -> None:
    assert metric("auc").not_worse_than("champion", margin=0).spec.op == ">="
    assert metric("log_loss").not_worse_than("champion", margin=0).spec.op == "<="
    assert metric("minutes", better="lower").not_worse_than("champion", margin=0).spec.op == "<="


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: metric("auc") > 0.7, r"used with >.*metric\('auc'\) >= 0\.7"),
        (lambda: metric("auc") < 0.7, r"used with <"),
        (lambda: metric("auc") == 0.7, r"used with =="),
        (lambda: metric("auc") != 0.7, r"used with !="),
        (lambda: bool(metric("auc")), r"used as a truth value"),
        (lambda: 0.5 <= metric("auc") <= 0.9, r"used as a truth value.*silently drop checks"),
        (lambda: (metric("auc") >= 0.7) and no_skew(), r"used as a truth value"),
        (lambda: not no_skew(), r"used as a truth value"),
        (lambda: Gate(metric("auc")), r"without a comparison"),
        (lambda: Gate(no_skew), r"which is no check.*sw\.no_skew\(\)"),
        (lambda: Gate(True), r"was given True"),
        (lambda: Gate(), r"has no checks"),
        (lambda: metric("auc") >= "0.7", r"'0\.7' is given as the limit"),
        (lambda: metric("auc") >= True, r"True is given as the limit"),
        (lambda: metric("auc") >= float("nan"), r"nan is given as the limit"),
        (lambda: metric("log_loss") >= 0.3, r"lets only bad models through.*metric\('log_loss'\) <= 0\.3"),
        (lambda: metric("auc") <= 0.7, r"lets only bad models through"),
        (lambda: metric("auc", better="lower"), r"A lower 'auc' is not better"),
        (lambda: metric("auc").not_worse_than("baseline", margin=0.1), r"compared with 'baseline'"),
        (lambda: metric("auc").not_worse_than("champion", margin=-0.1), r"-0\.1 is given as the margin"),
        (lambda: metric("auc", slice="c").not_worse_than("champion", margin=0.1), r"names the slice 'c'"),
        (lambda: metric("minutes").not_worse_than("champion", margin=1), r"better='lower'"),
        (lambda: calibrated(-1), r"-1 is given as the tolerance"),
        (lambda: latency(times_champion=None), r"None is given as the times_champion"),
        (lambda: approval(" "), r"' ' is no role"),
    ],
)
def test_wrong_use_is_a_sentence(wrong: object, sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        wrong()  # type: ignore[operator]


def test_directions_are_those_of_the_statistics() -> None:
    better = {name: known.better for name, known in METRICS.items()}
    assert {name for name, way in better.items() if way == "higher"} == set(directions.HIGHER)
    assert {name for name, way in better.items() if way == "lower"} | {"cost"} == set(directions.LOWER)


def test_floors() -> None:
    floor = ["signature", "parity", "loads"]
    assert [check.kind for check in effective(None, "dev").checks] == floor
    declared = effective(flagship().spec, "prod").checks
    assert [check.kind for check in declared][:4] == [*floor, "metric"]
    assert len(declared) == 12
    with pytest.raises(GateRefused, match="No gate is declared, and prod asks for one"):
        effective(None, "prod")
    with pytest.raises(GateRefused, match="No gate is declared, and production asks for one"):
        effective(None, "production")
    assert [check.kind for check in effective(None, "try").checks] == floor
    twice = effective(Gate(no_skew()).spec, "dev")
    assert twice.checks[-1] == CheckSpec(kind="no_skew")


def test_declaring_a_gate_loads_no_numbers() -> None:
    code = (
        "import slipway.gates.declare, sys; slipway.gates.declare.metric('auc') >= 0.7; "
        "assert not {'numpy', 'polars', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
