"""The walk: from a name used somewhere to what it stands for, across the modules of a project.

Both uses of the walk, the hash of a closure and the extraction of code, ask the same question here and so cannot
differ in what they reach. Names are resolved in the live modules, so that what counts is what would run.
"""

import builtins
import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Literal

from slipway.code.libraries import is_standard
from slipway.code.project import Module, Project, is_slipway, module_name, module_of, unwrap
from slipway.code.scopes import Imported, Use
from slipway.code.sources import Source

__all__ = ["MISSING", "Hop", "Target", "Walk"]

MISSING: Any = object()
Hop = tuple[Module, str]

_EVALUATING = frozenset({"exec", "eval", "__import__", "globals", "__globals__", "__subclasses__", "f_globals"})
_DYNAMIC = {
    "builtins": _EVALUATING,
    "importlib": frozenset({"import_module", "__import__", "reload"}),
    "importlib.machinery": frozenset({"SourceFileLoader"}),
    "importlib.util": frozenset({"module_from_spec", "spec_from_file_location"}),
    "pkgutil": frozenset({"iter_modules", "resolve_name", "walk_packages"}),
    "sys": frozenset({"modules"}),
    "runpy": frozenset({"run_path", "run_module"}),
}


@dataclass(frozen=True)
class Target:
    """What a used name stands for.

    Attributes:
        kind: `name`: a top-level name of a project's module. `module`: a project's module as a whole. `external`:
            something of a library. `builtin`: a name of Python or none at all. `dynamic`: code found by a computed name.
        label: How it is called in tokens: "module:name" or "external module:name".
        module: The project's module, for `name` and `module`.
        name: The top-level name, for `name`; the library's module, for `external`.
        hops: The names passed on the way, the last one included: imports of imports.
    """

    kind: Literal["name", "module", "external", "builtin", "dynamic"]
    label: str
    module: Module | None = None
    name: str = ""
    hops: tuple[Hop, ...] = ()


class Walk:
    """Resolves names within one project, and remembers which look-ups its answers rest on.

    Attributes:
        project: What belongs to the project.
        looked_up: Every look-up made: namespace, name, what it gave.
        notes: Sentences about what could not be followed exactly.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.looked_up: dict[tuple[int, str], tuple[Mapping[str, Any], str, Any]] = {}
        self.notes: dict[str, None] = {}
        self._modules: dict[int, Module] = {}
        self._unloadable: dict[str, Module | None] = {}

    @property
    def has_unloadable(self) -> bool:
        """Whether some module is known by its text alone."""
        return any(module is not None for module in self._unloadable.values())

    # Modules

    def view(self, namespace: Mapping[str, Any]) -> Module:
        """The project's module whose global names these are."""
        if id(namespace) not in self._modules:
            self._modules[id(namespace)] = module_of(namespace)
        return self._modules[id(namespace)]

    def met(self) -> list[Module]:
        """The project's modules of which something was looked at."""
        return [module for module in self._modules.values() if self.is_followed(module.namespace)]

    def module_named(self, name: str) -> Module | None:
        """A project's module by its absolute name, imported where it is not yet; None for all other modules."""
        live = sys.modules.get(name)
        if live is None:
            if name in self._unloadable:
                return self._unloadable[name]
            live = self._load(name)
            if live is None:
                return self._unloadable[name]
        return self.view(vars(live)) if self.project.holds_module(live) else None

    def _load(self, name: str) -> ModuleType | None:
        """Import a project's module that only a function imports; where that fails, know it by its text."""
        self._unloadable[name] = None
        parent = name.rpartition(".")[0]
        if is_standard(name) or is_slipway(name) or (parent and self.module_named(parent) is None):
            return None
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            return None
        if spec is None or not self.project.holds(spec.origin):
            return None
        try:
            return importlib.import_module(name)
        except Exception as error:  # whatever the user's module raises: the function may well expect it
            self.notes[f"{name} could not be imported ({type(error).__name__}), so its text is hashed."] = None
            path = str(spec.origin)
            text = module_of({"__name__": name, "__file__": path})
            self._unloadable[name] = replace(text, namespace={}, is_package=os.path.basename(path) == "__init__.py")
            return None

    def is_followed(self, namespace: Mapping[str, Any]) -> bool:
        """Whether code with these global names belongs to the project, as that of a notebook or prompt does."""
        file = namespace.get("__file__")
        return self.project.holds(file) if file is not None else namespace.get("__name__") == "__main__"

    # Names

    def follow(self, module: Module, use: Use | Imported) -> Target:
        """What a use in a module stands for."""
        if isinstance(use, Use):
            target = self.resolve(module, use.path)
        else:
            target = self._imported(module.absolute(use.module, use.level), use.path or ())
        if use.dynamic and target.kind == "module":
            return replace(target, kind="dynamic", label=f"getattr on {target.label} with a computed name")
        return target

    def resolve(self, module: Module, path: tuple[str, ...], hops: tuple[Hop, ...] = ()) -> Target:
        """What a global name of a module, with attributes taken from it, stands for."""
        name, rest = path[0], path[1:]
        value = module.namespace.get(name, MISSING)
        self.looked_up[id(module.namespace), name] = (module.namespace, name, value)
        if (module, name) in hops:
            return Target("name", f"{module.name}:{name}", module, name, hops)
        hops = (*hops, (module, name))
        if isinstance(value, ModuleType):
            return self._into(value, rest, hops)
        imported = _imported_name(self, module, name)
        if imported is not None:
            return self._through(module, name, value, imported, rest, hops)
        if name[:2] == name[-2:] == "__" and name not in _EVALUATING and not _binds(module.source, name):
            return Target("builtin", name, hops=hops)  # `__file__` and its like: where a module lies does not count
        if value is MISSING and not _binds(module.source, name):
            return self._absent(module, path, hops)
        if not _binds(module.source, name):
            home = self.home(value)
            if home is not None and home.label != f"{module.name}:{name}":
                return replace(home, hops=(*hops, *home.hops))
        return Target("name", f"{module.name}:{name}", module, name, hops)

    def home(self, value: Any) -> Target | None:
        """Where a function or class is defined, if it can be reached there by its qualified name."""
        inner = unwrap(value)
        if isinstance(inner, FunctionType):
            namespace: Mapping[str, Any] = inner.__globals__
        elif isinstance(inner, type):
            found_in = class_namespace(inner)
            if found_in is None:
                return None
            namespace = found_in
        elif isinstance(inner, BuiltinFunctionType):
            return external(inner.__module__ or "builtins", (inner.__qualname__,))
        else:
            return None
        if not self.is_followed(namespace):
            made = module_name(namespace)  # not a module where a library made code from text
            return external(made if made in sys.modules else "", (inner.__qualname__,))
        view = self.view(namespace)
        top, *rest = inner.__qualname__.split(".")
        found = namespace.get(top, MISSING)
        self.looked_up[id(namespace), top] = (namespace, top, found)
        for part in rest:
            found = _member(found, part)
        if found is MISSING or unwrap(found) is not inner:
            return None
        return Target("name", f"{view.name}:{top}", view, top, ((view, top),))

    def _imported(self, name: str, path: tuple[str, ...]) -> Target:
        module = self.module_named(name)
        if module is None:
            return external(name, path)
        if not path:
            return Target("module", module.name, module)
        return self.resolve(module, path)

    def _into(self, value: ModuleType, rest: tuple[str, ...], hops: tuple[Hop, ...]) -> Target:
        if not self.project.holds_module(value):
            return replace(external(value.__name__, rest), hops=hops)
        view = self.view(vars(value))
        if not rest or rest[0] == "__dict__":
            return Target("module", view.name, view, hops=hops)
        return self.resolve(view, rest, hops)

    def _through(
        self, module: Module, name: str, value: Any, imported: Imported, rest: tuple[str, ...], hops: tuple[Hop, ...]
    ) -> Target:
        origin = module.absolute(imported.module, imported.level)
        home = self.module_named(origin)
        path = imported.path or ()
        if home is None:
            return replace(external(origin, (*path, *rest)), hops=hops)
        if not path:
            return Target("module", home.name, home, hops=hops)
        # A name that was bound anew after its import (or imported from another copy) counts where it stands.
        there = home.namespace.get(path[0], MISSING)
        if there is value or value is MISSING:
            return self.resolve(home, (*path, *rest), hops)
        other = self.home(value)
        if other is not None:
            return replace(other, hops=(*hops, *other.hops))
        return Target("name", f"{module.name}:{name}", module, name, hops)

    def _absent(self, module: Module, path: tuple[str, ...], hops: tuple[Hop, ...]) -> Target:
        name, rest = path[0], path[1:]
        if name in _EVALUATING:
            return Target("dynamic", name, hops=hops)
        if module.is_package:
            inner = self.module_named(f"{module.name}.{name}")
            if inner is not None:
                return self.resolve(inner, rest, hops) if rest else Target("module", inner.name, inner, hops=hops)
        if "__getattr__" in module.namespace and len(hops) > 1:
            return self.resolve(module, ("__getattr__",), hops)
        return Target("builtin", name if hasattr(builtins, name) else f"unbound {name}", hops=hops)


def class_namespace(kind: type) -> Mapping[str, Any] | None:
    """The global names where a class was defined; a module that is no longer in `sys.modules` is found by a method."""
    live = sys.modules.get(kind.__module__)
    top = kind.__qualname__.split(".")[0]
    functions = [inner for inner in map(unwrap, vars(kind).values()) if isinstance(inner, FunctionType)]
    own = [f.__globals__ for f in functions if f.__qualname__.startswith(kind.__qualname__ + ".")]
    if own and (live is None or (vars(live) is not own[0] and top in own[0])):
        return own[0]
    return vars(live) if live is not None else None


def external(module: str, path: tuple[str, ...]) -> Target:
    """Something of a library, or code found by a computed name through one."""
    label = f"external {module}:{'.'.join(path)}"
    parts = (*module.split("."), *path)
    for place in range(1, len(parts)):
        within = ".".join(parts[:place])
        if parts[place] in _DYNAMIC.get(within, ()):
            return Target("dynamic", f"{within}.{parts[place]}", name=module)
    return Target("external", label, name=module)


def _binds(source: Source | None, name: str) -> bool:
    return source is not None and name in source.definitions


def _imported_name(walk: Walk, module: Module, name: str) -> Imported | None:
    """What a name stands for where an import statement is all that binds it."""
    source = module.source
    if source is None:
        return None
    if name in source.imports and len(source.definitions[name]) == 1:
        return source.imports[name]
    if name not in source.definitions:
        for index in reversed(source.stars):
            star = source.uses(index)[0]
            assert isinstance(star, Imported)
            home = walk.module_named(module.absolute(star.module, star.level))
            if home is not None and name in home.namespace:
                return Imported(star.module, star.level, (name,))
    return None


def _member(value: Any, name: str) -> Any:
    if isinstance(value, type):
        return next((vars(base)[name] for base in value.__mro__ if name in vars(base)), MISSING)
    return getattr(value, name, MISSING)
