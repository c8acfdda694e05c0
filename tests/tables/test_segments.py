import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import BackendError, Corrupt
from slipway.records.predictions import LabelRow
from slipway.tables.segments import SegmentWriter, read_segments


def label(n: int) -> LabelRow:
    return LabelRow(prediction=f"p{n}", key="", value=float(n), observed_us=n, received_us=n)


def values(rows: list[LabelRow]) -> list[int]:
    return [int(row.value) for row in rows]


def test_rows_come_back_in_order_and_a_cursor_goes_on(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "log", "labels")
    writer.append([label(0), label(1)])
    rows, cursor = read_segments(tmp_path / "log", "labels", LabelRow)
    assert rows == [label(0), label(1)]
    assert read_segments(tmp_path / "log", "labels", LabelRow, cursor) == ([], cursor)
    writer.append([])
    writer.append([label(2)])
    stored = msgspec.json.decode(msgspec.json.encode(cursor))
    assert values(read_segments(tmp_path / "log", "labels", LabelRow, stored)[0]) == [2]
    writer.close()


def test_no_folder_is_no_rows(tmp_path: Path) -> None:
    assert read_segments(tmp_path / "none", "labels", LabelRow) == ([], {})


def test_kinds_do_not_mix(tmp_path: Path) -> None:
    SegmentWriter(tmp_path, "labels").append([label(1)])
    SegmentWriter(tmp_path, "events").append([{"x": 1}])
    assert values(read_segments(tmp_path, "labels", LabelRow)[0]) == [1]
    assert read_segments(tmp_path, "events", dict)[0] == [{"x": 1}]


def test_files_roll_by_size_and_age(tmp_path: Path) -> None:
    for kind, rule in (("small", {"roll_bytes": 1}), ("young", {"roll_age_s": 0.0})):
        writer = SegmentWriter(tmp_path, kind, **rule)  # type: ignore[arg-type]
        for n in range(5):
            writer.append([label(n)])
        writer.close()
        assert len(list(tmp_path.glob(f"{kind}-*"))) == 5
        assert values(read_segments(tmp_path, kind, LabelRow)[0]) == [0, 1, 2, 3, 4]


def test_a_limit_stops_between_frames_and_loses_nothing(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "labels", roll_bytes=60)
    for n in range(0, 20, 2):
        writer.append([label(n), label(n + 1)])
    seen: list[int] = []
    cursor: dict[str, int] = {}
    while True:
        rows, cursor = read_segments(tmp_path, "labels", LabelRow, cursor, limit=3)
        if not rows:
            break
        assert len(rows) == 4 or seen
        seen += values(rows)
    assert seen == list(range(20))


def test_many_threads_and_writers_share_a_folder(tmp_path: Path) -> None:
    writers = [SegmentWriter(tmp_path, "labels", sync=True) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: writers[n % 2].append([label(n)]), range(40)))
    assert sorted(values(read_segments(tmp_path, "labels", LabelRow)[0])) == list(range(40))
    assert len(list(tmp_path.glob("labels-*"))) == 2


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_a_file_torn_anywhere_gives_its_whole_frames(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("log")
    writer = SegmentWriter(folder, "labels")
    ends = [0]
    path = folder
    for size in sizes:
        writer.append([label(n) for n in range(size)])
        (path,) = folder.glob("labels-*")
        ends.append(path.stat().st_size)
    writer.close()
    cut = data.draw(st.integers(0, ends[-1]))
    whole = sum(end <= cut for end in ends) - 1
    content = path.read_bytes()
    zeros = data.draw(st.sampled_from([0, 3, 100]))
    path.write_bytes(content[:cut] + bytes(zeros))
    rows, cursor = read_segments(folder, "labels", LabelRow)
    # Zeros that a crash of the machine left may happen to be the very bytes that were written.
    assert len(rows) == sum(sizes[:whole]) or (zeros and content[cut:].startswith(b"\0"))
    path.write_bytes(content)
    assert values(rows + read_segments(folder, "labels", LabelRow, cursor)[0]) == [n for s in sizes for n in range(s)]


def test_a_last_frame_with_wrong_bytes_is_a_torn_tail_but_not_one_in_the_middle(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "labels")
    writer.append([label(1)])
    writer.append([label(2)])
    (path,) = tmp_path.glob("labels-*")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\xff")
    assert values(read_segments(tmp_path, "labels", LabelRow)[0]) == [1]
    path.write_bytes(content[:10] + b"\xff" + content[11:])
    with pytest.raises(Corrupt, match="from byte 0: its check sum does not hold"):
        read_segments(tmp_path, "labels", LabelRow)


def test_rows_of_another_shape_are_said(tmp_path: Path) -> None:
    SegmentWriter(tmp_path, "labels").append([{"x": 1}])
    with pytest.raises(Corrupt, match="Expected `array`"):
        read_segments(tmp_path, "labels", LabelRow)


def test_a_failed_write_ends_the_file_and_the_next_append_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SegmentWriter(tmp_path, "labels")
    writer.append([label(1)])
    real = os.write

    def full(file: int, data: Any) -> int:
        if len(data) < 12:
            raise OSError(28, "No space left on device")
        return real(file, data[:10])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(BackendError, match="1 rows could not be appended to the labels log"):
            writer.append([label(2)])
    writer.append([label(3)])
    assert values(read_segments(tmp_path, "labels", LabelRow)[0]) == [1, 3]


CHILD = """
import os, signal, sys
from pathlib import Path
from slipway.records.predictions import LabelRow
from slipway.tables import segments

assert not {"polars", "numpy"} & set(sys.modules)
writer = segments.SegmentWriter(Path(sys.argv[1]), "labels")
for n in range(7):
    writer.append([LabelRow(prediction="", key="k", value=float(n), observed_us=n, received_us=n)])
real = os.write

def torn(file, data):
    real(file, data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

os.write = torn
writer.append([LabelRow(prediction="", key="k", value=99.0, observed_us=0, received_us=0)])
"""


def test_kill_9_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    rows, cursor = read_segments(tmp_path, "labels", LabelRow)
    assert values(rows) == list(range(7))
    SegmentWriter(tmp_path, "labels").append([label(50)])
    assert values(read_segments(tmp_path, "labels", LabelRow, cursor)[0]) == [50]


def test_on_a_file_system_that_refuses_to_write_on_what_is_told_written_is_there(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import resource
        from pathlib import Path
        from slipway.errors import BackendError
        from slipway.records.predictions import LabelRow
        from slipway.tables.segments import SegmentWriter

        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))  # the kernel takes a part of a frame, then refuses
        writer, written = SegmentWriter(Path({str(tmp_path)!r}), "labels"), []
        for n in range(400):
            try:
                writer.append([LabelRow(f"p{{n}}", "k" * (n % 90), 1.0, n, n)], sync=n % 7 == 0)
                written.append(n)
            except BackendError:
                pass
        assert 300 < len(written) < 400
        print(*written)
        """
    )
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    found, _ = read_segments(tmp_path, "labels", LabelRow)
    assert [row.observed_us for row in found] == [int(n) for n in run.stdout.split()]
