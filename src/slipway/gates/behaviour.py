"""The checks of how a model behaves and of what stands behind it, as a person writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn

from slipway.errors import InvalidDeclaration, near
from slipway.gates.declare import Check
from slipway.gates.numbers import finite
from slipway.records.gates import LEAKS_FROM, CheckSpec
from slipway.records.models import DOCUMENTS

__all__ = [
    "Kpi",
    "data_checks",
    "documented",
    "fair",
    "invariant",
    "kpi",
    "monotonic",
    "no_leakage",
    "real_data",
    "robust",
]


@dataclass(frozen=True, slots=True, eq=False)
class Kpi:
    """What decisions are expected to cost or gain, to be compared: `sw.kpi("cost of delays") <= 2.5`.

    Args:
        name: As the endpoint's monitor calls it: `sw.KPI("cost of delays")`.
    """

    name: str

    def __ge__(self, limit: float) -> Check:
        """The mean gain of a decision, which is its negative cost, is at least the limit."""
        finite(limit, "limit")
        return Check(CheckSpec(kind="kpi", metric=self.name, op=">=", limit=float(limit)))

    def __le__(self, limit: float) -> Check:
        """The mean cost of a decision is at most the limit."""
        finite(limit, "limit")
        return Check(CheckSpec(kind="kpi", metric=self.name, op="<=", limit=float(limit)))

    def __gt__(self, limit: object) -> NoReturn:
        """Refused: an interval has no sharp edge."""
        self._refuse()

    def __lt__(self, limit: object) -> NoReturn:
        """Refused: an interval has no sharp edge."""
        self._refuse()

    def __bool__(self) -> NoReturn:
        """Refused: a KPI alone says nothing."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InvalidDeclaration(
            f"sw.kpi({self.name!r}) is neither compared with >= nor with <=.",
            why="A gate expects a mean cost of at most, or a mean gain of at least, a number.",
            fix=f"For example sw.kpi({self.name!r}) <= 2.5.",
        )


def fair(metric: str, *, by: str, margin: float, least: int = 1) -> Check:
    """A figure is nearly the same in all groups of a column, shown and not assumed.

    It refuses where two groups are shown to be further apart than the margin (by intervals that hold for all pairs
    together), passes where every pair is shown to be within it, and cannot tell otherwise: what is not known of a small
    group is not taken for fair.

    Args:
        metric: "selection_rate" (demographic parity), "true_positive_rate" (equal opportunity), "false_positive_rate"
            (with it, equalised odds), "cost", or a metric of `sw.evaluate`.
        by: The column of the groups; it need not be an input.
        margin: How far apart is tolerated, in the metric's own unit.
        least: Groups of fewer rows are named and not judged; 1 judges every group.

    Raises:
        InvalidDeclaration: The metric or column is no name, the margin is negative, or `least` is no count.

    Source: M. Hardt et al., Equality of Opportunity in Supervised Learning, 2016. Intervals of differences: G. Zou and A.
        Donner, Statistics in Medicine 27, 2008 (of two shares by Wilson: R. Newcombe, Statistics in Medicine 17, 1998).
        One pair's excess counts after C. Bonferroni's correction for all pairs; that every pair is within the margin needs
        none: R. Berger, Technometrics 24, 1982.
    """
    _name(metric, "metric", "sw.fair('selection_rate', by='sex', margin=0.05)")
    _name(by, "column", "sw.fair('selection_rate', by='sex', margin=0.05)")
    finite(margin, "margin", least=0.0)
    if isinstance(least, bool) or not isinstance(least, int) or least < 1:
        raise InvalidDeclaration(f"{least!r} is no number of rows.", fix="For example sw.fair(..., least=50).")
    return Check(CheckSpec(kind="fair", metric=metric, slice=by, margin=float(margin), count=least))


def robust(missing: float = 0.1, noise: float = 0.1, *, drop: float, metric: str = "") -> Check:
    """The model stands dirty input: its figure hardly falls, and it answers every row with a number.

    The evaluated rows are asked again with values missing, with noise, and with values far out of range or never seen.
    A raised error or an answer that is no number refuses; inputs that may not be missing are refused to callers, so that
    they are not taken away here.

    Args:
        missing: The share of values that go missing, each by itself.
        noise: In standard deviations of a column; of texts and booleans, that share is exchanged for others.
        drop: How far the figure may fall, shown by a paired interval.
        metric: Of which figure; "" for the AUC of a classifier and the explained share (r2) of a regression.

    Raises:
        InvalidDeclaration: A share or amount does not fit.
    """
    finite(missing, "share of missing values", least=0.0)
    finite(noise, "noise", least=0.0)
    finite(drop, "drop", least=0.0)
    if missing > 1:
        raise InvalidDeclaration(f"{missing!r} is no share of values.", fix="For example sw.robust(0.1, drop=0.02).")
    amounts = (float(missing), float(noise))
    return Check(CheckSpec(kind="robust", metric=metric, margin=float(drop), amounts=amounts))


def invariant(column: str, *, tolerance: float = 0.01, share: float = 0.0) -> Check:
    """The answer does not depend on an input: each evaluated row is asked with the column's other values.

    Args:
        column: The input.
        tolerance: A change of the answer of at most so much is none.
        share: The greatest share of rows whose answer may change.

    Raises:
        InvalidDeclaration: The column is no name, or a number does not fit.

    Source: M. Ribeiro et al., Beyond Accuracy: Behavioral Testing of NLP Models with CheckList, ACL 2020.
    """
    _name(column, "column", "sw.invariant('sex')")
    return Check(CheckSpec(kind="invariant", column=column, margin=_least(tolerance, "tolerance"), limit=_share(share)))


def monotonic(
    column: str, direction: Literal["increasing", "decreasing"], *, tolerance: float = 0.0, share: float = 0.0
) -> Check:
    """The answer moves one way with an input: each evaluated row is asked with the column's values from low to high.

    Args:
        column: The input, a number.
        direction: "increasing" where the answer may not fall as the input grows, "decreasing" where it may not rise.
        tolerance: A step back of at most so much is none.
        share: The greatest share of rows that may have one.

    Raises:
        InvalidDeclaration: The column is no name, the direction is another word, or a number does not fit.
    """
    _name(column, "column", "sw.monotonic('income', 'decreasing')")
    if direction not in ("increasing", "decreasing"):
        raise InvalidDeclaration(
            f"{direction!r} is no direction.", fix=near(str(direction), ("increasing", "decreasing"), what="directions")
        )
    op: Literal[">=", "<="] = ">=" if direction == "increasing" else "<="
    tolerated = _least(tolerance, "tolerance")
    return Check(CheckSpec(kind="monotonic", column=column, op=op, margin=tolerated, limit=_share(share)))


def no_leakage(alone: float = LEAKS_FROM) -> Check:
    """Nothing told the model what it will not be told in production; each finding names the column.

    Looked for are the label among the inputs, an input that alone predicts it too well, an input that is known only after
    the decision, and evaluated rows that the model was trained on.

    Args:
        alone: How well one input alone may predict the label: as an AUC, of a regression as a rank correlation.

    Raises:
        InvalidDeclaration: It is not between one half and 1.
    """
    finite(alone, "limit", least=0.5)
    if alone > 1:
        raise InvalidDeclaration(f"{alone!r} is no AUC.", fix="For example sw.no_leakage(0.95).")
    return Check(CheckSpec(kind="no_leakage", limit=float(alone)))


def data_checks() -> Check:
    """Every table's version that the model was trained on passed all checks that its table declares, and there are some."""
    return Check(CheckSpec(kind="data_checks"))


def real_data() -> Check:
    """No table that the model learned from is simulated: none of them, and nothing that they were made of, says so."""
    return Check(CheckSpec(kind="real_data"))


def documented(*fields: str) -> Check:
    """What a reader must know of the model is written down: by evidence, or by people.

    Args:
        *fields: Which; left out, all of them. People write: purpose, harm, limits, owner (slipway documents answer). Evidence
            tells: evaluation, data, code, environment, decision.

    Raises:
        InvalidDeclaration: There is no such field.

    Source: M. Mitchell et al., Model Cards for Model Reporting, 2019.
    """
    for field in fields:
        if field not in DOCUMENTS:
            raise InvalidDeclaration(f"Nobody documents {field!r}.", fix=near(str(field), DOCUMENTS, what="fields"))
    return Check(CheckSpec(kind="documented", columns=tuple(dict.fromkeys(fields)) or tuple(DOCUMENTS)))


def kpi(name: str) -> Kpi:
    """What the endpoint's KPI is expected to be: the mean cost of a decision on the evaluated rows, with its interval.

    Costs are those of the model's decision, `sw.threshold(costs=...)`, which `sw.KPI(name)` watches later in production.

    Args:
        name: As the endpoint's monitor calls it.

    Raises:
        InvalidDeclaration: It is no name.

    Example:
        >>> (kpi("cost of delays") <= 2.5).spec.limit
        2.5
    """
    _name(name, "KPI", "sw.kpi('cost of errors') <= 2.5")
    return Kpi(name)


def _name(given: object, what: str, example: str) -> None:
    if not isinstance(given, str) or not given.strip():
        raise InvalidDeclaration(f"{given!r} names no {what}.", fix=f"For example {example}.")


def _least(value: float, what: str) -> float:
    finite(value, what, least=0.0)
    return float(value)


def _share(value: float) -> float:
    finite(value, "share", least=0.0)
    if value > 1:
        raise InvalidDeclaration(f"{value!r} is no share of rows.", fix="Give a number from 0 to 1.")
    return float(value)
