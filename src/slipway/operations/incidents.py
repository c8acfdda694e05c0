"""Incidents: what is wrong, who looks at it, whether it was worth telling, and how people are told."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.monitors import Incident

__all__ = [
    "AckIncident",
    "ChannelTested",
    "CloseIncident",
    "Delivered",
    "GetIncident",
    "GetRunBook",
    "GetIncidentStory",
    "IncidentDetail",
    "IncidentKept",
    "IncidentLine",
    "IncidentStory",
    "Incidents",
    "JudgeIncident",
    "ListIncidents",
    "PerhapsBy",
    "Precision",
    "RunBook",
    "SnoozeIncident",
    "TestChannels",
    "Tested",
    "operations",
]


class ListIncidents(Struct, frozen=True, kw_only=True):
    """Which incidents: "open", "closed" or "" for all; of one endpoint, or "" for all; the newest first."""

    state: str = "open"
    endpoint: str = ""
    limit: int = 100


class Precision(Struct, frozen=True, kw_only=True):
    """Whether it was worth telling of incidents, by what people judged.

    Args:
        useful: How many were judged useful.
        noise: How many noise.
        known: How many known already.
        told: How many people were told of, judged or not.
        share: The useful ones of all that were judged, None where none was.
        low: Lower end of its 95 % interval, by Wilson.
        high: Upper end.
    """

    useful: int = 0
    noise: int = 0
    known: int = 0
    told: int = 0
    share: float | None = None
    low: float | None = None
    high: float | None = None


class Incidents(Struct, frozen=True, kw_only=True):
    """Incidents, the newest first, and how well alerts were worth it in the whole project, or of the one endpoint."""

    incidents: tuple[Incident, ...]
    precision: Precision


class GetIncident(Struct, frozen=True, kw_only=True):
    """Which one: its id, or the beginning of it."""

    id: str


class PerhapsBy(Struct, frozen=True, kw_only=True):
    """What changed before an incident, and may have caused it.

    Args:
        sentence: What, in words.
        at: When.
        node: As lineage calls it.
        command: What shows it.
        weight: How much speaks for it, from 0 to 1: sort, lineage and time.
    """

    sentence: str
    at: datetime
    node: str
    command: str
    weight: float


class Delivered(Struct, frozen=True, kw_only=True):
    """How people were told, by one channel at one occasion.

    Args:
        channel: Its name.
        occasion: "opened", "escalated", "snooze ended", "closed".
        state: See `slipway.records.notifications.Delivery`; "kept" where no channel took it.
        attempts: How often it was tried.
        problem: Why the last attempt failed.
        sent_at: When the far side took it.
    """

    channel: str
    occasion: str
    state: str
    attempts: int = 0
    problem: str = ""
    sent_at: datetime | None = None


class IncidentDetail(Struct, frozen=True, kw_only=True):
    """An incident with what is to be said of it.

    Args:
        incident: As it stands.
        where: The endpoint, table or schedule.
        level: "page" for service and money, "alert" for all others.
        much: How much, with its interval, "" where no figure says.
        cost: What the endpoint's errors cost by its KPI monitor's last finding.
        suspects: What probably caused it, the likeliest first.
        command: What to type next.
        run_book: The name of its run book.
        book: The run book, Markdown.
        delivered: How people were told.
    """

    incident: Incident
    where: str
    level: str
    much: str = ""
    cost: str = ""
    suspects: tuple[PerhapsBy, ...] = ()
    command: str = ""
    run_book: str = ""
    book: str = ""
    delivered: tuple[Delivered, ...] = ()


class GetIncidentStory(Struct, frozen=True, kw_only=True):
    """Of which one: its id, or the beginning of it."""

    id: str


class IncidentLine(Struct, frozen=True, kw_only=True):
    """One thing that happened, business time.

    Args:
        at: When.
        part: Of the story: "before": what began it, and what changed before; "alarm"; "told"; "answer": what people said;
            "loop": what the loop did; "outcome".
        what: In a word or two: "alarm", "acknowledged", "retrain", "promote", "closed".
        sentence: In words.
        who: Who did it, or was told, "" for nobody in particular.
        nodes: Lineage nodes that it is about: "retraining:...", "rollout:...".
    """

    at: datetime
    part: Literal["before", "alarm", "told", "answer", "loop", "outcome"]
    what: str
    sentence: str
    who: str = ""
    nodes: tuple[str, ...] = ()


class IncidentStory(Struct, frozen=True, kw_only=True):
    """An incident from the first row that shows it to what came of it.

    Args:
        id: The incident's.
        lines: What happened, oldest first.
        outcome: How it ended, or how far it is.
        lasted_s: From the first row that shows it until it was closed, or until now, in seconds.
        cost: What the endpoint's errors cost by its KPI monitor's last finding, "" where nobody knows.
    """

    id: str
    lines: tuple[IncidentLine, ...]
    outcome: str
    lasted_s: float
    cost: str = ""


class AckIncident(Struct, frozen=True, kw_only=True):
    """Say that one looks at it; then who is accountable is not told that nobody does."""

    id: str
    comment: str = ""


class SnoozeIncident(Struct, frozen=True, kw_only=True):
    """Put it off until then: nobody is told of it before, and its people are told again then if it is still open."""

    id: str
    until: datetime
    comment: str = ""


class CloseIncident(Struct, frozen=True, kw_only=True):
    """Close it by hand, and why; a monitor that shows it again opens it again, and its people are told."""

    id: str
    reason: str


class JudgeIncident(Struct, frozen=True, kw_only=True):
    """Say whether it was worth telling; "noise" and "known" hold repeats back until a time that the answer says."""

    id: str
    word: Literal["useful", "noise", "known"]
    comment: str = ""


class IncidentKept(Struct, frozen=True, kw_only=True):
    """The incident as it stands now, and until when repeats of it are held back, None for not at all."""

    incident: Incident
    held_until: datetime | None = None


class TestChannels(Struct, frozen=True, kw_only=True):
    """Send a message by one channel, or by all of them."""

    channel: str = ""


class ChannelTested(Struct, frozen=True, kw_only=True):
    """What became of a message that tries a channel: "sent", or why not."""

    channel: str
    state: str
    problem: str = ""


class Tested(Struct, frozen=True, kw_only=True):
    """One a channel; none where none is configured."""

    channels: tuple[ChannelTested, ...]


class GetRunBook(Struct, frozen=True, kw_only=True):
    """Which run book, by the name that an incident has."""

    name: str


class RunBook(Struct, frozen=True, kw_only=True):
    """What to do, Markdown."""

    name: str
    text: str


_BODY = "slipway.flows.incident_answers:"

operations = (
    Operation(
        name="incidents.list",
        summary="List incidents, and whether alerts were worth it.",
        permission="incidents.read",
        request=ListIncidents,
        response=Incidents,
        body=f"{_BODY}list_incidents",
    ),
    Operation(
        name="incidents.get",
        summary="Show one incident: how much, since when, what probably caused it, what to do.",
        permission="incidents.read",
        request=GetIncident,
        response=IncidentDetail,
        body=f"{_BODY}get_incident",
    ),
    Operation(
        name="incidents.story",
        summary="Tell an incident from its alarm to its outcome: who was told, who answered, what the loop did.",
        permission="incidents.read",
        request=GetIncidentStory,
        response=IncidentStory,
        body="slipway.loop.incident_story:get_incident_story",
    ),
    Operation(
        name="incidents.ack",
        summary="Acknowledge an incident: you look at it.",
        permission="incidents.write",
        request=AckIncident,
        response=IncidentKept,
        body=f"{_BODY}acknowledge",
        changes=True,
    ),
    Operation(
        name="incidents.snooze",
        summary="Put an incident off until a time.",
        permission="incidents.write",
        request=SnoozeIncident,
        response=IncidentKept,
        body=f"{_BODY}snooze",
        changes=True,
    ),
    Operation(
        name="incidents.close",
        summary="Close an incident by hand.",
        permission="incidents.write",
        request=CloseIncident,
        response=IncidentKept,
        body=f"{_BODY}close_by_hand",
        changes=True,
    ),
    Operation(
        name="incidents.feedback",
        summary="Say whether an incident was worth telling: useful, noise or known.",
        permission="incidents.write",
        request=JudgeIncident,
        response=IncidentKept,
        body=f"{_BODY}judge",
        changes=True,
    ),
    Operation(
        name="incidents.test",
        summary="Send a message by the project's channels to see whether it arrives.",
        permission="incidents.test",
        request=TestChannels,
        response=Tested,
        body="slipway.loop.channel_test:test_channels",
        changes=True,
    ),
    Operation(
        name="incidents.run_book",
        summary="Show a run book.",
        permission="projects.read",
        request=GetRunBook,
        response=RunBook,
        body=f"{_BODY}get_run_book",
        route="/api/v1/run-book",
    ),
)
