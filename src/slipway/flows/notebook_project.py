"""The project that a notebook becomes, as text: its module, in which the cells' own lines stand in functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from slipway.code.cell_flow import Statement
from slipway.code.notebooks import Notebook
from slipway.flows.notebook_judged import Judged
from slipway.flows.notebook_prepare import Preparing, indented, prepare_pieces
from slipway.flows.notebook_run import Ran
from slipway.flows.notebook_sites import rewritten
from slipway.flows.notebook_steps import NUMPY_STATE, PYTHON_STATE, Plan, PlannedStep, step_of
from slipway.flows.notebook_way import slice_of

__all__ = ["Written", "cell_before", "wanted_of", "write_module"]

_LINE = 110


@dataclass(slots=True)
class Written:
    """The module's text, and where in the run what is found.

    Args:
        text: The module.
        steps: Name of a step -> (its cell, what it gives), in order.
        rows_step: The step that loads the rows and nothing else, "" where a cell does just that.
        learners: The steps that keep what looks at other rows, in order.
        lines: Name of a step -> the positions of its statements.
    """

    text: str
    steps: dict[str, tuple[int, tuple[str, ...]]]
    rows_step: str = ""
    learners: tuple[str, ...] = ()
    lines: dict[str, list[int]] = field(default_factory=dict)


class _Names:
    """Names of Slipway's own in the module, none of which the notebook uses."""

    def __init__(self, own: Callable[[str], str]) -> None:
        self.sw, self.deepcopy, self.here, self.chdir = own("sw"), own("deepcopy"), own("HERE"), own("chdir")
        self.path, self.numpy, self.random = own("Path"), own("numpy"), own("random")
        self.rows, self.known, self.prepare, self.served = (
            own("rows"),
            own("known"),
            own("prepare"),
            own("served_model"),
        )
        self.release, self.endpoint, self.seed = own("release"), own("endpoint"), own("seed")
        self.held_out, self.gate = own("held_out_rows"), own("gate")


def wanted_of(
    statements: Sequence[Statement], made: Preparing, model: str, judged: Judged | None
) -> dict[int, set[str]]:
    """Which names the served model and its evaluation need, by the cell after which they are as these need them."""
    wanted: dict[int, set[str]] = {max(one.cell for one in statements): {model, *(judged.names if judged else ())}}
    for name, position in made.way.known.items():
        if name in made.states:
            wanted.setdefault(cell_before(statements, name, position), set()).add(name)
    cell = _rows_cell(statements, made)
    if cell:
        wanted.setdefault(cell, set()).add(made.way.rows)
    return wanted


def cell_before(statements: Sequence[Statement], name: str, position: int) -> int:
    """The cell that last gave a name its value before a statement."""
    return next(
        (
            statements[p].cell
            for p in range(position - 1, -1, -1)
            if name in statements[p].binds | statements[p].changes
        ),
        0,
    )


def _rows_cell(statements: Sequence[Statement], made: Preparing) -> int:
    """The cell after which the loaded rows stand as they are; 0 where a cell loads and changes them."""
    way = made.way
    last = statements[way.loading[-1]].cell
    touching = [
        p for p in way.path if statements[p].cell <= last and way.rows in statements[p].binds | statements[p].changes
    ]
    return 0 if touching else last


def write_module(
    notebook: Notebook,
    statements: Sequence[Statement],
    ran: Ran,
    plots: frozenset[int],
    plan: Plan,
    made: Preparing,
    judged: Judged | None,
    *,
    project: str,
    model: str,
    own: Callable[[str], str],
) -> Written:
    """Write the module."""
    names = _Names(own)
    sources = {cell.number: cell.source for cell in notebook.cells}
    draws = any(step.draws for step in plan.steps) or NUMPY_STATE in {
        name for step in plan.steps for name in step.gives
    }
    head = [
        f'"""The notebook {notebook.path.name} as a pipeline: each step is a cell with its own lines. Written by Slipway."""',
        "",
        f"from contextlib import chdir{_as('chdir', names.chdir)}",
        f"from copy import deepcopy{_as('deepcopy', names.deepcopy)}",
        f"from pathlib import Path{_as('Path', names.path)}",
        "",
    ]
    if draws:
        head += [f"import random{_as('random', names.random)}", "", f"import numpy{_as('numpy', names.numpy)}"]
    head += [f"import slipway as {names.sw}", f"\n{names.here} = {names.path}(__file__).parent\n"]
    cell = 0
    for position in plan.module:
        one = statements[position]
        if one.cell != cell:
            cell = one.cell
            head.append(f"\n# cell {cell}")
        head.append((one.lead.strip("\n") + "\n" if one.lead.strip() else "") + one.text)
    parts = ["\n".join(head)]
    done = Written("", {})
    for step in plan.steps:
        parts.append(_step_text(step, statements, names, {}))
        done.steps[step.name] = (step.cell, tuple(step.gives))
        done.lines[step.name] = list(step.statements)
    learners = _learners(statements, ran, plan, made, own)
    done.learners = tuple(learner.name for learner in learners)
    for learner in learners:
        parts.append(_learner_text(learner, statements, sources, names, made))
    rows_step = _rows_step(statements, ran, plots, plan, made, own)
    if rows_step is not None:
        parts.append(_step_text(rows_step, statements, names, {}))
    parts.append(_prepare_text(notebook, statements, made, names))
    parts.append(_served_text(statements, made, names, model, learners))
    if judged is not None:
        parts.append(_held_out_text(judged, names))
    parts.append(_pipeline_text(statements, plan, made, judged, names, model, learners, rows_step, own))
    parts.append(_endpoint_text(judged, names, project))
    done.text = "\n\n\n".join(parts)
    if rows_step is not None:
        done.rows_step = rows_step.name
    return done


def _as(name: str, own: str) -> str:
    return "" if name == own else f" as {own}"


def _step_text(step: PlannedStep, statements: Sequence[Statement], names: _Names, lines: dict[int, str]) -> str:
    settings = ["cache=False"] if step.reads_files else []
    if len(step.gives) > 1:
        settings.append("returns=[" + ", ".join(f'"{name}"' for name in step.gives) + "]")
    head = [f"@{names.sw}.step" + (f"({', '.join(settings)})" if settings else "")]
    head += _wrapped(f"def {step.name}(", step.takes, "):")
    told = "prints what the notebook tells of it" if step.is_report else f"gives {', '.join(step.gives)}"
    head.append(f'    """Cell {step.cell}: {told}."""')
    body = [f"{name} = {names.deepcopy}({name})" for name in step.changed if name not in (NUMPY_STATE, PYTHON_STATE)]
    body += _random_lines(step, names, at_start=True)
    body += [statements[p].text for p in step.definitions]
    body += [lines.get(p) or _with_lead(statements[p]) for p in step.statements]
    body += _random_lines(step, names, at_start=False)
    return "\n".join([*head, _body(body, step, names), *_returned(step.gives)])


def _returned(gives: Sequence[str]) -> list[str]:
    return [f"    return {', '.join(gives)}"] if gives else []


def _with_lead(one: Statement) -> str:
    lead = one.lead.strip("\n")
    return f"{lead}\n{one.text}" if lead.strip() else one.text


def _body(body: Sequence[str], step: PlannedStep, names: _Names) -> str:
    if not step.reads_files:
        return "\n".join(indented(text) for text in body)
    inner = "\n".join(indented(indented(text)) for text in body)
    return f"    with {names.chdir}({names.here}):\n{inner}"


def _random_lines(step: PlannedStep, names: _Names, *, at_start: bool) -> list[str]:
    found = []
    pairs = (
        (NUMPY_STATE, f"{names.numpy}.random.set_state({NUMPY_STATE})", f"{names.numpy}.random.get_state()"),
        (PYTHON_STATE, f"{names.random}.setstate({PYTHON_STATE})", f"{names.random}.getstate()"),
    )
    for name, put, take in pairs:
        if at_start and name in step.takes:
            found.append(put)
        if not at_start and name in step.gives:
            found.append(f"{name} = {take}")
    return found


def _wrapped(before: str, parts: Sequence[str], after: str) -> list[str]:
    line = f"{before}{', '.join(parts)}{after}"
    if len(line) <= _LINE:
        return [line]
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) > _LINE - 8:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{part},"
    return [before, *(f"    {line}" for line in lines), after]


def _learners(
    statements: Sequence[Statement], ran: Ran, plan: Plan, made: Preparing, own: Callable[[str], str]
) -> list[PlannedStep]:
    """For each cell that looks at other rows a step that keeps what it finds there."""
    looking = {position for position in made.sites if position in made.way.path}
    callers = {statements[p].binds for p in made.functions if p in made.sites}
    called = {name for binds in callers for name in binds}
    looking |= {p for p in made.way.path if statements[p].reads & called}
    module_names = {name for position in plan.module for name in statements[position].binds}
    found = []
    for cell in sorted({statements[position].cell for position in looking}):
        step = next(step for step in plan.steps if step.cell == cell)
        last = max(position for position in looking if statements[position].cell == cell)
        positions = [p for p in step.statements if p <= last]
        part = step_of(statements, ran, positions, plan.inner, module_names)
        part.takes += [name for name in step.takes if name in (NUMPY_STATE, PYTHON_STATE)]
        part.name, part.gives = own(f"learn_cell_{cell}"), []
        found.append(part)
    return found


def _learner_text(
    step: PlannedStep, statements: Sequence[Statement], sources: dict[int, str], names: _Names, made: Preparing
) -> str:
    head = [f"@{names.sw}.step{'(cache=False)' if step.reads_files else ''}"]
    head += _wrapped(f"def {step.name}(", step.takes, f") -> {names.sw}.Known:")
    head.append(f'    """Cell {step.cell} once more, to keep what it takes of other rows."""')
    body = [f"{names.known} = {names.sw}.Known(is_learning=True)"]
    body += [f"{name} = {names.deepcopy}({name})" for name in step.changed]
    body += _random_lines(step, names, at_start=True)
    for position in sorted({*step.definitions, *(p for p in made.functions if p in made.sites)}):
        one = statements[position]
        body.append(rewritten(sources[one.cell], one.node, made.sites.get(position, []), names.known))
    for position in step.statements:
        one = statements[position]
        sites = made.sites.get(position, [])
        body.append(rewritten(sources[one.cell], one.node, sites, names.known) if sites else _with_lead(one))
    return "\n".join([*head, _body(body, step, names), f"    return {names.known}"])


def _rows_step(
    statements: Sequence[Statement],
    ran: Ran,
    plots: frozenset[int],
    plan: Plan,
    made: Preparing,
    own: Callable[[str], str],
) -> PlannedStep | None:
    """A step that loads the rows and nothing else, where no cell does just that."""
    if _rows_cell(statements, made):
        return None
    loading = made.way.loading
    others = {name for p in loading for name in statements[p].reads} - {made.way.rows}
    positions = sorted({*loading, *slice_of(statements, ran, plots, others, loading[-1])} - set(plan.module))
    module_names = {name for position in plan.module for name in statements[position].binds}
    step = step_of(statements, ran, positions, plan.inner, module_names)
    step.cell = statements[loading[0]].cell
    step.name, step.gives = own("load_rows"), [made.way.rows]
    step.reads_files = any(ran.files.get(statements[p].cell) for p in positions)
    step.takes = [name for name in step.takes if name not in others]
    return step


def _prepare_text(notebook: Notebook, statements: Sequence[Statement], made: Preparing, names: _Names) -> str:
    cells = sorted({statements[p].cell for p in made.way.path})
    told = f"cell{'s' if len(cells) > 1 else ''} {', '.join(map(str, cells))}" if cells else "as they are"
    takes = f"{names.rows}, {names.known}" if has_known(made) else names.rows
    head = [
        f"def {names.prepare}({takes}):",
        f'    """From rows as they are loaded to what the model is asked with: {told}."""',
    ]
    pieces = prepare_pieces(notebook, statements, made, names.rows, names.known)
    return "\n".join([*head, *(indented(text) for _, text in pieces)])


def has_known(made: Preparing) -> bool:
    """Whether preparing a row takes anything from training."""
    return bool(made.states or made.sites)


def _served_text(
    statements: Sequence[Statement], made: Preparing, names: _Names, model: str, learners: Sequence[PlannedStep]
) -> str:
    takes = [names.rows, model if model not in (names.rows, names.known) else f"{model}_"]
    states = [name for name in sorted(made.states) if name != model]
    learned = [f"learned_{step.cell}" for step in learners]
    head = [
        f"@{names.sw}.step",
        *_wrapped(f"def {names.served}(", [*takes, *states, *learned], f") -> {names.sw}.Model:"),
    ]
    head.append(f'    """The model `{model}` with the function that prepares the rows of a request."""')
    known = ""
    if has_known(made):
        parts = [*learned, *(f"{name}={name}" for name in sorted(made.states))]
        head += [f"    {line}" for line in _wrapped(f"{names.known} = {names.sw}.Known.of(", parts, ")")]
        known = f", known={names.known}"
    columns = [f'"{name}"' if '"' not in name else repr(name) for name in made.columns]
    if hasattr(made.raw, "columns") and made.columns != list(made.raw.columns):
        head += [f"    {line}" for line in _wrapped("columns = [", columns, "]")]
        known += ", columns=columns"
    estimator = f"{takes[1]}.best_estimator_" if made.is_search else takes[1]
    head.append(f"    return {names.sw}.Model({estimator}, sample={names.rows}, prepare={names.prepare}{known})")
    return "\n".join(head)


def _held_out_text(judged: Judged, names: _Names) -> str:
    """The step that finds what the notebook held out of training among the loaded rows."""
    head = [f"@{names.sw}.step", *_wrapped(f"def {names.held_out}(", [names.rows, names.served, *judged.names], "):")]
    head.append('    """What the notebook held out of training, as it was loaded, with its truth."""')
    given = [names.rows, judged.asked, judged.truth, f'label="{judged.label}"']
    body = _wrapped(f"return {names.sw}.held_out({names.served}, ", given, ")")
    return "\n".join([*head, *(f"    {line}" for line in body)])


def _endpoint_text(judged: Judged | None, names: _Names, project: str) -> str:
    if judged is None:
        return f'{names.endpoint} = {names.sw}.Endpoint("{project}", pipeline={names.release})\n'
    return (
        f"# A first limit, {judged.why}: set it to what is good enough.\n"
        f'{names.gate} = {names.sw}.Gate({names.sw}.metric("{judged.metric}") {judged.op} {judged.limit})\n\n'
        f'{names.endpoint} = {names.sw}.Endpoint("{project}", pipeline={names.release}, gate={names.gate})\n'
    )


def _pipeline_text(
    statements: Sequence[Statement],
    plan: Plan,
    made: Preparing,
    judged: Judged | None,
    names: _Names,
    model: str,
    learners: Sequence[PlannedStep],
    rows_step: PlannedStep | None,
    own: Callable[[str], str],
) -> str:
    takes = [f"{names.seed}: int = 0"] if plan.seeds else []
    body = [f'"""{"The notebook from top to bottom, and its model to be served."}"""']
    for kind in plan.seeds:
        name = NUMPY_STATE if kind == "numpy" else PYTHON_STATE
        module, take = (f"{names.numpy}.random", "get_state") if kind == "numpy" else (names.random, "getstate")
        body += [f"{module}.seed({names.seed})", f"{name} = {module}.{take}()"]
    aliases = _aliases(statements, plan, made, model, own)
    learned_at = {step.cell: step for step in learners}
    rows_cell = _rows_cell(statements, made)
    rows = own("loaded_rows")
    for step in plan.steps:
        if step.cell in learned_at:
            learner = learned_at[step.cell]
            body += _wrapped(f"learned_{step.cell} = {learner.name}(", learner.takes, ")")
        gives = ", ".join(step.gives)
        body += _wrapped(f"{gives + ' = ' if gives else ''}{step.name}(", step.takes, ")")
        if step.cell == rows_cell:
            body.append(f"{rows} = {made.way.rows}")
        body += [f"{alias} = {name}" for (name, cell), alias in aliases.items() if cell == step.cell]
    if rows_step is not None:
        body += _wrapped(f"{rows} = {rows_step.name}(", rows_step.takes, ")")
    given = [rows, model]
    for name in sorted(made.states):
        if name != model:
            cell = cell_before(statements, name, made.way.known[name])
            given.append(aliases.get((name, cell), name))
    given += [f"learned_{step.cell}" for step in learners]
    if judged is None:
        body += _wrapped(f"return {names.served}(", given, ")")
    else:
        served, held = own("served"), own("held")
        body += _wrapped(f"{served} = {names.served}(", given, ")")
        body += _wrapped(f"{held} = {names.held_out}(", [rows, served, *judged.names], ")")
        body.append(f'return {names.sw}.evaluate({served}, {held}, label="{judged.label}")')
    head = [f"@{names.sw}.pipeline", f"def {names.release}({', '.join(takes)}) -> {names.sw}.Model:"]
    return "\n".join([*head, *(f"    {line}" for line in body)])


def _aliases(
    statements: Sequence[Statement], plan: Plan, made: Preparing, model: str, own: Callable[[str], str]
) -> dict[tuple[str, int], str]:
    """Names under which values are kept that a later step gives anew."""
    found = {}
    for name, position in made.way.known.items():
        cell = cell_before(statements, name, position)
        if name in made.states and name != model and any(name in step.gives for step in plan.steps if step.cell > cell):
            found[name, cell] = own(f"{name}_of_cell_{cell}")
    return found
