"""Feature sets: all features of a model, in order, declared with `sw.FeatureSet(...)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from slipway import features as room
from slipway.errors import InvalidDeclaration
from slipway.features.scalars import Feature
from slipway.features.shared import SharedReference
from slipway.features.views import FeatureView
from slipway.features.windows import DeclaredWindows
from slipway.records.features import FeatureSetSpec
from slipway.records.schema import Field, FieldType

if TYPE_CHECKING:
    import polars as pl

    from slipway.tables.row_batches import Batches

__all__ = ["FeatureSet"]

Declared = str | Feature | DeclaredWindows | FeatureView | SharedReference


class FeatureSet:
    """All features of a model, in the order of declaration.

    Args:
        *parts: Features, windows, feature views, what `sw.shared` names, and names of request fields that are features
            as they stand.
        name: What it is called; "features" when None.

    Raises:
        InvalidDeclaration: A part is none of these, or two features share a name.

    Attributes:
        name: The set's name.
        parts: The declarations, in order.
    """

    def __init__(self, *parts: Declared, name: str | None = None) -> None:
        self.name = name or "features"
        self.parts = parts
        taken: set[str] = set()
        for part in parts:
            for given in _names(part, self.name):
                if given in taken:
                    raise InvalidDeclaration(
                        f"Two features of {self.name!r} are called {given!r}.",
                        why="A feature's name is a column of the training set.",
                        fix="Rename one, or name the key set: by={'another_name': [...]}.",
                    )
                taken.add(given)
        if not parts:
            raise InvalidDeclaration(
                f"The feature set {self.name!r} is empty.",
                why="A model learns from at least one feature.",
                fix="For example sw.FeatureSet('distance', hour).",
            )

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """The functions of the scalar features, by name; those of other projects come from the current store."""
        found: dict[str, Callable[..., Any]] = {}
        for part in self.parts:
            if isinstance(part, Feature):
                found[part.name] = part.function
            elif isinstance(part, SharedReference):
                found.update(part.shared_parts().functions)
        return found

    @property
    def views(self) -> dict[str, FeatureView]:
        """The feature views, by name; those of other projects come from the current store."""
        found: dict[str, FeatureView] = {}
        for part in self.parts:
            if isinstance(part, FeatureView):
                found[part.name] = part
            elif isinstance(part, SharedReference):
                found.update(part.shared_parts().views)
        return found

    @property
    def names(self) -> list[str]:
        """The features' names, in order.

        Raises:
            UserError: There are feature views in the set, and no project is open in which to look up their columns.
        """
        return list(room.training.feature_names(self))

    @property
    def identity(self) -> str:
        """Its name and what is known of its parts before any table is: by it a run remembers the names of its features."""
        return " ".join([self.name, *(name for part in self.parts for name in _names(part, self.name))])

    def spec(self, request: object | Mapping[str, FieldType | Field]) -> FeatureSetSpec:
        """The set as data: everything that the offline and the online path need to agree.

        Args:
            request: The types of the request's fields by name, or a table (its declaration or name) whose columns they
                are. Windows and views look up their tables in the current workspace.

        Raises:
            InvalidDeclaration: A part does not fit the tables or the request's fields.
            NotFound: A table has no version yet.
            UserError: No project is open, and one is needed.
        """
        return room.training.spec(self, request)

    def training_set(
        self,
        table: object,
        *,
        label: str,
        at: str | None = None,
        known: str | None = None,
        since: date | datetime | None = None,
        until: date | datetime | None = None,
    ) -> pl.DataFrame:
        """Every labelled row of a table with the features as they were known at its decision.

        Exactly one row per label row, in the table's order: its key, its time, its request fields, the features in
        order, and the label last. Rows without a label or time are left out, and reported; rows that found nothing in a
        feature view are kept, and reported too. Inside a pipeline this is a recorded and cached step.

        Args:
            table: The table with the labels: its declaration or name.
            label: The label's column.
            at: The column of the decision times (aware UTC); the declared table's own time when None.
            known: The column that says when a row's label became known (aware UTC). With `until`, rows whose label was
                not known by then are left out, and reported: the training set is then the one that could have been made
                at `until`, whenever it is made. None where labels are known at once.
            since: Only rows decided at or after this; a date begins at midnight UTC.
            until: Only rows decided before this.

        Raises:
            InvalidInput: A column is missing or of the wrong type, the label is also a feature, or the frame would not
                fit in memory: see `training_batches`.
            InvalidDeclaration: A part does not fit the tables.
            NotFound: A table has no version yet.
            StepFailed: A scalar feature raised.
        """
        return room.training.training_set(self, table, label=label, at=at, known=known, since=since, until=until)

    def training_batches(
        self,
        table: object,
        *,
        label: str,
        at: str | None = None,
        known: str | None = None,
        since: date | datetime | None = None,
        until: date | datetime | None = None,
        batch_rows: int = 100_000,
        name: str | None = None,
    ) -> Batches:
        """The rows of `training_set`, stored as a version of a table and read in batches: for what does not fit in memory.

        Making it, storing it and reading it each need the memory of a part of it. Iterating gives frames, in the order
        of the table, the same ones at each iteration. The same rows again are the same version, and what was stored is
        not computed again inside a pipeline. A step takes and returns it as a reference.

        Args:
            table: As for `training_set`.
            label: As for `training_set`.
            at: As for `training_set`.
            known: As for `training_set`.
            since: As for `training_set`.
            until: As for `training_set`.
            batch_rows: How many rows a frame has.
            name: The table in which it is stored; `training.<name of the set>` when None.

        Raises:
            InvalidInput: A column is missing or of the wrong type, the label is also a feature, or the name does not fit.
            InvalidDeclaration: A part does not fit the tables.
            NotFound: A table has no version yet.
            StepFailed: A scalar feature raised.
            BackendError: The disk is full; nothing was stored.
        """
        return room.training.training_batches(
            self,
            table,
            label=label,
            at=at,
            known=known,
            since=since,
            until=until,
            batch_rows=batch_rows,
            name=name,
        )

    def stored_training_set(self, version: str | None = None, *, name: str | None = None) -> Batches:
        """What `training_batches` stored, without computing anything.

        Args:
            version: Its hash, None for the one that was stored last.
            name: The table in which it is stored; `training.<name of the set>` when None.

        Raises:
            NotFound: There is none.
        """
        return room.training.stored_training_set(self, version, name=name)

    def __repr__(self) -> str:
        return f"<feature set {self.name} of {len(self.parts)} parts>"


def _names(part: object, name: str) -> tuple[str, ...]:
    """The names that are known before any table is; a view stands for its columns under its own name."""
    if isinstance(part, str):
        return (part,)
    if isinstance(part, DeclaredWindows):
        return part.names
    if isinstance(part, Feature | FeatureView | SharedReference):
        return (part.name,)
    raise InvalidDeclaration(
        f"{part!r} in the feature set {name!r} is no feature.",
        why="A part is a feature, windows, a feature view, or the name of a request field.",
        fix="Put `@sw.feature` over a plain function.",
    )
