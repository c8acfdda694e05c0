"""Metric contracts in the ledger: drafted by the project's code, signed by their owner, void once anything in them changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from slipway.errors import Conflict, Denied, NotFound, near
from slipway.flows.contract_words import changed_words, changes, words
from slipway.gates import evidence as make
from slipway.governance.asked import asked
from slipway.governance.people import somebody_is_known
from slipway.governance.telling import assigned_owner, tell_of_contract
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.ledger.sealed_records import kept
from slipway.operations.contracts import ContractDetail, Contracts, ContractState, GetContract, SignContract
from slipway.operations.declare import Empty, check_allowed
from slipway.operations.permissions import ROLES
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.contracts import ContractSignature, ContractTerms, KeptContract
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.gates import Evidence, GateSpec
from slipway.records.monitors import Finding

__all__ = [
    "contracts_of", "draft", "get_contract", "keep", "list_contracts", "may_sign", "sign", "signed_as_declared",
    "signed_evidence", "state_of",
]  # fmt: skip

_MANY = 1000


def draft(workspace: Workspace, terms: ContractTerms) -> ContractState:
    """Keep a contract as the project's code says it, before or without an endpoint.

    Raises:
        Denied: The actor may not declare endpoints, which contracts are a part of.
    """
    check_allowed(workspace, "contracts.draft", "endpoints.declare")
    with workspace.ledger.write() as tx:
        keep(tx, workspace, terms)
        return state_of(tx, workspace, _kept(tx, workspace, terms.slug))


def keep(tx: WriteTransaction, workspace: Workspace, terms: ContractTerms, *, endpoint: str = "") -> None:
    """Keep a contract within a transaction; the same again writes nothing. Its owner hears of one that is to be signed.

    Args:
        tx: The transaction.
        workspace: Whose.
        terms: As declared now.
        endpoint: The endpoint that is under it, "" for none.
    """
    id = declared_id(workspace.project, workspace.environment, terms.slug)
    former = entries.get(tx, KeptContract, id) if entries.etag(tx, KeptContract, id) else None
    endpoints = tuple(dict.fromkeys([*(former.endpoints if former else ()), *([endpoint] if endpoint else [])]))
    is_same = former is not None and former.digest == terms.digest
    if former is not None and is_same and endpoints == former.endpoints:
        return
    found = KeptContract(
        id=id,
        project=workspace.project,
        name=terms.slug,
        created_at=former.created_at if former is not None and is_same else workspace.clock.now(),
        number=former.number + (not is_same) if former else 1,
        terms=terms,
        digest=terms.digest,
        endpoints=endpoints,
        actor=former.actor if former is not None and is_same else workspace.actor,
        standing=former.standing if former is not None and is_same else None,
    )
    entries.put(tx, found)
    if is_same:
        return
    what = changes(former.terms, terms) if former else ()
    events.record(tx, workspace, "contracts.draft", f"contract:{id}", digest=found.digest, changes=list(what))
    state = state_of(tx, workspace, found)
    if state.by == "":
        told = "is void, for it changed" if state.state == "void" else "waits for its owner's name"
        sentence = f"The metric contract on {terms.kpi!r} {told}: slipway contract sign {terms.slug}"
        tell_of_contract(
            tx, workspace, assigned_owner(tx, workspace, terms.owner), found, sentence, "asked", found.digest
        )


def contracts_of(tx: ReadTransaction, workspace: Workspace, endpoint: str) -> list[ContractTerms]:
    """The contracts that an endpoint is under, as declared."""
    id = declared_id(workspace.project, workspace.environment, endpoint)
    if not entries.etag(tx, DeclaredEndpoint, id):
        return []
    declared = entries.get(tx, DeclaredEndpoint, id)
    found = [declared.kpi, *(monitor.contract for monitor in declared.monitors)]
    return list({one.slug: one for one in found if one is not None}.values())


def list_contracts(workspace: Workspace, request: Empty) -> Contracts:
    """All contracts of the project in this environment, by name."""
    home = declared_id(workspace.project, workspace.environment, "")
    with workspace.ledger.read() as tx:
        found = [
            one
            for one in entries.find(tx, KeptContract, project=workspace.project, limit=_MANY)
            if one.id.startswith(home)
        ]
        return Contracts(
            contracts=tuple(state_of(tx, workspace, one) for one in sorted(found, key=lambda one: one.name))
        )


def get_contract(workspace: Workspace, request: GetContract) -> ContractDetail:
    """One contract in plain words, with its signatures and what was found last.

    Raises:
        NotFound: There is none.
    """
    with workspace.ledger.read() as tx:
        found = _kept(tx, workspace, request.kpi)
        signatures = tuple(_signatures(tx, workspace, found.name))
        state = state_of(tx, workspace, found)
        signed = next((one.terms for one in signatures if one.state == "signed" and one.terms is not None), None)
        is_void = state.state == "void" and signed is not None
        return ContractDetail(
            found=state,
            words=words(found.terms, found.endpoints),
            signatures=signatures,
            findings=tuple(_findings(tx, workspace, found)),
            changed=changed_words(signed, found.terms, found.endpoints) if is_void and signed is not None else (),
            may_sign=may_sign(workspace, found.terms.owner),
            unowned=_unowned(tx, workspace, found.terms.owner),
        )


def sign(workspace: Workspace, request: SignContract) -> ContractState:
    """Sign a contract as it stands, or take one's name back.

    Raises:
        NotFound: There is no such contract, or there is no name to be taken back.
        Conflict: It changed since it was read.
        Denied: Whoever asks is not its owner.
    """
    with workspace.ledger.write() as tx:
        found = _kept(tx, workspace, request.kpi)
        actor, owner = workspace.actor, found.terms.owner
        if request.digest and request.digest != found.digest:
            raise Conflict(
                f"The metric contract on {found.terms.kpi!r} changed since you read it.",
                why="A name stands under the very terms that were read.",
                fix=f"Read it again: slipway contract show {found.name}",
            )
        if not may_sign(workspace, owner):
            who = f"whoever is {owner}" if owner in ROLES else owner
            raise Denied(
                f"{actor.name} is not the owner of the metric contract on {found.terms.kpi!r}.",
                why=f"Its owner, {who}, answers for it.",
                fix=f"Ask them: slipway contract sign {found.name}",
            )
        mine = [one for one in _signatures(tx, workspace, found.name) if one.actor.name == actor.name]
        is_mine = bool(mine) and mine[0].state == "signed" and mine[0].digest == found.digest
        if request.withdraw and not is_mine:
            raise NotFound(
                f"{actor.name} has not signed {found.terms.kpi!r} as it stands.",
                fix=f"slipway contract show {found.name}",
            )
        if is_mine and not request.withdraw:
            return state_of(tx, workspace, found)
        signature = ContractSignature(
            id=new_id(),
            project=workspace.project,
            name=found.name,
            created_at=workspace.clock.now(),
            parent_id=f"{workspace.project}/{found.name}",
            digest=found.digest,
            state="withdrawn" if request.withdraw else "signed",
            actor=actor,
            comment=request.comment,
            terms=found.terms,
        )
        entries.put(tx, signature, expect=0)
        about = f"contract:{found.id}"
        events.record(
            tx, workspace, "contracts.sign", about, state=signature.state, digest=found.digest, kept=kept(signature)
        )
        if found.actor.name != actor.name:
            said = "withdrew the name from" if request.withdraw else "signed"
            sentence = f"{actor.name} {said} the metric contract on {found.terms.kpi!r}."
            tell_of_contract(tx, workspace, [found.actor.name], found, sentence, "told", signature.id)
        return state_of(tx, workspace, found)


def may_sign(workspace: Workspace, owner: str) -> bool:
    """Whether whoever asks owns a contract: by name, or by a role that they hold."""
    actor = workspace.actor
    return workspace.identity is None or actor.name == owner or owner in actor.roles


def _unowned(tx: ReadTransaction, workspace: Workspace, owner: str) -> str:
    """Why nobody can sign a contract; "" where somebody can, or where the store knows nobody."""
    if not somebody_is_known(tx):
        return ""
    there = asked(tx, workspace)
    if owner in ROLES:
        return "" if there.holders(owner) else f"Nobody holds the role {owner}: slipway people grant NAME {owner!r}"
    if any(one.name == owner for one in there.people):
        return ""
    return f"Nobody here is called {owner} (any more): declare it with another owner, sw.MetricContract(..., owner=...)"


def state_of(tx: ReadTransaction, workspace: Workspace, found: KeptContract) -> ContractState:
    """Whether a contract is signed as it stands; where it was and is not, what made it void."""
    latest: dict[str, ContractSignature] = {}
    for one in reversed(_signatures(tx, workspace, found.name)):
        latest[one.actor.name] = one
    signed = [one for one in latest.values() if one.state == "signed"]
    valid = [one for one in signed if one.digest == found.digest]
    alarm = any(finding.state == "alert" for finding in _findings(tx, workspace, found))
    if valid:
        first = min(valid, key=lambda one: (one.created_at, one.id))
        return ContractState(contract=found, state="signed", by=first.actor.name, on=first.created_at, alarm=alarm)
    if signed:
        last = max(signed, key=lambda one: (one.created_at, one.id))
        void = f"{last.actor.name} signed other terms on {last.created_at:%Y-%m-%d}, and they changed since"
        return ContractState(contract=found, state="void", void=void, alarm=alarm)
    return ContractState(contract=found, state="drafted", alarm=alarm)


def signed_evidence(workspace: Workspace, gate: GateSpec, subject: str, at: datetime, endpoint: str) -> list[Evidence]:
    """Who signed the contracts that an endpoint is under, one record a check.

    Args:
        workspace: Where they are kept.
        gate: The effective gate.
        subject: The bundle's digest.
        at: Business time.
        endpoint: Where the model would serve.
    """
    found = []
    with workspace.ledger.read() as tx:
        terms = contracts_of(tx, workspace, endpoint)
        for check in gate.checks:
            if check.kind != "contract_signed":
                continue
            asked = [one for one in terms if check.metric in ("", one.kpi, one.slug)]
            contracts = [signed_as_declared(tx, workspace, one) for one in asked]
            found.append(make.behaviour(check, subject, at, contracts=contracts))
    return found


def signed_as_declared(tx: ReadTransaction, workspace: Workspace, terms: ContractTerms) -> dict[str, str]:
    """Whether the very terms are signed that an endpoint is declared with, as evidence tells it: `by`, `on`, `void`."""
    id = declared_id(workspace.project, workspace.environment, terms.slug)
    told = {
        "kpi": terms.kpi,
        "slug": terms.slug,
        "owner": terms.owner,
        "digest": terms.digest,
        "by": "",
        "on": "",
        "void": "",
    }
    if not entries.etag(tx, KeptContract, id):
        return told
    state = state_of(tx, workspace, msgspec.structs.replace(entries.get(tx, KeptContract, id), digest=terms.digest))
    on = "" if state.on is None else f"{state.on:%Y-%m-%d}"
    return told | {"by": state.by, "on": on, "void": state.void}


def _kept(tx: ReadTransaction, workspace: Workspace, kpi: str) -> KeptContract:
    slug = kpi.replace(" ", "-")
    id = declared_id(workspace.project, workspace.environment, slug)
    if entries.etag(tx, KeptContract, id):
        return entries.get(tx, KeptContract, id)
    known = [one.name for one in entries.find(tx, KeptContract, project=workspace.project, limit=_MANY)]
    fix = near(slug, known, what="contracts") if known else "Draft what the project declares: slipway contract draft"
    raise NotFound(f"There is no metric contract {kpi!r} in {workspace.environment}.", fix=fix)


def _signatures(tx: ReadTransaction, workspace: Workspace, slug: str) -> Sequence[ContractSignature]:
    """All that were given, the newest first."""
    found = entries.find(tx, ContractSignature, parent=f"{workspace.project}/{slug}", limit=_MANY)
    return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)


def _findings(tx: ReadTransaction, workspace: Workspace, found: KeptContract) -> list[Finding]:
    last = [
        entries.find(tx, Finding, parent=f"{workspace.project}/{name}", name=found.terms.kpi, limit=1)
        for name in found.endpoints
    ]
    return [one for each in last for one in each]
