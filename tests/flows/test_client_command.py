"""`slipway client`, here and through a server: what it writes asks the endpoint that runs."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from small_desk import FIRST, NAME, Desk

from hosts_up import up
from slipway.cli import main

pytestmark = pytest.mark.full
ROW = {"flight_id": "Q1", "origin": "JFK", "distance": 500, "departure": "2013-04-01T09:00:00Z"}


def slipway(*words: str) -> Any:
    return CliRunner().invoke(main, list(words))


def test_what_is_written_asks_the_endpoint_that_runs(desk: Desk, tmp_path: Path) -> None:
    desk.approve(FIRST)
    deployed = desk.deploy(FIRST)
    store = ["--root", str(desk.workspace.root), "--project", desk.workspace.project]
    out = tmp_path / "written"
    answer = slipway("client", NAME, "--out", str(out), *store, "--json")
    assert answer.exit_code == 0, answer.output
    assert [Path(file).name for file in json.loads(answer.output)["files"]] == [
        "openapi.json",
        "small_delays_client.py",
        "curl.sh",
    ]
    spec = importlib.util.spec_from_file_location("small_delays_client", out / "small_delays_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.Client() as client:
        found = client.predict([{**ROW, "departure": desk.clock.now()}])
    assert found[0]["version"] == FIRST
    if shutil.which("curl"):
        told = subprocess.run(["sh", str(out / "curl.sh")], capture_output=True, text=True)
        assert json.loads(told.stdout)["model"]["name"] == NAME
    fields = json.loads((out / "openapi.json").read_text())["components"]["schemas"]["Row"]["properties"]
    assert deployed.revision is not None
    assert list(fields) == [field.name for field in deployed.revision.contract.fields]
    (out / "curl.sh").write_text("mine\n")
    answer = slipway("client", NAME, "--out", str(out), *store)
    assert answer.exit_code != 0
    assert "did not write it" in answer.output
    with up(desk.workspace.root) as (url, _):
        checkout = tmp_path / "checkout"
        checkout.mkdir()
        (checkout / "slipway.toml").write_text(
            f'[project]\nname = "{desk.workspace.project}"\n[environments.dev]\nserver = "{url}"\n'
        )
        answer = slipway("client", NAME, "-C", str(checkout), "--out", str(tmp_path / "again"))
        assert answer.exit_code == 0, answer.output
        for file in ("openapi.json", "small_delays_client.py"):
            assert (tmp_path / "again" / file).read_text() == (out / file).read_text()
    desk.workspace.launcher.stop(desk.folder)
    answer = slipway("client", NAME, "--out", str(tmp_path / "none"), *store)
    assert "does not run" in answer.output
    assert not (tmp_path / "none").exists()
