"""Segments become Parquet, and no reader notices: each row is there once, whoever is killed."""

import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from log_desk import AT, AT_US, CONTRACT, DAY_US, SIGNATURE, B, answer, lay_out, write
from slipway.ids import new_id
from slipway.records.predictions import FailureRow, LabelRow, PredictionRow, PushedRow, ShadowRow
from slipway.records.schema import Field
from slipway.tables.log_compaction import compact
from slipway.tables.log_erasing import erase_rows, finish_erasing
from slipway.tables.log_folder import reading
from slipway.tables.log_reader import LogReader
from slipway.tables.log_rolling import drop_days, roll
from slipway.tables.log_rows import read_rows
from slipway.tables.prediction_log import labels, predictions
from slipway.tables.segments import SegmentWriter


def fill(folder: Path) -> None:
    lay_out(folder)
    write(folder, "predictions", [answer(n) for n in range(10)])
    write(folder, "predictions", [answer(n) for n in range(10, 14)])
    write(folder, "labels", [LabelRow(f"p{n}", "", float(n), AT_US + n * DAY_US // 2, n) for n in range(6)])
    write(folder, "shadows", [ShadowRow("p1", AT_US, 1, "challenger", B, None, 7)])
    write(folder, "failures", [FailureRow(AT_US, AT_US, 1, "champion", B, 2, "predict", True)])
    write(folder, "events", [PushedRow("source", "flights", AT_US, {"x": 1, "t": "é", "n": None, "l": [1.5]})])


KINDS = {
    "predictions": PredictionRow, "labels": LabelRow, "shadows": ShadowRow, "failures": FailureRow, "events": PushedRow,
}  # fmt: skip


def everything(folder: Path) -> dict[str, list[Any]]:
    return {kind: sorted(read_rows(folder, kind, of)[0], key=repr) for kind, of in KINDS.items()}


def test_rows_are_the_same_in_parquet(tmp_path: Path) -> None:
    fill(tmp_path)
    before, frame, truths = everything(tmp_path), predictions(tmp_path, CONTRACT, SIGNATURE), labels(tmp_path)
    done = roll(tmp_path)
    assert (done.rows, done.segments, done.left) == (23, 6, ())
    assert not list(tmp_path.glob("*.seg"))
    assert everything(tmp_path) == before
    after = predictions(tmp_path, CONTRACT, SIGNATURE)
    assert after.drop("extra").equals(frame.drop("extra"))
    assert after["extra"].to_list() == frame["extra"].to_list()
    assert after.schema == frame.schema
    assert labels(tmp_path).sort("prediction").equals(truths.sort("prediction"))
    assert roll(tmp_path).segments == 0


def test_a_segment_that_is_written_to_stays(tmp_path: Path) -> None:
    lay_out(tmp_path)
    writer = SegmentWriter(tmp_path, "predictions")
    writer.append([answer(1)])
    assert roll(tmp_path).segments == 0
    writer.append([answer(2)])
    assert [row.id for row in read_rows(tmp_path, "predictions", PredictionRow)[0]] == ["p1", "p2"]
    writer.close()
    assert roll(tmp_path).rows == 2


def test_a_writer_that_nobody_asks_closes_its_segment_when_it_is_due(tmp_path: Path) -> None:
    lay_out(tmp_path)
    writer = SegmentWriter(tmp_path, "predictions", roll_age_s=0.0)
    writer.append([answer(1)])
    writer.close_if_old()
    assert roll(tmp_path).rows == 1


def test_rows_of_which_nobody_knows_the_columns_stay_a_segment_and_are_read(tmp_path: Path) -> None:
    lay_out(tmp_path)
    write(tmp_path, "predictions", [answer(1)])
    write(tmp_path, "predictions", [answer(2, revision=2)])
    done = roll(tmp_path)
    assert done.segments == 1
    assert "revision 2" in done.left[0]
    assert len(read_rows(tmp_path, "predictions", PredictionRow)[0]) == 2


def glob_of(folder: Path) -> str:
    return str(folder / "parquet" / "predictions" / "**" / "*.parquet")


def test_polars_and_duckdb_read_the_folder_by_a_glob_alone_whatever_the_contracts_were(tmp_path: Path) -> None:
    lay_out(tmp_path)
    write(tmp_path, "predictions", [answer(n) for n in range(3)])
    roll(tmp_path)
    # A later contract: a field more, one less, and one of another type.
    fields = (Field("distance", "int"), Field("key", "string"), Field("new", "float"))
    lay_out(tmp_path, 2, fields, (Field("distance", "int"), Field("new", "float")))
    write(tmp_path, "predictions", [answer(9, revision=2, request=[7, "k", 1.5], features=[7, 1.5])])
    roll(tmp_path)
    lazy = pl.scan_parquet(glob_of(tmp_path), hive_partitioning=True, missing_columns="insert", extra_columns="ignore")
    assert lazy.select("id", "distance", "log_day").sort("id").collect().rows() == [
        ("p0", 0.0, date(2013, 4, 1)), ("p1", 1.0, date(2013, 4, 1)), ("p2", 2.0, date(2013, 4, 2)),
        ("p9", None, date(2013, 4, 3)),
    ]  # fmt: skip
    found = duckdb.sql(
        f'select id, distance, "distance.int", new, carrier, log_day from '
        f"read_parquet('{glob_of(tmp_path)}', union_by_name=true, hive_partitioning=true) order by id"
    ).fetchall()
    assert found[0] == ("p0", 0.0, None, None, "ZZ", date(2013, 4, 1))
    assert found[3] == ("p9", None, 7, 1.5, None, date(2013, 4, 3))


def test_spark_can_read_every_type(tmp_path: Path) -> None:
    fill(tmp_path)
    roll(tmp_path)
    for path in tmp_path.glob("parquet/*/*/*.parquet"):
        for column in pq.ParquetFile(path).schema:
            told = str(column.logical_type)
            assert "isSigned=false" not in told, column
            assert "nanoseconds" not in told, column
            assert column.physical_type in ("BOOLEAN", "INT32", "INT64", "DOUBLE", "BYTE_ARRAY"), column
            assert column.max_repetition_level == 0, column  # no lists
            if "Timestamp" in told:
                assert "isAdjustedToUTC=true, timeUnit=microseconds" in told


def test_a_field_that_differs_from_the_models_input_of_its_name_keeps_its_own_value(tmp_path: Path) -> None:
    lay_out(tmp_path)
    rows = [answer(1), answer(2, features=[12, None, "other", 0.5])]
    write(tmp_path, "predictions", rows)
    before, frame = everything(tmp_path), predictions(tmp_path, CONTRACT, SIGNATURE)
    roll(tmp_path)
    assert everything(tmp_path) == before
    assert predictions(tmp_path, CONTRACT, SIGNATURE).drop("extra").equals(frame.drop("extra"))


def test_days_outside_are_not_opened(tmp_path: Path) -> None:
    lay_out(tmp_path)
    write(tmp_path, "predictions", [answer(n) for n in range(12)])
    roll(tmp_path)
    for path in tmp_path.glob("parquet/predictions/log_day=2013-04-01/*"):
        path.write_bytes(b"no Parquet")
    since = AT + timedelta(days=1)
    assert predictions(tmp_path, CONTRACT, SIGNATURE, since=since)["id"].to_list() == [f"p{n}" for n in range(4, 12)]
    assert predictions(tmp_path, CONTRACT, SIGNATURE, since=since, until=since + timedelta(hours=6)).height == 1


def test_days_are_dropped_whole(tmp_path: Path) -> None:
    fill(tmp_path)
    roll(tmp_path)
    gone = drop_days(tmp_path, ("predictions", "labels"), date(2013, 4, 3))
    assert gone == [date(2013, 4, 1), date(2013, 4, 2)]
    assert [row.id for row in read_rows(tmp_path, "predictions", PredictionRow)[0]] == [f"p{n}" for n in range(6, 14)]
    assert not list(tmp_path.glob("parquet/predictions/log_day=2013-04-01"))
    assert drop_days(tmp_path, ("predictions",), date(2013, 4, 3)) == []


def test_a_person_is_erased_from_parquet_too(tmp_path: Path) -> None:
    fill(tmp_path)
    roll(tmp_path)
    write(tmp_path, "predictions", [answer(20)])
    _, cursor = read_rows(tmp_path, "predictions", PredictionRow)

    def theirs(row: list[Any]) -> bool:
        return row[5] in ("k3", "k20")

    assert erase_rows(tmp_path, "predictions", theirs, dry_run=True) == 2
    assert erase_rows(tmp_path, "predictions", theirs) == 2
    assert erase_rows(tmp_path, "predictions", theirs) == 0
    assert len(read_rows(tmp_path, "predictions", PredictionRow)[0]) == 13
    assert read_rows(tmp_path, "predictions", PredictionRow, cursor)[0] == [], "who has read on does not read again"


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.sampled_from(["append", "append", "again", "close", "roll", "compact", "read", "look", "erase"]), max_size=14
    )
)
def test_whatever_happens_in_between_a_reader_gets_each_row_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    lay_out(folder)
    writers = [SegmentWriter(folder, "predictions"), SegmentWriter(folder, "predictions")]
    reader, seen, cursor = LogReader(folder), [], {}
    written: list[PredictionRow] = []
    known: set[str] = set()
    number = 0
    for turn, step in enumerate([*steps, "read", "look"]):
        if step == "append":
            rows = [answer(number + i, id=new_id()) for i in range(turn % 3 + 1)]
            number += len(rows)
            writers[turn % 2].append(rows)
            written += rows
        elif step == "close":
            writers[turn % 2].close()
        elif step == "again" and written:  # another worker logs what one had logged before it ended
            writers[(turn + 1) % 2].append([replace(written[-1], log_again=True)])
        elif step == "roll":
            roll(folder)
        elif step == "compact":
            compact(folder, many=2)
        elif step == "erase" and written:
            gone = written.pop(0)
            erase_rows(folder, "predictions", lambda row, id=gone.id: row[0] == id)
            known.add(gone.id)
        elif step == "read":
            while True:
                rows, cursor = read_rows(folder, "predictions", PredictionRow, cursor, limit=2)
                seen += [row.id for row in rows]
                if not rows:
                    break
        elif step == "look":
            reader.refresh(lambda revision, bundle: (CONTRACT, SIGNATURE))
    assert len(seen) == len(set(seen))
    assert set(seen) - known == {row.id for row in written}
    assert {*reader.answered()["id"]} - known == {row.id for row in written}
    assert sorted(row.id for row in read_rows(folder, "predictions", PredictionRow)[0]) == sorted(r.id for r in written)
    for writer in writers:
        writer.close()


def test_who_reads_while_it_rolls_gets_each_row_once(tmp_path: Path) -> None:
    lay_out(tmp_path)
    done, wrong = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            seen = [row.id for row in read_rows(tmp_path, "predictions", PredictionRow)[0]]
            if len(seen) != len(set(seen)) or (seen and {int(id[1:]) for id in seen} != set(range(len(seen)))):
                wrong.append(seen)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(15):
        write(tmp_path, "predictions", [answer(n)])
        if n % 3 == 2:
            roll(tmp_path)
    done.set()
    reader.join()
    assert not wrong


def test_where_nothing_can_be_written_nothing_is_rolled_and_nothing_is_left(tmp_path: Path) -> None:
    fill(tmp_path)
    before = everything(tmp_path)
    script = textwrap.dedent(
        f"""
        import resource, signal
        from pathlib import Path
        from slipway.errors import BackendError
        from slipway.tables.log_rolling import roll
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            roll(Path({str(tmp_path)!r}))
        except BackendError as problem:
            print(problem)
        """
    )
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "could not be rolled" in run.stdout
    assert everything(tmp_path) == before
    assert not list(tmp_path.rglob("*.part"))


def do(what: str, folder: Path) -> None:
    if what == "roll":
        roll(folder)
    elif what == "drop":
        drop_days(folder, ("predictions",), date(2013, 4, 3))
    else:
        finish_erasing(folder)
        erase_rows(folder, "predictions", lambda row: row[0] == "p3")


CHANGES = """
    import os, signal, sys
    from pathlib import Path
    from slipway.tables.log_rolling import drop_days, roll
    from slipway.tables.log_erasing import erase_rows, finish_erasing
    from datetime import date

    folder, at, what = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    count = 0
    def hook(event, args):
        global count
        is_write = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)
        if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir") or is_write:
            if str(folder) in str(args[0]) and not str(args[0]).endswith(".lock"):
                count += 1
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    if what == "roll":
        roll(folder)
    elif what == "drop":
        drop_days(folder, ("predictions",), date(2013, 4, 3))
    else:
        finish_erasing(folder)
        erase_rows(folder, "predictions", lambda row: row[0] == "p3")
"""


@pytest.mark.full
@pytest.mark.parametrize("what", ["roll", "drop", "erase"])
def test_kill_9_at_any_moment_loses_nothing_and_doubles_nothing(tmp_path: Path, what: str) -> None:
    template = tmp_path / "template"
    lay_out(template)
    write(template, "predictions", [answer(n) for n in range(8)])
    write(template, "predictions", [answer(n) for n in range(8, 10)])
    write(template, "labels", [LabelRow("p1", "", 1.0, AT_US, 1)])
    if what != "roll":
        roll(template)
    before = everything(template)
    after = {kind: list(rows) for kind, rows in before.items()}
    if what == "drop":
        after["predictions"] = [row for row in before["predictions"] if row.at_us >= AT_US + 6 * DAY_US // 4]
    if what == "erase":
        after["predictions"] = [row for row in before["predictions"] if row.id != "p3"]
    at, was_killed = 0, True
    while was_killed:
        at += 1
        folder = tmp_path / f"log{at}"
        shutil.copytree(template, folder)
        command = [sys.executable, "-c", textwrap.dedent(CHANGES), str(folder)]
        run = subprocess.run([*command, str(at), what], check=False, capture_output=True)
        was_killed = run.returncode == -signal.SIGKILL
        assert was_killed or run.returncode == 0, run.stderr.decode()
        found = everything(folder)
        assert found == after or (was_killed and found == before), f"killed at event {at}"
        outside = list(folder.glob("parquet/predictions/*/*.parquet"))
        if outside:  # who reads the Parquet files by themselves
            ids = pl.read_parquet(outside, columns=["id"], hive_partitioning=False)["id"]
            assert ids.n_unique() == len(ids)
        do(what, folder)  # whoever comes next completes it
        assert everything(folder) == after
        assert not [*folder.rglob("*.part"), *folder.rglob("*.tmp")], "nothing half is left"
        assert not (folder / "change.json").exists()
        with reading(folder) as files:
            assert what != "roll" or not files.segments("predictions")
    assert at > 4


def test_names_that_differ_by_capitals_alone_are_different_columns_for_every_reader(tmp_path: Path) -> None:
    fields = (Field("a", "float"), Field("A", "float"), Field("Score", "float"), Field("key", "string"))
    inputs = (Field("A", "float"), Field("a", "int"))
    lay_out(tmp_path, 1, fields, inputs)
    row = answer(1, request=[1.5, 2.5, 3.5, "k"], features=[2.5, 7])
    write(tmp_path, "predictions", [row])
    roll(tmp_path)
    (path,) = tmp_path.glob("parquet/predictions/*/*")
    names = pl.read_parquet_schema(path).names()
    assert len({name.casefold() for name in names}) == len(names)
    assert {"A", "a.2", "request.a.float", "request.Score", "request.key"} <= set(names)
    assert read_rows(tmp_path, "predictions", PredictionRow)[0] == [row]
