"""A program while it is being written: its steps, and what is known of the arrays that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from slipway.models.compiled import program as steps
from slipway.models.compiled.program import WHOLE, Array, CellKind, Program, Step
from slipway.ports.model_format import FrameColumn
from slipway.records.schema import Field

__all__ = ["Block", "Builder", "NotCompiled", "Raw", "kind_of", "name_of", "plain_array", "range_of"]


class NotCompiled(Exception):
    """An estimator, or a part of it, has no compiled form.

    Args:
        why: The sentence, naming the part and its parameter.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Raw(NamedTuple):
    """Columns of the frame as a request carries them: not yet numbers."""

    columns: tuple[int, ...]


class Block(NamedTuple):
    """An array that a step makes.

    Args:
        number: The step's.
        width: How many columns it has.
        single: Whether it is of float32.
    """

    number: int
    width: int
    single: bool = False


class Builder:
    """Collects steps.

    Args:
        fields: The model's inputs.
        layout: The frame's columns, () where the estimator takes the encoded matrix.
        frame: Builds a frame of some of the layout's columns out of rows of plain values.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        layout: Sequence[FrameColumn],
        frame: Callable[[Sequence[FrameColumn], Sequence[Sequence[Any]]], Any],
    ) -> None:
        self.fields, self.layout, self.frame = tuple(fields), tuple(layout), frame
        self.steps: list[Step] = []

    def add(self, step: Step, width: int, single: bool = False) -> Block:
        """Append a step."""
        self.steps.append(step)
        return Block(len(self.steps) - 1, width, single)

    def numbers(self, value: Raw | Block) -> Block:
        """Columns as numbers, as scikit-learn makes an array of a frame.

        Raises:
            NotCompiled: A column holds texts.
        """
        if isinstance(value, Block):
            return value
        kinds = []
        for index in value.columns:
            kind = kind_of(self.fields[index], self.layout[index].dtype)
            if kind is None:
                raise NotCompiled(
                    f"The column {self.fields[index].name!r} holds texts and reaches the model unencoded."
                )
            kinds.append(kind)
        single = self._is_single(value)
        ranges = tuple(range_of(self.layout[index].dtype) for index in value.columns)
        block = self.add(steps.Numbers(value.columns, tuple(kinds), ranges, single), len(kinds), single)
        whole = [place for place, kind in enumerate(kinds) if kind != "single"]
        if single and whole:  # with a null in it such a column is float64, and so is the array
            self.check(self.pick(block, whole), nan=False)
        return block

    def _is_single(self, value: Raw) -> bool:
        try:
            return np.result_type(*(np.dtype(self.layout[index].dtype) for index in value.columns)) == np.float32
        except (TypeError, ValueError):  # pandas' own types
            return False

    def join(self, blocks: Sequence[Block]) -> Block:
        """Blocks beside each other; the wider type wins."""
        blocks = [block for block in blocks if block.width]
        if len(blocks) == 1:
            return blocks[0]
        if not blocks:
            raise NotCompiled("A part of the pipeline makes no column at all.")
        single = all(block.single for block in blocks)
        return self.add(steps.Join(tuple(b.number for b in blocks)), sum(b.width for b in blocks), single)

    def pick(self, block: Block, columns: Sequence[int]) -> Block:
        """Some of a block's columns."""
        chosen = tuple(int(column) for column in columns)
        if chosen == tuple(range(block.width)):
            return block
        return self.add(steps.Pick(block.number, chosen), len(chosen), block.single)

    def check(self, block: Block, *, nan: bool) -> Block:
        """The block, with rows declined that scikit-learn's validation refuses."""
        return self.add(steps.Check(block.number, nan), block.width, block.single)

    def arithmetic(self, block: Block, kind: Any, values: Any, *, cast: bool = False) -> Block:
        """Each column with a number of its own; `cast` rounds the numbers to the block's type first."""
        found = np.broadcast_to(np.asarray(values, dtype=np.float64), (block.width,))
        dtype = "<f4" if cast and block.single else "<f8"
        return self.add(steps.Arithmetic(block.number, kind, Array.of(found, dtype)), block.width, block.single)

    def matrix(self, block: Block, weights: Any, offset: Any) -> Block:
        """The block times weights of shape `(width, new_width)`, plus an offset a new column."""
        weights, offset = plain_array(weights), np.atleast_1d(plain_array(offset))
        kept = [array.astype(np.float64) if array.dtype != np.float32 else array for array in (weights, offset)]
        single = block.single and all(array.dtype == np.float32 for array in kept)
        arrays = [Array.of(array, array.dtype.newbyteorder("<").str) for array in kept]
        return self.add(steps.Matrix(block.number, arrays[0], arrays[1]), kept[0].shape[1], single)

    def link(self, block: Block, kind: Any) -> Block:
        """A function from raw values to scores."""
        return self.add(steps.Link(block.number, kind), block.width, block.single)

    def blend(self, blocks: Sequence[Block], weights: Sequence[float]) -> Block:
        """The weighted sum of blocks."""
        numbers, shares = tuple(b.number for b in blocks), tuple(float(w) for w in weights)
        return self.add(steps.Blend(numbers, shares), blocks[0].width)

    def program(self, last: Block) -> Program:
        """The program whose answer is a block.

        Columns that nothing reads are read here: a frame cannot be built of what does not fit them.
        """
        if last.width != 1:
            raise NotCompiled("The pipeline does not end in one score a row.")
        read = {place for step in self.steps if isinstance(step, steps.Numbers) for place in step.inputs}
        read |= {step.input for step in self.steps if isinstance(step, steps.Table)}
        for place in range(len(self.layout)):
            if place not in read:
                self._read(place)
        return Program(inputs=len(self.fields), steps=tuple(self.steps), score=last.number)

    def _read(self, place: int) -> None:
        kind = kind_of(self.fields[place], self.layout[place].dtype)
        if kind is None:
            self.add(steps.Table(place, "text", (), Array.of(np.zeros((2, 0)))), 0)
        else:
            dtype = self.layout[place].dtype
            self.add(steps.Numbers((place,), (kind,), (range_of(dtype),)), 1)


def kind_of(field: Field, dtype: str) -> CellKind | None:
    """What kind of number a column of the frame holds, None for texts and categories."""
    lower = dtype.lower()
    if lower.startswith("bool"):
        return "bool"
    if lower.startswith(("int", "uint")):
        return "int"
    if lower == "float16":
        raise NotCompiled(f"The column {field.name!r} is of float16.")
    if lower.startswith("float"):
        return "single" if lower == "float32" else "float"
    if lower == "object" and field.type in ("bool", "int", "float"):
        return field.type
    return None


def range_of(dtype: str) -> tuple[int, int]:
    """The whole numbers that a column holds, and a float64 exactly."""
    lower = dtype.lower()
    if not lower.startswith(("int", "uint")):
        return WHOLE
    limits = np.iinfo(lower)
    return max(int(limits.min), WHOLE[0]), min(int(limits.max), WHOLE[1])


def name_of(part: Any) -> str:
    """The class of a part of scikit-learn by name; "" for anything else, also for what inherits from such a class."""
    home = type(part).__module__.partition(".")[0]
    return type(part).__name__ if home in ("sklearn", "lightgbm") else ""


def plain_array(value: Any) -> np.ndarray[Any, Any]:
    """A dense array of a fitted attribute."""
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value)
