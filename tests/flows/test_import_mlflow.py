"""MLflow's history and registry, out of each of its stores: whole runs, counted, and bundles of what can be proven."""

from __future__ import annotations

import json
import math
import os
import pickle
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from slipway.backends.mlflow_files import MlflowFiles
from slipway.backends.mlflow_server import MlflowServer
from slipway.backends.mlflow_sqlite import MlflowSqlite
from slipway.backends.mlflow_values import read_yaml
from slipway.errors import Corrupt, InvalidInput, NotFound, Unavailable
from slipway.flows.import_runs import Moved, import_runs
from slipway.flows.import_versions import Asked, import_versions
from slipway.flows.migrate_scan import scan
from slipway.models import registered, registry
from slipway.ports.foreign_runs import ForeignRuns
from slipway.ports.workspace import Workspace
from slipway.runs import outside

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / "mlflow3" / "bin" / "python"
OLD_PYTHON = ROOT / ".venv" / "mlflow2" / "bin" / "python"
X = pd.DataFrame({"spent": np.linspace(0, 9, 40), "visits": np.arange(40) % 7})
LEFT = ((X["spent"] + X["visits"]) > 8).astype(int)
FIRST, SECOND, GOES_ON = "a" * 32, "b" * 32, "c" * 32


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(folder: Path, id: str, status: int = 3) -> Path:
    """A run as MLflow's store of files has it."""
    meta = f"end_time: 1700000009000\nexperiment_id: '7'\nlifecycle_stage: active\nrun_id: {id}\nrun_name: 'it''s {id[:2]}'\n"
    write(folder / "7" / id / "meta.yaml", f"{meta}start_time: 1700000000000\nstatus: {status}\nuser_id: ada\n")
    home = folder / "7" / id
    write(home / "params" / "C", "1.0")
    write(home / "metrics" / "auc", "1700000001000 0.7 1\n1700000002000 0.8 2\n1700000003000 nan 3\n")
    write(home / "metrics" / "val" / "loss", "1700000001000 inf 0\n")
    write(home / "tags" / "note", 'two "lines"\nof it')
    write(home / "artifacts" / "notes" / "a.txt", "hello")
    return home


def mlruns(tmp_path: Path) -> Path:
    folder = tmp_path / "mlruns"
    write(folder / "0" / "meta.yaml", "experiment_id: '0'\nlifecycle_stage: active\nname: Default\n")
    write(folder / "7" / "meta.yaml", "experiment_id: '7'\nlifecycle_stage: active\nname: churn\n")
    write(folder / "7" / "tags" / "team", "growth")
    run(folder, SECOND)
    run(folder, GOES_ON, status=1)
    model = run(folder, FIRST) / "artifacts" / "model"
    write(model / "MLmodel", "flavors:\n  sklearn:\n    code: null\n    pickled_model: model.pkl\n")
    (model / "model.pkl").write_bytes(pickle.dumps(LogisticRegression().fit(X, LEFT)))
    write(model / "input_example.json", json.dumps(X.head(5).to_dict("split")))
    home = folder / "models" / "churn"
    write(home / "meta.yaml", "description: who leaves\nname: churn\n")
    write(home / "aliases" / "champion", "2")
    for number, path in ((2, "model"), (3, "elsewhere")):
        said = f"current_stage: {'Production' if number == 2 else 'None'}\nrun_id: {FIRST}\nversion: {number}\n"
        write(home / f"version-{number}" / "meta.yaml", f"{said}source: runs:/{FIRST}/{path}\n")
    return folder


def moved(workspace: Workspace, source: ForeignRuns, **asked: Any) -> Moved:
    found = Moved(place=source.place)
    with closing(source):
        import_runs(workspace, source, found)
        import_versions(workspace, source, Asked(samples=asked.pop("samples", {}), **asked), found)
    return found


def test_history_and_registry_come_once_and_are_counted(workspace: Workspace, tmp_path: Path) -> None:
    folder = mlruns(tmp_path)
    first = moved(workspace, MlflowFiles(str(folder)))
    assert first.new == {
        "experiments": 1, "runs": 2, "params": 2, "tags": 2, "points": 8, "artifacts": 5, "versions": 2, "aliases": 1
    }  # fmt: skip
    assert first.counted["runs"] == (3, 2)
    assert all(there == here for sort, (there, here) in first.counted.items() if sort != "runs")
    assert first.left == [(f"run {GOES_ON}", "it has not ended there; import again when it has")]
    with workspace.ledger.read() as tx:
        found = outside.get(tx, workspace, FIRST)
        points = tx.points(FIRST, "auc")
        (loss,) = tx.points(FIRST, "val/loss")
    assert (found.name, found.state, found.params, found.tags["note"]) == (
        "it's aa", "finished", {"C": "1.0"}, 'two "lines"\nof it'
    )  # fmt: skip
    assert found.tags["mlflow.user"] == "ada"
    assert (found.started_at.timestamp(), found.ended_at and found.ended_at.timestamp()) == (1.7e9, 1700000009.0)
    assert [(point.value, point.step) for point in points[:2]] == [(0.7, 1), (0.8, 2)]
    assert math.isnan(points[2].value)
    assert math.isinf(loss.value)
    assert {one.name: workspace.blobs.get(one.digest) for one in found.artifacts}["notes/a.txt"] == b"hello"

    again = moved(workspace, MlflowFiles(str(folder)))
    assert again.new == {}
    assert (again.there["runs"], again.there["versions"]) == (2, 2)

    run(folder, GOES_ON)
    last = moved(workspace, MlflowFiles(str(folder)))
    assert last.new["runs"] == 1
    assert last.counted["runs"] == (3, 3)


def test_a_registry_is_an_inventory_of_old_models(tmp_path: Path) -> None:
    folder = mlruns(tmp_path)
    write(folder / "models" / "churn" / "tags" / "owner", "ada")
    write(folder / "models" / "Net One" / "meta.yaml", "name: Net One\n")
    told = {one.name: (one.kind, one.owner, one.becomes, one.note) for one in scan(str(folder))}
    assert told == {
        "Net One": ("mlflow", "", "net-one", "0 versions"), "churn": ("mlflow", "ada", "", "2 versions")
    }  # fmt: skip


def test_versions_keep_number_alias_and_stage_and_become_bundles_when_trusted(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = mlruns(tmp_path)
    first = moved(workspace, MlflowFiles(str(folder)))
    assert [name for name, _ in first.unproven] == ["churn 2", "churn 3"]
    assert "model.pkl is a pickle" in first.unproven[0][1]
    assert "--trust" in first.unproven[0][1]
    assert "no MLmodel" in first.unproven[1][1]
    version = registry.find(workspace, "churn", "champion")
    assert (version.number, version.stage, version.bundle) == (2, "Production", "")

    trusted = moved(workspace, MlflowFiles(str(folder)), trust=True, samples={"churn": X})
    (proven,) = trusted.proven
    assert (proven.id, proven.number, proven.aliases, proven.stage) == (version.id, 2, ("champion",), "Production")
    assert (proven.imported[0].rows, proven.imported[0].apart) == (1000, 0)
    assert proven.run_id == FIRST
    assert registry.get(workspace, "churn", 2).bundle == proven.bundle
    with pytest.raises(NotFound):
        registry.find(workspace, "churn", 1)
    assert moved(workspace, MlflowFiles(str(folder)), trust=True).proven == []


def test_a_model_whose_name_cannot_be_one_here_comes_under_one_that_can(workspace: Workspace, tmp_path: Path) -> None:
    folder = mlruns(tmp_path)
    home = folder / "models" / "churn"
    write(home / "meta.yaml", "description: who leaves\nname: Churn Model\n")
    home.rename(folder / "models" / "Churn Model")
    found = moved(workspace, MlflowFiles(str(folder)), trust=True, samples={"Churn Model": X})
    assert found.renamed == [("Churn Model", "churn-model")]
    assert [(one.name, one.number, one.imported[0].apart) for one in found.proven] == [("churn-model", 2, 0)]
    assert registry.find(workspace, "churn-model", "champion").number == 2
    again = moved(workspace, MlflowFiles(str(folder)), samples={"churn-model": X})
    assert (again.new, again.there["versions"], again.left[0][0]) == ({}, 2, f"run {GOES_ON}")

    write(folder / "models" / "CHURN model" / "meta.yaml", "name: CHURN model\n")
    write(folder / "models" / "churn-model" / "meta.yaml", "name: churn-model\n")
    told = moved(workspace, MlflowFiles(str(folder)))
    assert told.there["versions"] == 2, "what came before stays"
    assert [what for what, why in told.left if "'churn-model' here, as 'Churn Model' is" in why] == [
        "model 'CHURN model'", "model 'churn-model'"
    ]  # fmt: skip
    with workspace.ledger.write() as tx:
        registered.create(tx, workspace, "net-one", tags={})
    write(folder / "models" / "Net One" / "meta.yaml", "name: Net One\n")
    assert "'net-one' is another model here" in dict(moved(workspace, MlflowFiles(str(folder))).left)["model 'Net One'"]


def test_rows_for_a_model_that_is_not_there_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no model 'chrun' there") as refused:
        moved(workspace, MlflowFiles(str(mlruns(tmp_path))), samples={"chrun": X})
    assert "churn" in refused.value.fix


def test_what_is_no_store_or_damaged_is_said(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="holds no runs of MLflow"):
        MlflowFiles(str(tmp_path))
    (tmp_path / "no.db").write_text("nothing")
    with pytest.raises(Corrupt, match="cannot be read"):
        MlflowSqlite(f"sqlite:///{tmp_path / 'no.db'}")
    folder = mlruns(tmp_path)
    (folder / "7" / SECOND / "metrics" / "auc").write_text("17000 zero")
    found = moved(workspace, MlflowFiles(str(folder)))
    assert [what for what, why in found.left if "holds no point" in why] == [f"run {SECOND}"]
    with workspace.ledger.read() as tx:
        assert tx.get("run", SECOND) is None
        assert tx.get("run", FIRST) is not None


def test_yaml_as_mlflow_writes_it() -> None:
    text = (
        "a: plain text\nb: 'it''s'\nc: \"tab\\there\"\nd: null\ne: ''\nf: []\n"
        "g:\n  h: 1\n  i:\n    j: k\nl:\n- one\n- two\nm: 'folded over\n  two lines'\nn: goes on\n  here\no: http://x:1/y\n"
    )
    assert read_yaml(text) == {
        "a": "plain text", "b": "it's", "c": "tab\there", "d": None, "e": "", "f": [],
        "g": {"h": "1", "i": {"j": "k"}}, "l": ["one", "two"], "m": "folded over two lines", "n": "goes on here",
        "o": "http://x:1/y",
    }  # fmt: skip
    with pytest.raises(Corrupt):
        read_yaml("a: b\n%%%\n")


class Half(BaseHTTPRequestHandler):
    """A tracking server with two runs, which dies when it is asked for the second one's points, as long as it is `ill`."""

    ill = True

    def log_message(self, *said: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Searches."""
        self.rfile.read(int(self.headers["content-length"]))
        if self.path.endswith("experiments/search"):
            self.say({"experiments": [{"experiment_id": "7", "name": "churn"}]})
        elif self.path.endswith("runs/search"):
            self.say({"runs": [one_run(FIRST, 1), one_run(SECOND, 2)]})
        else:
            self.send_error(404)

    def do_GET(self) -> None:
        """Points, files, models."""
        if "get-history" in self.path:
            if SECOND in self.path and Half.ill:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.say({"metrics": [{"key": "auc", "value": 0.5, "step": 0, "timestamp": 1}]})
        else:
            self.say({})

    def say(self, what: object) -> None:
        """Answer in JSON."""
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def one_run(id: str, start: int) -> dict[str, Any]:
    info = {"run_id": id, "status": "FINISHED", "start_time": start, "artifact_uri": "s3://far/away"}
    return {"info": info, "data": {"metrics": [{"key": "auc"}]}}


def test_a_server_that_stops_half_way_leaves_whole_runs_and_the_rest_comes_later(workspace: Workspace) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Half)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        Half.ill = True
        with pytest.raises(Unavailable, match="does not answer"):
            moved(workspace, MlflowServer(address))
        with workspace.ledger.read() as tx:
            assert tx.get("run", FIRST) is not None
            assert tx.get("run", SECOND) is None
        Half.ill = False
        found = moved(workspace, MlflowServer(address))
    finally:
        server.shutdown()
        server.server_close()
    assert (found.new["runs"], found.there["runs"], found.counted["runs"]) == (1, 1, (2, 2))


SCRIPT = """
import sys, mlflow, numpy as np, pandas as pd
from sklearn.linear_model import LogisticRegression
mlflow.set_tracking_uri(sys.argv[1])
X = pd.DataFrame({"spent": np.linspace(0, 9, 40), "visits": np.arange(40) % 7})
left = ((X["spent"] + X["visits"]) > 8).astype(int)
mlflow.set_experiment("churn: the first")
with mlflow.start_run(run_name="outer"):
    mlflow.log_params({"C": 1.0, "who": "ada: x"})
    for step in range(5):
        mlflow.log_metric("auc", step / 7, step=step)
    mlflow.log_metric("odd", float("nan"))
    mlflow.log_metric("far", float("inf"))
    mlflow.set_tag("note", "two lines\\nof \\u00fc")
    mlflow.log_text("hello", "notes/a.txt")
    mlflow.log_input(mlflow.data.from_pandas(X, name="customers"), context="training")
    model = LogisticRegression().fit(X, left)
    mlflow.sklearn.log_model(model, name="model", input_example=X, registered_model_name="churn", serialization_format="cloudpickle", pip_requirements=[])
    class Own(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input):
            return [1] * len(model_input)
    mlflow.pyfunc.log_model(name="own", python_model=Own(), pip_requirements=[], registered_model_name="own")
    with mlflow.start_run(run_name="inner", nested=True):
        mlflow.log_metric("auc", 1.0)
client = mlflow.MlflowClient()
client.set_registered_model_alias("churn", "champion", 1)
"""
OLD_SCRIPT = """
import sys, mlflow, numpy as np, pandas as pd
from sklearn.linear_model import LogisticRegression
from xgboost import XGBClassifier
mlflow.set_tracking_uri(sys.argv[1])
X = pd.DataFrame({"spent": np.linspace(0, 9, 400), "visits": np.arange(400) % 7})
left = ((X["spent"] + X["visits"]) > 8).astype(int)
mlflow.set_experiment("churn")
with mlflow.start_run(run_name="old"):
    mlflow.log_param("C", 1.0)
    for step in range(3):
        mlflow.log_metric("auc", step / 7, step=step)
    mlflow.sklearn.log_model(LogisticRegression().fit(X, left), "linear", input_example=X, registered_model_name="churn")
    trees = XGBClassifier(n_estimators=5).fit(X, left)
    mlflow.xgboost.log_model(trees, "trees", input_example=X, registered_model_name="trees")
client = mlflow.MlflowClient()
client.set_registered_model_alias("churn", "champion", 1)
client.transition_model_version_stage("trees", 1, "Production")
"""
QUIET = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}


@contextmanager
def served(tmp_path: Path) -> Iterator[str]:
    """MLflow's own server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = [
        "--backend-store-uri",
        f"sqlite:///{tmp_path / 'served.db'}",
        "--artifacts-destination",
        str(tmp_path / "art"),
    ]
    asked = [
        str(PYTHON),
        "-m",
        "mlflow",
        "server",
        *store,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            asked, cwd=tmp_path, stdout=log, stderr=log, env={**os.environ, **QUIET}, start_new_session=True
        )
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    if httpx.get(f"{address}/health").is_success:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield address
        finally:
            os.killpg(process.pid, 15)
            process.wait()


@pytest.mark.full
@pytest.mark.parametrize(
    "kind", [pytest.param("files", marks=pytest.mark.long), "sqlite", pytest.param("server", marks=pytest.mark.long)]
)
def test_what_mlflows_own_client_logged(workspace: Workspace, tmp_path: Path, kind: str) -> None:
    if not PYTHON.exists():
        pytest.skip("mlflow3 is not installed: make .venv/stamps/mlflow3")
    if kind == "server":
        with served(tmp_path) as address:
            check(workspace, tmp_path, address, lambda: MlflowServer(address))
    elif kind == "files":
        folder = f"file:{tmp_path}/mlruns"
        check(workspace, tmp_path, folder, lambda: MlflowFiles(folder))
    else:
        database = f"sqlite:///{tmp_path}/m.db"
        check(workspace, tmp_path, database, lambda: MlflowSqlite(database), python=str(PYTHON))


def check(
    workspace: Workspace, tmp_path: Path, address: str, opened: Callable[[], ForeignRuns], python: str = ""
) -> None:
    """Log with the client of MLflow 3, import, and look."""
    (tmp_path / "log.py").write_text(SCRIPT)
    done = subprocess.run(
        [str(PYTHON), "log.py", address], cwd=tmp_path, env={**os.environ, **QUIET}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = moved(workspace, opened(), trust=True, python=python)
    assert found.left == []
    assert all(there == here for there, here in found.counted.values()), found.counted
    assert (found.new["runs"], found.new["points"], found.new["logged models"], found.new["versions"]) == (2, 8, 2, 2)
    (proven,) = found.proven
    assert (proven.name, proven.aliases, proven.imported[0].apart) == ("churn", ("champion",), 0)
    assert ("mlflow 3" in proven.imported[0].asked) == bool(python)  # then in its own environment
    ((called, why),) = found.unproven
    assert called == "own 1"
    assert "no form that Slipway serves" in why
    with workspace.ledger.read() as tx:
        outer = outside.get(tx, workspace, proven.run_id)
        (odd,), (far,) = tx.points(outer.id, "odd"), tx.points(outer.id, "far")
    assert (outer.name, outer.tags["note"], outer.params["who"]) == ("outer", "two lines\nof ü", "ada: x")
    assert math.isnan(odd.value)
    assert math.isinf(far.value)
    assert [one.name for one in outer.datasets] == ["customers"]
    assert proven.logged_model_id in {use.model_id for use in outer.models_made}
    assert moved(workspace, opened(), trust=True).new == {}
    told = {(one.name, one.kind, one.note) for one in scan(address.removeprefix("file:"))}
    assert told == {("churn", "mlflow", "1 versions"), ("own", "mlflow", "1 versions")}


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_what_the_client_of_mlflow_2_logged(workspace: Workspace, tmp_path: Path) -> None:
    if not OLD_PYTHON.exists():
        pytest.skip("mlflow2 is not installed: make .venv/stamps/mlflow2")
    (tmp_path / "log.py").write_text(OLD_SCRIPT)
    folder = f"file:{tmp_path}/mlruns"
    logged = [str(OLD_PYTHON), "log.py", folder]
    done = subprocess.run(logged, cwd=tmp_path, env={**os.environ, **QUIET}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = moved(workspace, MlflowFiles(folder), trust=True)
    assert (found.left, found.unproven) == ([], [])
    assert all(there == here for there, here in found.counted.values()), found.counted
    assert {(one.name, one.aliases, one.imported[0].rows, one.imported[0].apart) for one in found.proven} == {
        ("churn", ("champion",), 1000, 0), ("trees", (), 1000, 0)
    }  # fmt: skip
