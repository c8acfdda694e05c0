"""The files of a log: segments that are appended to, and dated Parquet files that they become.

    log/predictions-....seg                                   what was answered lately
    log/parquet/predictions/log_day=2026-11-26/....parquet    what was answered before
    log/layouts/3-0123456789abcdef.json                       what the columns are: see `log_layouts`

Rows move from the one to the other in one step for whoever reads through `reading`: a change is written down whole, then
made, while no reader looks. What was killed in between is completed by whoever comes next, a reader too. Whoever changes
files holds `changing` meanwhile; those who append need neither.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from pathlib import Path

import msgspec

from slipway.errors import BackendError, Unavailable
from slipway.ids import new_id
from slipway.tables.durable import replace_file, sync_folder

__all__ = [
    "PARQUET", "STAGED", "LogFiles", "changing", "commit", "day_of", "days_before", "dropped_before", "erased_last",
    "note_dropped", "note_erased", "reading", "taking",
]  # fmt: skip

PARQUET = "parquet"
STAGED = "staged"
"""Where folders of days are made anew: outside of what a glob over the Parquet finds, on the same file system."""

_DAY = "log_day="
_CHANGE = "change.json"
_DROPPED = "dropped_before"
_ERASED = "erased_last"
_READERS = ".readers.lock"
_TURN = ".turn.lock"
_CHANGERS = ".changers.lock"
_WAIT_S = 60.0
_LOOK_EVERY_S = 0.005


class _Change(msgspec.Struct, frozen=True):
    """What a change does, by paths within the log: files that get their names, then files that go."""

    add: tuple[tuple[str, str], ...]
    remove: tuple[str, ...]


class LogFiles:
    """The files of a log while nobody changes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def segments(self, kind: str) -> list[Path]:
        """The segments of one kind, in the order of their opening."""
        return sorted(self._folder.glob(f"{kind}-*.seg"))

    def parquet(self, kind: str, since: datetime | None = None, until: datetime | None = None) -> list[Path]:
        """The Parquet files of one kind, by day, that may hold rows of [since, until)."""
        wanted = [
            day
            for day in self.days(kind)
            if (since is None or day_of(day) >= since.date()) and (until is None or day_of(day) <= until.date())
        ]
        return [path for day in wanted for path in sorted(day.glob("*.parquet"))]

    def days(self, kind: str) -> list[Path]:
        """The folders of one kind's days."""
        return sorted((self._folder / PARQUET / kind).glob(f"{_DAY}*/"))


def day_of(folder: Path) -> date:
    """The day whose rows lie in a folder."""
    return date.fromisoformat(folder.name.removeprefix(_DAY))


def days_before(folder: Path, kinds: Sequence[str], first: date) -> list[date]:
    """The days of some kinds in a log's Parquet that are earlier than one."""
    files = LogFiles(folder)
    return sorted({day_of(day) for kind in kinds for day in files.days(kind) if day_of(day) < first})


def dropped_before(folder: Path) -> date | None:
    """The day of which all earlier ones were dropped from a log once, None where none was."""
    try:
        return date.fromisoformat((folder / _DROPPED).read_text())
    except FileNotFoundError:
        return None


def note_dropped(folder: Path, before: date) -> None:
    """Keep the day of which all earlier ones are dropped.

    Raises:
        OSError: The file system failed.
    """
    replace_file(folder / _DROPPED, before.isoformat().encode())


def erased_last(folder: Path) -> str:
    """What tells one erasure of rows from the next, "" before the first: who keeps rows in memory reads them anew then."""
    try:
        return (folder / _ERASED).read_text()
    except FileNotFoundError:
        return ""


def note_erased(folder: Path) -> None:
    """Say that rows are erased from a log: before the first goes, and once the last is gone.

    Raises:
        BackendError: The file system failed.
    """
    if folder.exists():
        try:
            replace_file(folder / _ERASED, new_id().encode())
        except OSError as problem:
            raise _failed(folder, problem) from problem


@contextmanager
def reading(folder: Path) -> Iterator[LogFiles]:
    """The files of a log, none of which is changed while the block runs, but for rows that are appended or erased.

    Raises:
        Unavailable: Somebody is changing them, and does not finish.
        BackendError: A change that was killed cannot be completed.
    """
    while folder.exists():
        with _looking(folder, fcntl.LOCK_SH):
            if not (folder / _CHANGE).exists():
                yield LogFiles(folder)
                return
        with _looking(folder, fcntl.LOCK_EX):
            _finish(folder)
    yield LogFiles(folder)


@contextmanager
def changing(folder: Path) -> Iterator[LogFiles]:
    """The files of a log, for the one who changes which there are.

    Raises:
        Unavailable: Somebody else is changing them.
        BackendError: A change that was killed cannot be completed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / _CHANGERS, fcntl.LOCK_EX):
        with reading(folder):
            pass  # what was killed is completed, so that nobody takes it up between here and the next change
        parquet = folder / PARQUET
        for left in (*parquet.glob("*/*/.*.part"), *parquet.glob("*/*/.*.tmp"), *folder.glob(".*.tmp")):
            left.unlink()
        if (folder / STAGED).exists():  # a day as it was, or is to be: whole in its place
            shutil.rmtree(folder / STAGED)
        yield LogFiles(folder)


@contextmanager
def taking(folder: Path) -> Iterator[None]:
    """Let nobody read while the block runs; for one who holds `changing` and changes what there is in one step.

    Raises:
        Unavailable: Readers do not let go.
    """
    with _looking(folder, fcntl.LOCK_EX):
        yield


def commit(folder: Path, add: Sequence[tuple[Path, Path]], remove: Iterable[Path]) -> None:
    """Let files get their names and others go, at once for who reads, whenever this process is killed.

    Args:
        folder: The log's, held by `changing`.
        add: Files that are whole and durable, each with the name that it is to have.
        remove: Files that go.

    Raises:
        Unavailable: Readers do not let go.
        BackendError: The file system failed; the change is not made, or completed by the next one who comes.
    """

    def within(path: Path) -> str:
        return path.relative_to(folder).as_posix()

    change = _Change(tuple((within(old), within(new)) for old, new in add), tuple(map(within, remove)))
    with _looking(folder, fcntl.LOCK_EX):
        try:
            replace_file(folder / _CHANGE, msgspec.json.encode(change))
        except OSError as problem:
            raise _failed(folder, problem) from problem
        _finish(folder)


def _finish(folder: Path) -> None:
    try:
        change = msgspec.json.decode((folder / _CHANGE).read_bytes(), type=_Change)
    except FileNotFoundError:  # another one was quicker
        return
    try:
        for old, new in change.add:
            if (folder / old).exists():
                (folder / old).rename(folder / new)
        for home in {(folder / new).parent for _, new in change.add}:
            sync_folder(home)
        for name in change.remove:
            (folder / name).unlink(missing_ok=True)
        for home in {(folder / name).parent for name in change.remove}:
            sync_folder(home)
        (folder / _CHANGE).unlink()
    except OSError as problem:
        raise _failed(folder, problem) from problem


@contextmanager
def _looking(folder: Path, how: int) -> Iterator[None]:
    """Hold the files as they are, shared, or alone. Who waits to be alone goes before who comes to look after it."""
    with ExitStack() as held:
        with _locked(folder / _TURN, how):
            held.enter_context(_locked(folder / _READERS, how))
        yield


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    until = time.monotonic() + _WAIT_S
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while True:
            try:
                fcntl.flock(handle, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Unavailable(
                        f"The log in {path.parent} is held by another process for more than {_WAIT_S:.0f} seconds.",
                        fix=f"Look who has {path.name} open there (fuser {path}), and try again.",
                    ) from None
                time.sleep(_LOOK_EVERY_S)
        yield
    finally:
        os.close(handle)


def _failed(folder: Path, problem: OSError) -> BackendError:
    return BackendError(
        f"The log in {folder} could not be changed: {problem}.",
        fix="Make room or give this user the right to write there; then it is completed by itself.",
    )
