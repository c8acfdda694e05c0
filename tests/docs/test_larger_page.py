"""The page on training larger than memory says what works: its code is run, on a frame and on batches."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.hosts.project import open_workspace
from slipway.ports.workspace import current_workspace
from slipway.tables import versions
from slipway.tables.row_batches import batches_of

PAGE = Path(__file__).parents[2] / "docs" / "larger-than-memory.md"


def test_its_code_runs_on_a_frame_and_on_batches(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    pytest.importorskip("sklearn")
    made: dict[str, Any] = {"__name__": "larger_page"}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S):
        exec(code, made)
    random = np.random.default_rng(1)
    x = random.normal(size=2000)
    late = random.random(2000) < 1 / (1 + np.exp(-x))
    frame = pl.DataFrame({"n": range(2000), "x": x, "carrier": random.choice(["AA", "UA"], 2000), "late": late})
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
