"""docs/leaving.md: a version's files answer without Slipway, by the page's own lines, as the version does."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway.cli import main

PAGE = (Path(__file__).parents[2] / "docs/leaving.md").read_text()
LINES = {re.findall(r"model/model\.(\w+)", block)[0]: block for block in re.findall(r"```python\n(.*?)```", PAGE, re.S)}
ALONE = "import sys; sys.modules['slipway'] = None\n"
CHANCE = np.random.default_rng(7)
ROWS = pd.DataFrame({"visits": CHANCE.integers(0, 9, 1000), "spent": CHANCE.normal(50, 9, 1000)})
LEFT = ((ROWS["spent"] / 9 + ROWS["visits"]) > 9).astype(int)


def fitted(ending: str) -> Any:
    if ending == "skops":
        return make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LEFT)
    if ending == "txt":
        return lgb.LGBMClassifier(n_estimators=9, verbose=-1).fit(ROWS, LEFT)
    xgboost = pytest.importorskip("xgboost", reason="XGBoost is installed by `make test-all` only")
    return xgboost.XGBClassifier(n_estimators=9).fit(ROWS, LEFT)


def test_the_page_has_lines_for_each() -> None:
    assert sorted(LINES) == ["skops", "txt", "ubj"]


@pytest.mark.parametrize("ending", ["skops", "txt", pytest.param("ubj", marks=pytest.mark.full)])
def test_what_is_handed_out_answers_without_slipway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.chdir(tmp_path)
    joblib.dump(model := fitted(ending), "churn.joblib")
    ROWS.to_csv("rows.csv", index=False)
    Path("slipway.toml").write_text('[project]\nname = "leaving"\n')
    for line in (
        "import pickle churn.joblib --trust --sample rows.csv --name churn",
        "export signed churn:1 --out handed-out",
    ):
        done = CliRunner().invoke(main, line.split())
        assert done.exit_code == 0, done.output
    alone = subprocess.run([sys.executable, "-c", ALONE + LINES[ending]], capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr
    answers = json.loads(alone.stdout)
    assert len(answers) == 1000
    assert answers == pytest.approx(list(model.predict_proba(ROWS)[:, 1]), rel=1e-6 if ending == "ubj" else 1e-12)
    here = json.loads(CliRunner().invoke(main, ["models", "show", "churn", "--json"]).output)
    (proof,) = here["versions"][0]["imported"] if "versions" in here else here["version"]["imported"]
    assert (proof["rows"], proof["apart"]) == (1000, 0)
