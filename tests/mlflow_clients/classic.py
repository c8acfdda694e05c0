"""Runs in an environment with MLflow's own client, 2.22 or 3: what every such client does, against a real server.

Usage: python classic.py TRACKING_URI
"""

import math
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import refusals as check
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType


def experiments(client: MlflowClient) -> None:
    made = client.create_experiment("first", tags={"team": "air"})
    found = client.get_experiment(made)
    assert (found.name, found.tags, found.lifecycle_stage) == ("first", {"team": "air"}, "active")
    assert found.artifact_location == f"mlflow-artifacts:/{made}"
    assert client.get_experiment("0").name == "Default"
    assert client.get_experiment_by_name("nowhere") is None
    check.refused("RESOURCE_ALREADY_EXISTS", client.create_experiment, "first")
    check.refused("RESOURCE_DOES_NOT_EXIST", client.get_experiment, "12345")
    check.refused("INVALID_PARAMETER_VALUE", client.create_experiment, "x" * 501)
    client.set_experiment_tag(made, "mlflow.note.content", "a note")
    client.rename_experiment(made, "renamed")
    assert client.get_experiment_by_name("renamed").tags["mlflow.note.content"] == "a note"
    client.delete_experiment(made)
    assert client.get_experiment(made).lifecycle_stage == "deleted"
    assert [one.name for one in client.search_experiments()] == ["Default"]
    assert [one.name for one in client.search_experiments(view_type=ViewType.DELETED_ONLY)] == ["renamed"]
    check.refused("RESOURCE_ALREADY_EXISTS", client.create_experiment, "renamed")
    check.refused("INVALID_PARAMETER_VALUE", client.create_run, made)
    client.restore_experiment(made)
    for number in range(5):
        client.create_experiment(f"page {number}")
    first = client.search_experiments(max_results=3, order_by=["name ASC"])
    rest = client.search_experiments(max_results=9, order_by=["name ASC"], page_token=first.token)
    assert [one.name for one in [*first, *rest]] == ["Default", *(f"page {n}" for n in range(5)), "renamed"]
    assert not rest.token
    assert len(client.search_experiments(filter_string="name LIKE 'page%'")) == 5
    assert len(client.search_experiments(filter_string="tags.team = 'air'")) == 1


def fluent() -> str:
    mlflow.set_experiment("fluent")
    with mlflow.start_run(run_name="outer", description="what it is") as outer:
        mlflow.log_params({"depth": 6, "rate": 0.1, "name": "älter/x"})
        mlflow.log_param("depth", 6)
        check.refused("INVALID_PARAMETER_VALUE", mlflow.log_param, "depth", 7)
        for step in range(5):
            mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
        mlflow.log_metrics({"auc": 0.8, "nan": math.nan, "inf": math.inf, "low": -math.inf})
        mlflow.set_tag("kind", "trial")
        mlflow.set_tags({"a": "1", "b": ""})
        mlflow.log_text("hello", "notes/hello.txt")
        mlflow.log_dict({"x": [1, 2]}, "plain.json")
        with mlflow.start_run(nested=True, run_name="inner"):
            mlflow.log_metric("loss", 3.0)
        assert mlflow.get_artifact_uri().startswith("mlflow-artifacts:/")
    run = mlflow.get_run(outer.info.run_id)
    assert (run.info.status, run.info.run_name, run.info.lifecycle_stage) == ("FINISHED", "outer", "active")
    assert run.data.params == {"depth": "6", "rate": "0.1", "name": "älter/x"}
    assert run.data.metrics["loss"] == 0.2
    assert math.isnan(run.data.metrics["nan"])
    assert (run.data.metrics["inf"], run.data.metrics["low"]) == (math.inf, -math.inf)
    assert (run.data.tags["kind"], run.data.tags["b"]) == ("trial", "")
    assert run.data.tags["mlflow.runName"] == "outer"
    assert run.info.end_time >= run.info.start_time > 1_600_000_000_000
    [child] = mlflow.search_runs(
        experiment_names=["fluent"],
        filter_string=f"tags.mlflow.parentRunId = '{outer.info.run_id}'",
        output_format="list",
    )
    assert child.info.run_name == "inner"
    try:
        with mlflow.start_run() as failing:
            raise RuntimeError("on purpose")
    except RuntimeError:
        pass
    assert mlflow.get_run(failing.info.run_id).info.status == "FAILED"
    with mlflow.start_run(run_id=outer.info.run_id):
        mlflow.log_metric("loss", 0.1, step=9)
    assert mlflow.get_run(outer.info.run_id).data.metrics["loss"] == 0.1
    return outer.info.run_id


def artifacts(client: MlflowClient, run_id: str) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "deep" / "er").mkdir(parents=True)
        (root / "deep" / "er" / "odd ä#%name.bin").write_bytes(bytes(range(256)) * 40)
        (root / "big.bin").write_bytes(b"0123456789abcdef" * (1 << 20))
        (root / "empty").write_bytes(b"")
        client.log_artifacts(run_id, folder, "all")
    listed = {file.path: file for file in client.list_artifacts(run_id)}
    assert (listed["all"].is_dir, listed["plain.json"].is_dir) == (True, False)
    assert {file.path: file.file_size for file in client.list_artifacts(run_id, "all")} == {
        "all/big.bin": 16 << 20,
        "all/deep": None,
        "all/empty": 0,
    }
    assert client.list_artifacts(run_id, "all/big.bin") == []
    with TemporaryDirectory() as folder:
        where = Path(client.download_artifacts(run_id, "all", folder))
        assert (where / "big.bin").read_bytes() == b"0123456789abcdef" * (1 << 20)
        assert (where / "empty").read_bytes() == b""
    with TemporaryDirectory() as folder:
        client.download_artifacts(run_id, "", folder)
        assert (Path(folder) / "notes" / "hello.txt").read_text() == "hello"
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/notes/hello.txt") == "hello"
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/plain.json") == {"x": [1, 2]}


def batches(client: MlflowClient) -> None:
    run = client.create_run("0", tags={"mlflow.runName": "batches"})
    id = run.info.run_id
    now = int(time.time() * 1000)
    client.log_batch(
        id,
        metrics=[Metric("many", float(n), now, n) for n in range(900)],
        params=[Param(f"p{n}", "x" * 6000) for n in range(50)],
        tags=[RunTag(f"t{n}", "y" * 8000) for n in range(10)],
    )
    client.log_batch(id, metrics=[Metric("many", 1.0, now, n) for n in range(900, 901)])
    assert client.get_run(id).data.metrics == {"many": 1.0}
    history = client.get_metric_history(id, "many")
    assert [point.step for point in history] == list(range(901))
    assert client.get_metric_history(id, "nothing") == []
    client.log_metric(id, "again", 1.0, timestamp=now, step=0)
    client.log_metric(id, "again", 1.0, timestamp=now, step=0)
    client.log_metric(id, "again", 5.0, timestamp=now - 1000, step=0)
    client.log_metric(id, "again", -3.0, timestamp=now - 1000, step=-1)
    assert len(client.get_metric_history(id, "again")) == 3
    assert client.get_run(id).data.metrics["again"] == 1.0
    client.set_terminated(id, "KILLED")
    assert client.get_run(id).info.status == "KILLED"
    client.update_run(id, status="SCHEDULED", name="again")
    assert (client.get_run(id).info.status, client.get_run(id).info.run_name) == ("SCHEDULED", "again")
    client.delete_tag(id, "t0")
    check.refused("RESOURCE_DOES_NOT_EXIST", client.delete_tag, id, "t0")
    client.delete_run(id)
    assert client.get_run(id).info.lifecycle_stage == "deleted"
    check.refused("INVALID_PARAMETER_VALUE", client.log_metric, id, "late", 1.0)
    check.refused("INVALID_PARAMETER_VALUE", client.set_tag, id, "late", "x")
    client.restore_run(id)
    client.log_metric(id, "late", 1.0)
    check.refused("RESOURCE_DOES_NOT_EXIST", client.get_run, "0" * 32)


def searches(client: MlflowClient) -> None:
    experiment = client.create_experiment("search")
    ids = []
    for number in range(25):
        run = client.create_run(
            experiment, start_time=1_700_000_000_000 + number, tags={"mlflow.runName": f"r{number}"}
        )
        id = run.info.run_id
        ids.append(id)
        client.log_param(id, "depth", str(number % 3))
        if number % 5:
            client.log_metric(id, "auc", number / 100)
            client.log_metric(id, "m/with space", -float(number))
        if number == 7:
            client.log_metric(id, "auc", math.nan, step=1)
        client.set_tag(id, "kind", "odd" if number % 2 else "Even")

    def found(text: str, order: list[str] | None = None, most: int = 1000) -> list[int]:
        runs = client.search_runs([experiment], text, order_by=order, max_results=most)
        return [ids.index(run.info.run_id) for run in runs]

    assert found("") == list(range(24, -1, -1))
    assert sorted(found("metrics.auc > 0.2")) == [21, 22, 23, 24]
    assert sorted(found("metrics.auc >= 0.21 AND params.depth = '0' and tags.kind = 'odd'")) == [21]
    assert sorted(found("metrics.`m/with space` < -21")) == [22, 23, 24]
    assert sorted(found('metrics."auc" <= 0.02')) == [1, 2]
    assert sorted(found("tags.kind LIKE 'o%' AND metrics.auc > 0.2")) == [21, 23]
    assert found("tags.kind LIKE 'O%'") == []
    assert len(found("tags.kind ILIKE 'e_EN'")) == 13
    assert sorted(found("attributes.run_name IN ('r3', 'r5')")) == [3, 5]
    assert found("run_id = '" + ids[4] + "'") == [4]
    assert len(found(f"attributes.run_id NOT IN ('{ids[4]}', '{ids[5]}')")) == 23
    assert sorted(found("attributes.start_time < 1700000000002")) == [0, 1]
    assert found("params.nothing IS NULL AND tags.kind IS NOT NULL", most=2) == [24, 23]
    assert found("attributes.status = 'FINISHED'") == []
    assert found("metrics.auc != 0.01", ["metrics.auc ASC"], 3) == [2, 3, 4]
    by_auc = found("", ["metrics.auc DESC"])
    assert by_auc[:3] == [24, 23, 22]
    assert by_auc[-6:] == [20, 15, 10, 7, 5, 0] or set(by_auc[-6:]) == {0, 5, 10, 15, 20, 7}
    assert found("", ["params.depth ASC", "start_time DESC"])[:3] == [24, 21, 18]
    for bad in ("metrics.auc >", "nonsense", "metrics.auc > 'x'", "attributes.nothing = 'x'", "a = 'b' c"):
        check.refused("INVALID_PARAMETER_VALUE", client.search_runs, [experiment], bad)
    seen: list[str] = []
    token = None
    while True:
        page = client.search_runs([experiment], "", max_results=4, order_by=["metrics.auc DESC"], page_token=token)
        seen += [run.info.run_id for run in page]
        if len(seen) == 4:  # what comes meanwhile does not shift the pages
            new = client.create_run(experiment)
            client.log_metric(new.info.run_id, "auc", 0.99)
        token = page.token
        if not token:
            break
    assert [ids.index(id) for id in seen] == by_auc
    assert client.search_runs([], "") == []


def concurrent(client: MlflowClient) -> None:
    id = client.create_run("0").info.run_id

    def work(number: int) -> None:
        mine = MlflowClient()
        for step in range(25):
            mine.log_metric(id, f"thread {number}", float(step), step=step)
            mine.log_param(id, f"p{number}.{step}", step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run = client.get_run(id)
    assert len(run.data.params) == 200
    assert all(len(client.get_metric_history(id, f"thread {number}")) == 25 for number in range(8))


def registry(client: MlflowClient, run_id: str) -> None:
    client.create_registered_model("Flight Delays", tags={"team": "air"}, description="late or not")
    check.refused("RESOURCE_ALREADY_EXISTS", client.create_registered_model, "Flight Delays")
    check.refused("INVALID_PARAMETER_VALUE", client.create_registered_model, "a/b")
    check.refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, "nothing")
    for source in ("file:///etc", "/etc/passwd", "s3://bucket/x", "http://127.0.0.1/x", f"runs:/{run_id}/../../x"):
        check.refused("INVALID_PARAMETER_VALUE", client.create_model_version, "Flight Delays", source)
    source = f"runs:/{run_id}/all"
    one = client.create_model_version("Flight Delays", source, run_id, tags={"a": "b"}, description="first")
    two = client.create_model_version("Flight Delays", source, run_id)
    assert (one.version, two.version, one.run_id, one.status, one.tags) in [
        (a, b, run_id, "READY", {"a": "b"}) for a, b in (("1", "2"), (1, 2))
    ]
    assert client.get_model_version_download_uri("Flight Delays", "1").endswith(f"{run_id}/artifacts/all")
    client.set_registered_model_alias("Flight Delays", "Champion", "1")
    client.set_registered_model_alias("Flight Delays", "best-of", "1")
    client.set_registered_model_alias("Flight Delays", "Champion", "2")
    assert int(client.get_model_version_by_alias("Flight Delays", "Champion").version) == 2
    assert client.get_registered_model("Flight Delays").aliases == {"Champion": "2", "best-of": "1"} or (
        client.get_registered_model("Flight Delays").aliases == {"Champion": 2, "best-of": 1}
    )
    check.refused("INVALID_PARAMETER_VALUE", client.set_registered_model_alias, "Flight Delays", "latest", "1")
    check.refused("INVALID_PARAMETER_VALUE", client.set_registered_model_alias, "Flight Delays", "v1", "1")
    check.refused("RESOURCE_DOES_NOT_EXIST", client.set_registered_model_alias, "Flight Delays", "x", "99")
    client.delete_registered_model_alias("Flight Delays", "best-of")
    check.refused("INVALID_PARAMETER_VALUE", client.get_model_version_by_alias, "Flight Delays", "best-of")
    client.transition_model_version_stage("Flight Delays", "1", "production")
    client.transition_model_version_stage("Flight Delays", "2", "Production", archive_existing_versions=True)
    assert client.get_model_version("Flight Delays", "1").current_stage == "Archived"
    assert [int(v.version) for v in client.get_latest_versions("Flight Delays", ["Production"])] == [2]
    client.set_model_version_tag("Flight Delays", "2", "tested", "yes")
    client.set_registered_model_tag("Flight Delays", "x", "y")
    client.delete_registered_model_tag("Flight Delays", "x")
    client.update_model_version("Flight Delays", "2", "second")
    client.update_registered_model("Flight Delays", "other words")
    found = client.search_model_versions("name = 'Flight Delays' and tags.tested = 'yes'")
    assert [(int(v.version), v.description) for v in found] == [(2, "second")]
    assert [m.name for m in client.search_registered_models("name ILIKE 'flight%'")] == ["Flight Delays"]
    client.create_registered_model("other")
    assert len(client.search_registered_models(max_results=1)) == 1
    client.rename_registered_model("other", "another")
    client.delete_registered_model("another")
    check.refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, "another")
    client.create_registered_model("another")
    client.delete_model_version("Flight Delays", "1")
    check.refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, "Flight Delays", "1")
    third = client.create_model_version("Flight Delays", source, run_id)
    assert int(third.version) == 3
    client.delete_model_version("Flight Delays", "3")
    assert int(client.create_model_version("Flight Delays", source, run_id).version) == 4


def main() -> None:
    mlflow.set_tracking_uri(sys.argv[1])
    client = MlflowClient()
    experiments(client)
    run_id = fluent()
    artifacts(client, run_id)
    batches(client)
    searches(client)
    concurrent(client)
    registry(client, run_id)
    print("all as MLflow does it")


if __name__ == "__main__":
    main()
