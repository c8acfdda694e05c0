"""Which names outside itself a piece of syntax uses, with Python's own rules of scope.

A local variable that happens to be called like a module's function is not a use of that function; a class's names are
not seen by its methods; a comprehension has a scope of its own. Imports inside functions are uses of what they import.
"""

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from slipway.code.parsing import parse

__all__ = ["Bindings", "Imported", "Use", "Where", "bindings", "uses"]

Where = Literal["body", "decorator", "annotation", "signature", "import"]
"""Where a name is used. `signature` are annotations that code may read when it runs: fields of classes and parameters
of decorated functions. `annotation` are all others. `import` is the import itself, whose name may be used elsewhere."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_PASSIVE_DECORATORS = frozenset({"staticmethod", "classmethod", "property", "cached_property", "override", "overload"})
_SEVERAL = 99
_IMPORTERS = frozenset({"import_module", "__import__"})
# Attributes by which code reaches more than its names say, whatever object they are taken from.
_REACHING = frozenset({"__doc__", "__globals__", "__subclasses__", "f_globals"})
_PRESENT = frozenset({"now", "today"})


class Use(NamedTuple):
    """A global name with the attributes taken from it: `helpers.clean(x)` is `("helpers", "clean")`.

    `dynamic` says that an attribute with a computed name is taken from it; `arguments` with how many it is called, -1
    where it is not.
    """

    path: tuple[str, ...]
    where: Where
    dynamic: bool = False
    arguments: int = -1


class Imported(NamedTuple):
    """An import inside a function or block, with the attributes taken; `path` is None where it is only loaded."""

    module: str
    level: int
    path: tuple[str, ...] | None
    where: Where = "body"
    dynamic: bool = False
    arguments: int = -1


@dataclass
class Bindings:
    """The names that a scope binds itself.

    Attributes:
        bound: Every name bound: assigned, imported, defined, deleted, captured.
        outer: Names declared `global`.
        nonlocal_: Names declared `nonlocal`.
        imports: Names bound by an import, with what they stand for.
    """

    bound: set[str] = field(default_factory=set)
    outer: set[str] = field(default_factory=set)
    nonlocal_: set[str] = field(default_factory=set)
    imports: dict[str, Imported] = field(default_factory=dict)


def bindings(nodes: Iterable[ast.AST]) -> Bindings:
    """The names that statements bind in the scope in which they stand, nested functions and classes left out."""
    binder = _Binder()
    for node in nodes:
        binder.visit(node)
    found = binder.found
    found.bound -= found.outer | found.nonlocal_
    return found


def uses(node: ast.AST, free: Iterable[str] = ()) -> tuple[Use | Imported, ...]:
    """The global names that a node uses, each once, in the order of their first use.

    Args:
        node: A top-level statement, or a function or lambda that stands inside another function.
        free: Names that come from an enclosing function's cells; they are not global.
    """
    visitor = _Uses(frozenset(free))
    visitor.visit(node)
    return tuple(dict.fromkeys(visitor.found))


class _Binder(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found = Bindings()

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.found.bound.add(node.id)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.found.bound.add(node.name)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _definition

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """A scope of its own."""

    def _comprehension(self, node: ast.AST) -> None:
        # Only a walrus binds outside a comprehension.
        for inner in ast.walk(node):
            if isinstance(inner, ast.NamedExpr):
                self.visit_Name(inner.target)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._capture(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._capture(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._capture(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._capture(node.rest)
        self.generic_visit(node)

    def _capture(self, name: str | None) -> None:
        if name is not None:
            self.found.bound.add(name)

    def visit_Global(self, node: ast.Global) -> None:
        self.found.outer.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.found.nonlocal_.update(node.names)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.split(".")[0]
            name = alias.asname or top
            self.found.bound.add(name)
            self.found.imports[name] = Imported(alias.name if alias.asname else top, 0, ())

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name != "*":
                name = alias.asname or alias.name
                self.found.bound.add(name)
                self.found.imports[name] = Imported(node.module or "", node.level, (alias.name,))


class _Uses(ast.NodeVisitor):
    def __init__(self, free: frozenset[str]) -> None:
        self.found: list[Use | Imported] = []
        self.scopes: list[tuple[str, Bindings]] = [("function", Bindings(bound=set(free)))]
        self.where: Where = "body"

    # Names and attributes

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) or any(node.id in scope.outer for _, scope in self.scopes):
            self._use((node.id,))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._reaches(node)
        path = _path(node)
        if path:
            self._use(path)
        else:
            self.visit(node.value)

    def _reaches(self, node: ast.AST) -> None:
        while isinstance(node, ast.Attribute):
            if node.attr in _REACHING:
                self.found.append(Use((node.attr,), self.where))
            node = node.value

    def visit_Call(self, node: ast.Call) -> None:
        func, args = node.func, node.args
        self._reaches(func)
        path = _path(func)
        constant = args[-1].value if args and isinstance(args[-1], ast.Constant) else None
        if path == ("getattr",) and len(args) >= 2 and _path(args[0]):
            name = args[1]
            owner = _path(args[0])
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                self._use((*owner, name.value))
            else:
                self._use(owner, dynamic=True)
                self.visit(name)
            for rest in args[2:]:
                self.visit(rest)
            return
        if path and path[-1] in _IMPORTERS and len(args) == 1 and isinstance(constant, str) and constant[:1] != ".":
            self.found.append(Imported(constant, 0, (), self.where))
            return
        if not path:
            self.visit(func)
        else:
            is_known = not any(isinstance(a, ast.Starred) for a in args) and all(k.arg for k in node.keywords)
            self._use(path, arguments=len(args) + len(node.keywords) if is_known else _SEVERAL)
            if args and isinstance(args[0], ast.Constant) and args[0].value in _PRESENT:
                self._use((*path, str(args[0].value)), arguments=0)  # `Timestamp("now")` is `Timestamp.now()`
        for part in (*args, *node.keywords):
            self.visit(part)

    def _use(self, path: tuple[str, ...], dynamic: bool = False, arguments: int = -1) -> None:
        name = path[0]
        for depth, (kind, scope) in enumerate(reversed(self.scopes)):
            if kind == "class" and depth > 0:
                continue
            if name in scope.outer:
                break
            if name in scope.bound:
                target = scope.imports.get(name)
                if target is not None:
                    taken = (*(target.path or ()), *path[1:])
                    self.found.append(Imported(target.module, target.level, taken, self.where, dynamic, arguments))
                if kind == "class":
                    break  # `x = x` in a class body reads the global one first
                return
        self.found.append(Use(path, self.where, dynamic, arguments))

    # Scopes

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        with self._in("decorator"):
            for decorator in node.decorator_list:
                self.visit(decorator)
        decorated = {(_path(d) or ("?",))[-1] for d in node.decorator_list} - _PASSIVE_DECORATORS
        with self._scope("function", _type_parameters(node)):
            self._arguments(node.args, "signature" if decorated else "annotation")
            self._annotation(node.returns, "signature" if decorated else "annotation")
            with self._scope("function", _parameters(node.args, bindings(node.body))):
                for statement in node.body:
                    self.visit(statement)

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._arguments(node.args, "annotation")
        with self._scope("function", _parameters(node.args, bindings([node.body]))):
            self.visit(node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        with self._in("decorator"):
            for decorator in node.decorator_list:
                self.visit(decorator)
        with self._scope("function", _type_parameters(node)):
            for part in (*node.bases, *node.keywords):
                self.visit(part)
            with self._scope("class", bindings(node.body)):
                for statement in node.body:
                    self.visit(statement)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.visit(node.generators[0].iter)
        bound = bindings([generator.target for generator in node.generators])
        with self._scope("function", bound):
            for position, generator in enumerate(node.generators):
                for part in ([generator.iter] if position else []) + generator.ifs:
                    self.visit(part)
            for part in [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]:
                self.visit(part)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _arguments(self, arguments: ast.arguments, where: Where) -> None:
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.visit(default)
        for argument in _all_arguments(arguments):
            self._annotation(argument.annotation, where)

    # Annotations and imports

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._annotation(node.annotation, "signature" if self.scopes[-1][0] == "class" else "annotation")
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def _annotation(self, node: ast.expr | None, where: Where) -> None:
        if node is None:
            return
        with self._in(where):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    quoted = _expression(part.value)
                    if quoted is not None:
                        self.visit(quoted)
            self.visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [Imported(alias.name, 0, None) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.found.append(Imported(node.module or "", node.level, ()))
            else:
                self.found.append(Imported(node.module or "", node.level, (alias.name,), "import"))

    @contextmanager
    def _in(self, where: Where) -> Iterator[None]:
        before, self.where = self.where, where
        yield
        self.where = before

    @contextmanager
    def _scope(self, kind: str, bound: Bindings) -> Iterator[None]:
        self.scopes.append((kind, bound))
        yield
        self.scopes.pop()


def _path(node: ast.AST) -> tuple[str, ...]:
    """`a.b.c` as ("a", "b", "c"); () for what is not a plain chain of names."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()


def _all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    several = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return several + [one for one in (arguments.vararg, arguments.kwarg) if one is not None]


def _parameters(arguments: ast.arguments, body: Bindings) -> Bindings:
    body.bound |= {argument.arg for argument in _all_arguments(arguments)}
    return body


def _type_parameters(node: ast.AST) -> Bindings:
    return Bindings(bound={parameter.name for parameter in getattr(node, "type_params", [])})


def _expression(text: str) -> ast.expr | None:
    try:
        return parse(text, mode="eval").body
    except SyntaxError:  # a string in an annotation need not be code: Literal["per day"]
        return None
