"""What somebody may not see is looked for wherever it may have come to: in answers, sentences of errors, texts and files.

A value of a personal column does not stay in its table: a step prints it, an error names it, a parameter, a metric's name
or a stored frame holds it. So what goes out to somebody who may not see personal columns, or who may not read a table, is
looked through for their values. In what is shown a mark stands in their place; a file that holds one is not given.

What is known of a table by now holds for all its versions. What is not found: parts of values, what was computed from
them (a hash, an embedding), what a picture shows, and what `slipway.tables.veil_values` does not look for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from slipway.errors import Denied, SlipwayError
from slipway.ledger import entries, publications
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.people import Person
from slipway.records.runs import Artifact
from slipway.records.search import Field, IsNull, Not, Or
from slipway.records.tables import TableVersion
from slipway.tables.catalog import find_head
from slipway.tables.personal import Personal, may_read, may_see, sees_all
from slipway.tables.veil_files import seen_through
from slipway.tables.veil_values import Hidden, gathered, masked

__all__ = ["Veil", "check_file", "over", "through"]

_LARGEST_BYTES = 64 << 20
_MOST_TABLES = 1000
_MARKED = Or((Not(IsNull(Field("attribute", "personal"))), Not(IsNull(Field("attribute", "readers")))))
_QUARANTINE = "quarantine."


@dataclass(frozen=True, slots=True)
class Veil:
    """What is hidden from somebody.

    Args:
        columns: The names of hidden columns, lower-case: in a frame, whatever stands in a column of such a name is hidden.
        hidden: Their values.
    """

    columns: frozenset[str]
    hidden: Hidden

    def text(self, text: str) -> str:
        """A text as it may be seen."""
        return masked(text, self.hidden.found_in(text))

    def answer(self, value: Any) -> Any:
        """Plain values and structs as they may be seen."""
        texts: list[str] = []
        _gather(value, texts)
        known = self.hidden.found_in("\n".join(texts))
        return _veiled(value, known) if known else value

    def error(self, problem: SlipwayError) -> None:
        """Hide in the sentences of an error, and in what it carries, what may not be seen."""
        for name, value in vars(problem).items():
            setattr(problem, name, self.answer(value))
        problem.args = tuple(self.answer(value) for value in problem.args)

    def file(self, name: str, data: bytes) -> tuple[bytes, bool]:
        """A file as it may be seen, and whether it can be shown at all."""
        return seen_through(self, name, data)


def through(workspace: Workspace, body: Callable[[Workspace, Any], Any], request: Any) -> Any:
    """Call a body, and give its answer as the workspace's actor may see it; so what it raises.

    Args:
        workspace: Whose actor asks.
        body: Takes the workspace and the request.
        request: The request.
    """
    try:
        answer = body(workspace, request)
    except SlipwayError as problem:
        if (known := over(workspace)) is not None:
            known.error(problem)
        raise
    texts: list[str] = []
    _gather(answer, texts)
    known = over(workspace) if texts else None
    return answer if known is None else known.answer(answer)


def check_file(workspace: Workspace, artifact: Artifact) -> None:
    """Check that the actor may have a stored file: it holds nothing that they may not see.

    Raises:
        Denied: It does, or it is too large to be looked through.
    """
    known = None if sees_all(workspace) else over(workspace)
    if known is None:
        return
    if artifact.size_bytes > _LARGEST_BYTES:
        why = f"It has more than {_LARGEST_BYTES >> 20} MiB, and is not looked through for values of personal columns."
    else:
        data = workspace.blobs.get(artifact.digest)
        if known.file(artifact.name, data) == (data, True):
            return
        why = "It holds values of personal columns, or of a table that names its readers."
    raise Denied(
        f"{workspace.actor.name} may not have the file {artifact.name!r}.",
        why=why,
        fix="Ask somebody who may see them (slipway people roles: tables.personal), or look at it on the run's page.",
    )


def over(workspace: Workspace) -> Veil | None:
    """What is hidden from the workspace's actor in its project and in those that share something with it.

    Returns:
        None where nothing is.
    """
    if sees_all(workspace) or not workspace.project:
        return None
    with workspace.ledger.read() as tx:
        tables = [one for project in _projects(tx, workspace) for one in _tables(tx, workspace, project)]
        if not tables:
            return None
        versions = [
            version for table in tables for version in entries.every(tx, TableVersion, project=table[0], name=table[1])
        ]
        people = [person.name for person in entries.every(tx, Person)]
    versions.sort(key=lambda version: (version.project, version.name, -version.number))
    closed = {(project, name) for project, name, is_closed in tables if is_closed}
    stamp = tuple((one.id, len(one.erased), one.about, one.cleaned_at is None) for one in versions)
    key = (workspace.root, workspace.project, frozenset(closed), may_see(workspace.actor))
    if (known := _kept.get(key)) is not None and known[0] == stamp:
        return known[1]
    made = _made(workspace, versions, closed, people)
    if len(_kept) >= _AT_MOST:
        _kept.pop(next(iter(_kept)), None)
    _kept[key] = (stamp, made)
    return made


_AT_MOST = 8
_kept: dict[tuple[Path, str, frozenset[tuple[str, str]], bool], tuple[tuple[Any, ...], Veil]] = {}
"""What was gathered for whom, with the versions that it was gathered from."""


def _made(workspace: Workspace, versions: list[TableVersion], closed: set[tuple[str, str]], people: list[str]) -> Veil:
    known, sees = Personal(workspace), may_see(workspace.actor)
    chosen: list[tuple[TableVersion, tuple[str, ...]]] = []
    columns: set[str] = set()
    for version in versions:
        if (version.project, version.name) in closed:
            names = tuple(field.name for field in version.fields)
        else:
            names = () if sees else known.names_in(version)
            columns |= set() if sees else known.names_ever(version.project, version.name)
        chosen.append((version, names))
        columns |= set(names)
    exempt = {*people, workspace.project, *columns, *(version.name for version in versions)}
    return Veil(frozenset(name.lower() for name in columns), gathered(workspace, chosen, exempt))


def _projects(tx: ReadTransaction, workspace: Workspace) -> list[str]:
    offered = publications.every(tx)
    lenders = {one.project for one in offered if publications.may_use(one, workspace.project)}
    return sorted({workspace.project, *lenders})


def _tables(tx: ReadTransaction, workspace: Workspace, project: str) -> list[tuple[str, str, bool]]:
    """The tables of a project of which something may be hidden, and whether all of it is."""
    found = tx.search(
        entries.kind_of(TableVersion),
        project=project,
        where=_MARKED,
        best_per=Field("attribute", "name"),
        limit=_MOST_TABLES,
    )
    names = {entry.name for entry in found.entries}
    names |= {f"{_QUARANTINE}{name}" for name in names if not name.startswith(_QUARANTINE)}
    told = []
    for name in sorted(names):
        head = find_head(tx, project, name.removeprefix(_QUARANTINE))
        is_closed = head is not None and not may_read(workspace.actor, head.about)
        if is_closed or not may_see(workspace.actor):
            told.append((project, name, is_closed))
    return told


def _gather(value: Any, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _gather(getattr(value, name), texts)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            _gather(key, texts)
            _gather(one, texts)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            _gather(one, texts)


def _veiled(value: Any, known: Mapping[str, list[str]]) -> Any:
    if isinstance(value, str):
        return masked(value, known)
    if isinstance(value, msgspec.Struct):
        told = {name: getattr(value, name) for name in value.__struct_fields__ if name not in _words_of(type(value))}
        found = {name: _veiled(one, known) for name, one in told.items()}
        changed = {name: one for name, one in found.items() if one is not told[name]}
        return msgspec.structs.replace(value, **changed) if changed else value
    if isinstance(value, Mapping):
        return {_veiled(key, known): _veiled(one, known) for key, one in value.items()}
    if isinstance(value, tuple) and type(value) is not tuple:  # a named one
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(_veiled(one, known) for one in value)
    return value


@cache
def _words_of(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The fields of a struct that hold one of a few words: a state, a kind."""
    fields = msgspec.structs.fields(kind)
    return frozenset(
        one.name for one in fields if any(get_origin(each) is Literal for each in (one.type, *get_args(one.type)))
    )
