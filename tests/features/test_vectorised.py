"""A vectorised twin is used where it is proven equal to its function, and refused with a row where it is not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from slipway.code import closure, extract
from slipway.errors import InvalidDeclaration
from slipway.features.examples import failed_examples
from slipway.features.offline import History, compute
from slipway.features.scalar_columns import proven_twins
from slipway.features.scalars import Feature, feature
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.features.vectorised import vectorised
from slipway.ports.workspace import Workspace
from slipway.tables import versions

T = datetime(2013, 1, 1, 7, tzinfo=UTC)
REQUEST: dict[str, Any] = {"departs": "datetime", "distance": "int", "minutes": "float", "origin": "string"}


def features() -> tuple[Feature, ...]:
    @feature(default=-1)
    def hour(departs: datetime) -> int:
        return departs.astimezone(ZoneInfo("America/New_York")).hour

    @vectorised(hour)
    def hour_in_columns(departs: pl.Expr) -> pl.Expr:
        return departs.dt.convert_time_zone("America/New_York").dt.hour()

    @feature
    def speed(distance: float | None, minutes: float) -> float | None:
        return distance / minutes if distance is not None and minutes else None

    @vectorised(speed)
    def speed_in_columns(distance: pl.Expr, minutes: pl.Expr) -> pl.Expr:
        return pl.when(minutes != 0.0).then(distance / minutes)

    @feature
    def place(origin: str | None, hour: int) -> str:
        return f"{origin or '?'}-{hour}"

    @vectorised(place)
    def place_in_columns(origin: pl.Expr, hour: pl.Expr) -> pl.Expr:
        named = pl.when(origin.is_null() | (origin == "")).then(pl.lit("?")).otherwise(origin)
        return pl.concat_str(named, pl.lit("-"), hour.cast(pl.String))

    @feature
    def always(distance: int) -> bool:
        return True

    @vectorised(always)
    def always_in_columns(distance: pl.Expr) -> pl.Expr:
        return pl.lit(value=True)

    return hour, speed, place, always


def rows(count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": range(count),
            "departs": [None if n % 50 == 49 else T + n * timedelta(minutes=37) for n in range(count)],
            "at": [T + n * timedelta(minutes=37) for n in range(count)],
            "distance": [None if n % 31 == 30 else n for n in range(count)],
            "minutes": [float(n % 7) for n in range(count)],
            "origin": ["EWR" if n % 3 else None for n in range(count)],
            "late": [n % 2 == 0 for n in range(count)],
        }
    ).with_columns(pl.col("departs", "at").cast(pl.Datetime("us", "UTC")))


def test_proven_twins_give_the_bits_of_the_functions() -> None:
    declared = features()
    made = FeatureSet(*declared)
    spec = build_spec(made, REQUEST, FrameTables({}), lambda function: function.__name__)
    twins = proven_twins(spec, made.functions, declared)
    for count in (0, 1, 5000):
        given = rows(count)
        plain = compute(spec, given, "at", History(), made.functions).frame
        fast = compute(spec, given, "at", History(), twins).frame
        assert fast.schema == plain.schema
        assert fast.equals(plain, null_equal=True)
    assert plain["hour"].to_list()[49] == -1


def test_a_training_set_calls_the_function_for_a_sample_only(workspace: Workspace) -> None:
    calls = []

    @feature(examples=[({"distance": 3}, 6)])
    def twice(distance: int) -> int | None:
        calls.append(distance)
        return distance * 2 if abs(distance) < 2**62 else None

    @vectorised(twice)
    def twice_in_columns(distance: pl.Expr) -> pl.Expr:
        return pl.when((distance < 2**62) & (distance > -(2**62))).then(distance * 2)

    versions.overwrite(workspace, "flights", rows(40_000), key=("id",), time="at")
    flights = SimpleNamespace(name="flights", time="at")
    found = FeatureSet(twice).training_set(flights, label="late")
    assert found["twice"].to_list()[:3] == [0, 2, 4]
    assert found.height == 40_000
    assert len(calls) < 5000
    assert failed_examples(twice) == []


def _refusal(function: Callable[..., Any], twin: Callable[..., Any], given: pl.DataFrame | None = None) -> str:
    declared = feature(function)
    vectorised(declared)(twin)
    made = FeatureSet(declared)
    spec = build_spec(made, REQUEST, FrameTables({}), lambda function: function.__name__)

    def used() -> None:
        twins = proven_twins(spec, made.functions, [declared])
        if given is not None:
            compute(spec, given, "at", History(), twins)

    with pytest.raises(InvalidDeclaration) as caught:
        used()
    return caught.value.what


def test_what_differs_is_refused_with_its_first_row() -> None:
    def whole(minutes: float) -> int:
        return round(minutes) if abs(minutes) < 1e15 else 0

    def halves_up(minutes: pl.Expr) -> pl.Expr:
        return pl.when(minutes.abs() < 1e15).then((minutes + 0.5).floor()).otherwise(0)

    words = _refusal(whole, halves_up)
    assert words.startswith("The twin of the feature 'whole' gives ")
    assert ".5, and the function gives " in words

    def utc_hour(departs: datetime) -> int:
        return departs.hour

    def local_hour(departs: pl.Expr) -> pl.Expr:
        return departs.dt.convert_time_zone("America/New_York").dt.hour()

    words = _refusal(utc_hour, local_hour)
    assert "The twin of the feature 'utc_hour' gives" in words
    assert "for departs=datetime.datetime(" in words
    assert "and the function gives" in words


def test_what_depends_on_the_batch_is_refused() -> None:
    def high(minutes: float) -> bool:
        return minutes > 0.1

    assert "gives" in _refusal(high, lambda minutes: minutes > minutes.mean())


def test_a_function_that_fails_where_its_twin_does_not_is_refused() -> None:
    def twice(distance: int) -> int:
        return distance * 2

    assert "and the function fails: The feature 'twice' returned" in _refusal(twice, lambda distance: distance * 2)


def test_a_twin_that_fails_is_refused() -> None:
    def known(origin: str) -> bool:
        return origin in {"EWR"}

    assert "The twin of the feature 'known' failed: InvalidOperationError: " in _refusal(
        known, lambda origin: origin.dt.hour() > 1
    )


def test_real_rows_are_compared_too() -> None:
    """The generated cases do not know this distance; the rows of the training set do."""

    def odd(distance: int) -> bool:
        return distance == 777

    words = _refusal(odd, lambda distance: pl.lit(value=False), rows(1500))
    assert words == "The twin of the feature 'odd' gives False for distance=777, and the function gives True"


def test_declarations_that_do_not_fit_are_sentences() -> None:
    hour = feature(lambda_free)
    with pytest.raises(InvalidDeclaration, match=r"was given <function lambda_free"):
        vectorised(lambda_free)  # type: ignore[arg-type]
    with pytest.raises(InvalidDeclaration, match=r"'lambda_free' takes x\."):
        vectorised(hour)(lambda x: x)
    vectorised(hour)(lambda distance: distance > 1)
    with pytest.raises(InvalidDeclaration, match="has a twin already"):
        vectorised(hour)(lambda distance: distance > 2)


def lambda_free(distance: int) -> bool:
    return distance > 1


FILE = """
import slipway as sw
import polars as pl

@sw.feature
def hour(distance: int) -> int:
    return distance
"""
TWIN = """
@sw.vectorised(hour)
def hour_in_columns(distance: pl.Expr) -> pl.Expr:
    return distance + pl.lit(0)
"""


def test_a_twin_changes_neither_the_definition_nor_what_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib
    import sys

    hashes = []
    for place, text in {"bare": FILE, "twinned": FILE + TWIN}.items():
        folder = tmp_path / place
        folder.mkdir()
        (folder / "twinning.py").write_text(text)
        monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
        monkeypatch.delitem(sys.modules, "twinning", raising=False)
        importlib.invalidate_caches()
        module = importlib.import_module("twinning")
        hashes.append(closure(module.hour.function).hash)
        assert (module.hour.twin is None) == (place == "bare")
        (extracted,) = extract([module.hour.function]).values()
        assert "polars" not in extracted
    assert hashes[0] == hashes[1]
