"""What is known of a model besides its estimator: the form in which it is kept."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from slipway.ports.model_format import FrameColumn, Task
from slipway.records.models import Decision, MetricValue
from slipway.records.schema import Signature

__all__ = ["Case", "Evaluation", "ModelState", "ReliabilityBin"]


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
    """

    label: str
    rows: int
    metrics: tuple[MetricValue, ...]
    reliability: tuple[ReliabilityBin, ...] = ()
    fingerprint: str = ""
    slices: tuple[str, ...] = ()


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
