"""The page on searching: every example on it is run, and its tables name every attribute."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slipway.errors import InvalidInput
from slipway.ledger import search
from slipway.ledger.facets import SEARCHED
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.runs import tracking

PAGE = (Path(__file__).parents[2] / "docs" / "find.md").read_text()


def block(name: str) -> list[str]:
    return [line for found in re.findall(rf"^```{name}\n(.*?)^```", PAGE, re.S | re.M) for line in found.splitlines()]


@pytest.fixture
def searched(workspace: Workspace) -> Workspace:
    for user, depth, auc, loss in (("ada", 4, 0.72, 0.4), ("grace", 6, 0.6, float("nan"))):
        params = {"depth": depth, "booster": "gbdt", "balanced": True}
        with tracking.start(workspace, "baseline", params=params, experiment="learning rates") as run:
            run.set_tag("user", user)
            run.log_metrics({"auc": auc, "loss": loss, "auc on holidays": 0.7, "auc[carrier=AA]": 0.7})
            run._log.add_input("table:flights/flights@abc")
    return workspace


def found(workspace: Workspace, where: str = "", order: str = "") -> list[str]:
    with workspace.ledger.read() as tx:
        page = search.search(tx, Run, project="flights", where=where, order=order, now=datetime.now(UTC))
    return [run.tags["user"] for run in page.records]


def test_every_condition_finds_a_run_but_those_that_exclude_all(searched: Workspace) -> None:
    conditions = block("search")
    assert len(conditions) > 25
    empty = {
        "params.depth not in (4, 6)",
        "created > 7d ago",  # a simulated project: its runs are of 2013
    }
    assert {where for where in conditions if not found(searched, where)} == empty


def test_what_the_page_says_of_single_conditions(searched: Workspace) -> None:
    assert found(searched, "metrics.auc > 0.7") == ["ada"]
    assert found(searched, "not (metrics.auc > 0.7 or state = 'failed')") == ["grace"]
    assert found(searched, "params.depth = '4'") == found(searched, "params.depth = 4") == ["ada"]
    assert found(searched, "metrics.loss = nan") == ["grace"]
    assert found(searched, "metrics.loss != 0.4") == ["grace"]
    assert found(searched, "metrics.loss > 0 or metrics.loss <= 0") == ["ada"]
    assert found(searched, "tags.user ilike 'A_a'") == ["ada"]


def test_every_order(searched: Workspace) -> None:
    assert [found(searched, "", order) for order in block("order")] == [["ada", "grace"]] * 3


def test_the_tables_name_every_attribute() -> None:
    for searched in SEARCHED.values():
        (row,) = re.findall(rf"^\| {searched.noun} \| (.*) \|$", PAGE, re.M)
        assert set(row.split(", ")) == set(searched.attributes)


def test_the_refusal_is_the_one_on_the_page(searched: Workspace) -> None:
    with pytest.raises(InvalidInput) as refused:
        found(searched, "metrics.auc >")
    assert f"*{refused.value.what}*" in PAGE.replace("\n", " ")
