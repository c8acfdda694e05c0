"""The checks of behaviour on models of a feature set: what a feature reads, when that is known, and which rows taught."""

import dataclasses
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import lightgbm as lgb
import msgspec
from loans import said
from small_desk import FIRST, Desk

import slipway as sw
from slipway.flows.leaks import leaks
from slipway.flows.release import run_pipeline
from slipway.flows.stored_rows import stored_rows
from slipway.models.bundle import load, unpack
from slipway.records.models import ModelVersion


def leaky(desk: Desk) -> ModelVersion:
    """A model that takes a flight's own delay, which is known after it departed."""
    module = desk.project.module()

    features = sw.FeatureSet(module.recent, "origin", "distance", "delay", name="leaky")

    @sw.pipeline
    def leaking() -> sw.Model:
        rows = features.training_set(
            module.flights, label="late", at="asked_at", until=datetime(2013, 4, 1, tzinfo=UTC)
        )
        fit, test = rows[:2000], rows[2000:]
        inputs = sw.inputs(fit, features, label="late")
        data = lgb.Dataset(inputs.matrix, inputs.labels, categorical_feature=inputs.categorical)
        booster = lgb.train({"objective": "binary", "num_threads": 1, "verbose": -1}, data, num_boost_round=5)
        return sw.evaluate(sw.Model(booster, inputs=inputs), test, label="late")

    endpoint = sw.Endpoint("leaking", pipeline=leaking, features=features)
    version = run_pipeline(desk.workspace, leaking, {}, endpoint=endpoint).version
    assert version is not None
    return version


def test_an_input_that_is_known_only_after_the_decision_is_named_with_when(desk: Desk) -> None:
    found = said(desk.workspace, leaky(desk), sw.no_leakage())
    assert found.result == "refused", found
    assert found.found.startswith("delay: it is known only at known_at, after the decision at asked_at")
    assert "sw.windows(..., time='known_at')" in found.fix


def test_a_clean_model_of_features_passes_and_so_do_its_tables_and_documents(desk: Desk) -> None:
    workspace, first = desk.workspace, desk.version(FIRST)
    leakage = said(workspace, first, sw.no_leakage())
    assert leakage.result == "passed", leakage
    assert "0 of 576 evaluated rows were among those of training" in leakage.found
    assert said(workspace, first, sw.robust(0.02, 0.02, drop=0.2)).result == "passed"
    data = said(workspace, first, sw.data_checks())
    assert data.result == "passed", data
    assert "flights 1" in data.found
    assert "weather 1" in data.found
    documented = said(workspace, first, sw.documented("data", "evaluation", "environment", "decision"))
    assert documented.result == "passed", documented


def test_a_feature_that_is_made_of_what_is_known_later_is_named_with_it(desk: Desk) -> None:
    workspace, first = desk.workspace, desk.version(FIRST)
    with tempfile.TemporaryDirectory() as folder:
        unpack(workspace, first.manifest, Path(folder) / "bundle")
        rows = stored_rows(workspace, load(Path(folder) / "bundle"))
    assert rows.training is not None
    reads = {**rows.training.reads, "hour": ("request.delay",)}
    altered = msgspec.structs.replace(rows.training, reads=reads)
    found = leaks(dataclasses.replace(rows, training=altered), sw.no_leakage().spec)["findings"]
    assert [(one["column"], one["found"]) for one in found] == [
        ("hour", "it is made of 'delay', which is known only at known_at, after the decision at asked_at")
    ]
    early = msgspec.structs.replace(rows.training, label="delay", known="late_at")
    found = leaks(dataclasses.replace(rows, training=early), sw.no_leakage().spec)["findings"]
    assert [(one["column"], one["found"]) for one in found] == [
        ("origin_delay_6h", "it counts the label of rows at known_at, before it is known at late_at")
    ]


def test_what_a_feature_is_made_of_is_not_taken_for_no_input(desk: Desk) -> None:
    workspace, first = desk.workspace, desk.version(FIRST)
    found = said(workspace, first, sw.invariant("departure"))
    assert found.result == "cannot tell"
    assert found.found == "hour is made of 'departure', and the stored rows hold the result only"
    assert found.fix == "Ask for these: 'hour'."
    moved = said(workspace, first, sw.monotonic("weather_now_wind", "decreasing"))
    assert moved.result == "refused"
    assert "the worst is flight_id=F" in moved.found
