"""`slipway restore`: a store out of a folder of backups, after every content was held to the digest in a signed list."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import blake3
import msgspec

from slipway import plugins
from slipway.errors import BackendError, Conflict, Corrupt, InvalidInput, NotFound, near
from slipway.governance.audit import head_in
from slipway.hosts.backup import MANIFESTS, TRUSTED, is_private, object_path
from slipway.hosts.ledgers import open_ledger
from slipway.ledger import events, sealed_records
from slipway.ledger.archive import check_inside
from slipway.ports.launcher import STATUS_FILE
from slipway.records.backups import MANIFEST_TYPE, BackedUpFile, Backup
from slipway.records.endpoints import EndpointStatus
from slipway.whole_files import write_whole

__all__ = ["Restored", "read_backup", "restore", "verify_backup"]

_CHUNK_BYTES = 1 << 20


class Restored(msgspec.Struct, frozen=True):
    """What was verified, and what came of it.

    Args:
        backup: The backup.
        root: The store's folder, "" where it was only looked at.
        sealed: How many events of the log are sealed and hold.
        unsealed: How many are not sealed yet.
        records: How many records that decide are as the log says that they were kept.
        stopped: Endpoints that were serving, and are stopped in the restored store: "project/name".
    """

    backup: Backup
    root: str = ""
    sealed: int = 0
    unsealed: int = 0
    records: int = 0
    stopped: tuple[str, ...] = ()


def read_backup(folder: Path, name: str = "", signed_by: str = "") -> Backup:
    """The list of a backup, after its signature was verified.

    Args:
        folder: The folder of backups.
        name: Which, "" for the newest.
        signed_by: The key that must have signed it; "" for any whose public half lies in the folder, which finds damage,
            and nobody who replaced both.

    Raises:
        NotFound: There is no such backup, or none at all.
        Corrupt: The list is altered, or another key signed it.
    """
    found = {path.stem: path for path in sorted((folder / MANIFESTS).glob("[0-9]*.json"))}
    if not found:
        raise NotFound(
            f"{folder} holds no whole backup.",
            why="A backup that was broken off leaves contents, and no manifest.",
            fix="Name the folder that `slipway backup` wrote to; or make one: slipway backup DIR",
        )
    name = name or max(found)
    if name not in found:
        raise NotFound(f"{folder} holds no backup {name!r}.", fix=near(name, found, what="backups"))
    signer = plugins.load("signer", "ed25519")(folder, create=False)
    try:
        envelope = found[name].read_bytes()
        backup = msgspec.json.decode(signer.verify(envelope, MANIFEST_TYPE), type=Backup)
        signers = {one["keyid"] for one in msgspec.json.decode(envelope)["signatures"]}
    except (Corrupt, msgspec.MsgspecError, KeyError, ValueError) as problem:
        raise Corrupt(
            f"The backup's list {found[name]} is not as it was signed: {problem}",
            fix=f"Name another backup of {folder}: --at ID",
        ) from problem
    if signed_by and signers != {signed_by}:
        raise Corrupt(
            f"The backup {name} is signed by {', '.join(sorted(signers))}, not by {signed_by}.",
            fix=f"See who wrote {folder / TRUSTED}.",
        )
    if backup.id != name:
        raise Corrupt(
            f"The backup's list {found[name]} is that of the backup {backup.id}.", fix="Give it its name back."
        )
    for one in backup.files:
        check_inside(one.path)
    return backup


def verify_backup(folder: Path, name: str = "", signed_by: str = "") -> Restored:
    """Read every content of a backup and compare it with its list; writes nothing.

    Raises:
        NotFound: There is no such backup.
        Corrupt: Something is missing, cut or altered; it is named.
    """
    backup = read_backup(folder, name, signed_by)
    for one in (backup.ledger, *backup.files):
        _take(folder, one, None)
    return Restored(backup)


def restore(folder: Path, root: Path, name: str = "", *, signed_by: str = "", ledger_url: str = "") -> Restored:
    """Make a store out of a backup, in a folder that is empty or not there.

    It is made beside that folder and gets its name when all of it is there and the audit log was verified; what a restore
    that was broken off had left there goes first. Endpoints are stopped in it.

    Args:
        folder: The folder of backups.
        root: The store's folder.
        name: Which backup, "" for the newest.
        signed_by: See `read_backup`.
        ledger_url: For a ledger in PostgreSQL: an empty database, "" for the one that it was in.

    Raises:
        NotFound: There is no such backup.
        Conflict: The folder or the database is not empty.
        Corrupt: Something is missing, cut or altered, or the audit log does not hold.
        InvalidInput: A URL is given for a ledger that is a file.
    """
    backup = read_backup(folder, name, signed_by)
    root = root.absolute()
    if ledger_url and backup.database == "sqlite":
        raise InvalidInput(
            "The ledger of this backup is a file.", fix="Leave --ledger out: it goes into the folder.", field="ledger"
        )
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise Conflict(
            f"{root} is not empty.",
            why="What is there would be mixed with what the backup holds.",
            fix="Name a folder that is empty, or does not exist yet.",
        )
    part = root.with_name(f".{root.name}.restoring")
    try:
        if part.exists():
            shutil.rmtree(part)
        part.mkdir(parents=True)
        for one in backup.files:
            _take(folder, one, part / one.path)
        sealed, unsealed, records = _with_ledger(folder, backup, part, ledger_url)
        stopped = _stopped(part)
        if root.exists():
            root.rmdir()
        part.replace(root)
    except OSError as problem:
        if isinstance(problem, BackendError):
            raise
        raise BackendError(
            f"The store {root} was not restored: {problem}.", fix="See that the disk has space, and restore it again."
        ) from problem
    return Restored(backup, str(root), sealed, unsealed, records, stopped)


def _stopped(root: Path) -> tuple[str, ...]:
    """Let endpoints that were serving count as stopped; which they are.

    Their processes run elsewhere, or are gone with the machine: a server over the copy must not take them for killed ones
    and start them beside those of the store that was backed up.
    """
    found: list[str] = []
    for path in sorted((root / "endpoints").glob(f"*/*/{STATUS_FILE}")):
        try:
            status = msgspec.json.decode(path.read_bytes(), type=EndpointStatus)
        except msgspec.MsgspecError:
            continue
        if status.state in ("starting", "ready"):
            write_whole(path, msgspec.json.encode(msgspec.structs.replace(status, state="draining")))
            found.append(f"{path.parent.parent.name}/{path.parent.name}")
    return tuple(found)


def _with_ledger(folder: Path, backup: Backup, part: Path, url: str) -> tuple[int, int, int]:
    """Fill the ledger and verify its log; how many events are sealed, how many not, and how many records are as kept."""
    copy = part / ".ledger-copy"
    _take(folder, backup.ledger, copy)
    with closing(open_ledger(part, "" if backup.database == "sqlite" else url or backup.ledger_url)) as opened:
        opened.fill_from(copy)
        copy.unlink()
        signer = plugins.load("signer", "ed25519")(part / "keys", create=False)
        sealed, unsealed = events.verify(opened, signer, head=head_in(part))
        records = sealed_records.verify(opened)
        with opened.read() as tx:
            last = events.newest_seq(tx)
    if last < backup.events:
        raise Corrupt(
            f"The restored log ends with event {last}, and the backup {backup.id} was begun with event {backup.events}.",
            fix="Restore another backup: --at ID",
        )
    return sealed, unsealed, records


def _take(folder: Path, one: BackedUpFile, target: Path | None) -> None:
    """Read a content, hold it to its digest, and write it where it belongs.

    Raises:
        Corrupt: It is missing, cut or altered.
    """
    source = object_path(folder, one.digest)
    what = f"of {one.path}" if one.path else "of the ledger"
    hasher = blake3.blake3()
    try:
        with source.open("rb") as file:
            if target is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
            writing = None if target is None else _new(target, one)
            try:
                while chunk := file.read(_CHUNK_BYTES):
                    hasher.update(chunk)
                    if writing is not None:
                        _write(writing, chunk)
                if writing is not None:
                    os.fsync(writing)
            finally:
                if writing is not None:
                    os.close(writing)
    except FileNotFoundError as problem:
        raise Corrupt(f"The content {what} is missing: {source}.", fix="Restore another backup: --at ID") from problem
    if hasher.hexdigest() != one.digest:
        raise Corrupt(
            f"The content {what} is not what was backed up: {source} was cut or altered.",
            fix="Restore another backup: --at ID. Remove that file while the store lives: the next backup writes it anew.",
        )
    if target is not None and one.changed_ns:
        os.utime(target, ns=(one.changed_ns, one.changed_ns))


def _new(path: Path, one: BackedUpFile) -> int:
    is_closed = one.is_closed or is_private(one.path)  # a backup of an earlier release says nothing of it
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if is_closed else 0o644)


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
