"""`slipway score`: let a batch endpoint score its table now."""

from __future__ import annotations

import time

import click

from slipway.cli.door import Door, opened
from slipway.cli.exits import REFUSED
from slipway.cli.layout import count
from slipway.cli.scorings import scoring_line
from slipway.operations.scorings import ScoringDetail
from slipway.records.scorings import Scoring

__all__ = ["score"]

_LOOK_EVERY_S = 0.2
_GONE_LOOKS = 10


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.option(
    "--table-version", default="", help="The version of its table that is scored; the current one when missing."
)
@click.option("--all", "every", is_flag=True, help="Score rows again that have a score.")
@click.option("--resume", is_flag=True, help="Go on with the last scoring, which failed or was killed.")
@click.option("--detach", is_flag=True, help="Do not wait until it has ended.")
@opened
def score(door: Door, name: str, table_version: str, every: bool, resume: bool, detach: bool) -> None:
    """Score the rows of the batch ENDPOINT's table that have no score yet.

    It runs in a process of its own, which goes on when this command is ended. Parts that are done are kept: what is killed
    is gone on with by --resume, or by the next start.
    """
    begun = door.call("scorings.start", name=name, table_version=table_version, every=every, resume=resume)
    found = begun if detach or begun.state != "running" else _awaited(door, begun)
    door.show(found, scoring_line)
    if found.state == "failed":
        raise click.exceptions.Exit(REFUSED)


def _awaited(door: Door, begun: Scoring) -> Scoring:
    """The scoring when it has ended, or when its process is gone."""
    said, gone = "", 0
    while True:
        detail: ScoringDetail = door.call("scorings.get", name=begun.name, number=begun.number)
        if detail.scoring.state != "running":
            return detail.scoring
        gone = 0 if detail.is_alive else gone + 1
        if gone > _GONE_LOOKS:
            told = detail.problem or f"Its process was killed. Go on with: slipway score {begun.name} --resume"
            click.echo(told, err=True)
            raise click.exceptions.Exit(REFUSED)
        line = f"{detail.parts_done:,} of {count(detail.scoring.parts, 'part')}" if detail.scoring.parts else ""
        if line != said and not door.as_json:
            click.echo(line, err=True)
            said = line
        time.sleep(_LOOK_EVERY_S)
