"""Runs in an environment with MLflow 3, scikit-learn and LightGBM: autolog, logged models, the registry, every URI.

Usage: python models.py TRACKING_URI
"""

import sys
import warnings

import lightgbm
import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.models import infer_signature
from refusals import refused
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

NEEDED = ["scikit-learn"]  # finding it out would start an interpreter for each model
RNG = np.random.default_rng(7)
X = pd.DataFrame(RNG.normal(size=(200, 3)), columns=["a", "b", "c"])
Y = (X.a + X.b > 0).astype(int)


def autolog_sklearn(client: MlflowClient) -> None:
    mlflow.set_experiment("autolog")
    mlflow.sklearn.autolog()
    with mlflow.start_run() as run:
        model = LogisticRegression(C=0.5).fit(X, Y)
        model.score(X, Y)
    found = client.get_run(run.info.run_id)
    assert found.data.params["C"] == "0.5"
    assert found.data.metrics["training_accuracy_score"] > 0.9
    assert any("score" in key and not key.startswith("training") for key in found.data.metrics), found.data.metrics
    assert [one.dataset.name for one in found.inputs.dataset_inputs] == ["dataset"]
    assert found.inputs.dataset_inputs[0].tags[0].value == "train"
    assert len(found.outputs.model_outputs) == 1
    assert "estimator.html" in [one.path for one in client.list_artifacts(run.info.run_id)]
    mlflow.sklearn.autolog(log_models=False)
    with mlflow.start_run() as searched:
        GridSearchCV(RandomForestClassifier(n_estimators=3), {"max_depth": [1, 2, 3]}, cv=2).fit(X, Y)
    children = mlflow.search_runs(
        experiment_names=["autolog"], filter_string=f"tags.mlflow.parentRunId = '{searched.info.run_id}'"
    )
    assert len(children) == 3
    mlflow.sklearn.autolog(disable=True)


def autolog_lightgbm(client: MlflowClient) -> None:
    mlflow.lightgbm.autolog()
    with mlflow.start_run() as run:
        data = lightgbm.Dataset(X, Y)
        lightgbm.train(
            {"objective": "binary", "verbose": -1, "metric": "auc"}, data, num_boost_round=12, valid_sets=[data],
            valid_names=["train"],
        )  # fmt: skip
    found = client.get_run(run.info.run_id)
    assert found.data.params["num_boost_round"] == "12"
    assert len(client.get_metric_history(run.info.run_id, "train-auc")) == 12
    assert len(found.outputs.model_outputs) == 1
    mlflow.lightgbm.autolog(disable=True)


def log_and_load(client: MlflowClient) -> None:
    mlflow.set_experiment("models")
    model = LogisticRegression().fit(X, Y)
    with mlflow.start_run() as run:
        logged = mlflow.sklearn.log_model(
            model,
            name="late",
            signature=infer_signature(X, model.predict(X)),
            input_example=X[:3],
            params={"n": 3},
            registered_model_name="late-or-not",
            pip_requirements=NEEDED,
        )
        mlflow.log_metric("auc", 0.9, model_id=logged.model_id)
        mlflow.log_metric("auc", 0.7, step=1, model_id=logged.model_id, dataset=mlflow.data.from_pandas(X, name="x"))
    for name, arguments in (("second", {"C": 0.1}), ("third", {"C": 0.2})):
        with mlflow.start_run():
            mlflow.sklearn.log_model(
                LogisticRegression(**arguments).fit(X, Y),
                name=name,
                registered_model_name="late-or-not",
                pip_requirements=NEEDED,
            )
    one = mlflow.get_logged_model(logged.model_id)
    assert (one.name, one.status.name, one.source_run_id) == ("late", "READY", run.info.run_id)
    assert one.params["n"] == "3"
    assert {(metric.value, metric.dataset_name) for metric in one.metrics} == {(0.9, None), (0.7, "x")}
    client.set_logged_model_tags(logged.model_id, {"kind": "plain", "a/b": "c"})
    client.delete_logged_model_tag(logged.model_id, "a/b")
    assert "a/b" not in mlflow.get_logged_model(logged.model_id).tags
    client.set_registered_model_alias("late-or-not", "champion", "2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client.transition_model_version_stage("late-or-not", "1", "Staging")
    mlflow.register_model(f"runs:/{run.info.run_id}/late", "from-run")
    mlflow.register_model(f"models:/{logged.model_id}", "from-model")
    client.copy_model_version("models:/late-or-not/1", "copied")
    expected = model.predict(X)
    for uri in (
        f"runs:/{run.info.run_id}/late",
        f"models:/{logged.model_id}",
        logged.model_uri,
        "models:/late-or-not/1",
        "models:/late-or-not/Staging",
        "models:/from-run/1",
        "models:/from-model/latest",
        "models:/copied/1",
        one.artifact_location,
    ):
        assert (mlflow.pyfunc.load_model(uri).predict(X) == expected).all(), uri
    for uri in ("models:/late-or-not/latest", "models:/late-or-not@champion", "models:/late-or-not/3"):
        assert mlflow.sklearn.load_model(uri).predict(X).shape == expected.shape, uri
    assert mlflow.models.get_model_info("models:/late-or-not/1").signature is not None
    assert client.get_model_version("late-or-not", "1").model_id in (None, logged.model_id)
    found = mlflow.search_logged_models(
        experiment_ids=[run.info.experiment_id],
        filter_string="name = 'late' and metrics.auc > 0.8",
        output_format="list",
    )
    assert [each.model_id for each in found] == [logged.model_id]
    ordered = mlflow.search_logged_models(
        experiment_ids=[run.info.experiment_id],
        order_by=[{"field_name": "metrics.auc", "ascending": False}],
        output_format="list",
        max_results=3,
    )
    assert ordered[0].model_id == logged.model_id
    empty = mlflow.search_logged_models(
        experiment_ids=[run.info.experiment_id],
        filter_string="metrics.auc > 0.8",
        datasets=[{"dataset_name": "x"}],
        output_format="list",
    )
    assert empty == []
    with mlflow.start_run():
        reading = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
        assert reading is not None
    external = mlflow.create_external_model(name="elsewhere", params={"p": "q"})
    assert mlflow.get_logged_model(external.model_id).params["p"] == "q"
    made = mlflow.initialize_logged_model(name="begun")
    assert made.status.name == "PENDING"
    assert mlflow.finalize_logged_model(made.model_id, "READY").status.name == "READY"
    client.delete_logged_model(made.model_id)
    refused("RESOURCE_DOES_NOT_EXIST", mlflow.get_logged_model, made.model_id)
    refused("INVALID_PARAMETER_VALUE", mlflow.search_logged_models, filter_string="nonsense !")


def prompts(client: MlflowClient) -> None:
    mlflow.genai.register_prompt("greeting", template="Hello {{name}}")
    mlflow.genai.register_prompt("greeting", template="Good day {{name}}")
    assert mlflow.genai.load_prompt("prompts:/greeting/2").format(name="Ada") == "Good day Ada"
    assert "greeting" not in [model.name for model in client.search_registered_models()]
    assert [one.name for one in mlflow.genai.search_prompts()] == ["greeting"]


def main() -> None:
    mlflow.set_tracking_uri(sys.argv[1])
    client = MlflowClient()
    autolog_sklearn(client)
    autolog_lightgbm(client)
    log_and_load(client)
    prompts(client)
    print("all as MLflow does it")


if __name__ == "__main__":
    main()
