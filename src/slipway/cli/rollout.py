"""`slipway rollout` and `slipway retrain`: a challenger's way into production, and what sends one on it."""

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, facts, instant
from slipway.operations.rollouts import RolloutDetail, Started
from slipway.records.rollouts import Rollout

__all__ = ["retrain", "rollout", "rollout_line"]


@click.group()
def rollout() -> None:
    """See how a roll-out stands, or end it."""


@rollout.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--id", "id", default="", metavar="ID", help="An earlier roll-out; the newest when missing.")
@opened
def status(door: Door, name: str, id: str) -> None:
    """Show the newest roll-out of ENDPOINT: how far it is, and the evidence at every look."""
    door.show(door.call("rollouts.get", endpoint=name, id=id), _text)


@rollout.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--reason", default="", help="Why.")
@opened
def abort(door: Door, name: str, reason: str) -> None:
    """End the roll-out under way at ENDPOINT: the champion answers everything again."""
    door.show(door.call("rollouts.abort", endpoint=name, reason=reason), _text)


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--reason", required=True, help="Why; it is kept.")
@opened
def retrain(door: Door, name: str, reason: str) -> None:
    """Train the model of ENDPOINT again, from the snapshot that was deployed."""
    door.show(door.call("retrainings.start", endpoint=name, reason=reason), _started_text)


def rollout_line(found: Rollout) -> str:
    """A roll-out in one line, for a terminal."""
    told = f"{found.challenger.model} {found.challenger.number} for {found.champion.number}: {_stage(found)}"
    last = found.reason or (found.looks[-1].sentence if found.looks else "")
    return f"{told}. {last}" if last else f"{told}."


def _stage(found: Rollout) -> str:
    canary = found.spec.canary
    if found.state == "canary" and canary is not None and found.step < len(canary.steps):
        return f"canary at {canary.steps[found.step]} %, since {instant(found.since)}"
    if found.is_under_way:
        return f"{found.state}, since {instant(found.since)}"
    return f"{found.state} {instant(found.ended_at)}"


def _text(answer: RolloutDetail) -> str:
    found = answer.rollout
    looks = [(instant(look.at), look.phase, look.verdict, look.sentence) for look in found.looks]
    parts = [
        facts(
            [
                ("roll-out", found.id),
                ("endpoint", found.name),
                ("challenger", f"{found.challenger.model} {found.challenger.number}"),
                ("champion", f"{found.champion.model} {found.champion.number}"),
                ("stands", _stage(found)),
                ("began", instant(found.created_at)),
                ("why", found.reason),
            ]
        ),
        columns(("look (UTC)", "phase", "verdict", "evidence"), looks, empty="Nothing has been looked at yet."),
    ]
    return "\n\n".join(parts)


def _started_text(answer: Started) -> str:
    begun = answer.retraining
    return (
        f"Retraining of {begun.name} began with data until {begun.until:%Y-%m-%d} ({begun.trigger}).\n"
        f"Look:  slipway endpoints show {begun.name}"
    )
