"""Rows of one person in an endpoint's log: erased where they lie, while the endpoint goes on writing.

A frame keeps its place and its length, so that neither the processes that append nor those that remember how far they
have read notice. What a segment's frames become is written beside it first: a kill in between is made good by the next
erasure.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from slipway.errors import BackendError
from slipway.tables.durable import replace_file, sync_folder
from slipway.tables.segments import JOURNAL, erased_frame, frames_of

__all__ = ["erase_rows", "finish_erasing"]

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
    erased = 0
    for path in sorted(folder.glob(f"{kind}-*.seg")):
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
