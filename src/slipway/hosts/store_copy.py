"""A whole store copied to another place: ledger, blobs, parts of tables and the files of its folder; then compared.

The copy's ledger bears a mark until both sides were found to be equal: nothing else opens it meanwhile. Whoever was killed
starts again, and does what is left: everything is compared with what lies there, and no step relies on a former one.
Files are copied before the ledger is looked at, and blobs after it: a run that is taken in meanwhile is in one of both,
and what the ledger names is there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from slipway import plugins
from slipway.errors import BackendError, Conflict, InvalidInput, InvalidSetting, NotFound, SlipwayError
from slipway.governance.anchors import ANCHORS_FILE
from slipway.governance.channels import NOTIFY_FILE
from slipway.hosts import copied_blobs, copied_files
from slipway.hosts.blob_places import open_blobs
from slipway.hosts.copied_files import ASIDE, COPY_FILE
from slipway.hosts.environment_use import using
from slipway.hosts.ledgers import is_store, open_ledger, open_unfinished
from slipway.hosts.local_rights import check_in_stores
from slipway.hosts.settings import EnvironmentSettings, Settings
from slipway.ledger import copying
from slipway.ledger.events import newest_seq
from slipway.ports.blobs import Blobs
from slipway.ports.ledger_store import LedgerStore, ReadTransaction
from slipway.ports.workspace import OpenParts
from slipway.records.copies import CopiedFiles, CopiedRows, CopyMark, StoreCopy
from slipway.serving.reach_file import REACH_FILE
from slipway.whole_files import write_whole

__all__ = ["Notice", "copy_store", "section", "sizes"]

BLOBS, PARTS, FILES = "blobs", "parts of tables", "files of the folder"
_OPENED = ("folder.id", NOTIFY_FILE, REACH_FILE)
"""What opening a store writes into its folder beside keys: its name, and what settings say."""
_PLACES = ("store", "ledger", "blobs", "online")

Notice = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and of how much; of 0 where nobody knows."""


class _Side(NamedTuple):
    """An environment: its name, its store's folder, and its settings."""

    name: str
    root: Path
    chosen: EnvironmentSettings


class _Store(NamedTuple):
    """An opened one."""

    root: Path
    ledger: LedgerStore
    blobs: Blobs
    parts: OpenParts | None


def sizes(home: Path, settings: Settings, source: str, target: str) -> StoreCopy:
    """What would be copied; nothing is written anywhere.

    Args:
        home: The project's folder.
        settings: What its files say.
        source: The environment to copy.
        target: The environment to copy it to.

    Raises:
        SlipwayError: See `copy_store`; a database of the target's is not asked.
    """
    one, other = _sides(home, settings, source, target)
    _check_may(one)
    _check_place(other)
    with _opened_source(one) as store, store.ledger.read() as tx:
        tables = copied_blobs.places_of(store.root, store.blobs, store.parts).values()
        parts = [copied_blobs.stored(kept) for kept in tables]
        files = copied_files.listed(store.root)
        return StoreCopy(
            source=source,
            target=target,
            source_store=str(one.root),
            taken_at=_now(),
            ledger=copying.counted(tx),
            files=(
                CopiedFiles(BLOBS, *copied_blobs.stored(store.blobs)),
                CopiedFiles(PARTS, sum(count for count, _ in parts), sum(size for _, size in parts)),
                CopiedFiles(FILES, len(files), sum(files.values())),
            ),
        )


def copy_store(home: Path, settings: Settings, source: str, target: str, *, notice: Notice) -> StoreCopy:
    """Copy a store, or go on with what was begun, and compare all of both sides.

    Args:
        home: The project's folder.
        settings: What its files say.
        source: The environment to copy. It may be used meanwhile, but for endpoints that serve.
        target: The environment to copy it to: one that slipway.toml declares and nobody used.
        notice: Is told how far it is.

    Returns:
        What was copied; with differences the copy keeps its mark.

    Raises:
        InvalidInput: Both are the same store, or one lies in the other.
        InvalidSetting: A server keeps one of them, or a setting does not fit.
        NotFound: There is no such environment, or nothing was kept in the source yet.
        Conflict: The target holds something else, endpoints serve in one of them, or another copying is under way.
        Denied: The source knows people, and whoever acts may not.
        BackendError: A database, an object store or the disk fails.
    """
    one, other = _sides(home, settings, source, target)
    _check_may(one)
    _check_place(other)
    _check_still(one, other)
    told = CopyMark(str(one.root), f"slipway env copy {source} {target}")
    with (
        _sentences(one, other),
        _alone(other),
        using(one.root),
        _opened_source(one) as store,
        closing(open_unfinished(other.root, other.chosen.ledger)) as ledger,
    ):
        _begin(other, ledger, told)
        notice("the copy is marked", 0, 0)
        blobs, parts = open_blobs(other.root, ledger, other.chosen.blobs)
        aside = other.root / ASIDE
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        made = _carry(one, store, _Store(other.root, ledger, blobs, parts), target, notice)
        shutil.rmtree(aside)
        write_whole(other.root / COPY_FILE, msgspec.json.encode(made))
        notice("the verdict is kept", 0, 0)
        if not made.differences:
            copying.mark(ledger, None)
        return made


def section(settings: Settings, source: str, target: str) -> str:
    """The section of slipway.toml that lets an environment live where its copy is."""
    own, other = settings.environment(source), settings.environment(target)
    moved = msgspec.structs.replace(own, **{key: getattr(other, key) for key in _PLACES})
    default = msgspec.to_builtins(EnvironmentSettings())
    values = {key: value for key, value in msgspec.to_builtins(moved).items() if value != default[key]}
    title = f'"{source}"' if "." in source else source
    # JSON's texts and numbers are TOML's too.
    return "\n".join(
        [f"[environments.{title}]", *(f"{k} = {msgspec.json.encode(v).decode()}" for k, v in values.items())]
    )


def _carry(one: _Side, store: _Store, copy: _Store, target: str, notice: Notice) -> StoreCopy:
    took = copied_files.take(store.root, copy.root, lambda done, of: notice("copy: files", done, of))
    with store.ledger.read() as tx:
        newest, taken_at = newest_seq(tx), _now()
        tables, differences = _carry_ledger(tx, copy.ledger, notice)
    files, found = _carry_blobs(store, copy, notice)
    differences += found
    differences += copied_files.compare(took, copy.root, lambda done, of: notice("compare: files", done, of))
    with store.ledger.read() as tx:
        meanwhile = newest_seq(tx) - newest
    size = sum(one.size_bytes for one in took.values())
    return StoreCopy(
        source=one.name,
        target=target,
        source_store=str(one.root),
        taken_at=taken_at,
        ledger=tables,
        files=(*files, CopiedFiles(FILES, len(took), size)),
        differences=tuple(differences),
        written_meanwhile=meanwhile,
    )


def _carry_ledger(tx: ReadTransaction, ledger: LedgerStore, notice: Notice) -> tuple[tuple[CopiedRows, ...], list[str]]:
    counts = {one.table: one.rows for one in copying.counted(tx)}
    copying.fill(tx, ledger, lambda table, done: notice(f"copy: ledger, {table}", done, counts[table]))
    return copying.compare(tx, ledger, lambda table, done: notice(f"compare: ledger, {table}", done, counts[table]))


def _carry_blobs(store: _Store, copy: _Store, notice: Notice) -> tuple[list[CopiedFiles], list[str]]:
    aside, begun = copy.root / ASIDE, _now()
    brought = copied_blobs.bring(store.blobs, copy.blobs, aside, lambda done, of: notice("copy: blobs", done, of))
    copy.blobs.tidy(begun)
    tables = copied_blobs.places_of(store.root, store.blobs, store.parts)
    left = copied_blobs.places_of(copy.root, copy.blobs, copy.parts).keys() - tables.keys()
    there = {name: copied_blobs.opened_parts(copy.root, copy.parts, name) for name in {*tables, *left}}
    for name in left:
        for part in list(there[name].stored()):
            there[name].delete(part.digest)
    parts = {
        name: copied_blobs.bring(kept, there[name], aside, _of("copy", name, notice)) for name, kept in tables.items()
    }
    differences = copied_blobs.compare(
        brought, copy.blobs, BLOBS, aside, lambda done, of: notice("compare: blobs", done, of)
    )
    for name, one in parts.items():
        sort = f"{PARTS}, {'/'.join(name)}"
        differences += copied_blobs.compare(one, there[name], sort, aside, _of("compare", name, notice))
    counts = [
        CopiedFiles(BLOBS, len(brought.wanted), sum(brought.wanted.values())),
        CopiedFiles(
            PARTS,
            sum(len(one.wanted) for one in parts.values()),
            sum(sum(one.wanted.values()) for one in parts.values()),
        ),
    ]
    return counts, differences


def _of(done_to: str, name: tuple[str, str], notice: Notice) -> Callable[[int, int], None]:
    return lambda done, of: notice(f"{done_to}: table {name[1]}", done, of)


def _sides(home: Path, settings: Settings, source: str, target: str) -> tuple[_Side, _Side]:
    sides = []
    for name in (source, target):
        chosen = settings.environment(name)
        if chosen.server:
            raise InvalidSetting(
                f"The environment {name!r} is kept by the server {chosen.server}.",
                why="A store is copied by whoever can open it.",
                fix="Type this where that server's store is.",
            )
        sides.append(_Side(name, (home / chosen.store).resolve(), chosen))
    one, other = sides
    if one.root == other.root or one.root in other.root.parents or other.root in one.root.parents:
        raise InvalidInput(
            f"{source!r} and {target!r} have their stores in {one.root} and {other.root}: one holds the other.",
            why="The environment variable SLIPWAY_STORE gives every environment the same."
            if os.environ.get("SLIPWAY_STORE")
            else "A copy needs a folder of its own, also where its ledger is a database.",
            fix=f'Give {target!r} another folder in slipway.toml: store = "..."',
        )
    if not is_store(one.root):
        raise NotFound(f"The environment {source!r} has nothing in {one.root} yet.", fix="See: slipway env list")
    return one, other


def _check_may(one: _Side) -> None:
    check_in_stores([one.root], "", "environments.copy", "environments.write", _now())


def _check_still(one: _Side, other: _Side) -> None:
    launcher = plugins.load("launcher", "process")()
    for side in (one, other):
        found = [(folder.name, launcher.status(folder)) for folder in sorted((side.root / "endpoints").glob("*/*/"))]
        running = [name for name, status in found if status is not None and status.state != "failed"]
        if running:
            raise Conflict(
                f"Endpoints serve in {side.name!r}: {', '.join(running)}.",
                why="Their logs and online stores are files that change while they are copied.",
                fix="Stop them first: slipway endpoints stop NAME; they start again where you deploy them.",
            )


@contextmanager
def _opened_source(one: _Side) -> Iterator[_Store]:
    with closing(open_ledger(one.root)) as ledger:
        blobs, parts = open_blobs(one.root, ledger)
        yield _Store(one.root, ledger, blobs, parts)


@contextmanager
def _sentences(one: _Side, other: _Side) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        if isinstance(problem, SlipwayError):
            raise
        raise BackendError(
            f"Copying {one.name!r} to {other.name!r} failed: {problem.strerror or problem} ({problem.filename or other.root}).",
            fix="See that there is space and that the files may be read; then type the same command again: it goes on.",
        ) from problem


@contextmanager
def _alone(other: _Side) -> Iterator[None]:
    """Be the only one of this machine who fills that folder."""
    other.root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = os.open(other.root, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, folder)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"The store of {other.name!r} is being filled by another command.", fix="Let it come to its end."
            ) from None
        yield


def _begin(other: _Side, ledger: LedgerStore, told: CopyMark) -> None:
    """Mark a ledger that is to be filled, unless it holds something else."""
    with ledger.read() as tx:
        found, is_empty = copying.mark_of(tx), copying.is_empty(tx)
    if found is None and is_empty:
        _check_folder_empty(other, _made_by_opening(other.root))
    elif found is not None and found.source != told.source:
        raise Conflict(
            f"The environment {other.name!r} is a copy that was begun of another store: {found.source}.",
            fix=f"Let it come to its end: {found.command}; or name an empty place.",
        )
    elif found is None and not _is_as_copied(other.root, ledger, told):
        raise Conflict(
            f"The environment {other.name!r} holds something already.",
            why="It was used since it was copied, or it is another store: what is in it would be lost.",
            fix="Name an empty place: another folder, another database or schema, another prefix.",
        )
    copying.mark(ledger, told)


def _is_as_copied(root: Path, ledger: LedgerStore, told: CopyMark) -> bool:
    """Whether a ledger is what was copied there from the same store, and nobody wrote to it."""
    try:
        kept = msgspec.json.decode((root / COPY_FILE).read_bytes(), type=StoreCopy)
    except FileNotFoundError:
        return False
    return kept.source_store == told.source and not kept.differences and kept.ledger == copying.state_of(ledger)


def _check_place(other: _Side) -> None:
    if not is_store(other.root):
        _check_folder_empty(other)


def _made_by_opening(root: Path) -> set[str]:
    """The files of a folder that opening a store writes. Where its ledger holds nothing they signed and named nothing."""
    keys = {path.relative_to(root).as_posix() for path in root.glob("keys/**/*") if path.is_file()}
    public = {name for name in keys if name.startswith("keys/trusted/")}
    is_plain = len(public) <= 1 and keys - public <= {"keys/signing.key", f"keys/{ANCHORS_FILE}"}
    return {*_OPENED, *(keys if is_plain else ())}


def _check_folder_empty(other: _Side, made: Collection[str] = ()) -> None:
    lying: list[str] = sorted(copied_files.listed(other.root).keys() - made) if other.root.is_dir() else []
    lying += [path.name for path in (other.root / "blobs").glob("*/*")]
    lying += [path.name for path in (other.root / "tables").glob("*/*/*")]
    if other.chosen.blobs:
        objects: Any = plugins.load("blobs", "objects")(other.chosen.blobs)
        lying += [f"blobs/{found.digest}" for found in (next(objects.stored(), None),) if found is not None]
        lying += [f"tables/{'/'.join(name)}" for name in objects.tables()]
    if lying:
        raise Conflict(
            f"The environment {other.name!r} has no ledger, but something lies in its place: {lying[0]}.",
            why="It is not what this command made, and would be lost.",
            fix="Name an empty place: another folder, or another prefix of the object store.",
        )


def _now() -> datetime:
    return datetime.now(UTC)
