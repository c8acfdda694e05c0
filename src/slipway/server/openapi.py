"""OpenAPI 3.1 out of the operations table.

Source: https://spec.openapis.org/oas/v3.1.0
"""

from typing import Any

import msgspec
from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.operations.table import OPERATIONS

__all__ = ["document"]


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
    types: list[type[Struct]] = [Error]
    for operation in OPERATIONS.values():
        types += [operation.request, operation.response]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    references = dict(zip(types, schemas, strict=True))
    paths: dict[str, Any] = {}
    for operation in OPERATIONS.values():
        described = _operation(operation, references, components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Slipway",
            "version": version,
            "description": "One route an operation. Floats that JSON cannot carry are written as the strings "
            "NaN, Infinity and -Infinity.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(operation: Operation, references: dict[type[Struct], Any], components: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.noun],
        "summary": operation.summary,
        "description": f"Needs the permission `{operation.permission}`.",
        "parameters": [],
        "responses": {
            "200": {"description": "What was asked for.", "content": _json(references[operation.response])},
            "default": {"description": "An error as a sentence.", "content": _json(references[Error])},
        },
    }
    if "{project}" in operation.path:
        described["parameters"].append(
            {"name": "project", "in": "path", "required": True, "schema": {"type": "string"}}
        )
    if operation.changes:
        described["requestBody"] = {"required": True, "content": _json(references[operation.request])}
    else:
        described["parameters"] += _query(components[references[operation.request]["$ref"].rpartition("/")[2]])
    return described


def _query(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": of_field}
        for name, of_field in schema.get("properties", {}).items()
    ]


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
