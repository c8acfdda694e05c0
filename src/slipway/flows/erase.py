"""Erase: a person's rows are removed from tables, logs, stored results and online stores, and it is proven.

It may be killed at any moment and asked for again: what was erased is not found again, what was begun is completed. What
names the person is nowhere kept, so asking again means giving it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Literal

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound, Unavailable
from slipway.flows.endpoints import folder_of
from slipway.flows.erase_bundles import erase_bundles
from slipway.flows.erase_logs import erase_logs
from slipway.flows.erase_person import Target
from slipway.flows.erase_places import endpoints_of, erase_log, erase_parts, erase_reports, read_elsewhere, simulated
from slipway.flows.erase_results import erase_results, runs_of
from slipway.flows.erase_runs import erase_beside, erase_diffs, take_in_runs
from slipway.flows.erase_tables import chosen_tables, under_all_names
from slipway.flows.feed import feed_anew
from slipway.hashing import canonical, digest
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.operations.declare import Empty, check_allowed
from slipway.operations.erasures import Erase, ErasureReport, Erasures
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import EMBEDDED
from slipway.records.erasures import Erasure, Place
from slipway.records.projects import Project
from slipway.serving.online_place import read_place
from slipway.tables import erasing
from slipway.tables.catalog import head, manifest_of
from slipway.tables.delta_export import rebuild_delta
from slipway.tables.erasing import Found
from slipway.tables.file_erasing import FilesFound, find_files, rewrite_files, switch_files
from slipway.tables.part_cache import note_erased

__all__ = ["erase", "list_erasures"]

_VERB = "erasures.start"
_HASH_TYPE = "application/vnd.slipway.erasure"
_ATTEMPTS = 20


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
        Denied: Whoever asks may not erase.
    """
    check_allowed(workspace, _VERB, "tables.erase")
    if not request.dry_run and not request.reason.strip():
        raise InvalidInput(
            "An erasure needs a reason.", fix='Say why: --reason "request 17 of 2026-05-02"', field="reason"
        )
    if request.files:
        return _erase_files(workspace, request)
    target = _target(workspace, request)
    tables, untold = chosen_tables(workspace, target)
    targets = under_all_names(workspace, target, tables)
    untold += read_elsewhere(workspace, tables) or _other_projects(workspace)
    untold += [*simulated(workspace), *take_in_runs(workspace)]
    if request.dry_run:
        places, kept = _look(workspace, targets, tables, tables, dry_run=True)
        return ErasureReport(dry_run=True, places=tuple(places), kept=(*untold, *kept), left=0)
    named = canonical((target.table, sorted(target.columns.items())))
    erasure, is_resumed = _begin(
        workspace, named, columns=tuple(target.columns), tables=tuple(tables), reason=request.reason
    )
    for table, named_so in product(tables, targets):
        erasure = _erase_table(workspace, table, named_so, erasure)
    elsewhere, kept = _look(workspace, targets, [], tables, dry_run=False)
    unfed = _feed_anew(workspace, target) if erasure.places or elsewhere or is_resumed else []
    left, _ = _look(workspace, targets, tables, tables, dry_run=True)
    left += unfed
    stray = [erasing.orphans(workspace, table, one.columns) for table, one in product(tables, targets)]
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
    erasure, _ = _begin(workspace, named, columns=(), tables=(), reason=request.reason)
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


def _look(
    workspace: Workspace, targets: Sequence[Target], tables: list[str], every: list[str], *, dry_run: bool
) -> tuple[list[Place], list[str]]:
    """Everything in some of every table and in all other places: counted, and erased from these unless it is a dry run."""
    places: list[Place] = []
    notes: list[str] = []
    for target in targets:
        for table in tables:
            found = erasing.find(workspace, table, target.columns)
            if not found.is_empty:
                places.append(_place(found))
        for revision, _ in endpoints_of(workspace, target):
            places += erase_log(workspace, revision.name, target, dry_run=dry_run)
            places += erase_parts(workspace, revision.name, target, dry_run=dry_run)
            places += erase_reports(workspace, revision.name, target, dry_run=dry_run)
        results, told = erase_results(workspace, target, dry_run=dry_run)
        packed, kept = erase_bundles(workspace, target, dry_run=dry_run)
        patches, closed = erase_diffs(workspace, target, runs_of(workspace, target), dry_run=dry_run)
        logs, running = erase_logs(workspace, target, every, dry_run=dry_run)
        beside, unread = erase_beside(workspace, target, dry_run=dry_run)
        places += [*results, *packed, *patches, *logs, *beside]
        notes += [*told, *kept, *closed, *running, *unread]
    return places, list(dict.fromkeys(notes))


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
) -> tuple[Erasure, bool]:
    """The record of this erasure, and whether it goes on: one that was begun for the same person and not finished."""
    subject = _subject(workspace, named)
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Erasure, project=workspace.project, name=subject, limit=1000)
    for former in known:
        if former.state == "started":
            return _complete(workspace, msgspec.structs.replace(former, tables=tables)), True
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
    return _saved(workspace, made, tell=True), False


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
        parts = [one.removeprefix("part:") for one in rewritten.doomed if one.startswith("part:")]
        after = msgspec.structs.replace(
            erasure, places=places, doomed=(*erasure.doomed, *rewritten.doomed), gone=(*erasure.gone, *parts)
        )
        try:
            with workspace.ledger.write() as tx:
                erasing.switch(tx, rewritten)
                entries.put(tx, after)
                note_erased(tx)
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


def _feed_anew(workspace: Workspace, target: Target) -> list[Place]:
    """Let online stores hold what tables and logs of pushes hold now, and nothing else; where that failed, as places."""
    failed = []
    everywhere = endpoints_of(workspace, Target(columns=target.columns))
    places = {revision.name: read_place(folder_of(workspace, revision.name)) for revision, _ in everywhere}
    for revision, bundles in endpoints_of(workspace, target):
        if revision.batch is not None:  # it has no online store
            continue
        folder, place = folder_of(workspace, revision.name), places[revision.name]
        sharing = [name for name, other in places.items() if other == place and place.url] or [revision.name]
        logs = [folder_of(workspace, name) / "log" for name in sharing]
        for bundle in bundles:
            try:
                feed_anew(workspace, bundle, folder, place, logs)
                if place.url and (folder / "online.db").exists():  # what it looked up in before
                    feed_anew(workspace, bundle, folder, EMBEDDED, logs)
            except (InvalidInput, NotFound, Unavailable) as problem:
                workspace.say(f"The online store of {revision.name} was not fed: {problem}")
                note = f"not fed anew for {bundle.model}: it may still hold rows. Then erase again."
                failed.append(Place(place=f"online store of {revision.name}", rows=1, note=note))
    return failed
