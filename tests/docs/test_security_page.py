"""The security page names tests that exist, and every test of a class of advisories is on it."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "security.md").read_text()


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 20
    for file, test in named:
        assert (TESTS / file).is_file(), file
        assert not test or test in functions(TESTS / file), test


def test_every_advisory_that_is_tested_is_on_the_page() -> None:
    for file in ("test_advisories.py", "test_bad_days.py"):
        tests = {name for name in functions(TESTS / "server" / file) if name.startswith("test_")}
        assert {name for name in tests if f"::{name}`" not in PAGE} == set()
