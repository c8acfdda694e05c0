"""What a watch found while a pipeline trained decides at the gate, also when the step came from the cache."""

from datetime import UTC, datetime
from typing import Any

import lightgbm as lgb
import polars as pl
import pytest
from small_desk import NAME, Desk

import slipway as sw
from slipway.errors import GateRefused, RunStopped
from slipway.flows.release import run_pipeline
from slipway.models import registry
from slipway.pipelines.declare import Pipeline
from slipway.runs import search


def watched(module: Any, *, watches: bool = True, stop: bool = False) -> Pipeline[..., Any]:
    """The project's pipeline, whose training logs its loss of each round; a rate that is too high makes it diverge."""

    @sw.step
    def train(rows: pl.DataFrame, rate: float) -> sw.Model:
        run = sw.active_run()
        if watches:
            run.watch("loss", stop=stop)
        inputs = sw.inputs(rows, module.features, label="late")
        data = lgb.Dataset(inputs.matrix, inputs.labels, categorical_feature=inputs.categorical)
        settings = {"objective": "binary", "metric": "binary_logloss", "learning_rate": rate, "num_threads": 1}

        def log(env: Any) -> None:
            run.log_metric("loss", env.evaluation_result_list[0][2], env.iteration)

        booster = lgb.train(
            {**settings, "deterministic": True, "verbose": -1},
            data,
            num_boost_round=30,
            valid_sets=[data],
            callbacks=[log],
        )
        return sw.Model(booster, inputs=inputs)

    @sw.pipeline
    def release(rate: float = 0.1, again: int = 0) -> sw.Model:
        until = datetime(2013, 4, 1, tzinfo=UTC)
        rows = module.features.training_set(module.flights, label="late", at="asked_at", until=until)
        cut = pl.col("asked_at") < datetime(2013, 3, 20, tzinfo=UTC)
        return sw.evaluate(train(rows.filter(cut), rate), rows.filter(~cut), label="late")

    return release


def deploys(desk: Desk, pipeline: Pipeline[..., Any], **params: object) -> str:
    """Trains, and deploys what came of it; says what the gate had against it, "" for nothing."""
    done = run_pipeline(desk.workspace, pipeline, params, endpoint=desk.project.module().delays)
    assert done.version is not None
    assert registry.bundle_of(desk.workspace, done.version).run_id == done.run.id
    desk.declare(gate=sw.Gate(sw.no_finding()))
    try:
        desk.without_processes().deploy(done.version.number)
    except GateRefused as refused:
        return str(refused)
    return ""


@pytest.mark.full
def test_a_training_that_diverges_is_refused_also_from_the_cache(desk: Desk) -> None:
    release = watched(desk.project.module())
    assert deploys(desk, release, rate=0.1) == ""
    told = deploys(desk, release, rate=2.0)
    assert "diverging: loss is" in told
    first = search.list_runs(desk.workspace, pipeline="release")[0]
    assert f"(in run {first.id[:12]}, which made it)" not in told
    latest = run_pipeline(desk.workspace, release, {"rate": 2.0, "again": 1}, endpoint=None).run
    assert [(one.kind, one.source_run_id) for one in latest.findings] == [("diverging", first.id)]


def test_nobody_can_tell_where_nobody_watched(desk: Desk) -> None:
    assert "Cannot tell" in deploys(desk, watched(desk.project.module(), watches=False), rate=0.1)


def test_a_training_that_is_stopped_makes_no_version(desk: Desk) -> None:
    before = registry.versions(desk.workspace, NAME)
    with pytest.raises(RunStopped, match="diverging"):
        run_pipeline(
            desk.workspace,
            watched(desk.project.module(), stop=True),
            {"rate": 2.0},
            endpoint=desk.project.module().delays,
        )
    assert registry.versions(desk.workspace, NAME) == before
    run = search.list_runs(desk.workspace)[0]
    assert (run.state, run.error) == ("finished", None)
    assert "diverging" in run.ended_early
