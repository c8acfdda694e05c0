"""`sw.shared(...)`: something that another project published, under its number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slipway import data
from slipway.errors import InvalidDeclaration
from slipway.features.shared import SharedReference, function_of
from slipway.pipelines.declare import Step
from slipway.ports.workspace import workspace
from slipway.records.sharing import Publication, Shareable

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Shared", "shared"]


class Shared(SharedReference):
    """A part of a feature set, a table to read, or a step to call: whatever the reference names."""

    _called: tuple[Publication, Callable[..., Any]] | None = None

    def read(self) -> pl.LazyFrame:
        """The rows of a shared table or view as they are now, with the columns that its number promises.

        Raises:
            InvalidDeclaration: It is something else.
            NotFound: There is no such publication, or a promised column is gone.
            Denied: The current project may not use it.
        """
        found = self._of("table", "view")
        rows = data.versions.read(workspace(), found.table, project=found.project)
        if found.sort == "view":
            return rows
        names = rows.collect_schema().names()
        missing = [field.name for field in found.fields if field.name not in names]
        if missing:
            raise InvalidDeclaration(
                f"The table {found.project}/{found.table} has no longer the column {missing[0]!r} that {found.id} "
                "promises.",
                why="Its owner changed it without a new number.",
                fix=f"Ask {found.about.owner or f'the owners of {found.project}'}, or use a newer number.",
            )
        return rows.select(field.name for field in found.fields)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call a shared step (recorded and cached inside a pipeline) or feature."""
        found = self._of("step", "feature")
        if self._called is None or self._called[0] is not found:
            function = function_of(workspace(), found)
            self._called = found, Step(function) if found.sort == "step" else function
        return self._called[1](*args, **kwargs)

    def _of(self, *sorts: Shareable) -> Publication:
        found = self.publication()
        if found.sort not in sorts:
            raise InvalidDeclaration(
                f"{found.id} is a {found.sort}, and is used as a {sorts[0]}.",
                fix="Put it into a feature set." if found.parts else "Tables are read, steps are called.",
            )
        return found


def shared(reference: str) -> Shared:
    """Use what another project of the same store published: `sw.shared("flights/weather_at_origin@3")`.

    Features, windows and feature views are parts of a feature set; a table is read by `.read()`; a step is called. What
    it names is looked up when it is used, in the store of the open project.

    Args:
        reference: `<project>/<name>@<number>`.

    Raises:
        InvalidInput: It is no reference.
        InvalidDeclaration: It has no number.

    Example:
        >>> shared("flights/weather_at_origin@3")
        <shared flights/weather_at_origin@3>
    """
    return Shared(reference)
