"""The one-page case study: what a proof of concept showed, out of its run, and what is missing to full scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from slipway.errors import InvalidInput
from slipway.flows.scope import kept_scope
from slipway.flows.scope_evidence import Shown, requirements
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.runs import GetRun, RunDetail
from slipway.operations.scopes import CaseStudy, MakeStudy
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion
from slipway.records.scopes import KeptScope, Requirement, ScopeTerms
from slipway.runs.browse import get_run

__all__ = ["study"]

_MANY = 12
"""So many metrics fit onto the page."""


def study(workspace: Workspace, request: MakeStudy) -> CaseStudy:
    """The case study of a scope, made from one run.

    Raises:
        NotFound: There is no such scope or run.
        InvalidInput: The run has not ended well: it shows nothing.
    """
    scope = kept_scope(workspace, request.name)
    detail = get_run(workspace, GetRun(id=request.run))
    run = detail.run
    if run.state != "finished":
        raise InvalidInput(
            f"The run {run.id[:12]} is {run.state}.",
            why="A case study tells what a run showed, and this one has shown nothing to its end.",
            fix="Take one that finished: slipway runs list",
            field="run",
        )
    made = _made(workspace, run.id)
    metrics = {point.key: point.value for point in detail.metrics} | (dict(made.metrics) if made is not None else {})
    metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
    needs = requirements(workspace, scope.terms, Shown(run=run, metrics=metrics))
    figures = {name: _Figure(value) for name, value in metrics.items()} | _judged(workspace, made)
    page = _page(workspace, scope, detail, made, figures, needs)
    return CaseStudy(scope=scope, run=run.id, requirements=needs, markdown=page)


class _Figure(NamedTuple):
    value: float
    low: float = math.nan
    high: float = math.nan
    rows: int = 0

    def __str__(self) -> str:
        if not math.isfinite(self.low + self.high):
            return f"{self.value:.4g}"
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g}, {self.rows:,} rows)"


def _judged(workspace: Workspace, made: ModelVersion | None) -> dict[str, _Figure]:
    """What the model was found to do on rows that it was not trained on, with intervals; its KPI among it."""
    if made is None or not made.bundle:
        return {}
    found = registry.bundle_of(workspace, made).metrics
    return {
        one.metric: _Figure(one.value, one.low, one.high, one.n)
        for one in found
        if not one.slice and math.isfinite(one.value)
    }


def _made(workspace: Workspace, run: str) -> ModelVersion | None:
    """The newest model version that a run made."""
    with workspace.ledger.read() as tx:
        ids = [one.target for one in tx.links(f"run:{run}", towards=False) if one.target.startswith("model:")]
        found = [entries.get(tx, ModelVersion, id.partition(":")[2]) for id in ids]
    return max(found, key=lambda one: (one.created_at, one.number), default=None)


def _page(
    workspace: Workspace,
    scope: KeptScope,
    detail: RunDetail,
    made: ModelVersion | None,
    metrics: Mapping[str, _Figure],
    needs: tuple[Requirement, ...],
) -> str:
    terms, run = scope.terms, detail.run
    simulated = tuple(dict.fromkeys([*detail.simulated, *_simulated(workspace, made)]))
    lines = [f"# {terms.name}: what the proof of concept showed", ""]
    if simulated:
        tables = ", ".join(f"`{name}`" for name in simulated)
        lines += [
            f"***SIMULATED***: the run read made-up rows of {tables}. No figure here tells of real customers.",
            "",
        ]
    lines += ["## The problem", "", f"{_line(terms.decision)}", "", f"Wanted by {_line(terms.owner)}."]
    if terms.consumers:
        lines += ["", f"Asked by: {_line(', '.join(terms.consumers))}."]
    if terms.note:
        lines += ["", _line(terms.note)]
    lines += ["", "## What it must take at full scale", "", *_table(needs)]
    lines += ["", "## How good it is, on rows that it was not trained on", "", *_metrics(terms, metrics)]
    lines += ["", "## What the business gets", "", *_value(terms, metrics)]
    lines += ["", "## What is missing to full scale", "", *_gap(needs)]
    who = f"{run.actor} on {run.started_at:%Y-%m-%d}"
    made_by = f"; it made {made.name} {made.number}" if made is not None else ""
    lines += ["", "## Where this comes from", "", f"- Run `{run.id}`, started by {who}{made_by}."]
    if run.code.commit:
        lines.append(f"- Code {run.code.commit[:12]}{' with changes' if run.code.dirty else ''}.")
    lines += [f"- It read `{_line(node)}`." for node in run.inputs[:_MANY]]
    lines.append(f"- Scope as of change {scope.number}, by {scope.actor} on {scope.updated_at:%Y-%m-%d}.")
    lines.append(
        f"- Read today: {workspace.clock.now():%Y-%m-%d}. To make it anew: `slipway scope study {terms.name} --run {run.id[:12]}`"
    )
    return "\n".join(lines) + "\n"


def _simulated(workspace: Workspace, made: ModelVersion | None) -> tuple[str, ...]:
    return registry.bundle_of(workspace, made).simulated if made is not None and made.bundle else ()


def _table(needs: Iterable[Requirement]) -> list[str]:
    rows = [f"| {_cell(one.need)} | {_cell(one.asked)} | **{one.state}** | {_cell(one.found)} |" for one in needs]
    return ["| need | asked | state | found |", "|---|---|---|---|", *rows]


def _metrics(terms: ScopeTerms, metrics: Mapping[str, _Figure]) -> Iterator[str]:
    overall = {name: value for name, value in sorted(metrics.items()) if "[" not in name}
    first = [name for name in terms.metrics if name in overall]
    shown = [*first, *(name for name in overall if name not in first)][:_MANY]
    if not shown:
        yield "The run logged no metric: **missing**. `sw.evaluate(...)` in the pipeline, or `run.log_metric(...)`."
        return
    yield "| metric | value (95 % interval) |"
    yield "|---|---|"
    for name in shown:
        yield f"| {_cell(name)} | {overall[name]} |"
    if len(overall) > len(shown):
        yield ""
        yield f"{len(overall) - len(shown)} more are on the run's page."


def _value(terms: ScopeTerms, metrics: Mapping[str, _Figure]) -> list[str]:
    lines = []
    if terms.kpi:
        found = metrics.get(terms.kpi, metrics.get(terms.kpi.replace(" ", "_")))
        told = "the run does not say: **missing**" if found is None else f"{found} on the rows of the run"
        lines.append(f"- {terms.kpi} ({terms.better} is better): {told}.")
    if terms.value:
        lines.append(
            f"- Expected: {terms.value:,.0f} {terms.currency} a year. That is what {_line(terms.owner)} says; nothing measured it."
        )
    return lines or ["Nobody has said what it is worth: `kpi`, `value` and `currency` of the scope are **missing**."]


def _gap(needs: Iterable[Requirement]) -> list[str]:
    lines = [
        f"- {_line(one.need)}: {one.state}. {_line(one.found)}." + (f" Next: `{one.next}`" if one.next else "")
        for one in needs
        if one.state != "measured"
    ]
    return lines or ["Nothing: every need of the scope is measured and met."]


def _line(text: str) -> str:
    """Anybody's words on one line, so that they are no heading and no table of the page."""
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")
