"""The same project's pipeline by each executor: the same results, the same metrics, and what workers took."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from slipway.cli import main
from slipway.errors import InvalidSetting, MissingExtra, StepFailed
from slipway.hosts.executors import placement
from slipway.hosts.project import open_project
from slipway.ledger import entries
from slipway.pipelines import engine
from slipway.pipelines.declare import Pipeline
from slipway.pipelines.search import search
from slipway.records.runs import Run, StepRun

PROJECT = """
import os
from pathlib import Path
import numpy as np
import polars as pl
import slipway as sw
from fits import fitted

RATE = 0.5


@sw.step
def load(n: int) -> pl.DataFrame:
    generator = np.random.default_rng(7)
    return pl.DataFrame({"x": generator.normal(size=n), "y": generator.normal(size=n)})


@sw.step(returns=["fit", "test"])
def split(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return rows.head(len(rows) // 2), rows.tail(len(rows) // 2)


@sw.step
def train(rows: pl.DataFrame, epochs: int) -> dict[str, float]:
    run = sw.active_run()
    run.log_params({"rate": RATE})
    weight = 0.0
    for epoch in range(epochs):
        weight -= RATE * float((rows["x"] * (weight * rows["x"] - rows["y"])).mean())
        run.log_metric("loss", float(((weight * rows["x"] - rows["y"]) ** 2).mean()), epoch)
    run.log_text("notes.txt", "trained")
    return {"weight": weight}


@sw.step
def judge(model: dict[str, float], rows: pl.DataFrame) -> np.ndarray:
    return fitted(model["weight"], rows["x"].to_numpy())


@sw.pipeline
def release(n: int = 200, epochs: int = 4) -> float:
    fit, test = split(load(n))
    answers = judge(train(fit, epochs), test)
    sw.active_run().log_metric("mean", float(answers.mean()))
    return float(answers.mean())


@sw.step
def pick(x: float) -> dict[str, float]:
    return {"score": x, "pid": os.getpid()}


@sw.step
def whose(marker: str) -> int:
    return os.getpid()


@sw.pipeline
def somewhere(marker: str = "") -> int:
    return whose(marker)


@sw.step
def beside() -> list[str]:
    here = Path(__file__).parent
    return [(here / "data" / "prices.txt").read_text(), (here / "rates.json").read_text()]


@sw.pipeline
def reading() -> list[str]:
    return beside()


@sw.step
def falls(n: int) -> int:
    os.kill(os.getpid(), 11)
    return n


@sw.pipeline
def broken() -> int:
    return falls(load(3).height)
"""
SETTINGS = """
[project]
name = "placed"
module = "placed_flow"

[environments.dev]

[environments.test]
store = ".slipway-test"
executor = "processes"
workers = 2

[environments.prod]
store = ".slipway-prod"
executor = "ray"
workers = 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "placed"
    place.mkdir()
    (place / "placed_flow.py").write_text(PROJECT)
    (place / "fits.py").write_text("def fitted(weight, x):\n    return weight * x\n")
    (place / "slipway.toml").write_text(SETTINGS)
    yield place
    for name in ("placed_flow", "fits"):
        sys.modules.pop(name, None)
    if str(place) in sys.path:
        sys.path.remove(str(place))


def _ran(folder: Path, environment: str, name: str = "release") -> tuple[Run, object, dict[str, object]]:
    """The run, what its pipeline returned, and all by which two runs are compared."""
    with open_project(folder, environment=environment) as project:
        pipeline: Pipeline[..., object] = project.pick(Pipeline, name, "pipeline")
        done = engine.run(project.workspace, pipeline, snapshot=project.snapshot())
        with project.workspace.ledger.read() as tx:
            steps = [entries.get(tx, StepRun, f"{done.run.id}.{n}") for n in range(1, 5)] if name == "release" else []
            points = {
                key: [(point.step, point.value) for point in tx.points(done.run.id, key)] for key in ("loss", "mean")
            }
    compared = {
        "steps": [(step.name, step.state, [(one.name, one.fingerprint) for one in step.outputs]) for step in steps],
        "artifacts": sorted((one.name, one.fingerprint) for one in done.run.artifacts),
        "params": done.run.params,
        "points": points,
    }
    return done.run, done.value, compared


@pytest.mark.parametrize("environment", ["test", pytest.param("prod", marks=pytest.mark.long)])
def test_the_same_results_and_metrics_wherever_steps_run(folder: Path, environment: str) -> None:
    _, here, expected = _ran(folder, "dev")
    run, there, found = _ran(folder, environment)
    assert there == here
    assert found == expected
    assert len(expected["steps"]) == 4  # type: ignore[arg-type]
    assert expected["points"]["loss"]  # type: ignore[index]
    assert run.worker_time is not None
    assert run.worker_time.executor == {"test": "processes", "prod": "ray"}[environment]
    assert 0 < run.worker_time.used_s <= run.worker_time.paid_s
    assert run.worker_time.idle_s == pytest.approx(run.worker_time.paid_s - run.worker_time.used_s)


@pytest.mark.parametrize("environment", ["dev", "test"])
def test_files_beside_the_code_are_found_and_count_wherever_a_step_runs(folder: Path, environment: str) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "prices.txt").write_text("1")
    (folder / "rates.json").write_text("{}")
    states = []

    def read() -> object:
        run, value, _ = _ran(folder, environment, "reading")
        with open_project(folder, environment=environment) as project, project.workspace.ledger.read() as tx:
            states.append(entries.get(tx, StepRun, f"{run.id}.1").state)
        return value

    assert [read(), read()] == [["1", "{}"]] * 2
    (folder / "data" / "prices.txt").write_text("2")
    assert read() == ["2", "{}"]
    assert states == ["finished", "cached", "finished"]


def test_a_step_runs_in_this_process_or_in_a_worker_that_is_gone_after_the_run(folder: Path) -> None:
    run, here, _ = _ran(folder, "dev", "somewhere")
    assert here == os.getpid()
    assert run.worker_time is not None
    assert (run.worker_time.executor, run.worker_time.workers) == ("threads", 1)
    run, there, _ = _ran(folder, "test", "somewhere")
    assert there != os.getpid()
    assert not Path(f"/proc/{there}").exists()
    assert not [path for path in Path("/proc").glob("[0-9]*/stat") if _is_worker_of_this_process(path)]


def test_the_command_line_chooses_for_one_run_and_says_what_it_took(folder: Path) -> None:
    def ran(*arguments: str) -> str:
        answer = CliRunner().invoke(main, [*arguments, "-C", str(folder)])
        assert answer.exit_code == 0, answer.output
        return answer.stdout

    told = ran("run", "release", "--executor", "processes")
    run_id = told.split()[1]
    assert re.search(r"Workers: [\d.]+ s used, [\d.]+ s idle, [\d.]+ s paid on 1 worker \(processes\)\.", told)
    assert re.search(r"workers +[\d.]+ s used", ran("runs", "show", run_id))
    assert json.loads(ran("runs", "show", run_id, "--json"))["run"]["worker_time"]["executor"] == "processes"
    answer = CliRunner().invoke(main, ["run", "release", "--executor", "proceses", "-C", str(folder)])
    assert answer.exit_code != 0
    assert "Did you mean 'processes'?" in answer.output


def test_trials_of_a_search_run_there_too(folder: Path) -> None:
    with open_project(folder, environment="test") as project:
        pick = project.module().pick
        found = search(project.workspace, pick, {"x": (0.0, 1.0)}, "score", trials=3, parallel=2, direction="maximize")
        with project.workspace.ledger.read() as tx:
            run = entries.get(tx, Run, found.run_id)
    assert found.result["pid"] != os.getpid()
    assert run.worker_time is not None
    assert run.worker_time.executor == "processes"


def _is_worker_of_this_process(stat: Path) -> bool:
    try:
        parent = int(stat.read_text().rpartition(")")[2].split()[1])
        return parent == os.getpid() and b"warm_worker" in (stat.parent / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_step_that_is_killed_fails_the_run_and_what_was_done_is_kept(folder: Path) -> None:
    with pytest.raises(StepFailed, match="The step 'falls' failed: its process was killed by SIGSEGV"):
        _ran(folder, "test", "broken")
    with open_project(folder, environment="test") as project, project.workspace.ledger.read() as tx:
        (run,) = entries.find(tx, Run, project="placed", limit=10)
        steps = [entries.get(tx, StepRun, f"{run.id}.{n}") for n in (1, 2)]
    assert run.state == "failed"
    assert run.worker_time is not None
    assert [step.state for step in steps] == ["finished", "failed"]


@pytest.mark.parametrize("given", ["process", "rays", "ray://", "dask", ""])
def test_an_unknown_executor_is_refused(given: str) -> None:
    with pytest.raises(InvalidSetting, match="The setting executor is"):
        placement(given, 0)


def test_a_negative_number_of_workers_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="The setting workers is -1"):
        placement("processes", -1)


def test_without_its_extra_ray_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "slipway.backends.ray_executor", raising=False)
    opening = placement("ray", 2).open
    assert opening is not None
    with pytest.raises(MissingExtra, match=r"pip install 'slipway\[ray\]'"):
        opening()
