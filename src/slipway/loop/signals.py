"""What is known of an endpoint in the words of the policy: read from open incidents and the newest finding of each monitor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from slipway.ledger import entries
from slipway.loop.policy import BROKEN, Level, Signals
from slipway.monitoring.estimated import ESTIMATED
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.models import Bundle
from slipway.records.monitors import Finding, Incident

__all__ = ["signals", "signals_of"]

_LITTLE = 0.05
"""Of what a model's answers rest on: an input below this share is little used."""
_SERVICE = frozenset({"service", "no results", "fallback"})


def signals_of(
    workspace: Workspace, revision: Revision, incidents: Sequence[Incident], bundle: Bundle | None = None
) -> Signals:
    """The signals of an endpoint now.

    Args:
        workspace: Where findings are kept.
        revision: What serves, with its monitors.
        incidents: The endpoint's open incidents.
        bundle: Its model, which says what it uses; None where nobody knows.
    """
    parent = f"{workspace.project}/{revision.name}"
    newest: dict[str, list[Finding]] = {}
    with workspace.ledger.read() as tx:
        for monitor in revision.monitors:
            newest.setdefault(monitor.kind, []).extend(
                entries.find(tx, Finding, parent=parent, name=monitor.name, limit=1)
            )
    return signals(newest, incidents, importance(bundle))


def signals(
    newest: dict[str, list[Finding]], incidents: Sequence[Incident], used: dict[str, float] | None = None
) -> Signals:
    """The signals that findings and incidents make.

    Args:
        newest: The newest finding of each monitor, by the monitor's kind.
        incidents: Open ones.
        used: What share of the model's answers rests on each input, None where nobody knows.
    """
    causes = {incident.cause for incident in incidents}
    moved = {str(one[0]) for found in newest.get("drift", []) for one in found.values.get("moved", [])}
    return Signals(
        service="down" if causes & _SERVICE else "unknown",
        feed="broken" if causes & BROKEN else "whole",
        inputs=_inputs(newest.get("drift", []), moved, causes, used),
        estimated=_level(ESTIMATED in causes, newest.get("estimated", [])),
        realised=_level("quality" in causes, newest.get("quality", [])),
        kpi=_level("kpi" in causes, newest.get("kpi", [])),
    )


def importance(bundle: Bundle | None) -> dict[str, float] | None:
    """What share of a model's answers rests on each input, None where nobody asked."""
    explained = None if bundle is None else bundle.explained
    if explained is None or not explained.importances:
        return None
    return {one.input: max(one.permuted, one.contribution) for one in explained.importances}


def _level(is_open: bool, found: Iterable[Finding]) -> Level:
    states = [one.state for one in found]
    if is_open or "alert" in states:
        return "down"
    return "flat" if states and all(state == "ok" for state in states) else "unknown"


def _inputs(
    found: Sequence[Finding], moved: set[str], causes: set[str], used: dict[str, float] | None
) -> Literal["moved", "moved, little used", "still", "unknown"]:
    if "drift" in causes:
        return "moved"
    if moved:
        is_little = used is not None and all(used.get(name.removeprefix("feature."), 1.0) < _LITTLE for name in moved)
        return "moved, little used" if is_little else "moved"
    return "still" if found and all(one.state == "ok" for one in found) else "unknown"
