"""Each stream of events against the port's suite."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import redis_here
from slipway import plugins
from slipway.conformance.event_stream import EventStreamSuite
from slipway.errors import Unavailable
from slipway.ports.event_stream import EventStream


@pytest.mark.full
class TestRedisStream(EventStreamSuite):
    @pytest.fixture(autouse=True)
    def _clean(self, tmp_path: Path) -> Iterator[None]:
        with redis_here.cleaned(str(tmp_path)):
            yield

    def _name(self, folder: Path) -> str:
        return f"{{{folder}}}:flights"

    def make(self, folder: Path, group: str = "g") -> EventStream:
        stream: EventStream = plugins.load("stream", "redis")(redis_here.URL, self._name(folder), group)
        return stream

    def add(self, folder: Path, rows: list[bytes | None]) -> None:
        with redis_here.client() as redis:
            for row in rows:
                redis.xadd(self._name(folder), {"other": "x"} if row is None else {"row": row})

    def refused(self, folder: Path) -> list[tuple[str, bytes]]:
        with redis_here.client() as redis:
            found = redis.xrange(f"{self._name(folder)}:refused")
        return [(fields[b"reason"].decode(), fields[b"row"]) for _, fields in found]

    def test_a_stream_that_is_deleted_is_read_anew(self, tmp_path: Path) -> None:
        stream = self.make(tmp_path)
        self.add(tmp_path, [b"1"])
        stream.acknowledge([entry.id for entry in stream.read(5, 0.1)])
        with redis_here.client() as redis:
            redis.delete(self._name(tmp_path))
        self.add(tmp_path, [b"2"])
        found = [entry.row for _ in range(3) for entry in stream.read(5, 0.05)]
        assert b"2" in found
        stream.close()

    def test_what_was_given_in_an_answer_that_got_lost_is_given_again(self, tmp_path: Path) -> None:
        """The connection breaks after Redis has given entries and before they arrive: they are not left behind."""
        with _line() as line:
            stream = plugins.load("stream", "redis")(line.url, self._name(tmp_path), "g")
            assert stream.read(5, 0.01) == []
            self.add(tmp_path, [b"1", b"2"])
            line.cut_at = b"XREADGROUP"
            with pytest.raises(Unavailable, match="cannot be reached"):
                stream.read(5, 0.01)
            assert line.cut_at == b""
            found = []
            for _ in range(20):
                with suppress(Unavailable):
                    found += [entry.row for entry in stream.read(5, 0.05)]
                if found:
                    break
                time.sleep(0.1)  # a link that broke rests for a moment
            assert found == [b"1", b"2"]
            stream.close()


class _Line:
    """A connection to Redis that may break: `cut_at` names the command whose answer gets lost."""

    def __init__(self) -> None:
        self.cut_at = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}{urlsplit(redis_here.URL).path}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        there = urlsplit(redis_here.URL)
        with suppress(OSError):
            while True:
                ours, _ = self._listener.accept()
                theirs = socket.create_connection((there.hostname, there.port or 6379))
                threading.Thread(target=self._carry, args=(ours, theirs), daemon=True).start()

    def _carry(self, ours: socket.socket, theirs: socket.socket) -> None:
        with ours, theirs, suppress(OSError):
            while asked := ours.recv(1 << 16):
                theirs.sendall(asked)
                answer = theirs.recv(1 << 16)
                if self.cut_at and self.cut_at in asked:
                    self.cut_at = b""
                    return
                ours.sendall(answer)

    def close(self) -> None:
        self._listener.close()


@contextmanager
def _line() -> Iterator[_Line]:
    redis_here.client().close()
    line = _Line()
    try:
        yield line
    finally:
        line.close()
