"""The floors hold beyond what `make lint` sees: who may import whom, and where an import may stand inside a function."""

import ast
import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "slipway"
MAY_IMPORT_INSIDE = ("cli/", "backends/")
SHARED = {"ledger", "operations", "tables", "schema", "stats", "charts"}
FLOOR_FOUR = {"tables": {"ledger", "stats", "schema"}, "stats": {"schema"}}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def test_every_room_has_a_floor() -> None:
    """import-linter is told to be exhaustive; this says which room was forgotten, without starting it."""
    contract = (SOURCE.parents[1] / "pyproject.toml").read_text().split("layers = [")[1].split("]")[0]
    rooms = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    named = set(contract.replace('"', " ").replace(",", " ").replace("|", " ").replace(":", " ").split())
    assert rooms - named - {"__init__", "__main__"} == set()


def test_imports_stand_at_the_top_unless_something_is_chosen_by_name() -> None:
    inside = []
    for path in modules():
        place = path.relative_to(SOURCE).as_posix()
        if place.startswith(MAY_IMPORT_INSIDE) or path.name == "__init__.py" or place == "plugins.py":
            continue
        text = path.read_text()
        if not re.search(r"^\s+(from \S+ )?import ", text, re.MULTILINE):  # few are left: parsing all takes seconds
            continue
        inside += [
            f"{place}:{node.lineno}"
            for function in ast.walk(ast.parse(text))
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
    assert inside == []


def test_shared_rooms_use_only_the_shared_rooms_that_they_may() -> None:
    """The contract lets the rooms of floor 4 see each other; between some of them there is an order."""
    faults = []
    for room in ("tables", "stats", "schema", "charts"):
        allowed = FLOOR_FOUR.get(room, set()) | {room, "operations"}
        for path in sorted((SOURCE / room).glob("*.py")):
            used = set(re.findall(r"^\s*from slipway\.(\w+)", path.read_text(), re.MULTILINE))
            faults += [f"{room}/{path.name} uses {other}" for other in sorted(used & SHARED - allowed)]
    assert faults == []
