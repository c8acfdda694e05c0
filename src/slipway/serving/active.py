"""What answers now: one revision, loaded and warm, as plain functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slipway.records.endpoints import Revision
from slipway.serving.contracts import ContractReader

__all__ = ["Active", "Rows", "no_events"]

Rows = Sequence[Sequence[Any]]


def no_events(name: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """What a revision without online features does with pushed rows: count none of them as used."""
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """One revision, loaded and warm. A request takes it once and finishes on it, whatever is swapped meanwhile.

    Args:
        revision: What was deployed.
        contract: Reads requests and labels' keys.
        resolve: Rows in the contract's order and the decision time to rows of the model's inputs.
        predict: Rows of the model's inputs to one score a row.
        threshold: A score at or above it decides yes, None where the score itself is the answer.
        sources: The tables whose events this revision's windows read.
        views: The feature views whose rows may be pushed.
        push_events: A table's name and rows to how many were new; raises InvalidInput that names the field.
        push_rows: A view's name and rows to how many were stored; raises InvalidInput that names the field.
    """

    revision: Revision
    contract: ContractReader
    resolve: Callable[[list[list[Any]], datetime], Rows]
    predict: Callable[[Rows], Sequence[float]]
    threshold: float | None = None
    sources: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    push_events: Callable[[str, Sequence[Mapping[str, Any]]], int] = no_events
    push_rows: Callable[[str, Sequence[Mapping[str, Any]]], int] = no_events
