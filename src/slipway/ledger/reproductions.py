"""The repetitions of runs that are on record."""

from slipway.ledger import entries
from slipway.ledger.attest import read_back
from slipway.ports.workspace import Workspace
from slipway.records.reproductions import Reproduction

__all__ = ["reproductions_of"]


def reproductions_of(workspace: Workspace, bundle: str) -> list[Reproduction]:
    """The reproductions of the run that made a bundle, newest first; one that was altered since says so."""
    with workspace.ledger.read() as tx:
        found = [
            entries.get(tx, Reproduction, link.target.partition(":")[2])
            for link in tx.links(f"bundle:{bundle}", towards=False)
            if link.target.startswith("reproduction:")
        ]
    # The link alone proves nothing: what was signed names the bundle.
    found = [read_back(one, workspace.signer) for one in found if one.bundle == bundle]
    return sorted(found, key=lambda one: (one.parent_id, one.number), reverse=True)
