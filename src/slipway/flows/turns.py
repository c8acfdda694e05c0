"""Taking turns at an endpoint: one change at a time, whoever makes it, however they end."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from slipway.errors import Conflict, NotFound
from slipway.flows.endpoints import folder_of, revision_of
from slipway.ids import check_name
from slipway.ports.workspace import Workspace

__all__ = ["check_seen", "turn"]

_TURN_WITHIN_S = 180.0
_LOOK_EVERY_S = 0.05
_TURN_FILE = "deploy.lock"


@contextmanager
def turn(workspace: Workspace, name: str, *, within_s: float = _TURN_WITHIN_S) -> Iterator[None]:
    """Hold an endpoint for one change at a time; the system frees it with the process, however that ends.

    Args:
        workspace: Whose endpoint.
        name: The endpoint's name.
        within_s: How long to wait for somebody else's change.

    Raises:
        InvalidInput: No endpoint can have that name.
        Conflict: Somebody else holds it all that time.
    """
    check_name(name, "endpoint")  # the folder is made before the ledger is asked for the endpoint
    folder = folder_of(workspace, name)
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + within_s
    with (folder / _TURN_FILE).open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    file.seek(0)
                    who = file.read().strip() or "Somebody else"
                    raise Conflict(
                        f"{who} has been changing {name!r} for {within_s:.0f} seconds.",
                        fix=f"Look how it stands, then decide anew: slipway endpoints show {name}",
                    ) from None
                time.sleep(_LOOK_EVERY_S)
        file.seek(0)
        if file.read() != str(workspace.actor):  # a pass of the loop comes again and again: its name stands there
            file.truncate(0)
            file.write(str(workspace.actor))
            file.flush()
        yield


def check_seen(workspace: Workspace, name: str, expect: int | None) -> None:
    """Refuse a change that was decided before somebody else's. The endpoint's turn must be held.

    Args:
        workspace: Whose endpoint.
        name: The endpoint's name.
        expect: The number of the newest revision that was seen, 0 for none; None where nobody looked.

    Raises:
        Conflict: Another one is the newest now.
    """
    if expect is None:
        return
    try:
        present = revision_of(workspace, name)
    except NotFound:
        if expect == 0:
            return
        raise
    if present.number == expect:
        return
    beside = present.challenger
    more = f", {beside.served.model} {beside.served.number} beside it" if beside else ""
    seen = f"revision {expect}" if expect else "an endpoint to which nothing was deployed"
    raise Conflict(
        f"{present.actor} published revision {present.number} of {name!r} meanwhile ({present.reason}): "
        f"{present.served.model} {present.served.number} serves{more}.",
        why=f"This was decided in view of {seen}.",
        fix=f"Look how it stands, then decide anew: slipway endpoints show {name}",
    )
