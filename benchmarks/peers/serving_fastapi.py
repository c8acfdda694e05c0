"""A scikit-learn pipeline behind FastAPI, as one writes it by hand: `python serving_fastapi.py FOLDER PORT`."""

import pickle
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model

FOLDER, PORT = Path(sys.argv[1]), int(sys.argv[2])
pipeline = pickle.loads((FOLDER / "pipeline.pkl").read_bytes())
# A column of nothing but null is of another type than in training, and its rows then come out wrong.
TYPES = pickle.loads((FOLDER / "sample.pkl").read_bytes()).dtypes.to_dict()
_fields: dict[str, Any] = {
    name: (float | None if kind == "float64" else str | None, ...) for name, kind in TYPES.items()
}
Row = create_model("Row", **_fields)


class Asked(BaseModel):
    rows: list[Row]  # type: ignore[valid-type]  # made at run time


app = FastAPI()


@app.post("/predict")
def predict(asked: Asked) -> dict[str, list[float]]:
    frame = pd.DataFrame([row.model_dump() for row in asked.rows]).astype(TYPES)
    return {"scores": pipeline.predict_proba(frame)[:, 1].tolist()}


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
