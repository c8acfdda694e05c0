"""Probes of the store: a signed question to the model that no log, counter, limit or roll-out ever hears of.

A probe is told by a header that holds what the store's key signed: which endpoint, when, and the digest of the body. So
nobody can hide traffic by calling it a probe, and nobody can use one that was seen for another body or later on. A header
that does not hold is passed over, and the request is one like any other.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from slipway.errors import Corrupt, InvalidInput, NotFinite, SlipwayError
from slipway.hashing import digest
from slipway.ports.signer import Signer
from slipway.serving.active import Active, Rows
from slipway.serving.fallback import is_probability
from slipway.serving.http import App, ClientGone, Receive, Scope, Send, read_body, send
from slipway.serving.lane import Lane, Late
from slipway.serving.overdue import Overdue
from slipway.serving.scoring import EPOCH, ArmFailed, kind_of, resolved, scored

__all__ = ["PROBE", "PROBE_TYPE", "Cases", "Marked", "ProbeAnswer", "ProbeBody", "probed"]

PROBE = b"x-slipway-probe"
"""The header of a probe."""

PROBE_TYPE = "application/vnd.slipway.probe+json"
_MOST_MARK = 4096
_MOST_BODY = 4 << 20
_GOOD_FOR_US = 60_000_000
_LIMIT_S = 5.0
_logger = logging.getLogger("slipway.serving")


class Marked(Struct, frozen=True):
    """What the store signs of a probe.

    Args:
        endpoint: `<project>/<endpoint>`.
        at_us: Machine time.
        body: The digest of the body.
    """

    endpoint: str
    at_us: int
    body: str


class ProbeBody(Struct, frozen=True, kw_only=True):
    """What a probe asks: whole rows of a request, or reference rows of a bundle by their place.

    Args:
        bundle: Which bundle's answers are expected.
        rows: Rows as callers send them, () to ask the model itself.
        cases: Places in the bundle's reference sample.
    """

    bundle: str
    rows: tuple[dict[str, Any], ...] = ()
    cases: tuple[int, ...] = ()


class ProbeAnswer(Struct, frozen=True, kw_only=True):
    """What came of it.

    Args:
        bundle: The bundle that answered.
        scores: Its scores, () where it gave none.
        problem: Why not: "timeout", "error", "invalid", "features", "refused"; "" where it answered.
    """

    bundle: str
    scores: tuple[float, ...] = ()
    problem: str = ""


Cases = Callable[[str], Sequence[list[Any]]]
"""A bundle's digest to the rows of its reference sample, in the signature's order."""

_encode = msgspec.json.Encoder().encode


def probed(
    app: App,
    folder: Path,
    signer: Signer,
    current: Callable[[], Active | None],
    overdue: Overdue,
    cases: Cases,
    *,
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
) -> App:
    """An app that answers the store's probes by itself; everything else goes on to the app.

    Args:
        app: The endpoint's.
        folder: The endpoint's.
        signer: Knows the keys that the store trusts.
        current: What answers now.
        overdue: Is told when a model begins to score in this thread, and when it is done.
        cases: Reads the reference rows of a bundle.
        now_us: Machine time.
    """
    name, home = folder.name, f"{folder.parent.name}/{folder.name}"
    path = f"/endpoints/{name}/predict"
    lane = Lane("probe", most_waiting=1)

    def is_good(mark: bytes, body: bytes) -> bool:
        try:
            said = msgspec.json.decode(signer.verify(mark, PROBE_TYPE), type=Marked)
        except (Corrupt, msgspec.DecodeError):
            return False
        return said.endpoint == home and abs(now_us() - said.at_us) <= _GOOD_FOR_US and said.body == digest(body)

    async def asked(scope: Scope, receive: Receive, sender: Send) -> None:
        mark = next((value for key, value in scope["headers"] if key == PROBE), None)
        if mark is None or len(mark) > _MOST_MARK or scope["path"] != path or scope["method"] != "POST":
            await app(scope, receive, sender)
            return
        try:
            body = await read_body(dict(scope["headers"]), receive, _MOST_BODY)
        except (ClientGone, SlipwayError):
            await app(scope, receive, sender)
            return
        if not is_good(mark, body):
            await app(scope, _again(body, receive), sender)
            return
        told = await _answer(current(), body, lane, overdue, cases)
        await send(sender, 200, _encode(told), more_headers=((PROBE, b"answered"),))

    return asked


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, for whom it was for."""
    given = False

    async def receive_again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _answer(active: Active | None, body: bytes, lane: Lane, overdue: Overdue, cases: Cases) -> ProbeAnswer:
    if active is None:
        return ProbeAnswer(bundle="", problem="loading")
    bundle = active.revision.served.bundle
    try:
        inputs = _inputs(cases, active, msgspec.json.decode(body, type=ProbeBody))
        if active.is_aside:
            limit_s = _LIMIT_S if active.fallback is None else active.fallback.model_s
            scores = await lane.run(lambda: _scored(active, inputs), time.monotonic() + limit_s)
        else:
            overdue.begun_ns = time.perf_counter_ns()
            try:
                scores = _scored(active, inputs)
            finally:
                overdue.begun_ns = 0
    except Late:
        return ProbeAnswer(bundle=bundle, problem="timeout")
    except ArmFailed as problem:
        _logger.error("A probe got no answer: %s", problem, exc_info=problem.cause)
        return ProbeAnswer(bundle=bundle, problem=kind_of(problem))
    except NotFinite:
        return ProbeAnswer(bundle=bundle, problem="invalid")
    except (SlipwayError, msgspec.DecodeError) as problem:
        _logger.error("A probe was refused: %s", problem)
        return ProbeAnswer(bundle=bundle, problem="refused")
    return ProbeAnswer(bundle=bundle, scores=tuple(scores))


def _scored(active: Active, inputs: Rows) -> list[float]:
    is_classifier = active.fallback is not None and active.fallback.is_valid is is_probability
    return list(map(float, scored(active.predict, inputs, is_probability if is_classifier else math.isfinite)))


def _inputs(cases: Cases, active: Active, asked: ProbeBody) -> Rows:
    """The model's inputs that a probe asks it for."""
    if asked.rows:
        request = active.contract.decode(_encode({"rows": asked.rows}))
        return resolved(active.resolve, request.rows, EPOCH)
    served = active.revision.served.bundle
    if asked.bundle != served:
        raise InvalidInput(
            f"The probe is for the bundle {asked.bundle[:16]}, and {served[:16]} answers.",
            fix="Ask again: another version was put in its place.",
        )
    known = cases(served)
    return [known[place] for place in asked.cases]
