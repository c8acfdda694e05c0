"""A code closure: all code of a project that a function reaches, as hashes by name, and how two of them differ."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, NamedTuple

import msgspec

from slipway.code.hasher import Hasher
from slipway.code.libraries import python_version
from slipway.code.project import Project, is_slipway, module_name, unwrap
from slipway.code.walk import class_namespace
from slipway.errors import InvalidDeclaration
from slipway.hashing import combine

__all__ = ["CodeClosure", "closure", "explain_change", "memos_of", "project_of", "reference"]

_CLOSURES_KEPT = 1024
_KIND_WORDS = {"function": "helper ", "class": "class ", "constant": "constant ", "file": "file ", "setting": ""}


class CodeClosure(msgspec.Struct, frozen=True, kw_only=True):
    """All code that a function reaches.

    Attributes:
        root: The function: "module:qualname".
        hash: One fingerprint of entries, libraries and Python's minor version.
        entries: "module:name" -> hash of what it is by itself; a file's path where all files count.
        kinds: What each entry is: function, class, constant or file.
        libraries: Distribution -> version of each library that the entries import.
        python: The minor version of Python, as "3.11".
        notes: Sentences about what could not be followed exactly.
        unknown: Constants whose content cannot be read, so that an equal hash does not mean equal content.
        clock: Where the clock is read: "time.time in flow:train". Python's own libraries are not followed.
        random: Where random numbers are drawn whose seed nothing fixes.
    """

    root: str
    hash: str
    entries: dict[str, str]
    kinds: dict[str, str]
    libraries: dict[str, str]
    python: str
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    clock: tuple[str, ...] = ()
    random: tuple[str, ...] = ()


class _Known(NamedTuple):
    root: Any
    hasher: Hasher
    closure: CodeClosure


_known: dict[tuple[int, int, tuple[Path, ...] | None], _Known] = {}
_memos: dict[tuple[int, int], tuple[Any, list[Any]]] = {}


def closure(function: Any, *, project_roots: tuple[Path, ...] | None = None) -> CodeClosure:
    """The code closure of a function or class.

    It changes when the body changes, any helper at any depth in any module of the project, a constant's value or type,
    a class used (its methods and bases), a default, decorator or closure cell, or the version of a library imported.
    It does not change with comments, docstrings, layout, code that is not reached, or the project's place on disk.
    The answer for an unchanged function is remembered within the process.

    Args:
        function: A function, class, or an object that wraps one (`__wrapped__`, or Slipway's own `function`).
        project_roots: Folders whose code is followed. By default the top of the function's package, or the folder of
            its plain module; never installed libraries, the standard library or Slipway.

    Raises:
        InvalidDeclaration: The function lies outside the project, its source cannot be read, or it holds a value
            whose content cannot be read.
    """
    inner = unwrap(function)
    key = (id(inner), id(function), project_roots)
    known = _known.get(key)
    if known is not None and known.hasher.still_holds():
        return known.closure
    hasher = Hasher(project_of([function], project_roots))
    root = hasher.reach(function, _label(function))
    found = _closed(root, hasher)
    if len(_memos) >= _CLOSURES_KEPT:
        _memos.clear()
    if hasher.memos:
        _memos[key[:2]] = (function, inner), hasher.memos
    if hasher.is_dynamic or hasher.walk.has_unloadable:
        _known.pop(key, None)  # it rests on files, which may change at any time
    else:
        if len(_known) >= _CLOSURES_KEPT:
            _known.clear()
        _known[key] = _Known((function, inner), hasher, found)
    return found


def memos_of(functions: Iterable[Any]) -> list[Any]:
    """The functions with a memory (`functools.cache`, `lru_cache`) that these reach, as their closures last met them."""
    found: dict[int, Any] = {}
    for function in functions:
        known = _memos.get((id(unwrap(function)), id(function)))
        found |= {id(memo): memo for memo in known[1]} if known is not None else {}
    return list(found.values())


def reference(function: Any) -> str:
    """What a function or class is called in closures and extracted code: "module:qualname"."""
    return _label(function)


def explain_change(old: CodeClosure, new: CodeClosure) -> list[str]:
    """Say in words how two closures differ; an empty list where they do not.

    Returns:
        Sentences such as "helper flight_delays.rows:clean changed" and "library polars 2.0.0 -> 2.1.0".
    """
    if old.hash == new.hash:
        return []
    found = [] if old.root == new.root else [f"function {old.root} -> {new.root}"]
    for name in sorted(old.entries.keys() | new.entries.keys()):
        word = _word(new if name in new.entries else old, name)
        if name not in old.entries:
            found.append(f"new: {word}{name}")
        elif name not in new.entries:
            found.append(f"no longer used: {word}{name}")
        elif old.entries[name] != new.entries[name]:
            found.append(f"{word}{name} changed")
    for name in sorted(old.libraries.keys() | new.libraries.keys()):
        before, after = old.libraries.get(name), new.libraries.get(name)
        if before is None:
            found.append(f"new: library {name} {after}")
        elif after is None:
            found.append(f"no longer used: library {name} {before}")
        elif before != after:
            found.append(f"library {name} {before} -> {after}")
    if old.python != new.python:
        found.append(f"Python {old.python} -> {new.python}")
    return found


def project_of(objects: list[Any], project_roots: tuple[Path, ...] | None) -> Project:
    """The project in which these functions and classes lie."""
    return Project.around(project_roots, [_namespace(unwrap(one)) for one in objects])


def _closed(root: str, hasher: Hasher) -> CodeClosure:
    python = python_version()
    entries = dict(sorted(hasher.entries.items()))
    libraries = dict(sorted(hasher.libraries.items()))
    lines = [f"{name} {value}" for part in (entries, libraries) for name, value in part.items()]
    return CodeClosure(
        root=root,
        hash=combine("code closure 1", root, python, str(len(entries)), *lines),
        entries=entries,
        kinds=dict(sorted(hasher.kinds.items())),
        libraries=libraries,
        python=python,
        notes=tuple(sorted(hasher.walk.notes)),
        unknown=tuple(sorted(hasher.unknown)),
        clock=tuple(sorted(hasher.clock)),
        random=() if hasher.has_seed else tuple(sorted(hasher.random)),
    )


def _word(of: CodeClosure, name: str) -> str:
    kind = of.kinds.get(name, "constant")
    top = of.root.split(".<locals>")[0]
    return "function " if kind == "function" and name in (of.root, top) else _KIND_WORDS[kind]


def _label(function: Any) -> str:
    inner = _named(unwrap(function))
    return f"{module_name(_namespace(inner))}:{inner.__qualname__}"


def _named(value: Any) -> Any:
    """The function or class that gives a callable object its name."""
    while isinstance(value, partial | MethodType):
        value = unwrap(value.func if isinstance(value, partial) else value.__func__)
    if isinstance(value, FunctionType | type):
        return value
    kind = type(value)
    if not callable(value) or is_slipway(kind.__module__):
        raise InvalidDeclaration(
            f"A {kind.__qualname__} has no code closure.",
            why="Only functions, classes and objects that wrap one are followed.",
            fix="Give the function that uses it.",
        )
    return kind


def _namespace(value: Any) -> Mapping[str, Any]:
    named = _named(value)
    if isinstance(named, FunctionType):
        return named.__globals__
    namespace = class_namespace(named)
    if namespace is None:
        raise InvalidDeclaration(
            f"The module {named.__module__} of {named.__qualname__} is not loaded.",
            why="A class is followed through its module.",
            fix=f"Import {named.__module__} first.",
        )
    return namespace
