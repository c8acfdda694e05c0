"""Small projects, written to a folder and imported afresh in this process."""

import importlib
import linecache
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

Files = dict[str, str]


def write(folder: Path, files: Files) -> None:
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text))


@contextmanager
def imported(folder: Path, files: Files, module: str) -> Iterator[ModuleType]:
    """Write a project, import one of its modules afresh, and forget all of them afterwards."""
    write(folder, files)
    tops = {path.name.removesuffix(".py") for path in folder.iterdir()}
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield importlib.import_module(module)
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = written
        for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
            del sys.modules[name]


@contextmanager
def cells(*texts: str) -> Iterator[dict[str, Any]]:
    """Run texts as a notebook runs its cells."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    names = []
    for number, text in enumerate(texts):
        name = f"/nowhere/ipykernel_1/{number}{abs(hash(text))}.py"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), namespace)
        names.append(name)
    try:
        yield namespace
    finally:
        for name in names:
            del linecache.cache[name]
