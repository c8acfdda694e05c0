"""Monitors as a project declares them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from slipway.errors import InvalidDeclaration, near
from slipway.records.endpoints import MonitorSpec
from slipway.schema.durations import microseconds

__all__ = ["KPI", "Consistency", "Drift", "EstimatedQuality", "Freshness", "Quality"]

_ESTIMATES = (
    "accuracy", "auc", "brier", "cost", "f1", "log_loss", "mae", "precision", "recall", "rmse",
)  # fmt: skip
_QUALITIES = (
    "accuracy", "auc", "bias", "brier", "calibration", "calibration_error", "f1", "log_loss", "mae", "map", "mape",
    "mase", "ndcg", "pinball", "precision", "recall", "rmse", "smape", "wape",
)  # fmt: skip
_WITH_NUMBER = {
    "f1": (0.0, 1.0), "precision": (0.0, 1.0), "recall": (0.0, 1.0), "pinball": (0.0, 1.0),
    "map": (1, 10_000), "ndcg": (1, 10_000), "mase": (1, 10_000),
}  # fmt: skip
_OF_CLASSES = ("accuracy", "auc", "brier", "calibration", "calibration_error", "f1", "log_loss", "precision", "recall")
_RANKINGS = ("map", "ndcg")
_CALIBRATION_LIMIT = 0.05
_DAY_US = 86_400_000_000
_WEEK_US = 7 * _DAY_US
_LOOKS_US = (3_600_000_000, _DAY_US)
_MOST_PAGES = 30


@dataclass(frozen=True, slots=True)
class Drift:
    """Watches the inputs: whether a feed is broken, and whether they still look as they did at training and before.

    A broken feed alerts at once: values that are gone, new or far from all known ones from one day to the next, or a column
    that is wholly missing or stands still within an hour. Drift is a note, unless a budget of pages is given: then drift of
    inputs that the model uses alerts, and false alarms are as rare as the budget says. Drift alone is no reason to retrain.

    Args:
        window: Over how much business time inputs and answers are compared with training's: "28d".
        every: The window that is compared with those of the same weekday (and hour) before it: "1d" or "1h".
        pages_a_month: How many false pages a month are bearable; None notes drift and never pages.
        holidays: Days that are like no other: they are not judged, and nothing is learnt from them.
        segment: An input with few values, such as "carrier": a changed mix of it is told apart from changes within.

    Raises:
        InvalidDeclaration: An unreadable window, a budget that is no number above 0, or a holiday that is no day.

    Example:
        `sw.Drift(every="1h", pages_a_month=1, segment="carrier", holidays=["2026-12-25"])`
    """

    window: str = "28d"
    every: str = "1d"
    pages_a_month: float | None = None
    holidays: Sequence[date | str] = ()
    segment: str | None = None

    def __post_init__(self) -> None:
        _window(self.window, least=1)
        if microseconds(self.every) not in _LOOKS_US:
            raise InvalidDeclaration(
                f"{self.every!r} is no window of drift.",
                why="It is compared with windows of the same weekday and hour.",
                fix="Write '1d' or '1h'.",
            )
        given = self.pages_a_month
        is_number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
        if given is not None and not (is_number and 0 < given <= _MOST_PAGES):
            raise InvalidDeclaration(
                f"{given!r} is no budget of pages a month.",
                fix=f"Give a number above 0 and at most {_MOST_PAGES}, such as 1, or None to page for no drift.",
            )
        if self.segment is not None and (not isinstance(self.segment, str) or not self.segment):
            raise InvalidDeclaration(
                f"{self.segment!r} names no input.", fix="Write segment='carrier', or leave it out."
            )
        _days(self.holidays)

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        return MonitorSpec(
            kind="drift",
            name="drift",
            window_us=_window(self.window, least=1),
            every_us=microseconds(self.every),
            pages_a_month=None if self.pages_a_month is None else float(self.pages_a_month),
            holidays=_days(self.holidays),
            segment=self.segment or "",
        )


@dataclass(frozen=True, slots=True)
class Consistency:
    """Watches whether served features are those of training: requests of sampled keys are computed again offline.

    It alerts where more values of a feature differ than declared. What differs because rows came late, or because a table
    has not yet what was pushed, is told apart and does not count: the feed is to be mended then, not the features.

    Args:
        max_share: The share of a feature's values that may differ: 0.001 is one in a thousand.
        window: How much business time is looked at, a minute at least.

    Raises:
        InvalidDeclaration: A share that is none, or an unreadable window.
    """

    max_share: float = 0.001
    window: str = "1d"

    def __post_init__(self) -> None:
        _window(self.window, least=1)
        share = self.max_share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share < 1.0:
            raise InvalidDeclaration(f"{share!r} is no share.", fix="Give one from 0 to 1: 0.001 is one in a thousand.")

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        window_us = _window(self.window, least=1)
        return MonitorSpec(kind="consistency", name="consistency", limit=float(self.max_share), window_us=window_us)


@dataclass(frozen=True, slots=True)
class Quality:
    """Watches a metric on the predictions whose labels have come in.

    It alerts when the whole interval over the window, by days, is worse than the whole interval before release.

    Args:
        metric: "log_loss", "auc", "brier", "accuracy", "precision", "recall", "f1" (at the model's decision, or at a threshold:
            "f1@0.3"), "calibration" (the mean score minus the rate), "calibration_error"; "mae", "rmse", "bias", "mape",
            "smape", "wape", "pinball@0.9", "mase@7"; "ndcg@10", "map@10".
        label_delay: How long labels take: "1d", "36h". Younger predictions are not judged.
        limit: A figure worse than this alerts; None compares with the evaluation before release. For "calibration" how
            far off the mean score may be, either way; None is 0.05.
        window: How much business time before the youngest mature prediction is judged together, a week at least.
        absent: "negative" where whatever has no label after `label_delay` is one: a claim that was never made, a fraud
            that nobody reported. None leaves it out.
        slices: Columns by whose values it is judged too: `["carrier"]`. One alerts only where chance among so many slices
            is allowed for.
        group: The column that says which rows are one request of a ranking, or one series for "mase".

    Raises:
        InvalidDeclaration: Unknown metric, unreadable delay or window, a limit that is no number, a rule for absent labels
            that there is not, or that means nothing for the metric, or a column that is none.
    """

    metric: str
    label_delay: str = "1d"
    limit: float | None = None
    window: str = "28d"
    absent: str | None = None
    slices: Sequence[str] = ()
    group: str = ""

    def __post_init__(self) -> None:
        plain = _plain_metric(self.metric)
        microseconds(self.label_delay)
        _window(self.window, least=_WEEK_US)
        _check_limit(self.limit)
        if self.absent is not None and (self.absent != "negative" or plain not in _OF_CLASSES):
            raise InvalidDeclaration(
                f"absent={self.absent!r} says nothing of {self.metric!r}.",
                why="Only a yes or no can be known by no label having come.",
                fix='Give absent="negative" with a metric of a classification, or leave it out.',
            )
        is_list = isinstance(self.slices, list | tuple) and all(isinstance(one, str) and one for one in self.slices)
        if not is_list or len(set(self.slices)) < len(self.slices):
            raise InvalidDeclaration(
                f"{self.slices!r} are no slices.", fix='Give columns, each once: slices=["carrier"].'
            )
        if not isinstance(self.group, str) or (plain in _RANKINGS and not self.group):
            raise InvalidDeclaration(
                f"A ranking is judged by request, and {self.group!r} is no column that says which rows are one.",
                fix='Give it: sw.Quality("ndcg@10", group="query").',
            )
        if plain == "bias" and (self.limit is None or self.limit <= 0):
            raise InvalidDeclaration(
                f"{self.limit!r} is no limit of a bias.", fix="Say how far it may be from 0, either way: limit=2.5."
            )
        if self.metric == "calibration" and self.limit is not None and self.limit <= 0:
            raise InvalidDeclaration(
                f"{self.limit!r} is no limit of calibration.",
                why="It says how far the mean score may be from the rate, either way.",
                fix="Give a share over 0, such as 0.05, or leave it out.",
            )

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        is_default = self.metric == "calibration" and self.limit is None
        return MonitorSpec(
            kind="quality",
            name=f"quality of {self.metric}",
            metric=self.metric,
            label_delay_us=microseconds(self.label_delay),
            limit=_CALIBRATION_LIMIT if is_default else self.limit,
            window_us=_window(self.window, least=_WEEK_US),
            absent=self.absent or "",
            slices=tuple(self.slices),
            group=self.group,
        )


@dataclass(frozen=True, slots=True)
class EstimatedQuality:
    """Watches what a metric can be expected to be before any label is in, from the scores and the inputs alone.

    Of a classifier by its calibrated probabilities, of a regression by a model of its error. It alerts when the whole
    interval of the estimate is worse than the whole interval before release, and cannot tell where more than 5 % of the
    rows lie outside what was learnt from. It holds if what was learnt still holds: that the relation of inputs and labels
    changed shows in `sw.Quality` only.

    Args:
        metric: "auc", "log_loss", "brier", "accuracy", "precision", "recall", "f1", "cost"; of a regression "mae", "rmse".
        limit: A figure worse than this alerts; None compares with the evaluation before release.
        window: Over how much business time up to now: "7d".

    Raises:
        InvalidDeclaration: Unknown metric, unreadable window, or a limit that is no number.

    Example:
        `monitors=[sw.Drift(), sw.EstimatedQuality("auc"), sw.Quality("auc", label_delay="30d")]`
    """

    metric: str
    limit: float | None = None
    window: str = "7d"

    def __post_init__(self) -> None:
        if self.metric not in _ESTIMATES:
            raise InvalidDeclaration(
                f"{self.metric!r} cannot be estimated without labels.",
                fix=near(self.metric, _ESTIMATES, what="metrics"),
            )
        _window(self.window, least=1)
        _check_limit(self.limit)

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        return MonitorSpec(
            kind="estimated",
            name=f"estimated {self.metric}",
            metric=self.metric,
            limit=self.limit,
            window_us=_window(self.window, least=1),
        )


@dataclass(frozen=True, slots=True)
class KPI:
    """Watches what wrong answers cost, by the cost matrix of the model's decision.

    Args:
        name: What the business calls it.
        label_delay: How long labels take.
        limit: A mean cost per prediction above this alerts; None compares with the evaluation before release.
        window: How much business time before the youngest mature prediction is judged together, a week at least.

    Raises:
        InvalidDeclaration: No name, unreadable delay or window, or a limit that is no number.
    """

    name: str = "cost of errors"
    label_delay: str = "1d"
    limit: float | None = None
    window: str = "28d"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InvalidDeclaration(f"{self.name!r} is no name of a KPI.", fix="For example 'cost of errors'.")
        microseconds(self.label_delay)
        _window(self.window, least=_WEEK_US)
        _check_limit(self.limit)

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        return MonitorSpec(
            kind="kpi",
            name=self.name,
            metric="cost",
            label_delay_us=microseconds(self.label_delay),
            limit=self.limit,
            window_us=_window(self.window, least=_WEEK_US),
        )


@dataclass(frozen=True, slots=True)
class Freshness:
    """Watches one feed while it is looked up: a feature view, or windows.

    It alerts when clearly more keys than the limit had no row, or one older than the view's ttl, since the last look.

    Args:
        feed: The view's or windows' name.
        limit: The greatest share of keys without a fresh row that is usual.

    Raises:
        InvalidDeclaration: No name, or a limit that is no share below 1.

    Example:
        `monitors=[sw.Drift(), sw.Freshness("weather_at_origin", limit=0.02)]`
    """

    feed: str
    limit: float = 0.05

    def __post_init__(self) -> None:
        if not isinstance(self.feed, str) or not self.feed:
            raise InvalidDeclaration(f"{self.feed!r} names no feed.", fix="Give the name of a feature view or windows.")
        _check_limit(self.limit)
        if not 0 <= self.limit < 1:
            raise InvalidDeclaration(
                f"{self.limit!r} is no limit of freshness.",
                why="It is the share of keys that may be without a fresh row.",
                fix="Give a share from 0 to below 1, such as 0.05.",
            )

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        name = f"freshness of {self.feed}"
        return MonitorSpec(kind="freshness", name=name, metric=self.feed, limit=self.limit, window_us=_DAY_US)


def _days(given: object) -> tuple[str, ...]:
    found = []
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InvalidDeclaration(f"{given!r} is no list of holidays.", fix="Give a list: holidays=['2026-12-25'].")
    for day in given:
        try:
            found.append((day if isinstance(day, date) else date.fromisoformat(str(day))).isoformat()[:10])
        except (TypeError, ValueError):
            raise InvalidDeclaration(
                f"{day!r} is no holiday.", fix="Give a list of days, such as ['2026-12-25', date(2026, 12, 26)]."
            ) from None
    return tuple(sorted(found))


def _plain_metric(metric: object) -> str:
    """A metric without the number behind it."""
    plain, mark, said = metric.partition("@") if isinstance(metric, str) else ("", "", "")
    if plain not in _QUALITIES:
        raise InvalidDeclaration(
            f"There is no quality metric {metric!r}.", fix=near(str(metric), _QUALITIES, what="metrics")
        )
    if mark:
        low, high = _WITH_NUMBER.get(plain, (1.0, 0.0))
        try:
            fits = low <= float(said) <= high
        except ValueError:
            fits = False
        if not fits:
            fix = f"Give one from {low:g} to {high:g}." if plain in _WITH_NUMBER else f"Write {plain!r}."
            raise InvalidDeclaration(f"{said!r} is no number for the metric {plain!r}.", fix=fix)
    return plain


def _window(duration: object, *, least: int) -> int:
    found = microseconds(duration)
    if found < least:
        needed = "a week, for it is judged by days" if least == _WEEK_US else "a minute"
        raise InvalidDeclaration(f"{duration!r} is too short a window; the least is {needed}.", fix="Write '28d'.")
    return found


def _check_limit(limit: object) -> None:
    # A limit of NaN would never alert.
    is_number = isinstance(limit, int | float) and not isinstance(limit, bool) and math.isfinite(limit)
    if limit is not None and not is_number:
        raise InvalidDeclaration(
            f"{limit!r} is no limit of a monitor.", fix="Give a number, or leave it out to compare with the evaluation."
        )
