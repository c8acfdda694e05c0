"""Models from elsewhere: proven to answer a thousand rows as before, or not there at all."""

from __future__ import annotations

import importlib
import json
import math
import pickle
import sys
from pathlib import Path
from typing import Any

import joblib
import lightgbm as lgb
import msgspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from slipway.backends.original_models import _frame
from slipway.backends.pandas_samples import as_columns, drawn
from slipway.cli import main
from slipway.errors import InvalidInput
from slipway.flows.import_model import Kept, Original, import_model, open_original, read_rows, take_columns
from slipway.flows.import_proof import ROWS, Before, compared
from slipway.flows.import_script import _is_fitted
from slipway.ledger import entries
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.records.models import ImportProof
from slipway.records.runs import Run

RNG = np.random.default_rng(0)
N = 300
X = pd.DataFrame(
    {"spent": RNG.normal(50, 9, N), "visits": RNG.integers(0, 9, N), "plan": RNG.choice(["basic", "pro", "team"], N)}
)
LEFT = ((X["spent"] / 9 + X["visits"] + (X["plan"] == "pro")) > 10).astype(int)


def churn() -> Any:
    numbers, plans = StandardScaler(), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    prepared = make_column_transformer((numbers, ["spent", "visits"]), (plans, ["plan"]))
    return make_pipeline(prepared, LogisticRegression()).fit(X, LEFT)


def original(model: Any, rows: Any, path: Path | None = None, kind: str = "pickle") -> Original:
    kept = None if path is None else Kept(kind=kind, path=path)
    return Original(
        door=kind,
        source="churn.joblib",
        digest="d" * 64,
        model=model,
        rows=rows,
        kept=kept,
        files={"f": path} if path else {},
    )


def test_a_pickled_pipeline_becomes_a_version_with_its_proof(workspace: Workspace, tmp_path: Path) -> None:
    joblib.dump(churn(), path := tmp_path / "churn.joblib")
    X.assign(left=LEFT).to_csv(tmp_path / "rows.csv", index=False)
    model = open_original(Kept(kind="pickle", path=path))
    rows = take_columns(model, read_rows(tmp_path / "rows.csv"), target="left")
    version = import_model(workspace, original(model, rows, path), name="churn")
    (proof,) = version.imported
    assert (proof.rows, proof.recombined, proof.apart) == (ROWS, ROWS - N, 0)
    assert proof.equal + proof.rounded == ROWS
    kept = msgspec.json.decode(workspace.blobs.get(proof.answers))
    assert [name for name, _, _ in kept[:2]] == ["row 1", "row 2"]
    assert all(abs(before - after) < 1e-9 for _, before, after in kept)
    direct = churn().predict_proba(X)[:, 1]
    assert [before for _, before, _ in kept[:N]] == pytest.approx(list(direct), abs=1e-12)
    assert registry.bundle_of(workspace, version).format == "skops"  # no pickle goes to an endpoint
    with workspace.ledger.read() as tx:
        run = entries.get(tx, Run, version.run_id)
    assert workspace.blobs.get(run.artifacts[0].digest) == path.read_bytes()
    again = import_model(workspace, original(model, rows, path), name="churn")
    assert again.id == version.id


@pytest.mark.parametrize("kind", ["array", "booster", "categories"])
def test_models_that_know_other_things_of_their_columns(workspace: Workspace, kind: str) -> None:
    numbers = X[["spent", "visits"]]
    if kind == "array":
        model, given = LinearRegression().fit(numbers.to_numpy(), LEFT), numbers
    elif kind == "booster":
        model = lgb.train({"objective": "binary", "verbose": -1}, lgb.Dataset(numbers, LEFT), 4)
        given = X.assign(left=LEFT)
    else:
        model = lgb.LGBMClassifier(n_estimators=4, verbose=-1).fit(X.astype({"plan": "category"}), LEFT)
        given = X
    said: list[str] = []
    rows = take_columns(model, given, say=said.append)
    version = import_model(workspace, original(model, rows), name="other")
    assert version.imported[0].apart == 0
    assert [field.name for field in registry.bundle_of(workspace, version).signature.inputs] == list(rows.columns)
    assert said == (["Left out, because the model does not take them: plan, left"] if kind == "booster" else [])


@pytest.mark.full
@pytest.mark.parametrize("kind", ["XGBRegressor", "XGBRFRegressor", "XGBRanker", "array"])
def test_estimators_of_xgboost_without_probabilities_are_asked_as_estimators(workspace: Workspace, kind: str) -> None:
    xgb = pytest.importorskip("xgboost", reason="XGBoost is installed by `make test-all` only")
    numbers = X[["spent", "visits"]]
    made = getattr(xgb, "XGBRegressor" if kind == "array" else kind)(n_estimators=4)
    assert not _is_fitted(made)
    groups = {"qid": np.arange(N) // 10} if kind == "XGBRanker" else {}
    model = made.fit(numbers.to_numpy() if kind == "array" else numbers, LEFT, **groups)
    assert _is_fitted(model)
    rows = take_columns(model, numbers if kind == "array" else X)
    assert list(rows.columns) == ["spent", "visits"]
    (proof,) = import_model(workspace, original(model, rows), name="other", task="regression").imported
    assert (proof.rows, proof.apart) == (ROWS, 0)


def test_a_row_that_differs_or_is_refused_is_named_and_then_refused_or_marked(
    workspace: Workspace, tmp_path: Path
) -> None:
    version = import_model(workspace, original(churn(), X), name="churn")
    bundles.unpack(workspace, version.manifest, tmp_path / "bundle", expect=version.bundle)
    bundle = bundles.load(tmp_path / "bundle")
    answers = churn().predict_proba(X)[:, 1].tolist()
    answers[16] += 1e-6
    known: dict[str, Any] = {"door": "pickle", "source": "x.pkl", "asked": "", "sample": "", "rows": X}
    before = Before(**known, names=tuple(f"row {i + 1}" for i in range(N)), answers=tuple(answers))
    with pytest.raises(InvalidInput, match=r"1 of 300 rows are answered differently: row 17 was answered"):
        compared(workspace, before, bundle)
    marked = compared(workspace, before, bundle, accept="a service that rounds")
    assert (marked.apart, marked.first[0].row, marked.accepted) == (1, "row 17", "a service that rounds")
    assert "1 DIFFER" in marked.sentence
    with pytest.raises(InvalidInput, match=r"A tolerance of 0\.01 is wider than rounding"):
        compared(workspace, before, bundle, tolerance=0.01)
    wide = compared(workspace, before, bundle, tolerance=0.01, accept="a service that rounds")
    assert (wide.apart, wide.tolerance, wide.accepted) == (0, 0.01, "a service that rounds")
    assert "within 0.01, as asked, wider than rounding (at most 1.0e-06)" in wide.sentence
    odd = X[:9].astype({"spent": object})
    odd.loc[4, "spent"] = "much"
    refused = Before(**known | {"rows": odd}, names=before.names[:9], answers=before.answers[:9])
    with pytest.raises(InvalidInput, match=r"1 of 9 rows.*row 5 was answered 0\.\d+, now refused"):
        compared(workspace, refused, bundle)


def test_no_tolerance_takes_a_refused_row_or_an_infinite_answer_for_rounding(
    workspace: Workspace, tmp_path: Path
) -> None:
    version = import_model(workspace, original(churn(), X), name="churn")
    bundles.unpack(workspace, version.manifest, tmp_path / "bundle", expect=version.bundle)
    bundle = bundles.load(tmp_path / "bundle")
    odd = X[:3].astype({"spent": object})
    odd.loc[1, "spent"] = "much"
    known: dict[str, Any] = {"door": "pickle", "source": "x.pkl", "asked": "", "sample": "", "rows": odd}
    answers = churn().predict_proba(X[:3])[:, 1].tolist()
    before = Before(**known, names=("row 1", "row 2", "row 3"), answers=(*answers[:2], math.inf))
    for wrong in (math.inf, math.nan, -1.0):
        with pytest.raises(InvalidInput, match="is no tolerance"):
            compared(workspace, before, bundle, accept="so", tolerance=wrong)
    proof = compared(workspace, before, bundle, accept="so", tolerance=1e300)
    assert (proof.rounded, proof.apart, [one.row for one in proof.first]) == (0, 2, ["row 2", "row 3"])
    assert msgspec.json.decode(msgspec.json.encode(proof), type=ImportProof).apart == 2, "it can be read again"


def linear(kind: str = "MatMul", domain: str = "") -> bytes:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    given_out = helper.make_tensor_value_info("value", TensorProto.FLOAT, [None, 1])
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [0.25, 2.0])
    node = helper.make_node(kind, ["x", "w"], ["value"], domain=domain)
    graph = helper.make_graph([node], "linear", [given], [given_out], [weights])
    sets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    made: bytes = helper.make_model(graph, opset_imports=sets, ir_version=8).SerializeToString()
    return made


def test_a_graph_of_onnx_is_proven_by_a_session_of_its_own(workspace: Workspace, tmp_path: Path) -> None:
    (path := tmp_path / "value.onnx").write_bytes(linear())
    model = open_original(Kept(kind="onnx", path=path))
    rows = take_columns(model, X[["spent", "visits"]])
    version = import_model(workspace, original(model, rows, path, "onnx"), name="value", task="regression")
    assert (version.imported[0].equal, version.imported[0].apart) == (ROWS, 0)


def absent() -> bytes:
    return b"cslipway_is_not_there\nModel\n."


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("pickle", b"", "cannot be opened"),
        ("pickle", pickle.dumps(X)[:200], "cannot be opened"),
        ("pickle", absent(), "needs the module 'slipway_is_not_there'"),
        ("onnx", linear()[:40], "cannot be opened"),
        ("onnx", linear("Fancy", "com.example"), "cannot be opened: .*com.example"),
        ("lightgbm", b"tree\nversion=v4\n", "cannot be opened"),
    ],
)
def test_files_that_cannot_be_opened_end_in_one_sentence(
    tmp_path: Path, kind: str, content: bytes, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (path := tmp_path / "model.file").write_bytes(content)
    with pytest.raises(InvalidInput, match=said) as caught:
        open_original(Kept(kind=kind, path=path))
    assert "\n" not in caught.value.what


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"model": LinearRegression(), "scaler": StandardScaler()}, r"a dict .*'model' \(LinearRegression\), 'scaler'"),
        ((StandardScaler(), LinearRegression()), "a tuple .*: StandardScaler, LinearRegression"),
        ([], "a list .*: nothing"),
    ],
)
def test_a_pickle_of_several_objects_says_how_to_make_one(tmp_path: Path, held: Any, said: str) -> None:
    (path := tmp_path / "several.pkl").write_bytes(pickle.dumps(held))
    with pytest.raises(InvalidInput, match=said) as told:
        open_original(Kept(kind="pickle", path=path))
    assert "make_pipeline(scaler, model)" in told.value.fix


def test_codes_with_a_leading_zero_are_texts(tmp_path: Path) -> None:
    (path := tmp_path / "rows.csv").write_text("zip,n,share,zero,code\n90210,1,0.5,0,\n01001,2,-0.25,0,007\n")
    found = read_rows(path)
    assert found["zip"].tolist() == ["90210", "01001"]
    assert [found["n"].dtype.kind, found["share"].dtype.kind, found["zero"].dtype.kind] == ["i", "f", "i"]
    assert found["code"].tolist()[1] == "007"
    assert pd.isna(found["code"].iloc[0])
    path.write_text("a,a\n1,01\n2,02\n")
    assert read_rows(path).to_dict("list") == {"a": [1, 2], "a.1": ["01", "02"]}, "two of one name"


def test_columns_that_do_not_fit_are_named() -> None:
    with pytest.raises(InvalidInput, match="lacks 'plan'"):
        take_columns(churn(), X[["spent", "visits"]])
    bare = LinearRegression().fit(X[["spent", "visits"]].to_numpy(), LEFT)
    with pytest.raises(InvalidInput, match="has 3 columns, and the model takes 2"):
        take_columns(bare, X)
    with pytest.raises(InvalidInput, match="no column 'truth'"):
        take_columns(bare, X, target="truth")


def test_an_original_that_refuses_the_rows_leaves_nothing(workspace: Workspace) -> None:
    with pytest.raises(InvalidInput, match="does not answer the sample's rows"):
        import_model(workspace, original(churn(), X.assign(spent="much")), name="churn")
    assert registry.names(workspace) == []


def test_numbers_of_a_csv_are_read_to_the_last_bit(tmp_path: Path) -> None:
    X.to_csv(tmp_path / "rows.csv", index=False)
    assert read_rows(tmp_path / "rows.csv")["spent"].tolist() == X["spent"].tolist()
    for name, text in (("empty.csv", ""), ("none.csv", "a,b\n"), ("rows.parquet", "PAR1")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InvalidInput, match=name):
            read_rows(tmp_path / name)


def test_rows_are_drawn_alike_each_time_and_recombined_of_what_is_there() -> None:
    rows, names = drawn(X, ROWS)
    assert rows.iloc[:N].equals(X)
    assert rows.equals(drawn(X, ROWS)[0])
    assert rows.dtypes.to_dict() == X.dtypes.to_dict()
    assert names[N] == "recombined row 1"
    assert all(set(rows[name]) <= set(X[name]) for name in X.columns)
    some, named = drawn(X, 50)
    assert [some.iloc[3].tolist()] == [X.iloc[int(named[3].removeprefix("row ")) - 1].tolist()]
    assert as_columns(X.astype({"plan": "category"}))[2]["categories"] == ["basic", "pro", "team"]


def test_another_python_gets_the_very_values_of_the_rows() -> None:
    rows = pd.DataFrame(
        {
            "share": [1.5, np.nan, math.inf],
            "less": np.array([0.1, -math.inf, np.nan], dtype="float32"),
            "plan": pd.Series(["basic", np.nan, None], dtype=object),
            "mixed": pd.Series([1, np.nan, "x"], dtype=object),
            "kind": pd.Categorical(["a", None, "b"]),
            "count": pd.array([1, None, 3], dtype="Int64"),
            "is_new": pd.array([True, None, False], dtype="boolean"),
            "text": pd.array(["a", None, "b"], dtype="string"),
        }
    )
    built = _frame(json.loads(msgspec.json.encode(as_columns(rows))))
    pd.testing.assert_frame_equal(built, rows, check_exact=True)
    assert built.map(repr).equals(rows.map(repr)), "None is None, NaN is NaN"


def test_missing_texts_are_asked_of_another_python_as_they_are(workspace: Workspace, tmp_path: Path) -> None:
    rows = X.assign(plan=X["plan"].astype(object).mask(X["visits"] == 3, np.nan))
    plans = make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder(handle_unknown="ignore"))
    model = make_pipeline(make_column_transformer((plans, ["plan"])), LogisticRegression()).fit(rows, LEFT)
    joblib.dump(model, path := tmp_path / "churn.joblib")
    asked = Original(
        door="pickle", source="churn.joblib", digest="d", model=model, rows=rows,
        kept=Kept(kind="pickle", path=path, python=sys.executable),
    )  # fmt: skip
    (proof,) = import_model(workspace, asked, name="churn").imported
    assert (proof.rows, proof.apart) == (ROWS, 0)


def test_a_pickle_is_not_loaded_unless_somebody_trusts_it(tmp_path: Path) -> None:
    (path := tmp_path / "m.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    X.to_csv(tmp_path / "rows.csv", index=False)
    asked = ["import", "pickle", str(path), "--sample", str(tmp_path / "rows.csv"), "-C", str(tmp_path)]
    answer = CliRunner().invoke(main, asked)
    assert answer.exit_code == 2
    assert "executes whatever code" in answer.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.pkl", "rows.csv"]  # no store either


OWN = """
from sklearn.linear_model import LinearRegression

class Doubled(LinearRegression):
    def predict(self, X):
        return 2 * super().predict(X)
"""


@pytest.mark.parametrize("where", ["here", "beside"])
def test_a_module_in_this_folder_or_beside_the_pickle_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    (folder := tmp_path / "there").mkdir()
    name = f"own_model_{where}"
    (folder / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(folder)
    made = importlib.import_module(name).Doubled().fit(X[["spent", "visits"]], LEFT)
    path = tmp_path / "m.pkl" if where == "here" else folder / "m.pkl"
    path.write_bytes(pickle.dumps(made))
    monkeypatch.undo()
    monkeypatch.chdir(folder if where == "here" else tmp_path)
    X.to_csv(tmp_path / "rows.csv", index=False)
    asked = [
        "import",
        "pickle",
        str(path),
        "--trust",
        "--sample",
        str(tmp_path / "rows.csv"),
        "-C",
        str(tmp_path / "p"),
    ]
    (tmp_path / "p").mkdir()
    before = list(sys.path)
    sys.modules.pop(name)
    answer = CliRunner().invoke(main, asked)
    assert (answer.exit_code, "--keep-pickle" in answer.output, "sw.Model" in answer.output) == (2, True, False)
    for more in ([], ["--python", sys.executable]):
        sys.modules.pop(name)
        answer = CliRunner().invoke(main, [*asked, "--keep-pickle", *more])
        assert answer.exit_code == 0, answer.output
        assert "1,000 rows of the sample" in answer.output
    sys.modules.pop(name)
    assert sys.path == before


def test_a_graph_that_does_not_say_its_task_is_told_the_option(workspace: Workspace, tmp_path: Path) -> None:
    (path := tmp_path / "value.onnx").write_bytes(linear())
    model = open_original(Kept(kind="onnx", path=path))
    rows = take_columns(model, X[["spent", "visits"]])
    with pytest.raises(InvalidInput, match="does not say what it predicts") as told:
        import_model(workspace, original(model, rows, path, "onnx"), name="value")
    assert told.value.fix.startswith("--task classification")


@pytest.mark.full
def test_three_commands_from_a_pickle_and_what_is_shown(tmp_path: Path) -> None:
    joblib.dump(churn(), tmp_path / "churn.joblib")
    X.to_parquet(tmp_path / "rows.parquet")
    asked = ["import", "pickle", str(tmp_path / "churn.joblib"), "--trust", "--sample", str(tmp_path / "rows.parquet")]
    answer = CliRunner().invoke(main, [*asked, "-C", str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    assert "Next: slipway deploy churn" in answer.output
    shown = CliRunner().invoke(main, ["models", "show", "churn", "-C", str(tmp_path)]).output
    assert "1,000 rows of the sample" in shown
    assert "by pickle from churn.joblib" in shown


@pytest.mark.full
def test_a_script_leaves_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X.assign(left=LEFT).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "train.py").write_text(
        "import pandas as pd\nfrom sklearn.linear_model import LogisticRegression\n"
        "df = pd.read_csv('rows.csv')\nunfitted = LogisticRegression()\n"
        "model = LogisticRegression().fit(df[['spent', 'visits']], df['left'])\n"
    )
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(main, ["import", "script", "train.py"])
    assert answer.exit_code == 0, answer.output
    assert "by script from train.py" in answer.output
    (tmp_path / "two.py").write_text(
        (tmp_path / "train.py").read_text() + "other = LogisticRegression().fit(df[['spent']], df.left)\n"
    )
    answer = CliRunner().invoke(main, ["import", "script", "two.py"])
    assert answer.exit_code == 2
    assert "several models: model, other" in answer.output
    (tmp_path / "broken.py").write_text("1 / 0\n")
    answer = CliRunner().invoke(main, ["import", "script", "broken.py"])
    assert "did not come to its end: ZeroDivisionError" in answer.output
