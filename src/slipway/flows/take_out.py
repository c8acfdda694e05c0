"""A version taken out of the store: its bundle as files in a folder, for whoever has no store.

What left the machine is out of reach of `slipway erase`. So the reference sample, which is made of training rows, stays
where the project has personal columns; a bundle without it answers as before and cannot ask itself.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from msgspec import Struct

from slipway import plugins
from slipway.errors import Conflict
from slipway.ledger import events
from slipway.models.bundle import SAMPLE, unpack
from slipway.models.model_signing import sigstore_bundle, statement
from slipway.operations.declare import check_allowed
from slipway.ports.workspace import Workspace
from slipway.records.models import Bundle, ModelVersion
from slipway.tables.catalog import heads

__all__ = ["STORE_KEY", "SignedFiles", "export_signed", "note_export", "take_out"]

STORE_KEY = "model-signing.pem"
"""The name of the plain key that a store signs with for tools that know nothing of Slipway."""


class SignedFiles(Struct, frozen=True, kw_only=True):
    """What an export in the model-signing form wrote.

    Args:
        folder: The bundle's files.
        signature: The Sigstore bundle over them.
        public_key: The public key, as PEM.
        has_sample: Whether the reference sample went along.
    """

    folder: str
    signature: str
    public_key: str
    has_sample: bool


def export_signed(workspace: Workspace, version: ModelVersion, out: Path, *, key: Path | None = None) -> SignedFiles:
    """Write a version's files, verified, and a signature over them in the OpenSSF model-signing form.

    Args:
        workspace: Its store.
        version: One with a bundle.
        out: The folder that `MODEL-NUMBER`, `MODEL-NUMBER.sig` and `MODEL-NUMBER.pub` are written into.
        key: A private key as PEM; the store's own, made the first time, where left out.

    Raises:
        Denied: The actor may not deploy.
        Conflict: It is there already.
        InvalidInput: The key cannot be used.
        Corrupt: The bundle is damaged.
    """
    check_allowed(workspace, "models.export", "endpoints.deploy")
    name = f"{version.name}-{version.number}"
    folder, signature, public = out / name, out / f"{name}.sig", out / f"{name}.pub"
    for path in (folder, signature, public):
        if path.exists():
            raise Conflict(f"{path} is there already.", fix="Name another folder: --out FOLDER")
    made = plugins.load("plain_key", "ec")(key or workspace.root / "keys" / STORE_KEY, create=key is None)
    has_sample = take_out(workspace, version, folder)[1]
    signature.write_bytes(sigstore_bundle(statement(folder, name), made))
    public.write_bytes(made.public_pem)
    note_export(workspace, version, "signed files")
    return SignedFiles(folder=str(folder), signature=str(signature), public_key=str(public), has_sample=has_sample)


def take_out(workspace: Workspace, version: ModelVersion, folder: Path) -> tuple[Bundle, bool]:
    """Write a bundle's files into a new folder, verified; returns its manifest, and whether the sample went along.

    Raises:
        NotFound: A file of it is gone.
        Corrupt: It is damaged.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        bundle = unpack(workspace, version.manifest, part, signature=version.signature, expect=version.bundle)
        if any(head.about.personal for head in heads(workspace)):
            (part / SAMPLE).unlink(missing_ok=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return bundle, (folder / SAMPLE).exists()


def note_export(workspace: Workspace, version: ModelVersion, what: str, **more: str) -> None:
    """Write down that a version was taken out of the store."""
    with workspace.ledger.write() as tx:
        told = {"name": version.name, "number": version.number, "bundle": version.bundle, "as": what, **more}
        events.record(tx, workspace, "models.export", f"model:{version.id}", **told)
