"""Evaluations on batches of a stored table: the figures of the frame, and what is kept of its rows."""

import math
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from model_flights import COSTS, lightgbm_model
from model_flights import rows as flights

from slipway.errors import InvalidInput
from slipway.models import batch_evaluation
from slipway.models.evaluation import SCORED, evaluate, evaluated_rows
from slipway.models.model import Model, load
from slipway.ports.workspace import Workspace
from slipway.tables import versions
from slipway.tables.row_batches import Batches, batches_of


def stored(workspace: Workspace, frame: pl.DataFrame, batch_rows: int = 170) -> Batches:
    return batches_of(workspace, versions.overwrite(workspace, "judged", frame), batch_rows=batch_rows)


def same_figures(one: Model, other: Model) -> None:
    assert one.evaluation is not None
    assert other.evaluation is not None
    for mine, known in zip(one.evaluation.metrics, other.evaluation.metrics, strict=True):
        assert (mine.metric, mine.slice, mine.n, mine.note) == (known.metric, known.slice, known.n, known.note)
        for name in ("value", "low", "high"):
            found, wanted = getattr(mine, name), getattr(known, name)
            assert found == pytest.approx(wanted, rel=1e-9) or (math.isnan(found) and math.isnan(wanted))
    for point, known in zip(one.evaluation.reliability, other.evaluation.reliability, strict=True):
        assert (point.n, point.observed, point.low) == (known.n, known.observed, known.low)
        assert point.predicted == pytest.approx(known.predicted)


@pytest.mark.parametrize("batch_rows", [41, 700, 5000])
def test_figures_by_slice_and_cost_are_those_of_the_frame(workspace: Workspace, batch_rows: int) -> None:
    model, frame = lightgbm_model(), flights(2000, seed=7)
    here = evaluate(model, frame, slices=["carrier", "wet"], costs=COSTS, unit="USD")
    batches = stored(workspace, frame, batch_rows)
    there = evaluate(model, batches, slices=["carrier", "wet"], costs=COSTS, unit="USD")
    same_figures(there, here)
    assert msgspec.msgpack.encode(there.profile) == msgspec.msgpack.encode(here.profile)
    assert evaluated_rows(there.evaluated).equals(evaluated_rows(here.evaluated))
    assert there.evaluation is not None
    assert (there.evaluation.rows, there.evaluation.fingerprint) == (2000, batches.fingerprint)


def test_of_many_rows_some_are_kept_evenly(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_evaluation, "_KEPT", 100)
    model, frame = lightgbm_model(), flights(2000, seed=7).with_row_index("n")
    one, other = (evaluate(model, stored(workspace, frame, size)) for size in (170, 999))
    kept = evaluated_rows(one.evaluated)
    assert kept.equals(evaluated_rows(other.evaluated))
    assert (kept["n"] // 20).to_list() == list(range(100))
    np.testing.assert_array_equal(kept[SCORED].to_numpy(), model.predict(kept))
    assert one.evaluation is not None
    assert one.evaluation.rows == 2000
    same_figures(one, evaluate(model, frame))


def test_a_kept_model_remembers_what_it_was_judged_on(workspace: Workspace, tmp_path: Path) -> None:
    frame = flights(500, seed=7)
    batches = stored(workspace, frame).filter(pl.col("distance") > 1000)
    model = evaluate(lightgbm_model(), batches)
    model.slipway_save(tmp_path)
    for part in (workspace.root / "tables" / workspace.project / "judged").glob("*.parquet"):
        part.unlink()  # long after, the rows may be gone
    found = load(tmp_path)
    assert found.judged_on is not None
    assert found.judged_on.fingerprint == batches.fingerprint
    assert found.slipway_fingerprint() == model.slipway_fingerprint()


def test_rows_that_do_not_fit_are_a_sentence(workspace: Workspace) -> None:
    model, frame = lightgbm_model(), flights(50)
    with pytest.raises(InvalidInput, match="no column 'nothing'"):
        evaluate(model, stored(workspace, frame), slices=["nothing"])
    with pytest.raises(InvalidInput, match="holds 7"):
        evaluate(model, stored(workspace, frame.with_columns(late=pl.lit(7))))
    assert evaluate(model, stored(workspace, frame.head(0))).evaluation is not None
