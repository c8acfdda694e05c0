"""MLflow's logged models and registry on the wire; versions that a client registers are none that can be deployed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow_desk import Desk

from filled_store import fill
from slipway.cli import main
from slipway.errors import InvalidInput
from slipway.flows.models import list_models, search_models
from slipway.ledger import projects
from slipway.models import registry
from slipway.operations import declare
from slipway.operations.declare import Empty
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.search import Search

INVALID, MISSING, EXISTS = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
ALL = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture
def desk(workspace: Workspace) -> Desk:
    projects.register(workspace)
    return Desk(workspace)


def logged(desk: Desk, **fields: Any) -> str:
    made = desk.good("POST", "/logged-models", {"experiment_id": "0", "name": "late", **fields})
    return made["model"]["info"]["model_id"]


def test_a_logged_model_is_begun_stored_finished_found_and_put_aside(desk: Desk) -> None:
    run = desk.run()
    id = logged(
        desk,
        source_run_id=run,
        model_type="plain",
        params=[{"key": "n", "value": "3"}],
        tags=[{"key": "t", "value": "1"}],
    )
    assert id.startswith("m-")
    one = desk.good("GET", f"/logged-models/{id}")["model"]
    assert (one["info"]["status"], one["info"]["source_run_id"]) == ("LOGGED_MODEL_PENDING", run)
    assert one["info"]["artifact_uri"] == f"mlflow-artifacts:/0/models/{id}/artifacts"
    desk.ask("PUT", f"{ALL}/0/models/{id}/artifacts/MLmodel", content=b"flavors: {}")
    assert desk.ask("GET", f"{ALL}/0/models/{id}/artifacts/MLmodel").content == b"flavors: {}"
    assert desk.good("GET", ALL, {"path": f"0/models/{id}/artifacts"})["files"][0]["path"] == "MLmodel"
    assert desk.good("GET", f"/logged-models/{id}/artifacts/directories")["files"][0]["file_size"] == 11
    files = f"/ajax-api/2.0/mlflow/logged-models/{id}/artifacts/files"
    assert desk.send("GET", files, {"artifact_file_path": "MLmodel"}).content == b"flavors: {}"
    done = desk.good("PATCH", f"/logged-models/{id}", {"model_id": id, "status": "LOGGED_MODEL_READY"})
    assert done["model"]["info"]["status"] == "LOGGED_MODEL_READY"
    desk.good("PATCH", f"/logged-models/{id}/tags", {"tags": [{"key": "a/b", "value": "c"}]})
    desk.good("DELETE", f"/logged-models/{id}/tags/a/b")
    desk.bad(404, MISSING, "DELETE", f"/logged-models/{id}/tags/a/b")
    desk.good("POST", f"/logged-models/{id}/params", {"params": [{"key": "n", "value": "3"}]})
    desk.bad(400, INVALID, "POST", f"/logged-models/{id}/params", {"params": [{"key": "n", "value": "4"}]})
    desk.bad(400, INVALID, "PATCH", f"/logged-models/{id}", {"status": "DONE"})
    desk.good("DELETE", f"/logged-models/{id}", {"model_id": id})
    desk.bad(404, MISSING, "GET", f"/logged-models/{id}")
    assert desk.good("GET", f"/logged-models/{id}?allow_deleted=true")["model"]["info"]["model_id"] == id
    desk.bad(404, MISSING, "PATCH", f"/logged-models/{id}", {"status": 2})
    desk.bad(404, MISSING, "POST", "/logged-models", {"experiment_id": "9"})
    desk.bad(404, MISSING, "POST", "/logged-models", {"experiment_id": "0", "source_run_id": "x"})
    for name in ("a/b", "a:b", "a.b", 'a"b', "x" * 501, " "):
        desk.bad(400, INVALID, "POST", "/logged-models", {"experiment_id": "0", "name": name})


def test_metrics_of_a_model_are_kept_with_run_and_dataset(desk: Desk) -> None:
    run, id = desk.run(), logged(desk)
    for value, step, dataset in ((0.5, 0, ""), (0.6, 1, ""), (0.9, 0, "test")):
        desk.good(
            "POST", "/runs/log-metric",
            {"run_id": run, "key": "auc", "value": value, "timestamp": 5, "step": step, "model_id": id,
             "dataset_name": dataset, "dataset_digest": "d" if dataset else ""},
        )  # fmt: skip
    found = desk.good("GET", f"/logged-models/{id}")["model"]["data"]["metrics"]
    assert {(one["value"], one.get("dataset_name"), one["run_id"]) for one in found} == {
        (0.6, None, run),
        (0.9, "test", run),
    }
    for value in ("NaN", "Infinity"):
        odd = {"run_id": run, "key": value, "value": value, "timestamp": 5, "model_id": id}
        desk.good("POST", "/runs/log-metric", odd)
    found = desk.good("GET", f"/logged-models/{id}")["model"]["data"]["metrics"]
    assert {one["key"]: one["value"] for one in found if one["key"] != "auc"} == {"NaN": "NaN", "Infinity": "Infinity"}
    lost = {"run_id": run, "metrics": [{"key": "auc", "value": 1, "timestamp": 1, "model_id": "m-none"}]}
    desk.bad(404, MISSING, "POST", "/runs/log-batch", lost)
    assert len(desk.good("GET", "/metrics/get-history", {"run_id": run, "metric_key": "auc"})["metrics"]) == 3


def test_logged_models_are_searched(desk: Desk) -> None:
    run = desk.run()
    ids = [logged(desk, name=f"n{n}", params=[{"key": "p", "value": str(n)}]) for n in range(4)]
    for n, id in enumerate(ids[:3]):
        point = {
            "run_id": run,
            "key": "auc",
            "value": n / 10,
            "timestamp": 1,
            "model_id": id,
            "dataset_name": f"d{n % 2}",
        }
        desk.good("POST", "/runs/log-metric", point)

    def found(**asked: Any) -> list[int]:
        answer = desk.good("POST", "/logged-models/search", {"experiment_ids": ["0"], **asked})
        return [ids.index(one["info"]["model_id"]) for one in answer.get("models", [])]

    assert found(experiment_ids=["1"]) == []
    assert sorted(found(filter="name = 'n1'")) == [1]
    assert sorted(found(filter="metrics.auc >= 0.1")) == [1, 2]
    assert sorted(found(filter="metrics.auc >= 0.1", datasets=[{"dataset_name": "d0"}])) == [2]
    assert found(filter="params.p IN ('0', '3') and name LIKE 'n%'", order_by=[{"field_name": "name"}]) == [0, 3]
    by_auc = [{"field_name": "metrics.auc", "ascending": False}]
    assert found(order_by=by_auc)[:3] == [2, 1, 0]
    assert found(order_by=[{**by_auc[0], "dataset_name": "d1"}])[0] == 1
    first = desk.good("POST", "/logged-models/search", {"experiment_ids": ["0"], "max_results": 3, "order_by": by_auc})
    logged(desk, name="newer")
    rest = {"experiment_ids": ["0"], "max_results": 9, "order_by": by_auc, "page_token": first["next_page_token"]}
    assert ids[3] in [one["info"]["model_id"] for one in desk.good("POST", "/logged-models/search", rest)["models"]]
    for bad in (
        {"filter": "nonsense = 1"},
        {"filter": "name >"},
        {"order_by": [{}]},
        {"order_by": ["name"]},
        {"max_results": 0},
        {"page_token": "x"},
    ):
        desk.bad(400, INVALID, "POST", "/logged-models/search", {"experiment_ids": ["0"], **bad})


def test_what_a_client_said_of_a_version_is_on_its_page_and_in_a_terminal(desk: Desk, workspace: Workspace) -> None:
    desk.good("POST", "/registered-models/create", {"name": "churn"})
    desk.good("POST", "/model-versions/create", {"name": "churn", "source": f"runs:/{desk.run()}/model"})
    desk.good("PATCH", "/model-versions/update", {"name": "churn", "version": "1", "description": "the first"})
    desk.good("POST", "/model-versions/set-tag", {"name": "churn", "version": "1", "key": "site", "value": "<b>1</b>"})
    page = desk.send("GET", "/projects/flights/models/churn/1").text
    assert "the first" in page
    assert "<tr><th>site</th><td>&lt;b&gt;1&lt;/b&gt;</td></tr>" in page
    asked = ["models", "show", "churn", "--root", str(workspace.root), "--project", "flights"]
    told = CliRunner().invoke(main, asked).output
    assert "description" in told
    assert "site = <b>1</b>" in told


def test_models_and_versions_are_registered_described_and_deleted(desk: Desk) -> None:
    run = desk.run()
    made = desk.good("POST", "/registered-models/create", {"name": "My Model", "tags": [{"key": "a", "value": "b"}]})
    assert made["registered_model"]["name"] == "My Model"
    desk.bad(400, EXISTS, "POST", "/registered-models/create", {"name": "My Model"})
    for name in ("", " ", "a/b", "a:b", "..", "x" * 257, "a\\b", "a\nb"):
        desk.bad(400, INVALID, "POST", "/registered-models/create", {"name": name})
    new = {"name": "My Model", "source": f"runs:/{run}/model", "run_id": run}
    one = desk.good("POST", "/model-versions/create", new)["model_version"]
    assert (one["version"], one["status"], one["current_stage"], one["source"]) == ("1", "READY", "None", new["source"])
    where = desk.good("GET", "/model-versions/get-download-uri", {"name": "My Model", "version": "1"})
    assert where["artifact_uri"] == f"mlflow-artifacts:/0/{run}/artifacts/model"
    desk.bad(404, MISSING, "POST", "/model-versions/create", new | {"name": "other"})
    desk.good("PATCH", "/registered-models/update", {"name": "My Model", "description": "words"})
    desk.good("PATCH", "/model-versions/update", {"name": "My Model", "version": "1", "description": "first"})
    desk.good("POST", "/registered-models/set-tag", {"name": "My Model", "key": "k", "value": "v"})
    desk.good("DELETE", "/registered-models/delete-tag", {"name": "My Model", "key": "k"})
    desk.good("POST", "/model-versions/set-tag", {"name": "My Model", "version": "1", "key": "k", "value": "v"})
    desk.good("DELETE", "/model-versions/delete-tag", {"name": "My Model", "version": "1", "key": "k"})
    shown = desk.good("GET", "/registered-models/get", {"name": "My Model"})["registered_model"]
    assert (shown["description"], shown["tags"], shown["latest_versions"][0]["description"]) == (
        "words", [{"key": "a", "value": "b"}], "first",
    )  # fmt: skip
    for version in ("0", "2", "99999999999999999999", "x", "-1", "1.5", ""):
        answer = desk.send("GET", "/model-versions/get", {"name": "My Model", "version": version})
        assert answer.status_code in (400, 404), version
    desk.good("DELETE", "/model-versions/delete", {"name": "My Model", "version": "1"})
    desk.bad(404, MISSING, "GET", "/model-versions/get", {"name": "My Model", "version": "1"})
    assert desk.good("POST", "/model-versions/create", new)["model_version"]["version"] == "2"
    desk.good("POST", "/registered-models/rename", {"name": "My Model", "new_name": "Yours"})
    assert (
        desk.good("GET", "/model-versions/get", {"name": "Yours", "version": "2"})["model_version"]["name"] == "Yours"
    )
    desk.bad(404, MISSING, "GET", "/registered-models/get", {"name": "My Model"})
    desk.good("DELETE", "/registered-models/delete", {"name": "Yours"})
    desk.bad(404, MISSING, "GET", "/registered-models/get", {"name": "Yours"})
    desk.good("POST", "/registered-models/create", {"name": "Yours"})
    # Numbers go on: the audit log tells of one "Yours 2" only.
    assert desk.good("POST", "/model-versions/create", new | {"name": "Yours"})["model_version"]["version"] == "3"


SOURCES = [
    "/etc/passwd",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "s3://bucket/key",
    "http://127.0.0.1:8300/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/m",
    "mlflow-artifacts://evil.example/0/{run}/artifacts/m",
    "mlflow-artifacts:/0/{run}/artifacts/../../x",
    "mlflow-artifacts:/0/{run}/artifacts/%2e%2e/x",
    "mlflow-artifacts:/0/{run}/artifacts/m?x=/etc",
    "mlflow-artifacts:/0/{run}/artifacts/m#/etc",
    "mlflow-artifacts:/../../etc",
    "runs:/{run}/../../etc",
    "runs:/{run}/a//b",
    "runs:/{run}/m#x",
    "runs://host/{run}/m",
    "models:/",
    "models:/x",
    "models:/x/",
    "dbfs:/x",
    "",
    "\u0000",
]


@pytest.mark.parametrize("source", SOURCES)
def test_no_source_leads_outside(desk: Desk, source: str) -> None:
    run = desk.run()
    desk.good("POST", "/registered-models/create", {"name": "x"})
    given = {"name": "x", "source": source.format(run=run)}
    desk.bad(400, INVALID, "POST", "/model-versions/create", given)
    assert desk.good("GET", "/model-versions/search") == {}


@pytest.mark.parametrize(
    "source", ["runs:/{f}/m", "models:/m-{f}", "models:/nothing/1", "mlflow-artifacts:/0/{f}/artifacts/m"]
)
def test_a_source_that_is_not_there_is_a_404(desk: Desk, source: str) -> None:
    desk.good("POST", "/registered-models/create", {"name": "x"})
    desk.bad(404, MISSING, "POST", "/model-versions/create", {"name": "x", "source": source.format(f="f" * 32)})


def test_a_version_of_a_logged_model_knows_it_and_a_copy_too(desk: Desk) -> None:
    run = desk.run()
    id = logged(desk, source_run_id=run)
    desk.good("POST", "/registered-models/create", {"name": "x"})
    one = desk.good("POST", "/model-versions/create", {"name": "x", "source": f"models:/{id}", "model_id": id})
    assert (one["model_version"]["model_id"], one["model_version"]["run_id"]) == (id, run)
    copy = desk.good("POST", "/model-versions/create", {"name": "x", "source": "models:/x/1"})["model_version"]
    assert (copy["model_id"], copy["version"]) == (id, "2")
    where = desk.good("GET", "/model-versions/get-download-uri", {"name": "x", "version": "2"})["artifact_uri"]
    assert where == f"mlflow-artifacts:/0/models/{id}/artifacts"
    known = desk.good("GET", f"/logged-models/{id}")["model"]["info"]["registrations"]
    assert sorted(each["version"] for each in known) == ["1", "2"]
    desk.ask("PUT", f"{ALL}/0/models/{id}/artifacts/MLmodel", content=b"x")
    for path in ("/model-versions/get-artifact", "/api/2.0/mlflow/model-versions/get-artifact"):
        assert desk.send("GET", path, {"name": "x", "version": "2", "path": "MLmodel"}).content == b"x"
        for bad in ("../MLmodel", "", "a//b"):
            assert desk.send("GET", path, {"name": "x", "version": "2", "path": bad}).status_code == 400


def test_aliases_and_stages(desk: Desk) -> None:
    run = desk.run()
    desk.good("POST", "/registered-models/create", {"name": "x"})
    for _ in range(3):
        desk.good("POST", "/model-versions/create", {"name": "x", "source": f"runs:/{run}/m"})
    desk.good("POST", "/registered-models/alias", {"name": "x", "alias": "Champion", "version": "2"})
    by_alias = desk.good("GET", "/registered-models/alias", {"name": "x", "alias": "Champion"})["model_version"]
    assert (by_alias["version"], by_alias["aliases"]) == ("2", ["Champion"])
    assert (
        desk.good("GET", "/registered-models/alias", {"name": "x", "alias": "latest"})["model_version"]["version"]
        == "3"
    )
    for alias in ("latest", "LATEST", "v1", "V22", "7", "a b", "a/b", "", "x" * 256):
        desk.bad(400, INVALID, "POST", "/registered-models/alias", {"name": "x", "alias": alias, "version": "1"})
    desk.bad(404, MISSING, "POST", "/registered-models/alias", {"name": "x", "alias": "a", "version": "9"})
    desk.bad(400, INVALID, "GET", "/registered-models/alias", {"name": "x", "alias": "nothing"})
    desk.bad(404, MISSING, "GET", "/registered-models/alias", {"name": "y", "alias": "nothing"})
    move = {"name": "x", "archive_existing_versions": True}
    desk.good("POST", "/model-versions/transition-stage", move | {"version": "1", "stage": "Production"})
    desk.good("POST", "/model-versions/transition-stage", move | {"version": "2", "stage": "production"})
    desk.bad(400, INVALID, "POST", "/model-versions/transition-stage", move | {"version": "2", "stage": "Archived"})
    desk.bad(400, INVALID, "POST", "/model-versions/transition-stage", move | {"version": "2", "stage": "Live"})
    latest = desk.good("POST", "/registered-models/get-latest-versions", {"name": "x"})["model_versions"]
    assert {(one["current_stage"], one["version"]) for one in latest} == {
        ("Archived", "1"),
        ("Production", "2"),
        ("None", "3"),
    }
    only = desk.good("GET", "/registered-models/get-latest-versions", {"name": "x", "stages": ["production"]})
    assert [one["version"] for one in only["model_versions"]] == ["2"]
    desk.good("DELETE", "/model-versions/delete", {"name": "x", "version": "2"})
    desk.bad(400, INVALID, "GET", "/registered-models/alias", {"name": "x", "alias": "Champion"})
    desk.good("DELETE", "/registered-models/alias", {"name": "x", "alias": "Champion"})


def test_models_and_versions_are_searched(desk: Desk) -> None:
    run = desk.run()
    for name in ("a", "b", "c"):
        desk.good("POST", "/registered-models/create", {"name": name, "tags": [{"key": "t", "value": name}]})
        desk.good("POST", "/model-versions/create", {"name": name, "source": f"runs:/{run}/{name}", "run_id": run})
    prompt = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    desk.good("POST", "/registered-models/create", {"name": "words", "tags": prompt})
    desk.good("POST", "/model-versions/create", {"name": "words", "source": "dummy-source", "tags": prompt})

    def found(path: str, what: str, **asked: Any) -> list[str]:
        return [one["name"] for one in desk.good("GET", path, asked).get(what, [])]

    models, versions = ("/registered-models/search", "registered_models"), ("/model-versions/search", "model_versions")
    assert found(*models) == ["a", "b", "c"]
    assert found(*models, order_by="name DESC", max_results=2) == ["c", "b"]
    assert found(*models, filter="tags.t = 'b'") == ["b"]
    assert found(*models, filter="tags.`mlflow.prompt.is_prompt` = 'true'") == ["words"]
    assert found(*models, filter="tags.`mlflow.prompt.is_prompt` != 'true' and name ILIKE 'A%'") == ["a"]
    assert sorted(found(*versions, filter=f"run_id = '{run}'")) == ["a", "b", "c"]
    assert found(*versions, filter=f"source_path = 'runs:/{run}/b'") == ["b"]
    assert found(*versions, filter="name = 'c' and version_number = 1") == ["c"]
    assert found(*versions) == ["a", "b", "c"]  # all of one instant, so by name
    assert found(*versions, order_by="name DESC") == ["c", "b", "a"]
    assert found(*versions, filter="tags.`mlflow.prompt.is_prompt` = 'true' or name = 'a'") == ["a", "words"]
    assert found(*models, filter="not tags.`mlflow.prompt.is_prompt` = 'true'", order_by="timestamp DESC") == [*"abc"]
    assert found(*models, filter="name LIKE 'A%'") == []
    page = desk.good("GET", models[0], {"max_results": 2})
    assert found(*models, max_results=2, page_token=page["next_page_token"]) == ["c"]
    for bad in (
        {"filter": "x = 'y'"},
        {"max_results": 0},
        {"max_results": 1001},
        {"order_by": "x"},
        {"page_token": "x"},
    ):
        desk.bad(400, INVALID, "GET", models[0], bad)


def test_versions_are_found_by_what_their_run_and_logged_model_say(desk: Desk) -> None:
    run = desk.run()
    id = logged(desk, source_run_id=run, params=[{"key": "n", "value": "3"}])
    desk.good("POST", "/registered-models/create", {"name": "x"})
    desk.good("POST", "/model-versions/create", {"name": "x", "source": f"runs:/{run}/m", "run_id": run})
    desk.good("POST", "/model-versions/create", {"name": "x", "source": f"models:/{id}"})
    desk.good("POST", "/registered-models/alias", {"name": "x", "alias": "best", "version": "2"})

    def found(filter: str, **asked: Any) -> list[str]:
        answer = desk.good("GET", "/model-versions/search", {"filter": filter, **asked})
        return [one["version"] for one in answer.get("model_versions", [])]

    assert found("metrics.auc > 0.5") == []
    point = {"run_id": run, "key": "auc", "timestamp": 5}
    desk.good("POST", "/runs/log-metric", point | {"value": 0.9, "model_id": id})
    assert found("metrics.auc > 0.5") == ["2"]  # a logged model is followed at once, a run when it has ended
    desk.good("POST", "/runs/log-metric", point | {"value": 0.7, "timestamp": 6})
    desk.good("POST", "/runs/log-parameter", {"run_id": run, "key": "depth", "value": "6"})
    desk.good("POST", "/runs/update", {"run_id": run, "status": "FINISHED"})
    assert found("metrics.auc > 0.5", order_by="metrics.auc") == ["1", "2"]
    assert found("metrics.auc > 0.5", order_by="metrics.auc DESC") == ["2", "1"]
    assert found("params.depth = '6' and params.n = '3'") == ["2"]
    assert found("alias = 'best' or stage = 'Production'") == ["2"]
    desk.good("POST", "/model-versions/transition-stage", {"name": "x", "version": "1", "stage": "Production"})
    assert found("stage = 'Production' and name = 'x'") == ["1"]
    desk.good("DELETE", "/model-versions/delete", {"name": "x", "version": "2"})
    assert found("") == ["1"]


def test_times_are_compared_as_clients_were_told_them(desk: Desk) -> None:
    desk.good("POST", "/registered-models/create", {"name": "x"})
    told = int(desk.good("GET", "/registered-models/get", {"name": "x"})["registered_model"]["creation_timestamp"])

    def found(comparison: str) -> int:
        asked = {"filter": f"creation_timestamp {comparison}"}
        return len(desk.good("GET", "/registered-models/search", asked).get("registered_models", []))

    for fits in (f"= {told}", f"<= {told}", f">= {told}", f"in ({told})", f"between {told - 1} and {told}", "> 0"):
        assert found(fits) == 1, fits
    for fails in (f"!= {told}", f"< {told}", f"> {told}", f"in ({told + 1})", f"between 0 and {told - 1}"):
        assert found(fails) == 0, fails


def test_a_page_of_models_is_as_many_queries_for_many_as_for_few(
    desk: Desk, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = desk.run()
    counts: list[int] = []

    def reading() -> Any:
        @contextmanager
        def traced() -> Iterator[Any]:
            with real() as tx:
                for verb in ("get", "find", "ref", "refs", "links", "search", "latest_points"):
                    monkeypatch.setattr(tx, verb, counted(getattr(tx, verb)), raising=False)
                yield tx

        return traced()

    def counted(verb: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            counts[-1] += 1
            return verb(*given, **named)

        return call

    for number in range(12):
        id = logged(desk)
        desk.good("POST", "/registered-models/create", {"name": f"m{number}"})
        for source in (f"runs:/{run}/m", f"models:/{id}"):
            desk.good("POST", "/model-versions/create", {"name": f"m{number}", "source": source})
        desk.good("POST", "/registered-models/alias", {"name": f"m{number}", "alias": "best", "version": "1"})
    real = workspace.ledger.read
    monkeypatch.setattr(workspace.ledger, "read", reading)
    for limit in (1, 12):
        counts.append(0)
        page = desk.good("GET", "/registered-models/search", {"max_results": limit})["registered_models"]
        assert [(one["latest_versions"][0]["version"], one["aliases"][0]["version"]) for one in page] == [
            ("2", "1")
        ] * limit
    assert counts[0] == counts[1] > 0
    for answer in (lambda: list_models(workspace, Empty()), lambda: search_models(workspace, Search())):
        counts.append(0)
        assert len(answer().models) == 24
        assert 0 < counts[-1] <= 2


def test_both_kinds_of_versions_show_in_both_faces(desk: Desk, workspace: Workspace) -> None:
    fill(workspace)
    run = desk.run()
    signed = desk.good("GET", "/registered-models/get", {"name": "flight-delays"})["registered_model"]
    assert signed["latest_versions"][0]["source"].startswith("slipway-bundle:")
    made = desk.good("POST", "/model-versions/create", {"name": "flight-delays", "source": f"runs:/{run}/m"})
    number = made["model_version"]["version"]
    desk.good("POST", "/registered-models/create", {"name": "Theirs"})
    desk.good("POST", "/model-versions/create", {"name": "Theirs", "source": f"runs:/{run}/m"})
    for name, version in (("flight-delays", number), ("Theirs", "1")):
        page = desk.ask("GET", f"/projects/flights/models/{name}/{version}")
        assert (page.status_code, "no signed bundle" in page.text, f"runs:/{run}/m" in page.text) == (200, True, True)
    listed = desk.ask("GET", "/projects/flights/models").text
    assert "Theirs" in listed
    assert desk.ask("GET", "/projects/flights/models/flight-delays/1").status_code == 200
    refused = desk.bad(
        400, INVALID, "GET", "/model-versions/get-download-uri", {"name": "flight-delays", "version": "1"}
    )
    assert "slipway deploy" in refused


def test_what_a_client_registers_cannot_be_deployed_approved_or_certified(desk: Desk, workspace: Workspace) -> None:
    fill(workspace)
    run = desk.run()
    desk.good("POST", "/model-versions/create", {"name": "flight-delays", "source": f"runs:/{run}/m"})
    desk.good("POST", "/registered-models/alias", {"name": "flight-delays", "alias": "candidate", "version": "3"})
    number = registry.find(workspace, "flight-delays").number
    for version in ("latest", str(number)):
        for name, fields in (
            ("endpoints.deploy", {"model": "flight-delays", "version": version}),
            ("approvals.grant", {"model": "flight-delays", "version": version}),
            ("features.certify", {"model": "flight-delays", "version": version}),
        ):
            wanted = operation(name)
            with pytest.raises(InvalidInput, match="has no signed bundle"):
                declare.call(workspace, wanted, declare.convert(wanted, fields))


def test_a_signed_version_is_not_deleted_or_renamed_by_a_client(desk: Desk, workspace: Workspace) -> None:
    fill(workspace)
    one = {"name": "flight-delays", "version": "1"}
    assert "signed bundle" in desk.bad(400, INVALID, "DELETE", "/model-versions/delete", one)
    desk.bad(400, INVALID, "DELETE", "/registered-models/delete", {"name": "flight-delays"})
    desk.bad(400, INVALID, "POST", "/registered-models/rename", {"name": "flight-delays", "new_name": "x"})
    desk.bad(400, EXISTS, "POST", "/registered-models/create", {"name": "flight-delays"})
    assert registry.get(workspace, "flight-delays", 1).number == 1


def test_what_a_client_deletes_is_in_the_trash_and_is_purged_from_there(desk: Desk, workspace: Workspace) -> None:
    run = desk.run()
    model = desk.good("POST", "/logged-models", {"experiment_id": "0", "name": "net"})["model"]["info"]["model_id"]
    desk.good("POST", "/registered-models/create", {"name": "x"})
    for _ in range(2):
        desk.good("POST", "/model-versions/create", {"name": "x", "source": f"runs:/{run}/m"})
    desk.good("DELETE", "/model-versions/delete", {"name": "x", "version": "1"})
    desk.good("DELETE", f"/logged-models/{model}")
    desk.good("DELETE", "/registered-models/delete", {"name": "x"})
    desk.good("POST", "/runs/delete", {"run_id": run})

    def do(name: str, **fields: Any) -> Any:
        return declare.call(workspace, operation(name), declare.convert(operation(name), fields))

    assert {item.item for item in do("trash.list").items} == {"model:x", f"logged:{model}", f"run:{run}"}
    do("trash.restore", items=["model:x", "model:x:1", f"logged:{model}"])
    assert desk.good("GET", "/model-versions/get", {"name": "x", "version": "1"})["model_version"]["version"] == "1"
    assert desk.good("GET", f"/logged-models/{model}")["model"]["info"]["name"] == "net"
    assert [one.why for one in do("trash.purge", items=[f"run:{run}"]).kept] == ["version 2 of 'x' names it"]
    desk.good("DELETE", "/registered-models/delete", {"name": "x"})
    desk.good("DELETE", f"/logged-models/{model}")
    assert do("trash.purge", older_than_days=0).records == 5
    desk.bad(404, MISSING, "GET", f"/logged-models/{model}?allow_deleted=true")
    desk.bad(404, MISSING, "GET", "/runs/get", {"run_id": run})


def test_versions_made_at_once_have_numbers_of_their_own(desk: Desk, workspace: Workspace) -> None:
    run = desk.run()
    desk.good("POST", "/registered-models/create", {"name": "x"})
    numbers: list[str] = []

    def work() -> None:
        mine = Desk(workspace)
        for _ in range(5):
            made = mine.good("POST", "/model-versions/create", {"name": "x", "source": f"runs:/{run}/m"})
            numbers.append(made["model_version"]["version"])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, numbers)) == list(range(1, 21))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_metric_of_a_logged_model_that_is_no_number_is_read_back(desk: Desk, value: str) -> None:
    made = desk.good("POST", "/logged-models", {"experiment_id": "0", "name": "m"})["model"]["info"]["model_id"]
    point = {"key": "loss", "value": value, "timestamp": 5, "step": 0, "model_id": made}
    desk.good("POST", "/runs/log-batch", {"run_id": desk.run(), "metrics": [point]})
    found = desk.good("GET", f"/logged-models/{made}")["model"]["data"]["metrics"]
    assert [one["value"] for one in found] == [value]
