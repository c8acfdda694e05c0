"""Who calls an endpoint, and whom another contract would break."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from slipway.errors import Conflict, Corrupt, NotFound
from slipway.flows.endpoints import folder_of, revision_of
from slipway.ledger import entries, events
from slipway.operations.endpoints import AskCallers, CallerRow, Callers
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records import callers as told
from slipway.records.endpoints import Contract, Revision
from slipway.records.people import Person, Token
from slipway.records.schema import Field
from slipway.serving.callers import LIMITED, read_seen

__all__ = ["SEEN_WITHIN", "Audited", "Break", "breaks_seen", "broken", "check_breaks", "list_callers", "tell_breaks"]

SEEN_WITHIN = timedelta(days=30)
"""A caller that was not seen for longer is no reason to refuse a contract."""

_MOST = 10_000
_LABELS = "labels"
_PREDICT = "predict"
_WIDER = {("int", "float"), ("category", "string"), ("string", "category")}
"""What a caller sent for the first type is taken for the second, and means the same."""


class Audited(Protocol):
    """Writes into the audit log what was let through; nothing where nothing came of it."""

    def __call__(self, tx: WriteTransaction, is_so: bool = True) -> None:
        """Write it."""
        ...


class Break(msgspec.Struct, frozen=True):
    """One thing that a contract takes from its callers.

    Args:
        sentence: What, beginning with the field.
        route: Whose requests it breaks: "predict" or "labels".
    """

    sentence: str
    route: str = _PREDICT


def list_callers(workspace: Workspace, request: AskCallers) -> Callers:
    """Everybody who may call an endpoint or did, those seen last first.

    Raises:
        NotFound: Nothing was ever deployed there.
    """
    revision_of(workspace, request.name)
    seen = read_seen(folder_of(workspace, request.name))
    may = _may(workspace, request.name)
    with workspace.ledger.read() as tx:
        people = {one.name: one for one in entries.find(tx, Person, limit=_MOST)}
        makers = {
            name: _makers(entries.find(tx, Token, name=name, limit=_MOST), workspace) for name in may | seen.keys()
        }
    rows = []
    for name in may | seen.keys():
        routes, person = seen.get(name, {}), people.get(name)
        pushed = [routes[route] for route in (_LABELS, "events") if route in routes]
        is_service = person is not None and person.is_service
        rows.append(
            CallerRow(
                name=name,
                is_service=is_service,
                owners=makers[name] if is_service else (name,),
                may=name in may,
                predict=routes.get(_PREDICT),
                push=max(pushed, default=None),
                limited=routes.get(LIMITED),
            )
        )
    return Callers(callers=tuple(sorted(rows, key=lambda row: (-_last(row), row.name))))


def check_breaks(workspace: Workspace, draft: Revision, reason: str) -> Audited:
    """Refuse a revision whose contract would break a caller that was seen lately, unless somebody says why it may.

    Args:
        workspace: Whose endpoint.
        draft: What is to serve.
        reason: Why it may, "" where it may not.

    Returns:
        What is written into the audit log in the transaction in which the revision is.

    Raises:
        Conflict: It would; the sentence names callers, their owners and what breaks them.
    """
    try:
        present = revision_of(workspace, draft.name)
    except NotFound:
        return _nothing
    breaks, hit = breaks_seen(workspace, draft.name, present.contract, draft.contract)
    if not hit:
        return _nothing
    since = workspace.clock.now() - SEEN_WITHIN
    changes = [found.sentence for found in breaks if any(_was_seen(one, found.route, since) for one in hit)]
    names = ", ".join(f"{one.name} (for whom {' and '.join(one.owners) or 'nobody'} answers)" for one in hit)
    served = draft.served
    if not reason:
        environment = "" if workspace.environment == "dev" else f" --env {workspace.environment}"
        raise Conflict(
            f"{served.model} {served.number} would break callers of {draft.name!r}: {'; '.join(changes)}.",
            why=f"Within {SEEN_WITHIN.days} days it was called by {names}.",
            fix=f"Talk to them, then: slipway deploy {served.model} --version {served.number} "
            f"--endpoint {draft.name}{environment} --break WHY",
        )
    workspace.say(f"{draft.name} breaks {names}: {'; '.join(changes)}.")

    def write(tx: WriteTransaction, is_so: bool = True) -> None:
        if is_so:
            subject, who = f"endpoint:{workspace.project}/{draft.name}", [one.name for one in hit]
            events.record(tx, workspace, "endpoints.break", subject, callers=who, changes=changes, reason=reason)

    return write


def breaks_seen(
    workspace: Workspace, name: str, former: Contract, other: Contract
) -> tuple[list[Break], list[CallerRow]]:
    """What another contract takes from an endpoint's callers, and those of them that were seen lately.

    Args:
        workspace: Whose endpoint.
        name: The endpoint.
        former: The contract that it has.
        other: The one that it would have.
    """
    breaks = broken(former, other)
    callers = list_callers(workspace, AskCallers(name=name)).callers if breaks else ()
    since = workspace.clock.now() - SEEN_WITHIN
    return breaks, [one for one in callers if any(_was_seen(one, found.route, since) for found in breaks)]


def tell_breaks(workspace: Workspace, draft: Revision) -> None:
    """Say whom a revision's contract would break, where nothing is deployed yet."""
    try:
        check_breaks(workspace, draft, "")
    except Conflict as problem:
        workspace.say(str(problem))


def _nothing(tx: WriteTransaction, is_so: bool = True) -> None:
    """What is audited where nobody is broken."""


def broken(former: Contract, other: Contract) -> list[Break]:
    """What requests that fit a contract would be refused for by another one.

    A field that a request need not carry any more breaks nobody, unless unknown fields are refused: it is passed over.
    """
    known = {field.name: field for field in former.fields}
    wanted = {field.name: field for field in other.fields}
    found = [Break(f"{name} is a new field, which every request must carry") for name in wanted if name not in known]
    found += [problem for name, field in wanted.items() if name in known for problem in _changed(known[name], field)]
    if other.strict:
        found += [Break(f"{name} is no field any more, and is refused") for name in known if name not in wanted]
        if not former.strict:
            found.append(Break("fields that the contract does not know are refused from now on"))
    for what, before, now in (
        ("rows", former.max_rows, other.max_rows),
        ("bytes", former.max_bytes, other.max_bytes),
        ("rows in Arrow", former.bulk_rows, other.bulk_rows),
        ("bytes in Arrow", former.bulk_bytes, other.bulk_bytes),
    ):
        if now < before:
            found.append(Break(f"a request may carry {now:,} {what} only, and could carry {before:,}"))
    if former.key and former.key != other.key:
        now_key = ", ".join(other.key) or "nothing"
        found.append(Break(f"labels are matched by {now_key}, and were by {', '.join(former.key)}", _LABELS))
    return found


def _changed(former: Field, field: Field) -> list[Break]:
    found = []
    if field.type not in (former.type, "object") and (former.type, field.type) not in _WIDER:
        found.append(Break(f"{field.name} is of {field.type}, and was of {former.type}"))
    if former.nullable and not field.nullable:
        found.append(Break(f"{field.name} may be null no more"))
    return found


def _was_seen(row: CallerRow, route: str, since: datetime) -> bool:
    at = row.push if route == _LABELS else row.predict
    return at is not None and at >= since


def _last(row: CallerRow) -> float:
    return max((at.timestamp() for at in (row.predict, row.push) if at is not None), default=0.0)


def _may(workspace: Workspace, name: str) -> set[str]:
    """Who is let in by the list that the endpoint's folder holds."""
    try:
        payload = workspace.signer.verify(
            (folder_of(workspace, name) / told.CALLERS_FILE).read_bytes(), told.CALLERS_TYPE
        )
        known = msgspec.json.decode(payload, type=told.Callers)
    except (FileNotFoundError, Corrupt, msgspec.DecodeError):
        return set()
    return {one.name for one in known.tokens.values() if {told.PREDICT, told.PUSH} & set(one.rights)}


def _makers(tokens: list[Token], workspace: Workspace) -> tuple[str, ...]:
    now = workspace.clock.now()
    good = [one for one in tokens if one.revoked_at is None and one.expires_at > now]
    return tuple(sorted({one.made_by for one in good or tokens}))
