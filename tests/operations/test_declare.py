"""One declaration a verb: its request, its permission, its route."""

import math
from dataclasses import replace
from datetime import datetime
from typing import Literal, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway import errors
from slipway.errors import BackendError, Denied, GateRefused, InvalidInput, NotFound, SlipwayError, StepFailed
from slipway.operations import wire
from slipway.operations.declare import Operation, call, convert
from slipway.operations.permissions import ROLES, allowed, roles_with
from slipway.operations.table import OPERATIONS, operation
from slipway.ports.workspace import Workspace
from slipway.records.gates import Verdict
from slipway.records.people import Actor

LIST = OPERATIONS["runs.search"]


@pytest.mark.parametrize("declared", OPERATIONS.values(), ids=lambda declared: declared.name)
def test_a_declaration_is_whole(declared: Operation) -> None:
    assert f"{declared.noun}.{declared.verb}" == declared.name
    assert declared.summary.endswith(".")
    assert roles_with(declared.permission), "somebody may do it"
    assert declared.body.count(":") == 1
    assert declared.method == ("POST" if declared.changes else "GET")
    if not declared.changes:
        for field in msgspec.structs.fields(declared.request):
            fits = (
                field.type in (str, int, bool, float, datetime | None, int | None) or get_origin(field.type) is Literal
            )
            assert fits, f"{field.name} does not fit into a query"
            assert declared.permission.endswith((".read", ".check"))


def test_names_and_routes_are_unique() -> None:
    routes = {(declared.method, declared.path) for declared in OPERATIONS.values()}
    assert len(routes) == len(OPERATIONS)
    for name, declared in OPERATIONS.items():
        assert declared.name == name
    with pytest.raises(NotFound, match=r"'run\.search'.*'runs\.search'"):
        operation("run.search")


def test_a_request_is_made_of_plain_values_or_of_text() -> None:
    made = convert(LIST, {"limit": "5", "where": "state = 'failed'"}, texts=True)
    assert made == convert(LIST, {"limit": 5, "where": "state = 'failed'"})
    assert convert(OPERATIONS["endpoints.deploy"], {"model": "m", "dry_run": "true"}, texts=True).dry_run is True


@pytest.mark.parametrize(
    ("name", "values", "field", "sentence"),
    [
        ("runs.search", {"limt": 5}, "limt", "has no field 'limt'"),
        ("runs.search", {"limit": "5"}, "limit", "Expected `int`, got `str`"),
        ("runs.search", {"limit": None}, "limit", "Expected `int`"),
        ("runs.get", {}, "", "missing required field `id`"),
        ("runs.get", {"id": 5}, "id", "Expected `str`"),
    ],
)
def test_what_does_not_fit_names_its_field(name: str, values: dict[str, object], field: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        convert(OPERATIONS[name], values)
    assert refused.value.field == field
    assert sentence in str(refused.value)
    assert refused.value.fix


def test_the_permission_is_checked_before_the_body_is_loaded(workspace: Workspace) -> None:
    nowhere = Operation(
        name="runs.search",
        summary="List.",
        permission="runs.write",
        request=LIST.request,
        response=LIST.response,
        body="no.such.module:function",
    )
    reader = replace(workspace, actor=Actor("eve", roles=("executive viewer",)))
    with pytest.raises(Denied, match=r"eve may not do runs\.search.*data scientist"):
        call(reader, nowhere, LIST.request())
    with pytest.raises(ModuleNotFoundError):
        call(workspace, nowhere, LIST.request())


def test_roles_grant_what_they_say_and_nothing_else() -> None:
    def may(role: str, permission: str) -> bool:
        return allowed(Actor("x", roles=(role,)), permission)

    assert all(may("admin", permission) for permission in ("audit.seal", "anything.at_all"))
    assert may("governance", "audit.seal")
    assert not may("governance", "endpoints.deploy")
    assert may("ml engineer", "endpoints.deploy")
    assert not may("data scientist", "endpoints.deploy")
    assert not may("no such role", "runs.read")
    assert not may("", "runs.read")
    assert allowed(Actor("x", roles=("executive viewer", "data engineer")), "tables.write")
    assert not allowed(Actor("x"), "runs.read")
    for role in set(ROLES) - {"admin"}:
        assert not may(role, "people.write"), role


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(), st.lists, max_leaves=8
    )
)
@settings(deadline=None)
def test_every_value_can_be_written_as_json(value: object) -> None:
    back = msgspec.json.decode(wire.encode({"value": value}))["value"]
    assert wire.plain(value) == back


def test_an_answer_of_another_kind_is_refused() -> None:
    for body in (b"<html>", b"[]", b'{"runs": 5}', b"", b'{"runs": [{}]}'):
        with pytest.raises(BackendError, match=r"answer to runs\.search cannot be read"):
            wire.decode(LIST, body)


CLASSES = [getattr(errors, name) for name in errors.__all__ if name not in ("near", "StepFailed")]


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_comes_back_in_its_own_class(kind: type[SlipwayError]) -> None:
    error = kind("It is broken.", why="Because.", fix="Mend it.")
    back = wire.error_from(msgspec.json.decode(msgspec.json.encode(wire.error_body(error)))["error"])
    assert (type(back), back.what, back.why, back.fix) == (kind, error.what, error.why, error.fix)


def test_what_an_error_carries_comes_back_too(workspace: Workspace) -> None:
    field = wire.error_from(wire.error_body(InvalidInput("x", field="carrier"))["error"])
    assert isinstance(field, InvalidInput)
    assert field.field == "carrier"
    failed = wire.error_from(wire.error_body(StepFailed("x", step="train", run_id="r", trace="t", fix="f"))["error"])
    assert isinstance(failed, StepFailed)
    assert (failed.step, failed.run_id, failed.trace, failed.fix) == ("train", "r", "t", "f")
    verdict = Verdict(
        id="v",
        project="p",
        created_at=workspace.clock.now(),
        bundle="b",
        gate="g",
        environment="dev",
        passed=False,
        outcomes=(),
        actor=workspace.actor,
    )
    refused = wire.error_from(wire.error_body(GateRefused("x", verdict=verdict))["error"])
    assert isinstance(refused, GateRefused)
    assert refused.verdict == verdict


def test_an_unknown_code_is_the_class_that_the_status_says() -> None:
    for code in ("NotJson", "near", "__all__", "", "Exception"):
        back = wire.error_from({"code": code, "what": "x"}, otherwise=InvalidInput)
        assert type(back) is InvalidInput
    assert math.isnan(msgspec.convert("NaN", float, strict=False))
