"""What each monitor of an endpoint found over time, as it was kept."""

from __future__ import annotations

from slipway.errors import InvalidInput
from slipway.flows.endpoints import revision_of
from slipway.ledger import entries
from slipway.operations.findings import AskFindings, FoundOverTime, MonitorFindings
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Finding
from slipway.schema.moments import moment

__all__ = ["found_over_time"]

_MOST = 1000


def found_over_time(workspace: Workspace, request: AskFindings) -> FoundOverTime:
    """The findings of each monitor, the oldest first; of those that are declared no more too.

    Raises:
        NotFound: Nothing was ever deployed there.
        InvalidInput: The limit does not fit, or the time cannot be read.
    """
    if not 0 < request.limit <= _MOST:
        raise InvalidInput(f"The limit {request.limit} does not fit.", fix=f"Give 1 to {_MOST:,}.", field="limit")
    since = moment(request.since, field="since") if request.since else None
    revision = revision_of(workspace, request.name)
    parent = f"{workspace.project}/{request.name}"
    declared = {one.name: one for one in revision.monitors}
    found = []
    with workspace.ledger.read() as tx:
        newest = entries.find(tx, Finding, parent=parent, limit=_MOST)
        for name in dict.fromkeys([*declared, *(one.name for one in newest)]):
            kept = entries.find(tx, Finding, parent=parent, name=name, limit=request.limit)
            if since is not None:
                kept = [one for one in kept if one.window_until >= since]
            monitor = declared.get(name)
            found.append(
                MonitorFindings(
                    monitor=name,
                    kind=monitor.kind if monitor else "",
                    metric=monitor.metric if monitor else "",
                    findings=tuple(reversed(kept)),
                )
            )
    return FoundOverTime(endpoint=request.name, monitors=tuple(found))
