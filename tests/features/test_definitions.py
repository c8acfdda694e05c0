"""The ledger knows each distinct definition of a feature by a number."""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

import slipway as sw
import slipway.features.windows as w
from slipway.cli import main
from slipway.errors import NotFound, StepFailed
from slipway.features.definitions import get_feature, list_features
from slipway.features.scalars import Feature, feature
from slipway.features.sets import FeatureSet
from slipway.features.views import feature_view
from slipway.ledger.run_log import REPRODUCES
from slipway.operations.declare import Empty
from slipway.operations.features import GetFeature
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.features import Windows
from slipway.tables import versions

T = datetime(2013, 1, 1, tzinfo=UTC)


@feature_view(entity="origin", ttl="3h", time="seen_at", default={"temp": 15.0}, owner="desk")
def weather(observations: pl.LazyFrame) -> pl.LazyFrame:
    """Temperatures."""
    return observations


@feature
def hour(at: datetime) -> int:
    return at.hour


def recent(width: str = "6h", owner: str = "") -> w.DeclaredWindows:
    return w.windows(
        "flights", time="known_at", by="origin", owner=owner, delay=w.mean("delay", width), n=w.count("1d")
    )


def tables(workspace: Workspace) -> None:
    n = 4
    frame = pl.DataFrame(
        {
            "id": range(n),
            "at": [T + k * timedelta(hours=1) for k in range(n)],
            "known_at": [T + (k + 5) * timedelta(hours=1) for k in range(n)],
            "origin": ["EWR"] * n,
            "delay": [1.0] * n,
            "late": [True] * n,
        }
    ).with_columns(pl.col("at", "known_at").cast(pl.Datetime("us", "UTC")))
    versions.overwrite(workspace, "flights", frame, key=("id",), time="at")
    versions.overwrite(workspace, "observations", frame.select("origin", seen_at="at", temp="delay"))


def used(workspace: Workspace, *parts: Feature | w.DeclaredWindows | object) -> dict[str, tuple[int, str]]:
    FeatureSet(*parts).training_set("flights", label="late")  # type: ignore[arg-type]
    return {found.name: (found.number, found.about.owner) for found in list_features(workspace, Empty()).features}


def test_each_distinct_definition_gets_a_number(workspace: Workspace) -> None:
    tables(workspace)
    first = used(workspace, recent(), weather, hour)
    assert first == {"hour": (1, ""), "origin_delay": (1, ""), "origin_n": (1, ""), "weather": (1, "desk")}
    events = len(_events(workspace))
    # What a declaration says of itself is written, and defines nothing new.
    assert used(workspace, recent(owner="ops"), weather, hour) == first | {
        "origin_delay": (1, "ops"),
        "origin_n": (1, "ops"),
    }
    # Another width is another definition of this aggregate alone; going back finds the first one again.
    assert used(workspace, recent("7h"))["origin_delay"] == (2, "")
    assert len(_events(workspace)) == events + 1
    assert used(workspace, recent("8h"))["origin_delay"] == (3, "")
    assert used(workspace, recent())["origin_delay"] == (1, "")
    found = get_feature(workspace, GetFeature(name="origin_delay"))
    assert (found.in_use, [version.number for version in found.versions]) == (1, [3, 2, 1])
    part = found.versions[0].part
    assert isinstance(part, Windows)
    assert [aggregate.width_us for aggregate in part.aggregates] == [8 * 3600 * 10**6]
    assert found.versions[0].sources == ("flights",)
    with pytest.raises(NotFound, match="'origin_delays'"):
        get_feature(workspace, GetFeature(name="origin_delays"))


def _events(workspace: Workspace) -> list[str]:
    with workspace.ledger.read() as tx:
        return [event.subject for event in tx.events() if event.verb == "features.define"]


@feature
def gone(at: datetime) -> int:
    raise ValueError("no such hour")


def test_what_fails_defines_nothing(workspace: Workspace) -> None:
    tables(workspace)

    def listed() -> list[str]:
        return [found.name for found in list_features(workspace, Empty()).features]

    with pytest.raises(StepFailed):
        FeatureSet(gone).training_set("flights", label="late")

    def fail() -> None:
        with sw.run("fails"):
            used(workspace, hour)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert listed() == []
    with sw.run("finishes"):
        FeatureSet(hour).training_set("flights", label="late")
        assert listed() == []
    assert listed() == ["hour"]
    assert _events(workspace) == ["feature:flights/hour@1"]


def test_a_run_that_repeats_another_leaves_the_definition_in_use(workspace: Workspace) -> None:
    tables(workspace)
    used(workspace, recent("6h"))
    assert used(workspace, recent("7h"))["origin_delay"] == (2, "")
    with sw.run("again", tags={REPRODUCES: "f" * 32}):
        FeatureSet(recent("6h")).training_set("flights", label="late")
    assert get_feature(workspace, GetFeature(name="origin_delay")).in_use == 2


MODULE = """
from datetime import UTC, datetime
import polars as pl
import slipway as sw

T = datetime(2013, 1, 1, 7, tzinfo=UTC)

@sw.table(key="id", time="at")
def flights() -> pl.LazyFrame:
    return pl.LazyFrame({"id": [1, 2], "at": [T, T], "late": [True, False]}).cast({"at": pl.Datetime("us", "UTC")})

@sw.feature(owner="desk", tags=["time"], default=0, examples=[({"at": T}, 7), ({}, 0)])
def hour(at: datetime) -> int:
    \"\"\"The hour, in UTC.\"\"\"
    return at.hour

@sw.feature
def twice(hour: int) -> int:
    return hour * 2 if abs(hour) < 2**62 else 0

@sw.vectorised(twice)
def twice_in_columns(hour: pl.Expr) -> pl.Expr:
    return pl.when((hour < 2**62) & (hour > -(2**62))).then(hour + hour).otherwise(0)

features = sw.FeatureSet(hour, twice)
fewer = sw.FeatureSet(hour)  # two sets of one name

@sw.pipeline
def rows() -> int:
    return features.training_set(flights, label="late").height
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "p"\nmodule = "features_on_the_command_line"\n')
    (tmp_path / "features_on_the_command_line.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "features_on_the_command_line", raising=False)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_the_command_line_lists_shows_and_tests(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No training set has used a feature yet" in run("features", "list").stdout
    tested = run("features", "test")
    assert (tested.exit_code, tested.stdout) == (
        0,
        "holds        hour: 2 examples\nholds        twice: 0 examples, its twin\n",
    ), tested.output
    assert run("data", "ingest").exit_code == 0
    assert run("run", "rows").exit_code == 0
    listed = run("features", "list").stdout
    assert "hour     scalar  int   at" in listed
    assert "The hour, in UTC." in listed
    shown = run("features", "show", "hour").stdout
    assert "default      0" in shown
    assert "in use" in shown
    assert json.loads(run("features", "show", "twice", "--json").stdout)["in_use"] == 1
    assert "no feature 'ours'" in run("features", "test", "ours").output
    wrong = folder / "features_on_the_command_line.py"
    wrong.write_text(MODULE.replace("}, 7)", "}, 8)").replace("hour + hour", "hour + hour + 1"))
    monkeypatch.delitem(sys.modules, "features_on_the_command_line", raising=False)
    failed = run("features", "test")
    assert failed.exit_code == 2
    assert "FAILS        The feature 'hour' gives 7 for at=" in failed.stdout
    assert "FAILS        The twin of the feature 'twice' gives " in failed.stdout
    assert "Examples and twins that do not hold: 2." in failed.output


def test_a_feature_that_another_name_computes_already_is_pointed_out(workspace: Workspace) -> None:
    tables(workspace)
    said: list[str] = []

    @feature(owner="Ada")
    def first_hour(at: datetime) -> int:
        """One name."""
        return at.hour

    @feature
    def other_hour(at: datetime) -> int:
        return at.hour

    @feature
    def next_hour(at: datetime) -> int:
        return at.hour + 1

    def trained(*parts: object) -> None:
        saying = replace(workspace, say=said.append)
        with current_workspace.filled(saying):
            FeatureSet(*parts).training_set("flights", label="late")  # type: ignore[arg-type]

    trained(first_hour, recent())
    assert [line for line in said if "enough" in line] == []
    renamed = w.windows("flights", time="known_at", by={"airport": "origin"}, mean_delay=w.mean("delay", "6h"))
    trained(other_hour, next_hour, renamed)
    assert sorted(line for line in said if "enough" in line) == [
        "The feature airport_mean_delay computes what origin_delay does: one of them is enough.",
        "The feature other_hour computes what first_hour (Ada) does: one of them is enough.",
    ]
