"""Ask an endpoint for one prediction, over its own address, as a caller would."""

from __future__ import annotations

import http.client
import ssl
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from slipway.errors import BackendError, Conflict, Corrupt, InvalidInput, Unavailable
from slipway.flows.endpoints import folder_of, revision_of
from slipway.ledger import events
from slipway.models import bundle as bundles
from slipway.models.manifest import decode_manifest
from slipway.operations.asking import AskEndpoint, EndpointAnswer, GetSample, SampleRow
from slipway.operations.wire import error_from
from slipway.ports.trust import trusted, untrusted
from slipway.ports.workspace import Workspace
from slipway.tables.personal import may_see

__all__ = ["ask", "sample", "sent"]

_TIMEOUT_S = 30.0
_MOST_TOLD = 100
_REMEDY = "See whether the endpoint runs: slipway endpoints show"


def ask(workspace: Workspace, request: AskEndpoint) -> EndpointAnswer:
    """Ask for one prediction. The audit log says that somebody tried it, never with which row.

    Raises:
        NotFound: Nothing was ever deployed there.
        Conflict: It is a batch endpoint.
        InvalidInput: The row does not fit the endpoint's contract; or the explanation is none.
        Denied: The endpoint answers to known callers, and the token is good for nothing.
        Unavailable: It does not run, or nobody answers in time.
    """
    if not 0 <= request.explain <= _MOST_TOLD:
        fix = f"Give 0 to {_MOST_TOLD}."
        raise InvalidInput(f"{request.explain} contributions cannot be told.", fix=fix, field="explain")
    if not request.token.isascii() or not request.token.isprintable():
        raise InvalidInput("That is no token.", fix="Give it as it was shown: slw_...", field="token")
    revision = revision_of(workspace, request.name)
    if revision.batch is not None:
        raise Conflict(
            f"The batch endpoint {request.name!r} scores a table, and answers no requests.", fix="Score now."
        )
    status = workspace.launcher.status(folder_of(workspace, request.name))
    if status is None or not status.url:
        raise Unavailable(f"The endpoint {request.name!r} does not run.", fix="Start it again on its page.")
    with workspace.ledger.write() as tx:
        about = f"endpoint:{workspace.project}/{request.name}"
        events.record(tx, workspace, "endpoints.ask", about, revision=revision.number)
    at, begun = datetime.now(UTC), time.perf_counter()
    code, answer = sent(status.url, request)
    took_ms = (time.perf_counter() - begun) * 1000
    try:
        said = msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.DecodeError as problem:
        raise BackendError(f"The answer of {status.url} cannot be read: {problem}.", fix=_REMEDY) from problem
    if code != 200:
        told = said.get("error")
        raise (
            error_from(told) if isinstance(told, dict) else BackendError(f"HTTP {code}: {answer[:200]!r}", fix=_REMEDY)
        )
    return EndpointAnswer(body=said, took_ms=round(took_ms, 2), at=at)


def sample(workspace: Workspace, request: GetSample) -> SampleRow:
    """A row that the model of an endpoint was trained on, as far as the request's fields go.

    Values of personal inputs are left out where the asker may not see them; what a feature made of a request is none.

    Raises:
        NotFound: Nothing was ever deployed there.
        InvalidInput: There is no such row.
    """
    revision = revision_of(workspace, request.name)
    home = folder_of(workspace, request.name) / "bundles" / revision.served.bundle
    try:
        bundle = decode_manifest((home / bundles.MANIFEST).read_bytes())
        cases = bundles.decode_cases((home / bundles.SAMPLE).read_bytes())
    except (FileNotFoundError, Corrupt):  # then there is nothing to show
        return SampleRow(row={}, rows=0)
    rows = [case.row for case in cases if case.answer is not None and not case.column]
    if not rows:
        return SampleRow(row={}, rows=0)
    if not 0 <= request.place < len(rows):
        raise InvalidInput(f"There is no row {request.place}.", fix=f"Give 0 to {len(rows) - 1}.", field="place")
    hidden = set() if may_see(workspace.actor) else set(revision.personal)
    asked = {field.name for field in revision.contract.fields} - hidden
    values = zip((field.name for field in bundle.signature.inputs), rows[request.place], strict=True)
    return SampleRow(row={name: value for name, value in values if name in asked}, rows=len(rows))


def sent(url: str, request: AskEndpoint) -> tuple[int, bytes]:
    """The status and the body of an endpoint's answer to one row.

    Raises:
        Unavailable: Nobody answers there, or not in time.
    """
    where, link = urlsplit(url), _link(url)
    query = f"?explain={request.explain}" if request.explain else ""
    headers = {"content-type": "application/json"}
    if request.token:
        headers["authorization"] = f"Bearer {request.token}"
    body = msgspec.json.encode({"rows": [request.row]})
    try:
        link.request("POST", f"{where.path}/endpoints/{request.name}/predict{query}", body=body, headers=headers)
        answer = link.getresponse()
        return answer.status, answer.read()
    except TimeoutError as problem:
        raise Unavailable(
            f"{url} did not answer within {_TIMEOUT_S:g} s.", fix=f"{_REMEDY} {request.name}"
        ) from problem
    except (OSError, http.client.HTTPException) as problem:
        nobody = Unavailable(f"Nobody answers at {url}: {problem}.", fix=f"{_REMEDY} {request.name}")
        raise untrusted(url, problem) or nobody from problem
    finally:
        link.close()


def _link(url: str) -> http.client.HTTPConnection:
    where = urlsplit(url)
    host = where.hostname or ""
    if where.scheme != "https":
        return http.client.HTTPConnection(host, where.port, timeout=_TIMEOUT_S)
    believed = trusted(url)
    context = believed if isinstance(believed, ssl.SSLContext) else ssl.create_default_context()
    return http.client.HTTPSConnection(host, where.port, timeout=_TIMEOUT_S, context=context)
