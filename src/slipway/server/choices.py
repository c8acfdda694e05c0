"""The lines of a filter: the values that occur, each with how many and the address that chooses it."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

__all__ = ["choices"]


def choices(
    asked: dict[str, str], field: str, known: Iterable[str], counted: list[dict[str, int]]
) -> list[dict[str, Any]]:
    """The values of a filter that occur, each with how many and its address; the first is all of them.

    Args:
        asked: What the page's address asks for.
        field: The filter's field in it.
        known: The values, in the order in which they are shown.
        counted: How often each occurs, of each project that is shown.
    """
    others = {name: value for name, value in asked.items() if name != field}
    counts = {value: sum(one.get(value, 0) for one in counted) for value in known}
    shown = [("", sum(counts.values()))] + [(value, many) for value, many in counts.items() if many]
    return [
        {
            "title": value or "all",
            "many": many,
            "address": f"?{urlencode({**others, **({field: value} if value else {})})}",
            "is_chosen": asked.get(field, "") == value,
        }
        for value, many in shown
    ]
