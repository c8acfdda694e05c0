"""Whether an A/B test runs at an endpoint, and what must wait for it."""

from __future__ import annotations

from slipway.errors import Conflict
from slipway.flows.endpoints import revision_of
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.abtests import ABTest

__all__ = ["is_carried", "newest_abtest", "refuse_while_testing", "running_abtest"]


def newest_abtest(workspace: Workspace, endpoint: str) -> ABTest | None:
    """An endpoint's last A/B test, None where there was none."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, ABTest, project=workspace.project, name=endpoint, limit=1)
    return found[0] if found else None


def is_carried(workspace: Workspace, test: ABTest) -> bool:
    """Whether an endpoint's newest revision carries a test out: a deployment at once, or a roll-back, does not."""
    split = revision_of(workspace, test.name).split
    return split is not None and split.salt == test.salt


def running_abtest(workspace: Workspace, endpoint: str) -> ABTest | None:
    """The A/B test that runs and is carried out, None where there is none."""
    found = newest_abtest(workspace, endpoint)
    return found if found is not None and found.is_under_way and is_carried(workspace, found) else None


def refuse_while_testing(workspace: Workspace, endpoint: str) -> None:
    """Refuse a change while an A/B test runs. The endpoint's turn must be held.

    Raises:
        Conflict: One does.
    """
    found = running_abtest(workspace, endpoint)
    if found is not None:
        raise Conflict(
            f"An A/B test of {', '.join(arm.name for arm in found.arms)} runs at {endpoint!r}.",
            why="What answers must stay the same while it is compared.",
            fix=f"Decide it first: slipway abtest decide {endpoint} champion --reason ...",
        )
