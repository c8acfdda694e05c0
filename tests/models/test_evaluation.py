"""Evaluations: figures with intervals, by slice, with costs; logged, and kept for comparisons on the same rows."""

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from model_flights import COSTS, labels, lightgbm_model, pandas_rows, rows
from sklearn.linear_model import LinearRegression
from sklearn.metrics import log_loss, roc_auc_score

from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.ledger import run_log
from slipway.ledger.step_scope import StepCall, step_scope
from slipway.models.evaluation import evaluate, evaluated_rows
from slipway.models.model import Model, load
from slipway.models.packing import pack
from slipway.ports.workspace import Workspace
from slipway.records.models import MetricValue
from slipway.stats.profiles import from_bytes


def unseen() -> pl.DataFrame:
    return rows(2000, seed=7)


def figure(model: Model, metric: str, slice: str = "") -> MetricValue:
    assert model.evaluation is not None
    return next(m for m in model.evaluation.metrics if (m.metric, m.slice) == (metric, slice))


def test_figures_are_those_of_scikit_learn() -> None:
    model, test = lightgbm_model(), unseen()
    evaluated = evaluate(model, test, slices=["carrier", "wet"])
    truth, scores = test["late"].to_numpy(), model.predict(test)
    found = figure(evaluated, "auc")
    assert found.value == pytest.approx(roc_auc_score(truth, scores))
    assert found.low < found.value < found.high
    assert found.n == 2000
    assert figure(evaluated, "log_loss").value == pytest.approx(log_loss(truth, scores))
    wet = test["wet"].to_numpy()
    assert figure(evaluated, "auc", "wet=True").value == pytest.approx(roc_auc_score(truth[wet], scores[wet]))
    assert figure(evaluated, "calibration_in_the_large").value == pytest.approx(scores.mean() - truth.mean())
    assert evaluated.evaluation is not None
    assert sum(point.n for point in evaluated.evaluation.reliability) == 2000
    assert model.evaluation is None


def test_costs_follow_the_decision() -> None:
    model, test = lightgbm_model(), unseen()
    truth, yes = test["late"].to_numpy() == 1, model.predict(test) >= 0.2
    expected = (COSTS["false_positive"] * (yes & ~truth) + COSTS["false_negative"] * (~yes & truth)).mean()
    cost = figure(evaluate(model, test, slices=["carrier"]), "cost")
    assert cost.value == pytest.approx(expected)
    assert cost.note == "USD a decision"
    other = evaluate(model, test, costs={"false_positive": 1, "false_negative": 1}, metrics=["auc"])
    assert figure(other, "cost").value == pytest.approx(((model.predict(test) >= 0.5) != truth).mean())
    assert {m.metric for m in other.evaluation.metrics} == {"auc", "calibration_in_the_large", "cost"}  # type: ignore[union-attr]
    with pytest.raises(InvalidDeclaration, match="No threshold follows"):
        evaluate(model, test, costs={"false_positive": -1, "false_negative": 1})


def test_small_slices_cannot_tell() -> None:
    test = unseen().with_columns(carrier=pl.when(pl.int_range(2000) < 12).then(pl.lit("HA")).otherwise("carrier"))
    small = figure(evaluate(lightgbm_model(), test, slices=["carrier"]), "auc", "carrier=HA")
    assert (small.n, np.isnan(small.value)) == (12, True)
    assert "too few" in small.note


def test_the_figures_become_the_runs_metrics(workspace: Workspace) -> None:
    run = run_log.start(workspace, name="baseline")
    with run_log.current_run.filled(run):
        evaluate(lightgbm_model(), unseen(), slices=["carrier"], metrics=["auc"])
    run.finish()
    with workspace.ledger.read() as tx:
        logged = {point.key: point.value for point in tx.latest_points([run.id])[run.id]}
    assert {"auc", "auc[carrier=AA]", "auc[carrier=]", "cost", "cost[carrier=UA]"} <= logged.keys()
    assert 0.6 < logged["auc"] < 1


def test_any_text_may_be_a_slice(workspace: Workspace) -> None:
    odd = unseen().with_columns(carrier=pl.lit("a[b]/../\n" + "x" * 400))
    run = run_log.start(workspace)
    with run_log.current_run.filled(run):
        evaluate(lightgbm_model(), odd, slices=["carrier"], metrics=["auc"])
    run.finish()


def test_it_is_a_step_of_its_own_in_a_pipeline() -> None:
    seen: list[StepCall] = []

    def scope(call: StepCall) -> object:
        seen.append(call)
        return call.compute()

    with step_scope.filled(scope):
        evaluated = evaluate(lightgbm_model(), unseen(), slices=["wet"])
    assert [call.name for call in seen] == ["evaluate"]
    assert seen[0].inputs["slices"] == ("wet",)
    assert seen[0].inputs["label"] == "late"
    assert evaluated.evaluation is not None


def test_the_evaluation_is_kept_with_the_model_and_the_bundle(workspace: Workspace, tmp_path: Path) -> None:
    model = evaluate(lightgbm_model(), unseen(), slices=["carrier"])
    (tmp_path / "model").mkdir()
    model.slipway_save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.slipway_fingerprint() == model.slipway_fingerprint() != lightgbm_model().slipway_fingerprint()
    kept = evaluated_rows(again.evaluated)
    assert kept.drop("slipway:score").equals(unseen())
    assert kept["slipway:score"].to_numpy().tolist() == model.predict(unseen()).tolist()
    packed = pack(workspace, model, name="delays")
    assert msgspec.to_builtins(packed.bundle.metrics[0])["metric"] == "auc"
    files = {file.path: file.digest for file in packed.bundle.files}
    assert not any(path.endswith(".parquet") for path in files)  # rows of people stay where training is
    card = workspace.blobs.get(files["card.md"]).decode()
    assert "### Over all rows (auto)" in card
    assert "| carrier=AA | " in card


def test_the_reference_profile_has_training_inputs_and_unseen_scores(workspace: Workspace) -> None:
    bare, model = lightgbm_model(), evaluate(lightgbm_model(), unseen())
    assert [column.name for column in bare.profile.columns] == ["carrier", "distance", "wind", "wet"]
    packed = pack(workspace, model, name="delays")
    digest = next(file.digest for file in packed.bundle.files if file.path == "profile.bin")
    columns = {column.name: column for column in from_bytes(workspace.blobs.get(digest)).columns}
    assert columns["wind"].missing == rows(1200)["wind"].null_count()
    assert set(columns["carrier"].categories) == {"AA", "UA", "DL"}
    assert (columns["wind"].rows, columns["score"].rows) == (1200, 2000)


def test_a_regression_in_pandas() -> None:
    frame = pandas_rows()[["distance", "wind"]]
    model = Model(LinearRegression().fit(frame, frame["wind"] * 3), sample=frame)
    evaluated = evaluate(model, frame.assign(minutes=frame["wind"] * 3 + 1), label="minutes")
    assert figure(evaluated, "mae").value == pytest.approx(1.0)
    assert evaluated.evaluation is not None
    assert evaluated.evaluation.reliability == ()


def test_what_does_not_fit_is_named() -> None:
    model, test = lightgbm_model(), unseen()
    with pytest.raises(InvalidInput, match=r"no metric 'acu'\. Did you mean 'auc'"):
        evaluate(model, test, metrics=["acu"])
    with pytest.raises(InvalidInput, match="no column 'carier'"):
        evaluate(model, test, slices=["carier"])
    with pytest.raises(InvalidInput, match="holds 2"):
        evaluate(model, test.with_columns(late=pl.lit(2)))
    with pytest.raises(InvalidInput, match="no column 'wind'"):
        evaluate(model, test.drop("wind"))
    unlabelled = Model(LinearRegression().fit(pandas_rows()[["wind"]], labels()), sample=pandas_rows()[["wind"]])
    with pytest.raises(InvalidInput, match="Nobody said which column is the truth"):
        evaluate(unlabelled, pandas_rows())
