"""What flows between the statements of a notebook: names that they read, bind, and change in place.

Only the syntax is looked at. A method that is not known may change its object or not: it is noted as such, and whoever
runs the notebook finds out.
"""

import ast
import builtins
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from slipway.code.notebooks import Cell
from slipway.errors import InvalidInput

__all__ = ["PLOTTING", "Statement", "free_names", "gathered", "root_name", "statements_of"]

_BUILTINS = frozenset(vars(builtins)) | {"__name__", "__file__", "display", "get_ipython"}
_CHANGING = frozenset(
    [
        "append",
        "extend",
        "insert",
        "remove",
        "pop",
        "clear",
        "update",
        "setdefault",
        "popitem",
        "add",
        "discard",
        "sort",
        "reverse",
        "fit",
        "partial_fit",
        "fit_transform",
        "fit_predict",
        "set_params",
        "set_index_names",
        "seed",
        "shuffle",
        "appendleft",
        "extendleft",
        "itemset",
        "fill",
        "put",
        "resize",
        "setfield",
    ]
)
PLOTTING = frozenset(
    [
        "matplotlib", "seaborn", "plotly", "altair", "bokeh", "missingno", "pylab", "IPython", "ydata_profiling",
        "pandas_profiling", "holoviews", "hvplot", "graphviz", "dtreeviz", "yellowbrick", "scikitplot", "wordcloud",
    ]
)  # fmt: skip
"""Libraries that only show something."""
_DYNAMIC = frozenset({"exec", "eval", "globals", "locals", "vars", "compile", "__import__"})


class Statement(NamedTuple):
    """One statement at the top level of a cell.

    Attributes:
        cell: The cell's number.
        first: Its first line in the cell, from 1.
        last: Its last line.
        text: Its lines as they stand.
        node: Its syntax.
        reads: Names that it needs from before.
        binds: Names that it gives a value.
        changes: Names whose objects it changes in place, as far as the syntax shows.
        deletes: Names that are gone after it.
        keeps: Names that it binds on some way only: on another they keep the value from before.
        lead: The comments and empty lines directly above it.
        may_change: Of what it changes that which only the name of a method speaks for: `model.fit`, `names.sort`.
    """

    cell: int
    first: int
    last: int
    text: str
    node: ast.stmt
    reads: frozenset[str]
    binds: frozenset[str]
    changes: frozenset[str]
    deletes: frozenset[str]
    keeps: frozenset[str] = frozenset()
    lead: str = ""
    may_change: frozenset[str] = frozenset()

    @property
    def place(self) -> str:
        """Where it stands, as people are told it."""
        return f"cell {self.cell}, line {self.first}"


def statements_of(cells: Iterable[Cell]) -> list[Statement]:
    """The statements of all cells in order.

    Raises:
        InvalidInput: A cell runs code that is made while it runs, or binds a global from inside a function.
    """
    found: list[Statement] = []
    lists: dict[str, set[str]] = {}
    for cell in cells:
        lines, above = cell.lines, 0
        for node in _apart(cell.tree.body):
            _refuse_dynamic(cell.number, node)
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            last = node.end_lineno or node.lineno
            own = any(node is given for given in cell.tree.body)
            text = _own_text(lines, node, first, last) if own else ast.unparse(node)
            flow = _Flow(lists)
            flow.take(node)
            lists = {name: held for name, held in lists.items() if name not in flow.binds} | gathered(node)
            found.append(
                Statement(
                    cell.number,
                    first,
                    last,
                    text,
                    node,
                    frozenset(flow.reads),
                    frozenset(flow.binds),
                    frozenset(flow.changes & flow.reads | flow.changes & flow.binds),
                    frozenset(flow.deletes),
                    frozenset(flow.keeps),
                    "\n".join(lines[above : first - 1]) if first > above else "",
                    frozenset(flow.changes - flow.sure),
                )
            )
            above = last
    return found


def gathered(node: ast.stmt) -> dict[str, set[str]]:
    """For `both = [train, test]`: the list with what it holds, which a loop over it may change."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
        return {}
    if not isinstance(node.value, ast.List | ast.Tuple) or not node.value.elts:
        return {}
    held = {part.id for part in node.value.elts if isinstance(part, ast.Name)}
    return {node.targets[0].id: held} if len(held) == len(node.value.elts) else {}


def _apart(body: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    """The statements, with a line that imports several libraries as several: one of them may only plot."""
    for node in body:
        names = node.names if isinstance(node, ast.Import) else []
        if len(names) > 1 and any(alias.name.split(".")[0] in PLOTTING for alias in names):
            yield from (ast.copy_location(ast.Import([alias]), node) for alias in names)
        elif isinstance(node, ast.ImportFrom) and any(alias.name.endswith("Display") for alias in node.names):
            yield from (
                ast.copy_location(ast.ImportFrom(node.module, [alias], node.level), node) for alias in node.names
            )
        else:
            yield node


def _own_text(lines: list[str], node: ast.stmt, first: int, last: int) -> str:
    """The statement's lines, without what shares its first or last line with it."""
    own = lines[first - 1 : last]
    beyond = own[-1].encode()[node.end_col_offset :].decode().strip()
    if beyond and not beyond.startswith("#"):
        own[-1] = own[-1].encode()[: node.end_col_offset].decode()
    if first == node.lineno:
        own[0] = own[0].encode()[node.col_offset :].decode()
    return "\n".join(own)


def root_name(node: ast.AST) -> str | None:
    """The name at the bottom of an attribute, subscript or call chain: `df` in `df["x"].str.strip()[0]`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def free_names(node: ast.AST) -> set[str]:
    """The names that an expression or definition needs from outside."""
    flow = _Flow()
    flow.take(node)
    return flow.reads


def _refuse_dynamic(number: int, node: ast.stmt) -> None:
    for inner in ast.walk(node):
        called = inner.func.id if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) else ""
        if called in _DYNAMIC or isinstance(inner, ast.Global):
            what = f"{called}(...)" if called else f"`global {', '.join(getattr(inner, 'names', []))}`"
            raise InvalidInput(
                f"Cell {number}, line {getattr(inner, 'lineno', 1)} uses {what}.",
                why="Which names it reads and writes cannot be seen in the code.",
                fix="Say the names plainly, and give functions what they need as arguments.",
                field=f"cell {number}",
            )


class _Flow:
    """Walks one statement in the order in which Python evaluates it."""

    def __init__(self, lists: Mapping[str, set[str]] | None = None) -> None:
        self._lists = lists or {}
        self.reads: set[str] = set()
        self.binds: set[str] = set()
        self.changes: set[str] = set()
        self.deletes: set[str] = set()
        self.sure: set[str] = set()
        self.keeps: set[str] = set()
        self._aliases: dict[str, set[str]] = {}

    def take(self, node: ast.AST | None) -> None:
        """Take in a piece of syntax."""
        if node is None:
            return
        special = getattr(self, f"_{type(node).__name__}", None)
        if special is not None:
            special(node)
            return
        for child in ast.iter_child_nodes(node):
            self.take(child)

    def _read(self, name: str) -> None:
        if name not in self.binds and name not in _BUILTINS:
            self.reads.add(name)

    def _change(self, node: ast.AST, *, is_sure: bool = True) -> None:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        name = node.id if isinstance(node, ast.Name) else None  # what a call gave is an object of its own
        if name is not None:
            touched = {name} | self._aliases.get(name, set())
            self.changes |= touched
            self.sure |= touched if is_sure else set()

    def _bind(self, target: ast.AST) -> None:
        if isinstance(target, ast.Name):
            self.binds.add(target.id)
            self.deletes.discard(target.id)
        elif isinstance(target, ast.Tuple | ast.List):
            for part in target.elts:
                self._bind(part)
        elif isinstance(target, ast.Starred):
            self._bind(target.value)
        else:
            self.take(target)
            self._change(target)

    def _Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read(node.id)
        elif isinstance(node.ctx, ast.Store):
            self.binds.add(node.id)

    def _Assign(self, node: ast.Assign) -> None:
        self.take(node.value)
        for target in node.targets:
            self._bind(target)

    def _AnnAssign(self, node: ast.AnnAssign) -> None:
        self.take(node.value)
        if node.value is not None:
            self._bind(node.target)

    def _AugAssign(self, node: ast.AugAssign) -> None:
        self.take(node.value)
        if isinstance(node.target, ast.Name):
            self._read(node.target.id)
            self.changes.add(node.target.id)
            self.sure.add(node.target.id)
        self._bind(node.target)

    def _NamedExpr(self, node: ast.NamedExpr) -> None:
        self.take(node.value)
        self.binds.add(node.target.id)

    def _Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._read(target.id)
                self.deletes.add(target.id)
            else:
                self.take(target)
                self._change(target)

    def _For(self, node: ast.For) -> None:
        self.take(node.iter)
        if isinstance(node.target, ast.Name) and isinstance(node.iter, ast.List | ast.Tuple):
            held = {part.id for part in node.iter.elts if isinstance(part, ast.Name)}
            self._aliases[node.target.id] = held
        elif isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Name):
            held = self._lists.get(node.iter.id, set())
            self._aliases[node.target.id] = held
            self.reads |= held - self.binds
        before = set(self.binds)
        self._bind(node.target)
        for part in node.body:
            self.take(part)
        sure = before | {name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)}
        self.keeps |= self.binds - sure  # it may run no turn at all
        for part in node.orelse:
            self.take(part)

    def _While(self, node: ast.While) -> None:
        self.take(node.test)
        sure = set(self.binds)
        for part in [*node.body, *node.orelse]:
            self.take(part)
        self.keeps |= self.binds - sure

    def _If(self, node: ast.If) -> None:
        self.take(node.test)
        before, ends = set(self.binds), []
        for branch in (node.body, node.orelse):
            self.binds = set(before)
            for part in branch:
                self.take(part)
            ends.append(set(self.binds))
        self.binds = ends[0] | ends[1]
        # What only one branch binds keeps its earlier value in the other.
        self.keeps |= (ends[0] ^ ends[1]) - before

    def _Try(self, node: ast.Try) -> None:
        before = set(self.binds)
        for part in [*node.body, *node.handlers, *node.orelse, *node.finalbody]:
            self.take(part)
        self.keeps |= self.binds - before

    def _Call(self, node: ast.Call) -> None:
        for child in ast.iter_child_nodes(node):
            self.take(child)
        if isinstance(node.func, ast.Attribute):
            in_place = any(
                k.arg == "inplace" and isinstance(k.value, ast.Constant) and k.value.value is True
                for k in node.keywords
            )
            if node.func.attr in _CHANGING or in_place:
                self._change(node.func.value, is_sure=in_place)
            if node.func.attr == "shuffle" and node.args:
                self._change(node.args[0], is_sure=False)

    def _Import(self, node: ast.Import) -> None:
        self.binds.update((alias.asname or alias.name.split(".")[0]) for alias in node.names)

    def _ImportFrom(self, node: ast.ImportFrom) -> None:
        self.binds.update((alias.asname or alias.name) for alias in node.names if alias.name != "*")

    def _ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.take(node.type)
        for part in node.body:
            self.take(part)

    def _FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for part in [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d)]:
            self.take(part)
        self.binds.add(node.name)
        self._inner(node.args, node.body)

    _AsyncFunctionDef = _FunctionDef

    def _Lambda(self, node: ast.Lambda) -> None:
        for part in [*node.args.defaults, *(d for d in node.args.kw_defaults if d)]:
            self.take(part)
        self._inner(node.args, [node.body])

    def _inner(self, args: ast.arguments, body: Iterable[ast.AST]) -> None:
        inner = _Flow()
        inner.binds |= {
            a.arg
            for a in [*args.posonlyargs, *args.args, *args.kwonlyargs] + [x for x in (args.vararg, args.kwarg) if x]
        }
        parts = list(body)
        local = set(inner.binds).union(*map(_names_bound, parts))
        for part in parts:
            inner.take(part)
        for name in inner.reads - local:
            self._read(name)
        self.changes |= inner.changes - local
        self.sure |= inner.sure - local

    def _ClassDef(self, node: ast.ClassDef) -> None:
        for part in [*node.decorator_list, *node.bases, *(k.value for k in node.keywords)]:
            self.take(part)
        inner = _Flow()
        for statement in node.body:
            inner.take(statement)
        for name in inner.reads:
            self._read(name)
        self.binds.add(node.name)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        inner = _Flow()
        for generator in node.generators:
            inner.take(generator.iter)
            inner._bind(generator.target)
            for test in generator.ifs:
                inner.take(test)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            inner.take(part)
        for name in inner.reads:
            self._read(name)
        self.changes |= inner.changes - inner.binds
        self.sure |= inner.sure - inner.binds

    _ListComp = _SetComp = _DictComp = _GeneratorExp = _comprehension


def _names_bound(node: ast.AST) -> set[str]:
    """Names that a function's own statements bind, so that they are its local ones."""
    found: set[str] = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            found.add(child.id)
        elif isinstance(child, ast.FunctionDef | ast.ClassDef):
            found.add(child.name)
    return found
