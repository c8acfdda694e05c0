"""A view over the label table may look back on other rows' labels, once they are known, and never on a row's own."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from slipway.errors import InvalidInput
from slipway.features.sets import FeatureSet
from slipway.features.views import FeatureView, feature_view
from slipway.ports.workspace import Workspace
from slipway.tables import versions

T = datetime(2013, 1, 1, tzinfo=UTC)
H = timedelta(hours=1)


@feature_view(entity="origin", time="decided_at")
def at_once(flights: pl.LazyFrame) -> pl.LazyFrame:
    return flights.select("origin", "decided_at", was_late=pl.col("late") * 2)


@feature_view(entity="origin", time="decided_at")
def before(flights: pl.LazyFrame) -> pl.LazyFrame:
    """Each row of it tells the outcome before; but the row of a live request is not there while it is asked."""
    return flights.sort("decided_at").select("origin", "decided_at", pl.col("late").shift(1).over("origin"))


@feature_view(entity="origin")
def ever(flights: pl.LazyFrame) -> pl.LazyFrame:
    return flights.group_by("origin").agg(pl.col("late").mean())


@feature_view(entity=["decided_at", "origin"])
def both(flights: pl.LazyFrame) -> pl.LazyFrame:
    return flights.select("origin", "decided_at", "late")


@feature_view(entity="origin", time="known_at")
def last_outcome(flights: pl.LazyFrame) -> pl.LazyFrame:
    return flights.select("origin", "known_at", was_late="late")


@feature_view(entity="origin", time="decided_at")
def distance_before(flights: pl.LazyFrame) -> pl.LazyFrame:
    return flights.select("origin", "decided_at", "distance")


@feature_view(entity="origin", time="decided_at")
def needs_rows(flights: pl.LazyFrame) -> pl.LazyFrame:
    rows = flights.collect()
    return rows.lazy().select("origin", "decided_at", "distance", first=pl.lit(rows["late"][0]))


@pytest.fixture
def flights(workspace: Workspace) -> str:
    rows = [
        {"id": n, "decided_at": T + n * H, "known_at": T + (n + 2) * H, "origin": "EWR", "distance": n, "late": n % 2}
        for n in range(8)
    ]
    versions.overwrite(workspace, "flights", pl.DataFrame(rows), key=("id",), time="decided_at")
    return "flights"


@pytest.mark.parametrize(("view", "feature"), [(at_once, "was_late"), (before, "late"), (ever, "late"), (both, "late")])
def test_a_view_that_tells_a_row_its_own_label_is_refused(flights: str, view: FeatureView, feature: str) -> None:
    with pytest.raises(InvalidInput, match=f"'{view.name}_{feature}' tells rows of 'flights' their own label 'late'"):
        FeatureSet("distance", view).training_set(flights, label="late")
    with pytest.raises(InvalidInput, match="their own label"):
        FeatureSet("distance", view).training_batches(flights, label="late")


def test_outcomes_of_other_rows_count_once_they_are_known(flights: str) -> None:
    rows = FeatureSet(last_outcome).training_set(flights, label="late")
    assert rows["last_outcome_was_late"].to_list() == [None, None, 0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("view", [distance_before, needs_rows])
def test_what_does_not_read_the_label_or_cannot_be_asked_goes_on(flights: str, view: FeatureView) -> None:
    rows = FeatureSet(view).training_set(flights, label="late")
    assert rows[f"{view.name}_distance"].to_list() == list(range(8))


def test_a_view_that_cannot_be_asked_is_told(flights: str, said: list[str]) -> None:
    FeatureSet(distance_before).training_set(flights, label="late")
    assert not [line for line in said if "is not known" in line]
    FeatureSet(needs_rows).training_set(flights, label="late")
    assert any(line.startswith("Whether the feature view 'needs_rows' tells rows of 'flights'") for line in said), said


@pytest.mark.parametrize(("label", "words"), [("id", "a column of the key"), ("decided_at", "of the decision times")])
def test_a_label_that_identifies_or_dates_a_row_is_refused(flights: str, label: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        FeatureSet("distance").training_set(flights, label=label)
