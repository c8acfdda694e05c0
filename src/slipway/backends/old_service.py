"""An old HTTP service that is asked row by row, and what its OpenAPI says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from slipway.errors import InvalidInput, NotFound, Unavailable, near
from slipway.ports.trust import trusted, untrusted

__all__ = ["ask_service", "path_for"]

_AT_ONCE = 4
_AGAIN = "Nothing was kept; say the same command again when it answers."


def path_for(url: str, fields: Sequence[str]) -> str:
    """The one path of a service whose POST takes these fields, by its /openapi.json.

    Raises:
        Unavailable: It does not answer.
        NotFound: It has no OpenAPI, or no such path.
        InvalidInput: It has several.
    """
    with _client(url) as client:
        answer = _sent(client, "GET", "/openapi.json")
    said = _object(_decoded(answer) if answer.is_success else None)
    if not isinstance(said.get("paths"), dict):
        raise NotFound(f"{url} has no /openapi.json.", fix="Say where it answers: --path /predict")
    found, known = [], []
    for path, methods in said["paths"].items():
        body = _object(_object(_object(_object(methods).get("post")).get("requestBody")).get("content"))
        taken = _fields(said, _object(_object(body.get("application/json")).get("schema")))
        if taken:
            known.append(path)
            if set(taken) <= set(fields):
                found.append(path)
    if len(found) == 1:
        return str(found[0])
    if not found:
        raise NotFound(
            f"No path of {url} takes just the sample's columns: {', '.join(fields)[:200]}.",
            fix=f"Say which: --path {known[0] if known else '/predict'}",
        )
    raise InvalidInput(
        f"{url} takes such rows at {', '.join(found)}.", fix=f"Say which: --path {found[0]}", field="path"
    )


def _object(value: Any) -> dict[str, Any]:
    """What should be an object of JSON: an empty one where it is something else."""
    return value if isinstance(value, dict) else {}


def _decoded(answer: httpx.Response) -> Any:
    """The JSON of an answer; None where it is none, or is nested too deeply."""
    try:
        return msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, RecursionError):
        return None


def _fields(said: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    if isinstance(schema.get("$ref"), str):
        schemas = _object(_object(said.get("components")).get("schemas"))
        schema = _object(schemas.get(schema["$ref"].rpartition("/")[2]))
    required = schema.get("required")
    names = required if isinstance(required, list) and required else _object(schema.get("properties"))
    return [name for name in names if isinstance(name, str)]


def ask_service(url: str, path: str, rows: Sequence[Mapping[str, Any]], score: str) -> list[float]:
    """The answers of a service: each row is one request, and its body.

    Args:
        url: Where it answers.
        path: The path of its POST.
        rows: The rows.
        score: Where the score stands in its answer, names between dots.

    Raises:
        Unavailable: It does not answer, or stopped half-way.
        InvalidInput: It refuses a row, or its answer has no number there; the row is named.
    """
    with _client(url) as client, ThreadPoolExecutor(_AT_ONCE) as pool:

        def ask(place: int, row: Mapping[str, Any]) -> float:
            answer = _sent(client, "POST", path, json=row, place=place)
            if answer.is_success:
                return _number(answer, score, place)
            raise InvalidInput(
                f"The service answered {answer.status_code} to row {place}: {answer.text[:200]!r}.",
                fix="Give rows as it was asked with, or another --path.",
                field="sample",
            )

        return list(pool.map(ask, range(1, len(rows) + 1), rows))


def _number(answer: httpx.Response, score: str, place: int) -> float:
    whole = value = _decoded(answer)
    for step in score.split(".") if score else ():
        value = value.get(step) if isinstance(value, dict) else _at(value, step)
    number = None if isinstance(value, bool) or not isinstance(value, int | float) else _as_float(value)
    if number is None:
        known = [str(key) for key in whole] if isinstance(whole, dict) else []
        raise InvalidInput(
            f"The service's answer to row {place} has no number at {score!r}: {answer.text[:120]!r}.",
            fix=near(score, known, what="fields")
            if known and score not in known
            else "Say where it stands: --score result.probability",
            field="score",
        )
    return number


def _as_float(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return None


def _at(value: Any, step: str) -> Any:
    return value[int(step)] if isinstance(value, list) and step.isdecimal() and int(step) < len(value) else None


def _client(url: str) -> httpx.Client:
    verify = trusted(url)
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return httpx.Client(base_url=url.rstrip("/"), timeout=60, trust_env=False, verify=verify)
    except (ValueError, httpx.InvalidURL):  # as a port of six digits
        pass
    raise InvalidInput(f"{url!r} is not the address of a service.", fix="For example http://127.0.0.1:8000")


def _sent(client: httpx.Client, method: str, path: str, *, json: Any = None, place: int = 0) -> httpx.Response:
    try:
        return client.request(method, path, json=json)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:  # also an answer that is not packed as it says
        at = f" at row {place}" if place else ""
        said = Unavailable(f"{client.base_url} does not answer{at}: {problem or type(problem).__name__}.", fix=_AGAIN)
        raise untrusted(str(client.base_url), problem) or said from problem
