"""Fit a pipeline and log it with MLflow, as its quick start does; prints where the model was put."""

import mlflow
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

mlflow.set_tracking_uri("sqlite:///mlflow.db")
rows = load_breast_cancer(as_frame=True).frame
x, y = rows.drop(columns="target"), rows["target"]
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)
with mlflow.start_run():
    found = mlflow.sklearn.log_model(
        model,
        name="tumours",
        input_example=x.head(5),
        registered_model_name="tumours",
        pyfunc_predict_fn="predict_proba",
    )
print(found.model_uri)
