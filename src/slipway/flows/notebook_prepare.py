"""What serves a request: the cells between loading and fitting as one function, with what it knows from training."""

from __future__ import annotations

import ast
import contextlib
import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slipway.code.cell_flow import Statement, free_names
from slipway.code.notebooks import Notebook
from slipway.errors import InvalidInput
from slipway.flows.notebook_run import Ran, importing_from
from slipway.flows.notebook_sites import Site, accepted, rewritten, sites_in
from slipway.flows.notebook_way import Way, slice_of
from slipway.models.known import Known

__all__ = ["Preparing", "indented", "learn", "prepare_pieces"]


@dataclass(slots=True)
class Preparing:
    """Everything about the function that prepares rows.

    Args:
        way: The way of the rows.
        sites: The places that look at other rows, by the position of their statement; -1 for the result.
        functions: The positions of functions that hold such places, and so stand inside.
        raw: The rows as they are loaded.
        given: What the notebook's model was asked with.
        learned: What each place gave.
        states: What the names that come from training held.
        columns: The columns that a request carries.
        is_search: Whether the model is a search among models, of which the best one is served.
        whole: What the function makes of all loaded rows.
    """

    way: Way
    sites: dict[int, list[Site]]
    functions: list[int]
    raw: Any
    given: Any
    learned: Known
    states: dict[str, Any]
    columns: list[str] = field(default_factory=list)
    is_search: bool = False
    whole: Any = None

    @property
    def all_sites(self) -> list[Site]:
        """All places, in the order of the code."""
        return [site for position in sorted(self.sites, key=lambda p: (p < 0, p)) for site in self.sites[position]]


def learn(
    notebook: Notebook,
    statements: Sequence[Statement],
    ran: Ran,
    plots: frozenset[int],
    module: Sequence[int],
    way: Way,
) -> Preparing:
    """Run the statements that lead to the model's input once more, and keep what looks at other rows."""
    sources = {cell.number: cell.source for cell in notebook.cells}
    reached = _reached(statements, way)
    places = [p for p in [*way.path, *reached] if p not in way.same and p not in way.lists]
    candidates = {p: sites_in(statements[p].cell, statements[p].node) for p in places}
    for p in way.path:  # what no row goes into looks at no row
        candidates[p] = [
            site for site in candidates.get(p, []) if site.kind == "expression" or free_names(site.node) & way.row_names
        ]
    candidates[-1] = sites_in(statements[way.asked].cell, way.result)
    wanted = {way.rows, *way.known, *free_names(way.result)}
    positions = sorted(
        {*module, *slice_of(statements, ran, plots, wanted, way.asked), *way.path, *way.loading, *reached}
    )
    known = Known(is_learning=True)
    found = Preparing(way, {}, [], None, None, known, {})
    space: dict[str, Any] = {"__name__": "__main__", "display": lambda *values: None, "__known__": known}
    with _as_before(notebook), contextlib.redirect_stdout(None):
        for position in positions:
            if position >= way.asked:
                break
            _take_states(found, way, position, space)
            sites = candidates.get(position, [])
            one = statements[position]
            text = rewritten(sources[one.cell], one.node, sites, "__known__") if sites else one.text
            _execute(_aligned(text, one), one, space)
            _take_rows(found, way, position, space)
        _take_states(found, way, way.asked, space)
        asked = statements[way.asked]
        found.given = eval(rewritten(sources[asked.cell], way.result, candidates[-1], "__known__"), space)
    lengths = {
        kind.length for kinds in ran.kinds for kind in kinds.values() if kind.family in ("frame", "series", "array")
    }
    lengths |= {len(found.raw)} if found.raw is not None else set()
    for position, sites in candidates.items():
        if kept := accepted(sites, known, lengths):
            found.sites[position] = kept
    names = {site.name for site in found.all_sites}
    known.taken = {name: values for name, values in known.taken.items() if name in names}
    found.functions = [p for p in reached if p in found.sites or p in way.definitions]
    return found


def _execute(text: str, one: Statement, space: dict[str, Any]) -> None:
    try:
        exec(compile(text, f"<cell {one.cell}>", "exec"), space)
    except Exception as problem:
        raise InvalidInput(
            f"{one.place[0].upper()}{one.place[1:]} fails when only what leads to the model's input is run: "
            f"{type(problem).__name__}: {problem}",
            why="It depends on a cell that does not show it: through a connection, a file that is written, or an object that is "
            "changed inside of a function.",
            fix="Give what it needs to it by a name, or load the rows from a file.",
            field=f"cell {one.cell}",
        ) from problem


def _aligned(text: str, one: Statement) -> str:
    """The text with its lines at the numbers of the cell, for tracebacks."""
    return "\n" * (one.first - 1) + text


def _reached(statements: Sequence[Statement], way: Way) -> list[int]:
    """The functions that the path calls, directly or by way of others."""
    defined = {
        name: p for p, one in enumerate(statements) if isinstance(one.node, ast.FunctionDef) for name in one.binds
    }
    pending = {name for p in way.path for name in statements[p].reads} | free_names(way.result)
    found: set[int] = set(way.definitions)
    pending |= {name for p in found for name in statements[p].reads}
    while pending:
        name = pending.pop()
        position = defined.get(name)
        if position is not None and position not in found:
            found.add(position)
            pending |= statements[position].reads
    return sorted(found)


def _take_states(found: Preparing, way: Way, position: int, space: dict[str, Any]) -> None:
    for name, at in way.known.items():
        if at == position and name in space and name not in found.states:
            found.states[name] = copy.deepcopy(space[name])


def _take_rows(found: Preparing, way: Way, position: int, space: dict[str, Any]) -> None:
    if position not in way.loading or way.rows not in space:
        return
    rows = space[way.rows]
    if found.raw is None:
        found.raw = copy.deepcopy(rows)
        return
    for name in getattr(rows, "columns", ()):
        if name not in found.raw.columns and len(rows) == len(found.raw):
            found.raw = (
                found.raw.assign(**{name: rows[name]}) if hasattr(rows, "iloc") else found.raw.with_columns(rows[name])
            )


@contextlib.contextmanager
def _as_before(notebook: Notebook) -> Iterator[None]:
    """The folder and the random numbers with which the notebook ran."""
    states = np.random.get_state(), random.getstate()
    np.random.seed(0)
    random.seed(0)
    folder = notebook.path.resolve().parent
    try:
        with contextlib.chdir(folder), importing_from(folder):
            yield
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])


def prepare_pieces(
    notebook: Notebook, statements: Sequence[Statement], made: Preparing, rows: str, known: str
) -> list[tuple[int, str]]:
    """The lines of the function piece by piece, each with the position of its statement; -1 for what no cell says.

    Args:
        notebook: Its cells' lines.
        statements: All statements.
        made: What the function is made of.
        rows: The name of its first argument.
        known: The name of its second.
    """
    sources = {cell.number: cell.source for cell in notebook.cells}
    way = made.way
    pieces = [(-1, f"{way.rows} = {rows}{'.copy()' if not _is_polars(made.raw) else ''}")]
    changed = {name for p in way.path for name in statements[p].changes}
    for name in sorted(made.states):
        given = f'{known}["{name}"]'
        pieces.append((-1, f"{name} = {'deepcopy(' + given + ')' if name in changed else given}"))
    for position in made.functions:
        pieces.append((position, rewritten(sources[statements[position].cell], statements[position].node, made.sites.get(position, []), known)))  # fmt: skip
    cell = 0
    for position in way.path:
        one = statements[position]
        if position in way.same:
            for name, source in way.same[position]:
                pieces.append(
                    (position, f"{name} = {source}  # cell {one.cell} takes rows apart; one row stays what it is")
                )
            continue
        if position in way.lists:
            pieces.append((position, f"{way.lists[position]}  # cell {one.cell}, with what becomes of these rows"))
            continue
        if one.cell != cell:
            cell = one.cell
            pieces.append((-1, f"# cell {cell}"))
        sites = made.sites.get(position, [])
        pieces.append((position, rewritten(sources[one.cell], one.node, sites, known) if sites else one.text))
    asked = statements[way.asked]
    result = rewritten(sources[asked.cell], way.result, made.sites.get(-1, []), known)
    pieces.append((way.asked, f"return {result}"))
    return pieces


def _is_polars(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "polars"


def indented(text: str, by: str = "    ") -> str:
    """Code with each line moved to the right, but for the lines inside of texts."""
    try:
        tree = ast.parse(text.replace("return ", "", 1) if text.startswith("return ") else text)
    except SyntaxError:
        tree = ast.Module([], [])
    inside: set[int] = set()
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        )
        if is_text and node.end_lineno and node.end_lineno > node.lineno:  # type: ignore[attr-defined]
            inside.update(range(node.lineno + 1, node.end_lineno + 1))  # type: ignore[attr-defined]
    lines = text.split("\n")
    return "\n".join(
        line if number in inside or not line.strip() else by + line for number, line in enumerate(lines, 1)
    )
