"""Exports for auditors: what happened in a period, with everything that it takes to verify it without Slipway."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from slipway.errors import BackendError, InvalidInput, NotFound
from slipway.flows.served import serving
from slipway.hashing import digest
from slipway.ledger import entries, events, sealed_records
from slipway.models.manifest import decode_manifest
from slipway.operations.audit import AskServing, Served
from slipway.operations.declare import check_allowed
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.gates import Approval, BreakGlass, Floor, Verdict
from slipway.records.loop import StandingApproval
from slipway.records.promotions import Promotion
from slipway.records.record import Record
from slipway.schema.moments import moment
from slipway.tables.catalog import simulated_tables

__all__ = ["LIST_TYPE", "Exported", "export"]

LIST_TYPE = "application/vnd.slipway.export+json"
_CARD = "card.md"
_ZIP_BEGINS = (1980, 1, 1, 0, 0, 0)
_IN_A_PERIOD: dict[str, type[Record]] = {
    "verdicts": Verdict,
    "approvals": Approval,
    "standing": StandingApproval,
    "broken": BreakGlass,
    "promotions": Promotion,
}


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What an export holds.

    Args:
        file: Where it lies.
        digest: The file's digest: say it where the file is handed over.
        key_id: By which key its list is signed.
        events: How many events are told.
        roots: How many roots.
        served: How many revisions served in the period.
    """

    file: str
    digest: str
    key_id: str
    events: int
    roots: int
    served: int


def export(workspace: Workspace, target: Path, *, since: str, until: str = "") -> Exported:
    """Write an export of the project's period.

    Args:
        workspace: Whose.
        target: The file; one that is there is not replaced.
        since: The period's begin, with it; see `slipway.schema.moments`.
        until: The period's end, without it; now when left out.

    Raises:
        Denied: Whoever asks may not read the audit log.
        InvalidInput: A moment cannot be read, the period has no length, or there is such a file.
        Corrupt: The audit log does not hold.
        BackendError: The file cannot be written.
    """
    check_allowed(workspace, "audit.export", "audit.read")
    begin, end = moment(since, field="since"), moment(until, field="until") if until else workspace.clock.now()
    if end <= begin:
        raise InvalidInput(
            f"The period from {since} until {until or 'now'} has no length.",
            fix="Let it end after it begins.",
            field="until",
        )
    if target.exists():
        raise InvalidInput(f"There is a file {target} already.", fix="Give another name: -o FILE.zip", field="output")
    events.verify(workspace.ledger, workspace.signer)  # nobody is handed what does not hold
    sealed_records.verify(workspace.ledger)
    served = _served(workspace, begin, end)
    content = dict(_content(workspace, begin, end, served))
    listed = {name: digest(data) for name, data in sorted(content.items())}
    content["files.json"] = workspace.signer.sign(msgspec.json.encode(listed), LIST_TYPE)
    _write(target, content)
    found = Exported(
        file=str(target),
        digest=digest(target.read_bytes()),
        key_id=workspace.signer.key_id,
        events=content["events.jsonl"].count(b'"event":'),
        roots=content["roots.jsonl"].count(b"\n"),
        served=sum(len(spans) for spans in served.values()),
    )
    with workspace.ledger.write() as tx:
        told = {"since": begin.isoformat(), "until": end.isoformat(), "digest": found.digest}
        events.record(tx, workspace, "audit.export", f"project:{workspace.project}", **told)
    return found


def _served(workspace: Workspace, begin: datetime, end: datetime) -> dict[str, tuple[Served, ...]]:
    """What served in the period, by endpoint; none of those that came later."""
    with workspace.ledger.read() as tx:
        names = sorted(tx.refs(workspace.project, "endpoint"))
    told: dict[str, tuple[Served, ...]] = {}
    for name in names:
        try:
            asked = AskServing(endpoint=name, since=begin.isoformat(), until=end.isoformat())
            told[name] = serving(workspace, asked).served
        except NotFound:  # its first revision is of later
            continue
    return told


def _content(
    workspace: Workspace, begin: datetime, end: datetime, served: dict[str, tuple[Served, ...]]
) -> Iterator[tuple[str, bytes]]:
    with workspace.ledger.read() as tx:
        yield "events.jsonl", b"".join(_event_lines(tx, workspace.project, begin, end))
        yield "roots.jsonl", b"".join(data + b"\n" for _, data in tx.written_roots())
        for name, kind in _IN_A_PERIOD.items():
            records = {one.id: one for one in entries.every(tx, kind, project=workspace.project)}
            yield f"{name}.jsonl", _lines(one for one in records.values() if begin <= one.created_at < end)
        floors = [one for one in entries.every(tx, Floor) if one.created_at < end]
        yield "floors.jsonl", _lines(floors)
    spans = [(name, span) for name, some in served.items() for span in some]
    yield "served.jsonl", b"".join(_line({"endpoint": name, **msgspec.to_builtins(span)}) for name, span in spans)
    arms = {(arm.model, arm.version, arm.bundle) for _, span in spans for arm in span.arms}
    for model, number, bundle in sorted(arms):
        card = _card(workspace, bundle)
        if card is not None:
            yield f"cards/{model}-{number}-{bundle[:12]}.md", card
    for key in sorted((workspace.root / "keys" / "trusted").glob("*.pub")):
        yield f"keys/{key.name}", key.read_bytes()
    yield "verify.py", (files("slipway.governance") / "offline.py").read_bytes()
    yield "README.md", _readme(workspace, begin, end).encode()


def _event_lines(tx: ReadTransaction, project: str, begin: datetime, end: datetime) -> Iterator[bytes]:
    """The project's events of the period in their own words; of the others under the same roots their hashes alone."""
    shown: dict[int, bytes] = {}
    for event, data in events.written(tx):
        if event.project in ("", project) and begin <= event.at < end:
            shown[event.seq] = data
    roots = tx.roots()
    told = [root for root in roots if any(root.first_seq <= seq <= root.last_seq for seq in shown)]
    for root in told:
        for event, data in events.written(tx, after=root.first_seq - 1, until=root.last_seq):
            known = shown.get(event.seq)
            told_as = {"leaf": events.leaf(data)} if known is None else {"event": known.decode()}
            yield _line({"seq": event.seq, **told_as})
    sealed = roots[-1].last_seq if roots else 0
    for seq, data in shown.items():
        if seq > sealed:
            yield _line({"seq": seq, "event": data.decode()})


def _card(workspace: Workspace, bundle: str) -> bytes | None:
    """A model's card, None where the bundle was purged."""
    try:
        manifest = decode_manifest(workspace.blobs.get(bundle))
        return next((workspace.blobs.get(file.digest) for file in manifest.files if file.path == _CARD), None)
    except NotFound:
        return None


def _lines(records: Iterable[Record]) -> bytes:
    return b"".join(_line(one) for one in sorted(records, key=lambda one: (one.created_at, one.id)))


def _line(value: Any) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _write(target: Path, content: dict[str, bytes]) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sorted(content.items()):
                archive.writestr(zipfile.ZipInfo(name, _ZIP_BEGINS), data, zipfile.ZIP_DEFLATED)
        part.replace(target)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise BackendError(
            f"{target} cannot be written: {problem}.", fix="Give another place: -o FILE.zip"
        ) from problem


def _readme(workspace: Workspace, begin: datetime, end: datetime) -> str:
    made_up = simulated_tables(workspace)
    simulated = f"\n***SIMULATED***: rows of {', '.join(made_up)} are made up.\n" if made_up else ""
    return f"""# Audit export of {workspace.project} ({workspace.environment})
{simulated}
From {begin:%Y-%m-%d %H:%M} UTC until {end:%Y-%m-%d %H:%M} UTC, written by {workspace.actor.name}. It names people by the name
under which they act, and holds no rows of tables.

## Verify it

    python verify.py

Python 3.9 or newer, nothing else, no network. It ends with 0 where all of it holds, and otherwise says what does not. It
proves that nothing was altered since it was sealed with the key **{workspace.signer.key_id}**. Compare these digits with those that
you were given on another way: whoever makes a key of their own can sign anything. Where roots were anchored elsewhere (a
file, tags of a repository), compare the lines there with `roots.jsonl`: each names a root by the BLAKE3 digest of its line.

## What is in it

| file | what |
|---|---|
| events.jsonl | what happened: `event` is the very text that was sealed. Events of other projects or times under the same root are given by their hash, `leaf`, alone |
| roots.jsonl | all signed roots: RFC 6962 Merkle trees over BLAKE3, signed by Ed25519 in DSSE envelopes, each naming the one before it |
| served.jsonl | what each endpoint served in the period, since when, by whom, with verdict, approvals, data and code |
| verdicts.jsonl, approvals.jsonl, standing.jsonl, broken.jsonl, promotions.jsonl | the records of the period |
| floors.jsonl | what the environments asked of every model, all changes until the period's end |
| cards/ | the cards of the models that served |
| keys/ | the public keys that the store trusts |
| files.json | the signed list of the digests of all these files |
"""
