"""Costs: compute time, storage and money by run, model and endpoint; what is idle; what it is worth."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.costs import Rates

__all__ = [
    "CostDetail",
    "Costs",
    "EndpointCost",
    "GetCost",
    "GetCosts",
    "Idle",
    "ModelCost",
    "RunCost",
    "Used",
    "Worth",
    "operations",
]


class GetCosts(Struct, frozen=True, kw_only=True):
    """By which rates to reckon; where none is given, by those of the last run or deployment. See `Rates`."""

    cpu_hour: float = 0.0
    gpu_hour: float = 0.0
    gb_month: float = 0.0
    currency: str = ""


class GetCost(GetCosts, frozen=True, kw_only=True):
    """Of what: a model, an endpoint, or a run by its id or the beginning of it; and by which rates."""

    name: str


class Used(Struct, frozen=True, kw_only=True):
    """What something took.

    Args:
        cpu_s: Seconds of processes: of workers that were held, whether they worked or waited.
        gpu_s: Seconds of graphics processors.
        size_bytes: What of it is kept, each stored file once.
        compute: Money for the seconds, None without a rate.
        keeping: Money for keeping it a month, None without a rate.
    """

    cpu_s: float = 0.0
    gpu_s: float = 0.0
    size_bytes: int = 0
    compute: float | None = None
    keeping: float | None = None


class RunCost(Struct, frozen=True, kw_only=True):
    """One run; `note` where its time is not known."""

    run_id: str
    name: str
    state: str
    started_at: datetime
    used: Used
    note: str = ""


class Worth(Struct, frozen=True, kw_only=True):
    """What something was measured to be worth: by what, and what that showed, in words."""

    by: str
    sentence: str
    at: datetime


class ModelCost(Struct, frozen=True, kw_only=True):
    """What a model's development took.

    Args:
        model: Its name.
        runs: How many runs: those of its pipelines, whatever came of them.
        used: All of them, and the bundles of its versions.
        untold: Runs whose time is not known.
        first_run_at: When the first of them was recorded.
        serving_since: When it first served in prod; where it never did, anywhere. None where nothing serves it.
        days: From the one to the other; None where that cannot be told or clocks disagree.
        environment: Where it served then.
    """

    model: str
    runs: int
    used: Used
    untold: int = 0
    first_run_at: datetime | None = None
    serving_since: datetime | None = None
    days: float | None = None
    environment: str = ""


class EndpointCost(Struct, frozen=True, kw_only=True):
    """What an endpoint takes.

    Args:
        endpoint: Its name.
        served_s: For how long revisions of it served, or its scorings took, by the store's clock.
        used: Its workers times that, at most: fewer where it may sleep; and its files.
        requests: Requests that its processes counted.
        a_thousand: Money for a thousand of them, None without a rate or requests.
        worth: What contracts, A/B tests and KPI monitors measured.
    """

    endpoint: str
    served_s: float
    used: Used
    requests: int = 0
    a_thousand: float | None = None
    worth: tuple[Worth, ...] = ()


class Idle(Struct, frozen=True, kw_only=True):
    """Something that is kept or runs, and nobody uses: what, why that is thought, and the command that ends it."""

    what: Literal["endpoint", "version", "environment"]
    name: str
    sentence: str
    command: str
    size_bytes: int = 0


class Costs(Struct, frozen=True, kw_only=True):
    """Costs of a project.

    Args:
        rates: By what they are reckoned.
        runs: All outermost runs together.
        models: By name.
        endpoints: By name.
        idle: What nobody uses.
    """

    rates: Rates
    runs: Used
    models: tuple[ModelCost, ...] = ()
    endpoints: tuple[EndpointCost, ...] = ()
    idle: tuple[Idle, ...] = ()


class CostDetail(Struct, frozen=True, kw_only=True):
    """Costs of what one name means: a model, an endpoint, both, or a run.

    Args:
        rates: By what they are reckoned.
        model: Of the model of that name, None for none.
        endpoint: Of the endpoint of that name.
        runs: Of the run, or the dearest runs of the model.
    """

    rates: Rates
    model: ModelCost | None = None
    endpoint: EndpointCost | None = None
    runs: tuple[RunCost, ...] = ()


operations = (
    Operation(
        name="costs.all",
        summary="Say what runs, models and endpoints cost, and what is idle.",
        permission="models.read",
        request=GetCosts,
        response=Costs,
        body="slipway.flows.costs:list_costs",
    ),
    Operation(
        name="costs.get",
        summary="Say what one model, endpoint or run costs.",
        permission="models.read",
        request=GetCost,
        response=CostDetail,
        body="slipway.flows.costs:get_cost",
    ),
)
