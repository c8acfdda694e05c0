import copy
import pickle
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput
from slipway.schema import frame_digests
from slipway.schema.fingerprints import of_argument, of_frame, of_value
from slipway.schema.frame_digests import block_digests, of_blocks

AT = datetime(2013, 4, 1, tzinfo=UTC)
ROWS: dict[str, tuple[pl.DataType, st.SearchStrategy[Any]]] = {
    "b": (pl.Boolean(), st.booleans()),
    "n": (pl.Int32(), st.integers(-(2**31), 2**31 - 1)),
    "x": (pl.Float64(), st.floats()),
    "s": (pl.String(), st.text(max_size=4)),
    "c": (pl.Categorical(), st.sampled_from(["a", "b", ""])),
    "e": (pl.Enum(["b", "a"]), st.sampled_from(["a", "b"])),
    "t": (pl.Datetime("us", "UTC"), st.datetimes(min_value=datetime(1700, 1, 1), timezones=st.just(UTC))),
    "l": (pl.List(pl.Int64()), st.lists(st.none() | st.integers(0, 3), max_size=2)),
    "y": (pl.Binary(), st.binary(max_size=2)),
    "o": (pl.Struct({"p": pl.Int8(), "q": pl.String()}), st.fixed_dictionaries({"p": st.just(1), "q": st.text("ab")})),
}
TABLES = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, values) in ROWS.items()}), min_size=1, max_size=6
)


def table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={name: dtype for name, (dtype, _) in ROWS.items()})


def told(value: Any) -> str:
    """A value's text; a struct has no order of its own."""
    return repr(sorted(value.items())) if isinstance(value, dict) else repr(value)


@settings(deadline=None)
@given(TABLES, st.integers(0, 6))
def test_chunks_leave_no_trace(rows: list[dict[str, Any]], cut: int) -> None:
    frame = table(rows)
    chunked = pl.concat([frame.head(cut), frame.slice(cut)], rechunk=False)
    assert of_frame(chunked) == of_frame(frame) == of_frame(frame.lazy())


@settings(deadline=None, max_examples=30)
@given(TABLES)
def test_a_parquet_round_trip_leaves_no_trace(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    frame = table(rows)
    path = tmp_path_factory.mktemp("parquet") / "frame.parquet"
    frame.write_parquet(path, compression="snappy", row_group_size=2)
    assert of_frame(pl.read_parquet(path)) == of_frame(frame)


@settings(deadline=None)
@given(TABLES, TABLES)
def test_equal_fingerprints_mean_equal_rows(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    # repr tells 0.0 from -0.0 and makes all NaN one, as the fingerprint does.
    assert (of_frame(table(one)) == of_frame(table(other))) == (
        [[told(row[name]) for name in ROWS] for row in one] == [[told(row[name]) for name in ROWS] for row in other]
    )


@settings(deadline=None)
@given(TABLES, st.sampled_from(list(ROWS)), st.data())
def test_one_changed_value_shows(rows: list[dict[str, Any]], name: str, data: st.DataObject) -> None:
    frame = table(rows)
    at = data.draw(st.integers(0, len(rows) - 1))
    changed = [dict(row) for row in rows]
    changed[at][name] = data.draw((st.none() | ROWS[name][1]).filter(lambda value: told(value) != told(rows[at][name])))
    assert of_frame(table(changed)) != of_frame(frame)


@settings(deadline=None)
@given(TABLES, st.permutations(list(ROWS)))
def test_names_and_their_order_show(rows: list[dict[str, Any]], order: list[str]) -> None:
    frame = table(rows)
    assert (of_frame(frame.select(order)) == of_frame(frame)) == (order == list(ROWS))
    assert of_frame(frame.rename({"n": "m"})) != of_frame(frame)


DIFFERENT = {
    "empty": pl.Series([], dtype=pl.Int64),
    "null": pl.Series([None], dtype=pl.Float64),
    "nan": pl.Series([float("nan")]),
    "zero": pl.Series([0.0]),
    "minus zero": pl.Series([-0.0]),
    "one": pl.Series([1]),
    "one as text": pl.Series(["1"]),
    "one as float": pl.Series([1.0]),
    "one in 32 bits": pl.Series([1], dtype=pl.Int32),
    "one unsigned": pl.Series([1], dtype=pl.UInt64),
    "true": pl.Series([True]),
    "null of no type": pl.Series([None]),
    "two nulls of no type": pl.Series([None, None]),
    "category": pl.Series(["1"], dtype=pl.Categorical),
    "enum": pl.Series(["1"], dtype=pl.Enum(["1", "2"])),
    "enum in another order": pl.Series(["1"], dtype=pl.Enum(["2", "1"])),
    "bytes": pl.Series([b"1"]),
    "date": pl.Series([date(1970, 1, 2)]),
    "time": pl.Series([time(0, 0, 1)]),
    "duration": pl.Series([timedelta(microseconds=1)]),
    "instant": pl.Series([AT]),
    "instant in ms": pl.Series([AT]).dt.cast_time_unit("ms"),
    "wall time": pl.Series([AT.replace(tzinfo=None)]),
    "instant in New York": pl.Series([AT]).dt.convert_time_zone("America/New_York"),
    "decimal": pl.Series([Decimal("1.0")]),
    "decimal of another scale": pl.Series([Decimal("1.00")]),
    "list": pl.Series([[1]]),
    "array": pl.Series([[1]], dtype=pl.Array(pl.Int64, 1)),
    "list of a null": pl.Series([[None]], dtype=pl.List(pl.Int64)),
    "empty list": pl.Series([[]], dtype=pl.List(pl.Int64)),
    "null list": pl.Series([None], dtype=pl.List(pl.Int64)),
    "nested lists": pl.Series([[[1], [2]]]),
    "nested lists, cut elsewhere": pl.Series([[[1, 2], []]]),
    "struct": pl.Series([{"a": 1}]),
    "null struct": pl.Series([None], dtype=pl.Struct({"a": pl.Int64})),
    "struct of a null": pl.Series([{"a": None}], dtype=pl.Struct({"a": pl.Int64})),
    "strings": pl.Series(["ab", "c"]),
    "strings, cut elsewhere": pl.Series(["a", "bc"]),
    "a string with a zero": pl.Series(["a\0", "bc"]),
    "128 bits": pl.Series([1], dtype=pl.Int128),
}


def test_values_that_mean_something_else_differ() -> None:
    found = {name: of_frame(series.alias("x").to_frame()) for name, series in DIFFERENT.items()}
    assert len(set(found.values())) == len(found)


def test_shape_shows() -> None:
    assert of_frame(pl.DataFrame()) != of_frame(pl.DataFrame({"x": []}))
    tall, wide = pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [1], "b": [2]})
    assert of_frame(tall) != of_frame(wide)


def test_reordered_rows_show() -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert of_frame(frame.reverse()) != of_frame(frame)


def test_all_nan_are_one() -> None:
    other = np.frombuffer(np.array([0x7FF8000000000001], dtype=np.uint64).tobytes(), dtype=np.float64)
    assert of_frame(pl.DataFrame({"x": other})) == of_frame(pl.DataFrame({"x": [float("nan")]}))


def test_category_codes_leave_no_trace() -> None:
    pl.Series(["zulu", "yankee"], dtype=pl.Categorical)
    one = pl.DataFrame({"c": ["alpha", "zulu"]}, schema={"c": pl.Categorical})
    assert of_frame(one.reverse().reverse()) == of_frame(one)
    assert of_frame(one.filter(pl.col("c") == "zulu")) == of_frame(
        pl.DataFrame({"c": ["zulu"]}, schema={"c": pl.Categorical})
    )


def test_the_form_is_fixed() -> None:
    """A new release must give old content its old fingerprint: change this only together with a migration."""
    frame = pl.DataFrame(
        {"n": [1, None], "x": [0.5, float("nan")], "s": ["é", ""], "t": [AT, None], "l": [[1], []]},
    )
    assert of_frame(frame) == "238a783874f47e90e7aac2bc3f9ed5d744539095be29794fae1ed50297fc41cf"


def test_blocks_extend_without_reading_the_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_digests, "LEAF_ROWS", 2)
    monkeypatch.setattr(frame_digests, "BLOCK_ROWS", 4)
    frame = pl.DataFrame({"n": range(11), "s": [str(n) for n in range(11)]})
    old = block_digests(frame.head(6))
    extended = old[:1] + block_digests(frame.slice(4))
    assert extended == block_digests(frame)
    assert of_blocks(frame.schema, 11, extended) == of_frame(frame)


def test_long_texts_are_joined_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame({"s": ["abc", "", None, "é" * 10, "z"]})
    whole = of_frame(frame)
    monkeypatch.setattr(frame_digests, "_STRING_BYTES", 2)
    assert of_frame(frame) == whole


def test_a_type_without_canonical_form_is_named() -> None:
    frame = pl.DataFrame({"f": pl.Series([test_shape_shows], dtype=pl.Object)})
    with pytest.raises(InvalidInput, match="function has no fingerprint"):
        of_frame(frame)


class Fingerprinted:
    def __init__(self, text: str) -> None:
        self.text = text

    def slipway_fingerprint(self) -> str:
        return self.text


@dataclass(frozen=True)
class Pair:
    frame: Any
    note: str


def test_values_of_all_kinds_are_told_apart() -> None:
    frame = pl.DataFrame({"a": [1]})
    values = [
        None,
        1,
        1.0,
        "1",
        True,
        frame,
        frame.lazy(),
        frame["a"],
        frame["a"].alias("b"),
        [frame],
        (frame,),
        [frame, frame],
        {"a": frame},
        {"b": frame},
        Pair(frame, ""),
        Pair(frame.head(0), ""),
        Fingerprinted("a"),
        Fingerprinted("b"),
        np.array([1]),
        np.array([1.0]),
        np.array([[1]]),
        np.array([1, 2]),
        np.array([[1, 2]]),
        np.array([[1], [2]]),
        np.int64(1),
        np.array(["a"], dtype=object),
        np.array(["a"]),
        np.array(["2013-04-01"], dtype="datetime64[D]"),
        pd.DataFrame({"a": [1]}),
        pd.DataFrame({"a": [1]}, index=[7]),
        pd.DataFrame({"b": [1]}),
        pd.DataFrame({"a": [1]}, dtype="int32"),
        pd.Series([1], name="a"),
        {1, 2},
        {1, 3},
    ]
    assert len({of_value(value) for value in values}) == len(values)


def test_equal_values_have_one_fingerprint() -> None:
    def frame() -> pl.DataFrame:
        return pl.DataFrame({"a": [1, 2]})

    assert of_value({"x": frame(), "y": [1]}) == of_value({"x": frame(), "y": [1]})
    assert of_value({"b", "a"}) == of_value({"a", "b"})
    assert of_value(np.arange(6).reshape(2, 3).T) == of_value(np.ascontiguousarray(np.arange(6).reshape(2, 3).T))
    assert of_value(np.array([1], dtype=">i8")) == of_value(np.array([1], dtype="<i8"))
    assert of_value(pd.DataFrame({"a": [1, 2]})) == of_value(pd.DataFrame({"a": [1, 2]}))


class Shelf(dict[str, int]):
    pass


class Holder(list[int]):
    pass


@dataclass
class Noted:
    x: int

    @cached_property
    def twice(self) -> int:
        return 2 * self.x


def noted(**more: Any) -> Noted:
    one = Noted(1)
    vars(one).update(more)
    return one


def holder(**more: Any) -> Holder:
    one = Holder([1])
    vars(one).update(more)
    return one


def test_the_order_of_a_mapping_and_its_class_show() -> None:
    values = [
        {"a": 1, "b": 2},
        {"b": 2, "a": 1},
        OrderedDict(a=1, b=2),
        Counter(a=1, b=2),
        defaultdict(int, a=1, b=2),
        defaultdict(bool, a=1, b=2),
        Shelf(a=1, b=2),
        MappingProxyType({"a": 1, "b": 2}),
        [1],
        holder(),
        holder(unit="m"),
        noted(),
        noted(unit="m"),
    ]
    assert len({of_value(value) for value in values}) == len(values)
    assert of_value(noted(twice=2)) == of_value(noted())


def with_attrs(**attrs: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs.update(attrs)
    return frame


ALIKE: dict[str, list[Any]] = {
    "category": [
        pd.Series(["a", "b"], dtype="object"),
        *(pd.Series(["a", "b"], dtype=pd.CategoricalDtype(list(c), ordered=o)) for c in ("ab", "ba", "abc") for o in (False, True)),
        pd.Series([1, 2], dtype="category"),
        pd.Series([1.0, 2.0], dtype="category"),
    ],
    "category on its own": [pd.Categorical(["a"], ["a", "b"]), pd.Categorical(["a"], ["b", "a"]), pd.Index(["a"])],
    "name of a series": [pd.Series([1], name=name) for name in (None, "", "None", 0, "0")],
    "name of an index": [pd.DataFrame({"a": [1]}, index=pd.Index([0], name=name)) for name in (None, "", "a")],
    "name of the columns": [pd.DataFrame([[1]], columns=pd.Index(["a"], name=name)) for name in (None, "", "a")],
    "kind of an index": [pd.Series([1, 2], index=index) for index in (None, [0, 1], [0.0, 1.0], pd.Index([0, 1], dtype=object))],
    "index": [pd.RangeIndex(2), pd.RangeIndex(0, 4, 2), pd.Index([0, 1]), pd.Index([0, 1], name="a"), pd.Index(["0", "1"])],
    "levels": [pd.MultiIndex.from_tuples(rows, names=names) for rows in ([(1, 2)], [(2, 1)]) for names in (["a", "b"], ["b", "a"])],
    "objects": [pd.Series([value, "x"], dtype=object) for value in (1, 1.0, True, "1", None, float("nan"), pd.NA, pd.NaT)],
    "object frames": [pd.DataFrame({"a": [value]}, dtype=object) for value in (1, 1.0, True, None, float("nan"))],
    "labels": [pd.DataFrame([[1]], columns=[name]) for name in (1, 1.0, "1")],
    "attrs": [with_attrs(), with_attrs(unit="m"), with_attrs(unit="km")],
    "nullable": [pd.Series([1, None], dtype=dtype) for dtype in ("Int64", "Int32", "Float64", "float64", "object")],
    "texts": [pd.Series(["a", None], dtype=pd.StringDtype(na_value=missing)) for missing in (pd.NA, float("nan"))],
    "zones": [pd.Series(pd.to_datetime([0]).tz_localize("UTC").tz_convert(z)) for z in ("UTC", "Europe/Berlin", "Africa/Cairo")],
    "instants": [pd.Timestamp(0), pd.Timestamp(0, tz="UTC"), pd.Timestamp(0, tz="Africa/Cairo"), pd.Timedelta(0), pd.NaT, pd.NA],
    "frequency": [pd.date_range("2013-01-01", periods=1, freq=freq) for freq in ("D", "h")],
    "masked": [np.ma.MaskedArray([1, 2], mask) for mask in (False, [True, False], [False, True])] + [np.array([1, 2])],
    "fill value": [np.ma.MaskedArray([1], [True], fill_value=value) for value in (0, 1)],
    "matrix": [np.array([[1]]), np.array([[1]]).view(np.matrix)],
}  # fmt: skip


@pytest.mark.parametrize("kind", ALIKE)
def test_what_code_can_read_shows(kind: str) -> None:
    values = ALIKE[kind]
    assert len({of_value(value) for value in values}) == len(values)
    assert [of_value(copy.deepcopy(value)) for value in values] == [of_value(value) for value in values]


class Special(np.ndarray[Any, Any]):
    pass


def test_arrays_and_objects_with_hidden_content_are_refused() -> None:
    for value in (np.zeros(1).view(Special), pd.DataFrame({"a": [1]}).groupby("a"), pd.offsets.Day(2)):
        with pytest.raises(InvalidInput, match="has no fingerprint"):
            of_value(value)


def test_an_argument_counts_with_the_codes_of_its_categories() -> None:
    def frame(first: str) -> pl.DataFrame:
        kind = pl.Categorical(pl.Categories(f"test_{first}", physical=pl.UInt32))
        return pl.DataFrame({"c": [first, "low", "high"]}, schema={"c": kind}).tail(2)

    low, high = frame("low"), frame("high")
    assert low["c"].to_physical().to_list() != high["c"].to_physical().to_list()
    assert of_value(low) == of_value(high)
    assert of_argument(low)[0] != of_argument(high)[0]


def test_the_classes_of_an_argument_are_found() -> None:
    nested = [
        {"a": (Noted(1), np.array([Fingerprinted("a"), None], dtype=object))},
        pl.Series([Pair(1, "")], dtype=pl.Object),
    ]
    assert set(of_argument(nested)[1]) == {Noted, Fingerprinted, Pair}


@pytest.mark.parametrize("value", [object(), [test_shape_shows], {"a": iter([])}])
def test_what_has_no_fingerprint_is_said(value: object) -> None:
    with pytest.raises(InvalidInput, match="has no fingerprint"):
        of_value(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidInput, match="contains itself"):
        of_value(circle)


def test_a_file_path_and_its_text_differ() -> None:
    assert of_value(Path("a")) != of_value("a")


def test_estimators_are_equal_when_they_answer_alike_and_know_the_same() -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn: pip install 'slipway[sklearn]'")
    ensemble = pytest.importorskip("sklearn.ensemble")
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    for make in (
        lambda seed: ensemble.RandomForestClassifier(5, random_state=seed),
        lambda seed: ensemble.GradientBoostingClassifier(n_estimators=3, random_state=seed),
        lambda seed: linear.SGDClassifier(random_state=seed),
    ):
        one = of_value(make(1).fit(x, y))
        assert of_value(make(1).fit(x, y)) == one
        assert of_value(pickle.loads(pickle.dumps(make(1).fit(x, y)))) == one
        assert of_value(make(2).fit(x, y)) != one, "another parameter"
        assert of_value(make(1).fit(x + y[:, None], y)) != one, "other data"
        assert of_value(make(1)) != one, "not fitted"
    assert of_argument({"model": linear.Ridge()})[1] == (linear.Ridge,)


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
def test_asking_a_tree_of_neighbours_changes_nothing(algorithm: str) -> None:
    neighbors = pytest.importorskip("sklearn.neighbors", reason="scikit-learn is not installed")
    x = np.random.default_rng(0).normal(size=(200, 3))
    model = neighbors.KNeighborsClassifier(algorithm=algorithm).fit(x, x[:, 0] > 0)
    before = of_argument(model)[0]
    model.score(x, x[:, 0] > 0)
    assert model._tree.get_n_calls() > 0
    assert of_argument(model)[0] == before
    assert of_argument(neighbors.KNeighborsClassifier(algorithm=algorithm).fit(x + 1e-9, x[:, 0] > 0))[0] != before


def test_texts_of_pandas_may_begin_with_missing_ones() -> None:
    frame = pd.DataFrame({"cabin": pd.Series([None, None, "C85"], dtype="str")})
    other = pd.DataFrame({"cabin": pd.Series([None, "C85", None], dtype="str")})
    assert of_value(frame) == of_value(frame.copy())
    assert of_value(frame) != of_value(other)
