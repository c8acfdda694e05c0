"""The controller's part in an A/B test: one look a day, and telling the business owner when it says something else.

It never ends one: which version serves is a person's decision.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from slipway.flows.abtest_state import is_carried, newest_abtest
from slipway.flows.abtests import look_at, supersede
from slipway.ledger import entries
from slipway.loop.actions import put_action
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.abtests import ABLook, ABTest
from slipway.records.loop import Action

__all__ = ["pass_over_abtest"]


def pass_over_abtest(workspace: Workspace, name: str, now: datetime) -> list[Action]:
    """Look at the A/B test that runs at an endpoint, once a business day. The endpoint's turn must be held."""
    test = newest_abtest(workspace, name)
    if test is None or not test.is_under_way:
        return []
    actions: list[Action] = []

    def superseded(tx: WriteTransaction, ended: ABTest) -> None:
        subjects = (f"abtest:{ended.id}",)
        actions.append(put_action(tx, workspace, name, "superseded", ended.reason, subjects=subjects))

    if not is_carried(workspace, test):
        supersede(workspace, test, also=superseded)
        return actions
    last = test.looks[-1] if test.looks else None
    if last is not None and not test.spec.looks_us and _day(last.at) == _day(now):
        return []
    seen = look_at(workspace, test)
    if seen is None:
        return []
    found = seen.looks[-1]
    with workspace.ledger.write() as tx:
        entries.put(tx, seen)
        if last is None or _gist(last) != _gist(found):
            figures = {"verdict": found.verdict, "arms": [msgspec.to_builtins(one) for one in found.arms]}
            subjects = (f"abtest:{seen.id}",)
            owner = "business owner" if _gist(found) != "Go on" else ""
            actions.append(
                put_action(
                    tx, workspace, name, "abtest", found.sentence, owner=owner, evidence=figures, subjects=subjects
                )
            )
    return actions


def _gist(look: ABLook) -> str:
    """What a look recommends, without its figures."""
    return look.sentence.partition(":")[0]


def _day(instant: datetime) -> object:
    return instant.astimezone(UTC).date()
