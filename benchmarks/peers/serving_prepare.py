"""What the serving peers start from, made of one fitted pipeline: `python serving_prepare.py FOLDER`.

The folder holds `pipeline.pkl` and `sample.pkl`, the training frame's first rows. Made are an MLflow model with its signature
inferred, and for the hand-written limit `limit.json`: the pipeline's constants, and where it ends in boosted trees these
as ONNX.
"""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from skl2onnx import to_onnx


def constants(pipeline: Any) -> dict[str, Any]:
    """What an own encoder needs: medians, means and scales of numbers, categories of texts, and a linear model's weights."""
    prepared, model = pipeline[0], pipeline[-1]
    (_, numbers, number_names), (_, texts, text_names) = prepared.transformers_
    filled, scaled = numbers
    found: dict[str, Any] = {
        "numbers": list(number_names),
        "texts": list(text_names),
        "medians": filled.statistics_.tolist(),
        "means": scaled.mean_.tolist(),
        "scales": scaled.scale_.tolist(),
        "categories": [[None if value != value else value for value in known] for known in texts.categories_],
    }
    if hasattr(model, "coef_"):
        found["weights"], found["intercept"] = model.coef_[0].tolist(), float(model.intercept_[0])
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    pipeline = pickle.loads((folder / "pipeline.pkl").read_bytes())
    sample = pickle.loads((folder / "sample.pkl").read_bytes())
    signature = mlflow.models.infer_signature(sample, pipeline.predict_proba(sample))
    mlflow.sklearn.save_model(
        pipeline,
        folder / "mlflow",
        signature=signature,
        pyfunc_predict_fn="predict_proba",
        pip_requirements=["scikit-learn"],
        serialization_format="cloudpickle",
    )
    found = constants(pipeline)
    (folder / "limit.json").write_text(json.dumps(found))
    if "weights" not in found:
        encoded = np.zeros((1, pipeline[-1].n_features_in_), np.float32)
        trees = to_onnx(pipeline[-1], encoded, options={"zipmap": False})
        (folder / "trees.onnx").write_bytes(trees.SerializeToString())


main()
