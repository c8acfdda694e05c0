"""A log of which a share is held in memory is read as if no more had been logged."""

from datetime import timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from answered_log import AT, AT_US, DAY, answer, label, layout, write
from slipway.records.predictions import PredictionRow, ShadowRow
from slipway.rollout.units import log_shares
from slipway.tables.log_reader import LogReader
from slipway.tables.log_sampling import is_logged

MANY, MOST = 12_000, 4_000


def rows_of(count: int, days: float = 8, **more: object) -> list[PredictionRow]:
    return [answer(f"p{i}", days * i / count, **more) for i in range(count)]


def as_logged(rows: list[PredictionRow], share: float) -> list[PredictionRow]:
    """What a log has that was declared with `Log(sample=share)`."""
    kept = [row for row in rows if is_logged(row.key or row.id, share)]
    return [msgspec.structs.replace(row, log_share=share) for row in kept]


def reader_of(folder: Path, most: int | None = MOST, recent_day: float | None = None) -> LogReader:
    reader = LogReader(folder, most)
    reader.refresh(layout, None, None if recent_day is None else AT + timedelta(days=recent_day))
    return reader


def held_by(reader: LogReader) -> int:
    return reader.answered().height


def test_few_rows_are_held_whole(tmp_path: Path) -> None:
    write(tmp_path, "predictions", rows_of(MOST))
    write(tmp_path, "labels", [label(f"p{i}") for i in range(0, MOST, 3)])
    assert_frame_equal(reader_of(tmp_path, recent_day=6).answered(), reader_of(tmp_path, None).answered())
    assert reader_of(tmp_path).share() == 1.0


def test_of_many_rows_a_share_is_held_as_if_no_more_had_been_logged(tmp_path: Path) -> None:
    rows = rows_of(MANY)
    truths = [label(f"p{i}", i % 2) for i in range(0, MANY, 3)]
    write(tmp_path / "whole", "predictions", rows)
    write(tmp_path / "whole", "labels", truths)
    reader = reader_of(tmp_path / "whole")
    assert reader.share() == 0.25
    assert MOST / 2 < held_by(reader) <= MOST
    write(tmp_path / "sampled", "predictions", as_logged(rows, 0.25))
    write(tmp_path / "sampled", "labels", truths)
    sampled = reader_of(tmp_path / "sampled", None)
    assert_frame_equal(reader.answered(), sampled.answered())
    assert_frame_equal(reader.answered(AT + DAY, AT + 2 * DAY), sampled.answered(AT + DAY, AT + 2 * DAY))
    assert_frame_equal(reader.answers_by(AT), sampled.answers_by(AT))
    assert reader.answers_by(AT)["rows"].item() == 4 * held_by(reader)
    assert_frame_equal(reader.latest("a" * 16, 10), sampled.latest("a" * 16, 10))


def test_what_a_fallback_answered_is_held_and_counted_by_the_same_share(tmp_path: Path) -> None:
    write(tmp_path, "predictions", rows_of(MANY, fallback="timeout"))
    reader = reader_of(tmp_path)
    assert log_shares(reader.answered()) == {1: 0.25}
    assert reader.answers_by(AT)["rows"].item() == 4 * held_by(reader)


def test_of_recent_rows_a_greater_share_is_held_and_what_is_asked_for_is_even(tmp_path: Path) -> None:
    write(tmp_path, "predictions", rows_of(MANY))
    reader, recent = reader_of(tmp_path, recent_day=7), AT + 7 * DAY
    assert reader.share() < reader.share(recent) == reader.share(recent + DAY / 2) == 1.0
    assert reader.share(recent - DAY / 2) == reader.share()
    everything, since = reader.answered(), reader.answered(recent)
    assert everything["log_share"].unique().to_list() == [reader.share()]
    assert since.height == MANY / 8
    assert since["log_share"].unique().to_list() == [1.0]
    later = everything.filter(pl.col("at") >= recent)
    assert set(later["id"]) == {one for one in since["id"] if is_logged(one, reader.share())}
    assert reader.answers_by(recent)["rows"].item() == MANY / 8


def test_what_was_recent_becomes_old(tmp_path: Path) -> None:
    write(tmp_path, "predictions", rows_of(MANY))
    reader = reader_of(tmp_path, recent_day=6)
    before = reader.share()
    assert before < reader.share(AT + 6 * DAY)
    reader.refresh(layout, None, AT + 7 * DAY)
    assert reader.share(AT + 6 * DAY) == before
    named = {f"p{i}" for i in range(MANY)}
    assert set(reader.answered()["id"]) == {one for one in named if is_logged(one, before)}
    reader.refresh(layout, None, AT + 2 * DAY)
    assert reader.share(AT + 6 * DAY) == before, "rows that are gone are not called recent again"


def test_labels_and_shadows_of_rows_that_are_not_held_go(tmp_path: Path) -> None:
    write(tmp_path, "predictions", rows_of(100_000, key=""))
    write(tmp_path, "labels", [label("", prediction=f"p{i}") for i in range(100_000)])
    shadow = ShadowRow(prediction="p0", at_us=AT_US, revision=1, arm="champion", bundle="b" * 16, score=0.5, took_ns=1)
    write(tmp_path, "shadows", [ShadowRow(**(as_dict(shadow) | {"prediction": f"p{i}"})) for i in range(100_000)])
    reader = reader_of(tmp_path)
    rows = reader.answered()
    assert rows.height == rows["label"].is_not_null().sum() > MOST / 2
    assert set(rows["id"]) <= set(reader.shadows()["prediction"])
    assert reader.shadows().height < 50_000
    assert reader._labels.height() < 50_000
    write(tmp_path, "predictions", [answer("fresh", 9, key="")])
    write(tmp_path, "labels", [label("", prediction="fresh")])
    reader.refresh(layout)
    assert reader.answered().height == rows.height + is_logged("fresh", reader.share())


def as_dict(row: ShadowRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def test_none_of_what_came_last_may_be_held(tmp_path: Path) -> None:
    write(tmp_path, "predictions", rows_of(MANY))
    reader = reader_of(tmp_path)
    before, share = held_by(reader), reader.share()
    name = next(name for name in map(str, range(1000)) if not is_logged(name, share))
    write(tmp_path, "predictions", [answer(name, 9)])
    reader.refresh(layout)
    assert (held_by(reader), reader.answered(AT + 8.5 * DAY).height) == (before, 0)


def test_few_keys_are_held_whole(tmp_path: Path) -> None:
    write(tmp_path, "predictions", [answer(f"p{i}", i / MANY, key=f"k{i % 900}") for i in range(MANY)])
    assert reader_of(tmp_path).share() == 1.0


def test_where_there_is_room_again_a_greater_share_is_read(tmp_path: Path) -> None:
    write(tmp_path, "predictions", [*rows_of(MANY, 1), *(answer(f"q{i}", 1 + i / 400) for i in range(400))])
    reader = reader_of(tmp_path)
    assert reader.share() == 0.25
    reader.forget(AT + DAY)
    few = held_by(reader)
    assert 0 < few < 200
    reader.refresh(layout)
    assert held_by(reader) > few
    reader.forget(AT + DAY)
    assert held_by(reader) == few, "no file went, so that there is no room"


@given(
    counts=st.lists(st.integers(1, 900), min_size=1, max_size=8),
    most=st.integers(1200, 2400),
    recent=st.none() | st.integers(0, 8),
)
@settings(max_examples=25, deadline=None)
def test_however_a_log_came_it_is_a_sample_of_itself(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], most: int, recent: int | None
) -> None:
    folder = tmp_path_factory.mktemp("log")
    reader, rows = LogReader(folder, most), []
    for day, count in enumerate(counts):
        came = [answer(f"p{day}-{i}", day + i / 1000) for i in range(count)]
        rows += came
        write(folder, "predictions", came)
        reader.refresh(layout, None, None if recent is None else AT + min(recent, day) * DAY)
        for since in (None, AT + day * DAY):
            found = reader.answered(since)
            share = reader.share(since)
            wanted = {
                row.id
                for row in rows
                if is_logged(row.key, share) and (since is None or row.at_us >= AT_US + day * 86_400_000_000)
            }
            assert set(found["id"]) == wanted
            assert set(found["log_share"].to_list()) <= {share}
