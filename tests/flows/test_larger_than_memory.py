"""The flagship learns from batches by the code that learns from a frame: the same model, released, serving the same."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slipway.backends.process_executor import ProcessExecutor
from slipway.flows.endpoint import Endpoint
from slipway.flows.release import Released, run_pipeline
from slipway.hosts.project import Project, open_project
from slipway.ledger import entries
from slipway.models import bundle as bundles
from slipway.models.bundle import LoadedModel
from slipway.pipelines import engine, snapshot
from slipway.pipelines.declare import Pipeline
from slipway.pipelines.remote import Remote
from slipway.records.runs import StepRun
from slipway.tables import catalog, versions

FLAGSHIP = Path(__file__).parents[2] / "examples" / "flight_delays"
UNTIL = date(2013, 1, 29)
MORE = """

@sw.step
def score(model: sw.Model, rows: Rows) -> Rows:
    return rows.map(lambda frame: frame.select("flight_id", score=model.predict(frame)), table="scores", key="flight_id")


@sw.pipeline
def scored(until: date = date(2013, 1, 29)) -> Rows:
    rows = features.training_batches(flights, label="late", at="asked_at", known="labelled_at", until=until, batch_rows=3000)
    fit, test = split(rows)
    return score(train(fit), test)
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    pytest.importorskip("lightgbm")
    folder = tmp_path_factory.mktemp("larger")
    shutil.copy(FLAGSHIP / "slipway.toml", folder / "slipway.toml")
    # Fewer rounds: what is compared is the way that the rows take.
    text = (FLAGSHIP / "flight_delays.py").read_text().replace("num_boost_round=120", "num_boost_round=12")
    (folder / "flight_delays.py").write_text(text + MORE)
    path = list(sys.path)
    sys.modules.pop("flight_delays", None)
    with open_project(folder) as opened:
        found: Any = opened.module()
        flights = found.flights.function().filter(pl.col("asked_at") < datetime(2013, 2, 1, tzinfo=UTC))
        versions.overwrite(opened.workspace, "flights", flights, key=("flight_id",), time="asked_at")
        weather = found.weather.function()
        versions.overwrite(opened.workspace, "weather", weather, key=("origin", "observed_at"), time="observed_at")
        versions.overwrite(opened.workspace, "planes", found.planes.function(), key=("tailnum",))
        yield opened
    sys.path[:] = path
    sys.modules.pop("flight_delays", None)


def released(desk: Project, **params: Any) -> Released:
    pipeline = desk.pick(Pipeline, "release", "pipeline")
    endpoint = desk.pick(Endpoint, "flight-delays", "endpoint")
    return run_pipeline(desk.workspace, pipeline, {"until": UNTIL, **params}, endpoint=endpoint)


def loaded(desk: Project, found: Released, folder: Path) -> LoadedModel:
    assert found.version is not None
    bundles.unpack(
        desk.workspace, found.version.manifest, folder, signature=found.version.signature, expect=found.version.bundle
    )
    return bundles.load(folder, expect=found.version.bundle, signer=desk.workspace.signer)


@pytest.mark.full
def test_a_frame_and_batches_give_the_same_model(desk: Project, tmp_path: Path) -> None:
    one, other = released(desk), released(desk, in_batches=True)
    here: Any = one.value
    there: Any = other.value
    assert here.estimator.model_to_string() == there.estimator.model_to_string()
    assert (here.state.cases, here.state.signature) == (there.state.cases, there.state.signature)
    assert here.profile == there.profile
    assert here.evaluation.rows == there.evaluation.rows > 5000
    for mine, known in zip(there.evaluation.metrics, here.evaluation.metrics, strict=True):
        assert (mine.metric, mine.slice, mine.n) == (known.metric, known.slice, known.n)
        assert mine.value == pytest.approx(known.value, rel=1e-9, nan_ok=True)
    bundle, again = loaded(desk, one, tmp_path / "one"), loaded(desk, other, tmp_path / "other")
    assert bundle.bundle.held_out_from == again.bundle.held_out_from is not None
    assert bundle.bundle.training_set == again.bundle.training_set
    rows = [case.row for case in there.state.cases[:20]]
    assert bundle.predict_rows(rows) == again.predict_rows(rows)


@pytest.mark.full
def test_steps_in_processes_of_their_own_need_the_reference_only(desk: Project) -> None:
    code = snapshot.pack(desk.folder)
    pipeline = desk.pick(Pipeline, "release", "pipeline")
    params = {"until": UNTIL, "in_batches": True}
    with closing(ProcessExecutor()) as executor:
        remote = Remote(executor, code=code, folder=desk.workspace.root / "tasks")
        apart = engine.run(desk.workspace, pipeline, params, remote=remote, use_cache=False)
    here = engine.run(desk.workspace, pipeline, params, use_cache=False)
    assert apart.value.slipway_fingerprint() == here.value.slipway_fingerprint()
    with desk.workspace.ledger.read() as tx:
        outputs = [
            one
            for step in entries.find(tx, StepRun, parent=apart.run.id)
            if step.name == "split"
            for one in step.outputs
        ]
    assert 0 < sum(one.size_bytes for one in outputs) < 20_000


@pytest.mark.full
def test_scores_are_streamed_into_a_table(desk: Project) -> None:
    pipeline = desk.pick(Pipeline, "scored", "pipeline")
    first, second = (engine.run(desk.workspace, pipeline, {"until": UNTIL}) for _ in range(2))
    (version,) = catalog.history(desk.workspace, "scores")
    assert first.value.version == second.value.version == version.version
    assert version.rows == first.value.rows > 5000
    assert first.value.columns == ["flight_id", "score"]
    assert version.run_id == first.run.id
    with desk.workspace.ledger.read() as tx:
        sources = {link.source for link in tx.links(first.value.node, towards=True)}
    assert any("training.features" in one for one in sources)
