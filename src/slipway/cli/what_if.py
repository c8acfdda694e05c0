"""`slipway what-if`: change an input of a row, and see what a model answers."""

from collections.abc import Iterable
from typing import Any

import click
import msgspec

from slipway.cli.door import Door, opened
from slipway.cli.layout import figure
from slipway.cli.predict import explanation_text
from slipway.errors import InvalidInput
from slipway.operations.models import AskedRow, WhatIfAnswer

__all__ = ["what_if"]

_TOLD = 5


@click.command("what-if")
@click.argument("name", metavar="MODEL")
@click.option("--version", default="latest", show_default=True, help="A number, an alias, or latest.")
@click.option("--row", default="", metavar="KEY", help="A row that it was evaluated on: its key, or #3 for the third.")
@click.option("--given", default="", metavar="JSON", help="Instead of it, a row as a JSON object.")
@click.option(
    "--set", "changes", multiple=True, metavar="INPUT=VALUE", help="An input that is to be another; repeatable."
)
@click.option("--keep", multiple=True, metavar="INPUT", help="An input that nothing can change; repeatable.")
@opened
def what_if(
    door: Door, name: str, version: str, row: str, given: str, changes: tuple[str, ...], keep: tuple[str, ...]
) -> None:
    """Ask MODEL about a row as it is and with inputs changed, and for the smallest change that turns its decision.

    It tells how the model behaves, not what causes what.
    """
    changed = msgspec.json.encode(_changed(changes)).decode() if changes else ""
    answer = door.call(
        "models.what_if", name=name, version=version, row=row, given=given, changed=changed, keep=",".join(keep)
    )
    door.show(answer, _text)


def _changed(changes: Iterable[str]) -> dict[str, str]:
    found = {}
    for one in changes:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise InvalidInput(
                f"--set {one!r} names no value.", fix="Say which input and what it is to be: --set months=3"
            )
        found[name] = value
    return found


def _text(answer: WhatIfAnswer) -> str:
    parts = [f"{answer.model} {answer.version}, {answer.row}: {_said(answer.before)}", _why(answer.before)]
    if answer.after is not None:
        parts[0] += "."
        parts += [f"With {_named(_differing(answer))}: {_said(answer.after)}.", _why(answer.after)]
    if answer.turned is not None:
        changes = _named(answer.turned.changes)
        parts.append(
            f"The smallest change found that turns the decision: {changes} (score {figure(answer.turned.score)})."
        )
    elif answer.threshold is not None:
        parts.append("No change of one or two inputs that was tried turns the decision.")
    return "\n\n".join([*parts, answer.behaviour])


def _differing(answer: WhatIfAnswer) -> dict[str, Any]:
    assert answer.after is not None
    return {name: value for name, value in answer.after.values.items() if value != answer.before.values[name]}


def _said(asked: AskedRow) -> str:
    decision = "" if asked.decision is None else f", {'yes' if asked.decision else 'no'}"
    return f"score {figure(asked.score)}{decision}"


def _why(asked: AskedRow) -> str:
    found = asked.explanation
    if found is None:
        return asked.unexplained
    told, left = found.contributions[:_TOLD], found.contributions[_TOLD:]
    rest = found.rest + sum(one.contribution for one in left)
    return explanation_text(msgspec.structs.replace(found, contributions=told, rest=rest))


def _named(changes: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {_shown(value)}" for name, value in changes.items()) or "nothing changed"


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:.15g}" if isinstance(value, float) else str(value)  # to be typed again: no digit is left out
