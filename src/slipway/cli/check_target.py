"""`slipway check-target`: can what a model needs be installed on another machine?"""

import click

from slipway.cli.door import Door, opened
from slipway.cli.exits import REFUSED

__all__ = ["check_target"]


@click.command("check-target")
@click.argument("target", metavar="MODEL[:VERSION]")
@click.option("--platform", required=True, help="Such as linux/arm64, or a platform as uv calls it.")
@click.option("--python", default="", metavar="VERSION", help="Such as 3.12.  [default: the lock's]")
@opened
def check_target(door: Door, target: str, platform: str, python: str) -> None:
    """Can the lock of MODEL be installed on another kind of machine? Nothing is installed.

    uv resolves it for that platform and Python, wheels only; the first package without one is named. The exit code is 3
    where one has none, or nobody can tell.
    """
    from slipway.flows.target import Resolved
    from slipway.flows.target import check_target as checked
    from slipway.flows.version_changes import version_meant
    from slipway.models.registry import bundle_of
    from slipway.operations.declare import check_allowed

    def text(answer: Resolved) -> str:
        where = f"{answer.platform} with Python {answer.python}"
        if answer.holds:
            return f"{answer.model} {answer.number}: all {answer.checked} packages of its lock have a wheel on {where}."
        if answer.unknown:
            return f"{answer.model} {answer.number}: nobody can tell for {where}: {answer.unknown}"
        return "\n".join([f"{answer.model} {answer.number} cannot be installed on {where}.", *answer.faults])

    check_allowed(door.workspace, "models.get", "models.read")
    version = version_meant(door.workspace, target)
    answer = checked(door.workspace, version, bundle_of(door.workspace, version), platform, python)
    door.show(answer, text)
    if not answer.holds:
        raise click.exceptions.Exit(REFUSED)
