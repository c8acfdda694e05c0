"""`slipway ci`: the tests of a project, and what a push does."""

import click

from slipway.cli.ci_check import check
from slipway.cli.ci_init import init
from slipway.cli.ci_run import run, status

__all__ = ["ci"]


@click.group()
def ci() -> None:
    """Test the project as one suite; take each push to production."""


ci.add_command(check)
ci.add_command(init)
ci.add_command(run)
ci.add_command(status)
