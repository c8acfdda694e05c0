"""The pages on which a pipeline is started, retried and cancelled: what they ask, what they say, what they send on."""

import json
from dataclasses import replace
from html import unescape
from urllib.parse import quote, urlencode

import httpx
import pytest

from server_desk import asker
from slipway.pipelines import staging
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.runs import tracking
from slipway.server import starts
from slipway.server.notebook_diff import compare_notebooks
from starting import FAILED, NotedRunner, code, run_of, started_store

HOME = "/projects/flights"
NASTY = '<script>alert("x")</script>'


@pytest.fixture
def store(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, NotedRunner]:
    monkeypatch.setattr(starts, "_WAITS_S", 0.0)
    return started_store(workspace)


def send(there: Workspace, path: str, **given: str) -> httpx.Response:
    body = urlencode({name.replace("__", "."): value for name, value in given.items()})
    form = {"content-type": "application/x-www-form-urlencoded"}
    return asker(there)("POST", f"{HOME}/{path}", content=body, headers=form)


def test_the_form_asks_for_each_parameter_by_its_kind(store: tuple[Workspace, NotedRunner]) -> None:
    page = asker(store[0])("GET", f"{HOME}/start").text
    for part in (
        "<h1>Start train</h1>",
        'name="p.until" type="date" value="" required',
        'name="p.rate" type="number" value="0.1" step="any"',
        "<option selected>squared</option><option>absolute</option>",
        "<option>true</option><option selected>false</option>",
        "Train it.",
        "Tables are read as they are stored now.",
    ):
        assert part in page, part


def test_what_is_left_as_it_is_is_not_sent_on(store: tuple[Workspace, NotedRunner]) -> None:
    there, runner = store
    given = {"p__until": "2013-05-01", "p__rate": "0.1", "p__loss": "absolute", "p__is_full": "false"}
    sent = send(there, "start", pipeline="train", key="k1", reason="new month", **given)
    assert (sent.status_code, sent.headers["location"]) == (303, f"{HOME}/starts/k1")
    assert staging.read_task(runner.started[0]).params == {"until": "2013-05-01", "loss": "absolute"}
    page = asker(there)("GET", f"{HOME}/starts/k1").text
    assert "Its process makes ready" in page
    assert "it makes ready" in page
    again = send(there, "start", pipeline="train", key="k1", reason="new month", **given)
    assert again.status_code == 303, "a form that is sent twice starts one run"
    run_of(there, "ab" * 16, "9" * 64, state="running", tags={"slipway.start": "k1"})
    assert send(there, "start", pipeline="train", key="k1", **given).headers["location"] == f"{HOME}/runs/{'ab' * 16}"


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"p__until": ""}, "until", "needs the parameter"),
        ({"p__until": NASTY}, "until", "It takes a date"),
        ({"p__until": "2013-05-01", "p__rate": "inf"}, "rate", "It takes a number"),
        ({"p__until": "2013-05-01", "p__loss": NASTY}, "loss", "Give one of"),
    ],
)
def test_an_error_stands_at_its_field_and_what_was_written_stays(
    store: tuple[Workspace, NotedRunner], given: dict[str, str], field: str, words: str
) -> None:
    there, runner = store
    sent = send(there, "start", pipeline="train", key="k2", reason="because", **given)
    assert sent.status_code == 422
    assert NASTY not in sent.text
    page = unescape(sent.text)
    assert "Nothing was started yet" in page
    at = page.partition(f'<label for="p.{field}">')[2].partition("</p>")[0]
    assert 'aria-invalid="true"' in at
    assert words in at
    assert 'value="because"' in page
    assert runner.started == []


def test_what_is_no_field_is_said_too(store: tuple[Workspace, NotedRunner]) -> None:
    there, runner = store
    assert "takes no parameter 'x'" in unescape(send(there, "start", pipeline="train", p__x="1").text)
    assert send(there, "start", pipeline=NASTY).status_code == 404
    assert send(there, "start", **{"from": "nobody"}).status_code == 404
    assert asker(there)("GET", f"{HOME}/start?from=nobody").status_code == 404
    assert asker(there)("GET", f"{HOME}/start?pipeline={quote(NASTY)}&x=1").status_code == 200
    assert asker(there)("GET", f"{HOME}/starts/%3Cscript%3E").status_code == 422
    assert runner.started == []


def test_a_run_is_run_again_with_what_was_changed(store: tuple[Workspace, NotedRunner]) -> None:
    there, runner = store
    ask = asker(there)
    assert f'href="{HOME}/start?from={FAILED}"' in ask("GET", f"{HOME}/runs/{FAILED}").text
    page = ask("GET", f"{HOME}/start?from={FAILED}").text
    assert 'name="p.rate" type="number" value="0.3"' in page
    assert "<option selected>true</option>" in page
    wrong = send(there, "start", **{"from": FAILED, "p__rate": "much", "p__until": "2013-04-01", "key": "k3"})
    assert wrong.status_code == 422
    assert "It takes a number" in wrong.text
    given = {"from": FAILED, "p__rate": "0.5", "p__until": "2013-04-01", "p__is_full": "true", "key": "k3"}
    assert send(there, "start", **given).headers["location"] == f"{HOME}/starts/k3"
    task = staging.read_task(runner.started[0])
    assert (task.params, task.params_of) == ({"rate": "0.5"}, FAILED)
    assert "The run that it goes on from" in ask("GET", f"{HOME}/starts/k3").text


def test_buttons_are_there_for_who_may_press_them(store: tuple[Workspace, NotedRunner]) -> None:
    there, runner = store
    page = asker(there)("GET", f"{HOME}/runs/{FAILED}").text
    assert "Retry this run" in page
    assert "the project&#39;s newest" in page or "the project's newest" in page
    viewer = replace(there, actor=Actor("bob", roles=("business owner",)))
    seen = asker(viewer)("GET", f"{HOME}/runs/{FAILED}").text
    assert "Retry this run" not in seen
    assert "Run again" not in seen
    assert "Start it" not in asker(viewer)("GET", f"{HOME}/start").text
    for path, given in (("start", {"pipeline": "train"}), (f"runs/{FAILED}/retry", {}), (f"runs/{FAILED}/cancel", {})):
        assert send(viewer, path, **given).status_code == 403, path
    assert send(there, f"runs/{FAILED}/retry", begin="last", code="same", key="k4").status_code == 303
    assert staging.read_task(runner.started[0]).resume == FAILED
    assert send(there, f"runs/{FAILED}/retry", begin="now").status_code == 422
    assert send(there, f"runs/{FAILED}/cancel", reason="x").status_code == 409


def test_the_graph_says_each_steps_state_in_words(store: tuple[Workspace, NotedRunner]) -> None:
    page = asker(store[0])("GET", f"{HOME}/runs/{FAILED}").text
    drawn = page.partition('class="chart steps"')[2].partition("</svg>")[0]
    for said in ("load: ran", "clean: found stored", "fit: failed"):
        assert said in drawn
    assert drawn.count('class="node"') == 3
    assert 'href="#step-3"' in drawn


def test_while_it_runs_the_page_says_how_far_it_is(store: tuple[Workspace, NotedRunner]) -> None:
    there, _ = store
    run_of(there, "0a" * 16, code(there), state="finished", error=None)
    run_of(there, "ff" * 16, code(there), state="running", ended_at=None, error=None, tags={"slipway.start": "k"})
    page = asker(there)("GET", f"{HOME}/runs/{'ff' * 16}").text
    assert '<progress max="3" value="2"' in page
    assert "2 of about 3 steps done" in page
    assert f'href="{HOME}/runs/{"0a" * 16}">the run before</a>' in page
    assert "Yes, cancel it" in page
    assert 'data-live="' in page


def notebook(*cells: tuple[str, str]) -> bytes:
    made = [
        {"cell_type": "code", "source": source, "outputs": [{"output_type": "stream", "name": "stdout", "text": out}]}
        for source, out in cells
    ]
    return json.dumps({"nbformat": 4, "cells": made}).encode()


BEFORE = notebook(("rate = 0.1\nprint(rate)", "0.1"), ("old()", ""), ("score()", "auc 0.7"), ("end()", ""))
AFTER = notebook(("rate = 0.3\nprint(rate)", "0.3"), ("score()", "auc 0.8"), (f"plot('{NASTY}')", ""), ("end()", ""))


def test_notebooks_are_compared_cell_by_cell() -> None:
    found = compare_notebooks(BEFORE, AFTER)
    assert [(cell.sort, cell.before, cell.after) for cell in found.cells] == [
        ("changed", 1, 1),
        ("gone", 2, 0),
        ("changed", 3, 2),
        ("added", 0, 3),
        ("same", 4, 4),
    ]
    assert [(line.sign, line.text) for line in found.cells[0].source] == [
        ("-", "rate = 0.1"),
        ("+", "rate = 0.3"),
        (" ", "print(rate)"),
    ]
    assert [line.text for line in found.cells[2].output] == ["auc 0.7", "auc 0.8"]
    assert compare_notebooks(BEFORE, BEFORE).counts == {"changed": 0, "added": 0, "gone": 0, "same": 4}


def test_a_notebook_is_compared_with_that_of_another_run_from_its_page(workspace: Workspace) -> None:
    ids = []
    for data in (BEFORE, AFTER):
        with tracking.start(workspace, "study", system_metrics=False) as run:
            path = workspace.root / "study.ipynb"
            path.write_bytes(data)
            run.log_artifact("study.ipynb", path)
            ids.append(run.id)
    started_store(workspace)
    ask, here = asker(workspace), f"{HOME}/runs/{ids[1]}"
    assert f'<option value="{ids[0]}/study.ipynb">' in ask("GET", f"{here}/artifact?name=study.ipynb").text
    page = ask("GET", f"{here}/notebooks?name=study.ipynb&other={ids[0]}/study.ipynb")
    assert page.status_code == 200
    assert "2 cells changed, 1 added, 1 gone, 1 the same." in page.text
    assert NASTY not in page.text
    for wrong, status in ((f"{ids[0]}/nothing.ipynb", 404), ("", 422), (ids[0], 422), (f"{quote(NASTY)}/x", 404)):
        assert ask("GET", f"{here}/notebooks?name=study.ipynb&other={wrong}").status_code == status, wrong
