"""OpenAPI 3.1 out of the operations table.

Source: https://spec.openapis.org/oas/v3.1.0
"""

from typing import Any

import msgspec
from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.operations.table import OPERATIONS
from slipway.server import hooks

__all__ = ["as_json", "as_query", "document"]

_REFUSALS = {
    "400": "The body is no JSON object, or a setting does not fit.",
    "401": "Nobody knows who asks: the token is missing, or good for nothing.",
    "403": "The role may not, or the request comes from elsewhere.",
    "404": "There is no such thing.",
    "409": "Somebody else was first, it exists already, or a gate said no.",
    "413": "The body is too large.",
    "422": "A field does not fit.",
    "429": "The project uses as much as its quota allows.",
    "500": "The store is damaged or failed.",
    "503": "Something is busy or full: try again after as many seconds as the header Retry-After says.",
}
_SECRETS = {
    "hookSecret": {"type": "http", "scheme": "bearer"},
    "hookSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Hub-Signature-256",
        "description": "`sha256=` and the HMAC of the body, as GitHub's webhooks have it.",
    },
}
_NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}


class ErrorSentence(Struct):
    """An error as a sentence in parts: what was given, why that cannot stand, what to do next."""

    code: str
    what: str
    why: str
    fix: str
    field: str


class Error(Struct):
    """What every answer with a status of 400 and above holds."""

    error: ErrorSentence


def document(version: str) -> dict[str, Any]:
    """The whole description of the native API.

    Args:
        version: Slipway's.
    """
    types: list[type[Struct]] = [Error, hooks.Delivery, hooks.Delivered]
    for operation in OPERATIONS.values():
        types += [operation.request, operation.response]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    references = dict(zip(types, schemas, strict=True))
    asked = {operation.request.__name__ for operation in OPERATIONS.values()}
    components = {
        name: {**one, "additionalProperties": False} if name in asked else _told(one)
        for name, one in components.items()
    }
    paths: dict[str, Any] = {}
    for operation in OPERATIONS.values():
        described = _operation(operation, references, components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    paths[hooks.PATH] = {"post": _hook(references)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Slipway",
            "version": version,
            "description": "One route an operation. Floats that JSON cannot carry are written as the strings "
            "NaN, Infinity and -Infinity.",
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SECRETS},
    }


def _operation(operation: Operation, references: dict[type[Struct], Any], components: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.noun],
        "summary": operation.summary,
        "description": f"Needs the permission `{operation.permission}`.",
        "parameters": [],
        "responses": _responses(references[operation.response], references),
    }
    if "{project}" in operation.path:
        described["parameters"].append(
            {"name": "project", "in": "path", "required": True, "schema": {"type": "string"}}
        )
    if operation.changes:
        described["requestBody"] = {"required": True, "content": as_json(references[operation.request])}
    else:
        described["parameters"] += as_query(components[references[operation.request]["$ref"].rpartition("/")[2]])
    return described


def _hook(references: dict[type[Struct], Any]) -> dict[str, Any]:
    """The one route that is no operation: who sends to it is known by the hook's secret alone."""
    return {
        "operationId": "hooks.deliver",
        "tags": ["schedules"],
        "summary": "Fire a schedule; the same delivery again is answered with the firing that it made.",
        "description": "Needs the secret that `schedules.hook` gives, as a bearer token, or its signature of the body.",
        "security": [{name: []} for name in _SECRETS],
        "parameters": [
            {"name": "hook", "in": "path", "required": True, "schema": {"type": "string"}},
            *(
                {"name": name, "in": "header", "schema": {"type": "string"}, "description": "Names the delivery."}
                for name in ("Idempotency-Key", "X-GitHub-Delivery")
            ),
        ],
        "requestBody": {"required": False, "content": as_json(references[hooks.Delivery])},
        "responses": _responses(references[hooks.Delivered], references),
    }


def _responses(answer: Any, references: dict[type[Struct], Any]) -> dict[str, Any]:
    failure = as_json(references[Error])
    return {
        "200": {"description": "What was asked for.", "content": as_json(answer)},
        **{status: {"description": words, "content": failure} for status, words in _REFUSALS.items()},
    }


def as_query(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of a struct's schema as parameters of a query."""
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": of_field}
        for name, of_field in schema.get("properties", {}).items()
    ]


def as_json(schema: Any) -> dict[str, Any]:
    """A content of JSON."""
    return {"application/json": {"schema": schema}}


def _told(schema: Any) -> Any:
    """A schema as answers keep to it: a float that JSON cannot carry is told by its name."""
    if isinstance(schema, list):
        return [_told(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "number":
        return {**{key: value for key, value in schema.items() if key != "type"}, **_NUMBER}
    return {key: _told(value) for key, value in schema.items()}
