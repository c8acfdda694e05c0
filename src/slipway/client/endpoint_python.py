"""A typed client of one endpoint as one Python file, which needs httpx and nothing of Slipway."""

from collections.abc import Sequence

from slipway.records.endpoints import Revision
from slipway.records.schema import Field

__all__ = ["module"]

_TYPES = {
    "bool": "bool",
    "int": "int",
    "float": "float",
    "string": "str",
    "category": "str",
    "datetime": "datetime",
    "date": "date",
    "duration": "timedelta",
    "object": "Any",
}


def module(revision: Revision, url: str, *, simulated: Sequence[str] = ()) -> str:
    """The file's text.

    Args:
        revision: The newest: its contract's fields become types.
        url: Where the endpoint answers.
        simulated: The simulated tables that its model learned from; the file says so.
    """
    contract = revision.contract
    keys = [Field(field.name, field.type, nullable=False) for field in contract.fields if field.name in contract.key]
    parts = {
        "@SIMULATED@": f"SIMULATED: its model learned from made-up rows of {', '.join(simulated)}.\n"
        if simulated
        else "",
        "@NAME@": revision.name,
        "@ENDPOINT@": repr(revision.name),
        "@URL@": repr(url),
        "@NUMBER@": str(revision.number),
        "@ROW@": _typed("Row", contract.fields),
        "@KEY@": _typed("Key", keys),
        "@MAX_ROWS@": str(contract.max_rows),
    }
    text = _TEMPLATE
    for place, value in parts.items():
        text = text.replace(place, value)
    return text


def _typed(name: str, fields: Sequence[Field]) -> str:
    """A dictionary with the fields as keys; a field's name need not be a name of Python's."""
    lines = [f"        {field.name!r}: {_type(field)}," for field in fields]
    return "\n".join([f"{name} = TypedDict(", f'    "{name}",', "    {", *lines, "    },", ")"])


def _type(field: Field) -> str:
    kind = _TYPES[field.type]
    return f"{kind} | None" if field.nullable and kind != "Any" else kind


_TEMPLATE = '''"""Asks the endpoint @NAME@; its rows are those of its contract in revision @NUMBER@.

Written by: slipway client @NAME@
Write it anew when the contract changes: a type checker then shows what does not fit any more.
@SIMULATED@"""

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from types import TracebackType
from typing import Any, TypedDict

import httpx

URL = @URL@
ENDPOINT = @ENDPOINT@
MAX_ROWS = @MAX_ROWS@
"""As many rows a request may carry."""

@ROW@
"""A request's row. Every field must be there; None says that a value is unknown."""

@KEY@
"""What names a case, so that its label finds its prediction."""


class Fallback(TypedDict):
    """That the endpoint's fallback answered and not its model: what did, and why."""

    by: str
    reason: str


class Price(TypedDict):
    """That the score is a price: its unit, its limits, and the one at which it stands: "low", "high" or ""."""

    unit: str
    low: float
    high: float
    at_limit: str


class _Fallen(TypedDict, total=False):
    fallback: Fallback
    price: Price


class Prediction(_Fallen):
    """One row's answer: score and, where the endpoint has a threshold, decision; the version is the model's."""

    id: str
    score: float
    decision: bool | None
    version: int


class _Truth(TypedDict):
    value: float | bool


class Label(_Truth, total=False):
    """What became true: for a prediction's id or for a key, never for both. Instants have a time zone."""

    prediction: str
    key: Key
    observed_at: datetime


class EndpointError(Exception):
    """The endpoint refused a request or failed.

    Attributes:
        status: The HTTP status.
        code: The kind of error.
        field: The place in the request, such as "rows[3].distance", or "".
        request_id: What names the request in the endpoint's log.
    """

    def __init__(self, said: str, *, status: int, code: str = "", field: str = "", request_id: str = "") -> None:
        super().__init__(said)
        self.status, self.code, self.field, self.request_id = status, code, field, request_id


class Client:
    """One connection that stays open. Safe for threads; use it in a `with` block or close it.

    Args:
        url: Where the endpoint answers.
        token: Who asks, None where the endpoint's store knows nobody.
        timeout_s: Seconds to wait for an answer.
        http: A client to send by, such as one with certificates of its own; it is closed by whoever made it.
    """

    def __init__(
        self, url: str = URL, token: str | None = None, *, timeout_s: float = 30.0, http: httpx.Client | None = None
    ) -> None:
        self._home = f"{url.rstrip('/')}/endpoints/{ENDPOINT}"
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._own = httpx.Client(timeout=timeout_s) if http is None else None
        self._http = http or self._own or httpx.Client()

    def predict(self, rows: Sequence[Row], *, request_id: str = "") -> list[Prediction]:
        """Ask for predictions, one a row and in their order.

        Raises:
            EndpointError: A row does not fit, the endpoint failed or is not ready.
            httpx.TransportError: Nobody answers.
            ValueError: A number is NaN or infinite (unknown is None), or an instant has no time zone.
        """
        answer: list[Prediction] = self._post("predict", {"rows": rows}, request_id)["predictions"]
        return answer

    def labels(self, labels: Sequence[Label], *, request_id: str = "") -> int:
        """Tell what became true; returns how many labels were taken. Raises as `predict`."""
        return int(self._post("labels", {"labels": labels}, request_id)["accepted"])

    def close(self) -> None:
        """Close the connection."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _post(self, verb: str, body: Any, request_id: str) -> Any:
        headers = {**self._headers, "x-request-id": request_id} if request_id else self._headers
        content = json.dumps(body, default=_plain, allow_nan=False).encode()
        answer = self._http.post(f"{self._home}/{verb}", content=content, headers=headers)
        named = answer.headers.get("x-request-id", "")
        if answer.status_code != 200:
            try:
                said = answer.json()["error"]
                words = " ".join(part for part in (said["what"], said["why"], said["fix"]) if part)
            except (ValueError, KeyError, TypeError):
                raise EndpointError(answer.text[:200], status=answer.status_code, request_id=named) from None
            raise EndpointError(
                words, status=answer.status_code, code=said["code"], field=said["field"], request_id=named
            )
        return answer.json()


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone.")
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        microseconds = value // timedelta(microseconds=1)
        seconds, rest = divmod(abs(microseconds), 1_000_000)
        return f"{'-' if microseconds < 0 else ''}PT{seconds}.{rest:06d}S"
    raise ValueError(f"{value!r} is nothing that a request can carry.")
'''
