"""Each stream of events against the port's suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import redis_here
from slipway import plugins
from slipway.conformance.event_stream import EventStreamSuite
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
