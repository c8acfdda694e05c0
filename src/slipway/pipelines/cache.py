"""Stored results of steps: kept by content, found by key, verified on every read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import polars as pl

from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.ledger import artifacts, entries
from slipway.ledger.artifacts import Encoded
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact, StepRun
from slipway.records.tables import TableVersion
from slipway.schema.fingerprints import of_value
from slipway.tables.catalog import current_hash
from slipway.tables.filesets import current_file_hash

__all__ = ["Hit", "Miss", "decode", "encode", "find", "forget", "is_kept", "remember", "settled"]

_REF = "cache"


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored result.

    Args:
        value: Equal to what the step returned.
        source: The call that made it.
    """

    value: Any
    source: StepRun


@dataclass(frozen=True, slots=True)
class Miss:
    """No usable result.

    Args:
        reason: Why a stored one cannot be used, "" where none is stored.
    """

    reason: str = ""


def find(workspace: Workspace, key: str) -> Hit | Miss:
    """The stored result of a key. What is missing, damaged or no longer readable is a miss with a reason."""
    with workspace.ledger.read() as tx:
        step_id = tx.ref(workspace.project, _REF, key)
        if step_id is None:
            return Miss()
        try:
            source = entries.get(tx, StepRun, step_id)
        except (NotFound, Corrupt) as problem:
            return Miss(f"the record of the stored result was gone: {problem.what}")
        moved = _moved_table(tx, source.reads, source.created_at)
    if moved:
        return Miss(moved)
    for artifact in source.outputs:
        # Whoever gets them names them next: they must not go meanwhile, with the run that made them.
        if not workspace.blobs.renew(artifact.digest):
            return Miss("the stored result was gone")
    try:
        value = decode(source.outputs, lambda artifact: workspace.blobs.get(artifact.digest))
    except NotFound:
        return Miss("the stored result was gone")
    except Corrupt as problem:
        return Miss(f"the stored result could not be used: {problem.what}")
    return Hit(value, source)


def is_kept(tx: ReadTransaction, project: str, key: str) -> bool:
    """Whether a result is stored under a key, usable or not."""
    return tx.ref(project, _REF, key) is not None


def _moved_table(tx: ReadTransaction, reads: Sequence[str], since: datetime) -> str:
    """What the step read by itself must still be what it would read now."""
    for node in reads:
        kind, _, rest = node.partition(":")
        name, _, version = rest.rpartition("@")
        project, _, table = name.partition("/")
        if kind == "files":
            if current_file_hash(tx, project, table) != version:
                return f"the file set {table}, which it reads, has another version"
        elif current_hash(tx, project, table) != version:
            return f"table {table}, which it reads, has another version"
        elif any(one.at >= since for one in entries.get(tx, TableVersion, rest).erased):
            return f"rows of the table {table}, which it reads, were erased"
    return ""


def remember(tx: WriteTransaction, project: str, key: str, step_id: str) -> None:
    """Let later calls of a key find a step's result."""
    tx.set_ref(project, _REF, key, step_id, expect=tx.ref(project, _REF, key))


def forget(tx: WriteTransaction, project: str, key: str, step_id: str) -> None:
    """Let no call find a step's result any more; one that another call made since stays."""
    if tx.ref(project, _REF, key) == step_id:
        tx.set_ref(project, _REF, key, "", expect=step_id)


def settled(value: Any) -> Any:
    """The value with every LazyFrame computed once, and lazy again: it is stored and handed on as the same rows."""
    if isinstance(value, pl.LazyFrame):
        return value.collect().lazy()
    if type(value) in (list, tuple):
        items = [settled(item) for item in value]
        return items if type(value) is list else tuple(items)
    if type(value) is dict:
        return {key: settled(item) for key, item in value.items()}
    return value


def encode(value: Any, returns: tuple[str, ...] = ()) -> Encoded:
    """A step's result as artifacts: one called "result", or one a name of the returned tuple.

    Raises:
        InvalidInput: It cannot be stored, or is not the tuple that the step announced.
    """
    if not returns:
        return artifacts.encode("result", value, of_value)
    if not isinstance(value, tuple) or len(value) != len(returns):
        given = f"{len(value)} items" if isinstance(value, tuple) else f"a {type(value).__name__}"
        raise InvalidInput(
            f"The step says that it returns a tuple of {', '.join(returns)}, but it returned {given}.",
            fix="Return as many items as `returns` has names, or change `returns`.",
        )
    items = [artifacts.encode(name, item, of_value) for name, item in zip(returns, value, strict=True)]
    pickled = tuple(kind for item in items for kind in item.pickled)
    return Encoded(tuple(part for item in items for part in item.parts), pickled)


def decode(outputs: Sequence[Artifact], read: Any) -> Any:
    """The result that `encode` wrote.

    Args:
        outputs: The artifacts in their order.
        read: The bytes of an artifact.

    Raises:
        Corrupt: Bytes are damaged, or what they need to be read is gone.
        NotFound: Bytes are missing.
    """
    if not outputs:
        raise Corrupt("It holds no result.")
    groups = [list(group) for _, group in groupby(outputs, key=lambda artifact: artifact.name.partition("/")[0])]
    if len(groups) == 1 and groups[0][0].name == "result":
        return artifacts.decode(groups[0], read)
    return tuple(artifacts.decode(group, read) for group in groups)
