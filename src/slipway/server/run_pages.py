"""The pages of runs: one run, its curves, one of its artifacts, a model that it logged, and runs side by side."""

import shlex
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from slipway.errors import InvalidInput, NotFound
from slipway.ledger.run_tags import SEARCH, STARTED
from slipway.operations.runs import Curves, RunChanges, RunDetail, Runs
from slipway.records.runs import CONTEXT, Run, StepRun
from slipway.runs.browse import place_of
from slipway.server import comments, markdown, pictures, previews
from slipway.server.contracts import contracts_at
from slipway.server.formats import href
from slipway.server.notebook_diff import compare_notebooks
from slipway.server.previews import Preview
from slipway.server.run_charts import MetricChart, metric_chart
from slipway.server.run_steps import former_of, graph_of, progress_of, tail_of
from slipway.server.starts import acts_of
from slipway.server.view import Context, View

__all__ = ["artifact", "logged_model", "notebook_diff", "run", "step_log"]

_MOST_LINES = 10_000
_NOTEBOOKS, _RUNS_LOOKED_AT = 30, 200
_CURVES = 12
_CHILDREN = 50
_PICTURES, _PICTURE_BYTES = 12, 2_000_000
_DIFF_CHARACTERS = 50_000
_SHOWN_VALUE = 60
_RESUMES = "slipway.resumes"
_COMMAND, _NOTE = "slipway.command", "mlflow.note.content"
_SHOWN_ELSEWHERE = (_COMMAND, _NOTE, _RESUMES, STARTED)


def run(view: View) -> Context:
    """One run: what it ran with, what it measured, read and made."""
    detail: RunDetail = view.ask("runs.get", id=view.path["id"])
    own = detail.run
    former = former_of(view, own)
    drawn: Curves = view.ask("runs.curves", id=own.id, limit=str(_CURVES))
    registered = view.ask_if_allowed("models.search", where=f"run_id = '{own.id}'", limit="100")
    diff = view.ask("runs.diff", id=own.id).text if own.code.diff else ""
    return {
        "run": own,
        "live": own.state == "running",
        "goes_at": detail.goes_at,
        "steps": detail.steps,
        "step_rows": _step_rows(detail.steps),
        "stand": _stand(detail.steps),
        "progress": progress_of(detail, former),
        "former_id": former.run.id if former is not None else "",
        "graph": graph_of(view.workspace.project, detail, former),
        "tail": tail_of(view, own, detail.steps),
        "act": acts_of(view, own),
        "is_cancelled": own.error is not None and own.error.type == "Cancelled",
        "resumes": own.tags.get(_RESUMES, ""),
        "seeds": [(name, value) for name, value in sorted(own.params.items()) if _is_seed(name)],
        "lock": detail.lock,
        "overall": [point for point in detail.metrics if place_of(point.key)[:2] == (False, False)],
        "slices": [point for point in detail.metrics if place_of(point.key)[:2] == (False, True)],
        "machine": [point for point in detail.metrics if place_of(point.key)[0]],
        "charts": _charts(drawn),
        "command": own.tags.get(_COMMAND, ""),
        "note": markdown.to_html(own.tags.get(_NOTE, "")),
        "tags": {name: value for name, value in own.tags.items() if name not in _SHOWN_ELSEWHERE},
        "inputs": [(node, _link(node, view.workspace.project)) for node in own.inputs],
        "datasets": [
            (one, one.tags.get(CONTEXT, ""), _link(one.source, view.workspace.project)) for one in own.datasets
        ],
        "detail": detail,
        "made_up": detail.simulated if own.inputs else None,
        "changes": _changes(view, detail),
        "rerun": _rerun_command(own),
        "children": _children(view, own),
        "searched": own.params.get("metric", "") if SEARCH in own.tags else "",
        "registered": registered.models if registered else (),
        "contracts": [
            one
            for name in dict.fromkeys(model.version.name for model in (registered.models if registered else ()))
            for one in contracts_at(view, name)
        ],
        "artifacts": sorted(own.artifacts, key=lambda one: one.name),
        "pictures": _pictures(view, own),
        "diff": diff[:_DIFF_CHARACTERS],
        "thread": comments.thread(view, f"run:{own.id}"),
        "diff_left_out": max(0, len(diff) - _DIFF_CHARACTERS),
    }


def _is_seed(name: str) -> bool:
    plain = name.lower()
    return "seed" in plain or "random_state" in plain


def step_log(view: View) -> Context:
    """What a step printed and logged."""
    own = view.ask("runs.get", id=view.path["id"]).run
    asked = {"step": view.query.get("step", ""), "number": view.query.get("number", "0")}
    log = view.ask("runs.step_log", id=own.id, **asked)
    lines = log.text.splitlines()
    return {
        "run": own,
        "log": log,
        "lines": lines[:_MOST_LINES],
        "more_lines": lines[_MOST_LINES:],
        "live": log.state in ("running", "waiting"),
    }


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


def artifact(view: View) -> Context:
    """One artifact of a run, as far as it can be shown."""
    own = view.ask("runs.get", id=view.path["id"]).run
    name = view.query.get("name", "")
    content = view.ask("runs.artifact", id=own.id, name=name)
    shown = _rows_of(view, own, name) if previews.is_frame(content) else previews.preview(content)
    others = _notebooks_beside(view, own, name) if previews.is_notebook(name) else []
    return {"run": own, "artifact": content.artifact, "preview": shown, "others": others}


def _notebooks_beside(view: View, own: Run, name: str) -> list[tuple[Run, str]]:
    """The notebooks with which one can be compared: this run's others, and those of other recent runs, newest first."""
    found = [(own, one.name) for one in own.artifacts if previews.is_notebook(one.name) and one.name != name]
    recent = view.ask("runs.search", limit=str(_RUNS_LOOKED_AT)).runs
    view.sources.pop()
    for row in recent:
        if row.run.id != own.id:
            found += [(row.run, one.name) for one in row.run.artifacts if previews.is_notebook(one.name)]
    return sorted(found[: 5 * _NOTEBOOKS], key=lambda one: one[1] != name)[:_NOTEBOOKS]


def notebook_diff(view: View) -> Context:
    """Two notebooks cell by cell: one of this run, and one of it or of another."""
    own = view.ask("runs.get", id=view.path["id"]).run
    name, chosen = view.query.get("name", ""), view.query.get("other", "")
    other_id, _, other_name = chosen.partition("/")
    if not other_id or not other_name:
        raise InvalidInput(
            "No notebook was chosen to compare with.", fix="Choose one on the notebook's page.", field="other"
        )
    other = own if other_id == own.id else view.ask("runs.get", id=other_id).run
    both = [view.ask("runs.artifact", id=run.id, name=one) for run, one in ((other, other_name), (own, name))]
    for content in both:
        if not content.is_whole:
            raise InvalidInput(
                f"The notebook {content.artifact.name!r} cannot be compared.",
                why=content.withheld or "It is too large to be shown.",
                fix="Download both, and compare them with a program of your own.",
            )
    return {
        "run": own,
        "name": name,
        "other": other,
        "other_name": other_name,
        "diff": compare_notebooks(both[0].data, both[1].data),
    }


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


def _pictures(view: View, own: Run) -> list[str]:
    """The names of the first artifacts that are pictures, as their bytes say; large ones have only pages of their own."""
    promised = sorted(
        one.name for one in own.artifacts if previews.looks_like_picture(one.name) and one.size_bytes <= _PICTURE_BYTES
    )
    asked = ((name, view.ask("runs.artifact", id=own.id, name=name)) for name in promised[:_PICTURES])
    return [name for name, content in asked if pictures.kind_of(content.data)]


def _charts(drawn: Curves) -> list[MetricChart]:
    return [metric_chart(curve.key, {"": curve.buckets}) for curve in drawn.curves]


def _link(node: str, project: str) -> str:
    """The page of a table's version that stands in the lineage; "" where there is none."""
    kind, _, rest = node.partition(":")
    owner, _, name = rest.partition("@")[0].partition("/")
    return href("projects", project, "tables", name) if kind == "table" and owner == project and name else ""
