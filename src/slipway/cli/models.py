"""`slipway models`: versions in the registry."""

from collections.abc import Iterable

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, facts, figure, instant
from slipway.cli.searching import next_page, search_options
from slipway.operations.models import AliasMoved, FoundModels, ModelDetail, ModelHistory, Models
from slipway.records.gates import Outcome, Verdict
from slipway.records.models import ImportProof, MetricValue, ModelVersion

__all__ = ["import_text", "models", "verdict_text"]


@click.group()
def models() -> None:
    """List or search models, show one or its history, or point an alias at a version."""


@models.command("list")
@opened
def list_(door: Door) -> None:
    """List the registered versions, newest first."""
    door.show(door.call("models.list"), _list_text)


@models.command()
@search_options
@opened
def search(door: Door, **asked: str | int) -> None:
    """Search the registered versions by metrics, parameters, tags, aliases, run, dates and other attributes.

    For example "metrics.auc > 0.9 and alias = 'champion'". The language is in docs/find.md.
    """
    door.show(door.call("models.search", **asked), _found_text)


@models.command()
@click.argument("name", metavar="MODEL")
@click.option("--version", default="latest", show_default=True, help="A number, an alias, or latest.")
@opened
def show(door: Door, name: str, version: str) -> None:
    """Show one version: bundle, metrics, verdicts, approvals."""
    door.show(door.call("models.get", name=name, version=version), _show_text)


@models.command()
@click.argument("name", metavar="MODEL")
@click.argument("version")
@click.argument("alias")
@click.option("--reason", default="", help="Why; kept in the audit log.")
@opened
def alias(door: Door, name: str, version: str, alias: str, reason: str) -> None:
    """Point ALIAS, such as champion, at a VERSION of MODEL."""
    door.show(door.call("models.alias", name=name, version=version, alias=alias, reason=reason), _alias_text)


@models.command()
@click.argument("name", metavar="MODEL")
@click.option("--at", default="", metavar="TIME", help="Tell what stood at this moment, such as 2026-03-01T12:00Z.")
@click.option("--alias", default="", help="Only this alias, such as champion.")
@opened
def history(door: Door, name: str, at: str, alias: str) -> None:
    """Tell who moved which alias of MODEL when, why and on which evidence."""
    door.show(door.call("models.history", name=name, alias=alias, at=at), _history_text)


def _history_text(answer: ModelHistory) -> str:
    stood = [f"{one.alias}: version {one.number}, since {instant(one.since)}" for one in answer.standing]
    head = f"At {instant(answer.at)}:\n" + ("\n".join(f"  {line}" for line in stood) or "  No alias was set.")
    rows = [
        (
            instant(move.at),
            move.alias,
            str(move.before or "-"),
            str(move.number or "-"),
            str(move.actor),
            move.reason,
            ", ".join(move.evidence),
        )
        for move in answer.moves
    ]
    heads = ("when (UTC)", "alias", "from", "to", "by", "why", "evidence")
    return head + "\n\n" + columns(heads, rows, empty="No alias of it has ever been moved.")


def _found_text(answer: FoundModels) -> str:
    return _list_text(answer) + next_page(answer.token) if answer.models else "No version fits."


def _list_text(answer: Models | FoundModels) -> str:
    rows = []
    for row in answer.models:
        metrics = ", ".join(f"{name} {figure(value)}" for name, value in sorted(row.metrics.items()))
        version = row.version
        aliases = ", ".join(row.aliases)
        rows.append(
            (
                version.name,
                str(version.number),
                aliases,
                metrics,
                instant(version.created_at),
                version.bundle[:12] or "none",
            )
        )
    return columns(
        ("model", "version", "aliases", "metrics", "registered (UTC)", "bundle"),
        rows,
        empty="No model is registered yet. A pipeline that returns one registers it: slipway run PIPELINE",
    )


def _show_text(answer: ModelDetail) -> str:
    version = answer.version
    parts = [facts(_facts_of(answer))]
    if answer.bundle is not None:
        parts.append(_metrics([metric for metric in answer.bundle.metrics if not metric.slice]))
    else:
        parts.append(
            f"Version {version.number} has no signed bundle: a tracking client registered it. It cannot serve."
        )
    if answer.verdicts:
        parts.append(verdict_text(answer.verdicts[0]))
    for approval in answer.approvals:
        comment = f": {approval.comment}" if approval.comment else ""
        parts.append(
            f"{approval.decision} as {approval.name} by {approval.actor}, {instant(approval.created_at)}{comment}"
        )
    return "\n\n".join(part for part in parts if part)


def _facts_of(answer: ModelDetail) -> list[tuple[str, str]]:
    version, bundle = answer.version, answer.bundle
    first = [
        ("model", f"{version.name} {version.number}"),
        ("description", version.description),
        ("aliases", ", ".join(answer.aliases)),
        ("tags", "\n".join(f"{name} = {value}" for name, value in sorted(version.tags.items()))),
    ]
    registered = ("registered", f"{instant(version.created_at)} by {version.actor}")
    if bundle is None:
        stage = "" if version.stage == "None" else version.stage
        return [*first, ("source", version.source), ("stage", stage), registered, ("made by run", version.run_id)]
    return [
        *first,
        ("bundle", version.bundle),
        ("origin", f"SIMULATED: learned from {', '.join(bundle.simulated)}" if bundle.simulated else ""),
        ("format", f"{bundle.format} ({bundle.task})"),
        registered,
        ("made by run", version.run_id),
        ("trained until", instant(bundle.trained_until)),
        ("data", "\n".join(bundle.data)),
        ("packaging", bundle.parity),
        ("fast path", bundle.compiled),
        ("skew", bundle.skew),
        ("reproduced", _reproduced(answer)),
        *_imported(version.imported),
        ("takes", ", ".join(f"{field.name}: {field.type}" for field in bundle.signature.inputs)),
    ]


def import_text(version: ModelVersion) -> str:
    """What an import made, and what comes next."""
    return f"{facts([('model', f'{version.name} {version.number}'), *_imported(version.imported)])}\n\nNext: slipway deploy {version.name}"


def _imported(proofs: Iterable[ImportProof]) -> list[tuple[str, str]]:
    """What a version from elsewhere was proven by; rows that differ stand there by name."""
    told = []
    for proof in proofs:
        what = "compared" if proof.door == "fastapi" else "imported"
        told += [(what, f"by {proof.door} from {proof.source}"), ("proof", proof.sentence), ("asked", proof.asked)]
        for one in proof.first:
            now = f"refused: {one.why}" if one.after is None else repr(one.after)
            told.append(("differs", f"{one.row}: {one.before!r} before, {now} now"))
        told.append(("accepted", proof.accepted))
    return told


def _reproduced(answer: ModelDetail) -> str:
    if not answer.reproductions:
        return ""
    newest = answer.reproductions[0]
    return f"{newest.verdict}, {instant(newest.created_at)}: {newest.sentence}"


def _metrics(metrics: list[MetricValue]) -> str:
    rows = [(m.metric, figure(m.value), f"{figure(m.low)} to {figure(m.high)}", f"{m.n:,}", m.note) for m in metrics]
    return columns(("metric", "value", "interval", "rows", "note"), rows, empty="")


def verdict_text(verdict: Verdict) -> str:
    """A verdict with each check's evidence."""
    head = f"{'Passed' if verdict.passed else 'Refused'} for {verdict.environment}, {instant(verdict.created_at)}:"
    return "\n".join([head, *(_outcome_line(outcome) for outcome in verdict.outcomes)])


def _outcome_line(outcome: Outcome) -> str:
    told = f"  {outcome.result:<14}  {outcome.check}: {outcome.found}".rstrip(": ")
    helped = f" (Who can help: {outcome.helper}.)" if outcome.helper else ""
    return f"{told}\n{'':<18}Next: {outcome.fix}{helped}" if outcome.fix else told + helped


def _alias_text(answer: AliasMoved) -> str:
    before = f" (before: version {answer.before})" if answer.before else ""
    return f"{answer.alias} is version {answer.number} now{before}."
