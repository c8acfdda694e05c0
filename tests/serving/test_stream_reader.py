"""What a worker counts of the streams that it reads, while a stream or the store cannot be reached."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import wait_for
from serving_desk import a_revision, an_active

import redis_here
from slipway.errors import Unavailable
from slipway.features.online import Received
from slipway.hosts.online_stores import open_stream
from slipway.records.endpoints import StreamSpec
from slipway.serving import counters as count
from slipway.serving.counters import Counters
from slipway.serving.streams import StreamReader

pytestmark = pytest.mark.full


class Taken:
    """An online store that may be away, and what it took."""

    def __init__(self) -> None:
        self.away = True
        self.asked = 0
        self.rows: list[Any] = []

    def __call__(self, name: str, rows: Any) -> Received:
        self.asked += 1
        if self.away:
            raise Unavailable("The online store is away.")
        self.rows += rows
        return Received(len(rows), len(rows), 0)


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[StreamSpec]:
    with redis_here.cleaned(str(tmp_path)) as prefix:
        yield StreamSpec(url=redis_here.URL, name=f"{{{prefix}}}:flights", source="flights")


def test_how_far_it_is_behind_is_told_while_nothing_is_taken_and_never_added_up(
    tmp_path: Path, stream: StreamSpec
) -> None:
    """One stream cannot be reached, the store takes nothing of the other: three entries stay three, pass after pass."""
    nowhere = StreamSpec(url="redis://127.0.0.1:1/0", name="gone", source="flights")
    taken, counters = Taken(), Counters()
    active = [an_active(a_revision(streams=(nowhere, stream)), sources={"flights": lambda rows: None}, receive=taken)]
    with redis_here.client() as redis:
        for number in range(3):
            redis.xadd(stream.name, {"row": f'{{"n": {number}}}'})
    reader = StreamReader(tmp_path, lambda: active[0], lambda spec: open_stream(spec, "g"), lambda rows: None, counters)
    reader.start()
    try:
        wait_for(lambda: counters.total(count.STREAM_BEHIND) == 3, "it is told")
        for _ in range(3):
            before = taken.asked
            wait_for(lambda before=before: taken.asked > before, "it tries again")
            assert counters.total(count.STREAM_BEHIND) == 3
        taken.away = False
        wait_for(lambda: counters.total(count.STREAM_BEHIND) == 0, "all is taken in")
        assert [row["n"] for row in taken.rows] == [0, 1, 2]
        assert counters.total(count.STREAM_TAKEN) == 3
        taken.away = True
        with redis_here.client() as redis:
            redis.xadd(stream.name, {"row": "{}"})
        wait_for(lambda: counters.total(count.STREAM_BEHIND) == 1, "another waits")
        active[0] = an_active(a_revision(2))
        wait_for(lambda: counters.total(count.STREAM_BEHIND) == 0, "a stream that is no longer read is not behind")
    finally:
        reader.close()
