"""What a monitor finds in a window of answered predictions: pure functions of frames, profiles and the evaluation.

Quality and cost look only at predictions old enough for their labels, over the declared window, and say which share of
them is labelled. A figure is compared with the evaluation before release, or with a declared limit; it alerts only when
its whole interval lies on the wrong side of the whole interval of the evaluation, so that neither a small window nor a
short evaluation can raise an alarm by chance alone. The rows of a day are not independent: both intervals are ones by
days. Below a share of labels, and with labels of too few days, it cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
import polars as pl
from msgspec import Struct

from slipway.monitoring import feeds
from slipway.monitoring.labels_known import MIN_LABELLED, MIN_ROWS, immature
from slipway.monitoring.silent_labels import labels_stopped
from slipway.monitoring.slices import at_level, column_of, slices_of, words_of
from slipway.records.endpoints import MonitorSpec
from slipway.records.features import FeatureSetSpec
from slipway.records.models import Decision, MetricValue
from slipway.records.monitors import Cause
from slipway.schema.durations import in_words
from slipway.stats import drift as drift_stats
from slipway.stats.blocks import mean_by_blocks
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.intervals import mean_interval
from slipway.stats.metrics import CostMatrix, costs, estimate, metric
from slipway.stats.profiles import Profile, profile
from slipway.stats.ratios import AT_DECISION

__all__ = ["Found", "drift", "inputs", "named_as_logged", "profile_columns", "quality"]

State = Literal["ok", "note", "alert", "cannot tell"]
SCORE = "score"
CALIBRATION = "calibration"
RATE = "positive_rate"


class Found(Struct, frozen=True, kw_only=True):
    """What one monitor found.

    Args:
        state: The verdict.
        sentence: The finding in words.
        rows: Predictions looked at.
        values: Figures for charts and later checks.
        first: The first decision looked at, None where there was none.
        last: The last one.
        causes: What is wrong, one each, where it alerts; () for the finding as a whole. Where it cannot tell, what keeps it
            from that, if somebody must mend it.
    """

    state: State
    sentence: str
    rows: int
    values: dict[str, Any]
    first: datetime | None = None
    last: datetime | None = None
    causes: tuple[Cause, ...] = ()


def profile_columns(answered: pl.DataFrame, reference: Profile) -> dict[str, Any]:
    """The columns of a prediction log in the form in which the reference profile counts them.

    Args:
        answered: From the prediction log: the model's inputs by name, and `score`.
        reference: The profile made at training, its columns named as in the log.
    """
    columns: dict[str, Any] = {}
    for column in reference.columns:
        kind = pl.Float64 if column.is_numeric else pl.String
        if column.name in answered.columns:
            columns[column.name] = answered[column.name].cast(kind, strict=False)
        else:  # a column that is gone has no value in any row
            columns[column.name] = pl.Series([None], dtype=kind).new_from_index(0, answered.height)
    return columns


def inputs(
    rows: pl.DataFrame,
    monitor: MonitorSpec,
    reference: Profile,
    *,
    now: datetime,
    bundle: str = "",
    features: FeatureSetSpec | None = None,
    faulty: Sequence[feeds.Span] = (),
) -> Found:
    """What a drift monitor finds: an alert only for a broken feed; what drifted otherwise is a note.

    Args:
        rows: Answered rows, those of other models with the same inputs among them.
        monitor: A drift monitor: drift is judged over its window.
        reference: The profile made at training.
        now: Business time.
        bundle: Of which model's rows drift is judged, as the log writes it; "" for all.
        features: Says which feed an input comes from.
        faulty: Times over which a feed is known to have been broken.
    """
    own = rows.filter(pl.col("bundle") == bundle) if bundle else rows
    window = _within(own, now - timedelta(microseconds=monitor.window_us), now)
    found = drift(window, reference)
    named = named_as_logged(reference, rows.columns)
    of_inputs = Profile(rows=named.rows, columns=tuple(c for c in named.columns if c.name != SCORE))
    seen = feeds.look(rows, now=now, reference=of_inputs, features=features, faulty=faulty)
    first, last = _span(window)
    found = msgspec.structs.replace(found, first=first, last=last)
    if seen.broken:
        told = ". ".join(feed.sentence for feed in seen.broken)
        sentence = f"{told}. That is no season: mend the feed; do not retrain on it."
        values = {**found.values, "last_day": seen.rows, "feeds": [_feed_values(feed) for feed in seen.broken]}
        causes = tuple(_cause(feed, seen.rows) for feed in seen.broken)
        return msgspec.structs.replace(found, state="alert", sentence=sentence, values=values, causes=causes)
    if not seen.can_tell and any(until is None for _, until in faulty):
        told = f"{seen.rows} predictions of the last day are too few to tell whether the feed is mended"
        return msgspec.structs.replace(found, state="cannot tell", sentence=f"{told}; {found.sentence}")
    return found


def _cause(feed: feeds.BrokenFeed, rows: int) -> Cause:
    worst = max(feed.signs, key=lambda sign: sign.share)
    columns = tuple(dict.fromkeys((*(sign.column for sign in feed.signs), *feed.beside)))
    return Cause(
        kind="broken feed",
        about=feed.feed,
        sentence=feed.sentence,
        since=feed.since,
        columns=columns,
        rows=round(worst.share * rows),
        value=worst.share,
        unit="share",
    )


def _feed_values(feed: feeds.BrokenFeed) -> dict[str, Any]:
    return {
        "feed": feed.feed,
        "since": feed.since.isoformat(),
        "signs": [[sign.column, sign.question, round(sign.share, 4)] for sign in feed.signs],
        "beside": list(feed.beside),
    }


def drift(answered: pl.DataFrame, reference: Profile, importance: Mapping[str, float] | None = None) -> Found:
    """Do inputs and answers still look as they did at training?

    Drift by itself is a note: it says what moved. Whether a feed is broken is another question: see `feeds.look`.

    Args:
        answered: The window's predictions.
        reference: The profile made at training.
        importance: What the model uses each input for, by name, as shares; used to order what is told.
    """
    if answered.height < MIN_ROWS:
        return Found(
            state="cannot tell",
            rows=answered.height,
            values={},
            sentence=f"{answered.height} predictions are too few to tell; {MIN_ROWS} are needed.",
        )
    reference = named_as_logged(reference, answered.columns)
    window = profile(profile_columns(answered, reference), reference)
    answers = drift_stats.compare(window, reference, importance=importance)
    moved = [answer for answer in answers if answer.verdict == "moved"]
    if importance:
        moved.sort(key=lambda answer: -importance.get(answer.column, 0.0))
    values = {
        "columns": len(window.columns),
        "moved": [[a.column, a.question, round(a.effect, 4), round(a.low, 4)] for a in moved],
    }
    if all(answer.verdict == "cannot tell" for answer in answers):
        told = "training kept too few rows to compare with."
        return Found(state="cannot tell", rows=answered.height, values=values, sentence=told)
    if not moved:
        sentence = f"none of {len(window.columns)} columns moved beyond its floor."
        return Found(state="ok", rows=answered.height, values=values, sentence=sentence)
    names = list(dict.fromkeys(answer.column for answer in moved))
    told = "; ".join(answer.sentence for answer in moved[:3])
    sentence = (
        f"{len(names)} of {len(window.columns)} columns moved: {told}. Noted, not acted on: quality by labels decides."
    )
    return Found(state="note", rows=answered.height, values=values, sentence=sentence)


def named_as_logged(reference: Profile, logged: Sequence[str]) -> Profile:
    """A reference profile with its columns named as in the log.

    An input that has the name of one of the log's own columns is `feature.<name>` there.

    Args:
        reference: The profile made at training.
        logged: The log's columns.
    """
    names = [column.name for column in reference.columns]
    columns, renamed = [], {}
    for place, column in enumerate(reference.columns):
        is_prediction = column.name == SCORE and place == len(names) - 1 and (names.count(SCORE) == 2)
        other = f"feature.{column.name}"
        taken = other in logged and not is_prediction
        columns.append(msgspec.structs.replace(column, name=other) if taken else column)
        if taken:
            renamed[column.name] = other
    pairs = tuple(
        msgspec.structs.replace(
            pair, first=renamed.get(pair.first, pair.first), second=renamed.get(pair.second, pair.second)
        )
        for pair in reference.pairs
    )
    # A profile of an older bundle does not say which of its columns is the score.
    predictions = reference.predictions or tuple(name for name in names[-1:] if name == SCORE)
    return msgspec.structs.replace(reference, columns=tuple(columns), pairs=pairs, predictions=predictions)


def quality(
    answered: pl.DataFrame,
    monitor: MonitorSpec,
    *,
    now: datetime,
    evaluation: Sequence[MetricValue],
    decision: Decision,
) -> Found:
    """Is the score worse than it was before release, and what do errors cost?

    Judged are the rows decided in `(now - delay - window, now - delay]`. Where a smaller share of them is labelled than
    nine tenths of what is usual, their figure is provisional, and nothing is judged by it. Where the monitor says that no
    label means negative, rows without one count so: they all are older than the delay.

    Args:
        answered: The model's predictions, with `label` (null where none has come) and `at`.
        monitor: A quality or kpi monitor.
        now: Business time: predictions younger than the label delay are left out.
        evaluation: The figures before release.
        decision: The model's threshold and cost matrix.
    """
    until = now - timedelta(microseconds=monitor.label_delay_us)
    mature = _within(answered, until - timedelta(microseconds=monitor.window_us), until)
    first, last = _span(mature)
    if not monitor.absent:
        return _judged(mature, monitor, first, last, evaluation=evaluation, decision=decision)
    missing = mature["label"].null_count()
    rule = f"No label by {in_words(monitor.label_delay_us)} means negative, as declared: {missing:,} of {mature.height:,} do."
    if mature.height and missing == mature.height:
        told = f"not one label of {mature.height:,} predictions is in: none is positive, or no labels come any more. {rule}"
        nothing: dict[str, Any] = {"mature": mature.height, "labelled": 0, "absent": missing}
        return Found(state="cannot tell", rows=mature.height, values=nothing, sentence=told, first=first, last=last)
    filled = mature.with_columns(pl.col("label").fill_null(0.0))
    found = _judged(filled, monitor, first, last, evaluation=evaluation, decision=decision)
    sentence = f"{found.sentence.rstrip('.')}. {rule}"
    return msgspec.structs.replace(found, sentence=sentence, values={**found.values, "absent": missing})


def _judged(
    mature: pl.DataFrame,
    monitor: MonitorSpec,
    first: datetime | None,
    last: datetime | None,
    *,
    evaluation: Sequence[MetricValue],
    decision: Decision,
) -> Found:
    """The window's rows, all older than the delay, judged by those that have a label."""
    fitting = pl.col("label").is_finite()
    if monitor.kind == "kpi" or metric(monitor.metric).task == "classification":
        fitting &= pl.col("label").is_in([0.0, 1.0])
    labelled = mature.filter(pl.col("label").is_not_null() & fitting)
    misfits = mature.height - mature["label"].null_count() - labelled.height
    days = labelled["at"].dt.date().n_unique()
    values: dict[str, Any] = {"mature": mature.height, "labelled": labelled.height, "misfits": misfits, "days": days}
    why = immature(mature, labelled, "label", "a label", MIN_ROWS)
    if why:
        told = f"{why[0].upper()}{why[1:]}."
        silence = labels_stopped(mature, rows=MIN_ROWS, share=MIN_LABELLED)
        told = told if silence is None else f"{told} {silence.sentence}"
        causes: tuple[Cause, ...] = () if silence is None else (silence,)
        untold = Found(state="cannot tell", rows=mature.height, values=values, sentence=told, causes=causes)
        return msgspec.structs.replace(untold, first=first, last=last)
    found, by_rows = _estimates(monitor, labelled, decision)
    against = _against(monitor, evaluation, widened=_ratio(found, by_rows))
    rate, before = _mean(labelled["label"]), _rate_before(evaluation)
    values |= {"value": _plain(found.value), "low": _plain(found.low), "high": _plain(found.high)}
    values |= {"limit": against.bound, "rate": _plain(rate), "rate_before": _plain(before)}
    values["mean_score"] = _plain(_mean(labelled[SCORE]))
    share = f"Labels are in for {labelled.height / mature.height:.0%} of {mature.height:,} mature predictions"
    # Losses and costs follow the rate of true labels, whatever the model does.
    share += "." if math.isnan(before) else f"; {rate:.0%} of them are true, {before:.0%} before release."
    if misfits:
        share += f" {misfits:,} labels do not fit the task and are left out."
    state, told = _verdict(found, monitor, against)
    sentence = f"{_figure(found, monitor, decision, days)}{told}. {share}"
    causes = ()
    if state == "alert":
        causes = (_cause_of(monitor, found, against, f"{_figure(found, monitor, decision, days)}{told}", first),)
    whole = Found(
        state=state, rows=mature.height, values=values, sentence=sentence, first=first, last=last, causes=causes
    )
    return _with_slices(whole, labelled, monitor, evaluation, decision, widened=_ratio(found, by_rows))


def _with_slices(
    whole: Found,
    labelled: pl.DataFrame,
    monitor: MonitorSpec,
    evaluation: Sequence[MetricValue],
    decision: Decision,
    *,
    widened: float,
) -> Found:
    """The same finding, judged by the declared slices too; a slice alerts at a level shared by all that can be told."""
    if not monitor.slices:
        return whole
    parts, lacking = slices_of(labelled, monitor.slices)
    able = sum(part.can_tell for part in parts)
    rows: list[dict[str, Any]] = []
    causes = list(whole.causes)
    for part in parts:
        against = _against(monitor, evaluation, widened=widened, slice=part.name)
        if part.can_tell:
            found = at_level(_estimates(monitor, part.rows, decision)[0], part.days, able)
            state, told = _verdict(found, monitor, against)
        else:
            found, state, told = cannot_tell(part.rows.height, part.why), "cannot tell", ""
        told = f"{part.name}: {_figure(found, monitor, decision, part.days)}{told}"
        before = {"slice": part.name, "rows": part.rows.height, "days": part.days, "state": state}
        rows.append(before | {"value": _plain(found.value), "low": _plain(found.low), "high": _plain(found.high)})
        if state == "alert":
            causes.append(_cause_of(monitor, found, against, told, whole.first, part.name))
    worse = [cause for cause in causes if cause.about]
    sentence = f"{whole.sentence.rstrip('.')}. {words_of(rows, [one.sentence for one in worse], lacking)}"
    state = "alert" if worse else whole.state
    values = {**whole.values, "slices": rows}
    return msgspec.structs.replace(whole, state=state, sentence=sentence, values=values, causes=tuple(causes))


def _cause_of(
    monitor: MonitorSpec, found: Estimate, against: _Against, sentence: str, since: datetime | None, about: str = ""
) -> Cause:
    return Cause(
        kind=monitor.kind,
        about=about,
        sentence=sentence,
        since=since,
        rows=found.n,
        value=_plain(found.value),
        low=_plain(found.low),
        high=_plain(found.high),
        unit=monitor.metric,
        before=against.bound,
    )


class _Against(Struct, frozen=True, kw_only=True):
    """What a figure is compared with: it must lie wholly beyond `bound` to alert."""

    bound: float | None
    better: str
    told: str


def _within(rows: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    return rows.filter((pl.col("at") > since) & (pl.col("at") <= until))


def _span(rows: pl.DataFrame) -> tuple[datetime | None, datetime | None]:
    first, last = rows["at"].min(), rows["at"].max()
    return first if isinstance(first, datetime) else None, last if isinstance(last, datetime) else None


def _estimates(monitor: MonitorSpec, labelled: pl.DataFrame, decision: Decision) -> tuple[Estimate, Estimate]:
    """The figure with its interval by days, and with the one that takes rows for independent."""
    labelled = labelled.sort("at", maintain_order=True)
    truth = labelled["label"].cast(pl.Float64).to_numpy()
    scores = labelled[SCORE].to_numpy()
    days = labelled["at"].dt.epoch("d").to_numpy()
    if monitor.kind != "kpi":
        name = "calibration_in_the_large" if monitor.metric == CALIBRATION else monitor.metric
        if name in AT_DECISION and decision.threshold is not None:
            scores = (scores >= decision.threshold).astype(float)
        groups = None
        if monitor.group:
            column = column_of(labelled, monitor.group)
            if column is None:
                nothing = cannot_tell(truth.size, f"the log has no column {monitor.group!r}")
                return nothing, nothing
            groups = column.cast(pl.String).fill_null("").rank("dense").to_numpy()
        return estimate(name, truth, scores, days, groups), estimate(name, truth, scores, None, groups)
    if decision.threshold is None or not decision.costs:
        nothing = cannot_tell(truth.size, "the model states no threshold and no costs")
        return nothing, nothing
    of_rows = costs(truth, scores, decision.threshold, CostMatrix(**decision.costs))
    return mean_by_blocks(of_rows, days), mean_interval(of_rows)


def _ratio(by_days: Estimate, by_rows: Estimate) -> float:
    """How many times wider an interval is by days than by rows; 1 where that cannot be told."""
    days, rows = by_days.high - by_days.low, by_rows.high - by_rows.low
    return max(1.0, days / rows) if rows > 0.0 and math.isfinite(days) else 1.0


def _against(monitor: MonitorSpec, evaluation: Sequence[MetricValue], *, widened: float, slice: str = "") -> _Against:
    """What the figure is compared with.

    The evaluation's interval takes its rows for independent. The rows of a day were as alike before release as they are
    in the window, so it is widened as many times as the window's own is by days.
    """
    if monitor.metric == CALIBRATION or (monitor.kind != "kpi" and metric(monitor.metric).better == "zero"):
        bound = monitor.limit or 0.0
        return _Against(bound=bound, better="zero", told=f"limit {bound:.4g} either way")
    better = "lower" if monitor.kind == "kpi" else metric(monitor.metric).better
    if monitor.limit is not None:
        return _Against(bound=monitor.limit, better=better, told=f"limit {monitor.limit:.4g}")
    for figure in evaluation:
        if figure.metric == monitor.metric and figure.slice == slice and not math.isnan(figure.value):
            low, high = (figure.value + (edge - figure.value) * widened for edge in (figure.low, figure.high))
            edge = high if better == "lower" else low
            bound = figure.value if math.isnan(edge) else edge
            told = f"before release {figure.value:.4g}{_interval(low, high)}"
            return _Against(bound=bound, better=better, told=told)
    return _Against(bound=None, better=better, told="there is no figure to compare it with")


def _figure(found: Estimate, monitor: MonitorSpec, decision: Decision, days: int) -> str:
    name = monitor.name if monitor.kind == "kpi" else monitor.metric.replace("_", " ")
    if math.isnan(found.value):
        return f"{name} cannot be told: {found.note}"
    unit = f" {decision.unit} a prediction" if monitor.kind == "kpi" and decision.unit else ""
    sign = "+" if monitor.metric in (CALIBRATION, "bias") else ""
    return f"{name} {found.value:{sign}.4g}{_interval(found.low, found.high, sign)}{unit} over {days} days"


def _interval(low: float, high: float, sign: str = "") -> str:
    return "" if math.isnan(low) else f" ({low:{sign}.4g} to {high:{sign}.4g})"


def _verdict(found: Estimate, monitor: MonitorSpec, against: _Against) -> tuple[State, str]:
    """The state, and what was compared, in words."""
    if math.isnan(found.value):
        return "cannot tell", ""
    told = f"; {against.told}"
    if against.bound is None or math.isnan(found.low):
        return "note", told
    if against.better == "zero":
        is_over, is_under = found.low > against.bound, found.high < -against.bound
        if not is_over and not is_under:
            return "ok", f"{told}: its interval is not wholly beyond"
        word = "over-forecast" if is_over else "under-forecast"
        return "alert", f"{told}: {word}, mean score minus rate is wholly beyond"
    is_worse = found.low > against.bound if against.better == "lower" else found.high < against.bound
    if is_worse:
        return "alert", f"{told}: worse, the whole interval is beyond {against.bound:.4g}"
    return "ok", f"{told}: its interval is not wholly beyond {against.bound:.4g}"


def _rate_before(evaluation: Sequence[MetricValue]) -> float:
    return next((figure.value for figure in evaluation if figure.metric == RATE and not figure.slice), math.nan)


def _mean(values: pl.Series) -> float:
    found = values.mean()
    return float(found) if isinstance(found, float) else math.nan


def _plain(value: float) -> float | None:
    # The ledger keeps JSON, which has no NaN.
    return float(value) if math.isfinite(value) else None
