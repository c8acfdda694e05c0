"""Runs: what was executed, with what, and what came of it."""

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.reproductions import Reproduction
from slipway.records.runs import MetricPoint, Run, StepRun

__all__ = ["GetRun", "Reproduce", "Reproduced", "RunDetail", "RunRow", "Runs", "SearchRuns", "operations"]


class SearchRuns(Struct, frozen=True, kw_only=True):
    """Which runs, and in which order; the newest first where nothing is said.

    Args:
        where: What must hold: "metrics.auc > 0.7 and params.depth in (4, 6)".
        order: What comes first: "metrics.auc desc, started".
        best_per: Only the first run of each value of this field: "tags.user".
        token: The token of the page before this one, "" for the first page.
        limit: How many at most.
    """

    where: str = ""
    order: str = ""
    best_per: str = ""
    token: str = ""
    limit: int = 50


class RunRow(Struct, frozen=True, kw_only=True):
    """A run with the latest point of each of its overall metrics."""

    run: Run
    metrics: dict[str, float]


class Runs(Struct, frozen=True, kw_only=True):
    """A page of runs, and the token of the next one, "" when nothing follows."""

    runs: tuple[RunRow, ...]
    token: str = ""


class GetRun(Struct, frozen=True, kw_only=True):
    """Which run: its id or the beginning of it."""

    id: str


class RunDetail(Struct, frozen=True, kw_only=True):
    """A run with its steps in order and the latest point of every metric."""

    run: Run
    steps: tuple[StepRun, ...]
    metrics: tuple[MetricPoint, ...]


class Reproduce(Struct, frozen=True, kw_only=True):
    """What to run again: a run's id or the beginning of it, or MODEL or MODEL:VERSION (a number, an alias, latest).

    Args:
        target: Which run, or whose run.
        wait_s: After how many seconds to answer even though it still runs; asking again goes on waiting.
    """

    target: str
    wait_s: float = 240.0


class Reproduced(Struct, frozen=True, kw_only=True):
    """What came of it, None while it still runs."""

    reproduction: Reproduction | None


operations = (
    Operation(
        name="runs.search",
        summary="Search runs by metrics, parameters, tags and attributes; all, newest first, where nothing is asked.",
        permission="runs.read",
        request=SearchRuns,
        response=Runs,
        body="slipway.runs.browse:search_runs",
    ),
    Operation(
        name="runs.get",
        summary="Show one run: parameters, steps, metrics, what it read and made.",
        permission="runs.read",
        request=GetRun,
        response=RunDetail,
        body="slipway.runs.browse:get_run",
    ),
    Operation(
        name="runs.reproduce",
        summary="Run a run again from its snapshot, parameters and table versions, and compare every result.",
        permission="runs.write",
        request=Reproduce,
        response=Reproduced,
        body="slipway.flows.reproduce:reproduce",
        changes=True,
    ),
)
