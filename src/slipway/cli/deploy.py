"""`slipway deploy` and `slipway rollback`: what serves, and the way back."""

from typing import Any

import click
import msgspec

from slipway.cli.door import Door, opened
from slipway.cli.exits import REFUSED
from slipway.cli.layout import facts
from slipway.cli.models import verdict_text
from slipway.cli.rollout import change_text
from slipway.errors import InvalidInput
from slipway.hosts.settings import FILE
from slipway.operations.endpoints import Deployed, Drilled

__all__ = ["deploy", "deployed_text", "drill_text", "rollback", "shown_gate"]


@click.command()
@click.argument("model", metavar="MODEL[:VERSION]")
@click.option("--version", default="latest", show_default=True, help="A number, an alias, or latest.")
@click.option("--endpoint", default="", help="The endpoint's name; the model's own when missing.")
@click.option("--port", default=0, help="The port to listen on; the former or a free one when missing.")
@click.option("--dry-run", is_flag=True, help="Judge, say what would change; change nothing.")
@click.option("--at-once", is_flag=True, help="Without the declared roll-out, replacing one that is under way.")
@click.option(
    "--break-glass", default="", metavar="WHY", help="Let it serve though its gate refuses it; tells everybody."
)
@click.option(
    "--break", "breaking", default="", metavar="WHY", help="Let its contract break callers that were seen lately."
)
@click.option("--expect", type=click.IntRange(0), help="Refuse unless this revision is the newest; 0 for none.")
@opened
def deploy(door: Door, model: str, endpoint: str, dry_run: bool, **more: Any) -> None:
    """Judge a version of MODEL by its gate and, when it passes, let it serve, or begin the roll-out that its endpoint declares."""
    model, _, named = model.partition(":")
    more["version"] = named or more["version"]
    if not dry_run and more["expect"] is None:  # what stands now; whoever is quicker meanwhile is not overrun unseen
        more["expect"] = _seen_revision(door, endpoint or model)
    gate = shown_gate(door, endpoint or model, keep=not dry_run)
    wanted = {"model": model, "endpoint": endpoint, "dry_run": dry_run, **more}
    if not dry_run:
        answer = door.call("endpoints.deploy", **wanted)
    elif gate is None:
        answer = door.call("gates.check", model=model, version=more["version"], endpoint=endpoint)
    else:
        answer = _judged(door, wanted | {"gate": gate})
    if not dry_run and door.checkout is not None and (door.checkout.folder / FILE).is_file():
        _publish_schedules(door)
    door.show(answer, deployed_text)
    if dry_run and not answer.verdict.passed:
        raise click.exceptions.Exit(REFUSED)


def _seen_revision(door: Door, name: str) -> int:
    """The number of the newest revision as this command finds it, 0 for none."""
    found = [row.revision.number for row in door.call("endpoints.list").endpoints if row.revision.name == name]
    return found[0] if found else 0


def _judged(door: Door, wanted: dict[str, Any]) -> Deployed:
    """What the gate that the file shows now would say: it stands here only, so it is judged here."""
    from slipway.flows.deploy import deploy as judge
    from slipway.operations.declare import check_allowed
    from slipway.operations.endpoints import Deploy

    check_allowed(door.workspace, "gates.check", "gates.check")
    return judge(door.workspace, msgspec.convert(wanted, Deploy))


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--to", default=0, help="The revision to go back to; the one before the present when missing.")
@click.option("--reason", default="", help="Why.")
@click.option("--scores", is_flag=True, help="Of a batch endpoint: let its table be what that model scored last, too.")
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.option("--expect", type=click.IntRange(0), help="Refuse unless this revision is the newest.")
@click.option("--drill", "is_drill", is_flag=True, help="Prove that the way back works; no caller notices.")
@click.option("--live", is_flag=True, help="With --drill: really go back and forward again, and count what fails.")
@opened
def rollback(door: Door, name: str, is_drill: bool, live: bool, **more: Any) -> None:
    """Let serve again on ENDPOINT what served before, or prove that it would work."""
    if live and not is_drill:
        raise InvalidInput("--live was given without --drill.", fix=f"slipway rollback {name} --drill --live")
    if is_drill:
        for given in ("scores", "dry_run", "expect"):
            if more[given]:
                option = given.replace("_", "-")
                raise InvalidInput(
                    f"--drill was given with --{option}, which is for going back in earnest.",
                    fix=f"slipway rollback {name} --drill",
                )
        answer = door.call("endpoints.drill", name=name, live=live, to=more["to"], reason=more["reason"])
        door.show(answer, drill_text)
        if answer.drill.state == "failed":
            raise click.exceptions.Exit(REFUSED)
        return
    if not more["dry_run"] and more["expect"] is None:
        more["expect"] = _seen_revision(door, name) or None
    door.show(door.call("endpoints.rollback", name=name, **more), deployed_text)


def drill_text(answer: Drilled) -> str:
    """What a drill showed, for a terminal."""
    found = answer.drill
    times = [("verified in", found.verify_s), ("loaded in", found.load_s), ("back in", found.back_s)]
    times.append(("forward again in", found.forth_s))
    return "\n\n".join(
        [
            f"The drill {found.state}. {found.sentence}",
            facts([(name, f"{seconds:.2f} s") for name, seconds in times if seconds is not None]),
        ]
    )


def shown_gate(door: Door, name: str, *, keep: bool = False) -> Any:
    """The gate that the file shows now; a deployment keeps the whole declaration, a dry run changes nothing."""
    if door.checkout is None or not (door.checkout.folder / FILE).is_file():
        return None
    from slipway.flows.endpoint import Endpoint
    from slipway.flows.release import declare_endpoint

    if keep:
        door.checkout.declare_settings()
    declared = door.checkout.declared(Endpoint).get(name)
    if declared is None:
        return None
    if keep:
        declare_endpoint(door.workspace, declared, snapshot=door.checkout.published())
    return None if declared.gate is None else msgspec.to_builtins(declared.gate.spec)


def _publish_schedules(door: Door) -> None:
    """What the project declares to run by itself becomes so with a deployment, where it declares anything or did."""
    from slipway.cli.schedules import publish
    from slipway.flows.schedules import known, named

    if named(vars(door.project.module())) or any(one.state != "withdrawn" for one in known(door.workspace)):
        for one in publish(door):
            door.workspace.say(f"Schedule {one.name}: {one.state}.")


def deployed_text(answer: Deployed) -> str:
    """The verdict and where the endpoint answers, for a terminal."""
    parts = [verdict_text(answer.verdict)]
    if answer.change is not None and answer.revision is None:
        return "\n\n".join([*parts, change_text(answer.change, is_dry=True)])
    if answer.change is not None:
        parts += answer.change.told
    if answer.revision is not None and answer.revision.batch is not None:
        served, name, batch = answer.revision.served, answer.revision.name, answer.revision.batch
        if (beside := answer.revision.challenger) is not None:
            parts.append(
                f"{beside.served.model} {beside.served.number} is being rolled out at {name}, from scoring to scoring; "
                f"{served.model} {served.number} goes on scoring meanwhile.\n"
                f"Score now:  slipway score {name}\nLook:       slipway rollout status {name}"
            )
            return "\n\n".join(parts)
        parts.append(
            f"{served.model} {served.number} scores {batch.table} into {batch.into} as revision {answer.revision.number} "
            f"of {name}.\nScore now:  slipway score {name}\nLook:       slipway endpoints show {name}"
        )
        return "\n\n".join(parts)
    if answer.revision is None or answer.status is None:
        return "\n\n".join([*parts, "Nothing was changed: this was a dry run."])
    served, name, challenger = answer.revision.served, answer.revision.name, answer.revision.challenger
    if challenger is not None:
        parts.append(
            f"{challenger.served.model} {challenger.served.number} is being rolled out at {name}; "
            f"{served.model} {served.number} goes on serving meanwhile.\n"
            f"Look:  slipway rollout status {name}"
        )
        return "\n\n".join(parts)
    parts.append(
        f"{served.model} {served.number} serves as revision {answer.revision.number} of {name}.\n"
        f"Answers at {answer.status.url}/endpoints/{name}/predict\n"
        f"Look:  slipway endpoints show {name}"
    )
    return "\n\n".join(parts)
