"""What is known of a model besides its estimator: the form in which it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from slipway.errors import Corrupt
from slipway.ports.model_format import FrameColumn, Task
from slipway.records.explanations import Explained
from slipway.records.models import Decision, MetricValue, Overlap
from slipway.records.schema import Signature

__all__ = [
    "EVALUATED_FILE",
    "STATE_FILE",
    "Case",
    "Evaluation",
    "ModelState",
    "ReliabilityBin",
    "Taught",
    "decode_state",
    "encode_state",
    "without_cases",
]

STATE_FILE = "model.msgpack"
EVALUATED_FILE = "evaluated.parquet"


class Case(Struct, frozen=True, kw_only=True):
    """One row with the answer that the trained estimator gave for it.

    Args:
        name: "training row 17", or what is special: "carrier is null".
        row: The inputs as a request carries them, in the signature's order.
        answer: The score, None when the estimator refused the row.
        column: The input that is special, "" for a training row.
    """

    name: str
    row: list[Any]
    answer: float | None = None
    column: str = ""


class ReliabilityBin(Struct, frozen=True, kw_only=True):
    """Rows of like prediction: how many, their mean prediction, and how often the label was true, with its interval."""

    n: int
    predicted: float
    observed: float
    low: float = float("nan")
    high: float = float("nan")


class Evaluation(Struct, frozen=True, kw_only=True):
    """How good a model was on rows that it was not trained on.

    Args:
        label: The column of the truth.
        rows: How many rows were scored.
        metrics: Overall first, then by slice.
        reliability: The calibration curve, () for a regression.
        fingerprint: Of the scored rows: two models were compared on the same rows when it is equal.
        slices: The columns by which it was sliced.
        overlap: Whether the scored rows had taught it, None where nobody can tell.
    """

    label: str
    rows: int
    metrics: tuple[MetricValue, ...]
    reliability: tuple[ReliabilityBin, ...] = ()
    fingerprint: str = ""
    slices: tuple[str, ...] = ()
    overlap: Overlap | None = None


class Taught(Struct, frozen=True, kw_only=True):
    """The rows that taught a model, to be recognised among others and not to be read: the smallest of their hashes.

    Args:
        columns: Which columns were hashed, sorted.
        rows: How many rows there were.
        distinct: Whether all of those differ whose hashes are kept.
        hashes: The smallest different hashes, ascending, 8 bytes each.
        whole: Whether these are all.
        hashing: Which function made them: those of two are not compared.
    """

    columns: tuple[str, ...]
    rows: int
    distinct: bool
    hashes: bytes
    whole: bool
    hashing: str


class ModelState(Struct, frozen=True, kw_only=True):
    """All of a model but its estimator.

    Args:
        format: By which the estimator is kept.
        task: What it predicts.
        signature: What it takes and gives.
        layout: The pandas columns that it was fitted on, () when it takes the encoded matrix.
        cases: Reference rows and edge cases with the trained estimator's own answers.
        decision: What is done with a score.
        label: The column of the truth, "" where unknown.
        rows: How many rows the inputs were fixed on.
        trust: Types outside the framework that may be loaded.
        evaluation: None before `sw.evaluate`.
        prepare: The digest of the function that prepares rows and of what it knows, "" for none.
        taught: By what its training rows are recognised, None where nobody can.
        explained: What its answers rest on, None before `sw.explain`.
    """

    format: str
    task: Task
    signature: Signature
    layout: tuple[FrameColumn, ...] = ()
    cases: tuple[Case, ...] = ()
    decision: Decision = Decision()
    label: str = ""
    rows: int = 0
    trust: tuple[str, ...] = ()
    evaluation: Evaluation | None = None
    prepare: str = ""
    taught: Taught | None = None
    explained: Explained | None = None


def encode_state(content: str, state: ModelState) -> bytes:
    """The bytes of `STATE_FILE`: the digest of the estimator's content, and the state."""
    return msgspec.msgpack.encode((content, state))


def decode_state(data: bytes) -> tuple[str, ModelState]:
    """What `encode_state` wrote.

    Raises:
        Corrupt: It is something else.
    """
    try:
        return msgspec.msgpack.decode(data, type=tuple[str, ModelState])
    except msgspec.DecodeError as problem:
        raise Corrupt(f"A stored model cannot be read: {problem}.") from problem


def without_cases(data: bytes, is_theirs: Callable[[Mapping[str, Any]], bool]) -> tuple[bytes, int]:
    """The bytes of a state without some reference rows, and how many these were.

    Each edge case is one training row but for one input, and nothing says which row that was: with one case of
    somebody, all edge cases go. So do the hashes by which training rows are recognised.

    Args:
        data: The bytes of `STATE_FILE`.
        is_theirs: Which rows go: takes the inputs by name.

    Raises:
        Corrupt: It is no state.
    """
    content, state = decode_state(data)
    names = [field.name for field in state.signature.inputs]
    gone = [case for case in state.cases if is_theirs(dict(zip(names, case.row, strict=True)))]
    if not gone:
        return data, 0
    left = tuple(case for case in state.cases if not case.column and case not in gone)
    return encode_state(content, msgspec.structs.replace(state, cases=left, taught=None)), len(gone)
