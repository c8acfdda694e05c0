"""Models of ONNX: answers are the graph's own, and what a tensor cannot say of a row is refused."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pandas as pd
import polars as pl
import pytest
from onnx import TensorProto, helper
from onnx.external_data_helper import convert_model_to_external_data
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own imports
    from skl2onnx import convert_sklearn, to_onnx
    from skl2onnx.common.data_types import (
        BooleanTensorType,
        DoubleTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )

from slipway.backends.onnx_bytes import facts_of
from slipway.backends.onnx_format import OnnxFormat
from slipway.conformance.model_formats import Fitted, ModelFormatSuite
from slipway.errors import InvalidInput
from slipway.models import bundle as bundles
from slipway.models.model import Model
from slipway.models.packing import pack
from slipway.ports.model_format import ModelFormat
from slipway.ports.workspace import Workspace

N = 240
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({
    "distance": RNG.gamma(2, 400, N),
    "delay": np.where(RNG.random(N) < 0.1, np.nan, RNG.normal(5, 20, N)),
    "seats": RNG.integers(10, 300, N),
    "carrier": RNG.choice(["AA", "UA", "DL"], N),
})  # fmt: skip
LATE = (FRAME["distance"] / 800 + (FRAME["carrier"] == "AA") + RNG.normal(0, 0.4, N) > 1.3).astype(int)
NUMBERS = ["distance", "delay", "seats"]
FULL = FRAME[NUMBERS].fillna(0.0)


def quietly(convert: Any, *arguments: Any, **options: Any) -> Any:
    """The graph, without what the converter warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert(*arguments, **options)


def columns_model(*, zipmap: bool = False) -> tuple[Any, Any]:
    """A pipeline with one input a column, and its graph."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore")
    fitted = make_pipeline(make_column_transformer((numbers, NUMBERS), (words, ["carrier"])), LogisticRegression())
    fitted.fit(FRAME, LATE)
    types = [
        (name, (StringTensorType if name == "carrier" else FloatTensorType)([None, 1])) for name in FRAME.columns[::-1]
    ]
    return fitted, quietly(convert_sklearn, fitted, initial_types=types, options={"zipmap": zipmap})


def matrix_model(estimator: Any, x: pd.DataFrame = FULL, y: Any = LATE, **options: Any) -> Any:
    fitted = estimator.fit(x.to_numpy(dtype=np.float32), y)
    is_class = hasattr(fitted, "classes_") and hasattr(fitted, "predict_proba")
    return quietly(
        to_onnx,
        fitted,
        x.to_numpy(dtype=np.float32)[:1],
        **({"options": {"zipmap": False}} if is_class else {}),
        **options,
    )


def graph_of(*nodes: Any, inputs: Any, outputs: Any, weights: Any = (), opset: int = 17, domain: str = "") -> Any:
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, list(weights))
    sets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def floats(name: str, *shape: Any) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


class TestOnnx(ModelFormatSuite):
    def make(self) -> ModelFormat:
        return OnnxFormat()

    def estimators(self) -> list[Fitted]:
        rows = FRAME.astype(object).where(FRAME.notna(), None).to_numpy().tolist()
        numbers = FULL.to_numpy()
        trees = matrix_model(HistGradientBoostingClassifier(max_iter=8))
        linear = matrix_model(LinearRegression(), y=FRAME["distance"])
        return [
            Fitted(estimator=columns_model()[1], x=FRAME, rows=rows, task="classification"),
            Fitted(estimator=trees.SerializeToString(), x=numbers, rows=numbers.tolist(), task="classification"),
            Fitted(estimator=linear, x=numbers, rows=numbers.tolist(), task="regression"),
        ]


def test_columns_are_found_by_name_and_answers_are_the_pipeline_s() -> None:
    fitted, graph = columns_model()
    wanted = fitted.predict_proba(FRAME)[:, 1]
    for form in (FRAME, pl.from_pandas(FRAME), FRAME.astype({"carrier": "category"})):
        model = Model(graph, sample=form)
        assert (model.task, model.state.format) == ("classification", "onnx")
        np.testing.assert_allclose(model.predict(FRAME), wanted, atol=1e-6)
        assert [f.name for f in model.signature.inputs] == list(FRAME.columns[::-1])
    served = model.predict_rows([["AA", 3, None, 500.0]])
    asked = pd.DataFrame({"distance": [500.0], "delay": [np.nan], "seats": [3], "carrier": ["AA"]})
    assert served == pytest.approx(fitted.predict_proba(asked)[:, 1], abs=1e-6)


def test_maps_of_classes_are_probabilities_too() -> None:
    model, maps = (Model(columns_model(zipmap=zipmap)[1], sample=FRAME) for zipmap in (False, True))
    assert (model.predict(FRAME) == maps.predict(FRAME)).all()


@pytest.mark.parametrize("give", ["path", "text", "bytes"])
def test_a_file_and_bytes_are_models(give: str, tmp_path: Path) -> None:
    graph = columns_model()[1]
    path = tmp_path / "late.onnx"
    path.write_bytes(graph.SerializeToString())
    given = {"path": path, "text": str(path), "bytes": path.read_bytes()}[give]
    assert (Model(given, sample=FRAME).predict(FRAME) == Model(graph, sample=FRAME).predict(FRAME)).all()


def test_one_tensor_takes_the_columns_in_the_sample_s_order() -> None:
    graph = matrix_model(LinearRegression(), y=FRAME["distance"])
    model = Model(graph, sample=FULL)
    assert model.task == "regression"
    assert model.predict(FULL[NUMBERS[::-1]]) == pytest.approx(FRAME["distance"], rel=1e-4)
    assert Model(graph, sample=FULL.to_numpy()).predict_rows([[500.0, 1, 2]]) == model.predict_rows([[500.0, 1, 2]])
    with pytest.raises(InvalidInput, match="takes 3 columns as 'X', and the sample has 4") as refused:
        Model(graph, sample=FULL.assign(more=1))
    assert "sample=X[[" in str(refused.value)


@pytest.mark.parametrize("model", ["columns", "matrix"])
def test_the_same_row_gets_the_same_bits_alone_and_among_others(model: str) -> None:
    made = (
        Model(columns_model()[1], sample=FRAME)
        if model == "columns"
        else Model(matrix_model(LogisticRegression()), sample=FULL)
    )
    rows = [case.row for case in made.state.cases if not case.column]
    together = made.predict_rows(rows)
    assert [made.predict_rows([row])[0] for row in rows] == together
    assert made.predict_rows(rows[:7]) == together[:7]


def test_a_missing_text_is_refused_in_training_and_in_requests() -> None:
    graph = columns_model()[1]
    lacking = FRAME.copy()
    lacking.loc[3, "carrier"] = None
    with pytest.raises(
        InvalidInput, match=r"lacks 'carrier'.*nothing in the model names.*Fill 'carrier' in before training"
    ):
        Model(graph, sample=lacking)
    model = Model(graph, sample=FRAME)
    assert {f.name: f.nullable for f in model.signature.inputs} == {"carrier": False, "seats": False, "delay": True, "distance": False}  # fmt: skip
    with pytest.raises(InvalidInput, match="lacks 'carrier'") as refused:
        model.predict_rows([[None, 1, 1.0, 1.0]])
    assert refused.value.field == "carrier"


def fill_in(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(carrier=rows["carrier"].fillna("AA"))


def test_prepare_says_what_a_missing_text_is() -> None:
    lacking = FRAME.copy()
    lacking.loc[3, "carrier"] = None
    model = Model(columns_model()[1], sample=lacking, prepare=fill_in)
    one = {"distance": 500.0, "delay": 1.0, "seats": 3}
    names = [f.name for f in model.signature.inputs]
    rows = [[{**one, "carrier": carrier}[name] for name in names] for carrier in (None, "AA", "UA")]
    missing, same, other = model.predict_rows(rows)
    assert missing == same != other


@pytest.mark.full
def test_a_missing_number_is_refused_where_training_had_none() -> None:
    trees = matrix_model(HistGradientBoostingClassifier(max_iter=8), FRAME[NUMBERS])
    model = Model(trees, sample=FRAME[NUMBERS])
    assert [f.nullable for f in model.signature.inputs] == [False, True, False]
    model.predict_rows([[500.0, None, 3]])
    with pytest.raises(InvalidInput, match=r"lacks 'distance'.*No row of the sample lacks it"):
        model.predict_rows([[None, 1.0, 3]] * 9)
    array = Model(trees, sample=FRAME[NUMBERS].to_numpy())
    assert array.predict_rows([[500.0, float("nan"), 3]]) == model.predict_rows([[500.0, None, 3]])
    with pytest.raises(InvalidInput, match="lacks 'x0'"):
        array.predict_rows([[None, 1.0, 3]])


@pytest.mark.parametrize(
    ("row", "name", "why"),
    [
        (["AA", 3, 1.0, 1e300], "distance", "float32 can hold"),
        (["AA", "3", 1.0, 1.0], "seats", "numbers"),
        ([3, 3, 1.0, 1.0], "carrier", "texts"),
        (["AA", 10**400, 1.0, 1.0], "seats", "numbers"),
    ],
)
def test_a_value_that_no_tensor_holds_is_named(row: list[Any], name: str, why: str) -> None:
    model = Model(columns_model()[1], sample=FRAME)
    for rows in ([row], [["AA", 3, 1.0, 1.0]] * 9 + [row]):
        with pytest.raises(InvalidInput, match=rf"Row {len(rows) - 1} gives .* for '{name}'.*{why}") as refused:
            model.predict_rows(rows)
        assert refused.value.field == name


def test_each_type_of_tensor_takes_its_own_values() -> None:
    rows = pd.DataFrame({"a": [0.1, 1e300], "b": [1, 2**53], "c": [True, False], "d": [0.5, None]})
    kinds = {"a": TensorProto.DOUBLE, "b": TensorProto.INT64, "c": TensorProto.BOOL, "d": TensorProto.FLOAT}
    inputs = [helper.make_tensor_value_info(name, kind, ["n"]) for name, kind in kinds.items()]
    nodes = [helper.make_node("Cast", [name], [f"{name}2"], to=TensorProto.DOUBLE) for name in "bcd"]
    one = helper.make_tensor("none", TensorProto.DOUBLE, [], [0.25])
    nodes += [
        helper.make_node("IsNaN", ["d2"], ["lacks"]),
        helper.make_node("Where", ["lacks", "none", "d2"], ["d3"]),
        helper.make_node("Sum", ["a", "b2", "c2", "d3"], ["y"]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n"])]
    model = Model(graph_of(*nodes, inputs=inputs, outputs=outputs, weights=[one]), sample=rows, task="regression")
    assert model.predict_rows([[0.1, 1, True, 0.5], [0.1, 7, False, None]]) == [0.1 + 1 + 1 + 0.5, 0.1 + 7 + 0.25]
    for row, name in (
        ([0.1, 1.5, True, 0.5], "b"),
        ([0.1, 1, 1, 0.5], "c"),
        ([0.1, None, True, 0.5], "b"),
        ([0.1, 2**63, True, 0.5], "b"),
    ):
        with pytest.raises(InvalidInput) as refused:
            model.predict_rows([row])
        assert refused.value.field == name


def test_texts_as_one_tensor_and_whole_numbers_as_one_tensor() -> None:
    words = pd.DataFrame({"a": ["x", "y"] * 20, "b": ["u", "u", "v", "v"] * 10})
    yes = [0, 1] * 20
    coded = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(words, yes)
    graph = quietly(
        convert_sklearn, coded, initial_types=[("w", StringTensorType([None, 2]))], options={"zipmap": False}
    )
    model = Model(graph, sample=words)
    np.testing.assert_allclose(model.predict(words), coded.predict_proba(words)[:, 1], atol=1e-6)
    whole = FULL[["seats"]].assign(gate=1)
    linear = LinearRegression().fit(whole.to_numpy(), FULL["distance"])
    for kind in (Int64TensorType, DoubleTensorType):
        graph = quietly(convert_sklearn, linear, initial_types=[("w", kind([None, 2]))])
        np.testing.assert_allclose(
            Model(graph, sample=whole, task="regression").predict(whole), linear.predict(whole.to_numpy()), rtol=1e-5
        )
    assert BooleanTensorType  # of which one column is tried above


def _several_classes() -> Any:
    return matrix_model(LogisticRegression(), y=RNG.integers(0, 3, N))


def _labels_only() -> Any:
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT64)
    return graph_of(
        cast, inputs=[floats("x", None, 3)], outputs=[helper.make_tensor_value_info("y", TensorProto.INT64, [None, 3])]
    )


def _two_answers() -> Any:
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["a"], axes=[1]),
        helper.make_node("ReduceMin", ["x"], ["b"], axes=[1]),
    ]
    return graph_of(*nodes, inputs=[floats("x", None, 3)], outputs=[floats("a", None, 1), floats("b", None, 1)])


def _groups() -> Any:
    join = helper.make_node("Concat", ["a", "b"], ["y"], axis=1)
    largest = helper.make_node("ReduceMax", ["y"], ["z"], axes=[1])
    return graph_of(join, largest, inputs=[floats("a", None, 2), floats("b", None, 1)], outputs=[floats("z", None, 1)])


def _over_rows() -> Any:
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["a"], axes=[1]),
        helper.make_node("Softmax", ["a"], ["y"], axis=0),
    ]
    return graph_of(*nodes, inputs=[floats("x", None, 3)], outputs=[floats("y", None, 1)])


def _chance() -> Any:
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["a"], axes=[1]),
        helper.make_node("RandomUniformLike", ["a"], ["y"]),
    ]
    return graph_of(*nodes, inputs=[floats("x", None, 3)], outputs=[floats("y", None, 1)])


def _fixed(rows: int) -> Any:
    largest = helper.make_node("ReduceMax", ["x"], ["y"], axes=[1])
    return graph_of(largest, inputs=[floats("x", rows, 3)], outputs=[floats("y", rows, 1)])


def _own_operator() -> Any:
    own = helper.make_node("Twist", ["x"], ["y"], domain="my.company")
    return graph_of(own, inputs=[floats("x", None, 3)], outputs=[floats("y", None, 1)], domain="my.company")


def _later_opset() -> Any:
    largest = helper.make_node("Identity", ["x"], ["y"])
    return graph_of(largest, inputs=[floats("x", None, 1)], outputs=[floats("y", None, 1)], opset=99)


def _cube() -> Any:
    largest = helper.make_node("Identity", ["x"], ["y"])
    return graph_of(largest, inputs=[floats("x", None, 3, 3)], outputs=[floats("y", None, 3, 3)])


def _no_probability() -> Any:
    return matrix_model(LinearSVC())


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (_several_classes, {}, r"shape \(1, 3\).*one score a row.*one model a class"),
        (_labels_only, {}, "classes without probabilities"),
        (_two_answers, {"task": "regression"}, r"several answers: a tensor\(float\), b .*extract_model"),
        (_groups, {"task": "regression"}, r"'a' takes 2 columns beside other inputs.*one input a column"),
        (_over_rows, {"task": "regression"}, "must not depend on the rows beside it"),
        (_chance, {"task": "regression"}, "nor on chance"),
        (lambda: _fixed(32), {"task": "regression"}, "takes exactly 32 rows at once.*dynamic first axis"),
        (
            _own_operator,
            {"task": "regression"},
            r"does not load.*ai\.onnx 17, my\.company 1.*loads no libraries of operators",
        ),
        (_later_opset, {"task": "regression"}, r"ai\.onnx 99.*Export it for an earlier set"),
        (_cube, {"task": "regression"}, r"'x' has the shape \[None, 3, 3\]"),
        (_no_probability, {}, "which is no probability.*calibrated"),
        (lambda: _fixed(1), {}, r"does not say what it predicts.*task="),
        (lambda: b"", {}, "no ONNX model"),
        (lambda: b"PK\x03\x04 something else", {}, "no ONNX model"),
        (lambda: "nowhere.onnx", {}, "no ONNX model at 'nowhere.onnx'"),
        (lambda: matrix_model(LinearRegression()).SerializeToString()[:-9], {}, "no ONNX model: it is cut short"),
    ],
)
def test_what_cannot_be_served_is_said(make: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=rf"(?s){said}"):
        Model(make(), sample=FULL, **options)


def test_a_model_of_one_row_is_asked_row_by_row() -> None:
    model = Model(_fixed(1), sample=FULL, task="regression")
    np.testing.assert_allclose(model.predict(FULL), FULL.max(axis=1), rtol=1e-6)


def test_a_network_with_a_sigmoid_is_a_classification_if_one_says_so() -> None:
    nodes = [helper.make_node("ReduceMax", ["x"], ["a"], axes=[1]), helper.make_node("Sigmoid", ["a"], ["y"])]
    graph = graph_of(*nodes, inputs=[floats("x", None, 3)], outputs=[floats("y", None, 1)])
    assert Model(graph, sample=FULL, task="classification").task == "classification"
    softmax = graph_of(
        helper.make_node("Softmax", ["x"], ["y"]), inputs=[floats("x", None, 2)], outputs=[floats("y", None, 2)]
    )
    two = Model(softmax, sample=FULL[["distance", "seats"]], task="classification")
    assert two.predict_rows([[1.0, 1]]) == [0.5]
    with pytest.raises(InvalidInput, match="gives two values a row"):
        Model(softmax, sample=FULL[["distance", "seats"]], task="regression")


def test_weights_beside_the_file_are_refused(tmp_path: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [3, 1], np.ones(3, dtype=np.float32).tobytes(), raw=True)
    graph = graph_of(
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        inputs=[floats("x", None, 3)],
        outputs=[floats("y", None, 1)],
        weights=[weights],
    )
    assert Model(graph, sample=FULL, task="regression").predict(FULL) == pytest.approx(FULL.sum(axis=1), rel=1e-5)
    convert_model_to_external_data(graph, location="weights.bin", size_threshold=0)
    onnx.save_model(graph, str(tmp_path / "m.onnx"))
    assert (tmp_path / "weights.bin").exists()
    for given in (tmp_path / "m.onnx", (tmp_path / "m.onnx").read_bytes()):
        with pytest.raises(InvalidInput, match=r"files beside it: weights\.bin.*save_as_external_data=False"):
            Model(given, sample=FULL, task="regression")
    whole = onnx.load(str(tmp_path / "m.onnx"))
    assert Model(whole, sample=FULL, task="regression").state.rows == N


def test_the_structure_is_read_as_onnx_reads_it() -> None:
    for graph in (columns_model(zipmap=True)[1], matrix_model(HistGradientBoostingClassifier(max_iter=3))):
        facts = facts_of(graph.SerializeToString())
        assert facts.producer == graph.producer_name
        assert facts.opsets == {one.domain: one.version for one in graph.opset_import}
        assert facts.makers == {name: node.op_type for node in graph.graph.node for name in node.output}


_FRESH = """
import json, sys
from pathlib import Path
from slipway.models.bundle import load
loaded = load(Path(sys.argv[1]))
loaded.check_sample()
found = loaded.predict_rows(json.loads(sys.argv[2]))
heavy = ("sklearn", "pandas", "polars", "onnx", "skl2onnx", "google.protobuf")
print(json.dumps([found, [name for name in heavy if name in sys.modules]]))
"""


def test_a_bundle_needs_onnxruntime_alone(workspace: Workspace, tmp_path: Path) -> None:
    model = Model(columns_model()[1], sample=FRAME)
    packed = pack(workspace, model, name="late")
    assert packed.bundle.compiled.startswith("Not compiled: onnxruntime itself is its fast path")
    bundles.unpack(workspace, packed.manifest, tmp_path / "b", signature=packed.signature)
    cases = [case for case in model.state.cases if case.answer is not None]
    done = subprocess.run(
        [sys.executable, "-c", _FRESH, str(tmp_path / "b"), msgspec.json.encode([case.row for case in cases]).decode()],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    answers, loaded = msgspec.json.decode(done.stdout)
    assert answers == [case.answer for case in cases]
    assert loaded == []


def test_an_answer_is_explained_by_sampling() -> None:
    model = Model(columns_model()[1], sample=FRAME)
    found = model.explain(["AA", 3, None, 900.0], 4)
    assert found.how.startswith(("sampled", "exact, as a sum"))
    assert abs(found.residual) < 1e-9
