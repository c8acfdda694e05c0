"""Taking turns at an endpoint: one change at a time, whoever makes it, however they end."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from slipway.errors import Conflict
from slipway.flows.endpoints import folder_of
from slipway.ports.workspace import Workspace

__all__ = ["turn"]

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
        Conflict: Somebody else holds it all that time.
    """
    folder = folder_of(workspace, name)
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + within_s
    with (folder / _TURN_FILE).open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Conflict(
                        f"Somebody else has been changing {name!r} for {within_s:.0f} seconds.",
                        fix=f"Look how it stands, then decide anew: slipway endpoints show {name}",
                    ) from None
                time.sleep(_LOOK_EVERY_S)
        yield
