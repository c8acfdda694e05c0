"""What a simulation comes to in words: fair whichever way it went."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipway.flows.simulation_words import assumption, fingerprint_of, sentence
from slipway.records.loop import Action
from slipway.records.models import Decision
from slipway.records.simulations import Figures, Month, Worth

NOW = datetime(2013, 4, 1, tzinfo=UTC)


def month(cost: float, labelled: int = 1000) -> Month:
    figures = Figures(log_loss=0.5, calibration=0.0, auc=0.7, cost=cost)
    return Month(name="all", asked=labelled, labelled=labelled, rate=0.2, figures={"never": figures, "blind": figures})


def against(other: str, cost: float, low: float, high: float, loss: tuple[float, float, float] = (0, -1, 1)) -> Worth:
    return Worth(
        other=other, cost=cost, cost_low=low, cost_high=high,
        log_loss=loss[0], log_loss_low=loss[1], log_loss_high=loss[2],
    )  # fmt: skip


def told(*worth: Worth, months: int = 9, unit: str = "USD", cost: float = 2_000_000.0) -> str:
    return sentence(month(cost), worth, months=months, unit=unit)


def test_a_gain_is_told_with_its_interval_and_what_it_is_a_share_of() -> None:
    assert told(against("never", -69_660, -99_000, -40_000), against("blind", -5_000, -9_000, -1_000)) == (
        "Retraining with gates, shadow and canary was worth 69,660 USD over nine months against never retraining "
        "(3.5 % of the cost of errors, 95 % interval 40,000 to 99,000 USD). "
        "Against a blind monthly retraining it was worth 5,000 USD (0.2 % of the cost of errors, 95 % interval 1,000 to "
        "9,000 USD)."
    )


def test_a_loss_is_told_as_plainly() -> None:
    assert told(against("never", 30_000, 10_000, 50_000), against("blind", 7_000, 2_000, 12_000)) == (
        "Retraining with gates, shadow and canary cost 30,000 USD more over nine months than never retraining would "
        "have (1.5 % of the cost of errors, 95 % interval 10,000 to 50,000 USD). "
        "A blind monthly retraining would have cost 7,000 USD less (0.4 % of the cost of errors, 95 % interval 2,000 to "
        "12,000 USD)."
    )


def test_what_cannot_be_told_is_no_gain_and_its_worst_is_said() -> None:
    found = told(against("never", -8_000, -20_000, 4_000), against("blind", 8_590, -2_601, 19_781))
    assert found == (
        "Over nine months, retraining with gates, shadow and canary cannot be told from never retraining by its cost: "
        "it cost 8,000 USD less (95 % interval: 20,000 less to 4,000 more), so at worst it was dearer by 4,000 USD or "
        "0.2 % of the cost of errors. "
        "It cannot be told from a blind monthly retraining by its cost: it cost 8,590 USD more (95 % interval: 2,601 "
        "less to 19,781 more), so at worst it was dearer by 19,781 USD or 1.0 % of the cost of errors."
    )


def test_money_and_scores_that_disagree_are_both_told() -> None:
    cheaper = told(against("never", -9_000, -10_000, -8_000, (0.01, 0.005, 0.015)))
    assert cheaper.endswith("Its scores were worse, though: their log loss was higher by 0.0100.")
    dearer = told(against("never", 9_000, 8_000, 10_000, (-0.01, -0.015, -0.005)))
    assert dearer.endswith("Its scores were better, though: their log loss was lower by 0.0100.")
    assert "though" not in told(against("never", -9_000, -10_000, -8_000, (-0.01, -0.015, -0.005)))


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ((-0.0123, -0.02, -0.01), "over nine months lowered the log loss by 0.0123 against never retraining"),
        ((0.0123, 0.01, 0.02), "over nine months raised the log loss by 0.0123 against never retraining"),
        ((0.0123, -0.01, 0.02), "over nine months cannot be told from never retraining by its log loss"),
    ],
)
def test_without_costs_the_log_loss_speaks(loss: tuple[float, float, float], words: str) -> None:
    assert words in told(against("never", math.nan, math.nan, math.nan, loss), unit="")


def test_one_day_or_no_label_tells_nothing() -> None:
    one_day = told(against("never", -30, math.nan, math.nan), months=1)
    assert one_day.startswith("Over one month, against never retraining, it cost 30 USD less, which so few days")
    assert sentence(month(0.0, labelled=0), (), months=1, unit="USD").endswith("no label came in the period.")


def test_the_cost_matrix_is_called_an_assumption() -> None:
    costs = {"true_positive": 10.0, "false_positive": 10.0, "false_negative": 50.0}
    found = assumption(Decision(threshold=0.2, costs=costs, unit="USD"))
    assert found.startswith("Assumed, not measured: a false negative costs 50 USD, a false positive costs 10 USD")
    assert "a true negative costs 0 USD; a score from 0.2 on counts as a yes" in found
    assert assumption(Decision()) == "No costs are stated, so nothing here is money."


def action(**changed: Any) -> Action:
    whole = {
        "id": "a", "project": "p", "name": "retrain", "created_at": NOW, "parent_id": "p/e", "number": 1,
        "sentence": "Due.", "evidence": {"x": 1.5},
    }  # fmt: skip
    return Action(**{**whole, **changed})


def test_a_fingerprint_is_of_what_was_done_and_not_of_its_ids() -> None:
    one = fingerprint_of([action(), action(name="shadow", number=2)])
    assert one == fingerprint_of([action(id="other", number=7), action(id="z", name="shadow", number=9)])
    for changed in (
        {"name": "hold"}, {"sentence": "Not due."}, {"evidence": {"x": 2.5}}, {"created_at": NOW + timedelta(hours=1)},
    ):  # fmt: skip
        assert one != fingerprint_of([action(**changed), action(name="shadow", number=2)])
    assert one != fingerprint_of([action(name="shadow"), action()])
