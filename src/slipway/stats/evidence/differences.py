"""How much more a unit brings in one arm than in the other, with bounds that hold at every look: A/B tests by KPI."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct, structs
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput
from slipway.stats.evidence.means import mean_radius

__all__ = ["FEWEST_UNITS", "DifferenceBounds", "difference_sequence"]

FEWEST_UNITS = 50
_MOST_SKEWNESS = 0.1


class DifferenceBounds(Struct, frozen=True, kw_only=True):
    """The mean of b a unit minus that of a, with bounds that are each wrong at any look at all with a chance of at most alpha.

    Args:
        value: The difference, adjusted where there are covariates; NaN where an arm has no unit.
        low: Lower bound, minus infinity where it cannot be told.
        high: Upper bound, infinity where it cannot be told.
        mean_a: Mean of a's values as they are.
        mean_b: Of b's.
        units_a: How many.
        units_b: How many.
        error: Standard error of the difference.
        saved: The share of the variance that the covariates took away, 0 without any.
        note: Why it cannot be told.
    """

    value: float
    low: float = -math.inf
    high: float = math.inf
    mean_a: float = math.nan
    mean_b: float = math.nan
    units_a: int = 0
    units_b: int = 0
    error: float = math.nan
    saved: float = 0.0
    note: str = ""


def difference_sequence(
    values_a: ArrayLike,
    values_b: ArrayLike,
    *,
    alpha: float,
    covariates_a: ArrayLike | None = None,
    covariates_b: ArrayLike | None = None,
    tuned_for: int = 1_000,
) -> DifferenceBounds:
    """The mean of b minus that of a from independent units, with bounds that hold however often one looks.

    A unit is what was assigned by chance: a customer, not its requests; give one value for each. The distance of the
    bounds is error x sqrt(t) x `mean_radius`(t): error^2 = v_a / n_a + v_b / n_b with the arms' variances, and the clock
    t = (v_a + v_b) / error^2, which is the units an arm where arms are equally large, and about twice the smaller
    arm's where one is much larger. It is an asymptotic confidence sequence: right once each arm's mean is about normal.
    So nothing is told before each arm has 50 units, values that differ, and a difference whose skewness is at most 0.1.

    Covariates are what was known of a unit before it was assigned, such as its KPI of the weeks before (CUPED): a unit's
    value is lessened by what they predict. The slope is estimated within arms; units at even places are adjusted with the
    slope of those at odd places and the other way round, each half around its own mean over both arms. So no unit's
    value bends its own adjustment, and the difference stays unbiased at any number of units, whether or not the
    relation is linear.

    Args:
        values_a: One a unit of a, in order of arrival, shape `(n_a,)`.
        values_b: Of b, shape `(n_b,)`.
        alpha: The chance that the lower bound is ever wrong, and the same for the upper: 0.025 for a 95 % interval.
        covariates_a: Shape `(n_a,)` or `(n_a, n_covariates)`.
        covariates_b: Shape `(n_b,)` or `(n_b, n_covariates)`; both or neither.
        tuned_for: The number of units an arm at which the bounds are near their tightest.

    Raises:
        InvalidInput: Values or covariates that are not finite, or covariates that are not those of the units.

    Source: I. Waudby-Smith et al., Time-uniform central limit theory and asymptotic confidence sequences, Annals of
        Statistics 52, 2024 (with its sequential sample splitting); A. Deng et al., Improving the sensitivity of online
        controlled experiments by utilizing pre-experiment data, WSDM 2013.
    """
    y_a, y_b = _numbers(values_a, "values_a"), _numbers(values_b, "values_b")
    x = _covariates(covariates_a, covariates_b, y_a, y_b)
    mean_a, mean_b = (float(each.mean()) if each.size else math.nan for each in (y_a, y_b))
    found = DifferenceBounds(value=mean_b - mean_a, mean_a=mean_a, mean_b=mean_b, units_a=y_a.size, units_b=y_b.size)
    fewest = min(y_a.size, y_b.size)
    if fewest < FEWEST_UNITS:
        note = f"{fewest} units of an arm are too few: at least {FEWEST_UNITS} of each are needed"
        return structs.replace(found, note=note)
    z_a, z_b = _adjusted(y_a, x[0], y_b, x[1]) if x else (y_a, y_b)
    v_a, v_b = float(z_a.var(ddof=1)), float(z_b.var(ddof=1))
    if not v_a or not v_b:
        return structs.replace(found, note="all units of an arm have the same value, so their spread is not known")
    error = math.sqrt(v_a / y_a.size + v_b / y_b.size)
    unadjusted = float(y_a.var(ddof=1)) / y_a.size + float(y_b.var(ddof=1)) / y_b.size
    value, saved = float(z_b.mean() - z_a.mean()), 1 - error**2 / unadjusted if x else 0.0
    found = structs.replace(found, value=value, error=error, saved=saved)
    skewness = (_third(z_b) / y_b.size**2 - _third(z_a) / y_a.size**2) / error**3
    if abs(skewness) > _MOST_SKEWNESS:
        note = f"the values are too uneven for so few units: the difference's skewness is {skewness:.2g}"
        return structs.replace(found, note=note)
    half = _half(v_a + v_b, error, alpha, tuned_for)
    return structs.replace(found, low=value - half, high=value + half)


def _half(variance: float, error: float, alpha: float, tuned_for: int) -> float:
    clock = variance / error**2
    return error * math.sqrt(clock) * mean_radius(clock, alpha=alpha, tuned_for=tuned_for)


def _third(values: NDArray[np.float64]) -> float:
    return float(((values - values.mean()) ** 3).mean())


def _adjusted(
    y_a: NDArray[np.float64], x_a: NDArray[np.float64], y_b: NDArray[np.float64], x_b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values less what the covariates predict of them, each half by the other's slope."""
    z_a, z_b = y_a.copy(), y_b.copy()
    for half in (0, 1):
        mine, others = slice(half, None, 2), slice(1 - half, None, 2)
        slope = _slope([(y_a[others], x_a[others]), (y_b[others], x_b[others])])
        centre = np.concatenate([x_a[mine], x_b[mine]]).mean(axis=0)
        z_a[mine] -= (x_a[mine] - centre) @ slope
        z_b[mine] -= (x_b[mine] - centre) @ slope
    return z_a, z_b


def _slope(arms: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Least squares within arms, so that the effect itself does not bend it."""
    y = np.concatenate([values - values.mean() for values, _ in arms])
    x = np.concatenate([covariates - covariates.mean(axis=0) for _, covariates in arms])
    return np.asarray(np.linalg.lstsq(x, y, rcond=None)[0])


def _covariates(
    given_a: ArrayLike | None, given_b: ArrayLike | None, y_a: NDArray[np.float64], y_b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if given_a is None and given_b is None:
        return None
    a, b = (np.asarray([] if each is None else each, dtype=np.float64) for each in (given_a, given_b))
    a, b = (each[:, None] if each.ndim == 1 else each for each in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or (len(a), len(b)) != (y_a.size, y_b.size):
        raise InvalidInput(
            f"Covariates of shapes {a.shape} and {b.shape} are not those of {y_a.size} and {y_b.size} units.",
            why="Each unit of both arms has the same covariates.",
            field="covariates_b" if len(a) == y_a.size else "covariates_a",
        )
    for array, arm in ((a, "a"), (b, "b")):
        if not np.isfinite(array).all():
            raise InvalidInput(
                f"A covariate of arm {arm} is missing or infinite.",
                fix="Where nothing was known before, give the mean, and a second covariate that says so.",
                field=f"covariates_{arm}",
            )
    return a, b


def _numbers(values: ArrayLike, field: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise InvalidInput(
            f"Values of shape {array.shape} are no finite number a unit.",
            why="Each unit has one value, and none is missing: a unit that did nothing has 0.",
            field=field,
        )
    return array
