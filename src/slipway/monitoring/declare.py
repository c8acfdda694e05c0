"""Monitors as a project declares them."""

import math
from dataclasses import dataclass

from slipway.errors import InvalidDeclaration, near
from slipway.records.endpoints import MonitorSpec
from slipway.schema.durations import microseconds

__all__ = ["KPI", "Drift", "Quality"]

_QUALITIES = ("accuracy", "auc", "brier", "log_loss", "mae", "rmse")


@dataclass(frozen=True, slots=True)
class Drift:
    """Watches whether inputs and answers still look as they did at training. Drift alone is no reason to retrain."""

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        return MonitorSpec(kind="drift", name="drift")


@dataclass(frozen=True, slots=True)
class Quality:
    """Watches a metric on the predictions whose labels have come in.

    Args:
        metric: "log_loss", "auc", "brier", "accuracy", "mae" or "rmse".
        label_delay: How long labels take: "1d", "36h". Younger predictions are not judged.
        limit: A figure worse than this alerts; None compares with the evaluation before release.

    Raises:
        InvalidDeclaration: Unknown metric, unreadable delay, or a limit that is no number.
    """

    metric: str
    label_delay: str = "1d"
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.metric not in _QUALITIES:
            raise InvalidDeclaration(
                f"There is no quality metric {self.metric!r}.", fix=near(self.metric, _QUALITIES, what="metrics")
            )
        microseconds(self.label_delay)
        _check_limit(self.limit)

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        return MonitorSpec(
            kind="quality",
            name=f"quality of {self.metric}",
            metric=self.metric,
            label_delay_us=microseconds(self.label_delay),
            limit=self.limit,
        )


@dataclass(frozen=True, slots=True)
class KPI:
    """Watches what wrong answers cost, by the cost matrix of the model's decision.

    Args:
        name: What the business calls it.
        label_delay: How long labels take.
        limit: A mean cost per prediction above this alerts; None compares with the evaluation before release.

    Raises:
        InvalidDeclaration: No name, unreadable delay, or a limit that is no number.
    """

    name: str = "cost of errors"
    label_delay: str = "1d"
    limit: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InvalidDeclaration(f"{self.name!r} is no name of a KPI.", fix="For example 'cost of errors'.")
        microseconds(self.label_delay)
        _check_limit(self.limit)

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        return MonitorSpec(
            kind="kpi", name=self.name, metric="cost", label_delay_us=microseconds(self.label_delay), limit=self.limit
        )


def _check_limit(limit: object) -> None:
    # A limit of NaN would never alert.
    is_number = isinstance(limit, int | float) and not isinstance(limit, bool) and math.isfinite(limit)
    if limit is not None and not is_number:
        raise InvalidDeclaration(
            f"{limit!r} is no limit of a monitor.", fix="Give a number, or leave it out to compare with the evaluation."
        )
