"""What the rows of an endpoint's log consist of: by the revision that answered and the model that was asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from slipway.errors import NotFound
from slipway.ledger import entries
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, Revision, Served
from slipway.records.schema import Signature

__all__ = ["HELD", "MOST_HELD", "layout_of"]

HELD = timedelta(days=70)
"""How far back a log is held in memory: the longest window, the weeks before it, and a challenger's held-out days."""

MOST_HELD = 500_000
"""How many answers of an endpoint are held at most; of more a share, see `tables/log_held.py`."""

_DIGITS = 16


def layout_of(workspace: Workspace, name: str) -> Callable[[int, str], tuple[Contract, Signature]]:
    """What says of a revision's number and the first digits of a bundle how their rows are laid out, for `LogReader`.

    The ledger is read when something is asked that is not known yet; it raises NotFound for what nobody published.

    Args:
        workspace: Whose endpoint.
        name: The endpoint's name.
    """
    served: dict[str, Served] = {}
    contracts: dict[int, Contract] = {}

    def layout(number: int, bundle: str) -> tuple[Contract, Signature]:
        if number not in contracts or bundle not in served:
            with workspace.ledger.read() as tx:
                known = entries.find(tx, Revision, project=workspace.project, name=name, limit=100_000)
            contracts.update({one.number: one.contract for one in known})
            served.update({version.bundle[:_DIGITS]: version for one in known for version in one.versions})
        if number not in contracts or bundle not in served:
            raise NotFound(
                f"The log of {name!r} has rows of revision {number} and bundle {bundle}, which nobody published.",
                fix="Restore the ledger that belongs to this endpoint's folder.",
            )
        found = served[bundle]
        version = registry.get(workspace, found.model, str(found.number))
        return contracts[number], registry.bundle_of(workspace, version).signature

    return layout
