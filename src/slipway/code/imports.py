"""Which installed distributions a process's own code imports, and what those need.

Own code is what is loaded and lies neither among the installed libraries nor in Python nor in Slipway. Its text is
read for imports, wherever they stand, so that those inside functions count before they are carried out. What is needed
beyond is what the distributions' own metadata name and is installed.
"""

import os
import re
import sys
import sysconfig
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import Distribution
from pathlib import Path
from typing import NamedTuple

from slipway.code import libraries
from slipway.code.wheels import about, find, normal

__all__ = ["Own", "needed", "own"]

_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)|import[ \t]+([\w., \t]+))", re.MULTILINE)
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[([^\]]*)\])?([^;]*)(?:;(.*))?", re.DOTALL)
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_RUNTIME = "slipway"
_ALWAYS = "data"
_FACE = re.compile(r"\b(?:sw|slipway)\.(\w+)|from[ \t]+slipway[ \t]+import[ \t]+([^()\n]+|\([^)]*\))")
_BY_NAME = {"search": ("optuna",), "baselines": ("sklearn", "lightgbm"), "sql": ("sql",), "delta": ("delta",)}
"""Extras that no code of a project imports: names of Slipway's face use them."""
_BY_SETTINGS = {"postgres": "psycopg", "objects": "obstore", "redis": "redis"}
"""Extras that no code of a project imports: slipway.toml chooses them. By the module that each loads."""


class Own(NamedTuple):
    """The process's own code.

    Args:
        files: The modules' files, sorted.
        names: The top-level modules of what a notebook or a prompt holds.
        backends: The extras of Slipway that its settings have loaded.
    """

    files: tuple[str, ...]
    names: frozenset[str] = frozenset()
    backends: frozenset[str] = frozenset()


def own() -> Own:
    """What of the process's own code is loaded now. Asked again, it costs less than a tenth of a millisecond."""
    files, backends = _loaded(len(sys.modules))
    main = sys.modules.get("__main__")
    if main is None or hasattr(main, "__file__"):
        return Own(files, backends=backends)
    told = (getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in vars(main).values())
    return Own(files, frozenset(str(name).partition(".")[0] for name in told), backends)


@lru_cache(maxsize=1)
def _loaded(_count: int) -> tuple[tuple[str, ...], frozenset[str]]:
    """The own modules' files, and the backends. What is loaded later makes the count another."""
    apart = _libraries()
    files = {
        file
        for module in tuple(sys.modules.values())
        if isinstance(file := getattr(module, "__file__", None), str)
        and file.endswith(".py")
        and not file.startswith((*apart, "<"))
    }
    return tuple(sorted(files)), frozenset(extra for extra, module in _BY_SETTINGS.items() if module in sys.modules)


@lru_cache(maxsize=1)
def _libraries() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {path for path in sys.path if path.rstrip("/").endswith(("site-packages", "dist-packages"))}
    folders |= {os.path.dirname(os.__file__), str(Path(__file__).parents[1])}
    return tuple(sorted(folder.rstrip(os.sep) + os.sep for folder in folders))


def imported(files: Iterable[str]) -> set[str]:
    """The top-level modules that some files import."""
    return set().union(*(one.modules for one in map(_read_file, files)))


class _Text(NamedTuple):
    """What a file's text imports, and which of Slipway's extras it uses by a name of its face."""

    modules: frozenset[str] = frozenset()
    extras: frozenset[str] = frozenset()


def _read_file(file: str) -> _Text:
    try:
        stat = os.stat(file)
    except OSError:  # a module whose file is gone
        return _Text()
    return _of_file(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _of_file(file: str, _changed_ns: int, _size: int) -> _Text:
    text = Path(file).read_text("utf-8", "replace")
    found: set[str] = set()
    for single, several in _IMPORT.findall(text):
        found.update(
            [single] if single else (one.strip().partition(".")[0].split(" ")[0] for one in several.split(","))
        )
    used = {one for named, listed in _FACE.findall(text) for one in re.findall(r"\w+", named or listed)}
    extras = (extra for name, several in _BY_NAME.items() if name in used for extra in several)
    return _Text(frozenset(name for name in found if name), frozenset(extras))


def needed(code: Own) -> dict[str, Distribution]:
    """The distributions that some code needs, by name: what it imports, Slipway, and what those need in turn."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    for module in imported(code.files) | code.names:
        if module.isidentifier() and not libraries.is_standard(module):
            for distribution in libraries.distributions_of(module):
                _add(normal(about(distribution).name), (), found, seen)
    _add(_RUNTIME, (), found, seen)
    runtime = found.get(_RUNTIME)
    extras = _extras(runtime) if runtime else {}
    chosen = code.backends.union(*(_read_file(file).extras for file in code.files))
    for extra in sorted(extras):
        parts = extras[extra].difference(*(less for less in extras.values() if less < extras[extra]))
        if extra == _ALWAYS or extra in chosen or any(name in found for name in parts):
            _add(_RUNTIME, (extra,), found, seen)
    return dict(sorted(found.items()))


def _extras(runtime: Distribution) -> dict[str, set[str]]:
    """What each of Slipway's extras names."""
    found: dict[str, set[str]] = {}
    for line in about(runtime).requires:
        if (name := _read(line)) and (extra := _EXTRA.search(line)) and name[0] != _RUNTIME:
            found.setdefault(extra[1], set()).add(name[0])
    return found


def _add(name: str, extras: tuple[str, ...], found: dict[str, Distribution], seen: set[tuple[str, str]]) -> None:
    """Add a distribution and what it needs, where it is installed.

    Markers other than `extra` are not read: what they leave out is, as a rule, not installed.
    """
    waiting = [(name, extra) for extra in ("", *extras)]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        distribution = found.get(one[0]) or find(one[0])
        if distribution is None:
            continue
        found[one[0]] = distribution
        for line in about(distribution).requires:
            read = _read(line)
            extra = _EXTRA.search(line.partition(";")[2])
            if read and (extra[1] if extra else "") == one[1]:
                waiting += [(read[0], wanted) for wanted in ("", *read[1])]


def _read(line: str) -> tuple[str, tuple[str, ...]] | None:
    """The name and the extras of a requirement."""
    match = _REQUIREMENT.match(line)
    if match is None:
        return None
    return normal(match[1]), tuple(one.strip() for one in (match[2] or "").split(",") if one.strip())
