"""One endpoint in OpenAPI 3.1, with the real fields of its contract, and a line for curl.

Source: https://spec.openapis.org/oas/v3.1.0
"""

import json
import shlex
from collections.abc import Sequence
from typing import Any, get_args

from slipway.client.endpoint_examples import example_row, example_value
from slipway.records.endpoints import Contract, FallbackBy, Revision
from slipway.records.predictions import FallbackReason
from slipway.records.schema import Field

__all__ = ["curl", "document"]

_WHOLE = {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1}
_ARROW = "application/vnd.apache.arrow.stream"
_TEXT = {"type": "string"}
_TYPES: dict[str, dict[str, Any]] = {
    "bool": {"type": "boolean"},
    "int": _WHOLE,
    "float": {"type": "number"},
    "string": _TEXT,
    "category": _TEXT,
    "datetime": {**_TEXT, "format": "date-time", "description": "An instant with its time zone."},
    "date": {**_TEXT, "format": "date"},
    "duration": {**_TEXT, "format": "duration"},
    "object": {},
}
_REFUSALS = {
    "401": "Nobody is known by the token.",
    "403": "The token's bearer may not, or the request comes from elsewhere.",
    "413": "There are too many rows or bytes.",
    "415": "The endpoint does not read the format.",
    "422": "A value does not fit; `field` names its place.",
    "429": "The caller sends more than it may: try again after Retry-After seconds.",
    "500": "The model failed; the header X-Request-Id names the failure in the endpoint's log.",
    "503": "The endpoint is not ready, or its store is busy: try again after Retry-After seconds.",
}
_SENTENCE = {name: {"type": "string"} for name in ("code", "what", "why", "fix", "field")}

_EXPLAIN = {
    "name": "explain",
    "in": "query",
    "description": "How many contributions are told with each prediction, the greatest first; of at most 20 rows.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 100},
}
_PARTS = {name: {"type": "number"} for name in ("score", "base", "rest", "residual")}
_CONTRIBUTION = {
    "type": "object",
    "properties": {"input": {"type": "string"}, "value": {}, "contribution": {"type": "number"}},
    "required": ["input", "value", "contribution"],
}
_EXPLANATION = {
    "type": "object",
    "description": "base + contributions + rest + residual = score, on the scale.",
    "properties": {
        "scale": {"type": "string"},
        "how": {"type": "string"},
        **_PARTS,
        "contributions": {"type": "array", "items": _CONTRIBUTION},
    },
    "required": ["scale", "how", "contributions", *_PARTS],
}


def document(revision: Revision, url: str, *, simulated: Sequence[str] = ()) -> dict[str, Any]:
    """The endpoint's description.

    Args:
        revision: The newest.
        url: Where the endpoint answers.
        simulated: The simulated tables that its model learned from; the description says so.
    """
    made_up = f" SIMULATED: its model learned from made-up rows of {', '.join(simulated)}." if simulated else ""
    name, contract = revision.name, revision.contract
    home = f"/endpoints/{name}"
    known: dict[str, Any] = {"security": [{"token": []}]} if revision.by_token else {}
    schemes = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}} if revision.by_token else {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": name,
            "version": str(revision.number),
            "description": f"The contract of revision {revision.number}. Written by: slipway client {name}{made_up}",
        },
        "servers": [{"url": url}],
        "paths": {
            f"{home}/predict": {"post": _predict(contract)},
            f"{home}/labels": {"post": _labels(contract)},
            home: {"get": _get("describe", "The contract, the model and the revision.")},
            "/health": {"get": {**_get("health", "Whether it is warm."), "security": []}},
            "/invocations": {"post": _invocations(contract)},
            f"/v2/models/{name}/infer": {"post": _infer(contract)},
            f"/v2/models/{name}": {"get": _get("v2_model", "The model's tensors.", "ErrorV2")},
        },
        "components": {"schemas": _schemas(contract), **schemes},
        **known,
    }


def curl(revision: Revision, url: str) -> str:
    """A line that asks the endpoint for one prediction; the token, where one is needed, stands in SLIPWAY_TOKEN."""
    body = json.dumps({"rows": [example_row(revision.contract)]}, ensure_ascii=False)
    token = ' -H "Authorization: Bearer $SLIPWAY_TOKEN"' if revision.by_token else ""
    address = shlex.quote(f"{url}/endpoints/{revision.name}/predict")
    return f"curl -sS {address} -H 'Content-Type: application/json'{token} -d {shlex.quote(body)}"


def _schemas(contract: Contract) -> dict[str, Any]:
    keys = [field for field in contract.fields if field.name in contract.key]
    label: dict[str, Any] = {
        "type": "object",
        "properties": {
            "value": {"type": ["number", "boolean"]},
            "prediction": {"type": "string", "description": "The prediction's id."},
            "observed_at": {"type": "string", "format": "date-time"},
            "revision": {"type": "integer", "minimum": 0, "description": "Which version of the truth it is."},
        },
        "required": ["value"],
        "additionalProperties": False,
    }
    schemas: dict[str, Any] = {}
    if keys:
        schemas["Key"] = _object([Field(field.name, field.type, nullable=False) for field in keys], strict=True)
        label["properties"]["key"] = _reference("Key")
    if keys and contract.label_window_us:
        label["properties"]["at"] = {"type": "string", "format": "date-time", "description": "The time that it judges."}
    return schemas | {
        "Row": _object(contract.fields, strict=contract.strict),
        "Label": label,
        "Prediction": {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "score": {"type": "number", "description": "A probability, or the value of a regression."},
                "decision": {"type": ["boolean", "null"]},
                "version": {"type": "integer"},
                "fallback": _FALLBACK,
                "price": _PRICE,
                "explanation": {"anyOf": [_reference("Explanation"), {"type": "null"}]},
                "unexplained": {"type": "string", "description": "Why the explanation is null."},
            },
            "required": ["id", "score", "decision", "version"],
        },
        "Explanation": _EXPLANATION,
        "Error": {
            "type": "object",
            "properties": {"error": {"type": "object", "properties": _SENTENCE, "required": list(_SENTENCE)}},
            "required": ["error"],
        },
        "ErrorV2": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]},
        "ErrorMLflow": {
            "type": "object",
            "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
            "required": ["error_code", "message"],
        },
    }


def _object(fields: Any, *, strict: bool) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {field.name: _schema(field) for field in fields},
        "required": [field.name for field in fields],
        "additionalProperties": not strict,
    }


def _schema(field: Field) -> dict[str, Any]:
    plain = {**_TYPES[field.type], "examples": [example_value(field)]}
    return {**plain, "type": [plain["type"], "null"]} if field.nullable and "type" in plain else plain


_PRICE: dict[str, Any] = {
    "type": "object",
    "description": "Only where the score is a price: its unit, its limits, and the one at which it stands.",
    "properties": {
        "unit": {"type": "string"},
        "low": {"type": "number"},
        "high": {"type": "number"},
        "at_limit": {"type": "string", "enum": ["", "low", "high"]},
    },
    "required": ["unit", "low", "high", "at_limit"],
}

_FALLBACK: dict[str, Any] = {
    "type": "object",
    "description": "Only where the endpoint's fallback answered, and not the model: what did, and why.",
    "properties": {
        "by": {"type": "string", "enum": list(get_args(FallbackBy))},
        "reason": {"type": "string", "enum": list(get_args(FallbackReason))},
    },
    "required": ["by", "reason"],
}


def _predict(contract: Contract) -> dict[str, Any]:
    body = {
        "type": "object",
        "properties": {"rows": _rows(contract)},
        "required": ["rows"],
        "examples": [{"rows": [example_row(contract)]}],
    }
    answer = {
        "type": "object",
        "properties": {
            "predictions": {"type": "array", "items": _reference("Prediction")},
            "model": {
                "type": "object",
                "properties": {"name": _TEXT, "version": {"type": "integer"}, "bundle": _TEXT},
            },
            "revision": {"type": "integer"},
        },
        "required": ["predictions", "model", "revision"],
    }
    asked = _post("predict", "Ask for predictions, one a row.", body, answer)
    stream = {_ARROW: {"schema": {"contentMediaType": _ARROW, "description": _stream_of(contract)}}}
    asked["requestBody"]["content"] |= stream
    asked["responses"]["200"]["content"] |= {_ARROW: {"schema": {"contentMediaType": _ARROW}}}
    return {**asked, "parameters": [*asked["parameters"], _EXPLAIN]}


def _stream_of(contract: Contract) -> str:
    return (
        "An Arrow IPC stream, uncompressed, a column a field, answered with one of id, score, decision and version: "
        f"at most {contract.bulk_rows:,} rows and {contract.bulk_bytes:,} bytes."
    )


def _labels(contract: Contract) -> dict[str, Any]:
    body = {
        "type": "object",
        "properties": {"labels": {"type": "array", "items": _reference("Label")}},
        "required": ["labels"],
    }
    answer = {"type": "object", "properties": {"accepted": {"type": "integer"}}, "required": ["accepted"]}
    return _post("labels", "Tell what became true, by a prediction's id or by the key.", body, answer)


def _invocations(contract: Contract) -> dict[str, Any]:
    body = {
        "type": "object",
        "properties": {"dataframe_records": _rows(contract)},
        "required": ["dataframe_records"],
        "examples": [{"dataframe_records": [example_row(contract)]}],
    }
    numbers = {"type": "array", "items": {"type": "number"}}
    answer = {"type": "object", "properties": {"predictions": numbers}, "required": ["predictions"]}
    return _post("invocations", "The same in MLflow's shapes.", body, answer, "ErrorMLflow")


def _infer(contract: Contract) -> dict[str, Any]:
    tensor = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": {"type": "string"},
            "data": {"type": "array"},
        },
        "required": ["name", "shape", "datatype"],
    }
    tensors = {"type": "array", "items": tensor}
    body = {"type": "object", "properties": {"id": _TEXT, "inputs": tensors}, "required": ["inputs"]}
    answer = {
        "type": "object",
        "properties": {"model_name": _TEXT, "model_version": _TEXT, "outputs": tensors},
        "required": ["model_name", "outputs"],
    }
    return _post("infer", "The same by the Open Inference Protocol V2: a tensor a field.", body, answer, "ErrorV2")


def _rows(contract: Contract) -> dict[str, Any]:
    return {"type": "array", "items": _reference("Row"), "minItems": 1, "maxItems": contract.max_rows}


def _post(id: str, summary: str, body: Any, answer: Any, error: str = "Error") -> dict[str, Any]:
    return {
        "operationId": id,
        "summary": summary,
        "parameters": [{"name": "X-Request-Id", "in": "header", "schema": {"type": "string", "maxLength": 128}}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": _responses(answer, error),
    }


def _get(id: str, summary: str, error: str = "Error") -> dict[str, Any]:
    return {"operationId": id, "summary": summary, "responses": _responses({"type": "object"}, error)}


def _responses(answer: Any, error: str) -> dict[str, Any]:
    named = {"X-Request-Id": {"description": "What names the request in the log.", "schema": {"type": "string"}}}
    content = {"application/json": {"schema": _reference(error)}}
    return {
        "200": {"description": "The answer.", "headers": named, "content": {"application/json": {"schema": answer}}},
        **{status: {"description": words, "headers": named, "content": content} for status, words in _REFUSALS.items()},
    }


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
