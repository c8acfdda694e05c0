"""A network of PyTorch, from a script to an endpoint: it answers as the network does, without the class that made it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import answer, ask, stop_all

pytest.importorskip("torch", reason="PyTorch is not installed: make .venv/stamps/torch")
pytestmark = pytest.mark.full

SCRIPT = """
import copy
import json
import numpy as np
import polars as pl
import torch
from torch import nn
import slipway as sw


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.plans = nn.Embedding(4, 3)
        self.layers = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1), nn.Sigmoid())

    def forward(self, x):
        plan = torch.nan_to_num(x[:, 0], nan=3).long()
        return self.layers(torch.cat([self.plans(plan), torch.nan_to_num(x[:, 1:]) / 100], 1)).squeeze(1)


torch.manual_seed(0)
network = Wide()
rows = pl.DataFrame({"plan": ["basic", "plus", "gold", None] * 50, "age": [18.0, 40.5, None, 77.0] * 50})
with sw.run("customers") as run:
    run.log_model(network, inputs=sw.inputs(rows), task="classification")
asked = torch.tensor([[0.0, 30.0], [2.0, 40.0], [float("nan"), 60.0], [1.0, float("nan")]], dtype=torch.float64)
with torch.no_grad():
    print(json.dumps([copy.deepcopy(network).double().eval()(asked).tolist(), network.eval()(asked.float()).tolist()]))
"""
ROWS = [
    {"plan": "basic", "age": 30},
    {"plan": "plus", "age": 40},
    {"plan": None, "age": 60},
    {"plan": "gold", "age": None},
]


def test_an_endpoint_answers_as_the_network(tmp_path: Path) -> None:
    folder = tmp_path / "customers"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "train.py"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    double, single = json.loads(done.stdout.splitlines()[-1])
    (folder / "train.py").unlink()
    try:
        url = answer("deploy", "customers", cwd=folder)["status"]["url"]
        together = ask(url, "customers", ROWS)
        alone = [ask(url, "customers", [row])[0] for row in ROWS]
    finally:
        stop_all(folder / ".slipway")
    assert together == pytest.approx(double, abs=1e-12)
    assert alone == pytest.approx(double, abs=1e-12)
    assert together == pytest.approx(single, abs=1e-6)
    assert len(set(double)) == 4
