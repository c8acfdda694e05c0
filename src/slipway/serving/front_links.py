"""The front's side towards workers: which worker gets a request, and what becomes of it when that worker ends.

A request is here whole, so it can be given to a worker a second time. It is then given alone: whatever ended the first
worker, no other request shares the second one's fate. And it is given only when the first one is gone for good: what that
one has logged is in the log by then, so that of two rows of the same id the marked one is always the later.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast

import httptools

from slipway.errors import SlipwayError, Unavailable
from slipway.serving import front_routes as figure
from slipway.serving.front_requests import again
from slipway.serving.front_routes import Figures, Routes, has_ended, hung_file, is_held, read_routes, socket_file

__all__ = ["Backend", "Job"]

_AT_ONCE = 32
"""How many requests a worker is given at the same time: enough to be busy, few enough to be given again."""

_MOST_WAITING = 2048
_IDLE_S = 20.0  # less than a worker's own time-out, so that no worker closes a connection that is just being used
_TRIES = 2
_LOOK_AGAIN_S = 0.005
_logger = logging.getLogger("slipway.serving")


class Job:
    """A whole request on its way.

    Args:
        request: As the worker reads it.
        answer: Takes the worker's answer, and whether that says that its connection ends.
        fail: Takes what is to be said instead.
        counts: Whether it is use of the endpoint; a probe or a scrape is not.
    """

    __slots__ = ("answer", "counts", "fail", "is_alone", "is_gone", "request", "since", "tries")

    def __init__(
        self,
        request: bytes,
        answer: Callable[[bytes, bool], None],
        fail: Callable[[SlipwayError], None],
        *,
        counts: bool = True,
    ) -> None:
        self.request = request
        self.answer = answer
        self.fail = fail
        self.counts = counts
        self.since = time.monotonic()
        self.tries = 0
        self.is_alone = False
        self.is_gone = False


class _Place:
    """One worker."""

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.idle: list[_Link] = []
        self.links: set[_Link] = set()
        self.at_work = 0
        self.is_alone = False
        self.is_dead = False
        self.is_leaving = False


class _Link(asyncio.Protocol):
    """One connection to a worker, with one request on it at a time."""

    def __init__(self, place: _Place, backend: "Backend") -> None:
        self.place = place
        self.job: Job | None = None
        self.since = 0.0
        self.transport: asyncio.Transport | None = None
        self._backend = backend
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._closes = self._is_whole = False

    def give(self, job: Job) -> None:
        self.job, self.since = job, time.monotonic()
        assert self.transport is not None
        self.transport.write(job.request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by class
        self.place.links.add(self)

    def data_received(self, data: bytes) -> None:
        if self.job is None:
            self.end()  # an answer that nobody asked for
            return
        self._parts.append(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            _logger.error("A worker's answer cannot be read: %s", problem)
            self.end()
            return
        if self._is_whole:
            job, self.job = self.job, None
            answer, closes = b"".join(self._parts), self._closes
            self._parts.clear()
            self._closes = self._is_whole = False
            self._backend.answered(self, job, answer, closes=closes)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"connection" and value.lower() == b"close":
            self._closes = True

    def on_message_complete(self) -> None:
        self._is_whole = True

    def connection_lost(self, problem: Exception | None) -> None:
        self.place.links.discard(self)
        if self in self.place.idle:
            self.place.idle.remove(self)
        job, self.job = self.job, None
        if job is not None:
            self._backend.lost(self.place, job)

    def end(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Backend:
    """The workers of one endpoint, and the requests that wait for them.

    Args:
        folder: The endpoint's.
        slot: Which of the two slots for figures is this front's.
        keep: Holds tasks until they are done.
    """

    def __init__(self, folder: Path, slot: int, keep: Callable[[asyncio.Task[None]], None]) -> None:
        self.folder = folder
        self.routes = Routes(name=folder.name)
        self.figures = Figures(folder, slot)
        self.figures.begin()
        self._keep = keep
        self._seen: tuple[int, int] | None = None
        self._places: dict[int, _Place] = {}
        self._queue: deque[Job] = deque()
        self._lost: list[tuple[_Place, Job]] = []
        self._at_work = 0
        self._counted = 0
        self._counted_at = time.monotonic_ns()

    @property
    def has_workers(self) -> bool:
        """Whether a worker can be asked now."""
        return any(not place.is_dead for place in self._places.values())

    @property
    def is_known(self) -> bool:
        """Whether a supervisor has ever told of its workers here."""
        return self._seen is not None

    def submit(self, job: Job) -> None:
        """Let a worker answer a request, now or as soon as one can."""
        if len(self._queue) >= _MOST_WAITING:
            self._fail(job, Unavailable(f"{len(self._queue):,} requests wait for {self._name} already.", fix=_LATER))
            return
        if job.counts:
            self._count(1)
        if not self._queue and (place := self._free(job)) is not None:
            self._give(place, job)
            return
        self._queue.append(job)
        self._pump()
        self._put_gauges()  # at once: somebody may have to start a worker for it

    def forget(self, job: Job) -> None:
        """Nobody waits for the answer any more; a worker that has it goes on with it."""
        job.is_gone = True

    def look(self) -> None:
        """Take up what the supervisor says now."""
        routes, self._seen = read_routes(self.folder, self._seen)
        if routes is not None:
            self.routes = routes
        known = self.routes.workers if self._seen is not None else ()
        for serial in known:
            if serial not in self._places:
                self._places[serial] = _Place(serial)
        for serial in [serial for serial in self._places if serial not in known]:
            place = self._places.pop(serial)
            place.is_leaving = True
            for link in list(place.idle):
                link.end()
        if routes is not None:
            self.figures.put(figure.TAKEN, routes.edition)
        self._pump()

    def sweep(self) -> None:
        """What is done now and then: too long is too long."""
        now = time.monotonic()
        self._count(0)
        while self._queue and (self._queue[0].is_gone or now - self._queue[0].since > self.routes.wait_s):
            job = self._queue.popleft()
            waited = f"No worker of {self._name} could take the request within {self.routes.wait_s:g} seconds."
            self._fail(job, Unavailable(waited, fix=_LATER))
        if self._queue and not self.has_workers and not is_held(self.folder):
            while self._queue:
                self._fail(self._queue.popleft(), self.stopped())
        for place in list(self._places.values()):
            self._look_at(place, now)
        self._put_gauges()

    def stopped(self) -> Unavailable:
        """What is said where nothing runs the endpoint."""
        return Unavailable(
            f"The endpoint {self.routes.name!r} does not run.", fix="Its operator starts it with: slipway deploy MODEL"
        )

    def close(self) -> None:
        """Let go of the workers."""
        for place in self._places.values():
            for link in list(place.links):
                link.end()
        self.figures.begin()

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer."""
        return not self._queue and not self._lost and not self._at_work

    @property
    def _name(self) -> str:
        return f"the endpoint {self.routes.name!r}"

    def answered(self, link: _Link, job: Job, answer: bytes, *, closes: bool) -> None:
        """A worker has answered."""
        self._done(link.place, job)
        if closes or link.place.is_leaving:
            link.end()
        else:
            link.since = time.monotonic()
            link.place.idle.append(link)
        if job.counts:
            self._count(-1)
        if not job.is_gone:
            job.answer(answer, closes)
        if self._queue:
            self._pump()

    def lost(self, place: _Place, job: Job) -> None:
        """A worker has ended, or closed its connection, before it answered."""
        self._done(place, job)
        if not place.is_leaving:
            self._give_up(place)
        if job.is_gone:
            if job.counts:
                self._count(-1)
        elif job.tries >= _TRIES:
            _logger.error("Two workers of %s ended on the same request.", self.routes.name)
            self._fail(job, Unavailable(f"Two workers of {self._name} ended on this request.", fix=_LATER))
        else:
            self.figures.add(figure.RETRIED)
            job.is_alone, job.since, job.request = True, time.monotonic(), again(job.request)
            self._lost.append((place, job))
            if len(self._lost) == 1:
                self._take_up()
        self._pump()

    def _take_up(self) -> None:
        """Let requests that were lost wait for another worker, as soon as nothing is left of the one that had them."""
        waiting, self._lost = self._lost, []
        ended = {place.serial: has_ended(self.folder, place.serial) for place, _ in waiting}
        for place, job in waiting:
            if ended[place.serial]:
                self._queue.appendleft(job)
            elif time.monotonic() - job.since > self.routes.wait_s:
                self._fail(
                    job, Unavailable(f"A worker of {self._name} that left the request does not end.", fix=_LATER)
                )
            else:
                self._lost.append((place, job))
        if self._lost:
            asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._take_up)
        if len(self._lost) < len(waiting):
            self._pump()

    def _done(self, place: _Place, job: Job) -> None:
        place.at_work -= 1
        self._at_work -= 1
        if job.is_alone:
            place.is_alone = False

    def _pump(self) -> None:
        while self._queue:
            if self._queue[0].is_gone:
                job = self._queue.popleft()
                if job.counts:
                    self._count(-1)
                continue
            place = self._free(self._queue[0])
            if place is None:
                return
            self._give(place, self._queue.popleft())

    def _free(self, job: Job) -> _Place | None:
        most = 1 if job.is_alone else _AT_ONCE
        best: _Place | None = None
        for place in self._places.values():
            if place.is_dead or place.is_alone or place.at_work >= most:
                continue
            if best is None or place.at_work < best.at_work:
                best = place
        return best

    def _give(self, place: _Place, job: Job) -> None:
        place.at_work += 1
        self._at_work += 1
        if job.is_alone:
            place.is_alone = True
        if place.idle:
            self._send(place.idle.pop(), job)
        else:
            self._keep(asyncio.get_running_loop().create_task(self._connect(place, job)))

    def _send(self, link: _Link, job: Job) -> None:
        job.tries += 1
        self.figures.add(figure.REQUESTS)
        link.give(job)

    async def _connect(self, place: _Place, job: Job) -> None:
        path = os.path.relpath(socket_file(self.folder, place.serial))  # absolute ones may be too long for a socket
        try:
            _, link = await asyncio.get_running_loop().create_unix_connection(lambda: _Link(place, self), path)
        except OSError:
            place.is_dead = True  # the supervisor will tell of another one
            self._done(place, job)
            self._queue.appendleft(job)
            self._pump()
            return
        self._send(link, job)

    def _look_at(self, place: _Place, now: float) -> None:
        for link in list(place.idle):
            if now - link.since > _IDLE_S:
                link.end()
        late = [link for link in place.links if link.job is not None and now - link.since > self.routes.timeout_s]
        if not late:
            return
        # A worker answers one request after the other: the one it had first is the one that it is stuck in.
        stuck = min(late, key=lambda link: link.since)
        job, stuck.job = stuck.job, None
        assert job is not None
        self.figures.add(figure.TIMED_OUT)
        if job.is_gone:
            self.figures.add(figure.LEFT)
        self._done(place, job)
        _logger.error("A worker of %s did not answer within %g seconds.", self.routes.name, self.routes.timeout_s)
        slow = f"A worker of {self._name} did not answer within {self.routes.timeout_s:g} seconds, and is replaced."
        self._fail(job, Unavailable(slow, fix="Send fewer rows a request, or ask again later."))
        self._give_up(place)

    def _give_up(self, place: _Place) -> None:
        """Give a worker nothing more, and have it replaced if it still is there."""
        if place.is_dead:
            return
        place.is_dead = True
        try:
            hung_file(self.folder, place.serial).touch()
        except OSError as problem:
            _logger.error("The supervisor cannot be told of a worker that is stuck: %s", problem)
        for link in list(place.links):
            link.end()

    def _fail(self, job: Job, problem: SlipwayError) -> None:
        if job.counts:
            self._count(-1)
        if not job.is_gone:
            self.figures.add(figure.FAILED)
            job.fail(problem)

    def _count(self, change: int) -> None:
        """Keep the integral of how many requests were on their way: the mean of it is what workers are needed for."""
        now = time.monotonic_ns()
        self.figures.add(figure.LOAD_NS, self._counted * (now - self._counted_at))
        self._counted, self._counted_at = max(self._counted + change, 0), now

    def _put_gauges(self) -> None:
        self.figures.put(figure.WAITING, len(self._queue) + len(self._lost))
        self.figures.put(figure.AT_WORK, self._at_work)


_LATER = "Send it again in a moment."
