"""The commands that the pages name are there, with their options."""

import re
import shlex
from pathlib import Path

import click
import pytest

from slipway.cli import main

HERE = Path(__file__).parents[2]
PAGES = sorted([HERE / "README.md", *(HERE / "docs").glob("*.md")])


def commands(page: Path) -> list[str]:
    text = page.read_text()
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.S | re.M)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if re.match(r"slipway [a-z]", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_commands_and_options_that_there_are(page: Path) -> None:
    for line in commands(page):
        words = shlex.split(line, comments=True)[1:]
        found: click.Command = main
        while isinstance(found, click.Group):
            assert words, line
            found = found.get_command(click.Context(found), words[0]) or pytest.fail(line)
            words.pop(0)
        known = {option for one in found.params for option in (*one.opts, *one.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_the_pages_name_commands() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 40
