"""The skew certificate of a project's feature set: made once for a definition, kept, found again."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from slipway import plugins
from slipway.errors import Corrupt, NotFound
from slipway.features.extracted import extracted_functions
from slipway.features.skew import certify, paths_of
from slipway.hashing import fingerprint
from slipway.ports.online_store import OnlineStore
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import OnlinePlace
from slipway.records.features import FeatureSetSpec, SkewCertificate
from slipway.tables import catalog, versions

__all__ = ["certificate_of", "is_proof", "proof_words"]

_REF = "certificate"
_CERTIFIED = 3  # changes when what is generated or compared changes


def certificate_of(
    workspace: Workspace, spec: FeatureSetSpec, functions: Mapping[str, Callable[..., Any]], *, anew: bool = False
) -> SkewCertificate:
    """The certificate of a feature set as its bundle will serve it, from the store or made now.

    It is kept by the definition (code of its functions and views included) and by the code that computed it: another
    release of Slipway or Polars, or another online store, proves again.

    Args:
        workspace: Where it is kept.
        spec: The set.
        functions: The functions of the scalar features, by name.
        anew: Whether to prove again what is proven.

    Raises:
        InvalidDeclaration: The features' code cannot be taken out of the project.
        InvalidInput: The code that was taken out cannot be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-skew-") as temporary:
        root, code = Path(temporary), Path(temporary) / "code"
        code.mkdir()
        serving = extracted_functions(spec, functions, code)
        engine = _engine(workspace, root)
        key = fingerprint((spec.definition, engine, _sources(code)))
        with workspace.ledger.read() as tx:
            kept = tx.ref(workspace.project, _REF, key)
        if kept and not anew:
            try:
                return msgspec.json.decode(workspace.blobs.get(kept), type=SkewCertificate)
            except (NotFound, Corrupt):
                pass  # what is gone or damaged is made again
        try:
            with _scratch(workspace, root) as tables:
                found = certify(spec, functions, partial(_open, workspace, root), tables=tables, serving=serving)
        finally:
            _clean(workspace, root)
    found = msgspec.structs.replace(found, engine=engine)
    digest = workspace.blobs.put(msgspec.json.encode(found))
    with workspace.ledger.write() as tx:
        tx.set_ref(workspace.project, _REF, key, digest, expect=tx.ref(workspace.project, _REF, key))
    return found


@contextmanager
def _scratch(workspace: Workspace, root: Path) -> Iterator[Workspace]:
    """An empty workspace of its own in a folder; what is read in it is no input of whatever runs here."""
    ledger = plugins.load("ledger", "sqlite")(root / "ledger.db")
    blobs = plugins.load("blobs", "local")(root / "blobs")
    try:
        with versions.reads.filled([]), catalog.pins.filled({}):
            yield dataclasses.replace(
                workspace, root=root, ledger=ledger, blobs=blobs, open_parts=None, say=lambda line: None
            )
    finally:
        ledger.close()


def _open(workspace: Workspace, root: Path, name: str) -> OnlineStore:
    """A store as the environment's endpoints have theirs, but apart from them."""
    folder = root / "endpoints" / name
    if not workspace.online:
        return workspace.open_online(folder)
    return workspace.open_online(
        folder, OnlinePlace(url=workspace.online, namespace=f"slipway:proof:{root.name}:{name}")
    )


def _clean(workspace: Workspace, root: Path) -> None:
    """Leave nothing in a shared store; an embedded one goes with its folder."""
    for name in ("online", "stream", "back-fill") if workspace.online else ():
        with closing(_open(workspace, root, name)) as store:
            store.drop()


def is_proof(certificate: SkewCertificate, spec: FeatureSetSpec) -> bool:
    """Whether a certificate proves a feature set: it is about this definition, covers every path, and all agreed."""
    compared = {check.path for check in certificate.paths if check.compared}
    return certificate.equal and certificate.definition == spec.definition and set(paths_of(spec)) <= compared


def proof_words(certificate: SkewCertificate, spec: FeatureSetSpec) -> str:
    """What a certificate says of a feature set, or why it says nothing of it."""
    if certificate.definition != spec.definition:
        return "the certificate is about another definition of the features"
    compared = {check.path for check in certificate.paths if check.compared}
    missing = [path for path in paths_of(spec) if path not in compared]
    if certificate.equal and missing:
        return f"the certificate compared nothing on the path {missing[0]!r}"
    return certificate.sentence


def _engine(workspace: Workspace, root: Path) -> str:
    with closing(_open(workspace, root, "which")) as store:
        kind = f"{type(store).__module__}:{type(store).__qualname__}"
    return fingerprint((_CERTIFIED, kind, pl.__version__, _own_code()))


@cache
def _own_code() -> str:
    """Both paths' code as it is installed."""
    return fingerprint(_sources(Path(__file__).parent))


def _sources(folder: Path) -> list[tuple[str, bytes]]:
    return [(str(path.relative_to(folder)), path.read_bytes()) for path in sorted(folder.rglob("*.py"))]
