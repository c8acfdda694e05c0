"""How a worker starts a challenger in another environment, and what the two must agree on before it is asked."""

import fcntl
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from slipway.errors import Corrupt
from slipway.hosts.endpoint import python_of
from slipway.models.bundle import SAMPLE, check_cases, decode_cases
from slipway.ports.environments import HELD_FILE, LOCK_FILE
from slipway.records.endpoints import Revision, Served
from slipway.records.schema import Field
from slipway.serving.guest import LIMIT_S, Ask, Guest, Opening
from slipway.serving.guest_wire import encode

__all__ = ["Invite", "hold_environment", "inviting", "limit_of"]

Invite = Callable[[Served, tuple[Field, ...], Path], Guest]
"""Starts a challenger, given the contract's fields and its bundle's folder."""
_LEAST_S = 4.0


def inviting(folder: Path, slot: int, home: str, ended: Callable[[], None]) -> Invite:
    """What starts challengers for a worker.

    Args:
        folder: The endpoint's.
        slot: The worker's index.
        home: The endpoint's own interpreter, which the environment "" names.
        ended: Called each time when one has ended without being told to.
    """

    def invite(served: Served, fields: tuple[Field, ...], bundle: Path) -> Guest:
        def command(sockets: Sequence[int]) -> list[str]:
            python = python_of(folder, served.environment, home)
            return [python, "-P", "-m", "slipway.hosts.endpoint_guest", str(folder), str(slot), *map(str, sockets)]

        name = f"{served.model} {served.number}"
        opening = Opening(bundle=served.bundle, fields=fields)
        return Guest(name, command, opening, check=partial(_check, name, bundle), ended=ended)

    return invite


def limit_of(revision: Revision) -> float:
    """How long a challenger in a process of its own may take over a call before it is ended, in seconds.

    Whoever waits for it has given up by then; with a fallback before the worker itself counts as stuck.
    """
    return LIMIT_S if revision.fallback is None else max(_LEAST_S, revision.fallback.within_us / 1e6)


def hold_environment() -> None:
    """Where this process runs in an environment that was made from a lock: nobody drops it as long as the process lives."""
    if Path(sys.prefix, LOCK_FILE).is_file():
        held = os.open(f"{sys.prefix}{HELD_FILE}", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)  # held until the process ends: nobody closes it


def _check(name: str, bundle: Path, ask: Ask, left: frozenset[int]) -> None:
    """That reference rows reach a challenger bit by bit, and its answers to them are those of training."""
    try:
        cases = decode_cases((bundle / SAMPLE).read_bytes())
    except FileNotFoundError:
        return  # it was erased, which the process itself has said
    rows = [case.row for case in cases]
    if encode(ask(["echo", rows])) != encode(rows):
        raise Corrupt(
            f"{name}: reference rows do not reach its process as they are.",
            why="It would be asked about other rows than callers send.",
            fix="Deploy it with --at-once, and report this.",
        )
    asked = [case for place, case in enumerate(cases) if place not in left]
    check_cases(asked, lambda wanted: ask(["predict", list(wanted)]))
