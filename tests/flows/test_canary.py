"""One person's address is put wherever it may come to; who may not see personal columns finds it nowhere.

Every operation that reads, every page and download that links lead to, and MLflow's API, as each role without the right.
"""

import base64
import json
import os
import pwd
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click
import polars as pl
import pytest
from canary import CANARY, FILES, PHONE, as_role, fill, pages, requests, shows
from click.testing import CliRunner

from server_desk import asker
from slipway.cli import main
from slipway.ledger import projects
from slipway.operations import declare
from slipway.operations.permissions import ROLES, allowed
from slipway.operations.table import OPERATIONS
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.tables import AboutTable
from slipway.runs import search
from slipway.tables.alters import alter
from slipway.tables.veil import over
from slipway.tables.veil_values import Hidden
from slipway.tables.versions import Origin, append, overwrite

BLIND = [role for role in [*ROLES, "no such role"] if not allowed(Actor("x", roles=(role,)), "tables.personal")]
ALWAYS = ("data scientist", "executive viewer")
WHO = [
    *(pytest.param(role, (), id=role, marks=() if role in ALWAYS else pytest.mark.full) for role in BLIND),
    pytest.param("admin", ("*.read",), id="an admin whose token only reads"),
]


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


@pytest.mark.parametrize(("role", "scopes"), WHO)
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


@pytest.mark.parametrize(("role", "scopes"), WHO)
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


@pytest.mark.parametrize(("role", "scopes"), WHO)
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


ROOMS = ("data", "runs", "why", "catalog", "audit", "models", "trash", "features", "share", "erase", "whoami")


def leaves(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and (words or name in ROOMS):
                yield from leaves(found, *words, name)
    else:
        yield words


def test_the_command_line_does_not_tell_it(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store opened here, by somebody who is known by their account: each command with what it could be asked."""

    def do(asking: Workspace, name: str, /, **fields: object) -> Any:
        return declare.call(asking, OPERATIONS[name], declare.convert(OPERATIONS[name], fields))

    do(filled, "people.add", name="ada", roles=["admin"], account="somebody-else")
    do(filled, "people.add", name="bob", roles=["data scientist"], account=pwd.getpwuid(os.getuid()).pw_name)
    monkeypatch.delenv("SLIPWAY_TOKEN", raising=False)
    runs = search.list_runs(filled)
    asked = [(), ("people",), ("people", "1"), ("people", "1", "2"), ("quarantine.people",), ("people.owner",)]
    asked += [(run.id,) for run in runs] + [(run.id, "told") for run in runs] + [(runs[0].id, runs[1].id)]
    worked = set()
    for words in leaves(main):
        for more in asked:
            given = [*words, *more, "--root", str(filled.root), "--project", "flights"]
            answer = CliRunner().invoke(main, given)
            assert not shows(answer.output.encode()), (words, more, answer.output)
            worked |= {words} if answer.exit_code == 0 else set()
    assert {("data", "profile"), ("data", "failing"), ("runs", "show"), ("runs", "list"), ("whoami",)} <= worked, worked
    assert ("data", "export") not in worked


def test_a_class_of_people_is_no_persons_name(workspace: Workspace) -> None:
    """Values that many rows share stay in texts; those of a closed table's only column of names do not."""
    projects.register(workspace)
    rows = pl.DataFrame({"name": [f"Name{n:03}" for n in range(120)], "sex": ["female", "male"] * 60})
    overwrite(workspace, "staff", rows, origin=Origin(about=AboutTable(personal=("name", "sex"))))
    known = over(as_role(workspace, "data scientist"))
    assert known is not None
    assert known.text("auc[sex=female] of Name007, not of Name0071 or xName007") == (
        "auc[sex=female] of (personal), not of Name0071 or xName007"
    )
    assert known.answer({"Name001": ("is Name002", 7, None)}) == {"(personal)": ("is (personal)", 7, None)}
    assert over(as_role(workspace, "data engineer")) is None


def test_what_was_personal_once_stays_hidden_after_a_rename_an_erasure_of_the_mark_and_new_rows(
    workspace: Workspace,
) -> None:
    projects.register(workspace)
    marked = Origin(about=AboutTable(personal=("mail",)))
    overwrite(workspace, "staff", pl.DataFrame({"mail": ["ada@example.org"], "n": [1]}), origin=marked)
    low = as_role(workspace, "data scientist")
    assert over(low).text("to ada@example.org!") == "to (personal)!"
    alter(workspace, "staff", rename={"mail": "address"})
    append(workspace, "staff", pl.DataFrame({"address": ["bob@example.org"], "n": [1]}))
    overwrite(workspace, "staff", pl.DataFrame({"n": [1]}))
    assert over(low).text("ada@example.org, bob@example.org") == "(personal), (personal)"


@pytest.mark.parametrize("seed", range(5))
def test_bytes_are_searched_as_by_looking_for_each_value(seed: int) -> None:
    chance = random.Random(seed)
    values = ["".join(chance.choices("abcä1", k=chance.randint(3, 9))) for _ in range(60)]
    hidden = Hidden(pl.DataFrame({"value": values, "head": values}))
    for _ in range(200):
        data = bytes(chance.choices("abcä1\0".encode(), k=chance.randint(0, 60)))
        looked = (data, data.replace(b"\0", b""))
        wanted = any(value.encode() in one for value in values if len(value) >= 5 for one in looked)
        assert hidden.are_in_bytes(data) == wanted
    assert hidden.are_in_bytes(b"\xff" * 4_200_000 + max(values, key=len).encode() + b"\xff")
