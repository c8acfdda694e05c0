"""Extraction: the modules of a project reduced to what some of its functions need.

A reduced module keeps, in their order and as they were written, the top-level statements that define reached names and
the imports that bind them. What only training code uses, heavy libraries above all, is not there. A constant that is
computed from other things becomes its value where that is a plain one, so that no file or frame is needed to serve.
"""

import ast
import builtins
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from slipway.code.closures import project_of
from slipway.code.libraries import is_standard, version_of
from slipway.code.project import Module, is_slipway, unwrap
from slipway.code.scopes import Imported
from slipway.code.sources import Source, source_of_code
from slipway.code.walk import MISSING, Target, Walk
from slipway.errors import InvalidDeclaration

__all__ = ["extract"]

_FUTURE = "from __future__ import annotations"
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Delete)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def extract(objects: Iterable[Any], *, project_roots: tuple[Path, ...] | None = None) -> dict[str, str]:
    """The project's modules reduced to what these functions and classes need.

    Annotations of other functions are not followed, for every reduced module begins with
    `from __future__ import annotations`; those of the given functions, of decorated functions and of classes' fields
    can be resolved.

    Args:
        objects: Functions, classes, or objects that wrap one, each bound to a name at the top level of a module.
        project_roots: As for `closure`.

    Returns:
        Path relative to the code's folder ("flight_delays/rows.py") -> source text, by path. Packages have their
        `__init__.py`, which may be empty.

    Raises:
        InvalidDeclaration: Something is not at the top level of a module of the project, was edited since it was
            imported, or has a value that no statement defines.
    """
    roots = list(objects)
    if not roots:
        return {}
    reducer = _Reducer(Walk(project_of(roots, project_roots)))
    reducer.reach(roots)
    return reducer.texts()


class _Reducer:
    """Marks what is reached, then writes it down."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.modules: dict[str, Module] = {}
        self.names: dict[str, set[str]] = {}
        self.roots: set[tuple[str, str]] = set()
        self.is_whole = False
        self._followed: set[tuple[str, int]] = set()
        self._pending: list[tuple[Module, str]] = []

    def reach(self, roots: list[Any]) -> None:
        """Mark the given objects and all that they need."""
        homes = [self._home(root) for root in roots]
        self.roots = {(home.module.name, home.name) for home in homes if home.module is not None}
        for home in homes:
            self._mark(home)
        while self._pending:
            self._name(*self._pending.pop())

    def _home(self, root: Any) -> Target:
        """The top-level name of an object: its own, or another as in `hour = sw.feature(lambda at: at.hour)`."""
        home = self.walk.home(root)
        if home is not None and home.kind == "name":
            return home
        inner = unwrap(root)
        if isinstance(inner, FunctionType) and self.walk.is_followed(inner.__globals__):
            module = self.walk.view(inner.__globals__)
            for name, value in module.namespace.items():
                if (value is root or unwrap(value) is inner) and module.source and name in module.source.definitions:
                    return Target("name", f"{module.name}:{name}", module, name, ((module, name),))
        raise InvalidDeclaration(
            f"{getattr(inner, '__qualname__', type(inner).__qualname__)} cannot be taken out of its project.",
            why="It has no name at the top level of a module in the project, so nothing could import it.",
            fix="Define it there with `def`, or give it a name there.",
        )

    def _mark(self, target: Target, is_whole: bool = True) -> None:
        if target.kind == "dynamic":
            self.is_whole = True
        if target.kind == "builtin":
            return
        if target.kind == "external":
            _check_installed(target.name)
        for module, name in target.hops:
            self._add(module)
            self._reach_name(module, name)
        if target.kind == "module" and target.module is not None:
            self._add(target.module)
            for name in list(target.module.source.definitions if is_whole and target.module.source else ()):
                self._reach_name(target.module, name)

    def _reach_name(self, module: Module, name: str) -> None:
        if name not in self.names[module.name]:
            self.names[module.name].add(name)
            self._pending.append((module, name))

    def _add(self, module: Module) -> None:
        if module.name not in self.modules:
            self.modules[module.name] = module
            self.names[module.name] = set()

    def _load(self, name: str) -> None:
        module = self.walk.module_named(name)
        if module is not None:
            self._add(module)

    def _name(self, module: Module, name: str) -> None:
        self._check_current(module, name)
        source = module.source
        if source is None:
            cell = _cell(module, name)
            if cell is not None:
                self._follow(module, name, *cell)
        elif self._frozen(module, source, name) is None:
            for index in source.definitions.get(name, ()):
                if isinstance(source.statements[index], ast.Import | ast.ImportFrom):
                    self._import(module, name, source.imports.get(name))
                elif (module.name, index) not in self._followed:
                    self._followed.add((module.name, index))
                    self._follow(module, name, source, index)

    def _follow(self, module: Module, name: str, source: Source, index: int) -> None:
        for use in source.uses(index):
            if isinstance(use, Imported):
                self._load(module.absolute(use.module, use.level))
            if use.path is None:
                continue
            target = self.walk.follow(module, use)
            is_standard_type = target.kind == "external" and is_standard(target.name)
            if use.where == "annotation" and (module.name, name) not in self.roots and not is_standard_type:
                continue  # never evaluated, and it may need what only training has
            self._mark(target, is_whole=use.where != "import")

    def _import(self, module: Module, name: str, imported: Imported | None) -> None:
        """The module that an import names has to be there, and in it what is imported from it."""
        if imported is None:
            return
        origin = self.walk.module_named(module.absolute(imported.module, imported.level))
        if origin is not None:
            self._add(origin)
            if imported.path and not isinstance(module.namespace.get(name), ModuleType):
                self._mark(self.walk.resolve(origin, imported.path))

    def _check_current(self, module: Module, name: str) -> None:
        inner = unwrap(module.namespace.get(name, MISSING))
        if not isinstance(inner, FunctionType) or inner.__globals__ is not module.namespace:
            return
        source = source_of_code(inner.__code__, module.namespace.get("__file__"))
        if source is not None and not source.locate(inner.__code__)[1]:
            raise InvalidDeclaration(
                f"{module.name}:{name} was edited after it was imported.",
                why="What its file says now is not what ran here, so it must not be released under its results.",
                fix="Start Python again, or reload the module, and run again what should be released.",
            )

    # Writing

    def texts(self) -> dict[str, str]:
        """The reduced modules by path."""
        project = self.walk.project
        if self.is_whole:
            paths = [path for _, path in project.files()]
            found = {project.import_path(path): Path(path).read_text(encoding="utf-8") for path in paths}
        else:
            found = {_path(module): self._text(module) for module in self.modules.values()}
        for path in list(found):
            folders = path.split("/")[:-1]
            for depth in range(1, len(folders) + 1):
                found.setdefault("/".join([*folders[:depth], "__init__.py"]), "")
        return dict(sorted(found.items()))

    def _text(self, module: Module) -> str:
        names = self.names[module.name]
        source = module.source
        lines = list(self._lines(module, source, names) if source else _notebook_lines(module, names))
        return "\n".join([_FUTURE, *lines]) + "\n" if lines else ""

    def _lines(self, module: Module, source: Source, names: set[str]) -> Iterator[str]:
        frozen = {name: text for name in names if (text := self._frozen(module, source, name)) is not None}
        kept = {index for name in names - frozen.keys() for index in source.definitions.get(name, ())}
        first = {source.definitions[name][0]: name for name in frozen}
        for index, statement in enumerate(source.statements):
            if isinstance(statement, ast.Import):
                yield from self._plain_import(statement, names)
            elif isinstance(statement, ast.ImportFrom):
                yield from self._from_import(module, source, statement, names)
            elif index in kept:
                yield _written(source, statement)
            elif index in first:
                yield f"{first[index]} = {frozen[first[index]]}"

    def _plain_import(self, statement: ast.Import, names: set[str]) -> Iterator[str]:
        for alias in statement.names:
            name = alias.asname or alias.name.split(".")[0]
            if name in names and (alias.name in self.modules or self.walk.module_named(alias.name) is None):
                yield ast.unparse(ast.Import(names=[alias]))

    def _from_import(self, module: Module, source: Source, statement: ast.ImportFrom, names: set[str]) -> Iterator[str]:
        origin = module.absolute(statement.module or "", statement.level)
        in_project = self.walk.module_named(origin) is not None
        if origin == "__future__" or (in_project and origin not in self.modules):
            return
        aliases = [alias for alias in statement.names if (alias.asname or alias.name) in names]
        if statement.names[0].name == "*":
            taken = names - source.definitions.keys()
            if in_project:
                aliases = [ast.alias(name=name) for name in sorted(taken & self.names[origin])]
            else:
                aliases = statement.names if any(not hasattr(builtins, name) for name in taken) else []
        if aliases:
            yield ast.unparse(ast.ImportFrom(module=statement.module, names=aliases, level=statement.level))

    def _frozen(self, module: Module, source: Source, name: str) -> str | None:
        """The value of a computed plain constant as an expression; None where the statements themselves are kept."""
        indices = source.definitions.get(name, [])
        if not indices or not all(isinstance(source.statements[index], _SIMPLE) for index in indices):
            return None
        if any(other != name and not set(held).isdisjoint(indices) for other, held in source.definitions.items()):
            return None
        used = [use for index in indices for use in source.uses(index) if use.where != "annotation"]
        computed = [use for use in used if (use.path or ("",))[0] != name]
        if all(self.walk.follow(module, use).label in _PURE for use in computed):
            return None
        return _literal(module.namespace.get(name, MISSING), self.walk.project.base)


_PURE = frozenset(name for name, value in vars(builtins).items() if isinstance(value, type) or value is None)


def _check_installed(module: str) -> None:
    if is_standard(module) or is_slipway(module):
        return
    name, version = version_of(module)
    if version.startswith("files "):
        raise InvalidDeclaration(
            f"The module {name} is neither in the project nor installed.",
            why="A bundle carries the project's code and the names of installed libraries; this module would be missing.",
            fix="Name its folder among the project's roots, or install it as a package.",
        )


def _path(module: Module) -> str:
    path = module.name.replace(".", "/")
    return f"{path}/__init__.py" if module.is_package else f"{path}.py"


def _written(source: Source, statement: ast.stmt) -> str:
    """A top-level statement as it was written, with its decorators and without what shares its lines."""
    lines = source.text.split("\n")[: statement.end_lineno]
    last = lines[-1].encode()[: statement.end_col_offset].decode()
    decorators = getattr(statement, "decorator_list", [])
    if decorators and statement.lineno in source.reworded:
        said = [f"@{ast.unparse(decorator)}" for decorator in decorators]
        return "\n\n" + "\n".join([*said, *lines[statement.lineno - 1 : -1], last])
    if decorators:
        return "\n\n" + "\n".join([*lines[decorators[0].lineno - 1 : -1], last])
    space = "\n\n" if isinstance(statement, _DEFINITIONS) else ""
    if statement.lineno == statement.end_lineno:
        return space + last.encode()[statement.col_offset :].decode()
    first = lines[statement.lineno - 1].encode()[statement.col_offset :].decode()
    return space + "\n".join([first, *lines[statement.lineno : -1], last])


def _literal(value: Any, base: str) -> str | None:
    """A plain value as an expression; None for what is not plain, or names a place on this machine."""
    kind = type(value)
    if value is None or kind in (bool, int, bytes) or (kind is float and math.isfinite(value)):
        return repr(value)
    if kind is str:
        local = len(base) > 1 and (
            base in value or (value[:1] == os.sep and value.split(os.sep)[1] == base.split(os.sep)[1])
        )
        return None if local else repr(value)
    if kind is dict:
        pairs = [(_literal(key, base), _literal(item, base)) for key, item in value.items()]
        whole = all(key is not None and item is not None for key, item in pairs)
        return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}" if whole else None
    if kind not in (list, tuple, set, frozenset):
        return None
    parts = [_literal(item, base) for item in value]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        return None
    if kind is list:
        return f"[{', '.join(found)}]"
    if kind is tuple:
        return f"({', '.join(found)}{',' if len(found) == 1 else ''})"
    inside = f"{{{', '.join(sorted(found))}}}" if found else ""
    return f"{kind.__name__}({inside})"


def _cell(module: Module, name: str) -> tuple[Source, int] | None:
    """Where a notebook defines a function or class of this name."""
    inner = unwrap(module.namespace.get(name, MISSING))
    functions = (
        [f for f in map(unwrap, vars(inner).values()) if isinstance(f, FunctionType)]
        if isinstance(inner, type)
        else [inner]
    )
    for function in functions:
        if isinstance(function, FunctionType) and function.__globals__ is module.namespace:
            source = source_of_code(function.__code__, None)
            if source is not None and source.defines(name) is not None:
                return source, source.definitions[name][-1]
    return None


def _notebook_lines(module: Module, names: set[str]) -> Iterator[str]:
    for name in [name for name in module.namespace if name in names]:  # in the order in which they came to be
        value = module.namespace[name]
        cell = _cell(module, name)
        if cell is not None:
            yield _written(cell[0], cell[0].statements[cell[1]])
            continue
        text = _import_of(name, value)
        if text is None and (literal := _literal(value, "")) is not None:
            text = f"{name} = {literal}"
        if text is None:
            raise InvalidDeclaration(
                f"{name} of the notebook is a {type(value).__qualname__}, which cannot be written down as code.",
                why="A bundle carries the code that serving needs, and of a notebook's values only plain ones become code.",
                fix="Make it inside the function that uses it, or move both into a module.",
            )
        yield text


def _import_of(name: str, value: Any) -> str | None:
    """The import that gives a notebook this name, where it is a module or something of one."""
    if isinstance(value, ModuleType):
        return f"import {value.__name__}" if value.__name__ == name else f"import {value.__name__} as {name}"
    inner = unwrap(value)
    home = getattr(inner, "__module__", None)
    if not isinstance(inner, FunctionType | BuiltinFunctionType | type) or not home or home == "__main__":
        return None
    called = inner.__qualname__
    return None if "." in called else f"from {home} import {called}" + ("" if called == name else f" as {name}")
