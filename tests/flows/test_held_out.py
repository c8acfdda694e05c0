"""From when on rows are fair to judge a model by: only where no later row can have taught it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
from small_desk import FIRST, Desk

import slipway as sw
from slipway.flows.held_out import held_out_from
from slipway.flows.package import package
from slipway.flows.trained_on import training_set_of
from slipway.models import registry
from slipway.models.model import Model
from slipway.pipelines import engine
from slipway.ports.workspace import current_workspace

CUT = datetime(2013, 3, 20, tzinfo=UTC)
UNTIL = datetime(2013, 4, 1, tzinfo=UTC)
AT = pl.col("asked_at")

Split = Callable[[pl.DataFrame], tuple[pl.DataFrame, pl.DataFrame | None]]


def held_out(desk: Desk, split: Split, more: tuple[datetime, datetime] | None = None) -> datetime | None:
    """Train on the split's first rows, evaluate on its second; `more` are the bounds of another training set."""
    module = desk.project.module()

    def release() -> Model:
        if more is not None:
            module.features.training_set("flights", label="late", at="asked_at", since=more[0], until=more[1])
        rows = module.features.training_set("flights", label="late", at="asked_at", until=UNTIL)
        fit, test = split(rows)
        model: Model = module.train(fit, 1)
        return model if test is None else sw.evaluate(model, test, label="late")

    with current_workspace.filled(desk.workspace):
        result = engine.run(desk.workspace, sw.pipeline(release))
        return held_out_from(desk.workspace, result.value, result.run, training_set_of(desk.workspace, result.run))


def by_time(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return rows.filter(AT < CUT), rows.filter(AT >= CUT)


def test_a_split_by_time_holds_out_what_comes_later(desk: Desk) -> None:
    assert registry.bundle_of(desk.workspace, desk.version(FIRST)).held_out_from == CUT
    assert held_out(desk, by_time) == CUT
    assert held_out(desk, lambda rows: by_time(rows.sample(fraction=1, shuffle=True, seed=1))) == CUT


def test_a_training_set_that_was_found_stored_counts_like_one_that_was_made(desk: Desk) -> None:
    assert held_out(desk, by_time) == held_out(desk, by_time) == CUT


def test_a_stored_training_set_counts_like_a_frame(desk: Desk) -> None:
    module = desk.project.module()

    def release() -> Model:
        batches = module.features.training_batches("flights", label="late", at="asked_at", until=UNTIL, batch_rows=900)
        fit, test = by_time(pl.concat(list(batches)))
        return sw.evaluate(module.train(fit, 1), test, label="late")

    with current_workspace.filled(desk.workspace):
        result = engine.run(desk.workspace, sw.pipeline(release))
        training = training_set_of(desk.workspace, result.run)
        assert training is not None
        assert training.stored.startswith("table:")
        assert held_out_from(desk.workspace, result.value, result.run, training) == CUT


def test_a_random_split_holds_out_no_time(desk: Desk) -> None:
    def at_random(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        mixed = rows.sample(fraction=1, shuffle=True, seed=1)
        return mixed.head(2000), mixed.tail(mixed.height - 2000)

    assert held_out(desk, at_random) is None


def test_one_later_row_that_may_have_taught_it_is_enough(desk: Desk) -> None:
    def but_one(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        fit, test = by_time(rows)
        return fit.head(100), test.filter(pl.col("flight_id") != test["flight_id"][5])

    assert held_out(desk, but_one) is None


def test_a_model_that_was_fitted_on_all_rows_was_taught_by_the_evaluated_ones_too(desk: Desk) -> None:
    assert held_out(desk, lambda rows: (rows, by_time(rows)[1])) is None


def test_without_an_evaluation_or_its_columns_nobody_knows(desk: Desk) -> None:
    assert held_out(desk, lambda rows: (by_time(rows)[0], None)) is None
    assert held_out(desk, lambda rows: (by_time(rows)[0], by_time(rows)[1].drop("asked_at"))) is None
    assert held_out(desk, lambda rows: (by_time(rows)[0], by_time(rows)[1].drop("flight_id"))) is None
    elsewhere = AT.dt.convert_time_zone("America/New_York")
    assert held_out(desk, lambda rows: (by_time(rows)[0], by_time(rows)[1].with_columns(elsewhere))) is None


def test_every_training_set_of_the_run_counts(desk: Desk) -> None:
    day = timedelta(days=1)
    assert held_out(desk, by_time, more=(CUT - 9 * day, CUT)) == CUT
    assert held_out(desk, by_time, more=(CUT - 9 * day, UNTIL)) == CUT, "the same rows may be looked at twice"
    assert held_out(desk, by_time, more=(UNTIL, UNTIL + day)) is None


def test_a_training_set_that_was_made_inside_a_step_is_not_kept_as_one(desk: Desk) -> None:
    features = desk.project.module().features

    @sw.step
    def prepare() -> pl.DataFrame:
        rows: pl.DataFrame = features.training_set(
            "flights", label="late", at="asked_at", until=UNTIL - timedelta(days=1)
        )
        return rows

    def other_rows(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        return by_time(prepare())

    assert held_out(desk, other_rows) is None


def test_a_model_without_a_training_set_of_features_is_packaged_and_says_nothing(desk: Desk) -> None:
    with current_workspace.filled(desk.workspace):
        result = engine.run(desk.workspace, desk.project.module().release)
        version = package(desk.workspace, result.value, result.run, name="plain")
    assert registry.bundle_of(desk.workspace, version).held_out_from is None
