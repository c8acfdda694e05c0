"""`slipway share`: what projects offer to each other, and who uses it."""

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, facts, instant
from slipway.errors import NotFound, near
from slipway.operations.sharing import Shared, SharedDetail, Use
from slipway.records.sharing import EVERYBODY, Publication

__all__ = ["share"]


@click.group()
def share() -> None:
    """Share features, tables and steps with other projects of the store, under numbers that never change."""


@share.command("list")
@click.argument("words", metavar="[WORD]...", nargs=-1)
@opened
def list_(door: Door, words: tuple[str, ...]) -> None:
    """List what is shared with this project; with WORDs, what has them all in name, description, owner, tags, columns."""
    door.show(door.call("sharing.list", text=" ".join(words)), _list_text)


@share.command()
@click.argument("reference")
@opened
def show(door: Door, reference: str) -> None:
    """Show one thing that is shared and who uses it: flights/weather_at_origin@3."""
    door.show(door.call("sharing.get", reference=reference), _show_text)


@share.command()
@click.argument("name")
@click.option(
    "--to",
    "readers",
    multiple=True,
    metavar="PROJECT",
    help="Who may use it, all its numbers; if missing, who could before, or all.",
)
@click.option("--breaking", is_flag=True, help="Publish although it takes away what others use.")
@opened
def publish(door: Door, name: str, readers: tuple[str, ...], breaking: bool) -> None:
    """Publish NAME, which the project's module declares: a table, feature, windows, feature view or step.

    It gets the next number; what is published already keeps its own, what was withdrawn gets a new one.
    """
    from slipway.flows.share import SHAREABLE
    from slipway.flows.share import publish as publish_declared

    found = {
        known: value
        for variable, value in vars(door.project.module()).items()
        if isinstance(value, SHAREABLE)
        for known in (getattr(value, "name", variable), variable)
    }
    if name not in found:
        raise NotFound(
            f"The project declares nothing called {name!r} that can be shared.",
            fix=near(name, found, what="things that can be shared"),
        )
    made = publish_declared(door.workspace, name, found[name], readers=readers or None, accept_breaking=breaking)
    door.show(made, lambda one: f'Published: sw.shared("{one.id}"), for {_readers(one)}.')


@share.command()
@click.argument("name")
@click.argument("projects", metavar="PROJECT...", nargs=-1, required=True)
@opened
def grant(door: Door, name: str, projects: tuple[str, ...]) -> None:
    """Let these PROJECTs, and no others, use NAME; "*" is all of the store."""
    answer = door.call("sharing.grant", name=name, readers=projects)
    door.show(answer, lambda said: f"{name} is for {_readers(said.publications[0])} now.")


@share.command()
@click.argument("name")
@click.argument("number", type=int)
@click.option("--reason", default="", help="Why, and what to use instead.")
@opened
def withdraw(door: Door, name: str, number: int, reason: str) -> None:
    """Take NUMBER of NAME back: who uses it goes on, nobody begins."""
    door.show(door.call("sharing.withdraw", name=name, number=number, reason=reason), _show_text)


def _readers(publication: Publication) -> str:
    return "all projects" if EVERYBODY in publication.readers else ", ".join(publication.readers) or "nobody else"


def _list_text(answer: Shared) -> str:
    rows = [
        (one.id, one.sort, one.about.owner, _readers(one), one.state, one.about.description)
        for one in answer.publications
    ]
    return columns(
        ("reference", "what", "owner", "for", "state", "description"),
        rows,
        empty="Nothing is shared yet. Share something: slipway share publish NAME",
    )


def _show_text(answer: SharedDetail) -> str:
    one = answer.publication
    told = [
        ("reference", one.id),
        ("what", one.sort),
        ("owner", one.about.owner or "nobody named"),
        ("description", one.about.description),
        ("for", _readers(one)),
        ("state", one.state + (f": {one.reason}" if one.reason else "")),
        ("published", instant(one.created_at)),
        ("rows until", instant(answer.data_until)),
        ("definition", one.definition[:12]),
        ("numbers", ", ".join(map(str, answer.numbers))),
    ]
    fields = [(field.name, field.type) for field in one.fields]
    uses = [(use.project, use.sort, _named(use), "yes" if use.is_serving else "") for use in answer.uses]
    return "\n\n".join(
        [
            facts(told),
            columns(("value", "type"), fields, empty="It has no columns."),
            columns(("project", "what", "name", "serves now"), uses, empty="Nobody uses it yet."),
        ]
    )


def _named(use: Use) -> str:
    return f"{use.name} {use.number}" if use.number else f"{use.name} ({use.id[:12]})"
