"""What monitors found, and the incidents that follow."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.records.record import Record

__all__ = ["Cause", "Finding", "Incident"]


class Cause(Struct, frozen=True, kw_only=True):
    """One thing that is wrong by a finding: an incident is about one of these, whatever else shows it.

    Args:
        kind: What policy and people go by: "broken feed", "drift", "quality", "kpi", "skew", "service", ...
        about: What it is about within the endpoint: the feed, the slice, the replica; "" for all of it.
        sentence: What changed, and how much.
        since: Business time of the first row or minute that shows it, None where that is not known.
        columns: The inputs that show it.
        rows: Rows that show it.
        value: How much, None where no figure says.
        low: Lower end of its 95 % interval, None where there is none.
        high: Upper end.
        unit: Of the three: "share", "USD a prediction", a metric's name.
        before: The same figure as it was to be, None where nothing says.
        owner: Who must look, a person or a role, where the thing itself names them; "" where its kind says who.
        urgency: "ticket" where there is no hurry, whatever its kind; "" where kind and finding say.
    """

    kind: str
    about: str = ""
    sentence: str
    since: datetime | None = None
    columns: tuple[str, ...] = ()
    rows: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    before: float | None = None
    owner: str = ""
    urgency: Literal["", "page", "ticket"] = ""


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
        causes: What is wrong, one each, where it alerts; () for the finding as a whole.
    """

    parent_id: str
    state: Literal["ok", "note", "alert", "cannot tell"]
    window_from: datetime
    window_until: datetime
    rows: int
    sentence: str
    values: dict[str, Any] = {}
    causes: tuple[Cause, ...] = ()


class Incident(Record, frozen=True, kw_only=True, tag="incident"):
    """Something that a person must look at: one open per endpoint, kind of cause and what it is about.

    Name: that of the monitor, or whatever else, that showed it first.

    Args:
        parent_id: `<project>/<endpoint>`.
        state: Where it stands.
        findings: The finding that opened it and the newest ones since, by id.
        sentence: What changed, how much, since when, what to do.
        owner: Who must look: who is responsible for its stage, the role where no RACI says who.
        cause: "broken feed", "quality", "kpi": what policy goes by; see `Cause.kind`.
        closed_at: When it was closed.
        people: Who was responsible when it was opened, by name, whether there or away; () where no RACI says who.
        about: What it is about within the endpoint; see `Cause.about`.
        monitors: Who shows it: the monitors whose last word was an alert for this cause.
        since: Business time of the first row or minute that shows it, None where that is not known.
        columns: The inputs that showed it, of all who did.
        rows: Rows that show it by the newest finding.
        value: How much by the newest finding, None where no figure says.
        low: Lower end of its 95 % interval.
        high: Upper end.
        unit: Of the three.
        before: The same figure as it was to be.
        seen_from: Business time of the first decision that the newest finding looked at.
        seen_until: And of the first that it did not look at any more.
        level: How loud it is: "page" for service and money; "ticket" where its finding says that there is no hurry: an alert that
            is escalated a day later; "" is an alert.
        why: Why it was closed, "" while it is open.
        reopened: How often it came back within the cool-down after it was closed.
        reopened_at: When it did so last, business time; None where it never did.
        told_at: When its owner was told, None while nobody was.
        silenced_by: The id of the incident that explains it, "" for none; nobody is told of it meanwhile.
        silenced: That in words.
        held: Why nobody is told though nothing explains it: such an incident was judged noise, or known.
        acknowledged_by: Who said that they look at it, "" for nobody.
        acknowledged_at: When.
        snoozed_by: Who put it off, "" for nobody.
        snoozed_until: Until when nobody is told of it.
        escalated_at: When who is accountable was told because nobody had acknowledged it.
        feedback: What somebody judged: that it was worth telling, that it was not, or that it was known already.
        feedback_by: Who.
        feedback_at: When.
        comment: What they said, of the last of these words.
    """

    parent_id: str
    state: Literal["open", "closed"] = "open"
    findings: tuple[str, ...] = ()
    sentence: str
    owner: str
    cause: str = ""
    closed_at: datetime | None = None
    people: tuple[str, ...] = ()
    about: str = ""
    monitors: tuple[str, ...] = ()
    since: datetime | None = None
    columns: tuple[str, ...] = ()
    rows: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    before: float | None = None
    seen_from: datetime | None = None
    seen_until: datetime | None = None
    level: Literal["", "page", "alert", "ticket"] = ""
    why: str = ""
    reopened: int = 0
    reopened_at: datetime | None = None
    told_at: datetime | None = None
    silenced_by: str = ""
    silenced: str = ""
    held: str = ""
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    snoozed_by: str = ""
    snoozed_until: datetime | None = None
    escalated_at: datetime | None = None
    feedback: Literal["", "useful", "noise", "known"] = ""
    feedback_by: str = ""
    feedback_at: datetime | None = None
    comment: str = ""
