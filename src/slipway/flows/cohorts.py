"""The quality of an endpoint's answers by day, as labels come: what was added to its log is absorbed, and told."""

from __future__ import annotations

import threading
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from slipway.errors import InvalidInput
from slipway.flows.endpoints import folder_of, revision_of
from slipway.models import registry
from slipway.monitoring.cohorts import Cohorts, Task
from slipway.monitoring.maturity import cohort_rows
from slipway.operations.quality import AskQuality, CohortTable, QualityReport
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import MonitorSpec, Revision
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.schema.durations import in_words
from slipway.tables.log_folder import erased_last
from slipway.tables.log_rows import read_parts, read_rows
from slipway.tables.prediction_log import INSTANT, LABELS, PREDICTIONS, labels_frame
from slipway.tables.segments import Cursor

__all__ = ["CohortReader", "quality"]

_DAY_US = 86_400_000_000
_LEARNT_FROM = timedelta(days=56)
_MOST_DAYS = 366
_ANEW = timedelta(days=60)
_READERS = 8
_ANSWER = pl.Schema(
    {
        "id": pl.String(),
        "key": pl.String(),
        "at": INSTANT,
        "answered_at": INSTANT,
        "bundle": pl.String(),
        "arm": pl.String(),
        "score": pl.Float64(),
        "decision": pl.Boolean(),
        "fallback": pl.String(),
    }
)


class CohortReader:
    """The cohorts of one endpoint's log: read once, and then only what was added. Not safe for threads.

    Args:
        folder: The endpoint's log.
        task: What its models do.
        since: Decisions before this are passed over.
        absent_negative: See `Cohorts`.
    """

    def __init__(self, folder: Path, task: Task, since: datetime, *, absent_negative: bool = False) -> None:
        self.since = since
        self._folder, self._task, self._absent_negative = folder, task, absent_negative
        self._erased = erased_last(folder)
        self._begin()

    def _begin(self) -> None:
        """Know nothing of the log."""
        self.cohorts = Cohorts(self._task, absent_negative=self._absent_negative)
        self._answers: Cursor = {}
        self._labels: Cursor = {}

    def refresh(self) -> None:
        """Absorb what was added to the log since the last time; everything anew, where rows were erased since then.

        Raises:
            Corrupt: The log is damaged.
        """
        if (erased := erased_last(self._folder)) != self._erased:
            self._begin()
            self._erased = erased
        kept, rows, answers = read_parts(
            self._folder, PREDICTIONS, PredictionRow, self._answers, since=self.since, wanted=tuple(_ANSWER)
        )
        frames = [_answers_of(rows), *(_whole(part.frame) for part in kept)]
        found = pl.concat(frames).filter((pl.col("at") >= self.since) & (pl.col("fallback") == ""))
        labels, told = read_rows(self._folder, LABELS, LabelRow, self._labels)
        self.cohorts.add_answers(found)
        self.cohorts.add_labels(labels_frame(labels, [1] * len(labels)))
        self._answers, self._labels = answers, told


_readers: dict[tuple[Path, Task, bool], CohortReader] = {}
_lock = threading.Lock()


def quality(workspace: Workspace, request: AskQuality) -> QualityReport:
    """How good an endpoint's answers are by the labels that came so far; a server reads its log once.

    Raises:
        NotFound: Nothing was ever deployed there.
        InvalidInput: No such number of days.
        Corrupt: The log is damaged.
    """
    if not 1 <= request.days <= _MOST_DAYS:
        raise InvalidInput(
            f"{request.days} days cannot be told.", fix=f"Give a number from 1 to {_MOST_DAYS}.", field="days"
        )
    revision = revision_of(workspace, request.name)
    folder = folder_of(workspace, request.name)
    served = revision.served
    bundle = registry.bundle_of(workspace, registry.get(workspace, served.model, str(served.number)))
    now = workspace.clock.now()
    monitors = [one for one in revision.monitors if one.kind == "quality"] or [_usual(bundle.task)]
    is_absent = any(monitor.absent for monitor in monitors)
    reach = timedelta(days=request.days) + _LEARNT_FROM
    reach += max(timedelta(microseconds=monitor.label_delay_us) for monitor in monitors)
    with _lock:
        reader = _reader(folder / "log", bundle.task, is_absent, now - reach)
        reader.refresh()
        states, told, since = reader.cohorts.states(), reader.cohorts.told(), reader.since
    first = (now - timedelta(days=request.days)).date()
    tables = tuple(_table(monitor, states, bundle.task, now, first) for monitor in monitors)
    return QualityReport(
        endpoint=request.name, tables=tables, **told, sentence=_sentence(revision, told, tables, since)
    )


def _usual(task: str) -> MonitorSpec:
    """What is told where no quality monitor is declared."""
    metric = "log_loss" if task == "classification" else "mae"
    return MonitorSpec(kind="quality", name="quality", metric=metric, label_delay_us=_DAY_US)


def _reader(folder: Path, task: Task, is_absent: bool, since: datetime) -> CohortReader:
    """The reader of a log that reaches back far enough, and not much further."""
    key = folder, task, is_absent
    known = _readers.get(key)
    if known is None or known.since > since or known.since < since - _ANEW:
        _readers.pop(key, None)
        while len(_readers) >= _READERS:
            _readers.pop(next(iter(_readers)))
        known = _readers[key] = CohortReader(folder, task, since - _ANEW / 4, absent_negative=is_absent)
    return known


def _table(monitor: MonitorSpec, states: pl.DataFrame, task: str, now: datetime, first: date) -> CohortTable:
    rows = cohort_rows(
        states,
        task=task,
        metric=monitor.metric,
        delay_us=monitor.label_delay_us,
        now=now,
        absent=monitor.absent,
        since=first,
    )
    return CohortTable(
        metric=monitor.metric,
        label_delay=in_words(monitor.label_delay_us),
        absent=monitor.absent,
        cohorts=rows,
    )


def _sentence(revision: Revision, told: dict[str, int], tables: tuple[CohortTable, ...], since: datetime) -> str:
    odd = [
        f"{told[name]:,} {words}"
        for name, words in (
            ("duplicates", "repeat another one"),
            ("corrected", "were corrected"),
            ("contradictions", "contradict another one of the same revision"),
            ("unknown", f"name nothing that was answered since {since:%Y-%m-%d}, from which on it is looked at"),
        )
        if told[name]
    ]
    days = len({row.day for table in tables for row in table.cohorts})
    found = f"{told['labels']:,} labels came" + (f"; {', '.join(odd)}" if odd else "")
    asked = "" if days else f" {revision.name} answered nothing in these days."
    return f"{found}.{asked}"


def _answers_of(rows: list[PredictionRow]) -> pl.DataFrame:
    columns = {
        "id": [row.id for row in rows],
        "key": [row.key for row in rows],
        "at": [row.at_us for row in rows],
        "answered_at": [row.answered_us for row in rows],
        "bundle": [row.bundle for row in rows],
        "arm": [row.arm for row in rows],
        "score": [row.score for row in rows],
        "decision": [row.decision for row in rows],
        "fallback": [row.fallback for row in rows],
    }
    plain = {name: pl.Int64() if dtype == INSTANT else dtype for name, dtype in _ANSWER.items()}
    return pl.DataFrame(columns, schema=plain).cast(_ANSWER)


def _whole(frame: pl.DataFrame) -> pl.DataFrame:
    if "fallback" not in frame.columns:  # it was written before there was such a column
        frame = frame.with_columns(fallback=pl.lit(""))
    return frame.select(_ANSWER.names())
