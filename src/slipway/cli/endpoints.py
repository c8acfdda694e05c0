"""`slipway endpoints`: what serves, and how it is doing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from slipway.charts.consistency import sentence
from slipway.charts.log_lines import log_line
from slipway.cli.door import Door, opened
from slipway.cli.health import health_text
from slipway.cli.layout import age, columns, count, facts, instant, share
from slipway.cli.models import verdict_text
from slipway.cli.reach import reach_options
from slipway.cli.rollout import rollout_line
from slipway.cli.scorings import batch_facts, scoring_line, scoring_rows
from slipway.errors import InvalidInput
from slipway.operations.endpoints import Callers, Consistency, EndpointDetail, EndpointRow, Endpoints, Stopped, Watched
from slipway.operations.old_systems import Agreement
from slipway.operations.responsibility import whom
from slipway.records.consistency import ConsistencyReport
from slipway.records.endpoints import EndpointStatus, FallbackSpec
from slipway.records.feeds import FeedCounts
from slipway.records.loop import Action
from slipway.records.monitors import Finding, Incident
from slipway.records.reach import Reach

if TYPE_CHECKING:
    from slipway.features.views import FeatureView

__all__ = ["endpoints"]

_PAGE = 1000
_REVISIONS = 12
_LAST = 5


@click.group()
def endpoints() -> None:
    """List endpoints, show, watch or stop one."""


@endpoints.command("list")
@opened
def list_(door: Door) -> None:
    """List the endpoints and whether they answer."""
    door.show(door.call("endpoints.list"), _list_text)


@endpoints.command()
@click.argument("name", metavar="ENDPOINT")
@opened
def show(door: Door, name: str) -> None:
    """Show one endpoint: revisions, process, verdict, roll-out, findings, incidents, what the loop did last."""
    detail = door.call("endpoints.get", name=name)
    if door.as_json:
        door.show(detail, _show_text)
        return
    rollouts = door.call("rollouts.list", endpoint=name, limit=1).rollouts
    told = [
        _show_text(detail),
        *(f"newest roll-out: {rollout_line(one)}" for one in rollouts),
        _last_actions(door, name),
    ]
    door.show(detail, lambda _: "\n\n".join(part for part in told if part))


@endpoints.command()
@click.argument("name", metavar="ENDPOINT")
@opened
def callers(door: Door, name: str) -> None:
    """List who may call the endpoint, who answers for them, and when they called last."""
    door.show(door.call("endpoints.callers", name=name), _callers_text)


@endpoints.command()
@click.argument("name", metavar="ENDPOINT")
@opened
def watch(door: Door, name: str) -> None:
    """Judge what the endpoint has answered so far: drift, quality, cost."""
    door.show(door.call("endpoints.watch", name=name), _watch_text)


@endpoints.command()
@click.argument("name", metavar="ENDPOINT")
@opened
def health(door: Door, name: str) -> None:
    """Say whether the endpoint answers, why not, and what is left of its budget."""
    door.show(door.call("endpoints.health", name=name), health_text)


@endpoints.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--days", type=click.IntRange(1), default=7, show_default=True, help="Over how many days of decisions.")
@click.option("--most", type=click.IntRange(0, 1000), default=10, show_default=True, help="How many differences.")
@opened
def agreement(door: Door, name: str, days: int, most: int) -> None:
    """Say how often the endpoint's answers agree with those of the old system that it declares."""
    door.show(door.call("endpoints.agreement", endpoint=name, days=days, most=most), _agreement_text)


@endpoints.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--since", metavar="DATE", help="Only requests decided from here on; the last day when left out.")
@click.option(
    "--sample", metavar="SHARE", help="The share of keys that is computed again: 1/16. All requests of a key."
)
@opened
def consistency(door: Door, name: str, since: str | None, sample: str | None) -> None:
    """Compute the features that the endpoint served again, offline and as of their requests, and compare."""
    from slipway.cli.simulate import day_of

    from_day = None if since is None else day_of(since, "since")
    asked = Consistency(name=name, since=from_day, sample=_share(sample))
    views = _views(door, name)
    if views:
        from slipway.flows.consistency import consistency as compare

        found = compare(door.workspace, asked, views=views)
    else:
        found = door.call("endpoints.consistency", **msgspec.structs.asdict(asked))
    door.show(found, _consistency_text)


@endpoints.command()
@click.argument("name", metavar="ENDPOINT")
@opened
def stop(door: Door, name: str) -> None:
    """Stop the endpoint's processes, or the scoring of a batch endpoint; its revisions and logs stay."""
    door.show(door.call("endpoints.stop", name=name), _stop_text)


@endpoints.command()
@reach_options
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="One port for all of them; 0 gives each its own."
)
@opened
def listen(door: Door, reach: Reach, port: int) -> None:
    """Say where the endpoints of this store answer: here alone, or elsewhere by TLS, to whoever shows a token.

    It counts for each endpoint from its next start. A certificate that is renewed in its files is used without one.
    """
    from slipway.hosts.endpoint_reach import let_endpoints_answer

    declared = 0 if door.checkout is None else door.checkout.settings.environment(door.workspace.environment).port
    if declared and port not in (0, declared):
        raise InvalidInput(
            f"{port} is not the port of all endpoints that slipway.toml names: {declared}.",
            fix=f"Change the setting port of the environment {door.workspace.environment!r}, or leave --port out.",
            field="port",
        )
    reach = msgspec.structs.replace(reach, port=declared or port)
    door.show(let_endpoints_answer(door.workspace, reach), _listen_text)


def _views(door: Door, name: str) -> dict[str, FeatureView]:
    """The feature views that the project's code declares for an endpoint, whose queries can run anew."""
    if door.checkout is None:
        return {}
    from slipway.flows.endpoint import Endpoint

    declared = door.checkout.declared(Endpoint).get(name)
    return {} if declared is None or declared.features is None else declared.features.views


def _share(text: str | None) -> float:
    """A share as people write one: 1/16, 0.05; 0 where nobody said."""
    if text is None:
        return 0.0
    part, _, whole = text.partition("/")
    try:
        return float(part) / float(whole or 1)
    except (ValueError, ZeroDivisionError) as problem:
        raise InvalidInput(f"{text!r} is no share.", fix="For example --sample 1/16", field="sample") from problem


def _last_actions(door: Door, name: str) -> str:
    """The last things that the loop did, newest first."""
    actions: list[Action] = []
    while True:
        after = actions[-1].number if actions else 0
        page = door.call("loop.actions", endpoint=name, after=after, limit=_PAGE).actions
        actions = [*actions, *page][-_LAST:]
        if len(page) < _PAGE:
            break
    rows = [(instant(one.created_at), one.name, one.sentence) for one in reversed(actions)]
    return columns(("when (UTC)", "what the loop did", "why"), rows, empty="")


def _feeds(feeds: Sequence[FeedCounts]) -> str:
    """What was found when features were looked up, for a terminal."""
    rows = [
        (
            one.name,
            f"{one.looked_up:,}",
            share(one.not_found, one.looked_up),
            share(one.too_old, one.looked_up),
            "" if one.mean_age_s is None else age(one.mean_age_s),
            "" if one.max_age_s is None else age(one.max_age_s),
            ", ".join(f"{name} {share(nulls, one.found)}" for name, nulls in one.nulls.items() if nulls),
        )
        for one in feeds
    ]
    return columns(("features", "looked up", "not found", "too old", "mean age", "oldest", "null"), rows, empty="")


def _list_text(answer: Endpoints) -> str:
    rows = []
    for row in answer.endpoints:
        revision, served = row.revision, row.revision.served
        rows.append(
            (
                revision.name,
                _row_state(row),
                f"{served.model} {served.number}",
                str(revision.number),
                instant(revision.created_at),
                row.status.url if row.status else f"scores {revision.batch.table}" if revision.batch else "",
            )
        )
    return columns(
        ("endpoint", "state", "model", "revision", "since (UTC)", "answers at"),
        rows,
        empty="Nothing is deployed yet. Let a model serve: slipway deploy MODEL",
    )


def _row_state(row: EndpointRow) -> str:
    if row.revision.batch is None:
        return _short_state(row.status)
    last, due = row.scoring, f"next {instant(row.next_at)}" if row.next_at else ""
    told = f"{last.state} {last.rows:,} rows {instant(last.created_at)}" if last else "never scored"
    return ", ".join(part for part in (told, due) if part)


def _show_text(answer: EndpointDetail) -> str:
    newest = answer.revisions[0]
    contract = newest.contract
    revisions = [
        (
            str(revision.number),
            f"{revision.served.model} {revision.served.number}",
            instant(revision.created_at),
            str(revision.actor),
            revision.reason,
        )
        for revision in answer.revisions[:_REVISIONS]
    ]
    older = len(answer.revisions) - len(revisions)
    more = f"\n... and {older} older ones, with --json" if older else ""
    parts = [
        facts(
            [
                ("endpoint", newest.name),
                ("environment", newest.environment),
                *(
                    _live_facts(answer.status, newest.fallback)
                    if newest.batch is None
                    else batch_facts(newest.batch, answer.next_at)
                ),
                (
                    "requests carry" if newest.batch is None else "rows carry",
                    ", ".join(f"{field.name}: {field.type}" for field in contract.fields),
                ),
                ("key", ", ".join(contract.key)),
                ("each caller", f"{newest.caller_rate:g} requests a second at most" if newest.caller_rate else ""),
                ("log", log_line(newest.log)),
                ("not logged", _unlogged(answer.status)),
                ("way back", _drilled(answer)),
            ]
        ),
        columns(("revision", "model", "since (UTC)", "by", "why"), revisions, empty="") + more,
        scoring_rows(answer.scorings),
        scoring_line(answer.scorings[0]) if answer.scorings else "",
        verdict_text(answer.verdict) if answer.verdict else "",
        _findings(answer.findings),
        _feeds(answer.feeds),
        _incidents(answer.incidents),
    ]
    return "\n\n".join(part for part in parts if part)


def _drilled(answer: EndpointDetail) -> str:
    """What the newest drill showed."""
    if not answer.drills:
        return ""
    last = answer.drills[0]
    seconds = "" if last.back_s is None else f", back in {last.back_s:.2f} s"
    return (
        f"drill {last.state} {instant(last.created_at)} by {last.actor}, from revision {last.present} to {last.back_to}"
        f"{seconds}. {last.sentence}"
    )


def _live_facts(status: EndpointStatus | None, fallback: FallbackSpec | None) -> list[tuple[str, str]]:
    return [
        ("state", _state(status)),
        ("answers at", status.url if status else ""),
        ("in its place", _behind(fallback)),
        ("replaced", _replaced(status)),
    ]


def _behind(spec: FallbackSpec | None) -> str:
    """What answers where the model does not."""
    if spec is None:
        return "nothing: callers are told of the failure"
    ways = [
        f"{way.served.model} {way.served.number}"
        if way.served is not None
        else f"the rule {way.rule.function.name}"
        if way.rule is not None
        else f"{way.value:g}"
        for way in spec.ways
    ]
    return f"{', then '.join(ways)}, within {spec.within_us / 1000:g} ms"


def _replaced(status: EndpointStatus | None) -> str:
    if status is None or not status.restarts:
        return ""
    return f"{status.restarts} workers; the last one: {status.replaced}"


def _state(status: EndpointStatus | None) -> str:
    if status is None:
        return "stopped"
    is_asleep = status.state == "ready" and status.workers == 0
    told = "asleep, the next request wakes it" if is_asleep else str(status.state)
    if status.workers:
        told += f", {count(status.workers, 'worker')}"
    return f"{told}. {status.note}" if status.note else told


def _short_state(status: EndpointStatus | None) -> str:
    if status is None:
        return "stopped"
    return f"{status.state}, {_unlogged(status)} not logged" if status.unlogged else status.state


def _unlogged(status: EndpointStatus | None) -> str:
    return count(status.unlogged, "row") if status is not None and status.unlogged else ""


def _findings(findings: tuple[Finding, ...]) -> str:
    rows = [(found.name, found.state, instant(found.window_until), found.sentence) for found in findings]
    return columns(("monitor", "verdict", "until (UTC)", "finding"), rows, empty="")


def _incidents(incidents: tuple[Incident, ...]) -> str:
    lines = [
        f"{found.state} incident for {whom(found.owner)}{f', {found.cause}' if found.cause else ''}: {found.sentence}"
        for found in incidents
    ]
    return "\n".join(lines)


def _callers_text(answer: Callers) -> str:
    rows = [
        (
            one.name if one.may else f"{one.name} (no good token)",
            ", ".join(one.owners),
            "" if one.predict is None else instant(one.predict),
            "" if one.push is None else instant(one.push),
            "" if one.limited is None else instant(one.limited),
        )
        for one in answer.callers
    ]
    head = ("caller", "answers for it", "asked last (UTC)", "sent last (UTC)", "was beyond its limit last (UTC)")
    return columns(head, rows, empty="Nobody is known by a token: whoever reaches the endpoint may ask it.")


def _agreement_text(found: Agreement) -> str:
    rows = [(one.prediction, f"{one.ours:.6g}", f"{one.theirs:.6g}") for one in found.greatest]
    table = columns(("furthest apart", "here", "old system"), rows, empty="No row is further apart.")
    return f"{found.sentence}\n\n{table}"


def _watch_text(answer: Watched) -> str:
    told = f"{count(answer.predictions, 'prediction')}, {count(answer.labels, 'label')}."
    if answer.unmatched:
        verb = "matches" if answer.unmatched == 1 else "match"
        told += f"\n{count(answer.unmatched, 'label')} {verb} no prediction, for example {answer.unmatched_example}."
    parts = [
        told,
        _findings(answer.findings) or "No monitor is declared.",
        _incidents(answer.incidents) or "No incident is open.",
    ]
    return "\n\n".join(parts)


def _consistency_text(report: ConsistencyReport) -> str:
    rows = [
        (
            one.feature,
            f"{one.compared:,}",
            f"{one.mismatches:,}",
            f"{one.missing:,}",
            f"{one.extra:,}",
            f"{one.late:,}",
            f"{one.ahead:,}",
            "" if one.smape is None else f"{one.smape:.2g}",
            "" if one.greatest is None else f"{one.greatest:.3g}",
        )
        for one in report.features
    ]
    head = ("feature", "compared", "wrong", "missing", "extra", "late", "table lacks it", "SMAPE", "greatest error")
    firsts = [f"{one.feature}: {one.first}" for one in report.features if one.first]
    until = "" if report.window_until is None else f" to {instant(report.window_until)}"
    since = "" if report.window_from is None else f"{instant(report.window_from)}{until}"
    parts = [
        f"{sentence(report)}.",
        facts(
            [
                ("model", report.model),
                ("requests", f"{report.sampled:,} of {report.rows:,}, all of every sampled key"),
                ("decided (UTC)", since),
            ]
        ),
        columns(head, rows, empty=""),
        "\n".join(firsts),
    ]
    return "\n\n".join(part for part in parts if part)


def _listen_text(reach: Reach) -> str:
    names = f", as {' or '.join(reach.names)}" if reach.names else ""
    by = "by TLS" if reach.certificate else f"behind {', '.join(reach.proxies)}" if reach.proxies else "by plain HTTP"
    return (
        f"Endpoints answer on {reach.host}{f', all on port {reach.port}' if reach.port else ''}{names}, {by}, "
        "from their next start:\n"
        "slipway endpoints stop NAME, then slipway deploy MODEL"
    )


def _stop_text(answer: Stopped) -> str:
    return "Stopped." if answer.was_running else "It was not running."
