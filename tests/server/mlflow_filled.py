"""A store that MLflow's clients filled with one of everything, and a request for each route that it answers with 200."""

from typing import Any

from mlflow_desk import Desk

HERE = "http://127.0.0.1:8300"
ALL = "/api/2.0/mlflow-artifacts/artifacts"
TAGS = [{"key": "kind", "value": "plain"}]
FORM = {"name": "late", "version": "1"}


def fill(desk: Desk) -> dict[str, str]:
    """Log one of everything; returns the ids of what was logged, by words for it."""
    experiment = desk.good("POST", "/experiments/create", {"name": "first", "tags": TAGS})["experiment_id"]
    model = desk.good(
        "POST",
        "/logged-models",
        {"experiment_id": experiment, "name": "m", "params": [{"key": "n", "value": "3"}], "tags": TAGS},
    )["model"]["info"]["model_id"]
    run = desk.run(experiment, run_name="one", tags=TAGS)
    gone = desk.run(experiment)
    away = desk.good("POST", "/experiments/create", {"name": "away"})["experiment_id"]
    desk.good("POST", "/experiments/delete", {"experiment_id": away})
    points = [{"key": key, "value": value, "timestamp": 5, "step": step} for key, value, step in
              (("auc", 0.5, 0), ("auc", "NaN", 1), ("loss", "Infinity", 0), ("loss", "-Infinity", 2))]  # fmt: skip
    measured = {"key": "f1", "value": "NaN", "timestamp": 5, "step": 0, "model_id": model, "dataset_name": "d"}
    desk.good(
        "POST",
        "/runs/log-batch",
        {"run_id": run, "metrics": [*points, measured], "params": [{"key": "c", "value": "1"}]},
    )
    desk.good(
        "POST",
        "/runs/log-inputs",
        {
            "run_id": run,
            "datasets": [{"dataset": {"name": "d", "digest": "1", "schema": "{}"}, "tags": TAGS}],
            "models": [{"model_id": model}],
        },
    )
    desk.good("POST", "/runs/outputs", {"run_id": run, "models": [{"model_id": model, "step": 2}]})
    desk.good("POST", "/runs/delete", {"run_id": gone})
    for place in (f"{experiment}/{run}/artifacts/a/b", f"{experiment}/models/{model}/artifacts/MLmodel"):
        assert desk.ask("PUT", f"{ALL}/{place}", content=b"text").status_code == 200
    desk.good("POST", "/registered-models/create", {"name": "late", "description": "of flights", "tags": TAGS})
    desk.good("POST", "/model-versions/create", {"name": "late", "source": f"models:/{model}", "run_id": run})
    desk.good("POST", "/registered-models/alias", {"name": "late", "alias": "best", "version": "1"})
    desk.good("POST", "/model-versions/set-tag", FORM | TAGS[0])
    upload = desk.good("POST", f"/api/2.0/mlflow-artifacts/mpu/create/{experiment}/{run}/artifacts", {"path": "big"})
    return {
        "experiment": experiment,
        "run": run,
        "gone": gone,
        "gone experiment": away,
        "model": model,
        "upload": upload["upload_id"],
        "place": f"{experiment}/{run}/artifacts",
    }


def requests(ids: dict[str, str]) -> dict[str, tuple[dict[str, str], Any]]:
    """For each route, by its path (or method and path), the parts of its path and a body (in a GET: a query) that it answers."""
    run, model = {"run_id": ids["run"]}, {"model_id": ids["model"]}
    experiment = {"experiment_id": ids["experiment"]}
    upload = {"path": "big", "upload_id": ids["upload"], "parts": []}
    key = {"metric_key": "auc"}
    point = {"key": "auc", "value": 1.5, "timestamp": 7, "step": 3}
    asked: dict[str, Any] = {
        "experiments/create": {"name": "second"},
        "experiments/get": experiment,
        "experiments/get-by-name": {"experiment_name": "first"},
        "experiments/delete": experiment,
        "experiments/restore": {"experiment_id": ids["gone experiment"]},
        "experiments/update": experiment | {"new_name": "other"},
        "experiments/set-experiment-tag": experiment | TAGS[0],
        "experiments/delete-experiment-tag": experiment | {"key": "kind"},
        "experiments/search": {"filter": "tags.kind = 'plain'", "max_results": 1},
        "runs/create": experiment | {"run_name": "x", "tags": TAGS},
        "runs/get": run,
        "runs/update": run | {"status": "FINISHED", "end_time": 1700000000001},
        "runs/delete": run,
        "runs/restore": {"run_id": ids["gone"]},
        "runs/log-inputs": run,
        "runs/outputs": run,
        "runs/search": {"experiment_ids": [ids["experiment"]], "run_view_type": "ALL"},
        "runs/log-metric": run | point,
        "runs/log-parameter": run | {"key": "d", "value": "2"},
        "runs/set-tag": run | TAGS[0],
        "runs/delete-tag": run | {"key": "kind"},
        "runs/log-batch": run | {"metrics": [point], "tags": TAGS},
        "runs/log-model": run | {"model_json": "{}"},
        "metrics/get-history": run | key | {"max_results": 1},
        "metrics/get-history-bulk": run | key,
        "metrics/get-history-bulk-interval": {"run_ids": [ids["run"]]} | key,
        "artifacts/list": run,
        "get-artifact": run | {"path": "a/b"},
        "logged-models": experiment | {"name": "n"},
        "logged-models/search": {"experiment_ids": [ids["experiment"]]},
        "registered-models/create": {"name": "new"},
        "registered-models/get": {"name": "late"},
        "registered-models/update": {"name": "late", "description": "anew"},
        "registered-models/rename": {"name": "late", "new_name": "later"},
        "registered-models/delete": {"name": "late"},
        "registered-models/set-tag": {"name": "late"} | TAGS[0],
        "registered-models/delete-tag": {"name": "late", "key": "kind"},
        "registered-models/alias": {"name": "late", "alias": "best", "version": "1"},
        "registered-models/get-latest-versions": {"name": "late"},
        "registered-models/search": {"filter": "name = 'late'"},
        "model-versions/create": {"name": "late", "source": f"models:/{ids['model']}"},
        "model-versions/get": FORM,
        "model-versions/update": FORM | {"description": "anew"},
        "model-versions/delete": FORM,
        "model-versions/transition-stage": FORM | {"stage": "Production"},
        "model-versions/set-tag": FORM | TAGS[0],
        "model-versions/delete-tag": FORM | {"key": "kind"},
        "model-versions/get-download-uri": FORM,
        "model-versions/search": {"filter": "name = 'late'"},
        "model-versions/get-artifact": FORM | {"path": "MLmodel"},
        "logged-models/{model_id}/params": {"params": [{"key": "m", "value": "4"}]},
        "logged-models/{model_id}/tags": {"tags": TAGS},
        "logged-models/{model_id}/artifacts/directories": {},
        "logged-models/{path}/artifacts/files": {"artifact_file_path": "MLmodel"},
    }
    whole: dict[str, tuple[dict[str, str], Any]] = {
        "2.0/mlflow-artifacts/artifacts": ({}, {"path": ids["place"]}),
        "2.0/mlflow-artifacts/artifacts/{path...}": ({"path": f"{ids['place']}/a/b"}, b"bytes"),
        "2.0/mlflow-artifacts/mpu/create/{path...}": ({"path": ids["place"]}, {"path": "huge", "num_parts": 2}),
        "2.0/mlflow-artifacts/mpu/parts/{path...}": ({"path": f"{ids['upload']}/1"}, b"bytes"),
        "2.0/mlflow-artifacts/mpu/complete/{target...}": ({"target": ids["place"]}, upload),
        "2.0/mlflow-artifacts/mpu/abort/{target...}": ({"target": ids["place"]}, upload),
        "2.0/mlflow/logged-models/{model_id}/tags/{tag_key...}": (model | {"tag_key": "kind"}, None),
        "2.0/mlflow/logged-models/{model_id}": (model, None),
        "PATCH 2.0/mlflow/logged-models/{model_id}": (model, {"status": "LOGGED_MODEL_READY"}),
        "get-artifact": ({}, asked["get-artifact"]),
        "model-versions/get-artifact": ({}, asked["model-versions/get-artifact"]),
    }
    for path, body in asked.items():
        parts = model if "{model_id}" in path else {"path": ids["model"]} if "{path}" in path else {}
        whole[f"2.0/mlflow/{path}"] = (parts, body)
    return whole
