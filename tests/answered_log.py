"""Rows of a prediction log of two contracts and two models, and their labels."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from slipway.records.endpoints import Contract
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.records.schema import Field, Signature
from slipway.tables.segments import SegmentWriter

AT = datetime(2013, 4, 1, tzinfo=UTC)
AT_US = int(AT.timestamp()) * 1_000_000
DAY = timedelta(days=1)
OLD, NEW = "a" * 16, "b" * 16
CONTRACTS = {
    1: Contract(fields=(Field("carrier", "category"), Field("distance", "float"), Field("label", "string"))),
    2: Contract(fields=(Field("carrier", "category"), Field("distance", "float"), Field("seats", "int"))),
}
SIGNATURES = {
    OLD: Signature((Field("distance", "float"), Field("hour", "int")), ()),
    NEW: Signature((Field("carrier", "category", True, ("AA",)), Field("hour", "float")), ()),
}


def layout(number: int, bundle: str) -> tuple[Contract, Signature]:
    return CONTRACTS[number], SIGNATURES[bundle]


def answer(id: str, day: float = 0, *, revision: int = 1, bundle: str = OLD, **more: Any) -> PredictionRow:
    given: dict[str, Any] = {
        "id": id,
        "at_us": AT_US + int(day * 86_400_000_000),
        "answered_us": 0,
        "version": 1 if bundle == OLD else 2,
        "bundle": bundle,
        "key": id,
        "request": ["AA", 100.0, "x"] if revision == 1 else ["ZZ", 200.0, 3],
        "features": [100.0, 12] if bundle == OLD else ["ZZ", 0.5],
        "score": 0.25,
        "revision": revision,
    }
    return PredictionRow(**(given | more))


def label(key: str, value: float = 1.0, *, observed: int = 0, prediction: str = "") -> LabelRow:
    return LabelRow(prediction, "" if prediction else key, value, observed, 0)


def write(folder: Path, kind: str, rows: list[Any]) -> None:
    writer = SegmentWriter(folder, kind)
    writer.append(rows)
    writer.close()
