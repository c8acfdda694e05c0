"""Compiled estimators: proven, quick to load, never wrong."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from pipeline_corpus import CORPUS, Row, fitted
from threadpoolctl import threadpool_limits

from slipway.errors import Corrupt, InvalidInput
from slipway.models import bundle as bundles
from slipway.models.bundle import COMPILED, LoadedModel
from slipway.models.compiled import program as steps
from slipway.models.compiled.forests import Trees
from slipway.models.compiled.program import Array, Forest, Program, decode_program, encode_program
from slipway.models.compiled.proof import Proof, prove_program
from slipway.models.compiled.running import Compiled
from slipway.models.model import Model
from slipway.models.packing import pack
from slipway.models.scoring import TOLERANCE
from slipway.ports.workspace import Workspace
from slipway.records.schema import Field

BY_NAME = {row.name: row for row in CORPUS}
QUICK = ["logistic, one-hot", "logistic, nullable", "hist, ordinal", "lightgbm, categories"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):  # beside other tests, threads that wait for each other cost most of the time
        yield


def unpacked(workspace: Workspace, model: Model, folder: Path) -> LoadedModel:
    packed = pack(workspace, model, name="m")
    bundles.unpack(workspace, packed.manifest, folder, signature=packed.signature)
    return bundles.load(folder, signer=workspace.signer)


def hostile(field: Field, held: list[Any], lot: random.Random) -> Any:
    """A value of a request, out of another bag than that of the proof."""
    if lot.random() < 0.15:
        return None
    if field.type in ("string", "category"):
        texts = [value for value in held if value is not None]
        text = lot.choice(texts) if texts else "x"
        return lot.choice([text, text, text.lower(), f"\t{text}", text * 2, "", "none", "x" * 1000, "ÄÖ", 5, True, 2.5])
    if field.type == "bool":
        return lot.choice([True, False, True, False, 1, 0.0, "yes"])
    numbers = [value for value in held if value is not None]
    near = lot.choice(numbers) if numbers else 1.0
    wild = [
        10.0 ** lot.randint(-320, 308),
        -(10.0 ** lot.randint(0, 300)),
        float("nan"),
        float("-inf"),
        10**25,
        "7",
        False,
    ]
    if field.type == "int":
        return lot.choice([near, near + lot.randint(-9, 9), float(near), near + 0.5, lot.getrandbits(62), *wild[:2]])
    return lot.choice([near, near, near * lot.random(), int(near), float(np.float32(near)), np.nextafter(near, 0).item(), lot.choice(wild)])  # fmt: skip


def hostile_rows(model: Model, seed: str, count: int) -> list[list[Any]]:
    lot = random.Random(seed)
    known = [case.row for case in model.state.cases if not case.column]
    columns = list(zip(*known, strict=True))
    rows = []
    for _ in range(count):
        row, share = list(lot.choice(known)), lot.choice((0.15, 0.5, 1.0))
        for index, field in enumerate(model.signature.inputs):
            if lot.random() < share:
                row[index] = hostile(field, list(columns[index]), lot)
        rows.append(row)
    return rows


def answers(ask: Callable[[list[list[Any]]], list[float]], rows: list[list[Any]]) -> list[float] | str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pandas, about numbers that do not fit
            return ask(rows)
    except InvalidInput as problem:
        return str(problem)


def answer(ask: Callable[[list[list[Any]]], list[float]], row: list[Any]) -> float | str:
    found = answers(ask, [row])
    return found if isinstance(found, str) else found[0]


def check(workspace: Workspace, row: Row, folder: Path, count: int) -> None:
    """The served model and the trained one give the same answers and the same refusals, row by row and together."""
    model = fitted(row)
    loaded = unpacked(workspace, model, folder)
    assert loaded.is_compiled == row.compiled, loaded.bundle.compiled
    rows = hostile_rows(model, row.name, count)
    served = [answer(loaded.predict_rows, one) for one in rows]
    wanted = [answer(model.predict_rows, one) for one in rows]
    for one, got, right in zip(rows, served, wanted, strict=True):
        if isinstance(got, str) or isinstance(right, str):
            assert isinstance(got, str), one
            assert got == right or "What it was fitted on held no such value." in got, one
        else:
            assert abs(got - right) <= TOLERANCE * max(1.0, abs(right)), one
    answered = [one for one, right in zip(rows, wanted, strict=True) if not isinstance(right, str)]
    assert answered
    whole, right_whole = answers(loaded.predict_rows, answered), answers(model.predict_rows, answered)
    if isinstance(right_whole, str):
        assert whole == right_whole
    else:
        np.testing.assert_allclose(whole, right_whole, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", QUICK)
def test_a_served_model_answers_and_refuses_as_the_trained_one(workspace: Workspace, name: str, tmp_path: Path) -> None:
    check(workspace, BY_NAME[name], tmp_path / "bundle", 20)


@pytest.mark.full
@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.name, marks=() if n % 3 == 0 else pytest.mark.long) for n, row in enumerate(CORPUS)],
)
def test_no_pipeline_of_the_corpus_is_answered_wrongly(workspace: Workspace, row: Row, tmp_path: Path) -> None:
    check(workspace, row, tmp_path / "bundle", 150)


def test_most_of_the_corpus_is_compiled() -> None:
    # Which of it is compiled is checked pipeline by pipeline above.
    assert len(CORPUS) >= 40
    assert sum(row.compiled for row in CORPUS) / len(CORPUS) >= 0.8


def proof_of(model: Model, program: Program) -> Proof:
    return prove_program(
        program, model.predict_rows, model.signature.inputs, model.state.cases, tolerance=TOLERANCE
    )  # fmt: skip


@pytest.fixture(scope="module")
def models() -> Callable[[str], tuple[Model, Program]]:
    known: dict[str, tuple[Model, Program]] = {}

    def get(name: str) -> tuple[Model, Program]:
        if name not in known:
            model = fitted(BY_NAME[name])
            program = decode_program(model.compiled().data or b"")
            assert program is not None
            known[name] = model, program
        return known[name]

    return get


def altered(program: Program, sort: type, /, **changes: Callable[[Any], Any]) -> Program:
    """The program with fields of its steps of a kind altered."""
    found = [
        msgspec.structs.replace(step, **{name: change(step) for name, change in changes.items()})
        if isinstance(step, sort)
        else step
        for step in program.steps
    ]
    assert tuple(found) != program.steps
    return msgspec.structs.replace(program, steps=tuple(found))


def array(change: Callable[[Any], Any], name: str) -> Callable[[Any], Array]:
    def changed(step: Any) -> Array:
        held = getattr(step, name)
        return Array.of(change(held.numpy().copy()), held.dtype)

    return changed


def _below(x: Any) -> Any:
    return np.where(np.isfinite(x), np.nextafter(x, -np.inf), x)


def _above(x: Any) -> Any:
    return np.where(np.isfinite(x), np.nextafter(x, np.inf), x)


def _other_is_last(x: Any) -> Any:
    x[-1] = x[-3]
    return x


def _null_is_other(x: Any) -> Any:
    x[-2] = x[-1]
    return x


def _uncast(program: Program) -> Program:
    return msgspec.structs.replace(
        program,
        steps=tuple(steps.Check(step.of, True) if isinstance(step, steps.Cast) else step for step in program.steps),
    )


MUTANTS: list[tuple[str, str, Callable[[Program], Program]]] = [
    ("< for <=", "hist, numbers with missing", lambda p: altered(p, Forest, thresholds=array(_below, "thresholds"))),
    ("threshold above", "hist, numbers with missing", lambda p: altered(p, Forest, thresholds=array(_above, "thresholds"))),
    ("threshold of float32", "hist, numbers with missing", lambda p: altered(p, Forest, thresholds=array(lambda x: x.astype(np.float32), "thresholds"))),
    ("null to the other side", "hist, numbers with missing", lambda p: altered(p, Forest, null_left=array(np.logical_not, "null_left"))),
    ("< for <= in booster", "lightgbm", lambda p: altered(p, Forest, thresholds=array(_below, "thresholds"))),
    ("set of categories turned", "lightgbm, categories", lambda p: altered(p, Forest, sets=array(np.logical_not, "sets"))),
    ("unrounded", "decision tree", _uncast),
    ("leaf slightly off", "hist, numbers with missing", lambda p: altered(p, Forest, values=array(lambda x: x * (1 + 1e-5), "values"))),
    ("unknown as a known one", "hist, ordinal", lambda p: altered(p, steps.Table, rows=array(_other_is_last, "rows"))),
    ("null as unknown", "hist, ordinal", lambda p: altered(p, steps.Table, rows=array(_null_is_other, "rows"))),
    ("unknown refused", "logistic, one-hot", lambda p: altered(p, steps.Table, other=lambda step: False)),
    ("unknown as zeros", "logistic, unknown refused", lambda p: altered(p, steps.Table, other=lambda step: True)),
    ("categories shifted", "logistic, one-hot", lambda p: altered(p, steps.Table, rows=array(lambda x: np.roll(x, 1, axis=0), "rows"))),
    ("filled otherwise", "logistic, one-hot", lambda p: altered(p, steps.Fill, values=array(lambda x: x + 1, "values"))),
    ("no scale", "logistic, one-hot", lambda p: altered(p, steps.Arithmetic, kind=lambda step: "subtract")),
    ("nulls let through", "logistic, bins", lambda p: altered(altered(p, steps.Fill, values=array(lambda x: x * np.nan, "values")), steps.Check, nan=lambda step: True)),
    ("bins one too far", "logistic, bins", lambda p: altered(p, steps.Bins, edges=lambda step: tuple(Array.of(_below(edges.numpy())) for edges in step.edges))),
    ("columns exchanged", "multinomial bayes", lambda p: altered(p, steps.Numbers, inputs=lambda step: step.inputs[::-1])),
]  # fmt: skip


@pytest.mark.parametrize(("name", "mutate"), [pytest.param(n, m, id=i) for i, n, m in MUTANTS])
def test_the_proof_refuses_a_compiler_that_errs(models: Any, name: str, mutate: Callable[[Program], Program]) -> None:
    model, program = models(name)
    assert proof_of(model, program).holds
    proof = proof_of(model, mutate(program))
    assert not proof.holds
    named = [field.name for field in model.signature.inputs if f"{field.name} is " in proof.sentence]
    assert named or "row " in proof.sentence, proof.sentence
    assert any(word in proof.sentence for word in ("it answers", "it does not answer", "it refuses")), proof.sentence


def test_what_is_not_compiled_says_which_part_and_why(workspace: Workspace, tmp_path: Path) -> None:
    loaded = unpacked(workspace, fitted(BY_NAME["neighbours"]), tmp_path / "bundle")
    assert loaded.bundle.compiled == "Not compiled: The model KNeighborsClassifier has no compiled form."
    assert not (tmp_path / "bundle" / COMPILED).exists()


_FRESH = """
import json, sys
from pathlib import Path
from slipway.models.bundle import load
loaded = load(Path(sys.argv[1]))
loaded.check_sample()
rows = json.loads(sys.argv[2])
found = [loaded.predict_rows(rows)]
heavy = ("sklearn", "pandas", "scipy", "lightgbm", "polars", "pyarrow", "skops")
found.append([name for name in heavy if name in sys.modules])
try:
    loaded.predict_rows([[*rows[0][:-1], "what"]])
except Exception as problem:
    found.append(str(problem))
found.append("sklearn" in sys.modules)
print(json.dumps(found))
"""


@pytest.mark.full
def test_a_fresh_process_answers_without_the_framework(workspace: Workspace, tmp_path: Path) -> None:
    model = fitted(BY_NAME["hist, ordinal"])
    unpacked(workspace, model, tmp_path / "bundle")
    case = next(case for case in model.state.cases if case.answer is not None)
    done = subprocess.run(
        [sys.executable, "-c", _FRESH, str(tmp_path / "bundle"), msgspec.json.encode([case.row]).decode()],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    answers, loaded, refusal, then = msgspec.json.decode(done.stdout)
    assert answers == [case.answer]
    assert loaded == []
    assert "'what'" in refusal  # the estimator's own frame says so, loaded for this row
    assert "night" in refusal
    assert then


def test_an_estimator_that_was_altered_since_is_not_loaded(workspace: Workspace, tmp_path: Path) -> None:
    model = fitted(BY_NAME["decision tree"])
    loaded = unpacked(workspace, model, tmp_path / "bundle")
    file = tmp_path / "bundle" / "model" / "model.skops"
    file.write_bytes(file.read_bytes() + b" ")
    row = model.state.cases[0].row
    assert loaded.predict_rows([row]) == [model.state.cases[0].answer]
    with pytest.raises(Corrupt, match=r"model\.skops.*is altered"):
        loaded.predict_rows([["one", *row[1:]]])


def test_a_program_of_another_version_is_not_run(workspace: Workspace, tmp_path: Path) -> None:
    model = fitted(BY_NAME["decision tree"])
    loaded = unpacked(workspace, model, tmp_path / "bundle")
    assert loaded.is_compiled
    path = tmp_path / "bundle" / COMPILED
    program = decode_program(path.read_bytes())
    assert program is not None
    path.write_bytes(encode_program(msgspec.structs.replace(program, version=99)))
    older = LoadedModel(tmp_path / "bundle", loaded.bundle)
    assert not older.is_compiled
    rows = [case.row for case in model.state.cases[:3]]
    assert older.predict_rows(rows) == model.predict_rows(rows)


@pytest.mark.parametrize("data", [b"", b"none", zlib.compress(b"none"), zlib.compress(msgspec.msgpack.encode({"version": 1}))])  # fmt: skip
def test_what_is_no_program_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt, match="cannot be read"):
        decode_program(data)


def test_a_row_of_another_length_is_left_to_the_estimator(models: Any) -> None:
    model, program = models("decision tree")
    row = model.state.cases[0].row
    compiled = Compiled(program, [field.name for field in model.signature.inputs])
    assert compiled.rows([row]) is not None
    assert compiled.rows([row[:-1]]) is None
    assert compiled.rows([]) is None


def test_what_an_encoder_refuses_is_refused_without_it(models: Any) -> None:
    model, program = models("logistic, unknown refused")
    row = list(model.state.cases[0].row)
    row[3] = "XX" * 100
    compiled = Compiled(program, [field.name for field in model.signature.inputs])
    for rows in ([row], [model.state.cases[1].row, row]):
        with pytest.raises(InvalidInput, match=r"refuses 'XX.*\.\.\. for 'carrier'") as refusal:
            compiled.rows(rows)
        assert refusal.value.field == "carrier"


def _random_forest(lot: np.random.Generator, leaves: int, trees: int) -> Forest:
    """Trees that grow at random leaves, some nodes with sets of codes, and one tree of a single leaf."""
    nodes: list[list[float]] = []
    roots, sets = [], []
    for tree in range(trees):
        root = len(nodes)
        roots.append(root)
        nodes.append([0, np.inf, root, root, 1, lot.normal(), -1])
        for _ in range(leaves - 1 if tree else 0):
            ends = [i for i in range(root, len(nodes)) if nodes[i][2] == i]
            split = ends[lot.integers(len(ends))]
            has_set = lot.random() < 0.3
            if has_set:
                sets.append(lot.random(6) < 0.5)
            first = len(nodes)
            nodes += [[0, np.inf, child, child, 1, lot.normal(), -1] for child in (first, first + 1)]
            code = len(sets) - 1 if has_set else -1
            nodes[split] = [lot.integers(3), round(lot.normal(), 1), first, first + 1, lot.random() < 0.5, 0.0, code]
    columns = np.array(nodes, dtype=float).T
    kinds = ("<i4", "<f8", "<i4", "<i4", "|b1", "<f8")
    features, thresholds, left, right, null_left, values = (
        Array.of(column, kind) for column, kind in zip(columns, kinds, strict=False)
    )
    return Forest(
        0, features, thresholds, left, right, null_left, values, Array.of(roots, "<i4"),
        Array.of(np.array(sets).reshape(len(sets), 6), "|b1"), Array.of(columns[6], "<i4"), start=0.25,
    )  # fmt: skip


def _walked(forest: Forest, row: Any) -> float:
    total = forest.start
    left, right, set_of = forest.left.numpy(), forest.right.numpy(), forest.set_of.numpy()
    for root in forest.roots.numpy().tolist():
        node = root
        while left[node] != node:
            value, code = row[forest.features.numpy()[node]], set_of[node]
            if np.isnan(value):
                goes = bool(forest.null_left.numpy()[node])
            elif code >= 0:
                goes = -1 < value < 6 and bool(forest.sets.numpy()[code, int(value)])
            else:
                goes = value <= forest.thresholds.numpy()[node]
            node = int(left[node] if goes else right[node])
        total += forest.values.numpy()[node]
    return float(total)


@pytest.mark.parametrize(("leaves", "trees"), [(1, 5), (2, 5), (17, 5), (4, 130), (64, 5), (65, 5)])
def test_trees_are_asked_alike_for_few_rows_and_for_many(leaves: int, trees: int) -> None:
    lot = np.random.default_rng(leaves)
    forest = _random_forest(lot, leaves, trees)
    x = np.round(lot.normal(0, 1.5, (600 if leaves > 64 else 60, 3)), 1)
    x[lot.random(x.shape) < 0.1] = np.nan
    x[0] = [np.inf, -np.inf, 5.0]
    ask = Trees(forest)
    wanted = [_walked(forest, row) for row in x]
    assert ask(x)[:, 0].tolist() == wanted
    assert [float(ask(row[None])[0, 0]) for row in x[:60]] == wanted[:60]
