"""One incident told from the first row that shows it to what came of it: alarm, who was told, answers, the loop, outcome.

Nothing more is stored for it: it is read out of the incident, its messages, and what the loop did about it.
"""

from __future__ import annotations

from collections.abc import Iterator

from slipway.errors import NotFound
from slipway.flows.incident_answers import get_incident
from slipway.ledger import entries
from slipway.loop.story import get_stories
from slipway.operations.incidents import GetIncident, GetIncidentStory, IncidentDetail, IncidentLine, IncidentStory
from slipway.operations.rollouts import GetStories, Story
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Incident
from slipway.records.notifications import Notification

__all__ = ["get_incident_story"]

_MANY = 10_000
_PARTS = ("before", "alarm", "told", "answer", "loop", "outcome")
_OCCASIONS = {"opened": "told", "escalated": "escalated", "snooze ended": "told again", "closed": "told of the end"}
_JUDGED = {"useful": "It was worth telling", "noise": "It was noise", "known": "It was known already"}


def get_incident_story(workspace: Workspace, request: GetIncidentStory) -> IncidentStory:
    """An incident's story.

    Raises:
        NotFound: There is no such incident, or several begin so.
    """
    detail = get_incident(workspace, GetIncident(id=request.id))
    incident = detail.incident
    with workspace.ledger.read() as tx:
        sent = list(entries.every(tx, Notification, parent=f"incident:{incident.id}"))
    story = _of_loop(workspace, incident)
    lines = [
        *_alarm(detail),
        *_told(incident, sent),
        *_answers(incident),
        *(_loop(story, incident) if story else ()),
        *_end(incident),
    ]
    lines.sort(key=lambda one: (one.at, _PARTS.index(one.part)))
    since, until = incident.since or incident.created_at, incident.closed_at or workspace.clock.now()
    return IncidentStory(
        id=incident.id,
        lines=tuple(lines),
        outcome=_outcome(incident, story),
        lasted_s=max(0.0, (until - since).total_seconds()),
        cost=detail.cost,
    )


def _of_loop(workspace: Workspace, incident: Incident) -> Story | None:
    """What the loop did about it, with all that belongs to it."""
    endpoint = incident.parent_id.partition("/")[2]
    try:
        told = get_stories(workspace, GetStories(endpoint=endpoint, limit=_MANY))
    except NotFound:  # it is of a table or a schedule, about which the loop does nothing
        return None
    node = f"incident:{incident.id}"
    own = (one for one in told.stories if any(node in line.subjects for line in one.lines))
    return next(own, None) or next((one for one in told.stories if _tells_of(one, incident)), None)


def _tells_of(story: Story, incident: Incident) -> bool:
    """Whether a story has the roll-out that an incident is about: it was told of at that very time."""
    if incident.cause != "rollout":
        return False
    told = (line for line in story.lines if line.at == incident.created_at)
    return any(node.startswith("rollout:") for line in told for node in line.subjects)


def _alarm(detail: IncidentDetail) -> Iterator[IncidentLine]:
    one = detail.incident
    for suspect in detail.suspects:
        yield IncidentLine(
            at=suspect.at, part="before", what="perhaps by", sentence=suspect.sentence, nodes=(suspect.node,)
        )
    if one.since is not None and one.since < one.created_at:
        rows = f" {one.rows:,} rows show it by the newest finding." if one.rows else ""
        yield IncidentLine(at=one.since, part="before", what="began", sentence=f"The first row that shows it.{rows}")
    shown = f" Shown by {', '.join(one.monitors)}." if one.monitors else ""
    yield IncidentLine(at=one.created_at, part="alarm", what="alarm", sentence=f"{one.sentence}{shown}")
    if one.reopened_at is not None:
        times = "time" if one.reopened == 1 else "times"
        told = f"It showed itself again after it was closed: {one.reopened} {times} so far."
        yield IncidentLine(at=one.reopened_at, part="alarm", what="came back", sentence=told)


def _told(one: Incident, sent: list[Notification]) -> Iterator[IncidentLine]:
    for message in sent:
        who = ", ".join(message.people) or one.owner
        what = _OCCASIONS.get(message.name, message.name)
        how = "It stands in the inbox; no channel took it." if message.state == "kept" else "A message went out."
        yield IncidentLine(at=message.created_at, part="told", what=what, sentence=how, who=who)
    if one.told_at is not None and not sent:
        who = ", ".join(one.people) or one.owner
        yield IncidentLine(at=one.told_at, part="told", what="told", sentence="It stands in the inbox.", who=who)
    why = one.silenced or one.held
    if why and one.told_at is None:
        yield IncidentLine(
            at=one.created_at,
            part="told",
            what="nobody told",
            sentence=f"Nobody was told of it: {why}.",
            nodes=(f"incident:{one.silenced_by}",) if one.silenced_by else (),
        )


def _answers(one: Incident) -> Iterator[IncidentLine]:
    if one.acknowledged_at is not None:
        told = "They look at it."
        yield IncidentLine(
            at=one.acknowledged_at, part="answer", what="acknowledged", sentence=told, who=one.acknowledged_by
        )
    if one.feedback_at is not None:
        said = f": {one.comment}" if one.comment else ""
        told = f"{_JUDGED.get(one.feedback, one.feedback)}{said}."
        yield IncidentLine(at=one.feedback_at, part="answer", what="judged", sentence=told, who=one.feedback_by)


def _loop(story: Story, incident: Incident) -> Iterator[IncidentLine]:
    own = f"incident:{incident.id}"
    for line in story.lines:
        if own in line.subjects and line.what in ("alert", "close"):  # it is told above, by the incident itself
            continue
        yield IncidentLine(
            at=line.at,
            part="loop",
            what=line.what,
            sentence=line.sentence,
            who=line.owner,
            nodes=tuple(node for node in line.subjects if node != own),
        )


def _end(one: Incident) -> Iterator[IncidentLine]:
    if one.closed_at is not None:
        yield IncidentLine(at=one.closed_at, part="outcome", what="closed", sentence=one.why or "It shows no longer.")


def _outcome(one: Incident, story: Story | None) -> str:
    said = story.outcome if story else ""
    done = f"what the loop did: {said}" if said not in ("", "over", "open") else ""
    if one.state == "closed":
        return "; ".join(filter(None, ("over", done)))
    where = f"put off until {one.snoozed_until:%Y-%m-%d %H:%M} UTC" if one.snoozed_until else "open"
    if where == "open" and one.acknowledged_by:
        where = f"open, looked at by {one.acknowledged_by}"
    return "; ".join(filter(None, (where, done)))
