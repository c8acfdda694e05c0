"""The whole way of a model with the ledger in a file and in PostgreSQL: only slipway.toml differs."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import answer, kill, read_until, start, stop_all

import postgres_here

pytest.importorskip("sklearn", reason="the template's model needs scikit-learn: pip install 'slipway[sklearn]'")
pytestmark = pytest.mark.full

NAME = "my-project"
ROW = {"customer_id": "c1", "plan": "basic", "months": 3, "spent": 40.0, "calls": 4}


@pytest.fixture(params=["file", "postgres"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new project; its store's ledger is what the parameter says."""
    answer("new", NAME, cwd=tmp_path)
    home = tmp_path / NAME
    with ExitStack() as stack:
        if request.param == "postgres":
            monkeypatch.setenv("SLIPWAY_TEST_LEDGER", stack.enter_context(postgres_here.cleaned()))
            settings = home / "slipway.toml"
            section = "[environments.dev]\n"
            assert section in settings.read_text()
            settings.write_text(settings.read_text().replace(section, f'{section}ledger = "env:SLIPWAY_TEST_LEDGER"\n'))
        yield home
        stop_all(home / ".slipway")
        assert (home / ".slipway" / "ledger.db").exists() == (request.param == "file")


def searched(folder: Path, **fields: str) -> list[dict[str, Any]]:
    rows = answer("api", "runs.search", *(f"{name}={value}" for name, value in fields.items()), cwd=folder)["runs"]
    return [row["run"] for row in rows]


def test_from_data_to_a_page(folder: Path) -> None:
    first = answer("run", "release", cwd=folder)
    assert (first["model"]["number"], first["run"]["state"]) == (1, "finished")
    assert answer("run", "release", cwd=folder)["model"]["number"] == 1, "nothing was changed"
    assert answer("run", "release", "--set", "c=0.01", cwd=folder)["model"]["number"] == 2
    deployed = answer("deploy", NAME, "--version", "1", cwd=folder)
    assert deployed["revision"]["number"] == 1
    one = answer("predict", NAME, json.dumps(ROW), cwd=folder)
    assert 0 < one["predictions"][0]["score"] < 1
    by_id = [{"prediction": one["predictions"][0]["id"], "value": 1}]
    assert httpx.post(f"{deployed['status']['url']}/endpoints/{NAME}/labels", json={"labels": by_id}).status_code == 200
    assert answer("deploy", NAME, cwd=folder)["revision"]["number"] == 2
    assert answer("rollback", NAME, cwd=folder)["revision"]["served"]["number"] == 1

    found = searched(folder, where="params.c = 0.01 and tags.x is null")
    assert [run["pipeline"] for run in found] == ["release"]
    assert len(searched(folder, where="attributes.pipeline matches '^rel'", order="metrics.auc desc")) == 3
    assert answer("reproduce", found[0]["id"], cwd=folder)
    aliases = {row["version"]["number"]: row["aliases"] for row in answer("models", "list", cwd=folder)["models"]}
    assert aliases == {1: ["champion"], 2: []}
    verbs = [event["verb"] for event in answer("audit", "list", cwd=folder)["events"]]
    for verb in ("models.register", "gates.judge", "endpoints.deploy", "models.alias"):
        assert verb in verbs

    server = start("up", "--root", str(folder / ".slipway"), "--port", "0", cwd=folder.parent)
    try:
        address = read_until(server, "http://").split()[-1]
        for page in (
            "",
            f"/projects/{NAME}",
            f"/projects/{NAME}/runs",
            f"/projects/{NAME}/runs/{found[0]['id']}",
        ):
            shown = httpx.get(f"{address}{page}", follow_redirects=True, timeout=60)
            assert shown.status_code == 200, page
            assert NAME in shown.text
    finally:
        kill(server)
    assert answer("endpoints", "stop", NAME, cwd=folder)["was_running"]
    answer("audit", "seal", cwd=folder)
    assert answer("audit", "verify", cwd=folder)["unsealed"] <= 1
