"""Runs are found and compared."""

import math

import pytest

from slipway.errors import NotFound
from slipway.ledger import run_log
from slipway.ports.workspace import Workspace
from slipway.runs import search, tracking


def _run(workspace: Workspace, name: str, params: dict[str, object], metrics: dict[str, object]) -> str:
    with tracking.start(workspace, name, params=params) as run:
        run.log_metrics(metrics)
    return run.id


def test_newest_first_page_by_page(workspace: Workspace) -> None:
    ids = [_run(workspace, f"r{i % 2}", {}, {}) for i in range(5)]
    assert [r.id for r in search.list_runs(workspace)] == ids[::-1]
    assert [r.id for r in search.list_runs(workspace, name="r1")] == [ids[3], ids[1]]
    assert [r.id for r in search.list_runs(workspace, limit=2)] == [ids[4], ids[3]]
    assert len(search.list_runs(workspace, pipeline="")) == 5
    assert search.list_runs(workspace, state="failed") == []
    assert search.list_runs(workspace, pipeline="release") == []


def test_a_run_is_found_by_the_beginning_of_its_id(workspace: Workspace) -> None:
    id = _run(workspace, "a", {}, {})
    assert search.get_run(workspace, id[:20]).id == id
    with pytest.raises(NotFound, match="There is no run 'nothing'"):
        search.get_run(workspace, "nothing")
    _run(workspace, "b", {}, {})
    with pytest.raises(NotFound, match="2 runs begin"):
        search.get_run(workspace, id[:6])


def test_last_is_the_newest_run_of_a_pipeline(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match="No pipeline was run here yet"):
        search.get_run(workspace, "last")
    for name, pipeline in (("first", "release"), ("second", "release"), ("a script's", "")):
        run_log.start(workspace, name=name, pipeline=pipeline).finish()
    assert search.get_run(workspace, "last").name == "second"


def test_side_by_side(workspace: Workspace) -> None:
    one = _run(workspace, "a", {"rate": 0.1, "seed": 1}, {"auc": 0.7, "gap": math.nan})
    two = _run(workspace, "b", {"rate": 0.2, "seed": 1}, {"auc": 0.8, "gap": math.nan, "loss": 1})
    found = search.compare(workspace, [one, two])
    assert [run.name for run in found.runs] == ["a", "b"]
    assert found.params == {"rate": (0.1, 0.2), "seed": (1, 1)}
    assert found.metrics["auc"] == (0.7, 0.8)
    assert found.metrics["loss"] == (None, 1.0)
    assert found.different == ("rate", "auc", "loss")
