"""A simulation: a past period replayed through the real endpoint, and what came of it beside two other policies."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, structs

from slipway.records.record import Record

if TYPE_CHECKING:
    _Number = float
else:
    # JSON has no NaN: msgspec writes null for it, which must read back as NaN.
    _Number = float | None

__all__ = ["BLIND", "NEVER", "SLIPWAY", "Fault", "Figures", "Month", "Promotion", "Simulation", "Worth"]

NEVER = "never"
"""The first model for the whole period."""
BLIND = "blind"
"""A retraining on the first of each month whose result serves at once, whatever it is."""
SLIPWAY = "slipway"
"""What really answered."""


class _Told(Struct, frozen=True, kw_only=True):
    """Figures of which some may not be known: these are NaN, in the ledger and out of it."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) is None:
                structs.force_setattr(self, name, float("nan"))


class Figures(_Told, frozen=True, kw_only=True):
    """How good the answers of one policy were over some labelled rows.

    Args:
        log_loss: Mean over rows, in nats.
        calibration: Mean score minus rate.
        auc: NaN where one class is missing.
        cost: Sum over rows by the stated cost matrix, in its unit; NaN where none is stated.
    """

    log_loss: _Number
    calibration: _Number
    auc: _Number
    cost: _Number


class Month(_Told, frozen=True, kw_only=True):
    """One month, or the whole period under the name "all".

    Args:
        name: "2013-04".
        asked: Rows asked.
        labelled: Rows among them whose label came.
        rate: Share of true labels.
        figures: By policy, all over the same rows.
        versions: Model versions that answered, in the order of their first answer.
    """

    name: str
    asked: int
    labelled: int
    rate: _Number
    figures: dict[str, Figures]
    versions: tuple[int, ...] = ()


class Worth(_Told, frozen=True, kw_only=True):
    """What Slipway's answers were worth against another policy's on the same rows.

    Args:
        other: "never" or "blind".
        log_loss: Slipway's mean log loss minus the other's: below zero is better.
        log_loss_low: Lower bound, days as blocks.
        log_loss_high: Upper bound.
        cost: Slipway's cost minus the other's, summed over the period.
        cost_low: Lower bound, days as blocks.
        cost_high: Upper bound.
    """

    other: str
    log_loss: _Number
    log_loss_low: _Number
    log_loss_high: _Number
    cost: _Number
    cost_low: _Number
    cost_high: _Number


class Promotion(_Told, frozen=True, kw_only=True):
    """In hindsight: a promoted model against the one that it replaced, on the rows of its own reign.

    Args:
        version: The promoted model version.
        replaced: The version before it.
        at: When it took over.
        until: When the next one did, or the period ended.
        rows: Labelled rows in between.
        log_loss: Its mean log loss minus its predecessor's on the same rows.
        low: Lower bound, days as blocks.
        high: Upper bound.
        verdict: "worse" and "better" where the interval excludes zero.
    """

    version: int
    replaced: int
    at: datetime
    until: datetime
    rows: int
    log_loss: _Number
    low: _Number
    high: _Number
    verdict: Literal["better", "worse", "cannot tell"]


class Fault(Struct, frozen=True, kw_only=True):
    """An injected fault and how it was met.

    Args:
        name: "weather feed switches units".
        at: When it began, business time.
        ended_at: When it was over, None where it has no length.
        was_handled: Whether what had to happen happened, and nothing that must not.
        sentence: What happened, in words.
        values: The figures behind it.
    """

    name: str
    at: datetime
    ended_at: datetime | None = None
    was_handled: bool
    sentence: str
    values: dict[str, Any] = {}


class Simulation(Record, frozen=True, kw_only=True, tag="simulation"):
    """One replay of a period; name: the endpoint's.

    Args:
        parent_id: `<project>/<endpoint>`.
        state: "running" until its report is complete.
        since: First decision time.
        until: First decision time no longer asked.
        ended_at: Business time at which its report was complete, None before: the last labels come after `until`.
        seed: From which everything random was drawn.
        requests: Predict requests sent.
        events: Events and view rows delivered.
        labels: Labels delivered.
        months: Month by month.
        total: The whole period.
        worth: Against each other policy.
        promotions: In hindsight, in order.
        faults: What was injected.
        unit: Of the costs.
        assumption: The cost matrix in words.
        sentence: What the retraining was worth, in plain words.
        drift: What drift was noted, and that nothing was done about it, in words.
        proofs: What was compared and found equal, as sentences.
        measured: Latencies and other machine-time figures: shown, never judged.
        fingerprint: Of all actions in order: the same seed gives the same one.
    """

    parent_id: str
    state: Literal["running", "finished", "failed"]
    since: datetime
    until: datetime
    ended_at: datetime | None = None
    seed: int = 0
    requests: int = 0
    events: int = 0
    labels: int = 0
    months: tuple[Month, ...] = ()
    total: Month | None = None
    worth: tuple[Worth, ...] = ()
    promotions: tuple[Promotion, ...] = ()
    faults: tuple[Fault, ...] = ()
    unit: str = ""
    assumption: str = ""
    sentence: str = ""
    drift: str = ""
    proofs: tuple[str, ...] = ()
    measured: dict[str, Any] = {}
    fingerprint: str = ""
