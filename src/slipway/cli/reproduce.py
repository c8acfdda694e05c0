"""`slipway reproduce`: a run, run again from what is stored, and compared."""

import click

from slipway.cli.door import Door, opened
from slipway.cli.exits import REFUSED
from slipway.cli.layout import facts
from slipway.operations.runs import Reproduced
from slipway.records.reproductions import Reproduction

__all__ = ["reproduce"]


@click.command()
@click.argument("target", metavar="RUN|MODEL[:VERSION]")
@opened
def reproduce(door: Door, target: str) -> None:
    """Run a RUN, or the run that made a MODEL, again from what is stored and compare every result.

    It runs in a process of its own from the project snapshot, with the parameters and the table versions of then and
    without stored results. The exit code is 3 where a result differs, or where it cannot be run again.
    """
    answer: Reproduced = door.call("runs.reproduce", target=target)
    while answer.reproduction is None:
        answer = door.call("runs.reproduce", target=target)
    door.show(answer, lambda shown: _text(shown.reproduction))
    if answer.reproduction.verdict in ("differs", "cannot"):
        raise click.exceptions.Exit(REFUSED)


def _text(found: Reproduction) -> str:
    rows = [
        ("pipeline", found.name),
        ("run", found.parent_id),
        ("repeated by", found.run_id),
        ("took", f"{found.seconds:.1f} s" if found.run_id else ""),
        ("bundle", found.bundle),
    ]
    return f"{found.verdict}: {found.sentence}\n\n{facts(rows)}"
