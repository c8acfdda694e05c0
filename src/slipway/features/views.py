"""Feature views: any query whose latest known row by entity gives features, declared with `@sw.feature_view(...)`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from slipway.errors import InvalidDeclaration
from slipway.features.about import about_of
from slipway.features.windows import microseconds_of, names_of
from slipway.records.features import AboutFeature

__all__ = ["FeatureView", "feature_view"]


class FeatureView:
    """A feature view: a query over tables, and how its rows are found. Calling it calls the function.

    Args:
        function: Takes LazyFrames of the tables that its parameters name; returns one.
        entity: The key columns of the result.
        time: The column that says when a row became known, "" for facts without time.
        ttl_us: How old a row may be and still count (at - time <= ttl), None for ever.
        defaults: What stands in a column where no row counts, by column.
        about: Owner, description and tags.

    Attributes:
        name: The function's name; its features are `<name>_<column>`.
        function: The user's function.
        sources: The tables, in the order of the parameters.
        definition: What its rows are made by, where its owner has run the query; "" where it is run here.
        reads: For each value column what it was made of, where its owner has run the query.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        entity: tuple[str, ...],
        time: str = "",
        ttl_us: int | None = None,
        defaults: Mapping[str, Any] | None = None,
        about: AboutFeature | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = getattr(function, "__name__", "")
        if not self.name.isidentifier():
            raise InvalidDeclaration(
                f"{'A lambda' if self.name else repr(function)} cannot be a feature view.",
                why="A view is known by its function's name: it is the beginning of its features' names.",
                fix="Write `@sw.feature_view(...)` over a `def`.",
            )
        self.entity = entity
        self.time = time
        self.ttl_us = ttl_us
        self.definition = ""
        self.reads: dict[str, tuple[str, ...]] = {}
        self.defaults = dict(defaults or {})
        self.about = about or about_of(function)
        parameters = inspect.signature(function).parameters
        for one in parameters.values():
            if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.KEYWORD_ONLY):
                raise InvalidDeclaration(
                    f"The feature view {self.name!r} takes {one.name!r} as {one.kind.description}.",
                    why="Its parameters name the tables that it queries, given in order.",
                    fix="Name the tables one by one.",
                )
        self.sources = tuple(parameters)
        if not self.sources:
            raise InvalidDeclaration(
                f"The feature view {self.name!r} reads no table.",
                why="Its parameters name the tables that it queries.",
                fix=f"For example `def {self.name}(weather: pl.LazyFrame) -> pl.LazyFrame:`.",
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the user's function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<feature view {self.name} by {', '.join(self.entity)}>"


def feature_view(
    *,
    entity: str | Iterable[str],
    time: str | None = None,
    ttl: str | timedelta | None = None,
    default: Mapping[str, Any] | None = None,
    owner: str = "",
    description: str = "",
    tags: str | Iterable[str] = (),
) -> Callable[[Callable[..., Any]], FeatureView]:
    """Declare a feature view: any query over tables; a row's features are those of its entity's latest known row.

    Every column of the result besides entity and time is a feature, named `<view>_<column>`. Of several rows of an
    entity at one time the one with the greatest values counts, compared column by column, null lowest.

    Args:
        entity: The columns of the result that identify what a row is about; requests carry fields of these names.
        time: The column that says when a row became known (aware UTC). None for facts without time; an entity then has
            one row.
        ttl: How old a row may be and still count, None for ever.
        default: What stands in a column, by its name, where no row of the entity is known or the latest is too old; null
            where it names none. Entity, time, ttl and defaults are part of the definition.
        owner: Who answers for it: a person or a team.
        description: What it means, in a sentence; the first line of the function's docstring where it is "".
        tags: Words to find it by. Owner, description and tags are no part of the definition.

    Raises:
        InvalidDeclaration: Entity, ttl or default do not fit.

    Example:
        >>> @feature_view(entity="tailnum")
        ... def plane(planes):
        ...     return planes.select("tailnum", "year", "seats")
        >>> plane.sources
        ('planes',)
    """
    columns = names_of(entity, "`entity` of the feature view")
    ttl_us = None if ttl is None else microseconds_of(ttl, "`ttl` of the feature view")
    _check_rows(columns, time, ttl_us, default)

    def declare(function: Callable[..., Any]) -> FeatureView:
        about = about_of(function, owner=owner, description=description, tags=tags)
        return FeatureView(function, entity=columns, time=time or "", ttl_us=ttl_us, defaults=default, about=about)

    return declare


def _check_rows(columns: tuple[str, ...], time: object, ttl_us: int | None, default: object) -> None:
    if time is not None and (not isinstance(time, str) or not time):
        raise InvalidDeclaration(
            f"The feature view by {', '.join(columns)} has time={time!r}.",
            why="It names the column that says when a row became known.",
            fix="For example time='observed_at'; leave it out for facts without time.",
        )
    if ttl_us is not None and time is None:
        raise InvalidDeclaration(
            f"The feature view by {', '.join(columns)} has a ttl and no time.",
            why="Without a time column no row has an age.",
            fix="Name the time column, or leave the ttl out.",
        )

    if default is not None and not isinstance(default, Mapping):
        raise InvalidDeclaration(
            f"The feature view by {', '.join(columns)} has default={default!r}.",
            why="Each column of a view has a default of its own.",
            fix="Name the columns: default={'temperature': 15.0}.",
        )
