"""The checks of behaviour as they are written, and how they are judged from evidence alone."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

import slipway as sw
from slipway.errors import InvalidDeclaration
from slipway.gates import evidence as make
from slipway.gates.declare import Check, Gate
from slipway.gates.judge import judge
from slipway.gates.wording import describe
from slipway.records.gates import Outcome
from slipway.stats.groups import by_group

NOW = datetime(2013, 4, 1, tzinfo=UTC)
US = "b" * 64


def said(check: Check, **values: Any) -> Outcome:
    found = [make.behaviour(check.spec, US, NOW, **values)] if values else []
    (outcome,) = judge(Gate(check).spec, found, [], subject=US, at=NOW, champion_known=False)
    return outcome


def test_the_checks_in_words() -> None:
    checks = (
        sw.fair("selection_rate", by="sex", margin=0.05, least=50),
        sw.robust(0.1, 0.2, drop=0.02, metric="auc"),
        sw.invariant("sex"),
        sw.monotonic("income", "decreasing", tolerance=0.01, share=0.1),
        sw.no_leakage(),
        sw.data_checks(),
        sw.documented("purpose", "limits"),
        sw.kpi("loss") <= 2.5,
        sw.kpi("loss") >= 1,
    )
    assert [describe(check.spec) for check in checks] == [
        "selection_rate apart by at most 0.05 between any two of sex, groups of fewer than 50 rows aside",
        "auc falls by at most 0.02 with 0.1 of the values missing, or noise of 0.2 spreads",
        "answers stay within 0.01 whatever sex is",
        "answers do not rise by more than 0.01 as income grows, but for 0.1 of the rows",
        "nothing tells the model its answer: no input alone predicts it above 0.98, no row was learnt",
        "the tables that it was trained on passed their checks",
        "written down: purpose, limits",
        "loss: expected cost a decision at most 2.5",
        "loss: expected gain a decision at least 1",
    ]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: sw.fair("", by="sex", margin=0.1), "names no metric"),
        (lambda: sw.fair("auc", by=3, margin=0.1), "3 names no column"),  # type: ignore[arg-type]
        (lambda: sw.fair("auc", by="sex", margin=-1), "-1 is given as the margin"),
        (lambda: sw.fair("auc", by="sex", margin=float("nan")), "nan is given as the margin"),
        (lambda: sw.fair("auc", by="sex", margin=0.1, least=0), "0 is no number of rows"),
        (lambda: sw.robust(1.5, drop=0.1), "1.5 is no share of values"),
        (lambda: sw.robust(drop=-0.1), "-0.1 is given as the drop"),
        (lambda: sw.invariant(" "), "names no column"),
        (lambda: sw.invariant("sex", share=2), "2 is no share of rows"),
        (lambda: sw.monotonic("income", "up"), "'up' is no direction"),  # type: ignore[arg-type]
        (lambda: sw.no_leakage(0.2), "0.2 is given as the limit"),
        (lambda: sw.no_leakage(2), "2 is no AUC"),
        (lambda: sw.documented("purpos"), "Nobody documents 'purpos'.*'purpose'"),
        (lambda: sw.kpi(""), "names no KPI"),
        (lambda: sw.kpi("loss") > 2, "neither compared"),
        (lambda: bool(sw.kpi("loss")), "neither compared"),
        (lambda: Gate(sw.kpi("loss")), "which is no check"),  # type: ignore[arg-type]
        (lambda: sw.kpi("loss") <= "2", "'2' is given as the limit"),  # type: ignore[operator]
    ],
)
def test_wrong_use_is_a_sentence(wrong: Any, sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        wrong()


def test_without_evidence_nothing_passes_and_each_says_what_next_and_who() -> None:
    for check in (
        sw.fair("auc", by="sex", margin=1), sw.robust(drop=1), sw.invariant("sex"), sw.monotonic("a", "increasing"),
        sw.no_leakage(), sw.data_checks(), sw.documented(), sw.kpi("loss") <= 1e9,
    ):  # fmt: skip
        found = said(check)
        assert (found.result, bool(found.fix), bool(found.helper)) == ("cannot tell", True, True)


def test_evidence_of_another_check_does_not_count() -> None:
    other = make.behaviour(sw.invariant("age").spec, US, NOW, is_input=False)
    (found,) = judge(Gate(sw.invariant("sex")).spec, [other], [], subject=US, at=NOW, champion_known=False)
    assert found.result == "cannot tell"


def test_evidence_that_the_judge_cannot_read_closes_the_gate_with_a_sentence() -> None:
    found = said(sw.invariant("sex"), odd=1)
    assert found.result == "cannot tell"
    assert found.found == "judging it raised KeyError: 'is_input'"
    assert found.fix


def test_what_could_not_be_collected_is_told_and_never_passes() -> None:
    check = sw.invariant("sex")
    untold = make.untold("invariant", US, NOW, why="it raised OSError", fix="Mend it.")
    (found,) = judge(Gate(check).spec, [untold], [], subject=US, at=NOW, champion_known=False)
    assert (found.result, found.found, found.fix) == ("cannot tell", "it raised OSError", "Mend it.")
    both = [make.behaviour(check.spec, US, NOW, is_input=False), untold]
    (found,) = judge(Gate(check).spec, both, [], subject=US, at=NOW, champion_known=False)
    assert found.result == "cannot tell"


def groups(random: np.random.Generator, rates: list[float], n: int) -> list[dict[str, Any]]:
    """Decisions of groups of n rows that are selected at these rates."""
    members = np.repeat(np.arange(len(rates)), n)
    scores = (random.random(members.size) < np.asarray(rates)[members]).astype(float)
    found = by_group("selection_rate", scores, scores, members.tolist(), threshold=0.5, matrix=None)
    return [
        {"group": one.name, "n": one.rows, "value": one.figure.value, "low": one.figure.low, "high": one.figure.high, "note": ""}
        for one in found
    ]  # fmt: skip


def test_one_group_that_can_be_told_beside_small_ones_tells_nothing() -> None:
    check = sw.fair("calibration", by="g", margin=0.1)
    told = {"group": "a", "n": 900, "value": 0.1, "low": 0.08, "high": 0.12, "note": ""}
    small = {"group": "b", "n": 3, "value": None, "low": None, "high": None, "note": "3 rows are too few"}
    without = {"group": "c", "n": 900, "value": 0.1, "low": None, "high": None, "note": ""}
    found = said(check, groups=[told, small, without])
    assert (found.result, found.found) == (
        "cannot tell", "g=b cannot tell: 3 rows are too few; g=c cannot tell: it has no interval",
    )  # fmt: skip
    assert said(check, groups=[told]).found == "there are 1 groups by g"


@pytest.mark.full
@pytest.mark.parametrize("count", [2, 8])
def test_what_is_fair_is_rarely_refused_and_what_is_unfair_rarely_passes(count: int) -> None:
    """Over 400 worlds each: at the margin itself, the worst case, neither error is made in more than 5 of 100."""
    random, check, worlds = np.random.default_rng(count), sw.fair("selection_rate", by="g", margin=0.1), 400
    results = {}
    for world, apart in (("same", 0.0), ("at the margin", 0.1), ("far", 0.3)):
        rates = [0.3] * (count - 1) + [0.3 + apart]
        told = [said(check, groups=groups(random, rates, 1500)).result for _ in range(worlds)]
        results[world] = {word: told.count(word) / worlds for word in ("passed", "refused", "cannot tell")}
    assert results["same"]["refused"] == 0
    assert results["same"]["passed"] > 0.9, results
    assert results["at the margin"]["refused"] <= 0.05, results
    assert results["at the margin"]["passed"] <= 0.05, results
    assert results["far"]["refused"] == 1
    few = [said(check, groups=groups(random, [0.3, 0.3], 60)).result for _ in range(worlds)]
    assert few.count("refused") <= 0.05 * worlds
    assert few.count("cannot tell") > 0.8 * worlds
