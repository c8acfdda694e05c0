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
    """The probability of the second of the two classes, or the value; shape `(n_rows,)`.

    Raises:
        InvalidInput: It does not answer with one number a row.
    """
    name = "predict_proba" if task == "classification" else "predict"
    ask = getattr(estimator, name, None)
    if ask is None:
        raise InvalidInput(
            f"The {type(estimator).__name__} has no {name}, which a {task} is asked by.",
            why="Of a classification the score is a probability, and of a regression a value.",
            fix=f"Give it one: def {name}(self, rows), {'two columns or the probability of the positive class' if task == 'classification' else 'one value a row'}; or say the other task.",
        )
    found = np.asarray(ask(x), dtype=np.float64)
    if task == "classification" and found.ndim == 2 and found.shape[1] == 2:
        return found[:, 1]
    if found.shape not in ((len(x),), (len(x), 1)):
        raise InvalidInput(
            f"The {type(estimator).__name__} gives the shape {found.shape} for {len(x)} rows by {name}.",
            why="Slipway serves one score a row: the probability of one class, or a value.",
            fix="Let it give one number a row; of two classes, also both probabilities.",
        )
    return found.reshape(len(x))


def _says_regressor(estimator: Any) -> bool:
    tags = getattr(estimator, "__sklearn_tags__", None)
    if tags is None:
        return getattr(estimator, "_estimator_type", "") == "regressor"
    return bool(tags().estimator_type == "regressor")
