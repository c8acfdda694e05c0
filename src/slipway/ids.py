"""Identifiers, in the forms that an unmodified MLflow client accepts.

Run ids are 32 hex digits, model ids `m-` and 32 hex digits, experiment ids 18 decimal digits. All begin with the
milliseconds of their making, so that ids sort by time and pages can be walked by key.
"""

import os
import re
import threading
import time

from slipway.errors import InvalidInput

__all__ = [
    "check_name",
    "fitting_name",
    "ids_from",
    "new_experiment_id",
    "new_id",
    "new_ids",
    "new_model_id",
    "new_run_id",
    "room_for_ids",
]

_lock = threading.Lock()
_last = 0
_VERSION = 7 << 76 | 2 << 62
_RANDOM = (1 << 80) - 1 & ~(15 << 76 | 3 << 62)
"""The bits of UUID version 7 that tell its version, and those of its last 80 that are drawn."""
_ROOM = 1 << 32
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,126}[a-z0-9])?\Z")


def new_id() -> str:
    """A new identifier: 32 hex digits, the first 12 of them the time in milliseconds (the layout of UUID version 7).

    Within a process each is greater than the one before it, so that ids tell the order in which things were made.
    """
    return new_ids(1)[0]


def new_ids(count: int, room: int = 0) -> list[str]:
    """New identifiers of things that are made together, as `new_id` gives them, each the one after the one before.

    Args:
        count: How many.
        room: How many after them nobody is to have.
    """
    global _last
    random = int.from_bytes(os.urandom(10), "big") & _RANDOM | _VERSION
    drawn = time.time_ns() // 1_000_000 << 80 | random
    with _lock:
        first = drawn if drawn > _last else _last + 1
        _last = first + count + room - 1
    return [f"{number:032x}" for number in range(first, first + count)]


def room_for_ids() -> str:
    """The first of four billion identifiers that nobody else has: for who lets another process name things."""
    return new_ids(1, room=_ROOM - 1)[0]


def ids_from(first: str, count: int) -> list[str]:
    """Identifiers out of the room that `room_for_ids` gave: the same ones whenever they are asked for."""
    number = int(first, 16)
    return [f"{number + i:032x}" for i in range(count)]


def new_run_id() -> str:
    """A new run's id: 32 hex digits."""
    return new_id()


def new_model_id() -> str:
    """A new logged model's id: `m-` and 32 hex digits."""
    return f"m-{new_id()}"


def new_experiment_id() -> str:
    """A new experiment's id: 18 decimal digits (milliseconds and five random digits)."""
    millis = time.time_ns() // 1_000_000
    return f"{millis * 100_000 + int.from_bytes(os.urandom(4), 'big') % 100_000:018d}"


def check_name(name: str, what: str) -> str:
    """Check the name of something that becomes part of a URL and of a folder.

    Args:
        name: The name to check: lower-case letters, digits, `_`, `-`, `.`; at most 128 characters.
        what: What it names, for the sentence: "table", "endpoint".

    Returns:
        The same name.

    Raises:
        InvalidInput: It does not fit.
    """
    if not _fits(name):
        raise InvalidInput(
            f"{name!r} cannot be the name of {'an' if what[0] in 'aeiou' else 'a'} {what}.",
            why="Names use lower-case letters, digits, '_', '-' and '.', and begin and end with a letter or digit.",
            fix=f"For example {fitting_name(name, 'my-' + what.split()[-1])!r}.",
            field="name",
        )
    return name


def fitting_name(name: str, otherwise: str = "model") -> str:
    """The name that something from elsewhere can have here: the same where it fits, else one that is like it.

    Args:
        name: What it is called there.
        otherwise: Its name here where no letter or digit of that fits.

    Example:
        >>> fitting_name("Churn Model")
        'churn-model'
    """
    if _fits(name):
        return name
    like = re.sub(r"[.]{2,}", ".", re.sub(r"[^a-z0-9_.-]+", "-", name.lower()))
    return like.strip("-._")[:128].strip("-._") or otherwise


def _fits(name: str) -> bool:
    return bool(_NAME.match(name)) and ".." not in name
