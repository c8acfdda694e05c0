"""`sw.MetricContract` and `sw.Hypothesis`: which business figure a model is for, and what it is expected to do to it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from slipway.errors import InvalidDeclaration, InvalidInput, near
from slipway.records.contracts import ContractTerms, HypothesisTerms
from slipway.records.endpoints import MonitorSpec
from slipway.schema.durations import microseconds
from slipway.schema.formulas import columns_of, formula_of

__all__ = ["OWN_COLUMNS", "Hypothesis", "MetricContract"]

OWN_COLUMNS = ("score", "decision", "label")
"""The names in a formula that are no columns: the prediction's own."""

_OUTCOMES = ("true_positive", "false_positive", "true_negative", "false_negative")
_NAME = re.compile(r"[a-z0-9][a-z0-9 _-]{0,79}")
_WEEK_US = 7 * 86_400_000_000
# Those that have an interval by days, as `slipway.stats` knows them; a test holds the two together.
METRICS = ("accuracy", "auc", "bias", "brier", "log_loss", "mae", "r2", "rmse")


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a model is expected to do to the KPI of its contract, by when, and who says so.

    Args:
        effect: By how much the KPI gets better at least, in its unit: always above 0, also where lower is better.
        by: By which day: "2026-12-31". Then its author is told what came of it.
        author: Who says so, by name.

    Raises:
        InvalidDeclaration: An effect that is none, or no day.

    Example:
        >>> Hypothesis(effect=0.05, by="2026-12-31", author="dan").terms().by
        '2026-12-31'
    """

    effect: float
    by: str
    author: str = ""

    def __post_init__(self) -> None:
        if not _is_number(self.effect) or self.effect <= 0:
            raise InvalidDeclaration(
                f"{self.effect!r} is no effect of a hypothesis.",
                why="It says by how much the KPI gets better at least.",
                fix="Give a number above 0, in the KPI's unit.",
            )
        try:
            date.fromisoformat(self.by)
        except (TypeError, ValueError) as problem:
            raise InvalidDeclaration(f"{self.by!r} is no day.", fix="Write it as '2026-12-31'.") from problem

    def terms(self) -> HypothesisTerms:
        """The hypothesis as data."""
        return HypothesisTerms(effect=float(self.effect), by=self.by, author=self.author)


@dataclass(frozen=True, slots=True)
class MetricContract:
    """The business figure that a model is for, the metric that stands for it, and who answers for both.

    One declaration is the figure of `sw.evaluate(..., contract=)`, the aim of `sw.search(metric=)`, what
    `sw.tuned_threshold` maximises, a check of a gate (`sw.Gate(contract, ...)`), a monitor (`monitors=[contract]`), the
    guardrail of a roll-out (`sw.Canary(kpi=contract)`), and the metric of an A/B test.

    Args:
        kpi: What the business calls it, in lower case: "revenue per seat".
        value: What one prediction yields: a formula over `score`, `decision`, `label`, fields of the request and columns of
            `table`, as a text or as a function whose arguments are these names. The KPI is its mean over predictions.
        per: What one prediction counts for, a formula of the same kind. Then the KPI is one sum over another, all of
            `value` over all of `per`: "seats", "1 if delivered else 0".
        costs: Instead of `value`, what each outcome of a decision costs; then lower is better.
        unit: Of the figure: "EUR a seat".
        better: "higher" or "lower".
        guard: By how much it may be worse than before, in its unit, before anybody is alarmed or a roll-out stopped.
        between: What one prediction yields at least and at most. A roll-out needs it, to be sure with few labels.
        per_between: The same of `per`, which is never below 0.
        limit: A KPI worse than this is never good enough.
        owner: The person, or the role, that signs the contract and answers for it.
        delay: How long it takes until labels and business figures are known: "2d".
        window: How much business time is judged together, a week at least.
        min_rows: Fewer predictions with a known value do not tell.
        table: The declared table with the business columns, or its name.
        key: How a row of it is found: its columns, or its columns with the request's fields; the table's own key if empty.
        metric: The model's metric that stands for the KPI: "log_loss".
        threshold: From which score on the decision is "yes", where the contract fixes it.
        hypothesis: What is expected of the model.

    Raises:
        InvalidDeclaration: Something of it cannot work; the sentence says which.

    Example:
        >>> revenue = MetricContract("revenue per seat", value="price * label / seats", unit="EUR", metric="log_loss")
        >>> revenue.terms().columns
        ('price', 'label', 'seats')
    """

    kpi: str
    value: str | Callable[..., Any] = ""
    per: str | Callable[..., Any] = ""
    costs: Mapping[str, float] | None = None
    unit: str = ""
    better: Literal["higher", "lower", ""] = ""
    guard: float = 0.0
    between: tuple[float, float] | None = None
    per_between: tuple[float, float] | None = None
    limit: float | None = None
    owner: str = "business owner"
    delay: str = "1d"
    window: str = "28d"
    min_rows: int = 200
    table: Any = None
    key: str | Sequence[str] | Mapping[str, str] = ()
    metric: str = ""
    threshold: float | None = None
    hypothesis: Hypothesis | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kpi, str) or not _NAME.fullmatch(self.kpi):
            raise InvalidDeclaration(
                f"{self.kpi!r} is no name of a KPI.",
                why="It becomes part of an address: lower-case letters, digits, blanks, - and _.",
                fix="For example sw.MetricContract('revenue per seat', ...).",
            )
        if (self.value == "") == (self.costs is None):
            raise self._unfit(
                "a value and costs" if self.costs is not None else "no value and no costs",
                "Say what one prediction yields, value='price * label / seats', or what errors cost, costs={...}.",
            )
        if self.better not in ("", "higher", "lower") or (self.costs is not None and self.better == "higher"):
            raise self._unfit(f"better={self.better!r}", "Say 'higher' or 'lower'; of costs the lower are better.")
        self._check_numbers()
        if self.metric and self.metric not in METRICS:
            raise self._unfit(f"the metric {self.metric!r}", near(self.metric, METRICS, what="metrics"))
        if not isinstance(self.owner, str) or not self.owner.strip():
            raise self._unfit(f"{self.owner!r} as its owner", "Name a person or a role: owner='business owner'.")
        if self.table is None and self.key:
            raise self._unfit("a key without a table", "Name the table of the business columns: table=sales.")
        if self.hypothesis is not None and not isinstance(self.hypothesis, Hypothesis):
            raise self._unfit(
                f"{self.hypothesis!r} as its hypothesis", "Give sw.Hypothesis(effect=..., by='2026-12-31')."
            )
        self.terms()

    def _check_numbers(self) -> None:
        if not _is_number(self.guard) or self.guard < 0:
            raise self._unfit(f"the guard band {self.guard!r}", "Give a number from 0 on, in the KPI's unit.")
        for what, given in (("limit", self.limit), ("threshold", self.threshold)):
            if given is not None and not _is_number(given):
                raise self._unfit(f"the {what} {given!r}", "Give a number, or leave it out.")
        for what, bounds in (("between", self.between), ("per_between", self.per_between)):
            fits = bounds is None or (
                isinstance(bounds, tuple | list)
                and len(bounds) == 2
                and all(map(_is_number, bounds))
                and bounds[0] < bounds[1]
            )
            if not fits:
                raise self._unfit(
                    f"{what}={bounds!r}", "Give the least and the most that one prediction yields: (0, 500)."
                )
        if self.per_between is not None and (self.per == "" or self.per_between[0] < 0):
            raise self._unfit(
                f"per_between={self.per_between!r}", "It goes with per='seats', and what is counted is never below 0."
            )
        if isinstance(self.min_rows, bool) or not isinstance(self.min_rows, int) or self.min_rows < 2:
            raise self._unfit(f"min_rows={self.min_rows!r}", "Give a whole number from 2 on.")
        microseconds(self.delay, "delay of a contract")
        if microseconds(self.window, "window of a contract") < _WEEK_US:
            raise self._unfit(f"the window {self.window!r}", "Give a week at least, for it is judged by days: '28d'.")

    @property
    def name(self) -> str:
        """The KPI's name."""
        return self.kpi

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Which way a search goes."""
        return "maximize" if self.terms().better == "higher" else "minimize"

    def terms(self) -> ContractTerms:
        """The contract as data: what is signed, and what each place that uses it holds."""
        formula = formula_of(self.value) if self.costs is None else _of_costs(self.costs, self.kpi)
        per = "" if self.per == "" else formula_of(self.per)
        bounds = self.between
        if self.costs is not None and bounds is None:
            each = [float(self.costs.get(name, 0.0)) for name in _OUTCOMES]
            bounds = (min(each), max(each)) if min(each) < max(each) else None
        return ContractTerms(
            kpi=self.kpi,
            formula=formula,
            columns=tuple(dict.fromkeys([*columns_of(formula), *(columns_of(per) if per else ())])),
            per=per,
            costs={} if self.costs is None else {name: float(cost) for name, cost in self.costs.items()},
            unit=self.unit,
            better="lower" if self.costs is not None else self.better or "higher",
            guard=float(self.guard),
            least=None if bounds is None else float(bounds[0]),
            most=None if bounds is None else float(bounds[1]),
            per_least=None if self.per_between is None else float(self.per_between[0]),
            per_most=None if self.per_between is None else float(self.per_between[1]),
            limit=None if self.limit is None else float(self.limit),
            owner=self.owner,
            delay_us=microseconds(self.delay),
            window_us=microseconds(self.window),
            min_rows=self.min_rows,
            table=_name_of(self.table),
            key=self._pairs(),
            metric=self.metric,
            threshold=None if self.threshold is None else float(self.threshold),
            hypothesis=None if self.hypothesis is None else self.hypothesis.terms(),
        )

    def spec(self) -> MonitorSpec:
        """The contract as a monitor."""
        terms = self.terms()
        return MonitorSpec(
            kind="kpi",
            name=self.kpi,
            metric="contract",
            label_delay_us=terms.delay_us,
            limit=terms.limit,
            window_us=terms.window_us,
            contract=terms,
        )

    def _pairs(self) -> tuple[tuple[str, str], ...]:
        if self.table is None:
            return ()
        given = self.key or getattr(self.table, "key", ())
        if isinstance(given, Mapping):
            pairs = tuple((str(one), str(other)) for one, other in given.items())
        else:
            pairs = tuple((one, one) for one in ((given,) if isinstance(given, str) else tuple(given)))
        if not pairs:
            raise self._unfit(
                f"the table {_name_of(self.table)!r} without a key",
                "Say how its row is found: key='flight_id', or key={'flight': 'flight_id'} where the names differ.",
            )
        return pairs

    def _unfit(self, given: str, fix: str) -> InvalidDeclaration:
        return InvalidDeclaration(f"The contract on {self.kpi!r} was given {given}.", fix=fix)


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)


def _name_of(table: object) -> str:
    found = table if isinstance(table, str) else "" if table is None else getattr(table, "name", "")
    if not isinstance(found, str) or (table is not None and not found):
        raise InvalidDeclaration(f"{table!r} is no table.", fix="Give a function under @sw.table, or its name.")
    return found


def _of_costs(costs: Mapping[str, float], kpi: str) -> str:
    """A cost matrix as a formula."""
    for name, cost in costs.items():
        if name not in _OUTCOMES:
            raise InvalidDeclaration(f"There is no outcome {name!r}.", fix=near(str(name), _OUTCOMES, what="outcomes"))
        if not _is_number(cost):
            raise InvalidDeclaration(f"The cost of {name} in {kpi!r} is {cost!r}.", fix="Give a number.")
    true_yes, false_yes, true_no, false_no = (float(costs.get(name, 0.0)) for name in _OUTCOMES)
    try:
        return formula_of(
            f"(({true_yes!r} if label == 1 else {false_yes!r}) if decision else ({false_no!r} if label == 1 else {true_no!r}))"
        )
    except InvalidInput as problem:
        raise InvalidDeclaration(problem.what) from problem
