"""Says where the endpoints of a store's folder answer; each takes it up when its process starts."""

from slipway.errors import InvalidInput
from slipway.governance.people import somebody_is_known
from slipway.ledger import events
from slipway.operations.declare import check_allowed
from slipway.ports.workspace import Workspace, in_project
from slipway.records.reach import Reach
from slipway.serving.reach import REACH_FILE, checked, encoded
from slipway.whole_files import write_whole

__all__ = ["let_endpoints_answer"]


def let_endpoints_answer(workspace: Workspace, reach: Reach) -> Reach:
    """Keep where the endpoints of the store's folder answer. It names files of this machine, so it is no operation.

    Args:
        workspace: The store's.
        reach: Where, and under which names.

    Returns:
        The same, with the names of its certificate.

    Raises:
        Denied: Whoever asks may not deploy in all of the store.
        InvalidInput: It would be elsewhere without TLS, for a store that knows nobody, or the certificate cannot be used.
    """
    workspace = in_project(workspace, "") if workspace.identity else workspace
    check_allowed(workspace, "endpoints.listen", "endpoints.deploy")
    reach = checked(reach, "An endpoint")
    with workspace.ledger.write() as tx:
        if not reach.is_local and not somebody_is_known(tx):
            raise InvalidInput(
                f"Endpoints cannot answer on {reach.host!r}: this store knows nobody.",
                why="Whoever reached a port might ask.",
                fix="Begin with yourself: slipway people add NAME --role admin; then give tokens: "
                "slipway tokens add --for NAME",
                field="host",
            )
        write_whole(workspace.root / REACH_FILE, encoded(reach))
        names, proxies = list(reach.names), list(reach.proxies)
        events.record(tx, workspace, "endpoints.listen", "endpoints", host=reach.host, names=names, proxies=proxies)
    return reach
