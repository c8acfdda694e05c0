"""What the pages of endpoints need is loaded before somebody waits for it.

Frames take a quarter of a second to load, more than all else that the first page of an endpoint does. A server whose
store has no endpoint does without, and keeps the memory.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slipway.ledger import entries
from slipway.operations.declare import body_of
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.projects import Project

__all__ = ["loading_ahead"]

_ASKED = ("endpoints.get", "rollouts.list", "endpoints.traffic", "endpoints.drift_map", "endpoints.quality")


@contextmanager
def loading_ahead(workspace: Workspace, once_ready: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Gives `once_ready` with loading begun behind it, in a thread that the block does not outlive.

    Args:
        workspace: The store's.
        once_ready: Receives the address when the server answers: that does not wait for anything here.
    """
    thread = threading.Thread(target=_load, args=(workspace,), name="slipway-ahead", daemon=True)

    def ready(address: str) -> None:
        once_ready(address)
        thread.start()

    try:
        yield ready
    finally:
        if thread.ident is not None:
            thread.join()


def _load(workspace: Workspace) -> None:
    with workspace.ledger.read() as tx:
        serves = any(tx.refs(one.name, "endpoint") for one in entries.every(tx, Project))
    for name in _ASKED if serves else ():
        body_of(operation(name))
