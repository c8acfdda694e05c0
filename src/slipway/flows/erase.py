"""Erase: a person's rows are removed from tables, logs, stored results and online stores, and it is proven.

It may be killed at any moment and asked for again: what was erased is not found again, what was begun is completed. What
names the person is nowhere kept, so asking again means giving it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound, near
from slipway.flows.endpoints import folder_of
from slipway.flows.erase_places import Target, bundles_with, endpoints_of, erase_log, erase_results
from slipway.flows.feed import feed
from slipway.hashing import canonical, digest
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.operations.declare import Empty
from slipway.operations.erasures import Erase, ErasureReport, Erasures
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import EMBEDDED
from slipway.records.erasures import Erasure, Place
from slipway.records.projects import Project
from slipway.records.tables import TableVersion
from slipway.serving.online_place import read_place
from slipway.tables import erasing
from slipway.tables.catalog import head, heads, manifest_of, node, quarantine_of
from slipway.tables.delta_export import rebuild_delta
from slipway.tables.erasing import Found
from slipway.tables.file_erasing import FilesFound, find_files, rewrite_files, switch_files

__all__ = ["erase", "list_erasures"]

_VERB = "erasures.start"
_HASH_TYPE = "application/vnd.slipway.erasure"
_ATTEMPTS = 20
_DERIVED = ("quarantine.", "view.", "training.")


def list_erasures(workspace: Workspace, request: Empty) -> Erasures:
    """All erasures of the project, newest first."""
    with workspace.ledger.read() as tx:
        return Erasures(erasures=tuple(entries.find(tx, Erasure, project=workspace.project, limit=10_000)))


def erase(workspace: Workspace, request: Erase) -> ErasureReport:
    """Erase a person's rows, or with `dry_run` count them per place.

    Raises:
        InvalidInput: It does not say whose rows, or in which tables.
        NotFound: There is no such table.
        Conflict: A table is written all the time.
        Corrupt: Something that is to be searched is damaged.
    """
    if not request.dry_run and not request.reason.strip():
        raise InvalidInput(
            "An erasure needs a reason.", fix='Say why: --reason "request 17 of 2026-05-02"', field="reason"
        )
    if request.files:
        return _erase_files(workspace, request)
    target = _target(workspace, request)
    tables, untold = _tables(workspace, target)
    untold += _other_projects(workspace)
    if request.dry_run:
        places, kept = _look(workspace, target, tables, dry_run=True)
        return ErasureReport(dry_run=True, places=tuple(places), kept=(*untold, *kept), left=0)
    named = canonical((target.table, sorted(target.columns.items())))
    erasure = _begin(workspace, named, columns=tuple(target.columns), tables=tuple(tables), reason=request.reason)
    for table in tables:
        erasure = _erase_table(workspace, table, target, erasure)
    elsewhere, kept = _look(workspace, target, [], dry_run=False)
    _feed_anew(workspace, target, {v.name for t in tables for v in _erased_versions(workspace, t, erasure.id)})
    left = _proof(workspace, target, tables)
    stray = [erasing.orphans(workspace, table, target.columns) for table in tables]
    if any(young for _, young in stray):
        rows = sum(young for _, young in stray)
        kept.append(
            f"{rows:,} rows lie in files that no version names and that are younger than an hour, so that a write may be "
            "at work on them: erase again in an hour."
        )
        left.append(Place(place="files that no version names", rows=rows))
    removed = sum(old for old, _ in stray)
    found = [*erasure.places, *elsewhere]
    found += [Place(place="files that no version named", rows=removed)] if removed else []
    done = msgspec.structs.replace(
        erasure,
        state="started" if left else "finished",
        places=tuple(found),
        kept=(*untold, *kept),
        ended_at=None if left else workspace.clock.now(),
    )
    done = _saved(workspace, done, tell=True)
    return ErasureReport(erasure=done.id, places=done.places, kept=done.kept, left=sum(place.rows for place in left))


def _other_projects(workspace: Workspace) -> list[str]:
    """What says that other projects of the store, which may hold the same person's rows, are not searched."""
    with workspace.ledger.read() as tx:
        others = sorted({one.name for one in entries.find(tx, Project, limit=10_000)} - {workspace.project})
    return [f"Other projects of this store are not searched: {', '.join(others)}. Erase there too."] if others else []


def _erase_files(workspace: Workspace, request: Erase) -> ErasureReport:
    if not request.paths or request.table or request.key or request.where:
        raise InvalidInput(
            "Files are erased by their paths, and apart from rows.",
            fix=f"Say --files {request.files} --path PATH",
            field="paths",
        )
    named = canonical((request.files, sorted(request.paths)))
    found = find_files(workspace, request.files, request.paths)
    place = f"file set {request.files}"
    if request.dry_run:
        return ErasureReport(dry_run=True, places=_files_place(place, found), kept=found.shared)
    erasure = _begin(workspace, named, columns=(), tables=(), reason=request.reason)
    for _ in range(_ATTEMPTS):
        found = find_files(workspace, request.files, request.paths)
        if not found.versions:
            break
        pairs, doomed = rewrite_files(workspace, found, erasure=erasure.id, reason=request.reason)
        places = (*erasure.places, *_files_place(place, found))
        after = msgspec.structs.replace(erasure, places=places, doomed=tuple(doomed), kept=found.shared)
        try:
            with workspace.ledger.write() as tx:
                switch_files(tx, pairs)
                entries.put(tx, after)
        except Conflict:
            continue
        erasure = _complete(workspace, after)
    left = len(find_files(workspace, request.files, request.paths).paths)
    state: Literal["started", "finished"] = "started" if left else "finished"
    done = msgspec.structs.replace(erasure, state=state, ended_at=None if left else workspace.clock.now())
    done = _saved(workspace, done, tell=True)
    return ErasureReport(erasure=done.id, places=done.places, kept=done.kept, left=left)


def _files_place(place: str, found: FilesFound) -> tuple[Place, ...]:
    numbers = ", ".join(str(version.number) for version, _ in reversed(found.versions))
    if not found.versions:
        return ()
    return (Place(place=place, rows=len(found.paths), files=len(found.paths), note=f"files, versions {numbers}"),)


def _target(workspace: Workspace, request: Erase) -> Target:
    if bool(request.table) == bool(request.where) or bool(request.table) != bool(request.key):
        raise InvalidInput(
            "An erasure is of one key of one table, or of a column's value wherever the column is personal or a key.",
            fix="Say --table customers --key 17, or --where email=ada@example.org",
        )
    if request.where:
        if not all(request.where):
            raise InvalidInput(
                "A column or its value is empty.", fix="Say --where email=ada@example.org", field="where"
            )
        return Target(columns=dict(request.where))
    names = manifest_of(workspace, head(workspace, request.table)).key
    if len(names) != len(request.key):
        told = f"has the key {', '.join(names)}" if names else "has no key"
        raise InvalidInput(
            f"The table {request.table!r} {told}, and {len(request.key)} values were given.",
            fix="Give one --key a column of the key, in its order."
            if names
            else "Name the column: --where COLUMN=VALUE",
            field="key",
        )
    return Target(columns=dict(zip(names, request.key, strict=True)), table=request.table)


def _tables(workspace: Workspace, target: Target) -> tuple[list[str], list[str]]:
    """Which tables are searched; and of others that have such columns, a sentence each."""
    current = heads(workspace)
    if target.table:
        return _with_derived(workspace, current, target)
    chosen, untold = [], []
    for version in current:
        names = {field.name for field in version.fields}
        if not set(target.columns) <= names:
            continue
        marked = set(version.about.personal) | set(manifest_of(workspace, version).key)
        if set(target.columns) <= marked or version.name.startswith(_DERIVED):
            chosen.append(version.name)
        else:
            untold.append(
                f"The table {version.name!r} has {', '.join(target.columns)}, neither personal nor its key: not searched."
            )
    if not chosen:
        known = {
            name for version in current for name in (*version.about.personal, *manifest_of(workspace, version).key)
        }
        wanted = next(iter(target.columns))
        raise InvalidInput(
            f"No table has {', '.join(map(repr, target.columns))} among its personal columns or as its key.",
            why=near(wanted, known, what="such columns"),
            fix="Declare it: @sw.table(personal=[...]), or name a table: --table T --key K",
            field="where",
        )
    return chosen, untold


def _with_derived(workspace: Workspace, current: Iterable[TableVersion], target: Target) -> tuple[list[str], list[str]]:
    """A table and what Slipway made from it; and of other tables that were made from it, a sentence each."""
    meant = f"table:{workspace.project}/{target.table}@"
    chosen, untold = [target.table], []
    with workspace.ledger.read() as tx:
        for version in current:
            links = tx.links(node(version.project, version.name, version.version), towards=True)
            is_made = any(link.source.startswith(meant) and link.role != "parent" for link in links)
            if version.name == target.table or not set(target.columns) <= {field.name for field in version.fields}:
                continue
            if version.name == quarantine_of(target.table) or (is_made and version.name.startswith(_DERIVED)):
                chosen.append(version.name)
            elif is_made:
                untold.append(
                    f"The table {version.name!r} was made from {target.table!r} and has {', '.join(target.columns)}: "
                    f"not searched. Erase there too where it means the same: --table {version.name} or --where."
                )
    return chosen, untold


def _look(workspace: Workspace, target: Target, tables: list[str], *, dry_run: bool) -> tuple[list[Place], list[str]]:
    """Everything in some tables and in all other places: counted, and erased from the others unless it is a dry run."""
    places: list[Place] = []
    for table in tables:
        found = erasing.find(workspace, table, target.columns)
        if not found.is_empty:
            places.append(_place(found))
    for revision, _ in endpoints_of(workspace, target):
        places += erase_log(workspace, revision.name, target, dry_run=dry_run)
    results, notes = erase_results(workspace, target, dry_run=dry_run)
    evaluated, kept = bundles_with(workspace, target, dry_run=dry_run)
    return [*places, *results, *evaluated], [*notes, *kept]


def _place(found: Found) -> Place:
    numbers = sorted(version.number for version, _ in found.versions)
    return Place(
        place=f"table {found.table}",
        rows=found.rows,
        files=len(found.parts) + len(found.failing),
        note=f"versions {', '.join(map(str, numbers))}" if numbers else "what its checks kept",
    )


def _begin(
    workspace: Workspace, named: bytes, *, columns: tuple[str, ...], tables: tuple[str, ...], reason: str
) -> Erasure:
    """The record of this erasure; the one that was begun for the same person and not finished goes on."""
    subject = _subject(workspace, named)
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Erasure, project=workspace.project, name=subject, limit=1000)
    for former in known:
        if former.state == "started":
            return _complete(workspace, msgspec.structs.replace(former, tables=tables))
    made = Erasure(
        id=new_id(),
        project=workspace.project,
        name=subject,
        created_at=workspace.clock.now(),
        columns=columns,
        tables=tables,
        reason=reason,
        actor=workspace.actor,
    )
    return _saved(workspace, made, tell=True)


def _subject(workspace: Workspace, named: bytes) -> str:
    """A name for the person that only the holder of this installation's key can make again."""
    return digest(workspace.signer.sign(named, _HASH_TYPE))


def _saved(workspace: Workspace, erasure: Erasure, *, tell: bool = False) -> Erasure:
    with workspace.ledger.write() as tx:
        entries.put(tx, erasure)
        if tell:
            _tell(tx, workspace, erasure)
    return erasure


def _tell(tx: WriteTransaction, workspace: Workspace, erasure: Erasure) -> None:
    counts = {place.place: place.rows for place in erasure.places}
    body: Mapping[str, object] = {"person": erasure.name, "state": erasure.state, "reason": erasure.reason}
    events.record(tx, workspace, _VERB, f"erasure:{erasure.id}", **body, rows=erasure.rows, places=counts)


def _erase_table(workspace: Workspace, table: str, target: Target, erasure: Erasure) -> Erasure:
    """Rewrite what holds such rows and switch to it, again where somebody wrote meanwhile, until there is none."""
    for _ in range(_ATTEMPTS):
        found = erasing.find(workspace, table, target.columns)
        if found.is_empty:
            return erasure
        rewritten = erasing.rewrite(workspace, found, erasure=erasure.id, reason=erasure.reason)
        places = (*erasure.places, _place(found))
        after = msgspec.structs.replace(erasure, places=places, doomed=(*erasure.doomed, *rewritten.doomed))
        try:
            with workspace.ledger.write() as tx:
                erasing.switch(tx, rewritten)
                entries.put(tx, after)
        except Conflict:
            continue
        erasure = _complete(workspace, after)
    raise Conflict(f"The table {table!r} is written all the time.", fix="Erase again when fewer write at once.")


def _complete(workspace: Workspace, erasure: Erasure) -> Erasure:
    """Remove what nobody needs any more; it may be done again after a kill."""
    erasing.remove(workspace, erasure.doomed)
    for table in {one.partition(":")[2].rpartition("/")[0] for one in erasure.doomed if one.startswith("part:")}:
        rebuild_delta(workspace, table)
    return _saved(workspace, msgspec.structs.replace(erasure, doomed=()))


def _erased_versions(workspace: Workspace, table: str, erasure: str) -> list[TableVersion]:
    version = head(workspace, table)
    return [version] if any(one.erasure == erasure for one in version.erased) else []


def _feed_anew(workspace: Workspace, target: Target, changed: set[str]) -> None:
    """Let online stores take the tables' rows again, without those that were erased.

    Both the one that an endpoint looks up in and the one of its folder, in which it may have done so before.

    Raises:
        Unavailable: A shared store cannot be reached: the erasure is not finished, and is asked for again.
    """
    for revision, bundles in endpoints_of(workspace, target):
        folder = folder_of(workspace, revision.name)
        for bundle in bundles if changed else ():
            if bundle.features is not None:
                try:
                    for place in dict.fromkeys((EMBEDDED, read_place(folder))):
                        feed(workspace, bundle, folder, place)
                except (InvalidInput, NotFound) as problem:
                    workspace.say(f"The online store of {revision.name} was not fed: {problem}")


def _proof(workspace: Workspace, target: Target, tables: list[str]) -> list[Place]:
    """What is still found, by looking everywhere again."""
    places, _ = _look(workspace, target, tables, dry_run=True)
    return places
