"""MLflow's `/invocations`: its four shapes of JSON in, `{"predictions": [...]}` out.

Source: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/ (JSON input). Unlike MLflow's own server nothing
becomes a frame on the way: null stays null, and a column that is missing is an error.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from slipway.errors import InvalidInput, SlipwayError
from slipway.records.endpoints import Contract, Revision
from slipway.serving.answers import Answer, fallback_reasons
from slipway.serving.dialects import Dialect, Understood, body_of, check_rows, encoded
from slipway.serving.http import Headers
from slipway.serving.pushes import decode_body

__all__ = ["DIALECT", "error_form"]

_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}
_SHAPES = "dataframe_split, dataframe_records, instances or inputs"


class Split(msgspec.Struct, frozen=True):
    """`{"columns": [...], "data": [[...], ...]}`; what pandas calls the index is not read."""

    columns: list[str]
    data: list[list[Any]]


class Invocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """one of `{"dataframe_split": {...}}`, `{"dataframe_records": [...]}`, `{"instances": [...]}`, `{"inputs": {...}}`."""

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[dict[str, Any]] | None = None
    inputs: dict[str, list[Any]] | None = None
    params: dict[str, Any] | None = None


def error_form(error: SlipwayError, status: int) -> dict[str, str]:
    """An error as MLflow's server writes one."""
    return {"error_code": _CODES.get(status, "BAD_REQUEST"), "message": str(error)}


def _read(body: bytes, headers: Headers, revision: Revision) -> Understood:
    contract = revision.contract
    given = decode_body(body, Invocation)
    if given.params:
        raise InvalidInput(
            "The request has params, and this model takes none.", fix='Leave "params" out.', field="params"
        )
    shapes: dict[str, Callable[[], bytes] | None] = {
        "dataframe_split": None if (split := given.dataframe_split) is None else lambda: _split(split, contract),
        "dataframe_records": _records("dataframe_records", given.dataframe_records, contract),
        "instances": _records("instances", given.instances, contract),
        "inputs": None if (columns := given.inputs) is None else lambda: _inputs(columns, contract),
    }
    found = {name: make for name, make in shapes.items() if make is not None}
    if len(found) != 1:
        said = f"both {' and '.join(found)}" if found else f"none of {_SHAPES}"
        raise InvalidInput(f"The request has {said}.", fix="Send exactly one of them.", field=next(iter(found), ""))
    return Understood(next(iter(found.values()))(), _write)


def _split(split: Split, contract: Contract) -> bytes:
    check_rows(len(split.data), contract, "dataframe_split.data")
    if len(set(split.columns)) < len(split.columns):
        twice = next(name for name in split.columns if split.columns.count(name) > 1)
        raise InvalidInput(
            f"dataframe_split.columns names {twice!r} twice.", field="dataframe_split.columns", fix="Name it once."
        )
    for row, values in enumerate(split.data):
        if len(values) != len(split.columns):
            raise InvalidInput(
                f"dataframe_split.data[{row}] has {len(values)} values for {len(split.columns)} columns.",
                fix="Give each row one value a column, null where it is unknown.",
                field=f"dataframe_split.data[{row}]",
            )
    return encoded([dict(zip(split.columns, values, strict=True)) for values in split.data])


def _records(name: str, records: list[dict[str, Any]] | None, contract: Contract) -> Callable[[], bytes] | None:
    if records is None:
        return None

    def make() -> bytes:
        check_rows(len(records), contract, name)
        return encoded(records)

    return make


def _inputs(columns: dict[str, list[Any]], contract: Contract) -> bytes:
    lengths = {name: len(values) for name, values in columns.items()}
    count = next(iter(lengths.values()), 0)
    for name, length in lengths.items():
        if length != count:
            first = next(iter(lengths))
            raise InvalidInput(
                f"inputs.{name} has {length} values, and inputs.{first} has {count}.",
                fix="Give every column one value a row, null where it is unknown.",
                field=f"inputs.{name}",
            )
    check_rows(count, contract, "inputs")
    return body_of(columns, count)


def _write(answer: Answer) -> bytes:
    reasons = fallback_reasons(answer)
    said: dict[str, Any] = {"predictions": [one.score for one in answer.predictions]}
    said["ids"] = [one.id for one in answer.predictions]
    return msgspec.json.encode(said if reasons is None else {**said, "fallback": reasons})


DIALECT = Dialect(_read)
