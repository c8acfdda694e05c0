"""`slipway people check`, `raci`, `away`, `back`, `absences`; `slipway handover`: who answers for what."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import click

from slipway.cli.door import Door, opened
from slipway.cli.exits import REFUSED
from slipway.cli.layout import columns, facts, instant
from slipway.errors import InvalidInput
from slipway.operations.responsibility import (
    Absences,
    Gaps,
    HandoverAnswered,
    HandoverPage,
    Handovers,
    RaciTable,
)
from slipway.records.responsibility import LETTERS, Absence, Handover

__all__ = ["absences", "away", "back", "check", "handover", "raci"]


@click.command()
@opened
def check(door: Door) -> None:
    """Look for gaps in who answers for what; ends with 3 where there are any.

    In a project's folder it looks at slipway.toml as it is now, elsewhere at what the project was last run or deployed with.
    """
    answer = _gaps(door)
    door.show(answer, _gaps_text)
    if answer.gaps:
        raise click.exceptions.Exit(REFUSED)


@click.command()
@opened
def raci(door: Door) -> None:
    """Show who is responsible, accountable, consulted and informed in each stage."""
    answer = door.call("raci.get")
    note = ""
    if door.checkout is not None:
        from slipway.hosts.settings import raci_rows

        if raci_rows(door.checkout.settings) != (answer.raci.rows if answer.raci else ()):
            note = "\n\nslipway.toml says otherwise by now, which holds once the project is run or deployed."
    door.show(answer, lambda table: _raci_text(table) + note)


@click.command()
@click.argument("name", required=False, default="")
@click.option("--from", "since", metavar="DATE", help="The first day away (UTC); now if missing.")
@click.option("--until", metavar="DATE", required=True, help="The last day away (UTC).")
@click.option("--deputy", default="", metavar="NAME", help="Who receives and does what is theirs meanwhile.")
@opened
def away(door: Door, name: str, since: str | None, until: str, deputy: str) -> None:
    """Say that NAME (you, if missing) is away, and who stands in."""
    begins = None if since is None else _day(since, "--from")
    ends = _day(until, "--until") + timedelta(days=1)
    answer = door.call("absences.add", name=name, since=begins, until=ends, deputy=deputy)
    door.show(answer, lambda kept: _absence_line(kept.absence))


@click.command()
@click.argument("name", required=False, default="")
@opened
def back(door: Door, name: str) -> None:
    """Take back the absences of NAME (yours, if missing) that are not over."""
    door.show(door.call("absences.end", name=name), lambda answer: f"{answer.absences[0].name} is back.")


@click.command()
@opened
def absences(door: Door) -> None:
    """List who is away or is going to be, and who stands in."""
    door.show(door.call("absences.list"), _absences_text)


@click.command()
@click.argument("model", required=False)
@click.option("--version", default="latest", show_default=True, help="A number, an alias, or latest.")
@click.option("--to", default="", metavar="NAME", help="Offer it to its next owner.")
@click.option("--run-book", type=click.Path(path_type=Path, dir_okay=False), help="With --to: a Markdown file.")
@click.option("--accept", is_flag=True, help="Accept it, where it is offered to you.")
@click.option("--return", "returned", default="", metavar="WHY", help="Return it, where it is offered to you.")
@click.option("--comment", default="", help="With --to or --accept: what is to be known.")
@opened
def handover(
    door: Door,
    model: str | None,
    version: str,
    to: str,
    run_book: Path | None,
    accept: bool,
    returned: str,
    comment: str,
) -> None:
    """Hand MODEL over to its next owner, or show what is done and what is missing; without MODEL, list hand-overs."""
    if sum(map(bool, (to, accept, returned))) > 1 or (run_book and not to) or (comment and not (to or accept)):
        raise InvalidInput(
            "These options of a hand-over do not go together.",
            fix="Give --to NAME [--run-book FILE] [--comment TEXT], or --accept [--comment TEXT], or --return WHY.",
        )
    if model is None:
        if to or accept or returned:
            raise InvalidInput("It does not say which model.", fix="Name it: slipway handover MODEL", field="model")
        door.show(door.call("handovers.list"), _handovers_text)
    elif to:
        book = _read(run_book) if run_book else ""
        fields = {"model": model, "version": version, "to": to, "comment": comment, "run_book": book}
        door.show(door.call("handovers.offer", **fields), _answered_text)
    elif accept or returned:
        id = _offered(door, model)
        answer = door.call("handovers.answer", id=id, accept=accept, comment=returned or comment)
        door.show(answer, _answered_text)
    else:
        door.show(door.call("handovers.get", model=model, version=version), _page_text)


def _gaps(door: Door) -> Gaps:
    if door.checkout is None:
        found: Gaps = door.call("raci.check")
        return found
    from slipway.flows.people_check import check_rows
    from slipway.hosts.settings import raci_rows

    return check_rows(door.workspace, raci_rows(door.checkout.settings))


def _offered(door: Door, model: str) -> str:
    """The id of the newest hand-over of a model; whether it may be answered, and by whom, is the operation's matter."""
    found = door.call("handovers.list", model=model).handovers
    if not found:
        raise InvalidInput(
            f"{model!r} was never offered to anybody.",
            fix=f"Offer it: slipway handover {model} --to NAME",
            field="model",
        )
    id: str = found[0].id
    return id


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError as problem:
        raise InvalidInput(
            f"There is no file {path}.", fix="Write the run book first, and name it: --run-book FILE", field="run_book"
        ) from problem
    except UnicodeDecodeError as problem:
        raise InvalidInput(
            f"{path} is no text.", fix="A run book is a Markdown file in UTF-8.", field="run_book"
        ) from problem


def _day(text: str, option: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time(), tzinfo=UTC)
    except ValueError as problem:
        raise InvalidInput(
            f"{option} {text!r} is no day.", fix=f"For example {option} 2014-01-31.", field=option.strip("-")
        ) from problem


def _gaps_text(answer: Gaps) -> str:
    if not answer.gaps:
        return f"No gap: in all {answer.stages} stages one person is accountable, and who is named can act."
    return "\n".join(f"- {gap.sentence}\n  {gap.fix}" for gap in answer.gaps)


def _raci_text(answer: RaciTable) -> str:
    if answer.raci is None or not answer.raci.rows:
        return (
            "The store knows of nobody yet. Say it in slipway.toml, and run the project:\n\n"
            '[raci.default]\nresponsible = ["NAME"]\naccountable = "NAME"'
        )
    rows = [(row.stage, *(", ".join(getattr(row, letter)) for letter in LETTERS)) for row in answer.raci.rows]
    table = columns(("stage", *LETTERS), rows, empty="")
    gone = [f"{name} is away; {acting or 'nobody'} stands in." for name, acting in answer.away.items()]
    return "\n".join([table, *(["", *gone] if gone else [])])


def _absence_line(one: Absence) -> str:
    deputy = f"{one.deputy} stands in" if one.deputy else "nobody stands in: name somebody with --deputy"
    return f"{one.name} is away from {instant(one.since)} to {instant(one.until)} UTC; {deputy}."


def _absences_text(answer: Absences) -> str:
    return "\n".join(map(_absence_line, answer.absences)) or "Nobody is away."


def _answered_text(answer: HandoverAnswered) -> str:
    return "\n".join([_handover_line(answer.handover), *_missing(answer.handover.items), *answer.changes])


def _handover_line(one: Handover) -> str:
    said = f": {one.answer or one.comment}" if one.answer or one.comment else "."
    return f"{one.name} {one.number}, {one.actor} to {one.to}, {one.state}{said}"


def _missing(items: Any) -> list[str]:
    return [f"- missing: {item.what} ({item.found}). {item.fix}" for item in items if not item.is_done]


def _handovers_text(answer: Handovers) -> str:
    rows = [
        (one.name, str(one.number), one.actor.name, one.to, one.state, instant(one.created_at), one.id)
        for one in answer.handovers
    ]
    head = ("model", "version", "from", "to", "state", "offered (UTC)", "id")
    return columns(head, rows, empty="Nothing was handed over. Offer a model: slipway handover MODEL --to NAME")


def _page_text(answer: HandoverPage) -> str:
    pairs = [(item.what, f"{'done' if item.is_done else 'missing'}: {item.found}") for item in answer.items]
    newest = [_handover_line(answer.handovers[0])] if answer.handovers else ["It was never offered to anybody."]
    parts = [
        f"{answer.model} {answer.version}",
        facts(pairs),
        "\n".join(f"{item.what}: {item.fix}" for item in answer.items if item.fix),
        "\n".join([*newest, *answer.changes]),
        answer.run_book.strip(),
    ]
    return "\n\n".join(part for part in parts if part)
