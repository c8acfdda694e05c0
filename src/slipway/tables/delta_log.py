"""A table's versions as the versions of a Delta table, over the very parts that lie there.

Only the log is written: `_delta_log` beside the parts. Slipway's version N is the Delta table's version N (version 0 is
empty), so that Delta's own time travel speaks of the same numbers. The table is read-only for others: its protocol
asks writers for a feature that only Slipway has, so a write or a vacuum by another tool is refused.

Source: the Delta transaction log protocol, PROTOCOL.md of the delta-io/delta project: sections "Actions", "Per-file
statistics", "Schema serialization format" and "Table features".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from slipway.errors import BackendError, Conflict, Corrupt, InvalidInput
from slipway.hashing import fingerprint
from slipway.ledger.entries import microseconds
from slipway.records.schema import Field
from slipway.records.tables import Manifest, Part, TableVersion
from slipway.schema.dtypes import dtype_of
from slipway.tables.durable import put_new, sync_folder

__all__ = ["LOG", "MANAGED", "ORIGIN", "Snapshot", "delta_type", "refusal_of", "table_id", "write_log"]

LOG = "_delta_log"
MANAGED = "slipwayManaged"
"""The writer feature that no other tool has."""
ORIGIN = "slipway.origin"
"""The property of a Delta table that says "simulated" where a program made its rows up."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATS_COLUMNS = 32
_UNREADABLE = pl.Schema({"unreadable": pl.String()})  # a Delta table must have a column
_PRIMITIVES: dict[type[pl.DataType], str] = {
    pl.Int8: "byte", pl.Int16: "short", pl.Int32: "integer", pl.Int64: "long",
    pl.UInt8: "short", pl.UInt16: "integer", pl.UInt32: "long",
    pl.Float32: "float", pl.Float64: "double", pl.Boolean: "boolean", pl.Date: "date", pl.Binary: "binary",
    pl.String: "string", pl.Categorical: "string", pl.Enum: "string",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One version as the log tells of it.

    Args:
        number: The version's number, in Slipway and in Delta.
        version: Its record, None where the version is gone.
        manifest: What it consists of, None where it is gone.
        schema: Its columns' types.
        refusal: Why it cannot be read as Delta, "" where it can.
        personal: Columns whose bounds are not told.
    """

    number: int
    version: TableVersion | None = None
    manifest: Manifest | None = None
    schema: pl.Schema | None = None
    refusal: str = ""
    personal: frozenset[str] = frozenset()

    @property
    def files(self) -> dict[str, Part | None]:
        """The files of the Delta version by name.

        One that cannot be read names a file that is not there: a reader fails on its name, which says why, and never
        gets other rows.
        """
        if self.refusal or self.manifest is None:
            words = "".join(sign if sign.isalnum() else "-" for sign in self.refusal.partition(":")[0].lower())
            return {f"version-{self.number}-{words or 'is-gone'}.parquet": None}
        return {f"{part.digest}.parquet": part for part in self.manifest.parts}


def delta_type(dtype: pl.DataType, column: str) -> str | dict[str, Any]:
    """The Delta type that a column's stored values are read as.

    Raises:
        InvalidInput: Delta has no such type.
    """
    if isinstance(dtype, pl.Datetime):
        return "timestamp" if dtype.time_zone else "timestamp_ntz"
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.List | pl.Array):
        inner = dtype.inner if isinstance(dtype.inner, pl.DataType) else dtype.inner()
        return {"type": "array", "elementType": delta_type(inner, column), "containsNull": True}
    if isinstance(dtype, pl.Struct):
        return _struct({field.name: _instance(field.dtype) for field in dtype.fields}, column)
    known = _PRIMITIVES.get(type(dtype))
    if known is None:
        raise InvalidInput(
            f"Column {column!r} has the type {dtype}, which Delta does not know.",
            fix=f"Write it as another type, for example pl.col({column!r}).cast(pl.Int64), in a new version.",
            field=column,
        )
    return known


@dataclass(slots=True)
class _State:
    """What a log says so far: the files by name with their sizes, the columns, whether rows are simulated, the protocol."""

    files: dict[str, int]
    schema: str = ""
    origin: str = ""
    protocol: dict[str, Any] | None = None


def write_log(folder: Path, newest: int, snapshot_of: Callable[[int], Snapshot], *, table_id: str) -> int:
    """Bring the log in a table's folder up to date. What is in it stays; each commit appears whole or not at all.

    Args:
        folder: The table's folder, where the parts lie.
        newest: The number of the newest version.
        snapshot_of: Gives a version by its number; called for those only that the log does not have.
        table_id: Names the Delta table.

    Returns:
        How many bytes were written.

    Raises:
        Conflict: The log is not Slipway's, or has a commit that Slipway did not write.
        Corrupt: A commit in it cannot be read.
        BackendError: The file system failed.
    """
    log = folder / LOG
    try:
        log.mkdir(parents=True, exist_ok=True)
        there = sorted(int(path.stem) for path in log.glob("*.json") if path.stem.isdigit())
        state = _replay(log, there, newest)
        written = 0
        for number in range(len(there), newest + 1):
            snapshot = snapshot_of(max(number, 1))
            at = snapshot.version.created_at if snapshot.version else _EPOCH
            actions = _commit(snapshot, state, at, table_id) if number else _first_commit(snapshot, state, at, table_id)
            content = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in actions).encode()
            _put(log / f"{number:020d}.json", content, at)
            written += len(content)
        sync_folder(log)
    except OSError as problem:
        if isinstance(problem, BackendError):
            raise
        raise BackendError(
            f"The Delta log {log} could not be written: {problem}.",
            fix="Make room or give this user the right to write there, then try again.",
        ) from problem
    return written


def bounded_in(folder: Path) -> set[str]:
    """The columns of which the log in a table's folder tells bounds."""
    found: set[str] = set()
    for path in (folder / LOG).glob("*.json"):
        actions = [json.loads(line) for line in path.read_bytes().splitlines()]
        told = [json.loads(action["add"].get("stats") or "{}") for action in actions if "add" in action]
        found.update(*(stats.get("minValues", ()) for stats in told))
    return found


def refusal_of(manifest: Manifest) -> str:
    """Why the parts of a version cannot be read as Delta, "" where they can."""
    if any(part.columns for part in manifest.parts):
        return "needs compaction: a column has another name now than in its files"
    types = dict(zip(manifest.field_ids, map(dtype_of, manifest.types), strict=True))
    casts = [(dtype_of(old), types[number]) for part in manifest.parts for number, old in part.casts if number in types]
    if not all(a.is_integer() == b.is_integer() and a.is_float() == b.is_float() for a, b in casts):
        return "needs compaction: a column has a type of another kind now than in its files"
    if len({part.digest for part in manifest.parts}) < len(manifest.parts):
        return "needs compaction: it holds the same file more than once"
    return ""


def _first_commit(snapshot: Snapshot, state: _State, at: datetime, table_id: str) -> list[dict[str, Any]]:
    """Version 0: the table with the columns of its first version, and no rows."""
    info = {"timestamp": _millis(at), "operation": "CREATE TABLE", "operationParameters": {}, "engineInfo": "slipway"}
    return [{"commitInfo": info}, *_columns(snapshot, snapshot.schema or _UNREADABLE, state, at, table_id)]


def _commit(snapshot: Snapshot, state: _State, at: datetime, table_id: str) -> list[dict[str, Any]]:
    """What makes a version of the one before it; the state moves on to it."""
    version = snapshot.version
    info: dict[str, Any] = {
        "timestamp": _millis(at), "operation": "WRITE", "operationParameters": {}, "engineInfo": "slipway",
        "slipwayNumber": snapshot.number,
    }  # fmt: skip
    if version is not None:
        info |= {"slipwayVersion": version.version, "slipwayChange": version.change}
    if snapshot.refusal:
        info["slipwayRefusal"] = snapshot.refusal
    actions: list[dict[str, Any]] = [{"commitInfo": info}]
    if snapshot.schema is not None:
        actions += _columns(snapshot, snapshot.schema, state, at, table_id)
    files = snapshot.files
    gone = [name for name in state.files if name not in files]
    actions += [
        {"remove": {"path": name, "deletionTimestamp": _millis(at), "dataChange": True, "size": state.files.pop(name)}}
        for name in gone
    ]
    for name, part in files.items():
        if name not in state.files:
            actions.append({"add": _add(name, part, at, snapshot)})
            state.files[name] = part.size_bytes if part else 0
    return actions


def _columns(snapshot: Snapshot, schema: pl.Schema, state: _State, at: datetime, table_id: str) -> list[dict[str, Any]]:
    """The actions that tell protocol, columns and origin, where they are not what the log says already."""
    origin = snapshot.version.about.origin if snapshot.version is not None else ""
    actions: list[dict[str, Any]] = []
    protocol, columns = _protocol(schema), json.dumps(_struct(dict(schema), ""), separators=(",", ":"))
    if state.protocol != protocol:
        actions.append({"protocol": protocol})
    if (state.schema, state.origin) != (columns, origin):
        told: dict[str, Any] = {
            "id": table_id,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": columns,
        }
        kept = {ORIGIN: origin} if origin else {}
        told = told | {"partitionColumns": [], "configuration": kept, "createdTime": _millis(at)}
        told |= {"description": "SIMULATED: a program made these rows up."} if origin else {}
        actions.append({"metaData": told})
    state.protocol, state.schema, state.origin = protocol, columns, origin
    return actions


def _replay(log: Path, there: list[int], newest: int) -> _State:
    state = _State({})
    foreign = there != list(range(len(there))) or len(there) > newest + 1 or any(log.glob("*.parquet"))
    for number in () if foreign else there:
        try:
            actions = [json.loads(line) for line in (log / f"{number:020d}.json").read_bytes().splitlines()]
            foreign = foreign or actions[0].get("commitInfo", {}).get("engineInfo") != "slipway"
            for action in actions:
                if "remove" in action:
                    state.files.pop(action["remove"]["path"], None)
                elif "add" in action:
                    state.files[action["add"]["path"]] = action["add"]["size"]
                elif "metaData" in action:
                    state.schema = action["metaData"]["schemaString"]
                    state.origin = action["metaData"].get("configuration", {}).get(ORIGIN, "")
                state.protocol = action.get("protocol", state.protocol)
        except (ValueError, KeyError, IndexError, AttributeError) as problem:
            raise Corrupt(
                f"The Delta log {log} cannot be read in its commit {number}: {problem}.",
                fix=f"It is made of what the ledger knows: remove {log} and export again.",
            ) from problem
    if foreign:
        raise Conflict(
            f"The Delta log {log} is not the one that Slipway wrote for this table.",
            why="Another tool wrote to it, or it belongs to other versions.",
            fix=f"Import what was written there, then move {log} away and export again.",
        )
    return state


def _protocol(schema: pl.Schema) -> dict[str, Any]:
    wall_time = any(_has_wall_time(dtype) for dtype in schema.values())
    features = ["timestampNtz"] if wall_time else []
    readers: dict[str, Any] = (
        {"minReaderVersion": 3, "readerFeatures": features} if wall_time else {"minReaderVersion": 1}
    )
    return readers | {"minWriterVersion": 7, "writerFeatures": [*features, MANAGED]}


def _has_wall_time(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.Datetime):
        return dtype.time_zone is None
    if isinstance(dtype, pl.List | pl.Array):
        return _has_wall_time(_instance(dtype.inner))
    return isinstance(dtype, pl.Struct) and any(_has_wall_time(_instance(field.dtype)) for field in dtype.fields)


def _struct(columns: dict[str, pl.DataType], outer: str) -> dict[str, Any]:
    fields = [
        {"name": name, "type": delta_type(dtype, outer or name), "nullable": True, "metadata": {}}
        for name, dtype in columns.items()
    ]
    return {"type": "struct", "fields": fields}


def _instance(dtype: Any) -> pl.DataType:
    return dtype if isinstance(dtype, pl.DataType) else dtype()


def _add(name: str, part: Part | None, at: datetime, snapshot: Snapshot) -> dict[str, Any]:
    told: dict[str, Any] = {
        "path": name,
        "partitionValues": {},
        "size": part.size_bytes if part else 0,
        "modificationTime": _millis(at),
        "dataChange": True,
    }
    if part is not None and snapshot.manifest is not None and snapshot.version is not None:
        found = _stats(part, snapshot.manifest.fields, snapshot.personal)
        told["stats"] = json.dumps(found, separators=(",", ":"))
    return told


def _millis(at: datetime) -> int:
    return microseconds(at) // 1000


def _stats(part: Part, fields: tuple[Field, ...], personal: frozenset[str]) -> dict[str, Any]:
    """Bounds of the first columns. Those of floats are left out, for they do not cover NaN; so are personal columns'."""
    lows: dict[str, Any] = {}
    highs: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for field in fields[:_STATS_COLUMNS]:
        found = part.stats.get(field.name)
        if found is None or field.name in personal or field.type == "object":  # a struct's nulls are counted by field
            continue
        nulls[field.name] = found.nulls
        if field.type in ("int", "string", "datetime", "date") and found.low is not None and found.high is not None:
            lows[field.name], highs[field.name] = _bound(found.low, field.type), _bound(found.high, field.type)
    return {"numRecords": part.rows, "minValues": lows, "maxValues": highs, "nullCount": nulls}


def _bound(value: Any, kind: str) -> Any:
    if kind != "datetime":
        return value
    instant = _EPOCH + timedelta(microseconds=int(value))
    return instant.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _put(path: Path, content: bytes, at: datetime) -> None:
    try:  # Delta finds a version by time by the age of its commit's file
        put_new(path, content, mtime_s=at.timestamp())
    except FileExistsError:  # somebody exports at the same time; a commit has one content only
        if path.read_bytes() != content:
            raise Conflict(
                f"Somebody else wrote another {path.name} to the Delta log meanwhile.", fix="Export again."
            ) from None


def table_id(project: str, table: str) -> str:
    """The Delta table's id, a UUID, the same however often one asks."""
    digits = fingerprint((project, table))[:32]
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
