"""The proof of an import: a thousand rows asked of what answered before and of the bundle, compared answer by answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from slipway.errors import InvalidInput
from slipway.flows.tolerance import check_rounding
from slipway.models.bundle import LoadedModel
from slipway.models.frames import plain_rows
from slipway.models.scoring import TOLERANCE
from slipway.ports.workspace import Workspace
from slipway.records.models import ApartRow, ImportProof
from slipway.records.tolerances import ROUNDING

__all__ = ["ROWS", "Before", "compared"]

ROWS = 1000
"""Rows that an original and its bundle are asked for."""

_SHOWN = 20
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What was answered before.

    Args:
        door: See `ImportProof`.
        source: See `ImportProof`.
        digest: See `ImportProof`.
        asked: See `ImportProof`.
        sample: See `ImportProof`.
        rows: The rows that were asked; a pandas frame.
        names: What each row is called.
        answers: One a row.
    """

    door: str
    source: str
    digest: str = ""
    asked: str
    sample: str
    rows: Any
    names: tuple[str, ...]
    answers: tuple[float, ...]


def compared(
    workspace: Workspace, before: Before, bundle: LoadedModel, *, accept: str = "", tolerance: float = TOLERANCE
) -> ImportProof:
    """Ask the bundle as an endpoint asks it, row by row where it refuses, and compare.

    Args:
        workspace: Keeps all answers as a blob.
        before: What was answered before.
        bundle: The packaged model.
        accept: Why rows that are answered differently are taken, or a tolerance that is wider than rounding; "" refuses
            both.
        tolerance: How far apart, in shares of the greater of 1 and the answer before, counts as the same.

    Raises:
        InvalidInput: A row is answered differently, or the tolerance is wide, and nobody accepted that; or it is none.
    """
    check_rounding(tolerance, accept)
    names = before.names
    plain = plain_rows(before.rows, [one.name for one in bundle.signature.inputs])
    after, refusals = _asked(bundle, plain)
    equal = rounded = 0
    greatest, apart = 0.0, list[ApartRow]()
    for name, was, now, refused in zip(names, before.answers, after, refusals, strict=True):
        if now is not None and (was == now or (math.isnan(was) and math.isnan(now))):
            equal += 1
            continue
        distance = math.inf if now is None else abs(was - now)
        if math.isfinite(distance) and distance <= tolerance * max(1.0, abs(was)):
            rounded += 1
            greatest = max(greatest, distance)
            continue
        if math.isfinite(distance):
            greatest = max(greatest, distance)
        apart.append(ApartRow(row=name, before=was, after=now, why=refused))
    proof = ImportProof(
        door=before.door,
        source=before.source,
        digest=before.digest,
        asked=before.asked,
        sample=before.sample,
        rows=len(names),
        recombined=sum(name.startswith("recombined") for name in names),
        equal=equal,
        rounded=rounded,
        greatest=greatest,
        apart=len(apart),
        first=tuple(apart[:_SHOWN]),
        answers=workspace.blobs.put(msgspec.json.encode(list(zip(names, before.answers, after, strict=True)))),
        tolerance=tolerance,
        accepted=accept if apart or tolerance > ROUNDING else "",
    )
    if apart and not accept:
        raise _refused(proof, plain[names.index(apart[0].row)])
    return proof


def _refused(proof: ImportProof, row: Sequence[Any]) -> InvalidInput:
    shown = "; ".join(
        f"{one.row} was answered {one.before!r}, now {f'refused: {one.why}' if one.after is None else repr(one.after)}"
        for one in proof.first[:_NAMED]
    )
    return InvalidInput(
        f"{proof.apart:,} of {proof.rows:,} rows are answered differently: {shown}.",
        why=f"Nothing is imported that answers otherwise than before. The first such row: {list(row)}",
        fix="Import it where the libraries are those it was made with, or mark the version: --accept 'why it may differ'",
    )


def _asked(bundle: LoadedModel, rows: list[list[Any]]) -> tuple[list[float | None], list[str]]:
    try:
        return list(bundle.predict_rows(rows)), [""] * len(rows)
    except InvalidInput:
        pass  # one of them is refused: which, and why, is found by asking each alone
    answers: list[float | None] = []
    refusals: list[str] = []
    for row in rows:
        try:
            answers.append(bundle.predict_rows([row])[0])
            refusals.append("")
        except InvalidInput as problem:
            answers.append(None)
            refusals.append(problem.what)
    return answers, refusals
