"""One part of a scoring: rows in, scores and log rows out, by the very path on which an endpoint answers requests.

A row becomes the JSON of a request, is read by the contract's decoder, goes through the bundle's own features and its
model. Only windows and views are not looked up online: their values come with the row, as of its decision time.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import time_ns
from typing import Any, NamedTuple
from weakref import finalize

import msgspec
import polars as pl
from msgspec import Struct

from slipway.errors import InvalidInput
from slipway.features.online import build_resolver
from slipway.hosts.endpoint_loader import Loader, resolver_over
from slipway.ledger import archive
from slipway.records.endpoints import Revision
from slipway.records.features import FeatureSetSpec, View, Windows
from slipway.records.predictions import PredictionRow
from slipway.records.schema import Field
from slipway.serving.active import Active, Rows
from slipway.serving.contracts import ContractReader
from slipway.serving.feed_counters import FeedCounters
from slipway.serving.scoring import ArmFailed, microseconds, resolved, scored
from slipway.tables.segments import SegmentWriter

__all__ = ["FOUND", "LOG", "Job", "PartTold", "looked_up", "score_part"]

FOUND = "slipway:found:"
"""Begins the names of the columns that hold what windows and views gave."""

LOG = "predictions"
_CHUNK_ROWS = 1000
_NO_TIME = "its decision time is missing"
_encode = msgspec.json.Encoder().encode


class Job(Struct, frozen=True, kw_only=True):
    """What is the same for all parts of a scoring.

    Args:
        scoring: Its id: predictions are named by it and the place of their row.
        revision: What scores.
        home: The folder of the revision's bundle; "" where the bundle's bytes come along.
        begun_at: When the scoring began.
        looked_up: The features that come with the rows.
        is_here: Whether all parts are scored in one process, which loads the bundle once.
    """

    scoring: str
    revision: Revision
    home: str
    begun_at: datetime
    looked_up: tuple[str, ...] = ()
    is_here: bool = False


class PartTold(Struct, frozen=True, kw_only=True):
    """What is told of a part.

    Args:
        rows: How many rows it has.
        refused: How many got no score.
        reasons: Why, with how many rows each.
    """

    rows: int
    refused: int
    reasons: dict[str, int]


class _Refused(NamedTuple):
    """Why a row has no score. The sentence holds no value of the row: it may be shown to whoever may not see them."""

    why: str


def looked_up(spec: FeatureSetSpec | None) -> tuple[str, ...]:
    """The features of a set that windows and views give, () for a set without."""
    if spec is None or not any(isinstance(part, Windows | View) for part in spec.parts):
        return ()
    others = {part.name for part in spec.parts if not isinstance(part, Windows | View)}
    return tuple(feature.name for feature in spec.features if feature.name not in others)


def score_part(job: bytes, rows: pl.DataFrame, first: int, bundle: bytes) -> tuple[pl.DataFrame, bytes, bytes]:
    """Score some rows.

    Args:
        job: A `Job` as JSON.
        rows: The contract's fields, the decision time and what was looked up for each row.
        first: The place of the first row among all that the scoring scores.
        bundle: The bundle's files as an archive where its folder is not at hand, b"" otherwise.

    Returns:
        The scores, a row for each; the log of what was answered, as the bytes of a segment; and a `PartTold` as JSON.

    Raises:
        SlipwayError: The bundle is altered, or does not answer as it did when it was packaged.
    """
    given = msgspec.json.decode(job, type=Job)
    with tempfile.TemporaryDirectory(prefix="slipway-part-") as made:
        folder = Path(made)
        if given.is_here:
            active = _kept(given.home, given.revision, given.looked_up).active
        else:
            _place(folder, given.home, given.revision, bundle)
            active = _loaded_from(folder, given.revision, given.looked_up)
        return _Part(given, active, rows, first).scored(folder / "log")


class _Kept:
    """A revision that is loaded once for all parts, in a folder from which it may read as long as it is there."""

    def __init__(self, home: str, revision: Revision, names: tuple[str, ...]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="slipway-scoring-"))
        finalize(self, shutil.rmtree, folder, ignore_errors=True)
        _place(folder, home, revision, b"")
        self.active = _loaded_from(folder, revision, names)


_kept = lru_cache(maxsize=1)(_Kept)


def _place(folder: Path, home: str, revision: Revision, bundle: bytes) -> None:
    """Put a revision's bundle where a loader looks for it: what a loader counts is nobody's in this folder."""
    place = folder / "bundles" / revision.served.bundle
    if bundle:
        archive.unpack(bundle, place)
    else:
        place.parent.mkdir()
        place.symlink_to(home)


def _loaded_from(folder: Path, revision: Revision, names: tuple[str, ...]) -> Active:
    # Whoever hands the part out has verified the bundle's signature; here its bytes are compared with its digest.
    return _BatchLoader(folder, None, names).load(revision)


class _BatchLoader(Loader):
    """Loads a revision as an endpoint does; what an endpoint looks up comes with the rows.

    Args:
        folder: Where the bundle lies, in `bundles/`.
        signer: See `Loader`.
        names: The features that come with the rows, behind the contract's fields.
    """

    def __init__(self, folder: Path, signer: None, names: tuple[str, ...]) -> None:
        super().__init__(folder, signer)
        self._names = names

    def _open_store(self, spec: FeatureSetSpec) -> None:
        return None

    def _log_policy(self, revision: Revision, models: Any) -> None:
        return None  # whoever hands the part out writes the log, and has the key

    def _resolve(
        self, model: Any, fields: Sequence[Field], feeds: FeedCounters | None = None
    ) -> Callable[[list[list[Any]], datetime], Rows]:
        if not self._names:
            return super()._resolve(model, fields, feeds)
        # Its type is left open: what was looked up is given to the features as it is, online too.
        came = tuple(Field(name, "object", nullable=True) for name in self._names)
        parts = tuple(part for part in model.spec.parts if not isinstance(part, Windows | View))
        spec = msgspec.structs.replace(model.spec, parts=parts, request=(*model.spec.request, *came))
        inputs = model.signature.inputs
        return resolver_over(build_resolver(spec, model.functions), (*fields, *came), spec, inputs)


class _Part:
    """The rows of a part on their way."""

    def __init__(self, job: Job, active: Active, rows: pl.DataFrame, first: int) -> None:
        self._job, self._active, self._first = job, active, first
        self._contract = active.revision.contract
        self._rows = rows
        batch = active.revision.batch
        self._time = batch.time if batch is not None else ""
        names = [field.name for field in self._contract.fields]
        self._asked = pl.DataFrame([_as_sent(rows[field.name], field) for field in self._contract.fields])
        assert self._asked.columns == names
        self._found = rows.select(pl.col(FOUND + name).alias(name) for name in job.looked_up)

    def scored(self, log: Path) -> tuple[pl.DataFrame, bytes, bytes]:
        answers: list[tuple[float | None, bool | None, str | None]] = []
        writer = SegmentWriter(log, LOG, roll_bytes=1 << 60, roll_age_s=float("inf"))
        size = min(_CHUNK_ROWS, self._contract.max_rows)
        for start in range(0, self._rows.height, size):
            found, logged = self._chunk(start, size)
            answers += found
            writer.append(logged)
        writer.close()
        segment = next(iter(log.glob("*.seg")), None)
        reasons = Counter(why for _, _, why in answers if why is not None)
        told = PartTold(rows=len(answers), refused=reasons.total(), reasons=dict(reasons.most_common(20)))
        return self._frame(answers), segment.read_bytes() if segment else b"", _encode(told)

    def _chunk(
        self, start: int, size: int
    ) -> tuple[list[tuple[float | None, bool | None, str | None]], list[PredictionRow]]:
        asked = _read(self._active.contract, self._asked.slice(start, size).to_dicts())
        found = _values(self._found.slice(start, size))
        times = self._times(start, size)
        places = [n for n, row in enumerate(asked) if not isinstance(row, _Refused) and times[n] is not None]
        rows = [[*asked[n], *found[n]] if found else list(asked[n]) for n in places]
        came = dict(zip(places, _answered(self._active, rows, self._job.begun_at), strict=True))
        answers: list[tuple[float | None, bool | None, str | None]] = []
        logged: list[PredictionRow] = []
        revision, threshold = self._active.revision, self._active.threshold
        answered_us = time_ns() // 1000
        for n, row in enumerate(asked):
            if isinstance(row, _Refused):
                answers.append((None, None, row.why))
                continue
            at_us, answer = times[n], came.get(n, _Refused(_NO_TIME))
            if isinstance(answer, _Refused) or at_us is None:
                answers.append((None, None, answer.why if isinstance(answer, _Refused) else _NO_TIME))
                continue
            inputs, score = answer
            decision = None if threshold is None else bool(score >= threshold)
            answers.append((score, decision, None))
            logged.append(
                PredictionRow(
                    self._prediction(start + n),
                    at_us,
                    answered_us,
                    revision.served.number,
                    revision.served.bundle[:16],
                    self._active.contract.key_of(row),
                    row,
                    list(inputs),
                    score,
                    decision,
                    revision.number,
                )
            )
        return answers, logged

    def _prediction(self, place: int) -> str:
        return f"{self._job.scoring}-{self._first + place}"

    def _times(self, start: int, size: int) -> list[int | None]:
        count = min(size, self._rows.height - start)
        if not self._time:
            return [microseconds(self._job.begun_at)] * count
        return self._rows[self._time].slice(start, size).dt.epoch("us").to_list()

    def _frame(self, answers: Sequence[tuple[float | None, bool | None, str | None]]) -> pl.DataFrame:
        revision = self._active.revision
        kept = list(dict.fromkeys((*self._contract.key, *([self._time] if self._time else []))))
        scores = pl.DataFrame(
            answers, schema={"score": pl.Float64, "decision": pl.Boolean, "reason": pl.String}, orient="row"
        )
        ids = [self._prediction(place) for place in range(len(answers))]
        return self._rows.select(kept).with_columns(
            pl.Series("prediction", ids, pl.String),
            *scores.get_columns(),
            pl.lit(revision.served.number, pl.Int64).alias("version"),
            pl.lit(revision.number, pl.Int64).alias("revision"),
            pl.lit(self._job.begun_at.astimezone(UTC)).cast(pl.Datetime("us", "UTC")).alias("scored_at"),
        )


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


def _read(contract: ContractReader, rows: list[dict[str, Any]]) -> list[list[Any] | _Refused]:
    """Rows through the decoder of requests, all at once where none is refused."""
    try:
        return list(contract.decode(_encode({"rows": rows})).rows)
    except (InvalidInput, TypeError, ValueError, OverflowError):
        return [_read_one(contract, row) for row in rows]


def _read_one(contract: ContractReader, row: dict[str, Any]) -> list[Any] | _Refused:
    try:
        return list(contract.decode(_encode({"rows": [row]})).rows[0])
    except InvalidInput as problem:
        field = problem.field.rpartition(".")[2]
        return _Refused(f"{field or 'the row'} does not fit: {problem.why or 'the contract refuses it'}")
    except (TypeError, ValueError, OverflowError):
        return _Refused("a value cannot be written as JSON")


def _answered(active: Active, rows: list[list[Any]], at: datetime) -> list[tuple[Sequence[Any], float] | _Refused]:
    """Each row's inputs and score. Where something fails, halves are asked until the rows are found that it is of."""
    if not rows:
        return []
    try:
        inputs = resolved(active.resolve, rows, at)
        scores = scored(active.predict, inputs)
        return [(values, float(score)) for values, score in zip(inputs, scores, strict=True)]
    except (InvalidInput, ArmFailed) as problem:
        if len(rows) == 1:
            return [_Refused(_why(problem))]
    half = len(rows) // 2
    return _answered(active, rows[:half], at) + _answered(active, rows[half:], at)


def _why(problem: InvalidInput | ArmFailed) -> str:
    if isinstance(problem, InvalidInput):
        field = problem.field.rpartition(".")[2]
        return f"the model refuses {field or 'the row'}"
    kind = f": {type(problem.cause).__name__}" if problem.cause is not None else ", or its score is no number"
    return f"the {'features' if problem.step == 'features' else 'model'} failed{kind}"
