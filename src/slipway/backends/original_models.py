"""Models that were kept elsewhere: opened as they lie, and asked as whoever made them asked them.

The file is also run as it is by the Python of another environment, one without Slipway and perhaps an older one: a JSON
object comes on standard input and one goes out on standard output. So it imports nothing of Slipway.
"""

from __future__ import annotations

import importlib
import json
import pickle
import platform
import sys
import warnings
from typing import Any

__all__ = ["asked_by", "described", "opened", "original_answers", "own_file"]

_MARK = "slipway-original:"
_SHOWN = ("scikit-learn", "lightgbm", "xgboost", "onnxruntime", "mlflow")


def opened(kind: str, path: str) -> Any:
    """The model in a file. Loading a pickle runs whatever it says.

    Args:
        kind: "pickle" (joblib's too), "skops", "lightgbm", "xgboost", "onnx", or "mlflow.<flavor>": a folder that MLflow
            loads.
        path: The file or folder.
    """
    if kind == "pickle":
        return _unpickled(path)
    if kind == "onnx":
        return importlib.import_module("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    if kind == "lightgbm":
        return importlib.import_module("lightgbm").Booster(model_file=path)
    if kind == "xgboost":
        booster = importlib.import_module("xgboost").Booster()
        with open(path, "rb") as file:
            booster.load_model(bytearray(file.read()))  # by what is in it: MLflow's ending `.xgb` is none that it knows
        return booster
    if kind == "skops":
        io = importlib.import_module("skops.io")
        return io.load(path, trusted=io.get_untrusted_types(file=path))
    return importlib.import_module(kind).load_model(path)


def _unpickled(path: str) -> Any:
    try:
        return importlib.import_module("joblib").load(path)  # reads plain pickles too
    except ModuleNotFoundError as problem:
        if problem.name != "joblib":
            raise
    with open(path, "rb") as file:
        return pickle.load(file)


def original_answers(model: Any, frame: Any) -> list[float]:
    """One answer a row, by the model's own methods: the probability of the second of two classes, or the value.

    Args:
        model: What `opened` gave.
        frame: A pandas frame with the model's columns in its own order.
    """
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that it was not fitted with
        if hasattr(model, "get_inputs"):
            found = _of_graph(model, frame)
        elif type(model).__module__.startswith("xgboost") and not hasattr(model, "fit"):  # a booster, no estimator
            found = model.predict(importlib.import_module("xgboost").DMatrix(frame))
        elif len(getattr(model, "classes_", ())) == 2 and hasattr(model, "predict_proba"):
            found = model.predict_proba(_rows(model, frame))
        else:
            found = model.predict(_rows(model, frame))
    found = np.asarray(found, dtype=np.float64)
    return [float(value) for value in (found[:, -1] if found.ndim == 2 else found)]


def _rows(model: Any, frame: Any) -> Any:
    """The frame, or its numbers where the model was fitted on an array and knows no names."""
    names = getattr(model, "feature_names_in_", None)
    if names is None and hasattr(model, "get_booster"):
        names = model.get_booster().feature_names  # releases of XGBoost before 1.7 tell them nowhere else
    nameless = hasattr(model, "n_features_in_") and names is None
    return frame.to_numpy() if nameless and all(kind.kind in "biuf" for kind in frame.dtypes) else frame


def _of_graph(session: Any, frame: Any) -> Any:
    import numpy as np

    kinds: dict[str, Any] = {
        "tensor(float)": np.float32,
        "tensor(double)": np.float64,
        "tensor(int64)": np.int64,
        "tensor(int32)": np.int32,
        "tensor(bool)": np.bool_,
        "tensor(string)": object,
    }
    given = session.get_inputs()
    if len(given) == 1 and (len(frame.columns) > 1 or given[0].name not in frame.columns):
        feeds = {given[0].name: frame.to_numpy().astype(kinds[given[0].type])}
    else:
        feeds = {one.name: frame[[one.name]].to_numpy().astype(kinds[one.type]) for one in given}
    found = session.run(None, feeds)[-1]
    if isinstance(found, list):  # of maps from class to probability
        return np.array([[row[key] for key in sorted(row)] for row in found])
    return np.asarray(found).reshape(len(frame), -1)


def described() -> str:
    """The Python that asks, and the libraries of models that it has loaded, in words."""
    from importlib import metadata

    loaded = {name.partition(".")[0] for name in sys.modules}
    modules = {"scikit-learn": "sklearn"}
    found = [
        f"{name} {metadata.version(name)}" for name in _SHOWN if modules.get(name, name) in loaded and _is_there(name)
    ]
    return ", ".join([f"Python {platform.python_version()}", *found])


def _is_there(name: str) -> bool:
    from importlib import metadata

    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def asked_by(text: str) -> dict[str, Any] | None:
    """What a process that runs this file said; None where it said nothing of the kind."""
    for line in reversed(text.splitlines()):
        if line.startswith(_MARK):
            said: dict[str, Any] = json.loads(line[len(_MARK) :])
            return said
    return None


def own_file() -> str:
    """This file, which another Python runs."""
    return __file__


def _frame(columns: list[dict[str, Any]]) -> Any:
    import pandas as pd

    found = {}
    for column in columns:
        values, kind = list(column["values"]), column["type"]
        for place, odd in column.get("odd", {}).items():  # JSON has no such numbers
            values[int(place)] = float(odd)
        if kind == "category":
            found[column["name"]] = pd.Series(pd.Categorical(values, categories=column["categories"]))
        elif kind == "object" or not kind.islower() or kind in ("boolean", "string"):  # as it is named, not turned
            found[column["name"]] = pd.Series(values, dtype=kind)
        else:
            found[column["name"]] = pd.Series(values).astype(kind)
    return pd.DataFrame(found)


def _main() -> None:
    asked = json.load(sys.stdin)
    sys.path += asked.get("folders", [])
    try:
        model = opened(asked["kind"], asked["path"])
        told: dict[str, Any] = {"answers": [repr(value) for value in original_answers(model, _frame(asked["columns"]))]}
        told["described"] = described()
    except Exception as problem:
        told = {"problem": f"{type(problem).__name__}: {problem}"}
    print(_MARK + json.dumps(told))


if __name__ == "__main__":
    _main()
