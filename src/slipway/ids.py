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
    return f"{_first_of(1):032x}"


def new_ids(count: int) -> list[str]:
    """New identifiers of things that are made together, as `new_id` gives them, each the one after the one before."""
    first = _first_of(count)
    return [f"{number:032x}" for number in range(first, first + count)]


def room_for_ids() -> str:
    """The first of four billion identifiers that nobody else has: for who lets another process name things."""
    return f"{_first_of(_ROOM):032x}"


def ids_from(first: str, count: int) -> list[str]:
    """Identifiers out of the room that `room_for_ids` gave: the same ones whenever they are asked for."""
    number = int(first, 16)
    return [f"{number + i:032x}" for i in range(count)]


def _first_of(count: int) -> int:
    """The first of so many numbers in a row that nobody else has."""
    global _last
    random = int.from_bytes(os.urandom(10), "big") & _RANDOM | _VERSION
    drawn = time.time_ns() // 1_000_000 << 80 | random
    with _lock:
        first = drawn if drawn > _last else _last + 1
        _last = first + count - 1
    return first


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
    if not _NAME.match(name) or ".." in name:
        proposal = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-._")[:128] or "my-" + what.split()[-1]
        raise InvalidInput(
            f"{name!r} cannot be the name of {'an' if what[0] in 'aeiou' else 'a'} {what}.",
            why="Names use lower-case letters, digits, '_', '-' and '.', and begin and end with a letter or digit.",
            fix=f"For example {re.sub(r'[.]{2,}', '.', proposal)!r}.",
            field="name",
        )
    return name
