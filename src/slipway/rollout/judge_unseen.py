"""What a shadow shows before any label comes: errors, impossible scores, time, and how far the answers differ.

Both models scored the same rows. Each limit is judged by evidence that may be looked at as often as one likes, request by
request: rows that come together tell what one tells. An entity that asks again counts once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import polars as pl

from slipway.records.rollouts import ShadowSpec
from slipway.rollout.looks import plain
from slipway.rollout.units import REQUEST, by_request, once
from slipway.stats.evidence import log_e_share_above, two_sample_bernoulli

__all__ = ["VETO_ALPHA", "Unseen", "Vetoes", "judge_unseen", "unseen_words"]

VETO_ALPHA = 0.01
"""The chance that any veto stops a challenger wrongly, however often one looks; shared evenly among what is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """The rows that the champion answered in a shadow, and what the challenger made of them.

    Args:
        rows: One row each that was sampled: `at`, `champion` (score), `compared` (whether the challenger was asked),
            `challenger` (score, null where there is none), `problem`, `flips` (whether it would be decided otherwise,
            null where nothing is decided), `took_ns`, `beside_ns`; `revision`, `answered_at` and `at` together name the
            request, `id` the row, `key` its entity. In order of time.
        failures: The champion's own: `at`, `requests`, as many of them as would be among the rows if they were sampled
            and logged like answers.
        waiting: How many of the rows may still be compared.
        share: The share of the rows that is sampled.
    """

    rows: pl.DataFrame
    failures: pl.DataFrame
    waiting: int = 0
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vetoes:
    """What speaks against a challenger without any label.

    Args:
        values: The figures; those of machine time apart, under "took".
        said: A sentence for each limit that it is shown to break.
    """

    values: dict[str, Any]
    said: tuple[str, ...]


def judge_unseen(spec: ShadowSpec, unseen: Unseen, *, in_simulation: bool = False) -> Vetoes:
    """Is the challenger shown to fail more often, to differ more or to be slower than it may?

    Args:
        spec: The phase as declared; a limit that is None is shown and never judged.
        unseen: What both models made of the same rows.
        in_simulation: Whether business time is simulated: then machine time is measured and not judged.
    """
    compared = unseen.rows.filter("compared")
    scored = compared.filter(pl.col("challenger").is_not_null())
    moves = (scored["challenger"] - scored["champion"]).to_numpy()
    timed = compared.filter((pl.col("beside_ns") > 0) & pl.col("challenger").is_not_null())
    decided = scored["flips"].drop_nulls()
    blocks = _failure_blocks(unseen)
    flips, slower = int(decided.sum()), 0
    moved = 0 if spec.most_moved is None else int((abs(moves) > spec.most_moved).sum())
    logs = {
        "failures": float(max([0.0, *two_sample_bernoulli(*(blocks[name].to_numpy() for name in blocks.columns[1:]))]))
    }
    if spec.most_flips is not None:
        logs["flips"] = _log_e(scored.filter(pl.col("flips").is_not_null()), pl.col("flips"), spec.most_flips)
    if spec.most_moved is not None:
        is_moved = (pl.col("challenger") - pl.col("champion")).abs() > spec.most_moved
        logs["moved"] = _log_e(scored, is_moved, 0.5)
    is_timed = spec.most_slower is not None and not in_simulation
    if spec.most_slower is not None:
        slower = timed.filter(pl.col("took_ns") > spec.most_slower * pl.col("beside_ns")).height
    is_slower = pl.col("took_ns") > (spec.most_slower or 1.0) * pl.col("beside_ns")
    late = log_e_share_above(*_hits(timed, is_slower), share=0.5)
    needed = math.log((len(logs) + is_timed) / VETO_ALPHA)
    quantiles = [plain(float(pl.Series(moves).quantile(q) or 0.0)) for q in (0.05, 0.5, 0.95)] if moves.size else []
    problems = compared.filter(pl.col("challenger").is_null()).group_by("problem").len().sort("problem")
    values: dict[str, Any] = {
        "sampled": unseen.rows.height,
        "compared": compared.height,
        "requests": compared.select(REQUEST).n_unique(),
        "dropped": unseen.rows.height - compared.height - unseen.waiting,
        "waiting": unseen.waiting,
        "share": unseen.share,
        "problems": {problem or "error": rows for problem, rows in problems.iter_rows()},
        "champion_failures": int(unseen.failures["requests"].sum()),
        "flips": flips,
        "decided": decided.len(),
        "moved": moved,
        "mean_move": plain(float(moves.mean())) if moves.size else None,
        "mean_distance": plain(float(abs(moves).mean())) if moves.size else None,
        "moves": quantiles,
        "log_e": logs,
        "needed": needed,
    }
    took = _took(timed, slower, late)
    said = [_SAID[name](values, spec) for name, log_e in logs.items() if log_e >= needed]
    if is_timed and late >= needed:
        said.append(
            f"Worse: it took more than {spec.most_slower:g} times the champion's time in {slower:,} of {timed.height:,} "
            "measurements of the same rows."
        )
    return Vetoes(values={"unseen": values, "took": took}, said=tuple(said))


def unseen_words(values: dict[str, Any], took: dict[str, Any] | None) -> str:
    """The figures of `judge_unseen` in a sentence or two.

    Args:
        values: What it told under "unseen".
        took: Under "took"; None where machine time is not told.
    """
    if not values["sampled"]:
        return ""
    left = [f"{values[name]:,} {name}" for name in ("dropped", "waiting") if values[name]]
    said = f"Both scored {values['compared']:,} of {values['sampled']:,} sampled rows"
    said += f" ({', '.join(left)})" if left else ""
    failed = sum(values["problems"].values())
    told = [f"the challenger failed on {failed:,}{_problems(values['problems'])}"]
    if values["mean_move"] is not None:
        low, _, high = values["moves"]
        told.append(f"its scores are {values['mean_move']:+.3g} away on average (90 % from {low:+.3g} to {high:+.3g})")
    if values["decided"]:
        told.append(f"{values['flips'] / values['decided']:.1%} would be decided otherwise")
    if took is not None and took["times"] is not None:
        told.append(f"a row took {took['times']:.3g} times the champion's time")
    return f"{said}: {', '.join(told)}."


def _problems(problems: dict[str, int]) -> str:
    return f" ({', '.join(f'{rows:,} {problem}' for problem, rows in sorted(problems.items()))})" if problems else ""


def _hits(rows: pl.DataFrame, is_hit: pl.Expr) -> tuple[float, int]:
    """How much of the requests hit, each by the share of its rows, and of how many.

    A row's factor in the evidence is exponential in its hits, so that of a share has at most the mean of that of a yes or no.
    """
    shares = by_request(rows.with_columns(is_hit.alias("hit")), ["hit"])["hit"]
    return float(shares.sum()), shares.len()


def _log_e(scored: pl.DataFrame, is_hit: pl.Expr, share: float) -> float:
    """The evidence that more than a share hits, of entities that count once: asked again they are scored alike."""
    hits, requests = _hits(once(scored), is_hit)
    return log_e_share_above(hits, requests, share=share)


def _failure_blocks(unseen: Unseen) -> pl.DataFrame:
    """Hour by hour failures and requests of both models; a request fails by the share of its rows.

    Of an entity that asks again within the hour the first row counts.
    The challenger is asked only where the champion answered. Of requests on which the champion failed it is therefore taken
    to answer as great a share as it was asked of others: otherwise two equal models that fail by chance would seem unequal. Where models tend to
    fail on the same rows, that favours the challenger, and the evidence stays valid.
    """
    hour = pl.col("at").dt.truncate("1h").alias("at")
    failed_here = pl.when("compared").then(pl.col("challenger").is_null())
    each_hour = unseen.rows.with_columns(hour.alias("hour")).partition_by("hour", maintain_order=True)
    rows = pl.concat([once(rows) for rows in each_hour]) if each_hour else once(unseen.rows)
    requests = by_request(rows.with_columns(failed_here.alias("failed")), ["failed"])
    asked = requests.group_by(hour).agg(
        pl.len().cast(pl.Float64).alias("answered"),
        pl.col("failed").is_not_null().sum().cast(pl.Float64).alias("compared"),
        pl.col("failed").sum().alias("challenger_failures"),
    )
    failed = unseen.failures.group_by(hour).agg(pl.col("requests").sum().cast(pl.Float64).alias("champion_failures"))
    both = asked.join(failed, on="at", how="left").with_columns(pl.col("champion_failures").fill_null(0.0)).sort("at")
    challenger = pl.col("compared") * (1 + pl.col("champion_failures") / pl.col("answered"))
    return both.select(
        "at",
        "champion_failures",
        (pl.col("answered") + pl.col("champion_failures")).alias("champion_rows"),
        pl.min_horizontal("challenger_failures", challenger).alias("challenger_failures"),
        challenger.alias("challenger_rows"),
    )


def _took(timed: pl.DataFrame, slower: int, log_e: float) -> dict[str, Any]:
    times = (
        timed.select((pl.col("took_ns") / pl.col("beside_ns")).median().alias("times")).item() if timed.height else None
    )
    return {"measured": timed.height, "slower": slower, "log_e": log_e, "times": times}


_SAID = {
    "failures": lambda values, spec: (
        f"Worse: it failed on {sum(values['problems'].values()):,} of {values['compared']:,} rows that the champion could "
        f"score{_problems(values['problems'])}; the champion failed on {values['champion_failures']:,} requests."
    ),
    "flips": lambda values, spec: (
        f"Worse: it would decide {values['flips']:,} of {values['decided']:,} rows otherwise, shown to be more than the "
        f"{spec.most_flips:.3g} that are allowed as a share."
    ),
    "moved": lambda values, spec: (
        f"Worse: {values['moved']:,} of {values['compared']:,} scores are further than {spec.most_moved:g} from the "
        "champion's, shown to be more than half."
    ),
}
