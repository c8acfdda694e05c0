"""The one place where errors meet exit codes and the terminal."""

from typing import NoReturn

import click
import msgspec

from slipway.errors import (
    Conflict,
    Denied,
    GateRefused,
    InvalidInput,
    NotFound,
    SlipwayError,
    StepFailed,
    Unavailable,
    UserError,
)
from slipway.operations.wire import error_body

__all__ = ["ENDINGS", "INTERRUPTED", "REFUSED", "TERMINATED", "exit_code", "finish"]

REFUSED = 3
INTERRUPTED, TERMINATED = 130, 143  # as shells say it of SIGINT and SIGTERM

ENDINGS = (
    ("0", "it finished", ""),
    ("1", "Slipway or the disk failed", "read the sentence; a run can be resumed"),
    ("2", "a parameter, option or setting does not fit", "mend the call"),
    ("3", "a gate refused", "see its verdict"),
    ("4", "a step, or the pipeline itself, failed", "mend it; the run can be resumed"),
    ("5", "there is no such pipeline or run", "mend the name"),
    (
        "6",
        "something else was first: a run under way, or the key's run has other parameters",
        "wait, or use another key",
    ),
    ("7", "not allowed", "ask who may"),
    ("75", "a store or server cannot be reached", "try again later"),
    ("130, 143", "it was ended by SIGINT or SIGTERM", "resume it"),
)
"""What the exit codes of `slipway run` say, for its help, and what to do."""

# The nearest class above an error decides.
_CODES: dict[type[SlipwayError], int] = {
    UserError: 2,
    GateRefused: REFUSED,
    StepFailed: 4,
    NotFound: 5,
    Conflict: 6,
    Denied: 7,
    Unavailable: 75,  # EX_TEMPFAIL: trying again later is sensible
    SlipwayError: 1,
}


def exit_code(error: SlipwayError) -> int:
    """The exit code that says the same as an error."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def finish(problem: SlipwayError | click.UsageError, *, as_json: bool) -> NoReturn:
    """Say what went wrong on standard error and end the program.

    Args:
        problem: What went wrong.
        as_json: Whether to say it as JSON.
    """
    error = problem if isinstance(problem, SlipwayError) else _as_sentence(problem)
    if as_json:
        click.echo(msgspec.json.encode(error_body(error)).decode(), err=True)
    else:
        click.echo(click.style("Error: ", fg="red", bold=True) + error.what, err=True)
        if isinstance(error, StepFailed) and error.trace:
            click.echo(f"\n{error.trace.strip()}\n", err=True)
        for part in (error.why, error.fix):
            if part:
                click.echo(f"       {part}", err=True)
    raise click.exceptions.Exit(exit_code(error))


def _as_sentence(problem: click.UsageError) -> InvalidInput:
    command = problem.ctx.command_path if problem.ctx else "slipway"
    return InvalidInput(problem.format_message(), fix=f"See: {command} --help")
