"""Promotions that waited and need not any more: a word was given, a roll-out has ended, a kill came between.

What goes on here is what the same command would do; the built-in stages need none of the project's code for it.
"""

from __future__ import annotations

from slipway.flows import rollouts
from slipway.flows.floors import floor_of
from slipway.flows.judging import declared_endpoint, judge_words
from slipway.flows.promotion import BUILT_IN
from slipway.flows.promotion import Promotion as Workflow
from slipway.gates.floors import effective
from slipway.ledger import entries
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.records.promotions import Promotion

__all__ = ["may_go_on", "workflow_of"]


def may_go_on(target: Workspace) -> list[Promotion]:
    """Promotions into an environment that somebody who gave the same command now would take further.

    One with a stage of the project's own is left to that command: its function is no record. So is one whose endpoint is
    yet to be asked, with the token of whoever promotes.

    Args:
        target: The environment that they go into.
    """
    with target.ledger.read() as tx:
        known = list(entries.every(tx, Promotion, project=target.project))
    newest: dict[tuple[str, str], Promotion] = {}
    for one in known:
        if one.target == target.environment and one.number >= newest.get((one.name, one.bundle), one).number:
            newest[one.name, one.bundle] = one
    return [
        one
        for one in newest.values()
        if _is_built_in(one) and _is_ready(target, one) and not _is_to_be_asked(target, one)
    ]


def workflow_of(promotion: Promotion) -> Workflow:
    """The way of a promotion whose stages are all built in."""
    return Workflow(promotion.workflow, promotion.target, [stage.name for stage in promotion.stages])


def _is_built_in(promotion: Promotion) -> bool:
    return all(stage.name in BUILT_IN for stage in promotion.stages)


def _is_to_be_asked(target: Workspace, promotion: Promotion) -> bool:
    """Whether its stage "experiment" is still to come, and is to ask the endpoint itself."""
    if all(stage.state == "done" for stage in promotion.stages if stage.name == "experiment"):
        return False
    version = registry.get(target, promotion.name, promotion.arrived or promotion.version)
    return registry.bundle_of(target, version).features is None


def _is_ready(target: Workspace, promotion: Promotion) -> bool:
    stage = next((one for one in promotion.stages if one.state != "done"), None)
    if stage is None:
        return False
    if stage.state == "under way":  # whoever is at it holds the lock; otherwise they were killed
        return True
    if stage.state != "waiting":
        return False
    if stage.name == "approval":
        return _words_are_given(target, promotion)
    if stage.name == "deploy":
        return rollouts.under_way(target, promotion.endpoint) is None
    return False


def _words_are_given(target: Workspace, promotion: Promotion) -> bool:
    """Whether nobody's word is waited for any more: all were given, or one was against it."""
    declared = declared_endpoint(target, promotion.endpoint, model=promotion.name)
    with target.ledger.read() as tx:
        gate = effective(declared.gate, target.environment, floor_of(tx, target.environment))
    checks = tuple(check for check in gate.checks if check.kind == "approval")
    version = registry.get(target, promotion.name, promotion.arrived or promotion.version)
    return all(outcome.result != "cannot tell" for outcome in judge_words(target, version, checks))
