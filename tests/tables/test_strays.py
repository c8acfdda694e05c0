"""Labels that belong to nothing."""

from pathlib import Path

from slipway.records.predictions import LabelRow, PredictionRow
from slipway.tables.segments import SegmentWriter
from slipway.tables.strays import Strays, stray_labels


def answered(id: str, key: str) -> PredictionRow:
    return PredictionRow(id, 0, 0, 1, "b" * 16, key, [1, "x"], [2.0], 0.5)


def write(folder: Path, kind: str, rows: list[PredictionRow] | list[LabelRow]) -> None:
    writer = SegmentWriter(folder, kind)
    writer.append(rows)
    writer.close()


def test_a_label_is_matched_by_what_it_names_and_not_by_the_other(tmp_path: Path) -> None:
    write(tmp_path, "predictions", [answered("id-1", "Q1"), answered("id-2", "")])
    labels = [
        LabelRow("id-1", "", 1.0, 0, 0),
        LabelRow("", "Q1", 1.0, 0, 0),
        LabelRow("Q1", "", 1.0, 5, 5),
        LabelRow("Q1", "", 0.0, 6, 6),
        LabelRow("", "id-2", 1.0, 0, 0),
    ]
    write(tmp_path, "labels", labels)
    assert stray_labels(tmp_path) == Strays(labels=2, example="prediction Q1")


def test_without_labels_or_a_log_there_is_nothing_astray(tmp_path: Path) -> None:
    assert stray_labels(tmp_path / "log") == Strays(labels=0)
    write(tmp_path, "predictions", [answered("id-1", "Q1")])
    assert stray_labels(tmp_path) == Strays(labels=0)
    write(tmp_path / "other", "labels", [LabelRow("", "Q1", 1.0, 0, 0)])
    assert stray_labels(tmp_path / "other") == Strays(labels=1, example="key Q1")
