"""`slipway rollout` and `slipway retrain`: a challenger's way into production, and what sends one on it."""

from collections.abc import Callable
from typing import Any

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, facts, instant
from slipway.operations.rollouts import RolloutDetail, Started
from slipway.records.rollouts import RevisionChange, Rollout, Share

__all__ = ["change_text", "retrain", "rollout", "rollout_line"]


@click.group()
def rollout() -> None:
    """See how a roll-out stands; pause it, let it go on, let it take a step, or end it."""


@rollout.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--id", "id", default="", metavar="ID", help="An earlier roll-out; the newest when missing.")
@opened
def status(door: Door, name: str, id: str) -> None:
    """Show the newest roll-out of ENDPOINT: how far it is, and the evidence at every look."""
    door.show(door.call("rollouts.get", endpoint=name, id=id), _text)


def _deciding(command: Callable[..., None]) -> Callable[..., None]:
    """The options of all commands by which somebody decides about a roll-out."""
    for option in (
        click.option("--expect", type=click.IntRange(0), help="Refuse unless this revision is the newest."),
        click.option("--dry-run", is_flag=True, help="Say what would change; change nothing."),
        click.option("--reason", default="", help="Why; it is kept."),
        click.argument("name", metavar="ENDPOINT"),
    ):
        command = option(command)
    return command


@rollout.command()
@_deciding
@opened
def pause(door: Door, name: str, **more: Any) -> None:
    """Let the traffic of the roll-out at ENDPOINT stay as it is. Looks go on, and what is worse is still stopped."""
    door.show(door.call("rollouts.pause", endpoint=name, **more), _text)


@rollout.command()
@click.option("--more", default="", metavar="TIME", help="How much more time it gets: 7d.")
@_deciding
@opened
def resume(door: Door, name: str, **more: Any) -> None:
    """Let the roll-out at ENDPOINT go on that was paused or has come to its deadline, or give it more time."""
    door.show(door.call("rollouts.resume", endpoint=name, **more), _text)


@rollout.command()
@_deciding
@opened
def advance(door: Door, name: str, **more: Any) -> None:
    """Let the roll-out at ENDPOINT take one step where its evidence is undecided; a pause ends with it. It needs a reason."""
    door.show(door.call("rollouts.advance", endpoint=name, **more), _text)


@rollout.command()
@_deciding
@opened
def abort(door: Door, name: str, **more: Any) -> None:
    """End the roll-out under way at ENDPOINT: the champion answers everything again."""
    door.show(door.call("rollouts.abort", endpoint=name, **more), _text)


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


def change_text(change: RevisionChange, *, is_dry: bool) -> str:
    """What a revision changes, or would, for a terminal."""
    told = [f"Revision {change.number} of {change.endpoint} {'would follow' if is_dry else 'follows'} {change.former}."]
    if not change.former:
        told = [f"Revision 1 of {change.endpoint} {'would be' if is_dry else 'is'} its first."]
    before = {(one.served.model, one.served.number): one for one in change.before}
    after = {(one.served.model, one.served.number): one for one in change.after}
    for key in dict.fromkeys([*before, *after]):
        was, then = _answers(before.get(key)), _answers(after.get(key))
        told.append(f"{key[0]} {key[1]}: {was}" + (", as before." if was == then else f", then {then}."))
    told += [f"{one[0].upper()}{one[1:]}{'' if one.endswith('.') else '.'}" for one in change.other]
    told += change.told
    if change.obstacle:
        told.append(f"It would be refused now: {change.obstacle}")
    if is_dry:
        told.append("Nothing was changed: this was a dry run.")
    return "\n".join(told)


def _answers(share: Share | None) -> str:
    if share is None:
        return "not deployed"
    return f"answers {100 * share.fraction:g} % of the rows" if share.fraction else "scores unseen"


def _stage(found: Rollout) -> str:
    paused = f", paused since {instant(found.paused_at)}" if found.is_under_way and found.paused_at else ""
    if found.is_under_way and found.percent:
        return f"canary at {found.percent} %, since {instant(found.since)}{paused}"
    if found.is_under_way:
        return f"{found.state}, since {instant(found.since)}{paused}"
    return f"{found.state} {instant(found.ended_at)}"


def _steps(found: Rollout) -> str:
    """The way, with where it stands in brackets."""
    ways = ["shadow"] if found.spec.shadow else []
    at = 0 if found.state == "shadow" else len(ways) + found.step
    ways += [f"{step} %" for step in found.spec.canary.steps] if found.spec.canary else ["100 %"]
    return " > ".join(f"[{way}]" if found.is_under_way and place == at else way for place, way in enumerate(ways))


def _due(answer: RolloutDetail) -> str:
    """What happens next without anybody's word."""
    found, who = answer.rollout, answer.asked or "whoever is accountable"
    if not found.is_under_way:
        return ""
    if found.paused_at is not None:
        return f"nothing until it goes on: slipway rollout resume {found.name}"
    if found.asked_at is not None:
        return f"{instant(found.due_at)}: without an answer the champion takes all back"
    return f"{instant(found.due_at)}: deadline; undecided then, {who} is asked"


def _text(answer: RolloutDetail) -> str:
    found = answer.rollout
    if answer.change is not None:
        return change_text(answer.change, is_dry=answer.is_dry)
    looks = [(instant(look.at), look.phase, look.verdict, look.sentence) for look in found.looks]
    words = [(instant(word.at), word.what, str(word.actor), word.reason) for word in found.words]
    is_asked = found.is_under_way and found.asked_at is not None
    parts = [
        facts(
            [
                ("roll-out", found.id),
                ("endpoint", found.name),
                ("challenger", f"{found.challenger.model} {found.challenger.number}"),
                ("champion", f"{found.champion.model} {found.champion.number}"),
                ("steps", _steps(found)),
                ("stands", _stage(found)),
                ("began", instant(found.created_at)),
                ("next due", _due(answer)),
                ("asked", f"{answer.asked or 'business owner'}, since {instant(found.asked_at)}" if is_asked else ""),
                ("why", found.reason),
            ]
        ),
        columns(("decided (UTC)", "what", "by", "why"), words, empty=""),
        columns(("look (UTC)", "phase", "verdict", "evidence"), looks, empty="Nothing has been looked at yet."),
    ]
    if is_asked:
        parts.append(
            f"Decide:  slipway rollout advance {found.name} --reason WHY\n"
            f"         slipway rollout abort {found.name} --reason WHY\n"
            f"         slipway rollout resume {found.name} --more 7d --reason WHY"
        )
    return "\n\n".join(part for part in parts if part)


def _started_text(answer: Started) -> str:
    begun = answer.retraining
    return (
        f"Retraining of {begun.name} began with data until {begun.until:%Y-%m-%d} ({begun.trigger}).\n"
        f"Look:  slipway endpoints show {begun.name}"
    )
