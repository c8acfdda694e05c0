"""Requests at fixed instants: latencies count from when they were due, and a server that hangs is charged for it."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from slipway.errors import InvalidInput
from slipway.serving.open_loop import Answer, _asked, _Pool, at_rate, one_after_another, saturated

Handler = Callable[[int, bytes], Awaitable[bytes]]
GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@contextlib.contextmanager
def serving(handle: Handler) -> Iterator[str]:
    """A server on a port of its own, in a thread; `handle` is given the request's number and body."""
    ready, stop, where, counted = threading.Event(), [], [], [0]

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.split("content-length:")[1].split("\r\n")[0])
                counted[0] += 1
                answer = await handle(counted[0], await reader.readexactly(length))
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def run() -> None:
        ended = asyncio.Event()
        stop.append((asyncio.get_running_loop(), ended))
        server = await asyncio.start_server(client, "127.0.0.1", 0)
        where.append(server.sockets[0].getsockname()[1])
        ready.set()
        await ended.wait()
        server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    ready.wait(10)
    try:
        yield f"http://127.0.0.1:{where[0]}"
    finally:
        stop[0][0].call_soon_threadsafe(stop[0][1].set)
        thread.join(10)


async def well(number: int, body: bytes) -> bytes:
    return GOOD


def test_as_many_as_the_rate_says_are_sent_whatever_comes_back() -> None:
    seen: list[bytes] = []

    async def handle(number: int, body: bytes) -> bytes:
        seen.append(body)
        return GOOD if number % 5 else b"HTTP/1.1 422 No\r\nContent-Length: 3\r\n\r\nbad"

    with serving(handle) as url:
        answers = at_rate(url, "/p", [b"a", b"b"], rate=100, seconds=0.3)
    assert len(answers) == len(seen) == 30
    assert sorted(seen) == [b"a"] * 15 + [b"b"] * 15
    assert sorted({(answer.status, answer.body) for answer in answers}) == [(200, b"ok"), (422, b"bad")]
    assert sum(answer.is_good for answer in answers) == 24
    assert next(answer for answer in answers if not answer.is_good).words == "422: bad"


def test_a_server_that_stops_for_a_while_is_charged_for_every_request_of_that_while() -> None:
    """One request holds all others up: with the instants at which they were sent, one latency alone would be long."""
    held = 0.5

    async def handle(number: int, body: bytes) -> bytes:
        if number == 1:
            time.sleep(held)  # the whole server stands
        return GOOD

    with serving(handle) as url:
        answers = at_rate(url, "/p", [b"a"], rate=40, seconds=0.5)
    took = [answer.took_s for answer in answers]
    assert took[0] >= held
    assert sum(one > held / 2 for one in took) >= 8  # those due in its first half
    assert all(answer.is_good for answer in answers)


def test_an_endpoint_that_hangs_or_hangs_up_is_told_and_ends_in_time() -> None:
    async def hang(number: int, body: bytes) -> bytes:
        await asyncio.sleep(0 if number % 2 else 60)
        return GOOD

    with serving(hang) as url:
        answers = at_rate(url, "/p", [b"a"], rate=50, seconds=0.2, timeout_s=0.5)
    lost = [answer for answer in answers if answer.status == 0]
    assert len(lost) == 5
    assert lost[0].words == "no answer: nothing came within 0.5 s"

    async def hang_up(number: int, body: bytes) -> bytes:
        return b""

    with serving(hang_up) as url:
        assert {answer.status for answer in one_after_another(url, "/p", [b"a", b"b"])} == {0}


def test_nobody_there_is_told() -> None:
    answers = at_rate("http://127.0.0.1:9", "/p", [b"a"], rate=20, seconds=0.1)
    assert [answer.status for answer in answers] == [0, 0]
    assert saturated("http://127.0.0.1:9", "/p", [b"a"], connections=2, seconds=0.2) == 0.0


def test_as_many_as_it_takes() -> None:
    with serving(well) as url:
        assert saturated(url, "/p", [b"a"], connections=4, seconds=0.3) > 10
        assert [answer.body for answer in one_after_another(url, "/p", [b"a"] * 3)] == [b"ok"] * 3


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (-1, 1), (float("nan"), 1), (10, 0), (float("inf"), 1)])
def test_no_rate_is_refused(rate: float, seconds: float) -> None:
    with pytest.raises(InvalidInput, match="Give a"):
        at_rate("http://127.0.0.1:9", "/p", [b"a"], rate=rate, seconds=seconds)


def test_no_request_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one row"):
        at_rate("http://127.0.0.1:9", "/p", [], rate=1, seconds=1)


def test_a_request_that_was_sent_late_is_charged_from_when_it_was_due() -> None:
    async def late() -> Answer:
        pool = _Pool("http://127.0.0.1:9", "/p")
        try:
            return await _asked(pool, b"a", time.perf_counter() - 5.0, 1.0)
        finally:
            await pool.close()

    answer = asyncio.run(late())
    assert answer.late_s >= 5.0
    assert answer.took_s >= answer.late_s
