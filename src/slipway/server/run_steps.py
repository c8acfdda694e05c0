"""How far a run's steps are, and what took what from what: the bar and the graph of a run's page."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from slipway.charts.step_graph import StepNode, step_graph
from slipway.operations.runs import RunDetail
from slipway.records.runs import Run, StepRun
from slipway.server.formats import duration, href
from slipway.server.view import View

__all__ = ["Progress", "Tail", "former_of", "graph_of", "progress_of", "tail_of"]

_TOGETHER = 4
"""From so many calls of a step on, they are one box."""
_TAIL_LINES = 25
_BOXES = 120
_WORST_FIRST = ("failed", "running", "waiting", "finished", "cached", "cancelled")
_COUNTED = {"finished": "ran", "cached": "found stored", "cancelled": "did not begin"}


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        done: Steps that ran or were found stored.
        total: How many there will be: those known, or as many as in the former run where that had more.
        counts: How many are in which state, in words.
        so_far_s: Seconds since it began.
        former_s: How long the former run took, None for none.
        former_id: The run that it is measured by, "" for none.
    """

    done: int
    total: int
    counts: str
    so_far_s: float
    former_s: float | None = None
    former_id: str = ""


def former_of(view: View, own: Run) -> RunDetail | None:
    """The newest run of the same pipeline that finished before this one began; None where it is of no use."""
    if own.state != "running" or not own.pipeline.isidentifier():
        return None
    asked = f"pipeline = '{own.pipeline}' and state = 'finished'"
    found = view.ask("runs.search", where=asked, limit="1").runs
    view.sources.pop()
    if not found or found[0].run.id == own.id:
        return None
    detail: RunDetail = view.ask("runs.get", id=found[0].run.id)
    view.sources.pop()
    return detail


def progress_of(detail: RunDetail, former: RunDetail | None) -> Progress:
    """How far a run is, measured by a former one."""
    own, steps = detail.run, detail.steps
    counted = Counter(step.state for step in steps)
    done = counted["finished"] + counted["cached"]
    end = own.ended_at or datetime.now(UTC)
    before = former.run if former is not None else None
    took = (before.ended_at - before.started_at).total_seconds() if before is not None and before.ended_at else None
    return Progress(
        done=done,
        total=max(len(steps), len(former.steps) if former is not None else 0),
        counts=", ".join(
            f"{number} {_COUNTED.get(state, state)}"
            for state, number in sorted(counted.items(), key=lambda one: _WORST_FIRST.index(one[0]))
        ),
        so_far_s=max(0.0, (end - own.started_at).total_seconds()),
        former_s=took,
        former_id=before.id if before is not None else "",
    )


def graph_of(project: str, detail: RunDetail, former: RunDetail | None) -> tuple[str, int]:
    """The graph of a run's steps as SVG, and how many boxes are left out of it.

    Steps of the former run that have not been called yet are to come.
    """
    nodes, edges, names = _nodes(project, detail.run.id, detail.steps)
    if former is not None:
        more, more_edges = _to_come(former.steps, names)
        nodes, edges = nodes + more, edges | more_edges
    drawn = step_graph(nodes[:_BOXES], sorted(edges), title=f"Steps of {detail.run.pipeline or detail.run.id[:12]}")
    return drawn, max(0, len(nodes) - _BOXES)


def _nodes(
    project: str, run_id: str, steps: Sequence[StepRun]
) -> tuple[list[StepNode], set[tuple[str, str]], set[str]]:
    calls = Counter(step.name for step in steps)
    made: dict[str, str] = {}
    edges: set[tuple[str, str]] = set()
    groups: dict[str, list[tuple[StepRun, int]]] = {}
    numbers: Counter[str] = Counter()
    for step in steps:
        numbers[step.name] += 1
        id = step.name if calls[step.name] >= _TOGETHER else f"{step.name}#{numbers[step.name]}"
        groups.setdefault(id, []).append((step, numbers[step.name]))
        for print_ in step.inputs.values():
            if print_ in made and made[print_] != id:
                edges.add((made[print_], id))
        for output in step.outputs:
            made[output.fingerprint] = id
    here = href("projects", project, "runs", run_id, "log")
    nodes = [_node(id, group, here, calls) for id, group in groups.items()]
    return nodes, edges, set(calls)


def _node(id: str, group: Sequence[tuple[StepRun, int]], log: str, calls: Counter[str]) -> StepNode:
    states: Counter[str] = Counter(step.state for step, _ in group)
    state = next(one for one in _WORST_FIRST if states[one])
    step, number = next((step, number) for step, number in group if step.state == state)
    is_read = step.output is not None or state == "running"
    address = f"{log}?{urlencode({'step': step.name, 'number': number})}" if is_read else ""
    if len(group) > 1:
        told = ", ".join(f"{states[one]} {_COUNTED.get(one, one)}" for one in _WORST_FIRST if states[one])
        return StepNode(id, f"{len(group)} calls of {step.name}", state, told if len(states) > 1 else "", address)
    name = step.name if calls[step.name] == 1 else f"{step.name} ({number})"
    return StepNode(id, name, state, _took(step), address or f"#step-{step.id.rpartition('.')[2]}")


def _took(step: StepRun) -> str:
    if step.state == "running" and step.started_at is not None:
        return duration(max(0.0, (datetime.now(UTC) - step.started_at).total_seconds()))
    return duration(step.seconds) if step.state in ("finished", "failed") else ""


def _to_come(before: Sequence[StepRun], called: set[str]) -> tuple[list[StepNode], set[tuple[str, str]]]:
    """The steps of a former run that were not called yet, and what led to them then."""
    lacking = dict.fromkeys(step.name for step in before if step.name not in called)
    made: dict[str, str] = {}
    edges: set[tuple[str, str]] = set()
    for step in before:
        for print_ in step.inputs.values():
            if print_ in made and step.name in lacking and made[print_] in lacking:
                edges.add((made[print_], step.name))
        for output in step.outputs:
            made[output.fingerprint] = step.name
    return [StepNode(name, name, "to come") for name in lacking], edges


@dataclass(frozen=True)
class Tail:
    """The last lines that a step printed, and which of its calls it is."""

    step: StepRun
    number: int
    lines: tuple[str, ...]


def tail_of(view: View, own: Run, steps: Iterable[StepRun]) -> Tail | None:
    """The end of the output that tells most now: of what runs, else of what failed, else of what ran last."""
    numbers: Counter[str] = Counter()
    numbered = []
    for step in steps:
        numbers[step.name] += 1
        numbered.append((step, numbers[step.name]))
    asked = [one for one in numbered if one[0].state == "running" or one[0].output is not None]
    for state in ("running", "failed", ""):
        for step, number in reversed(asked):
            if state in ("", step.state):
                log = view.ask("runs.step_log", id=own.id, step=step.name, number=str(number))
                view.sources.pop()
                if log.text.strip():
                    return Tail(step, number, tuple(log.text.splitlines()[-_TAIL_LINES:]))
    return None
