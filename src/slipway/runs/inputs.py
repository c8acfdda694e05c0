"""Data that a run says it used: versions of stored tables, and frames by the fingerprint of their values."""

from __future__ import annotations

from typing import Any

import msgspec

from slipway.errors import InvalidInput
from slipway.ports.workspace import Workspace
from slipway.records.runs import CONTEXT, Dataset
from slipway.records.tables import TableVersion
from slipway.schema.fingerprints import of_value
from slipway.tables import catalog, resolve

__all__ = ["TABLE", "dataset_of"]

TABLE = "table"
"""The source type of a stored table's version."""

_NAME_LENGTH = 500
_DECLARED = "slipway.data.declare"


def dataset_of(workspace: Workspace, data: object, *, name: str = "", context: str = "") -> Dataset:
    """What a record keeps of data.

    Args:
        workspace: Whose tables a name means.
        data: A table: its declaration, its name, "NAME@VERSION", or a version; or a Polars or pandas frame, a NumPy
            array, or whatever else has a fingerprint and a length.
        name: What it is called; the table's name, or "data", when empty.
        context: What it was used for: "training".

    Raises:
        NotFound: There is no such table or version.
        InvalidInput: It has no fingerprint, or the name or context is too long.
    """
    for what, text in (("name", name), ("context", context)):
        if len(text) > _NAME_LENGTH:
            raise InvalidInput(
                f"The {what} of a dataset has {len(text)} characters.", fix=f"At most {_NAME_LENGTH}.", field=what
            )
    tags = {CONTEXT: context} if context else {}
    version = _version(workspace, data)
    if version is not None:
        return Dataset(
            name=name or version.name,
            digest=version.version,
            source_type=TABLE,
            source=catalog.node(version.project, version.name, version.version),
            schema=_text({field.name: str(field.type) for field in version.fields}),
            profile=_text({"num_rows": version.rows}),
            tags=tags,
        )
    if hasattr(data, "collect"):
        raise InvalidInput(
            "A lazy frame was given as a dataset.",
            why="What it will hold is known when it is computed, and it would be computed twice.",
            fix="Give the frame that the training reads: frame = lazy.collect().",
            field="data",
        )
    rows = {"num_rows": len(data)} if hasattr(data, "__len__") else {}
    return Dataset(
        name=name or "data",
        digest=of_value(data),
        source_type="frame",
        schema=_text(_columns(data)),
        profile=_text(rows),
        tags=tags,
    )


def _version(workspace: Workspace, data: Any) -> TableVersion | None:
    if isinstance(data, TableVersion):
        return data
    if type(data).__module__ == _DECLARED:  # a declaration: stages do not import each other
        return resolve.resolve(workspace, data.name)
    if isinstance(data, str):
        table, _, version = data.partition("@")
        return resolve.resolve(workspace, table, version or None)
    return None


def _text(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode() if value else ""


def _columns(data: Any) -> dict[str, str]:
    """Of a frame: names and types as its library calls them."""
    for attribute in ("schema", "dtypes"):
        found: Any = getattr(data, attribute, None)
        if hasattr(found, "items"):
            return {str(name): str(kind) for name, kind in found.items()}
    return {}
