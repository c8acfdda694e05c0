"""A log to be filled: its contract, its rows, its segments."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from slipway.records.endpoints import Contract
from slipway.records.predictions import PredictionRow
from slipway.records.schema import Field, Signature
from slipway.tables.log_layouts import LogLayout, write_layout
from slipway.tables.segments import SegmentWriter

AT = datetime(2013, 4, 1, 12, tzinfo=UTC)
DAY_US = 86_400_000_000
AT_US = int(AT.timestamp()) * 1_000_000
B = "ab" * 8
FIELDS = (
    Field("carrier", "category", False, ("AA", "UA")),
    Field("distance", "float"),
    Field("departure", "datetime"),
    Field("day", "date"),
    Field("wait", "duration"),
    Field("key", "string"),
    Field("extra", "object"),
)
INPUTS = (Field("hour", "int"), Field("distance", "float"), Field("carrier", "category"), Field("score", "float"))
CONTRACT, SIGNATURE = Contract(fields=FIELDS), Signature(INPUTS, ())
REQUEST = ["ZZ", 100.0, AT, date(2013, 4, 1), timedelta(minutes=5), "k", {"a": [1, None]}]


def answer(n: int, **more: Any) -> PredictionRow:
    given: dict[str, Any] = {
        "id": f"p{n}", "at_us": AT_US + n * DAY_US // 4, "answered_us": AT_US + 5, "version": 3, "bundle": B, "key": f"k{n}",
        "request": [*REQUEST[:1], float(n), *REQUEST[2:]], "features": [12, float(n), "ZZ", None], "score": 0.25,
        "decision": None if n % 2 else True, "revision": 1,
    }  # fmt: skip
    return PredictionRow(**(given | more))


def lay_out(folder: Path, revision: int = 1, fields: Any = FIELDS, inputs: Any = INPUTS) -> None:
    write_layout(folder, LogLayout(revision, B, tuple(fields), tuple(inputs)))


def write(folder: Path, kind: str, rows: list[Any]) -> None:
    writer = SegmentWriter(folder, kind)
    writer.append(rows)
    writer.close()
