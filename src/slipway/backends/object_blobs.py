"""Blobs in an object store: S3 and what speaks it, Google Cloud Storage, Azure; by obstore.

A small blob is one conditional create: nobody overwrites, and a blob that is new costs one request. A large one goes in
pieces, of which a few are in memory at a time, and appears when the last has come.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import blake3

from slipway.backends.object_bucket import Bucket, Found
from slipway.errors import BackendError, Corrupt, NotFound, Unavailable
from slipway.hashing import digest as digest_of
from slipway.hashing import digest_file
from slipway.ids import new_id
from slipway.ports.blobs import Blobs, StoredBlob

__all__ = ["ObjectBlobs", "ObjectParts"]

_CHUNK_BYTES = 1 << 20
_SMALL_BYTES = 1 << 20
_WHOLE_BYTES = 16 << 20
_THREADS = 8
_YOUNG = timedelta(minutes=30)
"""What was put less long ago counts as put now; the other half of an hour is for clocks that differ."""
_DELETING_S = 60.0
_DIGEST = 64
_HOLDER = "ledger.id"
_PROBES = "probes"
_DELETING = "deleting"
_PASSING = (_PROBES, _DELETING)
"""Folders of objects that whoever makes them removes at once, unless killed."""
_HEX = frozenset("0123456789abcdef")


class ObjectBlobs:
    """Objects `<prefix>/blobs/ab/cdef...`, named by their digest.

    Args:
        url: s3://bucket/prefix, gs://bucket/prefix or az://container/prefix; all else is in the environment.
        bucket: The same, where it is open already.

    Raises:
        InvalidSetting: The environment does not say what the store needs.
    """

    folder = "blobs"

    def __init__(self, url: str, bucket: Bucket | None = None) -> None:
        self.url = url
        self.bucket = bucket or Bucket(url)

    def parts(self, project: str, table: str) -> Blobs:
        """Where the parts of a table lie, beside the blobs: `<prefix>/tables/<project>/<table>/<digest>.parquet`."""
        return ObjectParts(self.url, self.bucket, f"tables/{project}/{table}")

    def tables(self) -> list[tuple[str, str]]:
        """The tables of which parts lie here, as project and name."""
        names = (found.name.split("/") for found in self.bucket.under("tables"))
        return sorted({(name[1], name[2]) for name in names if len(name) == 4})

    def claim(self, holder: str) -> str:
        """Say whose blobs these are, where nobody has; returns whose they are."""
        found = self.bucket.get(_HOLDER)
        if found is None and not self.bucket.put(_HOLDER, holder.encode(), create=True):
            found = self.bucket.get(_HOLDER)
        return holder if found is None else found.decode()

    def is_conditional(self) -> bool:
        """Whether the store leaves an object alone that is there, when it is asked to; tried with one of its own."""
        name = f"{_PROBES}/{new_id()}"
        try:
            self.bucket.put(name, b"first", create=True)
            return not self.bucket.put(name, b"second", create=True) and self.bucket.get(name) == b"first"
        finally:
            self.bucket.delete(name)

    def put(self, data: bytes) -> str:
        """See `Blobs.put`."""
        digest = digest_of(data)
        self._keep(digest, len(data), lambda create: self.bucket.put(self._name(digest), data, create=create))
        return digest

    def put_file(self, path: Path) -> str:
        """See `Blobs.put_file`."""
        digest = digest_file(path)
        self._keep_file(path, digest)
        return digest

    def put_files(self, paths: Sequence[Path]) -> list[tuple[str, bool]]:
        """See `Blobs.put_files`. Several are on their way at once."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="slipway-objects") as pool:
            digests = list(pool.map(digest_file, paths))
            first = dict(zip(reversed(digests), reversed(paths), strict=True))
            new = dict(zip(first, pool.map(self._keep_file, first.values(), first), strict=True))
        return [(digest, new[digest] and path is first[digest]) for digest, path in zip(digests, paths, strict=True)]

    def get(self, digest: str) -> bytes:
        """See `Blobs.get`."""
        data = self.bucket.get(self._name(digest))
        if data is None:
            raise self._missing(digest)
        if digest_of(data) != digest:
            raise self._damaged(digest)
        return data

    def fetch(self, digest: str, path: Path) -> None:
        """See `Blobs.fetch`."""
        pieces = self.bucket.pieces(self._name(digest))
        if pieces is None:
            raise self._missing(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{new_id()}.tmp")
        hasher = blake3.blake3()
        try:
            with temporary.open("wb") as file:
                for piece in pieces:
                    hasher.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            if hasher.hexdigest() != digest:
                raise self._damaged(digest)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def has(self, digest: str) -> bool:
        """See `Blobs.has`."""
        return self.bucket.head(self._name(digest)) is not None

    def renew(self, digest: str) -> bool:
        """See `Blobs.renew`. An object's time is that of its writing: one that is old is written anew."""
        found = self.bucket.head(self._name(digest))
        if found is None or not _is_old(found):
            return found is not None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / digest
            try:
                self.fetch(digest, path)
            except NotFound:  # it was deleted meanwhile
                return False
            self.put_file(path)
        return True

    def link(self, digest: str, path: Path) -> bool:
        """See `Blobs.link`. No file of this machine shares an object's bytes."""
        if not self.has(digest):
            raise self._missing(digest)
        return False

    def stored(self) -> Iterator[StoredBlob]:
        """See `Blobs.stored`."""
        for found in self.bucket.under(self.folder):
            digest = self._digest(found.name)
            if len(digest) == _DIGEST and set(digest) <= _HEX:
                yield StoredBlob(digest, found.size_bytes, found.put_at)

    def tidy(self, before: datetime, *, dry_run: bool = False) -> int:
        """See `Blobs.tidy`. Uploads in pieces that were broken off are the bucket's to remove, by a rule of its own."""
        left = [found for folder in _PASSING for found in self.bucket.under(folder) if found.put_at < before]
        for found in left if not dry_run else ():
            self.bucket.delete(found.name)
        return sum(found.size_bytes for found in left)

    def delete(self, digest: str, *, put_before: datetime | None = None) -> bool:
        """See `Blobs.delete`."""
        name = self._name(digest)
        found = self.bucket.head(name)
        if found is None or (put_before is not None and found.put_at >= put_before):
            return False
        if put_before is None:
            self.bucket.delete(name)
            return True
        # Said first, looked then: who puts it anew from now on sees this mark, and who did before has left a time on it.
        self.bucket.put(self._mark(digest), b"", create=False)
        begun = time.monotonic()
        try:
            found = self.bucket.head(name)
            is_left = found is None or found.put_at >= put_before or time.monotonic() - begun > _DELETING_S / 2
            if not is_left:
                self.bucket.delete(name)
        finally:
            self.bucket.delete(self._mark(digest))
        return not is_left

    def _keep(self, digest: str, size: int, send: Callable[[bool], bool]) -> bool:
        """Have a blob there; whether it is new. `send` writes it: with True only where there is none, and says whether."""
        name = self._name(digest)
        found = self.bucket.head(name) if size > _SMALL_BYTES else None
        if found is None:
            if send(True):
                return True
            found = self.bucket.head(name)
        if found is None or found.size_bytes != size or _is_old(found):
            send(False)
            self._outlast_deletion(digest, send)
        return False

    def _outlast_deletion(self, digest: str, send: Callable[[bool], bool]) -> None:
        """See that what was put anew is there when a deletion is over that had found it old."""
        until = time.monotonic() + 2 * _DELETING_S
        while time.monotonic() < until:
            mark = self.bucket.head(self._mark(digest))
            if mark is None:
                if self.bucket.head(self._name(digest)) is not None:
                    return
                send(True)
            elif datetime.now(UTC) - mark.put_at > timedelta(seconds=_DELETING_S):  # whoever set it is dead
                self.bucket.delete(self._mark(digest))
            else:
                time.sleep(0.05)
        raise Unavailable(f"The blob {digest} is being deleted in {self.bucket.shown}.", fix="Try again in a minute.")

    def _keep_file(self, path: Path, digest: str) -> bool:
        size = path.stat().st_size
        return self._keep(digest, size, lambda create: self._send_file(path, digest, size, create))

    def _send_file(self, path: Path, digest: str, size: int, create: bool) -> bool:
        if size > _WHOLE_BYTES:
            # No condition is asked here: the bytes are the same whoever writes them, and they appear at once.
            self.bucket.put_pieces(self._name(digest), _checked(path, digest), size)
            return True
        data = path.read_bytes()
        if digest_of(data) != digest:
            raise _changed(path)
        return self.bucket.put(self._name(digest), data, create=create)

    def _name(self, digest: str) -> str:
        if len(digest) != _DIGEST or not set(digest) <= _HEX:
            raise NotFound(f"{digest!r} is not a digest.", why="A digest is 64 hex digits.")
        return self._named(digest)

    def _named(self, digest: str) -> str:
        return f"{self.folder}/{digest[:2]}/{digest[2:]}"

    def _digest(self, name: str) -> str:
        return name.removeprefix(f"{self.folder}/").replace("/", "")

    def _mark(self, digest: str) -> str:
        return f"{_DELETING}/{self._name(digest)}"

    def _missing(self, digest: str) -> NotFound:
        return NotFound(
            f"No blob {digest} is stored in {self.bucket.shown}.",
            fix="Restore it from a backup or another version of the object, where the bucket keeps them.",
        )

    def _damaged(self, digest: str) -> Corrupt:
        return Corrupt(
            f"The blob {digest} is damaged: its bytes do not match its digest.",
            fix=f"Restore {self._name(digest)} in {self.bucket.shown} from a backup, or remove it and make it again.",
        )


class ObjectParts(ObjectBlobs):
    """The parts of one table, as blobs: objects `<prefix>/tables/<project>/<table>/<digest>.parquet`.

    Args:
        url: See `ObjectBlobs`.
        bucket: See `ObjectBlobs`.
        folder: `tables/<project>/<table>`.
    """

    def __init__(self, url: str, bucket: Bucket, folder: str) -> None:
        super().__init__(url, bucket)
        self.folder = folder

    def _named(self, digest: str) -> str:
        return f"{self.folder}/{digest}.parquet"

    def _digest(self, name: str) -> str:
        return name.removeprefix(f"{self.folder}/").removesuffix(".parquet")


def _is_old(found: Found) -> bool:
    return datetime.now(UTC) - found.put_at > _YOUNG


def _checked(path: Path, digest: str) -> Iterator[bytes]:
    """A file's bytes; an error at the end where they are not those of the digest."""
    hasher = blake3.blake3()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
            yield chunk
    if hasher.hexdigest() != digest:
        raise _changed(path)


def _changed(path: Path) -> BackendError:
    return BackendError(f"The file {path} changed while it was stored.", fix="Try again when nobody writes it.")
