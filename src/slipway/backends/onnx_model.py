"""A model of ONNX with a session of onnxruntime: what it takes, what it gives, and rows made into its tensors.

A tensor has no place for a missing value but NaN among floats. So whatever a model would answer to a null without saying
that it was one is refused: in texts, whole numbers and booleans always, in floats where training rows had none.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec import Struct

from slipway.backends.onnx_session import (
    FAILURES,
    FLOATS,
    WHOLES,
    Slot,
    first_line,
    open_session,
    output_of,
    read_facts,
    several,
    slot_of,
    takes_one,
)
from slipway.errors import InvalidInput, RowRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Asked", "OnnxModel", "Rows"]

_NUMBERS = {float, int, bool, type(None)}
_SHOWN = 60


class Rows(NamedTuple):
    """Rows of plain values with their columns' names, () where they have none."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]

    def __len__(self) -> int:
        return len(self.rows)


class _Plan(NamedTuple):
    """Of rows with certain names: the names, each one's slot, and which of them are floats and which are not."""

    names: tuple[str, ...]
    slots: tuple[Slot, ...]
    floats: tuple[int, ...]
    others: tuple[int, ...]


class Asked(Struct, frozen=True):
    """How a model is asked, learned from rows that it was trained on.

    Args:
        nulls: For each column whether training rows lacked it, None before that was looked at: any may be missing.
        alone: Whether each row is asked by itself, because its answer's last bits depend on how many are asked at once.
    """

    nulls: tuple[bool, ...] | None = None
    alone: bool = False


class OnnxModel:
    """A model that can be asked. Safe for threads, each answer computed by one.

    Args:
        data: The model's bytes.
        asked: How it is asked.

    Raises:
        InvalidInput: onnxruntime does not load it, or its inputs or outputs cannot be served; the sentence says which.
    """

    def __init__(self, data: bytes, asked: Asked | None = None) -> None:
        self.data, self.asked = data, asked or Asked()
        self.facts = read_facts(data)
        self._session = open_session(data, self.facts)
        given = self._session.get_inputs()
        self.slots = tuple(slot_of(one, alone=len(given) == 1) for one in given)
        self._is_alone = takes_one(given) or self.asked.alone
        self.output = output_of(self._session.get_outputs())
        self._outputs = [self.output.name]
        self.is_matrix = len(self.slots) == 1 and not self.slots[0].is_vector and self.slots[0].width != 1
        """Whether it takes all columns as one tensor, in their order."""
        self._plans: dict[tuple[tuple[str, ...], int], _Plan] = {}

    @property
    def feature_names_in_(self) -> list[str] | None:
        """The columns that it names; None where it takes them all as one tensor."""
        return None if self.is_matrix else [slot.name for slot in self.slots]

    def ask(self, x: Rows) -> NDArray[np.float64]:
        """What it gives for rows: one value a row, or two of two classes; shape `(n_rows, 1)` or `(n_rows, 2)`.

        Raises:
            InvalidInput: A value does not fit its column, or the model refuses the rows.
        """
        feeds = self._feeds(x)
        if self._is_alone:
            parts = ({name: array[i : i + 1] for name, array in feeds.items()} for i in range(len(x)))
            return np.concatenate([self._run(part, 1) for part in parts])
        if len(x) > 1:
            return self._run(feeds, len(x))
        # One row is summed in another order than several: it is asked twice at once, and gives what it gives among others.
        return self._run({name: np.concatenate([array, array]) for name, array in feeds.items()}, 2)[:1]

    def _run(self, feeds: dict[str, Any], count: int) -> NDArray[np.float64]:
        try:
            (found,) = self._session.run(self._outputs, feeds)
        except FAILURES as problem:
            raise RowRefused(
                f"The ONNX model refuses {'the row' if count == 1 else f'one of {count} rows'}: {first_line(problem)}",
                why="onnxruntime fails on it.",
                fix="Give values like those of training; or export the model for any number of rows (a dynamic first axis).",
            ) from problem
        values = _of_maps(found) if self.output.is_map else np.asarray(found, dtype=np.float64)
        if values.shape == (count,):
            values = values[:, None]
        if values.ndim != 2 or len(values) != count or values.shape[1] not in (1, 2):
            raise several(self.output.name, values.shape, count)
        return values

    def _feeds(self, x: Rows) -> dict[str, Any]:
        if not x.rows:
            x = Rows(x.columns or tuple(slot.name for slot in self.slots), ())
        plan = self._plans.get((x.columns, len(x.rows[0]) if x.rows else len(x.columns)))
        if plan is None:
            plan = self._planned(x)
        columns = list(zip(*x.rows, strict=True)) or [()] * len(plan.names)
        feeds: dict[str, Any] = {}
        if plan.floats:
            block = self._block(plan, [columns[place] for place in plan.floats], plan.floats)
            if self.is_matrix:
                return {self.slots[0].name: np.ascontiguousarray(block.T)}
            for place, row in zip(plan.floats, block, strict=True):
                slot = plan.slots[place]
                feeds[slot.name] = row if slot.is_vector else row[:, None]
        for place in plan.others:
            slot = plan.slots[place]
            array = _array(slot, plan.names[place], columns[place], self._may_lack(place))
            feeds[slot.name] = array if slot.is_vector else array[:, None]
        if self.is_matrix:
            arrays = [_array(self.slots[0], name, column, self._may_lack(i)) for i, (name, column) in enumerate(zip(plan.names, columns, strict=True))]  # fmt: skip
            return {self.slots[0].name: np.stack(arrays, axis=1)}
        return feeds

    def _block(self, plan: _Plan, columns: Sequence[Sequence[Any]], places: Sequence[int]) -> NDArray[Any]:
        """Columns of floats as one array, a row of it each, so that they are looked at together."""
        single = plan.slots[places[0]].type == "tensor(float)"
        if set(map(type, chain.from_iterable(columns))) <= _NUMBERS:
            try:
                found = np.array(columns, dtype=np.float64)
            except OverflowError:
                found = None
            if found is not None and self._has_nulls_of_training(found, places):
                cast = _cast(found, single=single)
                if cast is not None:
                    return cast
        return np.array([_array(plan.slots[place], plan.names[place], column, self._may_lack(place)) for place, column in zip(places, columns, strict=True)])  # fmt: skip

    def _has_nulls_of_training(self, found: NDArray[np.float64], places: Sequence[int]) -> bool:
        lacks = np.isnan(found)
        if self.asked.nulls is None or not lacks.any():
            return True
        return all(self.asked.nulls[places[row]] for row in np.flatnonzero(lacks.any(axis=1)).tolist())

    def _planned(self, x: Rows) -> _Plan:
        """Which column goes where; worked out once for rows of the same names."""
        width = len(x.rows[0]) if x.rows else len(x.columns)
        names = x.columns or tuple(f"x{i}" for i in range(width))
        first = self.slots[0]
        if len(self.slots) == 1:
            self._check_width(first, width, x.columns)
            slots = (first,) * width
        else:
            if lacking := [slot.name for slot in self.slots if slot.name not in x.columns]:
                raise self._unnamed(lacking, x)
            known = {slot.name: slot for slot in self.slots}
            slots = tuple(known.get(name, first) for name in names)
        used = range(width) if len(self.slots) == 1 else [i for i, name in enumerate(names) if name in known]
        kinds = {slots[i].type for i in used} & FLOATS.keys()
        # Both kinds of floats in one model are rare: each column then goes by itself.
        floats = [i for i in used if slots[i].type in FLOATS] if len(kinds) == 1 else []
        others = [] if self.is_matrix else [i for i in used if i not in floats]
        plan = self._plans[x.columns, width] = _Plan(names, slots, tuple(floats), tuple(others))
        return plan

    def _unnamed(self, lacking: list[str], x: Rows) -> InvalidInput:
        who = "the sample does not have" if x.columns else "rows without names do not say"
        return InvalidInput(
            f"The ONNX model takes {', '.join(map(repr, lacking))}, which {who}.",
            why=f"It has one input a column: {', '.join(slot.name for slot in self.slots)}.",
            fix="Give a frame with columns of these names: sw.Model(model, sample=frame).",
            field=lacking[0],
        )

    def _check_width(self, slot: Slot, width: int, names: Sequence[str]) -> None:
        wanted = 1 if slot.is_vector else slot.width
        if wanted and width != wanted:
            shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise InvalidInput(
                f"The ONNX model takes {wanted} columns as {slot.name!r}, and the sample has {width}{': ' if names else ''}{shown}.",
                why="An ONNX model does not name the columns of one tensor: they are the sample's, in the sample's order.",
                fix="Give the columns that it was trained on, in that order: sample=X[['first', 'second', ...]].",
            )

    def _may_lack(self, place: int) -> bool:
        return self.asked.nulls is None or self.asked.nulls[place]


def _array(slot: Slot, name: str, values: Sequence[Any], may_lack: bool) -> NDArray[Any]:
    """One column as the tensor's type.

    Raises:
        InvalidInput: A value does not fit; row and column are named.
    """
    if slot.type == "tensor(string)" and set(map(type, values)) <= {str}:
        return np.array(values, dtype=object)
    for index, value in enumerate(values):
        if value is None or value != value:
            if slot.type not in FLOATS or not may_lack:
                raise _null(slot, name, index)
        elif not _fits(slot.type, value):
            raise InvalidInput(
                f"Row {index} gives {_shown(value)} for {name!r}.",
                why=f"The ONNX model takes {_KINDS[slot.type] if slot.type in _KINDS else 'whole numbers of ' + slot.type[7:-1]} there.",
                fix="Give such a value; where the sample's column is of another type, convert it as before the export.",
                field=name,
            )
    if slot.type in FLOATS:
        cast = _cast(np.array(values, dtype=np.float64), single=slot.type == "tensor(float)")
        assert cast is not None  # each value was looked at
        return cast
    return np.array(values, dtype=WHOLES.get(slot.type, np.bool_))


_KINDS = {
    "tensor(float)": "numbers that float32 can hold",
    "tensor(double)": "numbers",
    "tensor(string)": "texts",
    "tensor(bool)": "true or false",
}


def _fits(type_: str, value: Any) -> bool:
    kind = type(value)
    if type_ == "tensor(string)":
        return kind is str
    if type_ == "tensor(bool)":
        return kind is bool
    if kind not in (float, int, bool):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    if type_ in FLOATS:
        return type_ == "tensor(double)" or number in (np.inf, -np.inf) or bool(np.isfinite(_single(number)))
    limits = np.iinfo(WHOLES[type_])
    return number.is_integer() and int(limits.min) <= int(value) <= int(limits.max)


def _single(number: float) -> np.float32:
    with np.errstate(over="ignore"):
        return np.float32(number)


def _cast(found: NDArray[np.float64], *, single: bool) -> NDArray[Any] | None:
    """Numbers in the tensor's type, None where one of them does not fit into it."""
    if not single:
        return found
    with np.errstate(over="ignore"):
        cast = found.astype(np.float32)
    is_infinite = np.isinf(cast)
    return None if is_infinite.any() and np.isfinite(found[is_infinite]).any() else cast


def _null(slot: Slot, name: str, index: int) -> InvalidInput:
    if slot.type in FLOATS:
        return InvalidInput(
            f"Row {index} lacks {name!r}.",
            why="No row of the sample lacks it, and an ONNX model does not say what it makes of a missing number.",
            fix=f"Give a number. If the model was trained with {name!r} missing, give a sample with such rows.",
            field=name,
        )
    kind = "text" if slot.type == "tensor(string)" else _KINDS.get(slot.type, "whole number")
    return InvalidInput(
        f"Row {index} lacks {name!r}.",
        why=f"A {kind} of ONNX cannot be missing: an exporter turns None into a text that nothing in the model names, and a wrong guess at it is a wrong answer.",
        fix=f"Fill {name!r} in before training, with a value of its own, and export that model; requests then send it. Or do so for them: sw.Model(model, sample=rows, prepare=fill_in).",
        field=name,
    )


def _of_maps(found: Any) -> NDArray[np.float64]:
    """A list of maps from class to probability, by the classes' order."""
    return np.array([[each[name] for name in sorted(each)] for each in found], dtype=np.float64)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
