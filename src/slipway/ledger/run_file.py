"""The file that a run's process writes ahead: what is in it survives kill -9 and reaches the ledger exactly once.

Eight bytes say what the file is; then one frame an entry: its length, the CRC-32 of its bytes, its bytes (MessagePack).
A frame that is cut short or does not match its checksum can only be the last one: the call that wrote it never
returned. Whoever writes holds the file's lock; the system lets go of it with the process.
"""

from __future__ import annotations

import fcntl
import os
import struct
import weakref
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from slipway.errors import BackendError, Corrupt, InvalidInput, Unavailable
from slipway.ids import new_id
from slipway.records.run_entries import EDITION, FileBegun, RunEntry

__all__ = ["MAGIC", "RunFile", "framed", "header_of", "parse", "whole"]

MAGIC = b"SLPRUN1\n"
_SUFFIX = ".runlog"
_PIECE_BYTES = 1 << 20
_FRAME = struct.Struct("<II")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RunEntry).decode


def framed(entry: object) -> bytes:
    """An entry as its frame.

    Raises:
        InvalidInput: It holds text that UTF-8 cannot say.
    """
    try:
        body = _encode(entry)
    except UnicodeEncodeError as problem:
        raise InvalidInput(
            f"{problem.object!r} holds half of a character and cannot be kept.",
            why="Text is kept as UTF-8.",
            fix="Decode it with the encoding that it has, or replace what does not decode.",
        ) from problem
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def whole(data: bytes, begin: int = 0) -> int:
    """How many bytes from `begin` on are whole frames; what follows was cut short or is damaged."""
    at, size = begin, len(data)
    while at + 8 <= size:
        length, checksum = _FRAME.unpack_from(data, at)
        end = at + 8 + length
        if end > size or zlib.crc32(memoryview(data)[at + 8 : end]) != checksum:
            break
        at = end
    return at - begin


def _is_frame(data: bytes, at: int) -> bool:
    length, checksum = _FRAME.unpack_from(data, at)
    end = at + 8 + length
    return bool(length and end <= len(data) and zlib.crc32(memoryview(data)[at + 8 : end]) == checksum)


def parse(data: bytes, *, first: bool) -> list[RunEntry]:
    """The entries of a piece of a file.

    Args:
        data: Whole frames.
        first: Whether the piece begins the file.

    Raises:
        InvalidInput: It is no such piece, or a later release wrote it.
    """
    at = 0
    if first:
        if not data.startswith(MAGIC):
            raise InvalidInput("These bytes do not begin as a run's file does.", fix="Send the file from its start.")
        at = len(MAGIC)
    if whole(data, at) != len(data) - at:
        raise InvalidInput(
            "A piece of a run's file ends inside an entry, or is damaged.", fix="Send it again, cut between entries."
        )
    found: list[RunEntry] = []
    while at < len(data):
        length = _FRAME.unpack_from(data, at)[0]
        body = memoryview(data)[at + 8 : at + 8 + length]
        try:
            found.append(_decode(body))
        except msgspec.DecodeError as problem:
            raise InvalidInput(
                f"An entry of a run's file cannot be read: {problem}.",
                why="Another release wrote it, or something else than Slipway.",
                fix="Use the release that wrote it, or a later one.",
            ) from problem
        at += 8 + length
    if first:
        check_header(found[0] if found else None)
    return found


def check_header(entry: object) -> FileBegun:
    """The first entry of a file.

    Raises:
        InvalidInput: It is none, or a later release wrote it.
    """
    if not isinstance(entry, FileBegun):
        raise InvalidInput("A run's file does not say whose it is.", fix="Send the file from its start.")
    if entry.edition > EDITION:
        raise InvalidInput(
            f"A run's file has edition {entry.edition}; this release of Slipway reads {EDITION}.",
            fix="Upgrade Slipway where the store is opened or served.",
        )
    return entry


def header_of(path: Path) -> FileBegun | None:
    """Whose file it is; None for one whose process was killed while it began it: nothing is in it yet.

    Raises:
        InvalidInput: A later release wrote it.
    """
    with path.open("rb") as file:
        data = file.read(1 << 16)
    length = whole(data, len(MAGIC))
    if not data.startswith(MAGIC) or not length:
        return None
    return check_header(parse(data[: len(MAGIC) + length], first=True)[0])


class RunFile:
    """One file, open and locked. Not safe for threads: `RunLog` sees to it.

    Args:
        path: Where it lies.
        handle: The open file.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self._size = os.fstat(handle).st_size
        self._closing = weakref.finalize(self, os.close, handle)

    @classmethod
    def begun(
        cls, folder: Path, project: str, run_id: str, entries: Iterable[object] = (), *, is_forked: bool = False
    ) -> RunFile:
        """Begin a file of this process on a run, with the entries in it; see `FileBegun`.

        Raises:
            BackendError: It cannot be written.
        """
        writer = new_id()
        path = folder / f"{run_id}.{writer}{_SUFFIX}"
        frames = [framed(FileBegun(EDITION, project, run_id, writer, is_forked)), *map(framed, entries)]
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            try:
                handle = os.open(path, flags, 0o600)
            except FileNotFoundError:
                folder.mkdir(parents=True, exist_ok=True)
                handle = os.open(path, flags, 0o600)
        except OSError as problem:
            raise BackendError(
                f"The run's file {path} cannot be made: {problem.strerror or problem}.",
                fix="Make room, or give this user the right to write there.",
            ) from problem
        made = cls(path, handle)
        fcntl.flock(handle, fcntl.LOCK_EX)
        made.append(MAGIC + b"".join(frames))
        return made

    @classmethod
    def left(cls, path: Path) -> RunFile | None:
        """Take over a file that nobody writes any more; None while somebody does, or when it is gone."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        found = cls(path, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking another process may have absorbed and removed it.
            is_same = path.stat().st_ino == os.fstat(handle).st_ino
        except (BlockingIOError, FileNotFoundError):
            is_same = False
        if not is_same:
            found.close()
            return None
        return found

    @staticmethod
    def all_in(folder: Path, run_id: str = "") -> list[Path]:
        """The files of a folder, oldest first; only those of a run where one is named."""
        try:
            names = sorted(os.listdir(folder))
        except FileNotFoundError:
            return []
        return [folder / name for name in names if name.endswith(_SUFFIX) and name.startswith(run_id)]

    @property
    def run_id(self) -> str:
        """The run."""
        return self.path.name.split(".")[0]

    @property
    def writer(self) -> str:
        """Tells it from other files of the run."""
        return self.path.name.split(".")[1]

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._size

    def append(self, frames: bytes) -> None:
        """Add frames; when it returns they outlive the process.

        Raises:
            Unavailable: The disk is full, or fails; nothing of it is kept.
        """
        problem: OSError | None = None
        try:
            written = os.write(self._handle, frames)
        except OSError as failed:
            written, problem = 0, failed
        if written == len(frames):
            self._size += written
            return
        if written:
            os.ftruncate(self._handle, self._size)
        told = "no space is left" if problem is None else problem.strerror
        raise Unavailable(
            f"The run's file {self.path} cannot be written: {told}.",
            why="What was logged before is kept; this call is not.",
            fix="Make room, and log it again.",
        ) from problem

    def read(self, offset: int, limit: int) -> bytes:
        """Whole frames from an offset on: at most `limit` bytes, but one frame at least; b"" at the end."""
        data = os.pread(self._handle, limit, offset)
        begin = len(MAGIC) if offset == 0 else 0
        length = whole(data, begin)
        if not length and len(data) == limit:
            need = _FRAME.unpack_from(data, begin)[0] + 8
            data = os.pread(self._handle, begin + need, offset)
            length = whole(data, begin)
        return data[: begin + length] if length else b""

    def entries(self) -> Iterator[RunEntry]:
        """All entries, from the first."""
        at = 0
        while piece := self.read(at, _PIECE_BYTES):
            yield from parse(piece, first=at == 0)
            at += len(piece)

    def cut_torn_tail(self) -> int:
        """Cut off what a killed process did not finish to write; returns how many bytes.

        Raises:
            Corrupt: What does not match its checksum is followed by more: the disk's fault, not a killed process's.
        """
        kept = 0
        while piece := self.read(kept, _PIECE_BYTES):
            kept += len(piece)
        torn = self._size - kept
        rest = os.pread(self._handle, _PIECE_BYTES, kept)
        if kept and any(_is_frame(rest, at) for at in range(1, min(len(rest) - 8, 1 << 16))):
            raise Corrupt(
                f"The run's file {self.path} is damaged at byte {kept:,}, and goes on after it.",
                why="A killed process leaves its last entry cut short, never one in the middle.",
                fix="Keep the file and look after the disk; move it away to go on without what follows.",
            )
        os.ftruncate(self._handle, kept)
        self._size = kept
        return torn

    def close(self) -> None:
        """Let go of it; calling it twice is fine."""
        self._handle = -1  # the system gives the number to the next file that is opened
        self._closing()

    def remove(self) -> None:
        """Remove it, once all of it is in the ledger."""
        self.path.unlink(missing_ok=True)
        self.close()
