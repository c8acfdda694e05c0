"""Nothing grows too large to be read, and no file is a drawer for everything."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "slipway"
MODULES = sorted(SOURCE.rglob("*.py"))
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "core", "types_", "stuff"}


def place(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def test_files_and_functions_can_be_read_at_once() -> None:
    faults = []
    for path in MODULES:
        text = path.read_text()
        if len(text.splitlines()) > 500:
            faults.append(f"{place(path)} has {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > 60:
                    faults.append(f"{place(path)}: {node.name} has {length} lines")
    assert faults == []


def test_files_say_what_is_in_them() -> None:
    assert [place(path) for path in MODULES if {path.stem, path.parent.name} & FORBIDDEN] == []


def test_a_room_opens_with_a_few_lines_about_it() -> None:
    faults = []
    for path in MODULES:
        docstring = ast.get_docstring(ast.parse(path.read_text()))
        if not docstring:
            faults.append(f"{place(path)} does not say what it owns")
        elif path.name == "__init__.py" and len(docstring.splitlines()) > 10:
            faults.append(f"{place(path)} opens with {len(docstring.splitlines())} lines")
    assert faults == []
