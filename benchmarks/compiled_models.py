"""What scoring costs in process: a bundle's compiled model beside a frame and the pipeline by hand.

By hand is what a careful person writes: a pandas frame of the request's values, typed as in training, and
`predict_proba`. The pipeline fills in and scales ten numbers and makes two texts one-hot. CPU time of the whole process
with one thread; both sides in turns, and their answers are compared first. The last row is the wall-clock time of a new
process from its start to its first answer, by hand with the pipeline out of a pickle.
"""

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.pairs import compare, row
from slipway.hosts.project import open_workspace
from slipway.models import bundle as bundles
from slipway.models.bundle import LoadedModel
from slipway.models.model import Model
from slipway.models.packing import pack

PAIRS = 7
TIMES = {1: 100, 100: 20}
REMARK = """\
A compiled model loads neither scikit-learn nor pandas, which is most of what a new process does by hand. A row costs it a
look-up a column in the tables of all trees; see docs/decisions/0050-compiled-models.md for other ways that were measured.
"""
_NUMBERS = [f"x{i}" for i in range(10)]
_TEXTS = ["carrier", "origin"]
_PATH = "compiled models"
_OURS = """
import json, sys
from pathlib import Path
from slipway.models.bundle import load
model = load(Path(sys.argv[1]))
model.check_sample()
print(model.predict_rows(json.loads(sys.argv[2]))[0])
"""
_BY_HAND = """
import json, pickle, sys
import pandas as pd
with open(sys.argv[1], "rb") as file:
    pipeline = pickle.load(file)
print(pipeline.predict_proba(pd.DataFrame(json.loads(sys.argv[2]), columns=json.loads(sys.argv[3])))[0, 1])
"""


def rows(count: int = 5000) -> pd.DataFrame:
    """Ten numbers and two texts; some are missing."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {name: rng.normal(size=count) for name in _NUMBERS}
    for name in _NUMBERS[:3]:
        columns[name][rng.random(count) < 0.05] = np.nan
    for name, size in zip(_TEXTS, (14, 3), strict=True):
        texts = np.array([f"{name} {i}" for i in rng.integers(0, size, count)], dtype=object)
        texts[rng.random(count) < 0.05] = None
        columns[name] = texts
    return pd.DataFrame(columns)


def fitted(frame: pd.DataFrame, model: Any) -> Any:
    """A model behind scaling and one-hot."""
    prepared = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), _NUMBERS),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), _TEXTS),
    )
    known = frame["x4"] + frame["x5"] * frame["x6"] + (frame["carrier"] == "carrier 3")
    return make_pipeline(prepared, model).fit(frame, (known > 0.2).astype(int))


def histogram(frame: pd.DataFrame) -> Any:
    """A histogram boosting of 100 trees behind scaling and one-hot."""
    return fitted(frame, HistGradientBoostingClassifier(random_state=0))


def logistic(frame: pd.DataFrame) -> Any:
    """A logistic regression behind scaling and one-hot."""
    return fitted(frame, LogisticRegression(max_iter=500))


def plain(frame: pd.DataFrame, count: int) -> list[dict[str, Any]]:
    """The first rows of a frame as a request carries them."""
    return [
        {name: None if value is None or value != value else value for name, value in one.items()}
        for one in frame.head(count).to_dict("records")
    ]


def _cpu_us(work: Callable[[], Any], times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times * 1e6


def _scoring(name: str, pipeline: Any, loaded: LoadedModel, asked: list[list[Any]], pairs: int, times: int) -> Any:
    names = [*_NUMBERS, *_TEXTS]
    # As pandas typed them in training: with object here, None is an unknown category and rows come out wrong.
    types = {name: str(dtype) for name, dtype in rows(10).dtypes.items()}

    def by_hand() -> Any:
        columns = dict(zip(names, zip(*asked, strict=True), strict=True))
        frame = pd.DataFrame({name: pd.Series(values, dtype=types[name]) for name, values in columns.items()})
        return pipeline.predict_proba(frame)[:, 1]

    np.testing.assert_allclose(loaded.predict_rows(asked), by_hand(), rtol=1e-9)
    found = compare(
        lambda: _cpu_us(by_hand, max(1, times // 10)), lambda: _cpu_us(lambda: loaded.predict_rows(asked), times), pairs
    )
    # The peers that measured 7 ms a row took some fifty times what is possible for one, and fifteen for a hundred.
    return row(_PATH, f"{name}, {len(asked)} row{'s' * (len(asked) > 1)}, CPU us a call", found, goal_ratio=1 / (50 if len(asked) == 1 else 15))  # fmt: skip


def _first_answer(code: str, *arguments: str) -> tuple[float, float]:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return time.perf_counter() - started, float(done.stdout)


def _starting(pipeline: Any, folder: Path, loaded: LoadedModel, asked: list[list[Any]], pairs: int) -> Any:
    kept = folder.parent / "pipeline.pkl"
    kept.write_bytes(pickle.dumps(pipeline))
    given, names = json.dumps(asked), json.dumps([*_NUMBERS, *_TEXTS])
    sides = (_BY_HAND, str(kept), given, names), (_OURS, str(folder), given)
    assert abs(_first_answer(*sides[0])[1] - _first_answer(*sides[1])[1]) < 1e-9
    found = compare(lambda: _first_answer(*sides[0])[0], lambda: _first_answer(*sides[1])[0], pairs)
    return row(_PATH, "histogram boosting, new process to the first answer, s", found, goal=1.0)


def run(pairs: int = PAIRS, times: dict[int, int] = TIMES) -> list[dict[str, Any]]:
    """Rows of the table.

    Args:
        pairs: How often both sides are measured.
        times: How many calls each time, by the number of rows in a call.
    """
    frame, found = rows(), []
    with tempfile.TemporaryDirectory() as root, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        workspace = open_workspace(Path(root) / "store", project="bench")
        try:
            for name, make in (("histogram boosting", histogram), ("logistic regression", logistic)):
                pipeline, folder = make(frame), Path(root) / name.replace(" ", "-")
                packed = pack(workspace, Model(pipeline, sample=frame), name="m")
                bundles.unpack(workspace, packed.manifest, folder, signature=packed.signature)
                loaded = bundles.load(folder, signer=workspace.signer)
                asked = [list(one.values()) for one in plain(frame, max(times))]
                found += [_scoring(name, pipeline, loaded, asked[:size], pairs, n) for size, n in times.items()]
                if name == "histogram boosting":
                    start = _starting(pipeline, folder, loaded, asked[:1], max(1, pairs // 2))
        finally:
            workspace.ledger.close()
    return [*found, start]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for one in run():
        print(f"{one['what']}: {one['raw']:.3g} by hand, {one['slipway']:.3g} Slipway, {one['ratio']:.3g}x")
