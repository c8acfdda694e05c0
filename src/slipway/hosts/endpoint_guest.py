"""A challenger's process in an environment of its own: `python -m slipway.hosts.endpoint_guest FOLDER SLOT SOCKET...`.

`serving.guest` starts it and is the only one who can ask it, over the sockets that it inherits. It ends when the first of
them does, whatever it is doing.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from slipway.errors import InvalidInput, SlipwayError
from slipway.hosts.endpoint import open_signer, start_logging
from slipway.hosts.endpoint_guests import hold_environment
from slipway.hosts.endpoint_loader import Loader
from slipway.models.bundle import LoadedModel
from slipway.serving.active import Resolve
from slipway.serving.guest import Opening
from slipway.serving.guest_wire import Ended, decode, encode, receive, send

__all__ = ["main"]

_SWITCH_S = 0.0005
_SAID_EVERY_S = 1.0
_logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Load what the worker names and answer it until it is gone; returns the process's exit code."""
    start_logging()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its worker tells it when to end
    folder, slot, (life, *channels) = Path(arguments[0]), int(arguments[1]), _sockets(arguments[2:])
    hold_environment()
    sys.setswitchinterval(_SWITCH_S)  # a request's row waits for no batch of a shadow
    opening = msgspec.msgpack.decode(receive(life), type=Opening)
    loader = Loader(folder, open_signer(folder), slot)
    try:
        loaded, resolve = loader.load_alone(opening.bundle, opening.fields)
        left = [place for place, case in enumerate(loaded.cases() or ()) if loaded.is_left(case)]
    except Exception as problem:
        _logger.exception("The challenger cannot be loaded.")
        told = [f"{type(problem).__name__}: {problem}.", "", "Read front.log in the endpoint's folder."]
        if isinstance(problem, SlipwayError):
            told = [problem.what, problem.why, problem.fix]
        send(life, encode(["refused", *told]))
        return 1
    answerer = _Answerer(loaded, resolve)
    for channel in channels:
        threading.Thread(target=answerer.serve, args=(channel,), name="channel", daemon=True).start()
    send(life, encode(["ready", left]))
    while life.recv(1):  # nothing is ever sent: it returns when the worker is gone
        pass
    os._exit(0)  # whatever a model is computing


def _sockets(numbers: list[str]) -> list[socket.socket]:
    return [socket.socket(fileno=int(number)) for number in numbers]


class _Answerer:
    """Answers on channels, one call after the other on each."""

    def __init__(self, loaded: LoadedModel, resolve: Resolve) -> None:
        self._loaded = loaded
        self._said_at = -_SAID_EVERY_S
        self._calls: dict[str, Callable[..., Any]] = {
            "echo": lambda rows: rows,
            "resolve": lambda rows, at: [list(row) for row in resolve(rows, at)],
            "predict": loaded.predict_rows,
            "explain": self._explained,
        }

    def serve(self, channel: socket.socket) -> None:
        """Answer until the channel ends."""
        while True:
            try:
                data = receive(channel)
                send(channel, self._answer(data))
            except Ended:
                return

    def _answer(self, data: bytes) -> bytes:
        name, *given = decode(data)
        begun = time.perf_counter_ns()
        try:
            value = self._calls[name](*given)
            return encode(["ok", value, time.perf_counter_ns() - begun])
        except InvalidInput as problem:
            told = [problem.what, problem.why, problem.fix, problem.field]
            return encode(["invalid", told, time.perf_counter_ns() - begun])
        except (Exception, SystemExit) as problem:
            took_ns = time.perf_counter_ns() - begun
            if time.monotonic() - self._said_at > _SAID_EVERY_S:
                self._said_at = time.monotonic()
                _logger.exception("The challenger failed.")
            return encode(["failed", f"{type(problem).__name__}: {problem}", took_ns])

    def _explained(self, row: list[Any], score: float, top: int) -> list[Any]:
        one = self._loaded.explain(row, score, top)
        parts = [[part.input, part.value, part.contribution] for part in one.contributions]
        return [one.scale, one.how, one.score, one.base, parts, one.rest, one.residual]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
