from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from answered_log import AT, AT_US, CONTRACTS, DAY, NEW, OLD, SIGNATURES, answer, label, layout, write
from slipway.errors import NotFound
from slipway.records.endpoints import Contract
from slipway.records.predictions import FailureRow, ShadowRow
from slipway.records.schema import Signature
from slipway.tables.log_reader import LogReader
from slipway.tables.prediction_log import joined, labels, predictions
from slipway.tables.segments import SegmentWriter


def read(folder: Path) -> LogReader:
    reader = LogReader(folder)
    reader.refresh(layout)
    return reader


def test_rows_of_other_layouts_meet_by_the_columns_names(tmp_path: Path) -> None:
    write(
        tmp_path, "predictions", [answer("p1"), answer("p2", revision=2, bundle=NEW, arm="challenger", propensity=0.1)]
    )
    frame = read(tmp_path).answered()
    assert frame.select("id", "revision", "arm", "propensity").rows() == [
        ("p1", 1, "champion", 1.0),
        ("p2", 2, "challenger", 0.1),
    ]
    rest = frame.columns[frame.columns.index("took_us") + 1 :]
    assert rest == ["distance", "seats", "carrier", "hour", "request.label", "label", "labelled_at"]
    assert frame.select("carrier", "distance", "seats", "hour", "request.label").rows() == [
        ("AA", 100.0, None, 12.0, "x"),
        ("ZZ", 200.0, 3, 0.5, None),
    ]


def test_an_empty_log_has_its_columns(tmp_path: Path) -> None:
    reader = read(tmp_path / "none")
    assert reader.answered().columns[-7:] == [
        "arm", "propensity", "log_share", "fallback", "took_us", "label", "labelled_at",
    ]  # fmt: skip
    assert reader.shadows().columns == [
        "prediction",
        "at",
        "revision",
        "arm",
        "bundle",
        "score",
        "took_ns",
        "problem",
        "beside_ns",
    ]
    assert reader.failures().height == reader.answered().height == 0


def test_the_newest_models_columns_are_there_where_no_row_is(tmp_path: Path) -> None:
    write(tmp_path, "predictions", [answer("p1"), answer("p2", 9, revision=2, bundle=NEW)])
    assert read(tmp_path).answered(until=AT + DAY)["seats"].to_list() == [None]
    assert "seats" in read(tmp_path).answered(since=AT + 20 * DAY).columns


def test_a_case_that_was_asked_again_counts_once_with_its_last_answer(tmp_path: Path) -> None:
    rows = [
        answer("p1", key="k", answered_us=2, score=0.2),
        answer("p2", key="k", answered_us=3, score=0.3, revision=2, bundle=NEW),
        answer("p3", key="k", answered_us=1, score=0.1),
        answer("p4", 1, key="k"),
        answer("p5", key=""),
        answer("p6", key=""),
    ]
    write(tmp_path, "predictions", rows)
    assert read(tmp_path).answered()["id"].to_list() == ["p5", "p6", "p2", "p4"]


def test_only_decision_times_from_the_first_until_before_the_second(tmp_path: Path) -> None:
    write(tmp_path, "predictions", [answer(f"p{day}", day) for day in range(4)])
    write(
        tmp_path,
        "shadows",
        [ShadowRow(f"p{day}", AT_US + day * 86_400_000_000, 2, "challenger", NEW, 0.5, 7) for day in range(4)],
    )
    write(
        tmp_path,
        "failures",
        [FailureRow(AT_US + day * 86_400_000_000, 5, 2, "challenger", NEW, day, "predict", True) for day in range(4)],
    )
    reader = read(tmp_path)
    window = (AT + DAY, AT + 3 * DAY)
    assert reader.answered(*window)["id"].to_list() == reader.shadows(*window)["prediction"].to_list() == ["p1", "p2"]
    assert reader.failures(*window).rows()[0] == (
        AT + DAY, datetime(1970, 1, 1, 0, 0, 0, 5, UTC), 2, "challenger", NEW, 1, "predict", True, "",
    )  # fmt: skip
    assert reader.shadows().row(0) == ("p0", AT, 2, "challenger", NEW, 0.5, 7, "", 0)
    assert reader.shadows(until=AT).height == reader.failures(since=AT + 4 * DAY).height == 0


def test_a_layout_is_asked_for_once(tmp_path: Path) -> None:
    asked = []

    def counting(number: int, bundle: str) -> tuple[Contract, Signature]:
        asked.append((number, bundle))
        return layout(number, bundle)

    reader = LogReader(tmp_path)
    for i in range(3):
        write(tmp_path, "predictions", [answer(f"p{i}"), answer(f"q{i}", bundle=NEW)])
        reader.refresh(counting)
    assert asked == [(1, OLD), (1, NEW)]


def test_where_a_layout_is_unknown_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    def unknown(number: int, bundle: str) -> tuple[Contract, Signature]:
        if bundle == NEW:
            raise NotFound("It is not here yet.")
        return layout(number, bundle)

    write(tmp_path, "predictions", [answer("p1"), answer("p2", bundle=NEW)])
    reader = LogReader(tmp_path)
    with pytest.raises(NotFound):
        reader.refresh(unknown)
    reader.refresh(layout)
    assert reader.answered()["id"].to_list() == ["p1", "p2"]


def test_what_was_forgotten_is_gone_with_its_labels(tmp_path: Path) -> None:
    rows = [answer("p0", 0), answer("p1", 1), answer("q0", 0, key="again"), answer("q1", 1, key="again")]
    write(tmp_path, "predictions", rows)
    write(tmp_path, "labels", [label("p0"), label("again"), label("later"), label("", 3.0, prediction="p0")])
    write(tmp_path, "shadows", [ShadowRow(row.id, row.at_us, 1, "champion", OLD, None) for row in rows])
    reader = read(tmp_path)
    assert reader.answered()["label"].to_list() == [1.0, 3.0, 1.0, None]
    reader.forget(AT + DAY)
    assert reader.answered().select("id", "label").rows() == [("q1", 1.0), ("p1", None)]
    assert reader.shadows()["prediction"].to_list() == ["p1", "q1"]
    write(tmp_path, "predictions", [answer("p0", 5), answer("l", 5, key="later")])
    reader.refresh(layout)
    assert reader.answered(since=AT + 2 * DAY).select("id", "label").rows() == [("l", 1.0), ("p0", None)]
    reader.forget(AT + 9 * DAY)
    assert reader.answered().height == reader.shadows().height == 0


def by_the_book(folder: Path) -> pl.DataFrame:
    """The same frame out of the functions that read the whole log."""
    frames = [
        predictions(folder, CONTRACTS[number], SIGNATURES[bundle], bundle=bundle, revisions={number})
        for number, bundle in ((2, NEW), (2, OLD), (1, NEW), (1, OLD))
    ]
    frame = pl.concat(frames, how="diagonal_relaxed").sort("answered_at", maintain_order=True)
    frame = frame.unique(["key", "at"], keep="last", maintain_order=True)
    return joined(frame.sort("at", "key"), labels(folder))


ANSWERS = st.tuples(
    st.integers(0, 5), st.integers(0, 3), st.sampled_from([1, 2]), st.sampled_from([OLD, NEW]), st.booleans()
)
LABELS = st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 5), st.integers(0, 3), st.booleans())


@settings(deadline=None, max_examples=30)
@given(st.lists(ANSWERS, max_size=30), st.lists(LABELS, max_size=20))
def test_however_the_log_grew_between_looks_the_frame_is_that_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, answers: list[tuple[Any, ...]], truths: list[tuple[Any, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    writers = {kind: SegmentWriter(folder, kind) for kind in ("predictions", "labels")}
    others = {kind: SegmentWriter(folder, kind) for kind in ("predictions", "labels")}  # a second worker's
    reader = LogReader(folder)
    for n in range(max(len(answers), len(truths))):
        look = False
        if n < len(answers):
            key, day, number, bundle, look = answers[n]
            row = answer(f"p{n}", day, revision=number, bundle=bundle, key=f"k{key}", answered_us=n)
            (writers if n % 3 else others)["predictions"].append([row])
        if n < len(truths):
            by_id, id, key, observed, more = truths[n]
            look = look or more
            row_ = label(f"k{key}", float(n), observed=observed, prediction=f"p{id}" if by_id else "")
            (writers if n % 2 else others)["labels"].append([row_])
        if look:
            reader.refresh(layout)
    reader.refresh(layout)
    for writer in (*writers.values(), *others.values()):
        writer.close()
    expected = by_the_book(folder)
    if not answers:
        assert reader.answered().height == expected.height == 0
        return
    found = reader.answered()
    assert set(found.columns) <= set(expected.columns)
    assert_frame_equal(found, expected.select(found.columns), check_dtypes=False)
    assert all(column.null_count() == len(column) for column in expected.drop(found.columns))
    since, until = AT + DAY, AT + 3 * DAY
    part = found.filter(pl.col("at") >= since, pl.col("at") < until)
    asked = reader.answered(since, until)
    assert_frame_equal(asked, part.select(asked.columns), check_dtypes=False)
    reader.forget(since)
    assert_frame_equal(reader.answered(since, until), asked)


def test_many_small_additions_and_few_great_ones_are_one_log(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "predictions")
    reader = LogReader(tmp_path)
    for look in range(40):
        n = 9000 if look in (5, 20) else 30
        writer.append([answer(f"{look}-{i}", look, answered_us=look) for i in range(n)])
        reader.refresh(layout)
    writer.close()
    frame = reader.answered()
    assert frame.height == 38 * 30 + 2 * 9000
    assert frame["at"].is_sorted()
    assert_frame_equal(frame, read(tmp_path).answered())
    assert reader.answered(AT + 5 * DAY, AT + 7 * DAY).height == 9030
