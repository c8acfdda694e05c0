"""Append-only log segments: what endpoints write off the request's path, and how it is read back after any crash.

A segment is a file of frames: `[u32 length][u32 crc32][payload]`, both little-endian, the payload a MessagePack array
of rows. Each process writes files of its own, so writers need no lock among themselves. A process killed in the middle
of a frame leaves a torn tail, which ends its file: nothing is ever appended after it.

Who appends to a segment holds a lock on it, which the system frees with the process, however that ends: a segment that
is not locked is closed for good, and `log_rolling` makes Parquet of it.
"""

import fcntl
import os
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import msgspec

from slipway.errors import BackendError, Corrupt
from slipway.ids import check_name, new_id
from slipway.tables.durable import sync_folder

__all__ = [
    "ERASED", "JOURNAL", "Cursor", "SegmentWriter", "erased_frame", "frames_of", "is_closed", "read_files", "read_segments",
]  # fmt: skip

T = TypeVar("T")
Cursor = dict[str, int]
"""Where a reader stands: by file name, how many bytes it has read. Plain data, to be stored as it is."""

ERASED = 1 << 31
"""Set in the length of a frame from which rows were erased."""

JOURNAL = ".erase"
"""Ends the name of the file beside a segment that says what its frames become while rows are erased from it."""

_ERASING_WAITS = 100
_ERASING_WAIT_S = 0.02
_HEADER = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_ROLL_BYTES = 64 << 20
_ROLL_AGE_S = 3600.0


class SegmentWriter:
    """Appends batches of rows to segments of one kind. Safe for threads; make it in the process that appends.

    Durability: when `append` returns, the rows are with the operating system and survive kill -9. With `sync` they are
    on the disk and survive power loss.

    Args:
        folder: Where the segments lie; made when it is missing.
        kind: What they hold: "predictions", "labels", "events". It begins the files' names.
        sync: Whether every append waits for the disk.
        roll_bytes: A file at least this large is followed by a new one.
        roll_age_s: So is one this old, in seconds of machine time; may be set at any time.
    """

    def __init__(
        self,
        folder: Path,
        kind: str,
        *,
        sync: bool = False,
        roll_bytes: int = _ROLL_BYTES,
        roll_age_s: float = _ROLL_AGE_S,
    ) -> None:
        self._folder = folder
        self._kind = check_name(kind, "log")
        self._sync = sync
        self._roll_bytes = roll_bytes
        self.roll_age_s = roll_age_s
        self._encoder = msgspec.msgpack.Encoder()
        self._lock = threading.Lock()
        self._file: int | None = None
        self._size = 0
        self._opened_s = 0.0
        self._is_named = False
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, rows: Sequence[object], *, sync: bool = False) -> None:
        """Append rows as one frame: after a crash all of them are there or none.

        Args:
            rows: What is appended.
            sync: Whether this append waits for the disk, where not every one does.

        Raises:
            BackendError: The file system failed; none of the rows is in the log.
        """
        if not rows:
            return
        payload = self._encoder.encode(rows)
        frame = _HEADER.pack(len(payload), crc32(payload)) + payload
        with self._lock:
            try:
                self._write(frame, sync=sync or self._sync)
            except OSError as problem:
                raise BackendError(
                    f"{len(rows)} rows could not be appended to the {self._kind} log in {self._folder}: {problem}.",
                    fix="Make room or give this user the right to write there.",
                ) from problem

    def close(self) -> None:
        """Close the current file; a later append opens a new one."""
        with self._lock:
            self._close()

    def close_if_old(self) -> None:
        """Close the current file if it is due, though nothing is appended: an endpoint that is not asked closes it too."""
        if self._file is not None and time.monotonic() - self._opened_s >= self.roll_age_s:
            self.close()

    def _write(self, frame: bytes, *, sync: bool) -> None:
        if self._file is not None and (
            self._size >= self._roll_bytes or time.monotonic() - self._opened_s >= self.roll_age_s
        ):
            self._close()
        if self._file is None:
            self._open()
        assert self._file is not None
        try:
            written = 0
            while written < len(frame):
                written += os.write(self._file, memoryview(frame)[written:])
            if sync:
                os.fsync(self._file)
                if not self._is_named:
                    sync_folder(self._folder)
                    self._is_named = True
        except OSError:
            # Should cutting it off fail too, it is a torn tail: that ends this file, and the next append begins another.
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            self._close()
            raise
        self._size += len(frame)

    def _open(self) -> None:
        # The names of one kind sort by the time of opening, whichever process made them.
        name = f"{self._kind}-{time.time_ns() // 1000:016d}-{os.getpid()}-{new_id()[-8:]}.seg"
        part = self._folder / f".{name}.part"
        file = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_SH)
            part.rename(self._folder / name)  # locked before anybody can see it: an unlocked segment is a closed one
        except OSError:
            os.close(file)
            part.unlink(missing_ok=True)
            raise
        self._file = file
        self._size = 0
        self._opened_s = time.monotonic()
        self._is_named = False

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


def read_segments(
    folder: Path, kind: str, row_type: type[T], after: Mapping[str, int] | None = None, *, limit: int | None = None
) -> tuple[list[T], Cursor]:
    """Read the rows that were appended after a cursor, file by file in the order of their opening.

    It may run while writers append. A torn tail ends its file until more of the frame appears.

    Args:
        folder: Where the segments lie; it need not exist.
        kind: Which of them.
        row_type: What a row is decoded as.
        after: The cursor of an earlier call, None for all rows.
        limit: Stop after the frame with which this many rows are reached; None reads everything.

    Returns:
        The rows, and the cursor behind them. Files that are gone have no place in it.

    Raises:
        Corrupt: A frame in the middle of a file is not what was written, or is no row of the type.
    """
    return read_files(sorted(folder.glob(f"{kind}-*.seg")), row_type, after, limit=limit)


def read_files(
    paths: Sequence[Path], row_type: type[T], after: Mapping[str, int] | None = None, *, limit: int | None = None
) -> tuple[list[T], Cursor]:
    """Read the rows of some segments that were appended after a cursor; see `read_segments`."""
    decoder = msgspec.msgpack.Decoder(list[row_type])  # type: ignore[valid-type]  # given at run time
    rows: list[T] = []
    cursor: Cursor = {}
    for path in paths:
        cursor[path.name] = (after or {}).get(path.name, 0)
        if limit is None or len(rows) < limit:
            cursor[path.name] = _read_file(path, cursor[path.name], decoder, rows, limit)
    return rows, cursor


def is_closed(path: Path) -> bool:
    """Whether nobody will append to a segment any more."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def frames_of(path: Path, offset: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """The frames of a segment that are whole: the offset of each, the length of its payload, and its rows' bytes.

    A frame from which rows were erased has kept its length, so that offsets behind it hold: the first bit of its length
    is set, and its payload is `[u32 length of the rows][rows][zeros]`.

    Args:
        path: The segment.
        offset: Where to begin.

    Raises:
        Corrupt: A frame in the middle is not what was written.
    """
    waits = 0
    with path.open("rb") as file:
        file.seek(offset)
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            marked, check = _HEADER.unpack(header)
            length = marked & ~ERASED
            payload = file.read(length)
            if not length or len(payload) < length:
                return
            if crc32(payload) != check:
                if waits < _ERASING_WAITS:
                    # An erasure may be writing this frame at this moment, or have written it since it was read.
                    is_erasing = path.with_name(path.name + JOURNAL).exists()
                    waits = waits + 1 if is_erasing else _ERASING_WAITS
                    time.sleep(_ERASING_WAIT_S if is_erasing else 0)
                    file.seek(0, os.SEEK_END)  # what was read ahead is old
                    file.seek(offset)
                    continue
                # A crash of the machine may leave the right length with bytes that never arrived, then zeros.
                if not file.read().strip(b"\0"):
                    return
                raise _damaged(path, offset, "its check sum does not hold, and more follows it")
            if marked & ERASED:
                (used,) = _LENGTH.unpack_from(payload)
                payload = payload[_LENGTH.size : _LENGTH.size + used]
            yield offset, length, payload
            offset += _HEADER.size + length
            waits = 0


def _read_file(
    path: Path, offset: int, decoder: "msgspec.msgpack.Decoder[list[T]]", rows: list[T], limit: int | None
) -> int:
    for start, length, payload in frames_of(path, offset):
        if limit is not None and len(rows) >= limit:
            return start
        try:
            rows += decoder.decode(payload)
        except msgspec.DecodeError as problem:
            raise _damaged(path, start, str(problem)) from problem
        offset = start + _HEADER.size + length
    return offset


def erased_frame(kept: bytes, length: int) -> bytes:
    """A frame of the same length as before, with fewer rows.

    Args:
        kept: The rows that stay, encoded.
        length: Of the payload that was there.
    """
    payload = (_LENGTH.pack(len(kept)) + kept).ljust(length, b"\0")
    return _HEADER.pack(length | ERASED, crc32(payload)) + payload


def _damaged(path: Path, offset: int, why: str) -> Corrupt:
    return Corrupt(
        f"The log {path} cannot be read from byte {offset:,}: {why}.",
        fix="Restore the file from a backup, or move it away to go on without its rows.",
    )
