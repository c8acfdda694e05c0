"""Steps that learn from batches on a Ray cluster: the page's own code, with the results that it has in this process."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.hosts.executors import placement
from slipway.hosts.project import open_project
from slipway.ledger import entries
from slipway.pipelines import engine
from slipway.pipelines.declare import Pipeline
from slipway.records.runs import StepRun
from slipway.tables import versions

pytestmark = pytest.mark.full
PAGE = Path(__file__).parents[2] / "docs" / "larger-than-memory.md"
FLOW = """
from trees import train_trees

features = sw.FeatureSet("n", "x", "carrier")


@sw.step
def where(rows: Rows) -> list[str]:
    import os
    from slipway.ports.workspace import current_workspace
    return [str(os.getpid()), str(current_workspace.get() is not None), *(str(frame.height) for frame in rows)]


@sw.pipeline
def release() -> list[str]:
    fit, test = split(features.training_batches("flights", label="late", batch_rows=300))
    for learn in LEARNED_BY:
        sw.evaluate(learn(fit), test, label="late")
    return where(fit)
"""
TREES = """

@sw.step
def train_trees(rows: pl.DataFrame | sw.Batches) -> sw.Model:
    inputs = sw.inputs(rows, ["x", "carrier"], label="late")
    data = xgboost.QuantileDMatrix(Rows(inputs, ["float", "c"]), max_bin=63, enable_categorical=True)
    return sw.Model(xgboost.train({"objective": "binary:logistic", "max_bin": 63, "nthread": 1}, data, 5), inputs=inputs)
"""


def has(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    pytest.importorskip("ray", reason="Ray is installed by `make test-all` only")
    place = tmp_path / "page"
    place.mkdir()
    text = PAGE.read_text()
    networks = has("torch")
    code = re.findall(r"```python\n(.*?)```", text, re.S)
    code += [one for one in re.findall(r"```py\n(.*?)```", text, re.S) if "def train_network" in one and networks]
    learned_by = f"[train, train_line, train_trees{', train_network' if networks else ''}]"
    (place / "page_flow.py").write_text("\n\n".join([*code, FLOW.replace("LEARNED_BY", learned_by)]))
    (trees,) = (one for one in re.findall(r"```py\n(.*?)```", text, re.S) if "DataIter" in one)
    (place / "trees.py").write_text("import polars as pl\nimport slipway as sw\n" + trees + TREES)
    (place / "slipway.toml").write_text('[project]\nname = "page"\nmodule = "page_flow"\n')
    path = list(sys.path)
    yield place
    sys.path[:] = path
    for name in ("page_flow", "trees"):
        sys.modules.pop(name, None)


def write_flights(workspace: Any) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=2000)
    frame = pl.DataFrame(
        {
            "id": range(2000),
            "n": range(2000),
            "x": x,
            "carrier": random.choice(["AA", "UA"], 2000),
            "late": random.random(2000) < 1 / (1 + np.exp(-x)),
        }
    ).with_columns(at=pl.datetime(2013, 1, 1, time_zone="UTC") + pl.duration(minutes=pl.col("n")))
    versions.overwrite(workspace, "flights", frame, key=("id",), time="at")


def ran(folder: Path, executor: str) -> tuple[list[str], list[Any]]:
    with open_project(folder) as project:
        pipeline: Pipeline[..., list[str]] = project.pick(Pipeline, "release", "pipeline")
        workspace = replace(project.workspace, placement=placement(executor, 2))
        write_flights(workspace)
        done = engine.run(workspace, pipeline, snapshot=project.snapshot(), use_cache=False)
        with workspace.ledger.read() as tx:
            steps = list(entries.find(tx, StepRun, parent=done.run.id, limit=100))
        made = sorted((one.name, one.state, [output.fingerprint for output in one.outputs]) for one in steps)
        return done.value, [one for one in made if one[0] != "where"]


def test_what_is_learned_from_batches_on_ray_is_what_is_learned_here(folder: Path) -> None:
    import os

    (here, *seen), expected = ran(folder, "threads")
    (there, *seen_there), found = ran(folder, "ray")
    assert here == str(os.getpid()) != there
    assert (seen[0], seen_there[0]) == ("True", "False")  # a step on Ray has no store open
    assert seen[1:] == seen_there[1:] == ["300"] * 5 + ["100"]
    names = {name for name, _, _ in expected}
    assert {"split", "train", "train_line", "train_trees"} <= names
    assert ("train_network" in names) == has("torch")
    assert found == expected
