"""A price within limits: the same bits alone and together, part of the bundle, and of nothing but the offer."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

import slipway as sw
from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.flows.kpi_rows import kpi_evidence
from slipway.models.bundle import load, unpack
from slipway.models.packing import pack
from slipway.models.price_limits import within, within_all
from slipway.ports.workspace import Workspace

LIMITS = sw.price(low=19, high=799, step=5, offer=["seats"], unit="USD")


@given(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 0.1, 1.0, 5.0, 7.3]))
@settings(deadline=None)
def test_one_price_alone_has_the_bits_of_one_among_many(score: float, step: float) -> None:
    decision = sw.price(low=19, high=799, step=step, offer=["seats"])
    alone, together = within(decision), within_all(decision)
    assert alone is not None
    assert together is not None
    one, many = alone(score), float(together(np.array([score]))[0])
    assert one == many or (math.isnan(one) and math.isnan(many))
    if math.isfinite(score):
        assert 19 <= one <= 799
    else:
        assert not math.isfinite(one), "what is no number is no price, and the fallback answers"


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 9, "high": 1, "offer": ["a"]},
        {"low": 1, "high": math.nan, "offer": ["a"]},
        {"low": 1, "high": 9, "offer": []},
        {"low": 1, "high": 9, "step": -1, "offer": ["a"]},
    ],
)
def test_what_is_no_price_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidDeclaration, match=r"cannot be|names no fields"):
        sw.price(**wrong)  # type: ignore[arg-type]


def fitted(names: list[str], decision: object = LIMITS) -> sw.Model:
    import pandas as pd

    frame = pd.DataFrame({name: np.arange(40.0) * (i + 1) for i, name in enumerate(names)})
    estimator = LinearRegression().fit(frame, np.arange(40.0) * 50 - 300)
    return sw.Model(estimator, sample=frame, decision=decision)  # type: ignore[arg-type]


def test_the_packaged_model_keeps_to_the_limits_of_its_bundle(workspace: Workspace, tmp_path: object) -> None:
    packed = pack(workspace, fitted(["seats"]), name="fares")
    folder = tmp_path / "bundle"  # type: ignore[operator]
    unpack(workspace, packed.manifest, folder)
    model = load(folder)
    assert model.predict_rows([[-100.0]]) == [19.0]
    assert model.predict_rows([[1e9]]) == [799.0]
    assert model.predict_rows([[10.3]]) == [214.0], "215 is asked for; 19 + 39 * 5 is the nearest step"
    assert model.predict_rows([[-100.0], [10.3], [1e9]]) == [19.0, 214.0, 799.0]
    assert "A price from 19 to 799 USD in steps of 5; the same for the same seats" in (folder / "card.md").read_text()


def test_a_price_that_could_tell_who_asks_is_not_packaged(workspace: Workspace) -> None:
    with pytest.raises(InvalidInput, match="depends on 'visits', which is no field of the offer"):
        pack(workspace, fitted(["seats", "visits"]), name="fares")


def test_held_out_rows_cannot_tell_what_a_price_would_have_earned(workspace: Workspace) -> None:
    import pandas as pd

    earned = sw.MetricContract("revenue", value="score * label", min_rows=2)
    rows = pd.DataFrame({"seats": np.arange(40.0), "booked": np.arange(40) % 3})
    judged = sw.evaluate(fitted(["seats"]), rows, label="booked", metrics=["mae"], contract=earned)
    (figure,) = [one for one in judged.evaluation.metrics if one.metric == "revenue"]  # type: ignore[union-attr]
    assert math.isnan(figure.value)
    assert "the truth of held-out rows was seen at another one; an A/B test compares by it" in figure.note
    bundle = pack(workspace, judged, name="fares").bundle
    found = kpi_evidence(workspace, bundle, None, earned.terms())  # type: ignore[arg-type]  # nobody is asked
    assert (found["value"], found["low"]) == (None, None)
    assert "slipway abtest start --metric contract" in found["fix"]
    booked = sw.MetricContract("bookings", value="label", min_rows=2)
    judged = sw.evaluate(fitted(["seats"]), rows, label="booked", metrics=["mae"], contract=booked)
    (figure,) = [one for one in judged.evaluation.metrics if one.metric == "bookings"]  # type: ignore[union-attr]
    assert figure.value == pytest.approx(rows["booked"].mean()), "without the price in it, nothing stands against it"


def test_a_probability_is_no_price() -> None:
    import pandas as pd

    frame = pd.DataFrame({"seats": np.arange(40.0)})
    estimator = LogisticRegression().fit(frame, np.arange(40) > 20)
    with pytest.raises(InvalidDeclaration, match=r"A classification was given sw\.price"):
        sw.Model(estimator, sample=frame, decision=LIMITS)
