"""The page of plug-ins shows the very files of the example package, and names what there is."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import slipway as sw

HERE = Path(__file__).parents[2]
EXAMPLE = HERE / "examples" / "plugins"
PAGE = (HERE / "docs" / "plug-ins.md").read_text()
FILES = [EXAMPLE / "pyproject.toml", *sorted((EXAMPLE / "src" / "slipway_examples").glob("[a-z]*.py"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_page_shows_each_file_as_it_is(file: Path) -> None:
    blocks = re.findall(r"^```(?:python|toml)\n(.*?)^```", PAGE, re.S | re.M)
    assert file.read_text() in blocks


def test_the_suites_and_functions_that_the_page_names_are_there() -> None:
    suites = re.findall(r"`(\w+)\.(\w+Suite)`", PAGE)
    assert len(suites) == 6
    assert all(hasattr(import_module(f"slipway.conformance.{module}"), name) for module, name in suites)
    assert set(re.findall(r"sw\.(custom_\w+)", PAGE)) == {n for n in sw.__all__ if n.startswith("custom_")}


def test_the_suite_that_the_page_shows_is_the_one_of_the_example() -> None:
    shown = re.findall(r"^(class Test\w+.*?)^```", PAGE, re.S | re.M)
    assert len(shown) == 1
    assert shown[0] in (EXAMPLE / "test_plugins.py").read_text()
