"""Rows of one person in an endpoint's log: erased where they lie, while the endpoint goes on writing.

A Parquet file is replaced by one of the same name without them. A frame keeps its place and its length, so that neither the processes that append nor those that remember how far they
have read notice. What a segment's frames become is written beside it first: a kill in between is made good by the next
erasure.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from slipway.errors import BackendError
from slipway.tables.durable import replace_file, sync_folder
from slipway.tables.log_folder import changing
from slipway.tables.log_merged import merged_of
from slipway.tables.log_parquet import KINDS, as_rows, columns_in, to_write
from slipway.tables.segments import JOURNAL, erased_frame, frames_of

__all__ = ["erase_rows", "finish_erasing", "finish_journals"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[list[Any]]).decode
_decode_journal = msgspec.msgpack.Decoder(list[tuple[int, bytes]]).decode


def erase_rows(folder: Path, kind: str, is_theirs: Callable[[list[Any]], bool], *, dry_run: bool = False) -> int:
    """Erase rows of one kind from a log, or count them.

    Args:
        folder: Where the segments lie; it need not exist.
        kind: Which of them: "predictions".
        is_theirs: Says of a row, as plain values in the order of its fields, whether it goes.
        dry_run: Whether rows are counted only.

    Returns:
        How many rows.

    Raises:
        Corrupt: The log is damaged.
        BackendError: The file system failed.
    """
    if not folder.exists():
        return 0
    with changing(folder) as files:  # no segment becomes Parquet meanwhile
        erased = sum(_erase_in_parquet(path, kind, is_theirs, dry_run=dry_run) for path in files.parquet(kind))
        for path in files.segments(kind):
            erased += _erase_in_segment(path, is_theirs, dry_run=dry_run)
    return erased


def _erase_in_parquet(path: Path, kind: str, is_theirs: Callable[[list[Any]], bool], *, dry_run: bool) -> int:
    columns = columns_in(path) if kind == "predictions" else None
    frame = pl.read_parquet(path, hive_partitioning=False)
    rows = as_rows(frame, KINDS[kind], columns)
    stays = [not is_theirs(list(msgspec.structs.astuple(row))) for row in rows]
    erased = stays.count(False)
    if erased and not dry_run:
        kept = BytesIO()
        frame.filter(pl.Series(stays)).write_parquet(kept, metadata=to_write(columns, merged_of(path)))
        try:
            replace_file(path, kept.getvalue())
        except OSError as problem:
            raise _failed(path, problem) from problem
    return erased


def _erase_in_segment(path: Path, is_theirs: Callable[[list[Any]], bool], *, dry_run: bool) -> int:
    erased = 0
    changes = []
    for offset, length, payload in frames_of(path):
        rows = _decode(payload)
        kept = [row for row in rows if not is_theirs(row)]
        if len(kept) < len(rows):
            erased += len(rows) - len(kept)
            changes.append((offset, erased_frame(_encode(kept), length)))
    if changes and not dry_run:
        try:
            replace_file(path.with_name(path.name + JOURNAL), _encode(changes))
        except OSError as problem:
            raise _failed(path, problem) from problem
        _apply(path, changes)
    return erased


def finish_erasing(folder: Path) -> None:
    """Complete what a killed erasure had begun.

    Raises:
        BackendError: The file system failed.
    """
    if not folder.exists():
        return
    with changing(folder):
        finish_journals(folder)


def finish_journals(folder: Path) -> None:
    """The same, for who holds `changing`: a segment that is half erased must not become Parquet."""
    for journal in folder.glob(f"*.seg{JOURNAL}"):
        _apply(journal.with_name(journal.name.removesuffix(JOURNAL)), _decode_journal(journal.read_bytes()))


def _apply(path: Path, changes: list[tuple[int, bytes]]) -> None:
    journal = path.with_name(path.name + JOURNAL)
    try:
        handle = os.open(path, os.O_WRONLY)
        try:
            for offset, frame in changes:
                written = 0
                while written < len(frame):
                    written += os.pwrite(handle, memoryview(frame)[written:], offset + written)
            os.fsync(handle)
        finally:
            os.close(handle)
        journal.unlink()
        sync_folder(path.parent)
    except OSError as problem:
        raise _failed(path, problem) from problem


def _failed(path: Path, problem: OSError) -> BackendError:
    return BackendError(
        f"Rows could not be erased from the log {path}: {problem}.",
        fix="Make room or give this user the right to write there, then erase again.",
    )
