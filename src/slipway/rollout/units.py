"""What counts once in a canary: a request's rows of one arm for what fails, an entity for what is answered.

An arm is asked once for all of its rows of a request, and that call fails as a whole: fifty rows that fail together are one
failure. Scores and losses are compared between entities, which are what is drawn: one that asks again says nothing new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from slipway.tables.log_sampling import is_logged

__all__ = [
    "FAILED",
    "REQUEST",
    "arm_counts",
    "by_request",
    "declared",
    "drawn_for",
    "kept_failures",
    "log_shares",
    "once",
    "requests_of",
]

REQUEST = ("revision", "at", "answered_at")
"""What names a request in the log: no two are answered by a worker within a microsecond."""

FAILED = ("timeout", "invalid", "fallback")
"""What of the failures is counted by itself."""

_ARMS = ("champion", "challenger")
_PLAIN = (
    "id", "at", "answered_at", "bundle", "key", "score", "decision", "revision", "arm", "propensity", "log_share",
    "fallback", "label",
)  # fmt: skip
_CALL = ("revision", "arm", "at", "answered_at")
_UNIT = {"at": pl.Datetime("us", "UTC"), "revision": pl.Int64(), "arm": pl.String(), "failures": pl.Float64(),
         "alone": pl.Float64(), **dict.fromkeys(FAILED, pl.Float64())}  # fmt: skip


def arm_counts(answered: pl.DataFrame, failed: pl.DataFrame, fractions: Mapping[int, float]) -> pl.DataFrame:
    """Requests of each arm and how much of them failed, by hour of decision time and revision.

    A request counts once in each arm that had rows of it, with the share of those rows that failed: 1 where the arm's
    call failed. Rows that one arm answered in the other's place belong to that other's failure. Where a share of the rows
    is logged, of the failures the same share is counted: a failed request with the chance that one of its rows would
    have been logged.

    Args:
        answered: From `LogReader.answered`, fallen ones among them.
        failed: From `LogReader.failures`.
        fractions: The challenger's share by the number of each revision that carried the canary out.

    Returns:
        `at`, `champion_rows` (requests), `champion_failures`, `challenger_rows`, `challenger_failures`,
        `challenger_alone` (those of its failures that the champion, asked for the same rows, did not share; too slow is
        always its own), `log_share` (the least share of the rows that is logged), and for each of `FAILED`
        `champion_<kind>` and `challenger_<kind>`, the latter those alone.
    """
    answered = answered.filter(pl.col("revision").is_in(list(fractions)))
    units = pl.concat(_units(answered, failed, fractions))
    is_mine = {arm: pl.col("arm") == arm for arm in _ARMS}
    # Where the shares of the arms change, another block begins: an outage after a step hits more of the challenger's.
    counted = units.group_by(pl.col("at").dt.truncate("1h"), "revision").agg(
        *(is_mine[arm].sum().cast(pl.Int64).alias(f"{arm}_rows") for arm in _ARMS),
        *(
            pl.col(what).filter(is_mine[arm]).sum().alias(f"{arm}_{what}")
            for arm in _ARMS
            for what in ("failures", *FAILED)
        ),
        pl.col("alone").filter(is_mine["challenger"]).sum().alias("challenger_alone"),
    )
    # Sums of shares may pass their number by what floating point is off.
    at_most = [
        pl.min_horizontal(pl.col(name), pl.col(f"{name.split('_')[0]}_rows").cast(pl.Float64)).alias(name)
        for name in counted.columns
        if name not in ("at", "revision") and not name.endswith("_rows")
    ]
    logged = min(log_shares(answered).values(), default=1.0)
    return counted.with_columns(*at_most, pl.lit(logged).alias("log_share")).sort("at", "revision").drop("revision")


def _units(answered: pl.DataFrame, failed: pl.DataFrame, fractions: Mapping[int, float]) -> list[pl.DataFrame]:
    shares = log_shares(answered)
    own = drawn_for(answered, fractions).filter(~pl.col("is_instead"))
    failed = failed.filter(pl.col("revision").is_in(list(fractions)))
    # Failed rows that a fallback answered stand among the answers too.
    fallen = own.filter(pl.col("fallback") != "").select("revision", "arm", "at").unique()
    failed = kept_failures(failed.join(fallen, on=["revision", "arm", "at"], how="anti"), shares)
    own = own.filter(_is_kept(own, shares))
    kind, is_other = pl.col("fallback"), pl.col("arm") == "champion"
    calls = own.group_by(_CALL).agg(
        (kind != "").mean().alias("failures"),
        (kind == "timeout").mean().alias("alone"),
        (kind == "timeout").mean().alias("timeout"),
        ((kind == "invalid") & is_other).mean().alias("invalid"),
        ((kind == "timeout") | ((kind != "") & is_other)).mean().alias("fallback"),
    )
    is_alone = pl.col("was_covered") | (pl.col("kind") == "timeout")
    rows = pl.col("rows")
    lost = failed.group_by(_CALL).agg(
        pl.lit(1.0).alias("failures"),
        (rows.filter(is_alone).sum() / rows.sum()).alias("alone"),
        (rows.filter(pl.col("kind") == "timeout").sum() / rows.sum()).alias("timeout"),
        (rows.filter((pl.col("kind") == "invalid") & (is_alone | is_other)).sum() / rows.sum()).alias("invalid"),
        pl.lit(0.0).alias("fallback"),
    )
    return [frame.select(pl.col(name).cast(dtype) for name, dtype in _UNIT.items()) for frame in (calls, lost)]


def drawn_for(answered: pl.DataFrame, fractions: Mapping[int, float]) -> pl.DataFrame:
    """The canary's rows with `share`, the challenger's declared one, and `is_instead`.

    That is whether the arm answered that the row was not drawn for, whose propensity is then 1. Of their columns only
    those are kept that are no request's field and no model's input.
    """
    is_instead = (pl.col("propensity") == 1.0) & ((pl.col("share") < 1.0) | (pl.col("arm") == "champion"))
    plain = answered.select(_PLAIN)  # a field may have any other name
    return plain.join(declared(fractions), on="revision", maintain_order="left").with_columns(
        is_instead.alias("is_instead")
    )


def declared(fractions: Mapping[int, float]) -> pl.DataFrame:
    """The challenger's `share` by `revision`."""
    return pl.DataFrame(
        {"revision": list(fractions), "share": list(fractions.values())},
        schema={"revision": pl.Int64, "share": pl.Float64},
    )


def once(rows: pl.DataFrame) -> pl.DataFrame:
    """The first row of each entity, in the order of rows: of those with the same key. One without a key is one of its own."""
    case = pl.when(pl.col("key") == "").then("id").otherwise("key")
    return rows.with_columns(case.alias("case")).unique("case", keep="first", maintain_order=True)


def by_request(rows: pl.DataFrame, values: Sequence[str]) -> pl.DataFrame:
    """The means of each request's rows; null where all of them are."""
    return rows.group_by(REQUEST, maintain_order=True).agg(pl.col(list(values)).cast(pl.Float64).mean())


def requests_of(failed: pl.DataFrame) -> pl.DataFrame:
    """What failed of each request: `revision`, `at`, `answered_at`, and how many rows of `champion` and `challenger`."""
    return failed.group_by(REQUEST, maintain_order=True).agg(
        pl.col("rows").filter(pl.col("arm") == arm).sum().alias(arm) for arm in _ARMS
    )


def log_shares(answered: pl.DataFrame) -> dict[int, float]:
    """The share of the rows that is logged, by revision; failures and what a fallback answered are logged always.

    Of a log of which a share is held in memory, what a fallback answered has that share too.
    """
    shares = (
        answered.filter((pl.col("fallback") == "") | (pl.col("log_share") < 1))
        .group_by("revision")
        .agg(pl.col("log_share").min())
    )
    return dict(shares.iter_rows())


def kept_failures(failed: pl.DataFrame, shares: Mapping[int, float]) -> pl.DataFrame:
    """As many of the failures as there would be if they were logged like answers, the same ones at every time."""
    if all(share >= 1.0 for share in shares.values()):
        return failed
    names = failed.select("revision", "arm", "at", "answered_at", "rows").iter_rows()
    kept = [
        is_logged(f"{revision}/{arm}/{at}/{answered_at}", 1.0 - (1.0 - shares.get(revision, 1.0)) ** rows)
        for revision, arm, at, answered_at, rows in names
    ]
    return failed.filter(pl.Series(kept, dtype=pl.Boolean))


def _is_kept(rows: pl.DataFrame, shares: Mapping[int, float]) -> pl.Series:
    """Of answered rows those that were logged as a share of all: a fallback's are logged always, and chosen here."""
    names = rows.select("fallback", "key", "id", "revision").iter_rows()
    kept = [not why or is_logged(key or id, shares.get(revision, 1.0)) for why, key, id, revision in names]
    return pl.Series(kept, dtype=pl.Boolean)
