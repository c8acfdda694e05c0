"""The page of runs beside each other: in what they differ, which measured best, and pictures that are marked together."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from markupsafe import Markup
from starlette.datastructures import QueryParams

from slipway.charts.brushed import Axis, Course, courses, parallel, scatter
from slipway.charts.svg import SERIES
from slipway.errors import InvalidInput
from slipway.ledger.facets import SEARCHED
from slipway.ledger.search_language import as_field, parse_field
from slipway.operations.run_tables import Beside, Compared
from slipway.operations.runs import Curves
from slipway.records.runs import Run
from slipway.records.search import Field
from slipway.runs.browse import place_of
from slipway.server.run_charts import laid_out
from slipway.server.run_lists import Choice
from slipway.server.view import Context, View

__all__ = ["compare"]

_SEEN = ("axis", "x", "y", "curve", "listed")
_LEAST, _MOST = 2, 100
_FEW, _SOME = 6, 20
_COLUMNS, _AXES, _METRICS, _CURVES = 8, 6, 3, 4
_OFFERED, _LISTED, _ALL = 200, 40, 1000


@dataclass(frozen=True)
class Param:
    """A parameter in which runs differ.

    Args:
        field: As searches write it.
        name: Its name.
        values: One a run, None where it has none.
    """

    field: str
    name: str
    values: tuple[Any, ...]

    @cached_property
    def is_number(self) -> bool:
        """Whether every value that there is is a number."""
        return all(isinstance(one, int | float) and not isinstance(one, bool) for one in self.values if one is not None)

    @property
    def is_chance(self) -> bool:
        """Whether it sets chance only, as its name says."""
        return "seed" in self.name.lower() or "random_state" in self.name.lower()

    @property
    def told(self) -> str:
        """Its values in short: from the least to the greatest, or how many there are."""
        numbers = [one for one in self.values if isinstance(one, int | float) and not isinstance(one, bool)]
        distinct = list(dict.fromkeys(str(one) for one in self.values))
        if len(numbers) == len(self.values) and len(distinct) > _FEW:
            return f"{min(numbers):g} to {max(numbers):g}, {len(distinct)} values"
        return ", ".join(distinct[:_FEW]) + (f" and {len(distinct) - _FEW} more" if len(distinct) > _FEW else "")


@dataclass(frozen=True)
class Measured:
    """A metric of the runs.

    Args:
        key: Its name.
        field: As searches write it.
        values: One a run, None where it has none.
        is_lower: Whether lower is better.
    """

    key: str
    field: str
    values: tuple[float | None, ...]
    is_lower: bool

    @cached_property
    def numbers(self) -> list[float]:
        """The values that are numbers."""
        return [one for one in self.values if one is not None and math.isfinite(one)]

    @cached_property
    def best(self) -> float | None:
        """The best of them."""
        return (min if self.is_lower else max)(self.numbers, default=None)

    @property
    def worst(self) -> float | None:
        """The worst of them."""
        return (max if self.is_lower else min)(self.numbers, default=None)

    @cached_property
    def median(self) -> float | None:
        """Their median."""
        return median(self.numbers) if self.numbers else None

    @cached_property
    def best_run(self) -> int | None:
        """The place of the first run that has the best."""
        return self.values.index(self.best) if self.numbers else None


def compare(view: View) -> Context:
    """Runs beside each other."""
    query = view.query
    ids = list(dict.fromkeys(query.getlist("run")))
    if not _LEAST <= len(ids) <= _MOST:
        raise InvalidInput(
            f"{len(ids)} runs were chosen to be compared.",
            fix=f"Choose {_LEAST} to {_MOST} on the page of runs.",
            field="run",
        )
    drawn = [one for one in dict.fromkeys(query.getlist("curve")) if one][:_CURVES] or _usual_curves(view, ids)
    buckets = 100 if len(ids) <= _FEW else 50 if len(ids) <= _SOME else 25
    found: Compared = view.ask("runs.compare", runs=",".join(ids), curves=", ".join(drawn), buckets=str(buckets))
    runs = [row.run for row in found.runs]
    names = _names(runs)
    differing, same = _params(runs)
    turned = _turned(query.getlist("turned"))
    metrics = _metrics(found, turned)
    by_field: dict[str, Param | Measured] = {one.field: one for one in differing}
    by_field |= {one.field: one for one in metrics}
    axes = _axes(query.getlist("axis"), differing, metrics, by_field)
    overall = [one for one in metrics if _is_overall(one)]
    columns = [one for one in axes if isinstance(one, Measured)] or overall[:_METRICS]
    x, y = _pair(query.get("x", ""), query.get("y", ""), differing, columns, metrics, by_field)
    lead = next((one for one in (y, *columns) if isinstance(one, Measured)), None)
    best = lead.best_run if lead else None
    return _listed(query, metrics) | {
        "runs": list(zip(runs, names, strict=True)),
        "few": len(runs) <= _FEW,
        "colours": SERIES if len(runs) <= _FEW else (),
        "params": differing,
        "shown_params": differing[:_COLUMNS],
        "same": same,
        "columns": columns,
        "lead": lead,
        "best": best,
        "parallel": Markup(parallel(names, [_axis(one) for one in axes], best=best)) if len(axes) > 1 else None,
        "scatter": Markup(scatter(names, _axis(x), _axis(y), best=best)) if x and y else None,
        "courses": [Markup(_courses(key, found.runs, names, best)) for key in _keys(drawn)],
        "axes": [
            ("Parameters that differ", [Choice(one.field, one.name, one in axes) for one in differing[:_OFFERED]]),
            ("Metrics", [Choice(one.field, one.key, one in axes) for one in _offered(metrics, axes)]),
        ],
        "options": [
            *((one.field, one.name) for one in differing[:_OFFERED]),
            *((one.field, one.key) for one in _offered(metrics, [*axes, x, y])),
        ],
        "curve_options": [(one.field, one.key) for one in _offered(metrics, [by_field.get(one) for one in drawn])],
        "chosen": {"x": x.field if x else "", "y": y.field if y else "", "curves": drawn},
        "kept": [*(("run", run.id) for run in runs), *(("turned", key) for key in turned)],
        "rest": [
            *((name, value) for name, value in query.multi_items() if name in _SEEN and value),
            *(("turned", key) for key in turned),
        ],
    }


def _listed(query: QueryParams, metrics: Sequence[Measured]) -> Context:
    """The metrics of the table: those whose names fit, the first of them unless all are asked for."""
    most = _ALL if query.get("listed") == "all" else _LISTED
    find = query.get("find", "")
    listed = [one for one in metrics if find.lower() in one.key.lower()]
    return {
        "metrics": [one for one in listed if _is_overall(one)][:most],
        "other_metrics": [one for one in listed if not _is_overall(one)][:most],
        "fitting": len(listed),
        "all_metrics": len(metrics),
        "most_listed": most,
        "find": find,
    }


def _usual_curves(view: View, ids: Sequence[str]) -> list[str]:
    """The first curves that the first run has: one where runs are many."""
    drawn: Curves = view.ask("runs.curves", id=ids[0], limit=str(_CURVES if len(ids) <= _SOME else 1), buckets="1")
    return [as_field(Field("metric", one.key)) for one in drawn.curves]


def _keys(drawn: Iterable[str]) -> list[str]:
    return [parse_field(one, SEARCHED[Run]).key for one in drawn]


def _params(runs: Sequence[Run]) -> tuple[list[Param], list[tuple[str, str]]]:
    """The parameters in which runs differ, numbers with many values first, and the others with their value."""
    differing, same = [], []
    for key in sorted({key for run in runs for key in run.params}):
        values = tuple(run.params.get(key) for run in runs)
        if len({repr(value) for value in values}) > 1:
            differing.append(Param(as_field(Field("param", key)), key, values))
        else:
            same.append((key, str(values[0])))
    return differing, same


def _metrics(found: Compared, turned: Sequence[str]) -> list[Measured]:
    lower = set(found.lower)
    keys = {key for row in found.runs for key in row.metrics}
    made = []
    for key in sorted(keys, key=place_of):
        values = tuple(row.metrics.get(key) for row in found.runs)
        made.append(Measured(key, as_field(Field("metric", key)), values, (key in lower) != (key in turned)))
    return made


def _turned(keys: Sequence[str]) -> list[str]:
    """The metrics that are turned round: a second time turns one back."""
    return [key for key, times in Counter(keys).items() if times % 2]


def _axes(
    chosen: Sequence[str],
    differing: Sequence[Param],
    metrics: Sequence[Measured],
    by_field: dict[str, Param | Measured],
) -> list[Param | Measured]:
    """What is along the parallel axes: what was chosen; else the first that differ, and behind them the first metrics."""
    if any(chosen):
        unknown = next((one for one in chosen if one and one not in by_field), "")
        if unknown:
            raise InvalidInput(
                f"These runs do not differ in {unknown!r}, or have no such metric.",
                fix="Choose among the boxes of the page.",
                field="axis",
            )
        return [by_field[one] for one in dict.fromkeys(chosen) if one]
    overall = [one for one in metrics if _is_overall(one) and len(set(one.numbers)) > 1]
    return [*sorted(differing, key=lambda one: one.is_chance)[:_AXES], *overall[:_METRICS]]


def _pair(
    x: str,
    y: str,
    differing: Sequence[Param],
    columns: Sequence[Measured],
    metrics: Sequence[Measured],
    by_field: dict[str, Param | Measured],
) -> tuple[Param | Measured | None, Param | Measured | None]:
    """What is against each other: what was chosen; else the first parameter that differs and the first metric."""
    for name, value in (("x", x), ("y", y)):
        if value and value not in by_field:
            raise InvalidInput(
                f"These runs do not differ in {value!r}, or have no such metric.",
                fix="Choose among the fields that the page offers.",
                field=name,
            )
    usual = [*columns, *metrics]
    upright = by_field.get(y) or next(iter(usual), None)
    # The parameter with the most values first: most is to be seen along it.
    numeric = [one for one in differing if one.is_number]
    most = max(numeric, key=lambda one: (not one.is_chance, len(set(one.values))), default=None)
    across = (
        by_field.get(x)
        or most
        or next(iter(differing), None)
        or next((one for one in usual if one is not upright), None)
    )
    return across, upright


def _is_overall(one: Measured) -> bool:
    return place_of(one.key)[:2] == (False, False)


def _axis(one: Param | Measured) -> Axis:
    return Axis(one.name if isinstance(one, Param) else one.key, one.values)


def _offered(metrics: Sequence[Measured], chosen: Iterable[Any]) -> list[Measured]:
    """The metrics that a form offers: what is chosen, and the first of the others."""
    own = [one for one in metrics if one in list(chosen)]
    return [*own, *(one for one in metrics[:_OFFERED] if one not in own)]


def _courses(key: str, rows: Sequence[Beside], names: Sequence[str], best: int | None) -> str:
    marks, x_label = laid_out({str(place): row.curves.get(key, ()) for place, row in enumerate(rows)})
    lines = []
    for place, curve in marks.items():
        points = [point for mark in curve for point in dict.fromkeys([(mark.x, mark.first), (mark.until, mark.last)])]
        if points:
            lines.append(Course(int(place), names[int(place)], points))
    return courses(key, lines, len(rows), x_label=x_label, best=best)


def _names(runs: Iterable[Run]) -> list[str]:
    """What the runs are called; where several are called the same, with the beginnings of their ids."""
    own = [(run.name or run.pipeline or run.id[:12], run.id) for run in runs]
    for digits in (12, 32):  # ids begin with their time
        names = [name for name, _ in own]
        own = [
            (name if names.count(name) == 1 else f"{name.removesuffix(f' ({id[:12]})')} ({id[:digits]})", id)
            for name, id in own
        ]
    return [name for name, _ in own]
