"""Several arms at one endpoint: rows stay with their entity, and an arm that fails harms nobody else's rows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from serving_desk import CONTRACT, NOW, Desk, a_revision

from slipway.errors import StepFailed
from slipway.records.endpoints import Challenger, Revision, Served, Split
from slipway.serving.active import LoadedChallenger
from slipway.serving.arms import assigner, entity_arm
from slipway.serving.contracts import ContractReader

READER = ContractReader(CONTRACT)
SPLIT = Split(salt="test", entity=("distance",))


def arm(number: int, fraction: float) -> Challenger:
    served = Served(model="delays", number=number, bundle=f"{number}" * 64)
    return Challenger(served=served, fraction=fraction, rollout_id="t1", name=str(number))


def testing(desk: Desk, **changes: Any) -> None:
    """Versions 2 and 3 answer 2 and 3, each to three entities in ten."""
    assert desk.active is not None
    arms = [arm(2, 0.3), arm(3, 0.3)]
    loaded = [
        LoadedChallenger(
            plan=plan, threshold=1.0, predict=lambda rows, score=plan.served.number: [float(score)] * len(rows)
        )
        for plan in arms
    ]
    loaded = [replace(one, **changes.get(one.plan.name, {})) for one in loaded]
    revision = msgspec.structs.replace(desk.active.revision, challenger=arms[0], beside=(arms[1],), split=SPLIT)
    desk.active = replace(desk.active, revision=revision, challenger=loaded[0], beside=(loaded[1],))


def flights(n: int = 5, begin: int = 0) -> list[dict[str, Any]]:
    return [{"flight_id": f"UA{i}", "distance": begin + i // 2, "departure": None} for i in range(n)]


def test_entities_fall_to_the_arms_by_their_shares_and_stay() -> None:
    assign = assigner([arm(2, 0.3), arm(3, 0.3)], SPLIT, READER)
    found = [assign([f"F{i}", float(i), None]) for i in range(2000)]
    assert all(abs(found.count(place) / 2000 - share) < 0.04 for place, share in ((-1, 0.4), (0, 0.3), (1, 0.3)))
    assert found == [assign([f"other {i}", float(i), NOW]) for i in range(2000)], "only the entity decides"
    other = assigner([arm(2, 0.3), arm(3, 0.3)], Split(salt="next", entity=("distance",)), READER)
    assert found != [other([f"F{i}", float(i), None]) for i in range(2000)], "each test draws anew"


def test_an_entity_goes_by_the_key_where_none_is_named_and_by_all_values_where_it_is_null() -> None:
    assign = assigner([arm(2, 0.5)], Split(salt="test"), READER)
    assert assign(["F1", 1.0, None]) == assign(["F1", 2.0, NOW]) == entity_arm("test", [0.5], "F1")
    nameless = assigner([arm(2, 0.5)], SPLIT, READER)
    assert len({nameless([f"F{i}", None, None]) for i in range(50)}) == 2


def test_each_arm_answers_its_rows_with_arm_and_propensity_in_the_log(desk: Desk) -> None:
    testing(desk)
    assert desk.active is not None
    rows = [row for begin in range(0, 40, 4) for row in flights(begin=begin)]
    for begin in range(0, 40, 4):
        assert desk.predict(*flights(begin=begin)).status_code == 200
    desk.close()
    names = {-1: ("champion", 1, 0.4), 0: ("2", 2, 0.3), 1: ("3", 3, 0.3)}
    expected = [names[desk.active.assign([r["flight_id"], float(r["distance"]), None])] for r in rows]
    assert [(row.arm, row.version, round(row.propensity, 9)) for row in desk.logged] == expected
    assert {one[0] for one in expected} == {"champion", "2", "3"}
    assert desk.shadows == [], "nothing is scored unseen in a test"


def test_an_arm_that_fails_harms_no_other_and_its_rows_stay_its_own(desk: Desk) -> None:
    def fails(rows: Sequence[Sequence[Any]]) -> list[float]:
        raise StepFailed("no", step="predict")

    testing(desk, **{"2": {"predict": fails}})
    for begin in range(0, 40, 4):
        assert desk.predict(*flights(begin=begin)).status_code == 200
    desk.close()
    theirs = [row for row in desk.logged if row.arm == "2"]
    assert theirs
    assert {(row.version, row.bundle, row.propensity) for row in theirs} == {(1, "1" * 16, 0.3)}
    assert {row.version for row in desk.logged if row.arm == "3"} == {3}
    assert {(row.arm, row.bundle, row.was_covered) for row in desk.failed} == {("2", "2" * 16, True)}
    assert sum(row.rows for row in desk.failed) == len(theirs)


def test_the_endpoint_tells_its_arms(desk: Desk) -> None:
    assert desk.ask("GET", "/endpoints/delays").json()["arms"] is None
    testing(desk)
    told = desk.ask("GET", "/endpoints/delays").json()["arms"]
    assert [(one["version"], one["fraction"]) for one in told] == [(2, 0.3), (3, 0.3)]


@pytest.mark.parametrize("name", ["beside", "split"])
def test_a_revision_from_before_there_were_arms_is_read(name: str) -> None:
    old = msgspec.to_builtins(a_revision(challenger=arm(2, 0.5)))
    del old[name], old["challenger"]["name"]
    found = msgspec.convert(old, Revision)
    assert [one.name for one in found.challengers] == ["challenger"]
