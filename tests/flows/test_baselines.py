"""Baselines: five kinds of model in one call, judged alike; the best is a model that can be released."""

import numpy as np
import polars as pl
import pytest

import slipway as sw
from slipway.errors import InvalidInput
from slipway.flows.package import package
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.runs import search

KINDS = ("constant", "linear", "boosting")


def customers(rows: int = 600) -> pl.DataFrame:
    random = np.random.default_rng(3)
    age = random.integers(18, 80, rows)
    spent = random.gamma(2.0, 50.0, rows)
    city = random.choice(["Hamburg", "Bremen", "Kiel"], rows)
    known = random.random(rows) > 0.1
    score = (age - 50) / 10 + (city == "Kiel") * 2 - spent / 100
    return pl.DataFrame(
        {
            "name": [f"customer {number}" for number in range(rows)],
            "age": age,
            "spent": pl.Series(spent).set(pl.Series(~known), None),
            "city": city,
            "active": random.random(rows) > 0.5,
            "since": pl.date_range(pl.date(2013, 1, 1), pl.date(2014, 8, 23), eager=True).head(rows),
            "left": random.random(rows) < 1 / (1 + np.exp(-score)),
            "value": 100 + 3 * age + 40 * (city == "Kiel") + random.normal(0, 5, rows),
        }
    )


def test_a_classification_is_compared_and_its_best_can_be_released(workspace: Workspace, said: list[str]) -> None:
    rows = customers()
    found = sw.baselines(rows.drop("value"), "left", algorithms=KINDS)
    by = {trial.params["algorithm"]: trial.value for trial in found.trials}
    assert by["constant"] == pytest.approx(0.5)
    assert by["linear"] > 0.7
    assert found.best.value == max(by.values())
    assert any("'name' is left out: nearly every row has a text of its own" in line for line in said)
    assert any("'since' is left out" in line for line in said)
    assert found.result.evaluation.rows == 120
    version = package(workspace, found.result, search.get_run(workspace, found.best.run_id), name="left")
    assert registry.get(workspace, "left").bundle == version.bundle
    again = sw.baselines(rows.drop("value"), "left", algorithms=KINDS)
    assert all(trial.is_cached for trial in again.trials)


def test_a_regression_keeps_the_last_rows_back(workspace: Workspace) -> None:
    rows = customers().with_columns(day=pl.int_range(pl.len()).reverse())
    found = sw.baselines(rows, "value", features=["age", "city"], time="day", algorithms=KINDS)
    by = {trial.params["algorithm"]: trial.value for trial in found.trials}
    assert found.direction == "minimize"
    assert by["linear"] < by["constant"] / 3
    assert found.best.params["algorithm"] == "linear"
    shown = pl.read_parquet(found.result.evaluated)
    assert sorted(shown["value"].to_list()) == sorted(rows.sort("day").tail(120)["value"].to_list())


def test_pandas_frames_and_rows_to_judge_by_are_taken(workspace: Workspace) -> None:
    rows = customers().drop("value", "since")
    found = sw.baselines(
        rows.head(400).to_pandas(), "left", test=rows.tail(200).to_pandas(), algorithms=["linear"], metric="log_loss"
    )
    assert (found.metric, found.direction, found.result.evaluation.rows) == ("log_loss", "minimize", 200)


@pytest.mark.full
def test_all_five_are_trained(workspace: Workspace) -> None:
    found = sw.baselines(customers(), "left", features=["age", "spent", "city", "active"], parallel=2)
    assert {trial.params["algorithm"] for trial in found.trials} == {
        "constant",
        "linear",
        "trees",
        "boosting",
        "neural",
    }
    assert {trial.state for trial in found.trials} == {"finished"}


def test_what_does_not_fit_is_said(workspace: Workspace) -> None:
    rows = customers()
    with pytest.raises(InvalidInput, match="no column 'lft'"):
        sw.baselines(rows, "lft")
    with pytest.raises(InvalidInput, match="no baseline 'forest'"):
        sw.baselines(rows, "left", algorithms=["forest"])
    with pytest.raises(InvalidInput, match="There are 10 rows"):
        sw.baselines(rows.head(10), "left")
    with pytest.raises(InvalidInput, match="is 1 in all rows"):
        sw.baselines(rows.with_columns(left=pl.lit(True)), "left")
    with pytest.raises(InvalidInput, match="'since' cannot be used"):
        sw.baselines(rows, "left", features=["since"])
    with pytest.raises(InvalidInput, match=r"type (text|category|string)"):
        sw.baselines(rows, "city")
