"""Models and endpoints as people see them."""

import pytest
from small_desk import BETTER, FIRST, NAME, Desk

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.flows.endpoints import get_endpoint, list_endpoints, stop
from slipway.flows.models import get_model, list_models, set_alias
from slipway.operations.declare import Empty
from slipway.operations.endpoints import GetEndpoint, Stop
from slipway.operations.models import GetModel, SetAlias


def test_all_versions_newest_first_with_overall_figures(desk: Desk) -> None:
    set_alias(desk.workspace, SetAlias(name=NAME, version="1", alias="champion"))
    rows = list_models(desk.workspace, Empty()).models
    assert [(row.version.number, row.aliases) for row in rows] == [(3, ()), (2, ()), (1, ("champion",))]
    assert {"auc", "log_loss", "cost"} <= set(rows[0].metrics)
    assert rows[2].metrics["auc"] > 0.7 > rows[0].metrics["auc"]


def test_one_version_with_everything_about_it(desk: Desk) -> None:
    still = desk.without_processes()
    still.approve(FIRST)
    still.deploy(FIRST)
    found = get_model(desk.workspace, GetModel(name=NAME, version="champion"))
    assert (found.version.number, found.aliases) == (1, ("champion",))
    assert [verdict.passed for verdict in found.verdicts] == [True]
    assert [approval.name for approval in found.approvals] == ["accountable"]
    kinds = {end.partition(":")[0] for link in found.lineage for end in (link.source, link.target)}
    assert {"table", "run", "model", "bundle", "verdict", "approval", "revision"} <= kinds


def test_an_alias_moves_and_tells_where_it_was(desk: Desk) -> None:
    assert set_alias(desk.workspace, SetAlias(name=NAME, version="1", alias="shown")).before == 0
    moved = set_alias(desk.workspace, SetAlias(name=NAME, version="latest", alias="shown", reason="better"))
    assert (moved.number, moved.before) == (3, 1)
    for alias in ("latest", "7", "a b"):
        with pytest.raises(InvalidInput):
            set_alias(desk.workspace, SetAlias(name=NAME, version="1", alias=alias))
    with pytest.raises(NotFound):
        set_alias(desk.workspace, SetAlias(name="nobody", version="1", alias="shown"))


def test_endpoints_are_listed_with_what_their_process_says(desk: Desk) -> None:
    still = desk.without_processes()
    still.approve(FIRST, BETTER)
    still.deploy(FIRST)
    still.deploy(BETTER, endpoint="second")
    rows = list_endpoints(still.workspace, Empty()).endpoints
    assert [(row.revision.name, row.revision.served.number) for row in rows] == [("second", 2), (NAME, 1)]
    assert all(row.status is not None and row.status.state == "ready" for row in rows)
    assert stop(still.workspace, Stop(name="second")).was_running
    assert {row.revision.name: row.status is None for row in list_endpoints(still.workspace, Empty()).endpoints} == {
        NAME: False,
        "second": True,
    }


def test_one_endpoint_with_its_history(desk: Desk) -> None:
    still = desk.without_processes()
    still.approve(FIRST, BETTER)
    for number in (FIRST, BETTER):
        still.deploy(number)
    with pytest.raises(NotFound, match="Did you mean 'small-delays'"):
        get_endpoint(still.workspace, GetEndpoint(name="small-delay"))
    found = get_endpoint(still.workspace, GetEndpoint(name=NAME))
    assert [(revision.number, revision.served.number) for revision in found.revisions] == [(2, 2), (1, 1)]
    assert found.verdict is not None
    assert found.verdict.bundle == desk.version(BETTER).bundle
    contract = found.revisions[0].contract
    assert {field.name: field.type for field in contract.fields} == {
        "origin": "string",
        "departure": "datetime",
        "distance": "int",
        "flight_id": "string",
    }
    assert not next(field for field in contract.fields if field.name == "flight_id").nullable
    assert contract.key == ("flight_id",)


def test_going_back_twice_says_what_happens(desk: Desk) -> None:
    still = desk.without_processes()
    still.approve(FIRST, BETTER)
    still.deploy(FIRST)
    with pytest.raises(Conflict, match="nothing to go back to"):
        still.rollback()
    still.deploy(BETTER)
    assert [still.rollback().revision.reason for _ in range(2)] == ["rollback to 1", "rollback to 2"]  # type: ignore[union-attr]
    assert still.rollback(to=1).revision.served.number == 1  # type: ignore[union-attr]
