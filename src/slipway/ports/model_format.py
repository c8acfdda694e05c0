"""How estimators of a framework are saved, loaded and asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Attributed", "FrameColumn", "ModelFormat", "Task"]

Task = Literal["classification", "regression"]


class FrameColumn(Struct, frozen=True):
    """One column of the pandas frame that an estimator was fitted on, as far as it must be built again.

    Args:
        name: The column's name.
        dtype: Its pandas type by name: "int64", "object", "str", "category"; "plain" where no frame is built, and values stay
            as a request carries them.
        missing: What stood for a missing value: "none", "nan" or "na" (pandas' NA).
        categories: For "category": the values in the order of their codes.
        ordered: For "category": whether they are ordered.
    """

    name: str
    dtype: str
    missing: Literal["none", "nan", "na"] = "nan"
    categories: tuple[str, ...] = ()
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Attributed:
    """What a framework says that its answers are made of: base + parts, on whatever scale it adds up.

    Args:
        parts: One a column of what the estimator takes, or of what its own steps make of that; float64 of shape
            `(n_rows, n_columns)`.
        base: What they are added to; float64 of shape `(n_rows,)`.
        is_sum: Whether the parts are the terms of a sum, each of its column's value alone. Otherwise they are Shapley
            values, one a column of what the estimator takes, and the base is the model's mean.
    """

    parts: NDArray[np.float64]
    base: NDArray[np.float64]
    is_sum: bool = False


class ModelFormat(Protocol):
    """Saves, loads and asks estimators of one framework.

    Guarantees: a loaded estimator gives the saved one's answers, bit for bit; saving the same estimator twice writes
    the same bytes; loading runs no code that was not trusted when it was saved (pickle cannot promise this and is
    chosen only when a person says so); `predict` on loaded estimators is safe for threads and uses one thread.
    """

    name: str

    def opened(self, estimator: Any) -> Any:
        """What a person gave as the estimator, in the form that every other method takes: mostly itself.

        Raises:
            InvalidInput: It is nothing that the format keeps; the sentence says why.
        """
        ...

    def task(self, estimator: Any) -> Task | None:
        """What the estimator predicts, None when it does not say.

        Raises:
            InvalidInput: It predicts what cannot be served: several classes, a rank.
        """
        ...

    def as_kept(self, estimator: Any, x: Any) -> Any:
        """The estimator in the form that `save`, `content` and an endpoint's `predict` are given: mostly itself.

        Args:
            estimator: A fitted estimator.
            x: Some rows as it takes them.

        Raises:
            InvalidInput: It cannot be brought into that form; the sentence says why.
        """
        ...

    def save(self, estimator: Any, folder: Path, *, trust: Sequence[str] = ()) -> None:
        """Write the estimator's files into an existing empty folder.

        Args:
            estimator: As `as_kept` gives it.
            folder: Where its files go.
            trust: Full names of types outside the framework that may be loaded again.

        Raises:
            InvalidInput: It holds something that this format cannot keep, or types that nobody trusted; named.
        """
        ...

    def load(self, folder: Path) -> Any:
        """The estimator that was saved.

        Raises:
            Corrupt: The files are not what `save` writes.
        """
        ...

    def predict(self, estimator: Any, x: Any, task: Task) -> NDArray[np.float64]:
        """One score a row: the probability of the positive class, or the value.

        Args:
            estimator: As trained, as given to `save`, or returned by `load`.
            x: What the estimator itself takes: a float64 matrix of shape `(n_rows, n_inputs)` or a frame.
            task: What is asked for.
        """
        ...

    def attributed(self, estimator: Any, x: Any) -> Attributed | None:
        """What answers are made of, as the framework itself can tell without asking again; None where it cannot.

        Whoever asks compares the sum with the answer: what does not add up to it on a known scale is not believed.

        Args:
            estimator: As given to `save`, or returned by `load`.
            x: What the estimator itself takes.
        """
        ...

    def layout(self, sample: Any) -> tuple[FrameColumn, ...]:
        """The columns of the frame that an estimator was fitted on; () when it takes the encoded matrix.

        Args:
            sample: Some of the training rows, as a pandas or Polars frame.

        Raises:
            InvalidInput: A column's type cannot come in a request; it is named.
        """
        ...

    def frame(self, layout: Sequence[FrameColumn], rows: Sequence[Sequence[Any]]) -> Any:
        """The frame of `rows`, each with one plain value a column, with the training rows' types and missing values.

        Raises:
            InvalidInput: A value does not fit its column; it is named.
        """
        ...

    def content(self, estimator: Any) -> bytes:
        """Bytes that are equal when the same estimator is saved twice, and where the format can, for equal estimators."""
        ...
