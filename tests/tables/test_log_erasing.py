"""Rows are erased from segments where they lie; writers and readers notice nothing, and a kill is made good."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.errors import Corrupt
from slipway.records.predictions import LabelRow
from slipway.tables.log_erasing import erase_rows, finish_erasing
from slipway.tables.segments import JOURNAL, SegmentWriter, read_segments


def row(n: int, key: str = "k") -> LabelRow:
    return LabelRow(f"id{n}", key, float(n), n, n)


def ids(folder: Path) -> list[str]:
    return [one.prediction for one in read_segments(folder, "labels", LabelRow)[0]]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(st.lists(st.sampled_from(["ada", "bob", "eve"]), min_size=1, max_size=6), max_size=6),
    whom=st.lists(st.sampled_from(["ada", "bob", "eve"]), max_size=3),
)
def test_whatever_is_erased_one_after_another_the_others_stay_in_order(
    tmp_path_factory: pytest.TempPathFactory, frames: list[list[str]], whom: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    writer, number, written = SegmentWriter(folder, "labels"), 0, []
    for frame in frames:
        rows = [row(number + i, key) for i, key in enumerate(frame)]
        number += len(rows)
        written += rows
        writer.append(rows)
    _, cursor = read_segments(folder, "labels", LabelRow)
    sizes = {path: path.stat().st_size for path in folder.glob("*.seg")}
    gone: set[str] = set()
    for name in whom:
        counted = erase_rows(folder, "labels", lambda one, name=name: one[1] == name, dry_run=True)
        assert counted == sum(one.key == name for one in written if one.key not in gone)
        assert erase_rows(folder, "labels", lambda one, name=name: one[1] == name) == counted
        gone.add(name)
        assert erase_rows(folder, "labels", lambda one, name=name: one[1] == name) == 0
    assert read_segments(folder, "labels", LabelRow)[0] == [one for one in written if one.key not in gone]
    assert {path: path.stat().st_size for path in folder.glob("*.seg")} == sizes
    writer.append([row(999, "new")])
    assert [one.prediction for one in read_segments(folder, "labels", LabelRow, cursor)[0]] == ["id999"]
    writer.close()


def test_a_kill_while_frames_are_written_is_made_good(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "labels")
    writer.append([row(0, "ada"), row(1, "bob" * 50)])
    writer.append([row(2, "bob"), row(3, "ada")])
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from slipway.tables.log_erasing import erase_rows

        whole = os.pwrite
        def half(handle, data, offset):
            whole(handle, bytes(data)[: len(data) // 2], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        os.pwrite = half
        erase_rows(Path({str(tmp_path)!r}), "labels", lambda one: one[1] == "ada")
        """
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    writer.append([row(4, "eve")])
    finish_erasing(tmp_path)
    assert ids(tmp_path) == ["id1", "id2", "id4"]
    assert not list(tmp_path.glob(f"*{JOURNAL}"))
    assert b"ada" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_a_reader_waits_for_a_frame_that_is_being_written(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "labels")
    writer.append([row(0, "ada"), row(1, "bob")])
    writer.append([row(2, "bob")])
    (path,) = tmp_path.glob("*.seg")
    whole = path.read_bytes()
    journal = path.with_name(path.name + JOURNAL)
    journal.write_bytes(b"")
    handle = os.open(path, os.O_WRONLY)
    os.pwrite(handle, b"\xff\xff", 20)

    def mend() -> None:
        os.pwrite(handle, whole, 0)
        journal.unlink()

    timer = threading.Timer(0.1, mend)
    timer.start()
    assert ids(tmp_path) == ["id0", "id1", "id2"]
    timer.join()
    os.pwrite(handle, b"\xff\xff", 20)
    os.close(handle)
    with pytest.raises(Corrupt, match="check sum"):
        ids(tmp_path)
