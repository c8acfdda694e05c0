"""Labels by key and time, revisions, contradictions and duplicates: which one counts, in whatever order they came."""

import random
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from slipway.records.endpoints import Contract
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.records.schema import Field, Signature
from slipway.tables.log_reader import LogReader
from slipway.tables.log_rolling import roll
from slipway.tables.prediction_log import joined, labels, predictions
from slipway.tables.segments import SegmentWriter
from slipway.tables.strays import stray_labels

CONTRACT = Contract(fields=(Field("meter", "string"),), key=("meter",), label_window_us=10)
SIGNATURE = Signature((), ())


def write(folder: Path, kind: str, rows: list[PredictionRow] | list[LabelRow]) -> None:
    writer = SegmentWriter(folder, kind)
    writer.append(rows)
    writer.close()


def answer(id: str, at: int, key: str = "m") -> PredictionRow:
    return PredictionRow(id, at, at, 1, "ab" * 8, key, [key], [], 0.5, revision=1)


def timed(
    value: float, until: int, *, key: str = "m", observed: int = 99, window: int = 10, number: int = 0
) -> LabelRow:
    return LabelRow("", key, value, observed, 0, number, until - window, until, observed)


def truth(folder: Path) -> list[float | None]:
    frame = joined(predictions(folder, CONTRACT, SIGNATURE), labels(folder))
    reader = LogReader(folder)
    reader.refresh(lambda *_: (CONTRACT, SIGNATURE))
    again = reader.answered().sort("id")
    assert again["label"].to_list() == frame.sort("id")["label"].to_list()
    found: list[float | None] = frame["label"].to_list()
    return found


def test_a_label_with_a_time_judges_the_decisions_of_its_key_in_the_window_before(tmp_path: Path) -> None:
    write(
        tmp_path,
        "predictions",
        [answer("a", 90), answer("b", 91), answer("c", 100), answer("d", 101), answer("e", 95, "n")],
    )
    write(tmp_path, "labels", [timed(1.0, 100)])
    assert truth(tmp_path) == [None, 1.0, 1.0, None, None]
    write(tmp_path, "labels", [timed(2.0, 96), timed(3.0, 200)])
    assert truth(tmp_path) == [2.0, 2.0, 1.0, None, None]  # the nearest one at or after the decision
    roll(tmp_path)
    assert truth(tmp_path) == [2.0, 2.0, 1.0, None, None]


def test_labels_with_a_time_that_reach_no_decision_are_strays(tmp_path: Path) -> None:
    write(tmp_path, "predictions", [answer("a", 90), answer("b", 95)])
    write(
        tmp_path,
        "labels",
        [timed(1.0, 100), timed(1.0, 50_000_000), timed(1.0, 60_000_000), LabelRow("", "m", 1.0, 1, 1)],
    )
    assert (stray_labels(tmp_path).labels, stray_labels(tmp_path).example) == (2, "key m at 1970-01-01 00:00:50")
    roll(tmp_path)
    assert stray_labels(tmp_path).labels == 2


def test_a_greater_revision_counts_before_a_later_moment_and_a_time_before_none(tmp_path: Path) -> None:
    write(tmp_path, "predictions", [answer("a", 90)])
    write(tmp_path, "labels", [LabelRow("a", "", 1.0, 50, 50, 2), LabelRow("a", "", 0.0, 60, 60, 1)])
    assert truth(tmp_path) == [1.0]
    write(tmp_path, "labels", [timed(4.0, 99, observed=70, number=2), LabelRow("", "m", 5.0, 70, 0, 2)])
    assert truth(tmp_path) == [4.0]
    write(tmp_path, "labels", [LabelRow("a", "", 7.0, 71, 0, 2)])
    assert truth(tmp_path) == [7.0]


@pytest.mark.parametrize("seed", range(5))
def test_contradictions_are_counted_and_the_same_one_wins_in_any_order(tmp_path: Path, seed: int) -> None:
    rows = [
        *[LabelRow("twice", "", 1.0, 5, 5)] * 2,
        LabelRow("corrected", "", 1.0, 5, 5),
        LabelRow("corrected", "", 0.0, 6, 6),
        LabelRow("said", "", 1.0, 5, 5),
        LabelRow("said", "", 0.0, 5, 5),
        LabelRow("numbered", "", 1.0, 5, 5, 3),
        LabelRow("numbered", "", 0.0, 9, 9, 3),
        LabelRow("numbered", "", 0.0, 9, 9, 2),
    ]
    random.Random(seed).shuffle(rows)
    write(tmp_path, "labels", rows)
    found = {one["prediction"]: one for one in labels(tmp_path).iter_rows(named=True)}
    told = {name: (one["value"], one["revisions"], one["contradictions"]) for name, one in found.items()}
    assert told == {
        "twice": (1.0, 2, 0),
        "corrected": (0.0, 2, 0),
        "said": (1.0, 2, 1),
        "numbered": (0.0, 3, 1),
    }


def test_labels_of_before_there_were_times_and_revisions_still_count(tmp_path: Path) -> None:
    write(tmp_path, "predictions", [answer("a", 90)])
    write(tmp_path, "labels", [LabelRow("a", "", 1.0, 50, 50)])
    roll(tmp_path)
    (path,) = tmp_path.glob("parquet/labels/*/*.parquet")
    frame = pl.read_parquet(path, hive_partitioning=False)
    frame.drop("revision", "since_at", "until_at", "came_at").write_parquet(path)
    assert truth(tmp_path) == [1.0]
    (row,) = labels(tmp_path).iter_rows(named=True)
    moment = datetime.fromtimestamp(50e-6, UTC)
    assert (row["revision"], row["until_at"], row["came_at"]) == (0, None, moment)
