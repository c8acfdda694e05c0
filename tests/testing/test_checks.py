"""The helpers by which a project tests its own code: what is right passes, and what is wrong is said."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest

import slipway as sw
from slipway import testing
from slipway.errors import InvalidInput, NotFound
from slipway.ports.workspace import Workspace

RANDOM = np.random.default_rng(5)
ROWS = pl.DataFrame({"x": RANDOM.normal(size=300), "z": RANDOM.normal(size=300)}).with_columns(
    late=pl.col("x") + pl.Series(RANDOM.normal(0, 0.3, 300)) > 0, delay=3 * pl.col("x")
)
SETTINGS = {"num_threads": 1, "deterministic": True, "verbose": -1, "seed": 1, "min_data_in_leaf": 2}


def trained(rows: pl.DataFrame, label: str, objective: str = "binary", lot: int | None = None) -> sw.Model:
    inputs = sw.inputs(rows, ["x", "z"], label=label)
    labels = inputs.labels if lot is None else np.random.default_rng(lot).permutation(inputs.labels)
    booster = lgb.train({"objective": objective, **SETTINGS}, lgb.Dataset(inputs.matrix, labels), num_boost_round=40)
    return sw.Model(booster, inputs=inputs)


@sw.step
def learn(rows: pl.DataFrame) -> sw.Model:
    return trained(rows, "late")


def idle(rows: pl.DataFrame) -> sw.Model:
    """Learns from an input that is gone."""
    return trained(rows.with_columns(x=0.0, z=0.0), "late")


def test_a_training_that_learns_passes_and_one_that_does_not_is_told() -> None:
    assert testing.check_learns(learn, ROWS, label="late") > 0.5
    assert testing.check_overfits(learn, ROWS, label="late") < 0.5
    assert testing.check_learns(lambda rows: trained(rows, "delay", "l2"), ROWS, label="delay") > 0.5
    with pytest.raises(AssertionError, match="it hardly learns"):
        testing.check_learns(idle, ROWS, label="late")
    with pytest.raises(AssertionError, match="cannot learn even these by heart"):
        testing.check_overfits(idle, ROWS, label="late")
    with pytest.raises(InvalidInput, match="the same 'late'"):
        testing.check_learns(learn, ROWS.filter("late"), label="late")
    with pytest.raises(InvalidInput, match="and no model"):
        testing.check_learns(lambda rows: rows, ROWS, label="late")  # type: ignore[arg-type, return-value]


def test_the_batch_to_be_learnt_by_heart_has_every_truth() -> None:
    seen = []

    def looked(rows: pl.DataFrame) -> sw.Model:
        seen.append(rows)
        return trained(rows, "late")

    testing.check_overfits(looked, ROWS.sort("late"), label="late")
    assert seen[0].columns == ROWS.columns
    assert seen[0]["late"].value_counts()["count"].to_list() == [16, 16]


def test_what_hangs_on_no_seed_is_told() -> None:
    turns: Iterator[int] = iter(range(9))
    testing.check_repeats(learn, ROWS)
    testing.check_repeats(lambda: (ROWS, np.arange(3), {"a": float("nan")}))
    with pytest.raises(AssertionError, match="the second time"):
        testing.check_repeats(lambda: trained(ROWS, "late", lot=next(turns)))
    with pytest.raises(AssertionError, match="the second time"):
        testing.check_repeats(lambda: ROWS.sample(fraction=1.0, shuffle=True, seed=next(turns)))


def test_features_meet_generated_rows(workspace: Workspace) -> None:
    @sw.feature
    def hour(departure: datetime | None) -> int | None:
        return None if departure is None else departure.hour

    @sw.feature
    def speed(distance: float | None, minutes: float | None) -> float | None:
        return distance / minutes  # type: ignore[operator]  # of nothing, and by nothing

    found = testing.check_features(sw.FeatureSet(hour), {"departure": "datetime"})
    assert (found.mismatches, found.rows) == (0, 500)
    assert found.compared >= 500
    fields = {"distance": "float", "minutes": "float"}
    with pytest.raises(AssertionError, match="return a value or None instead"):
        testing.check_features(sw.FeatureSet(speed), fields)  # type: ignore[arg-type]
    assert testing.check_features(sw.FeatureSet(speed), fields, may_raise=True).raised  # type: ignore[arg-type]


def test_rows_are_held_to_what_their_table_declares(workspace: Workspace) -> None:
    @sw.table(key="id", checks=[sw.unique("id"), sw.between("age", 0, 120), sw.not_null("age", severity="warn")])
    def people() -> pl.DataFrame:
        raise AssertionError("a check of a frame reads no source")

    testing.check_table(people, pl.DataFrame({"id": [1, 2], "age": [30, None]}))
    with pytest.raises(AssertionError, match=r"people: id is unique: .*; age .*120.*: 1 of 3 rows break it"):
        testing.check_table(people, pl.DataFrame({"id": [1, 1, 2], "age": [30, 31, 130]}))


def test_a_budget_is_of_cpu_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    with testing.within(cpu_s=60, memory="10GB") as spent:
        sum(range(200_000))
    assert spent.cpu_s > 0
    with pytest.raises(AssertionError, match="CPU seconds; 1e-09 are allowed"), testing.within(cpu_s=1e-9):
        sum(range(200_000))
    with monkeypatch.context() as patched:
        peaks = iter([0, 3_000_000])
        patched.setattr("slipway.testing.budget._peak_bytes", lambda: next(peaks))
        with pytest.raises(AssertionError, match="grew by 3 MB; 2MB are allowed"), testing.within(memory="2MB"):
            pass
    for limits in ({}, {"cpu_s": 0.0}, {"cpu_s": float("nan")}, {"memory": "much"}):
        with pytest.raises(InvalidInput, match="no budget"), testing.within(**limits):  # type: ignore[arg-type]
            pass
    with pytest.raises(ZeroDivisionError), testing.within(cpu_s=1e-9):  # what the block raises goes first
        _ = 1 / 0


def test_a_project_is_opened_with_a_store_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "tried"\nmodule = "tried"\n')
    (tmp_path / "tried.py").write_text("")
    with testing.opened(tmp_path) as project:
        root = project.workspace.root
        assert root.exists()
        assert tmp_path not in root.parents
    assert not root.exists()
    assert not (tmp_path / ".slipway").exists()
    with pytest.raises(NotFound), testing.opened(tmp_path.parent):
        pass


def test_a_name_that_is_none_is_said() -> None:
    with pytest.raises(AttributeError, match="no attribute 'check_everything'"):
        _ = testing.check_everything  # type: ignore[attr-defined]
