"""Requests of many rows: read and validated as a whole, scored in parts between which other requests are answered.

A request is answered whole or not at all, so that its status is true: a row that does not fit is found before the first
is scored, and the answers, some 60 bytes a row, are kept until there is one for each.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from slipway.errors import InvalidInput, Unavailable
from slipway.records.predictions import PredictionRow
from slipway.serving.active import Active
from slipway.serving.arrow import ARROW, Answers, Stream, opened, shifted
from slipway.serving.http import REQUEST_ID, ClientGone, Headers, Message, Receive, Send, TooSlow, read_body
from slipway.serving.row_queue import RowQueue
from slipway.serving.worker_state import FINISH_S

__all__ = ["LIMIT_S", "MOST_AT_ONCE", "Bulk", "room_in"]

MOST_AT_ONCE = 2
"""Requests of many rows that one worker may hold, from their first byte to their answer: each may take some 400 MB."""

LIMIT_S = 50.0
"""How long all parts of a request may take: less than after what a front takes a worker for hung."""

_LAST_S = FINISH_S - 5.0
_FIRST_ROWS, _FEWEST_ROWS = 256, 64
_SHORT_S, _LONG_S = 0.003, 0.015
_STUCK_S, _PAUSE_S = 1.0, 0.005

Score = Callable[[list[list[Any]]], Awaitable[list[PredictionRow]]]
"""Scores rows in the contract's order, and keeps what is to be kept of them."""


class Bulk:
    """Takes requests of many rows and answers them.

    Args:
        closing: Whether the process is about to stop.
    """

    def __init__(self, closing: Callable[[], bool]) -> None:
        self._closing = closing
        self._at_once = 0
        self._thread = ThreadPoolExecutor(1, "bulk")

    async def __call__(
        self, active: Active, headers: Headers, receive: Receive, sender: Send, score: Score
    ) -> Mapping[str, int]:
        """Answer a request.

        Args:
            active: What answers.
            headers: The request's.
            receive: ASGI's.
            sender: ASGI's.
            score: Scores a part.

        Returns:
            How many rows had which field that the contract does not know.

        Raises:
            InvalidInput: It is no stream, or a row does not fit; then none was scored, unless a model refused it.
            TooLarge: It is too large.
            TooSlow: All parts together took too long.
            Unavailable: As many are under way as may be, or the process stops.
            ClientGone: Nobody waits for the answer any more.
        """
        contract = active.revision.contract
        if self._at_once >= MOST_AT_ONCE:
            raise Unavailable(
                "The endpoint has as many Arrow requests as it may hold; this one was not looked at.",
                why=f"{self._at_once} are under way in this worker, each of which may carry many rows.",
                fix="Send it again in a moment; rows in JSON are answered meanwhile.",
            )
        self._at_once += 1
        try:
            body = await read_body(headers, receive, contract.bulk_bytes)
            run = _Run(self._closing, time.monotonic() + LIMIT_S)
            stream = await asyncio.get_running_loop().run_in_executor(self._thread, opened, body, contract)
            del body
            watching = asyncio.ensure_future(receive())
            try:
                answers = await run(stream, active, score, watching)
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
            await _send(sender, answers, closing=self._closing())
            return dict.fromkeys(stream.unknown, stream.count)
        finally:
            self._at_once -= 1


class _Run:
    """One request's parts, and what may end them."""

    def __init__(self, closing: Callable[[], bool], until: float) -> None:
        self._closing, self._until = closing, until
        self._closing_at: float | None = None

    async def __call__(
        self, stream: Stream, active: Active, score: Score, watching: "asyncio.Future[Message]"
    ) -> Answers:
        most = active.revision.contract.max_rows
        if not stream.is_checked:
            for first in range(0, stream.count, most):
                await self._between(first, stream.count, watching)
                stream.part(first, most)
        answers = Answers(active.revision, has_fallback=active.fallback is not None)
        first, size = 0, min(_FIRST_ROWS, most)
        while first < stream.count:
            await self._between(first, stream.count, watching)
            began = time.perf_counter()
            rows = stream.part(first, size)
            try:
                answers.add(await score(rows))
            except InvalidInput as problem:
                raise shifted(problem, first) from problem
            first += len(rows)
            took_s = time.perf_counter() - began
            # What others wait for is one part: no more rows than a request of theirs has, and few where rows are dear.
            if took_s > _LONG_S:
                size = max(size // 2, min(_FEWEST_ROWS, most))
            elif took_s < _SHORT_S:
                size = min(size * 2, most)
        return answers

    async def _between(self, done: int, count: int, watching: "asyncio.Future[Message]") -> None:
        """Let others have their turn, and end where nobody waits any more, or has waited long enough."""
        await asyncio.sleep(0)
        if watching.done() and watching.result()["type"] == "http.disconnect":
            raise ClientGone
        now = time.monotonic()
        if now > self._until:
            raise TooSlow(
                f"{done:,} of {count:,} rows were done after {LIMIT_S:g} seconds, which is as long as a request may take.",
                fix="Send fewer rows a request, or have a batch endpoint score the table.",
            )
        if self._closing():
            self._closing_at = self._closing_at or now
            if now - self._closing_at > _LAST_S:
                raise Unavailable(
                    f"The endpoint is stopping; {done:,} of {count:,} rows were done.", fix="Send the request again."
                )


async def room_in(log: RowQueue[PredictionRow]) -> None:
    """Wait until a log's queue is half empty, as long as it becomes emptier.

    So many rows at once fill no queue, and displace nobody else's rows. Where nothing is written for a second, nobody
    waits: what finds no place then is dropped, and counted.
    """
    least, since = log.waiting_rows, time.monotonic()
    while log.is_half_full and time.monotonic() - since < _STUCK_S:
        await asyncio.sleep(_PAUSE_S)
        if log.waiting_rows < least:
            least, since = log.waiting_rows, time.monotonic()


async def _send(sender: Send, answers: Answers, *, closing: bool) -> None:
    parts = answers.whole()
    size = sum(map(len, parts))
    headers = [(b"content-type", ARROW), (b"content-length", b"%d" % size), (b"x-request-id", REQUEST_ID.get())]
    if answers.fallen:
        headers.append((b"x-slipway-fallback", b"%d" % answers.fallen))
    if closing:
        headers.append((b"connection", b"close"))
    await sender({"type": "http.response.start", "status": 200, "headers": headers})
    for part in parts:  # each waits for a client that reads slowly
        await sender({"type": "http.response.body", "body": part, "more_body": True})
    await sender({"type": "http.response.body", "body": b""})
