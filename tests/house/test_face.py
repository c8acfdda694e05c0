"""The face: one table, sorted, whole, and the same for type checkers."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

import slipway
from slipway.runs.tracking import ActiveRun

SOURCE = Path(slipway.__file__)
HOMES: dict[str, str] = slipway._HOMES


def test_the_names_are_sorted_and_are_the_table() -> None:
    assert list(slipway.__all__) == sorted(HOMES)
    assert set(slipway.__all__) <= set(dir(slipway))


@pytest.mark.parametrize("name", sorted(HOMES))
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    try:
        import_module(HOMES[name].partition(":")[0])
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("slipway"):
            raise
        pytest.skip(f"needs {missing.name}")
    value = getattr(slipway, name)
    assert getattr(slipway, name) is value
    assert (value.__doc__ or "").strip(), f"{name} has no docstring"


def test_a_name_of_another_library_leads_to_the_one_here() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'start_run'. Here that is: with sw.run\("):
        getattr(slipway, "start_run")  # noqa: B009 -- no type checker knows it either


def test_every_name_that_a_run_is_said_to_have_is_there() -> None:
    said = re.findall(r"\brun\.(\w+)", SOURCE.with_name("elsewhere.py").read_text())
    assert said
    assert [name for name in said if not hasattr(ActiveRun, name)] == []


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(SOURCE.read_text())
    block = next(
        node for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    )
    typed = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        if alias.asname not in (None, alias.name)
        else node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slipway")
        for alias in node.names
    }
    assert typed == HOMES


def test_a_wrong_name_proposes_the_near_one() -> None:
    with pytest.raises(AttributeError, match="feature"):
        slipway.featur  # noqa: B018
