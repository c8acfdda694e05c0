"""An A/B test by cost, times a field, with a prior and planned looks, at a real endpoint; every figure counted again by hand."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any

import msgspec
import pytest
from small_desk import BETTER, FIRST, GUESSING, NAME, Desk
from test_abtests import DAY_US, LOOSE, begun

import slipway as sw
from slipway.client.endpoint import EndpointClient
from slipway.errors import Conflict, InvalidInput
from slipway.flows.abtest_rows import abtest_rows
from slipway.flows.abtests import look
from slipway.flows.release import declare_endpoint
from slipway.ledger import entries
from slipway.models import registry
from slipway.models.manifest import encode_manifest
from slipway.operations.abtests import LookABTest
from slipway.records.abtests import ABTest

COSTS = {"true_positive": 1, "false_positive": 1, "false_negative": 5}


def rows_of(day: int, entities: int = 400) -> list[dict[str, Any]]:
    """One row an entity, which is its distance; another flight each day."""
    return [
        {
            "flight_id": f"D{day}-{place}",
            "origin": ("JFK", "EWR")[place % 2],
            "distance": 100 + place,
            "departure": datetime(2013, 4, 1, 9, tzinfo=UTC),
        }
        for place in range(entities)
    ]


def is_late(row: dict[str, Any]) -> bool:
    return bool(row["distance"] % 3 == 0)


def cost_of(decision: bool, late: bool) -> float:
    kind = ("true_positive" if late else "false_positive") if decision else ("false_negative" if late else "none")
    return float(COSTS.get(kind, 0))


def asked(desk: Desk, client: EndpointClient, day: int, at: datetime) -> dict[int, tuple[int, float]]:
    """Ask on a day, and send the labels two hours later; by distance the version that answered, and cost times distance."""
    rows = rows_of(day)
    answers = client.predict(rows, at=at)["predictions"]
    client.labels(
        [
            {
                "key": {"flight_id": row["flight_id"]},
                "value": float(is_late(row)),
                "observed_at": at + timedelta(hours=2),
            }
            for row in rows
        ]
    )
    client.settle()
    return {
        row["distance"]: (one["version"], cost_of(one["decision"], is_late(row)) * row["distance"])
        for row, one in zip(rows, answers, strict=True)
    }


@pytest.mark.full
def test_costs_times_a_field_beside_their_prior_at_planned_looks(desk: Desk) -> None:
    declared = sw.Endpoint(NAME, features=desk.project.module().features, gate=LOOSE, key="flight_id")
    declare_endpoint(desk.workspace, declared, simulation=True, snapshot=desk.project.snapshot())
    deployed = desk.deploy(FIRST)
    assert deployed.status is not None
    start = desk.clock.now()
    with EndpointClient(deployed.status.url, NAME) as client:
        before = asked(desk, client, 0, start)
        desk.clock.advance_to(start + timedelta(days=1))
        plan: dict[str, Any] = {
            "metric": "cost",
            "times": "distance",
            "covariate": "prior",
            "better": "lower",
            "unit": "USD",
        }
        test = begun(desk, minimal_effect=5.0, looks_us=(3 * DAY_US, 6 * DAY_US), deadline_us=8 * DAY_US, **plan)
        during = asked(desk, client, 1, desk.clock.now() + timedelta(hours=1))
    _rows_are_those_counted_by_hand(desk, test, before, during)
    with pytest.raises(Conflict, match=r"is not looked at now.*planned look is later"):
        look(desk.workspace, LookABTest(endpoint=NAME))
    desk.clock.advance_to(test.created_at + timedelta(days=3))
    report = look(desk.workspace, LookABTest(endpoint=NAME)).test.looks[-1]
    assert report.verdict != "void", report.sentence
    names = {FIRST: "champion", BETTER: "2", GUESSING: "3"}
    for number, name in names.items():
        own = [cost for version, cost in during.values() if version == number]
        (arm,) = [one for one in report.arms if one.name == name]
        assert (arm.assigned, arm.measured) == (len(own), len(own))
        assert arm.mean == pytest.approx(fmean(own))
        if arm.effect is not None:
            assert arm.low is not None
            assert arm.high is not None
            assert arm.low < arm.effect < arm.high
    with pytest.raises(Conflict, match="is not looked at now"):  # this planned look was taken
        look(desk.workspace, LookABTest(endpoint=NAME))
    desk.clock.advance_to(test.created_at + timedelta(days=6))
    seen = look(desk.workspace, LookABTest(endpoint=NAME)).test
    assert len(seen.looks) == 2, "each planned look is kept"
    widths = [
        one.high - one.low for found in seen.looks for one in found.arms if one.high is not None and one.low is not None
    ]
    assert widths, "an interval is told"
    assert widths[-1] < widths[0], "the last planned look spends what is left of alpha"


def _rows_are_those_counted_by_hand(
    desk: Desk, test: ABTest, before: dict[int, tuple[int, float]], during: dict[int, tuple[int, float]]
) -> None:
    found = abtest_rows(desk.workspace, test)
    assert found.height == len(during)
    priors: dict[str, float] = defaultdict(float)
    for distance, (_, cost) in before.items():
        priors[str(distance)] = cost
    arms = {FIRST: "champion", BETTER: "2", GUESSING: "3"}
    for one in found.iter_rows(named=True):
        version, cost = during[int(one["entity"])]
        assert (one["arm"], one["value"], one["covariate"]) == (
            arms[version],
            pytest.approx(cost),
            pytest.approx(priors[one["entity"]]),
        )


def _another(desk: Desk, number: int, **changes: Any) -> int:
    """A version whose decision is another one."""
    version = desk.version(number)
    bundle = registry.bundle_of(desk.workspace, version)
    other = msgspec.structs.replace(bundle, decision=msgspec.structs.replace(bundle.decision, **changes))
    manifest = desk.workspace.blobs.put(encode_manifest(other))
    made = msgspec.structs.replace(version, id=f"m-{'9' * 32}", number=9, manifest=manifest, bundle="9" * 64)
    with desk.workspace.ledger.write() as tx:
        entries.put(tx, made)
    return 9


def test_an_arm_without_decisions_has_no_costs(desk: Desk) -> None:
    still = desk.without_processes()
    still.declare(gate=LOOSE, key="flight_id")
    still.deploy(FIRST)
    number = _another(still, BETTER, threshold=None)
    with pytest.raises(InvalidInput, match=r"'cost' needs decisions, and small-delays 9 makes none.*--metric label"):
        begun(still, {str(number): 50}, metric="cost")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"times": "distanc"}, "no field 'distanc', and times needs a number. .*'distance'"),
        ({"covariate": "origin"}, "'origin' is a .*, and covariate needs a number"),
        ({"covariate": "priors"}, "no field 'priors'"),
        ({"looks_us": (DAY_US, 3 * DAY_US)}, "looks must rise, begin after the window"),
        ({"looks_us": (3 * DAY_US, 3 * DAY_US)}, "looks must rise"),
        ({"looks_us": (3 * DAY_US, 90 * DAY_US)}, "end by the deadline"),
    ],
)
def test_bad_input_of_costs_times_priors_and_looks(desk: Desk, changes: dict[str, Any], sentence: str) -> None:
    still = desk.without_processes()
    still.declare(gate=LOOSE, key="flight_id")
    still.deploy(FIRST)
    with pytest.raises(InvalidInput, match=sentence):
        begun(still, {"2": 50}, metric="cost", **changes)
