"""The page of a run's metrics: a list to search in, page by page, and the curves of those that are chosen."""

from slipway.operations.runs import Curves, RunDetail
from slipway.records.runs import MetricPoint
from slipway.runs.browse import place_of
from slipway.server.run_charts import metric_chart
from slipway.server.run_lists import toggled
from slipway.server.view import Context, View

__all__ = ["metrics"]

_LISTED, _DRAWN = 48, 12
_STEPS = {"from": "since", "to": "until"}
"""What the page's address says of the steps that are drawn, and the operation's words for it."""


def metrics(view: View) -> Context:
    """A run's metrics: those whose names fit, and the curves of the chosen ones, else of the first ones among them."""
    query = view.query
    detail: RunDetail = view.ask("runs.get", id=view.path["id"])
    find, after = query.get("find", ""), query.get("after", "")
    fitting = sorted(
        (one for one in detail.metrics if find.lower() in one.key.lower()), key=lambda one: place_of(one.key)
    )
    rest = [one for one in fitting if not after or place_of(one.key) > place_of(after)]
    shown = rest[:_LISTED]
    chosen = [key for key in dict.fromkeys(query.getlist("draw")) if key][:_DRAWN]
    most = _LISTED if "all" in query else _DRAWN
    steps = {word: text for name, word in _STEPS.items() if (text := query.get(name, "").strip())}
    curves = _curves(view, detail, chosen, steps) if chosen else _first_curves(view, detail, shown, most, steps)
    kept = [(name, value) for name, value in query.multi_items() if name in ("find", "draw", "all", *_STEPS)]
    here = [*kept, ("after", after)]
    return {
        "run": detail.run,
        "points": shown,
        "before": len(fitting) - len(rest),
        "fitting": len(fitting),
        "all": len(detail.metrics),
        "find": find,
        "chosen": chosen,
        "kept": kept,
        "most_drawn": _DRAWN,
        "charts": [
            metric_chart(curve.key, {"": curve.buckets}, zooms=True) for found in curves for curve in found.curves
        ],
        "steps": [(name, steps.get(word, "")) for name, word in _STEPS.items()],
        "is_zoomed": bool(steps),
        "whole": toggled(here, **dict.fromkeys(_STEPS, "")),
        "beside_steps": [(name, value) for name, value in here if value and name not in _STEPS],
        "has_steps": any(one.step > 0 for one in detail.metrics),
        "next": toggled(kept, after=shown[-1].key) if len(rest) > len(shown) else "",
        "first": toggled(kept, after="") if after else "",
        "every": toggled(kept, after=after, all="1") if len(shown) > most and not chosen else "",
    }


def _curves(view: View, detail: RunDetail, keys: list[str], steps: dict[str, str]) -> list[Curves]:
    return [view.ask("runs.curves", id=detail.run.id, key=key, **steps) for key in keys]


def _first_curves(
    view: View, detail: RunDetail, shown: list[MetricPoint], most: int, steps: dict[str, str]
) -> list[Curves]:
    """The first curves among what is listed."""
    if not shown:
        return []
    if len(shown) <= most:
        return _curves(view, detail, [one.key for one in shown], steps)
    before = max(
        (one.key for one in detail.metrics if place_of(one.key) < place_of(shown[0].key)), key=place_of, default=""
    )
    behind = {"after": before} if before else {}
    found: Curves = view.ask("runs.curves", id=detail.run.id, limit=str(most), **behind, **steps)
    names = {one.key for one in shown}
    return [Curves(curves=tuple(one for one in found.curves if one.key in names))]
