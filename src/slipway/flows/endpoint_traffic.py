"""How an endpoint's traffic ran: rows, failures and times by hour or day and arm, out of its log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl
from msgspec import Raw, Struct

from slipway.errors import InvalidInput
from slipway.flows.endpoints import folder_of, revision_of
from slipway.operations.asking import AskTraffic, Span, Traffic
from slipway.ports.workspace import Workspace
from slipway.records.predictions import FailureRow
from slipway.tables.log_rows import read_parts, within
from slipway.tables.prediction_log import FAILURES, INSTANT, PREDICTIONS

__all__ = ["traffic"]


class _Answered(Struct, frozen=True, array_like=True):
    """The first fields of a `PredictionRow`; what nobody counts is not decoded."""

    id: Raw
    at_us: int
    answered_us: int
    version: Raw
    bundle: Raw
    key: Raw
    request: Raw
    features: Raw
    score: Raw
    decision: Raw = Raw(b"\xc0")
    revision: Raw = Raw(b"\xc0")
    arm: str = "champion"
    propensity: Raw = Raw(b"\xc0")
    caller: Raw = Raw(b"\xc0")
    log_share: float = 1.0
    fallback: str = ""
    took_us: int = 0


_MOST_DAYS = 92
_MOST_DAYS_BY_HOUR = 3
_ANSWERED = pl.Schema(
    {"at": INSTANT, "arm": pl.String(), "fallback": pl.String(), "took_us": pl.Int64(), "log_share": pl.Float64()}
)
_FAILED = pl.Schema({"at": INSTANT, "arm": pl.String(), "rows": pl.Int64()})
_PERCENTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


def traffic(workspace: Workspace, request: AskTraffic) -> Traffic:
    """Rows, failures and times of the last days, by arm. Only what the log holds: a day that was let go is gone.

    Raises:
        NotFound: Nothing was ever deployed there.
        InvalidInput: So many days are not told.
    """
    if not 1 <= request.days <= _MOST_DAYS:
        raise InvalidInput(f"{request.days} days cannot be told.", fix=f"Give 1 to {_MOST_DAYS}.", field="days")
    name = revision_of(workspace, request.name).name
    until = workspace.clock.now() + timedelta(microseconds=1)
    since, unit = until - timedelta(days=request.days), "hour" if request.days <= _MOST_DAYS_BY_HOUR else "day"
    log = folder_of(workspace, name) / "log"

    def rows_of(kind: str, row_type: type[_Answered | FailureRow], schema: pl.Schema) -> pl.DataFrame:
        kept, rows, _ = read_parts(
            log, kind, row_type, since=since, until=until, where=within(kind, since, until), wanted=tuple(schema)
        )
        found = pl.concat([_known(part.frame, schema) for part in kept] + [_loose(rows, schema)])
        return found.filter(pl.col("at").is_between(since, until)).with_columns(
            pl.col("at").dt.truncate("1h" if unit == "hour" else "1d")
        )

    answered, failed = rows_of(PREDICTIONS, _Answered, _ANSWERED), rows_of(FAILURES, FailureRow, _FAILED)
    spans = _spans(answered, failed)
    return Traffic(
        unit=unit,
        spans=spans,
        rows=sum(span.rows for span in spans),
        since=min((span.since for span in spans), default=None),
        until=workspace.clock.now() if spans else None,
    )


def _known(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The wanted columns; what an earlier release did not write is null."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in schema.items()
    )


def _loose(rows: Sequence[object], schema: pl.Schema) -> pl.DataFrame:
    """Rows that are in segments yet."""
    stored = {name: "at_us" if name == "at" else name for name in schema}
    values = {name: [getattr(row, field) for row in rows] for name, field in stored.items()}
    given = pl.DataFrame(values, schema={name: pl.Int64() if name == "at" else kind for name, kind in schema.items()})
    return given.with_columns(pl.col("at").cast(INSTANT))


def _spans(answered: pl.DataFrame, failed: pl.DataFrame) -> tuple[Span, ...]:
    measured = pl.col("took_us").filter(pl.col("took_us") > 0)
    share = 1 / pl.col("log_share").fill_null(1.0).clip(1e-9, 1.0)
    told = answered.group_by("at", "arm").agg(
        rows=share.sum().round().cast(pl.Int64),
        fallback=share.filter(pl.col("fallback").fill_null("") != "").sum().round().cast(pl.Int64),
        **{name: measured.quantile(q, "linear") / 1000 for name, q in _PERCENTILES.items()},
    )
    lost = failed.group_by("at", "arm").agg(failed=pl.col("rows").sum())
    both = told.join(lost, on=["at", "arm"], how="full", coalesce=True).sort("at", "arm")
    return tuple(
        Span(
            since=row["at"],
            arm=row["arm"] or "champion",
            rows=row["rows"] or 0,
            fallback=row["fallback"] or 0,
            failed=row["failed"] or 0,
            **{name: row[name] for name in _PERCENTILES},
        )
        for row in both.iter_rows(named=True)
    )
