"""Plug-ins as declarations name them: by name, with plain options; called with every failure said in a sentence."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, wait
from contextvars import copy_context
from datetime import datetime
from typing import Any

from slipway import plugins
from slipway.errors import BackendError, InvalidDeclaration, SlipwayError
from slipway.ports.source import masked
from slipway.ports.trigger import LONGEST
from slipway.records.plugged import Plugged

__all__ = ["called", "called_within", "occasion_of", "plugged"]

PATIENCE_S = 60.0
"""How long the loop, which looks after every endpoint, waits for a plug-in."""
_late: set[tuple[str, Plugged]] = set()


def plugged(port: str, name: object, options: Mapping[str, object]) -> Plugged:
    """A plug-in and what it is given, checked as far as that is possible without loading it.

    Args:
        port: "check", "monitor", "trigger" or "source".
        name: Under which its package installed it.
        options: Its keyword arguments.

    Raises:
        InvalidDeclaration: It is no name of a plug-in, an option is no plain value, or holds a secret.
        NotFound: No installed package brings one of that name.
    """
    if not isinstance(name, str) or not name or name in plugins.names(port):
        own = f" {name!r} is Slipway's own." if isinstance(name, str) and name else ""
        raise InvalidDeclaration(
            f"sw.custom_{port} was given {name!r}, which names no plug-in.{own}",
            fix="Name one that is installed: slipway doctor lists them.",
        )
    for option, value in options.items():
        if not isinstance(value, str | int | float | bool):
            raise InvalidDeclaration(
                f"sw.custom_{port}({name!r}) was given {option}={value!r}.",
                why="What is declared is stored as plain values.",
                fix="Give text, a number, True or False.",
            )
        if isinstance(value, str) and masked(value) != value:
            raise InvalidDeclaration(
                f"sw.custom_{port}({name!r}) was given a secret in code: {option}={masked(value)!r}.",
                why="Code goes into each snapshot of the project, and its secrets with it.",
                fix=f'Put it into an environment variable and name that: {option}="env:NAME".',
            )
    plugins.find(port, name)
    return Plugged(name, tuple(sorted(options.items())))  # type: ignore[arg-type]  # plain values, as seen above


def called(port: str, one: Plugged, *given: object) -> Any:
    """What a plug-in gives.

    Args:
        port: Its kind.
        one: Its name and options.
        *given: What it is given before its options.

    Raises:
        SlipwayError: What it raised itself in words.
        NotFound: It is installed no more.
        BackendError: It cannot be loaded, or raised anything else.
    """
    made = plugins.load(port, one.name)
    try:
        return made(*given, **one.given)
    except SlipwayError:
        raise
    except Exception as problem:
        raise BackendError(
            f"The {port} {one}, a plug-in, raised {type(problem).__name__}: {problem}",
            fix=f"Correct its options, or mend it: {plugins.find(port, one.name)}",
        ) from problem


def called_within(seconds: float, port: str, one: Plugged, *given: object) -> Any:
    """See `called`; nobody waits longer than so many seconds, and not at all while a call that was given up goes on.

    Nothing can end a thread: a call that never comes back keeps its own until the process ends.

    Raises:
        BackendError: It has not come back in time.
    """
    key, coming, context = (port, one), Future[Any](), copy_context()

    def work() -> None:
        try:
            coming.set_result(context.run(called, port, one, *given))
        except BaseException as problem:
            coming.set_exception(problem)
        _late.discard(key)

    if key not in _late:
        threading.Thread(target=work, name=f"plug-in {one.name}", daemon=True).start()
        if not wait([coming], seconds).not_done:
            return coming.result()
        _late.add(key)
        if coming.done():  # it came back meanwhile, maybe before it was said to be late
            _late.discard(key)
    raise BackendError(
        f"The {port} {one}, a plug-in, has not come back within {seconds:g} seconds.",
        why="Nobody waits for it any more; it is not called again before it has come back or the server starts anew.",
        fix=f"Let it give up by itself, as by a time-out of its requests: {plugins.find(port, one.name)}",
    )


def occasion_of(one: Plugged, now: datetime) -> str:
    """The name of the newest occasion that a trigger tells of, "" for none.

    Raises:
        SlipwayError: See `called`.
        BackendError: It gives what is no name.
    """
    name = called_within(PATIENCE_S, "trigger", one, now)
    if not isinstance(name, str) or len(name) > LONGEST or not (name.isprintable() and name == name.strip()):
        raise BackendError(
            f"The trigger {one}, a plug-in, gave {name!r:.80} as the name of an occasion.",
            why=f"A name is one line of at most {LONGEST} characters, the same for the same occasion, or '' for none.",
            fix=f"Mend it: {plugins.find('trigger', one.name)}",
        )
    return name
