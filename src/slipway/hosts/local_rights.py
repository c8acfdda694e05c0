"""Rights on what a command does beside every store: to the environments of a checkout, which are folders and lines in a file."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from slipway.hosts.identity import local_actor
from slipway.hosts.ledgers import is_store, open_ledger
from slipway.operations.declare import check_actor

__all__ = ["check_in_stores"]


def check_in_stores(stores: Iterable[Path], project: str, act: str, permission: str, now: datetime) -> None:
    """Make sure that whoever runs this process may do something, by the people of each store that it has to do with.

    Args:
        stores: Their folders; where none was opened yet, nobody is known and everybody may.
        project: The project's name.
        act: What is to be done.
        permission: The right that it needs.
        now: Business time.

    Raises:
        Denied: One of the stores knows people, and whoever acts has not the right there.
        Unauthenticated: The token in the environment is good for nothing there.
    """
    for store in dict.fromkeys(stores):
        if is_store(store):
            with closing(open_ledger(store)) as ledger:
                actor, _ = local_actor(ledger, project, now)
            check_actor(actor, project, act, permission)
