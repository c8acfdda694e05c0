"""`slipway floor`: what each environment asks of every model, whatever its project declares."""

import tomllib
from pathlib import Path
from typing import Any

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, facts, instant
from slipway.errors import InvalidInput, near
from slipway.hosts.settings import Settings
from slipway.operations.floors import BrokenGlass, Floors, FloorSet, SetFloor
from slipway.records.gates import Floor

__all__ = ["floor"]

_KEYS = tuple(name for name in SetFloor.__struct_fields__ if name not in ("environment", "reason"))


@click.group()
def floor() -> None:
    """See or set what an environment asks of every model; a project can ask for more, never for less."""


@floor.command()
@click.option("--history", is_flag=True, help="Also what was asked before.")
@opened
def show(door: Door, history: bool) -> None:
    """Show the floors."""
    door.show(door.call("floors.list"), lambda answer: _floors_text(answer, history))


@floor.command("set")
@click.argument("which", metavar="ENVIRONMENT")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--reason", required=True, help="Why; every project has to keep it.")
@opened
def set_(door: Door, which: str, file: Path, reason: str) -> None:
    r"""Set the floor of ENVIRONMENT to what the TOML FILE says.

    \b
    checks = ["sw.metric('auc') >= 0.7", "sw.no_skew()", "sw.approval('accountable', count=2)"]
    needs_gate = true
    formats = ["lightgbm", "skops", "onnx"]
    """
    _check_that_it_holds(door, which, file)
    door.show(door.call("floors.set", environment=which, reason=reason, **_read(file)), _set_text)


@floor.command()
@opened
def broken(door: Door) -> None:
    """Show what was let through against its gate (`slipway deploy --break-glass`)."""
    door.show(door.call("floors.broken"), _broken_text)


def _check_that_it_holds(door: Door, which: str, file: Path) -> None:
    """Refuse a floor that is kept where none of the environments that have it would ever look."""
    from slipway.gates.floors import floor_name

    if door.checkout is None:
        return
    settings = door.checkout.settings
    present = door.workspace.environment
    meant = [name for name in sorted({"dev", present, *settings.environments}) if floor_name(name) == which]
    if not meant or any(_place(settings, name) == _place(settings, present) for name in meant):
        return
    raise InvalidInput(
        f"A floor of {which} in the store of {present} would hold nowhere: {' and '.join(meant)} "
        f"{'keeps its' if len(meant) == 1 else 'keep their'} ledger elsewhere.",
        why="A floor counts in the store in which it was set.",
        fix=f"slipway floor set {which} {file} --env {meant[0]} --reason ...",
        field="environment",
    )


def _place(settings: Settings, environment: str) -> tuple[str, str]:
    one = settings.environment(environment)
    return (one.server, "") if one.server else ("", one.ledger or one.store)


def _read(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise InvalidInput(f"{file} is no TOML file: {problem}.", fix="Mend it there.") from problem
    for key in values:
        if key not in _KEYS:
            raise InvalidInput(f"{file}: unknown key {key!r}.", fix=near(key, _KEYS, what="keys"))
    return values


def _floors_text(answer: Floors, has_history: bool) -> str:
    newest = {one.name: one for one in reversed(answer.floors)}
    parts = [_floor_text(newest[name]) for name in ("dev", "test", "prod") if name in newest]
    unset = [name for name in ("dev", "test", "prod") if name not in newest]
    if unset:
        asks = "signature, parity, that it loads" + (", and a declared gate in prod" if "prod" in unset else "")
        parts.append(f"Nothing was set for {', '.join(unset)}: {asks}.")
    if has_history:
        rows = [
            (one.name, str(one.number), instant(one.created_at), str(one.actor), one.reason) for one in answer.floors
        ]
        parts.append(columns(("floor", "number", "set (UTC)", "by", "why"), rows, empty="No floor was ever set."))
    return "\n\n".join(parts)


def _floor_text(one: Floor) -> str:
    pairs = [
        (one.name, f"set {instant(one.created_at)} UTC by {one.actor}: {one.reason}"),
        ("always", "signature, parity, that it loads"),
        ("checks", "\n".join(one.written)),
        ("own gate", "must be declared" if one.needs_gate else ""),
        ("formats", ", ".join(one.formats)),
        ("targets", ", ".join(one.targets)),
        ("templates", ", ".join(one.templates)),
    ]
    return facts(pairs)


def _set_text(answer: FloorSet) -> str:
    return _floor_text(answer.floor)


def _broken_text(answer: BrokenGlass) -> str:
    rows = [
        (instant(one.created_at), one.name, f"{one.model} {one.version}", one.environment, str(one.actor), one.reason)
        for one in answer.uses
    ]
    head = ("when (UTC)", "endpoint", "version", "environment", "who", "why")
    return columns(head, rows, empty="No glass was broken.")
