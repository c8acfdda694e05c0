"""Which statements of a notebook only show something: plots, the head of a table, a bare name."""

import ast
from collections.abc import Sequence

from slipway.code.cell_flow import PLOTTING, Statement, root_name

__all__ = ["plots_in", "shows_only"]

_LOADING = ("load_dataset", ".data.")  # data that comes with a plotting library
_PLOT_METHODS = frozenset({"plot", "hist", "boxplot", "plotting", "hvplot"})


def plots_in(statements: Sequence[Statement]) -> frozenset[int]:
    """The positions of statements that only plot, with the imports that only they need.

    A statement that plots and also computes what others read is not among them.
    """
    names: set[str] = set()
    found: set[int] = set()
    for position, one in enumerate(statements):
        if _imports_plots(one.node) or _plots_by_method(one.node) or (one.reads & names and _draws(one.node, names)):
            found.add(position)
            names |= one.binds
        else:
            names -= one.binds
    while mixed := {position for position in found if _is_needed(statements, position, found)}:
        found -= mixed
    return frozenset(found)


def shows_only(one: Statement) -> bool:
    """Whether a statement is an expression whose value is shown and then gone: `df.head()`, `X.shape`."""
    if not isinstance(one.node, ast.Expr) or one.changes:
        return False
    value = one.node.value
    for inner in ast.walk(value):
        if isinstance(inner, ast.Call):
            called = inner.func
            if isinstance(called, ast.Name) and called.id not in (
                "display",
                "len",
                "type",
                "sorted",
                "set",
                "list",
                "dict",
            ):
                return False
            if isinstance(called, ast.Attribute) and called.attr == "score":
                return False
        if isinstance(inner, ast.NamedExpr | ast.Await | ast.Yield):
            return False
    return True


def _draws(node: ast.stmt, names: set[str]) -> bool:
    """Whether a statement that reads a plotting name plots with it; `model.fit(df)` does not, wherever `df` is from."""
    if isinstance(node, ast.Expr | ast.Assign):
        root = root_name(node.value)
        return root is None or (root in names and not any(word in ast.unparse(node.value) for word in _LOADING))
    return not isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef)


def _imports_plots(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return all(alias.name.split(".")[0] in PLOTTING for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] in PLOTTING or _imports_displays(node)
    return False


def _imports_displays(node: ast.ImportFrom) -> bool:
    """scikit-learn's displays draw with matplotlib."""
    return all(alias.name.endswith("Display") or alias.name == "plot_tree" for alias in node.names)


def _plots_by_method(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Expr | ast.Assign):
        return False
    chain: ast.AST = node.value
    while isinstance(chain, ast.Attribute | ast.Subscript | ast.Call):
        if isinstance(chain, ast.Attribute) and chain.attr in _PLOT_METHODS and root_name(chain) is not None:
            return True
        chain = chain.func if isinstance(chain, ast.Call) else chain.value
    return False


def _is_needed(statements: Sequence[Statement], position: int, plots: set[int]) -> bool:
    """Whether what a plotting statement binds or changes is read by one that stays."""
    one = statements[position]
    touched = set(one.binds | one.changes)
    own = set(one.binds)
    for later in range(position + 1, len(statements)):
        other = statements[later]
        if later not in plots and other.reads & touched:
            return True
        if later in plots or not other.binds:
            continue
        own -= other.binds
        touched = own | (touched & one.changes)
    return False
