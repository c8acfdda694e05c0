"""MLflow's experiments, runs, metrics, parameters and tags, as they are on the wire."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from mlflow_desk import Desk

from slipway.errors import Conflict
from slipway.ledger import entries, projects, run_log
from slipway.operations import declare
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.runs import Run
from slipway.records.search import Search
from slipway.runs import browse, search, tracking

INVALID, MISSING, EXISTS = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"


@pytest.fixture
def desk(workspace: Workspace) -> Desk:
    projects.register(workspace)
    return Desk(workspace)


def metrics_of(run: Any) -> dict[str, Any]:
    return {point["key"]: point["value"] for point in run["data"].get("metrics", [])}


def pairs_of(run: Any, what: str) -> dict[str, str]:
    return {pair["key"]: pair.get("value", "") for pair in run["data"].get(what, [])}


def test_experiments_are_made_named_tagged_put_aside_and_taken_back(desk: Desk) -> None:
    made = desk.good("POST", "/experiments/create", {"name": "a", "tags": [{"key": "k", "value": "v"}], "x": 1})
    id = made["experiment_id"]
    assert (len(id), id.isdigit()) == (18, True)
    shown = desk.good("GET", "/experiments/get", {"experiment_id": id})["experiment"]
    assert shown["artifact_location"] == f"mlflow-artifacts:/{id}"
    assert (shown["lifecycle_stage"], shown["tags"]) == ("active", [{"key": "k", "value": "v"}])
    desk.bad(400, EXISTS, "POST", "/experiments/create", {"name": "a"})
    desk.bad(400, INVALID, "POST", "/experiments/create", {})
    desk.bad(400, INVALID, "POST", "/experiments/create", {"name": "x" * 501})
    desk.bad(400, INVALID, "POST", "/experiments/create", {"name": "b", "artifact_location": "file:///etc"})
    desk.good("POST", "/experiments/update", {"experiment_id": id, "new_name": "b"})
    desk.bad(404, MISSING, "GET", "/experiments/get-by-name", {"experiment_name": "a"})
    assert desk.good("GET", "/experiments/get-by-name", {"experiment_name": "b"})["experiment"]["experiment_id"] == id
    desk.good("POST", "/experiments/set-experiment-tag", {"experiment_id": id, "key": "k", "value": ""})
    desk.good("POST", "/experiments/delete-experiment-tag", {"experiment_id": id, "key": "k"})
    desk.bad(404, MISSING, "POST", "/experiments/delete-experiment-tag", {"experiment_id": id, "key": "k"})
    desk.good("POST", "/experiments/delete", {"experiment_id": id})
    desk.bad(400, EXISTS, "POST", "/experiments/create", {"name": "b"})
    desk.bad(400, INVALID, "POST", "/runs/create", {"experiment_id": id})
    desk.bad(400, INVALID, "POST", "/experiments/update", {"experiment_id": id, "new_name": "c"})
    assert desk.good("POST", "/experiments/search", {"filter": "name = 'b'"}) == {}
    found = desk.good("GET", "/experiments/search", {"view_type": "DELETED_ONLY", "max_results": "5"})["experiments"]
    assert [one["name"] for one in found] == ["b"]
    desk.good("POST", "/experiments/restore", {"experiment_id": id})
    desk.bad(400, INVALID, "POST", "/experiments/restore", {"experiment_id": id})
    desk.bad(400, INVALID, "POST", "/experiments/delete", {"experiment_id": "0"})
    desk.bad(404, MISSING, "GET", "/experiments/get", {"experiment_id": "nothing"})


def test_an_experiment_takes_its_runs_to_the_trash_and_back_and_a_purge_frees_its_name(
    desk: Desk, workspace: Workspace
) -> None:
    id = desk.good("POST", "/experiments/create", {"name": "tries"})["experiment_id"]
    one, two = desk.run(id), desk.run(id)
    desk.good("POST", "/runs/delete", {"run_id": two})
    later = workspace.clock.now() + timedelta(hours=1)
    workspace.clock.advance_to(later)  # type: ignore[attr-defined]
    desk.good("POST", "/experiments/delete", {"experiment_id": id})
    assert desk.get(one)["info"]["lifecycle_stage"] == "deleted"
    desk.bad(400, INVALID, "POST", "/experiments/delete", {"experiment_id": id})
    assert "already exists" in desk.bad(400, EXISTS, "POST", "/experiments/create", {"name": "tries"})
    desk.good("POST", "/experiments/restore", {"experiment_id": id})
    assert [desk.get(run)["info"]["lifecycle_stage"] for run in (one, two)] == ["active", "deleted"]
    desk.good("POST", "/experiments/delete", {"experiment_id": id})
    wanted = operation("trash.purge")
    declare.call(workspace, wanted, declare.convert(wanted, {"items": ["experiment:tries"]}))
    desk.bad(404, MISSING, "GET", "/experiments/get", {"experiment_id": id})
    desk.bad(404, MISSING, "GET", "/runs/get", {"run_id": one})
    desk.bad(404, MISSING, "POST", "/runs/restore", {"run_id": two})
    assert desk.good("POST", "/experiments/create", {"name": "tries"})["experiment_id"] != id


def test_the_default_experiment_is_there_and_is_each_projects_own(desk: Desk, workspace: Workspace) -> None:
    assert desk.good("GET", "/experiments/get", {"experiment_id": "0"})["experiment"]["name"] == "Default"
    found = desk.good("POST", "/experiments/search", {"filter": "experiment_id = '0'"})["experiments"]
    assert [one["experiment_id"] for one in found] == ["0"]
    desk.good("POST", "/experiments/set-experiment-tag", {"experiment_id": "0", "key": "k", "value": "v"})
    assert len(desk.good("POST", "/experiments/search", {})["experiments"]) == 1
    projects.register(replace(workspace, project="ships"))
    other = desk.good("GET", "/projects/ships/api/2.0/mlflow/experiments/get", {"experiment_id": "0"})["experiment"]
    assert "tags" not in other


def test_a_run_is_begun_ended_put_aside_and_taken_back(desk: Desk, workspace: Workspace) -> None:
    made = desk.good(
        "POST",
        "/runs/create",
        {"experiment_id": "0", "user_id": "ada", "start_time": 1700000000123, "tags": [{"key": "a", "value": "b"}]},
    )["run"]
    info, id = made["info"], made["info"]["run_id"]
    assert info["run_uuid"] == id
    assert (info["status"], info["start_time"], info["lifecycle_stage"]) == ("RUNNING", 1700000000123, "active")
    assert info["artifact_uri"] == f"mlflow-artifacts:/0/{id}/artifacts"
    assert "end_time" not in info
    assert pairs_of(made, "tags") == {"a": "b", "mlflow.user": "ada", "mlflow.runName": info["run_name"]}
    ended = desk.good("POST", "/runs/update", {"run_uuid": id, "status": "FINISHED", "end_time": "1700000000999"})
    assert (ended["run_info"]["status"], ended["run_info"]["end_time"]) == ("FINISHED", 1700000000999)
    desk.good("POST", "/runs/update", {"run_id": id, "status": 2, "run_name": "new"})
    again = desk.get(id)
    assert (again["info"]["status"], again["info"]["run_name"]) == ("SCHEDULED", "new")
    assert pairs_of(again, "tags")["mlflow.runName"] == "new"
    assert "end_time" not in again["info"]
    desk.good("POST", "/runs/set-tag", {"run_id": id, "key": "mlflow.runName", "value": "newer"})
    assert desk.get(id)["info"]["run_name"] == "newer"
    desk.good("POST", "/runs/delete", {"run_id": id})
    assert desk.get(id)["info"]["lifecycle_stage"] == "deleted"
    late = {"run_id": id, "key": "late", "value": 1, "timestamp": 1}
    assert "active" in desk.bad(400, INVALID, "POST", "/runs/log-metric", late)
    desk.bad(400, INVALID, "POST", "/runs/update", {"run_id": id, "status": "FAILED"})
    desk.bad(400, INVALID, "POST", "/runs/log-batch", {"run_id": id})
    assert browse.search_runs(workspace, Search()).runs == ()
    assert browse.search_runs(workspace, Search(where="name != 'deleted'")).runs == ()
    assert len(browse.search_runs(workspace, Search(where="not (deleted is null)")).runs) == 1
    with pytest.raises(Conflict, match="was deleted"), tracking.start(workspace, resume=id):
        pass
    desk.good("POST", "/runs/restore", {"run_id": id})
    desk.good("POST", "/runs/log-metric", late)
    assert [row.run.id for row in browse.search_runs(workspace, Search()).runs] == [id]
    desk.bad(400, INVALID, "POST", "/runs/update", {"run_id": id, "status": "DONE"})
    desk.bad(404, MISSING, "POST", "/runs/delete", {"run_id": "f" * 32})
    desk.bad(400, INVALID, "POST", "/runs/create", {"run_name": "x", "tags": [{"key": "mlflow.runName", "value": "y"}]})


def test_numbers_come_as_numbers_or_as_text_and_nan_as_text(desk: Desk) -> None:
    id = desk.run()
    for value in ("NaN", "Infinity", "-Infinity", 5, 0.25, "1e3"):
        body = {"run_id": id, "key": f"v {value}", "value": value, "timestamp": "1700000000000", "step": "-7"}
        desk.good("POST", "/runs/log-metric", body)
    assert metrics_of(desk.get(id)) == {
        "v NaN": "NaN", "v Infinity": "Infinity", "v -Infinity": "-Infinity", "v 5": 5, "v 0.25": 0.25, "v 1e3": 1000,
    }  # fmt: skip
    null = {"run_id": id, "run_uuid": None, "key": "n", "value": 1, "timestamp": 1, "step": None, "unknown": {"a": []}}
    desk.good("POST", "/runs/log-metric", null)
    assert desk.get(id)["data"]["metrics"][0]["step"] in (0, -7)


@pytest.mark.parametrize(
    "fields",
    [
        {"value": None},
        {"value": "many"},
        {"value": True},
        {"value": [1]},
        {"timestamp": None},
        {"timestamp": -1},
        {"timestamp": 2**63},
        {"timestamp": 2**62},
        {"timestamp": 1.5},
        {"step": 2**63},
        {"step": "x"},
        {"key": ""},
        {"key": "a/../b"},
        {"key": "x" * 251},
        {"key": "a\u0000b"},
        {"key": 5},
        {"run_id": ""},
        {"run_id": ["a"]},
    ],
)
def test_a_metric_that_does_not_fit_is_a_400(desk: Desk, fields: dict[str, Any]) -> None:
    good = {"run_id": desk.run(), "key": "k", "value": 1, "timestamp": 1}
    desk.bad(400, INVALID, "POST", "/runs/log-metric", good | fields)


def test_params_are_written_once_also_in_batches(desk: Desk) -> None:
    id = desk.run()
    desk.good("POST", "/runs/log-parameter", {"run_id": id, "key": "depth", "value": "6"})
    desk.good("POST", "/runs/log-parameter", {"run_id": id, "key": "depth", "value": "6"})
    assert "depth" in desk.bad(
        400, INVALID, "POST", "/runs/log-parameter", {"run_id": id, "key": "depth", "value": "7"}
    )
    batch = {
        "run_id": id,
        "params": [{"key": "depth", "value": "7"}, {"key": "new", "value": "1"}],
        "tags": [{"key": "t", "value": "1"}],
        "metrics": [{"key": "m", "value": 1, "timestamp": 1}],
    }
    desk.bad(400, INVALID, "POST", "/runs/log-batch", batch)
    run = desk.get(id)
    assert (pairs_of(run, "params"), metrics_of(run), "t" in pairs_of(run, "tags")) == ({"depth": "6"}, {}, False)
    twice = {"run_id": id, "params": [{"key": "x", "value": "1"}, {"key": "x", "value": "1"}]}
    desk.bad(400, INVALID, "POST", "/runs/log-batch", twice)
    desk.bad(400, INVALID, "POST", "/runs/log-parameter", {"run_id": id, "key": "long", "value": "x" * 6001})
    desk.bad(400, INVALID, "POST", "/runs/set-tag", {"run_id": id, "key": "long", "value": "x" * 8001})


def test_what_was_logged_natively_is_known_by_its_text(desk: Desk, workspace: Workspace) -> None:
    log = run_log.start(workspace, name="native", params={"depth": 6, "rate": 0.1})
    log.finish()
    assert pairs_of(desk.get(log.id), "params") == {"depth": "6", "rate": "0.1"}
    assert pairs_of(desk.get(log.id), "tags")["mlflow.runName"] == "native"
    desk.good("POST", "/runs/log-parameter", {"run_id": log.id, "key": "depth", "value": "6"})
    desk.bad(400, INVALID, "POST", "/runs/log-parameter", {"run_id": log.id, "key": "depth", "value": "6.0"})
    found = desk.good("POST", "/runs/search", {"experiment_ids": ["0"], "filter": "tags.`mlflow.runName` = 'native'"})[
        "runs"
    ]
    assert [run["info"]["run_id"] for run in found] == [log.id]


def test_a_run_inside_another_is_so_for_clients_too(desk: Desk, workspace: Workspace) -> None:
    log = run_log.start(workspace, name="outer")
    inner = run_log.start(workspace, name="inner", parent_id=log.id)
    inner.finish()
    log.finish()
    asked = {"experiment_ids": ["0"], "filter": f"tags.mlflow.parentRunId = '{log.id}'"}

    def inside() -> set[str]:
        return {run["info"]["run_id"] for run in desk.good("POST", "/runs/search", asked).get("runs", [])}

    assert pairs_of(desk.get(inner.id), "tags")["mlflow.parentRunId"] == log.id
    assert "mlflow.parentRunId" not in pairs_of(desk.get(log.id), "tags")
    assert inside() == {inner.id}
    later = desk.run()
    desk.good("POST", "/runs/set-tag", {"run_id": later, "key": "mlflow.parentRunId", "value": log.id})
    assert search.get_run(workspace, later).parent_id == log.id
    assert inside() == {later, inner.id}
    desk.good("POST", "/runs/delete-tag", {"run_id": later, "key": "mlflow.parentRunId"})
    assert inside() == {inner.id}


@pytest.mark.parametrize(("metrics", "params", "tags"), [(1001, 0, 0), (0, 101, 0), (0, 0, 101), (950, 30, 30)])
def test_a_batch_has_its_limits(desk: Desk, metrics: int, params: int, tags: int) -> None:
    body = {
        "run_id": desk.run(),
        "metrics": [{"key": "m", "value": n, "timestamp": 1, "step": n} for n in range(metrics)],
        "params": [{"key": f"p{n}", "value": "x"} for n in range(params)],
        "tags": [{"key": f"t{n}", "value": "x"} for n in range(tags)],
    }
    assert "at most" in desk.bad(400, INVALID, "POST", "/runs/log-batch", body)


def test_the_largest_batch_fits_and_more_bytes_do_not(desk: Desk) -> None:
    id = desk.run()
    points = [{"key": "m", "value": n / 7, "timestamp": "1700000000000", "step": n} for n in range(1000)]
    desk.good("POST", "/runs/log-batch", {"run_id": id, "metrics": points})
    assert metrics_of(desk.get(id)) == {"m": 999 / 7}
    big = {"run_id": id, "tags": [{"key": f"t{n}", "value": "x" * 8000} for n in range(100)], "more": "y" * 300_000}
    assert "1,000,000 bytes" in desk.bad(400, INVALID, "POST", "/runs/log-batch", big)


def test_the_latest_point_is_the_greatest_and_an_identical_one_counts_once(desk: Desk) -> None:
    id = desk.run()
    for value, at, step in ((1, 5, 3), (2, 9, 2), (3, 4, 3), (1, 5, 3), (-8, 5, 3)):
        desk.good("POST", "/runs/log-metric", {"run_id": id, "key": "m", "value": value, "timestamp": at, "step": step})
    assert metrics_of(desk.get(id)) == {"m": 1}
    history = desk.good("GET", "/metrics/get-history", {"run_id": id, "metric_key": "m"})["metrics"]
    assert [(one["step"], one["timestamp"], one["value"]) for one in history] == [
        (2, 9, 2), (3, 4, 3), (3, 5, -8), (3, 5, 1),
    ]  # fmt: skip


def test_a_history_is_paged_by_its_points(desk: Desk) -> None:
    id = desk.run()
    values = [*range(40), "NaN", "Infinity", "-Infinity"]
    points = [{"key": "m", "value": value, "timestamp": 1, "step": n // 5} for n, value in enumerate(values)]
    desk.good("POST", "/runs/log-batch", {"run_id": id, "metrics": points})
    whole = desk.good("GET", "/metrics/get-history", {"run_id": id, "metric_key": "m"})
    assert "next_page_token" not in whole
    for size in (1, 7, 42, 43, 100):
        seen: list[Any] = []
        asked = {"run_id": id, "metric_key": "m", "max_results": size}
        while True:
            page = desk.good("GET", "/metrics/get-history", asked)
            seen += page["metrics"]
            if "next_page_token" not in page:
                break
            asked = asked | {"page_token": page["next_page_token"]}
        assert seen == whole["metrics"], size
    assert desk.good("GET", "/metrics/get-history", {"run_id": id, "metric_key": "none"}) == {}
    for bad in ({"max_results": 0}, {"max_results": "x"}, {"page_token": "abc"}, {"page_token": "WzEsMiwieCJd"}):
        desk.bad(400, INVALID, "GET", "/metrics/get-history", {"run_id": id, "metric_key": "m"} | bad)


def test_charts_of_several_runs_have_at_most_as_many_points_as_asked(desk: Desk) -> None:
    ids = [desk.run(), desk.run()]
    for id in ids:
        points = [{"key": "m", "value": math.sin(n), "timestamp": 1, "step": n} for n in range(1000)]
        desk.good("POST", "/runs/log-batch", {"run_id": id, "metrics": points})
    path = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
    asked = {"run_ids": ids, "metric_key": "m", "max_results": 100}
    found = desk.good("GET", path, asked)["metrics"]
    for id in ids:
        steps = [one["step"] for one in found if one["run_id"] == id]
        assert (steps[0], steps[-1], steps == sorted(steps), 50 <= len(steps) <= 100) == (0, 999, True, True)
    inside = desk.good("GET", path, asked | {"start_step": 500, "end_step": 520})["metrics"]
    assert [one["step"] for one in inside if one["run_id"] == ids[0]] == list(range(500, 521))
    for begin, end, limit in ((100, 899, 10), (0, 998, 500), (990, 999, 3), (5, 999, 1)):
        thin = desk.good("GET", path, asked | {"start_step": begin, "end_step": end, "max_results": limit})["metrics"]
        steps = [one["step"] for one in thin if one["run_id"] == ids[0]]
        assert (steps[-1], limit / 2 <= len(steps) <= limit, steps == sorted(set(steps))) == (end, True, True)
        assert steps[0] == (begin if limit > 1 else end)
    for begin, end in ((1000, 2000), (-5, -1), (9, 3)):
        assert desk.good("GET", path, asked | {"start_step": begin, "end_step": end}) == {}
    assert len(desk.good("GET", "/metrics/get-history-bulk", {"run_id": ids, "metric_key": "m"})["metrics"]) == 2000
    desk.bad(400, INVALID, "GET", path, asked | {"run_ids": []})
    desk.bad(400, INVALID, "GET", path, asked | {"max_results": 2501})
    desk.bad(404, MISSING, "GET", path, asked | {"run_ids": ["f" * 32]})


def test_searching_finds_orders_and_pages(desk: Desk) -> None:
    ids = [desk.run(start_time=str(1700000000000 + n), run_name=f"r{n}") for n in range(9)]
    for n, id in enumerate(ids[:6]):
        desk.good("POST", "/runs/log-metric", {"run_id": id, "key": "auc", "value": n % 4, "timestamp": 1})
        desk.good("POST", "/runs/log-parameter", {"run_id": id, "key": "depth", "value": str(n)})
    desk.good("POST", "/runs/update", {"run_id": ids[2], "status": "FAILED"})
    desk.good("POST", "/runs/delete", {"run_id": ids[8]})

    def found(**asked: Any) -> list[int]:
        answer = desk.good("POST", "/runs/search", {"experiment_ids": ["0"], **asked})
        return [ids.index(run["info"]["run_id"]) for run in answer.get("runs", [])]

    assert found() == [7, 6, 5, 4, 3, 2, 1, 0]
    assert found(run_view_type="DELETED_ONLY") == [8]
    assert found(run_view_type=3) == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert found(filter="status = 'FAILED'") == [2]
    assert found(filter="attributes.status != 'running'", run_view_type="ALL") == [2]
    assert found(filter="metrics.auc >= 1 and (params.depth = '5' or params.depth in ('1', '2'))") == [5, 2, 1]
    assert found(order_by=["metrics.auc DESC", "params.depth ASC"]) == [3, 2, 1, 5, 0, 4, 7, 6]
    assert found(order_by=["metrics.auc"]) == [4, 0, 5, 1, 2, 3, 7, 6]
    ids.append(desk.run(start_time="1600000000000"))  # recorded last, begun first
    assert found()[-1] == 9
    assert found(order_by=["metrics.auc"])[-1] == 9
    desk.good("POST", "/runs/delete", {"run_id": ids[9]})
    assert found(max_results=0) == []
    assert found(experiment_ids=[]) == []
    assert found(filter="attributes.run_name = 'r3'") == [3]
    seen: list[str] = []
    asked: dict[str, Any] = {"experiment_ids": ["0"], "max_results": 3, "order_by": ["metrics.auc DESC"]}
    while True:
        page = desk.good("POST", "/runs/search", asked)
        seen += [run["info"]["run_id"] for run in page["runs"]]
        newer = desk.run()
        desk.good("POST", "/runs/log-metric", {"run_id": newer, "key": "auc", "value": 99, "timestamp": 1})
        if "next_page_token" not in page:
            break
        asked["page_token"] = page["next_page_token"]
    assert [ids.index(id) for id in seen if id in ids] == [3, 2, 5, 1, 4, 0, 7, 6]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    "asked",
    [
        {"filter": "metrics.auc >"},
        {"filter": "nonsense = 'x'"},
        {"filter": "metrics.auc > 'x'"},
        {"filter": "params.a = 'b' c"},
        {"filter": "'"},
        {"filter": "(" * 500},
        {"filter": "a" * 200_000},
        {"filter": "params.x = '1' AND " * 300 + "params.x = '1'"},
        {"filter": "params.x MATCHES '(a+)+'  and params.x matches '('"},
        {"filter": 5},
        {"order_by": ["nonsense"]},
        {"order_by": ["metrics.a sideways"]},
        {"order_by": "metrics.a"},
        {"order_by": ["start_time"] * 50},
        {"max_results": -1},
        {"max_results": 50_001},
        {"max_results": "many"},
        {"page_token": "abc"},
        {"page_token": "eyJvZmZzZXQiOiA1fQ=="},
        {"run_view_type": "SOME"},
        {"experiment_ids": "0"},
    ],
)
def test_a_search_that_cannot_be_read_is_a_400(desk: Desk, asked: dict[str, Any]) -> None:
    desk.bad(400, INVALID, "POST", "/runs/search", {"experiment_ids": ["0"], **asked})


def test_what_a_run_reads_and_makes_is_kept(desk: Desk) -> None:
    id = desk.run()
    described = {"name": "flights", "digest": "abc", "source_type": "local", "source": "{}", "schema": "{}"}
    tags = [{"key": "mlflow.data.context", "value": "train"}]
    desk.good("POST", "/runs/log-inputs", {"run_id": id, "datasets": [{"dataset": described, "tags": tags}]})
    desk.good("POST", "/runs/log-inputs", {"run_id": id, "datasets": [{"dataset": described}]})
    model = desk.good("POST", "/logged-models", {"experiment_id": "0", "source_run_id": id})["model"]["info"][
        "model_id"
    ]
    desk.good("POST", "/runs/outputs", {"run_id": id, "models": [{"model_id": model, "step": "3"}]})
    desk.good("POST", "/runs/log-inputs", {"run_id": id, "models": [{"model_id": model}]})
    run = desk.get(id)
    assert run["inputs"] == {
        "dataset_inputs": [{"dataset": described, "tags": tags}],
        "model_inputs": [{"model_id": model}],
    }
    assert run["outputs"] == {"model_outputs": [{"model_id": model, "step": 3}]}
    for text in ("dataset.name = 'flights'", "datasets.digest = 'abc' and dataset.context = 'train'"):
        found = desk.good("POST", "/runs/search", {"experiment_ids": ["0"], "filter": text})
        assert [one["info"]["run_id"] for one in found["runs"]] == [id]
    desk.bad(404, MISSING, "POST", "/runs/outputs", {"run_id": id, "models": [{"model_id": "m-1"}]})
    desk.bad(400, INVALID, "POST", "/runs/log-inputs", {"run_id": id, "datasets": [{"dataset": {"name": "x"}}]})
    desk.good("POST", "/runs/log-model", {"run_id": id, "model_json": '{"run_id": "x"}'})
    desk.bad(400, INVALID, "POST", "/runs/log-model", {"run_id": id, "model_json": "[1]"})
    assert "mlflow.log-model.history" in pairs_of(desk.get(id), "tags")


def test_what_a_client_logs_shows_natively(desk: Desk, workspace: Workspace) -> None:
    id = desk.run(run_name="theirs")
    desk.good("POST", "/runs/log-metric", {"run_id": id, "key": "auc", "value": 0.5, "timestamp": 1})
    assert search.get_run(workspace, id).name == "theirs"
    assert search.metrics(workspace, id) == {"auc": 0.5}
    page = desk.ask("GET", f"/projects/flights/runs/{id}")
    assert (page.status_code, "theirs" in page.text, "0.5" in page.text) == (200, True, True)
    told = desk.ask("GET", "/api/v1/projects/flights/audit/list").json()["events"]
    assert [event["verb"] for event in told][-1] == "runs.start"


def test_projects_are_kept_apart_and_the_first_one_needs_no_prefix(desk: Desk, workspace: Workspace) -> None:
    ships = replace(workspace, project="ships")
    projects.register(ships)
    id = desk.run()
    assert entries_project(workspace, id) == "flights"
    assert desk.send("GET", f"/projects/ships/api/2.0/mlflow/runs/get?run_id={id}").status_code == 404
    other = desk.good("POST", "/projects/ships/api/2.0/mlflow/runs/create", {"experiment_id": "0"})
    assert entries_project(workspace, other["run"]["info"]["run_id"]) == "ships"
    desk.bad(404, MISSING, "POST", "/projects/boats/api/2.0/mlflow/runs/create", {})
    assert desk.ask("GET", "/projects/ships/version").text == desk.ask("GET", "/version").text


def entries_project(workspace: Workspace, id: str) -> str:
    with workspace.ledger.read() as tx:
        return entries.get(tx, Run, id).project


def test_a_store_without_a_project_gets_one_with_the_first_write(workspace: Workspace) -> None:
    desk = Desk(workspace)
    assert len(desk.good("POST", "/experiments/search", {})["experiments"]) == 1
    assert desk.ask("GET", "/api/v1/projects").json() == {"projects": []}
    nobody = Desk(replace(workspace, actor=Actor("x", roles=("executive viewer",))))
    nobody.bad(403, "PERMISSION_DENIED", "POST", "/runs/create", {})
    assert desk.ask("GET", "/api/v1/projects").json() == {"projects": []}
    assert entries_project(workspace, desk.run()) == "default"
