"""The native API: routes out of the operations table, requests in, errors as sentences."""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from filled_store import GOOD_RUN
from server_desk import Ask, asker
from slipway import errors
from slipway.ledger import projects
from slipway.operations import declare, wire
from slipway.operations.table import OPERATIONS
from slipway.ports.workspace import Workspace
from slipway.server import api, hooks
from slipway.server.errors import status_of

HOME = "/api/v1/projects/flights"
JSON = {"content-type": "application/json"}


def test_health_answers_once_it_is_up(ask: Ask) -> None:
    answer = ask("GET", "/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("runs.search", {"limit": 1, "where": "state = 'finished'"}),
        ("runs.get", {"id": GOOD_RUN}),
        ("models.get", {"name": "flight-delays"}),
        ("endpoints.get", {"name": "flight-delays"}),
        ("tables.get", {"name": "flights"}),
        ("audit.list", {}),
    ],
)
def test_the_answer_is_what_a_call_here_returns(
    ask: Ask, workspace: Workspace, name: str, fields: dict[str, Any]
) -> None:
    operation = OPERATIONS[name]
    answer = ask("GET", operation.path.replace("{project}", "flights"), params=fields)
    here = declare.call(workspace, operation, declare.convert(operation, fields))
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == wire.plain(here)
    assert wire.encode(wire.decode(operation, answer.content)) == wire.encode(here)


def test_what_is_not_a_number_survives_json(ask: Ask) -> None:
    answer = ask("GET", f"{HOME}/models/get", params={"name": "flight-delays"})
    metrics = wire.decode(OPERATIONS["models.get"], answer.content).bundle.metrics
    assert [metric.slice for metric in metrics if math.isnan(metric.value)] == ["carrier=OO"]


def test_a_change_is_a_post_and_is_told(ask: Ask) -> None:
    body = {"name": "flight-delays", "version": "1", "alias": "challenger", "reason": "trial"}
    moved = ask("POST", f"{HOME}/models/alias", json=body)
    assert moved.json() == {"alias": "challenger", "number": 1, "before": 0}
    told = ask("GET", f"{HOME}/audit/list").json()["events"][-1]
    assert (told["verb"], told["body"]["reason"]) == ("models.alias", "trial")


def test_several_projects_are_kept_apart(ask: Ask, workspace: Workspace) -> None:
    projects.register(replace(workspace, project="ships"))
    listed = ask("GET", "/api/v1/projects").json()["projects"]
    assert [project["name"] for project in listed] == ["flights", "ships"]
    assert ask("GET", "/api/v1/projects/ships/runs/search").json() == {"runs": [], "token": ""}
    assert ask("GET", "/api/v1/projects/ships/models/list").json() == {"models": []}
    assert ask("GET", "/api/v1/projects/ships/audit/list").json() == {"events": [], "next": 0}
    for path in ("runs/get?id=" + GOOD_RUN, "models/get?name=flight-delays", "endpoints/get?name=flight-delays"):
        assert ask("GET", f"/api/v1/projects/ships/{path}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "field", "sentence"),
    [
        ("GET", "/api/v1/projects/fligths/runs/search", {}, 404, "", "Did you mean 'flights'?"),
        ("GET", f"{HOME}/runs/get", {}, 422, "", "missing required field `id`"),
        ("GET", f"{HOME}/runs/get?id=ffffffff", {}, 404, "", "no run 'ffffffff'"),
        ("GET", f"{HOME}/runs/search?limit=many", {}, 422, "limit", "Expected `int`"),
        ("GET", f"{HOME}/runs/search?limit=5&limit=6", {}, 422, "limit", "given twice"),
        (
            "GET",
            f"{HOME}/runs/search?nonsense=1",
            {},
            422,
            "nonsense",
            "Its fields are: where, order, best_per, token, limit",
        ),
        ("GET", f"{HOME}/runs/search?where=gone", {}, 422, "where", "no attribute 'gone'"),
        ("POST", f"{HOME}/models/alias", {}, 422, "", "missing required field `name`"),
        ("POST", f"{HOME}/models/alias", {"content": b"{", "headers": JSON}, 400, "", "not JSON"),
        ("POST", f"{HOME}/models/alias", {"content": b"\xff\xfe", "headers": JSON}, 400, "", "not JSON"),
        ("POST", f"{HOME}/models/alias", {"content": b'{"name":"\xff"}', "headers": JSON}, 400, "", "not JSON"),
        ("POST", f"{HOME}/models/alias", {"content": b"[1]", "headers": JSON}, 400, "", "not a JSON object"),
        ("POST", f"{HOME}/models/alias", {"content": b"name=x"}, 400, "", "Content-Type: application/json"),
        ("POST", f"{HOME}/models/alias", {"data": {"name": "x"}}, 400, "", "Content-Type: application/json"),
        (
            "POST",
            f"{HOME}/models/alias",
            {"json": {"name": 5, "version": "1", "alias": "a"}},
            422,
            "name",
            "Expected `str`",
        ),
        ("POST", f"{HOME}/endpoints/rollback", {"json": {"name": "x", "to": "1"}}, 422, "to", "Expected `int`"),
        (
            "POST",
            f"{HOME}/audit/seal",
            {"content": b" " * (5 << 20), "headers": JSON},
            413,
            "",
            "more than 4,194,304 bytes",
        ),
        (
            "POST",
            f"{HOME}/audit/seal",
            {"content": b'{"a":' + b"[" * 9000, "headers": JSON},
            400,
            "",
            "nested too deeply",
        ),
        ("GET", f"{HOME}/audit/seal", {}, 405, "", "Use POST"),
        ("DELETE", f"{HOME}/runs/search", {}, 405, "", "Use "),
        ("GET", f"{HOME}/runs/serch", {}, 404, "", "openapi.json"),
        ("GET", "/api/v2/projects", {}, 404, "", "There is nothing at"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(
    ask: Ask, method: str, path: str, options: dict[str, Any], status: int, field: str, sentence: str
) -> None:
    answer = ask(method, path, **options)
    assert answer.status_code == status, answer.text
    said = answer.json()["error"]
    assert set(said) == {"code", "what", "why", "fix", "field"}
    assert said["field"] == field
    assert sentence in f"{said['what']} {said['why']} {said['fix']}"


def test_what_nobody_meant_to_raise_is_logged_and_not_shown(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: object) -> None:
        raise KeyError("the secret is 42")

    monkeypatch.setattr(api, "perform", broken)
    with caplog.at_level(logging.ERROR, "slipway.server"):
        answer = ask("GET", f"{HOME}/runs/search")
    said = answer.json()["error"]
    assert (answer.status_code, said["code"]) == (500, "InternalError")
    assert "secret" not in answer.text
    name = said["what"].partition("failure ")[2].rstrip(").")
    assert name in caplog.text
    assert "the secret is 42" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInput("x"), 422),
        (errors.InvalidSetting("x"), 400),
        (errors.MissingExtra("x"), 400),
        (errors.StepFailed("x", step="train"), 422),
        (errors.NotFound("x"), 404),
        (errors.Conflict("x"), 409),
        (errors.GateRefused("x"), 409),
        (errors.Denied("x"), 403),
        (errors.Corrupt("x"), 500),
        (errors.BackendError("x"), 500),
        (errors.Unavailable("x"), 503),
    ],
)
def test_every_error_has_its_number(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, error: errors.SlipwayError, status: int
) -> None:
    monkeypatch.setattr(api, "perform", _raising(error))
    answer = ask("GET", f"{HOME}/runs/search")
    assert answer.status_code == status == status_of(error)
    assert answer.json() == wire.error_body(error)
    assert ("retry-after" in answer.headers) == (status == 503)


def _raising(error: Exception) -> Callable[..., None]:
    def work(*arguments: object) -> None:
        raise error

    return work


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8300", "127.0.0.1.evil.example", "", "[::1", "0.0.0.0"])
def test_another_name_than_localhost_is_refused(ask: Ask, host: str) -> None:
    answer = ask("GET", "/health", headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "Denied"


@pytest.mark.parametrize("host", ["localhost", "localhost:8300", "127.0.0.1", "[::1]:8300", "LOCALHOST:1"])
def test_localhost_is_answered_on_any_port(ask: Ask, host: str) -> None:
    assert ask("GET", "/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:8300", "http://127.0.0.1:9999", "http://["]
)
def test_a_page_of_another_origin_changes_nothing(ask: Ask, workspace: Workspace, origin: str) -> None:
    answer = ask("POST", f"{HOME}/audit/seal", headers={"origin": origin})
    assert answer.status_code == 403
    with workspace.ledger.read() as tx:
        assert tx.roots() == []


def test_its_own_pages_may(ask: Ask) -> None:
    assert ask("POST", f"{HOME}/audit/seal", headers={"origin": "http://127.0.0.1:8300"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/health", "/api/v1/projects", "/nothing", "/api/nothing"])
def test_every_answer_carries_the_security_headers(ask: Ask, path: str) -> None:
    headers = ask("GET", path).headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_openapi_describes_every_operation_and_nothing_else(ask: Ask) -> None:
    document = ask("GET", "/api/v1/openapi.json").json()
    described = {
        (path, method.upper()): what for path, methods in document["paths"].items() for method, what in methods.items()
    }
    assert {key: what["operationId"] for key, what in described.items()} == {
        (operation.path, operation.method): operation.name for operation in OPERATIONS.values()
    } | {(hooks.PATH, "POST"): "hooks.deliver"}
    schemas = document["components"]["schemas"]
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas
    listing = described[f"{HOME}/runs/search".replace("flights", "{project}"), "GET"]
    assert [parameter["name"] for parameter in listing["parameters"]] == [
        "project",
        "where",
        "order",
        "best_per",
        "token",
        "limit",
    ]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    return []


def test_a_server_over_an_empty_store_is_fine(workspace: Workspace) -> None:
    ask = asker(workspace)
    assert ask("GET", "/api/v1/projects").json() == {"projects": []}
    assert "holds no project" in ask("GET", "/").text
