"""Monitors as a project declares them."""

import math
from dataclasses import dataclass

from slipway.errors import InvalidDeclaration, near
from slipway.records.endpoints import MonitorSpec
from slipway.schema.durations import microseconds

__all__ = ["KPI", "Consistency", "Drift", "Freshness", "Quality"]

_QUALITIES = ("accuracy", "auc", "brier", "calibration", "log_loss", "mae", "rmse")
_CALIBRATION_LIMIT = 0.05
_DAY_US = 86_400_000_000
_WEEK_US = 7 * _DAY_US


@dataclass(frozen=True, slots=True)
class Drift:
    """Watches the inputs: whether a feed is broken, and whether they still look as they did at training.

    It alerts for a broken feed only: values that are gone, new or far from all known ones from one day to the next. A
    season is a note; drift alone is no reason to retrain.

    Args:
        window: Over how much business time inputs and answers are compared with training's: "28d".

    Raises:
        InvalidDeclaration: Unreadable window.
    """

    window: str = "28d"

    def __post_init__(self) -> None:
        _window(self.window, least=1)

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        return MonitorSpec(kind="drift", name="drift", window_us=_window(self.window, least=1))


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
        metric: "log_loss", "auc", "brier", "accuracy", "mae", "rmse", or "calibration": the mean score minus the rate.
        label_delay: How long labels take: "1d", "36h". Younger predictions are not judged.
        limit: A figure worse than this alerts; None compares with the evaluation before release. For "calibration" how
            far off the mean score may be, either way; None is 0.05.
        window: How much business time before the youngest mature prediction is judged together, a week at least.

    Raises:
        InvalidDeclaration: Unknown metric, unreadable delay or window, or a limit that is no number.
    """

    metric: str
    label_delay: str = "1d"
    limit: float | None = None
    window: str = "28d"

    def __post_init__(self) -> None:
        if self.metric not in _QUALITIES:
            raise InvalidDeclaration(
                f"There is no quality metric {self.metric!r}.", fix=near(self.metric, _QUALITIES, what="metrics")
            )
        microseconds(self.label_delay)
        _window(self.window, least=_WEEK_US)
        _check_limit(self.limit)
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
