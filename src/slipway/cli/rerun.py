"""`slipway rerun`: an old run again, with only the named change."""

from typing import Any, Literal

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import facts, figure
from slipway.errors import InvalidInput
from slipway.operations.runs import MetricChange, Reran, RunChanges

__all__ = ["changes_text", "rerun"]


@click.command()
@click.argument("target", metavar="RUN|MODEL[:VERSION]")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="A parameter to change.")
@click.option(
    "--data",
    type=click.Choice(["same", "latest"]),
    default="same",
    show_default=True,
    help="Read tables at the versions that the run read, or as they are now.",
)
@click.option(
    "--code",
    type=click.Choice(["same", "now"]),
    default="same",
    show_default=True,
    help="Run the code that the run ran, or that of this checkout.",
)
@click.option("--warm-start", is_flag=True, help="Let the pipeline start from the run's model: sw.warm_start().")
@click.option("--key", default="", help="The same key again goes on with the same rerun, and starts no other.")
@opened
def rerun(
    door: Door,
    target: str,
    settings: tuple[str, ...],
    data: Literal["same", "latest"],
    code: str,
    warm_start: bool,
    key: str,
) -> None:
    """Start from RUN, or the run that made a MODEL, with only what is named changed.

    All else is as it was then: the code, the versions of tables, every other parameter. It runs in a process of its
    own; steps that the change does not touch are found stored. At the end it says what differs.
    """
    asked = {
        "target": target,
        "params": _params(settings),
        "data": data,
        "warm_start": warm_start,
        "key": key,
    }
    answer = _asked(door, code, asked)
    while answer.run is None:
        answer = _asked(door, code, {**asked, "key": answer.key})
    door.show(answer, _text)


def _asked(door: Door, code: str, asked: dict[str, Any]) -> Reran:
    if code == "same":
        same: Reran = door.call("runs.rerun", **asked)
        return same
    from slipway.flows.rerun import rerun as started
    from slipway.operations.declare import check_allowed
    from slipway.operations.runs import Rerun

    check_allowed(door.workspace, "runs.rerun", "runs.write")
    return started(door.workspace, Rerun(**asked), checkout=door.project.published())


def _params(settings: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InvalidInput(f"--set {setting!r} is not NAME=VALUE.", fix="For example --set learning_rate=0.1")
        found[name] = text
    return found


def _text(answer: Reran) -> str:
    assert answer.run is not None
    assert answer.changes is not None
    lines = [f"Run {answer.run.id} finished; it was started from run {answer.parent_id}.", ""]
    lines.append(changes_text(answer.changes))
    if answer.model:
        same = "" if answer.is_new else " (the very same model, registered before)"
        lines += ["", f"Registered {answer.model} {answer.version}{same}.", f"Next: slipway deploy {answer.model}"]
    return "\n".join(lines)


def changes_text(found: RunChanges) -> str:
    """How a run differs from another, for a terminal."""
    cached = f"{', '.join(found.cached)} ({len(found.cached)} of {found.steps} steps)" if found.cached else "no step"
    return facts(
        [
            ("parameters", "\n".join(found.params) or "the same"),
            ("data", "\n".join(found.data) or "the same"),
            ("code", "\n".join(found.code) or "the same"),
            ("libraries", "\n".join(found.libraries) or "the same"),
            ("started", found.start),
            ("metrics", "\n".join(map(_metric, found.metrics))),
            ("from stored results", cached),
        ]
    )


def _metric(change: MetricChange) -> str:
    was, is_now = ("(none)" if value is None else figure(value) for value in (change.before, change.after))
    return f"{change.key} {was}" if was == is_now else f"{change.key} {was} -> {is_now}"
