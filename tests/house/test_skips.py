"""What `make test-all` skips is written down: a library that a test asks for is installed there, or is on the list here."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"matplotlib": "pip install matplotlib", "torch": "make test-torch"}
"""A library that `make test-all` does not install, and what runs its tests."""


def asked_for() -> set[str]:
    found = set()
    for path in (ROOT / "tests").rglob("*.py"):
        found.update(re.findall(r"importorskip\(\s*\"([\w.]+)\"", path.read_text()))
    return found


def is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package that it lies in
        return False


@pytest.mark.full
def test_what_test_all_skips_for_want_of_a_library_is_on_the_list() -> None:
    assert {module for module in asked_for() if not is_there(module)} <= set(LEFT_OUT)


def test_the_list_is_no_longer_than_it_must_be_and_contributors_are_told_the_commands() -> None:
    assert set(LEFT_OUT) <= asked_for()
    said = (ROOT / "CONTRIBUTING.md").read_text()
    for module, command in LEFT_OUT.items():
        assert command in said, module
        target = command.removeprefix("make ")
        assert target == command or f"\n{target}:" in (ROOT / "Makefile").read_text()
