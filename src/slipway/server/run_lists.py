"""The page of runs: a search as a table with columns of one's choice, sorted by their heads, or as groups; all in its address."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from slipway.errors import InvalidInput
from slipway.ledger.facets import SEARCHED
from slipway.ledger.search_language import as_field, as_value, parse_field, parse_order
from slipway.operations.run_tables import RunFields, RunGroup, RunGroups
from slipway.operations.runs import RunRow, Runs
from slipway.records.runs import Run
from slipway.records.search import Field
from slipway.runs.browse import place_of
from slipway.server.formats import href
from slipway.server.view import Context, View

__all__ = ["Choice", "choices", "runs", "toggled"]

_OUTERMOST = "parent is null"
_LIMIT, _LIMITS = 100, (25, 100, 500)
_METRICS, _PARAMS = 4, 3
_MOST_COLUMNS, _MOST_COMPARED = 60, 100
_OFFERED = 100
_USUAL = ("state", "started", "seconds", "actor")
_ATTRIBUTES = {
    "state": "State",
    "started": "Started",
    "ended": "Ended",
    "seconds": "Took",
    "actor": "By",
    "experiment": "Experiment",
    "pipeline": "Pipeline",
    "commit": "Commit",
    "entry": "Entry",
    "error": "Error",
    "id": "Id",
}
_NUMBERS = ("started", "ended", "seconds", "created")
_KEPT = ("where", "order", "best_per", "all", "limit", "column", "group", "metric", "find", "sort", "way")


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Args:
        field: What it shows.
        written: The same as searches write it.
        title: Its head.
        address: Where it is what the table is sorted by; "" where nothing can be.
        sorted: "ascending", "descending" or "".
        is_number: Whether it shows numbers, which stand to the right.
    """

    field: Field
    written: str
    title: str
    address: str
    sorted: str
    is_number: bool

    @property
    def kind(self) -> str:
        """How its values are shown."""
        return self.field.key if self.field.space == "attribute" else self.field.space


@dataclass(frozen=True)
class Choice:
    """A check box: what it stands for, its name, and whether it is checked."""

    written: str
    title: str
    is_chosen: bool


def runs(view: View) -> Context:
    """The runs that a search finds."""
    query = view.query
    asked = {name: query[name] for name in ("where", "order", "best_per", "token") if query.get(name)}
    # What somebody searches for is searched everywhere; the plain list leaves trials to their search.
    hides = not asked.get("where") and "all" not in query
    given = asked | ({"where": _OUTERMOST} if hides else {})
    page: Context = {"asked": asked, "hides": hides, "refused": None, "runs": (), "next": "", "groups": None}
    page |= {"limit": query.get("limit", str(_LIMIT)), "limits": _LIMITS, "kept": _kept(view), "columns": ()}
    page |= {"asked_groups": (query.get("group", ""), query.get("metric", ""))}
    page["limit_links"] = {one: _address(view, limit=str(one), token="") for one in _LIMITS}
    try:
        fields: RunFields = view.ask("runs.fields", contains=query.get("find", ""), limit=str(_OFFERED))
        if query.get("group"):
            return page | _groups(view, given, fields)
        chosen = [parse_field(text, SEARCHED[Run]) for text in dict.fromkeys(query.getlist("column")) if text]
        found: Runs = view.ask("runs.search", limit=page["limit"], **given)
    except InvalidInput as problem:
        # A search that cannot be read is said under the box with its words, to be mended there.
        view.sources.pop()
        return page | {"refused": problem, "choices": [], "find": query.get("find", ""), "has_more_names": False}
    shown = chosen[:_MOST_COLUMNS] or _usual(found.runs)
    cells = [[_value(row, field, fields.experiments) for field in shown] for row in found.runs]
    columns = [_column(view, field, [row[place] for row in cells]) for place, field in enumerate(shown)]
    ids = [row.run.id for row in found.runs[:_MOST_COMPARED]]
    return page | {
        "runs": list(zip(found.runs, cells, strict=True)),
        "columns": columns,
        "name_column": _column(view, Field("attribute", "name"), []),
        "choices": choices(fields, shown),
        "find": query.get("find", ""),
        "has_more_names": not fields.is_whole,
        "next": _address(view, token=found.token) if found.token else "",
        "first": _address(view, token="") if asked.get("token") else "",
        "compare": f"{href('projects', view.workspace.project, 'runs', 'compare')}?{urlencode([('run', id) for id in ids])}",
        "compared": len(ids),
    }


def _groups(view: View, given: dict[str, str], fields: RunFields) -> Context:
    """The same runs in groups."""
    group, metric = view.query["group"], view.query.get("metric", "")
    order, way = view.query.get("sort", "runs"), view.query.get("way", "descending")
    found: RunGroups = view.ask(
        "runs.groups",
        group=group,
        metric=metric,
        where=given.get("where", ""),
        order=order,
        descending="true" if way == "descending" else "false",
    )
    heads = [("value", found.field, False), ("runs", "Runs", True)]
    if found.metric:
        best = "Lowest" if found.better == "lower" else "Highest"
        heads += [("best", f"{best} {found.metric}", True), ("mean", "Mean", True), ("median", "Median", True)]
    return {
        "groups": found,
        "heads": [
            (
                title,
                _address(
                    view,
                    sort=name,
                    way="ascending" if order == name and way == "descending" else "descending",
                ),
                way if order == name else "",
                is_number,
            )
            for name, title, is_number in heads
        ],
        "rows": [(one, _inside(view, given.get("where", ""), found, one)) for one in found.groups],
        "choices": choices(fields, ()),
        "find": view.query.get("find", ""),
        "has_more_names": not fields.is_whole,
    }


def _inside(view: View, where: str, groups: RunGroups, one: RunGroup) -> str:
    """The address of the runs of a group, the best first."""
    if one.value is None:
        own = f"{groups.field} is null"
    elif isinstance(one.value, str):
        own = f"{groups.field} = {as_value(one.value)}"
    else:
        own = f"{groups.field} = {one.value!r}"
    order = ""
    if groups.metric:
        order = f"{as_field(Field('metric', groups.metric))} {'asc' if groups.better == 'lower' else 'desc'}"
    whole = f"({where}) and {own}" if where else own
    return _address(view, where=whole, order=order, group="", metric="", sort="", way="", all="")


def _usual(rows: Sequence[RunRow]) -> list[Field]:
    """The columns where none is chosen: the metrics that most of the runs have, and parameters in which they differ."""
    counted = Counter(key for row in rows for key in row.metrics)
    metrics = sorted(counted, key=lambda key: (-counted[key], place_of(key)))[:_METRICS]
    values: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.run.params.items():
            values.setdefault(key, set()).add(str(value))
    differing = [key for key in sorted(values) if len(values[key]) > 1][:_PARAMS]
    return [
        *(Field("attribute", name) for name in _USUAL),
        *(Field("metric", key) for key in metrics),
        *(Field("param", key) for key in differing),
    ]


def _column(view: View, field: Field, values: Sequence[Any]) -> Column:
    written = as_field(field)
    is_number = field.space == "metric" or any(isinstance(one, int | float | timedelta) for one in values)
    is_number = is_number and not any(isinstance(one, str | bool) for one in values)
    title = "Run" if field.key == "name" and field.space == "attribute" else _title(field)
    if not SEARCHED[Run].is_ordered(field):
        return Column(field, written, title, "", "", is_number)
    orders = parse_order(view.query.get("order", ""), SEARCHED[Run])
    is_first = bool(orders) and orders[0].field == field
    falls = is_first and orders[0].descending
    # Numbers and times begin with the greatest, words with the first of the alphabet; the other way when clicked again.
    begins = field.space == "metric" or (field.space == "attribute" and field.key in _NUMBERS)
    descending = not falls if is_first else begins
    way = "descending" if falls else "ascending"
    return Column(
        field,
        written,
        title,
        _address(view, order=f"{written} {'desc' if descending else 'asc'}", token=""),
        way if is_first else "",
        is_number,
    )


def _title(field: Field) -> str:
    return _ATTRIBUTES.get(field.key, field.key.capitalize()) if field.space == "attribute" else field.key


def _value(row: RunRow, field: Field, experiments: dict[str, str]) -> Any:
    run = row.run
    match field.space:
        case "metric":
            return row.metrics.get(field.key)
        case "param":
            return run.params.get(field.key)
        case "tag":
            return run.tags.get(field.key)
    match field.key:
        case "seconds":
            return run.ended_at - run.started_at if run.ended_at else None
        case "experiment":
            return experiments.get(run.experiment_id, run.experiment_id)
        case "actor":
            return run.actor
    value = SEARCHED[Run].attributes[field.key].of(run) if field.space == "attribute" else None
    return value or None


def choices(
    fields: RunFields, chosen: Iterable[Field], spaces: Sequence[str] = ("attribute", "metric", "param", "tag")
) -> list[tuple[str, list[Choice]]]:
    """The check boxes of columns, by sort: what is chosen first, then what else there is."""
    taken = list(chosen)
    offered: dict[str, Iterable[str]] = {
        "attribute": _ATTRIBUTES,
        "metric": fields.metrics,
        "param": fields.params,
        "tag": fields.tags,
    }
    titles = {"attribute": "About the run", "metric": "Metrics", "param": "Parameters", "tag": "Tags"}
    found = []
    for space in spaces:
        own = [field for field in taken if field.space == space]
        others = [Field(space, key) for key in offered[space] if Field(space, key) not in own]  # type: ignore[arg-type]
        boxes = [Choice(as_field(field), _title(field), field in own) for field in (*own, *others)]
        if boxes:
            found.append((titles[space], boxes))
    return found


def _kept(view: View) -> list[tuple[str, str]]:
    """What of the address a form carries along."""
    return [(name, value) for name, value in view.query.multi_items() if name in _KEPT and value]


def _address(view: View, **changed: str) -> str:
    return toggled([(name, value) for name, value in view.query.multi_items() if name in (*_KEPT, "token")], **changed)


def toggled(query: Iterable[tuple[str, str]], **changed: str) -> str:
    """A query with some of its values changed; "" leaves one out."""
    kept = [(name, value) for name, value in query if name not in changed and value]
    return f"?{urlencode([*kept, *((name, value) for name, value in changed.items() if value)])}"
