"""Where a store keeps its blobs and its tables' parts: in its folder, or in the object store that slipway.toml names.

The folder remembers which, so that every process that is given the folder finds them: servers, pipelines, syncs.
"""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from slipway import plugins
from slipway.errors import Conflict, InvalidSetting
from slipway.ids import new_id
from slipway.ports.blobs import Blobs
from slipway.ports.ledger_store import LedgerStore
from slipway.ports.workspace import OpenParts
from slipway.whole_files import write_whole

__all__ = ["BLOBS_FILE", "check_place", "look_at", "open_blobs", "prove_blobs", "remembered_place"]

BLOBS_FILE = "blobs.url"
_PROVEN_FILE = "blobs.proven"
_SCHEMES = ("s3", "gs", "az")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}")
_PREFIX = re.compile(r"(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*/?")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "GOOGLE_BASE_URL")
_REF = ("", "store", "blobs")


def check_place(url: str, what: str) -> None:
    """Refuse a URL that names no place in an object store, or more than a place.

    Args:
        url: The URL, "" for the store's own folder.
        what: Where it stands: "the setting blobs".

    Raises:
        InvalidSetting: It does.
    """
    if not url:
        return
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidSetting(
            f"{what} is {parts.scheme}://.../{parts.path.strip('/')} with more than a bucket and a prefix.",
            why="Settings are kept in version control; credentials, region and endpoint are read from the environment.",
            fix='For example "s3://bucket/prefix", with AWS_ACCESS_KEY_ID and the others in the environment.',
        )
    is_place = parts.scheme in _SCHEMES and _BUCKET.fullmatch(parts.netloc) is not None
    if not is_place or not _PREFIX.fullmatch(parts.path):
        raise InvalidSetting(
            f"{what} is {url!r}, which names no place in an object store.",
            why=f"Known are: {', '.join(f'{scheme}://' for scheme in _SCHEMES)}; then the bucket, and a prefix of plain "
            "letters, digits and . _ = - between slashes.",
            fix='For example "s3://bucket/prefix".',
        )


def open_blobs(root: Path, ledger: LedgerStore, url: str = "") -> tuple[Blobs, OpenParts | None]:
    """Open a store's blobs, and what opens its tables' parts where they are not in its folder alone.

    Args:
        root: The store's folder.
        ledger: Its ledger: a place in an object store belongs to one.
        url: What the settings say, "" for what the folder remembers.

    Raises:
        InvalidSetting: The folder has its blobs elsewhere, or the URL or the environment does not fit.
        Conflict: The place holds the blobs of another ledger.
        MissingExtra: obstore is not installed.
        BackendError: The object store refuses, or cannot be reached; it is asked when the folder first gets there.
    """
    known = remembered_place(root)
    if not (url or known):
        local: Blobs = plugins.load("blobs", "local")(root / "blobs")
        return local, None
    check_place(url, "The setting blobs")
    place = (url or known).rstrip("/")
    if known and known != place:
        raise InvalidSetting(
            f"The store in {root} keeps its blobs in {known}, and the setting blobs names {place}.",
            why="What was stored would not be found.",
            fix=f"Set blobs to {known!r} again; or copy all of it to the new place and write that into "
            f"{root / BLOBS_FILE}.",
        )
    objects: Any = plugins.load("blobs", "objects")(place)
    if not known:
        _move_in(root, ledger, objects, place)
    return objects, objects.parts


def prove_blobs(root: Path) -> None:
    """See that the object store of a store, if it has one, keeps others from overwriting; a proof is remembered.

    Args:
        root: The store's folder.

    Raises:
        InvalidSetting: It overwrites what is there though it is asked not to.
        BackendError: It refuses, or cannot be reached.
    """
    place = remembered_place(root)
    if not place:
        return
    proven = root / _PROVEN_FILE
    asked = " ".join([place, *(os.environ.get(name, "") for name in _ENDPOINTS)]).strip()
    if proven.is_file() and proven.read_text() == asked:
        return
    objects: Any = plugins.load("blobs", "objects")(place)
    if not objects.is_conditional():
        raise InvalidSetting(
            f"The object store {place} overwrites an object that is there, although it is asked not to (If-None-Match).",
            why="Several servers on one store count on that: whoever is second must be told.",
            fix="Use one that keeps to it: Amazon S3, Google Cloud Storage, Azure Blob Storage, Cloudflare R2, MinIO or "
            "Ceph of 2024 and later; or mend the proxy before it, which must pass the header If-None-Match on.",
        )
    write_whole(proven, asked.encode())


def remembered_place(root: Path) -> str:
    """The URL of the object store that a store's folder remembers, "" where it keeps its blobs itself."""
    try:
        return (root / BLOBS_FILE).read_text().strip()
    except FileNotFoundError:
        return ""


def look_at(place: str) -> None:
    """Ask an object store something.

    Raises:
        MissingExtra: obstore is not installed.
        BackendError: It refuses, or cannot be reached.
    """
    blobs: Blobs = plugins.load("blobs", "objects")(place)
    next(iter(blobs.stored()), None)


def _move_in(root: Path, ledger: LedgerStore, objects: Any, place: str) -> None:
    """Let a folder keep its blobs in an object store from now on."""
    local = root / "blobs"
    if local.is_dir() and any(local.iterdir()):
        raise InvalidSetting(
            f"The store in {root} keeps its blobs in {local}, and the setting blobs names {place}.",
            why="What was stored would not be found.",
            fix="Name the place in a section of its own with another folder, and let the store move there: "
            "slipway env copy FROM TO",
        )
    with ledger.write() as tx:
        own = tx.ref(*_REF)
        if own is None:
            own = new_id()
            tx.set_ref(*_REF, own, expect=None)
    holder = objects.claim(own)
    if holder != own:
        raise Conflict(
            f"{place} holds the blobs of another ledger.",
            why="Blobs that one ledger does not name are removed in a cleaning: two must not share a place.",
            fix="Set blobs to a prefix of its own; or open the ledger whose blobs these are.",
        )
    write_whole(root / BLOBS_FILE, f"{place}\n".encode())
