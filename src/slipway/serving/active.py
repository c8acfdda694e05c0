"""What answers now: one revision, loaded and warm, as plain functions."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from slipway.errors import InvalidInput
from slipway.records.endpoints import Challenger, Revision
from slipway.records.explanations import Explanation
from slipway.records.models import Decision
from slipway.serving.arms import Assign, assigner
from slipway.serving.caller_limit import CallerLimit
from slipway.serving.contracts import ContractReader
from slipway.serving.feed_counters import FeedCounters
from slipway.serving.log_policy import LogPolicy

if TYPE_CHECKING:
    from slipway.serving.fallback import LoadedFallback
    from slipway.serving.guest import Guest

__all__ = [
    "Active",
    "Explain",
    "Joining",
    "LoadedChallenger",
    "Predict",
    "Received",
    "Resolve",
    "RowsCheck",
    "Rows",
    "reads_nothing",
]

Rows = Sequence[Sequence[Any]]
Resolve = Callable[[list[list[Any]], datetime], Rows]
"""Rows in the contract's order and the decision time to rows of a model's inputs."""
Predict = Callable[[Rows], Sequence[float]]
"""Rows of a model's inputs to one score a row."""
Explain = Callable[[Sequence[Any], float, int], Explanation]
"""A row of a model's inputs, its score, and how many contributions are told one by one, to how the score comes about."""
RowsCheck = Callable[[Sequence[Mapping[str, Any]]], None]
"""Refuses pushed rows that do not fit, by their place."""


class Joining(NamedTuple):
    """Whether requests that wait are scored by one call of the model, and the sentence why, or why not."""

    pays: bool
    why: str


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
        explain: Explains its scores, None where nothing does.
        is_valid: Whether a number can be a score of its task.
        guest: Its process, where it needs another environment; None where it is loaded here.
    """

    plan: Challenger
    predict: Predict
    threshold: float | None = None
    resolve: Resolve | None = None
    explain: Explain | None = None
    is_valid: Callable[[float], bool] = math.isfinite
    guest: "Guest | None" = None


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
        challenger: A second model for the time of a roll-out, None outside; the first arm of an A/B test.
        beside: The further arms of an A/B test.
        feeds: Freshness and nulls of what the champion's features look up.
        explain: Explains the champion's scores, None where nothing does.
        log_policy: What of a row is logged, None for all of every row.
        fallback: What answers where the champion does not, None for nothing.
        joining: Whether requests that wait are scored together, None where nobody measured it.
        width: How many inputs the champion has.
        caller_limit: Refuses what a caller sends beyond its rate, None for no limit.
        prices: Of versions whose scores are prices: their decisions by the version's number.
        simulated: The simulated tables that the champion learned from.
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
    beside: tuple[LoadedChallenger, ...] = ()
    feeds: FeedCounters | None = None
    explain: Explain | None = None
    log_policy: LogPolicy | None = None
    fallback: "LoadedFallback | None" = None
    joining: Joining | None = None
    width: int = 0
    caller_limit: CallerLimit | None = None
    prices: Mapping[int, Decision] = field(default_factory=dict)
    simulated: tuple[str, ...] = ()
    is_aside: bool = field(init=False)
    challengers: tuple[LoadedChallenger, ...] = field(init=False)
    assign: Assign = field(init=False)

    def __post_init__(self) -> None:
        # Rows are scored beside the loop where a model must not be waited for, or is asked for many requests at once.
        is_joined = self.joining is not None and self.joining.pays
        first = [] if self.challenger is None else [self.challenger]
        object.__setattr__(self, "challengers", (*first, *self.beside))
        plans = [one.plan for one in self.challengers]
        is_awaited = any(one.guest is not None and one.plan.fraction > 0.0 for one in self.challengers)
        object.__setattr__(self, "is_aside", self.fallback is not None or is_joined or is_awaited)
        object.__setattr__(self, "assign", assigner(plans, self.revision.split, self.contract))
