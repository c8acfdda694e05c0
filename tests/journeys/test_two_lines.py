"""Only a script: two lines after a fit, one command, and the endpoint answers as the estimator does."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import answer, ask, slipway, stop_all

pytest.importorskip("sklearn", reason="the script's model needs scikit-learn: pip install 'slipway[sklearn]'")

pytestmark = pytest.mark.full

SCRIPT = """
import json
import sys

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import slipway as sw

random = np.random.default_rng(0)
rows = 300
X = pd.DataFrame({
    "plan": random.choice(["basic", "plus", None], rows),
    "age": random.integers(18, 80, rows),
    "spent": np.where(random.random(rows) < 0.1, np.nan, random.normal(20, 5, rows)),
    "is new": random.random(rows) < 0.5,
})
y = random.random(rows) < 0.2 + 0.3 * (X["plan"] == "plus") + 0.005 * X["age"]
prepare = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore"), ["plan"]), (SimpleImputer(), ["age", "spent", "is new"])
)
estimator = make_pipeline(prepare, LogisticRegression()).fit(X, y)

with sw.run("baseline") as run:
    run.log_model(estimator, sample=X)

for line in sys.stdin:
    asked = pd.DataFrame([json.loads(line)], columns=X.columns).astype(X.dtypes)
    print(estimator.predict_proba(asked)[0, 1].hex())
"""
ROWS: dict[str, dict[str, Any]] = {
    "plain": {"plan": "basic", "age": 30, "spent": 12.5, "is new": True},
    "reordered": {"is new": True, "spent": 12.5, "age": 30, "plan": "basic"},
    "no category": {"plan": None, "age": 30, "spent": 12.5, "is new": False},
    "unknown category": {"plan": "gold", "age": 30, "spent": 12.5, "is new": False},
    "empty text": {"plan": "", "age": 30, "spent": 12.5, "is new": False},
    "no number": {"plan": "plus", "age": 30, "spent": None, "is new": False},
    "whole number for a float": {"plan": "plus", "age": 30, "spent": 12, "is new": False},
    "far away": {"plan": "plus", "age": 1000, "spent": -1e300, "is new": True},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, dict[str, float]]]:
    """The folder, the endpoint's address, and what the estimator itself says of each row."""
    folder = tmp_path_factory.mktemp("world") / "customers"
    folder.mkdir()
    script = folder / "baseline.py"
    script.write_text(SCRIPT)
    asked = "\n".join(json.dumps(row) for row in ROWS.values())
    done = subprocess.run([sys.executable, str(script)], cwd=folder, input=asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    own = {name: float.fromhex(line) for name, line in zip(ROWS, done.stdout.split(), strict=True)}
    try:
        deployed = answer("deploy", "baseline", cwd=folder)
        yield folder, deployed["status"]["url"], own
    finally:
        stop_all(folder / ".slipway")


def test_the_endpoint_answers_as_the_estimator(world: tuple[Path, str, dict[str, float]]) -> None:
    _, url, own = world
    for name, row in ROWS.items():
        (score,) = ask(url, "baseline", [row])
        assert math.isclose(score, own[name], rel_tol=0, abs_tol=1e-15), name
    # together the linear algebra may round the last bit otherwise
    assert ask(url, "baseline", list(ROWS.values())) == pytest.approx(list(own.values()), rel=0, abs=1e-15)
    assert len({own["no category"], own["unknown category"], own["plain"]}) == 3


def test_what_is_too_much_is_ignored_and_what_is_left_out_is_named(world: tuple[Path, str, dict[str, float]]) -> None:
    _, url, own = world
    row = ROWS["no number"]
    assert ask(url, "baseline", [{**row, "colour": "red"}]) == pytest.approx([own["no number"]], abs=1e-15)
    few = {name: value for name, value in row.items() if name != "spent"}
    found = httpx.post(f"{url}/endpoints/baseline/predict", json={"rows": [{**few, "Spent": 3.0}]})
    assert found.status_code == 422
    assert "did you mean 'spent'" in found.json()["error"]["fix"]


@pytest.mark.full
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"rows": [{"plan": "basic", "age": "thirty", "spent": 1.0, "is new": true}]}', "rows[0].age"),
        ('{"rows": [{"plan": "basic", "age": 30, "spent": NaN, "is new": true}]}', "JSON"),
        ('{"rows": [{"plan": 7, "age": 30, "spent": 1.0, "is new": true}]}', "rows[0].plan"),
        ('{"rows": [{"plan": "basic", "age": 30, "spent": 1.0, "is new": "yes"}]}', "is new"),
        ('{"rows": []}', "row"),
        ("[1, 2]", "array"),
        ("", "empty"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(
    world: tuple[Path, str, dict[str, float]], body: str, words: str
) -> None:
    _, url, _ = world
    found = httpx.post(f"{url}/endpoints/baseline/predict", content=body)
    assert found.status_code in (400, 422), found.text
    assert words in found.text


def test_the_folder_has_become_a_project(world: tuple[Path, str, dict[str, float]]) -> None:
    folder, _, _ = world
    assert sorted(path.name for path in folder.iterdir()) == [".slipway", "baseline.py"]
    run = answer("runs", "list", cwd=folder)["runs"][0]["run"]
    assert (run["name"], run["state"], run["project"]) == ("baseline", "finished", "customers")
    (model,) = answer("models", "list", cwd=folder)["models"]
    assert (model["version"]["name"], model["aliases"]) == ("baseline", ["champion"])
    assert "has no slipway.toml" in slipway("run", "train", cwd=folder, fails=5)
    assert "There is no model 'basline'" in slipway("deploy", "basline", cwd=folder, fails=5)
