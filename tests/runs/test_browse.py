"""What can be asked of a run: curves in few stretches, an artifact's bytes, a frame's rows, the diff."""

import math

import polars as pl
import pytest
from msgspec import structs

from slipway.errors import InvalidInput, NotFound
from slipway.ledger import entries
from slipway.operations.runs import GetArtifact, GetCurves, GetRows, GetRun
from slipway.ports.workspace import Workspace
from slipway.runs import browse, tracking
from slipway.runs.frames import get_rows


def logged(workspace: Workspace) -> str:
    with tracking.start(workspace, "training", system_metrics=False) as run:
        for step in range(1000):
            run.log_metric("loss", math.sin(step), step)
            run.log_metric("system/cpu_percent", 50, step)
            run.log_metric("auc[carrier=AA]", step, step)
        run.log_metric("alone", math.nan)
        run.log_metric("alone at step 7", 1.0, 7)
        run.log_text("notes.md", "# notes")
        run.log_table("rows", pl.DataFrame({"a": [1, None, 3], "b": ["x", "y", None]}))
    return run.id


def test_curves_come_in_the_order_of_pages_and_only_of_more_than_one_point(workspace: Workspace) -> None:
    id = logged(workspace)
    found = browse.get_curves(workspace, GetCurves(id=id))
    assert [curve.key for curve in found.curves] == ["loss", "auc[carrier=AA]", "system/cpu_percent"]
    assert found.next == ""
    first = browse.get_curves(workspace, GetCurves(id=id[:10], limit=2))
    assert first.next == "auc[carrier=AA]"
    rest = browse.get_curves(workspace, GetCurves(id=id, limit=2, after=first.next))
    assert [*first.curves, *rest.curves] == list(found.curves)


def test_a_curve_keeps_its_extremes_in_few_stretches(workspace: Workspace) -> None:
    (curve,) = browse.get_curves(workspace, GetCurves(id=logged(workspace), key="loss", buckets=20)).curves
    assert 2 <= len(curve.buckets) <= 20
    values = [math.sin(step) for step in range(1000)]
    assert min(bucket.low for bucket in curve.buckets) == min(values)
    assert max(bucket.high for bucket in curve.buckets) == max(values)
    assert (curve.buckets[0].first.step, curve.buckets[-1].last.step) == (0, 999)


def test_a_metric_that_is_named_comes_with_its_one_point(workspace: Workspace) -> None:
    (curve,) = browse.get_curves(workspace, GetCurves(id=logged(workspace), key="alone at step 7")).curves
    assert [bucket.first.value for bucket in curve.buckets] == [1.0]
    (nothing,) = browse.get_curves(workspace, GetCurves(id=logged(workspace), key="no such")).curves
    assert nothing.buckets == ()


@pytest.mark.parametrize("fields", [{"limit": 0}, {"limit": 1001}, {"buckets": 0}, {"buckets": 10_001}])
def test_limits_are_said(workspace: Workspace, fields: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match=r"Give 1 to|is \d"):
        browse.get_curves(workspace, structs.replace(GetCurves(id="0" * 32), **fields))


def test_an_artifact_comes_with_its_bytes_unless_they_are_too_many(workspace: Workspace) -> None:
    id = logged(workspace)
    found = browse.get_artifact(workspace, GetArtifact(id=id, name="notes.md"))
    assert (found.data, found.is_whole, found.artifact.size_bytes) == (b"# notes", True, 7)
    with pytest.raises(NotFound, match=r"no artifact 'note\.md'.*Did you mean 'notes\.md'"):
        browse.get_artifact(workspace, GetArtifact(id=id, name="note.md"))
    with workspace.ledger.write() as tx:
        run = browse.get_run(workspace, GetRun(id=id)).run
        large = structs.replace(run.artifacts[0], size_bytes=8_000_001)
        entries.put(tx, structs.replace(run, artifacts=(large,)))
    found = browse.get_artifact(workspace, GetArtifact(id=id, name="notes.md"))
    assert (found.data, found.is_whole) == (b"", False)
    with pytest.raises(InvalidInput, match="too large"):
        get_rows(workspace, GetRows(id=id, name="notes.md"))


def test_the_first_rows_of_a_frame(workspace: Workspace) -> None:
    id = logged(workspace)
    found = get_rows(workspace, GetRows(id=id, name="rows", limit=2))
    assert (found.columns, found.types) == (("a", "b"), ("Int64", "String"))
    assert found.rows == (("1", "x"), (None, "y"))
    assert found.has_more
    assert not get_rows(workspace, GetRows(id=id, name="rows", limit=3)).has_more
    with pytest.raises(InvalidInput, match="cannot be read as Parquet"):
        get_rows(workspace, GetRows(id=id, name="notes.md"))
    with pytest.raises(InvalidInput, match="limit is 0"):
        get_rows(workspace, GetRows(id=id, name="rows", limit=0))
