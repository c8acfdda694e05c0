"""A long command that is asked to end: what it started ends in order, with the exit code that a shell gives for the signal."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from slipway.cli.exits import INTERRUPTED, TERMINATED

__all__ = ["ended_by_signals"]


class Terminated(BaseException):
    """The process was asked to end: what runs comes to its end, and nothing further begins."""


@contextmanager
def ended_by_signals(said: str) -> Iterator[None]:
    """End what the block does in order when the process is asked to end.

    Args:
        said: What is said then.
    """

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated(f"The process was asked to end by {signal.Signals(number).name}.")

    is_main = threading.current_thread() is threading.main_thread()
    former = signal.signal(signal.SIGTERM, terminate) if is_main else None
    try:
        yield
    except (KeyboardInterrupt, Terminated) as ended:
        click.echo(said, err=True)
        raise click.exceptions.Exit(TERMINATED if isinstance(ended, Terminated) else INTERRUPTED) from ended
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, former)
