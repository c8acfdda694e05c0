"""Whether an endpoint answers: what is promised, what was counted minute by minute, and what its probes found."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct, field

__all__ = [
    "LATENCY_BUCKETS_S",
    "Burn",
    "Counted",
    "Health",
    "HealthState",
    "Life",
    "Outcome",
    "Probed",
    "ServiceSpec",
    "Trouble",
]

LATENCY_BUCKETS_S = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""The bounds, in seconds, between which an endpoint counts how long its answers took."""

Trouble = Literal[
    "process down", "time-outs", "errors", "saturation", "invalid answers", "features", "slow answers", "fallback",
    "constant answers", "wrong answers",
]  # fmt: skip
"""Why users get no results. Each is a cause of its own; "wrong answers" is what a probe finds, never what labels say."""

Outcome = Literal["answered", "wrong", "down", "timeout", "error", "invalid", "busy", "unknown"]
"""What came of a probe; "unknown" where it cannot tell."""


class ServiceSpec(Struct, frozen=True, kw_only=True):
    """What an endpoint promises, as data.

    Args:
        availability: The share of requests, and of time, that get a result.
        latency_us: A slower answer counts as slow, 0 for no such promise.
        fast: The share of answers that are not slow.
        by_model: The share of rows that the model itself answers, and not its fallback; 0 for no such promise.
        probe_us: How often a probe asks, 0 for never.
        down_us: For how long nothing must answer until somebody is told, whatever the budget says.
    """

    availability: float = 0.999
    latency_us: int = 0
    fast: float = 0.99
    by_model: float = 0.95
    probe_us: int = 60_000_000
    down_us: int = 30_000_000


class Counted(Struct, array_like=True):
    """What happened in a span of time. Stored as an array: the order of fields is the format.

    Args:
        requests: Requests for predictions that should have got a result: those that did, and those below.
        time_outs: Of them, told 504, or given up by the front.
        errors: Told 500 because the model, or the endpoint, failed, or 422 because the model raised on a row that fits its contract.
        saturated: Told 503: no worker, or no place in its queue.
        invalid: Told 500, or 422, because the score was none.
        features: Told 500 or 503 because features could not be had.
        timed: Answers whose time was taken.
        slow: Of them, slower than promised.
        rows: Rows that were answered.
        fallen: Of them, by the fallback.
        watched_s: Seconds over which somebody watched.
        down_s: Of them, seconds in which no process answered.
        ended: Processes that ended without being told to.
        probes: Probes that could tell.
        failed: Of them, those that got no answer, or a wrong one.
    """

    requests: int = 0
    time_outs: int = 0
    errors: int = 0
    saturated: int = 0
    invalid: int = 0
    features: int = 0
    timed: int = 0
    slow: int = 0
    rows: int = 0
    fallen: int = 0
    watched_s: float = 0.0
    down_s: float = 0.0
    ended: int = 0
    probes: int = 0
    failed: int = 0

    def add(self, other: Counted) -> None:
        """Add what another span held."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def less(self, other: Counted) -> Counted:
        """What came since another reading of the same counters."""
        names = self.__struct_fields__
        return Counted(*(getattr(self, name) - getattr(other, name) for name in names))

    @property
    def bad(self) -> int:
        """Requests without a result."""
        return self.time_outs + self.errors + self.saturated + self.invalid + self.features


class Life(Struct, array_like=True):
    """One file of counters as it was read last: its name, and what it held."""

    name: str
    held: Counted


class Probed(Struct, frozen=True, kw_only=True):
    """What came of one probe.

    Args:
        at: Machine time when it was sent.
        outcome: What came of it.
        sentence: The same in words.
        how: What it asked: "rows" a whole request, "model" the model with inputs, "health" only whether it lives.
        took_ms: How long the answer took, None where there was none.
        by_front: Whether the front answered, for want of a worker.
    """

    at: datetime
    outcome: Outcome
    sentence: str
    how: Literal["rows", "model", "health", ""] = ""
    took_ms: float | None = None
    by_front: bool = False


class HealthState(Struct, kw_only=True):
    """What the control plane keeps of an endpoint's health between two passes, in the endpoint's folder.

    Args:
        looked_at: Machine time of the last look, None before the first one.
        state: What the process was like then.
        down_since: Since when no process answers, None while one does.
        lives: The counters as they were read last.
        crashed_at: The newest end of a worker that is counted.
        minutes: What happened, by minute since the epoch; of the last hours.
        hours: The same by hour, of the last thirty days.
        probe: The last probe.
        failing: How many probes in a row found the same trouble.
        latency_us: From which time on an answer was counted as slow.
        constant: What the last look at the answers found wrong with them, "" for nothing.
        constant_rows: Rows that show it.
        constant_at: When that was looked at last.
        told: What the last finding said is wrong.
    """

    looked_at: datetime | None = None
    state: str = ""
    down_since: datetime | None = None
    lives: list[Life] = []
    crashed_at: datetime | None = None
    minutes: dict[int, Counted] = {}
    hours: dict[int, Counted] = {}
    probe: Probed | None = None
    failing: int = 0
    latency_us: int = 0
    constant: str = ""
    constant_rows: int = 0
    constant_at: datetime | None = None
    told: list[str] | None = None


class Burn(Struct, frozen=True, kw_only=True):
    """How fast a budget is used up.

    Args:
        of: "requests", "time", "latency" or "model".
        budget: The share that may go wrong.
        bad: What went wrong in 30 days: requests, seconds, answers or rows.
        total: Of how many.
        left: The share of the budget that is left; below 0 it is overdrawn. None where nothing was counted.
        rate: How many times as fast as allowed it was used in the last hour; None likewise.
    """

    of: Literal["requests", "time", "latency", "model"]
    budget: float
    bad: float
    total: float
    left: float | None
    rate: float | None


class Health(Struct, frozen=True, kw_only=True):
    """Whether an endpoint answers: apart from whether its answers are good.

    Args:
        endpoint: Its name.
        spec: What is promised, None where no `sw.Service` is declared.
        process: "up", "asleep", "starting", "down", "stopped".
        state: The verdict.
        sentence: The verdict in words.
        troubles: What is wrong, one sentence each, by kind.
        burns: The budgets.
        hour: What was counted in the last hour.
        probe: The last probe.
        looked_at: When the control plane looked last.
    """

    endpoint: str
    spec: ServiceSpec | None
    process: str
    state: Literal["ok", "note", "alert", "cannot tell"]
    sentence: str
    troubles: dict[str, str] = {}
    burns: tuple[Burn, ...] = ()
    hour: Counted = field(default_factory=Counted)
    probe: Probed | None = None
    looked_at: datetime | None = None
