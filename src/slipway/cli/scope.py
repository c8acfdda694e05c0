"""`slipway scope`: what a model is wanted for, what it must take, and how far that is shown."""

from __future__ import annotations

from pathlib import Path

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, facts, instant
from slipway.operations.scopes import CaseStudy, ScopeDetail, Scopes
from slipway.records.scopes import Requirement, ScopeTerms

__all__ = ["scope"]


@click.group()
def scope() -> None:
    """Write down what a model is wanted for and what it must take, and see how far that is shown.

    Usable before there is any model: begin with `slipway scope new NAME`.
    """


@scope.command("new")
@click.argument("name")
@click.option("--file", "path", type=click.Path(path_type=Path), help="Where; scopes/NAME.toml when missing.")
@opened
def new(door: Door, name: str, path: Path | None) -> None:
    """Write a file with the questions of a scope. Answer them, then: slipway scope keep FILE."""
    from slipway.errors import Conflict
    from slipway.ids import check_name
    from slipway.schema.scope import TEMPLATE

    target = path or Path("scopes") / f"{check_name(name, 'scope')}.toml"
    if target.exists():
        raise Conflict(f"{target} is there already.", fix=f"Go on with it: slipway scope keep {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(TEMPLATE.format(name=check_name(name, "scope")))
    door.show({"file": str(target)}, lambda _: f"Answer its questions: {target}\nThen:  slipway scope keep {target}")


@scope.command()
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@opened
def keep(door: Door, path: Path) -> None:
    """Keep the scope that FILE says, so that it can be read, and measured, by all."""
    from slipway.schema.scope import of_toml

    door.show(door.call("scopes.keep", terms=of_toml(path.read_text(encoding="utf-8"))), _text)


@scope.command("list")
@opened
def list_(door: Door) -> None:
    """List all scopes, and how many of their needs are measured."""
    door.show(door.call("scopes.list"), _list_text)


@scope.command()
@click.argument("name")
@click.option("--toml", is_flag=True, help="As the file that says it.")
@opened
def show(door: Door, name: str, toml: bool) -> None:
    """Show the scope NAME: each need, whether it is met, and what to type next."""
    from slipway.schema.scope import to_toml

    door.show(
        door.call("scopes.get", name=name), (lambda found: to_toml(found.scope.terms).rstrip()) if toml else _text
    )


@scope.command()
@click.argument("name")
@click.option("--run", required=True, help="The run of the proof of concept: its id or the beginning of it.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file to write instead of the screen.")
@opened
def study(door: Door, name: str, run: str, out: Path | None) -> None:
    """Put on one page what a proof of concept showed, as Markdown: for whoever decides whether it goes on."""
    answer: CaseStudy = door.call("scopes.study", name=name, run=run)
    if out is not None:
        out.write_text(answer.markdown, encoding="utf-8")
    door.show(answer, lambda found: found.markdown.rstrip() if out is None else f"Written: {out}")


def _list_text(answer: Scopes) -> str:
    rows = [
        (
            one.scope.name,
            one.scope.terms.owner,
            one.scope.terms.mode,
            str(one.measured),
            str(one.missed),
            str(one.unmeasured),
            one.scope.terms.decision,
        )
        for one in answer.scopes
    ]
    head = ("scope", "owner", "mode", "measured", "missed", "not yet", "decision")
    return columns(head, rows, empty="Nobody wrote one yet. Begin: slipway scope new NAME")


def _text(answer: ScopeDetail) -> str:
    kept = answer.scope
    parts = [facts(_said(kept.terms)), _needs(answer.requirements)]
    todo = list(dict.fromkeys(one.next for one in answer.requirements if one.next))
    if todo:
        parts.append("Next:\n" + "\n".join(f"  {one}" for one in todo))
    if answer.studies:
        parts.append(f"Show it on one page:  slipway scope study {kept.name} --run {answer.studies[0][:12]}")
    changed = f"change {kept.number}, by {kept.actor}, {instant(kept.updated_at)}"
    return "\n\n".join([*parts, "\n".join([changed, *kept.changes])])


def _said(terms: ScopeTerms) -> list[tuple[str, str]]:
    return [
        ("scope", terms.name),
        ("decision", terms.decision),
        ("owner", terms.owner),
        ("KPI", f"{terms.kpi}, {terms.better} is better" if terms.kpi else ""),
        ("value", f"{terms.value:,.0f} {terms.currency} a year, as its owner says" if terms.value else ""),
        ("answers", "requests, live" if terms.mode == "live" else "a table, in batches"),
        ("endpoint", terms.serves),
        ("consumers", ", ".join(terms.consumers)),
        ("note", terms.note),
    ]


def _needs(found: tuple[Requirement, ...]) -> str:
    rows = [(one.need, one.asked, one.state, one.found) for one in found]
    return columns(("need", "asked", "state", "found"), rows, empty="")
