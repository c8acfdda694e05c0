"""Estimators as pickles: whatever Python can pickle, and whatever a pickle can do to the machine that loads it.

The last resort, chosen only where a person said `trust_pickle=True`; the manifest's format says "pickle" for all to see.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.backends import sealed_files
from slipway.backends.pandas_frames import build, layout_of
from slipway.backends.sklearn_scores import scores, task_of
from slipway.backends.sklearn_terms import terms
from slipway.errors import Corrupt, InvalidInput
from slipway.ports.model_format import Attributed, FrameColumn, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PickleFormat"]

_FILE = "model.pkl"
_PROTOCOL = 5


class PickleFormat:
    """Keeps any object with `predict`, or with `predict_proba` and two `classes_`."""

    name = "pickle"

    def opened(self, estimator: Any) -> Any:
        """See `ModelFormat.opened`."""
        return estimator

    def task(self, estimator: Any) -> Task | None:
        """See `ModelFormat.task`."""
        return task_of(estimator)

    def as_kept(self, estimator: Any, x: Any) -> Any:
        """See `ModelFormat.as_kept`."""
        return estimator

    def save(self, estimator: Any, folder: Path, *, trust: Sequence[str] = ()) -> None:
        """See `ModelFormat.save`."""
        sealed_files.write(folder / _FILE, self.content(estimator))

    def load(self, folder: Path) -> Any:
        """See `ModelFormat.load`. It runs what the pickle says."""
        data = sealed_files.read(folder / _FILE)
        try:
            return pickle.loads(data)
        except (pickle.UnpicklingError, EOFError) as problem:
            raise Corrupt(f"{folder / _FILE} is not a pickle: {problem}.") from problem
        except (ImportError, AttributeError) as problem:
            raise Corrupt(
                f"{folder / _FILE} needs code that is not here: {problem}.",
                why="A pickle holds names of classes and functions, not their code.",
                fix="Install the package that defines it in the endpoint's environment, and pack the model again.",
            ) from problem

    def predict(self, estimator: Any, x: Any, task: Task) -> NDArray[np.float64]:
        """See `ModelFormat.predict`."""
        return scores(estimator, x, task)

    def attributed(self, estimator: Any, x: Any) -> Attributed | None:
        """See `ModelFormat.attributed`: the terms of a linear model, after the steps before it."""
        return terms(estimator, x)

    def layout(self, sample: Any) -> tuple[FrameColumn, ...]:
        """See `ModelFormat.layout`."""
        return layout_of(sample)

    def frame(self, layout: Sequence[FrameColumn], rows: Sequence[Sequence[Any]]) -> Any:
        """See `ModelFormat.frame`."""
        return build(layout, rows)

    def content(self, estimator: Any) -> bytes:
        """See `ModelFormat.content`."""
        try:
            return pickle.dumps(estimator, protocol=_PROTOCOL)
        except (pickle.PicklingError, TypeError, AttributeError) as problem:
            raise InvalidInput(
                f"The {type(estimator).__name__} cannot be pickled: {problem}.",
                fix="Keep lambdas, open files and locks out of it.",
            ) from problem
