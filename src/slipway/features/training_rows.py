"""Which rows of a label table a training set has: chosen batch by batch, and what is left out counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import NamedTuple

import polars as pl

from slipway.errors import Corrupt, InvalidInput, near
from slipway.features.point_in_time import microseconds
from slipway.features.spare import free_bytes
from slipway.features.states import to_us
from slipway.records.features import FeatureSetSpec, Windows

__all__ = ["Asked", "Choice", "Chosen", "check_fits", "instant_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which rows of which table: see `FeatureSet.training_set`; `known` is "" where nobody said.

    Args:
        table: The table's name.
        label: The label's column.
        at: The column of the decision times.
        known: The column that says when a label became known.
        since: Only rows decided at or after this.
        until: Only rows decided before this.
        key: The columns that identify a row.
    """

    table: str
    label: str
    at: str
    known: str
    since: datetime | None
    until: datetime | None
    key: tuple[str, ...]


class Choice(NamedTuple):
    """How many rows were looked at and left out; of batches it is added up by `plus`.

    Args:
        rows: Chosen.
        undated: Without a decision time.
        dated: With one, within the bounds.
        unlabelled: Of these, without a label.
        late: Of these, with a label that was not known by `until`.
    """

    rows: int = 0
    undated: int = 0
    dated: int = 0
    unlabelled: int = 0
    late: int = 0

    def plus(self, other: Choice) -> Choice:
        """Both together."""
        return Choice(*(mine + more for mine, more in zip(self, other, strict=True)))

    def sentences(self, asked: Asked) -> list[str]:
        """What was left out, in words."""
        table, label = asked.table, asked.label
        left = "left out of the training set"
        told = []
        if self.undated:
            told.append(f"Rows of {table} without {asked.at}, {left}: {self.undated:,}.")
        if self.unlabelled:
            told.append(f"Rows of {table} without {label}, {left}: {self.unlabelled:,} of {self.dated:,}.")
        if self.late and asked.until is not None:
            by = f"not known by {_words(asked.until)}"
            told.append(f"Rows of {table} whose label was {by}, {left}: {self.late:,} of {self.dated:,}.")
        return told


class Chosen:
    """The chosen rows of a label table, in its order, in batches: each time the same.

    Args:
        made: The feature set.
        frame: The table.
        height: How many rows it has.
        asked: Which of them.
        batch_rows: How many rows of the table are looked at at once.

    Raises:
        InvalidInput: A column is missing or of the wrong type, or the label is also a feature.
    """

    def __init__(
        self, made: FeatureSetSpec, frame: pl.LazyFrame, height: int, asked: Asked, *, batch_rows: int
    ) -> None:
        self._frame, self._height, self._asked, self._batch_rows = frame, height, asked, batch_rows
        self._schema = frame.collect_schema()
        self._own = [part for part in made.parts if isinstance(part, Windows) and part.source == asked.table]
        _check_columns(made, self._schema, asked)

    def count(self) -> Choice:
        """Look at all rows once: how many are chosen, and how many left out.

        Raises:
            InvalidInput: A row is known at its own decision, and would count itself in its windows.
        """
        asked = self._asked
        times = list(dict.fromkeys(part.time for part in self._own))
        total, early = Choice(), dict.fromkeys(times, 0)
        for rows in self._read(times):
            chosen, choice = _chosen(rows, asked)
            total = total.plus(choice)
            decided = microseconds(chosen, asked.at, f"the table {asked.table!r}")
            for name in times:
                known = microseconds(chosen, name, f"the table {asked.table!r}")
                early[name] += int(chosen.select((known <= decided).sum()).item())
        for name, count in early.items():
            if count:
                raise self._own_outcome(name, count, total.rows)
        return total

    def __call__(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The chosen rows with these columns and the label's, key's and time's; batches may be empty."""
        return (_chosen(rows, self._asked)[0] for rows in self._read([*columns, *self._asked.key]))

    def _read(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        asked = self._asked
        wanted = list(dict.fromkeys([asked.label, asked.at, *([asked.known] if asked.known else []), *columns]))
        frame = self._frame.select(wanted)
        for start in range(0, max(self._height, 1), self._batch_rows):
            rows = frame.slice(start, self._batch_rows).collect()
            if rows.height != min(self._batch_rows, self._height - start):
                raise Corrupt(
                    f"The table {asked.table!r} has fewer rows than its version says.",
                    fix="Restore its files from a backup, or ingest it again.",
                )
            yield rows

    def _own_outcome(self, time_column: str, early: int, rows: int) -> InvalidInput:
        """A row must not look back on itself: while it is being asked, the store does not hold it.

        Windows over the label's own table are therefore refused when rows of it count as known at their own decision.
        """
        table, label, at = self._asked.table, self._asked.label, self._asked.at
        reads_label = any(one.column == label for part in self._own for one in part.aggregates)
        return InvalidInput(
            f"{early:,} of {rows:,} rows of {table!r} are known by {time_column!r} at their own decision {at!r}, so each "
            "would count itself in its windows.",
            why="A live request is not in the online store while it is asked: training would see what serving "
            f"cannot{', the label among it' if reads_label else ''}.",
            fix="Let the windows' `time` name when a row's outcome became known, later than its decision; or give "
            f"{table!r} a column of decisions just before, .with_columns(decided_at=pl.col({time_column!r}) - "
            "pl.duration(microseconds=1)), and say at='decided_at'.",
            field=time_column,
        )


def _check_columns(made: FeatureSetSpec, schema: Mapping[str, pl.DataType], asked: Asked) -> None:
    table, label = asked.table, asked.label
    others = (*asked.key, asked.at)
    for column in (label, *others, *([asked.known] if asked.known else [])):
        if column not in schema:
            raise InvalidInput(
                f"The table {table!r} has no column {column!r}.",
                why=near(column, schema, what="columns"),
                fix="Correct the name.",
                field=column,
            )
    if label in others:
        what = "the column of the decision times" if label == asked.at else "a column of the key"
        raise InvalidInput(
            f"The label {label!r} is also {what} of {table!r}.",
            why="It identifies or dates a row, and is known at the decision.",
            fix="Name the column that holds the outcome: label='...'.",
            field=label,
        )
    features = {feature.name for feature in made.features}
    requests = {field.name for field in made.request}
    if label in features | requests:
        raise InvalidInput(
            f"The label {label!r} is also a feature, or an argument of one.",
            why="The answer would be known before the decision.",
            fix="Remove it from the feature set.",
            field=label,
        )
    hidden = [column for column in others if column in features and column not in requests]
    if hidden:
        raise InvalidInput(
            f"A feature is called {hidden[0]!r}, like the column of {table!r} that identifies or dates its rows.",
            why="Both would be columns of the training set.",
            fix="Rename the feature.",
            field=hidden[0],
        )


def _chosen(rows: pl.DataFrame, asked: Asked) -> tuple[pl.DataFrame, Choice]:
    """The rows within the bounds that have a decision time and a known label."""
    instant = microseconds(rows, asked.at, f"the table {asked.table!r}")
    inside = pl.lit(value=True)
    if asked.since is not None:
        inside &= instant >= to_us(asked.since)
    if asked.until is not None:
        inside &= instant < to_us(asked.until)
    unlabelled = pl.col(asked.label).is_null()
    if rows.schema[asked.label].is_float():
        unlabelled |= pl.col(asked.label).is_nan()
    undated = int(rows.select(instant.is_null().sum()).item())
    dated = rows.filter(instant.is_not_null() & inside)
    labelled = dated.filter(~unlabelled)
    timely = labelled
    if asked.known:
        known = microseconds(labelled, asked.known, f"the table {asked.table!r}")
        timely = labelled if asked.until is None else labelled.filter(known <= to_us(asked.until))
    return timely, Choice(
        rows=timely.height,
        undated=undated,
        dated=dated.height,
        unlabelled=dated.height - labelled.height,
        late=labelled.height - timely.height,
    )


def _words(instant: datetime) -> str:
    """An instant as it was most likely given: a date where a day begins."""
    utc = instant.astimezone(UTC)
    return utc.date().isoformat() if utc.time() == time() else utc.isoformat()


def check_fits(table: str, rows: int, columns: int) -> None:
    """Refuse a frame for which there is no memory before anything is computed: the system would end the process.

    Args:
        table: The label table.
        rows: How many rows the frame would have.
        columns: How many columns.

    Raises:
        InvalidInput: Its values take more bytes than are free.
    """
    size, free = 8 * rows * columns, free_bytes()
    if free is not None and size > free:
        raise InvalidInput(
            f"The training set of {table!r} takes at least {size / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are "
            f"free: {rows:,} rows of {columns} columns.",
            why="training_set(...) gives one frame.",
            fix="Learn from batches: features.training_batches(...) takes the same arguments; or choose fewer rows by "
            "`since` and `until`.",
        )


def instant_of(value: date | datetime | None) -> datetime | None:
    """A bound as an instant: a date begins at midnight UTC.

    Raises:
        InvalidInput: It is neither, or the instant has no time zone.
    """
    if not isinstance(value, date | None):
        raise InvalidInput(
            f"The bound {value!r} of a training set is no date.",
            why="Rows are chosen by dates, or by instants with their time zone.",
            fix="For example until=date(2013, 4, 1).",
        )
    if value is None or isinstance(value, datetime):
        if value is not None:
            to_us(value)
        return value
    return datetime.combine(value, time(), tzinfo=UTC)
