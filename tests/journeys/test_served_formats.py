"""An ONNX file and an object of an own class, from a script to an endpoint that has neither converter nor project."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from command_line import answer, ask, slipway, stop_all

pytestmark = pytest.mark.full

OWN = """
class Rule:
    def __init__(self, limit):
        self.limit = limit

    def predict(self, rows):
        return rows["wind"].clip(upper=self.limit).to_numpy() * 2
"""
SCRIPT = """
import json
import warnings
import numpy as np
import pandas as pd
import slipway as sw
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from own_rule import Rule

warnings.simplefilter("ignore")
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

random = np.random.default_rng(0)
X = pd.DataFrame({"carrier": random.choice(["AA", "UA"], 200), "wind": random.normal(10, 4, 200)})
y = (X["wind"] + 3 * (X["carrier"] == "UA") > 12).astype(int)
encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]), (StandardScaler(), ["wind"]))
fitted = make_pipeline(encode, LogisticRegression()).fit(X, y)
types = [("carrier", StringTensorType([None, 1])), ("wind", FloatTensorType([None, 1]))]
with open("late.onnx", "wb") as file:
    file.write(convert_sklearn(fitted, initial_types=types).SerializeToString())
with sw.run("formats") as run:
    run.log_model("late.onnx", sample=X, name="late")
    run.log_model(Rule(12.0), sample=X, name="rule", task="regression", trust=["own_rule.Rule"])
asked = pd.DataFrame({"carrier": ["AA", "UA", "ZZ"], "wind": [9.0, 11.5, 14]})
print(json.dumps([fitted.predict_proba(asked)[:, 1].tolist(), Rule(12.0).predict(asked).tolist()]))
"""
ROWS = [{"carrier": "AA", "wind": 9.0}, {"wind": 11.5, "carrier": "UA"}, {"carrier": "ZZ", "wind": 14}]


def test_an_endpoint_answers_as_the_file_and_as_the_object(tmp_path: Path) -> None:
    folder = tmp_path / "formats"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    (folder / "own_rule.py").write_text(OWN)
    done = subprocess.run([sys.executable, "train.py"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    late, rule = json.loads(done.stdout.splitlines()[-1])
    for name in ("train.py", "own_rule.py", "late.onnx"):
        (folder / name).unlink()
    try:
        url = answer("deploy", "late", cwd=folder)["status"]["url"]
        together = ask(url, "late", ROWS)
        assert together == pytest.approx(late, abs=1e-6)
        assert [ask(url, "late", [row])[0] for row in ROWS] == together
        refused = httpx.post(f"{url}/endpoints/late/predict", json={"rows": [{"carrier": None, "wind": 1.0}]})
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, "rows[0].carrier")
        told = httpx.post(f"{url}/endpoints/late/predict?explain=2", json={"rows": ROWS[:1]}).json()["predictions"][0]
        assert {one["input"] for one in told["explanation"]["contributions"]} == {"carrier", "wind"}
        other = answer("deploy", "rule", cwd=folder)["status"]["url"]
        assert ask(other, "rule", ROWS) == rule
        assert "onnx" in slipway("models", "show", "late", cwd=folder)
    finally:
        stop_all(folder / ".slipway")
