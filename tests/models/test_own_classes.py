"""Objects of the project's own classes: their code travels with the bundle, and nothing else of the project."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from slipway.errors import Corrupt, InvalidInput
from slipway.models import bundle as bundles
from slipway.models.model import Model
from slipway.models.packing import pack
from slipway.ports.workspace import Workspace

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"wind": RNG.normal(size=80) * 3, "wet": RNG.normal(size=80)})
LATE = (FRAME["wind"] > 0).astype(int)
HELPERS = "import numpy as np\n\ndef cut(x, limit):\n    return np.clip(x, -limit, limit)\n"
MODULE = """
import duckdb  # of training, which no endpoint has to load
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from wind_helpers import cut

FACTOR = {factor}


class Rule:
    def __init__(self, limit):
        self.limit = limit

    def predict(self, rows):
        return cut(rows["wind"].to_numpy(), self.limit) * FACTOR


class Mean:
    def __init__(self, models):
        self.models = models

    def predict_proba(self, rows):
        return np.mean([each.predict_proba(rows)[:, 1] for each in self.models], axis=0)


class Cut(BaseEstimator, TransformerMixin):
    def __init__(self, limit=2.0):
        self.limit = limit

    def fit(self, x, y=None):
        self.fitted_ = True
        return self

    def transform(self, x):
        from wind_helpers import cut as later

        return later(np.asarray(x, dtype=float), self.limit)


class Misshapen:
    def predict(self, rows):
        return np.ones((len(rows), 3))


def trained():
    return duckdb
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Writes and imports the project's module anew."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(factor: int = 2) -> ModuleType:
        for name in ("wind_models", "wind_helpers"):
            sys.modules.pop(name, None)
        (tmp_path / "wind_helpers.py").write_text(HELPERS)
        (tmp_path / "wind_models.py").write_text(MODULE.replace("{factor}", str(factor) + "  " * factor))
        importlib.invalidate_caches()
        return importlib.import_module("wind_models")

    yield make
    for name in ("wind_models", "wind_helpers"):
        sys.modules.pop(name, None)


def models_of(own: ModuleType) -> dict[str, Model]:
    fitted = [LogisticRegression(C=c).fit(FRAME, LATE) for c in (0.1, 1.0)]
    pipeline = make_pipeline(own.Cut(), LogisticRegression()).fit(FRAME, LATE)
    return {
        "rule": Model(own.Rule(3.0), sample=FRAME, task="regression", trust=["wind_models.Rule"]),
        "mean": Model(own.Mean(fitted), sample=FRAME, task="classification", trust=["wind_models.Mean"]),
        "transformer": Model(pipeline, sample=FRAME, trust=["wind_models.Cut"]),
        "pickle": Model(own.Rule(3.0), sample=FRAME, task="regression", trust_pickle=True),
    }


_ELSEWHERE = """
import json, sys
from pathlib import Path
from slipway.models.bundle import load
loaded = load(Path(sys.argv[1]))
rows = json.loads(sys.argv[2])
found = loaded.predict_rows(rows)
print(json.dumps([found, [name for name in ("duckdb", "wind_models", "wind_helpers") if name in sys.modules]]))
"""


@pytest.mark.full
@pytest.mark.parametrize(
    "kind", ["transformer", *(pytest.param(one, marks=pytest.mark.full) for one in ("rule", "mean", "pickle"))]
)
def test_an_endpoint_has_the_classes_and_not_the_project(
    kind: str, own: Any, workspace: Workspace, tmp_path: Path
) -> None:
    model = models_of(own())[kind]
    assert model.state.format == ("pickle" if kind == "pickle" else "skops")
    packed = pack(workspace, model, name="m")
    code = {file.path for file in packed.bundle.files if file.path.startswith("own/")}
    assert code == {"own/wind_models.py"} | ({"own/wind_helpers.py"} if kind != "mean" else set())
    folder = tmp_path / "bundle"
    bundles.unpack(workspace, packed.manifest, folder, signature=packed.signature)
    rows = [case.row for case in model.state.cases if case.answer is not None]
    done = subprocess.run(
        [sys.executable, "-E", "-P", "-c", _ELSEWHERE, str(folder), msgspec.json.encode(rows).decode()],
        capture_output=True, text=True, check=True, cwd=folder,
    )  # fmt: skip
    answers, loaded = msgspec.json.decode(done.stdout)
    assert answers == [case.answer for case in model.state.cases if case.answer is not None]
    assert loaded == []


@pytest.mark.full
def test_two_versions_of_a_class_answer_in_one_process(own: Any, workspace: Workspace, tmp_path: Path) -> None:
    loaded = []
    for factor in (2, 5):
        packed = pack(workspace, models_of(own(factor))["rule"], name="m")
        folder = tmp_path / f"bundle {factor}"
        bundles.unpack(workspace, packed.manifest, folder, signature=packed.signature)
        loaded.append(bundles.load(folder))
    present = sys.modules["wind_models"]
    assert [each.predict_rows([[1.0, 0.0]]) for each in loaded] == [[2.0], [5.0]]
    assert sys.modules["wind_models"] is present


@pytest.mark.full
def test_altered_code_is_refused(own: Any, workspace: Workspace, tmp_path: Path) -> None:
    packed = pack(workspace, models_of(own())["rule"], name="m")
    bundles.unpack(workspace, packed.manifest, tmp_path / "bundle", signature=packed.signature)
    path = tmp_path / "bundle" / "own" / "wind_helpers.py"
    path.write_text(path.read_text() + "\nimport os\n")
    with pytest.raises(Corrupt, match=r"own/wind_helpers\.py.*is altered"):
        bundles.load(tmp_path / "bundle")


def test_what_no_endpoint_could_import_is_said(own: Any, workspace: Workspace) -> None:
    module = own()
    rule = module.Rule(lambda: 3.0)
    model = Model(module.Rule(3.0), sample=FRAME, task="regression", trust=["wind_models.Rule"])
    model.estimator.limit_of = rule.limit
    with pytest.raises(InvalidInput, match=r"functions without a name: .*<lambda>.*Define them with `def`"):
        pack(workspace, model, name="m")
    at_prompt = type("Local", (module.Rule,), {"__module__": "__main__"})
    here = Model(at_prompt(3.0), sample=FRAME, task="regression", trust=["__main__.Local"])
    with pytest.raises(InvalidInput, match=r"Local, which is defined in a notebook's cell.*from my_model import Local"):
        pack(workspace, here, name="m")


def test_an_object_without_answers_says_what_it_lacks(own: Any) -> None:
    module = own()
    with pytest.raises(InvalidInput, match=r"wind_models\.Rule is of no framework.*trust=\['wind_models\.Rule'\]"):
        Model(module.Rule(3.0), sample=FRAME, task="regression")
    with pytest.raises(InvalidInput, match=r"does not say what it predicts.*task="):
        Model(module.Rule(3.0), sample=FRAME, trust=["wind_models.Rule"])
    with pytest.raises(InvalidInput, match=r"has no predict_proba.*positive class"):
        Model(module.Rule(3.0), sample=FRAME, task="classification", trust=["wind_models.Rule"])
    with pytest.raises(InvalidInput, match=r"gives the shape \(80, 3\) for 80 rows by predict"):
        Model(module.Misshapen(), sample=FRAME, task="regression", trust=["wind_models.Misshapen"])
    with pytest.raises(InvalidInput, match=r"A builtins\.dict has no predict"):
        Model({"a": 1}, sample=FRAME)
