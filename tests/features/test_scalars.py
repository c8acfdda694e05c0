from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import feature_histories as fh
import polars as pl
import pytest

from slipway.errors import InvalidDeclaration, InvalidInput, StepFailed
from slipway.features.offline import History, compute
from slipway.features.online import build_resolver
from slipway.features.scalars import Feature, feature
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.records.features import FeatureSetSpec
from slipway.records.schema import Field


@feature
def local_hour(departs: datetime) -> int:
    """The hour in New York."""
    return departs.astimezone(ZoneInfo("America/New_York")).hour


@feature
def is_cold(temp: float | None, limit: float) -> bool:
    return temp is not None and temp < limit


def spec_of(*parts: Any, request: dict[str, Any]) -> FeatureSetSpec:
    return build_spec(FeatureSet(*parts), request, FrameTables({}), lambda function: function.__name__)


def test_a_feature_is_its_function() -> None:
    assert local_hour(datetime(2013, 7, 1, 4, tzinfo=UTC)) == 0
    assert (local_hour.name, local_hour.__doc__, local_hour.__wrapped__) == (
        "local_hour",
        "The hour in New York.",
        local_hour.function,
    )
    assert is_cold.arguments == (Field("temp", "float", nullable=True), Field("limit", "float", nullable=False))
    assert is_cold.returns == "bool"


def no_types(a, b: int) -> int:  # type: ignore[no-untyped-def]
    return b


def no_result(a: int):  # type: ignore[no-untyped-def]
    return a


def no_arguments() -> int:
    return 1


def lists(a: list[int]) -> int:
    return len(a)


def unions(a: int | str) -> int:
    return 1


def stars(*a: int) -> int:
    return 1


def unknown(a: Missing) -> int:  # type: ignore[name-defined]  # noqa: F821
    return 1


async def waits(a: int) -> int:
    return a


def gives_many(a: int) -> int:  # type: ignore[misc]
    yield a


def plain(a: int) -> int:
    return a


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (5, "was given 5"),
        (int, "was given <class 'int'>"),
        (partial(plain), "was given functools.partial"),
        (feature(plain), "was given <feature plain"),
        (waits, "'waits' is an async function"),
        (gives_many, "'gives_many' is a generator"),
        (no_types, "argument 'a' of the feature 'no_types' has no type"),
        (no_result, "does not say what it returns"),
        (no_arguments, "has no arguments"),
        (lists, "has the type list"),
        (unions, "argument 'a' of the feature 'unions' has the type"),
        (stars, "takes 'a' as variadic positional"),
        (unknown, "name 'Missing', which is not defined"),
        (lambda a: a, "lambda cannot be a feature"),
    ],
)
def test_declarations_that_do_not_fit_are_sentences(function: Any, sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        feature(function)


@pytest.mark.parametrize("examples", [None, 1, "abc", {"a": 1}])
def test_examples_are_a_list(examples: Any) -> None:
    with pytest.raises(InvalidDeclaration, match="examples of the feature 'plain' are"):
        feature(examples=examples)(plain)


def both_paths(spec: FeatureSetSpec, functions: dict[str, Any], frame: pl.DataFrame) -> list[list[Any]]:
    at = fh.START
    dated = frame.with_columns(pl.lit(at).alias("decided_at"))
    offline = [list(row) for row in compute(spec, dated, "decided_at", History(), functions).frame.iter_rows()]
    resolve = build_resolver(spec, functions)
    names = [field.name for field in spec.request]
    rows = [[row[name] for name in names] for row in frame.to_dicts()]
    assert fh.all_bits(resolve(rows, at)) == fh.all_bits(offline)
    assert fh.all_bits([resolve([row], at)[0] for row in rows]) == fh.all_bits(offline)
    return offline


def test_nulls_arrive_as_none_or_make_the_feature_null() -> None:
    spec = spec_of(is_cold, request={"temp": "float", "limit": "float"})
    frame = pl.DataFrame({"temp": [None, 1.0, 9.0, 1.0], "limit": [5.0, 5.0, 5.0, None]})
    assert both_paths(spec, {"is_cold": is_cold}, frame) == [[False], [True], [False], [None]]
    assert spec.request == (Field("temp", "float", nullable=True), Field("limit", "float", nullable=False))


def test_instants_arrive_in_utc_on_both_paths() -> None:
    spec = spec_of("departs", local_hour, request={"departs": "datetime"})
    around = [datetime(2013, 3, 10, 6, 59, tzinfo=UTC) + timedelta(hours=n) for n in range(-2, 3)]
    zoned = pl.DataFrame({"departs": pl.Series([*around, None]).dt.convert_time_zone("Asia/Kolkata")})
    assert [row[1] for row in both_paths(spec, {"local_hour": local_hour}, zoned)] == [23, 0, 1, 3, 4, None]
    resolve = build_resolver(spec, {"local_hour": local_hour})
    offset = datetime(2013, 3, 10, 1, 59, tzinfo=timezone(timedelta(hours=-5)))
    assert resolve([{"departs": offset}], fh.START) == [[around[2], 1]]


def test_chained_features_are_computed_in_any_order_of_declaration() -> None:
    @feature
    def third(second: float) -> str:
        return f"{second:.1f}"

    @feature
    def second(first: int, x: int) -> float:
        return first + x / 2

    @feature
    def first(x: int) -> int:
        return x + 1

    functions = {f.name: f for f in (third, second, first)}
    spec = spec_of(third, "x", second, first, request={"x": "int"})
    assert [field.name for field in spec.features] == ["third", "x", "second", "first"]
    assert [field.type for field in spec.features] == ["string", "int", "float", "int"]
    assert both_paths(spec, functions, pl.DataFrame({"x": [1, 2]})) == [["2.5", 1, 2.5, 2], ["4.0", 2, 4.0, 3]]


def test_whole_numbers_reach_a_float_as_floats() -> None:
    @feature
    def text(x: float) -> str:
        return str(x)

    assert both_paths(spec_of(text, request={"x": "int"}), {"text": text}, pl.DataFrame({"x": [3]})) == [["3.0"]]
    resolve = build_resolver(spec_of(text, request={"x": "float"}), {"text": text})
    assert resolve([[3]], fh.START) == [["3.0"]]


def test_circles_and_unknown_names_are_sentences() -> None:
    @feature
    def one(other: int) -> int:
        return other

    @feature
    def other(one: int) -> int:
        return one

    with pytest.raises(InvalidInput, match="one, other are computed from each other"):
        spec_of(one, other, request={})
    with pytest.raises(InvalidDeclaration, match=r"needs 'other', which is neither .* Did you mean 'others'"):
        spec_of(one, request={"others": "int"})
    with pytest.raises(InvalidDeclaration, match="takes 'other' as int, and it comes as string"):
        spec_of(one, request={"other": "category"})


def test_two_features_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidDeclaration, match="Two features of 'features' are called 'is_cold'"):
        FeatureSet("is_cold", is_cold)
    with pytest.raises(InvalidDeclaration, match="is empty"):
        FeatureSet()
    with pytest.raises(InvalidDeclaration, match="is no feature"):
        FeatureSet(len)  # type: ignore[arg-type]


@feature
def halves(x: int) -> int:
    return x / 2  # type: ignore[return-value]


@feature
def inverse(x: int) -> float:
    return 1 / x


@feature
def huge(x: int) -> int:
    return 2**63 * x


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (inverse, r"'inverse' raised ZeroDivisionError: division by zero on row 1 \(x=0\)"),
        (halves, r"'halves' returned 0.5 \(float\) on row 0; it is declared to return int"),
        (huge, "'huge' returned 9223372036854775808"),
    ],
)
def test_failures_name_feature_and_row(given: Feature, sentence: str) -> None:
    spec = spec_of(given, request={"x": "int"})
    resolve = build_resolver(spec, {given.name: given})
    with pytest.raises(StepFailed, match=sentence) as online:
        resolve([[1], [0]], fh.START)
    frame = pl.DataFrame({"x": [1, 0], "at": [fh.START] * 2})
    with pytest.raises(StepFailed, match=sentence) as offline:
        compute(spec, frame, "at", History(), {given.name: given})
    assert online.value.step == offline.value.step == given.name
    assert "calls.py" not in online.value.trace


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (bool, True, 1),
        (int, 3, "3"),
        (float, 2, "2"),
        (str, "a", 1),
        (datetime, datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 1)),
        (date, date(2013, 1, 1), datetime(2013, 1, 1, tzinfo=UTC)),
        (timedelta, timedelta(1), 1),
    ],
)
def test_results_keep_to_their_type(kind: type, good: Any, bad: Any) -> None:
    def made(pick: bool) -> Any:
        return good if pick else bad

    made.__annotations__ = {"pick": bool, "return": kind}
    spec = spec_of(feature(made), request={"pick": "bool"})
    resolve = build_resolver(spec, {"made": made})
    (found,) = resolve([[True]], fh.START)[0]
    assert type(found) is kind
    assert found == good
    with pytest.raises(StepFailed, match="declared to return"):
        resolve([[False]], fh.START)


def test_an_instant_without_its_time_zone_is_told_what_it_lacks() -> None:
    def made(pick: bool) -> datetime:
        return datetime(2013, 1, 1)

    resolve = build_resolver(spec_of(feature(made), request={"pick": "bool"}), {"made": made})
    with pytest.raises(StepFailed) as caught:
        resolve([[True]], fh.START)
    assert "replace(tzinfo=UTC)" in caught.value.fix


def test_a_missing_function_or_a_short_row_is_a_sentence() -> None:
    spec = spec_of(is_cold, request={"temp": "float", "limit": "float"})
    with pytest.raises(InvalidInput, match="no function for the feature 'is_cold'"):
        build_resolver(spec, {"is_colder": is_cold})
    resolve = build_resolver(spec, {"is_cold": is_cold})
    with pytest.raises(InvalidInput, match="Row 1 has 1 values"):
        resolve([[1.0, 2.0], [1.0]], fh.START)
    with pytest.raises(InvalidInput, match="no time zone"):
        resolve([[1.0, 2.0]], datetime(2013, 1, 1))
    assert resolve([], fh.START) == []


def test_declarations_and_the_online_path_load_no_frames() -> None:
    code = (
        "import sys, slipway.features.sets, slipway.features.online, slipway.backends.sqlite_online\n"
        "print([name for name in ('polars', 'numpy', 'pandas', 'asyncio') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
