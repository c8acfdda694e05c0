"""The page on training larger than memory says what works: its code is run, on a frame and on batches."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import slipway
from slipway.hosts.project import open_workspace
from slipway.ports.workspace import current_workspace
from slipway.tables import versions
from slipway.tables.row_batches import batches_of

PAGE = Path(__file__).parents[2] / "docs" / "larger-than-memory.md"


def table() -> pl.DataFrame:
    random = np.random.default_rng(1)
    x = random.normal(size=2000)
    late = random.random(2000) < 1 / (1 + np.exp(-x))
    return pl.DataFrame({"n": range(2000), "x": x, "carrier": random.choice(["AA", "UA"], 2000), "late": late})


def test_its_code_runs_on_a_frame_and_on_batches(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    pytest.importorskip("sklearn")
    made: dict[str, Any] = {"__name__": "larger_page"}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S):
        exec(code, made)
    frame = table()
    workspace = open_workspace(tmp_path, project="page")
    with current_workspace.filled(workspace):
        batches = batches_of(workspace, versions.overwrite(workspace, "rows", frame), batch_rows=300)
        here, there = made["learned"](frame), made["learned"](batches)
        assert here.estimator.model_to_string() == there.estimator.model_to_string()
        assert there.evaluation.metrics[0].value == pytest.approx(here.evaluation.metrics[0].value)
        assert made["score"](there, batches).rows == 2000
        lines = [made["train_line"](rows) for rows in (frame, batches)]
        assert all(line.predict(frame).std() > 0.05 for line in lines)
    workspace.ledger.close()


@pytest.mark.full
def test_its_network_learns_from_a_frame_and_from_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed: make .venv/stamps/torch")
    learning, loading = (
        one
        for one in re.findall(r"```py\n(.*?)```", PAGE.read_text(), re.S)
        if "import torch" in one or "from torch" in one
    )
    (tmp_path / "networks_page.py").write_text(
        "import polars as pl\nimport slipway as sw\n\nRows = pl.DataFrame | sw.Batches\n" + learning + loading
    )
    monkeypatch.syspath_prepend(tmp_path)
    page: Any = importlib.import_module("networks_page")
    threads = torch.get_num_threads()
    workspace = open_workspace(tmp_path / "store", project="page")
    with current_workspace.filled(workspace):
        batches = batches_of(workspace, versions.overwrite(workspace, "rows", table()))
        here, there = page.train_network(table()), page.train_network(batches)
        assert here.slipway_fingerprint() == there.slipway_fingerprint()
        assert there.predict(table()).std() > 0.05
        inputs = slipway.inputs(batches.by(300), ["n"], label="late")
        for more in ({}, {"num_workers": 2, "multiprocessing_context": "spawn"}):
            loader = torch.utils.data.DataLoader(page.Shuffled(inputs, 64), batch_size=None, **more)
            torch.manual_seed(5)
            epochs = [[row for x, _ in loader for row in x[:, 0].tolist()] for _ in range(2)]
            torch.manual_seed(5)
            again = [row for x, _ in loader for row in x[:, 0].tolist()]
            assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(2000))
            assert again == epochs[0] != epochs[1]
    workspace.ledger.close()
    torch.set_num_threads(threads)
    sys.modules.pop("networks_page")
