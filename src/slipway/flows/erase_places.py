"""Where else than in tables a person's rows are: endpoints' logs and reports, and what other projects made of a table."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from slipway.flows.endpoints import folder_of
from slipway.flows.erase_person import Target, is_key, is_theirs
from slipway.flows.score import PREFIX, ROWS_FILE
from slipway.ledger import entries
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.records.consistency import ConsistencyReport, FeatureConsistency
from slipway.records.endpoints import Revision
from slipway.records.erasures import Place
from slipway.records.models import Bundle, ModelVersion
from slipway.records.runs import Run
from slipway.serving.log_policy import hashed, read_key
from slipway.tables.erasing import ERASED
from slipway.tables.log_erasing import erase_rows, finish_erasing
from slipway.tables.log_folder import note_erased

__all__ = ["endpoints_of", "erase_log", "erase_parts", "erase_reports", "read_elsewhere", "simulated"]

_KEY_OF_FIRST = re.compile(r" is right, for (.*) at \S+$", re.DOTALL)


def endpoints_of(workspace: Workspace, target: Target) -> list[tuple[Revision, list[Bundle]]]:
    """The endpoints whose models were made from the table that is meant, or that score it: newest revision, all bundles."""
    found = []
    with workspace.ledger.read() as tx:
        for id in tx.refs(workspace.project, "endpoint").values():
            newest = entries.get(tx, Revision, id)
            revisions = entries.find(tx, Revision, project=workspace.project, name=newest.name, limit=100_000)
            served = {version.bundle for one in revisions for version in one.versions}
            models = [m for m in entries.every(tx, ModelVersion, project=workspace.project) if m.bundle in served]
            bundles = [registry.bundle_of(workspace, model) for model in models]
            scores = {one.batch.table for one in revisions if one.batch is not None}
            is_read = any(_reads(bundle, workspace.project, target.table) for bundle in bundles)
            if not target.table or is_read or target.table in scores:
                found.append((newest, bundles))
    return found


def erase_log(workspace: Workspace, endpoint: str, target: Target, *, dry_run: bool) -> list[Place]:
    """Erase the person's rows from an endpoint's log, or count them: predictions, what belongs to them, pushed rows.

    Raises:
        Corrupt: The log is damaged.
        BackendError: The file system failed.
    """
    folder = folder_of(workspace, endpoint) / "log"
    if not dry_run:
        note_erased(folder)
        finish_erasing(folder)
    with workspace.ledger.read() as tx:
        revisions = entries.find(tx, Revision, project=workspace.project, name=endpoint, limit=100_000)
    fields = {one.number: tuple(f.name for f in one.contract.fields) for one in revisions}
    keys = {one.number: one.contract.key for one in revisions}
    ids: set[str] = set()

    ways = _ways(folder.parent, revisions, target)

    def predicted(row: list[Any]) -> bool:
        number = row[10] if len(row) > 10 else 0
        asked = dict(zip(fields.get(number, ()), row[6], strict=False))
        key = keys.get(number, ())
        theirs = any(is_theirs(asked, columns) or is_key(key, row[5], columns) for columns in ways)
        if theirs:
            ids.add(row[0])
        return theirs

    def labelled(row: list[Any]) -> bool:
        return row[0] in ids or any(is_key(key, row[1], columns) for key in set(keys.values()) for columns in ways)

    found = [erase_rows(folder, "predictions", predicted, dry_run=True)]
    # What hangs on a prediction's id goes before the prediction: after a kill the ids can still be found.
    found += [
        erase_rows(folder, "shadows", lambda row: row[0] in ids, dry_run=dry_run),
        erase_rows(folder, "labels", labelled, dry_run=dry_run),
        erase_rows(folder, "events", lambda row: is_theirs(row[3], target.columns), dry_run=dry_run),
    ]
    if not dry_run:
        erase_rows(folder, "predictions", predicted)
        note_erased(folder)  # also where none was left: who erased them may have been killed before they said so
    words = ("prediction log", "shadow answers", "labels", "pushed events")
    return [Place(place=f"{what} of {endpoint}", rows=rows) for what, rows in zip(words, found, strict=True) if rows]


def _ways(folder: Path, revisions: Sequence[Revision], target: Target) -> list[Mapping[str, str]]:
    """By what columns a log may name the person: in clear, and by hashes where personal columns are not in clear."""
    hidden = {one.log.redacted for one in revisions if one.log.redacted}
    secret = read_key(folder) if hidden else b""
    return [
        target.columns,
        *(
            {name: hashed(secret, text) if name in names else text for name, text in target.columns.items()}
            for names in sorted(hidden)
        ),
    ]


def erase_parts(workspace: Workspace, endpoint: str, target: Target, *, dry_run: bool) -> list[Place]:
    """Erase what unfinished scorings keep, where the person is in it, or count their rows: it is scored again."""
    found = []
    for folder in sorted((folder_of(workspace, endpoint) / "scorings").glob("*")):
        rows = [
            row
            for path in sorted(folder.glob(f"{PREFIX}*/{ROWS_FILE}"))
            for row in pl.read_ipc(path).to_dicts()
            if is_theirs(row, target.columns)
        ]
        if rows and not dry_run:
            shutil.rmtree(folder)
        found += rows
    return [Place(place=f"unfinished scorings of {endpoint}", rows=len(found))] if found else []


def erase_reports(workspace: Workspace, endpoint: str, target: Target, *, dry_run: bool) -> list[Place]:
    """Erase what consistency reports say of a person's requests, or count them: their first defect names its key."""
    with workspace.ledger.read() as tx:
        revisions = entries.find(tx, Revision, project=workspace.project, name=endpoint, limit=100_000)
        reports = entries.find(tx, ConsistencyReport, parent=f"{workspace.project}/{endpoint}", limit=100_000)
    keys = {one.contract.key for one in revisions}

    def names_them(one: FeatureConsistency) -> bool:
        key = _KEY_OF_FIRST.search(one.first)
        return key is not None and any(is_key(names, key[1], target.columns) for names in keys)

    found = [one for one in reports if any(map(names_them, one.features))]
    for report in () if dry_run else found:
        features = tuple(
            msgspec.structs.replace(one, first=ERASED) if names_them(one) else one for one in report.features
        )
        with workspace.ledger.write() as tx:
            entries.put(tx, msgspec.structs.replace(report, features=features))
    return [Place(place=f"consistency reports of {endpoint}", rows=len(found))] if found else []


def read_elsewhere(workspace: Workspace, tables: Sequence[str]) -> list[str]:
    """A sentence for each other project that has read some tables: what it made of them is its own, and not searched."""
    begins = {f"table:{workspace.project}/{table}@": table for table in tables}
    found: dict[str, set[str]] = {}
    with workspace.ledger.read() as tx:
        for run in entries.every(tx, Run, project=None):
            if run.project != workspace.project:
                read = {name for begin, name in begins.items() if any(node.startswith(begin) for node in run.inputs)}
                found[run.project] = found.get(run.project, set()) | read
    return [
        f"The project {project!r} has read {', '.join(sorted(read))}: its tables, results, logs and online stores are "
        "not searched. Erase there too: slipway erase --where COLUMN=VALUE, and deploy its endpoints again."
        for project, read in sorted(found.items())
        if read
    ]


def simulated(workspace: Workspace) -> list[str]:
    """A sentence for each simulation whose store lies in this one: it is a store of its own, with copies of what is asked."""
    found = sorted(path for path in (workspace.root / "simulations").glob("*") if path.is_dir())
    return [f"The store of a simulation in {path} is not searched. Remove that folder." for path in found]


def _reads(bundle: Bundle, project: str, table: str) -> bool:
    return any(node.startswith(f"table:{project}/{table}@") for node in bundle.data)
