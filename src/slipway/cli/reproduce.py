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
@click.option("--here", is_flag=True, help="Run it in what is installed, whatever its lock names.")
@opened
def reproduce(door: Door, target: str, here: bool) -> None:
    """Run a RUN, or the run that made a MODEL, again from what is stored and compare every result.

    It runs in a process of its own from the project snapshot, with the parameters and the table versions of then and
    without stored results; where what is installed is not what its lock names, in an environment that is built from the
    lock. The exit code is 3 where a result differs, or where it cannot be run again.
    """
    asked = {"target": target, "environment": "here" if here else "lock"}
    answer: Reproduced = door.call("runs.reproduce", **asked)
    while answer.reproduction is None:
        answer = door.call("runs.reproduce", **asked)
    door.show(answer, lambda shown: _text(shown.reproduction))
    if answer.reproduction.verdict in ("differs", "cannot"):
        raise click.exceptions.Exit(REFUSED)


def _text(found: Reproduction) -> str:
    rows = [
        ("pipeline", found.name),
        ("run", found.parent_id),
        ("repeated by", found.run_id),
        ("because of", found.cause),
        (
            "environment",
            {"the lock": "built from the run's lock", "here": "what is installed here", "": ""}[found.environment],
        ),
        ("took", f"{found.seconds:.1f} s" if found.run_id else ""),
        ("bundle", found.bundle),
    ]
    return f"{found.verdict}: {found.sentence}\n\n{facts(rows)}"
