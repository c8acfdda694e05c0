"""Monitors that are installed plug-ins: how one is declared by name."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.errors import InvalidDeclaration
from slipway.records.endpoints import MonitorSpec
from slipway.records.plugged import Plugged, Value
from slipway.schema.durations import microseconds
from slipway.schema.plugged import plugged

__all__ = ["CustomMonitor", "custom_monitor"]


@dataclass(frozen=True, slots=True)
class CustomMonitor:
    """What `sw.custom_monitor(...)` gives.

    Args:
        plugin: Its name and options.
        name: What it is called, unique in the endpoint.
        window_us: Over how much business time it looks.
    """

    plugin: Plugged
    name: str
    window_us: int

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        return MonitorSpec(kind="custom", name=self.name, window_us=self.window_us, custom=self.plugin)


def custom_monitor(plugin: str, *, name: str = "", window: str = "7d", **options: Value) -> CustomMonitor:
    """Watch by an installed plug-in: see docs/plug-ins.md. It alerts by an incident of its own.

    Args:
        plugin: The name under which its package installed it.
        name: What the monitor is called, "" for the plug-in with its options.
        window: Over how much business time up to now it is given answered rows: "7d".
        **options: Its keyword arguments.

    Raises:
        InvalidDeclaration: It is no name of a plug-in, an option is no plain value, or the window is unreadable.
        NotFound: No installed package brings one of that name.

    Example:
        `monitors=[sw.Drift(), sw.custom_monitor("stuck_score", window="1d", share=0.9)]`
    """
    one = plugged("monitor", plugin, options)
    if not isinstance(name, str):
        raise InvalidDeclaration(f"{name!r} is no name of a monitor.", fix="Give text, or leave it out.")
    return CustomMonitor(one, name.strip() or str(one), microseconds(window))
