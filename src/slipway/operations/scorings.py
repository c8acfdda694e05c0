"""Scorings: what batch endpoints have scored, what they score now, and when they will again."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.scorings import Scoring

__all__ = [
    "GetScoring",
    "LabelScores",
    "LabelsTaken",
    "ListScorings",
    "ScoringDetail",
    "Scorings",
    "StartScoring",
    "operations",
]


class StartScoring(Struct, frozen=True, kw_only=True):
    """Score the rows of a batch endpoint's table that have no score yet.

    Args:
        name: The endpoint.
        table_version: The version of its table, as `slipway data` names one; "" for the current one.
        every: Score rows again that have a score.
        resume: Go on with the last one, which failed or was killed, and begin no other.
    """

    name: str
    table_version: str = ""
    every: bool = False
    resume: bool = False


class ListScorings(Struct, frozen=True, kw_only=True):
    """Which endpoint's, and how many."""

    name: str
    limit: int = 50


class Scorings(Struct, frozen=True, kw_only=True):
    """An endpoint's scorings, newest first, and when the clocks of its schedule begin the next one."""

    scorings: tuple[Scoring, ...]
    next_at: datetime | None = None


class GetScoring(Struct, frozen=True, kw_only=True):
    """Which scoring: the endpoint's name, and the number; 0 for the newest."""

    name: str
    number: int = 0


class ScoringDetail(Struct, frozen=True, kw_only=True):
    """A scoring.

    Args:
        scoring: As it stands.
        parts_done: How many of its parts are done; of one that failed, how many are kept for the next start.
        is_alive: Whether its process runs.
        problem: What its process said at its end, where the scoring does not say so itself.
    """

    scoring: Scoring
    parts_done: int = 0
    is_alive: bool = False
    problem: str = ""


class LabelScores(Struct, frozen=True, kw_only=True):
    """What became true of rows that a batch endpoint scored.

    Args:
        name: The endpoint.
        labels: One object a label: `value`, with `key` or `prediction`, and `observed_at` where that is not now.
    """

    name: str
    labels: list[dict[str, Any]]


class LabelsTaken(Struct, frozen=True, kw_only=True):
    """How many labels were taken in."""

    accepted: int


operations = (
    Operation(
        name="scorings.list",
        summary="List what a batch endpoint has scored, and when it will again.",
        permission="endpoints.read",
        request=ListScorings,
        response=Scorings,
        body="slipway.flows.score:list_scorings",
    ),
    Operation(
        name="scorings.get",
        summary="Show one scoring and how far it is.",
        permission="endpoints.read",
        request=GetScoring,
        response=ScoringDetail,
        body="slipway.flows.score:get_scoring",
    ),
    Operation(
        name="scorings.start",
        summary="Score the new rows of a batch endpoint's table, or go on with a scoring that was killed.",
        permission="endpoints.score",
        request=StartScoring,
        response=Scoring,
        body="slipway.flows.score:start_scoring",
        changes=True,
    ),
    Operation(
        name="scorings.label",
        summary="Tell a batch endpoint what became true of rows that it scored.",
        permission="endpoints.push",
        request=LabelScores,
        response=LabelsTaken,
        body="slipway.flows.score_labels:label_scores",
        changes=True,
    ),
)
