"""The terms that a linear estimator of scikit-learn adds up, after whatever steps of a pipeline stand before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from slipway.ports.model_format import Attributed

__all__ = ["terms"]


def terms(estimator: Any, x: Any) -> Attributed | None:
    """Coefficient times value of every column that the last step takes; None where it has no coefficients.

    Whether they add up to the answer is for the caller to see: a support vector machine has coefficients too, and its
    probabilities come about in another way.

    Args:
        estimator: A fitted estimator or pipeline.
        x: What it takes.
    """
    last, before = _split(estimator)
    coefficients, intercept = getattr(last, "coef_", None), getattr(last, "intercept_", None)
    if coefficients is None or intercept is None or np.size(intercept) != 1:
        return None
    weights = _dense(coefficients).reshape(-1)
    columns = _dense(x if before is None else before.transform(x))
    if columns.ndim != 2 or columns.shape[1] != weights.size or columns.dtype.kind not in "biuf":
        return None
    base = np.full(len(columns), float(np.reshape(intercept, -1)[0]))
    return Attributed(columns.astype(np.float64) * weights, base, is_sum=True)


def _split(estimator: Any) -> tuple[Any, Any]:
    """The last step, and the pipeline of those before it, None where there are none."""
    found = getattr(estimator, "best_estimator_", estimator)  # of a search over parameters
    steps = getattr(found, "steps", None)
    if not steps:
        return found, None
    inner, before = _split(steps[-1][1])
    if before is not None:
        return None, None  # a pipeline within a pipeline: rare, and sampling explains it
    return inner, found[:-1] if len(steps) > 1 else None


def _dense(values: Any) -> Any:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)
