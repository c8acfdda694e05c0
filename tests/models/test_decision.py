"""Thresholds that follow from stated costs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidDeclaration
from slipway.models.decision import threshold

cost = st.floats(0.1, 1000)


@given(cost, cost, st.floats(0, 1))
@settings(deadline=None)
def test_deciding_at_the_threshold_is_never_dearer_than_the_other_answer(fp: float, fn: float, p: float) -> None:
    decision = threshold(costs={"false_positive": fp, "false_negative": fn})
    assert decision.threshold is not None
    yes, no = (1 - p) * fp, p * fn
    if p > decision.threshold + 1e-9:
        assert yes <= no + 1e-6
    if p < decision.threshold - 1e-9:
        assert no <= yes + 1e-6


def test_a_gain_is_a_negative_cost() -> None:
    assert threshold(costs={"true_positive": -30, "false_positive": 10}).threshold == pytest.approx(0.25)
    assert threshold(0.3).threshold == 0.3
    assert threshold(0.3, costs={"false_positive": 2.0}, unit="USD").costs == {"false_positive": 2.0}
    assert np.isclose(threshold(costs={"false_positive": 1, "false_negative": 1}).threshold or 0, 0.5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "needs a score or costs"),
        ({"costs": {"false_postive": 1}}, r"'false_postive' is no cell.*Did you mean 'false_positive'"),
        ({"costs": {"false_positive": 1}}, "No threshold follows"),
        ({"at": 1.5}, r"1\.5 cannot be a threshold"),
    ],
)
def test_what_cannot_be_decided_is_said(arguments: dict, sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        threshold(**arguments)
