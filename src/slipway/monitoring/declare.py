"""Monitors as a project declares them."""

import re
from dataclasses import dataclass

from slipway.errors import InvalidDeclaration, near
from slipway.records.endpoints import MonitorSpec

__all__ = ["KPI", "Drift", "Quality"]

_UNITS_US = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
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
        InvalidDeclaration: Unknown metric or unreadable delay.
    """

    metric: str
    label_delay: str = "1d"
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.metric not in _QUALITIES:
            raise InvalidDeclaration(
                f"There is no quality metric {self.metric!r}.", fix=near(self.metric, _QUALITIES, what="metrics")
            )
        _microseconds(self.label_delay)

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        return MonitorSpec(
            kind="quality",
            name=f"quality of {self.metric}",
            metric=self.metric,
            label_delay_us=_microseconds(self.label_delay),
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
        InvalidDeclaration: Unreadable delay.
    """

    name: str = "cost of errors"
    label_delay: str = "1d"
    limit: float | None = None

    def __post_init__(self) -> None:
        _microseconds(self.label_delay)

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        return MonitorSpec(
            kind="kpi", name=self.name, metric="cost", label_delay_us=_microseconds(self.label_delay), limit=self.limit
        )


def _microseconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)([mhd])", duration)
    if not match:
        raise InvalidDeclaration(f"{duration!r} is not a duration.", fix="Write it as '30m', '6h' or '1d'.")
    return int(match[1]) * _UNITS_US[match[2]]
