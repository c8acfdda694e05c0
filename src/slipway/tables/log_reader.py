"""An endpoint's log, read once and then only what was added: for who looks at it again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from slipway.records.endpoints import Contract
from slipway.records.predictions import FailureRow, LabelRow, PredictionRow, ShadowRow
from slipway.records.schema import Signature
from slipway.tables.log_blocks import Blocks, Labels
from slipway.tables.log_folder import erased_last
from slipway.tables.log_held import DRAWN, Held, held, with_draws
from slipway.tables.log_rows import read_parts, read_rows
from slipway.tables.prediction_log import (
    FAILURES,
    INSTANT,
    LABELS,
    PREDICTIONS,
    SHADOWS,
    answers_frame,
    as_answers,
    joined,
    labels_frame,
)
from slipway.tables.segments import Cursor

__all__ = ["Layout", "LogReader"]

T = TypeVar("T")
Layout = Callable[[int, str], tuple[Contract, Signature]]
"""A revision's number and 16 digits of a bundle to the revision's contract and the bundle's signature."""

_READ_ROWS = 20_000
_KEPT_ANSWERS = 2
_LEAST_NAMES = 1000
_SHADOW_SCHEMA = pl.Schema(
    {
        "prediction": pl.String(),
        "at": INSTANT,
        "revision": pl.Int64(),
        "arm": pl.String(),
        "bundle": pl.String(),
        "score": pl.Float64(),
        "took_ns": pl.Int64(),
        "problem": pl.String(),
        "beside_ns": pl.Int64(),
    }
)
_OWN = frozenset(answers_frame([], Contract(fields=()), Signature((), ())).columns)
_FAILURE_SCHEMA = pl.Schema(
    {
        "at": INSTANT,
        "answered_at": INSTANT,
        "revision": pl.Int64(),
        "arm": pl.String(),
        "bundle": pl.String(),
        "rows": pl.Int64(),
        "step": pl.String(),
        "was_covered": pl.Boolean(),
        "kind": pl.String(),
    }
)


class LogReader:
    """The log of one endpoint in memory. Not safe for threads.

    Where there are more answers than shall be held, a share of them is, chosen as by `log_sampling.is_logged`: as if no
    more had been logged. What is asked for is even, each of its rows stands for as many (`share`), and `log_share` says so.

    Args:
        folder: The endpoint's log.
        most: How many answers are held at most, None for all. One with fewer than a thousand keys is held whole.
    """

    def __init__(self, folder: Path, most: int | None = None) -> None:
        self._folder = folder
        self._most = most
        self._since: datetime | None = None
        self._erased = erased_last(folder)
        self._begin()

    def _begin(self) -> None:
        """Know nothing of the log."""
        self._held, self._is_sparse = Held(), False
        self._room = self._most
        self._cursors: dict[str, Cursor] = {}
        self._layouts: dict[tuple[int, str], tuple[Contract, Signature]] = {}
        self._answers: dict[tuple[tuple[str, pl.DataType], ...], _Answers] = {}
        self._labels = Labels()
        self._shadows = Blocks(_SHADOW_SCHEMA)
        self._failures = Blocks(_FAILURE_SCHEMA)
        self._asked: dict[tuple[datetime | None, datetime | None], pl.DataFrame] = {}

    def refresh(self, layout: Layout, since: datetime | None = None, recent_from: datetime | None = None) -> None:
        """Read what was added since the last time; everything, where rows were erased since then. Where it raises, it has read the log up to some row and goes on there.

        Args:
            layout: Tells how rows are laid out; called once for each pair of a revision and a bundle.
            since: What will be forgotten anyway: days before this one that are Parquet by now are not read.
            recent_from: Of decisions from then on a greater share is held than of those before, where not all can be.

        Raises:
            Corrupt: The log is damaged.
            InvalidInput: Rows do not fit their contract and signature.
        """
        self.release()
        self._since = since
        erased = erased_last(self._folder)
        is_changed = erased != self._erased  # what was erased must not live on here
        if is_changed or self._is_sparse:
            self._begin()
            self._erased = erased
        if (moved := self._held.moved(recent_from)) != self._held:
            self._hold(moved)
        self._read_answers(layout)
        self._read(LABELS, LabelRow, self._add_labels)
        self._read(SHADOWS, ShadowRow, self._add_shadows)
        self._read(FAILURES, FailureRow, lambda rows: self._failures.append(_failures_frame(rows)))

    def share(self, since: datetime | None = None) -> float:
        """Which share of the logged answers is held: what is asked for from an instant on, None for all, is so much of all."""
        return self._held.share(since)

    def answered(self, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """Answered rows whose decision time is in [since, until), with the label of each, by decision time and key.

        Columns: those of `prediction_log.predictions`, then `label` and `labelled_at` as in `prediction_log.joined`. Rows
        of models with other inputs, or of other contracts, are put together by the columns' names: the newest revision's
        come first, and what a row has not is null. A case that was asked again for the same decision time counts once,
        with its last answer.

        Who looks at a log asks for the same time again and again: what was put together last is kept until `release`.
        """
        if (since, until) not in self._asked:
            made = self._answered(since, until)
            self._asked = dict([*self._asked.items(), ((since, until), made)][-_KEPT_ANSWERS:])
        return self._asked[since, until]

    def _answered(self, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        by_age = sorted(self._answers.values(), key=lambda answers: (-answers.newest, answers.names))
        found = [self._even(answers, since, until) for answers in by_age]
        found = [frame for i, frame in enumerate(found) if i == 0 or frame.height]
        if not found:
            frame = answers_frame([], Contract(fields=()), Signature((), ()))
        else:
            frame = found[0] if len(found) == 1 else pl.concat(found, how="diagonal_relaxed")
        frame = frame[_order(frame)]
        return joined(frame, self._labels.frame())

    def _even(self, answers: _Answers, since: datetime | None, until: datetime | None = None) -> pl.DataFrame:
        """Rows of one shape, each of which stands for as many."""
        return held(answers.blocks.between(since, until), self._held.share(since))

    def answers_by(self, since: datetime) -> pl.DataFrame:
        """How many rows were answered since a decision time, by the model that was asked and why the fallback did.

        Columns: `bundle`, `fallback` ("" where a model answered), `rows`. Each answer counts, also to a case asked before;
        where a share is logged, each stands for those that are not.
        """
        by = ["bundle", "fallback"]
        empty = pl.DataFrame(schema={"bundle": pl.String, "fallback": pl.String, "log_share": pl.Float64})
        found = [self._even(answers, since).select(empty.columns) for answers in self._answers.values()]
        answered = (1 / pl.col("log_share")).sum().round().cast(pl.UInt32).alias("rows")
        return pl.concat([empty, *found]).group_by(by).agg(answered).sort(by)

    def latest(self, bundle: str, most: int) -> pl.DataFrame:
        """The last answers of a model itself, at most so many, oldest first; only the newest blocks are looked at.

        Columns: `at`, `score`, `inputs` (a number that tells different inputs apart, within this process).

        Args:
            bundle: 16 digits of its bundle.
            most: How many.
        """
        found = [pl.DataFrame(schema={"at": INSTANT, "score": pl.Float64, "inputs": pl.UInt64})]
        for answers in self._answers.values():
            left = most
            for frame in reversed(answers.blocks.frames()):
                own = frame.filter((pl.col("bundle") == bundle) & (pl.col("fallback") == "")).tail(left)
                names = [name for name in own.columns if name not in _OWN and name != DRAWN]
                inputs = pl.struct(names).hash() if names else pl.lit(0, pl.UInt64)
                found.append(own.select("at", "score", inputs.alias("inputs")))
                left -= own.height
                if left <= 0:
                    break
        return pl.concat(found).sort("at").tail(most)

    def shadows(self, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """What the model that did not answer would have: of rows whose decision time is in [since, until).

        Columns: `prediction`, `at` (the decision time), `revision`, `arm`, `bundle`, `score`, `took_ns`, `problem`,
        `beside_ns`; see `ShadowRow`.
        """
        return self._shadows.between(since, until)

    def failures(self, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """Failures to answer whose decision time is in [since, until).

        Columns: `at` (the decision time), `answered_at`, `revision`, `arm`, `bundle`, `rows`, `step`, `was_covered`,
        `kind`; see `FailureRow`.
        """
        return self._failures.between(since, until)

    def release(self) -> None:
        """Keep nothing that was put together for a question."""
        self._asked.clear()

    def forget(self, before: datetime) -> None:
        """Drop rows whose decision time is earlier, and their labels, so that memory stays bounded."""
        self.release()
        gone = [answers.blocks.forget(before) for answers in self._answers.values()]
        self._shadows.forget(before)
        self._failures.forget(before)
        self._forget_labels(gone)
        self._is_sparse = self._most is not None and self._held.old < 1 and self._height() < self._most / 8

    def _forget_labels(self, gone: Sequence[pl.DataFrame]) -> None:
        """Those of rows that are not held any more."""
        ids, keys = (pl.concat([pl.Series(of, [], pl.String), *(frame[of] for frame in gone)]) for of in ("id", "key"))
        left = [frame["key"] for answers in self._answers.values() for frame in answers.blocks.frames()]
        self._labels.forget(ids, keys.filter(~keys.is_in(pl.concat(left).unique().implode())) if left else keys)

    def _read(self, kind: str, row_type: type[T], take: Callable[[list[T]], None]) -> None:
        while True:
            since = None if kind == LABELS else self._since  # they are kept by what they judge, not by their own time
            known = self._cursors.get(kind)
            rows, cursor = read_rows(self._folder, kind, row_type, known, limit=_READ_ROWS, since=since)
            if rows:
                take(rows)
            self._cursors[kind] = cursor
            if len(rows) < _READ_ROWS:
                return

    def _read_answers(self, layout: Layout) -> None:
        while True:
            kept, rows, cursor = read_parts(
                self._folder,
                PREDICTIONS,
                PredictionRow,
                self._cursors.get(PREDICTIONS),
                limit=_READ_ROWS,
                since=self._since,
            )
            frames = [(part.frame["revision"].max(), as_answers(part)) for part in kept]
            self._add_answers(rows, layout, frames)
            self._cursors[PREDICTIONS] = cursor
            if len(rows) + sum(frame.height for _, frame in frames) < _READ_ROWS:
                return

    def _add_answers(
        self, rows: Sequence[PredictionRow], layout: Layout, kept: Sequence[tuple[Any, pl.DataFrame]]
    ) -> None:
        groups: dict[tuple[int, str], list[PredictionRow]] = {}
        for row in rows:
            groups.setdefault((row.revision, row.bundle), []).append(row)
        frames: list[tuple[int, pl.DataFrame]] = list(kept)
        for of, group in groups.items():
            if of not in self._layouts:
                self._layouts[of] = layout(*of)
            frames.append((of[0], answers_frame(group, *self._layouts[of])))
        for number, whole in frames:  # only when all of them could be made: a second try finds none of them here
            frame = whole if self._most is None else self._held.of(with_draws(whole))
            shape = tuple(frame.schema.items())
            answers = self._answers.setdefault(shape, _Answers(frame.schema))
            answers.newest = max(answers.newest, number)
            answers.blocks.append(frame)
        while self._room is not None and (height := self._height()) > self._room:
            less, names = self._held.less(self._rows())
            if names < _LEAST_NAMES:  # so few would tell nothing of the others
                self._room = 2 * height
            else:
                self._hold(less)

    def _hold(self, wanted: Held) -> None:
        """Drop what is not wanted any more, and its labels."""
        self._held = wanted
        if wanted.old < 1:
            gone = [answers.blocks.drop(~wanted.expression()) for answers in self._answers.values()]
            self._forget_labels([frame for frame in gone if frame.height])

    def _height(self) -> int:
        return sum(answers.blocks.height() for answers in self._answers.values())

    def _rows(self) -> pl.DataFrame:
        """When each row was decided, and its draw."""
        found = [frame.select("at", DRAWN) for answers in self._answers.values() for frame in answers.blocks.frames()]
        return pl.concat(found)

    def _add_labels(self, rows: list[LabelRow]) -> None:
        self._labels.append(labels_frame(rows, [1] * len(rows)))
        if self._held.old < 1 and self._labels.height() > 2 * self._height() + _READ_ROWS:
            self._labels.keep(*self._ids_and_keys(), but=_READ_ROWS)

    def _add_shadows(self, rows: list[ShadowRow]) -> None:
        self._shadows.append(_shadows_frame(rows))
        if self._held.old < 1 and self._shadows.height() > 4 * self._height() + _READ_ROWS:
            self._shadows.drop(~pl.col("prediction").is_in(self._ids_and_keys()[0].implode()), but=_READ_ROWS)

    def _ids_and_keys(self) -> tuple[pl.Series, pl.Series]:
        frames = [frame for answers in self._answers.values() for frame in answers.blocks.frames()]
        ids, keys = (
            pl.concat([pl.Series(of, [], pl.String), *(frame[of] for frame in frames)]) for of in ("id", "key")
        )
        return ids, keys.unique()


class _Answers:
    """Answered rows of one shape, and the newest revision among them."""

    def __init__(self, schema: pl.Schema) -> None:
        self.newest = 0
        self.names = schema.names()
        self.blocks = Blocks(schema)


def _order(answered: pl.DataFrame) -> pl.Series:
    """The places of the rows that count, by decision time and key: the same whichever worker answered first."""
    rows = answered.select("key", "at", "answered_at").with_row_index("place")
    rows = rows.sort("answered_at", maintain_order=True)
    keyed = rows.filter(pl.col("key") != "").unique(["key", "at"], keep="last", maintain_order=True)
    rows = pl.concat([rows.filter(pl.col("key") == ""), keyed])
    return rows.sort("at", "key", maintain_order=True)["place"]


def _shadows_frame(rows: Sequence[ShadowRow]) -> pl.DataFrame:
    columns = {
        "prediction": [row.prediction for row in rows],
        "at": [row.at_us for row in rows],
        "revision": [row.revision for row in rows],
        "arm": [row.arm for row in rows],
        "bundle": [row.bundle for row in rows],
        "score": [row.score for row in rows],
        "took_ns": [row.took_ns for row in rows],
        "problem": [row.problem for row in rows],
        "beside_ns": [row.beside_ns for row in rows],
    }
    return _typed(columns, _SHADOW_SCHEMA)


def _failures_frame(rows: Sequence[FailureRow]) -> pl.DataFrame:
    columns = {
        "at": [row.at_us for row in rows],
        "answered_at": [row.answered_us for row in rows],
        "revision": [row.revision for row in rows],
        "arm": [row.arm for row in rows],
        "bundle": [row.bundle for row in rows],
        "rows": [row.rows for row in rows],
        "step": [row.step for row in rows],
        "was_covered": [row.was_covered for row in rows],
        "kind": [row.kind for row in rows],
    }
    return _typed(columns, _FAILURE_SCHEMA)


def _typed(columns: Mapping[str, object], schema: pl.Schema) -> pl.DataFrame:
    plain = {name: pl.Int64() if dtype == INSTANT else dtype for name, dtype in schema.items()}
    return pl.DataFrame(columns, schema=plain).cast(schema)
