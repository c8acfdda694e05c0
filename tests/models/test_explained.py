"""What a model's answers rest on is what it was made to rest on, is bounded, and is kept with the model."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from model_flights import lightgbm_model, rows
from sklearn.linear_model import LinearRegression, LogisticRegression

from slipway.errors import InvalidInput
from slipway.models import explained as module
from slipway.models.card import card
from slipway.models.evaluation import evaluate
from slipway.models.explained import explain
from slipway.models.explained_words import sentence
from slipway.models.model import Model, load
from slipway.models.packing import pack
from slipway.ports.workspace import Workspace
from slipway.records.explanations import Explained
from slipway.stats.importance import interaction, partial, permuted

RNG = np.random.default_rng(5)
X = pd.DataFrame(RNG.normal(size=(400, 3)), columns=["heavy", "light", "idle"])
Y = 4 * X["heavy"] + X["light"]


def of(model: Model, frame: pl.DataFrame | pd.DataFrame, label: str = "y") -> Explained:
    found = explain(model, frame, label=label).state.explained
    assert found is not None
    return found


@pytest.fixture(scope="module")
def linear() -> Explained:
    return of(Model(LinearRegression().fit(X, Y), sample=X), X.assign(y=Y))


def test_importances_are_the_model_s_own_two_ways(linear: Explained) -> None:
    by_name = {one.input: one for one in linear.importances}
    spread = X.var()
    squares = np.array([16 * spread["heavy"], spread["light"]])
    sizes = np.array([4 * X["heavy"].std(), X["light"].std()])
    assert [one.input for one in linear.importances] == ["heavy", "light", "idle"]
    assert by_name["heavy"].permuted == pytest.approx(squares[0] / squares.sum(), abs=0.02)
    assert by_name["heavy"].contribution == pytest.approx(sizes[0] / sizes.sum(), abs=0.03)
    assert by_name["idle"].permuted == pytest.approx(0, abs=1e-9)
    for one in linear.importances:
        assert one.low <= one.permuted <= one.high
    assert sum(one.permuted for one in linear.importances) == pytest.approx(1)
    assert sum(one.contribution for one in linear.importances) == pytest.approx(1)


def test_partial_dependence_of_a_line_is_the_line_and_nothing_interacts(linear: Explained) -> None:
    heavy = next(one for one in linear.dependences if one.input == "heavy")
    assert list(heavy.values) == sorted(heavy.values)
    assert X["heavy"].min() < heavy.values[0] < heavy.values[-1] < X["heavy"].max()  # nobody's greatest value is told
    slopes = np.diff(heavy.answers) / np.diff(heavy.values)
    np.testing.assert_allclose(slopes, 4, rtol=1e-6)
    assert max(one.strength for one in linear.interactions) < 1e-6


def test_interactions_are_found_and_sums_have_none() -> None:
    grid = np.random.default_rng(5).normal(size=(40, 3)).tolist()

    def crossed(asked: list[list[float]]) -> np.ndarray:
        given = np.asarray(asked)
        return given[:, 0] * given[:, 1] + given[:, 2]

    own = {place: partial(crossed, grid, (place,), [(row[place],) for row in grid]) for place in range(3)}
    assert interaction(crossed, grid, 0, 1, own.__getitem__) > 0.8
    assert interaction(crossed, grid, 0, 2, own.__getitem__) < 1e-9
    assert interaction(lambda asked: np.ones(len(asked)), grid, 0, 1, lambda _: np.ones(40)) == 0


def test_a_logistic_model_s_effects_add_up_on_its_own_scale() -> None:
    yes = (Y + RNG.normal(size=400) > 0).astype(int)
    found = of(Model(LogisticRegression().fit(X, yes), sample=X), X.assign(y=yes))
    assert (found.scale, found.how) == ("log-odds", "exact, as a sum")
    assert max(one.strength for one in found.interactions) < 1e-3


def test_exchanging_an_input_has_its_interval() -> None:
    values = X.to_numpy().tolist()
    found = permuted(
        lambda asked: np.asarray(asked)[:, 0], values, lambda answers: (answers - X["heavy"].to_numpy()) ** 2, 0,
        times=3, seed=1,
    )  # fmt: skip
    assert found.low < 2 * X["heavy"].var() < found.high


def test_an_input_that_tells_the_label_is_flagged_and_an_honest_one_is_not() -> None:
    yes = (Y + RNG.normal(size=400) > 0).astype(int)
    honest = of(Model(LogisticRegression().fit(X, yes), sample=X), X.assign(y=yes))
    assert honest.leaks == ()
    leaky = X.assign(paid_back=yes * 10 + RNG.normal(size=400))
    (said,) = of(Model(LogisticRegression(max_iter=500).fit(leaky, yes), sample=leaky), leaky.assign(y=yes)).leaks
    assert said.startswith("paid_back alone predicts y with an AUC of")


def test_it_is_kept_with_the_model_told_on_the_card_and_the_same_each_time(
    workspace: Workspace, tmp_path: Path
) -> None:
    held_out = rows(300, seed=9)
    model = explain(evaluate(lightgbm_model(), held_out), held_out)
    assert model.evaluation is not None
    again = explain(lightgbm_model(), held_out)
    assert again.state.explained == model.state.explained
    assert model.slipway_fingerprint() != evaluate(lightgbm_model(), held_out).slipway_fingerprint()
    model.slipway_save(tmp_path)
    assert load(tmp_path).state.explained == model.state.explained
    packed = pack(workspace, model, name="delays", data=["table:flights/departures@" + "a" * 64])
    assert packed.bundle.explained == model.state.explained
    said = sentence(packed.bundle.explained, packed.bundle)  # type: ignore[arg-type]
    assert said.startswith("In departures version aaaaaaaaaaaa, ")
    assert " account" in said
    assert "% of what the model's answers rest on." in said
    told = card(packed.bundle)
    assert said in told
    assert "not what causes what" in told
    assert "Nobody asked" in card(pack(workspace, lightgbm_model(), name="delays").bundle)


def test_texts_of_few_rows_are_not_told() -> None:
    held_out = rows(300, seed=9)
    found = of(lightgbm_model(), held_out.with_columns(
        carrier=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("Ada Lovelace")).otherwise("carrier")
    ), "late")  # fmt: skip
    carrier = next(one for one in found.dependences if one.input == "carrier")
    assert "UA" in carrier.values
    assert "Ada Lovelace" not in carrier.values


def test_the_work_is_bounded_whatever_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ASKED", 1500)
    many = pd.concat([X] * 20, ignore_index=True)
    found = of(Model(LinearRegression().fit(X, Y), sample=X), many.assign(y=4 * many["heavy"] + many["light"]))
    exchanged = (module._TIMES + 1) * 3 * found.rows
    pairs = 3 * module._PAIR_ROWS**2 + 3 * module._PAIR_ROWS**2
    assert found.rows == 1500 // (3 * module._TIMES)
    assert found.asked <= exchanged + 3 * module._GRID * module._OVER + pairs


def test_few_rows_are_refused() -> None:
    with pytest.raises(InvalidInput, match="20 rows"):
        explain(Model(LinearRegression().fit(X, Y), sample=X), X.assign(y=Y)[:20], label="y")
