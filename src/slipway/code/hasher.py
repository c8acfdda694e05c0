"""The hash of a code closure: one entry for each top-level name that a function reaches in its project.

A function or class is its syntax, what its names stand for, and what it holds when it runs (defaults, cells, values of
decorators). A constant is its value; where that cannot be read, the statement that defines it.
"""

import ast
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from slipway.code.ambient import fixes_seed, is_random, reads_clock, reads_docs, reads_unseen
from slipway.code.held import Held, content, is_own, is_set, is_written, names_in, same_items
from slipway.code.libraries import is_standard, version_of
from slipway.code.project import Module, Project, is_slipway, unwrap
from slipway.code.scopes import Imported, Use, uses
from slipway.code.sources import Source, code_text, docs, dump, parsed_file, source_of_code
from slipway.code.values import Encoder, Opaque
from slipway.code.walk import MISSING, Target, Walk, external
from slipway.errors import InvalidDeclaration
from slipway.hashing import combine, digest

__all__ = ["Hasher"]

_MEMO = type(lru_cache(len))
# Libraries whose settings change what is told, not what is computed; `sys.path` and its like are held elsewhere.
_TOLD = frozenset({"logging", "os", "slipway", "sys", "warnings"})
_TYPES_ONLY = frozenset({"decorator", "annotation", "signature"})


class Hasher:
    """Collects the entries of one closure.

    Attributes:
        walk: Resolves names; its look-ups are what a remembered answer rests on.
        entries: "module:name" -> hash of what it is, without what it reaches.
        kinds: "module:name" -> function, class, constant or file.
        libraries: Distribution -> version, of all imports reached.
        unknown: Constants that are known by their statement alone, with their classes.
        clock: Uses of the clock: "time.time in flow:train".
        random: Uses of random numbers.
        memos: Functions that `functools.cache` or `lru_cache` remembers the answers of.
        has_seed: Whether the seed of the shared generator is fixed somewhere.
        is_dynamic: Whether code is found by a computed name, so that all files count.
    """

    def __init__(self, project: Project) -> None:
        self.walk = Walk(project)
        self.entries: dict[str, str] = {}
        self.kinds: dict[str, str] = {}
        self.libraries: dict[str, str] = {}
        self.unknown: dict[str, None] = {}
        self.clock: dict[str, None] = {}
        self.random: dict[str, None] = {}
        self.has_seed = False
        self.memos: list[Any] = []
        self.is_dynamic = False
        self._owner = ""
        self._pending: list[tuple[Module, str]] = []
        self._functions: dict[int, Held] = {}
        self._classes: dict[int, tuple[type, Mapping[str, Any]]] = {}
        self._changeable: list[tuple[Any, str, bytes]] = []
        self._inside: list[int] = []
        self._lenient = False
        self._has_docs = False
        self._texts: dict[str, list[ast.AST]] = {}
        self._used: set[str] = set()
        self._lock = threading.Lock()

    def reach(self, root: Any, label: str) -> str:
        """Follow a root and all that it reaches.

        Returns:
            The root's own name: "module:qualname".
        """
        self._owner = label
        home = self.walk.home(root)
        if home is not None and home.kind == "name":
            self._reached(home, label)
            label = f"{home.module.name if home.module else ''}:{unwrap(root).__qualname__}"
        elif home is not None:
            raise InvalidDeclaration(
                f"{label} does not belong to this project.",
                why=f"Code is followed below {', '.join(self.walk.project.roots) or 'no folder'}; it lies elsewhere.",
                fix="Define the function in the project, or name its folder among the project's roots.",
            )
        else:
            self.entries[label] = digest(self._encoded(root, label))
            self.kinds[label] = "class" if isinstance(root, type) else "function"
        while self._pending or self._settings():
            module, name = self._pending.pop()
            key = f"{module.name}:{name}"
            if key not in self.entries:
                self.entries[key] = ""
                self._owner = key
                self.entries[key] = digest(self._name(module, name, key).encode("utf-8", "surrogatepass"))
        if self._has_docs:
            for key, nodes in self._texts.items():
                self.entries[key] = combine(self.entries.get(key, ""), *map(docs, nodes))
        return label

    def _settings(self) -> bool:
        """Statements that set something in a library that the closure uses, in whichever of its modules they stand.

        Returns:
            Whether they reach anything that is not yet followed.
        """
        for module in self.walk.met():
            source = module.source
            for name, indices in source.settings.items() if source is not None else ():
                imported, key = source.imports.get(name) if source else None, f"settings of {module.name}:{name}"
                top = imported.module.partition(".")[0] if imported is not None and not imported.level else ""
                if top in self._used - _TOLD and key not in self.entries and source is not None:
                    self._owner, self.kinds[key] = f"{module.name}:{name}", "setting"
                    found = [use for index in indices for use in source.uses(index)]
                    self.entries[key] = combine(*map(source.dump, indices), self._links(module, found))
        return bool(self._pending)

    def still_holds(self) -> bool:
        """Whether everything that the entries rest on is what it was. Safe to ask from several threads."""
        return (
            all(namespace.get(name, MISSING) is value for namespace, name, value in self.walk.looked_up.values())
            and all(function.still_holds() for function in self._functions.values())
            and all(same_items(vars(kind), held) for kind, held in self._classes.values())
            and self._same_values()
        )

    def _same_values(self) -> bool:
        with self._lock:
            known = tuple(self._changeable)
            try:
                return all(Encoder(self._refer, place).encode(value) == before for value, place, before in known)
            except (Opaque, InvalidDeclaration):  # it now holds something that it did not
                return False
            finally:
                self._pending.clear()
                self._changeable[:] = known

    # Names

    def _name(self, module: Module, name: str, label: str) -> str:
        value = module.namespace.get(name, MISSING)
        source = module.source
        statement = source.defines(name) if source else None
        if source is not None and statement is not None:
            self.kinds[label] = "class" if isinstance(unwrap(value), type) else "function"
            with self._leniently():
                return combine("definition", self._statements(module, source, name), self._live(module, name, value))
        self.kinds[label] = "constant"
        if value is MISSING and source is not None:
            return combine("text", self._statements(module, source, name))
        home = self.walk.home(value)
        is_bound = source is not None and name in source.definitions
        if home is not None and home.label == label and (not is_bound or isinstance(value, FunctionType)):
            self.kinds[label] = "class" if isinstance(value, type) else "function"
            return self._inline(value)
        if isinstance(value, FunctionType):
            self.kinds[label] = "function"
        return self._constant(module, name, value, own=home is not None and home.label == label)

    def _constant(self, module: Module, name: str, value: Any, own: bool) -> str:
        source, label = module.source, f"{module.name}:{name}"
        indices = source.definitions.get(name, []) if source else []
        kind = type(value)
        try:
            if own or (indices and is_slipway(kind.__module__)):
                raise Opaque(value)
            plain = source is not None and all(not source.uses(i) for i in indices)
            return self._encode(value, "" if plain else self.walk.project.base).hex()
        except Opaque as reason:
            if source is None or not indices:
                raise _unreadable(label, reason.kind) from None
            if not reason.is_plain:
                self.unknown[f"{label} ({kind.__module__}.{kind.__qualname__})"] = None
                self.walk.notes[
                    f"{label} ({kind.__module__}.{kind.__qualname__}) is known by the statement that defines it, "
                    "not by its content."
                ] = None
            return combine("text", self._statements(module, source, name))

    def _statements(self, module: Module, source: Source, name: str) -> str:
        """The statements that define a name, and what the names in them stand for."""
        indices = source.definitions[name]
        self._texts[f"{module.name}:{name}"] = [source.statements[index] for index in indices]
        found = [use for index in indices for use in source.uses(index)]
        return combine(*(source.dump(index) for index in indices), self._links(module, found))

    def _links(self, module: Module, found: list[Use | Imported]) -> str:
        links = set()
        for use in found:
            if isinstance(use, Imported) and use.path is None:
                self._loaded(module.absolute(use.module, use.level))
                continue
            target = self.walk.follow(module, use)
            if use.where == "import" and target.kind == "module":
                continue  # what is used of it is a use of its own
            path = use.path or ()
            self._has_docs = self._has_docs or reads_docs(path[-1] if path else "")
            if target.kind == "external" and use.where == "body":
                self._is_ambient(target.label, use.arguments)
            links.add(f"{'.'.join(path)} {self._reached(target, f'{module.name} ({chr(46).join(path)})', use.where)}")
        return combine(*sorted(links))

    def _is_ambient(self, label: str, arguments: int) -> None:
        """Take down a use of what no key can hold: the clock, random numbers."""
        name = label.removeprefix("external ").replace(":", ".")
        if reads_unseen(name):
            self.unknown[f"{name} in {self._owner}"] = None
        if reads_clock(name, arguments):
            self.clock[f"{name} in {self._owner}"] = None
        elif reads_docs(name):
            self._has_docs = True
        elif is_random(name, arguments):
            self.random[f"{name} in {self._owner}"] = None
        self.has_seed = self.has_seed or fixes_seed(name, arguments)

    def _reached(self, target: Target, by: str, where: str = "body") -> str:
        """Take what a name stands for into the closure."""
        if target.kind == "name" and target.module is not None:
            self._pending.append((target.module, target.name))
        elif target.kind == "module" and target.module is not None:
            module = target.module
            names = module.source.definitions if module.source else module.namespace
            self._pending += [(module, n) for n in names if not n.startswith("__") and not self._is_import(module, n)]
        elif target.kind == "external" and not (is_slipway(target.name) and where in _TYPES_ONLY):
            self._used.add(target.name.partition(".")[0])
            self._library(target.name)
        elif target.kind == "dynamic":
            self._everything(f"{by} uses {target.label}")
        return target.label

    def _is_import(self, module: Module, name: str) -> bool:
        target = self.walk.resolve(module, (name,))
        if target.kind == "external":
            self._library(target.name)
        return target.label != f"{module.name}:{name}"

    def _loaded(self, name: str) -> None:
        if self.walk.module_named(name) is None:
            self._library(name)

    def _library(self, module: str) -> None:
        if module and not is_standard(module):
            name, version = version_of(module)
            self.libraries[name] = version

    def _everything(self, reason: str) -> None:
        """Code that is found by a computed name may be any code of the project."""
        self.walk.notes[f"{reason}, so every file of the project counts."] = None
        if self.is_dynamic:
            return
        self.is_dynamic = True
        for relative, path in self.walk.project.files():
            source = parsed_file(path)
            if source is None:
                continue
            text = dump(source.tree) if source.is_python else source.text
            for use in uses(source.tree):
                if isinstance(use, Imported) and use.level == 0:
                    self._loaded(use.module)
            token = digest(text.encode("utf-8", "surrogatepass"))
            self.entries[relative] = combine(self.entries.get(relative, ""), token)
            self.kinds[relative] = "file"

    # What is alive: functions, classes, decorated objects

    def _live(self, module: Module, name: str, value: Any) -> str:
        """What the value of a `def` or `class` adds to its syntax."""
        inner = unwrap(value)
        if isinstance(inner, type):
            mine = inner.__qualname__ == name and vars(inner).get("__module__") == module.namespace.get("__name__")
            return combine("class", self._attributes(inner) if mine else self._refer(inner))
        parts = []
        while True:
            self._remembers(value)
            if isinstance(value, FunctionType):
                mine = value.__code__.co_qualname == name and value.__globals__ is module.namespace
                parts.append(self._held(value, code=not mine or not self._is_current(module, value)))
            elif not is_slipway(type(value).__module__):
                parts.append(self._try(value.__dict__ if hasattr(value, "__dict__") else value))
            if value is inner:
                return combine("function", *parts)
            value = _next(value)

    def _remembers(self, value: Any) -> None:
        if type(value) is _MEMO and all(value is not known for known in self.memos):
            self.memos.append(value)

    def _is_current(self, module: Module, function: FunctionType) -> bool:
        source = source_of_code(function.__code__, module.namespace.get("__file__"))
        return source is not None and source.locate(function.__code__)[1]

    def _attributes(self, kind: type) -> str:
        """The values of a class's attributes, which code may have changed since its statement ran."""
        self._classes[id(kind)] = (kind, dict(vars(kind)))
        parts = []
        for name, value in sorted(vars(kind).items()):
            self._remembers(value.__func__ if isinstance(value, staticmethod | classmethod) else value)
            function = unwrap(value.fget if isinstance(value, property) else value)
            if isinstance(function, FunctionType) and is_own(function, kind, name):
                module = self.walk.view(function.__globals__)
                held = self._held(function, code=False)
                is_ours = is_written(function) and self.walk.is_followed(function.__globals__)
                current = not is_ours or self._is_current(module, function)
                parts.append(combine(name, held if current else self._held(function, code=True)))
            elif not name.startswith("_") or not name.endswith("_") or is_set(function, name):
                parts.append(combine(name, self._try(value)))
        return combine(*parts)

    def _held(self, function: FunctionType, code: bool) -> str:
        """What a function holds: defaults and cells; with `code` also what it does."""
        if id(function) in self._inside:
            return f"again {len(self._inside) - self._inside.index(id(function))}"
        self._functions[id(function)] = Held.of(function)
        self._inside.append(id(function))
        try:
            module = self.walk.view(function.__globals__)
            label = f"{module.name}:{function.__qualname__}"
            parts = [self._code(module, function, label)] if code else []
            values = {f"default {i}": value for i, value in enumerate(function.__defaults__ or ())}
            values |= {f"default {name}": value for name, value in (function.__kwdefaults__ or {}).items()}
            parts += [combine(name, self._part(value, label, name)) for name, value in values.items()]
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
                parts.append(combine(name, self._part(content(cell), label, name)))
            if function.__dict__.keys() - {"__wrapped__"}:
                parts.append(self._try(function.__dict__))
            return combine(*parts)
        finally:
            self._inside.pop()

    def _code(self, module: Module, function: FunctionType, label: str) -> str:
        code = function.__code__
        source = source_of_code(code, module.namespace.get("__file__"))
        nodes, is_current = source.locate(code) if source else ([], False)
        if source is None:
            raise InvalidDeclaration(
                f"The source of {label} cannot be read.",
                why=f"It was made by code that no file holds ({code.co_filename}), so a change in it could not be seen.",
                fix="Define it in a module or in a notebook cell.",
            )
        if not nodes or not is_current:
            self.walk.notes[
                f"{label} runs as it was before its file was edited; start Python again, or reload the module."
            ] = None
            names = [Use((name,), "body") for name in sorted(names_in(code))]
            return combine("code", code_text(code), self._links(module, list(names)))
        found = [use for node in nodes for use in uses(node, code.co_freevars)]
        exact = code_text(code) if len(nodes) > 1 else ""
        return combine("syntax", *map(dump, nodes), exact, self._links(module, found))

    def _refer(self, value: Any) -> str:
        """What a function, class, module or decorated object inside a value is; it becomes part of the closure."""
        if isinstance(value, ModuleType):
            if not self.walk.project.holds_module(value):
                return self._reached(external(value.__name__, ()), "a value")
            module = self.walk.view(vars(value))
            return self._reached(Target("module", module.name, module), "a value")
        if isinstance(value, BuiltinFunctionType):
            owner = value.__self__
            self._is_ambient(external(value.__module__ or "", (value.__qualname__,)).label, -1)
            if isinstance(owner, type):
                self._is_ambient(external(owner.__module__, (owner.__qualname__, value.__name__)).label, -1)
            held = "" if owner is None or isinstance(owner, ModuleType | type) else self._encode(owner).hex()
            return combine(self._reached(external(value.__module__ or "builtins", (value.__qualname__,)), ""), held)
        home = self.walk.home(value)
        if home is None:
            return self._inline(value)
        label = self._reached(home, "a value")
        if home.kind == "name" and home.module is not None and home.module.namespace.get(home.name) is not value:
            if label == self._owner and home.module.source is None:
                # Where no file has a statement that says what it is, a decorated function is found under the name of
                # the decorator's result: under the entry that is being made of it.
                return self._inline(value)
            return f"{label} of {unwrap(value).__qualname__} in {type(value).__qualname__}"
        return label

    def _inline(self, value: Any) -> str:
        """What an object without a name of its own consists of: a lambda, a nested function, a local class."""
        if isinstance(value, FunctionType):
            return self._held(value, code=True)
        if isinstance(value, type):
            return self._local_class(value)
        self._remembers(value)
        kind, inner = type(value), unwrap(value)
        is_ours = is_slipway(kind.__module__)
        own = "" if is_ours else self._try(getattr(value, "__dict__", {}))
        called = f"{kind.__module__}:{kind.__qualname__}" if is_ours else self._refer(kind)
        return combine("wrapper", called, own, self._refer(_next(value) if inner is not value else inner))

    def _local_class(self, kind: type) -> str:
        if id(kind) in self._inside:
            return "again"
        self._inside.append(id(kind))
        try:
            functions = [f for f in map(unwrap, vars(kind).values()) if isinstance(f, FunctionType) and is_written(f)]
            parts = [self._refer(base) for base in kind.__bases__]
            for function in functions:
                source = source_of_code(function.__code__, function.__globals__.get("__file__"))
                module = self.walk.view(function.__globals__)
                for node in source.nodes(kind.__qualname__) if source else ():
                    free = {name for f in functions for name in f.__code__.co_freevars}
                    parts += [dump(node), self._links(module, list(uses(node, free)))]
                break
            parts += [self._held(function, code=True) for function in functions]
            return combine("local class", kind.__qualname__, *parts, self._attributes(kind))
        finally:
            self._inside.pop()

    # Values

    def _part(self, value: Any, owner: str, name: str) -> str:
        """A default or the content of a cell, which no statement of its own defines."""
        if value is MISSING:
            return "empty"
        try:
            return self._encode(value).hex()
        except Opaque as reason:
            if self._lenient or (name.startswith("default ") and "<locals>" not in owner):
                return "by its syntax"
            raise _unreadable(f"{name} of {owner}", reason.kind) from None

    def _try(self, value: Any) -> str:
        try:
            return self._encode(value).hex()
        except Opaque as reason:
            if reason.is_source:
                self.unknown[f"a {reason.kind} in {self._owner}"] = None
            return "by its syntax"
        except InvalidDeclaration:
            return "by its syntax"

    def _encoded(self, value: Any, label: str) -> bytes:
        if isinstance(value, FunctionType | type) or unwrap(value) is not value:
            return self._inline(value).encode()
        try:
            return self._encode(value)
        except Opaque as reason:
            raise _unreadable(label, reason.kind) from None

    def _encode(self, value: Any, place: str | None = None) -> bytes:
        base = self.walk.project.base if place is None else place
        encoder = Encoder(self._refer, base)
        found = encoder.encode(value)
        if not encoder.is_fixed:
            self._changeable.append((value, base, found))
        return found

    @contextmanager
    def _leniently(self) -> Iterator[None]:
        """Let what cannot be read pass, where a statement's syntax stands for it."""
        before, self._lenient = self._lenient, True
        yield
        self._lenient = before


def _unreadable(label: str, kind: str) -> InvalidDeclaration:
    return InvalidDeclaration(
        f"The value of {label} is a {kind}, whose content cannot be read.",
        why="A change in it would go unseen, and a cached result would be used for code that it does not come from.",
        fix="Pass it as an argument, make it inside the function, or define it at the top level of a module.",
    )


def _next(value: Any) -> Any:
    """One layer further inside a decorated object."""
    if isinstance(value, staticmethod | classmethod):
        return value.__func__
    inner = getattr(value, "__wrapped__", MISSING)
    return value.function if inner is MISSING else inner
