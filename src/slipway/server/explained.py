"""Figures of what a model's answers rest on."""

from typing import NamedTuple

from markupsafe import Markup

from slipway.charts.bars import bar_chart
from slipway.charts.intervals import interval_chart
from slipway.charts.lines import line_chart
from slipway.models.explained_words import BEHAVIOUR, sentence
from slipway.records.explanations import Dependence, Explained, Explanation
from slipway.records.models import Bundle

__all__ = ["Figures", "contributions", "figures"]

_MOST = 15
_BARS = 8


class Figures(NamedTuple):
    """What the page of a version shows of it."""

    sentence: str
    behaviour: str
    explained: Explained
    importances: Markup
    dependences: list[tuple[str, Markup | None]]


def figures(bundle: Bundle | None) -> Figures | None:
    """The figures of a bundle, None where nobody asked."""
    if bundle is None or bundle.explained is None:
        return None
    found = bundle.explained
    rows = [(one.input, 100 * one.permuted, 100 * one.low, 100 * one.high) for one in found.importances[:_MOST]]
    chart = interval_chart(rows, title="By exchanging one input at a time", value_label="percent of the loss it adds")
    output = bundle.signature.outputs[0].name
    return Figures(
        sentence=sentence(found, bundle),
        behaviour=BEHAVIOUR,
        explained=found,
        importances=Markup(chart),
        dependences=[(one.input, _dependence(one, output)) for one in found.dependences],
    )


def contributions(found: Explanation) -> Markup:
    """The contributions to one answer as bars."""
    told = found.contributions[:_BARS]
    rest = found.rest + sum(one.contribution for one in found.contributions[_BARS:])
    bars: list[tuple[str, float | None]] = [(one.input, one.contribution) for one in told]
    return Markup(bar_chart([*bars, ("all others", rest)], value_label=f"contribution ({found.scale})"))


def _dependence(one: Dependence, output: str) -> Markup | None:
    if not one.values:
        return None
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in one.values)
    title = f"Mean {output} by {one.input}"
    if numbers:
        return Markup(line_chart({output: list(zip(one.values, one.answers, strict=True))}, title=title))
    return Markup(bar_chart([(str(v), a) for v, a in zip(one.values, one.answers, strict=True)], title=title))
