"""What the endpoint's page shows of an A/B test: each arm's effect as it settled, and the report."""

from markupsafe import Markup

from slipway.charts.bands import band_chart
from slipway.records.abtests import ABTest

__all__ = ["effect_charts"]


def effect_charts(test: ABTest) -> list[Markup]:
    """For each arm its difference from the control at each look, with its bounds; none for fewer than two looks."""
    charts = []
    levels = {"": 0.0}
    unit = test.spec.unit or test.spec.metric
    for arm in test.arms:
        points = [
            (f"{look.at.day} {look.at.strftime('%b')}", one.effect, one.low, one.high)
            for look in test.looks
            for one in look.arms
            if one.name == arm.name and None not in (one.effect, one.low, one.high)
        ]
        if len(points) > 1:
            label = f"{arm.name} minus the champion, {unit} a row"
            charts.append(Markup(band_chart(points, y_label=label, levels=levels)))  # its texts are escaped there
    return charts
