"""Ask an endpoint as a caller would, over its own address, for rows whose answers are known: does it answer, and rightly?"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from slipway.errors import Corrupt
from slipway.flows.endpoints import folder_of
from slipway.hashing import digest
from slipway.models import bundle as bundles
from slipway.models.manifest import decode_manifest
from slipway.models.scoring import TOLERANCE
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import EndpointStatus, Revision
from slipway.records.health import Outcome, Probed
from slipway.serving.front_routes import read_routes
from slipway.serving.probing import PROBE, PROBE_TYPE, Marked, ProbeAnswer, ProbeBody
from slipway.serving.reach_file import read_reach

__all__ = ["TIMEOUT_S", "Question", "ask", "question"]

TIMEOUT_S = 5.0
"""How long a probe waits for its answer."""

_ROWS = 5
_LIVES = (200, 403)
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_ANYTHING: dict[str, object] = {"string": "probe", "int": 0, "float": 0.0, "bool": False}
_OUTCOMES: dict[str, Outcome] = {"timeout": "timeout", "error": "error", "invalid": "invalid", "features": "error"}
_WORDS = {
    "timeout": "the model did not answer in time",
    "error": "the model failed on reference rows",
    "invalid": "the model's score of reference rows is no valid one",
    "features": "the features of reference rows could not be had",
}


class Question(NamedTuple):
    """What a probe asks, and what it must be answered.

    Args:
        body: What is sent; b"" to ask only whether it lives.
        bundle: Which bundle must answer so.
        expected: The answers of training.
        how: "rows", "model" or "health".
        limits: What it cannot tell, "" for nothing.
    """

    body: bytes
    bundle: str
    expected: tuple[float, ...]
    how: Literal["rows", "model", "health"]
    limits: str = ""


def question(workspace: Workspace, revision: Revision) -> Question:
    """What an endpoint can be asked whose answer is known.

    A model that takes the request's fields as they are is asked whole requests. Behind features the answer depends on what
    was looked up, or is computed from a request of which training keeps only what became of it: there the model itself is
    asked, by reference rows that lie in its bundle already.

    Args:
        workspace: Whose endpoint.
        revision: What serves.
    """
    digest_of = revision.served.bundle
    home = folder_of(workspace, revision.name) / "bundles" / digest_of
    try:
        bundle = decode_manifest((home / bundles.MANIFEST).read_bytes())
        cases = bundles.decode_cases((home / bundles.SAMPLE).read_bytes())
    except FileNotFoundError:
        return Question(b"", digest_of, (), "health", bundles.NO_SAMPLE)
    except Corrupt as problem:  # the process may go on with what it has loaded
        return Question(b"", digest_of, (), "health", str(problem))
    known = [place for place, case in enumerate(cases) if case.answer is not None and not case.column]
    places = known[:: max(1, len(known) // _ROWS)][:_ROWS]
    expected = tuple(answer for place in places if (answer := cases[place].answer) is not None)
    if not places:
        return Question(b"", digest_of, (), "health", "its reference sample has no row that it answered")
    names = [field.name for field in bundle.signature.inputs]
    others = [field for field in revision.contract.fields if field.name not in names]
    # What the model does not read is made up: null, or anything of its type.
    made_up = {field.name: None if field.nullable else _ANYTHING.get(field.type) for field in others}
    if bundle.features is None and all(field.nullable or made_up[field.name] is not None for field in others):
        rows = tuple({**made_up, **dict(zip(names, cases[place].row, strict=True))} for place in places)
        return Question(msgspec.json.encode(ProbeBody(bundle=digest_of, rows=rows)), digest_of, expected, "rows")
    limits = "features were not asked: they are looked up, or computed from requests that nobody kept"
    if bundle.features is None:
        limits = f"the model itself was asked: training has no {others[0].name} for a request"
    asked = ProbeBody(bundle=digest_of, cases=tuple(places))
    return Question(msgspec.json.encode(asked), digest_of, expected, "model", limits)


def ask(
    workspace: Workspace, revision: Revision, status: EndpointStatus, put: Question, *, timeout_s: float = TIMEOUT_S
) -> Probed:
    """Ask over HTTP, and say what came of it; it never raises.

    Args:
        workspace: Signs the question.
        revision: What serves.
        status: Where it answers.
        put: The question.
        timeout_s: How long it waits.
    """
    at, begun = datetime.now(UTC), time.monotonic()
    folder = folder_of(workspace, revision.name)

    def found(outcome: Outcome, sentence: str, *, by_front: bool = False, answered: bool = True) -> Probed:
        took = round((time.monotonic() - begun) * 1000, 1) if answered else None
        told = f"{sentence} ({put.limits})" if put.limits and outcome in ("answered", "unknown") else sentence
        return Probed(at=at, outcome=outcome, sentence=told, how=put.how, took_ms=took, by_front=by_front)

    try:
        code, is_marked, answer = _send(workspace, folder, revision, status.url, put, timeout_s)
    except TimeoutError:
        return found("timeout", f"no answer from {status.url} within {timeout_s:g} seconds", answered=False)
    except (OSError, http.client.HTTPException) as problem:
        return found("down", f"{status.url} cannot be reached: {problem or type(problem).__name__}", answered=False)
    if code == 503:
        return found("busy", "it was turned away: 503", by_front=not is_marked and put.how != "health")
    if put.how == "health":
        lives = code in _LIVES  # one that answers to its proxy alone refuses this, and so it lives
        return found("answered" if lives else "error", f"it lives: {code}" if lives else f"HTTP {code}")
    if code != 200 or not is_marked:
        return found("error", f"HTTP {code} instead of a probe's answer")
    try:
        return _compared(put, msgspec.json.decode(answer, type=ProbeAnswer), found)
    except msgspec.DecodeError as problem:
        return found("error", f"what it answered cannot be read: {problem}")


def _compared(put: Question, answer: ProbeAnswer, found: object) -> Probed:
    assert callable(found)
    if answer.problem == "loading" or answer.bundle != put.bundle:  # another version was just put in its place
        unknown: Probed = found("unknown", "another version answers than was asked for")
        return unknown
    if answer.problem == "refused":
        refused: Probed = found("wrong", "the model refuses rows that it was trained on")
        return refused
    if answer.problem:
        failed: Probed = found(_OUTCOMES.get(answer.problem, "error"), _WORDS.get(answer.problem, answer.problem))
        return failed
    pairs = list(zip(answer.scores, put.expected, strict=False))
    apart = [(got, was) for got, was in pairs if not abs(got - was) <= TOLERANCE * max(1.0, abs(was))]
    if len(answer.scores) != len(put.expected) or apart:
        told = f"{len(apart)} of {len(put.expected)} reference rows are answered otherwise than at packaging"
        told += f": {apart[0][0]:.6g} instead of {apart[0][1]:.6g}" if apart else ""
        wrong: Probed = found("wrong", told)
        return wrong
    right: Probed = found("answered", f"answered {len(pairs)} reference rows as at packaging")
    return right


def _send(
    workspace: Workspace, folder: Path, revision: Revision, url: str, put: Question, timeout_s: float
) -> tuple[int, bool, bytes]:
    """The status, whether a worker knew it for a probe, and the body."""
    where = urlsplit(url)
    name, host = revision.name, read_reach(workspace.root).host
    host = _ANYWHERE.get(host, host)
    routes, _ = read_routes(folder)
    shared = f"/{revision.project}" if routes is not None and routes.is_shared else ""
    until = time.monotonic() + timeout_s
    link: http.client.HTTPConnection
    if where.scheme == "https":  # nothing is secret in a probe, and its answer is compared
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        link, asked = http.client.HTTPSConnection(host, where.port, timeout=timeout_s, context=context), where.netloc
    else:  # by a name of the machine itself: one behind a proxy answers to others by TLS alone
        link, asked = http.client.HTTPConnection(host, where.port, timeout=timeout_s), f"{host}:{where.port}"
    try:
        if put.how == "health":
            path = f"{shared}/endpoints/{name}/health" if shared else "/health"
            link.request("GET", path, headers={"host": asked})
        else:
            said = Marked(f"{revision.project}/{name}", time.time_ns() // 1000, digest(put.body))
            mark = workspace.signer.sign(msgspec.json.encode(said), PROBE_TYPE).decode()
            headers = {"host": asked, "content-type": "application/json", PROBE.decode(): mark}
            link.request("POST", f"{shared}/endpoints/{name}/predict", body=put.body, headers=headers)
        if isinstance(link.sock, socket.socket):
            link.sock.settimeout(max(until - time.monotonic(), 0.01))
        answer = link.getresponse()
        return answer.status, answer.getheader(PROBE.decode()) is not None, answer.read()
    finally:
        link.close()
