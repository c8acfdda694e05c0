"""LightGBM on one part of the rows at a time: the same booster of a frame and of batches, and what it learns."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import slipway as sw
from slipway.errors import InvalidInput
from slipway.hosts.project import open_workspace
from slipway.ports.workspace import current_workspace
from slipway.stats.metrics import estimate
from slipway.tables import versions
from slipway.tables.row_batches import batches_of

lgb: Any = pytest.importorskip("lightgbm")

SETTINGS = {
    "objective": "binary", "num_leaves": 7, "feature_fraction": 0.7, "bagging_fraction": 0.8, "bagging_freq": 1,
    "seed": 3, "deterministic": True, "force_col_wise": True, "num_threads": 1, "verbose": -1,
}  # fmt: skip
ROWS = 6000


def made(rows: int = ROWS, seed: int = 1) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    x, z = random.normal(size=(2, rows))
    kind = random.choice(["a", "b", "c", "d", "e"], rows)
    late = random.random(rows) < 1 / (1 + np.exp(-2 * x - z * (kind == "a")))
    return pl.DataFrame(
        {"n": range(rows), "x": x, "z": np.where(random.random(rows) < 0.1, np.nan, z), "kind": kind, "late": late}
    )


def of(rows: Any) -> Any:
    return sw.inputs(rows, ["x", "z", "kind"], label="late")


def test_a_frame_and_batches_of_any_size_give_the_same_booster(tmp_path: Path) -> None:
    frame = made()
    workspace = open_workspace(tmp_path, project="parts")
    with current_workspace.filled(workspace):
        rows = batches_of(workspace, versions.overwrite(workspace, "rows", frame), batch_rows=700)
        here = sw.lightgbm_in_parts(SETTINGS, of(frame), 20, parts=3, seed=5).model_to_string()
        for batches in (rows, rows.by(100_000), rows.by(400)):
            there = sw.lightgbm_in_parts(SETTINGS, of(batches), 20, parts=3, seed=5)
            assert there.model_to_string() == here
        chosen = pl.col("n") % 3 != 1
        some = sw.lightgbm_in_parts(SETTINGS, of(rows.filter(chosen)), 20, parts=3)
        assert (
            some.model_to_string()
            == sw.lightgbm_in_parts(SETTINGS, of(frame.filter(chosen)), 20, parts=3).model_to_string()
        )
        assert some.model_to_string() != here
    workspace.ledger.close()


def test_the_joined_booster_is_the_sum_of_its_trees_and_can_be_kept(tmp_path: Path) -> None:
    inputs = of(made())
    booster = sw.lightgbm_in_parts(SETTINGS, inputs, 20, parts=3)
    assert booster.num_trees() == 20
    raw = booster.predict(inputs.matrix, raw_score=True)
    each = [booster.predict(inputs.matrix, raw_score=True, start_iteration=n, num_iteration=1) for n in range(20)]
    assert np.allclose(np.sum(each, axis=0), raw)
    assert lgb.Booster(model_str=booster.model_to_string()).model_to_string() == booster.model_to_string()
    booster.save_model(tmp_path / "model.txt")
    assert (
        lgb.Booster(model_file=tmp_path / "model.txt").predict(inputs.matrix) == booster.predict(inputs.matrix)
    ).all()


def test_trees_of_later_parts_go_on_from_those_before() -> None:
    inputs = of(made())
    booster = sw.lightgbm_in_parts(SETTINGS, inputs, 60, parts=4)
    losses = [
        estimate("log_loss", inputs.labels, booster.predict(inputs.matrix, num_iteration=count)).value
        for count in (1, 15, 30, 60)
    ]
    assert losses == sorted(losses, reverse=True)
    assert booster.predict(inputs.matrix).mean() == pytest.approx(inputs.labels.mean(), abs=0.01)


def test_it_is_as_good_as_all_rows_at_once() -> None:
    frame, other = made(20_000), made(20_000, seed=2)
    inputs = of(frame)
    whole = lgb.train(SETTINGS, lgb.Dataset(inputs.matrix, inputs.labels, categorical_feature=inputs.categorical), 40)
    parts = sw.lightgbm_in_parts(SETTINGS, inputs, 40, parts=4)
    held_out = inputs.encode(other)
    auc = [estimate("auc", held_out.labels, one.predict(held_out.matrix)).value for one in (whole, parts)]
    assert auc[1] > auc[0] - 0.01 > 0.8


def test_one_part_is_what_lightgbm_gives_of_all_rows() -> None:
    inputs = of(made())
    data = lgb.Dataset(inputs.matrix, inputs.labels, categorical_feature=inputs.categorical)
    whole = lgb.train(SETTINGS, data, 20)
    assert (
        sw.lightgbm_in_parts(SETTINGS, inputs, 20, parts=1).predict(inputs.matrix) == whole.predict(inputs.matrix)
    ).all()


@pytest.mark.parametrize("parts", [0, 21, 2.5, True])
def test_parts_that_do_not_fit_the_trees_are_refused(parts: Any) -> None:
    with pytest.raises(InvalidInput, match="20 trees cannot learn from"):
        sw.lightgbm_in_parts(SETTINGS, of(made(100)), 20, parts=parts)


def test_what_cannot_be_learnt_in_parts_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'dart' cannot learn in parts"):
        sw.lightgbm_in_parts(SETTINGS | {"boosting": "dart"}, of(made(100)), 20, parts=2)
    with pytest.raises(InvalidInput, match="no label"):
        sw.lightgbm_in_parts(SETTINGS, sw.inputs(made(100).drop("late")), 20, parts=2)
    with pytest.raises(InvalidInput, match="3 rows cannot be divided into 4 parts"):
        list(of(made(3)).parts(4))


def test_each_row_is_in_one_part_and_the_same_one_each_time(tmp_path: Path) -> None:
    frame = made()
    workspace = open_workspace(tmp_path, project="parts")
    with current_workspace.filled(workspace):
        rows = batches_of(workspace, versions.overwrite(workspace, "rows", frame), batch_rows=700)
        found = [part.rows.lazy().collect()["n"].to_list() for part in of(rows).parts(4, seed=7)]
        assert sorted(n for part in found for n in part) == list(range(ROWS))
        assert found == [part.frame["n"].to_list() for part in of(frame).parts(4, seed=7)]
        assert found != [part.frame["n"].to_list() for part in of(frame).parts(4, seed=8)]
        assert all(abs(len(part) - ROWS / 4) < 200 for part in found)
        read = [rows.part(number, 4, 7) for number in range(4)]
        assert [n for frame in read[0] for n in frame["n"].to_list()] == found[0]
        assert read[0].batch_rows == 175
    workspace.ledger.close()
