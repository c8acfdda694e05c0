"""From a notebook to a project: steps by data flow, a function that serves a request, both proven by running.

The notebook is the user's own, and it is run: once as it is, once more up to where its model is asked. What is written is
then run as a pipeline, and `compare` holds its values against the notebook's.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.code.cell_display import plots_in
from slipway.code.cell_flow import Statement, statements_of
from slipway.code.notebooks import Notebook, read_notebook
from slipway.errors import InvalidInput, near
from slipway.flows.notebook_alone import needed_columns, prove_alone
from slipway.flows.notebook_judged import Judged, find_judged, told
from slipway.flows.notebook_leaks import refuse_leaks
from slipway.flows.notebook_prepare import Preparing, indented, learn, prepare_pieces
from slipway.flows.notebook_project import Written, cell_before, wanted_of, write_module
from slipway.flows.notebook_run import Ran, fingerprint_of, run_cells
from slipway.flows.notebook_steps import Plan, module_level, plan_steps
from slipway.flows.notebook_way import find_way
from slipway.models.known import Known

__all__ = ["Draft", "draft"]

_MOST_SHOWN = 8
_LOADERS = ("joblib.load", "pickle.load", "pickle.loads", "cloudpickle.load", "dill.load")


@dataclass(slots=True, kw_only=True)
class Draft:
    """A project that is written and not yet proven by a run.

    Args:
        notebook: Where it comes from.
        text: The module.
        files: What the notebook reads: path in the project -> where it lies now.
        requirements: What must be installed.
        notes: What a reader must know, in words.
        ran: What running the notebook showed.
        written: What is found where in the pipeline's run.
        model: The model's name in the notebook.
        made: The function that serves a request, and what it is made of.
        rows_alone: How many rows were prepared alone and compared.
        judged: What the notebook held out of training, None where that is not seen.
    """

    notebook: Notebook
    text: str
    files: dict[str, Path] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    ran: Ran
    written: Written
    model: str
    made: Preparing
    rows_alone: int
    judged: Judged | None = None


def draft(path: Path, *, project: str, model: str = "", say: Callable[[str], None] = lambda line: None) -> Draft:
    """Derive a project from a notebook, which is run for it.

    Args:
        path: The .ipynb file.
        project: The project's name.
        model: The model's name in the notebook, where it makes several.
        say: Receives lines of progress.

    Raises:
        InvalidInput: It is no notebook that can become a project; cell, line and name are said.
        StepFailed: A cell fails when the notebook runs from top to bottom.
        NotFound: There is no such file.
    """
    notebook = read_notebook(path)
    statements = statements_of(notebook.cells)
    plots = plots_in(statements)
    say(f"Running {path.name} from top to bottom: {len(notebook.cells)} cells.")
    ran = run_cells(notebook, statements, plots)
    statements = [one._replace(changes=one.changes - (one.may_change & ran.unchanged[one.cell])) for one in statements]
    chosen = _choose(ran, statements, model)
    _check_served(ran.namespace[chosen], chosen)
    module = sorted(module_level(statements, ran, plots))
    way = find_way(statements, ran, plots, module, chosen)
    made = learn(notebook, statements, ran, plots, module, way)
    made.is_search = hasattr(ran.namespace[chosen], "best_estimator_")
    _check_states(statements, ran, made)
    refuse_leaks(statements, made)
    own = _own_names(statements)
    say("Comparing rows prepared alone with the same rows among all.")
    alone = _prove(notebook, statements, ran, module, made, own)
    judged = find_judged(statements, ran, plots, module, made, chosen)
    plan = plan_steps(statements, ran, plots, wanted_of(statements, made, chosen, judged), own)
    written = write_module(
        notebook, statements, ran, plots, plan, made, judged, project=project, model=chosen, own=_own_names(statements)
    )
    _check_syntax(written.text)
    return Draft(
        notebook=notebook,
        text=written.text,
        files=_files(notebook, statements, ran) | _modules(notebook),
        requirements=notebook.requirements,
        notes=[*notebook.notes, *_notes(statements, plots, plan, made, judged)],
        ran=ran,
        written=written,
        model=chosen,
        made=made,
        rows_alone=alone,
        judged=judged,
    )


def _choose(ran: Ran, statements: Sequence[Statement], wanted: str) -> str:
    """The model that is to be served."""
    order = [name for one in statements for name in sorted(one.binds)]
    found = {name: None for name in dict.fromkeys(order) if _is_model(ran.namespace.get(name))}
    if wanted:
        if wanted not in found:
            raise InvalidInput(
                f"The notebook has no fitted model called {wanted!r}.",
                why="A model is a variable with `fit` and `predict` that was fitted.",
                fix=near(wanted, found, what="models"),
                field="model",
            )
        return wanted
    if not found:
        raise InvalidInput(
            "The notebook fits no model.",
            why="What is served is a variable with `fit` and `predict` that was fitted: an estimator of scikit-learn or "
            "LightGBM.",
            fix="Give the fitted model a name in a cell of its own, outside of functions.",
        )
    turned = {name for one in statements if isinstance(one.node, ast.For) for name in _bound(one.node.target)}
    names_loaded = {name for one in statements if _loads_model(one.node) for name in one.binds}
    best = {id(getattr(ran.namespace[name], "best_estimator_", None)): name for name in found}
    names = [name for name in found if name not in turned] or list(found)
    names = [name for name in names if not any(best.get(id(ran.namespace[other])) == name for other in names)]
    names = [name for name in names if name not in names_loaded] or names  # what a cell stored, and loads again
    if len(names) > 1:
        same = {id(ran.namespace[name]) for name in names}
        if len(same) > 1:
            raise InvalidInput(
                f"The notebook fits {len(names)} models: {', '.join(names[:_MOST_SHOWN])}.",
                why="One endpoint serves one model.",
                fix=f"Say which: --model {names[-1]}",
                field="model",
            )
    return names[-1]


def _is_model(value: Any) -> bool:
    if isinstance(value, type) or not hasattr(value, "predict"):
        return False
    if type(value).__module__.startswith("lightgbm") and type(value).__name__ == "Booster":
        return True
    held = getattr(value, "__dict__", {})
    return hasattr(value, "fit") and (
        any(name.endswith("_") and not name.startswith("_") for name in held) or hasattr(value, "n_features_in_")
    )


def _loads_model(node: ast.stmt) -> bool:
    """Whether a statement reads a stored model: `joblib.load("model.pkl")`, `pickle.load(f)`."""
    return isinstance(node, ast.Assign | ast.With) and any(
        isinstance(inner, ast.Call) and (isinstance(inner.func, ast.Attribute) and ast.unparse(inner.func) in _LOADERS)
        for inner in ast.walk(node)
    )


def _bound(target: ast.expr) -> set[str]:
    return {inner.id for inner in ast.walk(target) if isinstance(inner, ast.Name)}


def _check_states(statements: Sequence[Statement], ran: Ran, made: Preparing) -> None:
    """What requests take from training by name must be what a cell hands on: its value at the end of the cell."""
    fitted = {name for position in made.way.path for name in statements[position].changes}
    for name, value in made.states.items():
        if name in fitted:
            continue  # a transformer that the way itself fits: what was fitted is kept by its place
        cell = cell_before(statements, name, made.way.known[name])
        given = ran.written.get(cell, {}).get(name, "")
        if given != fingerprint_of(value):
            raise InvalidInput(
                f"Cell {cell} gives {name!r} one value for the rows, and ends with another.",
                why="From cell to cell goes what a name holds at the end.",
                fix=f"Use two names for the two values of {name!r}.",
                field=f"cell {cell}: {name}",
            )


def _check_served(model: Any, name: str) -> None:
    classes = getattr(model, "classes_", ())
    if len(classes) > 2:
        raise InvalidInput(
            f"The model {name!r} predicts {len(classes)} classes: {', '.join(str(one) for one in classes[:6])}.",
            why="Slipway serves one score a row: the probability of one class, or a value.",
            fix="Train one model a class, or join the classes into two.",
            field="model",
        )


def _own_names(statements: Sequence[Statement]) -> Callable[[str], str]:
    """Gives names that the notebook does not use, each once."""
    used = {inner.id for one in statements for inner in ast.walk(one.node) if isinstance(inner, ast.Name)}
    used |= {name for one in statements for name in one.binds | one.reads} | set(keyword.kwlist) | set(dir(builtins))

    def own(name: str) -> str:
        while name in used:
            name += "_"
        used.add(name)
        return name

    return own


def _prove(
    notebook: Notebook,
    statements: Sequence[Statement],
    ran: Ran,
    module: Sequence[int],
    made: Preparing,
    own: Callable[[str], str],
) -> int:
    """Prove the function row by row, and find the columns that it needs."""
    rows, known_name = own("rows"), own("known")
    space: dict[str, Any] = {"__name__": "__main__", "__rows__": rows, "__known_name__": known_name}
    exec("from copy import deepcopy", space)
    for position in module:
        exec(compile(statements[position].text, f"<cell {statements[position].cell}>", "exec"), space)
    pieces = prepare_pieces(notebook, statements, made, rows, known_name)
    text = f"def __prepare__({rows}, {known_name}):\n" + "\n".join(indented(piece) for _, piece in pieces)
    exec(compile(text, "<prepare>", "exec"), space)
    known = Known(made.states, made.learned.taken)

    def prepare(given: Any, what: Known) -> Any:
        return space["__prepare__"](given, what.replayed())

    tried = prove_alone(prepare, made, known, statements, pieces, space)
    made.columns = needed_columns(prepare, made.raw, known)
    return tried


def _files(notebook: Notebook, statements: Sequence[Statement], ran: Ran) -> dict[str, Path]:
    """The files that the notebook reads, by their path in the project."""
    folder = notebook.path.resolve().parent
    named = {
        inner.value
        for one in statements
        for inner in ast.walk(one.node)
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and 0 < len(inner.value) < 300
    }
    found = {path.resolve(): cell for cell, paths in ran.files.items() for path in paths}
    for text in named:
        if "\n" not in text and "\0" not in text and (folder / text).is_file():
            found.setdefault((folder / text).resolve(), 0)
    files: dict[str, Path] = {}
    for path, cell in found.items():
        if path.is_relative_to(folder):
            files[path.relative_to(folder).as_posix()] = path
        elif not any(str(path) in text or os.path.expanduser(text) == str(path) for text in named) and cell:
            raise InvalidInput(
                f"Cell {cell} reads {os.path.relpath(path, folder)}, which lies outside of the notebook's folder.",
                why="The project would not find it there.",
                fix="Put it beside the notebook, or name it by its whole path.",
                field=f"cell {cell}",
            )
    return files


def _modules(notebook: Notebook) -> dict[str, Path]:
    """The modules beside the notebook that it imports."""
    folder = notebook.path.resolve().parent
    found = {}
    for module in list(sys.modules.values()):
        place = getattr(module, "__file__", None)
        if not place or not place.endswith(".py"):
            continue
        path = Path(place).resolve()
        if path.is_relative_to(folder) and "site-packages" not in path.parts:
            found[path.relative_to(folder).as_posix()] = path
    return found


def _check_syntax(text: str) -> None:
    try:
        ast.parse(text)
    except SyntaxError as problem:
        line = text.split("\n")[(problem.lineno or 1) - 1]
        raise InvalidInput(
            f"The cells cannot stand in functions as they are: {problem.msg}: {line.strip()}",
            why="A step is a function, whose lines are those of the cell.",
            fix="Write that line so that it could stand in a function.",
        ) from problem


def _notes(
    statements: Sequence[Statement], plots: frozenset[int], plan: Plan, made: Preparing, judged: Judged | None
) -> list[str]:
    notes = [told(judged)]
    if plots:
        cells = sorted({statements[p].cell for p in plots})
        notes.append(f"plots are left out: cell{'s' if len(cells) > 1 else ''} {', '.join(map(str, cells))}")
    if plan.shown:
        notes.append(f"no step, for they only show something: cells {', '.join(map(str, sorted(set(plan.shown))))}")
    if plan.unused:
        notes.append(
            f"no step, for nothing reads what they make: cells {', '.join(map(str, sorted(set(plan.unused))))}"
        )
    for kind in plan.seeds:
        notes.append(
            f"it draws random numbers of {kind} without a seed: the pipeline begins them with the parameter seed=0"
        )
    for site in made.all_sites:
        notes.append(f"looks at other rows, and is taken from training in requests: {site.name}")
    for name in sorted(made.states):
        notes.append(f"is taken from training in requests: {name}")
    for position, pairs in sorted(made.way.same.items()):
        notes.append(
            f"{statements[position].place} takes rows apart: for one row, {', '.join(f'{a} is {b}' for a, b in pairs)}"
        )
    return [re.sub(r"\s+", " ", note) for note in notes]
