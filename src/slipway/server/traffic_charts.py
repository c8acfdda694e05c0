"""Pictures of an endpoint's traffic: rows by arm, times, and what got no answer of the model."""

from collections.abc import Callable
from datetime import UTC

from markupsafe import Markup

from slipway.charts.lines import line_chart
from slipway.operations.asking import Span, Traffic

__all__ = ["charts"]

_MEASURES: tuple[tuple[str, Callable[[Span], float | None]], ...] = (
    ("median", lambda span: span.p50_ms),
    ("95 %", lambda span: span.p95_ms),
    ("99 %", lambda span: span.p99_ms),
)


def charts(found: Traffic) -> list[Markup]:
    """The charts of what was logged; [] where nothing was."""
    if not found.spans:
        return []
    arms = list(dict.fromkeys(span.arm for span in sorted(found.spans, key=lambda span: span.arm != "champion")))
    named = {
        arm: [(_label(span, found.unit), float(span.rows)) for span in found.spans if span.arm == arm] for arm in arms
    }
    drawn = [line_chart(_ordered(found, named), title=f"Answered rows, by {found.unit}", y_label="rows")]
    times = {
        f"{arm}, {word}" if len(arms) > 1 else word: [
            (_label(span, found.unit), of(span)) for span in found.spans if span.arm == arm
        ]
        for arm in arms
        for word, of in (_MEASURES if len(arms) == 1 else _MEASURES[:2])
        if any(of(span) is not None for span in found.spans if span.arm == arm)
    }
    if times:
        title = "Time of features and model"
        drawn.append(
            line_chart(_ordered(found, times), title=title, y_label="milliseconds; measured in roll-outs only")
        )
    lost: dict[str, list[tuple[str, float | None]]] = {
        "no answer": [(label, float(rows)) for label, rows in _summed(found, lambda span: span.failed)],
        "by the fallback": [(label, float(rows)) for label, rows in _summed(found, lambda span: span.fallback)],
    }
    kept = {name: points for name, points in lost.items() if any(rows for _, rows in points)}
    if kept:
        drawn.append(line_chart(_ordered(found, kept), title="Rows that the model did not answer", y_label="rows"))
    return [Markup(one) for one in drawn]  # their texts are escaped there


def _label(span: Span, unit: str) -> str:
    at = span.since.astimezone(UTC)
    return f"{at.day} {at:%b} {at:%H}:00" if unit == "hour" else f"{at.day} {at:%b}"


def _ordered(
    found: Traffic, named: dict[str, list[tuple[str, float | None]]] | dict[str, list[tuple[str, float]]]
) -> dict[str, list[tuple[float | str, float | None]]]:
    """Every line with every span, in their order: where an arm has none, its line has a gap."""
    labels = list(dict.fromkeys(_label(span, found.unit) for span in found.spans))
    result: dict[str, list[tuple[float | str, float | None]]] = {}
    for name, points in named.items():
        known = dict(points)
        result[name] = [(label, known.get(label)) for label in labels]
    return result


def _summed(found: Traffic, of: Callable[[Span], int]) -> list[tuple[str, int]]:
    total: dict[str, int] = {}
    for span in found.spans:
        label = _label(span, found.unit)
        total[label] = total.get(label, 0) + of(span)
    return list(total.items())
