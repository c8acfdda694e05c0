"""Where else than in tables a person's rows are: endpoints' logs, stored results of steps, bundles, online stores."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import polars as pl

from slipway.errors import Corrupt, NotFound
from slipway.flows.endpoints import folder_of
from slipway.ledger import archive, entries
from slipway.models.bundle import SAMPLE, Asked, decode_manifest
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.consistency import ConsistencyReport, FeatureConsistency
from slipway.records.endpoints import Revision
from slipway.records.erasures import Place
from slipway.records.models import Bundle, ModelVersion
from slipway.records.record import Record
from slipway.records.runs import Artifact, Run, StepRun
from slipway.tables.erasing import ERASED, matching, rows_of
from slipway.tables.log_erasing import erase_rows, finish_erasing

__all__ = ["Target", "bundles_with", "endpoints_of", "erase_log", "erase_reports", "erase_results", "read_elsewhere"]

R = TypeVar("R", bound=Record)

_PAGE = 500
_EVALUATED = "evaluated.parquet"
_KEY_OF_FIRST = re.compile(r" is right, for (.*) at \S+$", re.DOTALL)
_PARTS = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whose rows.

    Args:
        columns: By which columns the person is named: name to value as text.
        table: The only table that is meant, "" for every one where these columns are personal or the key.
    """

    columns: Mapping[str, str]
    table: str = ""


def endpoints_of(workspace: Workspace, target: Target) -> list[tuple[Revision, list[Bundle]]]:
    """The endpoints whose models were made from the table that is meant: newest revision, and all their bundles."""
    found = []
    with workspace.ledger.read() as tx:
        for id in tx.refs(workspace.project, "endpoint").values():
            newest = entries.get(tx, Revision, id)
            revisions = entries.find(tx, Revision, project=workspace.project, name=newest.name, limit=100_000)
            served = {one.served.bundle for one in revisions} | {
                one.challenger.served.bundle for one in revisions if one.challenger is not None
            }
            models = [m for m in _all(tx, ModelVersion, workspace.project) if m.bundle in served]
            bundles = [_bundle(workspace, model) for model in models]
            if not target.table or any(_reads(bundle, workspace.project, target.table) for bundle in bundles):
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
        finish_erasing(folder)
    with workspace.ledger.read() as tx:
        revisions = entries.find(tx, Revision, project=workspace.project, name=endpoint, limit=100_000)
    fields = {one.number: tuple(f.name for f in one.contract.fields) for one in revisions}
    keys = {one.number: one.contract.key for one in revisions}
    ids: set[str] = set()

    def predicted(row: list[Any]) -> bool:
        number = row[10] if len(row) > 10 else 0
        asked = dict(zip(fields.get(number, ()), row[6], strict=False))
        theirs = _is_theirs(asked, target.columns) or _is_key(keys.get(number, ()), row[5], target.columns)
        if theirs:
            ids.add(row[0])
        return theirs

    def labelled(row: list[Any]) -> bool:
        return row[0] in ids or any(_is_key(key, row[1], target.columns) for key in set(keys.values()))

    found = [erase_rows(folder, "predictions", predicted, dry_run=True)]
    # What hangs on a prediction's id goes before the prediction: after a kill the ids can still be found.
    found += [
        erase_rows(folder, "shadows", lambda row: row[0] in ids, dry_run=dry_run),
        erase_rows(folder, "labels", labelled, dry_run=dry_run),
        erase_rows(folder, "events", lambda row: _is_theirs(row[3], target.columns), dry_run=dry_run),
    ]
    if not dry_run:
        erase_rows(folder, "predictions", predicted)
    words = ("prediction log", "shadow answers", "labels", "pushed events")
    return [Place(place=f"{what} of {endpoint}", rows=rows) for what, rows in zip(words, found, strict=True) if rows]


def erase_reports(workspace: Workspace, endpoint: str, target: Target, *, dry_run: bool) -> list[Place]:
    """Erase what consistency reports say of a person's requests, or count them: their first defect names its key."""
    with workspace.ledger.read() as tx:
        revisions = entries.find(tx, Revision, project=workspace.project, name=endpoint, limit=100_000)
        reports = entries.find(tx, ConsistencyReport, parent=f"{workspace.project}/{endpoint}", limit=100_000)
    keys = {one.contract.key for one in revisions}

    def names_them(one: FeatureConsistency) -> bool:
        key = _KEY_OF_FIRST.search(one.first)
        return key is not None and any(_is_key(names, key[1], target.columns) for names in keys)

    found = [one for one in reports if any(map(names_them, one.features))]
    for report in () if dry_run else found:
        features = tuple(
            msgspec.structs.replace(one, first=ERASED) if names_them(one) else one for one in report.features
        )
        with workspace.ledger.write() as tx:
            entries.put(tx, msgspec.structs.replace(report, features=features))
    return [Place(place=f"consistency reports of {endpoint}", rows=len(found))] if found else []


def erase_results(workspace: Workspace, target: Target, *, dry_run: bool) -> tuple[list[Place], list[str]]:
    """Erase stored results of steps and runs that hold such rows, or count them.

    A stored frame with such rows is removed whole: the step runs again when its result is asked for. A model keeps all
    but the rows that it was evaluated on.

    Returns:
        Where rows were, and what could not be looked into, in sentences.
    """
    seen: dict[str, tuple[int, str]] = {}
    closed: set[str] = set()
    for record in _results(workspace, target):
        artifacts = record.outputs if isinstance(record, StepRun) else record.artifacts
        new = tuple(_kept(workspace, one, target, seen, closed, dry_run=dry_run) for one in artifacts)
        if new != artifacts and not dry_run:
            changed = {"outputs": new} if isinstance(record, StepRun) else {"artifacts": new}
            with workspace.ledger.write() as tx:
                present = entries.get(tx, type(record), record.id)
                entries.put(tx, msgspec.structs.replace(present, **changed))
    hit = {digest: rows for digest, (rows, _) in seen.items() if rows}
    if not dry_run:
        for digest in hit:
            workspace.blobs.delete(digest)
    places = [Place(place="stored results of steps", rows=sum(hit.values()), files=len(hit))] if hit else []
    notes = [f"{len(closed):,} stored results are pickled and were not looked into."] if closed else []
    return places, notes


def bundles_with(workspace: Workspace, target: Target, *, dry_run: bool) -> tuple[list[Place], list[str]]:
    """Erase the rows that bundles were evaluated on; name the bundles whose signed sample holds such rows.

    A bundle is named by the digest of its content, and gates, approvals and endpoints rest on that digest: its sample is
    not altered. Train the model again and let that serve.
    """
    places, kept = [], []
    with workspace.ledger.read() as tx:
        models = list(_all(tx, ModelVersion, workspace.project))
    for model in models:
        if not model.bundle:
            kept.append(
                f"The files of {model.name} {model.number} were not looked into: a tracking client stored them. "
                f"Delete the version, its run's artifacts or its logged model by that client if they hold such rows."
            )
            continue
        try:
            bundle = _bundle(workspace, model)
        except (NotFound, Corrupt) as problem:
            kept.append(f"The bundle of {model.name} {model.number} was not looked into: {problem.what}")
            continue
        if bundle.evaluated and workspace.blobs.has(bundle.evaluated):
            rows = rows_of(workspace.blobs.get(bundle.evaluated), target.columns)
            if rows:
                places.append(
                    Place(place=f"rows that {model.name} {model.number} was evaluated on", rows=rows, files=1)
                )
                if not dry_run:
                    workspace.blobs.delete(bundle.evaluated)
        inside = _in_sample(workspace, bundle, target)
        if inside:
            kept.append(
                f"The signed bundle of {model.name} {model.number} holds {inside} such rows in its reference sample. "
                f"Train the model again and let that serve: a bundle is never altered."
            )
    return places, kept


def read_elsewhere(workspace: Workspace, tables: Sequence[str]) -> list[str]:
    """A sentence for each other project that has read some tables: what it made of them is its own, and not searched."""
    begins = {f"table:{workspace.project}/{table}@": table for table in tables}
    found: dict[str, set[str]] = {}
    with workspace.ledger.read() as tx:
        for run in _all(tx, Run, None):
            if run.project != workspace.project:
                read = {name for begin, name in begins.items() if any(node.startswith(begin) for node in run.inputs)}
                found[run.project] = found.get(run.project, set()) | read
    return [
        f"The project {project!r} has read {', '.join(sorted(read))}: its tables, results, logs and online stores are "
        "not searched. Erase there too: slipway erase --where COLUMN=VALUE, and deploy its endpoints again."
        for project, read in sorted(found.items())
        if read
    ]


def _results(workspace: Workspace, target: Target) -> Iterator[Run | StepRun]:
    with workspace.ledger.read() as tx:
        runs = {run.id: run for run in _all(tx, Run, workspace.project)}
        steps = list(_all(tx, StepRun, workspace.project))
    meant = f"table:{workspace.project}/{target.table}@"
    chosen = {id for id, run in runs.items() if not target.table or any(i.startswith(meant) for i in run.inputs)}
    yield from (run for run in runs.values() if run.id in chosen)
    yield from (step for step in steps if step.parent_id in chosen or step.source_run_id in chosen)


def _kept(
    workspace: Workspace,
    artifact: Artifact,
    target: Target,
    seen: dict[str, tuple[int, str]],
    closed: set[str],
    *,
    dry_run: bool,
) -> Artifact:
    """An artifact as its record names it from now on; what goes is counted in `seen` by digest."""
    if artifact.format == "pickle":
        closed.add(artifact.digest)
    if artifact.digest not in seen:
        seen[artifact.digest] = _looked_into(workspace, artifact, target, dry_run=dry_run)
    _, successor = seen[artifact.digest]
    return msgspec.structs.replace(artifact, digest=successor) if successor else artifact


def _looked_into(workspace: Workspace, artifact: Artifact, target: Target, *, dry_run: bool) -> tuple[int, str]:
    """How many rows an artifact holds, and the digest of what takes its place ("" for nothing)."""
    if artifact.format == "pickle" or not workspace.blobs.has(artifact.digest):
        return 0, ""
    data = workspace.blobs.get(artifact.digest)
    if data[:4] == b"PAR1":
        return rows_of(data, target.columns), ""
    if data[:2] != b"PK":
        return 0, ""
    try:
        files = archive.read(data)
    except Corrupt:  # a zip of somebody else
        return 0, ""
    evaluated = files.get(_EVALUATED, b"")
    rows = rows_of(evaluated, target.columns) if evaluated else 0
    if not rows or dry_run:
        return rows, ""
    frame = pl.read_parquet(io.BytesIO(evaluated))
    wanted = matching(frame.schema, target.columns)
    assert wanted is not None, "rows were found in it"
    sink = io.BytesIO()
    frame.filter(~wanted).write_parquet(sink)
    return rows, workspace.blobs.put(archive.pack({**files, _EVALUATED: sink.getvalue()}))


def _in_sample(workspace: Workspace, bundle: Bundle, target: Target) -> int:
    names = [field.name for field in bundle.signature.inputs]
    digest = next((file.digest for file in bundle.files if file.path == SAMPLE), "")
    if not digest or not set(target.columns) <= set(names) or not workspace.blobs.has(digest):
        return 0
    sample = msgspec.json.decode(workspace.blobs.get(digest), type=Asked)
    return sum(_is_theirs(dict(zip(names, case.row, strict=True)), target.columns) for case in sample.cases)


def _bundle(workspace: Workspace, model: ModelVersion) -> Bundle:
    return decode_manifest(workspace.blobs.get(model.manifest))


def _reads(bundle: Bundle, project: str, table: str) -> bool:
    return any(node.startswith(f"table:{project}/{table}@") for node in bundle.data)


def _is_theirs(row: Mapping[str, Any], columns: Mapping[str, str]) -> bool:
    return all(name in row and _equals(row[name], text) for name, text in columns.items())


def _is_key(names: tuple[str, ...], key: str, columns: Mapping[str, str]) -> bool:
    if not set(columns) <= set(names) or not key:
        return False
    parts = [re.sub(r"\\(.)", r"\1", part) for part in _PARTS.split(key)]
    return len(parts) == len(names) and _is_theirs(dict(zip(names, parts, strict=True)), columns)


def _equals(value: Any, text: str) -> bool:
    if isinstance(value, bool):
        return str(value).lower() == text.lower()
    if isinstance(value, int | float):
        try:
            return value == float(text)
        except ValueError:
            return False
    return str(value) == text


def _all(tx: ReadTransaction, kind: type[R], project: str | None) -> Iterator[R]:
    last: R | None = None
    while True:
        page = entries.find(tx, kind, project=project, before=last, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1]
