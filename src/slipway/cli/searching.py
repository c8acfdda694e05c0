"""What the commands that search share: their options, and the way to the next page."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["next_page", "search_options"]

F = TypeVar("F", bound=Callable[..., Any])


def search_options(function: F) -> F:
    """Add WHERE and the options of a search to a command."""
    adding = (
        click.option("--token", default="", help="The token of the page before this one."),
        click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many at most."),
        click.option("--best-per", default="", help="Only the first of each value of this field: tags.user."),
        click.option("--order", default="", help="What comes first: 'metrics.auc desc, started'."),
        click.argument("where", default=""),
    )
    for add in adding:
        function = add(function)
    return function


def next_page(token: str) -> str:
    """How to ask for the next page, "" where nothing follows."""
    return f"\nNext page: --token {token}" if token else ""
