"""What a compiled estimator is: data, versioned, and read back without running anything that it says.

A program is a list of steps. Step `i` makes array `i`: float64 or float32 of shape `(n_rows, width)`; it reads the arrays
of earlier steps by their numbers (`of`), and one array, of width 1, holds the scores. A step may also decline: the rows
then belong to the estimator itself.
"""

from __future__ import annotations

import zlib
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from slipway.errors import Corrupt

__all__ = [
    "Arithmetic", "Array", "Bins", "Blend", "Cast", "Check", "Clip", "Fill", "Forest", "Gaussian", "Interpolated", "Join",
    "Link", "Lookup", "Matrix", "Missing", "Numbers", "Pick", "Program", "Products", "Step", "Table", "Ufunc", "VERSION", "WHOLE",
    "decode_program", "encode_program", "width_of",
]  # fmt: skip

WHOLE = (-(2**53), 2**53)
"""Beyond these not every whole number is a float64."""
VERSION = 1
"""Of the steps' meaning: a program of another version is not run, and the estimator answers."""
Key: TypeAlias = str | int | float | bool
CellKind = Literal["float", "single", "int", "bool"]


class Array(Struct, frozen=True):
    """An array as bytes, little-endian in C order."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, value: Any, dtype: str = "<f8") -> Array:
        """The array with a value's elements."""
        found = np.ascontiguousarray(value, dtype=dtype)
        return cls(dtype, found.shape, found.tobytes())

    def numpy(self) -> NDArray[Any]:
        """The array; it cannot be written to."""
        return np.frombuffer(self.data, dtype=self.dtype).reshape(self.shape)


class Numbers(Struct, frozen=True, tag=True):
    """Inputs that are numbers: null is NaN, true is 1. It declines what is no number of the column's kind.

    Args:
        inputs: Positions in the signature.
        kinds: Of each; "single" is rounded to float32.
        ranges: Of each, the least and the greatest whole number that its column holds exactly.
        single: Whether scikit-learn makes a float32 array of the columns.
    """

    inputs: tuple[int, ...]
    kinds: tuple[CellKind, ...]
    ranges: tuple[tuple[int, int], ...]
    single: bool = False


class Table(Struct, frozen=True, tag=True):
    """One input by look-up: what the estimator's own encoders made of each value that they know.

    Args:
        input: Its position in the signature.
        kind: "text", or of numbers as of `Numbers`.
        keys: The known values.
        rows: Shape `(len(keys) + 2, width)`: of the known values, of null, and of every other value.
        null: Whether null has an answer; the encoders refuse it otherwise, and so does the program.
        other: Whether other values have an answer; likewise.
        range: Of whole numbers, as of `Numbers`.
    """

    input: int
    kind: CellKind | Literal["text"]
    keys: tuple[Key, ...]
    rows: Array
    null: bool = True
    other: bool = True
    range: tuple[int, int] = WHOLE


class Join(Struct, frozen=True, tag=True):
    """Arrays beside each other."""

    of: tuple[int, ...]


class Pick(Struct, frozen=True, tag=True):
    """Some columns, in the order given."""

    of: int
    columns: tuple[int, ...]


class Check(Struct, frozen=True, tag=True):
    """The same array; rows with infinities, or with `nan` false NaN, are declined: the estimator refuses them."""

    of: int
    nan: bool


class Cast(Struct, frozen=True, tag=True):
    """Rounded to float32; what does not fit into it is declined."""

    of: int


class Fill(Struct, frozen=True, tag=True):
    """Missing values (NaN, or `missing` where it is another number) replaced by a value a column."""

    of: int
    values: Array
    missing: float | None = None


class Missing(Struct, frozen=True, tag=True):
    """1 where one of some columns is missing, else 0."""

    of: int
    columns: tuple[int, ...]
    missing: float | None = None


class Arithmetic(Struct, frozen=True, tag=True):
    """Each column with a number of its own; the array's type stays."""

    of: int
    kind: Literal["add", "subtract", "multiply", "divide"]
    values: Array


class Clip(Struct, frozen=True, tag=True):
    """Cut to an interval."""

    of: int
    low: float
    high: float


class Ufunc(Struct, frozen=True, tag=True):
    """A function of NumPy on each element, by name; see `running.UFUNCS`."""

    of: int
    name: str


class Bins(Struct, frozen=True, tag=True):
    """The number of each column's bin: how many of its inner edges are not greater."""

    of: int
    edges: tuple[Array, ...]


class Lookup(Struct, frozen=True, tag=True):
    """Columns that are looked up among numbers, each giving some columns.

    Args:
        keys: For each column the known numbers, ascending.
        rows: For each column an array as of `Table`.
        null: Whether NaN has an answer, a column.
        other: Whether other numbers have one, a column.
    """

    of: int
    keys: tuple[Array, ...]
    rows: tuple[Array, ...]
    null: tuple[bool, ...]
    other: tuple[bool, ...]


class Products(Struct, frozen=True, tag=True):
    """Products of columns; an empty product is 1."""

    of: int
    columns: tuple[tuple[int, ...], ...]


class Matrix(Struct, frozen=True, tag=True):
    """The array times `weights` of shape `(width, new_width)`, plus `offset`."""

    of: int
    weights: Array
    offset: Array


class Forest(Struct, frozen=True, tag=True):
    """The sum of decision trees' values, added one after the other as the frameworks do it.

    Nodes of all trees lie one after the other. A row goes left where `value <= threshold`, where NaN goes left
    (`null_left`), or, at a node with a set, where the value cut to a whole number is in it. A leaf's children are itself.

    Args:
        features: Which column a node looks at.
        thresholds: float64; infinite at leaves.
        left: The left child.
        right: The right child.
        null_left: Whether NaN goes left.
        values: Of the leaves, 0 elsewhere.
        roots: The first node of each tree.
        sets: Bool of shape `(n_sets, n_codes)`.
        set_of: Which set a node has, -1 for none.
        start: What the sum starts from.
        flush: Values as near to 0 as this count as 0.
        covers: How much of the training data reached a node; None where that is not known, as in older programs.
    """

    of: int
    features: Array
    thresholds: Array
    left: Array
    right: Array
    null_left: Array
    values: Array
    roots: Array
    sets: Array
    set_of: Array
    start: float = 0.0
    flush: float = 0.0
    covers: Array | None = None


class Gaussian(Struct, frozen=True, tag=True):
    """The log-odds of two classes with independent normal columns: means and variances of shape `(2, width)`."""

    of: int
    means: Array
    variances: Array
    offset: float


class Interpolated(Struct, frozen=True, tag=True):
    """A piecewise linear function of the one column, constant beyond its ends or declined there."""

    of: int
    x: Array
    y: Array
    clip: bool


class Link(Struct, frozen=True, tag=True):
    """From a raw value to a score."""

    of: int
    kind: Literal["expit", "exp", "softplus", "relu", "signed_square"]


class Blend(Struct, frozen=True, tag=True):
    """The weighted sum of arrays."""

    of: tuple[int, ...]
    weights: tuple[float, ...]


Step: TypeAlias = (
    Numbers | Table | Join | Pick | Check | Cast | Fill | Missing | Arithmetic | Clip | Ufunc | Bins | Lookup | Products | Matrix
    | Forest | Gaussian | Interpolated | Link | Blend
)  # fmt: skip


class Program(Struct, frozen=True, kw_only=True):
    """A compiled estimator.

    Args:
        version: Of the steps' meaning.
        inputs: How many values a row has.
        steps: What is computed; a step whose array nobody reads only declines rows.
        score: The number of the step that makes the scores.
        folded: Whether a row alone is answered by one sum of what each input adds; see `folding`. That was proven too.
    """

    version: int = VERSION
    inputs: int
    steps: tuple[Step, ...]
    score: int
    folded: bool = False


def width_of(program: Program, number: int) -> int:
    """How many columns a step makes."""
    step = program.steps[number]
    if isinstance(step, Numbers):
        return len(step.inputs)
    if isinstance(step, Table):
        return step.rows.shape[1]
    if isinstance(step, Join):
        return sum(width_of(program, each) for each in step.of)
    if isinstance(step, Pick | Missing | Products):
        return len(step.columns)
    if isinstance(step, Matrix):
        return step.weights.shape[1]
    if isinstance(step, Lookup):
        return sum(rows.shape[1] for rows in step.rows)
    if isinstance(step, Forest | Gaussian | Interpolated | Blend):
        return 1
    return width_of(program, step.of)


class _Versioned(Struct):
    version: int


def encode_program(program: Program) -> bytes:
    """The program as it lies in a bundle."""
    return zlib.compress(msgspec.msgpack.encode(program), 3)


def decode_program(data: bytes) -> Program | None:
    """The program that `encode_program` wrote, None when it is of a version that this Slipway does not know.

    Raises:
        Corrupt: It is none.
    """
    try:
        plain = zlib.decompress(data)
        if msgspec.msgpack.decode(plain, type=_Versioned).version != VERSION:
            return None
        return msgspec.msgpack.decode(plain, type=Program)
    except (zlib.error, msgspec.DecodeError) as problem:
        raise Corrupt(f"A compiled model cannot be read: {problem}.") from problem
