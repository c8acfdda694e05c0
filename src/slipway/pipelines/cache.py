"""Stored results of steps: kept by content, found by key, verified on every read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import polars as pl

from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.hashing import fingerprint
from slipway.ledger import artifacts, entries
from slipway.ledger.artifacts import Encoded
from slipway.pipelines.hidden.present import Place, holds, identity
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact, StepRun
from slipway.records.tables import TableVersion
from slipway.schema.fingerprints import of_value
from slipway.tables.catalog import current_hash
from slipway.tables.filesets import current_file_hash

__all__ = ["Hit", "Miss", "decode", "encode", "find", "forget", "is_kept", "remember", "settled"]

_REF = "cache"
_MOST_TRIED = 64


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


def find(workspace: Workspace, key: str, place: Place) -> Hit | Miss:
    """The stored result of a key whose hidden inputs are what they were when it was made.

    Results that read something else under the same key are kept side by side: the newest that fits is taken.

    Args:
        workspace: Where results are stored.
        key: What is known of a call before it is computed.
        place: Where the step's paths begin.

    Returns:
        What is missing, damaged or no longer readable is a miss with a reason; one whose hidden inputs changed has none.
    """
    with workspace.ledger.read() as tx:
        newest = tx.ref(workspace.project, _REF, key)
        if newest is None:
            return Miss()
        found = _usable(tx, newest, place)
        if isinstance(found, Miss):
            others = tx.refs(workspace.project, _variants(key)).values()
            for step_id in sorted((one for one in others if one != newest), reverse=True)[:_MOST_TRIED]:
                other = _usable(tx, step_id, place)
                if isinstance(other, StepRun):
                    found = other
                    break
    return found if isinstance(found, Miss) else _read(workspace, found)


def _usable(tx: ReadTransaction, step_id: str, place: Place) -> StepRun | Miss:
    try:
        source = entries.get(tx, StepRun, step_id)
    except (NotFound, Corrupt) as problem:
        return Miss(f"the record of the stored result was gone: {problem.what}")
    moved = _moved_table(tx, source.reads, source.created_at)
    if moved:
        return Miss(moved)
    return source if all(holds(one, place) for one in source.hidden) else Miss()


def _variants(key: str) -> str:
    """The kind of the references to all results of a key, by what they read beside it."""
    return f"{_REF} {key}"


def _read(workspace: Workspace, source: StepRun) -> Hit | Miss:
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


def remember(tx: WriteTransaction, step: StepRun) -> None:
    """Let later calls of a step's key find its result, while what it read by itself is the same."""
    tx.set_ref(step.project, _REF, step.key, step.id, expect=tx.ref(step.project, _REF, step.key))
    if step.hidden or step.reads:
        kind, name = _variants(step.key), fingerprint([identity(step.hidden), sorted(step.reads)])
        tx.set_ref(step.project, kind, name, step.id, expect=tx.ref(step.project, kind, name))


def forget(tx: WriteTransaction, step: StepRun) -> None:
    """Let no call find a step's result any more; those that other calls made stay."""
    kind = _variants(step.key)
    variants = tx.refs(step.project, kind)
    for name in [name for name, id in variants.items() if id == step.id]:
        tx.set_ref(step.project, kind, name, "", expect=variants.pop(name))
    if tx.ref(step.project, _REF, step.key) == step.id:
        tx.set_ref(step.project, _REF, step.key, max(variants.values(), default=""), expect=step.id)


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
