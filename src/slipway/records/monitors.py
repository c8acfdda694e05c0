"""What monitors found, and the incidents that follow."""

from datetime import datetime
from typing import Any, Literal

from slipway.records.record import Record

__all__ = ["Finding", "Incident"]


class Finding(Record, frozen=True, kw_only=True, tag="finding"):
    """What one monitor found in one window of one endpoint; name: the monitor's.

    Args:
        parent_id: `<project>/<endpoint>`.
        state: The verdict.
        window_from: Business time, first decision looked at.
        window_until: Business time, first decision not looked at any more.
        rows: Predictions looked at.
        sentence: The finding in words.
        values: Figures for charts and later checks.
    """

    parent_id: str
    state: Literal["ok", "note", "alert", "cannot tell"]
    window_from: datetime
    window_until: datetime
    rows: int
    sentence: str
    values: dict[str, Any] = {}


class Incident(Record, frozen=True, kw_only=True, tag="incident"):
    """Something that a person must look at: one open per endpoint and monitor; name: the monitor's.

    Args:
        parent_id: `<project>/<endpoint>`.
        state: Where it stands.
        findings: The finding that opened it and the newest ones since, by id.
        sentence: What changed, how much, since when, what to do.
        owner: Who must look: who is responsible for its stage, the role where no RACI says who.
        cause: "broken feed", "quality", "kpi": what policy goes by.
        closed_at: When it was closed.
        people: Who was responsible when it was opened, by name, whether there or away; () where no RACI says who.
    """

    parent_id: str
    state: Literal["open", "closed"] = "open"
    findings: tuple[str, ...] = ()
    sentence: str
    owner: str
    cause: str = ""
    closed_at: datetime | None = None
    people: tuple[str, ...] = ()
