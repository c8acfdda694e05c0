"""XGBoost on batches: its own iterator is fed by the inputs, and the model is kept, judged and loaded."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from model_flights import rows as flights

from slipway.conformance.model_formats import Fitted, ModelFormatSuite
from slipway.errors import InvalidInput
from slipway.models.evaluation import evaluate
from slipway.models.inputs import inputs
from slipway.models.model import Model, load
from slipway.ports.model_format import ModelFormat
from slipway.ports.workspace import Workspace
from slipway.tables import versions
from slipway.tables.row_batches import batches_of

xgboost: Any = pytest.importorskip("xgboost", reason="XGBoost is installed by `make test-all` only")
pytestmark = pytest.mark.full

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(150, 3))
MATRIX[::9, 1] = np.nan
YES = (MATRIX[:, 0] > 0).astype(int)
PAGE = Path(__file__).parents[2] / "docs" / "larger-than-memory.md"


def booster(objective: str, target: Any) -> Any:
    return xgboost.train({"objective": objective, "nthread": 1}, xgboost.DMatrix(MATRIX, target), 5)


class TestXgboost(ModelFormatSuite):
    def make(self) -> ModelFormat:
        from slipway.backends.xgboost_format import XgboostFormat

        return XgboostFormat()

    def estimators(self) -> list[Fitted]:
        own = xgboost.XGBRegressor(n_estimators=4, n_jobs=1).fit(MATRIX, MATRIX[:, 0])
        rows = MATRIX.tolist()
        return [
            Fitted(estimator=booster("binary:logistic", YES), x=MATRIX, rows=rows, task="classification"),
            Fitted(estimator=booster("reg:squarederror", MATRIX[:, 0]), x=MATRIX, rows=rows, task="regression"),
            Fitted(estimator=own, x=MATRIX, rows=rows, task="regression"),
        ]


def test_the_page_s_iterator_learns_from_batches_what_a_frame_teaches(workspace: Workspace, tmp_path: Path) -> None:
    made: dict[str, Any] = {}
    (code,) = (one for one in PAGE.read_text().split("```py\n")[1:] if "DataIter" in one)
    exec(code.split("```")[0], made)
    frame, other = flights(3000), flights(1000, seed=5)
    settings = {"objective": "binary:logistic", "max_bin": 63, "nthread": 1, "seed": 1}
    models = []
    for rows in (frame, batches_of(workspace, versions.overwrite(workspace, "rows", frame), batch_rows=700)):
        fixed = inputs(rows, label="late")
        kinds = ["c" if place in fixed.categorical else "float" for place in range(len(fixed.names))]
        data = xgboost.QuantileDMatrix(made["Rows"](fixed, kinds), max_bin=63, enable_categorical=True)
        models.append(evaluate(Model(xgboost.train(settings, data, 20), inputs=fixed), other))
    one, two = (
        next(m.value for m in model.evaluation.metrics if m.metric == "auc") for model in models if model.evaluation
    )
    assert one > 0.7
    assert two == pytest.approx(one, abs=0.02)
    models[1].slipway_save(tmp_path)
    assert load(tmp_path).predict(other).tolist() == models[1].predict(other).tolist()


def test_several_classes_are_refused() -> None:
    several = xgboost.train(
        {"objective": "multi:softprob", "num_class": 3}, xgboost.DMatrix(MATRIX, RNG.integers(0, 3, 150)), 2
    )
    with pytest.raises(InvalidInput, match="objective is 'multi:softprob'"):
        Model(several, sample=MATRIX)


@pytest.mark.parametrize(
    ("objective", "target", "scale"),
    [
        ("binary:logistic", YES, "log-odds"),
        ("reg:squarederror", MATRIX[:, 0], "value"),
        ("count:poisson", YES * 3.0, "log of the value"),
    ],
)
def test_an_answer_is_explained_by_its_own_trees(objective: str, target: Any, scale: str) -> None:
    frame = pd.DataFrame(MATRIX, columns=["a", "b", "c"]).assign(y=target)
    model = Model(booster(objective, target), inputs=inputs(frame, label="y"))
    for case in model.state.cases[:20]:
        found = model.explain(case.row, 2)
        assert (found.scale, found.how) == (scale, "exact, by the trees")
        assert abs(found.residual) < 1e-4
        told = found.base + sum(one.contribution for one in found.contributions) + found.rest + found.residual
        assert told == pytest.approx(found.score, abs=1e-9)
