"""What an event tells in a short sentence without its subject: "deployed flight-delays 6 to flight-delays"."""

from __future__ import annotations

from slipway.records.events import Event

__all__ = ["NEWS", "place", "readable_by", "told"]

NEWS: dict[str, str] = {
    "projects.add": "made the project known",
    "people.add": "let {id} in",
    "people.grant": "gave {id} a role",
    "people.revoke": "took a role from {id}",
    "runs.start": "started the run {name}",
    "runs.finish": "ended the run {name}: {state}",
    "runs.rerun": "repeated the run {short}",
    "runs.reproduce": "reproduced the run {short}",
    "runs.upload": "sent runs",
    "tables.commit": "wrote version {number} of the table {last}",
    "tables.merge": "merged a branch of the table {last}",
    "tables.alter": "changed the columns of the table {last}",
    "tables.clean": "cleaned old versions of the table {last}",
    "tables.tag": "tagged a version of the table {last}",
    "tables.erase": "erased a person's rows",
    "erasures.start": "erased a person's rows",
    "models.register": "registered {name} {number}",
    "models.compare": "compared {name} {number} with what answered before",
    "models.alias": "made {name} {number} the {alias}",
    "gates.judge": "asked the gate of a version, which {verdict}",
    "approvals.grant": "{decision} {model} {number} as {role}",
    "approvals.stand": "approved retrainings of {endpoint} until {day}",
    "approvals.revoke": "took a standing approval back",
    "contracts.sign": "{state} the metric contract {last}",
    "scopes.keep": "wrote down the scope {last}",
    "migrations.plan": "planned how {models} models move here",
    "migrations.gap": "said who brings the {criterion} of {model}",
    "migrations.compare": "compared {model} with its old system",
    "migrations.activate": "opened {model} to {to}",
    "documents.answer": "answered what the documents ask of {last}",
    "handovers.offer": "offered {model} {number} to {to}",
    "handovers.answer": "{state} the hand-over of {model}",
    "comments.add": "commented on {what}",
    "endpoints.deploy": "let {model} {version} serve at {endpoint_of}{because}",
    "endpoints.rollback": "rolled {endpoint_of} back to {model} {version}{because}",
    "endpoints.stop": "stopped {endpoint_of}",
    "endpoints.drill": "proved the way back of {endpoint_of}",
    "endpoints.break_glass": "let {endpoint_of} serve what its gate refuses",
    "endpoints.break": "let {endpoint_of} break its callers",
    "rollouts.pause": "paused a roll-out of {endpoint_of}",
    "rollouts.resume": "let a roll-out of {endpoint_of} go on",
    "rollouts.advance": "let a roll-out of {endpoint_of} take a step",
    "rollouts.abort": "ended a roll-out of {endpoint_of}",
    "rollouts.end": "ended a roll-out{because}",
    "abtests.end": "ended an A/B test",
    "retrainings.start": "began a retraining{trigger}",
    "retrainings.end": "ended a retraining: {state}",
    "retrainings.gain": "measured whether a retraining helped: {verdict}",
    "scorings.start": "began to score a table",
    "scorings.end": "ended a scoring",
    "schedules.apply": "published the schedules",
    "schedules.fire": "fired the schedule {last}",
    "schedules.end": "saw a firing of {last} end",
    "schedules.pause": "paused the schedule {last}",
    "schedules.resume": "let the schedule {last} fire again",
    "incidents.open": "opened an incident",
    "incidents.close": "closed an incident",
    "incidents.ack": "looks at an incident",
    "incidents.reopen": "opened an incident again",
    "incidents.escalate": "told the accountable of an incident",
    "simulations.begin": "began a simulation of {endpoint}",
    "simulations.finish": "finished a simulation of {endpoint}",
    "simulations.fail": "saw a simulation of {endpoint} fail",
    "floors.set": "set what every model of the environment must show",
    "trash.put": "put {short} into the trash",
    "trash.restore": "took {short} back from the trash",
    "trash.purge": "removed {short} for good",
    "promotions.start": "began to promote {name} {version} to {target}{because}",
    "sharing.grant": "shared {last}",
    "sharing.publish": "offered {last} to other projects",
    "environments.create": "made the environment {last}",
    "environments.destroy": "put the environment {last} into the trash",
}
"""By verb. What is not here (looks, marks, logs) is no news: the audit log has it."""

_READ: dict[str, str] = {
    **dict.fromkeys(("rollouts", "retrainings", "scorings", "abtests", "loop", "simulations"), "endpoints.read"),
    **dict.fromkeys(("gates", "handovers", "promotions", "contracts"), "models.read"),
    **dict.fromkeys(("erasures", "people", "environments"), "audit.read"),
}
_PAGES: dict[str, str] = {
    "run": "runs",
    "table": "tables",
    "incident": "incidents",
    "scope": "scopes",
    "schedule": "schedules",
}


def readable_by(verb: str) -> str:
    """The right by which somebody is told of an event of a verb: that to read its noun."""
    noun = verb.partition(".")[0]
    return _READ.get(noun, f"{noun}.read")


def told(event: Event) -> str:
    """What the event says somebody did; "" where that is no news."""
    pattern = NEWS.get(event.verb, "")
    return pattern.format_map(_Words(event)) if pattern else ""


def place(event: Event) -> tuple[str, ...]:
    """The parts of the address of the page that shows what it is about, within its project; () where there is none."""
    kind, _, id = event.subject.partition(":")
    last, body = id.rpartition("/")[2], event.body
    if kind in ("revision", "endpoint", "rollout", "retraining"):
        endpoint = _endpoint(event)
        return ("endpoints", endpoint) if endpoint else ()
    if kind == "model" and body.get("name") and body.get("number"):
        return ("models", str(body["name"]), str(body["number"]))
    if event.verb == "approvals.grant" and body.get("model") and body.get("number"):
        return ("models", str(body["model"]), str(body["number"]))
    if event.verb.startswith("handovers."):
        return ("handovers",)
    if kind == "contract":
        return ("contracts", last)
    if kind == "run" and "/" not in id:
        return ("runs", id)
    return (_PAGES[kind], last) if kind in _PAGES else ()


def _endpoint(event: Event) -> str:
    kind, _, id = event.subject.partition(":")
    parts = id.split("/")
    if kind == "revision" and len(parts) >= 2:
        return parts[-2]
    return parts[-1] if kind == "endpoint" else str(event.body.get("endpoint", ""))


def _what(event: Event) -> str:
    kind, _, id = event.subject.partition(":")
    return f"the table {id.rpartition('/')[2]}" if kind == "table" else f"a {kind}"


class _Words(dict[str, str]):
    """The words that a sentence asks for: the event's own values, and what its subject says."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self._event = event

    def __missing__(self, key: str) -> str:
        event, body = self._event, self._event.body
        id = event.subject.partition(":")[2]
        made = {
            "id": id,
            "last": id.rpartition("/")[2],
            "short": id[:12],
            "endpoint_of": _endpoint(event) or "an endpoint",
            "because": f": {body['reason']}" if body.get("reason") else "",
            "trigger": f": {body['trigger']}" if body.get("trigger") else "",
            "what": _what(event),
            "day": str(body.get("until", ""))[:10],
            "verdict": str(body.get("verdict") or ("passed it" if body.get("passed") else "refused it")),
        }
        if key in made:
            return made[key]
        found = str(body.get(key, ""))
        return found or (made["last"] if key in ("name", "model", "endpoint") else "")
