"""The certificate must hold for what is right, and bite where one path is broken."""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import feature_histories as fh
import polars as pl
import pytest
import test_views as tv

from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.features.scalars import feature
from slipway.features.sets import FeatureSet
from slipway.features.skew import certify
from slipway.features.specs import FrameTables, build_spec
from slipway.ports.online_store import FoundRow
from slipway.records.features import FeatureSetSpec, SkewCertificate, WindowState


@feature
def plain(
    distance: int | None, ratio: float | None, name: str | None, departs: datetime | None, day: date, wait: timedelta
) -> str:
    return repr((distance, ratio, name, departs, day, wait))


REQUEST = {
    **fh.REQUEST,
    "ratio": "float",
    "name": "string",
    "departs": "datetime",
    "day": "date",
    "wait": "duration",
    "flag": "bool",
}
TABLES = FrameTables(
    {"events": pl.DataFrame(schema=fh.EVENT_SCHEMA), "observations": pl.DataFrame(schema=tv.SCHEMA)},
    {"events": ("id",)},
)
FEATURES = fh.a_set(plain, "flag", "departs", tv.weather, tv.desk, tv.airline)


def spec_of(features: FeatureSet) -> FeatureSetSpec:
    return build_spec(features, REQUEST, TABLES, lambda function: function.__name__)


def certificate(
    folder: Path, features: FeatureSet = FEATURES, kind: type = SqliteOnlineStore, **options: Any
) -> SkewCertificate:
    return certify(
        spec_of(features),
        features.functions,
        lambda name: kind(folder / name / "online.db"),
        **({"rows": 300} | options),
    )


def test_equal_paths_get_a_certificate(tmp_path: Path) -> None:
    found = certificate(tmp_path)
    assert found.first == ()
    assert found.equal
    assert (found.rows, found.features) == (300, len(spec_of(FEATURES).features))
    assert [(check.path, check.compared // found.features) for check in found.paths] == [
        ("online", 3 * found.rows),
        ("stream", found.rows),
    ]
    assert found.compared == sum(check.compared for check in found.paths)
    assert found.raised == 0
    assert found.definition == spec_of(FEATURES).definition


class OpenBorder(SqliteOnlineStore):
    """Forgets that a window holds its end."""

    def window_states(
        self, stream: str, keys: Sequence[str], at_us: int, widths_us: Sequence[int]
    ) -> list[list[WindowState]]:
        return super().window_states(stream, keys, at_us - 1, widths_us)


class CountsTwice(SqliteOnlineStore):
    """Takes a repeated event for a new one."""

    _times = count()

    def push_events(self, stream: str, rows: Any) -> int:
        return super().push_events(
            stream, [row._replace(event_id=f"{row.event_id}.{next(self._times)}") for row in rows]
        )


class ForgetsTime(SqliteOnlineStore):
    """Gives views a microsecond of the future."""

    def view_rows(self, views: tuple[str, ...], keys: Sequence[str], at_us: int) -> list[list[FoundRow | None]]:
        return super().view_rows(views, keys, at_us + 1)


class RoundsSums(SqliteOnlineStore):
    """Sums in floats."""

    def window_states(
        self, stream: str, keys: Sequence[str], at_us: int, widths_us: Sequence[int]
    ) -> list[list[WindowState]]:
        found = super().window_states(stream, keys, at_us, widths_us)
        return [
            [WindowState(s.rows, tuple((c[0], int(float(c[1])), *c[2:]) for c in s.columns)) for s in states]  # type: ignore[misc]
            for states in found
        ]


@pytest.mark.full
@pytest.mark.parametrize("kind", [OpenBorder, CountsTwice, ForgetsTime, RoundsSums])
def test_a_broken_store_is_found(tmp_path: Path, kind: type) -> None:
    found = certificate(tmp_path, kind=kind)
    assert not found.equal
    assert len(found.first) == min(5, found.mismatches)
    assert "offline and" in found.first[0]


def test_a_function_with_a_memory_is_found(tmp_path: Path) -> None:
    calls = count()

    @feature
    def position(distance: int | None) -> int:
        return next(calls)

    found = certificate(tmp_path, FeatureSet(position))
    assert found.mismatches > 0
    assert re.match(r"position is \d+ offline and \d+ online", found.first[0])


def test_functions_that_raise_are_counted_and_named(tmp_path: Path) -> None:
    @feature
    def inverse(distance: int) -> float:
        return 1 / distance

    found = certificate(tmp_path, FeatureSet(inverse))
    assert found.equal
    assert found.raised == 1
    assert found.raised_first == ("The feature 'inverse' raised ZeroDivisionError: division by zero (distance=0).",)


def test_a_function_that_raises_on_one_path_is_found(tmp_path: Path) -> None:
    calls = count()

    @feature
    def tired(distance: int | None) -> int | None:
        if next(calls) == 350:
            raise OSError("tired")
        return None

    found = certificate(tmp_path, FeatureSet(tired))
    assert found.mismatches == 1
    assert found.first[0].startswith("raised on one path only: The feature 'tired' raised OSError: tired")


@pytest.mark.full
def test_the_same_seed_draws_the_same_rows(tmp_path: Path) -> None:
    small = {"rows": 40}
    one = certificate(tmp_path / "1", kind=OpenBorder, seed=7, **small)
    assert one == certificate(tmp_path / "2", kind=OpenBorder, seed=7, **small)
    assert one != certificate(tmp_path / "3", kind=OpenBorder, seed=8, **small)


def test_the_code_that_serves_is_what_is_compared(tmp_path: Path) -> None:
    scale = 5.0

    def rebound(distance: int) -> float:
        return distance * scale

    def as_written(distance: int) -> float:
        return distance * 1.0

    as_written.__name__ = "rebound"
    found = certificate(tmp_path, FeatureSet(feature(rebound)), serving={"rebound": feature(as_written)})
    assert found.mismatches > 0
    assert found.first[0].startswith("rebound is ")
    assert "offline and" in found.first[0]
