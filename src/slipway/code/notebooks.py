"""Jupyter notebooks as Python: the code cells in order, without what only IPython understands.

A line of IPython's own either does not matter for what is computed (it is dropped, and said), names a requirement, or is
refused. Lines keep their numbers: what is dropped becomes a comment in its place. Nothing is run here.
"""

import ast
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from slipway.errors import InvalidInput, NotFound

__all__ = ["Cell", "Notebook", "read_notebook"]

_DROPPED = frozenset(
    [
        "matplotlib",
        "config",
        "config_inline",
        "load_ext",
        "reload_ext",
        "autoreload",
        "autosave",
        "precision",
        "pylab_import",
        "who",
        "whos",
        "reset_selective",
        "capture",
        "time",
        "timeit",
        "prun",
        "xmode",
        "colors",
    ]
)
_TIMED = frozenset({"time", "timeit", "prun"})
_INSTALL = re.compile(r"(?:[!%]\s*)?(?:python3?\s+-m\s+)?(?:pip3?|conda|mamba|uv\s+pip)\s+install\s+(?P<what>.*)")
_MAGIC = re.compile(r"^(?P<indent>\s*)(?P<sign>%%|%|!!|!|\?{1,2})(?P<rest>.*)$")
_HELP = re.compile(r"^\s*[\w.]+\?{1,2}\s*$")
_ASSIGNED = re.compile(r"^\s*[\w, ]+=\s*(?P<sign>[%!])(?P<rest>.*)$")


class Cell(NamedTuple):
    """One code cell.

    Attributes:
        number: Which code cell it is, from 1, by its place in the notebook.
        shown: The number in brackets that Jupyter shows, None where it was not run.
        source: Python, with the lines of the cell at their numbers.
        tree: The same, parsed.
    """

    number: int
    shown: int | None
    source: str
    tree: ast.Module

    @property
    def lines(self) -> list[str]:
        """Its lines."""
        return self.source.split("\n")


class Notebook(NamedTuple):
    """A notebook's code.

    Attributes:
        path: Where it lies.
        cells: Its code cells that hold code.
        requirements: What it installs: "lightgbm", "polars>=1".
        notes: What was dropped or is odd, in words.
    """

    path: Path
    cells: tuple[Cell, ...]
    requirements: tuple[str, ...]
    notes: tuple[str, ...]


def read_notebook(path: Path) -> Notebook:
    """Read a notebook file.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is no notebook, is written in another language, is empty, or a cell is no Python; the cell and
            the line are named.
    """
    document = _document(path)
    sources = [
        (cell.get("execution_count"), _text(cell.get("source", "")))
        for cell in document["cells"]
        if isinstance(cell, dict) and cell.get("cell_type") == "code"
    ]
    cells: list[Cell] = []
    requirements: dict[str, None] = {}
    notes: list[str] = []
    for number, (count, text) in enumerate(sources, 1):
        source = _plain(number, text, requirements, notes)
        tree = _parsed(path, number, source)
        if tree.body:
            cells.append(Cell(number, count if isinstance(count, int) else None, source, tree))
    if not cells:
        raise InvalidInput(
            f"The notebook {path} holds no code.",
            why=f"It has {len(sources)} code cells, and all are empty." if sources else "It has no code cell.",
            fix="Save it in Jupyter first, or name another file.",
        )
    notes += _order(cells)
    return Notebook(path, tuple(cells), tuple(requirements), tuple(notes))


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as problem:
        raise NotFound(f"There is no file {path}.", fix="Give the path of an .ipynb file.") from problem
    except OSError as problem:
        raise InvalidInput(
            f"{path} cannot be read: {problem.strerror}.", fix="Give the path of an .ipynb file."
        ) from problem
    except (ValueError, RecursionError) as problem:
        raise InvalidInput(
            f"{path} is no notebook: {'it is empty' if not path.stat().st_size else 'it is no JSON in UTF-8'}.",
            fix="Give an .ipynb file as Jupyter saves it.",
        ) from problem
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        older = isinstance(document, dict) and "worksheets" in document
        raise InvalidInput(
            f"{path} is {'a notebook of format 3' if older else 'no notebook: it has no cells'}.",
            fix="Open and save it in Jupyter, which writes format 4."
            if older
            else "Give an .ipynb file as Jupyter saves it.",
        )
    about = document.get("metadata") if isinstance(document.get("metadata"), dict) else {}
    language = _language(about or {})
    if language not in ("", "python", "ipython"):
        raise InvalidInput(
            f"The notebook {path} is written in {language}.",
            why="Slipway's pipelines are Python.",
            fix="Run its steps from Python, or log its runs over Slipway's or MLflow's API.",
        )
    return document


def _language(about: dict[str, Any]) -> str:
    for place, name in (("kernelspec", "language"), ("language_info", "name")):
        found = about.get(place)
        if isinstance(found, dict) and isinstance(found.get(name), str):
            return str(found[name]).lower()
    return ""


def _text(source: Any) -> str:
    return "".join(source) if isinstance(source, list) else str(source)


def _plain(number: int, text: str, requirements: dict[str, None], notes: list[str]) -> str:
    """A cell without IPython's own lines, each replaced by a comment or by `pass`."""
    lines = text.replace("\r\n", "\n").split("\n")
    inside = _strings_of(text)
    for index, line in enumerate(lines):
        if index + 1 in inside:
            continue
        assigned = _ASSIGNED.match(line)
        if assigned and not _parses(line):
            _refuse(number, index + 1, line)
        if _HELP.match(line) and not _parses(line):
            lines[index] = _comment(line)
            continue
        found = _MAGIC.match(line)
        if found is None:
            continue
        lines[index] = _without(number, index + 1, line, found, requirements, notes)
    return "\n".join(lines)


def _without(
    number: int, at: int, line: str, found: re.Match[str], requirements: dict[str, None], notes: list[str]
) -> str:
    sign, rest = found["sign"], found["rest"].strip()
    install = _INSTALL.match(f"!{rest}")
    if sign in ("!", "%", "!!") and install:
        wanted = [word for word in install["what"].split() if not word.startswith("-")]
        requirements.update(dict.fromkeys(wanted))
        notes.append(f"cell {number}, line {at}: installs {' '.join(wanted)}, which became a requirement")
        return _comment(line)
    name = rest.split()[0] if rest.split() else ""
    if sign.startswith("?"):
        return _comment(line)
    if sign in ("%", "%%") and name in _DROPPED:
        notes.append(f"cell {number}, line {at}: {sign}{name} was dropped")
        statement = rest[len(name) :].strip()
        if name in _TIMED and sign == "%" and statement and _parses(statement):
            return f"{found['indent']}{statement}"
        return _comment(line)
    _refuse(number, at, line)
    return ""


def _refuse(number: int, at: int, line: str) -> None:
    shown = line.strip() if len(line.strip()) <= 60 else line.strip()[:57] + "..."
    raise InvalidInput(
        f"Cell {number}, line {at} is a line of IPython: {shown}",
        why="What it does lies outside of Python, so that no pipeline could do the same.",
        fix="Write it in Python (subprocess, urllib, pathlib), or do it before the notebook runs.",
        field=f"cell {number}",
    )


def _comment(line: str) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return f"{indent}pass  # {line.strip()}" if indent else f"# {line.strip()}"


def _parses(line: str) -> bool:
    try:
        ast.parse(line.strip())
    except (SyntaxError, ValueError):
        return False
    return True


def _strings_of(text: str) -> set[int]:
    """The lines that begin inside a text of several lines, or inside brackets, by a plain count of their signs."""
    inside: set[int] = set()
    open_with, depth = "", 0
    for index, line in enumerate(text.split("\n"), 1):
        if open_with or depth > 0:
            inside.add(index)
        for sign in re.findall(r"\"\"\"|'''|\\.|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|#.*|[()\[\]{}]", line):
            if open_with:
                open_with = "" if sign == open_with else open_with
            elif sign in ('"""', "'''"):
                open_with = sign
            elif sign in "([{":
                depth += 1
            elif sign in ")]}":
                depth -= 1
    return inside


def _parsed(path: Path, number: int, source: str) -> ast.Module:
    try:
        return ast.parse(source, filename=f"cell {number}")
    except (SyntaxError, ValueError) as problem:
        at = getattr(problem, "lineno", None) or 1
        line = source.split("\n")[at - 1 : at]
        raise InvalidInput(
            f"Cell {number} of {path.name} is no Python: line {at}: {getattr(problem, 'msg', problem)}"
            f"{': ' + line[0].strip() if line else ''}",
            why="A cell that cannot be read cannot be run either.",
            fix="Mend the cell, run the notebook from top to bottom, and save it.",
            field=f"cell {number}",
        ) from problem


def _order(cells: list[Cell]) -> list[str]:
    counts = [cell.shown for cell in cells if cell.shown is not None]
    if not counts or counts == sorted(counts):
        return []
    for before, after in pairwise(cells):
        if before.shown is not None and after.shown is not None and after.shown < before.shown:
            return [
                f"cell {after.number} was last run as [{after.shown}], before cell {before.number} ([{before.shown}]): the "
                "pipeline runs the cells from top to bottom, and its answers may differ from those that the notebook shows"
            ]
    return []
