"""`slipway backup`: a copy of a whole store while it is in use, in a folder that keeps every content once.

`objects/ab/cdef...` are contents by digest, `manifests/ID.json` is a signed list of them each: a backup is there when its
manifest is, which is written last. What the next backup has in common with it is not copied again. Nobody but the owner may
read any of it, whatever the umask: a backup holds everything, private keys among it.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import blake3
import msgspec

from slipway import plugins
from slipway.errors import BackendError, Conflict, InvalidInput, Unavailable
from slipway.hosts.blob_places import remembered_place
from slipway.ids import new_id
from slipway.ledger import events
from slipway.ledger.store_folder import folder_id
from slipway.operations.declare import check_allowed
from slipway.ports.workspace import Workspace
from slipway.records.backups import MANIFEST_TYPE, BackedUpFile, Backup
from slipway.whole_files import write_whole

__all__ = ["MANIFESTS", "OBJECTS", "PRIVATE", "TRUSTED", "BackedUp", "back_up", "is_private", "object_path"]

OBJECTS, MANIFESTS, TRUSTED = "objects", "manifests", "trusted"

_CHUNK_BYTES = 1 << 20
_PART = ".part-"
_FILE, _FOLDER, _OTHERS = 0o600, 0o700, 0o077
_ROUNDS = 5
_SQLITE = b"SQLite format 3\0"
_FIXED = ("blobs", "tables")
"""Their files never change, and are named by the digest of what is in them."""
_LEFT_OUT = frozenset(
    {
        *("environments", "shared", "aside", "repositories"),  # made again from what is kept
        *("step-locks", "run-keys", "ci-runs", "tasks", "syncs", "promotions"),  # of processes that run now
        *("incoming", "uploads"),  # not whole yet
        "simulations",  # stores of their own
        *("server.log", "server.pid", "server.reach.json", "blobs.proven"),
    }
)
_LEDGER = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal", "ledger.url")
"""The ledger is copied by itself, and the list of a backup has the address."""
_OF_PROCESSES = (".lock", ".pid", ".sock", ".part")
_BESIDE_SQLITE = ("-wal", "-shm", "-journal")
PRIVATE = ("signing.key", "model-signing.pem", "hooks.key", "log.key")
"""Names of files that hold a secret, wherever in the folder they lie."""


class BackedUp(msgspec.Struct, frozen=True):
    """What a backup did.

    Args:
        backup: The backup.
        folder: Where it lies.
        key_id: Who signed it.
        new_files: How many contents were not there before, the ledger's copy among them.
        new_bytes: How large these are.
        damaged: Files of the store whose content is not what their name says: copied as they are.
        removed: How many older backups were removed.
    """

    backup: Backup
    folder: str
    key_id: str
    new_files: int
    new_bytes: int
    damaged: tuple[str, ...] = ()
    removed: int = 0


def back_up(workspace: Workspace, folder: Path, *, has_keys: bool = False, keep: int | None = None) -> BackedUp:
    """Copy a store into a folder of backups, while others write it.

    What was acknowledged before it began is in it: files that change are copied before the ledger's moment, those that
    never change after it, and where some of these were removed meanwhile the ledger is copied anew.

    Args:
        workspace: The store's.
        folder: Made when it is missing; not in the store's own.
        has_keys: Whether private keys are copied too.
        keep: How many backups stay there, the newest; None for all.

    Raises:
        Denied: The actor may not.
        InvalidInput: The folder lies in the store's.
        Conflict: Another backup into the folder is under way, or it holds another store's.
        Unavailable: Tables or blobs were removed again and again while it was made.
        BackendError: The folder cannot be written.
    """
    check_allowed(workspace, "backups.make", "backups.make")
    root, folder = workspace.root.resolve(), folder.resolve()
    if folder == root or root in folder.parents:
        raise InvalidInput(
            f"The backup's folder {folder} lies in the store {root}.",
            why="What is lost with the store is lost with it.",
            fix="Name a folder elsewhere, on another disk.",
            field="folder",
        )
    try:
        return _back_up(workspace, root, folder, has_keys, keep)
    except OSError as problem:
        if isinstance(problem, BackendError):
            raise
        raise BackendError(
            f"The backup in {folder} did not become whole: {problem}.",
            why="What was copied is used by the next one; it is never taken for a backup.",
            fix="See that the disk has space and may be written, and begin again.",
        ) from problem


def object_path(folder: Path, digest: str) -> Path:
    """Where a content lies in a folder of backups."""
    return folder / OBJECTS / digest[:2] / digest[2:]


def is_private(path: str) -> bool:
    """Whether a file of a store holds a secret, by its path in the folder."""
    return path.rpartition("/")[2] in PRIVATE


def _back_up(workspace: Workspace, root: Path, folder: Path, has_keys: bool, keep: int | None) -> BackedUp:
    made_at, ledger, store = datetime.now(UTC), workspace.ledger, folder_id(root)
    with _alone(folder):
        with ledger.write() as tx:
            last = events.record(tx, workspace, "backups.make", "store:backup", keys=has_keys)
        copier = _Copier(root, folder, _newest_files(workspace, folder))
        files, left_out = _changing(copier, has_keys)
        place = remembered_place(root)
        copy, fixed = _of_one_moment(workspace, copier, () if place else _FIXED)
        url_file = root / "ledger.url"
        backup = Backup(
            id=f"{made_at:%Y%m%dT%H%M%S%f}Z",
            made_at=made_at,
            store=store,
            slipway=version("slipway"),
            environment=workspace.environment,
            database=ledger.database,
            ledger=copy,
            ledger_url=url_file.read_text().strip() if url_file.is_file() else "",
            events=last,
            blobs_url=place,
            has_keys=has_keys,
            files=(*files, *fixed),
            left_out=left_out,
        )
        copier.settle()
        key = root / "keys" / "trusted" / f"{workspace.signer.key_id}.pub"
        _close(folder / TRUSTED)
        write_whole(folder / TRUSTED / key.name, key.read_bytes(), mode=_FILE)
        _close(folder / MANIFESTS)
        envelope = workspace.signer.sign(msgspec.json.encode(backup), MANIFEST_TYPE)
        write_whole(folder / MANIFESTS / f"{backup.id}.json", envelope, mode=_FILE)
        removed = 0 if keep is None else _keep_newest(folder, keep)
    return BackedUp(
        backup=backup,
        folder=str(folder),
        key_id=workspace.signer.key_id,
        new_files=copier.new_files,
        new_bytes=copier.new_bytes,
        damaged=tuple(copier.damaged),
        removed=removed,
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only one who writes a folder of backups; what killed ones left half is removed first."""
    folder.mkdir(mode=_FOLDER, parents=True, exist_ok=True)
    with open(folder / "lock", "wb", opener=_closed) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"Another backup into {folder} is under way.", fix="Wait until it ended, or name another folder."
            ) from None
        _close(folder / OBJECTS)
        for left in (folder / OBJECTS).glob(f"{_PART}*"):
            left.unlink()
        yield


def _closed(name: str, flags: int) -> int:
    return os.open(name, flags, _FILE)


def _close(folder: Path) -> None:
    """Make a folder that its owner alone may read; one that an earlier release left open is closed, with all below."""
    folder.mkdir(mode=_FOLDER, exist_ok=True)
    if not folder.stat().st_mode & _OTHERS:
        return
    with suppress(PermissionError):  # another's, or of a disk that knows no modes
        for path in folder.rglob("*"):
            path.chmod(_FOLDER if path.is_dir() else _FILE)
        folder.chmod(_FOLDER)  # last: one that was broken off is closed the next time


def _newest_files(workspace: Workspace, folder: Path) -> dict[str, BackedUpFile]:
    """The files of the newest backup there, by path: what did not change is not read again.

    Raises:
        Conflict: It is of another store: nobody could tell whose is whose, nor which to keep.
        Corrupt: It is damaged.
    """
    for path in sorted((folder / MANIFESTS).glob("[0-9]*.json"), reverse=True):
        signer = plugins.load("signer", "ed25519")(folder, create=False)
        found = msgspec.json.decode(signer.verify(path.read_bytes(), MANIFEST_TYPE), type=Backup)
        if found.store != folder_id(workspace.root):
            raise Conflict(
                f"{folder} holds backups of another store.", fix="Name a folder for this store's backups alone."
            )
        return {one.path: one for one in found.files}
    return {}


def _changing(copier: "_Copier", has_keys: bool) -> tuple[list[BackedUpFile], tuple[str, ...]]:
    """Copy all files but the ledger's, those that never change, and what is left out; says what was."""
    files: list[BackedUpFile] = []
    left_out: set[str] = set()
    for path in _files(copier.root):
        name = path.relative_to(copier.root).as_posix()
        first, _, rest = name.partition("/")
        if first in _FIXED or name in _LEDGER:
            continue
        if first not in _LEFT_OUT and name.endswith(_OF_PROCESSES):  # the folder around it is copied: no news
            continue
        if first in _LEFT_OUT or (not has_keys and is_private(name)):
            left_out.add(f"{first}/{rest}" if is_private(name) and first not in _LEFT_OUT else first)
            continue
        if (found := copier.copy(path, name)) is not None:
            files.append(found)
    return files, tuple(sorted(left_out))


def _of_one_moment(
    workspace: Workspace, copier: "_Copier", fixed: tuple[str, ...]
) -> tuple[BackedUpFile, list[BackedUpFile]]:
    """The ledger's copy, and every fixed file that was there before it and after it: what it names is among them."""
    for _ in range(_ROUNDS):
        before = set(_fixed(copier.root, fixed))
        part = copier.part()
        workspace.ledger.copy_to(part)
        copy = copier.keep_part(part, "")
        after = _fixed(copier.root, fixed)
        found = [copier.copy(copier.root / name, name) for name in after]
        whole = [one for one in found if one is not None]
        if len(whole) == len(found) and before <= set(after):
            return copy, whole
    raise Unavailable(
        f"Tables or blobs of {copier.root} were removed while each of {_ROUNDS} copies was made.",
        fix="Wait until the purge, the cleaning or the erasing has ended, and begin again.",
    )


def _fixed(root: Path, folders: tuple[str, ...]) -> list[str]:
    return [
        path.relative_to(root).as_posix()
        for one in folders
        for path in _files(root / one)
        if not path.name.startswith(".") and not path.name.endswith(".part")
    ]


def _files(folder: Path) -> Iterator[Path]:
    """All regular files below a folder, in order; neither links nor sockets."""
    try:
        found = sorted(os.scandir(folder), key=lambda one: one.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for one in found:
        if one.is_dir(follow_symlinks=False):
            yield from _files(Path(one.path))
        elif one.is_file(follow_symlinks=False):
            yield Path(one.path)


def _keep_newest(folder: Path, keep: int) -> int:
    """Remove all but the newest backups, and every content that none of these names."""
    found = sorted((folder / MANIFESTS).glob("[0-9]*.json"), reverse=True)
    signer = plugins.load("signer", "ed25519")(folder, create=False)
    named: set[str] = set()
    for path in found[:keep]:
        backup = msgspec.json.decode(signer.verify(path.read_bytes(), MANIFEST_TYPE), type=Backup)
        named |= {backup.ledger.digest, *(one.digest for one in backup.files)}
    for path in found[keep:]:
        path.unlink()
    for path in _files(folder / OBJECTS):
        if path.parent.name + path.name not in named:
            path.unlink()
    return len(found[keep:])


@dataclass(slots=True)
class _Copier:
    """Puts contents into a folder of backups.

    Args:
        root: The store's folder.
        folder: The folder of backups.
        known: The files of the last backup.
    """

    root: Path
    folder: Path
    known: dict[str, BackedUpFile]
    new_files: int = 0
    new_bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    _touched: set[Path] = field(default_factory=set)

    def part(self) -> Path:
        """A new file for a content whose digest is not known yet, empty: who fills it does not choose who may read it."""
        part = self.folder / OBJECTS / f"{_PART}{new_id()}"
        part.touch(mode=_FILE, exist_ok=False)
        return part

    def copy(self, path: Path, name: str) -> BackedUpFile | None:
        """Copy a file unless its content is there; None where it is gone, or belongs to a database beside it."""
        try:
            at = path.stat()
            if (there := self._there(name, at)) is not None:
                return there
            with path.open("rb") as file:
                head = file.read(len(_SQLITE))
                is_database = head == _SQLITE and name.partition("/")[0] not in _FIXED
                part = self.part()
                if not is_database:
                    file.seek(0)
                    with part.open("wb") as target:
                        while chunk := file.read(_CHUNK_BYTES):
                            target.write(chunk)
        except FileNotFoundError:
            return None
        if is_database:
            plugins.load("database_copy", "sqlite")(path, part)
        elif name.endswith(_BESIDE_SQLITE) and path.with_name(path.name.rpartition("-")[0]).exists():
            part.unlink()
            return None
        found = self.keep_part(part, name, 0 if is_database else at.st_mtime_ns, is_closed=_is_closed(at))
        if (said := _digest_said(name)) and said != found.digest:
            self.damaged.append(name)
        return found

    def keep_part(self, part: Path, name: str, changed_ns: int = 0, *, is_closed: bool = False) -> BackedUpFile:
        """Give a part its name, the digest of what is in it."""
        hasher, size = blake3.blake3(), 0
        with part.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                hasher.update(chunk)
                size += len(chunk)
            os.fsync(file.fileno())
        digest = hasher.hexdigest()
        target = object_path(self.folder, digest)
        if target.exists() and target.stat().st_size == size:
            part.unlink()
        else:
            target.parent.mkdir(mode=_FOLDER, exist_ok=True)
            part.replace(target)
            self._touched |= {target.parent, target.parent.parent}
            self.new_files, self.new_bytes = self.new_files + 1, self.new_bytes + size
        return BackedUpFile(name, digest, size, changed_ns, is_closed)

    def settle(self) -> None:
        """See that the names of all contents survive a power cut."""
        for folder in self._touched:
            opened = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)

    def _there(self, name: str, at: os.stat_result) -> BackedUpFile | None:
        """The content of a file that need not be read: it says its digest, or did not change since the last backup."""
        digest = _digest_said(name)
        last = self.known.get(name)
        if not digest and last is not None and last.changed_ns == at.st_mtime_ns and last.size_bytes == at.st_size:
            digest = last.digest
        if not digest or not stat.S_ISREG(at.st_mode):
            return None
        try:
            is_there = object_path(self.folder, digest).stat().st_size == at.st_size
        except FileNotFoundError:
            return None
        return BackedUpFile(name, digest, at.st_size, at.st_mtime_ns, _is_closed(at)) if is_there else None


def _is_closed(at: os.stat_result) -> bool:
    return not at.st_mode & _OTHERS


def _digest_said(name: str) -> str:
    """The digest that a file's path says: of a blob, and of a table's part; "" for none."""
    first, _, rest = name.partition("/")
    last = rest.rpartition("/")[2]
    digest = rest.replace("/", "") if first == "blobs" else last.removesuffix(".parquet") if first == "tables" else ""
    return digest if len(digest) == 64 and not set(digest) - set("0123456789abcdef") else ""
