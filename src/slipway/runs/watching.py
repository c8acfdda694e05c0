"""What a curve of a training tells while it is drawn: it broke, it gets worse, it stands still, it learns by heart.

All is judged on levels, medians of five points, against the curve's own noise: the median difference of neighbouring
points. So a noisy curve is given more room, one outlier is no finding, and no figure depends on the metric's unit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Literal

__all__ = ["BAD", "Curve", "Noticed", "Watch"]

WINDOW = 5
"""Points of which a level is the median."""

_LEAST = 10
_NOISE_POINTS = 100
_MARGIN = 4.0
_SHARE = 0.01

BAD = ("not finite", "diverging", "overfitting")
"""The findings that speak against a model; a plateau does not."""

Kind = Literal["not finite", "diverging", "plateau", "overfitting"]


@dataclass(frozen=True, slots=True)
class Noticed:
    """What was noticed: the sort of it, of which metric, at which step, in words."""

    kind: Kind
    key: str
    step: int
    words: str


@dataclass(slots=True)
class Curve:
    """A metric's course so far, lower being better; it keeps a bounded number of points.

    Attributes:
        n: How many points there were.
        start: The first level.
        level: The present level.
        best: The least level.
        since_best: How many points ago the best level was last improved by more than noise makes.
    """

    n: int = 0
    start: float = math.nan
    level: float = math.nan
    best: float = math.nan
    since_best: int = 0
    _kept: float = math.nan
    _window: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _steps: deque[float] = field(default_factory=lambda: deque(maxlen=_NOISE_POINTS))

    def add(self, value: float) -> bool:
        """Take the next point, a finite one; says whether the best level was improved."""
        if self._window:
            self._steps.append(abs(value - self._window[-1]))
        self._window.append(value)
        self.n += 1
        self.since_best += 1
        if self.n < WINDOW:
            return False
        self.level = median(self._window)
        if self.n == WINDOW:
            self.start = self.best = self._kept = self.level
            self.since_best = 0
            return True
        self.best = min(self.best, self.level)
        if self.level < self._kept - max(_SHARE * (self.start - self.best), 0.5 * self.noise):
            self._kept = self.level
            self.since_best = 0
            return True
        return False

    @property
    def noise(self) -> float:
        """The curve's standard deviation around its course: the median difference of neighbours, for a normal one."""
        return median(self._steps) / 0.954 if self._steps else 0.0

    @property
    def margin(self) -> float:
        """How much above another level a level must lie to be worse: noise, more of it while little is known of it."""
        gained = self.start - self.best
        return _MARGIN * (1 + _LEAST / max(self.n, 1)) * self.noise + _SHARE * gained


class Watch:
    """Watches one metric, and the same one on validation rows where there is such.

    Args:
        key: The metric.
        validation: The metric on rows that were not trained on, "" for none.
        higher_is_better: Whether the metric is to rise.
        patience: Of how many points the mean is compared with that of as many before, to say that it stands still; of
            the validation curve where there is one.
    """

    def __init__(self, key: str, *, validation: str = "", higher_is_better: bool = False, patience: int = 50) -> None:
        self.key = key
        self.validation = validation
        self.patience = patience
        self._sign = -1.0 if higher_is_better else 1.0
        self._curves = {name: Curve() for name in (key, validation) if name}
        self._level_then = math.nan
        self._last: deque[float] = deque(maxlen=2 * patience)
        self._said: set[tuple[Kind, str]] = set()

    def see(self, key: str, value: float, step: int) -> list[Noticed]:
        """Take a point; returns what it shows for the first time."""
        curve = self._curves.get(key)
        if curve is None:
            return []
        if not math.isfinite(value):
            return self._once("not finite", key, step, lambda: f"{key} is {value} at step {step:,}")
        if curve.add(self._sign * value) and key == self.validation:
            self._level_then = self._curves[self.key].level
        return [
            *(self._diverging(curve, key, step) if key == self.key else ()),
            *(self._plateau(curve, key, value, step) if key == (self.validation or self.key) else ()),
            *(self._overfitting(curve, step) if key == self.validation else ()),
        ]

    def _diverging(self, curve: Curve, key: str, step: int) -> list[Noticed]:
        gained = curve.start - curve.best
        if curve.n < _LEAST or curve.level <= curve.best + max(gained / 2, 0.0) + curve.margin:
            return []
        return self._once(
            "diverging",
            key,
            step,
            lambda: (
                f"{key} is {self._told(curve.level)} at step {step:,}, after {self._told(curve.best)} at its best "
                f"and {self._told(curve.start)} at first: it lost more than half of what it had gained"
            ),
        )

    def _plateau(self, curve: Curve, key: str, value: float, step: int) -> list[Noticed]:
        self._last.append(self._sign * value)
        if ("plateau", key) in self._said or len(self._last) < 2 * self.patience:
            return []
        both = list(self._last)
        before, now = fmean(both[: self.patience]), fmean(both[self.patience :])
        # By how much two such means differ when nothing changes.
        strays = curve.noise * math.sqrt(2 / self.patience)
        if before - now > max(_SHARE * (curve.start - curve.best), strays):
            return []
        return self._once(
            "plateau",
            key,
            step,
            lambda: (
                f"{key} was {self._told(now)} on average over {self.patience:,} points up to step {step:,}, and "
                f"{self._told(before)} over the {self.patience:,} before: a gain within noise, or under 1 % of all it gained"
            ),
        )

    def _overfitting(self, curve: Curve, step: int) -> list[Noticed]:
        train = self._curves[self.key]
        rose = curve.n >= _LEAST and curve.since_best >= WINDOW and curve.level > curve.best + curve.margin
        if not rose or not train.level < self._level_then - max(_SHARE * (train.start - train.best), 0.5 * train.noise):
            return []
        return self._once(
            "overfitting",
            self.validation,
            step,
            lambda: (
                f"{self.validation} rose to {self._told(curve.level)} at step {step:,} from "
                f"{self._told(curve.best)} at its best, {curve.since_best:,} points ago, while {self.key} went on from "
                f"{self._told(self._level_then)} to {self._told(train.level)}"
            ),
        )

    def _told(self, level: float) -> str:
        return f"{self._sign * level:.4g}"

    def _once(self, kind: Kind, key: str, step: int, words: Callable[[], str]) -> list[Noticed]:
        if (kind, key) in self._said:
            return []
        self._said.add((kind, key))
        return [Noticed(kind, key, step, words())]
