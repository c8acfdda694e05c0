"""What the ledger still names: which records name an id, and which blobs nothing names any more.

Names are looked for as words in the records' bytes, whatever field they stand in: what only looks like a name keeps
bytes that could go, and no field that somebody adds can be forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Set
from contextlib import suppress
from importlib import import_module
from itertools import product
from pathlib import Path
from pkgutil import iter_modules

import msgspec

import slipway.records
from slipway.errors import NotFound
from slipway.ledger import entries
from slipway.ledger.run_file import RunFile
from slipway.ledger.run_moving import files_of
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion
from slipway.records.projects import Project
from slipway.records.record import Entry, Record
from slipway.records.trash import Purge

__all__ = ["every_entry", "keep_unnamed", "kinds", "naming", "snapshots_named"]

_PAGE = 500
_CHUNK_BYTES = 1 << 20
_WORD = re.compile(rb"[0-9a-f]{32,}")
_DIGEST_LENGTH = 64
_LOCK = re.compile(rb'"(?:imports|snapshot)":"([0-9a-f]{64})"')
"""How a record names its lock, a blob that names the wheels that are kept with it, and the project's snapshot, which names
files beside the code."""
_SNAPSHOT = re.compile(rb'"snapshot":"([0-9a-f]{64})"')
_HEX = bytes(ord("h") if chr(code) in "0123456789abcdef" else ord(".") for code in range(256))
_REFS = ("certificate",)
"""The sorts of references that point at blobs."""
_SUBJECTS = {"run": "run", "model": "model", "logged": "logged_model"}
"""The nodes by which events call records that can be purged, and the kinds of these."""
_ARTIFACT = "artifact"
"""The node of bytes that came over HTTP: who sent them names them next, in a run."""


def kinds() -> list[str]:
    """All kinds of records."""
    for module in iter_modules(slipway.records.__path__):
        import_module(f"slipway.records.{module.name}")
    return sorted(_tags(Record))


def every_entry(tx: ReadTransaction, kind: str, project: str) -> Iterator[Entry]:
    """All entries of a kind of a project, newest first; they are read page by page."""
    last: tuple[int, str] | None = None
    while True:
        found = tx.find(kind, project=project, before=last, limit=_PAGE)
        yield from found
        if len(found) < _PAGE:
            return
        last = (found[-1].created_us, found[-1].id)


def naming(
    tx: ReadTransaction, project: str, words: Set[bytes], *, apart: Collection[str]
) -> Iterator[tuple[Entry, Set[bytes]]]:
    """The entries of a project that name something, each with what it names.

    Args:
        tx: An open transaction.
        project: The project.
        words: Ids and digests: 32 or 64 hex digits each.
        apart: Kinds that are not looked at.
    """
    for kind in kinds():
        if words and kind not in apart:
            for entry in every_entry(tx, kind, project):
                if found := words & frozenset(_WORD.findall(entry.body)):
                    yield entry, found


def snapshots_named(tx: ReadTransaction, project: str) -> set[str]:
    """The digests of the project snapshots that any record of a project names."""
    bodies = (entry.body for kind in kinds() for entry in every_entry(tx, kind, project))
    return {digest.decode() for body in bodies for digest in _SNAPSHOT.findall(body)}


def keep_unnamed(
    workspace: Workspace, candidates: set[bytes], *, without: Collection[tuple[str, str]] = frozenset()
) -> None:
    """Leave only those of some blobs that nothing in the whole store names: no record, reference, event or run's file.

    Bundles, file sets and locks name their files in blobs of their own, which are read. An event about a record that is purged
    says which bytes there were, and one about an upload which came: neither keeps them.

    Args:
        workspace: The store; of all projects.
        candidates: Digests; what is named is taken out of it.
        without: Entries (kind, id) that do not count, as if they were gone.

    Raises:
        Corrupt: A list of files is damaged, so that it cannot be told what it names.
    """
    # First the files: what is absorbed meanwhile is in the ledger, which is read after them.
    for path in RunFile.all_in(files_of(workspace)):
        for piece in _pieces(path):
            candidates.difference_update(_digests(piece))
    with workspace.ledger.read() as tx:
        projects = _told(tx, candidates, without) | {workspace.project}
        lists = _Lists(workspace, set())
        for project, kind in product(sorted(projects), kinds()):
            if kind == entries.kind_of(Purge):
                continue
            for entry in every_entry(tx, kind, project) if candidates else ():
                if (kind, entry.id) not in without:
                    candidates.difference_update(_digests(entry.body))
                    lists.look_into(entry, candidates)
        for project, sort in product(projects, _REFS):
            candidates.difference_update(target.encode() for target in tx.refs(project, sort).values())


def _tags(record_type: type[Record]) -> set[str]:
    found = {entries.kind_of(record_type)} if record_type.__struct_config__.tag else set()
    return found.union(*(_tags(each) for each in record_type.__subclasses__()))


class _Lists:
    """Reads the blobs by which bundles and file sets name others, each once."""

    def __init__(self, workspace: Workspace, read: set[bytes]) -> None:
        self._workspace = workspace
        self._read = read

    def look_into(self, entry: Entry, candidates: set[bytes]) -> None:
        candidates.difference_update(self._named(set(_LOCK.findall(entry.body))))
        if entry.kind == entries.kind_of(ModelVersion):
            manifest = entries.decoded(entry, ModelVersion).manifest
            candidates.difference_update(self._named({manifest.encode()} if manifest else set(), with_locks=True))
        elif entry.kind == "files":  # an index names lists, which name files
            listed = self._named(_digests(entry.body))
            candidates.difference_update(listed)
            candidates.difference_update(self._named(listed))

    def _named(self, digests: set[bytes], *, with_locks: bool = False) -> set[bytes]:
        found: set[bytes] = set()
        locks: set[bytes] = set()
        for digest in digests - self._read:
            with suppress(NotFound):  # not every digest is a blob's
                data = self._workspace.blobs.get(digest.decode())
                found.update(_digests(data))
                locks.update(_LOCK.findall(data))
        self._read |= digests
        return found | self._named(locks) if with_locks else found


def _digests(data: bytes) -> set[bytes]:
    """All runs of 64 hex digits. A search for one letter 64 times is ten times as fast as a regular expression."""
    found: set[bytes] = set()
    plain, run = data.translate(_HEX), b"h" * _DIGEST_LENGTH
    at = plain.find(run)
    while at >= 0:
        found.add(data[at : at + _DIGEST_LENGTH])
        at = plain.find(run, at + _DIGEST_LENGTH)
    return found


def _told(tx: ReadTransaction, candidates: set[bytes], without: Collection[tuple[str, str]]) -> set[str]:
    """Take out what events name; returns the projects that there are: whatever is recorded, an event tells of it."""
    projects = {project.id for project in entries.every(tx, Project)}
    seq = 0
    while page := tx.events(after=seq, limit=_PAGE):
        for event in page:
            projects.add(event.project)
            told = candidates.intersection(_digests(msgspec.json.encode((event.subject, event.body))))
            sort, _, id = event.subject.partition(":")
            kind = _SUBJECTS.get(sort)
            if (
                told
                and sort != _ARTIFACT
                and (kind is None or ((kind, id) not in without and tx.get(kind, id) is not None))
            ):
                candidates -= told
        seq = page[-1].seq
    return projects


def _pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes in pieces that overlap, so that every digest is whole in one of them."""
    with suppress(FileNotFoundError), path.open("rb") as file:  # absorbed meanwhile
        tail = b""
        while data := file.read(_CHUNK_BYTES):
            yield tail + data
            tail = data[1 - _DIGEST_LENGTH :]
