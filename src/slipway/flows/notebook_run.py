"""Running a notebook's cells from top to bottom in a namespace of their own, and noting what they did.

This runs the user's own code, because the user asked for it.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import linecache
import os
import pickle
import random
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from slipway.code.cell_flow import Statement
from slipway.code.notebooks import Notebook
from slipway.errors import InvalidInput, StepFailed
from slipway.ledger.provenance import user_trace
from slipway.schema.fingerprints import of_value

__all__ = ["Kind", "Ran", "fingerprint_of", "importing_from", "kind_of", "run_cells"]

_NUMPY, _PYTHON = "numpy", "python"
_SHOWN_S = 5.0


class Kind(NamedTuple):
    """What a name held, as far as the way of rows through a notebook is concerned.

    Attributes:
        family: "frame", "series", "array", "estimator", "code" (a module, function or class) or "other".
        length: How many rows a frame, series or array has; 0 for anything else.
        labels: The name of its rows' labels: a table by carrier has "carrier" there, rows have none.
        holds: The lengths of the frames and arrays that it holds: a Bunch, a dictionary.
    """

    family: str
    length: int = 0
    labels: str = ""
    holds: frozenset[int] = frozenset()


@dataclass(slots=True)
class Ran:
    """What running a notebook showed.

    Args:
        namespace: The names at the end.
        kinds: Before each statement, and at the end: what each name held then.
        prints: What each cell printed, by its number.
        said: What each statement printed, by its position.
        changed: The names whose objects each cell changed in place.
        unchanged: The names whose objects each cell surely left as they were.
        written: The fingerprint of each name that a cell bound or changed, at the end of the cell; "" where it has none.
        draws: For each statement which random numbers it drew: "numpy", "python".
        files: The files that each cell opened.
        paths: The names that hold the path of a file, as a text.
        seconds: How long it took.
    """

    namespace: dict[str, Any]
    kinds: list[dict[str, Kind]] = field(default_factory=list)
    prints: dict[int, str] = field(default_factory=dict)
    said: dict[int, str] = field(default_factory=dict)
    changed: dict[int, frozenset[str]] = field(default_factory=dict)
    unchanged: dict[int, frozenset[str]] = field(default_factory=dict)
    written: dict[int, dict[str, str]] = field(default_factory=dict)
    draws: list[frozenset[str]] = field(default_factory=list)
    files: dict[int, list[Path]] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    seconds: float = 0.0


def run_cells(notebook: Notebook, statements: Sequence[Statement], plots: frozenset[int], *, seed: int = 0) -> Ran:
    """Run the statements in the notebook's folder, in order; plots are left out.

    Args:
        notebook: Where they come from.
        statements: All of them.
        plots: The positions of those that only plot.
        seed: What random numbers begin with, for a notebook that does not say it.

    Raises:
        StepFailed: A cell raised; cell and line are named.
        InvalidInput: A module that it imports is not installed.
    """
    ran = Ran({"__name__": "__main__", "__builtins__": __builtins__, "display": _display})
    for cell in notebook.cells:
        linecache.cache[_file(cell.number)] = (
            len(cell.source),
            None,
            [line + "\n" for line in cell.lines],
            _file(cell.number),
        )
    before = (np.random.get_state(), random.getstate())
    np.random.seed(seed)
    random.seed(seed)
    started = time.perf_counter()
    try:
        with contextlib.chdir(notebook.path.resolve().parent), importing_from(notebook.path.resolve().parent):
            for number in sorted({one.cell for one in statements}):
                _run_cell(ran, number, [(i, one) for i, one in enumerate(statements) if one.cell == number], plots)
    finally:
        np.random.set_state(before[0])
        random.setstate(before[1])
    ran.kinds.append(_kinds(ran.namespace))
    ran.seconds = time.perf_counter() - started
    return ran


def fingerprint_of(value: Any) -> str:
    """The logical fingerprint of a variable's value, "" for what has none: a module, a function, an open file."""
    if isinstance(value, ModuleType | type) or (callable(value) and not hasattr(value, "get_params")):
        return ""
    try:
        return of_value(value)
    except (InvalidInput, TypeError, ValueError, pickle.PicklingError, AttributeError, RecursionError):
        return ""


def kind_of(value: Any) -> Kind:
    """What a value is for the way of rows."""
    name, home = type(value).__name__, type(value).__module__.partition(".")[0]
    if home in ("pandas", "polars") and name in ("DataFrame", "LazyFrame", "Series"):
        length = int(value.select("*").collect().height) if name == "LazyFrame" else len(value)
        labels = str(getattr(getattr(value, "index", None), "name", None) or "")
        return Kind("series" if name == "Series" else "frame", length, labels)
    shape = getattr(value, "shape", None)
    if home in ("numpy", "scipy") and shape:
        return Kind("array", int(shape[0]))
    if isinstance(value, ModuleType | type) or (callable(value) and not hasattr(value, "get_params")):
        return Kind("code")
    if hasattr(value, "get_params") and hasattr(value, "fit"):
        return Kind("estimator")
    held = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list | tuple) and len(value) < 50
        else ()
    )
    return Kind("other", holds=frozenset(int(part.shape[0]) for part in held if getattr(part, "shape", None)))


def _kinds(namespace: dict[str, Any]) -> dict[str, Kind]:
    return {name: kind_of(value) for name, value in namespace.items() if not name.startswith("__")}


def _run_cell(ran: Ran, number: int, statements: Sequence[tuple[int, Statement]], plots: frozenset[int]) -> None:
    before = {name: fingerprint_of(value) for name, value in ran.namespace.items() if not name.startswith("__")}
    held = dict(ran.namespace)
    printed = io.StringIO()
    with _opened_files() as opened:
        for position, one in statements:
            ran.kinds.append(_kinds(ran.namespace))
            if position in plots:
                ran.draws.append(frozenset())
                continue
            states, exact = _random_states(), (np.random.get_state(), random.getstate())
            begin = printed.tell()
            _execute(ran.namespace, one, printed)
            ran.said[position] = printed.getvalue()[begin:]
            if isinstance(one.node, ast.Import | ast.ImportFrom):  # a library that draws numbers when it is loaded
                np.random.set_state(exact[0])
                random.setstate(exact[1])
            after = _random_states()
            ran.draws.append(frozenset(name for name in after if after[name] != states[name]))
    # Polars reads files without Python's `open`: those that the code names count too.
    ran.files[number] = list(dict.fromkeys([*opened, *_named_files([one for _, one in statements], ran.paths)]))
    ran.prints[number] = printed.getvalue()
    now = {name: fingerprint_of(value) for name, value in ran.namespace.items() if not name.startswith("__")}
    ran.changed[number] = frozenset(
        name for name, known in before.items() if ran.namespace.get(name) is held[name] and now.get(name) != known
    )
    ran.unchanged[number] = frozenset(
        name
        for name, known in before.items()
        if known and ran.namespace.get(name) is held[name] and now.get(name) == known
    )
    touched = set().union(*(one.binds | one.changes for _, one in statements)) | ran.changed[number]
    ran.written[number] = {name: now[name] for name in touched if name in now}


def _execute(namespace: dict[str, Any], one: Statement, printed: io.StringIO) -> None:
    tree = ast.Module([one.node], [])
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(tree, _file(one.cell), "exec"), namespace)
    except ModuleNotFoundError as problem:
        raise InvalidInput(
            f"Cell {one.cell}, line {one.first} imports {problem.name!r}, which is not installed.",
            why="The notebook is run from top to bottom, to prove that the pipeline gives its answers.",
            fix=f"Install it here: pip install {(problem.name or '').split('.')[0]}",
            field=f"cell {one.cell}",
        ) from problem
    except (Exception, SystemExit) as problem:
        line = _line_of(problem, one)
        raise StepFailed(
            f"Cell {one.cell} failed when the notebook was run from top to bottom: line {line}: "
            f"{type(problem).__name__}: {problem}",
            step=f"cell {one.cell}",
            trace=user_trace(problem),
            fix=f"Put {problem.filename} where that path leads from the notebook's own folder."
            if isinstance(problem, FileNotFoundError)
            else "Restart the kernel in Jupyter, run all cells, and mend what fails there.",
        ) from problem


def _line_of(problem: BaseException, one: Statement) -> int:
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == _file(one.cell)]
    return frames[-1].lineno or one.first if frames else one.first


def _file(number: int) -> str:
    return f"<cell {number}>"


def _display(*values: Any) -> None:
    """What Jupyter gives to cells under this name."""
    for value in values:
        print(value)


def _named_files(statements: Sequence[Statement], paths: dict[str, Path]) -> list[Path]:
    """The files in the present folder that statements name, by a text or by a name that holds one."""
    found = []
    for one in statements:
        for inner in ast.walk(one.node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and 0 < len(inner.value) < 250:
                path = Path(inner.value.replace("\0", ""))
                if path.suffix and path.is_file():
                    found.append(path.absolute())
                    if isinstance(one.node, ast.Assign) and one.node.value is inner:
                        paths.update(dict.fromkeys(one.binds, path.absolute()))
        found += [paths[name] for name in one.reads if name in paths]
    return found


def _random_states() -> dict[str, str]:
    state: Any = np.random.get_state()
    name, keys, *rest = state
    return {
        _NUMPY: hashlib.blake2b(keys.tobytes() + repr((name, rest)).encode(), digest_size=16).hexdigest(),
        _PYTHON: str(hash(random.getstate())),
    }


@contextlib.contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Modules beside the notebook can be imported, as in Jupyter."""
    sys.path.insert(0, str(folder))
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        yield
    finally:
        sys.path.remove(str(folder))


_opened: list[Path] | None = None
_is_hooked = False
_SYSTEM = frozenset({"proc", "sys", "dev", "etc", "usr", "lib", "lib64", "run"})
_NOT_DATA = (".py", ".pyc", ".so", ".pth", ".dist-info")


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is None or event != "open" or not isinstance(arguments[0], str | os.PathLike):
        return
    mode = arguments[1] or "r"
    path = Path(os.fspath(arguments[0])).absolute() if not isinstance(arguments[0], bytes) else None
    if path is None or not isinstance(mode, str) or not mode.startswith("r") or path.suffix in _NOT_DATA:
        return
    if not _SYSTEM & set(path.parts[1:2]) and path not in _opened:
        _opened.append(path)


@contextlib.contextmanager
def _opened_files() -> Iterator[list[Path]]:
    """The files that are opened to be read meanwhile, libraries' own left out."""
    global _opened, _is_hooked
    if not _is_hooked:
        sys.addaudithook(_hook)
        _is_hooked = True
    found: list[Path] = []
    _opened = found
    try:
        yield found
    finally:
        _opened = None
        libraries = {Path(place).resolve() for place in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
        found[:] = [
            path
            for path in found
            if path.is_file() and not any(path.resolve().is_relative_to(place) for place in libraries)
        ]
