"""Asking a scikit-learn estimator for one score a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.errors import InvalidInput
from slipway.ports.model_format import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["scores", "task_of"]


def task_of(estimator: Any) -> Task | None:
    """What an estimator predicts, None when it neither knows classes nor says that it is a regressor.

    Raises:
        InvalidInput: It knows more than two classes, or classes without probabilities.
    """
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return "regression" if _says_regressor(estimator) else None
    if len(classes) != 2:
        raise InvalidInput(
            f"The {type(estimator).__name__} predicts {len(classes)} classes: {list(classes)[:6]}.",
            why="Slipway serves one score a row: the probability of one class, or a value.",
            fix="Train one estimator a class, or join the classes into two.",
        )
    if not hasattr(estimator, "predict_proba"):
        raise InvalidInput(
            f"The {type(estimator).__name__} predicts classes without probabilities.",
            why="A gate, a threshold and a monitor need a probability.",
            fix="Wrap it: sklearn.calibration.CalibratedClassifierCV(estimator).",
        )
    return "classification"


def scores(estimator: Any, x: Any, task: Task) -> NDArray[np.float64]:
    """The probability of the second of the two classes, or the value; shape `(n_rows,)`."""
    if task == "classification":
        return np.asarray(estimator.predict_proba(x), dtype=np.float64)[:, 1]
    return np.asarray(estimator.predict(x), dtype=np.float64).reshape(len(x))


def _says_regressor(estimator: Any) -> bool:
    tags = getattr(estimator, "__sklearn_tags__", None)
    if tags is None:
        return getattr(estimator, "_estimator_type", "") == "regressor"
    return bool(tags().estimator_type == "regressor")
