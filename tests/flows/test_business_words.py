"""The words of business pages, in every case that they tell apart: none needs machine learning to be understood."""

from datetime import UTC, datetime
from itertools import product
from typing import Any

from business_desk import FORBIDDEN
from slipway.flows import business_words as words
from slipway.flows.business_words import Given
from slipway.operations.business import Agreed, Expected, Figure, KpiLook, Trouble, Trust, Value
from slipway.records.contracts import StandingVerdict

AT = datetime(2013, 4, 1, tzinfo=UTC)
LOOK = KpiLook(at=AT, value=0.85, low=0.8, high=0.9, cases=900)


def own(said: tuple[str, ...]) -> str:
    return "".join("X" if isinstance(part, Given) else part for part in said)


def clean(*said: tuple[str, ...]) -> None:
    for one in said:
        assert FORBIDDEN.findall(own(one)) == [], one


def test_figures() -> None:
    verdicts: tuple[StandingVerdict | None, ...] = (None, "confirmed", "refuted", "undecided", "cannot tell")
    states: tuple[Any, ...] = ("signed", "void", "drafted")
    for state, verdict, limit, better, found in product(
        states, verdicts, (None, 0.9), ("higher", "lower"), (None, -0.1, 0.2)
    ):
        figure = Figure(
            name="auc", formula="price * label + score * decision", unit="USD", better=better,  # type: ignore[arg-type]
            agreed=Agreed(state=state, owner="business owner", by="dan", on=AT, limit=limit, guard=0.1), before=1.0,
            looks=(LOOK,), is_worse=limit is None,
            expected=Expected(effect=0.1, by="2013-05-01", verdict=verdict, found=found, low=found, high=found, at=AT),
        )  # fmt: skip
        told = words.expected(figure)
        assert told is not None
        clean(
            words.what_it_is(figure), words.measured(figure), words.agreed(figure), told.said, (told.title, told.word)
        )
        clean((words.standing(figure)[0],))
    bare = Figure(name="cost", costs={"false_positive": 10.0, "false_negative": 60.0}, unit="USD", better="lower")
    assert own(words.what_it_is(bare)).startswith(
        "What its answers cost, a case: a wrong yes costs 10, a wrong no costs 60"
    )
    clean(words.measured(bare), words.agreed(bare), (words.standing(bare)[0],))


def test_incidents_of_every_kind() -> None:
    kinds = [*words.TROUBLES, "a kind that nobody knows"]
    for kind, worse, meanwhile, by in product(kinds, (None, 0.5), ("", "held", "worse"), ("", "mia")):
        for ended in (None, AT):
            one = Trouble(
                id="i", cause=kind, since=AT, ended_at=ended, owner="ml engineer", worse_by=worse, unit="USD",
                cases=9, meanwhile=meanwhile, ended_by=by, said="the AUC", figure="f1",  # type: ignore[arg-type]
            )  # fmt: skip
            clean(*words.trouble(one))


def test_trust_with_all_and_with_nothing() -> None:
    whole = Trust(
        accountable=("grace", "gov"), responsible=("mia",), approved_by="grace", approved_at=AT, approved_until=AT,
        approved_ahead=True, said="AUC", checked_at=AT, checks_a_day=3, watches=4, back_to=2, drilled_at=AT, drill_held=True,
        claims=9, shown=7, unjudged=1, judged_at=AT, repeated_at=AT, repeated_alike=True,
    )  # fmt: skip
    for found in (Trust(), whole):
        for one in words.trusted(found):
            clean(one.said, (one.title, one.word))
    assert [one.word for one in words.trusted(Trust())] == ["nobody", "nobody", "never", "no", "no"]
    assert [one.tone for one in words.trusted(whole)] == ["good", "good", "good", "good", "warn"]


def test_money() -> None:
    assert words.plain(words.money(1234567.8, "EUR")) == "1,234,568 EUR"
    assert words.plain(words.money(float("nan"), "EUR")) == "an unknown amount"
    assert words.amount(float("inf")) == "an unknown amount"
    assert words.amount(-0.0) == "0"
    measured = Value(amount=-3.0, low=-4.0, high=-2.0, unit="EUR", per="month", is_measured=True, cases=9, at=AT)
    clean(*words.values((measured, Value(amount=10.0, unit="EUR", by="business owner", at=AT))), *words.values(()))
