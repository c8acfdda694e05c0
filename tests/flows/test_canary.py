"""One person's address is put wherever it may come to; who may not see personal columns finds it nowhere.

Every operation that reads, every page and download that links lead to, and MLflow's API, as each role without the right.
"""

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from canary import CANARY, FILES, PHONE, as_role, fill, pages, requests, shows
from server_desk import asker
from slipway.operations.permissions import ROLES, allowed
from slipway.operations.table import OPERATIONS
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.runs import search

BLIND = [role for role in [*ROLES, "no such role"] if not allowed(Actor("x", roles=(role,)), "tables.personal")]
WHO = [*((role, ()) for role in BLIND), ("admin", ("*.read",))]
IDS = [*BLIND, "an admin whose token only reads"]


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    fill(workspace)
    return workspace


def asked(workspace: Workspace) -> list[tuple[str, dict[str, object]]]:
    runs = search.list_runs(workspace)
    steps = [(run.id, step.name) for run in runs for step in search.steps(workspace, run.id)]
    names = sorted({artifact.name for run in runs for artifact in run.artifacts})
    return list(requests([run.id for run in runs], steps, names))


def decoded(data: bytes) -> bytes:
    """An answer with the bytes of files that are in it as base64."""
    try:
        found = json.loads(data)
    except ValueError:
        return data
    inner = found.get("data") if isinstance(found, dict) else None
    return data if not isinstance(inner, str) else base64.b64decode(inner)


@pytest.mark.parametrize(("role", "scopes"), WHO, ids=IDS)
def test_no_operation_tells_it(filled: Workspace, role: str, scopes: tuple[str, ...]) -> None:
    ask = asker(as_role(filled, role, *scopes))
    seen = 0
    for name, fields in asked(filled):
        answer = ask("GET", OPERATIONS[name].path.replace("{project}", "flights"), params=fields)
        assert answer.status_code != 500, (name, fields, answer.text)
        if CANARY in str(fields) and answer.status_code != 200:
            continue  # the sentence repeats what was asked
        found = decoded(answer.content)
        assert not shows(found), (name, fields, found[:2000])
        assert not shows(answer.content), (name, fields)
        seen += answer.status_code == 200
    assert seen > 80 or not allowed(Actor("x", roles=(role,)), "tables.read"), seen


@pytest.mark.parametrize(("role", "scopes"), WHO, ids=IDS)
def test_no_page_or_download_shows_it(filled: Workspace, role: str, scopes: tuple[str, ...]) -> None:
    ask = asker(as_role(filled, role, *scopes))
    paths = []
    for path, data in pages(ask):
        paths.append(path)
        assert not shows(data), path
    run = next(run for run in search.list_runs(filled) if not run.pipeline)
    for route in ("download", "image", "artifact"):
        for file in [*FILES, "frame"]:
            answer = ask("GET", f"/projects/flights/runs/{run.id}/{route}?name={quote(file)}")
            assert not shows(answer.content), (route, file)
            assert answer.status_code != 500, (route, file, answer.text)
    assert len(paths) > 20 or not allowed(Actor("x", roles=(role,)), "tables.read"), paths


@pytest.mark.parametrize(("role", "scopes"), WHO, ids=IDS)
def test_mlflows_api_does_not_tell_it(filled: Workspace, role: str, scopes: tuple[str, ...]) -> None:
    ask = asker(as_role(filled, role, *scopes))
    root = "/projects/flights/api/2.0"
    for run in search.list_runs(filled):
        assert not shows(ask("GET", f"{root}/mlflow/runs/get", params={"run_id": run.id}).content)
        assert not shows(ask("GET", f"{root}/mlflow/artifacts/list", params={"run_id": run.id}).content)
        assert not shows(ask("GET", f"{root}/mlflow/artifacts/list", params={"run_id": run.id, "path": "of"}).content)
        for artifact in run.artifacts:
            fields = {"run_id": run.id, "path": artifact.name}
            for path, params in (
                (f"{root}/mlflow/get-artifact", fields),
                ("/projects/flights/get-artifact", fields),
                (f"{root}/mlflow-artifacts/artifacts/{run.experiment_id}/{run.id}/artifacts/{artifact.name}", {}),
            ):
                answer = ask("GET", path, params=params)
                assert answer.status_code in (200, 403, 404), (path, answer.text)
                assert not shows(answer.content) or CANARY in artifact.name, (path, artifact.name)
    found = ask("POST", f"{root}/mlflow/runs/search", json={"experiment_ids": ["0"]})
    assert not shows(found.content)


def test_who_may_see_it_finds_it_all(filled: Workspace) -> None:
    ask = asker(as_role(filled, "data engineer"))
    run = next(run for run in search.list_runs(filled) if not run.pipeline)
    for file, data in FILES.items():
        assert ask("GET", f"/projects/flights/runs/{run.id}/download?name={quote(file)}").content == data, file
    tell = next(run for run in search.list_runs(filled) if run.pipeline == "teller")
    path = "/api/v1/projects/flights/runs/step_log"
    assert f"{CANARY}, {PHONE}" in ask("GET", path, params={"id": tell.id, "step": "told"}).json()["text"]


def test_what_is_hidden_is_said_and_the_rest_is_there(filled: Workspace) -> None:
    ask = asker(as_role(filled, "data scientist"))
    run = next(run for run in search.list_runs(filled) if not run.pipeline)
    page = ask("GET", f"/projects/flights/runs/{run.id}/artifact?name=notes.txt").text
    assert "About (personal): late." in page
    assert "Values of personal columns are hidden in it." in page
    answer = ask("GET", f"/projects/flights/runs/{run.id}/download?name=notes.txt")
    assert (answer.status_code, "It holds values of personal columns" in answer.text) == (403, True)
    table = ask("GET", f"/projects/flights/runs/{run.id}/artifact?name=rows.parquet").text
    assert "Ulm" in table
    assert "(personal)" in table
    tell = next(run for run in search.list_runs(filled) if run.pipeline == "teller")
    said = ask("GET", "/api/v1/projects/flights/runs/step_log", params={"id": tell.id, "step": "told"}).json()
    assert said["text"].strip() == "the first of them is (personal), (personal)"


def test_the_command_line_does_not_tell_it(filled: Workspace, tmp_path: Path) -> None:
    assert True
