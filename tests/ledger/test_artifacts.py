"""Values come back equal, in type and content."""

import math
import zipfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.hashing import canonical
from slipway.ledger.artifacts import decode, encode, load, store
from slipway.ports.workspace import Workspace
from slipway.schema.fingerprints import of_value


def round_trip(value: object) -> Any:
    encoded = encode("result", value, of_value)
    kept = {artifact.digest: data for artifact, data in encoded.parts}
    return decode(encoded.artifacts, lambda artifact: kept[artifact.digest])


class Color(Enum):
    RED = 1


class Pair(NamedTuple):
    left: int
    right: float


@dataclass(frozen=True, slots=True)
class Slotted:
    at: datetime
    names: tuple[str, ...] = ()


class Packed(msgspec.Struct, frozen=True):
    a: int
    b: list[float]


class Sheet:
    """Saves itself."""

    slipway_format = "sheet"

    def __init__(self, text: str) -> None:
        self.text = text

    def slipway_fingerprint(self) -> str:
        return of_value(self.text)

    def slipway_save(self, folder: Path) -> None:
        (folder / "deep").mkdir()
        (folder / "deep" / "text.txt").write_text(self.text)

    @classmethod
    def slipway_load(cls, folder: Path) -> "Sheet":
        return cls((folder / "deep" / "text.txt").read_text())


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=20)
    | st.dates()
    | st.datetimes()
    | st.datetimes(timezones=st.sampled_from([UTC, ZoneInfo("America/New_York"), timezone(timedelta(hours=5))]))
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.builds(Pair, st.integers(), st.floats())
    | st.builds(Slotted, st.datetimes(timezones=st.just(UTC)))
    | st.just(Color.RED),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers() | st.just("$"), inner, max_size=4)
        | st.frozensets(st.integers() | st.text(max_size=3), max_size=3)
        | st.sets(st.floats(allow_nan=False), max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(plain)
def test_plain_values_keep_type_and_content(value: object) -> None:
    back = round_trip(value)
    assert type(back) is type(value)
    assert canonical(back) == canonical(value)


@pytest.mark.parametrize(
    "value",
    [1, 1.0, True, "1", -0.0, 10**30, (1, [2, (3,)]), {"$": 1}, {1: "a", "1": "b"}, Path("a/b"), 1 + 2j, time(3), Packed(1, [2.0]),
     Decimal("1.10"), date(2013, 4, 1), datetime(2013, 11, 3, 1, 30, fold=1, tzinfo=ZoneInfo("America/New_York"))],
    ids=repr,
)  # fmt: skip
def test_known_hard_values(value: object) -> None:
    back = round_trip(value)
    assert back == value
    assert type(back) is type(value)
    assert math.copysign(1, back) == math.copysign(1, value) if isinstance(value, float) else True


def test_frames_arrays_and_their_mixtures() -> None:
    frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"], "at": [datetime(2013, 1, 1), None]})
    lazy, series = frame.lazy().with_columns(c=1), pl.Series("s", [1.5, None])
    back = round_trip((frame, {"lazy": lazy, "series": series, "n": np.float32(2.5), "m": np.eye(2)[::-1]}))
    assert back[0].equals(frame)
    assert back[0].schema == frame.schema
    assert isinstance(back[1]["lazy"], pl.LazyFrame)
    assert back[1]["lazy"].collect().equals(lazy.collect())
    assert back[1]["series"].equals(series, check_names=True)
    assert type(back[1]["n"]) is np.float32
    assert np.array_equal(back[1]["m"], np.eye(2)[::-1])
    assert of_value(back[0]) == of_value(frame)


def test_a_frame_alone_is_one_parquet_artifact_and_a_tuple_of_frames_three() -> None:
    frame = pl.DataFrame({"a": [1]})
    assert [a.format for a in encode("result", frame, of_value).artifacts] == ["parquet"]
    parts = encode("result", (frame, frame), of_value).artifacts
    assert [(a.name, a.format) for a in parts] == [("result", "json"), ("result/0", "parquet"), ("result/1", "parquet")]
    assert parts[1].fingerprint == of_value(frame)


@pytest.mark.parametrize("values", [[1j, 2j], [2**70, 1]], ids=["complex", "beyond 64 bits"])
def test_what_parquet_cannot_hold_of_pandas_is_kept_by_pickle(values: list[Any]) -> None:
    frame = pd.DataFrame({"a": values})
    pd.testing.assert_frame_equal(round_trip(frame), frame)


@pytest.mark.parametrize("freq", ["D", "W-SUN", "2h", pd.offsets.CustomBusinessDay(holidays=["2013-01-02"])])
def test_pandas_keeps_the_frequency_of_an_index(freq: Any) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3]}, index=pd.date_range("2013-01-01", periods=3, freq=freq))
    assert round_trip(frame).index.freq == frame.index.freq
    assert round_trip(frame["a"]).index.freq == frame.index.freq


def test_pandas_keeps_index_and_types() -> None:
    frame = pd.DataFrame({"a": [1.5, None], "b": ["x", "y"]}, index=pd.Index([3, 7], name="id"))
    pd.testing.assert_frame_equal(round_trip(frame), frame)
    pd.testing.assert_series_equal(round_trip(frame["a"]), frame["a"])
    odd = pd.DataFrame({"a": [object, {1}]})
    encoded = encode("result", odd, of_value_or_refuse)
    assert encoded.artifacts[0].format == "pickle"
    assert encoded.pickled == ("DataFrame",)


def of_value_or_refuse(value: object) -> str:
    raise InvalidInput("none")


def test_an_object_saves_itself_into_the_same_bytes() -> None:
    encoded = encode("result", Sheet("hello"), of_value)
    assert encoded.artifacts[0].format == "sheet"
    assert encoded.artifacts[0].fingerprint == of_value(Sheet("hello"))
    assert encode("result", Sheet("hello"), of_value).artifacts == encoded.artifacts
    assert round_trip([Sheet("hello")])[0].text == "hello"


def test_an_archive_cannot_write_outside_its_folder() -> None:
    sink = BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(".class", f"{__name__}:Sheet")
        archive.writestr("deep/text.txt", "safe")
        archive.writestr("../../escaped-by-slipway-test", "x")
    artifact = encode("result", Sheet("x"), of_value).artifacts[0]
    with pytest.raises(Corrupt, match="outside its folder"):
        decode([artifact], lambda _: sink.getvalue())


def test_pickle_is_last_and_flagged() -> None:
    value = {"pattern": slice(1, 2)}
    encoded = encode("result", value, of_value)
    assert encoded.pickled == ("slice",)
    assert round_trip(value) == value
    with pytest.raises(InvalidInput, match="cannot be stored"):
        encode("result", (item for item in ()), of_value)


def test_text_without_utf8_survives() -> None:
    assert round_trip(["\ud800"]) == ["\ud800"]


def test_missing_and_damaged_bytes_are_errors(workspace: Workspace) -> None:
    artifacts = store(workspace.blobs, encode("result", [1, 2], of_value))
    assert load(workspace.blobs, artifacts) == [1, 2]
    path = next(p for p in (workspace.root / "blobs").rglob("*") if p.is_file())
    path.write_bytes(b"[1,3]")
    with pytest.raises(Corrupt):
        load(workspace.blobs, artifacts)
    path.unlink()
    with pytest.raises(NotFound):
        load(workspace.blobs, artifacts)


def test_a_class_that_is_gone_is_corrupt_not_a_crash() -> None:
    encoded = encode("result", Pair(1, 2.0), of_value)
    data = encoded.parts[0][1].replace(b"Pair", b"Gone")
    with pytest.raises(Corrupt, match="not there any more"):
        decode(encoded.artifacts, lambda _: data)
