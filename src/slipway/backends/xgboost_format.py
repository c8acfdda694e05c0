"""XGBoost models in their own binary form (UBJSON), which holds trees and parameters and runs no code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost

from slipway.backends import sealed_files
from slipway.errors import Corrupt, InvalidInput
from slipway.ports.model_format import Attributed, FrameColumn, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["XgboostFormat"]

_FILE = "model.ubj"


class XgboostFormat:
    """Keeps an `xgboost.Booster`, and of XGBoost's scikit-learn estimators the booster inside."""

    name = "xgboost"

    def opened(self, estimator: Any) -> Any:
        """See `ModelFormat.opened`."""
        return estimator

    def task(self, estimator: Any) -> Task | None:
        """See `ModelFormat.task`: read from the booster's objective."""
        objective = str(json.loads(_booster(estimator).save_config())["learner"]["objective"]["name"])
        if objective == "binary:logistic":
            return "classification"
        if objective.startswith("reg:") or objective in ("count:poisson",):
            return "regression"
        raise InvalidInput(
            f"The booster's objective is {objective!r}.",
            why="Slipway serves one score a row: a probability of one class, or a value.",
            fix="Train with the objective 'binary:logistic', one booster a class, or with a regression.",
        )

    def as_kept(self, estimator: Any, x: Any) -> Any:
        """See `ModelFormat.as_kept`."""
        return estimator

    def save(self, estimator: Any, folder: Path, *, trust: Sequence[str] = ()) -> None:
        """See `ModelFormat.save`."""
        sealed_files.write(folder / _FILE, self.content(estimator))

    def load(self, folder: Path) -> Any:
        """See `ModelFormat.load`."""
        data = sealed_files.read(folder / _FILE)
        booster = xgboost.Booster({"nthread": 1})
        try:
            booster.load_model(bytearray(data))
        except xgboost.core.XGBoostError as problem:
            told = str(problem).strip().splitlines()[-1]
            raise Corrupt(f"{folder / _FILE} is not an XGBoost model: {told}.") from problem
        return booster

    def predict(self, estimator: Any, x: Any, task: Task) -> NDArray[np.float64]:
        """See `ModelFormat.predict`; of a training that stopped early, by the trees up to the best round."""
        booster = _booster(estimator)
        scores = booster.inplace_predict(np.asarray(x), iteration_range=_rounds(booster), validate_features=False)
        return np.asarray(scores, dtype=np.float64).reshape(len(x))

    def attributed(self, estimator: Any, x: Any) -> Attributed | None:
        """See `ModelFormat.attributed`: Shapley values of the trees (Lundberg et al. 2020), in float32."""
        booster = _booster(estimator)
        rows = xgboost.DMatrix(np.asarray(x), nthread=1)
        try:
            found = booster.predict(rows, pred_contribs=True, iteration_range=_rounds(booster), validate_features=False)
        except xgboost.core.XGBoostError:
            return None
        values = np.asarray(found, dtype=np.float64)
        return Attributed(values[:, :-1], values[:, -1])

    def layout(self, sample: Any) -> tuple[FrameColumn, ...]:
        """See `ModelFormat.layout`: boosters take the encoded matrix."""
        return ()

    def frame(self, layout: Sequence[FrameColumn], rows: Sequence[Sequence[Any]]) -> Any:
        """See `ModelFormat.frame`: never asked for, because `layout` is empty.

        Raises:
            InvalidInput: Always.
        """
        raise InvalidInput(
            "An XGBoost model takes the encoded matrix, not a frame.", fix="Encode the rows: slipway.schema.encoding."
        )

    def content(self, estimator: Any) -> bytes:
        """See `ModelFormat.content`."""
        return bytes(_booster(estimator).save_raw("ubj"))


def _rounds(booster: Any) -> tuple[int, int]:
    """Which trees answer: all, or those up to the best round of a training that stopped early."""
    best = booster.attr("best_iteration")
    return 0, 0 if best is None else int(best) + 1


def _booster(estimator: Any) -> Any:
    if isinstance(estimator, xgboost.Booster):
        return estimator
    try:
        return estimator.get_booster()
    except (AttributeError, ValueError) as problem:  # its NotFittedError is a ValueError
        raise InvalidInput(
            f"The {type(estimator).__name__} has no booster: {problem}.", fix="Fit it before it is made a model."
        ) from problem
