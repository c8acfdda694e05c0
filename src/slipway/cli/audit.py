"""`slipway audit`: what happened, what was serving, and proof of it."""

from pathlib import Path

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, count, instant
from slipway.errors import InvalidInput
from slipway.operations.audit import Served, Serving
from slipway.operations.governance import AuditState, Events, Sealed

__all__ = ["audit"]

_ROOTS_AT_ONCE = 10_000


@click.group()
def audit() -> None:
    """List what happened, tell what was serving and why, verify, seal or export the audit log."""


@audit.command("list")
@click.option("--after", default=0, help="Only events after this position.")
@click.option("--subject", default="", help="Only what happened to this: model:m-0192...")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="How many at most.")
@opened
def list_(door: Door, after: int, subject: str, limit: int) -> None:
    """List events in order."""
    door.show(door.call("audit.list", after=after, subject=subject, limit=limit), _list_text)


@audit.command()
@click.option("--against", default="", metavar="FILE|git:DIR", help="Compare with the roots that lie there, too.")
@opened
def verify(door: Door, against: str) -> None:
    """Check every seal: an edit, deletion, swap or truncation is named and ends with an error.

    The anchors that slipway.toml names are compared by themselves. With --against it is a copy that you hold: so somebody
    who rebuilt the whole log with the store's own key is found, too.
    """
    state = door.call("audit.verify")
    named = _compared(door, against) if against else 0
    door.show(state, lambda answer: _verify_text(answer, against, named))


@audit.command()
@opened
def seal(door: Door) -> None:
    """Seal all events so far under one signed root, and write it to every anchor."""
    door.show(door.call("audit.seal"), _seal_text)


@audit.command()
@click.argument("endpoint")
@click.option("--at", default="", metavar="TIME", help="A moment: 2013-04-01T12:00Z, '2013-04-01 12:00 Europe/Berlin'.")
@click.option("--since", default="", metavar="TIME", help="A period's begin; all of its life without any.")
@click.option("--until", default="", metavar="TIME", help="A period's end.")
@opened
def serving(door: Door, endpoint: str, at: str, since: str, until: str) -> None:
    """Tell what was serving at ENDPOINT at a moment or over a period, who let it, and on which evidence."""
    answer = door.call("audit.serving", endpoint=endpoint, at=at, since=since, until=until)
    door.show(answer, _serving_text)


@audit.command()
@click.option("--since", required=True, metavar="TIME", help="The period's begin, with it.")
@click.option("--until", default="", metavar="TIME", help="Its end, without it; now when missing.")
@click.option(
    "-o", "--output", required=True, metavar="FILE.zip", type=click.Path(path_type=Path, dir_okay=False), help="Where."
)
@opened
def export(door: Door, since: str, until: str, output: Path) -> None:
    """Write what happened in a period, with keys, roots and a script that verifies it without Slipway."""
    from slipway.flows.audit_export import Exported
    from slipway.flows.audit_export import export as write

    def text(found: Exported) -> str:
        told = f"{count(found.events, 'event')}, {count(found.roots, 'root')}, {count(found.served, 'revision')} that served"
        return f"{found.file}: {told}.\nSigned by {found.key_id}; its digest is {found.digest}.\nVerify: python verify.py in it"

    door.show(write(door.workspace, output, since=since, until=until), text)


def _compared(door: Door, against: str) -> int:
    """How many roots a copy names, all of which are the ledger's."""
    import msgspec

    from slipway.governance.anchors import compare, lines_of

    anchor = against if against.startswith(("file:", "git:")) else f"file:{against}"
    roots: list[tuple[object, bytes]] = []
    while True:
        page = door.call("audit.roots", after=len(roots), limit=_ROOTS_AT_ONCE).roots
        roots += [(root, msgspec.json.encode(root)) for root in page]
        if len(page) < _ROOTS_AT_ONCE:
            break
    lines = lines_of(anchor)
    if not lines:
        raise InvalidInput(
            f"{against} names no root.",
            why="There is nothing to compare with.",
            fix='Let roots be written there: anchor = ["file:..."] under [audit] in slipway.toml.',
            field="against",
        )
    return compare(against, lines, roots)  # type: ignore[arg-type]  # roots of the operation are roots


def _list_text(answer: Events) -> str:
    rows = [(str(event.seq), instant(event.at), str(event.actor), event.verb, event.subject) for event in answer.events]
    return columns(("event", "at (UTC)", "who", "what", "on what"), rows, empty="Nothing has happened yet.")


def _verify_text(answer: AuditState, against: str, named: int) -> str:
    lines = [f"{state.anchor} cannot be compared: {state.problem}" for state in answer.anchors if state.problem]
    lines += [f"{state.anchor} agrees: {count(state.roots, 'root')}." for state in answer.anchors if not state.problem]
    if against:
        lines.append(f"{against} agrees: {count(named, 'root')}.")
    if not answer.sealed:
        first = f"Nothing is sealed yet, {count(answer.unsealed, 'event')} could be: slipway audit seal"
    else:
        tail = f" {count(answer.unsealed, 'event')} not sealed yet." if answer.unsealed else ""
        first = f"{count(answer.sealed, 'sealed event')}, every seal holds.{tail}"
        first += f" {count(answer.records, 'record')} as they were kept." if answer.records else ""
    return "\n".join([first, *lines])


def _seal_text(answer: Sealed) -> str:
    first = (
        "There was nothing to seal."
        if answer.root is None
        else f"Sealed events {answer.root.first_seq} to {answer.root.last_seq} under root {answer.root.index}."
    )
    told = [f"{state.anchor}: {state.problem or count(state.roots, 'root')}" for state in answer.anchors]
    return "\n".join([first, *told])


def _serving_text(answer: Serving) -> str:
    return "\n\n".join(_span_text(answer.endpoint, span) for span in answer.served)


def _span_text(endpoint: str, span: Served) -> str:
    until = f"until {instant(span.until)}" if span.until else "and on"
    lines = [f"{instant(span.since)} {until} (UTC): revision {span.revision} of {endpoint} in {span.environment}"]
    for arm in span.arms:
        share = f"{arm.share:.0%} of the rows" if arm.share else "in shadow, its answers unseen"
        lines.append(f"  {arm.model} {arm.version}, {share}, bundle {arm.bundle}")
    lines.append(f"  deployed by {span.actor}: {span.reason}")
    if span.stopped_at:
        lines.append(f"  stopped at {instant(span.stopped_at)}")
    if span.broken:
        lines.append(f"  BREAK-GLASS by {span.broken.actor}: {span.broken.reason}")
    if span.verdict:
        word = "passed" if span.verdict.passed else "refused"
        lines.append(f"  verdict {span.verdict.id} {word} on {instant(span.verdict.created_at)}:")
        lines += [f"    {one.result}: {one.check}: {one.found}" for one in span.verdict.outcomes]
    for given in span.approvals:
        comment = f": {given.comment}" if given.comment else ""
        lines.append(f"  {given.decision} as {given.name} by {given.actor} on {instant(given.created_at)}{comment}")
    for policy in span.standing:
        lines.append(f"  standing approval as {policy.role} by {policy.actor} until {instant(policy.until)}")
    lines += [f"  data {node}" for node in span.data]
    if span.code.commit:
        lines.append(f"  code commit {span.code.commit}{' (with changes)' if span.code.dirty else ''}")
    if span.code.snapshot:
        lines.append(f"  code snapshot {span.code.snapshot}")
    if span.run_id:
        lines.append(f"  run {span.run_id}")
    if span.note:
        lines.append(f"  {span.note}")
    return "\n".join(lines)
