"""Small Parquet files become larger ones: nothing lost, nothing twice, whoever reads meanwhile and whoever is killed."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from log_desk import AT_US, CONTRACT, SIGNATURE, answer, lay_out, write
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.tables import log_compaction
from slipway.tables.log_compaction import compact
from slipway.tables.log_erasing import erase_rows
from slipway.tables.log_reader import LogReader
from slipway.tables.log_rolling import drop_days, roll
from slipway.tables.log_rows import read_rows
from slipway.tables.prediction_log import predictions

DAY = "parquet/predictions/log_day=2013-04-01"


def same_day(n: int, **more: Any) -> PredictionRow:
    return answer(n, at_us=AT_US + n, **more)


def rolled(folder: Path, *numbers: int, **more: Any) -> None:
    """One small file for each row."""
    lay_out(folder)
    for n in numbers:
        write(folder, "predictions", [same_day(n, **more)])
        roll(folder)


def ids(folder: Path) -> list[str]:
    return [row.id for row in read_rows(folder, "predictions", PredictionRow)[0]]


def counted(folder: Path) -> tuple[int, int]:
    """Rows and different ids, by a glob."""
    query = f"select count(*), count(distinct id) from read_parquet('{folder}/parquet/predictions/**/*.parquet')"
    with duckdb.connect() as connection:
        rows, different = connection.execute(query).fetchall()[0]
    return rows, different


def test_many_small_files_become_one_and_every_reader_finds_the_same_rows(tmp_path: Path) -> None:
    rolled(tmp_path, *range(8))
    rolled(tmp_path, 8, features=[12, None, "other", 0.5])  # a file that has a column more
    for n in range(9):
        write(tmp_path, "labels", [LabelRow(f"p{n}", "", float(n), AT_US + n, n)])
        roll(tmp_path)
    before = predictions(tmp_path, CONTRACT, SIGNATURE)
    rows = read_rows(tmp_path, "predictions", PredictionRow)[0]
    truths = read_rows(tmp_path, "labels", LabelRow)[0]
    done = compact(tmp_path)
    assert (done.files, done.into, done.left) == (18, 2, "")
    assert len(list(tmp_path.glob("parquet/predictions/*/*"))) == 1
    after = predictions(tmp_path, CONTRACT, SIGNATURE)
    assert after.drop("extra").equals(before.drop("extra"))
    assert after["extra"].to_list() == before["extra"].to_list()
    assert read_rows(tmp_path, "predictions", PredictionRow)[0] == rows
    assert read_rows(tmp_path, "labels", LabelRow)[0] == truths
    assert counted(tmp_path) == (9, 9)
    assert not list(tmp_path.glob("staged/*"))
    assert compact(tmp_path).files == 0


def test_few_files_wait_until_their_day_is_quiet(tmp_path: Path) -> None:
    rolled(tmp_path, 0, 1)
    assert compact(tmp_path).files == 0
    for path in tmp_path.glob(f"{DAY}/*"):
        os.utime(path, (time.time() - 90_000,) * 2)
    assert compact(tmp_path).files == 2
    assert ids(tmp_path) == ["p0", "p1"]


def test_files_of_other_columns_and_large_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rolled(tmp_path, *range(4))
    compact(tmp_path, many=2)
    (large,) = tmp_path.glob(f"{DAY}/*")
    monkeypatch.setattr(log_compaction, "_SMALL_BYTES", large.stat().st_size)
    lay_out(tmp_path, 2, CONTRACT.fields[:2], SIGNATURE.inputs)
    for n in (4, 5, 6):
        write(tmp_path, "predictions", [same_day(n, revision=2, request=["ZZ", 1.0])])
        roll(tmp_path)
    rolled(tmp_path, 7, 8)
    assert compact(tmp_path, many=2).into == 2
    assert large.exists()
    assert len(list(tmp_path.glob(f"{DAY}/*"))) == 3
    assert sorted(ids(tmp_path)) == [f"p{n}" for n in range(9)]


def test_who_has_read_some_of_the_files_reads_the_others_only(tmp_path: Path) -> None:
    lay_out(tmp_path)
    reader = LogReader(tmp_path)
    seen: list[str] = []
    cursor: dict[str, int] = {}
    for n in range(0, 30, 3):
        rolled(tmp_path, n, n + 1)
        write(tmp_path, "predictions", [same_day(n + 2)])
        if n % 2:
            rows, cursor = read_rows(tmp_path, "predictions", PredictionRow, cursor, limit=2)
            seen += [row.id for row in rows]
        else:
            reader.refresh(lambda revision, bundle: (CONTRACT, SIGNATURE))
        if n % 4 != 1:
            compact(tmp_path, many=2)  # also of files that were made of others
    while rows := (found := read_rows(tmp_path, "predictions", PredictionRow, cursor, limit=3))[0]:
        cursor = found[1]
        seen += [row.id for row in rows]
    reader.refresh(lambda revision, bundle: (CONTRACT, SIGNATURE))
    everything = sorted(f"p{n}" for n in range(30))
    assert sorted(seen) == everything
    assert sorted(reader.answered()["id"]) == everything
    assert len(cursor) < 12, "what is gone is forgotten"


def test_what_is_erased_and_dropped_goes_from_larger_files_too_and_who_reads_on_reads_nothing_again(
    tmp_path: Path,
) -> None:
    rolled(tmp_path, *range(4))
    _, cursor = read_rows(tmp_path, "predictions", PredictionRow)
    compact(tmp_path, many=2)
    assert erase_rows(tmp_path, "predictions", lambda row: row[5] == "k2") == 1
    rolled(tmp_path, 5)
    compact(tmp_path, many=2)
    assert [row.id for row in read_rows(tmp_path, "predictions", PredictionRow, cursor)[0]] == ["p5"]
    assert ids(tmp_path) == ["p0", "p1", "p3", "p5"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"k2" in path.read_bytes()]
    assert drop_days(tmp_path, ("predictions",), date(2013, 4, 2)) == [date(2013, 4, 1)]
    assert ids(tmp_path) == []


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from slipway.tables import durable, log_compaction
    from slipway.tables.log_compaction import compact

    folder, at = Path(sys.argv[1]), int(sys.argv[2])
    count = 0
    def step():
        global count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
    def hook(event, args):
        is_write = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)
        if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link") or is_write:
            if str(folder) in str(args[0]) and not str(args[0]).endswith(".lock"):
                step()
    sys.addaudithook(hook)
    real = log_compaction.exchange
    def exchange(one, other):  # no event tells of it
        step()
        done = real(one, other)
        step()
        return done
    log_compaction.exchange = exchange
    compact(folder, many=2)
    print("done")
"""


@pytest.mark.full
def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    for at in range(1, 40):
        folder = tmp_path / str(at)
        rolled(folder, *range(3))
        write(folder, "predictions", [same_day(8)])
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(folder), str(at)], capture_output=True, text=True
        )
        assert run.returncode in (0, -signal.SIGKILL), run.stderr
        assert counted(folder) == (3, 3), at
        assert sorted(ids(folder)) == ["p0", "p1", "p2", "p8"]
        roll(folder)
        compact(folder, many=2)
        assert not list(folder.glob("staged/*"))
        assert len(list(folder.glob(f"{DAY}/*"))) == 1
        assert counted(folder) == (4, 4)
        if run.returncode == 0:
            break
    assert at == 8, "each step of it was killed"
    assert run.stdout == "done\n"


def test_who_reads_by_a_glob_meanwhile_finds_each_row_once_or_is_told_that_a_file_is_gone(tmp_path: Path) -> None:
    lay_out(tmp_path)
    for part in range(3):  # three small files in each of 25 days
        write(tmp_path, "predictions", [answer(4 * day + part) for day in range(25)])
        roll(tmp_path)
    done, begun, counts, gone = threading.Event(), threading.Event(), [], []
    scan = str(tmp_path / "parquet" / "predictions" / "**" / "*.parquet")

    def read() -> None:
        while not done.is_set():
            for count in (lambda: counted(tmp_path)[0], lambda: pl.scan_parquet(scan).select("id").collect().height):
                try:
                    counts.append(count())
                except (duckdb.IOException, FileNotFoundError) as problem:
                    gone.append(problem)
            begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(60)
    assert compact(tmp_path, many=2).into == 25
    done.set()
    reader.join()
    assert set(counts) == {75}
    assert all("No such file" in str(problem) or "Cannot open" in str(problem) for problem in gone)
    assert counted(tmp_path) == (75, 75)
