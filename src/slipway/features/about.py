"""What declarations say about features besides how they are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from slipway.errors import InvalidDeclaration
from slipway.records.features import AboutFeature

__all__ = ["about_of"]


def about_of(
    function: Callable[..., Any] | None = None,
    *,
    owner: str = "",
    description: str = "",
    tags: str | Iterable[str] = (),
) -> AboutFeature:
    """Owner, description and tags as a declaration gives them.

    Args:
        function: The first line of its docstring is the description where none is given; None where there is none.
        owner: A person or a team.
        description: A sentence.
        tags: One or several words.

    Raises:
        InvalidDeclaration: One is not text.
    """
    words = (tags,) if isinstance(tags, str) else tuple(tags) if isinstance(tags, Iterable) else (tags,)
    for name, value in (("owner", owner), ("description", description), *(("tags", word) for word in words)):
        if not isinstance(value, str):
            raise InvalidDeclaration(
                f"{name}={value!r} of a feature is no text.",
                why="Owner, description and tags are words for people.",
                fix=f"For example {name}={'flight desk' if name == 'owner' else 'weather'!r}.",
            )
    written = description or (getattr(function, "__doc__", None) or "").strip().partition("\n")[0]
    return AboutFeature(owner=owner, description=written, tags=words)
