"""Examples of scalar features, and what declarations say besides."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import feature_histories as fh
import msgspec
import polars as pl
import pytest

import slipway.features.windows as w
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.code import closure, extract
from slipway.errors import InvalidDeclaration
from slipway.features.examples import check_examples, failed_examples
from slipway.features.scalars import Feature, feature
from slipway.features.sets import FeatureSet
from slipway.features.skew import certify
from slipway.features.specs import FrameTables, build_spec
from slipway.features.views import feature_view
from slipway.ports.workspace import Workspace
from slipway.records.features import AboutFeature, FeatureSetSpec
from slipway.tables import versions

T = datetime(2013, 1, 1, 7, tzinfo=UTC)


def hour_with(*examples: Any) -> Feature:
    @feature(examples=examples, default=12, owner="desk", tags="time")
    def hour(departs: datetime, shift: float | None = None) -> int:
        """The hour.

        Of the day.
        """
        return departs.hour + int(shift or 0)

    return hour


def test_examples_that_hold() -> None:
    hour = hour_with(({"departs": T}, 7), ({"departs": T, "shift": 2}, 9), ({"departs": None}, 12), ({}, 12))
    assert failed_examples(hour) == []
    assert hour.about == AboutFeature(owner="desk", description="The hour.", tags=("time",))
    assert hour(T) == 7
    check_examples([hour])


@pytest.mark.parametrize(
    ("example", "sentence"),
    [
        (({"departs": T}, 8), "'hour' gives 7 for departs=datetime.*, and its example 1 says 8"),
        (({"departs": T}, "7"), "gives 7 .* says '7'"),
        (({"departs": T}, True), "gives 7 .* says True"),
        (({"departed": T}, 7), "'hour' fails on its example 1 .*no argument 'departed'. Did you mean 'departs'"),
        (({"departs": "noon"}, 7), "The argument 'departs' is 'noon'"),
        (({"departs": datetime(2013, 1, 1, 7)}, 7), "The argument 'departs' is datetime.* has its time zone"),
        (({"departs": T, "shift": 1e300}, 7), "on its example 1"),
        (7, "Example 1 of the feature 'hour' is 7"),
    ],
)
def test_examples_that_fail_are_sentences(example: Any, sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        check_examples([hour_with(example)])


def test_floats_may_differ_in_their_last_digits() -> None:
    @feature(examples=[({"x": 0.2}, 0.3), ({"x": 1}, 1.1), ({"x": 0.2}, 0.3000001)])
    def more(x: float) -> float:
        return x + 0.1

    (failed,) = failed_examples(more)
    assert "example 3 says 0.3000001" in failed


def test_no_training_set_is_made_where_an_example_fails(workspace: Workspace) -> None:
    frame = pl.DataFrame({"id": [1], "departs": [T], "late": [True]})
    versions.overwrite(workspace, "flights", frame.cast({"departs": pl.Datetime("us", "UTC")}), key=("id",))
    flights = SimpleNamespace(name="flights", time="departs")

    @feature(examples=[({"departs": T}, 8)])
    def hour(departs: datetime) -> int:
        return departs.hour

    with pytest.raises(InvalidDeclaration, match="'hour' gives 7"):
        FeatureSet(hour).training_set(flights, label="late")


FILE = """
import polars as pl
import slipway as sw
from datetime import datetime

DESK = "flight desk"
CASES = [({"departs": datetime(2013, 1, 1, 7)}, 7)]


@sw.feature%s
def hour(departs: int) -> int:
    return departs // 60


@sw.feature_view(entity="origin"%s)
def weather(observations: pl.LazyFrame) -> pl.LazyFrame:
    return observations
"""


def test_words_are_no_part_of_a_definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib
    import sys

    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    said = {"bare": ("", ""), "told": ("(owner=DESK, description='x', examples=CASES)", ", owner=DESK, tags=['a']")}
    said["other"] = ("(default=3)", ", ttl='1h', time='at'")
    hashes: dict[str, list[str]] = {}
    for place, words in said.items():
        folder = tmp_path / place
        folder.mkdir()
        (folder / "wording.py").write_text(FILE % words)
        monkeypatch.setattr(sys, "path", [str(folder), *sys.path[1:]])
        monkeypatch.delitem(sys.modules, "wording", raising=False)
        importlib.invalidate_caches()
        module = importlib.import_module("wording")
        hashes[place] = [closure(each.function).hash for each in (module.hour, module.weather)]
        if place == "told":
            (text,) = extract([module.hour.function]).values()
            assert "DESK" not in text
            assert "@sw.feature\ndef hour" in text
    assert hashes["bare"] == hashes["told"]
    assert hashes["bare"] != hashes["other"]


def test_defaults_are_the_same_on_every_path(tmp_path: Path, workspace: Workspace) -> None:
    @feature(default="nobody")
    def greeted(name: str, desk_temp: float | None) -> str | None:
        return None if name == "A" else f"{name} {desk_temp}"

    @feature(default=datetime(2013, 1, 1, tzinfo=UTC))
    def moved(departs: datetime) -> datetime:
        return departs

    @feature_view(entity="origin", time="seen_at", ttl="1h", default={"temp": 15, "day": T.date(), "gust": None})
    def desk(observations: pl.LazyFrame) -> pl.LazyFrame:
        return observations

    schema = {"origin": pl.String, "seen_at": pl.Datetime("us", "UTC"), "temp": pl.Float64, "day": pl.Date}
    schema |= {"gust": pl.Duration("us")}
    tables = FrameTables(
        {"observations": pl.DataFrame(schema=schema), "events": pl.DataFrame(schema=fh.EVENT_SCHEMA)},
        {"events": ("id",)},
    )
    recent = w.windows(
        "events", time="known_at", by="origin", m=w.mean("delay", "1h", default=-1), x=w.max_("seats", "6h")
    )
    features = FeatureSet(recent, desk, greeted, moved)
    request: dict[str, Any] = {"origin": "string", "name": "string", "departs": "datetime"}
    spec = build_spec(features, request, tables, str)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=FeatureSetSpec) == spec
    found = certify(
        spec, features.functions, lambda name: SqliteOnlineStore(tmp_path / f"{name}.db"), tables=workspace, rows=300
    )
    assert found.first == ()
    assert [check.path for check in found.paths] == ["online", "stream", "back-fill"]
    from slipway.features.offline import History, compute

    rows = pl.DataFrame(
        {"origin": [None, "EWR"], "name": [None, "A"], "departs": [None, T], "at": [T, T]},
        schema_overrides={"departs": pl.Datetime("us", "UTC"), "at": pl.Datetime("us", "UTC")},
    )
    seen = pl.DataFrame(
        {"origin": ["EWR"], "seen_at": [T], "temp": [None], "day": [None], "gust": [None]}, schema=schema
    )
    history = History(events={"events": pl.DataFrame(schema=fh.EVENT_SCHEMA)}, views={"desk": seen})
    answer = compute(spec, rows, "at", history, features.functions).frame.to_dicts()
    # What a row holds, or a function returns, stays: a default is for what is not known.
    assert answer == [
        {"origin_m": -1.0, "origin_x": None, "desk_temp": 15.0, "desk_day": T.date(), "desk_gust": None,
         "greeted": "nobody", "moved": datetime(2013, 1, 1, tzinfo=UTC)},
        {"origin_m": -1.0, "origin_x": None, "desk_temp": None, "desk_day": None, "desk_gust": None,
         "greeted": None, "moved": T},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: feature(default="7")(fh.is_far.function), "The default of the feature 'is_far' is '7'"),
        (lambda: feature(owner=3)(fh.is_far.function), "owner=3 of a feature is no text"),  # type: ignore[call-overload]
        (lambda: feature_view(entity="a", default=3), "has default=3"),  # type: ignore[arg-type]
        (lambda: w.windows("t", time="t", by="a", tags=[1], n=w.count("1h")), "tags=1 of a feature"),  # type: ignore[list-item]
    ],
)
def test_declarations_that_do_not_fit_are_sentences(make: Any, sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        make()


def test_defaults_of_a_view_name_its_columns() -> None:
    @feature_view(entity="origin", default={"temperature": 3.0})
    def desk(observations: pl.LazyFrame) -> pl.LazyFrame:
        return observations

    tables = FrameTables({"observations": pl.DataFrame({"origin": ["a"], "temp": [1.0]})})
    with pytest.raises(InvalidDeclaration, match="default for 'temperature', which is no feature of it"):
        build_spec(FeatureSet(desk), {"origin": "string"}, tables, str)
