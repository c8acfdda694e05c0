"""Who is asked: who answers for what in a project, with deputies put in for who is away, and whose word can be given at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from slipway.governance.absences import deputies, stand_in
from slipway.governance.people import identity_of, known
from slipway.governance.raci import ACCOUNTABLE, declared_raci
from slipway.operations.permissions import ROLES, allowed, roles_with
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.people import Person
from slipway.records.responsibility import Letter, RaciRow, Stage

__all__ = ["Asked", "TooFew", "asked"]

_APPROVE = "approvals.grant"
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TooFew:
    """Why words that are asked for can never be given.

    Args:
        found: In words, without a full stop.
        fix: What to change.
    """

    found: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who answers for what in a project at an instant.

    Args:
        project: Which one.
        rows: Its RACI, one row a stage; () where none is declared.
        away: Who is away, and the deputy that each named: see `deputies`.
        people: Those who are known and not disabled.
    """

    project: str
    rows: Sequence[RaciRow]
    away: Mapping[str, str]
    people: Sequence[Person]

    def named(self, stage: Stage, letter: Letter) -> tuple[str, ...]:
        """Those whom slipway.toml names, whether they are there or away."""
        found: tuple[str, ...] = next((getattr(row, letter) for row in self.rows if row.stage == stage), ())
        return found

    def acting(self, stage: Stage, letter: Letter) -> tuple[str, ...]:
        """The same, deputies put in for who is away. Who is away without anybody to stand in stays."""
        return tuple(dict.fromkeys(stand_in(self.away, name) or name for name in self.named(stage, letter)))

    def shown(self, stage: Stage, letter: Letter) -> str:
        """The same in words, with whose deputy each is; "" for nobody."""
        return ", ".join(self._shown(name) for name in self.named(stage, letter))

    def holders(self, role: str) -> tuple[str, ...]:
        """Those who hold a role in the project; for a word of the project's own, those who may give it."""
        if role in ROLES:
            return tuple(one.name for one in self.people if _holds(one, role, self.project))
        return tuple(one.name for one in self.people if self._may(one))

    def helpers(self, role: str, names: Sequence[str] | None = None) -> str:
        """Some of those who hold a role in words; the role itself where nobody is known to.

        Args:
            role: Which one.
            names: Who of them; all when None.
        """
        if names is None:
            names = self.holders(role) if role in ROLES else ()
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"{', '.join(names[:_SHOWN])}{more} ({role})" if names else role

    def speakers(self, role: str, authors: Collection[str] = ()) -> tuple[str, ...] | None:
        """Those whose approval in a role would count; None for whoever asks, where nobody is known.

        Args:
            role: A built-in role, `ACCOUNTABLE`, or a word of the project's own.
            authors: Who made what is to be approved.
        """
        may = {one.name for one in self.people if self._may(one)}
        if role == ACCOUNTABLE and self.rows:
            names = self._answering()
            found = tuple(name for name in names if name in may) if self.people else names
        elif not self.people:
            return None
        else:
            found = tuple(name for name in self.holders(role) if name in may)
        return tuple(name for name in found if name not in authors)

    def too_few(
        self, role: str, count: int, *, authors: Collection[str] = (), given: Collection[str] = ()
    ) -> TooFew | None:
        """Why nobody, or fewer than are asked for, can give their word in a role; None where it can be given.

        Args:
            role: In which role.
            count: How many different people are asked for.
            authors: Who made what is to be approved.
            given: Whose word counts already.
        """
        found = self.speakers(role, authors)
        if found is None or len({*found, *given}) >= count:
            return None
        asks = _asks(count)
        if role == ACCOUNTABLE and self.rows:
            return self.too_few_named(count, given) or self._too_few_who_may(asks, authors)
        may = f"{len(found)} may: {', '.join(found)}" if found else "nobody who is known may"
        if role in ROLES and role not in roles_with(_APPROVE):
            fix = f"Ask for a role that may, in the gate or the floor: {', '.join(_approving())}"
        else:
            wanted = f'"{role}"' if role in ROLES else f'"{_approving()[0]}"'
            fix = (
                f"Give the role to somebody who did not make it: slipway people grant NAME {wanted} --in {self.project}"
            )
        return TooFew(found=f"{asks} as {role}, and {may}", fix=fix)

    def too_few_named(self, count: int, given: Collection[str] = ()) -> TooFew | None:
        """Why slipway.toml leaves fewer people to approve as accountable than are asked for, whoever they are.

        Args:
            count: How many are asked for.
            given: Whose word counts already.
        """
        names = self._answering()
        said = f"{_asks(count)} as {ACCOUNTABLE}, and slipway.toml makes"
        if len({*names, *given}) >= count:
            return None
        if not names:
            fix = 'Name somebody in slipway.toml, [raci.approve] accountable = "NAME", and run the project.'
            return TooFew(found=f"{said} nobody accountable for approving", fix=fix)
        others = "the other word" if count == 2 else "the other words"
        declared = self.named("approve", "accountable")
        deputies = [name for name in names if name not in declared]
        beside = f" ({', '.join(deputies)} standing in)" if deputies else ""
        return TooFew(
            found=f"{said} {len(declared)} accountable for approving: {', '.join(declared)}{beside}",
            fix=f"Ask for {others} in another role, in the gate or the floor: "
            f"sw.approval({ACCOUNTABLE!r}), sw.approval('governance')",
        )

    def _too_few_who_may(self, asks: str, authors: Collection[str]) -> TooFew:
        """The same of those who are named and do not count: they made it, or have not the right."""
        names = self._answering()
        who = f"{asks} as {ACCOUNTABLE}, which is {', '.join(names)}"
        made = [name for name in names if name in authors]
        if made:
            fix = 'Name somebody else in slipway.toml, [raci.approve] accountable = "NAME", and run the project.'
            return TooFew(found=f"{who}; {', '.join(made)} made it, and nobody approves their own", fix=fix)
        less = [name for name in names if name not in (self.speakers(ACCOUNTABLE) or ())]
        fix = f'Give a role that may: slipway people grant {less[0]} "{_approving()[0]}" --in {self.project}'
        return TooFew(found=f"{who}; {', '.join(less)} may not approve", fix=fix)

    def _answering(self) -> tuple[str, ...]:
        """Who is accountable for approving, and who stands in for them now."""
        names = self.named("approve", "accountable")
        standing = (stand_in(self.away, name) for name in names)
        return tuple(dict.fromkeys([*names, *(name for name in standing if name)]))

    def _shown(self, name: str) -> str:
        if name not in self.away:
            return name
        acting = stand_in(self.away, name)
        return (
            f"{acting} for {name}, who is away" if acting else f"{name}, who is away and named no deputy who is there"
        )

    def _may(self, person: Person) -> bool:
        return allowed(identity_of(person).actor_in(self.project), _APPROVE)


def asked(tx: ReadTransaction, workspace: Workspace, rows: Sequence[RaciRow] | None = None) -> Asked:
    """Who answers for what now.

    Args:
        tx: A transaction.
        workspace: The project's, in its environment.
        rows: A RACI that is not kept yet; None for the one that is.
    """
    found = declared_raci(tx, workspace) if rows is None else None
    return Asked(
        project=workspace.project,
        rows=(found.rows if found else ()) if rows is None else tuple(rows),
        away=deputies(tx, workspace.clock.now()),
        people=tuple(one for one in known(tx) if one.disabled_at is None),
    )


def _asks(count: int) -> str:
    return f"{count} people are asked to approve" if count > 1 else "somebody is asked to approve"


def _approving() -> list[str]:
    return [role for role in roles_with(_APPROVE) if role != "admin"]


def _holds(person: Person, role: str, project: str) -> bool:
    return any(grant.role == role and grant.project in ("", project) for grant in person.grants)
