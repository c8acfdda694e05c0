"""Every route of MLflow's API: none without a permission, none that fails on what it is given."""

import random
import re
from dataclasses import replace
from typing import Any, get_args, get_origin

import msgspec
import pytest
from mlflow_desk import Desk

from slipway.ledger import projects
from slipway.operations.permissions import ROLES, allowed, roles_with
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.server.mlflow.routes import Declared
from slipway.server.mlflow.table import DECLARED

ROUTES = [pytest.param(one, id=f"{one.method} {one.path}") for one in DECLARED]
NASTY: list[Any] = [
    None, "", "x", "0", "../..", "%2e%2e", "a#b?c=d", "a\u0000b", "é\U0001f600\u202e", "x" * 7000, "'; DROP TABLE runs; --",
    "metrics.`", 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 1.5, 1e300, "NaN", "-Infinity", True, [], {}, [None], [[]], [{}],
    ["x"] * 3, [{"key": "k", "value": None}], {"a": {"b": [1]}}, "9" * 400, "m-1", "1/models/x/artifacts/a",
]  # fmt: skip


@pytest.fixture
def desk(workspace: Workspace) -> Desk:
    projects.register(workspace)
    return Desk(workspace)


def place(declared: Declared, value: str = "x") -> str:
    path = re.sub(r"\{[^}]*\}", value, declared.path)
    return f"/{path}" if declared.path[0] not in "23" else f"/api/{path}"


def test_the_table_has_each_route_once_and_each_names_a_permission() -> None:
    keys = [(one.method, re.sub(r"\{[^}]*\}", "{}", one.path)) for one in DECLARED]
    assert len(keys) == len(set(keys))
    assert len(keys) >= 70
    for one in DECLARED:
        noun, _, right = one.permission.partition(".")
        assert (noun in ("runs", "models"), right in ("read", "write")) == (True, True), one.path
        assert roles_with(one.permission)
        assert (one.work is None) != (one.raw is None)
        if one.method in ("PUT", "PATCH", "DELETE"):
            assert right == "write"


@pytest.mark.parametrize("role", [*ROLES, "no such role"])
def test_who_may_not_is_refused_on_every_route(workspace: Workspace, role: str) -> None:
    projects.register(workspace)
    actor = Actor("somebody", roles=(role,))
    desk = Desk(replace(workspace, actor=actor))
    for declared in DECLARED:
        answer = desk.ask(declared.method, place(declared))
        if allowed(actor, declared.permission):
            assert answer.status_code in (200, 400, 404), (declared.path, answer.text)
        else:
            assert answer.status_code == 403, declared.path
            assert answer.json()["error_code"] == "PERMISSION_DENIED"
            assert declared.permission in answer.json()["message"]


@pytest.mark.parametrize("declared", ROUTES)
def test_nothing_that_is_sent_makes_a_route_fail(desk: Desk, declared: Declared) -> None:
    chance = random.Random(declared.path)
    id = desk.run()
    desk.good("POST", "/registered-models/create", {"name": "x"})
    fields = [(one.name, one.type) for one in msgspec.structs.fields(declared.request)]
    bodies: list[dict[str, Any]] = [{}, {name: None for name, _ in fields}]
    for nasty in NASTY:
        bodies.append({name: nasty for name, _ in fields})
    for _ in range(15):
        bodies.append({name: near(name, kind, id, chance) for name, kind in fields})
    for body in bodies:
        if declared.method == "GET":
            query = {k: v for k, v in body.items() if isinstance(v, str | int | float | list) and v == v}
            answer = desk.send(
                "GET",
                place(declared),
                {k: v if not isinstance(v, list) else list(map(str, v)) for k, v in query.items()},
            )
        else:
            answer = desk.ask(
                declared.method,
                place(declared),
                content=msgspec.json.encode(body),
                headers={"content-type": "application/json"},
            )
        assert answer.status_code in (200, 400, 404, 409), (body, answer.status_code, answer.text)


@pytest.mark.parametrize(
    "declared", [one for one in ROUTES if one.values[0].method != "GET" and one.values[0].raw is None]
)
def test_a_body_that_is_no_json_object_is_a_400(desk: Desk, declared: Declared) -> None:
    json = {"content-type": "application/json"}
    for body in (b"{", b"[1]", b"5", b"\xff\xfe", b'{"a":' + b"[" * 9000, b'{"run_id":"\\ud800"}', b"null"):
        answer = desk.ask(declared.method, place(declared), content=body, headers=json)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), body
    form = desk.ask(declared.method, place(declared), content=b"{}", headers={"content-type": "text/plain"})
    assert "takes JSON" in form.json()["message"]


@pytest.mark.parametrize("body", [b'{"name":"\xff"}', b'{"name":5,"tags":null,"artifact_location":"\xff"}'])
def test_a_text_that_is_not_utf_8_is_a_400(desk: Desk, body: bytes) -> None:
    json = {"content-type": "application/json"}
    answer = desk.ask("POST", "/api/2.0/mlflow/experiments/create", content=body, headers=json)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("declared", [one for one in ROUTES if "{" in one.values[0].path])
def test_no_part_of_a_path_makes_a_route_fail(desk: Desk, declared: Declared) -> None:
    for segment in ("..", "%2e%2e", "%00", "a%00b", "%2f", "%5c", "%23", "%3f", "%25", "x" * 5000, "%0a", "é"):
        answer = desk.ask(declared.method, place(declared, segment))
        assert answer.status_code in (400, 404, 405), (segment, answer.status_code, answer.text)


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/nothing",
        "/api/3.0/mlflow/traces",
        "/ajax-api/2.0/mlflow/gateway-proxy",
        "/api/2.0/mlflow",
        "/api/2.0/mlflow/",
        "/api/2.0/mlflow-artifacts/presigned/0/x/artifacts/a",
        "/api/2.0/mlflow/runs/create/",
        "/api/3.0/mlflow/runs/create",
    ],
)
def test_what_is_not_there_is_said_as_mlflow_says_it(desk: Desk, path: str) -> None:
    for method in ("GET", "POST"):
        desk.bad(404, "ENDPOINT_NOT_FOUND", method, path)


def test_another_method_is_a_405_and_the_older_paths_answer_too(desk: Desk) -> None:
    desk.bad(405, "ENDPOINT_NOT_FOUND", "DELETE", "/runs/create")
    assert desk.send("GET", "/ajax-api/2.0/mlflow/experiments/get", {"experiment_id": "0"}).status_code == 200
    assert desk.ask("GET", "/api/3.0/mlflow/server-info").json()["multipart_uploads_enabled"] is False
    assert re.fullmatch(r"\d+\.\d+\.\d+", desk.ask("GET", "/version").text)


def test_a_body_that_is_too_large_is_a_400(desk: Desk) -> None:
    body = b" " * ((4 << 20) + 1)
    answer = desk.send("POST", "/runs/create", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, "more than 4,194,304 bytes" in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize("depth", [100, 400, 600, 900, 1100])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nulls_are_left_out_at_any_depth_or_refused(desk: Desk, depth: int, opening: bytes, closing: bytes) -> None:
    deep = opening * depth + b"1" + closing * depth
    body = b'{"run_id":null,"x":' + deep + b',"metrics":"none","tags":[{"key":null}]}'
    answer = desk.send("POST", "/runs/log-batch", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_page_of_another_origin_changes_nothing(desk: Desk) -> None:
    answer = desk.send("POST", "/runs/create", {}, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    assert desk.send("POST", "/runs/create", {}, headers={"host": "evil.example"}).status_code == 403


def near(name: str, kind: Any, id: str, chance: random.Random) -> Any:
    """A value that nearly fits a field."""
    if chance.random() < 0.15:
        return chance.choice(NASTY)
    if "run" in name and "id" in name and get_origin(kind) is not list:
        return id
    if get_origin(kind) is list:
        inner = get_args(kind)[0]
        return [near(name, inner, id, chance) for _ in range(chance.randrange(4))]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {one.name: near(one.name, one.type, id, chance) for one in msgspec.structs.fields(kind)}
    texts = ["x", "0", "1", id, "auc", f"runs:/{id}/m", "metrics.auc > 1", "name = 'x'", "Production", "FINISHED"]
    return chance.choice([*texts, 1, 2, "5", 1700000000000, 0.5, True])
