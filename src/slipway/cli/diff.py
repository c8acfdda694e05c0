"""`slipway diff`: which parts of a model version moved."""

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import facts
from slipway.operations.models import VersionsDiff

__all__ = ["diff"]


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="[B]", default="", required=False)
@opened
def diff(door: Door, first: str, second: str) -> None:
    """Say in words what moved from version A to version B; of A alone, since the version before it.

    A and B are MODEL, MODEL:3, MODEL:champion, or endpoint:NAME for the version that serves there.
    """
    asked = {"target": second, "before": first} if second else {"target": first}
    door.show(door.call("models.diff", **asked), _text)


def _text(answer: VersionsDiff) -> str:
    old, new = answer.before, answer.after
    head = f"{old.name} {old.number} -> {new.name} {new.number}"
    if not answer.moved:
        digest = f"bundle {new.bundle[:12]}" if old.bundle == new.bundle else "only the run that made it is another"
        return f"{head}: nothing moved ({digest})."
    lines = facts([(one.part, "; ".join(one.changes)) for one in answer.moved])
    same = f"\n\nThe same: {', '.join(answer.same)}." if answer.same else ""
    return f"{head}\n\n{lines}{same}"
