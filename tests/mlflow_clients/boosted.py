"""Runs in an environment with MLflow 2 or 3 and XGBoost: autolog, and models that are logged, registered and loaded.

Usage: python boosted.py TRACKING_URI
"""

import sys

import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow import MlflowClient
from mlflow.models import infer_signature

RNG = np.random.default_rng(7)
X = pd.DataFrame(RNG.normal(size=(200, 3)), columns=["a", "b", "c"])
Y = (X.a + X.b > 0).astype(int)
SETTINGS = {"objective": "binary:logistic", "eval_metric": "auc", "max_depth": 2}


def autolog(client: MlflowClient) -> None:
    mlflow.set_experiment("boosted")
    mlflow.xgboost.autolog()
    data = xgboost.DMatrix(X, Y)
    with mlflow.start_run() as run:
        booster = xgboost.train(SETTINGS, data, num_boost_round=12, evals=[(data, "train")])
    found = client.get_run(run.info.run_id)
    assert found.data.params["num_boost_round"] == "12"
    assert found.data.params["max_depth"] == "2"
    history = client.get_metric_history(run.info.run_id, "train-auc")
    assert [point.step for point in history] == list(range(12))
    assert found.data.metrics["train-auc"] == history[-1].value > 0.9
    assert "feature_importance_weight.json" in [one.path for one in client.list_artifacts(run.info.run_id)]
    loaded = mlflow.xgboost.load_model(f"runs:/{run.info.run_id}/model")
    assert (loaded.predict(data) == booster.predict(data)).all()
    with mlflow.start_run() as classified:
        xgboost.XGBClassifier(n_estimators=4, max_depth=3).fit(X, Y, eval_set=[(X, Y)], verbose=False)
    found = client.get_run(classified.info.run_id)
    assert found.data.params["max_depth"] == "3"
    assert len(client.get_metric_history(classified.info.run_id, "validation_0-logloss")) == 4
    mlflow.xgboost.autolog(disable=True)


def log_and_load(client: MlflowClient) -> None:
    model = xgboost.XGBClassifier(n_estimators=3).fit(X, Y)
    expected = model.predict(X)
    place = {"name": "late"} if mlflow.__version__ >= "3" else {"artifact_path": "late"}
    with mlflow.start_run() as run:
        mlflow.xgboost.log_model(
            model,
            **place,
            signature=infer_signature(X, expected),
            input_example=X[:3],
            registered_model_name="boosted",
            pip_requirements=["xgboost"],  # finding it out would start an interpreter for each model
            model_format="json",
        )
    client.set_registered_model_alias("boosted", "champion", "1")
    for uri in (f"runs:/{run.info.run_id}/late", "models:/boosted/1", "models:/boosted@champion"):
        assert (mlflow.pyfunc.load_model(uri).predict(X) == expected).all(), uri
        again = mlflow.xgboost.load_model(uri)
        assert isinstance(again, xgboost.XGBClassifier), type(again)
        assert (again.predict(X) == expected).all(), uri
    assert list(mlflow.models.get_model_info("models:/boosted/1").flavors) == ["python_function", "xgboost"]


def main() -> None:
    mlflow.set_tracking_uri(sys.argv[1])
    client = MlflowClient()
    autolog(client)
    log_and_load(client)
    print("all as MLflow does it")


if __name__ == "__main__":
    main()
