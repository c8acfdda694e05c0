"""From a file in an empty folder to the first right answer: the commands of `docs/first-ten-minutes.md` beside MLflow's train and serve.

Both fit the same scikit-learn pipeline on the same rows and answer over HTTP on this machine. Slipway: `slipway run
tumours.py`, `slipway deploy tumours`. MLflow: a script that fits, logs and registers (a file of SQLite beside it), and
`mlflow models serve` in the same environment (`--env-manager local`, its fastest). Wall time of the commands as a person
types them, one after another; each side begins in an empty folder each time, and takes turns with the other. Both live in
environments that hold what they need and no more: MLflow in that of `make .venv/stamps/mlflow3`, without which nothing is
measured, Slipway in one that is made for this of `slipway[sklearn]`, compiled as an installer compiles it.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.datasets import load_breast_cancer

from benchmarks.pairs import Compared, compare, row

PAIRS = 3
GOAL_RATIO = 0.5
REMARK = """\
Slipway does more in that time: rows become a version of a table, a fifth of them judges the model, the package is proven and
signed, a gate passes it, and monitors, retraining and roll-out stand ready. MLflow's two commands answer, and that is all.
"""
ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv" / "mlflow3" / "bin" / "python"
PAGE = ROOT / "docs" / "first-ten-minutes.md"
_PATH = "the first ten minutes, beside MLflow"
_PATIENCE_S = 300.0


class Took(NamedTuple):
    """Seconds of one side."""

    trained_s: float
    served_s: float


def _asked() -> dict[str, float]:
    frame = load_breast_cancer(as_frame=True).frame.drop(columns="target")
    found: dict[str, float] = frame.iloc[0].to_dict()
    return found


def _posted(url: str, body: Any) -> Any:
    """The answer once there is one."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def _ran(command: Sequence[str], folder: Path) -> str:
    # Each starts from what is compiled already: that is the state of a machine after the first day.
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}\n{done.stderr}")
    return done.stdout


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("SLIPWAY_", "MLFLOW_"))}


def installed(folder: Path) -> Path:
    """The Python of a new environment as a newcomer has it."""
    uv = str(Path(sys.executable).parent / "uv")
    _ran([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], ROOT)
    python = folder / "bin" / "python"
    locked = ["--constraint", "requirements/test.txt", "--compile-bytecode"]
    _ran([uv, "pip", "install", "--quiet", "--python", str(python), *locked, f"{ROOT}[sklearn]"], ROOT)
    return python


def slipway_side(folder: Path, python: Path) -> Took:
    """The page's file and its first two commands, until the endpoint answers."""
    text = re.findall(r"```python\n# tumours\.py\n(.*?)```", PAGE.read_text(), re.S)[0]
    (folder / "tumours.py").write_text(text)
    slipway = [str(python), "-P", "-m", "slipway"]
    began = time.perf_counter()
    _ran([*slipway, "run", "tumours.py"], folder)
    trained = time.perf_counter()
    try:
        told = _ran([*slipway, "deploy", "tumours", "--json"], folder)
        answer = _posted(f"{json.loads(told)['status']['url']}/endpoints/tumours/predict", {"rows": [_asked()]})
        served = time.perf_counter()
        assert answer["predictions"][0]["score"] < 0.5
    finally:
        _ran([*slipway, "endpoints", "stop", "tumours"], folder)
    return Took(trained - began, served - trained)


def mlflow_side(folder: Path) -> Took:
    """MLflow's script and its server, until it answers."""
    shutil.copy(Path(__file__).parent / "peers" / "first_minutes_mlflow.py", folder / "train.py")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    began = time.perf_counter()
    uri = _ran([str(PYTHON), "train.py"], folder).split()[-1]
    trained = time.perf_counter()
    command = [str(PYTHON), "-m", "mlflow", "models", "serve", "-m", uri, "-p", str(port), "--env-manager", "local"]
    environment = _environment() | {
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
        "PATH": f"{PYTHON.parent}:{os.environ['PATH']}",
    }
    with (folder / "serve.log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        answer = _posted(f"http://127.0.0.1:{port}/invocations", {"dataframe_records": [_asked()]})
        served = time.perf_counter()
        assert answer["predictions"][0][1] < 0.5
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    return Took(trained - began, served - trained)


def run(pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Rows of the table; none where MLflow is not installed."""
    if not PYTHON.exists():
        print("MLflow is not installed: make .venv/stamps/mlflow3", file=sys.stderr)
        return []
    found: dict[str, list[Took]] = {"mlflow": [], "slipway": []}
    with tempfile.TemporaryDirectory() as place:
        python = installed(Path(place) / "venv")

        def measure(name: str) -> float:
            folder = Path(place) / f"{name}-{len(found[name])}"
            folder.mkdir()
            took = slipway_side(folder, python) if name == "slipway" else mlflow_side(folder)
            found[name].append(took)
            return took.trained_s + took.served_s

        whole = compare(lambda: measure("mlflow"), lambda: measure("slipway"), pairs)
    sides = list(zip(found["mlflow"], found["slipway"], strict=True))
    return [
        row(_PATH, "empty folder to the first answer, s", whole, goal_ratio=GOAL_RATIO),
        row(_PATH, "of it trained and packaged, s", Compared.of([(a.trained_s, b.trained_s) for a, b in sides])),
        row(
            _PATH, "of it from there to the first answer, s", Compared.of([(a.served_s, b.served_s) for a, b in sides])
        ),
    ]
