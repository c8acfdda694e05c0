"""What a worker and the process of a challenger beside it tell each other: values arrive as they were, or are refused.

A frame is four bytes of length and MessagePack. What MessagePack has no form of its own for is wrapped, so that a date
arrives as a date and an instant as the same instant; floats keep each bit.
"""

import socket
import struct
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any

import msgspec

from slipway.errors import BackendError

__all__ = ["Ended", "Late", "decode", "encode", "receive", "send"]

_LENGTH = struct.Struct(">I")
_MOST_BYTES = 256 << 20
_AS_THEY_ARE = frozenset({float, str, bool, type(None)})
_INT64 = 1 << 63
_ENCODER = msgspec.msgpack.Encoder()


class Ended(Exception):
    """The process at the other end is gone."""


class Late(Exception):
    """The other end was not done in time."""


def _span(value: timedelta) -> str:
    return f"{value.days} {value.seconds} {value.microseconds}"


def _span_of(text: str) -> timedelta:
    days, seconds, microseconds = map(int, text.split())
    return timedelta(days, seconds, microseconds)


_KINDS: tuple[tuple[type, Callable[[Any], str], Callable[[str], Any]], ...] = (
    (datetime, datetime.isoformat, datetime.fromisoformat),
    (date, date.isoformat, date.fromisoformat),
    (time_of_day, time_of_day.isoformat, time_of_day.fromisoformat),
    (timedelta, _span, _span_of),
    (Decimal, str, Decimal),
    (int, str, int),
)
_CODE_OF = {kind: (code, write) for code, (kind, write, _) in enumerate(_KINDS)}


def encode(message: Any) -> bytes:
    """A message as bytes.

    Raises:
        BackendError: It holds a value that would not arrive as it is.
    """
    return _ENCODER.encode(_told(message))


def decode(data: bytes) -> Any:
    """The message of `encode`; what was a tuple is a list."""
    return msgspec.msgpack.decode(data, ext_hook=_read)


def _told(value: Any) -> Any:
    kind = type(value)
    if kind in _AS_THEY_ARE or kind is bytes:
        return value
    if kind is list or kind is tuple:
        return [one if type(one) in _AS_THEY_ARE else _told(one) for one in value]
    if kind is int and -_INT64 <= value < _INT64:
        return value
    if kind is dict:
        return {name: _told(one) for name, one in value.items()}
    if kind in _CODE_OF:
        code, write = _CODE_OF[kind]
        return msgspec.msgpack.Ext(code, write(value).encode())
    if (
        kind.__module__ == "numpy" and getattr(value, "ndim", None) == 0
    ):  # a feature's function gave it: the same number
        return _told(value.item())
    raise BackendError(
        f"A value of the type {kind.__name__} does not reach another environment as it is.",
        fix="Have the feature give a number, a text, a date or an instant.",
    )


def _read(code: int, data: memoryview) -> Any:
    return _KINDS[code][2](bytes(data).decode())


def send(channel: socket.socket, data: bytes) -> None:
    """Write a frame.

    Raises:
        Late: The other side does not read it in time.
        Ended: The other side is gone.
    """
    try:
        channel.sendall(_LENGTH.pack(len(data)) + data)
    except TimeoutError:
        raise Late from None
    except OSError as problem:
        raise Ended(str(problem)) from problem


def receive(channel: socket.socket, until: float | None = None) -> bytes:
    """Read a frame.

    Args:
        channel: From where.
        until: How long it is waited for, in time of `time.monotonic`; None for ever.

    Raises:
        Late: It was not whole in time.
        Ended: The other side is gone.
    """
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size, until))
    if length > _MOST_BYTES:
        raise Ended(f"a frame of {length:,} bytes came")
    return _exactly(channel, length, until)


def _exactly(channel: socket.socket, size: int, until: float | None) -> bytes:
    parts: list[bytes] = []
    while size:
        if until is not None:
            left = until - time.monotonic()
            if left <= 0:
                raise Late
            channel.settimeout(left)
        try:
            part = channel.recv(min(size, 1 << 20))
        except TimeoutError:
            raise Late from None
        except OSError as problem:
            raise Ended(str(problem)) from problem
        if not part:
            raise Ended("its process has ended")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
