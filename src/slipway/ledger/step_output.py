"""What a step prints and logs, kept while it runs: the beginning and the end, in files that outlive its process.

A step's folder holds segments of at most 64 kB, each named by where it begins in all that was printed. The first one
stays, of the others the newest two: whatever a step prints, at most 192 kB are kept, and at least its last 64 kB.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from slipway.context import Slot
from slipway.errors import Unavailable
from slipway.ledger.provenance import masking
from slipway.ports.blobs import Blobs
from slipway.ports.workspace import Workspace
from slipway.records.runs import StepOutput

__all__ = ["KeptOutput", "folders", "gathered", "output_folder", "part_after", "store_output", "to_output"]

SEGMENT_BYTES = 64 << 10
_MOST_PENDING = 8 << 10
_PIECE = 1 << 20


def folders(workspace: Workspace) -> Path:
    """Where the folders of steps lie, each called by its step's id."""
    return workspace.root / "step-logs"


def output_folder(workspace: Workspace, step_id: str) -> Path:
    """The folder of a step's segments; it is there while the step runs, if it printed something."""
    return folders(workspace) / step_id


class KeptOutput:
    """Keeps what one step prints. Safe for threads. Nothing is made on disk for a step that prints nothing.

    Values of environment variables that look like secrets are masked.

    Args:
        folder: The step's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._pending = ""
        self._masked = masking()
        self._at = 0
        self._file: int | None = None
        self._begins = [0]  # of the segments that are kept
        self._length = 0

    def write(self, text: str) -> None:
        """Add text. What ends no line yet is kept in memory, up to 8 kB of it.

        Raises:
            Unavailable: The disk is full.
        """
        with self._lock:
            if len(text) > 4 * _PIECE:  # as much is dropped in the middle as will not be kept anyway
                self._add(self._pending + text[:_PIECE])
                self._pending = ""
                middle = text[_PIECE:-_PIECE]
                self._skip(len(middle) if middle.isascii() else len(middle.encode("utf-8", "replace")))
                text = text[-_PIECE:]
            self._pending += text
            end = max(self._pending.rfind("\n"), self._pending.rfind("\r")) + 1
            if len(self._pending) - end > _MOST_PENDING:
                end = len(self._pending)
            if end:
                text, self._pending = self._pending[:end], self._pending[end:]
                self._add(text)

    def close(self) -> None:
        """Write what is still in memory; nothing comes after it."""
        with self._lock:
            self._add(self._pending)
            self._pending = ""
            if self._file is not None:
                os.close(self._file)
                self._file = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was printed."""
        return self._at == 0 and not self._pending

    def remove(self) -> None:
        """Remove the folder, once what is in it is kept elsewhere."""
        if self._at:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _add(self, text: str) -> None:
        data = self._masked(text).encode("utf-8", "replace")
        if len(data) > 4 * SEGMENT_BYTES:
            keep = SEGMENT_BYTES - self._length
            self._append(data[:keep])
            self._skip(len(data) - keep - 2 * SEGMENT_BYTES)
            data = data[-2 * SEGMENT_BYTES :]
        while data:
            if self._length == SEGMENT_BYTES:
                self._turn()
            piece = data[: SEGMENT_BYTES - self._length]
            self._append(piece)
            data = data[len(piece) :]

    def _append(self, data: bytes) -> None:
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                path = self._folder / f"{self._begins[-1]:020d}"
                self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            written = os.write(self._file, data)
        except OSError as problem:
            raise Unavailable(
                f"What the step prints cannot be kept in {self._folder}: {problem.strerror or problem}.",
                fix="Make room, and run it again.",
            ) from problem
        self._at += written
        self._length += written

    def _skip(self, size: int) -> None:
        """Leave out what comes now."""
        self._turn()
        self._at += size
        self._begins[-1] = self._at

    def _turn(self) -> None:
        """Go on in another segment; of those between the first and the newest two none stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._begins[-1] != self._at:
            self._begins.append(self._at)
        while len(self._begins) > 3:
            old = self._begins.pop(1)
            (self._folder / f"{old:020d}").unlink(missing_ok=True)
        self._length = 0


to_output: Slot[KeptOutput | None] = Slot("slipway.step_output")
"""Where what is printed here belongs; None outside a step."""


def gathered(folder: Path) -> tuple[bytes, int, int]:
    """What is kept in a step's folder: the bytes, how many of them are the beginning, how many after it were left out."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.isdigit())
    except FileNotFoundError:
        return b"", 0, 0
    head, rest, end = b"", b"", 0
    begin = 0
    for name in names:
        try:
            data = (folder / name).read_bytes()
        except FileNotFoundError:  # it made room for a newer one meanwhile
            continue
        if int(name) == end and not rest:
            head += data
        elif rest and int(name) == end:
            rest += data
        else:
            rest, begin = data, int(name)
        end = int(name) + len(data)
    return head + rest, len(head), begin - len(head) if rest else 0


def store_output(blobs: Blobs, folder: Path) -> StepOutput | None:
    """Keep what is in a step's folder as a blob; None for nothing.

    Raises:
        BackendError: The blobs cannot be written.
    """
    data, head, left_out = gathered(folder)
    if not data:
        return None
    return StepOutput(digest=blobs.put(data), size_bytes=len(data), head_bytes=head, left_out=left_out)


def part_after(kept: tuple[bytes, int, int], after: int) -> tuple[str, int]:
    """What was printed behind a place, and the place where it ends; both count what was left out.

    Args:
        kept: As `gathered` gives it.
        after: The place: bytes from the beginning.
    """
    data, head, left_out = kept
    end = len(data) + left_out
    if not left_out or after >= head + left_out:
        return data[max(0, after - left_out) :].decode("utf-8", "replace"), end
    note = f"\n[... {left_out:,} bytes were left out here ...]\n"
    parts: Iterable[str] = (
        data[min(after, head) : head].decode("utf-8", "replace"),
        note,
        data[head:].decode("utf-8", "replace"),
    )
    return "".join(parts), end
