"""The pages of runs: one run, its curves, one of its artifacts, a model that it logged, and runs side by side."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from slipway.errors import InvalidInput, NotFound
from slipway.ledger.run_tags import SEARCH
from slipway.operations.runs import Curves, RunChanges, RunDetail, Runs
from slipway.records.runs import CONTEXT, Bucket, Run, StepRun
from slipway.runs.browse import place_of
from slipway.server import comments, markdown, pictures, previews
from slipway.server.formats import href
from slipway.server.previews import Preview
from slipway.server.run_charts import MetricChart, metric_chart
from slipway.server.view import Context, View

__all__ = ["artifact", "compare", "curves", "logged_model", "run", "step_log"]

_CURVES, _ALL_CURVES = 12, 48
_CHILDREN = 50
_PICTURES, _PICTURE_BYTES = 12, 2_000_000
_DIFF_CHARACTERS = 50_000
_SHOWN_VALUE = 60
_LEAST_RUNS, _MOST_RUNS = 2, 10
_COMMAND, _NOTE = "slipway.command", "mlflow.note.content"


@dataclass(frozen=True)
class Row:
    """A parameter or metric of several runs.

    Args:
        name: What it is called.
        values: One a run, None where it has none.
        differs: Whether the runs differ in it.
    """

    name: str
    values: tuple[Any, ...]
    differs: bool


def run(view: View) -> Context:
    """One run: what it ran with, what it measured, read and made."""
    detail: RunDetail = view.ask("runs.get", id=view.path["id"])
    own = detail.run
    drawn: Curves = view.ask("runs.curves", id=own.id, limit=str(_CURVES))
    registered = view.ask_if_allowed("models.search", where=f"run_id = '{own.id}'", limit="100")
    diff = view.ask("runs.diff", id=own.id).text if own.code.diff else ""
    return {
        "run": own,
        "goes_at": detail.goes_at,
        "steps": detail.steps,
        "step_rows": _step_rows(detail.steps),
        "stand": _stand(detail.steps),
        "lock": detail.lock,
        "overall": [point for point in detail.metrics if place_of(point.key)[:2] == (False, False)],
        "slices": [point for point in detail.metrics if place_of(point.key)[:2] == (False, True)],
        "machine": [point for point in detail.metrics if place_of(point.key)[0]],
        "charts": _charts(drawn),
        "has_more_charts": bool(drawn.next),
        "command": own.tags.get(_COMMAND, ""),
        "note": markdown.to_html(own.tags.get(_NOTE, "")),
        "tags": {name: value for name, value in own.tags.items() if name not in (_COMMAND, _NOTE)},
        "inputs": [(node, _link(node, view.workspace.project)) for node in own.inputs],
        "datasets": [
            (one, one.tags.get(CONTEXT, ""), _link(one.source, view.workspace.project)) for one in own.datasets
        ],
        "detail": detail,
        "changes": _changes(view, detail),
        "rerun": _rerun_command(own),
        "children": _children(view, own),
        "searched": own.params.get("metric", "") if SEARCH in own.tags else "",
        "registered": registered.models if registered else (),
        "artifacts": sorted(own.artifacts, key=lambda one: one.name),
        "pictures": _pictures(view, own),
        "diff": diff[:_DIFF_CHARACTERS],
        "thread": comments.thread(view, f"run:{own.id}"),
        "diff_left_out": max(0, len(diff) - _DIFF_CHARACTERS),
    }


def step_log(view: View) -> Context:
    """What a step printed and logged."""
    own = view.ask("runs.get", id=view.path["id"]).run
    asked = {"step": view.query.get("step", ""), "number": view.query.get("number", "0")}
    return {"run": own, "log": view.ask("runs.step_log", id=own.id, **asked)}


def _children(view: View, own: Run) -> Runs:
    """The runs inside: of a search its trials, the best first."""
    by = ""
    if SEARCH in own.tags:
        by = (
            f"metrics.`{own.params.get('metric', '')}` {'asc' if own.params.get('direction') == 'minimize' else 'desc'}"
        )
    found: Runs = view.ask("runs.search", where=f"parent = '{own.id}'", order=by, limit=str(_CHILDREN))
    return found


def _step_rows(steps: Iterable[StepRun]) -> list[tuple[StepRun, int, float]]:
    """Each step with the number of its call, and the seconds that it took or runs for."""
    calls: Counter[str] = Counter()
    rows = []
    for step in steps:
        calls[step.name] += 1
        runs = step.state == "running" and step.started_at is not None
        seconds = (datetime.now(UTC) - step.started_at).total_seconds() if runs and step.started_at else step.seconds
        rows.append((step, calls[step.name], max(0.0, seconds)))
    return rows


def _stand(steps: Iterable[StepRun]) -> str:
    """How many steps are in which state, in words."""
    counted = Counter(step.state for step in steps)
    words = {"finished": "done", "cached": "found stored"}
    return ", ".join(f"{number} {words.get(state, state)}" for state, number in counted.items())


def _changes(view: View, detail: RunDetail) -> RunChanges | None:
    if not detail.started_from:
        return None
    try:
        found: RunChanges = view.ask("runs.changes", id=detail.run.id)
    except NotFound:  # the run that it was started from was deleted for good
        view.sources.pop()
        return None
    return found


def _rerun_command(own: Run) -> str:
    """What starts from this run with something changed; "" where it cannot be run again."""
    if not own.pipeline or not own.code.snapshot or own.state in ("running", "scheduled"):
        return ""
    name, value = next(((key, own.params[key]) for key in sorted(own.params)), ("", ""))
    change = f" --set {shlex.quote(f'{name}={value}')}" if name and len(str(value)) <= _SHOWN_VALUE else ""
    return f"slipway rerun {own.id[:12]}{change}"


def curves(view: View) -> Context:
    """All curves of a run, page by page."""
    own = view.ask("runs.get", id=view.path["id"]).run
    asked = {"after": view.query["after"]} if view.query.get("after") else {}
    drawn: Curves = view.ask("runs.curves", id=own.id, limit=str(_ALL_CURVES), **asked)
    return {"run": own, "charts": _charts(drawn), "next": drawn.next}


def artifact(view: View) -> Context:
    """One artifact of a run, as far as it can be shown."""
    own = view.ask("runs.get", id=view.path["id"]).run
    name = view.query.get("name", "")
    content = view.ask("runs.artifact", id=own.id, name=name)
    shown = _rows_of(view, own, name) if previews.is_frame(content) else previews.preview(content)
    return {"run": own, "artifact": content.artifact, "preview": shown}


def _rows_of(view: View, own: Run, name: str) -> Preview:
    try:
        return previews.of_rows(view.ask("runs.rows", id=own.id, name=name))
    except InvalidInput as problem:
        view.sources.pop()
        return Preview("none", note=f"{problem.what} {problem.fix}")


def logged_model(view: View) -> Context:
    """A model that a tracking client logged: what it was measured at, its files, and what it was registered as."""
    found = view.ask("models.logged", id=view.path["id"])
    registered = view.ask("models.search", where=f"model_id = '{found.id}'", limit="100")
    return {
        "model": found,
        "metrics": sorted(found.metrics, key=lambda one: (one.key, one.dataset_name, one.step)),
        "artifacts": sorted(found.artifacts, key=lambda one: one.name),
        "registered": registered.models,
    }


def compare(view: View) -> Context:
    """Runs side by side: in what they differ, what they measured, and their curves on top of each other."""
    ids = list(dict.fromkeys(view.query.getlist("run")))
    if not _LEAST_RUNS <= len(ids) <= _MOST_RUNS:
        raise InvalidInput(
            f"{len(ids)} runs were chosen to be compared.",
            fix=f"Choose {_LEAST_RUNS} to {_MOST_RUNS} on the page of runs.",
            field="run",
        )
    details: list[RunDetail] = [view.ask("runs.get", id=id) for id in ids]
    runs = [detail.run for detail in details]
    asked = {"after": view.query["after"]} if view.query.get("after") else {}
    drawn: list[Curves] = [view.ask("runs.curves", id=own.id, limit=str(_CURVES), **asked) for own in runs]
    params = _rows([{key: str(value) for key, value in own.params.items()} for own in runs])
    measured = _rows([{point.key: point.value for point in detail.metrics} for detail in details])
    charts, following = _laid_together(_names(runs), details, drawn)
    return {
        "runs": list(zip(runs, _names(runs), strict=True)),
        "params": [row for row in params if row.differs],
        "same": [row for row in params if not row.differs],
        "metrics": [row for row in measured if place_of(row.name)[:2] == (False, False)],
        "other_metrics": [row for row in measured if place_of(row.name)[:2] != (False, False)],
        "charts": charts,
        "next": following,
    }


def _pictures(view: View, own: Run) -> list[str]:
    """The names of the first artifacts that are pictures, as their bytes say; large ones have only pages of their own."""
    promised = sorted(
        one.name for one in own.artifacts if previews.looks_like_picture(one.name) and one.size_bytes <= _PICTURE_BYTES
    )
    asked = ((name, view.ask("runs.artifact", id=own.id, name=name)) for name in promised[:_PICTURES])
    return [name for name, content in asked if pictures.kind_of(content.data)]


def _charts(drawn: Curves) -> list[MetricChart]:
    return [metric_chart(curve.key, {"": curve.buckets}) for curve in drawn.curves]


def _laid_together(
    names: Sequence[str], details: Sequence[RunDetail], drawn: Sequence[Curves]
) -> tuple[list[MetricChart], str]:
    """A chart a metric with all runs that have it, and what to ask for after them.

    Each run gave the first curves of its own; beyond where the first of them breaks off, others may lack theirs. A run
    with one point of a metric is a dot beside the curves of others.
    """
    ends = [found.next for found in drawn if found.next]
    end = min(ends, key=place_of, default="")
    by_key: dict[str, dict[str, Any]] = {}
    for name, found in zip(names, drawn, strict=True):
        for curve in found.curves:
            if not end or place_of(curve.key) <= place_of(end):
                by_key.setdefault(curve.key, {})[name] = curve.buckets
    for name, detail in zip(names, details, strict=True):
        for point in detail.metrics:
            if point.key in by_key:
                alone = Bucket(first=point, last=point, low=point.value, high=point.value)
                by_key[point.key].setdefault(name, (alone,))
    in_order = {key: {name: by_key[key][name] for name in names if name in by_key[key]} for key in by_key}
    return [metric_chart(key, in_order[key]) for key in sorted(in_order, key=place_of)], end


def _rows(columns: Sequence[dict[str, Any]]) -> list[Row]:
    keys = sorted({key for column in columns for key in column})
    rows = []
    for key in keys:
        values = tuple(column.get(key) for column in columns)
        rows.append(Row(key, values, len({repr(value) for value in values}) > 1))
    return rows


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


def _link(node: str, project: str) -> str:
    """The page of a table's version that stands in the lineage; "" where there is none."""
    kind, _, rest = node.partition(":")
    owner, _, name = rest.partition("@")[0].partition("/")
    return href("projects", project, "tables", name) if kind == "table" and owner == project and name else ""
