"""Scopes in the ledger: written before any model exists, and each need judged by what is known since."""

from __future__ import annotations

from collections import Counter

from slipway.errors import Conflict, NotFound, near
from slipway.flows.contract_words import changes
from slipway.flows.scope_evidence import requirements, runs_of
from slipway.governance.notices import tell
from slipway.governance.telling import assigned_owner
from slipway.ledger import entries, events
from slipway.operations.declare import Empty
from slipway.operations.scopes import GetScope, KeepScope, ScopeDetail, Scopes, ScopeState
from slipway.ports.workspace import Workspace
from slipway.records.scopes import KeptScope
from slipway.schema.scope import checked

__all__ = ["get_scope", "keep", "kept_scope", "list_scopes"]

_MANY = 1000


def list_scopes(workspace: Workspace, request: Empty) -> Scopes:
    """All scopes of the project, by name."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, KeptScope, project=workspace.project, limit=_MANY)
    return Scopes(scopes=tuple(_state(workspace, one) for one in sorted(found, key=lambda one: one.name)))


def get_scope(workspace: Workspace, request: GetScope) -> ScopeDetail:
    """One scope with each of its needs.

    Raises:
        NotFound: There is none.
    """
    return _detail(workspace, kept_scope(workspace, request.name))


def keep(workspace: Workspace, request: KeepScope) -> ScopeDetail:
    """Write a scope down; the same again writes nothing. Its owner is told of it.

    Raises:
        InvalidInput: It has no decision or no owner, a number is none, or two needs contradict each other.
        Conflict: It changed since it was read.
    """
    terms = checked(request.terms)
    id, now = f"{workspace.project}/{terms.name}", workspace.clock.now()
    with workspace.ledger.write() as tx:
        former = entries.get(tx, KeptScope, id) if entries.etag(tx, KeptScope, id) else None
        if request.former and (former is None or former.digest != request.former):
            raise Conflict(
                f"The scope {terms.name!r} changed since you read it.",
                why="What somebody else wrote would be lost.",
                fix=f"Read it again: slipway scope show {terms.name}",
            )
        if former is not None and former.digest == terms.digest:
            found = former
        else:
            found = KeptScope(
                id=id,
                project=workspace.project,
                name=terms.name,
                created_at=former.created_at if former else now,
                number=former.number + 1 if former else 1,
                terms=terms,
                digest=terms.digest,
                actor=workspace.actor,
                updated_at=now,
                changes=changes(former.terms, terms) if former else (),
            )
            entries.put(tx, found)
            about = f"scope:{id}"
            events.record(tx, workspace, "scopes.keep", about, digest=found.digest, changes=list(found.changes))
            tell(
                tx, workspace, assigned_owner(tx, workspace, terms.owner), "told", about=about,
                sentence=f"{workspace.actor} wrote down what {terms.name} is wanted for; you are its owner.",
                place=("scopes", terms.name), occasion=f"{about} {found.digest}",
            )  # fmt: skip
    return _detail(workspace, found)


def kept_scope(workspace: Workspace, name: str) -> KeptScope:
    """A scope by its name.

    Raises:
        NotFound: There is none.
    """
    with workspace.ledger.read() as tx:
        id = f"{workspace.project}/{name}"
        if entries.etag(tx, KeptScope, id):
            return entries.get(tx, KeptScope, id)
        known = [one.name for one in entries.find(tx, KeptScope, project=workspace.project, limit=_MANY)]
    fix = near(name, known, what="scopes") if known else f"Write one: slipway scope new {name}"
    raise NotFound(f"There is no scope {name!r} in {workspace.project!r}.", fix=fix)


def _detail(workspace: Workspace, found: KeptScope) -> ScopeDetail:
    needs = requirements(workspace, found.terms)
    return ScopeDetail(scope=found, requirements=needs, studies=runs_of(workspace, found.terms))


def _state(workspace: Workspace, found: KeptScope) -> ScopeState:
    counted = Counter(one.state for one in requirements(workspace, found.terms))
    return ScopeState(
        scope=found,
        measured=counted["measured"],
        missed=counted["missed"],
        unmeasured=counted["not yet measured"],
    )
