"""The RACI of a project as the ledger keeps it: who is what in which stage, with deputies put in for who is away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches

from slipway.errors import Denied, InvalidInput, near
from slipway.governance import notices
from slipway.governance.absences import deputies, stand_in
from slipway.ledger import declared, events
from slipway.operations.declare import Empty, check_allowed
from slipway.operations.permissions import ROLES, allowed
from slipway.operations.responsibility import RaciTable
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.responsibility import LETTERS, STAGES, Letter, Raci, RaciRow, Stage

__all__ = [
    "ACCOUNTABLE",
    "check_holds",
    "check_speaks",
    "declare",
    "declared_raci",
    "get_raci",
    "named",
    "responsible",
]

ACCOUNTABLE = "accountable"
"""The role in which only those speak who are accountable for the stage approve, where a RACI is declared."""

_MISTYPED = 0.85
_LONGEST = 100


def declare(workspace: Workspace, rows: Sequence[RaciRow]) -> None:
    """Keep what slipway.toml says of responsibility, so that a server acts by it without the project's code.

    Who is accountable for approving decides what goes into production, so those who were and those who are hear of a
    change of it.

    Args:
        workspace: The project's, in its environment.
        rows: One a stage; () where slipway.toml says nothing.

    Raises:
        Denied: It is another than before, and whoever asks may neither run the project nor deploy it.
    """
    with workspace.ledger.read() as tx:
        former = declared_raci(tx, workspace)
    if tuple(rows) == (former.rows if former else ()):
        return
    if not allowed(workspace.actor, "runs.write"):  # whoever may run the project may change the table
        check_allowed(workspace, "raci.declare", "endpoints.deploy")
    with workspace.ledger.write() as tx:
        former = declared_raci(tx, workspace)
        kept = declared.keep(tx, workspace, Raci, rows=tuple(rows))
        before, after = (_of(one, "approve", "accountable") for one in (former, kept))
        if before != after:
            told = (
                f"{workspace.actor} changed who is accountable for approving in {workspace.project} "
                f"({workspace.environment}): {', '.join(before) or 'nobody'} before, {', '.join(after) or 'nobody'} now."
            )
            about = f"raci:{kept.id}"
            notices.tell(tx, workspace, {*before, *after}, "told", about=about, sentence=told)
        events.record(tx, workspace, "raci.declare", f"raci:{kept.id}", approve=list(after))


def declared_raci(tx: ReadTransaction, workspace: Workspace) -> Raci | None:
    """What was declared last for the workspace's environment; None while nothing was."""
    return declared.last(tx, workspace, Raci)


def get_raci(workspace: Workspace, request: Empty) -> RaciTable:
    """Who is what in the project, and who stands in for whom now."""
    with workspace.ledger.read() as tx:
        found = declared_raci(tx, workspace)
        away = deputies(tx, workspace.clock.now())
    rows = found.rows if found else ()
    meant = {name for row in rows for letter in LETTERS for name in getattr(row, letter)}
    return RaciTable(raci=found, away={name: stand_in(away, name) for name in sorted(meant & set(away))})


def named(tx: ReadTransaction, workspace: Workspace, stage: str, letter: Letter) -> tuple[str, ...]:
    """Those whom slipway.toml names, whether they are there or away; () where it declares no RACI."""
    return _of(declared_raci(tx, workspace), stage, letter)


def responsible(workspace: Workspace, stage: str, letter: Letter, at: datetime) -> tuple[str, ...]:
    """Who has a letter in a stage: names, deputies already put in for who is away.

    Args:
        workspace: The project's, in its environment.
        stage: One of `STAGES`.
        letter: One of `LETTERS`.
        at: When, business time.

    Returns:
        Names, each once. Who is away without anybody to stand in stays: better a letter that waits than none. () where
        no RACI is declared.

    Raises:
        InvalidInput: There is no such stage or letter.
    """
    for given, known, what in ((stage, STAGES, "stages"), (letter, LETTERS, "letters")):
        if given not in known:
            raise InvalidInput(f"{given!r} is none of the {what}.", fix=near(given, known, what=what), field=what)
    with workspace.ledger.read() as tx:
        names, away = named(tx, workspace, stage, letter), deputies(tx, at)
    return tuple(dict.fromkeys(stand_in(away, name) or name for name in names))


def check_speaks(workspace: Workspace, role: str) -> None:
    """Make sure that whoever asks may give their word in a role.

    Args:
        workspace: Says who asks.
        role: In which role; any but `ACCOUNTABLE` is not this table's matter.

    Raises:
        Denied: A RACI is declared, and neither they nor anybody for whom they stand in is accountable for approving.
    """
    if role != ACCOUNTABLE:
        return
    with workspace.ledger.read() as tx:
        found = declared_raci(tx, workspace)
        away = deputies(tx, workspace.clock.now())
    if found is None or not found.rows:
        return
    names = _of(found, "approve", "accountable")
    who = workspace.actor.name
    if who in names or who in {stand_in(away, name) for name in names}:
        return
    answering = [
        f"{name} (away, {stand_in(away, name) or 'nobody'} stands in)" if name in away else name for name in names
    ]
    raise Denied(
        f"{who} is not accountable for approving in {workspace.project} ({workspace.environment}).",
        why=f"slipway.toml makes accountable: {', '.join(answering) or 'nobody'}.",
        fix=f"Ask {stand_in(away, names[0]) or names[0]} to do this."
        if names
        else 'Name one in slipway.toml, [raci.approve] accountable = "NAME", and run the project.',
    )


def check_holds(workspace: Workspace, role: str) -> None:
    """Make sure that whoever asks holds the role in which they give their word; a word of the project's own is no role.

    Raises:
        InvalidInput: It is no word, or a role mistyped: a gate would never find it.
        Denied: They do not hold it.
    """
    meant = [] if role in ROLES else get_close_matches(role, ROLES, n=1, cutoff=_MISTYPED)
    if meant or not role.strip() or not role.isprintable() or len(role) > _LONGEST:
        raise InvalidInput(
            f"{role[:_LONGEST]!r} is no role.",
            fix=f"Did you mean {meant[0]!r}?" if meant else "Say in which role: --role accountable",
            field="role",
        )
    giver = workspace.actor
    if workspace.identity is not None and role in ROLES and role not in giver.roles:
        raise Denied(
            f"{giver.name} cannot speak as {role}.",
            why=f"They hold: {', '.join(giver.roles) or 'no role here'}.",
            fix=f"Ask somebody who is {role}: slipway people list",
        )


def _of(raci: Raci | None, stage: Stage | str, letter: Letter) -> tuple[str, ...]:
    rows = raci.rows if raci else ()
    found: tuple[str, ...] = next((getattr(row, letter) for row in rows if row.stage == stage), ())
    return found
