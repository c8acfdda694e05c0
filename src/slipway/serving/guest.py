"""A challenger that needs other libraries than the worker beside which it is judged: a process of its own environment.

The worker starts it and talks to it over socket pairs that only the two of them hold, so that nobody else can ask it or
answer for it. It loads and verifies its bundle itself, resolves its own features, and ends with the worker. While it is
gone, or does not answer in time, its rows are what a challenger's rows are that failed.
"""

import logging
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from slipway.errors import BackendError, Corrupt, InvalidInput
from slipway.records.explanations import Contribution, Explanation
from slipway.records.schema import Field
from slipway.serving.footprint import resident_bytes
from slipway.serving.guest_wire import Ended, Late, decode, encode, receive, send
from slipway.serving.http import TooSlow

__all__ = ["CHANNELS", "LIMIT_S", "Ask", "Guest", "GuestGone", "Opening", "model_ns"]

Ask = Callable[[list[Any]], Any]
"""A message to a challenger's process, and what it answers."""
CHANNELS = 3
"""So many calls are under way at once: a request's, a shadow's, and an explanation's."""
LIMIT_S = 15.0
"""How long it may take over a call: half of what a model has, as a challenger does."""
_OPENS_WITHIN_S = 120.0
_MAX_PAUSE_S = 10.0
_STEADY_S = 10.0
_here = threading.local()
_logger = logging.getLogger("slipway.serving")


class Opening(Struct, frozen=True, kw_only=True):
    """What a challenger's process is to answer with.

    Args:
        bundle: The bundle's digest.
        fields: The contract's.
    """

    bundle: str
    fields: tuple[Field, ...]


class GuestGone(Exception):
    """The challenger's process has ended, and is started again."""


def model_ns() -> int:
    """A clock in nanoseconds for what a model takes: the way to another process and back does not count in this thread."""
    return time.perf_counter_ns() - int(getattr(_here, "way_ns", 0))


class _Process:
    """One process: its life, which ends with the socket, and the channels on which it is asked."""

    def __init__(self, name: str, command: Callable[[Sequence[int]], Sequence[str]]) -> None:
        pairs = [socket.socketpair() for _ in range(CHANNELS + 1)]
        self._name = name
        self.life, *channels = [pair[0] for pair in pairs]
        self._free: queue.SimpleQueue[socket.socket | None] = queue.SimpleQueue()
        for channel in channels:
            self._free.put(channel)
        try:
            numbers = [pair[1].fileno() for pair in pairs]
            self.popen = subprocess.Popen(command(numbers), pass_fds=numbers, stdin=subprocess.DEVNULL)
        except OSError as problem:
            self._close()
            raise BackendError(
                f"The environment of {name} cannot be started: {problem}.",
                fix="Deploy again: an environment that is gone is made anew.",
            ) from problem
        finally:
            for pair in pairs:
                pair[1].close()  # with the process it ends, so that who waits for an answer hears of it at once
        self.started = time.monotonic()

    @property
    def is_up(self) -> bool:
        return self.popen.poll() is None

    def open(self, opening: Opening) -> frozenset[int]:
        """Have it load; returns the places of the reference rows that it does not ask."""
        try:
            send(self.life, msgspec.msgpack.encode(opening))
            said = decode(receive(self.life, time.monotonic() + _OPENS_WITHIN_S))
        except (Ended, Late) as problem:
            why = "it took too long" if isinstance(problem, Late) else str(problem)
            raise BackendError(
                f"{self._name} did not get ready in its own environment: {why}.",
                fix="Read front.log in the endpoint's folder.",
            ) from problem
        if said[0] == "refused":
            raise Corrupt(said[1], why=said[2], fix=said[3])
        return frozenset(said[1])

    def ask(self, message: list[Any], limit_s: float) -> Any:
        """What it answers; the time that passes on the way is noted for `model_ns`."""
        begun, took_ns = time.perf_counter_ns(), 0
        try:
            kind, value, took_ns = self._answer(encode(message), time.monotonic() + limit_s)
        finally:
            _here.way_ns = getattr(_here, "way_ns", 0) + time.perf_counter_ns() - begun - took_ns
        if kind == "invalid":
            raise InvalidInput(value[0], why=value[1], fix=value[2], field=value[3])
        if kind == "failed":
            raise BackendError(f"{self._name} failed in its own process: {value}")
        return value

    def _answer(self, data: bytes, until: float) -> Any:
        try:
            channel = self._free.get(timeout=max(until - time.monotonic(), 0.0))
        except queue.Empty:
            raise TooSlow(f"{self._name} was busy all the time.") from None
        if channel is None:
            self._free.put(None)
            raise GuestGone(f"{self._name}: its process has ended.")
        try:
            channel.settimeout(max(until - time.monotonic(), 0.001))
            send(channel, data)
            answer = decode(receive(channel, until))
        except Late as problem:
            channel.close()
            self.kill()  # what does not come back would keep its channel
            raise TooSlow(f"{self._name} did not answer in time, and its process is started anew.") from problem
        except Ended as problem:
            channel.close()
            self.kill()
            raise GuestGone(f"{self._name}: its process has ended.") from problem
        self._free.put(channel)
        return answer

    def kill(self) -> None:
        with suppress(OSError):
            self.popen.kill()

    def end(self) -> None:
        """End it at once, and forget it. Who waits for its answer hears of it."""
        self.kill()
        self.popen.wait()
        self._close()

    def _close(self) -> None:
        """Close what nobody uses; whoever waits for an answer reads that the process has ended, and closes its own."""
        self.life.close()
        with suppress(queue.Empty):
            while (channel := self._free.get_nowait()) is not None:
                channel.close()
        self._free.put(None)


class Guest:
    """A model in a process of another environment, asked as one that is loaded here. Safe for threads.

    Args:
        name: What it is called in sentences.
        command: The command of the process, given the file descriptors that it inherits: its life, then its channels.
        opening: What it loads.
        check: Called whenever its process is ready and before anybody else asks it, with what asks it and the places of
            the reference rows that are not to be asked; raises where it does not answer as it should.
        ended: Called each time when it has ended without being told to.

    Raises:
        Corrupt: It cannot be loaded, or does not answer as it did when it was packaged.
        BackendError: Its process did not start.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[Sequence[int]], Sequence[str]],
        opening: Opening,
        *,
        check: Callable[[Ask, frozenset[int]], None] = lambda ask, left: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._command = command
        self._opening = opening
        self._check = check
        self._ended = ended
        self._tries = 0
        self._due = 0.0
        self._is_starting = False
        self._is_closed = False
        self.limit_s = LIMIT_S
        self._process: _Process | None = self._start()

    @property
    def is_up(self) -> bool:
        """Whether it can be asked now."""
        process = self._process
        return process is not None and process.is_up

    @property
    def pid(self) -> int:
        """Its process, 0 while there is none."""
        process = self._process
        return 0 if process is None else process.popen.pid

    def resolve(self, rows: list[list[Any]], at: datetime) -> list[list[Any]]:
        """Rows in the contract's order to rows of its inputs, by its own features.

        Raises:
            InvalidInput: A row has a value that they refuse.
            GuestGone: It has ended.
            TooSlow: It did not answer in time; it is ended and started again.
            BackendError: Its features failed.
        """
        found: list[list[Any]] = self._ask(["resolve", rows, at], self.limit_s)
        return found

    def predict(self, rows: Sequence[Sequence[Any]]) -> list[float]:
        """One score a row of its inputs.

        Raises:
            InvalidInput: It refuses a row.
            GuestGone: It has ended.
            TooSlow: It did not answer in time; it is ended and started again.
            BackendError: It failed.
        """
        found: list[float] = self._ask(["predict", list(rows)], self.limit_s)
        return found

    def explain(self, row: Sequence[Any], score: float, top: int) -> Explanation:
        """How its score of a row comes about; raises as `predict` does."""
        scale, how, told, base, parts, rest, residual = self._ask(["explain", list(row), score, top], LIMIT_S)
        return Explanation(
            scale=scale,
            how=how,
            score=told,
            base=base,
            contributions=tuple(Contribution(input=name, value=one, contribution=by) for name, one, by in parts),
            rest=rest,
            residual=residual,
        )

    def look(self, memory_bytes: int = 0) -> None:
        """Start it again where it has ended; called several times a second.

        Args:
            memory_bytes: What its process may come to take, 0 for no limit; one that takes more is started anew.
        """
        process = self._process
        if process is not None and process.is_up:
            size = resident_bytes(process.popen.pid) if memory_bytes else 0
            if size <= memory_bytes:
                return
            _logger.error("%s has come to %.0f MB of memory and is started anew.", self._name, size / 1e6)
            self._process = None
            process.end()
        elif process is not None:
            self._process = None
            process.end()
            self._tries = 0 if time.monotonic() - process.started > _STEADY_S else self._tries + 1
            self._wait()
            _logger.error("%s has ended with %s and is started again.", self._name, process.popen.returncode)
            self._ended()
        if not self._is_starting and time.monotonic() >= self._due:
            self._is_starting = True
            threading.Thread(target=self._start_again, name="guest", daemon=True).start()

    def close(self) -> None:
        """End it, for good."""
        self._is_closed = True
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _wait(self) -> None:
        self._due = time.monotonic() + (0.0 if self._tries <= 1 else min(0.1 * 2**self._tries, _MAX_PAUSE_S))

    def _start_again(self) -> None:
        try:
            process = self._start()
            if self._is_closed:
                process.end()
            else:
                self._process = process
        except (Corrupt, BackendError) as problem:
            self._tries += 1
            self._wait()
            _logger.error("%s cannot be started again: %s", self._name, problem)
            self._ended()
        finally:
            self._is_starting = False

    def _start(self) -> _Process:
        process = _Process(self._name, self._command)
        try:
            left = process.open(self._opening)
            self._check(lambda message: process.ask(message, LIMIT_S), left)
        except (GuestGone, TooSlow) as problem:
            process.end()
            raise BackendError(
                f"{self._name} did not answer its reference rows in its own environment: {problem}",
                fix="Read front.log in the endpoint's folder.",
            ) from problem
        except BaseException:
            process.end()
            raise
        return process

    def _ask(self, message: list[Any], limit_s: float) -> Any:
        process = self._process
        if process is None:
            raise GuestGone(f"{self._name}: its process is being started again.")
        return process.ask(message, limit_s)
