"""A monitor: alerts when one and the same score is given again and again, as by a model that is fed constants."""

import polars as pl

from slipway.ports.monitor import Judged

LEAST = 30


def stuck_score(rows: pl.DataFrame, share: float = 0.9) -> Judged:
    """Alert where the commonest score is more than this share of all."""
    if rows.height < LEAST:
        return Judged("cannot tell", f"{rows.height} answers are too few; {LEAST} are needed.")
    counts = rows["score"].value_counts(sort=True)
    score, count = counts.row(0)
    found = count / rows.height
    sentence = f"{found:.0%} of {rows.height:,} answers are {score:g}; up to {share:.0%} are usual."
    return Judged("alert" if found > share else "ok", sentence, value=found)
