"""The phases of a roll-out as a project declares them."""

import math
import re
from dataclasses import dataclass
from itertools import pairwise

from slipway.errors import InvalidDeclaration, near
from slipway.records.rollouts import CanarySpec, ShadowSpec
from slipway.schema.durations import microseconds
from slipway.schema.metric_contract import MetricContract

__all__ = ["Canary", "Shadow"]

METRICS = ("absolute_error", "brier", "log_loss", "squared_error")
_SLOW = re.compile(r"(\d{1,6})(ms|s)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shadow:
    """Both models score every row and only the champion's answer is given: quality is compared where nobody is hurt.

    The challenger goes on once it is shown, by labels, to be worse by less than the margin; it is stopped once it is
    shown to be worse at all. Before any label comes it is stopped where it fails more often than the champion, or goes
    beyond a limit that is declared here.

    Args:
        metric: "log_loss" or "brier" of a classifier; "squared_error" or "absolute_error" of a regression.
        margin: How much worse it may be, in the metric's unit, above 0.
        alpha: The chance of a wrong "not worse", and of a wrong "worse", however often one looks.
        at_least: The shortest time in shadow: "3d", "36h".
        deadline: After that long without a verdict the accountable are asked; after as long again it ends undecided.
        sample: The share of the rows that both models score, above 0 and at most 1.
        most_flips: It is stopped where a greater share of the rows is shown to be decided otherwise; None shows the share.
        most_moved: It is stopped where more than half of the scores are shown to lie further from the champion's.
        most_slower: It is stopped where it is shown to take more than so many times the champion's time.

    Raises:
        InvalidDeclaration: Unknown metric, a margin or alpha that cannot work, or times that contradict each other.

    Example:
        >>> Shadow(margin=0.02, at_least="2d").spec().margin
        0.02
    """

    metric: str = "log_loss"
    margin: float = 0.01
    alpha: float = 0.05
    at_least: str = "3d"
    deadline: str = "12d"
    sample: float = 1.0
    most_flips: float | None = None
    most_moved: float | None = None
    most_slower: float | None = None

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise InvalidDeclaration(
                f"A shadow cannot compare by {self.metric!r}.",
                why="It needs a metric that is a mean of losses a row.",
                fix=near(str(self.metric), METRICS, what="metrics"),
            )
        _between(self.margin, "margin", "a shadow", math.inf)
        _between(self.alpha, "alpha", "a shadow", 0.5)
        if self.sample != 1:
            _between(self.sample, "sample", "a shadow", 1.0)
        for limit, what, below in (
            (self.most_flips, "most_flips", 1.0),
            (self.most_moved, "most_moved", math.inf),
            (self.most_slower, "most_slower", math.inf),
        ):
            if limit is not None:
                _between(limit, what, "a shadow", below)
        if microseconds(self.at_least) >= microseconds(self.deadline):
            raise InvalidDeclaration(
                f"A shadow of at least {self.at_least!r} cannot be decided by {self.deadline!r}.",
                fix="Make the deadline longer than at_least.",
            )

    def spec(self) -> ShadowSpec:
        """The phase as data."""
        return ShadowSpec(
            metric=self.metric,
            margin=float(self.margin),
            alpha=float(self.alpha),
            min_us=microseconds(self.at_least),
            deadline_us=microseconds(self.deadline),
            sample=float(self.sample),
            most_flips=None if self.most_flips is None else float(self.most_flips),
            most_moved=None if self.most_moved is None else float(self.most_moved),
            most_slower=None if self.most_slower is None else float(self.most_slower),
        )


@dataclass(frozen=True, slots=True)
class Canary:
    """Some callers get the challenger's answer, and what goes wrong is compared with the champion at the same time.

    All of its guardrails are always on: failures, time-outs, invalid outputs, answers by the fallback, slow answers,
    prediction shift, the KPI of its labels, and the split itself; they share alpha.

    Args:
        steps: Percent of rows that it answers, rising; the last is 100.
        margin: How much greater its share of failures may be, as a share of 1: 0.03 is three in a hundred.
        alpha: The chance of a wrong roll-back, and of a step taken wrongly, however often one looks.
        deadline: After that long in one step without a verdict the accountable are asked; after as long again it ends.
        slow: An answer that takes longer is slow: "50ms", "2s"; "" for twice the median of the champion's latest answers
            and at least a millisecond. The request's way to the model and back is not counted.
        kpi: How much greater the mean loss of its labelled rows may be, from 0 to 1 (what decisions cost, over the dearest
            outcome's cost, where the model declares costs; else the Brier score). Given, no step is taken before labels
            have shown it to be less. None: labels that come may stop it, and are not waited for. A metric contract: its
            KPI is compared, and may be worse by its guard band; without one, labels are not waited for.

    Raises:
        InvalidDeclaration: Steps that do not rise to 100, a margin, alpha or kpi that cannot work, or no time.

    Example:
        >>> Canary(steps=(5, 100)).spec().steps
        (5, 100)
    """

    steps: tuple[int, ...] = (10, 50, 100)
    margin: float = 0.03
    alpha: float = 0.01
    deadline: str = "7d"
    slow: str = ""
    kpi: float | MetricContract | None = None

    def __post_init__(self) -> None:
        _check_steps(self.steps)
        _slow_us(self.slow)
        if isinstance(self.kpi, MetricContract):
            _check_bounds(self.kpi)
        elif self.kpi is not None:
            _between(self.kpi, "kpi", "a canary", 1.0)
        _between(self.margin, "margin", "a canary", 1.0)
        _between(self.alpha, "alpha", "a canary", 0.5)
        if not microseconds(self.deadline):
            raise InvalidDeclaration(
                f"A canary cannot be decided within {self.deadline!r}.", fix="Give each step time, for example '7d'."
            )

    def spec(self) -> CanarySpec:
        """The phase as data."""
        return CanarySpec(
            steps=tuple(self.steps),
            margin=float(self.margin),
            alpha=float(self.alpha),
            deadline_us=microseconds(self.deadline),
            slow_us=_slow_us(self.slow),
            kpi=_kpi(self.kpi),
            contract=self.kpi.terms() if isinstance(self.kpi, MetricContract) else None,
        )


def _kpi(given: float | MetricContract | None) -> float | None:
    """How much greater the mean loss may be, from 0 to 1; of a contract its guard band, as a share of what a row may yield."""
    if not isinstance(given, MetricContract):
        return None if given is None else float(given)
    return given.terms().most_share


def _check_bounds(contract: MetricContract) -> None:
    if not contract.terms().is_bounded:
        what = "per_between" if contract.terms().least is not None else "between"
        raise InvalidDeclaration(
            f"A canary cannot guard {contract.kpi!r}: the contract does not say between what one prediction's value lies.",
            why="From that it follows how sure a number of labels can make.",
            fix=f"Say the least and the most that it can be: sw.MetricContract(..., {what}=(0, 500)).",
        )


def _slow_us(written: object) -> int:
    if written == "":
        return 0
    match = _SLOW.fullmatch(written) if isinstance(written, str) else None
    found = int(match[1]) * (1000 if match[2] == "ms" else 1_000_000) if match else 0
    if not found:
        raise InvalidDeclaration(
            f"A canary cannot tell slow answers by {written!r}.",
            fix='Give a time such as "50ms" or "2s", or leave it out for what is usual for the champion.',
        )
    return found


def _check_steps(steps: object) -> None:
    fix = "For example steps=(10, 50, 100)."
    if not isinstance(steps, tuple | list) or not steps:
        raise InvalidDeclaration(f"{steps!r} are no steps of a canary.", why="They are percents of rows.", fix=fix)
    for step in steps:
        if isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= 100:
            raise InvalidDeclaration(
                f"{step!r} is no step of a canary.", why="A step is a whole percent from 1 to 100.", fix=fix
            )
    if steps[-1] != 100 or any(later <= earlier for earlier, later in pairwise(steps)):
        raise InvalidDeclaration(
            f"The canary's steps {tuple(steps)} do not rise to 100.",
            why="Each step gives the challenger more rows, and the last all of them.",
            fix=fix,
        )


def _between(value: object, what: str, phase: str, below: float) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 < value < below
        or not math.isfinite(value)
    ):
        expected = "a number above 0" if math.isinf(below) else f"a number above 0 and below {below:g}"
        raise InvalidDeclaration(f"{value!r} is given as the {what} of {phase}.", why=f"It must be {expected}.")
