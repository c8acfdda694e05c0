"""Share: publish a feature, view, windows, table or step under a number; see who uses it before it changes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import msgspec

from slipway import code
from slipway.code.renaming import under_package
from slipway.data.declare import Table
from slipway.errors import Conflict, InvalidDeclaration, NotFound, near
from slipway.features.column_lineage import REQUEST, columns_of_features
from slipway.features.scalars import Feature
from slipway.features.specs import features_of, view_part, window_parts
from slipway.features.training import PinnedTables, definition_of
from slipway.features.views import FeatureView
from slipway.features.windows import DeclaredWindows
from slipway.flows.feed import keep_view
from slipway.hashing import combine, fingerprint
from slipway.ids import check_name
from slipway.ledger import archive, entries, events, projects, publications
from slipway.operations.declare import check_allowed
from slipway.operations.sharing import GetShared, Grant, ListShared, Shared, SharedDetail, Use, Withdraw
from slipway.pipelines.declare import Step
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.features import AboutFeature, FeatureSetSpec, Part, Scalar, View, Windows
from slipway.records.models import ModelVersion
from slipway.records.runs import Run
from slipway.records.schema import Field
from slipway.records.sharing import EVERYBODY, Publication, Shareable
from slipway.records.tables import TableVersion
from slipway.tables import catalog

__all__ = ["SHAREABLE", "get_shared", "grant", "list_shared", "publish", "withdraw"]

_SERVE = ("model", "endpoint")
SHAREABLE = (Table, FeatureView, DeclaredWindows, Feature, Step)


def publish(
    workspace: Workspace,
    name: str,
    declared: object,
    *,
    readers: tuple[str, ...] | None = None,
    accept_breaking: bool = False,
) -> Publication:
    """Publish something that the project declares.

    What is published already keeps its number; a definition that was withdrawn gets a new one.

    Args:
        workspace: The project's.
        name: What it is called from outside.
        declared: The declaration.
        readers: The projects that may use all its numbers, `EVERYBODY` for all; None keeps those of before, or all.
        accept_breaking: Whether it may take away or change what the number before promised although that has users.

    Raises:
        InvalidDeclaration: It is nothing that can be shared, or its code cannot be taken out of the project.
        NotFound: A table that it needs has no version yet.
        Conflict: It breaks what others use.
        Denied: The actor may not share.
    """
    check_allowed(workspace, "sharing.publish", "sharing.write")
    draft = _draft(workspace, check_name(name, "name of something shared"), declared)
    given = None if readers is None else _checked(workspace, readers)
    with workspace.ledger.write() as tx:  # looked at and decided in one transaction: somebody may publish beside
        known = publications.editions(tx, workspace.project, name)
        newest = publications.offered(known)
        users = [] if newest is None else _users(tx, known)
        if newest is not None and newest.state == "published" and _is_same(newest, draft):
            return _again(tx, workspace, known, msgspec.structs.replace(newest, about=draft.about), given)
        broken = [] if newest is None else _broken(newest, draft)
        if newest is not None and broken and users and not accept_breaking:
            raise _breaks(draft, newest, broken, users)
        number = max((one.number for one in known), default=0) + 1
        made = msgspec.structs.replace(
            draft,
            number=number,
            id=publications.reference(workspace.project, name, number),
            readers=given if given is not None else newest.readers if newest else (EVERYBODY,),
        )
        entries.put(tx, made, expect=0)
        body = {"sort": made.sort, "definition": made.definition, "readers": list(made.readers)}
        events.record(tx, workspace, "sharing.publish", publications.node(made), **body)
        if given is not None and any(one.readers != given for one in known):
            _granted(tx, workspace, known, given)
    for change in broken if users else ():
        workspace.say(f"{made.id} breaks what earlier numbers promise: {change}.")
    for use in users:
        workspace.say(f"{made.id}: {use.project} uses an earlier number ({use.sort} {use.name}).")
    return made


def _again(
    tx: WriteTransaction,
    workspace: Workspace,
    known: list[Publication],
    same: Publication,
    readers: tuple[str, ...] | None,
) -> Publication:
    """What is published already: what its declaration says of it and who may use it may be other than before."""
    if same not in known:
        entries.put(tx, same)
    known = [same if one.id == same.id else one for one in known]
    if readers is not None and readers != same.readers:
        known = _granted(tx, workspace, known, readers)
    return next(one for one in known if one.id == same.id)


def _breaks(draft: Publication, newest: Publication, broken: list[str], users: list[Use]) -> Conflict:
    return Conflict(
        f"{draft.project}/{draft.name} as it is now would break what {newest.id} promises: {'; '.join(broken)}.",
        why=f"It is used by {_words(users)}. They keep their numbers; the new number is another thing.",
        fix=f"Talk to them, then: slipway share publish {draft.name} --breaking",
    )


def _is_same(one: Publication, other: Publication) -> bool:
    return (one.sort, one.definition) == (other.sort, other.definition)


def list_shared(workspace: Workspace, request: ListShared) -> Shared:
    """What is shared, of each the newest number that is not withdrawn, by project and name."""
    words = request.text.lower().split()
    with workspace.ledger.read() as tx:
        known = publications.every(tx, None if request.everywhere else workspace.project)
    named: dict[tuple[str, str], list[Publication]] = {}
    for one in known:
        if publications.may_use(one, workspace.project):
            named.setdefault((one.project, one.name), []).append(one)
    newest = [found for numbers in named.values() if (found := publications.offered(numbers)) is not None]
    return Shared(publications=tuple(one for one in newest if all(word in _text(one) for word in words)))


def get_shared(workspace: Workspace, request: GetShared) -> SharedDetail:
    """One publication with its users.

    Raises:
        InvalidInput: It is no reference.
        NotFound: There is no such publication.
        Denied: The project may not use it.
    """
    given = request.reference if "/" in request.reference else f"{workspace.project}/{request.reference}"
    found = publications.find(workspace, given)
    with workspace.ledger.read() as tx:
        known = publications.editions(tx, found.project, found.name)
        uses = tuple(_uses(tx, found))
        rows = catalog.find_head(tx, found.project, found.table) if found.table else None
    until = rows.data_until if rows else None
    return SharedDetail(publication=found, numbers=tuple(one.number for one in known), uses=uses, data_until=until)


def grant(workspace: Workspace, request: Grant) -> Shared:
    """Set who may use all numbers of a name.

    Raises:
        NotFound: The project shares no such thing, or there is no such project.
    """
    readers = _checked(workspace, request.readers)
    with workspace.ledger.write() as tx:
        changed = _granted(tx, workspace, _own(tx, workspace, request.name), readers)
        users = [use for use in _users(tx, changed) if not publications.may_use(changed[0], use.project)]
    for use in users:
        workspace.say(f"{use.project} uses {request.name} ({use.sort} {use.name}), and can train with it no longer.")
    return Shared(publications=tuple(changed))


def _granted(
    tx: WriteTransaction, workspace: Workspace, known: Iterable[Publication], readers: tuple[str, ...]
) -> list[Publication]:
    changed = [msgspec.structs.replace(one, readers=readers) for one in known]
    for one in changed:
        entries.put(tx, one)
    events.record(tx, workspace, "sharing.grant", publications.node(changed[0]), readers=list(readers))
    return changed


def withdraw(workspace: Workspace, request: Withdraw) -> SharedDetail:
    """Withdraw one number.

    Raises:
        NotFound: The project shares no such thing.
    """
    with workspace.ledger.write() as tx:
        known = {one.number: one for one in _own(tx, workspace, request.name)}
        if request.number not in known:
            raise NotFound(
                f"{request.name!r} has no number {request.number}.", why=f"It has {', '.join(map(str, sorted(known)))}."
            )
        former = known[request.number]
        made = msgspec.structs.replace(former, state="withdrawn", reason=request.reason or former.reason)
        entries.put(tx, made)
        events.record(tx, workspace, "sharing.withdraw", publications.node(made), reason=made.reason)
        uses = tuple(_uses(tx, made))
    return SharedDetail(publication=made, numbers=tuple(sorted(known, reverse=True)), uses=uses)


def _draft(workspace: Workspace, name: str, declared: object) -> Publication:
    """The publication of a declaration, before it has a number."""
    sort, parts, table, fields = _shape(workspace, declared)
    reads = _reads(workspace, declared, parts)
    packed, function, closure = "", "", ""
    if isinstance(declared, Feature | Step):
        packed, function = _code(workspace, name, declared.function)
        closure = code.closure(declared.function).hash
    given = getattr(declared, "about", None)
    about = AboutFeature(
        owner=str(getattr(given, "owner", "")),
        description=str(getattr(given, "description", "")) or _first_line(declared),
        tags=tuple(getattr(given, "tags", ())),
    )
    return Publication(
        id=publications.reference(workspace.project, name, 0),
        project=workspace.project,
        name=name,
        created_at=workspace.clock.now(),
        number=0,
        sort=sort,
        definition=fingerprint((sort, parts, table, fields, closure)),
        parts=parts,
        table=table,
        fields=fields,
        code=packed,
        function=function,
        reads=reads,
        about=about,
    )


def _shape(workspace: Workspace, declared: object) -> tuple[Shareable, tuple[Part, ...], str, tuple[Field, ...]]:
    """What sort it is, its parts, the table of its rows and its fields."""
    tables, project = PinnedTables(workspace), workspace.project
    if isinstance(declared, Table):
        head = catalog.head(workspace, declared.name)
        return "table", (), declared.name, tuple(Field(field.name, field.type) for field in head.fields)
    if isinstance(declared, FeatureView):
        kept = keep_view(workspace, declared, tables)
        view = msgspec.structs.replace(view_part(declared, tables, definition_of), sources=(f"{project}/{kept.name}",))
        return "view", (view,), kept.name, view.fields
    if isinstance(declared, DeclaredWindows):
        parts = tuple(
            msgspec.structs.replace(part, source=f"{project}/{part.source}") for part in window_parts(declared, tables)
        )
        return "windows", parts, "", tuple(field for part in parts for field in features_of(part))
    if isinstance(declared, Feature):
        part = declared.scalar(definition_of(declared.function))
        return "feature", (part,), "", tuple(features_of(part))
    if isinstance(declared, Step):
        return "step", (), "", tuple(Field(name, "object") for name in declared.signature.parameters)
    raise InvalidDeclaration(
        f"A {type(declared).__name__} cannot be shared.",
        why="What projects share are tables, feature views, windows, features and steps.",
        fix="Name one of these in the project's module.",
    )


def _reads(workspace: Workspace, declared: object, parts: tuple[Part, ...]) -> dict[str, tuple[str, ...]]:
    """What each feature is made of, under the names that other projects use."""
    views = {declared.name: declared} if isinstance(declared, FeatureView) else {}
    spec = FeatureSetSpec(name="shared", parts=parts)
    found = columns_of_features(spec, views, PinnedTables(workspace))
    return {
        name: tuple(
            column if column.startswith(f"{REQUEST}.") or "/" in column else f"{workspace.project}/{column}"
            for column in columns
        )
        for name, columns in found.items()
    }


def _code(workspace: Workspace, name: str, function: Callable[..., Any]) -> tuple[str, str]:
    """The digest of a function's code as a package of its own, and where it is in there."""
    sources = code.extract([function])
    content = combine("shared code", *(f"{path}\n{text}" for path, text in sorted(sources.items())))
    package = f"shared_{name.replace('-', '_').replace('.', '_')}_{content[:12]}"
    moved = under_package(sources, package)
    module, _, attribute = code.reference(function).partition(":")
    packed = archive.pack({path: text.encode() for path, text in moved.items()})
    return workspace.blobs.put(packed), f"{package}.{module}:{attribute}"


def _broken(before: Publication, after: Publication) -> list[str]:
    """What a new number takes away or changes of what the one before promised, in words."""
    if before.sort != after.sort:
        return [f"it was a {before.sort} and is a {after.sort}"]
    had, has = ({field.name: field.type for field in one.fields} for one in (before, after))
    found = [f"{name} is gone" for name in had if name not in has]
    found += [f"{name} was {had[name]} and is {has[name]}" for name in had if name in has and had[name] != has[name]]
    asked, asks = _asks(before.parts), _asks(after.parts)
    found += [f"it now needs {name} ({kind})" for name, kind in asks.items() if asked.get(name) != kind]
    if before.sort == "step":
        found += [f"it now takes {name}" for name in has if name not in had]
    return found


def _asks(parts: Iterable[Part]) -> dict[str, str]:
    """What a request must carry for the parts: names and types."""
    found: dict[str, str] = {}
    for part in parts:
        if isinstance(part, Windows):
            found |= dict(zip(part.by, part.key_types, strict=True))
        elif isinstance(part, View):
            found |= dict(zip(part.entity, part.entity_types, strict=True))
        elif isinstance(part, Scalar):
            found |= {argument.name: argument.type for argument in part.arguments}
    return found


def _uses(tx: ReadTransaction, publication: Publication) -> list[Use]:
    """The newest run, model and endpoint of each name that were made with a publication, and other projects' tables."""
    found: dict[tuple[str, str, str], Use] = {}
    for node in publications.made_with(tx, publication):
        kind, _, id = node.partition(":")
        if kind == "run":
            run = entries.get(tx, Run, id)
            use = Use(project=run.project, sort="run", name=run.name, id=id)
        elif kind == "model":
            version = entries.get(tx, ModelVersion, id)
            use = Use(project=version.project, sort="model", name=version.name, number=version.number, id=id)
        elif kind == "revision":
            revision = entries.get(tx, Revision, id)
            serving = tx.ref(revision.project, "endpoint", revision.name) == id
            use = Use(
                project=revision.project,
                sort="endpoint",
                name=revision.name,
                number=revision.number,
                id=id,
                is_serving=serving,
            )
        elif kind == "table" and not id.startswith(f"{publication.project}/"):
            table = entries.get(tx, TableVersion, id)
            use = Use(project=table.project, sort="table", name=table.name, number=table.number, id=id)
        else:
            continue
        place = (use.project, use.sort, use.name)
        if place not in found or (use.number, use.id) > (found[place].number, found[place].id):
            found[place] = use
    return sorted(found.values(), key=lambda use: (use.project, use.sort, use.name))


def _users(tx: ReadTransaction, known: Iterable[Publication]) -> list[Use]:
    """The models and endpoints made with any of these, and the runs and tables of projects that have made neither."""
    found = {(use.project, use.sort, use.name): use for one in known for use in _uses(tx, one)}
    serving = {use.project for use in found.values() if use.sort in _SERVE}
    return [use for _, use in sorted(found.items()) if use.sort in _SERVE or use.project not in serving]


def _own(tx: ReadTransaction, workspace: Workspace, name: str) -> list[Publication]:
    known = publications.editions(tx, workspace.project, name)
    if not known:
        names = {one.name for one in publications.every(tx, workspace.project)}
        raise NotFound(
            f"The project {workspace.project!r} shares nothing called {name!r}.",
            why=near(name, names, what="things that it shares"),
            fix=f"slipway share publish {name}",
        )
    return known


def _checked(workspace: Workspace, readers: tuple[str, ...]) -> tuple[str, ...]:
    """Readers, each once, each a project of the store.

    Raises:
        NotFound: One is none.
    """
    for project in readers:
        if project != EVERYBODY:
            projects.check_known(replace(workspace, project=project))
    return tuple(dict.fromkeys(readers))


def _words(users: Iterable[Use]) -> str:
    return ", ".join(f"{use.sort} {use.name} of {use.project}" for use in users)


def _text(publication: Publication) -> str:
    about = publication.about
    parts = (publication.id, publication.sort, about.owner, about.description, *about.tags)
    return " ".join((*parts, *(field.name for field in publication.fields))).lower()


def _first_line(declared: object) -> str:
    text = inspect.getdoc(getattr(declared, "function", None)) or ""
    return text.strip().partition("\n")[0]
