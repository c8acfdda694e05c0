"""Source text as syntax: parsed once a file, with an index of what each top-level statement defines.

The dump of a statement is what its hash rests on. Comments, docstrings, layout and positions are not in it.
"""

import ast
import linecache
import os
import re
import time
import warnings
from collections.abc import Iterator
from importlib.util import decode_source
from types import CodeType
from typing import NamedTuple

from slipway.code.parsing import parse
from slipway.code.scopes import Imported, Use, bindings, uses
from slipway.hashing import digest

__all__ = ["Node", "Source", "code_text", "docs", "dump", "parsed_file", "same_code", "source_of_code"]

Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda

_SETTER = re.compile(r"(set|seed|manual_seed|use|enable|disable|register|patch|config|add_|reset)")
_WORDS = frozenset({"owner", "description", "tags", "examples"})

_RACY_NS = 2_000_000_000  # a file younger than this when read may change again without changing its time


class Source:
    """One parsed file or notebook cell.

    Attributes:
        path: Its file name, or the name that a notebook gave to the cell.
        text: The source text.
        is_python: Whether it could be parsed; there are no statements otherwise.
        statements: Its top-level statements.
        definitions: Name -> indices of the top-level statements that bind or change it.
        imports: Name -> what it stands for, where a top-level import statement binds it.
        stars: Indices of the `from x import *` statements.
        settings: Imported name -> indices of the statements that set something in what it stands for.
        reworded: The lines of the functions whose decorators say less here than in the text: see `_without_words`.
    """

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were given when the module was imported
            try:
                self.tree, self.is_python = parse(text, path), True
            except SyntaxError:  # a file half-edited after its import
                self.tree, self.is_python = ast.Module(body=[], type_ignores=[]), False
        self.statements = self.tree.body
        self.definitions: dict[str, list[int]] = {}
        self.imports: dict[str, Imported] = {}
        self.stars: list[int] = []
        self.settings: dict[str, list[int]] = {}
        self.reworded: set[int] = set()
        self._dumps: dict[int, str] = {}
        self._uses: dict[int, tuple[Use | Imported, ...]] = {}
        self._nodes: dict[str, list[Node]] | None = None
        self._codes: dict[tuple[str, int], list[CodeType]] = {}
        self._index()
        ours = {name for name, found in self.imports.items() if found.module.partition(".")[0] == "slipway"}
        if ours:
            self.reworded.update(_without_words(self.tree, ours))

    def _index(self) -> None:
        imported: set[str] = set()
        for index, statement in enumerate(self.statements):
            if is_never_run(statement):
                continue
            found = bindings([statement])
            imported.update(found.imports)
            for name in sorted(found.bound):
                self.definitions.setdefault(name, []).append(index)
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self.imports.update(found.imports)
                if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*":
                    self.stars.append(index)
        for index, statement in enumerate(self.statements):
            if not is_never_run(statement):
                for name in sorted(set(_changed(statement))):
                    known = self.definitions.get(name, [])
                    if known and name not in imported and index not in known:
                        known.append(index)
                for name in sorted(set(_set_up(statement)) & imported):
                    self.settings.setdefault(name, []).append(index)
        for indices in self.definitions.values():
            indices.sort()

    def dump(self, index: int) -> str:
        """The dump of a top-level statement."""
        if index not in self._dumps:
            self._dumps[index] = dump(self.statements[index])
        return self._dumps[index]

    def uses(self, index: int) -> tuple[Use | Imported, ...]:
        """The global names that a top-level statement uses."""
        if index not in self._uses:
            self._uses[index] = uses(self.statements[index])
        return self._uses[index]

    def defines(self, name: str) -> ast.AST | None:
        """The last function or class statement of this name at the top level, if its name is bound by one."""
        for index in reversed(self.definitions.get(name, [])):
            statement = self.statements[index]
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and statement.name == name:
                return statement
        return None

    def nodes(self, qualname: str) -> list[Node]:
        """The functions, lambdas and classes of a qualified name, in the order of the text."""
        if self._nodes is None:
            nodes: dict[str, list[Node]] = {}
            for name, node in _qualified(self.tree, ""):
                nodes.setdefault(name, []).append(node)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                whole = compile(self.text if self.is_python else "", self.path, "exec", dont_inherit=True)
            # Other threads see all of it or nothing.
            self._codes = _codes_in(whole)
            self._nodes = nodes
        return self._nodes.get(qualname, [])

    def locate(self, code: CodeType) -> tuple[list[Node], bool]:
        """Find the syntax of a running function.

        Returns:
            The nodes that it may be (several only where lambdas share a line), and whether the text still says what
            runs: False after an edit that was not loaded again.
        """
        nodes = self.nodes(code.co_qualname)
        here = [node for node in nodes if _first_line(node) == code.co_firstlineno]
        if here and any(same_code(code, c) for c in self._codes.get((code.co_qualname, code.co_firstlineno), [])):
            return here, True
        # Lines above it may have been added since: look for the same code under the same name.
        codes = [c for (name, _), found in self._codes.items() if name == code.co_qualname for c in found]
        moved = {other.co_firstlineno for other in codes if same_code(code, other)}
        still = [node for node in nodes if _first_line(node) in moved]
        return (still, True) if still else (here or nodes, False)


class _Read(NamedTuple):
    stamp: tuple[int, int]
    read_ns: int
    data: bytes
    source: Source


_files: dict[str, _Read] = {}
_texts: dict[str, Source] = {}


def parsed_file(path: str) -> Source | None:
    """The parsed source of a Python file, or None where there is none.

    A known file is read again only when its time or size changed, or when it was so young at the last reading that
    they may not show a change.
    """
    known = _files.get(path)
    try:
        status = os.stat(path)
        stamp = (status.st_mtime_ns, status.st_size)
        if known and known.stamp == stamp and known.read_ns - status.st_mtime_ns > _RACY_NS:
            return known.source
        read_ns = time.time_ns()
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    source = known.source if known and known.data == data else Source(path, decode_source(data))
    _files[path] = _Read(stamp, read_ns, data, source)
    return source


def _parsed_text(path: str) -> Source | None:
    """The parsed source of a notebook cell or of a line typed at a prompt, where `linecache` holds it."""
    text = (
        "" if path == "<string>" else "".join(linecache.getlines(path))
    )  # of `exec`, which may be anything: 3.13 tells what -c was given
    if not text:
        return None
    key = digest(text.encode("utf-8", "surrogatepass"))
    if key not in _texts:
        _texts[key] = Source(path, text)
    return _texts[key]


def source_of_code(code: CodeType, module_file: str | None) -> Source | None:
    """The source in which a running function was written."""
    path = code.co_filename
    if module_file and os.path.basename(module_file) == os.path.basename(path):
        path = module_file  # a script's own code may carry a relative path
    return parsed_file(path) if path.endswith(".py") and os.path.isfile(path) else _parsed_text(path)


def _codes_in(whole: CodeType) -> dict[tuple[str, int], list[CodeType]]:
    """The code objects inside one, by qualified name and first line."""
    found: dict[tuple[str, int], list[CodeType]] = {}
    waiting = [whole]
    while waiting:
        inner = [constant for constant in waiting.pop(0).co_consts if isinstance(constant, CodeType)]
        for code in inner:
            found.setdefault((code.co_qualname, code.co_firstlineno), []).append(code)
        waiting += inner
    return found


def is_never_run(statement: ast.stmt) -> bool:
    """Whether a top-level statement has no effect on import: `if TYPE_CHECKING`, `if __name__ == "__main__"`."""
    if not isinstance(statement, ast.If) or statement.orelse:
        return False
    test = statement.test
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name):
        return test.left.id == "__name__"
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def same_code(one: CodeType, other: CodeType) -> bool:
    """Whether two code objects do the same, wherever they stand."""
    fields = ("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount", "co_flags")
    more = ("co_posonlyargcount", "co_kwonlyargcount", "co_name", "co_exceptiontable")
    if any(getattr(one, name) != getattr(other, name) for name in (*fields, *more)):
        return False
    if len(one.co_consts) != len(other.co_consts):
        return False
    return all(map(_same_constant, one.co_consts, other.co_consts))


def _same_constant(one: object, other: object) -> bool:
    if isinstance(one, CodeType) and isinstance(other, CodeType):
        return same_code(one, other)
    if type(one) is not type(other):
        return False
    return one == other if isinstance(one, frozenset) else repr(one) == repr(other)


def code_text(code: CodeType) -> str:
    """A code object as text, for code whose source is not at hand."""
    constants = [
        code_text(c) if isinstance(c, CodeType) else str(sorted(map(repr, c)) if isinstance(c, frozenset) else repr(c))
        for c in code.co_consts
    ]
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return repr((code.co_code, code.co_flags, code.co_argcount, code.co_kwonlyargcount, names, constants))


def dump(node: object) -> str:
    """Syntax as text, without comments, docstrings, layout and positions; equal text means equal meaning."""
    if isinstance(node, ast.AST):
        parts = [f"{name}={_dump_field(node, name)}" for name in node._fields if name not in {"kind", "type_comment"}]
        return f"{type(node).__name__}({', '.join(parts)})"
    if isinstance(node, list):
        return f"[{', '.join(map(dump, node))}]"
    return repr(node)


def _dump_field(node: ast.AST, name: str) -> str:
    value = getattr(node, name, None)
    if name in {"body", "orelse", "finalbody"} and isinstance(value, list):
        kept = [part for part in value if not _is_bare_text(part)]
        return dump(kept if kept or not value else [ast.Pass()])
    return dump(value)


def docs(node: ast.AST) -> str:
    """The docstrings in a piece of syntax, for code that reads them as values."""
    return repr([part.value.value for part in ast.walk(node) if _is_bare_text(part)])  # type: ignore[attr-defined]


def _is_bare_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _without_words(tree: ast.Module, ours: set[str]) -> Iterator[int]:
    """Take out of the syntax what Slipway's decorators are told for people only: it changes nothing that runs.

    Args:
        tree: A module.
        ours: The names in it that stand for Slipway or a part of it.

    Returns:
        The lines of the functions whose decorators were changed.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        for place, decorator in enumerate(node.decorator_list):
            if not isinstance(decorator, ast.Call) or (_root(decorator) or _bare(decorator)) not in ours:
                continue
            kept = [keyword for keyword in decorator.keywords if keyword.arg not in _WORDS]
            if len(kept) == len(decorator.keywords):
                continue
            decorator.keywords = kept
            yield node.lineno
            called = decorator.func
            if not kept and not decorator.args and "feature" in (getattr(called, "attr", ""), _bare(decorator)):
                node.decorator_list[place] = called  # `@sw.feature` and `@sw.feature(owner=...)` are one definition


def _bare(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _changed(statement: ast.stmt) -> Iterator[str]:
    """Names whose object a top-level statement changes: `TABLE["a"] = 1`, `ITEMS.append(x)`, `@registry.add`."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield from (_root(decorator) for decorator in statement.decorator_list)
    elif isinstance(statement, ast.Expr):
        if isinstance(statement.value, ast.Call):
            yield _root(statement.value)
    elif isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
        targets = statement.targets if isinstance(statement, ast.Assign | ast.Delete) else [statement.target]
        yield from (_root(target) for target in targets)
    else:
        for child in ast.iter_child_nodes(statement):
            inner = child.body if isinstance(child, ast.ExceptHandler | ast.match_case) else [child]
            yield from (name for part in inner if isinstance(part, ast.stmt) for name in _changed(part))


def _set_up(statement: ast.stmt) -> Iterator[str]:
    """Names of libraries in which a top-level statement sets something: `np.random.seed(1)`, `json.dumps = mine`."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        called = statement.value.func
        if _SETTER.match(getattr(called, "attr", _bare(statement.value))):
            yield _root(called) or _bare(statement.value)
    elif isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
        targets = statement.targets if isinstance(statement, ast.Assign | ast.Delete) else [statement.target]
        yield from (_root(target) for target in targets)
    elif isinstance(statement, ast.If | ast.Try | ast.With | ast.For):
        for child in ast.iter_child_nodes(statement):
            inner = child.body if isinstance(child, ast.ExceptHandler) else [child]
            yield from (name for part in inner if isinstance(part, ast.stmt) for name in _set_up(part))


def _root(node: ast.AST) -> str:
    """The name in `name.attribute[...](...)`; "" where only a bare name or something else stands."""
    inner = node.func if isinstance(node, ast.Call) else node
    if not isinstance(inner, ast.Attribute | ast.Subscript):
        return ""
    while isinstance(inner, ast.Attribute | ast.Subscript | ast.Call):
        inner = inner.func if isinstance(inner, ast.Call) else inner.value
    return inner.id if isinstance(inner, ast.Name) else ""


def _qualified(node: ast.AST, prefix: str) -> Iterator[tuple[str, Node]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield prefix + child.name, child
            yield from _qualified(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            name = "<lambda>" if isinstance(child, ast.Lambda) else child.name
            yield prefix + name, child
            yield from _qualified(child, f"{prefix}{name}.<locals>.")
        else:
            yield from _qualified(child, prefix)


def _first_line(node: Node) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])
