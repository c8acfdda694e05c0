"""One set with several entities, and features of features: the same in a training set and for a request."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import feature_histories as fh
import polars as pl
import pytest

import slipway.features.windows as w
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.errors import InvalidInput
from slipway.features.materialise import materialise
from slipway.features.online import build_resolver
from slipway.features.scalars import feature
from slipway.features.sets import FeatureSet
from slipway.features.skew import certify
from slipway.features.views import feature_view
from slipway.ports.workspace import Workspace
from slipway.tables import versions

T = datetime(2013, 1, 1, tzinfo=UTC)
H = timedelta(hours=1)


@feature_view(entity="origin", time="hour", ttl="12h", default={"busy": 0.0})
def desk(hourly: pl.LazyFrame) -> pl.LazyFrame:
    """Over a table that is derived itself."""
    return hourly.select("origin", "hour", busy=pl.col("flights") / 10)


@feature_view(entity=["tailnum"])
def plane(planes: pl.LazyFrame) -> pl.LazyFrame:
    return planes


@feature
def load(route_seen: int, plane_seats: int | None, desk_busy: float) -> float:
    """Of windows and of two views."""
    return route_seen + (plane_seats or 0) * desk_busy


@feature(default="unknown")
def size(load: float, weight: int) -> str:
    """Of a scalar and of a field of the request."""
    return "large" if load * weight > 10 else "small"


@feature
def shown(size: str, carrier_kinds: int) -> str:
    return f"{size} {carrier_kinds}"


RECENT = w.windows(
    "flights",
    time="known_at",
    by={"route": ["origin", "dest"], "carrier": "carrier"},
    seen=w.count("1d"),
    kinds=w.approx_distinct("tailnum", "1d"),
)
SET = FeatureSet(shown, size, load, RECENT, desk, plane)  # each is declared before what it is computed from


def fill(workspace: Workspace) -> None:
    n = 12
    flights = pl.DataFrame(
        {
            "id": range(n),
            "at": [T + k * H for k in range(n)],
            "known_at": [T + (k + 3) * H for k in range(n)],
            "origin": ["EWR" if k % 3 else "JFK" for k in range(n)],
            "dest": ["LAX" if k % 2 else None for k in range(n)],
            "carrier": ["UA" if k % 4 else "AA" for k in range(n)],
            "tailnum": [f"N{k % 5}" for k in range(n)],
            "weight": [None if k == 7 else k for k in range(n)],
            "late": [k % 2 == 0 for k in range(n)],
        }
    ).with_columns(pl.col("at", "known_at").cast(pl.Datetime("us", "UTC")))
    versions.overwrite(workspace, "flights", flights, key=("id",), time="at")
    read = versions.read(workspace, "flights")
    hourly = read.group_by("origin", hour=pl.col("known_at").dt.truncate("1h")).agg(flights=pl.len()).collect()
    versions.overwrite(workspace, "hourly", hourly.sort("origin", "hour"), key=("origin", "hour"))
    versions.overwrite(workspace, "planes", pl.DataFrame({"tailnum": ["N1", "N2", "N3"], "seats": [100, 20, None]}))


def test_a_training_set_and_requests_agree(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    rows = SET.training_set("flights", label="late")
    assert rows["shown"].to_list()[:2] == ["small 0", "small 0"]
    assert rows["size"].to_list()[7] == "unknown"
    assert "large" in rows["size"].to_list()
    spec = SET.spec("flights")
    store = SqliteOnlineStore(tmp_path / "online.db")
    materialise(workspace, spec, store, until=T + 30 * H, views=SET.views)
    resolve = build_resolver(spec, SET.functions, store)
    names = [field.name for field in spec.features]
    for row in rows.to_dicts():
        request = {field.name: row[field.name] for field in spec.request}
        assert fh.all_bits(resolve([request], row["at"])) == fh.all_bits([[row[name] for name in names]])
    store.close()


def test_the_certificate_holds(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    spec = SET.spec("flights")
    found = certify(spec, SET.functions, lambda name: SqliteOnlineStore(tmp_path / f"{name}.db"), rows=200)
    assert found.first == ()


def test_a_circle_is_a_sentence(workspace: Workspace) -> None:
    fill(workspace)

    @feature
    def hen(egg: int) -> int:
        return egg

    @feature
    def egg(hen: int) -> int:
        return hen

    with pytest.raises(InvalidInput, match="The features egg, hen are computed from each other in a circle"):
        FeatureSet(hen, egg).spec("flights")
