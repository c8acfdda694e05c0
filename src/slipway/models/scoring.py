"""From rows to scores: the one way that a model in training, at packaging and in an endpoint takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.errors import InvalidInput, NotFinite, RowRefused
from slipway.models.compiled.running import Compiled
from slipway.models.frames import column_names, plain_rows
from slipway.models.prepared import Prepared, rows_in
from slipway.models.price_limits import within, within_all
from slipway.ports.model_format import Attributed, FrameColumn, ModelFormat, Task
from slipway.records.models import Decision
from slipway.records.schema import Signature
from slipway.schema.encoding import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TOLERANCE", "Scorer"]

# Answers of one row may differ in the last bits from those of many at once where a framework's linear algebra sums in
# another order; anything more is another answer.
TOLERANCE = 1e-9


_REFUSALS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
"""What estimators raise at a value that they cannot take: TfidfVectorizer asks None for its `lower`."""


class Scorer:
    """Asks an estimator for the scores of rows or of a frame.

    A row's score never depends on the rows beside it: rows are put into one frame only where the frame has the same
    column types for each of them.

    Rows of plain values are answered by the compiled estimator where there is one, and by the estimator itself where that
    leaves one of them to it: what the estimator may refuse, it refuses in its own words.

    Args:
        original: The estimator's format and the estimator; called each time it is needed.
        task: What is asked for.
        signature: The inputs, in order.
        layout: The pandas columns that the estimator was fitted on, () for the encoded matrix.
        prepare: Makes the rows of a request into what the estimator takes, None where it takes them as they are.
        compiled: The same answers without the estimator, None where nobody proved that there are any.
        decision: Where it is a price, every score is brought within its limits.

    Attributes:
        alone: The score of one row where the compiled estimator has a short way to it, else None: it is asked by `rows`.
    """

    def __init__(
        self,
        original: Callable[[], tuple[ModelFormat, Any]],
        task: Task,
        signature: Signature,
        layout: tuple[FrameColumn, ...],
        prepare: Prepared | None = None,
        compiled: Compiled | None = None,
        decision: Decision | None = None,
    ) -> None:
        self._original = original
        self._compiled = compiled
        self.alone: Callable[[Sequence[Any]], float | None] = _nothing if compiled is None else compiled.alone
        self._within = within_all(decision or Decision())
        if compiled is not None and (limit := within(decision or Decision())) is not None:
            alone = compiled.alone
            self.alone = lambda row: None if (score := alone(row)) is None else limit(score)
        self._task: Task = task
        self._layout = layout
        self.names = tuple(field.name for field in signature.inputs)
        self._prepare = prepare
        self._encoder = None if layout or prepare is not None else Encoder(signature)
        self._is_plain = bool(layout) and all(column.dtype == "plain" for column in layout)
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
        if self._compiled is not None:
            scores = self._compiled.rows(rows)
            if scores is not None:
                return self._limited(scores)
        return self.by_estimator(rows)

    @property
    def is_compiled(self) -> bool:
        """Whether there is a compiled estimator."""
        return self._compiled is not None

    def needs_estimator(self, row: Sequence[Any]) -> bool:
        """Whether the estimator itself must be asked for a row."""
        try:
            return self._compiled is None or self._compiled.rows([row]) is None
        except InvalidInput:
            return False

    def by_estimator(self, rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
        """As `rows`, by the estimator itself."""
        if self._encoder is not None:
            return self._limited(self._ask(self._encoder.rows(rows)))
        for index, row in enumerate(rows):
            if len(row) != len(self.names):
                raise InvalidInput(
                    f"Row {index} has {len(row)} values.",
                    why=f"The model takes {len(self.names)}: {', '.join(self.names)}.",
                    fix="Give one value an input, in this order.",
                )
        if self._is_plain:
            return self._limited(self._ask(self._frame(rows)))
        return self._ask_frames([[_without_nan(value) for value in row] for row in rows])

    def frame(self, frame: Any) -> NDArray[np.float64]:
        """The scores of a Polars or pandas frame's rows; columns are found by name.

        A frame is many rows at once, for which the estimator itself is as quick: it is always the one that is asked.

        Raises:
            InvalidInput: A column is missing or of another type.
        """
        if self._encoder is not None:
            return self._limited(self._ask(self._encoder.frame(frame)))
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
        frame = self._frame([list(row)])
        return list(frame.iloc[0]) if hasattr(frame, "iloc") else list(row)

    @property
    def is_prepared(self) -> bool:
        """Whether rows are made into something else before the estimator takes them."""
        return self._prepare is not None

    def attributed(self, rows: Sequence[Sequence[Any]]) -> Attributed | None:
        """What the framework says that the answers to rows are made of; see `ModelFormat.attributed`.

        Raises:
            InvalidInput: A value does not fit, or the rows cannot be prepared.
        """
        format, estimator = self._original()
        found: list[tuple[list[int], Attributed]] = []
        for members, x in self._natives(rows):
            told = format.attributed(estimator, x)
            if told is None or (found and told.parts.shape[1] != found[0][1].parts.shape[1]):
                return None
            found.append((members, told))
        if len(found) == 1:
            return found[0][1]
        parts, base = np.empty((len(rows), found[0][1].parts.shape[1])), np.empty(len(rows))
        for members, told in found:
            parts[members], base[members] = told.parts, told.base
        return Attributed(parts, base, found[0][1].is_sum)

    def columns(self, rows: Sequence[Sequence[Any]]) -> NDArray[np.float64] | None:
        """What the estimator takes, as numbers of shape `(n_rows, n_columns)`; None where it takes something else."""
        found: NDArray[np.float64] | None = None
        for members, x in self._natives(rows):
            values = np.asarray(x)
            if values.ndim != 2 or values.dtype.kind not in "biuf":
                return None
            found = np.empty((len(rows), values.shape[1])) if found is None else found
            found[members] = values
        return found

    def _natives(self, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[list[int], Any]]:
        """Rows as the estimator takes them, in frames or in one matrix, with their positions among all."""
        if self._encoder is not None:
            yield list(range(len(rows))), self._encoder.rows(rows)
            return
        plain = [[_without_nan(value) for value in row] for row in rows]
        for members in self._alike(plain):
            yield members, self._frame([plain[i] for i in members])

    def _alike(self, rows: list[list[Any]]) -> list[list[int]]:
        """The positions of rows whose frame has the same column types."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, row in enumerate(rows):
            groups.setdefault(tuple(i for i in self._strict if row[i] is None), []).append(index)
        return list(groups.values())

    def _ask_frames(self, rows: list[list[Any]]) -> NDArray[np.float64]:
        scores = np.empty(len(rows), dtype=np.float64)
        for members in self._alike(rows):
            scores[members] = self._ask(self._frame([rows[i] for i in members]))
        return self._limited(scores)

    def _limited(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return scores if self._within is None else self._within(scores)

    def _frame(self, rows: Sequence[Sequence[Any]]) -> Any:
        return self._original()[0].frame(self._layout, rows) if self._prepare is None else self._prepare(rows)

    def _ask(self, x: Any) -> NDArray[np.float64]:
        n = rows_in(x)
        if not n:
            return np.empty(0, dtype=np.float64)
        format, estimator = self._original()
        try:
            scores = format.predict(estimator, x, self._task)
        except InvalidInput:
            raise  # the format's own sentence, which may name the field
        except _REFUSALS as problem:
            raise RowRefused(
                f"The model refuses {'the row' if n == 1 else f'one of {n} rows'}: {problem}",
                why="What it was fitted on held no such value.",
                fix="Give values like those of training, or let the pipeline impute and ignore what it does not know.",
            ) from problem
        if not np.isfinite(scores).all():
            raise NotFinite(
                f"The model answers {scores[~np.isfinite(scores)][0]}.",
                why="Its inputs are far beyond those of training, or missing where it cannot do without them.",
                fix="Look at the row's values, and at how the pipeline treats missing ones.",
            )
        return scores


def _nothing(row: Sequence[Any]) -> None:
    return None


def _without_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
