"""What monitors of an endpoint found over time."""

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.monitors import Finding

__all__ = ["AskFindings", "FoundOverTime", "MonitorFindings", "operations"]


class AskFindings(Struct, frozen=True, kw_only=True):
    """Of which endpoint, and since when.

    Args:
        name: The endpoint's.
        since: Findings whose window ended at or after this: "2026-01-31T00:00:00Z"; "" for all.
        limit: How many of each monitor, the newest.
    """

    name: str
    since: str = ""
    limit: int = 100


class MonitorFindings(Struct, frozen=True, kw_only=True):
    """What one monitor found.

    Args:
        monitor: Its name.
        kind: Which kind of monitor: "drift", "estimated", "quality", "contract", "kpi", ...; "" where none is declared
            under this name any more.
        metric: Which figure it judges, "" for none.
        findings: The oldest first.
    """

    monitor: str
    kind: str
    metric: str = ""
    findings: tuple[Finding, ...] = ()


class FoundOverTime(Struct, frozen=True, kw_only=True):
    """By monitor, in the order in which they are declared."""

    endpoint: str
    monitors: tuple[MonitorFindings, ...]


operations = (
    Operation(
        name="endpoints.findings",
        summary="Show what each monitor of an endpoint found over time.",
        permission="endpoints.read",
        request=AskFindings,
        response=FoundOverTime,
        body="slipway.flows.found_over_time:found_over_time",
    ),
)
