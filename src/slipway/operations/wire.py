"""Requests, responses and errors as JSON: what servers send, clients read and `--json` prints.

JSON has no NaN and no infinities; they travel as the strings "NaN", "Infinity" and "-Infinity", so that a metric that
cannot be told stays one on both sides.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from slipway import errors
from slipway.errors import BackendError, GateRefused, InvalidInput, SlipwayError, StepFailed
from slipway.operations.declare import Operation
from slipway.records.gates import Verdict

__all__ = ["decode", "encode", "error_body", "error_from", "marked", "plain", "simulated_in"]

_MARK = b'{"simulated_tables":'


def plain(value: Any) -> Any:
    """A struct as plain values that JSON can carry."""
    return _finite(msgspec.to_builtins(value))


def encode(value: Any) -> bytes:
    """A struct as JSON."""
    return msgspec.json.encode(plain(value))


def marked(body: bytes, tables: Sequence[str]) -> bytes:
    """A response with the word of where its figures come from: `simulated_tables`, its first field; as it is without any.

    Args:
        body: A response in JSON.
        tables: The project's simulated tables.
    """
    if not tables or not body.startswith(b"{"):
        return body
    rest = body[1:]
    return _MARK + msgspec.json.encode(list(tables)) + (b"" if rest == b"}" else b",") + rest


def simulated_in(body: bytes) -> tuple[str, ...]:
    """The simulated tables that a response names, () for none."""
    if not body.startswith(_MARK):
        return ()
    return msgspec.json.decode(body[len(_MARK) : body.index(b"]") + 1], type=tuple[str, ...])


def decode(operation: Operation, body: bytes) -> Any:
    """A response out of JSON.

    Raises:
        BackendError: It is not a response of this operation.
    """
    try:
        # Not strict, so that "NaN" becomes a float again.
        return msgspec.convert(msgspec.json.decode(body), operation.response, strict=False)
    except msgspec.DecodeError as problem:
        raise BackendError(
            f"The answer to {operation.name} cannot be read: {problem}.",
            fix="Use the same release of Slipway on both sides, and check that the URL is a Slipway server's.",
        ) from problem


def error_body(error: SlipwayError) -> dict[str, Any]:
    """An error as `{"error": {code, what, why, fix, field}}`; some kinds carry more beside these."""
    said: dict[str, Any] = {
        "code": error.code,
        "what": error.what,
        "why": error.why,
        "fix": error.fix,
        "field": getattr(error, "field", ""),
    }
    if isinstance(error, GateRefused) and isinstance(error.verdict, Verdict):
        said["verdict"] = plain(error.verdict)
    if isinstance(error, StepFailed):
        said |= {"step": error.step, "run_id": error.run_id, "trace": error.trace}
    return {"error": said}


def error_from(said: Mapping[str, Any], *, otherwise: type[SlipwayError] = BackendError) -> SlipwayError:
    """The error that another process said.

    Args:
        said: What stands under "error".
        otherwise: The class for a code that this release does not know.
    """
    code = str(said.get("code", ""))
    kind: Any = getattr(errors, code) if code in errors.__all__ and code[0].isupper() else otherwise
    wanted = {"why", "fix"}
    if issubclass(kind, StepFailed):
        wanted = {"fix", "step", "run_id", "trace"}
    elif issubclass(kind, InvalidInput):
        wanted = {"why", "fix", "field"}
    parts: dict[str, Any] = {part: str(said.get(part, "")) for part in wanted}
    if issubclass(kind, GateRefused) and said.get("verdict") is not None:
        parts["verdict"] = msgspec.convert(said["verdict"], Verdict, strict=False)
    error: SlipwayError = kind(str(said.get("what", "")), **parts)
    return error


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
