"""The service of a scikit-learn pipeline that `bentoml serve serving_bentoml:Pipeline` serves; FOLDER is in the environment."""

import os
import pickle
from pathlib import Path
from typing import Any

import bentoml
import pandas as pd

FOLDER = Path(os.environ["FOLDER"])


@bentoml.service(workers=1)
class Pipeline:
    def __init__(self) -> None:
        self.pipeline = pickle.loads((FOLDER / "pipeline.pkl").read_bytes())
        # A column of nothing but null is of another type than in training, and its rows then come out wrong.
        self.types = pickle.loads((FOLDER / "sample.pkl").read_bytes()).dtypes.to_dict()

    @bentoml.api
    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        frame = pd.DataFrame(rows).astype(self.types)
        found: list[float] = self.pipeline.predict_proba(frame)[:, 1].tolist()
        return found
