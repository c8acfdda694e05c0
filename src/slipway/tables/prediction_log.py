"""What an endpoint answered, and what turned out to be true, as frames."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from slipway.errors import InvalidInput
from slipway.records.endpoints import Contract
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.records.schema import Field, Signature
from slipway.schema.types import polars_schema
from slipway.tables.log_rows import Kept, read_parts, read_rows, within

__all__ = [
    "FAILURES", "INSTANT", "LABELS", "PREDICTIONS", "SHADOWS",
    "answers_frame", "as_answers", "by_models", "counting", "joined", "kept_frame", "labels", "labels_frame", "latest_labels", "predictions",
]  # fmt: skip

PREDICTIONS = "predictions"
LABELS = "labels"
SHADOWS = "shadows"
FAILURES = "failures"

INSTANT = pl.Datetime("us", "UTC")
_OWN_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "at": INSTANT,
        "answered_at": INSTANT,
        "version": pl.Int64(),
        "bundle": pl.String(),
        "key": pl.String(),
        "score": pl.Float64(),
        "decision": pl.Boolean(),
        "revision": pl.Int64(),
        "arm": pl.String(),
        "propensity": pl.Float64(),
        "log_share": pl.Float64(),
        "fallback": pl.String(),
        "took_us": pl.Int64(),
    }
)
_OWN = (*_OWN_SCHEMA, "label", "labelled_at")
_ABSENT = {"log_share": 1.0, "fallback": "", "took_us": 0}
"""What rows have that were written before there was such a column."""
_LABEL_SCHEMA = pl.Schema(
    {
        "prediction": pl.String(),
        "key": pl.String(),
        "value": pl.Float64(),
        "observed_at": INSTANT,
        "received_at": INSTANT,
        "revisions": pl.UInt32(),
        "revision": pl.Int64(),
        "since_at": INSTANT,
        "until_at": INSTANT,
        "came_at": INSTANT,
        "contradictions": pl.UInt32(),
    }
)
_RANK = ("revision", "observed_at", "received_at", "value")
_NAMED = ("prediction", "key", "until_at")
"""What a label is about: of several for the same, one counts."""


def predictions(
    folder: Path,
    contract: Contract,
    signature: Signature,
    *,
    bundle: str = "",
    revisions: Collection[int] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.DataFrame:
    """The answered rows of a prediction log, in the order of the log.

    Columns: `id`, `at` (the decision time), `answered_at`, `version`, `bundle` (16 digits), `key`, `score`, `decision`,
    `revision`, `arm`, `propensity`, `log_share`, `fallback` (why the fallback answered, "" where a model did),
    `took_us` (how long its arm took, 0 where nobody measured); then the request's fields and the model's inputs under their own names, a name that
    both have once. One that has the name of a column above, or of `label` or `labelled_at`, is written `request.<name>`
    or `feature.<name>`. Categories are strings, because a request may carry one that the model does not know.

    Args:
        folder: The endpoint's log.
        contract: Names and types of the request's fields; a row of an older contract may have fewer, at the end.
        signature: Names and types of the model's inputs.
        bundle: Only rows that the bundle with this digest answered, "" for all. Models with different inputs must be
            read one by one.
        revisions: Only rows that these revisions answered, None for all. Contracts that do not continue each other must
            be read one by one.
        since: Only rows whose decision time is at or after this.
        until: Only rows whose decision time is before this.

    Raises:
        Corrupt: The log is damaged.
        InvalidInput: Rows do not fit contract and signature.
    """
    wanted = [] if not bundle else [pl.col("bundle") == bundle[:16]]
    wanted += [] if revisions is None else [pl.col("revision").is_in(list(revisions))]
    span = within(PREDICTIONS, since, until)
    where = [*wanted, *([] if span is None else [span])]
    kept, rows, _ = read_parts(
        folder, PREDICTIONS, PredictionRow, since=since, until=until,
        where=pl.all_horizontal(where) if where else None,
    )  # fmt: skip
    if bundle:
        rows = [row for row in rows if row.bundle == bundle[:16]]
    if revisions is not None:
        rows = [row for row in rows if row.revision in revisions]
    latest = answers_frame(rows, contract, signature)
    if span is not None:
        latest = latest.filter(span)
    return pl.concat([*(kept_frame(part, contract, signature) for part in kept), latest])


def kept_frame(part: Kept, contract: Contract, signature: Signature) -> pl.DataFrame:
    """The same as `answers_frame`, of rows that are columns already; values are taken by their places, as they are there.

    Raises:
        InvalidInput: Rows do not fit contract and signature.
    """
    frame, columns = part
    assert columns is not None  # only predictions come here
    if len(columns.fields) > len(contract.fields) or len(columns.inputs) != len(signature.inputs):
        raise _misfit("a row has another number of values")
    found = [_own(frame, name, dtype) for name, dtype in _OWN_SCHEMA.items()]
    by_name = dict(zip((name for name, _ in columns.inputs), columns.of_inputs, strict=True))
    inputs = {field.name for field in signature.inputs}
    for position, field in enumerate(contract.fields):
        if field.name not in inputs:
            source = None
            if position < len(columns.fields):
                named = columns.of_fields[position]
                source = named if named in frame.columns else by_name[columns.fields[position][0]]
            found.append(_kept_column("request", field, frame, source))
    for position, field in enumerate(signature.inputs):
        found.append(_kept_column("feature", field, frame, columns.of_inputs[position]))
    return pl.DataFrame(found)


def as_answers(part: Kept) -> pl.DataFrame:
    """Rows that are columns already, under the contract and signature that they were written with."""
    assert part.columns is not None  # only predictions come here
    fields = tuple(Field(name, kind) for name, kind in part.columns.fields)
    inputs = tuple(Field(name, kind) for name, kind in part.columns.inputs)
    return kept_frame(part, Contract(fields=fields), Signature(inputs, ()))


def _own(frame: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.Series:
    if name in frame.columns:
        return frame[name]
    return pl.Series(name, [_ABSENT[name]], dtype).new_from_index(0, frame.height)


def _kept_column(role: str, field: Field, frame: pl.DataFrame, source: str | None) -> pl.Series:
    if source is None:
        return _column(role, field, [None] * frame.height)
    if field.type == "object":
        return _column(role, field, [None if one is None else msgspec.json.decode(one) for one in frame[source]])
    plain = Field(field.name, "string" if field.type == "category" else field.type)
    try:
        return frame[source].cast(polars_schema((plain,))[field.name]).alias(_name(role, field))
    except pl.exceptions.PolarsError as problem:
        raise _misfit(f"{field.name!r} is no {field.type}: {str(problem).splitlines()[0]}") from problem


def answers_frame(rows: Sequence[PredictionRow], contract: Contract, signature: Signature) -> pl.DataFrame:
    """Rows of a prediction log that were answered under one contract by models of one signature; see `predictions`.

    Raises:
        InvalidInput: Rows do not fit contract and signature.
    """
    columns = [
        pl.Series("id", [row.id for row in rows], pl.String),
        pl.Series("at", [row.at_us for row in rows], pl.Int64).cast(INSTANT),
        pl.Series("answered_at", [row.answered_us for row in rows], pl.Int64).cast(INSTANT),
        pl.Series("version", [row.version for row in rows], pl.Int64),
        pl.Series("bundle", [row.bundle for row in rows], pl.String),
        pl.Series("key", [row.key for row in rows], pl.String),
        pl.Series("score", [row.score for row in rows], pl.Float64),
        pl.Series("decision", [row.decision for row in rows], pl.Boolean),
        pl.Series("revision", [row.revision for row in rows], pl.Int64),
        pl.Series("arm", [row.arm for row in rows], pl.String),
        pl.Series("propensity", [row.propensity for row in rows], pl.Float64),
        pl.Series("log_share", [row.log_share for row in rows], pl.Float64),
        pl.Series("fallback", [row.fallback for row in rows], pl.String),
        pl.Series("took_us", [row.took_us for row in rows], pl.Int64),
    ]
    inputs = {field.name for field in signature.inputs}
    for position, field in enumerate(contract.fields):
        if field.name not in inputs:
            values = [row.request[position] if position < len(row.request) else None for row in rows]
            columns.append(_column("request", field, values))
    width = len(signature.inputs)
    if any(len(row.request) > len(contract.fields) or len(row.features) != width for row in rows):
        raise _misfit("a row has another number of values")
    columns += [_column("feature", f, [row.features[i] for row in rows]) for i, f in enumerate(signature.inputs)]
    return pl.DataFrame(columns)


def by_models(answered: pl.DataFrame) -> pl.DataFrame:
    """The answers that models gave: what a fallback answered tells nothing of them, and holds none of their inputs."""
    return answered.filter(pl.col("fallback") == "")


def labels(folder: Path) -> pl.DataFrame:
    """The label that counts for each prediction, key, or key and time: see `latest_labels`.

    Columns: `prediction`, `key`, `value`, `observed_at`, `received_at`, `revisions` (how many labels came for it in
    all; the log keeps each), `revision` (its number, 0 for none), `since_at` and `until_at` (which decisions of its key it
    judges, null for all), `came_at`, `contradictions` (how many labels of one and the same revision say something else
    than another one of it). In the order in which the first of each came.

    Args:
        folder: The endpoint's log.

    Raises:
        Corrupt: The log is damaged.
    """
    rows, _ = read_rows(folder, LABELS, LabelRow)
    return counting(labels_frame(rows, [1] * len(rows)))


def counting(rows: pl.DataFrame) -> pl.DataFrame:
    """Of labels as they came, in the order in which they came, those that count; see `labels`.

    Labels contradict each other where one revision has several values; without numbers, where they were observed at the
    same moment. Whichever of them counts, it is the same one in whatever order they came.

    Args:
        rows: With the columns of `labels`; each counts as many as its `revisions` say.
    """
    moment = pl.when(pl.col("revision") == 0).then("observed_at").alias("moment")
    several = rows.select(*_NAMED, "revision", "value", moment).unique().group_by(*_NAMED, "revision", "moment").len()
    several = several.filter(pl.col("len") > 1).group_by(_NAMED).agg(told=(pl.col("len") - 1).sum())
    others = [name for name in _LABEL_SCHEMA if name not in (*_NAMED, "revisions", "contradictions")]
    found = (
        rows.with_row_index("place")
        .sort(_RANK)
        .group_by(_NAMED)
        .agg(pl.col(others).last(), pl.col("revisions").sum(), pl.col("place").min())
        .join(several, on=_NAMED, how="left", nulls_equal=True)
        .sort("place")
        .with_columns(contradictions=pl.col("told").fill_null(0))
    )
    return found.select(_LABEL_SCHEMA.names()).cast(_LABEL_SCHEMA)


def labels_frame(rows: Sequence[LabelRow], revisions: Sequence[int]) -> pl.DataFrame:
    """Labels as a frame with the columns of `labels`."""
    columns = {
        "prediction": [row.prediction for row in rows],
        "key": [row.key for row in rows],
        "value": [row.value for row in rows],
        "observed_at": [row.observed_us for row in rows],
        "received_at": [row.received_us for row in rows],
        "revisions": revisions,
        "revision": [row.revision for row in rows],
        "since_at": [row.since_us for row in rows],
        "until_at": [row.until_us for row in rows],
        "came_at": [row.observed_us if row.came_us is None else row.came_us for row in rows],
        "contradictions": [0] * len(rows),
    }
    plain = {name: pl.Int64() if dtype == INSTANT else dtype for name, dtype in _LABEL_SCHEMA.items()}
    return pl.DataFrame(columns, schema=plain).cast(_LABEL_SCHEMA)


def latest_labels(truths: pl.DataFrame) -> pl.DataFrame:
    """Without those instead of which another one counts: of a greater revision, observed later, received later, then greater.

    Of labels that came at the very same moment through two workers nobody can say which was last, so their order in the
    log must not decide.
    """
    return truths.sort(_RANK, maintain_order=True).unique(["prediction", "key", "until_at"], keep="last")


def joined(answered: pl.DataFrame, truths: pl.DataFrame, *, more: bool = False) -> pl.DataFrame:
    """Answered rows with the label of each.

    A label is found by the prediction's id, by its key, or by its key and time; of a key's labels with a time it is the
    nearest one at or after the decision that reaches back to it. Where several are found the one of the greatest revision
    counts, then the one observed last, then received last; of equals the one for the id, then the one with a time.

    Args:
        answered: From `predictions`.
        truths: From `labels`.
        more: Whether `came_at` is told too.

    Returns:
        The same rows in the same order with the columns `label` and `labelled_at`, null where no label has come.
    """
    places = answered.select("id", "key", "at").with_row_index("place")
    told = ["place", *_RANK, "came_at"]
    plain = truths.filter(pl.col("until_at").is_null())
    by_id = _side(plain.filter(pl.col("prediction") != ""), "prediction")
    by_key = _side(plain.filter((pl.col("prediction") == "") & (pl.col("key") != "")), "key")
    sides = [
        places.join(by_key, on="key", how="inner").select(told),
        _by_time(places, truths.filter(pl.col("until_at").is_not_null())).select(told),
        places.join(by_id, left_on="id", right_on="prediction", how="inner").select(told),
    ]
    sides = [side.with_columns(side=pl.lit(i)) for i, side in enumerate(sides) if side.height]
    found = pl.concat(sides) if sides else places.clear().with_columns(by_id.clear().select(told[1:])).select(told)
    if len(sides) > 1:
        found = found.sort(*_RANK[:3], "side").unique("place", keep="last")
    kept = {"value": "label", "observed_at": "labelled_at", **({"came_at": "came_at"} if more else {})}
    found = places.select("place").join(found.select("place", *kept), on="place", how="left", maintain_order="left")
    return answered.hstack(found.select(pl.col(name).alias(of) for name, of in kept.items()))


def _by_time(places: pl.DataFrame, timed: pl.DataFrame) -> pl.DataFrame:
    """Rows beside the label with a time that judges each, where there is one."""
    once = timed.sort(_RANK, maintain_order=True).unique(["key", "until_at"], keep="last")
    rows = places.filter(pl.col("key") != "").join(once.select("key").unique(), on="key", how="semi").sort("at")
    found = rows.join_asof(
        once.select("key", "since_at", "until_at", *_RANK, "came_at").sort("until_at"),
        left_on="at",
        right_on="until_at",
        by="key",
        strategy="forward",
        check_sortedness=False,
    )
    return found.filter(pl.col("since_at") < pl.col("at"))


def _side(truths: pl.DataFrame, on: str) -> pl.DataFrame:
    latest = truths.sort(_RANK, maintain_order=True).unique(on, keep="last")
    return latest.select(on, *_RANK, "came_at")


def _name(role: str, field: Field) -> str:
    return f"{role}.{field.name}" if field.name in _OWN else field.name


def _column(role: str, field: Field, values: Sequence[Any]) -> pl.Series:
    name = _name(role, field)
    plain = Field(name, "string" if field.type == "category" else field.type)
    python: Any = {"datetime": datetime, "date": date, "duration": timedelta}.get(field.type)
    try:
        if python is not None:  # MessagePack carries dates and durations as text
            values = msgspec.convert(values, list[python | None])
        return pl.Series(name, values, polars_schema((plain,))[name])
    except (TypeError, pl.exceptions.PolarsError, msgspec.ValidationError) as problem:
        raise _misfit(f"{field.name!r} is no {field.type}: {str(problem).splitlines()[0]}") from problem


def _misfit(why: str) -> InvalidInput:
    return InvalidInput(
        f"Rows of the prediction log do not fit the contract and the signature: {why}.",
        why="A model with other inputs may have answered them.",
        fix="Read each model's rows by themselves: predictions(..., bundle=digest).",
    )
