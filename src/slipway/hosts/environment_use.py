"""Whether an environment on demand is used: who has its store open, what serves there, and when that was last so.

A file in its store is the mark: its text is the environment's name, its time the last use. Whoever works in the store
holds a shared lock on the mark, which ends with the process however that ends; who takes the store away holds the only one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from slipway import plugins
from slipway.errors import NotFound

__all__ = ["MARK", "free", "last_used", "note_use", "serving", "using"]

MARK = "on-demand"


@contextmanager
def using(store: Path, *, name: str = "") -> Iterator[None]:
    """Work in a store: as long as the block lasts nobody takes it away. For a store that was not made on demand this does nothing.

    Args:
        store: Its folder.
        name: The environment on demand that must lie there, "" where any store will do.

    Raises:
        NotFound: That environment's store is gone, or was taken away just now.
    """
    mark = None
    with suppress(FileNotFoundError, NotADirectoryError):
        mark = os.open(store / MARK, os.O_RDONLY | os.O_CLOEXEC)
    if mark is None:
        if name:
            raise _gone(store, name)
        yield  # where no error is being handled: what fails in the block would be told as its consequence
        return
    try:
        fcntl.flock(mark, fcntl.LOCK_SH)
        if not _lies_there(mark, store / MARK):  # it was moved while this waited
            raise _gone(store, name or store.name)
        os.utime(mark)
        try:
            yield
        finally:
            os.utime(mark)  # a run of a week was use for a week
    finally:
        os.close(mark)


@contextmanager
def free(store: Path, *, despite_endpoints: bool = False) -> Iterator[bool]:
    """Whether nobody works in a store and no endpoint serves there; while the block lasts nobody begins to work there.

    Args:
        store: Its folder, which need not be there.
        despite_endpoints: Whether endpoints may serve.
    """
    try:
        mark = os.open(store / MARK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield despite_endpoints or not serving(store)
    finally:
        os.close(mark)


def note_use(store: Path, at: datetime | None = None) -> None:
    """An environment is used; for a store that was not made on demand this does nothing.

    Args:
        store: Its folder.
        at: When, business time; the machine's present when None.
    """
    with suppress(FileNotFoundError):
        os.utime(store / MARK, None if at is None else (at.timestamp(), at.timestamp()))


def last_used(store: Path) -> datetime | None:
    """When an environment was last used; None where nobody noted it."""
    try:
        return datetime.fromtimestamp((store / MARK).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def serving(store: Path) -> tuple[str, ...]:
    """The endpoints whose processes run in a store, as "project/endpoint"."""
    launcher = plugins.load("launcher", "process")()
    return tuple(
        f"{folder.parent.name}/{folder.name}"
        for folder in sorted((store / "endpoints").glob("*/*"))
        if folder.is_dir() and launcher.status(folder) is not None
    )


def _lies_there(mark: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(mark), path.stat())
    except FileNotFoundError:
        return False


def _gone(store: Path, name: str) -> NotFound:
    return NotFound(
        f"The store of the environment {name!r} is not in {store}.",
        why="It was taken away: by `slipway env destroy`, because nobody used it, or by hand.",
        fix=f"See `slipway env list`; what is in the trash comes back with: slipway env restore {name}",
    )
