"""A version from another store: its bytes are copied, verified by digest and signature, and registered as what it is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from slipway.errors import Corrupt, NotFound
from slipway.hashing import digest
from slipway.ids import new_model_id
from slipway.ledger import entries, events, lineage
from slipway.ledger.sealed_records import kept
from slipway.models import bundle as bundles
from slipway.models import registered, registry
from slipway.models.numbered import MODEL, newest_of, next_number, versions_in
from slipway.ports.workspace import Workspace
from slipway.records.gates import Verdict
from slipway.records.load import LoadReport
from slipway.records.models import Bundle, ModelVersion
from slipway.records.reproductions import Reproduction

__all__ = ["copy_known", "is_there", "receive", "signer_of", "verdicts_of"]


def is_there(target: Workspace, version: ModelVersion) -> ModelVersion | None:
    """The version of a store that has the same bundle, None where it has none."""
    with target.ledger.read() as tx:
        known = versions_in(tx, target.project, version.name)
    return next((one for one in known if one.bundle == version.bundle), None)


def signer_of(workspace: Workspace, version: ModelVersion) -> tuple[str, ...]:
    """By which keys a version's bundle is signed: the first 16 hex digits of each public key's digest.

    Raises:
        NotFound: The signature's blob is gone.
        Corrupt: It is no envelope.
    """
    try:
        envelope = msgspec.json.decode(workspace.blobs.get(version.signature), type=dict[str, object])
        signatures = msgspec.convert(envelope["signatures"], list[dict[str, str]])
        return tuple(one["keyid"] for one in signatures)
    except (msgspec.DecodeError, KeyError) as problem:
        raise Corrupt(
            f"The signature of {version.name} {version.number} cannot be read: {problem}.",
            fix="Package the model again.",
        ) from problem


def receive(
    source: Workspace, target: Workspace, version: ModelVersion, *, authors: Iterable[str], training: str = ""
) -> ModelVersion:
    """Copy a version with all its bytes from one store into another; what is there already is not copied again.

    Nothing is registered before every file has the digest that the manifest names, the manifest the bundle's, and the
    signature holds under a key that the target trusts.

    Args:
        source: Where it is.
        target: Where it goes.
        version: At the source.
        authors: Who made it: they do not approve it there either.
        training: The blob digest of what its run says of its training set, "" for nothing.

    Returns:
        The version at the target, under a number of its own.

    Raises:
        NotFound: A file of it is gone at the source.
        Corrupt: A digest or the signature does not hold.
    """
    bundle = registry.bundle_of(source, version)
    for blob in (*_blobs_of(version, bundle), *([(training, True)] if training else [])):
        _copy(source, target, blob)
    with tempfile.TemporaryDirectory(prefix="slipway-received-") as temporary:
        folder = Path(temporary) / "bundle"
        bundles.unpack(target, version.manifest, folder, signature=version.signature, expect=version.bundle)
    known = is_there(target, version)
    described = msgspec.structs.replace(version, made_by=tuple(dict.fromkeys(authors)), training=training)
    return known or _registered(source, target, described, bundle)


def copy_known(source: Workspace, target: Workspace, version: ModelVersion) -> None:
    """Copy what is known of a bundle besides its bytes: verdicts, load tests, reproductions, and what people wrote of its model.

    Verdicts let nothing through where they are copied to. Load tests and reproductions are signed, and count as far as the
    signer is trusted there. What was written down at the target stays as it is.
    """
    node = f"bundle:{version.bundle}"
    rulings = verdicts_of(source, version.bundle)
    with source.ledger.read() as tx:
        repeated = [link for link in tx.links(node, towards=False) if link.target.startswith("reproduction:")]
        repetitions = [(link, entries.get(tx, Reproduction, link.target.partition(":")[2])) for link in repeated]
        reports = entries.find(tx, LoadReport, parent=version.bundle, limit=1000)
        written = registered.documents(tx, source, version.name)
    with target.ledger.write() as tx:
        for ruling in rulings:
            if not entries.etag(tx, Verdict, ruling.id):
                entries.put(tx, ruling, expect=0)
                lineage.link(tx, node, f"verdict:{ruling.id}", "judged")
                told = {"environment": ruling.environment, "passed": ruling.passed, "kept": kept(ruling)}
                events.record(tx, target, "gates.copy", node, **told)
        for link, repetition in repetitions:
            if not entries.etag(tx, Reproduction, repetition.id):
                entries.put(tx, repetition, expect=0)
                lineage.link(tx, node, link.target, link.role)
        for report in reports:
            if not entries.etag(tx, LoadReport, report.id):
                entries.put(tx, report, expect=0)
        registered.keep_documents(tx, target, version.name, written)


def verdicts_of(workspace: Workspace, bundle: str) -> list[Verdict]:
    """What gates said of a bundle, in whichever environment, newest first."""
    with workspace.ledger.read() as tx:
        links = tx.links(f"bundle:{bundle}", towards=False)
        ids = [link.target.partition(":")[2] for link in links if ":" in link.target]
        found = [entries.get(tx, Verdict, id) for id in ids if entries.etag(tx, Verdict, id)]
    return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)


def _blobs_of(version: ModelVersion, bundle: Bundle) -> Iterator[tuple[str, bool]]:
    """What a version consists of: each blob, and whether it cannot do without."""
    for file in bundle.files:
        yield file.digest, file.path != bundles.SAMPLE  # the sample may have been erased with a person's rows
    yield version.manifest, True
    yield version.signature, True
    # What is known of it besides: the rows of its evaluation, its lock and its code. They may have been purged.
    for more in (bundle.evaluated, bundle.environment.imports if bundle.environment else "", bundle.code.snapshot):
        if more:
            yield more, False


def _copy(source: Workspace, target: Workspace, blob: tuple[str, bool]) -> None:
    wanted, is_needed = blob
    if target.blobs.renew(wanted):
        return
    with tempfile.TemporaryDirectory(prefix="slipway-copied-") as temporary:
        path = Path(temporary) / "blob"
        try:
            source.blobs.fetch(wanted, path)
        except NotFound:
            if is_needed:
                raise
            return
        stored = target.blobs.put_file(path)
    if stored != wanted:
        raise Corrupt(f"The blob {wanted[:16]} arrived as {stored[:16]}.", fix="Promote again: it is copied anew.")


def _registered(source: Workspace, target: Workspace, version: ModelVersion, bundle: Bundle) -> ModelVersion:
    with target.ledger.write() as tx:
        newest = newest_of(tx, target.project, version.name)
        arrived = msgspec.structs.replace(
            version,
            id=new_model_id(),
            project=target.project,
            created_at=target.clock.now(),
            number=next_number(tx, target.project, version.name),
            aliases=(),
            logged_model_id="",
            updated_at=None,
        )
        entries.put(tx, arrived, expect=0)
        registered.keep(tx, target.project, arrived.name)
        tx.set_ref(target.project, MODEL, arrived.name, arrived.id, expect=newest.id if newest else None)
        node = f"model:{arrived.id}"
        for table in bundle.data:
            lineage.link(tx, table, node, "data")
        lineage.link(tx, node, f"bundle:{version.bundle}", "packed")
        events.record(
            tx,
            target,
            "models.receive",
            node,
            name=arrived.name,
            number=arrived.number,
            bundle=arrived.bundle,
            source=source.environment,
            version=version.number,
            manifest=digest(source.blobs.get(version.manifest)),
        )
    target.say(f"{arrived.name} {version.number} of {source.environment} is {arrived.number} in {target.environment}.")
    return arrived
