"""Late labels absorbed into cohorts, beside the Polars join that counts them once.

Sixty days of predictions; labels for a quarter of them come shuffled, some twice, some corrected. By hand: one join of the
labels that count with the predictions, and the share of right answers by day. Slipway absorbs the same labels in ten
batches as they come: which of them count, how old each was, every metric's sums and the order of the scores, by bundle, arm
and day. Afterwards all of it is counted once more from nothing, and must be the same numbers, bit for bit; and the share of
right answers by day must be that of the join.
"""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from benchmarks.pairs import seconds_of
from slipway.monitoring.cohorts import CAME, DECIDED, Cohorts
from slipway.tables.prediction_log import counting, labels_frame

PREDICTIONS = 5_000_000
LABELS = 1_000_000
REMARK = """\
The join answers one question once; what is absorbed stays, so that the next labels touch only the cohorts they belong to.
"""

_PATH = "late labels"
_UTC = pl.Datetime("us", "UTC")
_DAY_US = 86_400_000_000
_START_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 10**6
_BATCHES = 10


def made(predictions: int, labels: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Answers, and labels in the order of their coming: shuffled, a tenth of them twice, a tenth corrected later."""
    random = np.random.default_rng(0)
    at = _START_US + random.integers(0, 60 * _DAY_US, predictions)
    score = random.beta(2, 5, predictions)
    ids = pl.Series("id", np.arange(predictions)).cast(pl.String).str.zfill(16)
    answers = pl.DataFrame(
        {
            "id": ids,
            "at": pl.Series(at).cast(_UTC),
            "answered_at": pl.Series(at).cast(_UTC),
            "bundle": pl.Series(np.where(random.random(predictions) < 0.1, "b" * 16, "a" * 16)),
            "score": score,
            "decision": score >= 0.5,
        }
    ).with_columns(key=pl.lit(""), arm=pl.lit("champion"))
    first = labels * 8 // 10
    named = random.permutation(predictions)[:first]
    again, corrected = random.choice(named, labels // 10), random.choice(named, labels - first - labels // 10)
    value_of = (random.random(predictions) < score).astype(float)
    came_of = at + random.exponential(4 * _DAY_US, predictions).astype(np.int64)
    rows = np.concatenate([named, again, corrected])
    value = np.concatenate([value_of[named], value_of[again], 1 - value_of[corrected]])
    came = np.concatenate([came_of[named], came_of[again], came_of[corrected] + _DAY_US])
    order = random.permutation(labels)
    moment = pl.Series(came[order]).cast(_UTC)
    told = pl.DataFrame({"prediction": ids.gather(rows[order]), "value": value[order], "observed_at": moment})
    filled = told.with_columns(
        key=pl.lit(""), received_at="observed_at", came_at="observed_at", revisions=pl.lit(1), revision=pl.lit(0),
        since_at=pl.lit(None), until_at=pl.lit(None), contradictions=pl.lit(0),
    )  # fmt: skip
    empty = labels_frame([], [])
    return answers, filled.select(empty.columns).cast(empty.schema)  # type: ignore[arg-type]  # a schema is a mapping


def by_hand(answers: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """The share of right answers by day, as one writes it who knows Polars."""
    last = labels.lazy().sort("observed_at").unique("prediction", keep="last").select("prediction", "value")
    found = answers.lazy().select("id", "at", "decision").join(last, left_on="id", right_on="prediction", how="inner")
    right = (pl.col("value") == 1.0) == pl.col("decision")
    return found.group_by(day=pl.col("at").dt.date()).agg(n=pl.len(), right=right.sum()).sort("day").collect()


def shares(cohorts: Cohorts) -> pl.DataFrame:
    """The same, of what was absorbed."""
    decided = cohorts.states().filter(pl.col("kind") == DECIDED)
    right = pl.col("n").filter(pl.col("k").is_in([0, 3])).sum().cast(pl.UInt32)
    return decided.group_by("day").agg(n=pl.col("n").sum().cast(pl.UInt32), right=right).sort("day")


def absorb(answers: pl.DataFrame, labels: pl.DataFrame, batches: int) -> tuple[Cohorts, list[float]]:
    """Answers first, then labels in batches; also the seconds that each batch of labels took."""
    cohorts = Cohorts("classification")
    cohorts.add_answers(answers)
    size = -(-labels.height // batches)
    took = [seconds_of(lambda part=part: cohorts.add_labels(part)) for part in labels.iter_slices(size)]  # type: ignore[misc]  # each its own
    return cohorts, took


def check_equal(absorbed: Cohorts, answers: pl.DataFrame, labels: pl.DataFrame) -> None:
    """Whether counting all of it at once gives the same numbers, and the join the same shares."""
    once = Cohorts("classification")
    once.add_labels(counting(labels))
    once.add_answers(answers)
    assert absorbed.states().equals(once.states())
    assert shares(absorbed).equals(by_hand(answers, labels))
    assert absorbed.states().filter(pl.col("kind") == CAME)["n"].sum() == by_hand(answers, labels)["n"].sum()


def run(predictions: int = PREDICTIONS, labels: int = LABELS) -> list[dict[str, Any]]:
    """Rows of the table."""
    answers, told = made(predictions, labels)
    by_hand(answers, told)
    raw = min(seconds_of(lambda: by_hand(answers, told)) for _ in range(3))
    absorbed, took = absorb(answers, told, _BATCHES)
    check_equal(absorbed, answers, told)
    size = f"{predictions:,} predictions, {labels:,} labels"
    most, whole = max(took), sum(took)
    return [
        {
            "path": _PATH,
            "what": f"{size}: all of them in ten batches, s",
            "raw": raw,
            "slipway": whole,
            "ratio": whole / raw,
        },
        {
            "path": _PATH,
            "what": f"{size}: the slowest batch of {-(-labels // _BATCHES):,} labels, s",
            "raw": None,
            "slipway": most,
            "ratio": None,
            "goal": 2.0,
        },
    ]
