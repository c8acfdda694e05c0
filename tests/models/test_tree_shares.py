"""What compiled trees tell of an answer is the Shapley value by its definition, and what LightGBM says of its own."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm as lgb
import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_corpus import CORPUS, fitted
from sklearn.ensemble import RandomForestRegressor

from slipway.errors import Corrupt
from slipway.models import bundle as bundles
from slipway.models.compiled import program as steps
from slipway.models.compiled import tree_shares as module
from slipway.models.compiled.compiling import compile_estimator
from slipway.models.compiled.forests import Nodes
from slipway.models.compiled.program import WHOLE, Array, Forest, Program, decode_program, encode_program
from slipway.models.compiled.tracing import inputs_of
from slipway.models.compiled.tree_shares import TreeShares, tree_shares
from slipway.models.inputs import inputs
from slipway.models.model import Model
from slipway.models.packing import pack
from slipway.ports.workspace import Workspace

COLUMNS = 6  # of three inputs: each once as it is, and once as its absolute value
OWNERS = (0, 1, 2, 0, 1, 2)
CODES = 4


def random_forest(lot: np.random.Generator, leaves: int, trees: int, is_chain: bool) -> Forest:
    """Trees that grow at random leaves or at the last one only, with sets of codes, and covers of every size."""
    rows: list[list[float]] = []
    roots, sets = [], []
    for tree in range(trees):
        roots.append(len(rows))
        ends = [len(rows)]
        rows.append([0, np.inf, ends[0], ends[0], 1, lot.normal(), -1, 10.0 ** lot.integers(2, 6)])
        for _ in range(leaves - 1 if tree or trees == 1 else 0):
            split = ends.pop(-1 if is_chain else int(lot.integers(len(ends))))
            code, first, cover = -1, len(rows), rows[split][7]
            if lot.random() < 0.3:
                code = len(sets)
                sets.append(lot.random(CODES) < 0.5)
            part = lot.uniform(0.01, 0.99)
            for child, share in ((first, part), (first + 1, 1 - part)):
                rows.append([0, np.inf, child, child, 1, lot.normal(), -1, cover * share])
            ends += [first, first + 1]
            head = [lot.integers(COLUMNS), round(lot.normal(), 1), first, first + 1, lot.random() < 0.5]
            rows[split] = [*head, 0.0, code, cover]
    kinds = ("<i4", "<f8", "<i4", "<i4", "|b1", "<f8", "<i4", "<f8")
    made = [Array.of(column, kind) for column, kind in zip(np.array(rows, dtype=float).T, kinds, strict=True)]
    of_sets = Array.of(np.array(sets).reshape(len(sets), CODES), "|b1")
    return Forest(2, *made[:6], Array.of(roots, "<i4"), of_sets, made[6], start=0.25, covers=made[7])


def program_of(forest: Forest, *more: steps.Step) -> Program:
    numbers = steps.Numbers((0, 1, 2), ("float",) * 3, (WHOLE,) * 3)
    return Program(
        inputs=3, steps=(numbers, steps.Ufunc(0, "absolute"), steps.Join((0, 1)), forest, *more), score=3 + len(more)
    )


def worth(forest: Forest, x: Sequence[float], known: frozenset[int]) -> float:
    """What the trees say of a row of whose inputs only some are known."""
    nodes = Nodes(forest)
    assert forest.covers is not None
    covers = forest.covers.numpy()

    def below(node: int) -> float:
        if nodes.is_leaf[node]:
            return float(nodes.values[node])
        left, right, column = int(nodes.left[node]), int(nodes.right[node]), int(nodes.features[node])
        if OWNERS[column] not in known:
            return (covers[left] * below(left) + covers[right] * below(right)) / (covers[left] + covers[right])
        value, code = x[column], int(nodes.set_of[node])
        if math.isnan(value):
            goes = bool(nodes.null_left[node])
        elif code >= 0:
            goes = -1 < value < CODES and bool(nodes.sets[code, int(value)])
        else:
            goes = value <= nodes.thresholds[node]
        return below(left if goes else right)

    return forest.start + sum(below(int(root)) for root in nodes.roots)


def by_definition(forest: Forest, x: Sequence[float]) -> list[float]:
    found = []
    for player in range(3):
        others, total = [other for other in range(3) if other != player], 0.0
        for size in range(3):
            weight = math.factorial(size) * math.factorial(2 - size) / math.factorial(3)
            for some in itertools.combinations(others, size):
                total += weight * (worth(forest, x, frozenset({*some, player})) - worth(forest, x, frozenset(some)))
        found.append(total)
    return found


VALUES = st.one_of(st.none(), st.integers(-1, 5).map(float), st.floats(-2, 2))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 14), st.integers(1, 4), st.booleans(), st.tuples(VALUES, VALUES, VALUES))
def test_it_is_the_shapley_value_by_its_definition(
    seed: int, leaves: int, trees: int, is_chain: bool, row: tuple[float | None, ...]
) -> None:
    forest = random_forest(np.random.default_rng(seed), leaves, trees, is_chain)
    numbers = [math.nan if value is None else value for value in row]
    x = [*numbers, *map(abs, numbers)]
    told = told_by(program_of(forest), row)
    np.testing.assert_allclose(told.values, by_definition(forest, x), atol=1e-12 * trees, rtol=1e-10)
    assert told.base == pytest.approx(worth(forest, x, frozenset()), abs=1e-12)
    assert told.base + told.values.sum() == pytest.approx(worth(forest, x, frozenset({0, 1, 2})), abs=1e-11)


def told_by(program: Program, row: Sequence[Any]) -> TreeShares:
    ask = tree_shares(program)
    assert ask is not None
    told = ask(row)
    assert told is not None
    return told


N = 600
LOT = np.random.default_rng(5)
FRAME = pd.DataFrame(LOT.normal(size=(N, 12)), columns=[f"x{i}" for i in range(12)])
FRAME["x3"] = FRAME["x3"].where(LOT.random(N) > 0.2)
FRAME["kind"] = pd.Categorical(LOT.choice(["a", "b", "c", "d", "e", "f"], N))
VALUE = FRAME["x0"] * FRAME["x1"] + FRAME["x2"] + FRAME["x3"].fillna(1) + (FRAME["kind"].cat.codes % 2) * 2


@cache
def boosted(objective: str) -> Model:
    label = {"binary": (VALUE > 0.5).astype(float), "poisson": VALUE.abs()}.get(objective, VALUE)
    fixed = inputs(FRAME.assign(y=label), label="y")
    data = lgb.Dataset(fixed.matrix, fixed.labels, categorical_feature=[12])
    given = {"objective": objective, "verbose": -1, "num_threads": 1, "min_data_per_group": 5, "num_leaves": 63}
    return Model(lgb.train({**given, "seed": 1, "min_data_in_leaf": 3}, data, num_boost_round=40), inputs=fixed)


def program_for(model: Model) -> Program:
    state = model.state
    return compile_estimator(model._format, model.estimator, state.task, state.signature.inputs, state.layout)


@pytest.mark.parametrize(("objective", "link"), [("regression", None), ("binary", "expit"), ("poisson", "exp")])
def test_of_a_booster_it_is_what_lightgbm_says(objective: str, link: str | None) -> None:
    model = boosted(objective)
    program = program_for(model)
    rows = [case.row for case in model.state.cases if not case.column][:40]
    known = model._scorer.attributed(rows)
    assert known is not None
    assert any(row[3] is None for row in rows)
    (forest,) = [step for step in program.steps if isinstance(step, Forest)]
    assert forest.sets.shape[0] > 0  # categories are split by
    for row, parts, base in zip(rows, known.parts, known.base, strict=True):
        told = told_by(program, row)
        assert told.link == link
        np.testing.assert_allclose(told.values, parts, atol=1e-9)
        assert told.base == pytest.approx(base, abs=1e-9)


def test_many_trees_are_told_as_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = boosted("regression")
    program, row = program_for(model), model.state.cases[0].row
    once = told_by(program, row)
    monkeypatch.setattr(module, "_TOGETHER", 300)
    ask = tree_shares(program)
    assert len(ask._lots) > 5  # type: ignore[union-attr]
    again = told_by(program, row)
    np.testing.assert_allclose(again.values, once.values, atol=1e-12)
    assert again.base == pytest.approx(once.base, abs=1e-12)


OF_TREES = [
    row
    for row in CORPUS
    if row.name.startswith(("decision tree", "forest", "extra trees", "boosting", "hist", "lightgbm"))
]


def loaded_of(workspace: Workspace, model: Model, folder: Path) -> bundles.LoadedModel:
    packed = pack(workspace, model, name="m")
    bundles.unpack(workspace, packed.manifest, folder, signature=packed.signature)
    return bundles.load(folder)


QUICK = ("decision tree", "lightgbm, poisson", "forest, float32 and small")
BACK: dict[str, Callable[[float], float]] = {"log-odds": lambda x: 1 / (1 + math.exp(-x)), "log of the value": math.exp}


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.name, marks=[] if row.name in QUICK else [pytest.mark.long]) for row in OF_TREES],
)
def test_trees_of_the_corpus_are_told_exactly_without_their_framework(
    workspace: Workspace, row: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = loaded_of(workspace, fitted(row), tmp_path / "b")
    assert loaded.is_compiled
    monkeypatch.setattr(loaded._scorer, "_original", None)  # whoever wanted the estimator would find none
    for case in [case for case in loaded.cases() or () if not case.column][:10]:
        (score,) = loaded.predict_rows([case.row])
        found = loaded.explain(case.row, score, 3)
        assert found.how == "exact, by the trees"
        assert abs(found.residual) < 1e-9
        told = found.base + sum(one.contribution for one in found.contributions) + found.rest
        assert BACK.get(found.scale, float)(told) == pytest.approx(score, rel=1e-9, abs=1e-9)


def one(change: Callable[[Forest], Forest], *more: steps.Step) -> Program:
    return program_of(change(random_forest(np.random.default_rng(1), 9, 3, False)), *more)


def without_covers(forest: Forest) -> Forest:
    return msgspec.structs.replace(forest, covers=None)


@pytest.mark.parametrize(
    "program",
    [
        one(without_covers),
        one(lambda forest: forest, steps.Link(3, "expit"), steps.Interpolated(4, Array.of([0, 1]), Array.of([0, 1]), True)),
        one(lambda forest: forest, steps.Blend((3, 3), (0.5, 0.5))),
        one(lambda forest: forest, steps.Forest(2, *msgspec.structs.astuple(random_forest(LOT, 3, 1, False))[1:])),
        Program(
            inputs=3, score=2, steps=(
                steps.Numbers((0, 1, 2), ("float",) * 3, (WHOLE,) * 3),
                steps.Matrix(0, Array.of(np.ones((3, 6))), Array.of(np.zeros(6))),
                msgspec.structs.replace(random_forest(LOT, 9, 3, False), of=1),
            )
        ),
    ],
    ids=["older", "interpolated", "blended", "two forests", "mixed columns"],
)  # fmt: skip
def test_what_is_no_plain_sum_of_trees_of_single_inputs_is_not_told(program: Program) -> None:
    assert tree_shares(program) is None


def test_an_older_program_is_read_and_answers_as_before() -> None:
    program = one(lambda forest: forest)
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(program))
    del plain["steps"][3]["covers"]
    older = msgspec.msgpack.decode(msgspec.msgpack.encode(plain), type=Program)
    assert older == one(without_covers)
    assert decode_program(encode_program(program)) == program


def test_a_number_times_the_trees_is_told_on_the_answer_s_scale() -> None:
    more = (steps.Arithmetic(3, "divide", Array.of([4.0])), steps.Blend((4,), (-3.0,)), steps.Link(5, "expit"))
    plain = told_by(one(lambda forest: forest), (0.5, None, 2.0))
    told = told_by(one(lambda forest: forest, *more), (0.5, None, 2.0))
    np.testing.assert_allclose(told.values, plain.values * -0.75, rtol=1e-12)
    assert (told.base, told.link) == (pytest.approx(plain.base * -0.75), "expit")
    less = told_by(one(lambda forest: forest, steps.Arithmetic(3, "subtract", Array.of([1.5]))), (0.5, None, 2.0))
    assert less.base == pytest.approx(plain.base - 1.5)


def test_columns_are_traced_to_the_inputs_that_they_may_depend_on() -> None:
    table = steps.Table(3, "text", ("a",), Array.of(np.eye(3)))
    found = Program(
        inputs=4, score=6, steps=(
            steps.Numbers((0, 1, 2), ("float",) * 3, (WHOLE,) * 3), table, steps.Join((0, 1)),
            steps.Products(2, ((0, 1), (), (5,))),
            steps.Matrix(2, Array.of([[1, 0], [0, 0], [0, 1], [0, 2], [0, 0], [0, 0]]), Array.of([0, 0])),
            steps.Missing(2, (4, 2)),
            steps.Lookup(0, (Array.of([1]),) * 3, (Array.of(np.ones((3, 2))),) * 3, (True,) * 3, (True,) * 3),
        ),
    )  # fmt: skip
    names = [[sorted(owner) for owner in inputs_of(found, number)] for number in range(7)]
    assert names[2] == [[0], [1], [2], [3], [3], [3]]
    assert names[3] == [[0, 1], [], [3]]
    assert names[4] == [[0], [2, 3]]
    assert names[5] == [[3], [2]]
    assert names[6] == [[0], [0], [1], [1], [2], [2]]


def test_what_does_not_add_up_to_the_answer_is_sampled(workspace: Workspace, tmp_path: Path) -> None:
    numbers = FRAME[["x0", "x1", "x2"]]
    model = Model(RandomForestRegressor(5, random_state=0).fit(numbers, VALUE), sample=numbers)
    loaded = loaded_of(workspace, model, tmp_path / "b")
    row = numbers.iloc[3].tolist()
    (score,) = loaded.predict_rows([row])
    assert loaded.explain(row, score, 3).how == "exact, by the trees"
    assert loaded.explain(row, score + 1e-6, 3).how.startswith("sampled")


def test_it_needs_no_reference_rows_and_its_file_as_it_was_packed(workspace: Workspace, tmp_path: Path) -> None:
    loaded = loaded_of(workspace, boosted("binary"), tmp_path / "b")
    other = bundles.load(tmp_path / "b")
    case = (loaded.cases() or ())[0]
    assert case.answer is not None
    (tmp_path / "b" / bundles.SAMPLE).unlink()
    assert loaded.explain(case.row, case.answer, 3).how == "exact, by the trees"
    with (tmp_path / "b" / bundles.COMPILED).open("ab") as file:
        file.write(b"more")
    with pytest.raises(Corrupt):
        other.explain(case.row, case.answer, 3)
