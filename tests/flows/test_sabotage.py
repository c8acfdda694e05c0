"""Sabotage: whatever is changed behind a run's back, reproducing it names; and honest repetitions never differ."""

import io
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from slipway.flows.erase import erase
from slipway.flows.reproduce import reproduce
from slipway.hosts.project import Project, open_project
from slipway.ledger import entries, locks
from slipway.ledger.reproductions import reproductions_of
from slipway.operations.erasures import Erase
from slipway.operations.runs import GetRun, Reproduce
from slipway.pipelines import engine, reasons, snapshot
from slipway.pipelines.declare import Pipeline
from slipway.records.locks import LockedPackage
from slipway.records.reproductions import Reproduction
from slipway.records.runs import Run, StepRun
from slipway.runs.browse import get_run
from slipway.tables import versions

PROJECT = """
import os
import random

import numpy as np
import polars as pl
import slipway as sw
from slipway.ports.workspace import workspace
from slipway.tables import versions

import scale_of_it


@sw.step
def rows() -> pl.DataFrame:
    return versions.read(workspace(), "numbers").collect()


def doubled(values: np.ndarray) -> np.ndarray:
    return values * 2


@sw.step
def scaled(frame: pl.DataFrame) -> np.ndarray:
    return doubled(frame["n"].to_numpy().astype(float)) * scale_of_it.FACTOR


@sw.step
def noisy(values: np.ndarray, seed: int | None) -> pl.DataFrame:
    return pl.DataFrame({"v": values + random.Random(seed).random()})


@sw.step
def summed(frame: pl.DataFrame) -> float:
    # The sum that as many threads as there are come to.
    return float(frame["v"].sum()) + 1e-3 * int(os.environ.get("OMP_NUM_THREADS", "0"))


@sw.step(tolerance=1.0)
def forgiven(values: np.ndarray) -> np.ndarray:
    return values + random.random() * 1e-3


@sw.pipeline
def honest(seed: int | None = 7) -> dict[str, float]:
    found = summed(noisy(scaled(rows()), seed))
    sw.active_run().log_metrics({"found": found, "took_s": random.random()})
    return {"found": found}


@sw.pipeline
def lenient() -> np.ndarray:
    return forgiven(scaled(rows()))


@sw.step
def told(path: str) -> float:
    with open(path) as file:
        return float(file.read()) + float(os.environ.get("SLIPWAY_TEST_MORE", "0"))


@sw.pipeline
def reading(path: str) -> float:
    return told(path)


@sw.pipeline
def guessing() -> float:
    found = summed(noisy(scaled(rows()), 1))
    sw.active_run().log_metric("auc", random.random())
    return found
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "sums"
    folder.mkdir()
    (folder / "slipway.toml").write_text('[project]\nname = "sums"\nmodule = "sums_sabotaged"\n')
    (folder / "sums_sabotaged.py").write_text(PROJECT)
    (folder / "scale_of_it.py").write_text("FACTOR = 3.0\n")
    path = list(sys.path)
    with open_project(folder) as opened:
        versions.overwrite(opened.workspace, "numbers", pl.DataFrame({"n": [1, 2, 3]}), key=("n",))
        yield opened
    sys.path[:] = path
    for name in ("sums_sabotaged", "scale_of_it"):
        sys.modules.pop(name, None)


def ran(project: Project, name: str = "honest", **params: Any) -> Run:
    pipeline = project.pick(Pipeline, name, "pipeline")
    return engine.run(project.workspace, pipeline, params, snapshot=project.snapshot()).run


def again(project: Project, run: Run, **asked: Any) -> Reproduction:
    found = reproduce(project.workspace, Reproduce(target=run.id, **asked)).reproduction
    assert found is not None
    return found


def steps(project: Project, run: Run) -> list[StepRun]:
    with project.workspace.ledger.read() as tx:
        return reasons.steps_of(tx, run.id)


def put(project: Project, *records: Run | StepRun) -> None:
    with project.workspace.ledger.write() as tx:
        for record in records:
            entries.put(tx, record)


@pytest.mark.full
def test_an_honest_repetition_is_equal_each_time(project: Project) -> None:
    run = ran(project)
    for number in (1, 2):
        found = again(project, run)
        assert (found.verdict, found.cause, found.compared, found.number) == ("equal", "", 4, number), found.sentence


@pytest.mark.full
def test_a_removed_seed_is_called_chance(project: Project) -> None:
    found = again(project, ran(project, seed=None))
    assert (found.verdict, found.step, found.cause) == ("differs", "noisy", "seed")
    assert "random numbers without a seed" in found.sentence
    assert "most in column v" in found.sentence
    unseen = again(project, ran(project, "guessing"))
    assert (unseen.verdict, unseen.step, unseen.cause) == ("differs", "metrics", "seed")


@pytest.mark.full
def test_what_a_step_forgives_is_within_tolerance(project: Project) -> None:
    found = again(project, ran(project, "lenient"))
    assert (found.verdict, found.step) == ("differs", "result"), "its own result is not the step's to forgive"
    assert found.cause == "seed"
    (project.folder / "sums_sabotaged.py").write_text(
        PROJECT.replace("@sw.pipeline\ndef lenient", "@sw.pipeline(tolerance=0.5)\ndef lenient")
    )
    sys.modules.pop("sums_sabotaged")
    found = again(project, ran(project, "lenient"))
    assert found.verdict == "within tolerance", found.sentence
    assert "Most differs" in found.sentence


@pytest.mark.full
def test_another_number_of_threads_is_taken_back(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ran(project)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    found = again(project, run)
    assert found.verdict == "equal", found.sentence
    assert "was restored: OMP_NUM_THREADS 1" in found.sentence


@pytest.mark.full
def test_another_library_is_named(project: Project) -> None:
    run = ran(project)
    old = next(step for step in steps(project, run) if step.name == "scaled")
    put(project, with_lock(project, run, numpy="1.0.0"), with_value(project, old, [9.0, 9.0, 9.0]))
    found = again(project, run, environment="here")
    assert (found.verdict, found.step, found.cause, found.environment) == ("differs", "scaled", "library", "here")
    assert "numpy 1.0.0 -> " in found.sentence
    # What cannot be had is not guessed.
    found = again(project, run)
    assert (found.verdict, found.cause, found.run_id) == ("cannot", "library", "")
    assert "numpy" in found.sentence


@pytest.mark.full
def test_the_environment_of_then_is_built_where_this_one_is_another(project: Project) -> None:
    run = ran(project)
    assert again(project, run).environment == "here"
    lock = locks.lock_of(project.workspace.blobs, run.environment)
    assert lock is not None
    names = [one.name for one in lock.packages]
    assert {"numpy", "polars", "slipway"} <= set(names)
    # One package more that is not installed here: a wheel that is kept with the lock.
    extra = kept_wheel(project)
    # What only the tests import is left out: this process is no run of a user's.
    project_s = [one for one in lock.packages if not one.name.startswith(("pytest", "hypothesis", "execnet"))]
    more = msgspec.structs.replace(lock, packages=tuple(sorted((*project_s, extra), key=lambda one: one.name)))
    imports = project.workspace.blobs.put(more.encoded)
    put(project, msgspec.structs.replace(run, environment=msgspec.structs.replace(run.environment, imports=imports)))
    found = again(project, run)
    assert (found.verdict, found.environment) == ("equal", "the lock"), found.sentence


def kept_wheel(project: Project) -> LockedPackage:
    """A small package that nobody has, as a wheel in the store."""
    files = {
        "tiny_thing.py": "VALUE = 1\n",
        "tiny_thing-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n",
    }
    files["tiny_thing-1.0.dist-info/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files["tiny_thing-1.0.dist-info/RECORD"] = "".join(
        f"{name},,\n" for name in [*files, "tiny_thing-1.0.dist-info/RECORD"]
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    digest = project.workspace.blobs.put(packed.getvalue())
    return LockedPackage(name="tiny-thing", version="1.0", wheel=digest, file="tiny_thing-1.0-py3-none-any.whl")


def with_lock(project: Project, run: Run, **versions: str) -> Run:
    """The run as if other versions had been installed then."""
    lock = locks.lock_of(project.workspace.blobs, run.environment)
    assert lock is not None
    packages = tuple(
        msgspec.structs.replace(one, version=versions[one.name], content="") if one.name in versions else one
        for one in lock.packages
    )
    imports = project.workspace.blobs.put(msgspec.structs.replace(lock, packages=packages).encoded)
    return msgspec.structs.replace(run, environment=msgspec.structs.replace(run.environment, imports=imports))


def with_value(project: Project, step: StepRun, value: list[float]) -> StepRun:
    """The step as if it had made another array then."""
    import numpy as np

    from slipway.pipelines import cache

    encoded = cache.encode(np.array(value))
    from slipway.ledger import artifacts

    return msgspec.structs.replace(step, outputs=artifacts.store(project.workspace.blobs, encoded))


@pytest.mark.full
@pytest.mark.parametrize("name", ["scale_of_it.py", "sums_sabotaged.py"])
def test_another_code_of_a_helper_is_named(project: Project, name: str) -> None:
    run = ran(project)
    path = project.folder / name
    path.write_text(path.read_text().replace("FACTOR = 3.0", "FACTOR = 4.0").replace("values * 2", "values * 3"))
    put(
        project,
        msgspec.structs.replace(
            run, code=msgspec.structs.replace(run.code, snapshot=snapshot.take(project.workspace, project.folder))
        ),
    )
    found = again(project, run)
    assert (found.verdict, found.step, found.cause) == ("differs", "scaled", "code")
    assert (
        "scale_of_it:FACTOR changed" if name == "scale_of_it.py" else "sums_sabotaged:doubled changed"
    ) in found.sentence


def test_altered_code_and_data_are_refused_before_anything_runs(project: Project) -> None:
    run = ran(project)
    (part,) = (project.workspace.root / "tables").rglob("*.parquet")
    whole = part.read_bytes()
    part.chmod(0o644)
    part.write_bytes(whole[:-9] + b"123456789")
    found = again(project, run)
    assert (found.verdict, found.cause, found.run_id) == ("cannot", "data", "")
    part.write_bytes(whole)
    tamper(project, run.code.snapshot)
    found = again(project, run)
    assert (found.verdict, found.cause, found.run_id) == ("cannot", "code", "")


@pytest.mark.full
def test_a_file_and_a_variable_that_a_step_reads_are_named(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "number.txt"
    path.write_text("1.5")
    run = ran(project, "reading", path=str(path))
    assert again(project, run).verdict == "equal"
    monkeypatch.setenv("SLIPWAY_TEST_MORE", "2")
    found = again(project, run)
    assert (found.verdict, found.step, found.cause) == ("differs", "told", "data")
    assert "but not what it reads by itself: environment variable SLIPWAY_TEST_MORE" in found.sentence
    monkeypatch.delenv("SLIPWAY_TEST_MORE")
    path.write_text("2.5")
    found = again(project, run)
    assert (found.verdict, found.cause) == ("differs", "data")
    assert f"but not what it reads by itself: file {path}" in found.sentence
    path.unlink()
    found = again(project, run)
    assert (found.verdict, found.step, found.cause) == ("differs", "told", "data")


def test_erased_rows_are_named(project: Project) -> None:
    run = ran(project)
    assert erase(project.workspace, Erase(table="numbers", key=("2",), reason="request 17")).left == 0
    found = again(project, run)
    assert (found.verdict, found.cause) == ("cannot", "erased rows")
    assert "request 17" in found.sentence


def test_a_tampered_artifact_is_named(project: Project) -> None:
    run = ran(project)
    step = next(step for step in steps(project, run) if step.name == "scaled")
    tamper(project, step.outputs[0].digest)
    found = again(project, run)
    assert (found.verdict, found.step, found.cause) == ("differs", "scaled", "artifact")
    # Even where the record was made to fit the other bytes.
    other = with_value(project, step, [1.0, 2.0, 3.0]).outputs[0]
    put(
        project,
        msgspec.structs.replace(
            step, outputs=(msgspec.structs.replace(other, fingerprint=step.outputs[0].fingerprint),)
        ),
    )
    found = again(project, run)
    assert (found.verdict, found.step, found.cause) == ("differs", "scaled", "artifact")
    assert "not the one that its fingerprint names" in found.sentence


def tamper(project: Project, digest: str) -> None:
    path = project.workspace.root / "blobs" / digest[:2] / digest[2:]
    data = path.read_bytes()
    os.chmod(path, 0o644)
    path.write_bytes(data[:-2] + bytes([data[-2] ^ 1, data[-1]]))


def test_an_edited_verdict_is_told(project: Project) -> None:
    run = ran(project)
    tamper(project, steps(project, run)[0].outputs[0].digest)
    found = again(project, run)
    assert found.verdict == "differs"
    workspace = project.workspace
    assert get_run(workspace, GetRun(id=run.id)).reproductions == (found,)
    for change in ({"verdict": "equal"}, {"verdict": "equal", "signature": ""}, {"signature": "{}"}):
        with workspace.ledger.write() as tx:
            entries.put(tx, msgspec.structs.replace(found, **change))
        (told,) = get_run(workspace, GetRun(id=run.id)).reproductions
        assert told.verdict == "altered"
        assert told.sentence.startswith("This verdict counts for nothing: ")
    with workspace.ledger.write() as tx:
        entries.put(tx, found)
    assert get_run(workspace, GetRun(id=run.id)).reproductions == (found,)
    assert reproductions_of(workspace, "none") == []
