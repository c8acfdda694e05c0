"""`slipway catalog`: what there is, who uses it, and what each value comes from."""

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, facts, instant
from slipway.operations.catalog import Found, Trace, TracedModel

__all__ = ["catalog"]


@click.group()
def catalog() -> None:
    """Search tables, features and what is shared; trace the way from a source column to predictions."""


@catalog.command()
@click.argument("words", metavar="[WORD]...", nargs=-1)
@opened
def search(door: Door, words: tuple[str, ...]) -> None:
    """Search by WORDs in name, owner, description, tags and columns; all there is without one."""
    door.show(door.call("catalog.search", text=" ".join(words)), _found_text)


@catalog.command()
@click.argument("what")
@opened
def lineage(door: Door, what: str) -> None:
    """Trace WHAT: flights.dep_delay, a table, a feature, a model, an endpoint, or a prediction's id."""
    door.show(door.call("catalog.lineage", what=what), _trace_text)


def _found_text(answer: Found) -> str:
    rows = [
        (
            hit.sort,
            hit.name,
            hit.project,
            hit.owner,
            ", ".join(hit.models) or "no model",
            ", ".join(hit.endpoints),
            hit.description,
        )
        for hit in answer.hits
    ]
    head = ("what", "name", "project", "owner", "used by", "serves at", "description")
    return columns(head, rows, empty="Nothing was found. Fewer words find more.")


def _trace_text(answer: Trace) -> str:
    features = [(one.name, one.project, one.type, one.sort, ", ".join(one.columns)) for one in answer.features]
    models = [
        (_model(one), ", ".join(one.endpoints) or "nowhere", ", ".join(one.beside), ", ".join(one.data))
        for one in answer.models
    ]
    parts = [
        facts([("lineage of", answer.what), ("source columns", ", ".join(answer.columns) or "none")]),
        columns(("feature", "project", "type", "made by", "of"), features, empty="No feature of a model reads it."),
        columns(("model", "serves at", "reads beside features", "trained on"), models, empty="No model stands on it."),
    ]
    if answer.prediction is not None:
        told = answer.prediction
        rows = [
            ("endpoint", f"{told.endpoint}, revision {told.revision}"),
            ("decided at", instant(told.at)),
            ("score", str(told.score)),
            ("decision", "" if told.decision is None else str(told.decision)),
            *((f"  {name}", str(value)) for name, value in told.features.items()),
        ]
        parts.insert(1, facts(rows))
    return "\n\n".join(parts)


def _model(one: TracedModel) -> str:
    return f"{one.project}/{one.name} {one.number}"
