"""`slipway migrate`: move a team's old models, a pilot first, by evidence."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from slipway.cli.door import Door, json_option, opened
from slipway.cli.layout import columns, count, instant, print_json
from slipway.errors import InvalidInput
from slipway.operations.migrations import Criterion, MigrationPlan, Moving, UserWay
from slipway.records.migrations import Comparison, OldModel

__all__ = ["migrate"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_WIDEST = 72


@click.group()
def migrate() -> None:
    """Move a team's old models: list them, pick a pilot, compare it with the old system, open it to chosen users, then all.

    Begin with `slipway migrate scan FOLDER --out models.csv`.
    """


@migrate.command()
@click.argument("place", metavar="FOLDER|MLFLOW")
@click.option("--out", type=_FILE, help="A CSV file to write.")
@json_option
def scan(place: str, out: Path | None, as_json: bool) -> None:
    """List the old models at PLACE: model files in a folder, or the registry of an MLflow folder, database or server.

    No file is opened. Fill in owner, url, users, requests_a_day, value and risk, then: slipway migrate plan FILE
    """
    from slipway.flows.migrate_scan import scan as found_at
    from slipway.schema.inventory import to_csv

    found = found_at(place)
    if out is not None:
        if out.exists():
            raise InvalidInput(f"{out} is there already.", fix="Give another --out: it may be filled in.")
        out.write_text(to_csv(found), encoding="utf-8")
    if as_json:
        print_json(found)
    else:
        told = f"{count(len(found), 'model')} in {out}. Fill in its columns, then: slipway migrate plan {out}"
        click.echo(to_csv(found).rstrip() if out is None else told)


@migrate.command()
@click.argument("inventory", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--pilot", "pilots", multiple=True, metavar="NAME", help="This model first; may be repeated.")
@opened
def plan(door: Door, inventory: Path, pilots: tuple[str, ...]) -> None:
    """Plan the migration of the models in INVENTORY, a CSV or TOML file. Say it again when the file changed."""
    from slipway.schema.inventory import not_utf8, of_csv, of_toml

    read = of_toml if inventory.suffix == ".toml" else of_csv
    try:
        text = inventory.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise not_utf8(str(inventory)) from problem
    models: tuple[OldModel, ...] = read(text)
    door.show(door.call("migrations.plan", models=models, pilots=pilots), _text)


@migrate.command()
@click.argument("model", required=False)
@click.option("--markdown", "out", type=_FILE, help="Write the plan as a Markdown file.")
@opened
def status(door: Door, model: str | None, out: Path | None) -> None:
    """Say how far all models have moved, or every criterion of MODEL, and what to type next."""
    found: MigrationPlan = door.call("migrations.get")
    if out is not None:
        out.write_text(found.markdown, encoding="utf-8")
    if model is None:
        door.show(found, _text)
        return
    door.show(_one(found, model), _model_text)


@migrate.command()
@click.argument("model")
@click.argument("criterion")
@click.option("--owner", default="", help="Who brings it.")
@click.option("--due", type=click.DateTime(["%Y-%m-%d"]), help="Until when: 2026-03-31.")
@click.option("--close", default="", metavar="WHY", help="It counts without a record; the reason is shown for good.")
@opened
def gap(door: Door, model: str, criterion: str, owner: str, due: datetime | None, close: str) -> None:
    """Say who brings what MODEL lacks (CRITERION, as `status` names it) and until when, or why it is not needed."""
    until: date | None = due.date() if due else None
    found = door.call("migrations.gap", model=model, criterion=criterion, owner=owner, due=until, close=close)
    door.show(_one(found, model), _model_text)


@migrate.command()
@click.argument("model")
@click.option("--requests", required=True, type=_FILE, metavar="ROWS", help="CSV, Parquet or JSON lines.")
@click.option("--url", default="", help="Where the old system answers POST; what the endpoint declares when missing.")
@click.option(
    "--as", "protocol", type=click.Choice(["json", "mlflow", "v2"]), default="json", show_default=True,
    help="One JSON object a row, MLflow's /invocations, or the Open Inference Protocol V2.",
)  # fmt: skip
@click.option("--score", default="", help="Where the score stands in its answer: result.probability")
@click.option("--field", "fields", multiple=True, metavar="THEIRS=OURS", help="Its name of a field; may be repeated.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Sent besides; secrets as ${VARIABLE}.")
@click.option("--tolerance", default=1e-6, show_default=True, help="Scores that are no further apart agree.")
@click.option("--timeout", default="2s", show_default=True, help="How long the old system may take for a row.")
@click.option(
    "--rows",
    "most",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="How many of the requests are sent at most.",
)
@opened
def compare(door: Door, model: str, requests: Path, most: int, **asked: Any) -> None:
    """Send the same requests to MODEL's endpoint here and to the old system, and keep what came of it as evidence.

    The exit code is 3 where a row differs, or the old system did not answer one.
    """
    from slipway.flows.migrate_compare import compare as compare_both
    from slipway.flows.migrate_compare import read_requests
    from slipway.hosts.identity import shown_token

    spec = _spec(**asked)
    rows = read_requests(requests)[:most]
    workspace = door.workspace
    found = compare_both(workspace, model, rows, spec, token=shown_token(workspace.environment) or "")
    door.show(found, _comparison_text)
    if found.agreeing < found.rows:
        raise click.exceptions.Exit(3)


def _spec(
    url: str,
    protocol: str,
    score: str,
    fields: tuple[str, ...],
    headers: tuple[str, ...],
    tolerance: float,
    timeout: str,
) -> Any:
    """What the options say of the old system; None where they do not say where it is."""
    from slipway.rollout.old_system import OldSystem

    if not url:
        return None
    usual = {"json": "score", "mlflow": "predictions.*", "v2": "outputs.0.data.0"}
    return OldSystem(
        url=url,
        score=score or usual[protocol],
        fields=dict(_pair(one, "field") for one in fields),
        rows="dataframe_records" if protocol == "mlflow" else None,
        headers=dict(_pair(one, "header") for one in headers),
        timeout=timeout,
        tolerance=tolerance,
        protocol="v2" if protocol == "v2" else "json",
    ).spec()


def _pair(text: str, what: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidInput(f"--{what} {text!r} has no '='.", fix=f"Write it as --{what} NAME=VALUE.")
    return name, value


@migrate.command()
@click.argument("model")
@click.option("--users", default="", metavar="ADA,GRACE", help="Chosen users: callers, or keys of requests.")
@click.option("--share", default=0.0, help="A share of the other users, from 0 to below 1: always the same ones.")
@click.option("--all", "to_all", is_flag=True, help="All users, after chosen ones were served.")
@click.option("--nobody", is_flag=True, help="The way back: the old system serves all. Needs --why.")
@click.option("--why", default="", help="Why.")
@opened
def activate(door: Door, model: str, users: str, share: float, to_all: bool, nobody: bool, why: str) -> None:
    """Open MODEL to chosen users, then to all; or go back to the old system."""
    if to_all + nobody + bool(users or share) != 1:
        raise InvalidInput(
            "Nothing, or more than one thing, is said of who is served.",
            fix="Give --users or --share, --all, or --nobody.",
        )
    named = tuple(one.strip() for one in users.split(",") if one.strip())
    to = "all" if to_all else "nobody" if nobody else "chosen"
    found = door.call("migrations.activate", model=model, to=to, users=named, share=share, why=why)
    door.show(_one(found, model), _model_text)


@migrate.command()
@click.argument("model")
@click.argument("user")
@opened
def way(door: Door, model: str, user: str) -> None:
    """Say where USER's requests for MODEL belong now: to the endpoint here, or to the old system."""
    door.show(door.call("migrations.way", model=model, user=user), _way_text)


def _one(found: MigrationPlan, name: str) -> Moving:
    from slipway.errors import NotFound, near

    for one in found.models:
        if name in (one.old.name, one.old.model):
            return one
    raise NotFound(
        f"The plan has no model {name!r}.", fix=near(name, [one.old.name for one in found.models], what="models")
    )


def _text(found: MigrationPlan) -> str:
    if not found.number:
        return found.sentence
    parts = [found.sentence]
    for one in found.pilots:
        how = "chosen by a person" if one.is_chosen else f"{one.score} of 100 points"
        parts.append(f"Pilot: {one.name}, {how}\n" + "\n".join(f"  {why}" for why in one.why.split("; ")))
    rows = [
        (
            "pilot" if not one.wave else f"wave {one.wave}",
            one.old.name,
            one.old.kind,
            one.old.risk,
            one.state,
            str(len(one.gaps)) if one.state not in ("waits", "moved") else "",
            one.gaps[0].owner if one.gaps and one.state != "waits" else one.old.owner,
        )
        for one in found.models
    ]
    parts.append(columns(("when", "model", "kind", "risk", "state", "gaps", "who"), rows, empty=""))
    first = next((one for one in found.models if one.state not in ("waits", "moved")), None)
    if first is not None and first.gaps:
        parts.append(f"Next, {first.old.name}: {first.gaps[0].name}\n  {first.gaps[0].next}")
    return "\n\n".join(parts)


def _model_text(one: Moving) -> str:
    parts = [f"{one.old.name}: {one.state}"]
    for phase in one.phases:
        rows = [
            (each.name, each.side, each.state, _cut(each.found), each.owner if each.due else "", _due(each))
            for each in phase.criteria
        ]
        head = ("criterion", "", "", "found", "owner", "due")
        parts.append(f"{phase.name}: {phase.state}\n{columns(head, rows, empty='')}")
    if one.gaps:
        parts.append("Next:\n" + "\n".join(f"  {each.name}: {each.next}" for each in one.gaps))
    return "\n\n".join(parts)


def _due(one: Criterion) -> str:
    if one.due is None:
        return instant(one.at)
    return f"{one.due}, late" if one.is_late else str(one.due)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _comparison_text(found: Comparison) -> str:
    rows = [(str(one.row), f"{one.ours:.9g}", f"{one.theirs:.9g}") for one in found.mismatches]
    times = [
        (where, f"{taken[0]:.1f} ms", f"{taken[1]:.1f} ms")
        for where, taken in (("here", found.ours_ms), ("old system", found.theirs_ms))
        if taken
    ]
    parts = [found.sentence, columns(("time of a row", "median", "95 %"), times, empty="")]
    if rows:
        parts.append(columns(("request", "here", "old system"), rows, empty=""))
    return "\n\n".join(part for part in parts if part)


def _way_text(found: UserWay) -> str:
    return f"{found.to}{f': {found.url}' if found.url else ''}"
