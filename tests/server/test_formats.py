"""Numbers, times and documents as people read them."""

import math
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filled_store import BUNDLE, NASTY, NOW, SIMULATED
from slipway.operations.models import ModelDetail
from slipway.records.models import MetricValue, ModelVersion
from slipway.records.record import Link
from slipway.server.figures import lineage, slice_charts
from slipway.server.formats import duration, figure, href, node_name, size
from slipway.server.markdown import to_html


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.7461234, "0.7461"), (3.0, "3"), (0.0, "0"), (-0.5, "\N{MINUS SIGN}0.5"), (81000.0, "81,000"), (1234.567, "1,234.6"),
        (1.5e-7, "1.5e-07"), (math.nan, "\N{EN DASH}"), (math.inf, "∞"), (-math.inf, "\N{MINUS SIGN}∞"), (1e14, "100,000,000,000,000"), (-1e308, "\N{MINUS SIGN}1e+308"),
    ],
)  # fmt: skip
def test_figures(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (None, ""), (0.0123, "12 ms"), (3.24, "3.2 s"), (64, "1 min 04 s"), (timedelta(hours=2, minutes=5), "2 h 05 min"),
        (timedelta(days=12), "12 days"),
    ],
)  # fmt: skip
def test_durations(span: timedelta | float | None, text: str) -> None:
    assert duration(span) == text


@pytest.mark.parametrize(
    ("given", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (123_456_789, "123 MB"), (5e12, "5.0 TB")]
)
def test_sizes(given: int, text: str) -> None:
    assert size(given) == text


def test_names_in_addresses_and_nodes() -> None:
    assert href("projects", "a b", "x/../y", 3) == "/projects/a%20b/x%2F..%2Fy/3"
    assert node_name("table:flights/planes@abcdef0123456789") == "table planes@abcdef01"
    assert node_name("run:" + "a" * 32) == "run aaaaaaaaaaaaaa"
    assert node_name("nothing") == "nothing "


@given(st.text())
@settings(deadline=None)
def test_a_card_never_brings_html_of_its_own(text: str) -> None:
    made = str(to_html(f"{text}\n{NASTY}\n- {NASTY}\n| {NASTY} |\n# {NASTY}"))
    assert "<script" not in made
    assert "&lt;script&gt;" in made


def test_slices_stand_on_one_scale_with_what_cannot_be_told_last() -> None:
    def metric(value: float, slice: str) -> MetricValue:
        return MetricValue(metric="auc", value=value, low=value - 0.1, high=value + 0.1, n=10, slice=slice)

    rows = (metric(0.7, ""), metric(0.9, "c=b"), metric(math.nan, "c=x=1"), metric(0.6, "c=a"), metric(0.5, "d=z"))
    charts = slice_charts(rows)
    assert [(chart.metric, chart.column, [strip.value for strip in chart.strips]) for chart in charts] == [
        ("auc", "c", ["a", "b", "x=1"]),
        ("auc", "d", ["z"]),
    ]
    assert all("nan" not in strip.svg for chart in charts for strip in chart.strips)


def test_the_lineage_joins_makers_and_users_and_leaves_artifacts_out() -> None:
    links = (
        Link("table:flights/flights@abcdef0123456789", "run:r1", "data"),
        Link("table:flights/flights@abcdef0123456789", "run:r1", "input"),
        Link("run:r1", "artifact:a1", "output"),
        Link("artifact:a1", "run:r2", "reused"),
        Link("run:r2", "artifact:a2", "output"),
        Link("run:r2", "model:m1", "made"),
        Link("bundle:b1", "revision:flights/flight-delays/3", "serves"),
    )
    version = ModelVersion(
        id="m1", project="flights", name="delays", created_at=NOW, number=4, bundle="b1", manifest="x", actor=SIMULATED
    )
    detail = ModelDetail(version=version, bundle=BUNDLE, aliases=(), verdicts=(), approvals=(), lineage=links)
    drawn = str(lineage(detail, "flights"))
    assert "artifact" not in drawn
    assert drawn.count('class="edge"') == 4
    assert 'href="/projects/flights/models/delays/4"' in drawn
    assert 'href="/projects/flights/endpoints/flight-delays"' in drawn
    assert 'href="/projects/flights/tables/flights"' in drawn
    assert "r1 → r2" in drawn
    alone = ModelDetail(version=version, bundle=BUNDLE, aliases=(), verdicts=(), approvals=(), lineage=())
    assert "delays 4" in str(lineage(alone, "flights"))
