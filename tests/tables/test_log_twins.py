"""A row that two workers have logged counts once, whoever reads it and wherever the two are by now."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec.structs import replace

from log_desk import CONTRACT, SIGNATURE, B, answer, lay_out, write
from slipway.ids import ids_from, room_for_ids
from slipway.records.predictions import PredictionRow, ShadowRow
from slipway.tables.log_erasing import erase_rows
from slipway.tables.log_reader import LogReader
from slipway.tables.log_rolling import roll
from slipway.tables.log_rows import read_rows

FIRST = room_for_ids()
IDS = ids_from(FIRST, 6)


def rows(*places: int, again: bool = False, score: float = 0.25) -> list[PredictionRow]:
    return [answer(n, id=IDS[n], log_again=again, score=score) for n in places]


def seen(folder: Path, after: Any = None, **more: Any) -> list[tuple[str, float]]:
    return sorted((row.id, row.score) for row in read_rows(folder, "predictions", PredictionRow, after, **more)[0])


def test_room_for_ids_holds_what_nobody_else_is_called() -> None:
    firsts = [room_for_ids() for _ in range(100)]
    assert firsts == sorted(firsts)
    assert all(int(b, 16) - int(a, 16) >= 1 << 32 for a, b in pairwise(firsts))
    assert ids_from(FIRST, 6) == IDS
    assert ids_from(FIRST, 1) == [FIRST]


@pytest.mark.parametrize("rolled", ["neither", "both", "first", "second"])
def test_the_first_one_counts_wherever_the_two_are(tmp_path: Path, rolled: str) -> None:
    lay_out(tmp_path)
    left = {"revision": 2} if rolled == "second" else {}  # nobody knows the columns of that one: it stays a segment
    write(tmp_path, "predictions", [replace(row, **left) for row in rows(0, 1)])
    if rolled == "first":
        roll(tmp_path)
    write(tmp_path, "predictions", rows(1, 2, again=True, score=0.75))
    if rolled in ("both", "second"):
        assert roll(tmp_path).rows == {"both": 3, "second": 1}[rolled]
    assert seen(tmp_path) == [(IDS[0], 0.25), (IDS[1], 0.25), (IDS[2], 0.75)]
    if rolled == "both":
        outside = pl.read_parquet(tmp_path / "parquet/predictions/**/*.parquet").sort("id")
        assert outside.select("id", "score", "log_again").rows() == [
            (IDS[0], 0.25, False), (IDS[1], 0.25, False), (IDS[2], 0.75, True),
        ]  # fmt: skip


@pytest.mark.parametrize("when", ["never", "before", "after"])
def test_who_reads_on_gets_it_once(tmp_path: Path, when: str) -> None:
    lay_out(tmp_path)
    reader = LogReader(tmp_path)
    write(tmp_path, "predictions", rows(0, 1))
    got, cursor = read_rows(tmp_path, "predictions", PredictionRow)
    reader.refresh(lambda revision, bundle: (CONTRACT, SIGNATURE))
    if when == "before":
        roll(tmp_path)
    write(tmp_path, "predictions", rows(0, 1, 2, again=True))
    if when == "after":
        roll(tmp_path)
    more, cursor = read_rows(tmp_path, "predictions", PredictionRow, cursor)
    reader.refresh(lambda revision, bundle: (CONTRACT, SIGNATURE))
    assert [row.id for row in got + more] == IDS[:3]
    assert read_rows(tmp_path, "predictions", PredictionRow, cursor)[0] == []
    assert sorted(reader.answered()["id"]) == IDS[:3]


def test_so_many_are_read_as_are_wanted(tmp_path: Path) -> None:
    lay_out(tmp_path)
    write(tmp_path, "predictions", rows(0, 1))
    for n in (0, 1):
        write(tmp_path, "predictions", rows(n, again=True))
    write(tmp_path, "predictions", rows(3))
    cursor: Any = {}
    found = []
    for _ in range(3):
        got, cursor = read_rows(tmp_path, "predictions", PredictionRow, cursor, limit=1)
        found.append([row.id for row in got])
    assert found == [IDS[:2], [IDS[3]], []]


def test_two_answers_of_one_model_to_a_row_that_nobody_sees_count_once(tmp_path: Path) -> None:
    first = ShadowRow(IDS[0], 1, 1, "challenger", B, 0.5)
    other = ShadowRow(IDS[0], 1, 1, "reference", B, 0.5, log_again=True)
    write(tmp_path, "shadows", [first])
    write(tmp_path, "shadows", [ShadowRow(IDS[0], 1, 1, "challenger", B, 0.6, log_again=True), other])
    assert read_rows(tmp_path, "shadows", ShadowRow)[0] == [first, other]
    roll(tmp_path)
    assert read_rows(tmp_path, "shadows", ShadowRow)[0] == [first, other]


def test_both_are_erased(tmp_path: Path) -> None:
    lay_out(tmp_path)
    write(tmp_path, "predictions", rows(0, 1))
    write(tmp_path, "predictions", rows(0, again=True))
    assert erase_rows(tmp_path, "predictions", lambda row: row[5] == "k0") == 2
    assert seen(tmp_path) == [(IDS[1], 0.25)]
