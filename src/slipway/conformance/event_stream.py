"""What every stream of events must do."""

from __future__ import annotations

from pathlib import Path

from slipway.ports.event_stream import Entry, EventStream

__all__ = ["EventStreamSuite"]


class EventStreamSuite:
    """The tests; a subclass says how a stream is opened and how others add to it."""

    def make(self, folder: Path, group: str = "g") -> EventStream:
        """Open the stream that belongs to a folder for a group; called again, as the group's next process would."""
        raise NotImplementedError

    def add(self, folder: Path, rows: list[bytes | None]) -> None:
        """Add entries; None for one without a row."""
        raise NotImplementedError

    def refused(self, folder: Path) -> list[tuple[str, bytes]]:
        """What was put aside: reason and row of each."""
        raise NotImplementedError

    def test_entries_come_in_order_until_they_are_ended(self, tmp_path: Path) -> None:
        """What was added before the group asked is given too; what is not ended is given again first."""
        self.add(tmp_path, [b"1", b"2", b"3"])
        stream = self.make(tmp_path)
        first = stream.read(2, 0.01)
        assert [entry.row for entry in first] == [b"1", b"2"]
        stream.acknowledge([first[0].id])
        assert [entry.row for entry in stream.read(5, 0.01)] == [b"2"]
        assert stream.behind() == 2
        again = stream.read(5, 0.01)
        stream.acknowledge([entry.id for entry in again])
        last = stream.read(5, 0.01)
        assert [entry.row for entry in last] == [b"3"]
        stream.acknowledge([entry.id for entry in last])
        stream.acknowledge([])
        assert stream.read(5, 0.01) == []
        assert stream.behind() == 0
        stream.close()
        stream.close()

    def test_a_successor_gets_what_was_not_ended(self, tmp_path: Path) -> None:
        """A process that ends without a word loses nothing; another group reads for itself."""
        self.add(tmp_path, [b"%d" % number for number in range(5)])
        killed = self.make(tmp_path)
        killed.acknowledge([entry.id for entry in killed.read(2, 0.01)])
        killed.read(2, 0.01)
        successor = self.make(tmp_path)
        assert [entry.row for entry in _all(successor)] == [b"2", b"3", b"4"]
        assert [entry.row for entry in _all(self.make(tmp_path, "other"))] == [b"0", b"1", b"2", b"3", b"4"]

    def test_what_is_refused_is_put_aside_with_its_reason(self, tmp_path: Path) -> None:
        """It is ended, and found again with the reason."""
        self.add(tmp_path, [b"good", None, b"bad"])
        stream = self.make(tmp_path)
        good, empty, bad = stream.read(5, 0.01)
        assert empty.row is None
        stream.refuse([(empty, "no row"), (bad, "does not fit")])
        stream.refuse([])
        assert self.refused(tmp_path) == [("no row", b""), ("does not fit", b"bad")]
        assert stream.read(5, 0.01) == [good]
        stream.acknowledge([good.id])
        assert stream.behind() == 0
        stream.close()

    def test_a_stream_that_nobody_has_written_is_empty(self, tmp_path: Path) -> None:
        """It is no error to read first."""
        stream = self.make(tmp_path)
        assert stream.read(5, 0.01) == []
        assert stream.behind() == 0
        self.add(tmp_path, [b"1"])
        assert [entry.row for entry in stream.read(5, 1.0)] == [b"1"]
        stream.close()


def _all(stream: EventStream) -> list[Entry]:
    found: list[Entry] = []
    while entries := stream.read(2, 0.01):
        found += entries
        stream.acknowledge([entry.id for entry in entries])
    stream.close()
    return found
