"""The Open Inference Protocol V2 over REST: tensors by the names of the contract's fields, one value a row.

Source: https://github.com/kserve/open-inference-protocol (specification/protocol/inference_rest.md), and for tensors behind
the JSON https://github.com/triton-inference-server/server (docs/protocol/extension_binary_data.md).

A tensor cannot hold a null. Three ways say it, and each becomes the very null that the model's training had: NaN in a
floating tensor, `null` in the JSON of a tensor, and for tensors of all types a second one, `NAME:null`, of BOOL and of the
same shape, true where the value is unknown. The last is what a client with typed arrays sends.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from slipway.errors import InvalidInput, SlipwayError, near
from slipway.records.endpoints import Contract, Revision
from slipway.records.schema import Field, FieldType
from slipway.serving.answers import Answer, fallback_reasons
from slipway.serving.dialects import Dialect, Understood, body_of, check_rows, only_finite
from slipway.serving.http import Headers
from slipway.serving.pushes import decode_body
from slipway.serving.tensors import DATATYPES, Tensor, binary_values, json_values

__all__ = ["DIALECT", "error_form", "model_metadata", "server_metadata"]

MASK = ":null"
_HEADER_LENGTH = b"inference-header-content-length"
_OUTPUTS = {"id": "BYTES", "score": "FP64", "decision": "BOOL", "version": "INT64"}
_TAKEN: Mapping[FieldType, tuple[str, ...]] = {
    "bool": ("BOOL",),
    "int": ("INT", "UINT"),
    "float": ("FP", "INT", "UINT"),
    **dict.fromkeys(("string", "category", "datetime", "date", "duration", "object"), ("BYTES",)),
}
_TOLD: Mapping[FieldType, str] = {"bool": "BOOL", "int": "INT64", "float": "FP64"}


class Output(msgspec.Struct, frozen=True):
    """An output that the caller asks for."""

    name: str
    parameters: dict[str, Any] = {}


class Inference(msgspec.Struct, frozen=True):
    """`{"inputs": [{"name", "shape", "datatype", "data"}, ...]}`."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[Output] = []
    parameters: dict[str, Any] = {}


def error_form(error: SlipwayError, status: int) -> dict[str, str]:
    """An error as the protocol writes one: a sentence."""
    return {"error": str(error)}


def server_metadata(name: str, version: str) -> dict[str, Any]:
    """What `GET /v2` says.

    Args:
        name: The server's.
        version: Slipway's.
    """
    return {"name": name, "version": version, "extensions": ["binary_tensor_data"]}


def model_metadata(revision: Revision) -> dict[str, Any]:
    """What `GET /v2/models/NAME` says: the contract's fields as tensors, and the answer's."""
    inputs = [
        {
            "name": field.name,
            "datatype": _TOLD.get(field.type, "BYTES"),
            "shape": [-1],
            "parameters": {"type": field.type, "nullable": field.nullable}
            | ({"null_mask": field.name + MASK} if field.nullable else {}),
        }
        for field in revision.contract.fields
    ]
    return {
        "name": revision.name,
        "versions": [str(revision.served.number)],
        "platform": "slipway",
        "inputs": inputs,
        "outputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in _OUTPUTS.items()],
    }


def _read(body: bytes, headers: Headers, revision: Revision) -> Understood:
    contract = revision.contract
    body, binary = _parts(body, headers)
    asked = decode_body(body, Inference)
    wanted = _wanted(asked)
    fields = {field.name: field for field in contract.fields}
    columns: dict[str, Sequence[Any]] = {}
    masks: dict[str, Sequence[Any]] = {}
    count = _rows(asked.inputs[0], contract) if asked.inputs else 0
    for tensor in asked.inputs:
        if tensor.name in columns or tensor.name in masks:
            raise _refused(tensor, "comes twice", "Send each input once.")
        if _rows(tensor, contract) != count:
            first = asked.inputs[0]
            raise _refused(
                tensor,
                f"has the shape {tensor.shape}, and inputs.{first.name} {first.shape}",
                "One value a row in each.",
            )
        field = fields.get(tensor.name)
        masked = fields.get(tensor.name.removesuffix(MASK)) if tensor.name.endswith(MASK) else None
        _check_datatype(tensor, field, masked)
        values, binary = _values(tensor, count, binary)
        if field is None and masked is not None:
            masks[tensor.name] = values
        else:
            only_finite(values, tensor.name)
            columns[tensor.name] = values
    if binary:
        raise InvalidInput(
            f"{len(binary)} bytes are left behind the tensors.",
            fix="Let 'binary_data_size' of each input say how many bytes are its own.",
            field="inputs",
        )
    return Understood(
        body_of(_masked(columns, masks), count), lambda answer: _write(answer, revision.name, asked.id, wanted)
    )


def _parts(body: bytes, headers: Headers) -> tuple[bytes, bytes]:
    """The request's JSON, and the tensors behind it."""
    given = headers.get(_HEADER_LENGTH)
    if given is None:
        return body, b""
    if not given.isdigit() or len(given) > 18 or int(given) > len(body):
        raise InvalidInput(
            f"Inference-Header-Content-Length is {given[:40].decode('latin-1')!r}, and the body has {len(body)} bytes.",
            fix="Let it be the length of the JSON at the body's beginning.",
            field="inputs",
        )
    return body[: int(given)], body[int(given) :]


def _wanted(asked: Inference) -> tuple[str, ...]:
    for output in asked.outputs:
        if output.name not in _OUTPUTS:
            raise InvalidInput(
                f"There is no output {output.name!r}.", fix=near(output.name, _OUTPUTS, what="outputs"), field="outputs"
            )
    return tuple(output.name for output in asked.outputs)


def _rows(tensor: Tensor, contract: Contract) -> int:
    """How many rows a tensor is for, by its shape [n] or [n, 1]."""
    if len(tensor.shape) not in (1, 2) or tensor.shape[0] < 0 or tensor.shape[1:] not in ([], [1]):
        raise _refused(tensor, f"has the shape {tensor.shape}"[:120], "One value a row: the shape [n] or [n, 1].")
    check_rows(tensor.shape[0], contract, f"inputs.{tensor.name}")
    return tensor.shape[0]


def _check_datatype(tensor: Tensor, field: Field | None, masked: Field | None) -> None:
    if tensor.datatype not in DATATYPES:
        raise _refused(
            tensor, f"has the datatype {tensor.datatype[:40]!r}", f"The datatypes are: {', '.join(DATATYPES)}."
        )
    if field is not None and tensor.datatype.rstrip("0123456789") not in _TAKEN[field.type]:
        taken = "BYTES" if field.type not in _TOLD else " or ".join(f"{kind}*" for kind in _TAKEN[field.type])
        taken = taken.replace("BOOL*", "BOOL")
        raise _refused(
            tensor, f"has the datatype {tensor.datatype}", f"{field.name!r} is of {field.type}: send {taken}."
        )
    if field is None and masked is not None and tensor.datatype != "BOOL":
        raise _refused(
            tensor, f"has the datatype {tensor.datatype}", f"It says where {masked.name!r} is unknown: send BOOL."
        )


def _values(tensor: Tensor, count: int, binary: bytes) -> tuple[Sequence[Any], bytes]:
    """A tensor's values, and what is left of the bytes behind the JSON."""
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        return json_values(tensor, count), binary
    if type(size) is not int or not 0 <= size <= len(binary):
        raise _refused(
            tensor, f"has 'binary_data_size' {str(size)[:40]}, and {len(binary)} bytes are there", "Count its bytes."
        )
    if tensor.data is not msgspec.UNSET:
        raise _refused(tensor, "has both 'data' and 'binary_data_size'", "Send one of them.")
    return binary_values(tensor, count, binary[:size]), binary[size:]


def _masked(columns: dict[str, Sequence[Any]], masks: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    for name, mask in masks.items():
        field = name.removesuffix(MASK)
        if field not in columns:
            raise InvalidInput(
                f"inputs.{name} says where {field!r} is unknown, and no input {field!r} came.",
                fix=f"Send {field!r} too, with any value where it is unknown.",
                field=f"inputs.{name}",
            )
        columns[field] = [None if is_null else value for value, is_null in zip(columns[field], mask, strict=True)]
    return columns


def _refused(tensor: Tensor, said: str, fix: str) -> InvalidInput:
    name = tensor.name[:80]
    return InvalidInput(f"The tensor inputs.{name} {said}.", fix=fix, field=f"inputs.{name}")


def _write(answer: Answer, name: str, id: str | None, wanted: tuple[str, ...]) -> bytes:
    """The answer as tensors. A decision that a row does not have cannot be told in BOOL: then none is."""
    count = len(answer.predictions)
    outputs = []
    for output in wanted or _OUTPUTS:
        data = [getattr(one, output) for one in answer.predictions]
        if None not in data:
            outputs.append({"name": output, "shape": [count], "datatype": _OUTPUTS[output], "data": data})
    if (reasons := fallback_reasons(answer)) is not None:
        outputs.append({"name": "fallback", "shape": [count], "datatype": "BYTES", "data": reasons})
    said = {
        "model_name": name,
        "model_version": str(answer.model.version),
        "parameters": {"revision": answer.revision},
        "outputs": outputs,
    }
    return msgspec.json.encode(said if id is None else {"id": id, **said})


DIALECT = Dialect(_read)
