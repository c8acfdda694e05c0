"""A KPI that is one sum over another: its figure, its interval, its best threshold, and a sentence where there is none."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.schema.metric_contract import MetricContract
from slipway.stats.intervals import mean_interval
from slipway.stats.kpi import (
    Reference,
    best_threshold,
    decided,
    kpi_figure,
    kpi_losses,
    kpi_terms,
    kpi_values,
    linear_beside,
    reference_of,
    untold,
)

SEATS = MetricContract(
    "revenue per seat",
    value="price * label",
    per="seats",
    unit="EUR",
    min_rows=2,
    between=(0, 300),
    per_between=(0, 300),
)
TERMS = SEATS.terms()


def flights(seed: int, n: int = 300, *, days: int = 0) -> pl.DataFrame:
    """What planes of many sizes sell: price and seats go together, and a day is good or bad as a whole."""
    random = np.random.default_rng(seed)
    day = np.arange(n) % days if days else np.zeros(n, dtype=int)
    mood = random.normal(0, 8, days or 1)[day] if days else 0.0
    seats = random.integers(20, 200, n).astype(float)
    price = np.clip(0.8 * seats + random.normal(0, 20, n) + mood, 0, 300)
    return pl.DataFrame({"price": price, "label": (random.random(n) < 0.6).astype(float), "seats": seats, "day": day})


def test_the_figure_is_all_revenue_over_all_seats_with_the_textbook_interval() -> None:
    frame = flights(1)
    found = kpi_figure(kpi_values(frame, TERMS), TERMS)
    above, below = (frame["price"] * frame["label"]).to_numpy(), frame["seats"].to_numpy()
    ratio, n = above.sum() / below.sum(), above.size
    (of_above, both), (_, of_below) = np.cov(above, below)
    deviation = math.sqrt((of_above - 2 * ratio * both + ratio**2 * of_below) / n) / below.mean()
    assert found.value == pytest.approx(ratio, rel=1e-12)
    assert (found.high - found.value) / 1.959964 == pytest.approx(deviation, rel=1e-6)
    left_out = (above.sum() - above) / (below.sum() - below)  # and the jackknife, which knows no formula
    jackknife = math.sqrt((n - 1) / n * float(((left_out - left_out.mean()) ** 2).sum()))
    assert deviation == pytest.approx(jackknife, rel=0.01)


def test_by_days_it_is_the_interval_of_whole_days() -> None:
    frame = flights(2, 400, days=20)
    found = kpi_figure(kpi_values(frame, TERMS), TERMS, frame["day"].to_numpy())
    days = frame.group_by("day").agg(above=(pl.col("price") * pl.col("label")).sum(), below=pl.col("seats").sum())
    ratio = days["above"].sum() / days["below"].sum()
    away = (days["above"] - ratio * days["below"]).to_numpy()
    deviation = math.sqrt(20 / 19 * float(away @ away)) / days["below"].sum()
    assert found.value == pytest.approx(ratio, rel=1e-12)
    assert found.high - found.value == pytest.approx(2.093024 * deviation, rel=1e-5)


@pytest.mark.parametrize("days", [0, 20])
def test_intervals_hold_as_often_as_they_say(days: int) -> None:
    """The truth: 0.6 * (0.8 + what clipping adds) a seat, by two million rows."""
    many = flights(10_000, 2_000_000)
    truth = float((many["price"] * many["label"]).sum()) / float(many["seats"].sum())
    held = 0
    for seed in range(500):
        frame = flights(seed, 300, days=days)
        found = kpi_figure(kpi_values(frame, TERMS), TERMS, frame["day"].to_numpy() if days else None)
        held += found.low <= truth <= found.high
    assert 0.925 <= held / 500 <= 0.975


def test_of_two_models_on_the_same_rows_the_difference_has_its_own_interval() -> None:
    held, by_itself = 0, 0
    for seed in range(300):
        frame = flights(seed)
        other = frame.with_columns(price=pl.col("price") + 2.0)
        one, two = (kpi_terms(kpi_values(each, TERMS), TERMS) for each in (other, frame))
        found = mean_interval(one - two)
        sold = frame["label"].sum() * 2.0 / frame["seats"].sum()
        assert found.value == pytest.approx(sold, rel=1e-9)
        held += found.low <= 2 * 0.6 / 109.5 <= found.high
        by_itself += found.high - found.low < kpi_figure(kpi_values(frame, TERMS), TERMS).high - found.value
    assert 0.91 <= held / 300 <= 0.985
    assert by_itself == 300, "what both have in common is not in it"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seats": [0.0, 0.0, 0.0]}, "seats of all 3 predictions comes to 0, by which nothing can be divided"),
        ({"seats": [-1.0, 2.0, 3.0]}, "1 of 3 predictions have seats less than 0 or more than 300"),
        ({"seats": [math.inf, 2.0, 3.0]}, "seats divides by zero there, or has a value that is no number"),
        ({"price": [math.nan, 2.0, 3.0]}, "price * label divides by zero there"),
        ({"price": [500.0, 1.0, 1.0]}, "1 of 3 predictions yield less than 0 or more than 300"),
        ({"seats": [None, None, 2.0]}, "1 predictions with a known value are too few; 2 are needed"),
        ({"seats": [300.0, 0.0, 0.0]}, "too unsure to divide by"),
    ],
)
def test_what_cannot_be_divided_says_why(change: dict[str, Any], why: str) -> None:
    rows = {"price": [10.0, 20.0, 30.0], "label": [1.0, 1.0, 0.0], "seats": [1.0, 2.0, 3.0], **change}
    found = kpi_figure(kpi_values(pl.DataFrame(rows, strict=False), TERMS), TERMS)
    assert math.isnan(found.value)
    assert why in found.note


def test_a_row_that_counts_for_nothing_is_no_division_by_zero() -> None:
    rows = flights(3).with_columns(seats=pl.when(pl.int_range(pl.len()) % 5 == 0).then(0.0).otherwise("seats"))
    found = kpi_figure(kpi_values(rows, TERMS), TERMS)
    assert found.value == pytest.approx((rows["price"] * rows["label"]).sum() / rows["seats"].sum())


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_the_best_of_all_ratios(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = 60
    frame = pl.DataFrame({"amount": random.gamma(2, 50, n)})
    scores, labels = np.round(random.random(n), 1), random.integers(0, 2, n)
    contract = MetricContract(
        "cost per parcel", value="amount if decision else 20", per="1 if decision and label == 1 else 0.2",
        better=random.choice(["higher", "lower"]), min_rows=2,
    )  # fmt: skip
    terms = contract.terms()
    at, value, known = best_threshold(decided(frame, scores, labels, None), terms)
    pick = max if terms.better == "higher" else min
    every = [
        kpi_figure(kpi_values(decided(frame, scores, labels, cut), terms), terms).value
        for cut in [*np.unique(scores), 1.1]
    ]
    assert value == pytest.approx(pick(every))
    assert kpi_figure(kpi_values(decided(frame, scores, labels, at), terms), terms).value == pytest.approx(value)
    assert known == n


def test_a_threshold_that_decides_nothing_has_no_ratio() -> None:
    terms = MetricContract("earned", value="amount * decision", per="decision", min_rows=2).terms()
    frame = pl.DataFrame({"amount": [1.0, 5.0, 3.0]})
    at, value, _ = best_threshold(decided(frame, [0.1, 0.9, 0.5], [1, 1, 1], None), terms)
    assert (at, value) == (0.9, 5.0), "where nobody is decided yes, 0 is divided by 0"
    none = MetricContract("earned", value="amount * decision", per="0 * decision", min_rows=2).terms()
    with pytest.raises(InvalidInput, match="comes to 0 at each"):
        best_threshold(decided(frame, [0.1, 0.9, 0.5], [1, 1, 1], None), none)


def test_beside_a_fixed_ratio_each_row_has_one_number() -> None:
    frame = flights(4)
    values = kpi_values(frame, TERMS)
    own = reference_of(values, TERMS)
    assert float(linear_beside(values, own).mean()) == pytest.approx(own.ratio, rel=1e-12)  # type: ignore[arg-type]
    cheaper = kpi_values(frame.with_columns(price=pl.col("price") * 0.9), TERMS)
    fall = own.ratio - float(linear_beside(cheaper, own).mean())  # type: ignore[arg-type]
    assert fall == pytest.approx(0.1 * own.ratio, rel=1e-9)
    for ratio in (0.0, own.ratio, 2.0):  # whatever the fixed ratio: the same seats below the line
        beside = Reference(ratio=ratio, per=own.per)
        (lost, margin), (more, _) = kpi_losses(values, TERMS, beside), kpi_losses(cheaper, TERMS, beside)
        assert margin == 0.0
        assert lost.min() >= 0.0  # type: ignore[operator]
        assert more.max() <= 1.0  # type: ignore[operator]
        width = 300 + 300 * ratio
        assert float((more - lost).mean()) * width == pytest.approx(0.1 * own.ratio * own.per, rel=1e-9)  # type: ignore[arg-type]


def test_the_guard_band_of_a_ratio_is_one_of_its_rows() -> None:
    terms = MetricContract(**{**_plain(), "guard": 0.1}).terms()
    _, margin = kpi_losses(kpi_values(flights(5), terms), terms, Reference(ratio=0.5, per=110.0))
    assert margin == pytest.approx(0.1 * 110 / (300 + 150))
    assert terms.most_share == pytest.approx(0.1)
    unbounded = MetricContract(**{**_plain(), "per_between": None}).terms()
    values = kpi_values(flights(5), unbounded)
    with pytest.raises(InvalidInput, match="per_between"):
        kpi_losses(values, unbounded, Reference(ratio=0.5, per=110.0))


def _plain() -> dict[str, Any]:
    return {
        "kpi": "revenue per seat",
        "value": "price * label",
        "per": "seats",
        "between": (0, 300),
        "per_between": (0, 300),
    }


@pytest.mark.parametrize(
    "given", [{"per": 3}, {"per": "open('x')"}, {"per_between": (-1, 3)}, {"per_between": (3, 1)}, {"per": "", "per_between": (0, 1)}]
)  # fmt: skip
def test_a_ratio_that_cannot_work_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeclaration):
        MetricContract(**{**_plain(), **given})


def test_the_terms_name_the_columns_of_both_and_the_digest_knows_them() -> None:
    assert TERMS.columns == ("price", "label", "seats")
    plain = {name: value for name, value in _plain().items() if not name.startswith("per")}
    digests = {MetricContract(**{**plain, **more}).terms().digest for more in ({}, {"per": "seats"}, {"per": "label"})}
    assert len(digests) == 3
    assert untold(kpi_values(flights(6), TERMS), TERMS, least_rows=0) == ""
