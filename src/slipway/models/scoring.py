"""From rows to scores: the one way that a model in training, at packaging and in an endpoint takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.errors import InvalidInput
from slipway.models.frames import column_names, plain_rows
from slipway.models.prepared import Prepared, rows_in
from slipway.ports.model_format import FrameColumn, ModelFormat, Task
from slipway.records.schema import Signature
from slipway.schema.encoding import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TOLERANCE", "Scorer"]

# Answers of one row may differ in the last bits from those of many at once where a framework's linear algebra sums in
# another order; anything more is another answer.
TOLERANCE = 1e-9


class Scorer:
    """Asks an estimator for the scores of rows or of a frame.

    A row's score never depends on the rows beside it: rows are put into one frame only where the frame has the same
    column types for each of them.

    Args:
        format: How the estimator is asked.
        estimator: The estimator.
        task: What is asked for.
        signature: The inputs, in order.
        layout: The pandas columns that the estimator was fitted on, () for the encoded matrix.
        prepare: Makes the rows of a request into what the estimator takes, None where it takes them as they are.
    """

    def __init__(
        self,
        format: ModelFormat,
        estimator: Any,
        task: Task,
        signature: Signature,
        layout: tuple[FrameColumn, ...],
        prepare: Prepared | None = None,
    ) -> None:
        self._format = format
        self._estimator = estimator
        self._task: Task = task
        self._layout = layout
        self.names = tuple(field.name for field in signature.inputs)
        self._prepare = prepare
        self._encoder = None if layout or prepare is not None else Encoder(signature)
        # Types of NumPy that have no place for a missing value.
        self._strict = tuple(
            i
            for i, c in enumerate(layout if prepare is None else prepare.spec.layout)
            if c.dtype.startswith(("int", "uint", "bool")) and c.dtype != "boolean"
        )

    def rows(self, rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
        """The scores of rows of plain values in the signature's order; shape `(len(rows),)`.

        Raises:
            InvalidInput: A value does not fit, or the estimator refuses a row; the input is named where it is known.
        """
        if self._encoder is not None:
            return self._ask(self._encoder.rows(rows))
        for index, row in enumerate(rows):
            if len(row) != len(self.names):
                raise InvalidInput(
                    f"Row {index} has {len(row)} values.",
                    why=f"The model takes {len(self.names)}: {', '.join(self.names)}.",
                    fix="Give one value an input, in this order.",
                )
        return self._ask_frames([[_without_nan(value) for value in row] for row in rows])

    def frame(self, frame: Any) -> NDArray[np.float64]:
        """The scores of a Polars or pandas frame's rows; columns are found by name.

        Raises:
            InvalidInput: A column is missing or of another type.
        """
        if self._encoder is not None:
            return self._ask(self._encoder.frame(frame))
        return self._ask_frames(plain_rows(frame, column_names(frame, self.names)))

    @property
    def takes_frames(self) -> bool:
        """Whether the estimator is asked with a frame rather than with the encoded matrix."""
        return self._encoder is None

    def as_seen(self, row: Sequence[Any]) -> list[Any]:
        """The values of one row as the estimator sees them."""
        if self._encoder is not None:
            return list(self._encoder.rows([row])[0])
        if self._prepare is not None:
            return list(row)
        return list(self._format.frame(self._layout, [row]).iloc[0])

    def _ask_frames(self, rows: list[list[Any]]) -> NDArray[np.float64]:
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, row in enumerate(rows):
            groups.setdefault(tuple(i for i in self._strict if row[i] is None), []).append(index)
        scores = np.empty(len(rows), dtype=np.float64)
        for members in groups.values():
            scores[members] = self._ask(self._frame([rows[i] for i in members]))
        return scores

    def _frame(self, rows: list[list[Any]]) -> Any:
        return self._format.frame(self._layout, rows) if self._prepare is None else self._prepare(rows)

    def _ask(self, x: Any) -> NDArray[np.float64]:
        n = rows_in(x)
        if not n:
            return np.empty(0, dtype=np.float64)
        try:
            scores = self._format.predict(self._estimator, x, self._task)
        except (ValueError, TypeError) as problem:
            raise InvalidInput(
                f"The model refuses {'the row' if n == 1 else f'one of {n} rows'}: {problem}",
                why="What it was fitted on held no such value.",
                fix="Give values like those of training, or let the pipeline impute and ignore what it does not know.",
            ) from problem
        if not np.isfinite(scores).all():
            raise InvalidInput(
                f"The model answers {scores[~np.isfinite(scores)][0]}.",
                why="Its inputs are far beyond those of training, or missing where it cannot do without them.",
                fix="Look at the row's values, and at how the pipeline treats missing ones.",
            )
        return scores


def _without_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
