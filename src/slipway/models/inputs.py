"""The inputs of a model, fixed on its training rows: names, types, and the order of the categories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

import msgspec
import numpy as np

from slipway.errors import InvalidInput
from slipway.models.batch_inputs import InputBatches, batch_fields, check_parts, in_steps, shuffled
from slipway.models.frames import column_names, field_of, is_frame, take
from slipway.models.profiled import decision_times
from slipway.records.schema import Field, Signature
from slipway.schema.encoding import Encoder, is_null
from slipway.tables.row_batches import BATCH_ROWS, Batches, part_numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Inputs", "inputs", "inputs_of_array"]

_SCORE = (Field("score", "float", nullable=False),)


@runtime_checkable
class _Named(Protocol):
    @property
    def names(self) -> Iterable[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """Training rows as a model takes them.

    Args:
        signature: What the model will take, in order, with the categories in the order of their codes.
        matrix: The encoded rows, float64 of shape `(n_rows, n_inputs)`; missing values are NaN.
        labels: The truth as float64 of shape `(n_rows,)`, None where no label was named.
        label: The label's column, "" where none was named.
        at: The column that says when each row was decided, "" where none was named.
        frame: The rows as they were given.
    """

    signature: Signature
    matrix: NDArray[np.float64] = field(repr=False)
    labels: NDArray[np.float64] | None = field(default=None, repr=False)
    label: str = ""
    at: str = ""
    frame: Any = field(repr=False)

    @property
    def names(self) -> list[str]:
        """The inputs' names in the matrix's order."""
        return [item.name for item in self.signature.inputs]

    @property
    def categorical(self) -> list[int]:
        """Which of the matrix's columns hold category codes, for `lgb.Dataset(categorical_feature=...)`."""
        return [i for i, item in enumerate(self.signature.inputs) if item.type == "category"]

    def batches(
        self, seed: int | None = None, *, rows: int | None = None
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """The matrix and its labels in batches, as `InputBatches.batches` gives those of a stored table.

        Args:
            seed: Another order for each seed: of stretches of 100,000 rows, and of the rows in each. None for the rows'
                own order.
            rows: How many rows are given at once; 100,000 when left out.

        Raises:
            InvalidInput: No label was named.
        """
        if self.labels is None:
            raise InvalidInput(
                "The inputs have no label.", fix="Name it: sw.inputs(rows, features, label='late').", field="label"
            )
        yield from in_steps(self._shuffled(self.labels, seed), rows)

    def _shuffled(
        self, labels: NDArray[np.float64], seed: int | None
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        for number, order in shuffled(len(labels), BATCH_ROWS, seed):
            inside = slice(number * BATCH_ROWS, (number + 1) * BATCH_ROWS)
            x, y = self.matrix[inside], labels[inside]
            yield (x, y) if order is None else (x[order], y[order])

    def parts(self, count: int, *, seed: int = 0) -> Iterator[Inputs]:
        """The rows in parts, each row in one of them by chance; see `InputBatches.parts`.

        Raises:
            InvalidInput: The count is no whole number from 1 to the number of rows.
        """
        check_parts(count, len(self.matrix))
        return (self._part(number, count, seed) for number in range(count))

    def _part(self, number: int, count: int, seed: int) -> Inputs:
        if count == 1:
            return self
        numbers = np.concatenate(list(part_numbers(len(self.matrix), count, seed)))
        places = np.flatnonzero(numbers == number)
        return replace(
            self,
            matrix=self.matrix[places],
            labels=None if self.labels is None else self.labels[places],
            frame=take(self.frame, places.tolist()),
        )

    def encode(self, rows: Any) -> Inputs:
        """Other rows as the same inputs, for a validation set: a category that these never had is missing.

        Raises:
            InvalidInput: They lack a column, or a label.
        """
        return Inputs(
            signature=self.signature,
            matrix=Encoder(self.signature).frame(rows),
            labels=label_values(rows, self.label) if self.label else None,
            label=self.label,
            frame=rows,
        )


@overload
def inputs(
    rows: Batches, names: Iterable[str] | _Named | None = None, *, label: str = "", at: str = ""
) -> InputBatches: ...
@overload
def inputs(rows: Any, names: Iterable[str] | _Named | None = None, *, label: str = "", at: str = "") -> Inputs: ...
def inputs(
    rows: Any, names: Iterable[str] | _Named | None = None, *, label: str = "", at: str = ""
) -> Inputs | InputBatches:
    """Fix a model's inputs on its training rows.

    Numbers and booleans stay; texts and categories become codes in a fixed order (declared order, else sorted), so that
    serving encodes a row to the very same numbers.

    Args:
        rows: The training rows: a Polars or pandas DataFrame; or batches of a stored table, of which one is in memory.
        names: The columns to take, in order: names, or something that has `names`, like a feature set. Left out, all
            columns but the label.
        label: The column of the truth; it becomes `labels`, and evaluations know it.
        at: The column that says when each row was decided, as `training_set` has it: then the model's reference profile
            knows its rows by weekday and hour.

    Raises:
        InvalidInput: A column is missing, holds dates or mixed types, a label is missing, or `at` holds no instants.

    Example:
        >>> import polars as pl
        >>> rows = pl.DataFrame({"carrier": ["UA", None, "AA"], "distance": [100, 200, 300], "late": [1, 0, 0]})
        >>> fixed = inputs(rows, label="late")
        >>> fixed.names, fixed.categorical
        (['carrier', 'distance'], [0])
    """
    if not is_frame(rows) and not isinstance(rows, Batches):
        raise InvalidInput(
            f"The training rows are a {type(rows).__module__}.{type(rows).__qualname__}.",
            why="A Polars or pandas DataFrame is expected, or batches of a stored table.",
            fix="Collect a LazyFrame first: rows.collect().",
        )
    wanted = names.names if isinstance(names, _Named) else names
    if wanted is None:
        wanted = [str(name) for name in rows.columns if str(name) != label]
    chosen = column_names(rows, wanted)
    if label in chosen:
        raise InvalidInput(
            f"The label {label!r} is among the inputs.", why="A model cannot be asked with its own answer.", field=label
        )
    if isinstance(rows, Batches):
        if label:
            column_names(rows, [label])
        signature = Signature(batch_fields(rows, chosen), _SCORE)
        decision_times(rows.slice(0, 1, [at]) if at in rows.columns else rows, at)
        return InputBatches(signature=signature, label=label, at=at, rows=rows, labels_of=label_values)
    # Nullable until the model itself refuses a null: that is asked when it is made.
    fields = tuple(_coded(name, rows[name]) for name in chosen)
    signature = Signature(fields, _SCORE)
    matrix = Encoder(signature).frame(rows)
    decision_times(rows, at)
    labels = label_values(rows, label) if label else None
    return Inputs(signature=signature, matrix=matrix, labels=labels, label=label, at=at, frame=rows)


def inputs_of_array(array: NDArray[Any], names: Iterable[str] | None = None) -> Inputs:
    """Inputs of an estimator that was fitted on a plain array of numbers.

    Args:
        array: Numbers of shape `(n_rows, n_inputs)`.
        names: The inputs' names; x0, x1, ... when left out.
    """
    matrix = np.asarray(array, dtype=np.float64)
    known = tuple(names) if names is not None else tuple(f"x{i}" for i in range(matrix.shape[1]))
    return Inputs(signature=Signature(tuple(Field(name, "float") for name in known), _SCORE), matrix=matrix, frame=None)


def label_values(rows: Any, label: str) -> NDArray[np.float64]:
    """The column of the truth as float64: true is 1, false is 0.

    Raises:
        InvalidInput: It is missing, holds nulls, or is not a number or boolean.
    """
    (name,) = column_names(rows, [label])
    values = list(rows[name].to_list())
    missing = sum(is_null(value) for value in values)
    if missing:
        raise InvalidInput(
            f"The label {label!r} is missing in {missing:,} of {len(values):,} rows.",
            fix="Leave out rows whose truth is not known yet.",
            field=label,
        )
    kind = field_of(name, rows[name]).type
    if kind not in ("bool", "int", "float"):
        raise InvalidInput(
            f"The label {label!r} is of type {kind}.",
            why="A label is a number, or true or false.",
            fix=f"For two classes: (rows[{label!r}] == 'the positive one').",
            field=label,
        )
    return np.asarray(values, dtype=np.float64)


def _coded(name: str, series: Any) -> Field:
    found = field_of(name, series)
    if found.type != "string":
        return msgspec.structs.replace(found, nullable=True)
    present = tuple(sorted({value for value in series.to_list() if isinstance(value, str)}))
    return Field(name, "category", True, present)
