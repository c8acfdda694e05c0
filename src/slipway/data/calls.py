"""Calling a table's function: what it returned, which tables it read, and its failure in words."""

from __future__ import annotations

import traceback
from typing import Any

import polars as pl

from slipway.data.declare import Table
from slipway.errors import SlipwayError, StepFailed
from slipway.ports.source import masked
from slipway.ports.workspace import Workspace
from slipway.schema.types import frame_of
from slipway.tables.staging import Staged, stage
from slipway.tables.versions import reads

__all__ = ["called", "failed", "on_disk"]


def called(table: Table, *given: Any) -> tuple[pl.DataFrame | pl.LazyFrame, tuple[str, ...]]:
    """What a table's function returns, and the lineage nodes of the tables that it read.

    Raises:
        StepFailed: It raised.
        InvalidInput: It returned no frame.
    """
    outer = reads.get()
    with reads.filled([]) as seen:
        try:
            made = table.function(*given)
        except SlipwayError:
            raise
        except Exception as problem:
            raise failed(table, problem) from problem
    if outer is not None:
        outer += [node for node in seen if node not in outer]
    if isinstance(made, pl.LazyFrame):
        return made, tuple(seen)
    return frame_of(made, f"What {table.name}() returned"), tuple(seen)


def on_disk(workspace: Workspace, table: Table, rows: pl.LazyFrame) -> Staged:
    """The rows that a table's function returned lazily, staged: its query runs here, in bounded memory.

    Raises:
        StepFailed: Its query failed.
    """
    try:
        return stage(workspace, table.name, rows)
    except SlipwayError:
        raise
    except Exception as problem:
        raise failed(table, problem) from problem


def failed(table: Table, problem: Exception) -> StepFailed:
    """The failure of a table's function, with the lines of the function alone."""
    return StepFailed(
        f"The table function {table.name!r} raised {type(problem).__name__}: {masked(str(problem))}",
        step=table.name,
        trace="".join(traceback.format_exception(_without_this_file(problem))),
        fix=f"Call {table.name}() by itself to look into it.",
    )


def _without_this_file(problem: Exception) -> Exception:
    trace = problem.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return problem.with_traceback(trace)
