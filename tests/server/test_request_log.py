"""What a server writes of its requests: a line each that names no secret, and an id by which they are found."""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import server_desk
from filled_store import fill
from hosts_up import up
from slipway.flows.business_links import SHARED
from slipway.hosts.server_log import LogForm, ServerLog
from slipway.operations.declare import call
from slipway.operations.people import AddPerson, AddToken
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.server.app import make_app

Logged = Callable[[LogForm], tuple[server_desk.Ask, list[str]]]
SECRET = "t0ps3cret-in-a-url"


@pytest.fixture
def logged(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Logged]:
    """A function that gives who asks a server, and the lines that it writes."""
    fill(workspace)
    handlers: list[logging.Handler] = []

    def make(form: LogForm) -> tuple[server_desk.Ask, list[str]]:
        lines: list[str] = []
        log = ServerLog(form, lines.append)
        handlers.append(log.handler())
        logging.getLogger().addHandler(handlers[-1])
        monkeypatch.setattr(
            server_desk, "make_app", lambda there, reach, figures: make_app(there, reach, figures, log=log)
        )
        return server_desk.asker(workspace), lines

    yield make
    for handler in handlers:
        logging.getLogger().removeHandler(handler)


def test_a_line_a_request_with_the_id_that_the_answer_has(logged: Logged) -> None:
    ask, lines = logged("json")
    answer = ask("GET", f"/projects/flights/runs?token={SECRET}")
    told = json.loads(lines[-1])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("at"))
    assert told.pop("ms") > 0
    assert told == {
        "level": "info",
        "request": answer.headers["x-request-id"],
        "actor": "",
        "method": "GET",
        "route": "/projects/{project}/runs",
        "status": 200,
    }
    given = ask("GET", "/health", headers={"x-request-id": "from-the-proxy-1"})
    assert given.headers["x-request-id"] == json.loads(lines[-1])["request"] == "from-the-proxy-1"
    forged = ask("GET", "/health", headers={"x-request-id": 'a" forged'})
    assert forged.headers["x-request-id"] != 'a" forged'


def test_secrets_of_paths_queries_and_headers_are_in_no_line(logged: Logged) -> None:
    for form in ("text", "json"):
        ask, lines = logged(form)  # type: ignore[arg-type]
        for path in (f"{SHARED}{SECRET}", f"/api/v1/hooks/{SECRET}", f"/{SECRET}", f"/login?next={SECRET}"):
            ask("GET", path, headers={"authorization": f"Bearer {SECRET}", "cookie": f"slipway_session={SECRET}"})
            ask("POST", path, json={"token": SECRET})
        assert len(lines) >= 8
        assert SECRET not in "\n".join(lines)


def test_who_asked_is_named(logged: Logged, workspace: Workspace) -> None:
    admin = replace(workspace, project="")
    call(admin, operation("people.add"), AddPerson(name="root", roles=("admin",)))
    token = call(admin, operation("tokens.add"), AddToken(name="root")).text
    ask, lines = logged("text")
    ask("GET", "/api/v1/projects", headers={"authorization": f"Bearer {token}"})
    assert re.search(r"Z GET /api/v1/projects 200 [\d.]+ ms by root request \S+$", lines[-1])
    assert token not in "".join(lines)
    assert ask("GET", "/api/v1/projects").status_code == 401


def test_a_failure_is_found_by_the_id_on_its_page(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, lines = logged("json")

    def fails(*given: object, **more: object) -> None:
        raise ZeroDivisionError("of nobody's doing")

    monkeypatch.setattr("slipway.server.pages._made_up", fails)
    answer = ask("GET", "/projects/flights/runs")
    assert answer.status_code == 500
    name = answer.headers["x-request-id"]
    assert f"request {name}" in answer.text
    failure, request = (json.loads(line) for line in lines)
    assert failure["request"] == request["request"] == name
    assert failure["level"] == request["level"] == "error"
    assert "ZeroDivisionError: of nobody" in failure["trace"]
    assert "ZeroDivisionError" not in answer.text
    missing = ask("GET", "/projects/flights/nothing")
    assert f"request {missing.headers['x-request-id']}" in missing.text


def test_without_a_form_requests_are_not_told_of(logged: Logged) -> None:
    ask, lines = logged("")
    ask("GET", "/health")
    assert lines == []


@pytest.mark.full
def test_up_writes_json_lines_alone(tmp_path: Path) -> None:
    with up(tmp_path / "store", "--log", "json", "--json") as (url, process):
        assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
        time.sleep(0.1)
        process.terminate()
        assert process.wait() == 0
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout]
    assert [line["route"] for line in lines if "route" in line] == ["/health"]
    assert lines[-1]["message"] == "Slipway has stopped."
