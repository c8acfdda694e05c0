"""Business time."""

from datetime import datetime
from typing import Protocol

__all__ = ["Clock"]


class Clock(Protocol):
    """Tells business time: events, TTL, label maturity, schedules. It may be simulated.

    Machine time (leases, time-outs, latency) never comes from here but from the standard library's `time`.
    """

    def now(self) -> datetime:
        """The present business time, aware UTC. Never goes backwards."""
        ...
