"""A/B tests at an endpoint: what is refused, what is published, and a real endpoint with three arms from start to decision."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from small_desk import BETTER, FIRST, GUESSING, NAME, Desk
from test_watch import answer

import slipway as sw
from slipway.client.endpoint import EndpointClient
from slipway.errors import Conflict, GateRefused, InvalidInput, NotFound
from slipway.flows.abtest_rows import abtest_rows
from slipway.flows.abtests import decide, get_abtest, list_abtests, look, start
from slipway.flows.endpoints import revision_of
from slipway.flows.release import declare_endpoint
from slipway.flows.rollouts import newest as newest_rollout
from slipway.loop.reconcile import reconcile
from slipway.models import registry
from slipway.operations.abtests import DecideABTest, GetABTest, ListABTests, LookABTest, StartABTest
from slipway.operations.rollouts import Reconcile
from slipway.records.abtests import ABTest, ABTestSpec
from slipway.records.tables import AboutTable
from slipway.tables.catalog import head
from slipway.tables.commits import note_about
from slipway.tables.prediction_log import predictions

DAY_US = 86_400_000_000
LOOSE = sw.Gate(sw.metric("auc") >= 0.3)


def spec(**changes: Any) -> ABTestSpec:
    plain: dict[str, Any] = {"entity": ("distance",), "minimal_effect": 0.1, "window_us": DAY_US}
    return ABTestSpec(**{**plain, **changes})


def begun(desk: Desk, arms: dict[str, float] | None = None, **changes: Any) -> ABTest:
    wanted = StartABTest(endpoint=NAME, arms=arms or {"2": 30, "3": 30}, spec=spec(**changes))
    return start(desk.workspace, wanted).test


def newest(desk: Desk) -> ABTest:
    return get_abtest(desk.workspace, GetABTest(endpoint=NAME)).test


@pytest.fixture
def still(desk: Desk) -> Desk:
    """The first version serves without a process."""
    found = desk.without_processes()
    found.declare(gate=LOOSE, key="flight_id")
    found.deploy(FIRST)
    return found


def test_all_arms_stand_in_one_revision_and_a_decision_ends_it(still: Desk) -> None:
    test = begun(still)
    revision = revision_of(still.workspace, NAME)
    assert revision.served.number == FIRST
    assert [(one.name, one.served.number, one.fraction) for one in revision.challengers] == [
        ("2", BETTER, 0.3),
        ("3", GUESSING, 0.3),
    ]
    assert revision.split is not None
    assert revision.split.entity == ("distance",)
    assert {one.number for one in revision.versions} == {FIRST, BETTER, GUESSING}
    assert list_abtests(still.workspace, ListABTests()).tests == (test,)
    ended = decide(still.workspace, DecideABTest(endpoint=NAME, arm="2", reason="it earns more")).test
    revision = revision_of(still.workspace, NAME)
    assert (revision.served.number, revision.challengers, revision.split) == (BETTER, (), None)
    assert (ended.state, ended.chosen, still.champion()) == ("promoted", "2", BETTER)
    verbs = [one.verb for one in still.events()]
    assert {"abtests.start", "abtests.decide", "abtests.end"} <= set(verbs)
    with pytest.raises(Conflict, match="No A/B test is under way"):
        decide(still.workspace, DecideABTest(endpoint=NAME, arm="2", reason="again"))


def test_the_control_may_be_kept(still: Desk) -> None:
    begun(still)
    ended = decide(still.workspace, DecideABTest(endpoint=NAME, arm="champion", reason="no gain")).test
    revision = revision_of(still.workspace, NAME)
    assert (ended.state, revision.served.number, revision.challengers) == ("kept", FIRST, ())


@pytest.mark.parametrize(
    ("arms", "changes", "sentence"),
    [
        ({"2": 60, "3": 40}, {}, "add up to 100 %, which leaves the champion nothing"),
        ({"2": 30, "3": 30, "champion": 30}, {}, "add up to 90 %, and not to 100"),
        ({"2": 0}, {}, "was given 0 %"),
        ({"2": float("nan")}, {}, "was given nan %"),
        ({"champion": 50}, {}, "needs an arm beside the champion"),
        ({"1": 50}, {}, "is the same model as small-delays 1, which serves"),
        ({"2": 30, "latest": 30, "3": 30}, {}, "is the same model as"),
        ({"2": 50}, {"entity": ("customer",)}, "no field 'customer' to name an entity"),
        ({"2": 50}, {"times": "origin"}, "'origin' is a .*, and times needs a number"),
        ({"2": 50}, {"covariate": "amount"}, "no field 'amount', and covariate needs a number"),
        ({"2": 50}, {"minimal_effect": 0.0}, "no least effect"),
        ({"2": 50}, {"minimal_effect": float("nan")}, "no least effect"),
        ({"2": 50}, {"alpha": 0.7}, "no alpha"),
        ({"2": 50}, {"window_us": 100 * DAY_US}, "shorter than the deadline"),
        ({"2": 50}, {"looks_us": (9 * DAY_US, 3 * DAY_US)}, "looks must rise"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    still: Desk, arms: dict[str, float], changes: dict[str, Any], sentence: str
) -> None:
    before = revision_of(still.workspace, NAME)
    with pytest.raises(InvalidInput, match=sentence):
        begun(still, arms, **changes)
    assert revision_of(still.workspace, NAME) == before


@pytest.mark.parametrize("changes", [{"entity": ("flight_id", "distance")}, {"entity": (), "times": "distance"}])
def test_what_the_log_keeps_out_names_no_entity_and_is_not_counted(still: Desk, changes: dict[str, Any]) -> None:
    assert still.project is not None
    note_about(still.workspace, head(still.workspace, "flights"), AboutTable(personal=("distance", "flight_id")))
    declared = dataclasses.replace(still.project.module().delays, gate=LOOSE, log=sw.Log(redact="personal"))
    declare_endpoint(still.workspace, declared)
    still.deploy(BETTER)
    arms = {str(GUESSING): 30.0}
    with pytest.raises(InvalidInput, match=r"keeps 'distance' out.*Name another field"):
        begun(still, arms, **changes)
    assert begun(still, arms, entity=("flight_id",)).spec.entity == ("flight_id",)


def test_unknown_versions_arms_and_endpoints_are_named(still: Desk) -> None:
    with pytest.raises(NotFound, match="17"):
        begun(still, {"17": 50})
    with pytest.raises(NotFound, match="has no A/B test"):
        newest(still)
    begun(still)
    with pytest.raises(NotFound, match="has no arm '7'"):
        decide(still.workspace, DecideABTest(endpoint=NAME, arm="7", reason="x"))
    with pytest.raises(InvalidInput, match="needs a reason"):
        decide(still.workspace, DecideABTest(endpoint=NAME, arm="2", reason=" "))


def test_an_arm_must_pass_the_gate(still: Desk) -> None:
    still.declare(gate=sw.Gate(sw.metric("auc") >= 0.60), key="flight_id")
    with pytest.raises(GateRefused):
        begun(still)
    assert revision_of(still.workspace, NAME).challengers == ()


def test_while_it_runs_nothing_else_is_deployed_and_deploying_at_once_ends_it(still: Desk) -> None:
    begun(still)
    for again in (lambda: still.deploy(BETTER), lambda: begun(still)):
        with pytest.raises(Conflict, match="An A/B test of 2, 3 runs"):
            again()
    still.deploy(BETTER, at_once=True)
    reconcile(still.workspace, Reconcile(endpoint=NAME))
    assert newest(still).state == "superseded"
    assert revision_of(still.workspace, NAME).challengers == ()


def test_rolling_back_ends_it_with_the_champion(still: Desk) -> None:
    begun(still)
    still.rollback(1)
    revision = revision_of(still.workspace, NAME)
    assert (revision.challengers, revision.split) == ((), None)


def test_without_traffic_it_goes_on_and_says_so(still: Desk) -> None:
    begun(still)
    still.clock.advance_to(still.clock.now() + timedelta(days=3))
    actions = reconcile(still.workspace, Reconcile(endpoint=NAME)).actions
    assert [one.name for one in actions if one.name == "abtest"] == ["abtest"]
    found = newest(still)
    assert len(found.looks) == 1
    assert found.looks[0].verdict == "undecided"
    assert "no entity's outcome is known yet" in found.looks[0].sentence
    still.clock.advance_to(still.clock.now() + timedelta(hours=1))
    reconcile(still.workspace, Reconcile(endpoint=NAME))
    assert newest(still) == found


def test_an_entity_is_who_the_endpoint_assigned(still: Desk) -> None:
    test = begun(still, entity=("flight_id", "origin"))
    still.clock.advance_to(still.clock.now() + timedelta(hours=1))
    fields = [field.name for field in revision_of(still.workspace, NAME).contract.fields]
    row = {"origin": "JFK", "distance": 800, "departure": still.clock.now()}
    answer(still, 20, request=[{**row, "flight_id": None}[name] for name in fields])
    answer(still, 20, request=[{**row, "flight_id": "x|y"}[name] for name in fields])
    found = set(abtest_rows(still.workspace, test)["entity"])
    assert found == {"|JFK", "|EWR", r"x\|y|JFK", r"x\|y|EWR"}


def some_flights() -> list[dict[str, Any]]:
    """Two rows an entity."""
    return [
        {
            "flight_id": f"Q{i}",
            "origin": "JFK",
            "distance": 100 + i // 2,
            "departure": datetime(2013, 4, 1, 9, tzinfo=UTC),
        }
        for i in range(1000)
    ]


@pytest.mark.full
def test_a_real_endpoint_with_three_arms(desk: Desk) -> None:
    """One story, because an endpoint costs a process."""
    declared = sw.Endpoint(NAME, features=desk.project.module().features, gate=LOOSE, key="flight_id")
    declare_endpoint(desk.workspace, declared, simulation=True, snapshot=desk.project.snapshot())
    deployed = desk.deploy(FIRST)
    test = begun(desk, unit="points", minimal_effect=0.2)
    assert deployed.status is not None
    at = desk.clock.now()
    rows = some_flights()
    with EndpointClient(deployed.status.url, NAME) as client:
        first = client.predict(rows, at=at)["predictions"]
        again = client.predict(rows[::-1], at=at + timedelta(minutes=1))["predictions"][::-1]
        versions = [one["version"] for one in first]
        assert versions == [one["version"] for one in again], "an entity stays in its arm"
        assert all(one == two for one, two in zip(versions[::2], versions[1::2], strict=True)), "all its rows do"
        counts = {number: versions[::2].count(number) for number in (FIRST, BETTER, GUESSING)}
        assert 150 < counts[FIRST] < 250
        assert all(100 < counts[number] < 200 for number in (BETTER, GUESSING))
        effect = {FIRST: 0.0, BETTER: 1.0, GUESSING: -1.0}
        observed = at + timedelta(hours=2)
        client.labels(
            [
                {
                    "key": {"flight_id": row["flight_id"]},
                    "value": 5 + effect[number] + (i % 7) / 7,
                    "observed_at": observed,
                }
                for i, (row, number) in enumerate(zip(rows, versions, strict=True))
            ]
        )
        client.settle()
    log = predictions(
        desk.folder / "log",
        revision_of(desk.workspace, NAME).contract,
        registry.bundle_of(desk.workspace, desk.version(BETTER)).signature,
        bundle=desk.version(BETTER).bundle,
    )
    assert set(log["arm"]) == {"2"}
    assert set(log["propensity"].round(9)) == {0.3}
    found = abtest_rows(desk.workspace, test)
    assert found.height == 2000
    assert found["entity"].n_unique() == 500
    desk.clock.advance_to(at + timedelta(days=2))
    seen = look(desk.workspace, LookABTest(endpoint=NAME)).test
    report = seen.looks[-1]
    assert report.sentence.startswith("Promote 2: ")
    assert {one.name: one.verdict for one in report.arms[1:]} == {"2": "better", "3": "worse"}
    two = report.arms[1]
    assert two.low is not None
    assert two.high is not None
    assert two.low < 1.0 < two.high
    with EndpointClient(deployed.status.url, NAME) as client:
        too_late = at + timedelta(days=1, hours=12)
        again = [{"key": {"flight_id": row["flight_id"]}, "value": 5, "observed_at": too_late} for row in rows]
        client.labels(again)
        client.settle()
    later = abtest_rows(desk.workspace, test)
    assert later.equals(found), "an outcome whose window is over does not change"
    decide(desk.workspace, DecideABTest(endpoint=NAME, arm="2", reason="it earns more"))
    with EndpointClient(deployed.status.url, NAME) as client:
        assert {one["version"] for one in client.predict(rows, at=at)["predictions"]} == {BETTER}
        _a_canary_is_stopped_by_its_contract(desk, declared, client)


def _a_canary_is_stopped_by_its_contract(desk: Desk, declared: sw.Endpoint, client: EndpointClient) -> None:
    """The same process goes on: what the next challenger's rows come to a mile is worse, as their labels show."""
    points = sw.MetricContract(
        "points a mile", value="label", per="distance / 1000", between=(0, 10), per_between=(0, 1), guard=1, unit="points"
    )  # fmt: skip
    guarded = dataclasses.replace(declared, kpi=points, rollout=[sw.Canary(steps=(50, 100))])
    declare_endpoint(desk.workspace, guarded, simulation=True, snapshot=desk.project.snapshot())
    desk.deploy(GUESSING)
    at = desk.clock.now()
    rows = [{**row, "flight_id": f"C{row['flight_id']}"} for row in some_flights()]
    said = client.predict(rows, at=at + timedelta(minutes=1))["predictions"]
    worth = {BETTER: 8, GUESSING: 0}
    client.labels(
        [
            {
                "key": {"flight_id": row["flight_id"]},
                "value": worth[one["version"]] + i % 3,
                "observed_at": at + timedelta(hours=2),
            }
            for i, (row, one) in enumerate(zip(rows, said, strict=True))
        ]
    )
    client.settle()
    desk.clock.advance_to(at + timedelta(hours=4))
    reconcile(desk.workspace, Reconcile(endpoint=NAME))
    rollout = newest_rollout(desk.workspace, NAME)
    assert rollout is not None
    assert (rollout.state, rollout.looks[-1].verdict) == ("stopped", "worse"), rollout.looks[-1].sentence
    assert "its labelled rows lose more" in rollout.looks[-1].sentence
    assert {one["version"] for one in client.predict(rows, at=desk.clock.now())["predictions"]} == {BETTER}
