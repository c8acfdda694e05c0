"""PyTorch: a network is kept as operations and tensors, learns from batches what a frame teaches, and runs no code when loaded."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.backends import sealed_files
from slipway.conformance.model_formats import Fitted, ModelFormatSuite
from slipway.errors import Corrupt, InvalidInput
from slipway.models.evaluation import evaluate
from slipway.models.inputs import inputs
from slipway.models.model import Model, load
from slipway.ports.model_format import ModelFormat
from slipway.ports.workspace import Workspace
from slipway.tables import versions
from slipway.tables.row_batches import batches_of

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed: make .venv/stamps/torch")
nn: Any = torch.nn
pytestmark = pytest.mark.full

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(150, 3))
ROWS = pl.DataFrame(
    {
        "x": np.where(np.arange(3000) % 7 == 0, np.nan, np.sin(np.arange(3000.0))),
        "carrier": np.array(["AA", "UA", "WN"])[np.arange(3000) % 3],
        "late": (np.sin(np.arange(3000.0)) + (np.arange(3000) % 3 - 1) > 0),
    }
).with_columns(pl.col("x").fill_nan(None))


class Delays(nn.Module):
    """What people write: embedded categories, numbers with their missing values filled, normalisation, dropout."""

    def __init__(self, categories: int, numbers: int) -> None:
        super().__init__()
        self.embedded = nn.Embedding(categories + 1, 2, padding_idx=0)
        self.layers = nn.Sequential(
            nn.Linear(2 + numbers, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1), nn.Sigmoid()
        )
        self.register_buffer("fill", torch.full((numbers,), 0.25))

    def forward(self, x: Any) -> Any:
        code = torch.nan_to_num(x[:, 0] + 1, nan=0).long()
        numbers = torch.where(torch.isnan(x[:, 1:]), self.fill.to(x.dtype), x[:, 1:])
        return self.layers(torch.cat([self.embedded(code), numbers], 1)).squeeze(1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.last = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        found, _ = self.cells(x.unsqueeze(2))
        return self.last(found[:, -1])


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.last = nn.Linear(1, 8), nn.Linear(8, 1)
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)

    def forward(self, x: Any) -> Any:
        return self.last(self.layers(self.into(x.unsqueeze(2))).mean(1))


def seeded(make: Any, *args: Any) -> Any:
    torch.manual_seed(1)
    return make(*args)


def perceptron(out: int = 1) -> Any:
    return nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, out))


class TestTorch(ModelFormatSuite):
    def make(self) -> ModelFormat:
        from slipway.backends.torch_format import TorchFormat

        return TorchFormat()

    def estimators(self) -> list[Fitted]:
        coded = np.column_stack([RNG.integers(0, 3, 150), MATRIX])
        return [
            Fitted(estimator=seeded(Delays, 3, 3), x=coded, rows=coded.tolist(), task="classification"),
            Fitted(estimator=seeded(perceptron), x=MATRIX, rows=MATRIX.tolist(), task="regression"),
        ]


@pytest.mark.parametrize("make", [Recurrent, Attending])
def test_recurrent_and_attending_networks_are_kept(make: Any, tmp_path: Path) -> None:
    model = Model(seeded(make), sample=MATRIX, task="regression")
    model.slipway_save(tmp_path)
    answers = load(tmp_path).predict_rows(MATRIX.tolist())
    assert answers == model.predict_rows(MATRIX.tolist())
    with torch.no_grad():
        single = seeded(make).eval()(torch.from_numpy(MATRIX).float()).flatten()
    np.testing.assert_allclose(answers, single, atol=1e-6)


def learned(rows: Any) -> Model:
    fixed = inputs(rows, ["carrier", "x"], label="late")
    network = seeded(Delays, 3, 1)
    learn = torch.optim.Adam(network.parameters(), 0.02)
    for epoch in range(4):
        for x, y in fixed.batches(seed=epoch, rows=64):
            loss = nn.functional.binary_cross_entropy(network(torch.from_numpy(x).float()), torch.from_numpy(y).float())
            learn.zero_grad()
            loss.backward()
            learn.step()
    return Model(network, inputs=fixed, task="classification")


def test_it_learns_from_batches_what_a_frame_teaches(workspace: Workspace, tmp_path: Path) -> None:
    here = learned(ROWS)
    there = learned(batches_of(workspace, versions.overwrite(workspace, "rows", ROWS)))
    assert here.slipway_fingerprint() == there.slipway_fingerprint()
    judged = evaluate(there, ROWS, label="late").evaluation
    assert judged is not None
    assert next(one.value for one in judged.metrics if one.metric == "auc") > 0.9
    there.slipway_save(tmp_path)
    again = load(tmp_path)
    assert again.predict(ROWS).tolist() == there.predict(ROWS).tolist()
    assert not [field.name for field in there.signature.inputs if not field.nullable]
    taught = seeded(Delays, 3, 1)
    taught.load_state_dict(again.estimator.state_dict())
    one, two = (
        Model(each, inputs=inputs(ROWS, ["carrier", "x"]), task="classification") for each in (taught, again.estimator)
    )
    assert one.predict(ROWS).tolist() == two.predict(ROWS).tolist() == there.predict(ROWS).tolist()


def test_making_a_model_leaves_the_network_and_the_threads_as_they_were() -> None:
    network = seeded(Delays, 3, 3).train()
    before, threads = pickle.dumps(network), torch.get_num_threads()
    Model(network, sample=np.column_stack([np.zeros(150), MATRIX]), task="classification")
    assert pickle.dumps(network) == before
    assert torch.get_num_threads() == threads


class Own(nn.Module):
    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act = act
        self.scale = nn.Parameter(torch.ones(3))
        self.register_buffer("asked", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        return self.act(self, x)


def counting(own: Any, x: Any) -> Any:
    own.asked += 1
    return (x * own.scale).sum(1)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda own, x: (x * own.scale).sum(1) if x.sum() > 0 else x[:, 0], "cannot be kept"),
        (lambda own, x: (x * own.scale).float() @ own.scale, r"refuses one of \d+ rows: .*dtype"),
        (lambda own, x: nn.functional.dropout((x * own.scale).sum(1)), "draws random numbers"),
        (lambda own, x: ((x - x.mean(0)) * own.scale).sum(1), "when it stands alone"),
        (lambda own, x: x * own.scale, r"gives a tensor of shape \(\d+, 3\)"),
        (lambda own, x: ((x * own.scale).sum(1), x), "gives 2 results"),
        (lambda own, x: 3 + (x * own.scale).sum(1).abs(), "which is no probability"),
        (
            lambda own, x: torch.linalg.eigvals(x.unsqueeze(2) @ x.unsqueeze(1)).real.sum(1),
            "none of PyTorch's Core ATen",
        ),
        (counting, "changes its own tensors"),
    ],
)
def test_what_cannot_be_served_is_a_sentence(act: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Model(Own(act), sample=MATRIX, task="classification")


def test_a_task_is_asked_for() -> None:
    with pytest.raises(InvalidInput, match="does not say what it predicts"):
        Model(perceptron(), sample=MATRIX)


def test_texts_need_inputs() -> None:
    with pytest.raises(InvalidInput, match=r"takes numbers: .*Fix its inputs"):
        Model(perceptron(), sample=ROWS.select("carrier").to_pandas(), task="regression")


class Opens:
    def __reduce__(self) -> Any:
        return open, ("/nowhere/at/all", "w")


def kept(folder: Path) -> Any:
    fixed = TestTorch().make().as_kept(seeded(perceptron), MATRIX)
    TestTorch().make().save(fixed, folder)
    return json.loads((folder / "program.json").read_bytes())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"op": "operator.call"}, "asks for 'operator.call'"),
        ({"op": "aten.from_file.default", "args": ["/etc/hostname", None, 3]}, "asks for 'aten.from_file.default'"),
        ({"op": "prims.convert_element_type.default"}, "asks for 'prims"),
        ({"args": [{"value": 99}]}, "takes a value that no step before it makes"),
        ({"args": [{"dtype": "save"}]}, "names a dtype 'save'"),
        ({"args": [{"code": "1"}]}, "has an argument"),
    ],
)
def test_a_file_that_somebody_wrote_calls_nothing(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    written = kept(tmp_path)
    written["steps"][1].update(change)
    sealed_files.write(tmp_path / "program.json", json.dumps(written).encode())
    with pytest.raises(Corrupt, match=said):
        TestTorch().make().load(tmp_path)


def test_a_pickle_in_the_weights_is_not_opened(tmp_path: Path) -> None:
    kept(tmp_path)
    for data in (pickle.dumps(Opens()), len(b'{"a": {}}').to_bytes(8, "little") + b'{"a": {}}', b""):
        sealed_files.write(tmp_path / "weights.safetensors", data)
        with pytest.raises(Corrupt, match="header of safetensors"):
            TestTorch().make().load(tmp_path)
    places = {"0.weight": {"dtype": "F32", "shape": [8, 3], "data_offsets": [0, 9**9]}}
    header = json.dumps(places).encode()
    sealed_files.write(tmp_path / "weights.safetensors", len(header).to_bytes(8, "little") + header)
    with pytest.raises(Corrupt, match="does not fit its shape or the file"):
        TestTorch().make().load(tmp_path)


def test_an_endpoint_loads_no_compiler(tmp_path: Path) -> None:
    import subprocess

    kept(tmp_path)
    code = (
        "import sys, pathlib; from slipway.models.formats import format_named; import numpy as np\n"
        "format = format_named('torch'); network = format.load(pathlib.Path(sys.argv[1]))\n"
        "print(format.predict(network, np.ones((2, 3)), 'regression').shape, 'torch._dynamo' in sys.modules, 'sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "(2,) False False"
