"""Fields, groups and runs beside each other, as operations answer."""

import math

import pytest

from slipway.errors import InvalidInput, NotFound
from slipway.operations.run_tables import CompareRuns, GroupRuns, ListFields
from slipway.ports.workspace import Workspace
from slipway.runs import tracking
from slipway.runs.beside import compare_runs, group_runs, list_fields, lower_is_better


@pytest.fixture
def ids(workspace: Workspace) -> list[str]:
    made = []
    for number in range(6):
        with tracking.start(workspace, experiment="trees", params={"depth": number % 2}, system_metrics=False) as run:
            run.log_metric("auc", math.nan if number == 5 else number / 10)
            run.log_metric("auc[carrier=AA]", 0.5)
            if number % 3:
                run.set_tag("user", f"u{number}")
        made.append(run.id)
    return made


@pytest.mark.parametrize(
    ("key", "is_lower"),
    [
        ("auc", False),
        ("val_loss", True),
        ("rmse[carrier=error]", True),
        ("accuracy[kind=loss]", False),
        ("valLoss", True),
        ("glossary", False),
        ("", False),
    ],
)
def test_which_way_is_better_is_read_from_the_name(key: str, is_lower: bool) -> None:
    assert lower_is_better(key) == is_lower


def test_fields_are_listed_and_found_by_a_part(workspace: Workspace, ids: list[str]) -> None:
    found = list_fields(workspace, ListFields())
    assert found.metrics == ("auc", "auc[carrier=AA]")
    assert found.params == ("depth",)
    assert "user" in found.tags
    assert "trees" in found.experiments.values()
    assert found.is_whole
    assert not list_fields(workspace, ListFields(limit=1)).is_whole
    assert list_fields(workspace, ListFields(contains="DEP")).metrics == ()
    with pytest.raises(InvalidInput, match="limit is 0"):
        list_fields(workspace, ListFields(limit=0))


def test_groups_leave_out_what_is_no_number_and_put_what_is_missing_last(workspace: Workspace, ids: list[str]) -> None:
    found = group_runs(workspace, GroupRuns(group="params.depth", metric="metrics.auc", order="best"))
    assert [(one.value, one.runs, one.measured, one.best) for one in found.groups] == [
        ("0", 3, 3, 0.4),
        ("1", 3, 2, 0.3),
    ]
    by_user = group_runs(
        workspace, GroupRuns(group="tags.user", metric="metrics.auc", order="median", descending=False)
    )
    medians = [(one.value, one.median) for one in by_user.groups]
    assert medians == [("u1", 0.1), (None, 0.15), ("u2", 0.2), ("u4", 0.4), ("u5", None)]
    assert by_user.runs == 6
    few = group_runs(workspace, GroupRuns(group="tags.user", limit=2, where="tags.user is not null"))
    assert (len(few.groups), few.others, few.runs) == (2, 2, 4)
    assert group_runs(workspace, GroupRuns(group="experiment")).groups[0].value == "trees"


def test_runs_come_in_the_order_asked_for_each_once(workspace: Workspace, ids: list[str]) -> None:
    found = compare_runs(
        workspace, CompareRuns(runs=f"{ids[2]},{ids[0]}, {ids[2]}", curves="metrics.auc, metrics.none")
    )
    assert [row.run.id for row in found.runs] == [ids[2], ids[0]]
    assert found.runs[0].metrics == {"auc": 0.2, "auc[carrier=AA]": 0.5}
    assert list(found.runs[0].curves) == ["auc"]
    with pytest.raises(NotFound):
        compare_runs(workspace, CompareRuns(runs=f"{ids[0]},{'0' * 32}"))
    with pytest.raises(InvalidInput, match="0 runs were named"):
        compare_runs(workspace, CompareRuns(runs=" , "))
    with pytest.raises(InvalidInput, match="no metric"):
        compare_runs(workspace, CompareRuns(runs=ids[0], curves="params.depth"))
