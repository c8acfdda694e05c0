"""The figures of a simulation, beside the same figures worked out by hand."""

import math
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest

from slipway.flows.simulation_figures import Reign, hindsight, months, reigns, worth
from slipway.records.endpoints import Served
from slipway.records.models import Decision
from slipway.records.rollouts import Rollout, RolloutSpec
from slipway.records.simulations import Figures, Month

START = datetime(2013, 4, 29, tzinfo=UTC)
DECISION = Decision(
    threshold=0.2, costs={"true_positive": 10.0, "false_positive": 10.0, "false_negative": 50.0}, unit="USD"
)


def frame(rows: list[tuple[int, float, int, float | None]]) -> pl.DataFrame:
    """Rows of hours since the start, score, version, label."""
    return pl.DataFrame(
        {
            "at": [START + timedelta(hours=row[0]) for row in rows],
            "score": [row[1] for row in rows],
            "version": [row[2] for row in rows],
            "label": [row[3] for row in rows],
        },
        schema={"at": pl.Datetime("us", "UTC"), "score": pl.Float64, "version": pl.Int64, "label": pl.Float64},
    )


ROWS = frame(
    [
        (0, 0.1, 1, 0.0), (1, 0.6, 1, 1.0), (24, 0.3, 1, 0.0), (25, 0.15, 2, 1.0), (26, 0.9, 2, None),
        (48, 0.8, 2, 1.0), (50, 0.05, 2, 0.0), (72, 0.4, 3, 1.0), (73, 0.4, 1, 0.0),
    ]
)  # fmt: skip
NEVER = np.array([0.1, 0.6, 0.3, 0.15, 0.9, 0.1, 0.5, 0.3, 0.3])
BLIND = np.array([0.1, 0.6, 0.3, 0.15, np.nan, 0.9, 0.05, 0.6, 0.1])


def by_hand(labels: list[float], scores: list[float]) -> Figures:
    pairs = [(y, p) for y, p in zip(labels, scores, strict=True)]
    wins = [1.0 if p > q else 0.5 if p == q else 0.0 for y, p in pairs if y == 1 for z, q in pairs if z == 0]
    price = {(1, True): 10.0, (0, True): 10.0, (1, False): 50.0, (0, False): 0.0}
    return Figures(
        log_loss=sum(-math.log(p if y else 1 - p) for y, p in pairs) / len(pairs),
        calibration=sum(p - y for y, p in pairs) / len(pairs),
        auc=sum(wins) / len(wins),
        cost=sum(price[int(y), p >= 0.2] for y, p in pairs),
    )


def close(one: Figures, other: Figures) -> bool:
    return msgspec.structs.astuple(one) == pytest.approx(msgspec.structs.astuple(other))


def test_each_month_is_scored_by_all_three_on_the_same_labelled_rows() -> None:
    (april, may), total = months(ROWS, {"never": NEVER, "blind": BLIND}, DECISION)
    assert (april.name, april.asked, april.labelled, april.rate, april.versions) == ("2013-04", 5, 4, 0.5, (1, 2))
    assert (may.name, may.asked, may.labelled, may.versions) == ("2013-05", 4, 4, (2, 3, 1))
    assert (total.name, total.asked, total.labelled, total.rate) == ("all", 9, 8, 0.5)
    assert list(april.figures) == ["never", "blind", "slipway"]
    assert close(april.figures["never"], by_hand([0, 1, 0, 1], [0.1, 0.6, 0.3, 0.15]))
    assert april.figures["never"] == april.figures["blind"] == april.figures["slipway"]
    assert close(may.figures["slipway"], by_hand([1, 0, 1, 0], [0.8, 0.05, 0.4, 0.4]))
    assert close(may.figures["never"], by_hand([1, 0, 1, 0], [0.1, 0.5, 0.3, 0.3]))
    assert close(may.figures["blind"], by_hand([1, 0, 1, 0], [0.9, 0.05, 0.6, 0.1]))
    labels = [0.0, 1, 0, 1, 1, 0, 1, 0]
    assert close(total.figures["blind"], by_hand(labels, [0.1, 0.6, 0.3, 0.15, 0.9, 0.05, 0.6, 0.1]))


def test_a_month_is_a_month_of_utc() -> None:
    rows = frame([(47, 0.5, 1, 1.0), (48, 0.5, 1, 0.0)])
    found, _ = months(rows, {"never": np.array([0.5, 0.5])}, DECISION)
    assert [(month.name, month.asked) for month in found] == [("2013-04", 1), ("2013-05", 1)]


def test_a_month_of_one_class_or_without_labels_says_what_it_can() -> None:
    found, total = months(frame([(0, 0.5, 1, 1.0), (50, 0.5, 1, None)]), {"never": np.array([0.5, 0.5])}, DECISION)
    assert math.isnan(found[0].figures["never"].auc)
    assert found[0].figures["never"].cost == 10
    assert (found[1].asked, found[1].labelled, math.isnan(found[1].rate)) == (1, 0, True)
    assert math.isnan(found[1].figures["slipway"].cost)
    again = msgspec.json.decode(msgspec.json.encode((*found, total)), type=list[Month])
    assert str(again) == str([*found, total]), "NaN comes back from the ledger as NaN"


def test_without_stated_costs_nothing_is_money() -> None:
    _, total = months(ROWS, {"never": NEVER}, Decision(threshold=0.5))
    assert math.isnan(total.figures["never"].cost)
    (found,) = worth(ROWS, {"never": NEVER}, Decision())
    assert math.isnan(found.cost)
    assert math.isnan(found.cost_high)
    assert not math.isnan(found.log_loss_high)


def test_worth_is_slipway_minus_the_other_with_days_as_blocks() -> None:
    never, blind = worth(ROWS, {"never": NEVER, "blind": BLIND}, DECISION)
    assert (never.other, blind.other) == ("never", "blind")
    # Costs a row: own [0, 10, 10, 50 | 10, 0 | 10, 10], never [0, 10, 10, 50 | 50, 10 | 10, 10].
    assert (never.cost, blind.cost) == (pytest.approx(-50), pytest.approx(10))
    daily = [0.0, 0.0, -50.0, 0.0]
    mean = sum(daily) / 8
    error = math.sqrt(sum(((s - mean * 2) / 2) ** 2 for s in daily) / 3 / 4)
    half = 3.182446 * error * 8
    assert (never.cost_low, never.cost_high) == (pytest.approx(-50 - half), pytest.approx(-50 + half))
    own, other = (
        by_hand([0, 1, 0, 1, 1, 0, 1, 0], [0.1, 0.6, 0.3, 0.15, 0.8, 0.05, 0.4, 0.4]),
        by_hand([0, 1, 0, 1, 1, 0, 1, 0], [0.1, 0.6, 0.3, 0.15, 0.1, 0.5, 0.3, 0.3]),
    )
    assert never.log_loss == pytest.approx(own.log_loss - other.log_loss)
    assert never.log_loss_low < never.log_loss < never.log_loss_high


def rollout(id: str, champion: int, challenger: int, state: str, hours: int | None) -> Rollout:
    return Rollout(
        id=id, project="p", name="e", created_at=START, parent_id="p/e", state=state,  # type: ignore[arg-type]
        champion=Served(model="m", number=champion, bundle="a"), challenger=Served(model="m", number=challenger, bundle="b"), spec=RolloutSpec(), since=START,
        ended_at=None if hours is None else START + timedelta(hours=hours),
    )  # fmt: skip


def test_a_reign_lasts_until_the_next_promotion() -> None:
    found = reigns(
        [
            rollout("c", 3, 5, "promoted", 90),
            rollout("b", 3, 4, "stopped", 60),
            rollout("a", 1, 3, "promoted", 24),
            rollout("d", 5, 6, "canary", None),
            rollout("e", 5, 7, "promoted", 900),
        ],
        START + timedelta(hours=200),
    )
    hours = [(one.at - START, one.until - START) for one in found]
    assert [(one.version, one.replaced) for one in found] == [(3, 1), (5, 3)]
    assert hours == [
        (timedelta(hours=24), timedelta(hours=90)),
        (timedelta(hours=90), timedelta(hours=200)),
    ]
    assert reigns([], START) == ()


REIGN = Reign(version=2, replaced=1, at=START, until=START + timedelta(days=40))


def days(count: int, promoted: float, replaced: float) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    rows = frame([(24 * day + hour, 0.5, 2, float((day + hour) % 2)) for day in range(count) for hour in range(6)])
    labels, better_day = rows["label"].to_numpy(), np.repeat([0.1, -0.1], 6 * ((count + 1) // 2))[: 6 * count]
    truth, away = labels * 0.2 + 0.4, labels - 0.5
    return rows, truth + away * (promoted + better_day), truth + away * replaced


@pytest.mark.parametrize(
    ("promoted", "replaced", "verdict"), [(0.3, 0.1, "better"), (0.1, 0.3, "worse"), (0.2, 0.2, "cannot tell")]
)
def test_a_promotion_is_judged_in_hindsight(promoted: float, replaced: float, verdict: str) -> None:
    rows, new, old = days(20, promoted, replaced)
    found = hindsight(rows, REIGN, new, old)
    assert (found.verdict, found.rows, found.version, found.replaced) == (verdict, 120, 2, 1)
    assert found.low <= found.log_loss <= found.high


def test_a_reign_of_one_day_or_without_labels_cannot_be_judged() -> None:
    rows, new, old = days(1, 0.3, 0.1)
    assert hindsight(rows, REIGN, new, old).verdict == "cannot tell"
    unlabelled = rows.with_columns(label=pl.lit(None, pl.Float64))
    found = hindsight(unlabelled, REIGN, new, old)
    assert (found.verdict, found.rows, math.isnan(found.log_loss)) == ("cannot tell", 0, True)
