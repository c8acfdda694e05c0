"""The body of the operation that looks into a frame which a run stored; apart, because it loads Polars."""

import io

import polars as pl

from slipway.errors import InvalidInput
from slipway.operations.runs import GetArtifact, GetRows, Rows
from slipway.ports.workspace import Workspace
from slipway.runs.browse import get_artifact

__all__ = ["get_rows"]

_MOST_ROWS = 10_000


def get_rows(workspace: Workspace, request: GetRows) -> Rows:
    """The first rows of a frame.

    Raises:
        NotFound: There is no such run or artifact.
        InvalidInput: It is no Parquet, or too large to be looked into, or the limit is out of range.
    """
    if not 1 <= request.limit <= _MOST_ROWS:
        raise InvalidInput(f"limit is {request.limit}.", fix=f"Give 1 to {_MOST_ROWS:,}.", field="limit")
    content = get_artifact(workspace, GetArtifact(id=request.id, name=request.name))
    if not content.is_whole and content.withheld:
        raise InvalidInput(
            f"{request.name!r} is not shown to {workspace.actor.name}.",
            why=content.withheld,
            fix="Ask somebody who may see personal columns: slipway people roles",
            field="name",
        )
    if not content.is_whole:
        raise InvalidInput(f"{request.name!r} is too large to be looked into.", fix="Download it.", field="name")
    try:
        frame = pl.read_parquet(io.BytesIO(content.data), n_rows=request.limit + 1)
        taken = frame.rows()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as problem:
        raise InvalidInput(
            f"{request.name!r} cannot be read as Parquet: {problem}.",
            fix="Download it to look at what it is.",
            field="name",
        ) from problem
    rows = [tuple(None if value is None else str(value) for value in row) for row in taken[: request.limit]]
    types = tuple(map(str, frame.dtypes))
    return Rows(columns=tuple(frame.columns), types=types, rows=tuple(rows), has_more=len(taken) > len(rows))
