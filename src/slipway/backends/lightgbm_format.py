"""LightGBM in its own text format: readable, and it runs no code when it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np

from slipway.backends import sealed_files
from slipway.errors import Corrupt, InvalidInput
from slipway.ports.model_format import Attributed, FrameColumn, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LightgbmFormat"]

_FILE = "model.txt"
_CLASSIFICATION = ("binary", "cross_entropy", "xentropy")
_REGRESSION = (
    "regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie",
)  # fmt: skip


class LightgbmFormat:
    """Keeps a `lightgbm.Booster`, and of LightGBM's scikit-learn estimators the booster inside."""

    name = "lightgbm"

    def opened(self, estimator: Any) -> Any:
        """See `ModelFormat.opened`."""
        return estimator

    def task(self, estimator: Any) -> Task | None:
        """See `ModelFormat.task`: read from the booster's objective."""
        objective = _objective(_booster(estimator))
        if objective in _CLASSIFICATION:
            return "classification"
        if objective in _REGRESSION:
            return "regression"
        if objective in ("", "none", "custom"):
            return None
        raise InvalidInput(
            f"The booster's objective is {objective!r}.",
            why="Slipway serves one score a row: a probability of one class, or a value.",
            fix="Train one booster a class with the objective 'binary', or a regression.",
        )

    def as_kept(self, estimator: Any, x: Any) -> Any:
        """See `ModelFormat.as_kept`."""
        return estimator

    def save(self, estimator: Any, folder: Path, *, trust: Sequence[str] = ()) -> None:
        """See `ModelFormat.save`. The text holds the trees up to the best iteration."""
        sealed_files.write(folder / _FILE, self.content(estimator))

    def load(self, folder: Path) -> Any:
        """See `ModelFormat.load`."""
        text = sealed_files.read(folder / _FILE)
        try:
            return lightgbm.Booster(model_str=text.decode("utf-8"))
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as problem:
            raise Corrupt(f"{folder / _FILE} is not a LightGBM model: {problem}.") from problem

    def predict(self, estimator: Any, x: Any, task: Task) -> NDArray[np.float64]:
        """See `ModelFormat.predict`."""
        scores = _booster(estimator).predict(x, num_threads=1)
        return np.asarray(scores, dtype=np.float64).reshape(len(x))

    def attributed(self, estimator: Any, x: Any) -> Attributed | None:
        """See `ModelFormat.attributed`: Shapley values of the trees (Lundberg et al. 2020)."""
        try:
            found = _booster(estimator).predict(x, pred_contrib=True, num_threads=1)
        except lightgbm.basic.LightGBMError:  # trees with linear leaves have none
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
            "A LightGBM model takes the encoded matrix, not a frame.", fix="Encode the rows: slipway.schema.encoding."
        )

    def content(self, estimator: Any) -> bytes:
        """See `ModelFormat.content`."""
        return str(_booster(estimator).model_to_string()).encode("utf-8")


def _booster(estimator: Any) -> Any:
    if isinstance(estimator, lightgbm.Booster):
        return estimator
    try:
        return estimator.booster_
    except (AttributeError, lightgbm.sklearn.LGBMNotFittedError) as problem:
        raise InvalidInput(
            f"The {type(estimator).__name__} has no booster: {problem}.",
            fix="Fit it before it is made a model.",
        ) from problem


def _objective(booster: Any) -> str:
    # The text is the authority: a booster's parameters may hold an alias, or nothing after loading.
    for line in booster.model_to_string(num_iteration=1).splitlines():
        if line.startswith("objective="):
            return str(line.removeprefix("objective=").split(" ")[0])
        if line.startswith("Tree="):
            break
    return ""
