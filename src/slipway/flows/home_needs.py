"""What waits for whoever asks in one project: each a line with the act that answers it. News is the inbox's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from slipway.flows.inbox import is_waited_for
from slipway.flows.metric_contracts import list_contracts, may_sign
from slipway.governance.absences import deputies, stood_in_for
from slipway.governance.telling import place_of
from slipway.ledger import entries
from slipway.models import registered
from slipway.operations.declare import Empty
from slipway.operations.home import Need
from slipway.operations.permissions import allowed
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.documents import MODEL_QUESTIONS
from slipway.records.endpoints import Revision
from slipway.records.monitors import Incident
from slipway.records.promotions import Promotion
from slipway.records.responsibility import Handover, Notice
from slipway.records.rollouts import Rollout
from slipway.records.scopes import KeptScope

__all__ = ["needs"]


def needs(workspace: Workspace, *, is_open: bool) -> tuple[Need, ...]:
    """All of it, what is loudest first.

    Args:
        workspace: Whose actor asks.
        is_open: Whether the store knows nobody: then everything is theirs.
    """
    with workspace.ledger.read() as tx:
        others = frozenset(stood_in_for(deputies(tx, workspace.clock.now()), workspace.actor.name))
        who = _Asker(workspace, tx, is_open, frozenset({workspace.actor.name, *others}))
        found = list(
            chain(who.incidents(), who.rollouts(), who.approvals(), who.promotions(), who.handovers(), who.asked())
        )
    return (*found, *_contracts(workspace, is_open=is_open))


class _Asker:
    """Whoever asks, with those whose place they take.

    Args:
        workspace: The project's.
        tx: An open transaction.
        is_open: Whether everything is theirs.
        names: Theirs, and those of whom they are the deputy now.
    """

    def __init__(self, workspace: Workspace, tx: ReadTransaction, is_open: bool, names: frozenset[str]) -> None:
        self._workspace, self._tx, self._is_open, self._names = workspace, tx, is_open, names
        self._actor, self._project = workspace.actor, workspace.project

    def _may(self, right: str) -> bool:
        return allowed(self._actor, right)

    def _of(self, name: str) -> str:
        return "" if name == self._actor.name else name

    def incidents(self) -> Iterator[Need]:
        """Those that are open and theirs: by name, or by the role that nobody is named for."""
        if not self._may("incidents.read"):
            return
        for one in entries.every(self._tx, Incident, project=self._project, state="open"):
            by_role = not one.people and one.owner in self._actor.roles
            if self._is_open or by_role or self._names & set(one.people):
                is_seen = bool(one.acknowledged_by)
                yield Need(
                    kind="incident",
                    sentence=f"{place_of(one)[-1]}: {one.sentence}",
                    act="close" if is_seen else "look",
                    place=("incidents", one.id),
                    since=one.created_at,
                )

    def rollouts(self) -> Iterator[Need]:
        """Those whose evidence leaves it open, and those that somebody paused."""
        if not self._may("rollouts.decide") or not self._may("endpoints.read"):
            return
        for state in ("shadow", "canary"):
            for one in entries.every(self._tx, Rollout, project=self._project, state=state):
                if one.asked_at is None and one.paused_at is None:
                    continue
                what = f"{one.challenger.model} {one.challenger.number} at {one.name}"
                said = "is undecided: its evidence does not tell" if one.asked_at is not None else "is paused"
                yield Need(
                    kind="rollout",
                    sentence=f"The roll-out of {what} {said}.",
                    act="decide",
                    place=("endpoints", one.name),
                    since=one.asked_at or one.paused_at,
                )

    def approvals(self) -> Iterator[Need]:
        """Versions that wait for their word."""
        now = self._workspace.clock.now()
        wanted = [None] if self._is_open else sorted(self._names)
        for name in wanted:
            for one in entries.every(self._tx, Notice, project=self._project, name=name):
                if one.what == "approve" and is_waited_for(self._tx, one, now):
                    yield Need(
                        kind="approval",
                        sentence=one.sentence,
                        act="decide",
                        place=one.place,
                        since=one.created_at,
                        name=self._of(one.name),
                    )

    def promotions(self) -> Iterator[Need]:
        """Versions on their way into an environment that wait for what they can do."""
        if not self._may("models.read"):
            return
        for one in entries.every(self._tx, Promotion, project=self._project, state="waiting"):
            stage = next((stage for stage in one.stages if stage.state == "waiting"), None)
            if stage is None or not (self._is_open or self._names & set(stage.asked)):
                continue
            yield Need(
                kind="promotion",
                sentence=f"{one.name} {one.version} on its way to {one.target}: {stage.sentence or stage.name}",
                act="go on",
                place=("models", one.name, str(one.arrived or one.version)),
                since=stage.at,
            )

    def handovers(self) -> Iterator[Need]:
        """Models that are offered to them."""
        for one in entries.every(self._tx, Handover, project=self._project, state="offered"):
            if self._is_open or one.to == self._actor.name:
                yield Need(
                    kind="handover",
                    sentence=f"{one.actor} offers {one.name} {one.number} to {one.to}.",
                    act="answer",
                    place=("models", one.name, str(one.number), "handover"),
                    since=one.created_at,
                )

    def asked(self) -> Iterator[Need]:
        """Questions of the cards of what serves that nobody answered, and scopes of theirs that say no measure."""
        if self._may("documents.answer") and self._may("documents.read"):
            revisions = [
                entries.get(self._tx, Revision, id) for id in self._tx.refs(self._project, "endpoint").values()
            ]
            for model in sorted({one.served.model for one in revisions}):
                given = registered.documents(self._tx, self._workspace, model)
                missing = [question for question in MODEL_QUESTIONS if question not in given]
                if missing:
                    many = "1 question" if len(missing) == 1 else f"{len(missing)} questions"
                    yield Need(
                        kind="document",
                        sentence=f"{many} about {model}, which serves, nobody answered yet.",
                        act="answer",
                        place=("documents", "card", model),
                    )
        if self._may("scopes.write") and self._may("scopes.read"):
            for one in entries.every(self._tx, KeptScope, project=self._project):
                terms = one.terms
                is_theirs = terms.owner in self._names or terms.owner in self._actor.roles
                if (self._is_open or is_theirs) and not (terms.metrics or terms.latency_ms or terms.kpi):
                    yield Need(
                        kind="scope",
                        sentence=f"The scope {one.name} says no figure that its model must reach.",
                        act="complete",
                        place=("scopes", one.name),
                        since=one.updated_at,
                    )


def _contracts(workspace: Workspace, *, is_open: bool) -> Iterator[Need]:
    """Metric contracts that stand without a name and are theirs to sign."""
    if not (allowed(workspace.actor, "contracts.read") and allowed(workspace.actor, "contracts.sign")):
        return
    for state in list_contracts(workspace, Empty()).contracts:
        terms = state.contract.terms
        if state.state != "signed" and (is_open or may_sign(workspace, terms.owner)):
            why = f"{state.void}." if state.void else "Nobody has signed it."
            yield Need(
                kind="contract",
                sentence=f"The metric contract on {terms.kpi}: {why}",
                act="read and sign",
                place=("contracts", state.contract.name),
                since=state.contract.created_at,
            )
