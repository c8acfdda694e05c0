"""Fields of a model's documents that tell of what came after packaging: verdicts, serving, monitors, contracts, incidents."""

from __future__ import annotations

from slipway.flows.documents_evidence import Known
from slipway.records.documents import DocumentField, filled, lacking
from slipway.records.loop import TriggerSpec
from slipway.schema.durations import in_words

__all__ = ["contracts", "findings", "incidents", "load", "reproduced", "retrained", "served", "verdict", "watched"]


def contracts(known: Known) -> DocumentField:
    """The business figures that the model is judged by."""
    title = "Business figure"
    if not known.contracts:
        fix = "Agree on one: sw.KPI(contract=...) at the endpoint (docs/metric-contract.md)."
        return lacking("contract", title, "No metric contract says what it is for.", fix=fix, role="business owner")
    rows, void = [], []
    for one in known.contracts:
        terms = one.contract.terms
        signed = f"signed by {one.by}" if one.by else one.state
        rows.append((terms.kpi, terms.unit, f"{terms.better} is better", signed))
        if one.state == "void":
            void.append(f"The contract on {terms.kpi} is void: {one.void or 'it changed since it was signed'}.")
    return filled(
        "contract",
        title,
        head=("figure", "unit", "", "state"),
        rows=rows,
        evidence=[f"contract:{one.contract.id}" for one in known.contracts],
        at=max(one.contract.created_at for one in known.contracts),
        stale=" ".join(void),
        fix=f"Have it signed as it stands: slipway contract sign {known.contracts[0].contract.name}" if void else "",
    )


def verdict(known: Known, environment: str) -> DocumentField:
    """What the gate said of the bundle."""
    title, version = "The gate's verdict", known.version
    ask = f"slipway deploy {version.name} --version {version.number} --dry-run"
    if not known.detail.verdicts:
        return lacking("verdict", title, "No gate has judged it.", fix=f"Ask it: {ask}", role="ml engineer")
    judged = known.detail.verdicts[0]
    word = "Passed" if judged.passed else "Refused"
    approvals = [f"{one.actor} {one.decision} as {one.name}" for one in known.detail.approvals]
    elsewhere = judged.environment != environment
    return filled(
        "verdict",
        title,
        f"{word} in {judged.environment} on {judged.created_at:%Y-%m-%d}; asked by {judged.actor}.",
        items=approvals,
        head=("check", "result", "found"),
        rows=[(one.check, one.result, one.found) for one in judged.outcomes],
        evidence=[f"verdict:{judged.id}", *(f"approval:{one.id}" for one in known.detail.approvals)],
        at=judged.created_at,
        stale=f"It was judged in {judged.environment}, and this is {environment}." if elsewhere else "",
        fix=f"Ask the gate here: {ask}" if elsewhere else "",
    )


def served(known: Known) -> DocumentField:
    """Where the version serves, or served."""
    title, version = "Where it serves", known.version
    here = [one for one in known.serving.values() if one.served.bundle == version.bundle]
    if here:
        items = [f"{one.name}, revision {one.number}, since {one.created_at:%Y-%m-%d} by {one.actor}" for one in here]
        nodes = [f"revision:{one.id}" for one in here]
        return filled("served", title, items=items, evidence=nodes, at=max(one.created_at for one in here))
    if known.rollouts:
        newest = known.rollouts[0]
        text = f"Its roll-out at {newest.name} is {newest.state}. {newest.reason}".rstrip()
        return filled("served", title, text, evidence=[f"rollout:{newest.id}"], at=newest.created_at)
    others = [f"{one.name} answers with version {one.served.number}" for one in known.serving.values()]
    text = f"Nowhere now{': ' + ', '.join(others) if others else ''}."
    nodes = [f"revision:{one.id}" for one in known.serving.values()] or [known.node]
    return filled("served", title, text, evidence=nodes)


def load(known: Known) -> DocumentField:
    """What a load test measured."""
    title = "Under load"
    if not known.loads:
        fix = f"Measure it: slipway check-load {known.version.name}"
        return lacking("load", title, "Nobody measured it under load.", fix=fix, role="ml engineer")
    newest = known.loads[0]
    p99 = "nothing was answered" if newest.p99_ms is None else f"99 of 100 within {newest.p99_ms:.3g} ms"
    lost = f"{newest.failed:,} of {newest.sent:,} not answered" if newest.failed else "all answered"
    text = f"At {newest.rate:g} requests a second {lost}, {p99}, on {newest.machine.name}."
    return filled("load", title, text, evidence=[f"load:{newest.id}"], at=newest.created_at)


def findings(known: Known) -> DocumentField:
    """What the monitors of its endpoints found last."""
    title = "In production"
    if not known.findings:
        watched = any(one.monitors for one in known.declared)
        fix = "slipway monitor ENDPOINT looks now." if watched else "Declare some: sw.Endpoint(..., monitors=[...])."
        text = "Its monitors have not looked yet." if watched else "Nothing watches it."
        return lacking("production", title, text, fix=fix, role="ml engineer")
    others = {
        one.served.number
        for one in known.serving.values()
        if one.served.bundle != known.version.bundle
        and any(f.parent_id.endswith(f"/{one.name}") for f in known.findings)
    }
    numbers = ", ".join(str(one) for one in sorted(others))
    return filled(
        "production",
        title,
        head=("monitor", "state", "found", "until"),
        rows=[(one.name, one.state, one.sentence, f"{one.window_until:%Y-%m-%d}") for one in known.findings],
        evidence=[f"finding:{one.id}" for one in known.findings],
        at=max(one.created_at for one in known.findings),
        stale=f"It tells of version {numbers}, which serves, and not of version {known.version.number}."
        if others
        else "",
        fix=f"Read the card of what serves: slipway card {known.version.name}@{min(others)}" if others else "",
    )


def reproduced(known: Known) -> DocumentField:
    """Whether somebody repeated the run that made it."""
    title = "Reproduced"
    found = known.detail.reproductions
    if not found:
        fix = f"Repeat it: slipway reproduce {known.version.name}:{known.version.number}"
        return lacking("reproduced", title, "Nobody repeated the run that made it.", fix=fix, role="data scientist")
    items = [f"{one.created_at:%Y-%m-%d}, {one.verdict}, by {one.actor}: {one.sentence}" for one in found]
    nodes = [f"reproduction:{one.id}" for one in found]
    return filled("reproduced", title, items=items, evidence=nodes, at=found[0].created_at)


def incidents(known: Known) -> DocumentField:
    """What is open at its endpoints."""
    title = "Open incidents"
    items = [f"{one.sentence} (since {one.created_at:%Y-%m-%d}, {one.owner})" for one in known.incidents]
    nodes = [f"incident:{one.id}" for one in known.incidents] or [f"endpoint:{one.id}" for one in known.declared]
    if not nodes:
        fix = "Declare one: sw.Endpoint(...)."
        return lacking("incidents", title, "It has no endpoint that could have one.", fix=fix, role="ml engineer")
    return filled("incidents", title, "" if items else "None.", items=items, evidence=nodes)


def watched(known: Known) -> DocumentField:
    """What watches it."""
    title = "What is watched"
    rows = [
        (one.name, each.name, each.kind, in_words(each.window_us)) for one in known.declared for each in one.monitors
    ]
    if not rows:
        fix = "Declare some: sw.Endpoint(..., monitors=[...])."
        return lacking("monitors", title, "Nothing watches it.", fix=fix, role="ml engineer")
    nodes = [f"endpoint:{one.id}" for one in known.declared]
    return filled("monitors", title, head=("endpoint", "monitor", "kind", "window"), rows=rows, evidence=nodes)


def retrained(known: Known) -> DocumentField:
    """How it is kept up to date."""
    title = "How it is kept up to date"
    nodes = [f"endpoint:{one.id}" for one in known.declared] or [known.node]
    items = [
        f"At {one.name} the pipeline {one.retrain.pipeline} trains it again by itself: "
        f"{', '.join(_trigger(when) for when in one.retrain.when) or 'when somebody asks'}."
        for one in known.declared
        if one.retrain is not None
    ]
    text = "" if items else "Nothing trains it again by itself."
    return filled("retraining", title, text, items=items, evidence=nodes)


def _trigger(when: TriggerSpec) -> str:
    if when.kind == "labels":
        return f"after {when.labels:,} new labels"
    if when.kind == "custom":
        return f"when {when.custom} tells of something new"
    return f"by the clock, {when.cron} {when.timezone}" if when.kind == "schedule" else "when it gets worse"
