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
    said = msgspec.json.decode(answer.content) if answer.is_success else None
    if not isinstance(said, dict) or "paths" not in said:
        raise NotFound(f"{url} has no /openapi.json.", fix="Say where it answers: --path /predict")
    found, known = [], []
    for path, methods in said["paths"].items():
        body = ((methods.get("post") or {}).get("requestBody") or {}).get("content") or {}
        taken = _fields(said, (body.get("application/json") or {}).get("schema") or {})
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


def _fields(said: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    if "$ref" in schema:
        schema = ((said.get("components") or {}).get("schemas") or {}).get(schema["$ref"].rpartition("/")[2]) or {}
    return list(schema.get("required") or schema.get("properties") or ())


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
    try:
        value = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        value = None
    whole = value
    for step in score.split(".") if score else ():
        value = value.get(step) if isinstance(value, dict) else _at(value, step)
    if isinstance(value, bool) or not isinstance(value, int | float):
        known = [str(key) for key in whole] if isinstance(whole, dict) else []
        raise InvalidInput(
            f"The service's answer to row {place} has no number at {score!r}: {answer.text[:120]!r}.",
            fix=near(score, known, what="fields") if known else "Say where it stands: --score result.probability",
            field="score",
        )
    return float(value)


def _at(value: Any, step: str) -> Any:
    return value[int(step)] if isinstance(value, list) and step.isdigit() and int(step) < len(value) else None


def _client(url: str) -> httpx.Client:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise InvalidInput(f"{url!r} is not the address of a service.", fix="For example http://127.0.0.1:8000")
    return httpx.Client(base_url=url.rstrip("/"), timeout=60, trust_env=False, verify=trusted(url))


def _sent(client: httpx.Client, method: str, path: str, *, json: Any = None, place: int = 0) -> httpx.Response:
    try:
        return client.request(method, path, json=json)
    except httpx.TransportError as problem:
        at = f" at row {place}" if place else ""
        said = Unavailable(f"{client.base_url} does not answer{at}: {problem or type(problem).__name__}.", fix=_AGAIN)
        raise untrusted(str(client.base_url), problem) or said from problem
