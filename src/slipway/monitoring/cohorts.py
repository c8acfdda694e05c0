"""Labels that come late, out of order, twice and corrected, absorbed into what is known of each day of decisions.

A cohort is what one bundle answered under one arm on one day. What is kept of it are whole numbers only: counts, and sums
without rounding, from which a changed label is taken out and put back in. So absorbing labels as they come ends, bit for
bit, where counting everything at once ends, and only the cohorts that a label belongs to are touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.stats.classification import log_losses
from slipway.stats.exact_sums import parts_of
from slipway.tables.prediction_log import counting, joined, labels_frame

__all__ = [
    "ABSENT",
    "ASKED",
    "CAME",
    "DECIDED",
    "EARLY",
    "EDGES_US",
    "MISFIT",
    "SCORED",
    "SUMS",
    "Cohorts",
    "at_or_above",
    "bucket_of",
    "measures",
]

Task = Literal["classification", "regression"]
ASKED, CAME, DECIDED, SCORED, MISFIT, EARLY, SUMS = 0, 1, 2, 3, 4, 5, 10
"""Kinds of number: by hour; by class and age of the label; by class and decision; by class and score; labels that fit no
task; labels observed before their decision; and, from here on, sums of measures by class and power of two."""
ABSENT = 2
"""The class of rows without a label, where these are to count as negative once they are old enough."""
_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
EDGES_US = np.array(
    [*(h * _HOUR for h in range(49)), *(d * _DAY for d in range(3, 61)), *(w * 7 * _DAY for w in range(9, 53))]
)
"""Ages of labels, at most this old; whatever is older comes after the last."""
_SCORE_BITS = 22
_SIGN = np.uint64(1 << 63)
_POWER = 2048
_CHUNKS = 16
_OF_RAW = ("prediction", "key", "until_at", "since_at", "value", "observed_at", "received_at", "revision", "came_at")
_STATE = pl.Schema({"cohort": pl.Int32(), "kind": pl.Int16(), "k": pl.Int64(), "n": pl.Int64(), "low": pl.Int64()})
_COHORT = ("bundle", "arm", "day")


def measures(task: str) -> tuple[str, ...]:
    """What is summed up of each labelled row; of each also its square."""
    return ("log_loss", "brier", "bias") if task == "classification" else ("mae", "square", "bias")


def bucket_of(age_us: int) -> int:
    """How many edges lie below an age: labels of that age are counted there."""
    return int(np.searchsorted(EDGES_US, age_us, side="left"))


class Cohorts:
    """What is known of each cohort, by the labels that came so far. Not safe for threads.

    Args:
        task: What the models do.
        absent_negative: Whether rows without a label are summed up too, as if it were negative.
    """

    def __init__(self, task: Task, *, absent_negative: bool = False) -> None:
        self.task = task
        self.absent_negative = absent_negative
        self._codes: dict[tuple[str, str, object], int] = {}
        self._rows = pl.DataFrame()
        self._label = np.empty(0)
        self._came = np.empty(0, dtype=np.int64)
        self._observed = np.empty(0, dtype=np.int64)
        self._alive = np.empty(0, dtype=bool)
        self._labels = labels_frame([], []).select(*_OF_RAW, "revisions")
        self._state = pl.DataFrame(schema=_STATE)

    def add_answers(self, answers: pl.DataFrame) -> None:
        """Take answers in. A case that was asked again for the same decision time counts once, with its last answer.

        Args:
            answers: From `prediction_log.predictions`, of models: `id`, `key`, `at`, `answered_at`, `bundle`, `arm`, `score`
                and `decision`.
        """
        answers = answers.select("id", "key", "at", "answered_at", "bundle", "arm", "score", "decision")
        answers = self._last_of_each(answers.filter(pl.col("score").is_finite()))
        if answers.is_empty():
            return
        answers = answers.with_columns(cohort=self._codes_of(answers)).drop("bundle", "arm")
        first = self._alive.size
        places = np.arange(first, first + answers.height)
        added = answers.with_columns(place=pl.Series(places, dtype=pl.UInt32))
        self._rows = pl.concat([self._rows, added]) if self._rows.height else added
        if self._rows.n_chunks() > _CHUNKS:
            self._rows = self._rows.rechunk()
        self._label = np.concatenate([self._label, np.full(places.size, np.nan)])
        self._came = np.concatenate([self._came, np.zeros(places.size, dtype=np.int64)])
        self._observed = np.concatenate([self._observed, np.zeros(places.size, dtype=np.int64)])
        self._alive = np.concatenate([self._alive, np.ones(places.size, dtype=bool)])
        self._set_labels(added)
        self._count(places, 1)

    def add_labels(self, labels: pl.DataFrame) -> None:
        """Take labels in, each as it came: `prediction_log.labels_frame` of rows of the log."""
        if labels.is_empty():
            return
        once = labels.group_by(_OF_RAW).agg(pl.col("revisions").sum())
        self._labels = pl.concat([self._labels, once.select(self._labels.columns)])
        if self._rows.is_empty():
            return
        ids = once.filter(pl.col("prediction") != "").select(id="prediction").unique()
        keys = once.filter(pl.col("prediction") == "").select("key").unique()
        hit = self._rows.join(ids, on="id", how="semi")
        if keys.height:
            hit = pl.concat([hit, self._rows.join(keys, on="key", how="semi")]).unique("place")
        hit = hit.filter(pl.Series(self._alive[hit["place"].to_numpy()]))
        places = hit["place"].to_numpy()
        before = self._label[places], self._came[places], self._observed[places]
        self._set_labels(hit)
        after = self._label[places], self._came[places], self._observed[places]
        same = np.logical_and.reduce([_equal(one, other) for one, other in zip(before, after, strict=True)])
        changed = places[~same]
        for arrays, sign in ((before, -1), (after, 1)):
            self._label[places], self._came[places], self._observed[places] = arrays
            self._count(changed, sign)

    def states(self) -> pl.DataFrame:
        """All that is kept of the cohorts: `bundle`, `arm`, `day`, `kind`, `k`, `n`, `low`, in their order."""
        names = [(code, *of) for of, code in self._codes.items()]
        cohorts = pl.DataFrame(
            names, schema={"cohort": pl.Int32, "bundle": pl.String, "arm": pl.String, "day": pl.Date}, orient="row"
        )
        found = self._state.join(cohorts, on="cohort").drop("cohort")
        return found.select(*_COHORT, "kind", "k", "n", "low").sort(*_COHORT, "kind", "k")

    def told(self) -> dict[str, int]:
        """How many labels came ("labels"), and what was odd about them.

        "duplicates" said what another one of the same revision had said; "corrected" counts what has several values by
        several revisions; "contradictions" are labels of one revision that say something else; "unknown" counts what labels
        name and was never answered.
        """
        known = counting(_whole(self._labels))
        ids = self._rows["id"] if self._rows.height else pl.Series("id", [], pl.String)
        by_id = known.filter(pl.col("prediction") != "")
        lost = by_id.height - by_id.filter(pl.col("prediction").is_in(ids.implode())).height
        by_key = known.filter(pl.col("prediction") == "")
        if by_key.height:
            lost += by_key.height - self._reached(by_key)
        return {
            "labels": int(self._labels["revisions"].sum()),
            "duplicates": int(self._labels["revisions"].sum()) - self._told_apart(),
            "corrected": int((self._values() > 1).sum()) - int((known["contradictions"] > 0).sum()),
            "contradictions": int(known["contradictions"].sum()),
            "unknown": lost,
        }

    def _told_apart(self) -> int:
        return self._labels.select("prediction", "key", "until_at", "value", "revision").unique().height

    def _values(self) -> pl.Series:
        return self._labels.group_by("prediction", "key", "until_at").agg(pl.col("value").n_unique())["value"]

    def _reached(self, by_key: pl.DataFrame) -> int:
        rows = (
            self._rows.select("key", "at")
            if self._rows.height
            else pl.DataFrame(schema={"key": pl.String, "at": pl.Datetime("us", "UTC")})
        )
        pairs = by_key.select("key", "since_at", "until_at").with_row_index("name").join(rows, on="key", how="inner")
        fits = pl.col("until_at").is_null() | (
            (pl.col("since_at") < pl.col("at")) & (pl.col("at") <= pl.col("until_at"))
        )
        return pairs.filter(fits)["name"].n_unique()

    def _last_of_each(self, answers: pl.DataFrame) -> pl.DataFrame:
        """New answers that count; former ones that do not any more are taken out."""
        order = ["answered_at", "id"]
        keyed = answers.filter(pl.col("key") != "").sort(order).unique(["key", "at"], keep="last")
        if self._rows.height and keyed.height:
            old = self._rows.filter(pl.col("key") != "").join(keyed.select("key", "at"), on=["key", "at"], how="semi")
            old = old.filter(pl.Series(self._alive[old["place"].to_numpy()]))
            if old.height:
                both = pl.concat([old.select("key", "at", *order), keyed.select("key", "at", *order)])
                last = both.sort(order).unique(["key", "at"], keep="last").select("id")
                gone = old.join(last, on="id", how="anti")["place"].to_numpy()
                self._count(gone, -1)
                self._alive[gone] = False
                keyed = keyed.join(last, on="id", how="semi")
        return pl.concat([answers.filter(pl.col("key") == ""), keyed.select(answers.columns)])

    def _codes_of(self, answers: pl.DataFrame) -> pl.Series:
        of = answers.select("bundle", "arm", pl.col("at").dt.date().alias("day"))
        for cohort in of.unique().sort(_COHORT).iter_rows():
            self._codes.setdefault(cohort, len(self._codes))
        known = [(*cohort, code) for cohort, code in self._codes.items()]
        table = pl.DataFrame(known, schema={**of.schema, "cohort": pl.Int32}, orient="row")
        return of.join(table, on=_COHORT, how="left", maintain_order="left")["cohort"]

    def _set_labels(self, rows: pl.DataFrame) -> None:
        """Look up, anew, the label that counts of each of these rows."""
        theirs = self._labels.join(rows.select(prediction="id"), on="prediction", how="semi")
        by_key = self._labels.filter(pl.col("prediction") == "")
        if by_key.height:
            theirs = pl.concat([theirs, by_key.join(rows.select("key").unique(), on="key", how="semi")])
        if theirs.is_empty():
            return
        counted = _since_first_told(counting(_whole(theirs)), theirs)
        found = joined(rows.select("id", "key", "at", "place"), counted, more=True)
        places = found["place"].to_numpy()
        self._label[places] = found["label"].fill_null(float("nan")).to_numpy()
        self._came[places] = found["came_at"].dt.epoch("us").fill_null(0).to_numpy()
        self._observed[places] = found["labelled_at"].dt.epoch("us").fill_null(0).to_numpy()

    def _count(self, places: NDArray[np.int_], sign: int) -> None:
        """Put rows into their cohorts, or take them out."""
        if not places.size:
            return
        rows = self._rows[places]
        cohort, at = rows["cohort"].to_numpy(), rows["at"].dt.epoch("us").to_numpy()
        score = rows["score"].to_numpy()
        yes = rows["decision"].fill_null(rows["score"] >= 0.5).to_numpy().astype(np.int64)
        label, came = self._label[places], self._came[places]
        is_in = np.isfinite(label)
        fits = is_in & np.isin(label, (0.0, 1.0)) if self.task == "classification" else is_in
        counts = [
            _counted(cohort, ASKED, at // _HOUR % 24),
            _counted(cohort[is_in & ~fits], MISFIT, 0),
            _counted(cohort[fits & (self._observed[places] < at)], EARLY, 0),
        ]
        kind = np.where(label == 1.0, 1, 0) if self.task == "classification" else np.zeros(label.size, dtype=np.int64)
        age = np.searchsorted(EDGES_US, np.maximum(came - at, 0), side="left")
        counts.append(_counted(cohort[fits], CAME, (kind * (EDGES_US.size + 1) + age)[fits]))
        groups = [(fits, kind, np.where(fits, label, 0.0))]
        if self.absent_negative:
            groups.append((~is_in, np.full(label.size, ABSENT), np.zeros(label.size)))
        for inside, classes, truth in groups:
            counts += self._sums(cohort[inside], classes[inside], truth[inside], score[inside], yes[inside])
        changed = pl.concat([one for one in counts if one.height]).with_columns(pl.col("n", "low") * sign)
        merged = pl.concat([self._state, changed]).group_by("cohort", "kind", "k").agg(pl.col("n", "low").sum())
        self._state = merged.filter((pl.col("n") != 0) | (pl.col("low") != 0))

    def _sums(
        self,
        cohort: NDArray[np.int32],
        kind: NDArray[np.int64],
        truth: NDArray[np.float64],
        score: NDArray[np.float64],
        yes: NDArray[np.int64],
    ) -> list[pl.DataFrame]:
        """Counts and sums of rows whose labels count."""
        found = []
        if self.task == "classification":
            found = [
                _counted(cohort, DECIDED, kind * 2 + yes),
                _counted(cohort, SCORED, (kind << _SCORE_BITS) | _ordered(score)),
            ]
        away = score - truth
        each = {"bias": away, "brier": away * away, "square": away * away, "mae": np.abs(away)}
        if self.task == "classification":
            each["log_loss"] = log_losses(truth, score)
        for place, name in enumerate(measures(self.task)):
            for power, values in enumerate((each[name], each[name] ** 2)):
                exponent, high, low = parts_of(values)
                k = kind * 2 * _POWER + exponent + _POWER
                frame = pl.DataFrame(
                    {"cohort": cohort, "kind": SUMS + 2 * place + power, "k": k, "n": high, "low": low}, schema=_STATE
                )
                found.append(frame.group_by("cohort", "kind", "k").agg(pl.col("n", "low").sum()))
        return found


def _counted(cohort: NDArray[np.int32], kind: int, k: NDArray[np.int64] | int) -> pl.DataFrame:
    frame = pl.DataFrame({"cohort": cohort, "kind": kind, "k": k, "n": 1, "low": 0}, schema=_STATE)
    return frame.group_by("cohort", "kind", "k").agg(pl.col("n", "low").sum())


def _ordered(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Scores as whole numbers of 22 bits in their order: those within a thousandth of each other may be one."""
    bits = (score + 0.0).view(np.uint64)
    found: NDArray[np.int64] = (np.where(bits >= _SIGN, ~bits, bits | _SIGN) >> np.uint64(64 - _SCORE_BITS)).astype(
        np.int64
    )
    return found


def at_or_above(scored: NDArray[np.int64], score: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The class of each count of `SCORED`, and whether its scores are at least this one.

    Args:
        scored: The counts' numbers, `k`.
        score: One of few enough bits that no score below it is counted as one with it, such as one half.
    """
    return scored >> _SCORE_BITS, scored % (1 << _SCORE_BITS) >= _ordered(np.array([score]))[0]


def _equal(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((one == other) | ((one != one) & (other != other)))


def _since_first_told(counted: pl.DataFrame, came: pl.DataFrame) -> pl.DataFrame:
    """Labels that count, each as old as the first that said the same: one that is sent again has not come late."""
    what = ("prediction", "key", "until_at", "value")
    first = came.group_by(what).agg(pl.col("came_at").min())
    return counted.drop("came_at").join(first, on=what, how="left", nulls_equal=True).select(counted.columns)


def _whole(labels: pl.DataFrame) -> pl.DataFrame:
    empty: Sequence[str] = labels_frame([], []).columns
    return labels.with_columns(contradictions=pl.lit(0, pl.UInt32)).select(empty)
