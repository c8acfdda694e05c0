"""Many runs as tables: their fields, groups of them, and runs beside each other."""

from typing import Literal

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.runs import Bucket, Run

__all__ = [
    "Beside",
    "CompareRuns",
    "Compared",
    "GroupRuns",
    "ListFields",
    "RunFields",
    "RunGroup",
    "RunGroups",
    "operations",
]


class ListFields(Struct, frozen=True, kw_only=True):
    """Which fields.

    Args:
        contains: What must be in the name, "" for all.
        limit: How many of each sort at most: 1 to 10,000.
    """

    contains: str = ""
    limit: int = 100


class RunFields(Struct, frozen=True, kw_only=True):
    """The names of what the project's runs had so far, in order.

    Args:
        metrics: Their metrics: of whole runs first, then of slices, then of the machine.
        params: Their parameters.
        tags: Their tags.
        experiments: The name of each experiment, by what its runs call it.
        is_whole: Whether these are all.
    """

    metrics: tuple[str, ...]
    params: tuple[str, ...]
    tags: tuple[str, ...]
    experiments: dict[str, str]
    is_whole: bool


class GroupRuns(Struct, frozen=True, kw_only=True):
    """Which runs in which groups.

    Args:
        group: The field of which a group has one value: "params.depth", "tags.user", "experiment".
        metric: The metric of which each group's best, mean and median is told, "" for none.
        where: What must hold of the runs, as in a search.
        order: What groups are ordered by.
        descending: Whether the greatest comes first; groups without it come last both ways.
        limit: How many groups at most: 1 to 1,000.
    """

    group: str
    metric: str = ""
    where: str = ""
    order: Literal["value", "runs", "best", "mean", "median"] = "runs"
    descending: bool = True
    limit: int = 200


class RunGroup(Struct, frozen=True, kw_only=True):
    """The runs with one value of a field.

    Args:
        value: The value; None for the runs that lack the field.
        runs: How many runs.
        measured: How many of them have the metric as a number.
        best: The best of its latest values, None where none is a number.
        mean: Their mean.
        median: Their median.
    """

    value: str | float | None
    runs: int
    measured: int = 0
    best: float | None = None
    mean: float | None = None
    median: float | None = None


class RunGroups(Struct, frozen=True, kw_only=True):
    """Groups of runs.

    Args:
        field: What they are grouped by, as a search writes it.
        metric: The metric's name, "" for none.
        better: Which way the metric is better, by its name.
        groups: The groups, in order.
        others: How many groups follow.
        runs: How many runs there are in all groups.
    """

    field: str
    metric: str
    better: Literal["higher", "lower"]
    groups: tuple[RunGroup, ...]
    others: int
    runs: int


class CompareRuns(Struct, frozen=True, kw_only=True):
    """Which runs.

    Args:
        runs: Their ids, or the beginnings of them, with commas between: 1 to 100.
        curves: The metrics of which each run's curve is given, as an order writes them: "metrics.loss, metrics.auc".
        buckets: As how many stretches a curve comes at most: 1 to 1,000.
    """

    runs: str
    curves: str = ""
    buckets: int = 100


class Beside(Struct, frozen=True, kw_only=True):
    """One of them.

    Args:
        run: The run.
        metrics: The latest value of each of its metrics.
        curves: The curves that were asked for, by metric, of those that it has.
    """

    run: Run
    metrics: dict[str, float]
    curves: dict[str, tuple[Bucket, ...]] = {}


class Compared(Struct, frozen=True, kw_only=True):
    """Runs beside each other.

    Args:
        runs: In the order asked for, each once.
        lower: Their metrics of which the lower value is the better one, by their names.
    """

    runs: tuple[Beside, ...]
    lower: tuple[str, ...]


operations = (
    Operation(
        name="runs.fields",
        summary="List the names of metrics, parameters and tags that the project's runs had so far.",
        permission="runs.read",
        request=ListFields,
        response=RunFields,
        body="slipway.runs.beside:list_fields",
    ),
    Operation(
        name="runs.groups",
        summary="Group runs by a parameter, tag, attribute or experiment, with a metric's best, mean and median of each.",
        permission="runs.read",
        request=GroupRuns,
        response=RunGroups,
        body="slipway.runs.beside:group_runs",
    ),
    Operation(
        name="runs.compare",
        summary="Put up to 100 runs beside each other: parameters, latest metrics, and the curve of one metric.",
        permission="runs.read",
        request=CompareRuns,
        response=Compared,
        body="slipway.runs.beside:compare_runs",
    ),
)
