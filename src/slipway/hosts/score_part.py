"""One part of a scoring: rows in, scores and log rows out, by the very path on which an endpoint answers requests.

A row becomes the JSON of a request, is read by the contract's decoder, goes through the bundle's own features and its
model. Only windows and views are not looked up online: their values come with the row, as of its decision time.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import time_ns
from typing import Any
from weakref import finalize

import msgspec
import polars as pl
from msgspec import Struct

from slipway.errors import InvalidInput, SlipwayError
from slipway.features.online import build_resolver
from slipway.hosts.endpoint_loader import Loader, resolver_over
from slipway.hosts.score_arms import Answer, Refused, answered, never_loaded, unseen
from slipway.ledger import archive
from slipway.records.endpoints import Challenger, Revision
from slipway.records.features import FeatureSetSpec, View, Windows
from slipway.records.predictions import FailureRow, PredictionRow, ShadowRow
from slipway.records.schema import Field
from slipway.serving.active import Active, LoadedChallenger, Rows
from slipway.serving.contracts import ContractReader
from slipway.serving.feed_counters import FeedCounters
from slipway.serving.scoring import microseconds
from slipway.tables.prediction_log import FAILURES, PREDICTIONS, SHADOWS
from slipway.tables.segments import SegmentWriter

__all__ = ["BESIDE", "FOUND", "LOGS", "Job", "PartTold", "looked_up", "score_part"]

FOUND = "slipway:found:"
"""Begins the names of the columns that hold what windows and views gave."""

BESIDE = "slipway:beside:"
"""The same of a challenger's own windows and views."""

LOGS = (PREDICTIONS, SHADOWS, FAILURES)
"""What is logged of a part, each by a segment of its own."""

_CHUNK_ROWS = 1000
_NO_TIME = "its decision time is missing"
_SCORES = {
    "score": pl.Float64, "decision": pl.Boolean, "reason": pl.String,
    "arm": pl.String, "propensity": pl.Float64, "version": pl.Int64,
}  # fmt: skip
_encode = msgspec.json.Encoder().encode


class Job(Struct, frozen=True, kw_only=True):
    """What is the same for all parts of a scoring.

    Args:
        scoring: Its id: predictions are named by it and the place of their row.
        revision: What scores.
        homes: The folders of the revision's bundles by digest; {} where the bundles' bytes come along.
        begun_at: When the scoring began.
        looked_up: The features that come with the rows, under `FOUND`.
        beside: Those of a challenger under `BESIDE`, None where it takes the very ones of `looked_up`.
        is_here: Whether all parts are scored in one process, which loads the bundle once.
    """

    scoring: str
    revision: Revision
    homes: dict[str, str]
    begun_at: datetime
    looked_up: tuple[str, ...] = ()
    beside: tuple[str, ...] | None = None
    is_here: bool = False


class PartTold(Struct, frozen=True, kw_only=True):
    """What is told of a part.

    Args:
        rows: How many rows it has.
        refused: How many got no score.
        reasons: Why, with how many rows each.
        by_challenger: How many rows a challenger answered.
        unloaded: Why the challenger could not be loaded, "" where it was.
    """

    rows: int
    refused: int
    reasons: dict[str, int]
    by_challenger: int = 0
    unloaded: str = ""


def looked_up(spec: FeatureSetSpec | None) -> tuple[str, ...]:
    """The features of a set that windows and views give, () for a set without."""
    if spec is None or not any(isinstance(part, Windows | View) for part in spec.parts):
        return ()
    others = {part.name for part in spec.parts if not isinstance(part, Windows | View)}
    return tuple(feature.name for feature in spec.features if feature.name not in others)


def score_part(
    job: bytes, rows: pl.DataFrame, first: int, bundles: Mapping[str, bytes]
) -> tuple[pl.DataFrame, bytes, bytes, bytes, bytes]:
    """Score some rows.

    Args:
        job: A `Job` as JSON.
        rows: The contract's fields, the decision time and what was looked up for each row.
        first: The place of the first row among all that the scoring scores.
        bundles: The files of the revision's bundles as archives, by digest, where their folders are not at hand.

    Returns:
        The scores, a row for each; what is logged, as the bytes of a segment for each of `LOGS`; and a `PartTold` as JSON.

    Raises:
        SlipwayError: The bundle of what serves is altered, or does not answer as it did when it was packaged.
    """
    given = msgspec.json.decode(job, type=Job)
    with tempfile.TemporaryDirectory(prefix="slipway-part-") as made:
        folder = Path(made)
        if given.is_here:
            loaded = _kept(job).loaded
        else:
            _place(folder, given, bundles)
            loaded = _loaded_from(folder, given)
        return _Part(given, *loaded, rows, first).scored(folder / "log")


class _Kept:
    """A revision that is loaded once for all parts, in a folder from which it may read as long as it is there."""

    def __init__(self, job: bytes) -> None:
        folder = Path(tempfile.mkdtemp(prefix="slipway-scoring-"))
        finalize(self, shutil.rmtree, folder, ignore_errors=True)
        given = msgspec.json.decode(job, type=Job)
        _place(folder, given, {})
        self.loaded = _loaded_from(folder, given)


_kept = lru_cache(maxsize=1)(_Kept)


def _place(folder: Path, job: Job, bundles: Mapping[str, bytes]) -> None:
    """Put a revision's bundles where a loader looks for them: what a loader counts is nobody's in this folder."""
    (folder / "bundles").mkdir()
    for digest, packed in bundles.items():
        archive.unpack(packed, folder / "bundles" / digest)
    for digest, home in job.homes.items():
        (folder / "bundles" / digest).symlink_to(home)


def _loaded_from(folder: Path, job: Job) -> tuple[Active, str]:
    """A revision as it scores, and why its challenger cannot be asked, "" where it can: that one is nobody's loss."""
    # Whoever hands the part out has verified the bundles' signatures; here their bytes are compared with their digests.
    revision = job.revision
    loader = _BatchLoader(folder, job)
    if revision.challenger is None:
        return loader.load(revision), ""
    try:
        return loader.load(revision), ""
    except (Exception, SystemExit) as problem:  # the challenger's own code may raise anything; or it is the champion's
        alone = loader.load(msgspec.structs.replace(revision, challenger=None))
        told = str(problem) if isinstance(problem, SlipwayError) else f"{type(problem).__name__}: {problem}"
        stub = never_loaded(revision.challenger, problem)
        return replace(alone, revision=revision, challenger=stub), told or type(problem).__name__


class _BatchLoader(Loader):
    """Loads a revision as an endpoint does; what an endpoint looks up comes with the rows.

    Args:
        folder: Where the bundles lie, in `bundles/`.
        job: Says what comes with the rows, behind the contract's fields.
    """

    def __init__(self, folder: Path, job: Job) -> None:
        super().__init__(folder, None)
        self._came, self._beside = job.looked_up, job.beside
        self._is_beside = False

    def _open_store(self, spec: FeatureSetSpec) -> None:
        return None

    def _log_policy(self, revision: Revision, models: Any) -> None:
        return None  # whoever hands the part out writes the log, and has the key

    def _challenger(self, revision: Revision, plan: Challenger, champion: Any, challenger: Any) -> LoadedChallenger:
        self._is_beside = self._beside is not None
        try:
            return super()._challenger(revision, plan, champion, challenger)
        finally:
            self._is_beside = False

    def _resolve(
        self, model: Any, fields: Sequence[Field], feeds: FeedCounters | None = None
    ) -> Callable[[list[list[Any]], datetime], Rows]:
        # Their type is left open: what was looked up is given to the features as it is, online too. Those of the other
        # model stand under names that no feature can have.
        is_beside = self._is_beside
        came = [Field(FOUND + name if is_beside else name, "object", nullable=True) for name in self._came]
        came += [Field(name if is_beside else BESIDE + name, "object", nullable=True) for name in self._beside or ()]
        given = (*fields, *came)
        names = (self._beside or ()) if is_beside else self._came
        if not names:
            return super()._resolve(model, given, feeds)
        parts = tuple(part for part in model.spec.parts if not isinstance(part, Windows | View))
        request = (*model.spec.request, *(Field(name, "object", nullable=True) for name in names))
        spec = msgspec.structs.replace(model.spec, parts=parts, request=request)
        return resolver_over(build_resolver(spec, model.functions), given, spec, model.signature.inputs)


class _Part:
    """The rows of a part on their way."""

    def __init__(self, job: Job, active: Active, unloaded: str, rows: pl.DataFrame, first: int) -> None:
        self._job, self._active, self._first, self._unloaded = job, active, first, unloaded
        self._contract = active.revision.contract
        self._rows = rows
        batch = active.revision.batch
        self._time = batch.time if batch is not None else ""
        names = [field.name for field in self._contract.fields]
        self._asked = pl.DataFrame([_as_sent(rows[field.name], field) for field in self._contract.fields])
        assert self._asked.columns == names
        came = [FOUND + name for name in job.looked_up] + [BESIDE + name for name in job.beside or ()]
        self._found = rows.select(came)

    def scored(self, log: Path) -> tuple[pl.DataFrame, bytes, bytes, bytes, bytes]:
        answers: list[Answer | Refused] = []
        writers = {kind: SegmentWriter(log, kind, roll_bytes=1 << 60, roll_age_s=float("inf")) for kind in LOGS}
        size = min(_CHUNK_ROWS, self._contract.max_rows)
        for start in range(0, self._rows.height, size):
            found, answered_rows, unseen_rows, failed_rows = self._chunk(start, size)
            answers += found
            kinds: tuple[Sequence[object], ...] = (answered_rows, unseen_rows, failed_rows)
            for writer, rows in zip(writers.values(), kinds, strict=True):
                if rows:
                    writer.append(rows)
        for writer in writers.values():
            writer.close()
        segments = [next(iter(log.glob(f"{kind}-*.seg")), None) for kind in LOGS]
        predictions, shadows, failures = (segment.read_bytes() if segment else b"" for segment in segments)
        reasons = Counter(one.why for one in answers if isinstance(one, Refused))
        told = PartTold(
            rows=len(answers),
            refused=reasons.total(),
            reasons=dict(reasons.most_common(20)),
            by_challenger=sum(isinstance(one, Answer) and one.side.arm != "champion" for one in answers),
            unloaded=self._unloaded,
        )
        return self._frame(answers), predictions, shadows, failures, _encode(told)

    def _chunk(
        self, start: int, size: int
    ) -> tuple[list[Answer | Refused], list[PredictionRow], list[ShadowRow], list[FailureRow]]:
        asked = _read(self._active.contract, self._asked.slice(start, size).to_dicts())
        found = _values(self._found.slice(start, size))
        times = self._times(start, size)
        answers: list[Answer | Refused] = [row if isinstance(row, Refused) else Refused(_NO_TIME) for row in asked]
        places: list[int] = []
        rows: list[list[Any]] = []
        at_us: list[int] = []
        for place, (row, time) in enumerate(zip(asked, times, strict=True)):
            if not isinstance(row, Refused) and time is not None:
                places.append(place)
                at_us.append(time)
                rows.append([*row, *found[place]] if found else list(row))
        answered_us = time_ns() // 1000
        came, failures = answered(self._active, rows, at_us, self._job.begun_at, answered_us)
        ids = [self._prediction(start + place) for place in places]
        shadows = unseen(self._active, rows, came, ids, at_us, self._job.begun_at)
        logged = []
        for place, id, time, answer in zip(places, ids, at_us, came, strict=True):
            answers[place] = answer
            if isinstance(answer, Answer):
                logged.append(self._logged(id, time, answered_us, asked[place], answer))
        return answers, logged, shadows, failures

    def _logged(self, id: str, at_us: int, answered_us: int, row: list[Any] | Refused, answer: Answer) -> PredictionRow:
        assert not isinstance(row, Refused)  # it was answered
        side = answer.side
        return PredictionRow(
            id,
            at_us,
            answered_us,
            side.version,
            side.bundle,
            self._active.contract.key_of(row),
            row,
            list(answer.inputs),
            answer.score,
            _decided(answer),
            self._active.revision.number,
            side.arm,
            side.propensity,
        )

    def _prediction(self, place: int) -> str:
        return f"{self._job.scoring}-{self._first + place}"

    def _times(self, start: int, size: int) -> list[int | None]:
        count = min(size, self._rows.height - start)
        if not self._time:
            return [microseconds(self._job.begun_at)] * count
        return self._rows[self._time].slice(start, size).dt.epoch("us").to_list()

    def _frame(self, answers: Sequence[Answer | Refused]) -> pl.DataFrame:
        revision = self._active.revision
        kept = list(dict.fromkeys((*self._contract.key, *([self._time] if self._time else []))))
        rows = [
            (one.score, _decided(one), None, one.side.arm, one.side.propensity, one.side.version)
            if isinstance(one, Answer)
            else (None, None, one.why, None, None, revision.served.number)
            for one in answers
        ]
        scores = pl.DataFrame(rows, schema=_SCORES, orient="row")
        ids = [self._prediction(place) for place in range(len(answers))]
        return self._rows.select(kept).with_columns(
            pl.Series("prediction", ids, pl.String),
            *scores.get_columns(),
            pl.lit(revision.number, pl.Int64).alias("revision"),
            pl.lit(self._job.begun_at.astimezone(UTC)).cast(pl.Datetime("us", "UTC")).alias("scored_at"),
        )


def _decided(answer: Answer) -> bool | None:
    threshold = answer.side.threshold
    return None if threshold is None else bool(answer.score >= threshold)


def _as_sent(column: pl.Series, field: Field) -> pl.Series:
    """A column as a caller would send it: numbers as numbers, texts as text, instants in UTC.

    What is of another type is left as it is: the contract refuses it, row by row.
    """
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime):
        aware = column.dt.convert_time_zone("UTC") if dtype.time_zone else column.dt.replace_time_zone("UTC")
        return aware.dt.cast_time_unit("us")
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if field.type == "float" and dtype.is_numeric():
        return column.cast(pl.Float64)
    if field.type == "int" and dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)  # frames hold whole numbers so where some are missing
        is_same = (whole.cast(dtype) == column) | column.is_null() | column.is_nan()
        return whole if is_same.fill_null(value=False).all() else column
    return column


def _values(found: pl.DataFrame) -> list[list[Any]]:
    """What was looked up as an online store would give it, row by row; [] where nothing is."""
    columns = []
    for column in found.iter_columns():
        if isinstance(column.dtype, pl.Datetime):
            naive = column.dt.replace_time_zone(None).to_list()
            columns.append([None if value is None else value.replace(tzinfo=UTC) for value in naive])
        else:
            columns.append(column.to_list())
    return [list(row) for row in zip(*columns, strict=True)]


def _read(contract: ContractReader, rows: list[dict[str, Any]]) -> list[list[Any] | Refused]:
    """Rows through the decoder of requests, all at once where none is refused."""
    try:
        return list(contract.decode(_encode({"rows": rows})).rows)
    except (InvalidInput, TypeError, ValueError, OverflowError):
        return [_read_one(contract, row) for row in rows]


def _read_one(contract: ContractReader, row: dict[str, Any]) -> list[Any] | Refused:
    try:
        return list(contract.decode(_encode({"rows": [row]})).rows[0])
    except InvalidInput as problem:
        field = problem.field.rpartition(".")[2]
        return Refused(f"{field or 'the row'} does not fit: {problem.why or 'the contract refuses it'}")
    except (TypeError, ValueError, OverflowError):
        return Refused("a value cannot be written as JSON")
