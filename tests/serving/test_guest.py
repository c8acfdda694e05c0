"""A challenger in a process of its own, asked over the sockets that it inherits."""

import math
import os
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as time_of_day
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway.errors import BackendError, Corrupt, InvalidInput
from slipway.serving.guest import Guest, GuestGone, Opening, model_ns
from slipway.serving.guest_wire import decode, encode
from slipway.serving.http import TooSlow

PROCESS = """
import os, socket, sys, threading, time
from slipway.serving.guest_wire import decode, encode, receive, send
life, *channels = [socket.socket(fileno=int(number)) for number in sys.argv[1:]]
said = receive(life)
def serve(channel):
    while True:
        name, rows, *more = decode(receive(channel))
        first = rows[0][0]
        if first == "die":
            os._exit(3)
        if first == "refuse":
            answer = ["invalid", ["It is none.", "", "", "a"], 0]
        elif first == "fail":
            answer = ["failed", "ValueError: no", 0]
        elif first == "hang":
            time.sleep(60)
        else:
            time.sleep(first)
            answer = ["ok", [float(os.getpid())] * len(rows), int(first * 1e9)]
        send(channel, encode(answer))
for channel in channels:
    threading.Thread(target=serve, args=(channel,), daemon=True).start()
if b"broken" in said:
    send(life, encode(["refused", "It is broken.", "", ""]))
send(life, encode(["ready", []]))
life.recv(1)
os._exit(0)
"""


def guest(bundle: str = "b", **more: Any) -> Guest:
    def command(sockets: Sequence[int]) -> list[str]:
        return [sys.executable, "-c", PROCESS, *map(str, sockets)]

    return Guest("delays 2", command, Opening(bundle=bundle, fields=()), **more)


def until(look: Callable[[], Any], within_s: float = 180.0) -> Any:
    end = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
    return found


def is_another(one: Guest, former: int) -> bool:
    """Look as its worker does; whether it is up in another process."""
    one.look()
    return one.is_up and one.pid != former


@pytest.mark.parametrize(
    "value",
    [
        0.1, -0.0, math.inf, 5e-324, struct.unpack("<d", struct.pack("<Q", 0x7FF8DEADBEEF0001))[0],
        0, 2**63 - 1, -(2**63), 2**80, True, None, "", "Zürich 🛬", b"\0\xff", "2013-04-01",
        datetime(2013, 4, 1, 12, 0, 0, 1, tzinfo=UTC), datetime(2013, 4, 1, 12), date(2013, 4, 1), time_of_day(6, 30),
        datetime(2013, 4, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30))), timedelta(-1, 5, 7), Decimal("1.10"),
        {"a": [1, None, {"b": date(2013, 4, 1)}]},
    ],
)  # fmt: skip
def test_a_value_arrives_as_it_was(value: Any) -> None:
    found = decode(encode([[value]]))[0][0]
    assert type(found) is type(value)
    if isinstance(value, float):
        assert struct.pack("<d", found) == struct.pack("<d", value)
    else:
        assert found == value
    if isinstance(value, datetime):
        assert found.utcoffset() == value.utcoffset()


def test_a_number_of_numpy_arrives_as_the_number_and_what_would_change_is_refused() -> None:
    assert decode(encode([np.float32(0.1), np.int8(3), np.bool_(True)])) == [float(np.float32(0.1)), 3, True]
    with pytest.raises(BackendError, match="set"):
        encode([{1}])


@pytest.mark.full
def test_it_is_asked_and_what_it_says_is_raised_here() -> None:
    one = guest()
    try:
        assert one.predict([[0.0], [0.0]]) == [float(one.pid)] * 2
        with pytest.raises(InvalidInput, match="none") as problem:
            one.predict([["refuse"]])
        assert problem.value.field == "a"
        with pytest.raises(BackendError, match="ValueError: no"):
            one.resolve([["fail"]], datetime(2013, 4, 1, tzinfo=UTC))
        with pytest.raises(BackendError, match="does not reach"):
            one.predict([[{1}]])
        assert one.predict([[0.0]]) == [float(one.pid)], "a call that was never sent costs nothing"
    finally:
        one.close()
    with pytest.raises(GuestGone):
        one.predict([[0.0]])


@pytest.mark.full
def test_calls_do_not_wait_for_one_another_and_the_way_is_no_time_of_the_model() -> None:
    one, told = guest(), []

    def waits() -> None:
        try:
            one.predict([[30.0]])
        except GuestGone as problem:
            told.append(problem)

    try:
        slow = threading.Thread(target=waits)
        slow.start()
        began = model_ns()
        assert one.predict([[0.05]]) == [float(one.pid)]
        assert 0.05e9 <= model_ns() - began < 20e9
        assert slow.is_alive()
    finally:
        one.close()
    slow.join(10)
    assert len(told) == 1, "who waits hears at once that it has ended"


@pytest.mark.full
def test_one_that_dies_or_hangs_is_started_again_and_that_is_counted() -> None:
    ended: list[int] = []
    checked: list[Any] = []
    one = guest(ended=lambda: ended.append(1), check=lambda ask, left: checked.append(ask(["predict", [[0.0]]])))
    try:
        first = one.pid
        with pytest.raises(GuestGone):
            one.predict([["die"]])
        until(lambda: not one.is_up)
        until(lambda: is_another(one, first))
        assert (len(ended), len(checked)) == (1, 2), "it is checked again before anybody asks it"
        one.limit_s = 0.2
        second = one.pid
        with pytest.raises(TooSlow):
            one.predict([["hang"]])
        until(lambda: is_another(one, second))
        assert len(ended) == 2
        third = one.pid
        one.look(memory_bytes=1)
        until(lambda: is_another(one, third))
        assert len(ended) == 2, "one that became too large is no crash"
    finally:
        one.close()


@pytest.mark.full
def test_one_that_cannot_be_loaded_or_answers_otherwise_is_refused_and_leaves_no_process() -> None:
    with pytest.raises(Corrupt, match="broken"):
        guest("broken")

    asked: list[float] = []

    def differs(ask: Callable[[list[Any]], Any], left: frozenset[int]) -> None:
        asked.extend(ask(["predict", [[0.0]]]))
        raise Corrupt("It differs.")

    with pytest.raises(Corrupt, match="differs"):
        guest(check=differs)
    assert not Path(f"/proc/{int(asked[0])}").exists()
    with pytest.raises(BackendError, match="cannot be started"):
        Guest("delays 2", lambda sockets: ["/nowhere/python"], Opening(bundle="b", fields=()))


@pytest.mark.full
def test_it_ends_with_whoever_started_it() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        one = guest()
        os.write(writer, f"{one.pid}\n".encode())
        os._exit(1)  # as a kill: nothing is closed in order
    os.waitpid(pid, 0)
    started = int(os.read(reader, 20))
    until(lambda: not Path(f"/proc/{started}/cmdline").exists() or not Path(f"/proc/{started}/cmdline").read_bytes())
