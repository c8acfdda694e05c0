"""OpenAPI 3.1 out of the table of MLflow's routes: the part of its API that is spoken here, as it is spoken here."""

import re
from typing import Any

import msgspec
from msgspec import Struct

from slipway.server.mlflow import artifacts
from slipway.server.mlflow.answers import ANSWERS, Failure, Nothing
from slipway.server.mlflow.routes import Declared
from slipway.server.mlflow.table import DECLARED, SPEAKS
from slipway.server.openapi import as_json, as_query

__all__ = ["address_of", "document", "request_of"]

_FAILURES = {
    "400": "INVALID_PARAMETER_VALUE or RESOURCE_ALREADY_EXISTS",
    "403": "PERMISSION_DENIED",
    "404": "RESOURCE_DOES_NOT_EXIST",
    "409": "RESOURCE_CONFLICT",
    "500": "INTERNAL_ERROR or DATA_LOSS",
    "503": "TEMPORARILY_UNAVAILABLE: try again after as many seconds as the header Retry-After says",
}
_BYTES: dict[str, Any] = {"application/octet-stream": {"schema": {}}}
_SENDS = (artifacts.get_file, artifacts.get_of_run, artifacts.get_of_model, artifacts.get_of_version)
_PARAMETER = re.compile(r"\{(\w+)(?:\.\.\.)?\}")


def document() -> dict[str, Any]:
    """The whole description of MLflow's API as it is spoken here."""
    types: list[type[Struct]] = [Failure, Nothing, *ANSWERS.values()]
    types += [request for one in DECLARED if (request := request_of(one)) is not Struct]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    references = dict(zip(types, schemas, strict=True))
    paths: dict[str, Any] = {}
    for one in DECLARED:
        place = paths.setdefault(address_of(one), {})
        place[one.method.lower()] = _described(one, references, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MLflow's API, as Slipway speaks it",
            "version": SPEAKS,
            "description": "Each route answers under /ajax-api too, and under /projects/NAME in front of these for "
            "another project than the store's first one.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def address_of(one: Declared) -> str:
    """The address of a route, with its parameters in braces."""
    path = _PARAMETER.sub(r"{\1}", one.path)
    return f"/api/{path}" if path[0].isdigit() else f"/{path}"


def request_of(one: Declared) -> type[Struct]:
    """What a route reads out of its body or query, `Struct` for nothing."""
    reads: dict[Any, type[Struct]] = {
        artifacts.get_of_run: artifacts.OfRun,
        artifacts.get_of_model: artifacts.OfModel,
        artifacts.get_of_version: artifacts.OfVersion,
        artifacts.create_upload: artifacts.CreateUpload,
    }
    return reads.get(one.raw, one.request)


def _described(one: Declared, references: dict[type[Struct], Any], components: dict[str, Any]) -> dict[str, Any]:
    in_path = _PARAMETER.findall(one.path)
    described: dict[str, Any] = {
        "operationId": f"{one.method} {one.path}",
        "summary": ((one.work or one.raw).__doc__ or "").partition("\n")[0],
        "description": f"Needs the permission `{one.permission}`.",
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in in_path
        ],
        "responses": {"200": _good(one, references)},
    }
    for status, words in _FAILURES.items():
        described["responses"][status] = {"description": words, "content": as_json(references[Failure])}
    request = request_of(one)
    if one.method == "PUT":
        described["requestBody"] = {"content": _BYTES}
    elif request is not Struct:
        schema = components[references[request]["$ref"].rpartition("/")[2]]
        # What the path says counts, whatever the body or the query says.
        own = {**schema, "properties": {k: v for k, v in schema["properties"].items() if k not in in_path}}
        if one.method == "GET":
            described["parameters"] += as_query(own)
        else:
            described["requestBody"] = {"content": as_json(own if in_path else references[request])}
    return described


def _good(one: Declared, references: dict[type[Struct], Any]) -> dict[str, Any]:
    said = {"description": "What was asked for."}
    if one.raw in _SENDS:
        return {"description": "The bytes, as an attachment.", "content": _BYTES}
    if one.path == "version":
        return {**said, "content": {"text/plain": {"schema": {"type": "string"}}}}
    if one.raw is artifacts.put_part:
        return said
    return {**said, "content": as_json(references[ANSWERS.get(f"{one.method} {one.path}", Nothing)])}
