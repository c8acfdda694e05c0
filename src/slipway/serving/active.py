"""What answers now: one revision, loaded and warm, as plain functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from slipway.errors import InvalidInput
from slipway.records.endpoints import Challenger, Revision
from slipway.serving.contracts import ContractReader
from slipway.serving.feed_counters import FeedCounters

__all__ = ["Active", "LoadedChallenger", "Predict", "Received", "Resolve", "RowsCheck", "Rows", "reads_nothing"]

Rows = Sequence[Sequence[Any]]
Resolve = Callable[[list[list[Any]], datetime], Rows]
"""Rows in the contract's order and the decision time to rows of a model's inputs."""
Predict = Callable[[Rows], Sequence[float]]
"""Rows of a model's inputs to one score a row."""
RowsCheck = Callable[[Sequence[Mapping[str, Any]]], None]
"""Refuses pushed rows that do not fit, by their place."""


class Received(Protocol):
    """What became of pushed rows."""

    @property
    def changed(self) -> int:
        """How many were new, or changed what was known, counted once for each stream or view."""
        ...

    @property
    def passed_over(self) -> int:
        """How many had no key, time or id, counted likewise; they never count."""
        ...


def reads_nothing(name: str, rows: Sequence[Mapping[str, Any]]) -> Received:
    """What a revision without windows and views does with pushed rows; the app asks first and never comes here."""
    raise InvalidInput(
        f"No feature of this endpoint reads {name!r}.", fix="GET the endpoint to see what it reads.", field="source"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedChallenger:
    """The model that is being rolled out beside the one that serves, loaded and warm.

    Args:
        plan: Which model it is, and its share of the rows.
        predict: As the champion's.
        threshold: Its own.
        resolve: Its own features, None where it takes the very rows that the champion's features give.
    """

    plan: Challenger
    predict: Predict
    threshold: float | None = None
    resolve: Resolve | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """One revision, loaded and warm. A request takes it once and finishes on it, whatever is swapped meanwhile.

    Args:
        revision: What was deployed.
        contract: Reads requests and labels' keys.
        resolve: Rows in the contract's order and the decision time to rows of the model's inputs.
        predict: Rows of the model's inputs to one score a row.
        threshold: A score at or above it decides yes, None where the score itself is the answer.
        sources: Checks of the rows of each table whose events this revision's windows read.
        views: Checks of the rows of each feature view.
        receive: A table's or view's name and checked rows into the online store.
        challenger: A second model for the time of a roll-out, None outside.
        feeds: Freshness and nulls of what the champion's features look up.
    """

    revision: Revision
    contract: ContractReader
    resolve: Resolve
    predict: Predict
    threshold: float | None = None
    sources: Mapping[str, RowsCheck] = field(default_factory=dict)
    views: Mapping[str, RowsCheck] = field(default_factory=dict)
    receive: Callable[[str, Sequence[Mapping[str, Any]]], Received] = reads_nothing
    challenger: LoadedChallenger | None = None
    feeds: FeedCounters | None = None
