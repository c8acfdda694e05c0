import threading
from collections.abc import Iterator

import pytest
from serving_desk import LOG

from slipway.errors import Unavailable
from slipway.records.predictions import PredictionRow
from slipway.serving.counters import LOG_DROPPED, LOG_FAILED, LOG_WRITTEN, Counters
from slipway.serving.row_queue import RowQueue


def rows_of(*ids: str) -> list[PredictionRow]:
    return [PredictionRow(id, 0, 0, 1, "b", "", [], [], 0.5) for id in ids]


class Writer:
    """Appends to a list; can be held up and can fail."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.batches = 0
        self.free = threading.Event()
        self.busy = threading.Event()
        self.free.set()
        self.problem: OSError | None = None

    def append(self, rows: list[PredictionRow]) -> None:
        self.busy.set()
        assert self.free.wait(10)
        if self.problem:
            raise self.problem
        self.batches += 1
        self.written += [row.id for row in rows]


@pytest.fixture
def writer() -> Iterator[Writer]:
    made = Writer()
    yield made
    made.free.set()


def test_rows_are_written_in_order_and_all_of_them_on_close(writer: Writer) -> None:
    counters = Counters()
    log = RowQueue(writer.append, counters, LOG, what="predictions")
    ids = [str(i) for i in range(1000)]
    for id in ids:
        assert log.put(rows_of(id))
    log.close()
    assert writer.written == ids
    assert writer.batches < 1000
    assert log.waiting_rows == 0
    assert counters.total(LOG_WRITTEN) == 1000


def test_a_full_queue_drops_counts_and_never_waits(writer: Writer) -> None:
    counters = Counters()
    log = RowQueue(writer.append, counters, LOG, what="predictions", capacity_rows=3)
    writer.free.clear()
    assert log.put(rows_of("a"))
    assert writer.busy.wait(10)  # "a" is being written and still counts as waiting
    assert log.put(rows_of("b", "c"))
    assert not log.put(rows_of("d"))
    writer.free.set()
    log.close()
    assert writer.written == ["a", "b", "c"]
    assert counters.total(LOG_DROPPED) == 1


def test_put_and_tell_is_done_only_when_the_rows_are_written(writer: Writer) -> None:
    log = RowQueue(writer.append, Counters(), LOG, what="predictions", capacity_rows=1)
    writer.free.clear()
    first, second = log.put_and_tell(rows_of("a", "b")), log.put_and_tell(rows_of("c"))
    assert writer.busy.wait(10)
    assert not first.done()
    writer.free.set()
    first.result(10)
    second.result(10)
    assert writer.written == ["a", "b", "c"]
    log.close()


def test_a_log_that_cannot_be_written_is_counted_told_and_goes_on(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    counters = Counters()
    log = RowQueue(writer.append, counters, LOG, what="predictions")
    writer.problem = OSError("no space left")
    with pytest.raises(Unavailable, match="could not be written"):
        log.put_and_tell(rows_of("a", "b")).result(10)
    assert counters.total(LOG_FAILED) == 2
    assert "could not be appended" in caplog.text
    writer.problem = None
    log.put_and_tell(rows_of("c")).result(10)
    assert writer.written == ["c"]
    log.close()


def test_a_closed_log_takes_nothing_and_says_so(writer: Writer) -> None:
    counters = Counters()
    log = RowQueue(writer.append, counters, LOG, what="predictions")
    log.close()
    assert not log.put(rows_of("a"))
    with pytest.raises(Unavailable, match="stopping"):
        log.put_and_tell(rows_of("b")).result(1)
    assert counters.total(LOG_DROPPED) == 2
