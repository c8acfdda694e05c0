"""A person's rows in bundles: those that models were evaluated on, and the reference samples.

A bundle's manifest stays as it was signed, and so does its digest, on which gates, approvals and revisions rest. The
sample is the one file that may be missing from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway.errors import Corrupt, NotFound
from slipway.flows.erase_person import Target, is_theirs
from slipway.hashing import digest_file
from slipway.ledger import entries
from slipway.models import registry
from slipway.models.bundle import SAMPLE, decode_cases
from slipway.ports.workspace import Workspace
from slipway.records.erasures import Place
from slipway.records.models import Bundle, ModelVersion
from slipway.tables.erasing import rows_of

__all__ = ["erase_bundles"]


def erase_bundles(workspace: Workspace, target: Target, *, dry_run: bool) -> tuple[list[Place], list[str]]:
    """Erase the rows that bundles were evaluated on, and reference samples with such rows; or count them.

    A sample goes as a whole, wherever it lies: in the store, and in the folders of endpoints. It is looked for in both,
    so that asking again after a kill removes what is left of it.

    Returns:
        Where rows were, and what could not be looked into, in sentences.
    """
    places, kept = [], []
    doomed: set[str] = set()
    unneeded: list[Path] = []
    unpacked = _unpacked(workspace)
    with workspace.ledger.read() as tx:
        models = list(entries.every(tx, ModelVersion, project=workspace.project))
    for model in models:
        if not model.bundle:
            kept.append(
                f"The files of {model.name} {model.number} were not looked into: a tracking client stored them. "
                f"Delete the version, its run's artifacts or its logged model by that client if they hold such rows."
            )
            continue
        try:
            bundle = registry.bundle_of(workspace, model)
        except (NotFound, Corrupt) as problem:
            kept.append(f"The bundle of {model.name} {model.number} was not looked into: {problem.what}")
            continue
        if bundle.evaluated and workspace.blobs.has(bundle.evaluated):
            rows = rows_of(workspace.blobs.get(bundle.evaluated), target.columns)
            if rows:
                doomed.add(bundle.evaluated)
                place = f"rows that {model.name} {model.number} was evaluated on"
                places.append(Place(place=place, rows=rows, files=1))
        copies = _copies(bundle, model.bundle, unpacked)
        try:
            inside = _in_sample(workspace, bundle, copies, target)
        except Corrupt as problem:
            kept.append(f"The reference sample of {model.name} {model.number} was not looked into: {problem.what}")
            continue
        if inside:
            digest = _sample_digest(bundle)
            doomed.add(digest)
            files = workspace.blobs.has(digest) + len(copies)
            places.append(Place(place=f"reference sample of {model.name} {model.number}", rows=inside, files=files))
            unneeded += copies
    if not dry_run:
        for path in unneeded:
            path.unlink(missing_ok=True)
        for digest in sorted(doomed):
            workspace.blobs.delete(digest)
    return places, kept


def _unpacked(workspace: Workspace) -> Mapping[str, Sequence[Path]]:
    """All samples in endpoints' folders, by the digest of their bytes and by that of their bundle.

    Those of other projects too: the same bytes hold the same person. A folder that a killed deployment left counts.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted((workspace.root / "endpoints").glob(f"*/*/bundles/*/{SAMPLE}")):
        try:
            found.setdefault(digest_file(path), []).append(path)
        except FileNotFoundError:  # a deployment fetches it anew just now: the next look finds it
            continue
        found.setdefault(path.parent.name.removeprefix(".").removesuffix(".part"), []).append(path)
    return found


def _copies(bundle: Bundle, digest: str, unpacked: Mapping[str, Sequence[Path]]) -> list[Path]:
    found = [*unpacked.get(_sample_digest(bundle), ()), *unpacked.get(digest, ())]
    return [path for path in dict.fromkeys(found) if path.exists()]


def _in_sample(workspace: Workspace, bundle: Bundle, copies: Sequence[Path], target: Target) -> int:
    """How many rows of a bundle's sample are the person's, in the store or in the copy that has the most."""
    names, digest = [field.name for field in bundle.signature.inputs], _sample_digest(bundle)
    if not digest or not set(target.columns) <= set(names):
        return 0
    is_stored = workspace.blobs.has(digest)
    texts = [workspace.blobs.get(digest)] if is_stored else []
    texts += [path.read_bytes() for path in copies if path.exists()]
    most = 0
    for data in texts:
        try:
            rows = [dict(zip(names, case.row, strict=True)) for case in decode_cases(data)]
        except (Corrupt, ValueError):
            if is_stored and data is texts[0]:
                raise Corrupt(f"It was packed by an earlier Slipway, or its {SAMPLE} is damaged.") from None
            most = max(most, not is_stored)  # half a copy of what was erased meanwhile goes too
            continue
        most = max(most, sum(is_theirs(row, target.columns) for row in rows))
    return most


def _sample_digest(bundle: Bundle) -> str:
    return next((file.digest for file in bundle.files if file.path == SAMPLE), "")
