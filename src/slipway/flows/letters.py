"""What people are told of an incident: what changed, how much, since when, what it costs, what probably did it, what to type.

The same facts stand in mail, in a webhook's JSON, in `slipway incidents show` and on the incident's page.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from slipway.errors import NotFound, SlipwayError
from slipway.flows.business import get_business
from slipway.flows.business_document import letter_text
from slipway.flows.business_mail import ABOUT
from slipway.flows.run_books import page_of
from slipway.flows.suspects import Change, Suspect, meanwhile, suspects
from slipway.governance.outbox import CLOSED, level_of
from slipway.governance.telling import stage_of
from slipway.ledger import entries
from slipway.operations.business import GetBusiness
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.monitors import Finding, Incident
from slipway.records.notifications import Notification, NotifySettings
from slipway.schema.durations import in_words
from slipway.tables.catalog import simulated_tables

__all__ = ["NEXT", "About", "Letter", "about", "how_much", "letter_of"]

NEXT = {
    "labels": "slipway monitor quality {endpoint}",
    "skew": "slipway endpoints consistency {endpoint}",
    "rollout": "slipway rollout status {endpoint}",
    "break-glass": "slipway rollback {endpoint}",
    "scoring": "slipway score {endpoint}",
    "schedule": "slipway schedules show {endpoint}",
    "retraining": "slipway story {endpoint}",
    "sync": "slipway data sync {endpoint}",
}
"""What to type next by the kind of cause, where no change is suspected."""
_MOST_COLUMNS = 12
_FINDINGS = 5
_MOST_BESIDE = 20
_OCCASIONS = {
    "escalated": " (nobody has acknowledged it)", "snooze ended": " (it was put off until now)", CLOSED: " (it is over)",
}  # fmt: skip


class Letter(Struct, frozen=True, kw_only=True):
    """A message: one line, the whole text, and the same as plain values for programs."""

    subject: str
    text: str
    facts: dict[str, Any]


class About(Struct, frozen=True, kw_only=True):
    """What is to be said of an incident beside what its record says.

    Args:
        where: The endpoint, table or schedule.
        much: How much, with its interval, "" where no figure says.
        cost: What the endpoint's errors cost by its KPI monitor's last finding, "" where none is known.
        suspects: What probably caused it, the likeliest first.
        command: What to type next.
        run_book: The name of its run book.
        level: How loud it is.
        meanwhile: What changed while it was open, of one that is closed, the newest first.
    """

    where: str
    much: str = ""
    cost: str = ""
    suspects: tuple[Suspect, ...] = ()
    command: str = ""
    run_book: str = ""
    level: str = "alert"
    meanwhile: tuple[Change, ...] = ()


def about(workspace: Workspace, incident: Incident) -> About:
    """Gather what is to be said of an incident."""
    where = incident.parent_id.partition("/")[2]
    name = where.rpartition(":")[2]
    found = suspects(workspace, incident)
    first = found[0].change.command if found and incident.cause not in NEXT else ""
    with workspace.ledger.read() as tx:
        cost = _cost(tx, workspace, incident, name)
    return About(
        where=where,
        much=how_much(incident),
        cost=cost,
        suspects=found,
        command=first or NEXT.get(incident.cause, "slipway endpoints show {endpoint}").format(endpoint=name),
        run_book=page_of(incident.cause),
        level=incident.level or level_of(incident.cause),
        meanwhile=meanwhile(workspace, incident),
    )


def how_much(incident: Incident) -> str:
    """An incident's figure with its interval and what it was to be, "" where there is none."""
    if incident.value is None:
        return ""
    interval = "" if incident.low is None or incident.high is None else f" ({incident.low:.4g} to {incident.high:.4g})"
    before = "" if incident.before is None else f", where {incident.before:.4g} is expected"
    return f"{incident.unit + ' ' if incident.unit else ''}{incident.value:.4g}{interval}{before}"


def _cost(tx: ReadTransaction, workspace: Workspace, incident: Incident, endpoint: str) -> str:
    """What errors cost there by the last finding of a KPI monitor that could tell, in its own words."""
    known = entries.find(tx, Revision, project=workspace.project, name=endpoint, limit=1)
    monitors = known[0].monitors if known else ()
    for name in (one.name for one in monitors if one.kind == "kpi"):
        for finding in entries.find(tx, Finding, parent=incident.parent_id, name=name, limit=_FINDINGS):
            if finding.values.get("value") is not None:
                return f"{finding.sentence.partition(';')[0]}, as of {finding.window_until:%Y-%m-%d}"
    return ""


def letter_of(workspace: Workspace, one: Notification, settings: NotifySettings) -> Letter | None:
    """The message of a notification; None where it is no news any more.

    Args:
        workspace: The project's.
        one: The notification.
        settings: Say where the server answers.
    """
    letter = _letter(workspace, one, settings)
    made_up = simulated_tables(workspace)
    if letter is None or not made_up:
        return letter
    said = f"SIMULATED: rows of {', '.join(made_up)} are made up."
    facts = letter.facts | {"simulated_tables": list(made_up)}
    return Letter(subject=f"SIMULATED {letter.subject}", text=f"{letter.text}\n\n{said}", facts=facts)


def _letter(workspace: Workspace, one: Notification, settings: NotifySettings) -> Letter | None:
    sort, _, id = one.parent_id.partition(":")
    if sort == ABOUT:
        return _business(workspace, one, settings)
    if sort != "incident":
        return Letter(subject=f"[{one.project}] {_first_line(one.sentence)}", text=one.sentence, facts=_plain(one))
    with workspace.ledger.read() as tx:
        every = [entries.get(tx, Incident, each) for each in (id, *one.beside)]
    is_over = one.name == CLOSED
    still = [each for each in every if (each.state == "closed") == is_over]
    if not still:
        return None
    incident, *beside = still
    try:
        found = about(workspace, incident)
    except SlipwayError:  # a letter that says less is better than none
        found = About(
            where=incident.parent_id.partition("/")[2], much=how_much(incident), run_book=page_of(incident.cause)
        )
    subject = f"{found.where}: {incident.cause or incident.name}"
    if beside:
        subject += f", {len(still)} at once"
    elif incident.about:
        subject += f", {incident.about}"
    subject += _OCCASIONS.get(one.name, "")
    lines = _lines(incident, found, one, settings) if not is_over else _last_lines(incident, found, one, settings)
    if beside:
        lines += [
            "",
            f"{len(beside)} more of the same kind {'are over too' if is_over else 'came with it'}:",
            *(_short(each) for each in beside[:_MOST_BESIDE]),
        ]
        lines += (
            [f"and {len(beside) - _MOST_BESIDE} more: slipway incidents list"] if len(beside) > _MOST_BESIDE else []
        )
    facts = _facts(incident, found, one, settings) | {"beside": [each.id for each in beside]}
    return Letter(subject=f"[{one.project}] {subject}", text="\n".join(lines), facts=facts)


def _business(workspace: Workspace, one: Notification, settings: NotifySettings) -> Letter | None:
    """A model's business page as a letter; None where the model is no more."""
    try:
        page = get_business(workspace, GetBusiness(model=one.sentence))
    except NotFound:
        return None
    base = settings.address.rstrip("/")
    link = f"{base}/projects/{quote(one.project, safe='')}/business/{quote(page.model, safe='')}" if base else ""
    subject, text = letter_text(page, link)
    return Letter(subject=subject, text=text, facts={**_plain(one), "model": page.model})


def _short(one: Incident) -> str:
    return f"  {one.id}  {one.about or one.name}: {one.sentence.partition(';')[0][:200]}"


def _lines(incident: Incident, found: About, one: Notification, settings: NotifySettings) -> list[str]:
    base = settings.address.rstrip("/")
    pages = _pages(incident, found)
    since = incident.since or incident.created_at
    beside = f"{', '.join(incident.columns[:_MOST_COLUMNS])}"
    more = len(incident.columns) - _MOST_COLUMNS
    letter = "accountable" if one.name == "escalated" else stage_of(incident.cause)[1]
    who = f"{', '.join(one.people)}, {letter} for {stage_of(incident.cause)[0]}" if one.people else incident.owner
    rows = [
        ("since", f"{since:%Y-%m-%d %H:%M} UTC, first seen {incident.created_at:%Y-%m-%d %H:%M} UTC"),
        ("how much", found.much),
        ("rows", f"{incident.rows:,}" if incident.rows else ""),
        ("inputs", beside + (f" and {more} more" if more > 0 else "")),
        ("shown by", ", ".join(incident.monitors)),
        ("cost", found.cost),
        *(("perhaps by", f"{s.change.sentence}, {s.change.at:%Y-%m-%d %H:%M} UTC") for s in found.suspects),
        ("next", found.command),
        ("run book", base + pages["run_book"]),
        ("page", base + pages["page"]),
        ("for", who),
        ("answer", f"slipway incidents ack {incident.id}"),
    ]
    return [incident.sentence, "", *(f"{name:<11} {value}" for name, value in rows if value)]


def _last_lines(incident: Incident, found: About, one: Notification, settings: NotifySettings) -> list[str]:
    """What is said of an incident that is over: how long it was, why it is thought to be over, and what was done meanwhile."""
    since, until = incident.since or incident.created_at, incident.closed_at or incident.created_at
    rows = [
        ("since", f"{since:%Y-%m-%d %H:%M} UTC"),
        ("over", f"{until:%Y-%m-%d %H:%M} UTC, after {_lasted(incident)}"),
        ("because", incident.why),
        *(("meanwhile", f"{change.sentence}, {change.at:%Y-%m-%d %H:%M} UTC") for change in found.meanwhile),
        ("again", f"what is back within {settings.cooldown} goes on as this incident, in the digest alone"),
        ("page", settings.address.rstrip("/") + _pages(incident, found)["page"]),
        ("for", ", ".join(one.people) or incident.owner),
    ]
    return [f"It is over: {incident.sentence}", "", *(f"{name:<11} {value}" for name, value in rows if value)]


def _lasted(incident: Incident) -> str:
    since, until = incident.since or incident.created_at, incident.closed_at or incident.created_at
    return in_words(max((until - since) // timedelta(microseconds=1), 0))


def _pages(incident: Incident, found: About) -> dict[str, str]:
    project, id = quote(incident.project, safe=""), quote(incident.id, safe="")
    return {"page": f"/projects/{project}/incidents/{id}", "run_book": f"/runbook/{found.run_book}"}


def _facts(incident: Incident, found: About, one: Notification, settings: NotifySettings) -> dict[str, Any]:
    since = incident.since or incident.created_at
    shown = (
        "id",
        "cause",
        "about",
        "sentence",
        "value",
        "low",
        "high",
        "unit",
        "before",
        "rows",
        "columns",
        "monitors",
    )
    return {
        **_plain(one),
        **{name: getattr(incident, name) for name in shown},
        "where": found.where,
        "since": since.isoformat(),
        "opened": incident.created_at.isoformat(),
        "owner": incident.owner,
        "cost": found.cost,
        "suspects": [
            {"what": s.change.sentence, "at": s.change.at.isoformat(), "node": s.change.node, "weight": s.weight}
            for s in found.suspects
        ],
        "command": found.command,
        **(_end(incident, found) if one.name == CLOSED else {}),
        **{name: settings.address.rstrip("/") + path for name, path in _pages(incident, found).items()},
    }


def _end(incident: Incident, found: About) -> dict[str, Any]:
    until = incident.closed_at
    return {
        "closed": until.isoformat() if until else None,
        "lasted": _lasted(incident),
        "why": incident.why,
        "meanwhile": [{"what": c.sentence, "at": c.at.isoformat(), "node": c.node} for c in found.meanwhile],
    }


def _plain(one: Notification) -> dict[str, Any]:
    return {"project": one.project, "occasion": one.name, "people": list(one.people)}


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
