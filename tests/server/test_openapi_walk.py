"""Each route as its description has it: what fits, what schemathesis makes of the description, and what breaks it.

No answer is a fault of the server's, and none has a status, a kind of content or a shape that the description does not
tell. The examples are drawn alike each time.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import mlflow_filled
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from mlflow_desk import Desk

from filled_store import fill
from house.test_route_walk import FIELDS, NEED_MORE
from slipway.ledger import projects
from slipway.operations.permissions import allowed
from slipway.operations.table import OPERATIONS
from slipway.ports.workspace import Workspace
from slipway.server import errors, openapi
from slipway.server.app import make_app
from slipway.server.mlflow import openapi as mlflow_openapi
from slipway.server.mlflow.answers import ANSWERS
from slipway.server.mlflow.table import DECLARED

HERE = "http://127.0.0.1:8300"
EXAMPLES = pytest.mark.parametrize("examples", [6, pytest.param(40, marks=pytest.mark.long)])


def test_both_descriptions_tell_every_status_that_errors_have() -> None:
    statuses = {str(status) for status in errors._STATUS.values()} - {"405"}
    described = openapi.document("1")["paths"]["/api/v1/projects/{project}/runs/search"]["get"]["responses"]
    assert statuses | {"200"} == set(described)
    document = mlflow_openapi.document()
    assert len([1 for methods in document["paths"].values() for _ in methods]) == len(DECLARED)
    keys = {f"{one.method} {one.path}" for one in DECLARED}
    assert set(ANSWERS) <= keys


@pytest.fixture
def sending(workspace: Workspace) -> Iterator[Any]:
    """Sends a case and compares the answer with the description."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: make .venv/stamps/all")
    asgi = pytest.importorskip("schemathesis.python.asgi")
    checks = schemathesis.checks
    compared = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    with asgi.get_client(make_app(replace(workspace, project=""))) as client:
        yield lambda case: case.call_and_validate(base_url=HERE, session=client, checks=compared)


@cache
def described(*, ours: bool) -> Any:
    """One of the two descriptions, read once for all tests."""
    schemathesis = pytest.importorskip("schemathesis")
    return schemathesis.openapi.from_dict(openapi.document("1") if ours else mlflow_openapi.document())


def walk(send: Any, operation: Any, examples: int, has_fields: bool, **fixed: Any) -> None:
    """Send what fits the description of an operation, and what does not."""
    schemathesis = pytest.importorskip("schemathesis")
    modes = schemathesis.GenerationMode
    for mode in (modes.POSITIVE, modes.NEGATIVE) if has_fields else (modes.POSITIVE,):
        drawn = given(case=operation.as_strategy(mode, **fixed))(lambda case: send(case) and None)
        settings(
            derandomize=True,
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(drawn)()


@pytest.mark.full
@EXAMPLES
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_answers_as_described(workspace: Workspace, sending: Any, name: str, examples: int) -> None:
    fill(workspace)
    declared = OPERATIONS[name]
    schema = described(ours=True)
    operation = schema[declared.path][declared.method]
    place = {"project": "flights"} if "{project}" in declared.path else {}
    if name not in NEED_MORE:
        how = "body" if declared.changes else "query"
        status = 200 if allowed(workspace.actor, declared.permission) else 403
        assert sending(operation.Case(path_parameters=place, **{how: FIELDS[name]})).status_code == status
    walk(sending, operation, examples, bool(declared.request.__struct_fields__), path_parameters=place)
    walk(sending, operation, examples, False)


@pytest.mark.full
@EXAMPLES
@pytest.mark.parametrize("declared", DECLARED, ids=[f"{one.method} {one.path}" for one in DECLARED])
def test_a_route_of_mlflow_answers_as_described(
    workspace: Workspace, sending: Any, declared: Any, examples: int
) -> None:
    projects.register(workspace)
    ids = mlflow_filled.fill(Desk(workspace))
    schema = described(ours=False)
    operation = schema[mlflow_openapi.address_of(declared)][declared.method]
    good = mlflow_filled.requests(ids)
    place, body = good.get(f"{declared.method} {declared.path}") or good.get(declared.path, ({}, None))
    given: dict[str, Any] = {"path_parameters": place}
    if isinstance(body, bytes):
        given |= {"body": body, "media_type": "application/octet-stream"} if declared.method == "PUT" else {}
    elif body is not None:
        given["query" if declared.method == "GET" else "body"] = body
    answer = sending(operation.Case(**given))
    assert answer.status_code == 200, answer.text
    has_fields = bool(mlflow_openapi.request_of(declared).__struct_fields__)
    walk(sending, operation, examples, has_fields, path_parameters=place)
