"""A function that prepares the rows of a request, released with the model."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from slipway.errors import Corrupt, InvalidDeclaration, InvalidInput
from slipway.models.held_out_rows import held_out
from slipway.models.known import Known, decode_known, encode_known
from slipway.models.model import Model, load

pytestmark = pytest.mark.full

pd = pytest.importorskip("pandas", reason="a frame is needed: pip install 'slipway[sklearn]'")
linear = pytest.importorskip("sklearn.linear_model", reason="an estimator is needed: pip install 'slipway[sklearn]'")
preprocessing = pytest.importorskip("sklearn.preprocessing")

CODE = """
import pandas as pd

LIMIT = 3.0

def ratio(rows):
    return rows["a"] / LIMIT

def prepare(rows, known):
    df = rows.dropna(subset=["a"])
    df = df.assign(r=ratio(df), b=df["b"].fillna(known.value("b", lambda: df["b"].mean())))
    dummies = pd.get_dummies(known.categories("k", df[["k"]]), drop_first=True)
    return known["scaler"].transform(pd.concat([df[["r", "b"]], dummies], axis=1))

def leaks(rows):
    return rows[["a", "b"]].fillna(0) - rows[["a", "b"]].fillna(0).mean()

def alone(rows):
    return rows[["a", "b"]].fillna(0)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "preparing_rows.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("preparing_rows")
    sys.modules.pop("preparing_rows")


def rows(n: int = 150) -> "pd.DataFrame":
    chance = np.random.default_rng(2)
    found = pd.DataFrame(
        {"name": [f"n{i}" for i in range(n)], "a": chance.normal(5, 1, n), "b": chance.normal(size=n), "k": chance.choice(["u", "v", "w"], n)}
    )  # fmt: skip
    found.loc[::9, "a"] = np.nan
    found.loc[::7, "b"] = np.nan
    return found


def made(project: ModuleType) -> tuple[Model, "pd.DataFrame", "np.ndarray"]:
    """A model, rows that it answers, and the answers of the estimator itself."""
    every = rows()
    raw = preprocessing.FunctionTransformer()  # hands on what it gets
    learned = Known({"scaler": raw}, is_learning=True)
    x = project.prepare(every, learned)
    scaler = preprocessing.StandardScaler().fit(x)
    kept = every.dropna(subset=["a"])
    estimator = linear.Ridge().fit(scaler.transform(x), kept["a"] * 2)
    known = Known.of(learned, scaler=scaler)
    known.values["scaler"] = scaler
    model = Model(estimator, sample=every, prepare=project.prepare, known=known, columns=["a", "b", "k"])
    return model, kept, estimator.predict(scaler.transform(x))


def test_it_answers_rows_as_they_are_loaded_alone_and_together(project: ModuleType) -> None:
    model, kept, answers = made(project)
    assert [field.name for field in model.signature.inputs] == ["a", "b", "k"]
    assert model.predict(kept) == pytest.approx(answers)
    plain = [[a, None if b != b else b, k] for a, b, k in kept[["a", "b", "k"]].itertuples(index=False)]
    assert [model.predict_rows([row])[0] for row in plain[:20]] == pytest.approx(answers[:20])


def test_it_is_the_same_after_it_was_stored(project: ModuleType, tmp_path: Path) -> None:
    model, kept, _ = made(project)
    (tmp_path / "kept").mkdir()
    model.slipway_save(tmp_path / "kept")
    sys.modules.pop("preparing_rows")
    again = load(tmp_path / "kept")
    assert list(again.predict(kept)) == list(model.predict(kept))
    assert again.slipway_fingerprint() == model.slipway_fingerprint()
    assert "def leaks" not in (tmp_path / "kept" / "prepare" / "code" / "preparing_rows.py").read_text()
    sys.modules["preparing_rows"] = project


def test_a_row_that_training_left_out_is_refused(project: ModuleType) -> None:
    model, _, _ = made(project)
    with pytest.raises(InvalidInput, match="prepare"):
        model.predict_rows([[None, 1.0, "u"]])
    assert model.predict_rows([[5, None, "never seen"]])[0]


def test_what_looks_at_the_rows_beside_it_is_refused(project: ModuleType) -> None:
    every = rows()
    estimator = linear.Ridge().fit(project.leaks(every), every["a"].fillna(0))
    with pytest.raises(InvalidInput, match=r"when it stands alone|out of a request"):
        Model(estimator, sample=every, prepare=project.leaks)


def test_a_column_that_matters_must_be_asked_for(project: ModuleType) -> None:
    every = rows()
    estimator = linear.Ridge().fit(project.alone(every), every["a"].fillna(0))
    Model(estimator, sample=every, prepare=project.alone, columns=["a", "b"])
    with pytest.raises(InvalidInput, match="would not carry 'name', 'b'"):
        Model(estimator, sample=every, prepare=project.alone, columns=["a", "k"])


def test_what_does_not_go_together_is_a_sentence(project: ModuleType) -> None:
    every = rows()
    estimator = linear.Ridge().fit(project.alone(every), every["a"].fillna(0))
    with pytest.raises(InvalidDeclaration, match="without prepare"):
        Model(estimator, sample=project.alone(every), known=Known())
    with pytest.raises(InvalidDeclaration, match="given no known"):
        Model(estimator, sample=every, prepare=project.prepare)
    with pytest.raises(InvalidInput, match="no column 'gone'"):
        Model(estimator, sample=every, prepare=project.alone, columns=["gone"])


def test_what_is_known_comes_back_in_its_types_and_never_as_a_pickle() -> None:
    scaler = preprocessing.StandardScaler().fit([[1.0], [2.0]])
    values = {
        "scaler": scaler,
        "table": pd.Series({"a": 1.5}, name="x"),
        "names": ["a", ("b", 2)],
        "by": {"le": scaler},
    }
    again = decode_known(encode_known(Known(values, {"place": [1.5, np.float64(2.5)]})))
    assert again["scaler"].transform([[3.0]]) == scaler.transform([[3.0]])
    assert again["table"].equals(values["table"])
    assert again["names"] == ["a", ("b", 2)]
    assert again["by"]["le"].mean_ == scaler.mean_
    assert again.replayed().value("place", lambda: 0) == 1.5
    with pytest.raises(InvalidInput, match="'odd' is a Odd, which only a pickle could keep"):
        encode_known(Known({"odd": Odd()}))
    with pytest.raises(Corrupt, match="cannot be read"):
        decode_known(b"x")


class Odd:
    """Something of nobody's."""


def test_places_are_given_back_in_order_and_no_more_often() -> None:
    learned = Known(is_learning=True)
    assert [learned.value("p", lambda one=one: one) for one in (3, 4)] == [3, 4]
    again = learned.replayed()
    assert [again.value("p", lambda: 0) for _ in range(2)] == [3, 4]
    with pytest.raises(InvalidInput, match="comes to p 3 times, in training 2 times"):
        again.value("p", lambda: 0)
    assert learned.replayed().value("p", lambda: 0) == 3


def test_rows_that_were_held_out_are_found_among_the_loaded_ones(project: ModuleType) -> None:
    model, kept, answers = made(project)
    every = rows()
    assert model.prepared is not None
    asked = model.prepared.native(kept)[[40, 3, 77]]  # an array: nothing says which rows they were
    truth = np.asarray([1.0, 2.0, 3.0])
    held = held_out(model, every, asked, truth, label="double")
    assert held.columns == ["a", "b", "k", "double"]
    assert held["a"].to_list() == kept["a"].iloc[[40, 3, 77]].to_list()
    assert held["double"].to_list() == [1.0, 2.0, 3.0]
    assert model.predict(held) == pytest.approx(answers[[40, 3, 77]])
    with pytest.raises(InvalidInput, match="Row 1 of 2 held-out rows comes of no loaded row"):
        held_out(model, every, np.vstack([asked[:1], asked[:1] + 1]), truth[:2])
    with pytest.raises(InvalidInput, match="3 held-out rows, and the truth of 2"):
        held_out(model, every, asked, truth[:2])


def test_rows_that_are_alike_stand_for_each_other_each_once(project: ModuleType) -> None:
    every = pd.DataFrame({"a": [1.0, 1.0, 2.0, 3.0] * 5, "b": [0.0] * 20})
    model = Model(linear.Ridge().fit(every, every["a"]), sample=every, prepare=project.alone)
    held = held_out(model, every, every.iloc[[0, 1, 2]], np.asarray([1.0, 1.0, 2.0]))
    assert held["a"].to_list() == [1.0, 1.0, 2.0]
