"""MLflow's own clients, unmodified, each in an environment of its own, against a real server."""

import os
import subprocess
import threading
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from hosts_up import up

pytestmark = pytest.mark.full

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests" / "mlflow_clients"
# A wrong 5xx shall fail at once, not be repeated for minutes.
QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
IN_PARTS = {
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(2 << 20),
    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(3 << 20),
}


def run(release: str, script: str, address: str, folder: Path, **settings: str) -> None:
    """Run a script with the client of a release."""
    python = ROOT / ".venv" / release / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{release} is not installed: make .venv/stamps/{release}")
    answer = subprocess.run(
        [str(python), str(SCRIPTS / script), address],
        cwd=folder,
        env={**os.environ, **QUICK, **settings},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-6000:]
    assert answer.stdout.splitlines()[-1] == "all as MLflow does it"


@pytest.mark.parametrize("release", ["mlflow2", "mlflow3"])
def test_what_every_client_does(tmp_path: Path, release: str) -> None:
    with up(tmp_path / "store") as (address, _):
        run(release, "classic.py", address, tmp_path)
        told = httpx.get(f"{address}/api/v1/projects/default/models/history", params={"name": "Flight Delays"}).json()
        assert [(one["alias"], one["number"]) for one in told["standing"]] == [
            ("Champion", 2),
            ("stage Production", 2),
        ]
        assert {move["alias"] for move in told["moves"]} >= {"Champion", "best-of", "stage Archived"}
        for page in ("", "/runs", "/models", "/models/Flight%20Delays/2", "/audit"):
            assert httpx.get(f"{address}/projects/default{page}", timeout=60).status_code == 200, page


def test_large_files_go_in_parts(tmp_path: Path) -> None:
    with up(tmp_path / "store") as (address, _):
        run("mlflow3", "classic.py", address, tmp_path, **IN_PARTS)


def test_autolog_logged_models_and_every_uri(tmp_path: Path) -> None:
    with up(tmp_path / "store") as (address, _):
        run("mlflow3", "models.py", address, tmp_path)
        refused = httpx.post(
            f"{address}/api/v1/projects/default/endpoints/deploy", json={"model": "late-or-not"}, timeout=60
        )
        assert refused.status_code == 422
        assert "has no signed bundle" in refused.json()["error"]["what"]
        _logged_models_have_pages(address)


def _logged_models_have_pages(address: str) -> None:
    """From a registered version to the model that the client logged, to its run and to the bytes of its files."""
    project = f"{address}/projects/default"
    found = httpx.get(
        f"{address}/api/v1/projects/default/models/search", params={"where": "model_id is not null"}, timeout=60
    )
    version = next(row["version"] for row in found.json()["models"] if row["version"]["logged_model_id"])
    id = version["logged_model_id"]
    name = quote(version["name"])
    assert f"/logged/{id}" in httpx.get(f"{project}/models/{name}/{version['number']}", timeout=60).text
    assert f"/logged/{id}" in httpx.get(f"{project}/runs/{version['run_id']}", timeout=60).text
    page = httpx.get(f"{project}/logged/{id}", timeout=60).text
    assert f"/models/{name}/{version['number']}" in page
    assert f"/runs/{version['run_id']}" in page
    file = httpx.get(f"{project}/logged/{id}/download", params={"name": "MLmodel"}, timeout=60)
    assert b"flavors:" in file.content
    assert file.headers["content-disposition"].startswith("attachment; ")
    lost = httpx.get(f"{project}/logged/{id}/download", params={"name": "../MLmodel"}, timeout=60)
    assert lost.status_code == 404
    assert httpx.get(f"{project}/logged/m-{'0' * 32}", timeout=60).status_code == 404


@pytest.mark.parametrize("release", ["mlflow2", "mlflow3"])
def test_xgboost_is_autologged_logged_and_loaded(tmp_path: Path, release: str) -> None:
    with up(tmp_path / "store") as (address, _):
        run(release, "boosted.py", address, tmp_path)


def test_what_was_acknowledged_is_there_after_kill_9(tmp_path: Path) -> None:
    kept: list[tuple[str, int]] = []
    with up(tmp_path / "store") as (address, process):
        made = httpx.post(f"{address}/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).json()
        run_id = made["run"]["info"]["run_id"]
        threads = [threading.Thread(target=_log, args=(address, run_id, f"t{n}", kept)) for n in range(8)]
        for thread in threads:
            thread.start()
        while len(kept) < 400:
            threads[0].join(0.01)
        process.kill()
        for thread in threads:
            thread.join()
    with up(tmp_path / "store") as (address, _):
        for key in {key for key, _ in kept}:
            history = httpx.get(
                f"{address}/api/2.0/mlflow/metrics/get-history",
                params={"run_id": run_id, "metric_key": key},
                timeout=60,
            ).json()["metrics"]
            assert {point["step"] for point in history} >= {step for known, step in kept if known == key}


def _log(address: str, run_id: str, key: str, kept: list[tuple[str, int]]) -> None:
    with httpx.Client(timeout=60) as client:
        for step in range(100_000):
            body = {"run_id": run_id, "key": key, "value": step, "timestamp": 1, "step": step}
            try:
                answer = client.post(f"{address}/api/2.0/mlflow/runs/log-metric", json=body)
            except httpx.TransportError:
                return
            assert answer.status_code == 200, answer.text
            kept.append((key, step))
