"""A person's rows in stored results of steps and runs: frames, plain values as JSON, models."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import polars as pl

from slipway.errors import Corrupt
from slipway.flows.erase_person import Target, is_theirs
from slipway.ledger import archive, entries
from slipway.ledger.plain_values import restore
from slipway.models.state import EVALUATED_FILE, STATE_FILE, without_cases
from slipway.ports.workspace import Workspace
from slipway.records.erasures import Place
from slipway.records.runs import Artifact, Run, StepRun
from slipway.tables.erasing import matching, rows_of

__all__ = ["erase_results", "runs_of"]

_BATCHES = "batches.json"
_SERIES = ["values"]
_PLAIN = ("int", "float", "Decimal", "datetime", "date", "Path")


@dataclass(frozen=True, slots=True)
class _Inside:
    """What is in one stored result.

    Args:
        rows: How many of its rows are the person's.
        successor: The digest of what takes its place, "" where it goes as a whole.
        is_closed: Whether it has no columns in which a person could be found.
    """

    rows: int = 0
    successor: str = ""
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class _Search:
    """A search through stored results, each of which is opened once."""

    workspace: Workspace
    target: Target
    dry_run: bool
    seen: dict[str, _Inside] = field(default_factory=dict)

    def kept(self, artifact: Artifact) -> Artifact:
        """An artifact as its record names it from now on."""
        if artifact.digest not in self.seen:
            self.seen[artifact.digest] = self._inside(artifact)
        successor = self.seen[artifact.digest].successor
        return msgspec.structs.replace(artifact, digest=successor) if successor else artifact

    def _inside(self, artifact: Artifact) -> _Inside:
        if not self.workspace.blobs.has(artifact.digest):
            return _Inside()
        data, columns = self.workspace.blobs.get(artifact.digest), self.target.columns
        if artifact.format == "pickle":
            return _Inside(is_closed=True)
        if data[:4] == b"PAR1":
            names = list(pl.read_parquet_schema(io.BytesIO(data)))
            return _Inside(rows_of(data, columns), is_closed=names == _SERIES and names != list(columns))
        if data[:2] == b"PK":
            return self._in_archive(data)
        try:
            value = msgspec.json.decode(data)
        except msgspec.DecodeError:  # text, an array, bytes of somebody else
            return _Inside(is_closed=True)
        records = list(_records(value))
        return _Inside(sum(_count(one, columns) for one in records), is_closed=not records and _has_values(value))

    def _in_archive(self, data: bytes) -> _Inside:
        try:
            files = archive.read(data)
        except Corrupt:  # a zip of somebody else
            return _Inside(is_closed=True)
        if _BATCHES in files:  # it refers to a table's version, and holds no row
            return _Inside()
        if STATE_FILE not in files:
            return _Inside(is_closed=True)
        columns = self.target.columns
        try:
            state, rows = without_cases(files[STATE_FILE], lambda row: is_theirs(row, columns))
        except Corrupt:
            return _Inside(is_closed=True)
        without = {**files, STATE_FILE: state}
        evaluated = files.get(EVALUATED_FILE, b"")
        if evaluated and (found := rows_of(evaluated, columns)):
            rows += found
            without[EVALUATED_FILE] = _without(evaluated, columns)
        if not rows or self.dry_run:
            return _Inside(rows)
        return _Inside(rows, self.workspace.blobs.put(archive.pack(without)))


def erase_results(workspace: Workspace, target: Target, *, dry_run: bool) -> tuple[list[Place], list[str]]:
    """Erase stored results of steps and runs that hold such rows, or count them.

    A stored frame or plain value with such rows is removed whole: the step runs again when its result is asked for. A
    model keeps all but the rows that it was evaluated on and those that it is checked by.

    Returns:
        Where rows were, and what could not be looked into, in sentences.
    """
    search = _Search(workspace, target, dry_run)
    for record in _results(workspace, target):
        artifacts = record.outputs if isinstance(record, StepRun) else record.artifacts
        new = tuple(search.kept(one) for one in artifacts)
        if new != artifacts and not dry_run:
            changed = {"outputs": new} if isinstance(record, StepRun) else {"artifacts": new}
            with workspace.ledger.write() as tx:
                present = entries.get(tx, type(record), record.id)
                entries.put(tx, msgspec.structs.replace(present, **changed))
    hit = {digest: inside.rows for digest, inside in search.seen.items() if inside.rows}
    if not dry_run:
        for digest in hit:
            workspace.blobs.delete(digest)
    places = [Place(place="stored results of steps", rows=sum(hit.values()), files=len(hit))] if hit else []
    closed = sum(inside.is_closed for inside in search.seen.values())
    told = (
        f"{closed:,} stored results have no columns to find a person by (pickles, arrays, texts, files of other kinds)"
    )
    return places, [f"{told}: not looked into."] if closed else []


def _results(workspace: Workspace, target: Target) -> Iterator[Run | StepRun]:
    runs = runs_of(workspace, target)
    with workspace.ledger.read() as tx:
        steps = list(entries.every(tx, StepRun, project=workspace.project))
    chosen = {run.id for run in runs}
    yield from runs
    yield from (step for step in steps if step.parent_id in chosen or step.source_run_id in chosen)


def runs_of(workspace: Workspace, target: Target) -> list[Run]:
    """The runs in which the person may be: of one table those that read it."""
    with workspace.ledger.read() as tx:
        runs = list(entries.every(tx, Run, project=workspace.project))
    meant = f"table:{workspace.project}/{target.table}@"
    return [run for run in runs if not target.table or any(node.startswith(meant) for node in run.inputs)]


def _without(evaluated: bytes, columns: Mapping[str, str]) -> bytes:
    frame = pl.read_parquet(io.BytesIO(evaluated))
    wanted = matching(frame.schema, columns)
    assert wanted is not None, "rows were found in it"
    sink = io.BytesIO()
    frame.filter(~wanted).write_parquet(sink)
    return sink.getvalue()


def _records(value: Any) -> Iterator[Mapping[str, Any]]:
    """All objects in a plain value as it is stored, nested ones too, with dates and the like as themselves."""
    if isinstance(value, list):
        for item in value:
            yield from _records(item)
        return
    if not isinstance(value, dict) or value.get("$") == "leaf":
        return
    tag = value.get("$")
    content: Any = value if tag is None else value.get("v")
    if tag == "dict":  # pairs, because a key is no text
        yield {name: _plain(item) for name, item in content if isinstance(name, str)}
        yield from _records(content)
    elif isinstance(content, dict):
        yield {name: _plain(item) for name, item in content.items()}
        yield from _records(list(content.values()))
    elif tag is not None:
        yield from _records(content)


def _plain(item: Any) -> Any:
    if isinstance(item, list):
        return [_plain(one) for one in item]
    if isinstance(item, dict) and item.get("$") in _PLAIN:
        return restore(item, lambda _: None)
    return item


def _count(record: Mapping[str, Any], columns: Mapping[str, str]) -> int:
    """How many rows of the person a record is: one, or several where it holds columns as lists of equal length."""
    given = [record.get(name) for name in columns]
    lists = [one for one in given if isinstance(one, list)]
    if len(lists) == len(columns) and len({len(one) for one in lists}) == 1:
        return sum(is_theirs(dict(zip(columns, row, strict=True)), columns) for row in zip(*lists, strict=True))
    return int(is_theirs(record, columns))


def _has_values(value: Any) -> bool:
    """Whether a plain value without any record has texts, or a list: a single number is nobody's row."""
    if isinstance(value, list):
        return any(not isinstance(item, dict) or _has_values(item) for item in value)
    if isinstance(value, dict):
        return value.get("$") not in ("leaf", *_PLAIN) and _has_values(value.get("v"))
    return isinstance(value, str)
