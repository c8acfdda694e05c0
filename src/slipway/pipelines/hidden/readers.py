"""Whose read it is: the user's code reads through libraries, and these read for themselves too."""

from __future__ import annotations

import os
import sysconfig
from types import FrameType
from typing import Literal

__all__ = ["HANDED", "Reader", "kind_of", "kind_of_file", "is_of_the_system", "is_passed_over", "reader"]

Reader = Literal["user", "library", "standard", ""]
"""Who called the reading function, on behalf of the user's code; "" for a read that does not count."""

HANDED = "_handed_over"
"""The name of the function in which the threads of a step run what they were given."""

_HERE = os.path.dirname(__file__) + os.sep
_SLIPWAY = os.path.dirname(os.path.dirname(os.path.dirname(__file__))) + os.sep
_PLACES = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib")}
_STANDARD = tuple(sorted({place + os.sep for place in (*_PLACES, *map(os.path.realpath, _PLACES))}))
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")

# Modules of Python that read code, time zones, languages and facts about the machine for themselves.
_FOR_ITSELF = frozenset(
    {
        "ctypes", "encodings", "gettext", "importlib", "inspect", "linecache", "locale", "logging", "mimetypes",
        "pdb", "platform", "pydoc", "site", "sysconfig", "tokenize", "traceback", "unittest", "uuid", "warnings",
        "zoneinfo",
    }
)  # fmt: skip
# What a loader is asked for by hand; an import statement goes through other functions of the import system too.
_LOADING = frozenset({"exec_module", "get_code", "get_data", "load_module"})
_NEVER = ("/proc/", "/sys/", "/dev/", "/usr/share/zoneinfo", "/etc/localtime", "/etc/timezone")
_IN_MEMORY = "/dev/shm/"  # of /dev the one folder that holds people's files
_MACHINE = ("/usr/", "/lib", "/etc/")
_CACHES = (
    "/joblib_memmapping_folder_",
    "/.cache/matplotlib/",
    "/.config/matplotlib/",
    "/fontconfig/",
    f"{os.sep}__pycache__{os.sep}",
)
_AMBIENT = frozenset(
    {
        "COLUMNS", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LINES", "NO_COLOR", "PATH", "TEMP", "TERM",
        "TMP", "TMPDIR",
    }
)  # fmt: skip

_Kind = Literal["user", "library", "standard", "itself", "import", "slipway", "skip"]
_kinds: dict[str, _Kind] = {}


def reader(frame: FrameType | None) -> Reader:
    """Whose read it is.

    Args:
        frame: The innermost frame in which it happens.

    Returns:
        What calls the reading function, where the user's code stands behind it; "" where Python, the import of a
        library or Slipway itself reads.
    """
    caller: Reader = ""
    while frame is not None:
        name = frame.f_code.co_filename
        kind = _kinds.get(name) or _kind(name)
        if kind == "user":
            return caller or "user"
        if kind in ("slipway", "itself") or (kind == "import" and frame.f_code.co_name not in _LOADING):
            return ""
        if kind == "skip" and frame.f_code.co_name == HANDED:
            return caller or "user"  # a thread's first frame: the step handed it this work
        if not caller and kind in ("standard", "library", "import"):
            caller = "library" if kind == "library" else "standard"
        frame = frame.f_back
    return "library" if caller == "library" else ""


def kind_of_file(name: str) -> _Kind:
    """What a file of code belongs to."""
    return _kinds.get(name) or _kind(name)


def kind_of(frame: FrameType) -> _Kind:
    """What a frame's code belongs to."""
    name = frame.f_code.co_filename
    return _kinds.get(name) or _kind(name)


def _kind(name: str) -> _Kind:
    found: _Kind = "user"
    if name.startswith("<"):
        found = "import" if "importlib" in name else "standard" if name.startswith("<frozen") else "skip"
        found = "user" if name.startswith("<ipython") else found
    elif name.startswith(_HERE):
        found = "skip"
    elif name.startswith(_SLIPWAY):
        found = "slipway"
    elif any(part in name for part in _INSTALLED):
        found = "library"
    elif name.startswith(_STANDARD):
        place = next(place for place in _STANDARD if name.startswith(place))
        top = name[len(place) :].split(os.sep)[0].removesuffix(".py")
        found = "itself" if top in _FOR_ITSELF and f"{top}{os.sep}resources" not in name else "standard"
    _kinds[name] = found
    return found


def is_of_the_system(path: str, caller: Reader) -> bool:
    """Whether a file belongs to the machine, to Python or to an installed library, whose version stands for it."""
    if any(part in path for part in (*_INSTALLED, *_CACHES)) or path.startswith(_STANDARD):
        return True
    if path.startswith(_NEVER) and not path.startswith(_IN_MEMORY):
        return True
    return caller == "library" and path.startswith(_MACHINE)


def is_passed_over(variable: str, caller: Reader) -> bool:
    """Whether a variable is one by which Python finds its way about: terminal, language, temporary files."""
    return caller == "standard" and (variable in _AMBIENT or variable.startswith("PYTHON"))
