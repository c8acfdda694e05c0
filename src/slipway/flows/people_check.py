"""Gaps in who answers for what: found before an incident or an approval falls into one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from slipway.errors import near
from slipway.flows.approve import authors_of
from slipway.flows.floors import floor_of
from slipway.flows.handover import mismatches
from slipway.governance.absences import deputies, stand_in
from slipway.governance.asked import asked
from slipway.governance.people import identity_of, known
from slipway.governance.raci import declared_raci
from slipway.ledger import entries
from slipway.operations.declare import Empty, check_allowed
from slipway.operations.permissions import allowed, roles_with
from slipway.operations.responsibility import Gap, Gaps
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.gates import CheckSpec
from slipway.records.models import ModelVersion
from slipway.records.people import Person
from slipway.records.responsibility import DEFAULT, LETTERS, Raci, RaciRow

__all__ = ["check", "check_rows"]

_FILE = "slipway.toml"
_NEEDS = {("approve", "accountable"): "approvals.grant"}
"""The right that a letter cannot do without; every other one needs to see the project."""


def check(workspace: Workspace, request: Empty) -> Gaps:
    """Look for gaps in what the ledger keeps."""
    with workspace.ledger.read() as tx:
        found = declared_raci(tx, workspace)
    return check_rows(workspace, found.rows if found else ())


def check_rows(workspace: Workspace, rows: Sequence[RaciRow]) -> Gaps:
    """Look for gaps in what slipway.toml says, whether it is kept already or not.

    Args:
        workspace: Knows the people, their absences and what they made.
        rows: One a stage; () for no RACI.

    Raises:
        Denied: Whoever asks may not see the project.
    """
    check_allowed(workspace, "raci.check", "projects.read")
    if not rows:
        fix = f'Write into {_FILE}: [raci.default] responsible = ["NAME"], accountable = "NAME"; then run the project.'
        said = f"{workspace.project} does not say who answers for what: incidents go to roles, and anybody may approve."
        return Gaps(gaps=(Gap(stage="", sentence=said, fix=fix),), stages=0)
    now = workspace.clock.now()
    with workspace.ledger.read() as tx:
        people = {person.name: person for person in known(tx)}
        away = deputies(tx, now)
        gaps = list(_empty(rows))
        gaps += _persons(workspace, rows, people)
        gaps += _absent(workspace, rows, people, away)
        raci = Raci(id="", project="", created_at=now, number=0, rows=tuple(rows), actor=workspace.actor)
        gaps += [_mismatch(said) for said in mismatches(tx, workspace, raci)]
        gaps += _words(tx, workspace, rows)
        newest = _newest_versions(tx, workspace)
    gaps += _authors(workspace, rows, newest)
    return Gaps(gaps=tuple(gaps), stages=len(rows))


def _empty(rows: Sequence[RaciRow]) -> Iterator[Gap]:
    """Exactly one is accountable in each stage, and somebody is responsible; stages with the same gap are said together."""
    for letter, written in (("responsible", '["NAME"]'), ("accountable", '"NAME"')):
        empty = [row.stage for row in rows if not getattr(row, letter)]
        if empty:
            section = empty[0] if len(empty) == 1 else DEFAULT
            yield Gap(
                stage=empty[0],
                sentence=f"Nobody is {letter} for {_listed(empty)}.",
                fix=f"Name somebody in {_FILE}: [raci.{section}] {letter} = {written}",
            )
    several: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if len(row.accountable) > 1:
            several.setdefault(row.accountable, []).append(row.stage)
    for names, stages in several.items():
        section = stages[0] if len(stages) == 1 else DEFAULT
        yield Gap(
            stage=stages[0],
            sentence=f"{_listed(names)} are accountable for {_listed(stages)}, and where two answer nobody does.",
            fix=f'Keep one of them: [raci.{section}] accountable = "{names[0]}"',
        )


def _persons(workspace: Workspace, rows: Sequence[RaciRow], people: Mapping[str, Person]) -> Iterator[Gap]:
    """Whoever is named is known, may act, and has the right that their letter needs. Each is said once."""
    if not people:
        yield Gap(
            stage="",
            sentence=f"This store knows nobody, so {_FILE} names people who cannot log in.",
            fix="Begin: slipway people add NAME --role admin",
        )
        return
    said = set()
    for row, letter, name in _letters(rows):
        right = _NEEDS.get((row.stage, letter), "projects.read")
        problem = _problem(workspace, people, name, right)
        if problem and (name, problem[0]) not in said:
            said.add((name, problem[0]))
            yield Gap(stage=row.stage, sentence=f"{_who(name, letter, row)} {problem[0]}.", fix=problem[1])


def _problem(workspace: Workspace, people: Mapping[str, Person], name: str, right: str) -> tuple[str, str] | None:
    """Why somebody cannot do what their letter asks, and what to do; None where they can."""
    person = people.get(name)
    if person is None:
        add = f"Or make them known: slipway people add {name.lower() or 'NAME'} --role ROLE --in {workspace.project}"
        return "is nobody this store knows", f"{near(name, people, what='people')} {add}"
    if person.disabled_at is not None:
        return f"is disabled since {person.disabled_at:%Y-%m-%d}", f"Name somebody else in {_FILE}."
    if not allowed(identity_of(person).actor_in(workspace.project), right):
        roles = ", ".join(roles_with(right))
        return (
            f"lacks the right {right!r}",
            f"Give them a role that has it ({roles}): slipway people grant {name} ROLE --in {workspace.project}",
        )
    return None


def _absent(
    workspace: Workspace, rows: Sequence[RaciRow], people: Mapping[str, Person], away: Mapping[str, str]
) -> Iterator[Gap]:
    """Who is away has somebody who acts for them, and who may."""
    said = set()
    for row, letter, name in _letters(rows):
        if letter == "informed" or name not in away:
            continue
        acting = stand_in(away, name)
        fix = f"Name who stands in: slipway people back {name}; slipway people away {name} --until DATE --deputy NAME"
        if not acting:
            chain = f" ({away[name]}, who is away too)" if away[name] else ""
            problem = f"is away, and nobody stands in{chain}"
        else:
            found = _problem(workspace, people, acting, _NEEDS.get((row.stage, letter), "projects.read"))
            if found is None:
                continue
            problem = f"is away, and their deputy {acting} {found[0]}"
        if (name, problem) not in said:
            said.add((name, problem))
            yield Gap(stage=row.stage, sentence=f"{_who(name, letter, row)} {problem}.", fix=fix)


def _authors(workspace: Workspace, rows: Sequence[RaciRow], newest: Iterable[ModelVersion]) -> Iterator[Gap]:
    """Who is accountable for approving did not make what waits to be approved."""
    row = next((one for one in rows if one.stage == "approve"), None)
    for version in newest if row else ():
        for name in sorted({*(row.accountable if row else ())} & {*authors_of(workspace, version)}):
            yield Gap(
                stage="approve",
                sentence=f"{name} is accountable for approving, and made {version.name} {version.number}.",
                fix='Who makes a model does not approve it. Name somebody else: [raci.approve] accountable = "NAME"',
            )


def _words(tx: ReadTransaction, workspace: Workspace, rows: Sequence[RaciRow]) -> Iterator[Gap]:
    """Every word that a gate or the floor asks for can be given, by so many people as it asks."""
    people, said = asked(tx, workspace, rows), set()
    for whose, check in _approvals(tx, workspace):
        never = people.too_few(check.role, check.count)
        if never is not None and (check.role, check.count) not in said:
            said.add((check.role, check.count))
            yield Gap(
                stage="approve",
                sentence=f"{whose} can never be passed: {never.found}.",
                fix=f"{never.fix.rstrip('.')}.",
            )


def _approvals(tx: ReadTransaction, workspace: Workspace) -> Iterator[tuple[str, CheckSpec]]:
    """Which words are asked for in the environment, and by what."""
    floor = floor_of(tx, workspace.environment)
    for check in floor.checks if floor else ():
        if check.kind == "approval":
            yield f"The floor of {workspace.environment}", check
    prefix = f"{workspace.project}/{workspace.environment}/"
    for declared in entries.every(tx, DeclaredEndpoint, project=workspace.project):
        for check in declared.gate.checks if declared.gate and declared.id.startswith(prefix) else ():
            if check.kind == "approval":
                yield f"The gate of {declared.name}", check


def _mismatch(said: str) -> Gap:
    sentence, _, fix = said.partition(": ")
    return Gap(stage="", sentence=f"{sentence}.", fix=f"{fix[:1].upper()}{fix[1:]}")


def _newest_versions(tx: ReadTransaction, workspace: Workspace) -> list[ModelVersion]:
    newest: dict[str, ModelVersion] = {}
    for version in entries.every(tx, ModelVersion, project=workspace.project, state=""):
        if version.number > (newest[version.name].number if version.name in newest else 0):
            newest[version.name] = version
    return [newest[name] for name in sorted(newest)]


def _letters(rows: Sequence[RaciRow]) -> Iterator[tuple[RaciRow, str, str]]:
    for row in rows:
        for letter in LETTERS:
            for name in getattr(row, letter):
                yield row, letter, name


def _who(name: str, letter: str, row: RaciRow) -> str:
    return f"{name}, {letter} for {row.stage},"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else words[0]
