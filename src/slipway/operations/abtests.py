"""A/B tests of an endpoint's versions by a business metric."""

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.abtests import ABTest, ABTestSpec

__all__ = [
    "ABTestDetail",
    "ABTests",
    "DecideABTest",
    "GetABTest",
    "ListABTests",
    "LookABTest",
    "StartABTest",
    "operations",
]


class StartABTest(Struct, frozen=True, kw_only=True):
    """Let several versions answer side by side.

    Args:
        endpoint: Where.
        arms: Percent of the entities by version: {"2": 30, "3": 30}. The control, which serves already, has the rest;
            named as "champion", all must add up to 100.
        spec: What is compared, and how.
        model: Whose versions, "" for the model that serves.
    """

    endpoint: str
    arms: dict[str, float]
    spec: ABTestSpec
    model: str = ""


class ListABTests(Struct, frozen=True, kw_only=True):
    """Of which endpoint, "" for all."""

    endpoint: str = ""
    limit: int = 100


class ABTests(Struct, frozen=True, kw_only=True):
    """A/B tests, newest first."""

    tests: tuple[ABTest, ...]


class GetABTest(Struct, frozen=True, kw_only=True):
    """Which endpoint; its newest A/B test unless an id is given."""

    endpoint: str
    id: str = ""


class LookABTest(Struct, frozen=True, kw_only=True):
    """Look at the A/B test under way at an endpoint now; the look is kept."""

    endpoint: str


class DecideABTest(Struct, frozen=True, kw_only=True):
    """End the A/B test under way.

    Args:
        endpoint: Where.
        arm: The version that serves from now on, "champion" to keep the control.
        reason: Why; it is kept.
    """

    endpoint: str
    arm: str
    reason: str


class ABTestDetail(Struct, frozen=True, kw_only=True):
    """One A/B test with all its looks."""

    test: ABTest


operations = (
    Operation(
        name="abtests.list",
        summary="List A/B tests and what they say.",
        permission="endpoints.read",
        request=ListABTests,
        response=ABTests,
        body="slipway.flows.abtests:list_abtests",
    ),
    Operation(
        name="abtests.get",
        summary="Show one A/B test: effects, intervals, value, recommendation.",
        permission="endpoints.read",
        request=GetABTest,
        response=ABTestDetail,
        body="slipway.flows.abtests:get_abtest",
    ),
    Operation(
        name="abtests.start",
        summary="Let several versions answer side by side, to compare them by a business metric.",
        permission="endpoints.deploy",
        request=StartABTest,
        response=ABTestDetail,
        body="slipway.flows.abtests:start",
        changes=True,
    ),
    Operation(
        name="abtests.look",
        summary="Judge the A/B test under way now.",
        permission="endpoints.deploy",
        request=LookABTest,
        response=ABTestDetail,
        body="slipway.flows.abtests:look",
        changes=True,
    ),
    Operation(
        name="abtests.decide",
        summary="End the A/B test under way: promote an arm, or keep the control.",
        permission="endpoints.deploy",
        request=DecideABTest,
        response=ABTestDetail,
        body="slipway.flows.abtests:decide",
        changes=True,
    ),
)
