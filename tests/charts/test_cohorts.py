"""Scores by day: full dots where labels are complete, hatching where they are not, estimates as a band."""

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.charts.drawn import SVG, read, told, words

from slipway.charts.beside import share_chart
from slipway.charts.cohorts import Cohort, cohort_chart

value = st.none() | st.floats()
days = st.dates(date(2000, 1, 1), date(2030, 1, 1))
cohorts = st.lists(st.builds(Cohort, days, value, value, value, st.booleans(), st.text(max_size=8)), max_size=12)
MONDAY = date(2026, 1, 5)


@given(cohorts, cohorts, st.text(max_size=12), st.dictionaries(st.text(max_size=5), st.floats(), max_size=2))
@settings(deadline=None, max_examples=15)
def test_any_scores_are_drawn(
    realised: list[Cohort], estimated: list[Cohort], title: str, levels: dict[str, float]
) -> None:
    read(cohort_chart(realised, estimated, title=title, y_label=title, levels=levels))


def test_days_whose_labels_still_come_are_hatched_and_hollow() -> None:
    realised = [Cohort(MONDAY + timedelta(days=n), 0.5 + n / 100, 0.4, 0.7, is_mature=n < 3) for n in range(5)]
    drawn = cohort_chart(realised, title="log loss", levels={"limit": 0.6})
    root = read(drawn)
    hatched = [path for path in root.iter(f"{SVG}path") if path.get("class") == "hatch"]
    assert len(hatched) == 2 + 1, "and one in the legend"
    hollow = [one for one in root.iter(f"{SVG}circle") if one.get("fill") == "var(--card, #fff)"]
    assert len(hollow) == 2
    assert {"labels complete", "labels still coming in", "limit", "5 Jan"} <= set(words(drawn))
    assert "estimated before labels" not in words(drawn)
    assert any("5 days by labels, 2 of them with labels still coming in" in one for one in told(drawn))


def test_estimates_stand_beside_what_came_true() -> None:
    estimated = [Cohort(MONDAY + timedelta(days=n), 0.5, 0.45, 0.55) for n in range(7)]
    drawn = cohort_chart([Cohort(MONDAY, 0.52, 0.5, 0.54)], estimated)
    assert "estimated before labels" in words(drawn)
    assert any("7 estimates before labels" in one for one in told(drawn))


@given(st.lists(st.tuples(st.text(max_size=12), value, value, value), max_size=15), st.text(max_size=9))
@settings(deadline=None, max_examples=15)
def test_any_shares_are_drawn(rows: list[tuple[str, float | None, float | None, float | None]], title: str) -> None:
    drawn = share_chart(rows, title=title)
    read(drawn)
    assert ("Nothing to show" in drawn) == (not rows)


def test_a_share_tells_all_three() -> None:
    drawn = share_chart([("missing", 0.4, 0.0, 0.01), ("up to 3", 0.6, None, 0.99)], title="distance")
    assert "missing: now 40.0%, usual 0.0%, training 1.0%" in told(drawn)
    assert "up to 3: now 60.0%, training 99.0%" in told(drawn)
