"""The offline path over rows that come in batches: what `offline.compute` gives for all rows at once, batch by batch.

Bounded memory: where all that features look back on is small, it stays in memory and each batch looks back on it. Where
it is not, history and the rows' keys are divided on disk by the hash of the key. All rows of a key lie in one part, so
each part is answered on its own, and the answers are put back in the order of the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from slipway.errors import Corrupt
from slipway.features.aside import BUFFER_BYTES, Aside, Span, all_of, aside_folder, partition_of
from slipway.features.offline import (
    Answer,
    History,
    answer,
    assemble,
    decision_times,
    history_columns,
    history_frame,
    in_plain_types,
    in_reach,
    key_types_of,
    keys_of,
    notes_of,
    prepare,
    side_by_side,
    widest,
)
from slipway.features.point_in_time import Instants, Notes, check_whole, key_columns, microseconds, sentences
from slipway.records.features import FeatureSetSpec, View, Windows

__all__ = ["Batches", "Limits", "Rows"]

Rows = Callable[[Sequence[str]], Iterable[pl.DataFrame]]
"""Gives the rows with at least the named columns, in batches; at each call the same rows in the same batches."""

_AT, _BATCH, _PLACE = "__at", "__batch", "__place"
# About what a row takes while it is read and divided, and while it and the events behind it are looked up.
_READ_ROW_BYTES, _PART_ROW_BYTES = 8_000, 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is in memory at once.

    Args:
        history_bytes: Of what features look back on, before the rest is divided on disk.
        read_rows: How many rows of it are read at once.
        partitions: Into how many parts the rest is divided; all rows of a key lie in one part.
        part_rows: How many rows of a part are answered at once; what is longer than that looks back on the events within
            reach of so many rows.
        buffer_bytes: How much is gathered in all before it is written to the parts.
    """

    history_bytes: int = 1 << 30
    read_rows: int = 1 << 18
    partitions: int = 64
    part_rows: int = 1 << 22
    buffer_bytes: int = 16 * BUFFER_BYTES

    @classmethod
    def within(cls, memory_bytes: int) -> Limits:
        """Limits under which about so much memory is taken, by all that is held at once."""
        most = cls()
        return cls(
            history_bytes=min(most.history_bytes, memory_bytes // 8),
            read_rows=min(most.read_rows, max(memory_bytes // _READ_ROW_BYTES, 1 << 14)),
            part_rows=min(most.part_rows, max(memory_bytes // _PART_ROW_BYTES, 1 << 14)),
            buffer_bytes=min(most.buffer_bytes, memory_bytes // 8),
        )


class Batches:
    """A feature set over rows in batches. Iterating it gives, for each batch, its rows and their features.

    Args:
        spec: The set.
        rows: The fields of the request and the decision time, one row per decision.
        at: The column of the decision times, aware UTC; where it is null nothing is known.
        history: What windows and views look back on.
        functions: The functions of the scalar features, by name.
        folder: Where rows are put aside, in a folder that is removed at the end.
        limits: How much is in memory at once.

    Raises:
        InvalidInput: A field, table or column is missing or of the wrong type.
        StepFailed: A scalar feature raised.
        BackendError: The disk is full.

    Attributes:
        notes: What was found and does not count, as sentences; complete after the last batch.
        unmatched: As in `offline.Offline`; complete after the last batch.
    """

    def __init__(
        self,
        spec: FeatureSetSpec,
        rows: Rows,
        at: str,
        history: History,
        functions: Mapping[str, Callable[..., Any]],
        *,
        folder: Path,
        limits: Limits | None = None,
    ) -> None:
        self.notes: tuple[str, ...] = ()
        self.unmatched: dict[str, int] = {}
        self._spec, self._rows, self._at = spec, rows, at
        self._history, self._functions = history, functions
        self._folder, self._limits = folder, limits or Limits()
        self._request = [field.name for field in spec.request]

    def __iter__(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        with aside_folder(self._folder) as folder:
            groups = _groups(self._spec, folder, self._limits)
            heights = self._read_history(groups)
            self._answer_parts([group for group in groups if group.is_aside], heights)
            for group in groups:
                group.be_ready()
            for number, rows in enumerate(self._rows([*self._request, self._at])):
                asked = in_plain_types(rows, self._spec.request)
                instants = Instants(decision_times(rows, self._at))
                found = {}
                for values in side_by_side(_asking(number, asked, instants), groups):
                    found.update(values)
                yield rows, assemble(self._spec, asked, found, self._functions)
            self._sum_up(groups)

    def _read_history(self, groups: Sequence[_Group]) -> list[int]:
        """Every part's history, into memory or on disk; events that no row can reach are left out.

        Returns how many rows each batch has.
        """
        reach: list[tuple[int, int, int]] = []
        heights: list[int] = []
        for rows in self._rows([self._at]):
            heights.append(rows.height)
            if rows.height:
                at = decision_times(rows, self._at)
                reach.append((int(at.min()), int(at.max()), rows.height))
        first, last = min((one[0] for one in reach), default=0), max((one[1] for one in reach), default=0)
        # Each batch sorts what it looks back on anew: what is much longer than a batch is cheaper to divide.
        longest = 2 * max(one[2] for one in reach) if len(reach) > 1 else None
        columns = history_columns(self._spec)
        held = 0
        for group in groups:
            for part in group.parts:
                frame = history_frame(self._history, part, columns)
                frame = in_reach(part, frame, first, last) if isinstance(part, Windows) and reach else frame
                rows_held = 0
                for chunk in group.reading(part, frame):
                    held += int(chunk.estimated_size())
                    rows_held += chunk.height
                    is_long = longest is not None and rows_held > longest
                    if (is_long or held > self._limits.history_bytes) and not group.is_aside:
                        held -= group.go_aside()
            group.end()
        return heights

    def _answer_parts(self, groups: Sequence[_Group], heights: Sequence[int]) -> None:
        if not groups:
            return
        wanted = {name for group in groups for name in group.by}
        fields = tuple(field for field in self._spec.request if field.name in wanted)
        for number, rows in enumerate(self._rows([*(field.name for field in fields), self._at])):
            asked = in_plain_types(rows, fields)
            at = decision_times(rows, self._at)
            for group in groups:
                group.put_keys_aside(number, asked, at)
        for group in groups:
            group.answer_parts(_Answers(group.folder / "answers", heights, self._limits))

    def _sum_up(self, groups: Sequence[_Group]) -> None:
        parts = [part for part in self._spec.parts if isinstance(part, Windows | View)]
        of = {id(part): group for group in groups for part in group.parts}
        told = [line for part in parts for line in sentences(of[id(part)].notes[id(part)])]
        self.notes = tuple(dict.fromkeys(told))
        self.unmatched = {part.name: of[id(part)].unmatched[id(part)] for part in parts if isinstance(part, View)}


def _asking(number: int, asked: pl.DataFrame, instants: Instants) -> Callable[[_Group], dict[str, pl.Series]]:
    return lambda group: group.values(number, asked, instants)


def _groups(spec: FeatureSetSpec, folder: Path, limits: Limits) -> list[_Group]:
    parts: dict[tuple[Any, ...], list[Windows | View]] = {}
    for part in spec.parts:
        if isinstance(part, Windows | View):
            parts.setdefault((keys_of(part), key_types_of(part)), []).append(part)
    # Keys of all groups are gathered at once; history of one part after the other.
    each = replace(limits, buffer_bytes=min(limits.buffer_bytes // max(len(parts), 1), BUFFER_BYTES))
    return [_Group(found, folder / str(place), each) for place, found in enumerate(parts.values())]


class _Group:
    """The parts of a set that are looked up by the same keys: their rows are divided alike, and answered together.

    Windows and a view may have one name, so that what belongs to a part is kept by the part itself.
    """

    def __init__(self, parts: Sequence[Windows | View], folder: Path, limits: Limits) -> None:
        self.parts = parts
        self.is_aside = False
        self.notes: dict[int, Notes] = {id(part): Counter() for part in parts}
        self.unmatched: Counter[int] = Counter()
        self.by, self._types = keys_of(parts[0]), key_types_of(parts[0])
        self.folder, self._limits = folder, limits
        self._held: dict[int, list[pl.DataFrame]] = {id(part): [] for part in parts}
        self._aside = {
            id(part): Aside(
                folder / f"history-{place}",
                limits.partitions,
                buffer_bytes=limits.buffer_bytes,
                span_of=partial(_span, part) if isinstance(part, Windows) else None,
            )
            for place, part in enumerate(parts)
        }
        self._schemas: dict[int, pl.Schema] = {}
        self._keys = Aside(folder / "keys", limits.partitions, buffer_bytes=limits.buffer_bytes)
        self._ready: list[tuple[Windows | View, Any]] = []
        self._answers: _Answers | None = None

    def reading(self, part: Windows | View, frame: pl.LazyFrame) -> Iterator[pl.DataFrame]:
        """Take a part's history in, chunk by chunk; each is given while it is in memory."""
        self._schemas[id(part)] = frame.collect_schema()
        for chunk in frame.collect_batches(chunk_size=self._limits.read_rows, maintain_order=False, engine="streaming"):
            if self.is_aside:
                self._put_aside(part, chunk)
            else:
                self._held[id(part)].append(chunk)
                yield chunk

    def go_aside(self) -> int:
        """Divide what is held on disk; what still comes goes there too. Returns how many bytes were held."""
        self.is_aside = True
        size = 0
        for part in self.parts:
            for chunk in self._held[id(part)]:
                size += int(chunk.estimated_size())
                self._put_aside(part, chunk)
            self._held[id(part)].clear()
        return size

    def end(self) -> None:
        """All history was read."""
        for aside in self._aside.values():
            aside.flush()

    def _put_aside(self, part: Windows | View, chunk: pl.DataFrame) -> None:
        what = f"the table {part.source!r}" if isinstance(part, Windows) else f"the feature view {part.name!r}"
        check_whole(chunk, self.by, what)
        keys = chunk.select(key_columns(self.by, self._types))
        self._aside[id(part)].add(chunk, partition_of(keys, self._limits.partitions))

    def put_keys_aside(self, number: int, asked: pl.DataFrame, at: Any) -> None:
        """Divide a batch's keys and instants on disk."""
        keys = asked.select(key_columns(self.by, self._types))
        rows = keys.with_columns(
            pl.Series(_AT, at),
            pl.lit(number, dtype=pl.UInt32).alias(_BATCH),
            pl.int_range(pl.len(), dtype=pl.UInt32).alias(_PLACE),
        )
        self._keys.add(rows, partition_of(keys, self._limits.partitions))

    def answer_parts(self, answers: _Answers) -> None:
        """Answer each part of the keys from the same part of the history, and put the answers aside by batch."""
        self._answers = answers
        self._keys.flush()
        for place in range(self._limits.partitions):
            history = [_PartHistory(self, part, place) for part in self.parts]
            for rows in _gathered(self._keys.read(place), self._limits.part_rows):
                instants = Instants(rows[_AT].to_numpy())
                ready = [(one.part, one.ready(instants)) for one in history]
                found = self._answered(ready, rows.select(self.by), instants)
                answers.add(rows.select(_BATCH, _PLACE).with_columns(**found))
                del ready
            for one in history:
                one.finish()
            for aside in (self._keys, *self._aside.values()):
                aside.drop(place)
        answers.end()

    def history_of(self, part: Windows | View, place: int) -> tuple[Aside, pl.Schema]:
        """What was put aside of a part's history."""
        return self._aside[id(part)], self._schemas[id(part)]

    @property
    def part_rows(self) -> int:
        """How many rows are answered at once."""
        return self._limits.part_rows

    def be_ready(self) -> None:
        """What is held in memory is prepared once, for all batches."""
        if not self.is_aside:
            for part in self.parts:
                rows = all_of(self._held.pop(id(part)), self._schemas[id(part)])
                self._ready.append((part, prepare(part, rows, self.notes[id(part)])))

    def values(self, number: int, asked: pl.DataFrame, instants: Instants) -> dict[str, pl.Series]:
        """The features of a batch, in the order of its rows."""
        if not self.is_aside:
            return self._answered(self._ready, asked.select(key_columns(self.by, self._types)), instants)
        if asked.height and self._answers is not None:
            return self._answers.of(number)
        nothing = Instants(np.empty(0, dtype=np.int64))
        ready = [(part, prepare(part, pl.DataFrame(schema=self._schemas[id(part)]), Counter())) for part in self.parts]
        return self._answered(ready, asked.select(key_columns(self.by, self._types)), nothing)

    def _answered(
        self, ready: Sequence[tuple[Windows | View, Any]], keys: pl.DataFrame, instants: Instants
    ) -> dict[str, pl.Series]:
        def one(item: tuple[Windows | View, Any]) -> Answer:
            return answer(item[0], item[1], keys, instants)

        found: dict[str, pl.Series] = {}
        for (part, _), made in zip(ready, side_by_side(one, ready), strict=True):
            found.update(made.values)
            self.unmatched[id(part)] += made.unmatched
        return found


class _Answers:
    """What was answered part by part, for batches in their order: on disk by stretches of batches, read stretch by stretch.

    Files by part and batch would be as many as both multiplied.
    """

    def __init__(self, folder: Path, heights: Sequence[int], limits: Limits) -> None:
        self._heights = heights
        self._stretch_of = pl.Series((np.cumsum([0, *heights])[:-1] // limits.part_rows).astype(np.uint32))
        stretches = int(self._stretch_of[-1]) + 1 if heights else 1
        self._aside = Aside(folder, stretches, buffer_bytes=min(limits.buffer_bytes, BUFFER_BYTES))
        self._read = -1
        self._of: dict[int, pl.DataFrame] = {}

    def add(self, found: pl.DataFrame) -> None:
        """Put answers aside, with the numbers of their batches and their places in these."""
        self._aside.add(found, self._stretch_of.gather(found[_BATCH]))

    def end(self) -> None:
        """All was answered."""
        self._aside.flush()

    def of(self, number: int) -> dict[str, pl.Series]:
        """The answers of a batch that has rows, once, in the order of its rows; batches are asked for in their order."""
        stretch = int(self._stretch_of[number])
        if stretch != self._read:
            whole = pl.concat(list(self._aside.read(stretch)))
            self._of = {int(str(batch)): rows for (batch,), rows in whole.partition_by(_BATCH, as_dict=True).items()}
            self._aside.drop(stretch)
            self._read = stretch
        found = self._of.pop(number) if number in self._of else None
        found = None if found is None else found.sort(_PLACE)
        if found is None or not np.array_equal(found[_PLACE].to_numpy(), np.arange(self._heights[number])):
            raise Corrupt("The parts of a training set do not hold each of its rows once.")
        return {name: found[name] for name in found.columns if name not in (_BATCH, _PLACE)}


class _PartHistory:
    """The history of one part of the keys: prepared once; or, where it is long, for each piece of rows as far as they reach.

    That needs rows in about the order of time. Windows read nothing but the events within their reach: states are exact,
    so that it does not matter which other events there are.
    """

    def __init__(self, group: _Group, part: Windows | View, place: int) -> None:
        self.part = part
        self._notes = group.notes[id(part)]
        self._aside, self._schema = group.history_of(part, place)
        self._place = place
        self._rows = self._aside.rows[place]
        self._is_long = isinstance(part, Windows) and self._rows > group.part_rows
        self._whole: Any = None
        self._is_noted = False

    def ready(self, instants: Instants) -> Any:
        """Prepared for rows at these instants."""
        if self._whole is None and self._is_long and isinstance(self.part, Windows) and len(instants.at):
            near = self._within(self.part, int(instants.at.min()), int(instants.at.max()))
            if near.height < self._rows // 2:
                return prepare(self.part, near, Counter())
            self._is_long = False  # the rows come in no order of time
        if self._whole is None:
            events = all_of(list(self._aside.read(self._place)), self._schema)
            self._whole = prepare(self.part, events, Counter() if self._is_noted else self._notes)
        return self._whole

    def finish(self) -> None:
        """All rows were answered: what does not count is noted where there were none."""
        if self._whole is None and not self._is_noted:
            prepare(self.part, all_of(list(self._aside.read(self._place)), self._schema), self._notes)

    def _within(self, part: Windows, first: int, last: int) -> pl.DataFrame:
        near = first - widest(part), last
        found = []
        for frame in self._aside.read(self._place, near if self._is_noted else None):
            if not self._is_noted:
                self._notes.update(notes_of(part, frame))
            found.append(in_reach(part, frame.lazy(), first, last).collect())
        self._is_noted = True
        return all_of(found, self._schema)


def _span(part: Windows, rows: pl.DataFrame) -> Span | None:
    """From when to when events are; None where none has a time."""
    at = microseconds(rows, part.time, f"table {part.source!r}")
    least, greatest = rows.select(at.min().alias("least"), at.max().alias("greatest")).row(0)
    return None if least is None else (least, greatest)


def _gathered(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Frames joined and cut so that each holds so many rows, the last one fewer."""
    held: list[pl.DataFrame] = []
    for frame in frames:
        held.append(frame)
        if sum(one.height for one in held) >= rows:
            joined = pl.concat(held)
            whole = joined.height // rows * rows
            yield from (joined.slice(start, rows) for start in range(0, whole, rows))
            held = [joined.slice(whole)] if whole < joined.height else []
    if held:
        yield pl.concat(held)
