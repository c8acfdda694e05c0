"""A model's inputs over rows that come in batches: the same encoding as `inputs`, of which one batch is in memory."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from slipway.errors import InvalidInput
from slipway.models.cases import positions
from slipway.models.frames import column_names, field_of
from slipway.records.schema import Field, Signature
from slipway.schema.encoding import Encoder
from slipway.stats.profiles import POOL, Profile, hours_of, profile_in_batches
from slipway.tables.row_batches import Batches, check_batch_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["InputBatches", "LearnedFrom", "Matrix", "batch_fields", "check_parts", "in_steps", "shuffled"]

_FEW = 10


class Matrix:
    """The encoded rows: float64 of shape `(n_rows, n_inputs)`, of which a batch is read when it is asked for.

    It is what `lightgbm.Dataset` takes as a `lightgbm.Sequence`: it reads the rows twice, and keeps their bins only.

    Args:
        rows: The rows.
        signature: Whose inputs are encoded.

    Attributes:
        shape: Rows and inputs.
        batch_size: How many rows are best read at once.
    """

    def __init__(self, rows: Batches, signature: Signature) -> None:
        self._rows, self._encode = rows, encoding(signature, rows.schema)
        self._names = [one.name for one in signature.inputs]
        self._held: tuple[int, NDArray[np.float64]] = (-1, np.empty((0, len(self._names))))
        self.shape = (rows.rows, len(self._names))
        self.batch_size = rows.batch_rows

    def __len__(self) -> int:
        """How many rows there are."""
        return self.shape[0]

    def __getitem__(self, index: int | slice | Sequence[int]) -> NDArray[np.float64]:
        """One row, a stretch of rows, or rows at ascending positions."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return self[range(start, stop, step)]
            if start % self.batch_size == 0 and stop - start <= self.batch_size:
                return self._batch(start // self.batch_size)[: max(stop - start, 0)]
            return self._read(start, max(stop - start, 0))
        if isinstance(index, Sequence | np.ndarray):
            picked = [self[int(place)] for place in index]
            return np.stack(picked) if picked else np.empty((0, self.shape[1]))
        place = range(len(self))[index]  # with what it says where there is none
        row: NDArray[np.float64] = self._batch(place // self.batch_size)[place % self.batch_size]
        return row

    def _batch(self, number: int) -> NDArray[np.float64]:
        if self._held[0] != number:
            self._held = (-1, self._held[1][:0])  # two are never held
            self._held = (number, self._read(number * self.batch_size, self.batch_size))
        return self._held[1]

    def _read(self, start: int, count: int) -> NDArray[np.float64]:
        return self._encode(self._rows.slice(start, count, self._names))


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedFrom:
    """What a model remembers of the rows that taught it.

    Args:
        positions: Of the rows that become its reference cases.
        rows: These rows.
        matrix: These rows encoded.
        profile: Of all rows.
    """

    positions: list[int]
    rows: pl.DataFrame
    matrix: NDArray[np.float64]
    profile: Profile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputBatches:
    """Training rows as a model takes them, batch by batch.

    Args:
        signature: What the model will take, in order, with the categories in the order of their codes.
        label: The label's column, "" where none was named.
        at: The column that says when each row was decided, "" where none was named.
        rows: The rows as they were given.
        labels_of: Reads the truth from a frame.
    """

    signature: Signature
    label: str = ""
    at: str = ""
    rows: Batches = field(repr=False)
    labels_of: Callable[[pl.DataFrame, str], NDArray[np.float64]] = field(repr=False)

    @property
    def names(self) -> list[str]:
        """The inputs' names in the matrix's order."""
        return [item.name for item in self.signature.inputs]

    @property
    def categorical(self) -> list[int]:
        """Which of the matrix's columns hold category codes, for `lgb.Dataset(categorical_feature=...)`."""
        return [i for i, item in enumerate(self.signature.inputs) if item.type == "category"]

    @property
    def matrix(self) -> Matrix:
        """The encoded rows; LightGBM takes them as its `Sequence`."""
        lightgbm = sys.modules.get("lightgbm")
        if (
            lightgbm is not None
        ):  # it asks for its own class, whose two methods `Matrix` has; who uses it has imported it
            lightgbm.Sequence.register(Matrix)
        return Matrix(self.rows, self.signature)

    @property
    def labels(self) -> NDArray[np.float64] | None:
        """The truth as float64 of shape `(n_rows,)`, read when it is asked for; None where no label was named."""
        if not self.label:
            return None
        found, start = np.empty(self.rows.rows), 0  # filled in place: joined at the end they would be there twice
        for frame in self.rows.select([self.label]):
            found[start : start + frame.height] = self.labels_of(frame, self.label)
            start += frame.height
        return found

    def batches(
        self, seed: int | None = None, *, rows: int | None = None
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Encoded rows and their labels, batch by batch: for `partial_fit`, and for loops that take steps on few rows.

        Args:
            seed: Another order for each seed: of the stored batches, and of the rows in each. None for the rows' own order.
            rows: How many rows are given at once; left out, as many as a stored batch has.

        Raises:
            InvalidInput: No label was named, or one is missing.
        """
        if not self.label:
            raise InvalidInput(
                "The inputs have no label.", fix="Name it: sw.inputs(rows, features, label='late').", field="label"
            )
        yield from in_steps(self._shuffled(seed), rows)

    def _shuffled(self, seed: int | None) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        encode = encoding(self.signature, self.rows.schema)
        for number, order in shuffled(self.rows.rows, self.rows.batch_rows, seed):
            frame = self.rows.slice(number * self.rows.batch_rows, self.rows.batch_rows, [*self.names, self.label])
            matrix, labels = encode(frame), self.labels_of(frame, self.label)
            yield (matrix, labels) if order is None else (matrix[order], labels[order])

    def parts(self, count: int, *, seed: int = 0) -> Iterator[InputBatches]:
        """The rows in parts, each row in one of them by chance: where the algorithm holds what it learns from in memory.

        Args:
            count: How many parts; 1 gives these inputs themselves.
            seed: Another choice for each seed. The same rows, count and seed are the same parts, in batches and in memory.

        Raises:
            InvalidInput: The count is no whole number from 1 to the number of rows.
        """
        check_parts(count, self.rows.rows)
        return (self.encode(self.rows.part(number, count, seed)) for number in range(count))

    def encode(self, rows: Batches) -> InputBatches:
        """Other rows as the same inputs, for a validation set: a category that these never had is missing.

        Raises:
            InvalidInput: They lack a column.
        """
        column_names(rows, [*self.names, *([self.label] if self.label else [])])
        return InputBatches(signature=self.signature, label=self.label, rows=rows, labels_of=self.labels_of)

    def learned_from(self) -> LearnedFrom:
        """What a model remembers of the rows: read twice, of which one batch is in memory."""
        look = _Look(self)
        made = profile_in_batches(look, self.rows.rows, pairs=POOL)
        if not look.is_done:
            deque(look(), maxlen=0)
        rows = look.rows()
        encode = encoding(self.signature, self.rows.schema)
        # Texts that were never there are left out, as they are of a frame.
        kept = tuple(one for one in made.columns if one.is_numeric or one.present)
        return LearnedFrom(
            positions=look.positions,
            rows=rows,
            matrix=encode(rows),
            profile=msgspec.structs.replace(made, columns=kept, hours=self._hours()),
        )

    def _hours(self) -> tuple[int, ...]:
        """The rows by weekday and hour of their decision, () where no column tells it."""
        if not self.at:
            return ()
        counted = [hours_of(frame[self.at]) for frame in self.rows.select([self.at])]
        return tuple(map(sum, zip(*counted, strict=True)))


class _Look:
    """Gives the columns for a profile, twice: first it looks for missing values, then it picks the rows of the cases."""

    def __init__(self, inputs: InputBatches) -> None:
        self._fields, self._batches = inputs.signature.inputs, inputs.rows
        self._encode = encoding(inputs.signature, inputs.rows.schema)
        self._missing: list[list[int]] | None = None
        self._picked: list[pl.DataFrame] = []
        self.positions: list[int] = []
        self.is_done = False

    def __call__(self) -> Iterator[dict[str, Any]]:
        found: list[list[int]] = [[] for _ in self._fields]
        if self._missing is not None:
            self.positions = positions(self._batches.rows, self._missing)
        start = 0
        for frame in self._batches.select([one.name for one in self._fields]):
            matrix = self._encode(frame)
            for column, places in zip(matrix.T, found, strict=True):
                if len(places) < _FEW:
                    places += (np.flatnonzero(np.isnan(column))[: _FEW - len(places)] + start).tolist()
            if self._missing is not None:
                self._picked.append(frame[[at - start for at in self.positions if start <= at < start + frame.height]])
            start += frame.height
            yield {one.name: self._column(one, frame, matrix[:, place]) for place, one in enumerate(self._fields)}
        self.is_done = self._missing is not None
        self._missing = found

    def rows(self) -> pl.DataFrame:
        """The rows at `positions`."""
        names = [one.name for one in self._fields]
        return pl.concat(self._picked) if self._picked else self._batches.slice(0, 0, names)

    def _column(self, one: Field, frame: pl.DataFrame, encoded: NDArray[np.float64]) -> Any:
        if one.type not in ("category", "string"):
            return encoded
        return frame[one.name].cast(pl.String)


def batch_fields(rows: Batches, names: Sequence[str]) -> tuple[Field, ...]:
    """The inputs' fields: types from the columns, categories from the columns of texts, which are read for them.

    Raises:
        InvalidInput: A column holds what is no input.
    """
    found = []
    for name in names:
        kind = rows.schema[name]
        one = field_of(name, pl.Series(name, [], dtype=kind))
        if one.type == "string" or (one.type == "category" and not isinstance(kind, pl.Enum)):
            values = rows.lazy().select(pl.col(name).cast(pl.String).drop_nulls().unique()).collect(engine="streaming")
            one = Field(name, "category", True, tuple(sorted(values.to_series().to_list())))
        found.append(msgspec.structs.replace(one, nullable=True))
    return tuple(found)


def check_parts(count: object, rows: int) -> None:
    """Refuse what is no number of parts of so many rows.

    Raises:
        InvalidInput: It is no whole number, or some part would have no row.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= max(rows, 1):
        raise InvalidInput(
            f"{rows:,} rows cannot be divided into {count!r} parts.",
            why="Each part has rows of its own.",
            fix="Give a whole number from 1 to the number of rows.",
            field="parts",
        )


def shuffled(rows: int, batch_rows: int, seed: int | None) -> Iterator[tuple[int, NDArray[np.intp] | None]]:
    """The numbers of the batches and the order of the rows in each, None for as they are.

    Args:
        rows: How many rows there are.
        batch_rows: How many a batch has.
        seed: Of the order, None for the rows' own.
    """
    count = -(-rows // batch_rows)
    if seed is None:
        yield from ((number, None) for number in range(count))
        return
    for number in np.random.default_rng(seed).permutation(count).tolist():
        size = min(batch_rows, rows - number * batch_rows)
        yield number, np.random.default_rng((seed, number)).permutation(size)


def in_steps(
    batches: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]], rows: int | None
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The same rows in the same order, so many at once; the last may be fewer.

    Args:
        batches: Rows and labels.
        rows: How many are given at once; None for as they come.

    Raises:
        InvalidInput: It is less than 1.
    """
    if rows is None:
        yield from batches
        return
    check_batch_rows(rows)
    held: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None  # fewer rows than are given at once
    for matrix, labels in batches:
        if held is not None:
            matrix, labels = np.concatenate([held[0], matrix]), np.concatenate([held[1], labels])
        whole = len(labels) // rows * rows
        for start in range(0, whole, rows):
            yield matrix[start : start + rows], labels[start : start + rows]
        held = matrix[whole:].copy(), labels[whole:].copy()
    if held is not None and len(held[1]):
        yield held


def encoding(signature: Signature, schema: pl.Schema) -> Callable[[pl.DataFrame], NDArray[np.float64]]:
    """What `Encoder.frame` gives for frames of a schema, bit for bit; by column where all have a form that Polars casts."""
    fields = signature.inputs
    by_hand = Encoder(signature)
    if not all(_is_cast(one, schema.get(one.name)) for one in fields):
        return by_hand.frame
    made = [_number(one) if one.type in ("bool", "int", "float") else _code(one) for one in fields]

    def encode(frame: pl.DataFrame) -> NDArray[np.float64]:
        return frame.select(made).to_numpy(order="c") if made else np.empty((frame.height, 0))

    return encode


def _is_cast(one: Field, kind: pl.DataType | None) -> bool:
    if one.type in ("bool", "int", "float"):
        return kind is not None and (kind.is_integer() or kind.is_float() or isinstance(kind, pl.Boolean | pl.Null))
    return isinstance(kind, pl.String | pl.Categorical | pl.Enum)


def _number(one: Field) -> pl.Expr:
    return pl.col(one.name).cast(pl.Float64).fill_null(float("nan"))


def _code(one: Field) -> pl.Expr:
    texts = pl.col(one.name).cast(pl.String)
    codes = [float(code) for code in range(len(one.categories))]
    if not codes:
        return texts.is_null().cast(pl.Float64) * float("nan")  # a column without any value
    return texts.replace_strict(list(one.categories), codes, default=None, return_dtype=pl.Float64).fill_null(
        float("nan")
    )
