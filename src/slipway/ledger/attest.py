"""Reproductions signed and read back: what stands in the ledger counts only as it was signed."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from slipway.errors import Corrupt
from slipway.ports.signer import Signer
from slipway.records.reproductions import Reproduction

__all__ = ["PAYLOAD_TYPE", "read_back", "signed"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "urn:slipway:reproduction:1"


class _Statement(msgspec.Struct, frozen=True):
    """An in-toto statement: what it is about, by digest, and what is said of it."""

    _type: str
    subject: list[dict[str, Any]]
    predicateType: str
    predicate: Reproduction


def signed(found: Reproduction, signer: Signer) -> Reproduction:
    """The record with a signature over all else in it.

    Source: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
    """
    unsigned = replace(found, signature="")
    return replace(unsigned, signature=signer.sign(_statement(unsigned), PAYLOAD_TYPE).decode())


def read_back(stored: Reproduction, signer: Signer) -> Reproduction:
    """The record if it is what was signed; otherwise one that says that it is not, with the verdict "altered"."""
    if not stored.signature:
        return _altered(stored, "it carries no signature")
    try:
        payload = signer.verify(stored.signature.encode(), PAYLOAD_TYPE)
        said = msgspec.json.decode(payload, type=_Statement).predicate
    except (Corrupt, msgspec.DecodeError) as problem:
        return _altered(stored, str(problem).rstrip("."))
    # As records, not as bytes: a field that a later release adds has its default in both.
    if said != replace(stored, signature=""):
        return _altered(stored, "what stands in the ledger is not what was signed")
    return stored


def _statement(unsigned: Reproduction) -> bytes:
    subject = [{"name": f"run:{unsigned.parent_id}", "digest": {"slipwayRun": unsigned.parent_id}}]
    if unsigned.bundle:
        subject.append({"name": f"bundle:{unsigned.bundle}", "digest": {"blake3": unsigned.bundle}})
    return msgspec.json.encode(_Statement(_STATEMENT, subject, _PREDICATE, unsigned))


def _altered(stored: Reproduction, why: str) -> Reproduction:
    told = f"This verdict counts for nothing: {why}. It says {stored.verdict!r}: {stored.sentence}"
    return replace(stored, verdict="altered", sentence=told)
