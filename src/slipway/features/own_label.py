"""Whether a feature view over a label table tells a row its own label: then a model learns the answer, and is served none.

Windows over that table are refused by their times (`training_rows`). A view is any query, so it is asked: what does it
know of a row's entity by the row's decision, where the table holds this row and no other?
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from slipway.errors import InvalidInput, SlipwayError
from slipway.features.column_lineage import columns_of_view
from slipway.features.point_in_time import EVENT_TIME, key_columns, microseconds
from slipway.features.specs import Tables, query
from slipway.features.training_rows import Asked
from slipway.features.views import FeatureView
from slipway.records.features import FeatureSetSpec, View

__all__ = ["check_own_label"]

_DECIDED = "__decided"


@dataclass(frozen=True)
class _OneRow:
    """The tables, of which the label table holds one row."""

    tables: Tables
    table: str
    row: pl.DataFrame

    def read(self, table: str) -> pl.LazyFrame:
        """See `specs.Tables`."""
        return self.row.lazy() if table == self.table else self.tables.read(table)

    def key(self, table: str) -> tuple[str, ...]:
        """See `specs.Tables`."""
        return self.tables.key(table)


def check_own_label(
    spec: FeatureSetSpec,
    views: Mapping[str, FeatureView],
    tables: Tables,
    asked: Asked,
    chosen: Iterable[pl.DataFrame],
    say: Callable[[str], None],
) -> None:
    """Look at a few of the chosen rows.

    Args:
        spec: The feature set.
        views: Its feature views, by name.
        tables: The tables that they read.
        asked: The label table and its columns.
        chosen: The chosen rows with all columns of the table, in frames; no more are read than it takes.
        say: Is told of a view that cannot be asked.

    Raises:
        InvalidInput: A view tells a row its label by its decision.
    """
    telling: list[tuple[View, str]] = []
    for part in _over(spec, asked.table):
        try:
            column = _telling(views[part.name], tables, asked)
        except SlipwayError:
            raise
        except Exception as problem:  # a query is anybody's code, and may fail on tables without rows
            say(_unasked(part, asked, problem))
            continue
        if column:
            telling.append((part, column))
    rows = next((frame for frame in chosen if frame.height), pl.DataFrame()) if telling else pl.DataFrame()
    # A definition that tells labels tells those of all rows alike: the first, the middle and the last of some will do.
    places = sorted({0, rows.height // 2, rows.height - 1}) if rows.height else []
    alone = [_OneRow(tables, asked.table, rows.slice(place, 1)) for place in places]
    for part, column in telling:
        try:
            is_known = any(_knows(part, views[part.name], one, asked) for one in alone)
        except SlipwayError:
            raise
        except Exception as problem:  # likewise: it may need more than one row
            say(_unasked(part, asked, problem))
            continue
        if is_known:
            raise _own_label(part, column, asked)


def _over(spec: FeatureSetSpec, table: str) -> list[View]:
    return [part for part in spec.parts if isinstance(part, View) and table in part.sources]


def _telling(view: FeatureView, tables: Tables, asked: Asked) -> str:
    """A column of the view that is made of the label, "" for none."""
    reads = columns_of_view(view, tables)
    return next((column for column, read in reads.items() if f"{asked.table}.{asked.label}" in read), "")


def _knows(part: View, view: FeatureView, tables: _OneRow, asked: Asked) -> bool:
    decided = tables.row.select(
        *key_columns(part.entity, part.entity_types), microseconds(tables.row, asked.at, asked.table).alias(_DECIDED)
    )
    found = query(view, tables)
    known = microseconds(found, part.time, f"the feature view {part.name!r}") if part.time else pl.lit(0)
    rows = found.select(*key_columns(part.entity, part.entity_types), known.alias(EVENT_TIME)).collect()
    held = decided.join(rows, on=list(part.entity))
    return bool(held.height and (not part.time or (held[EVENT_TIME] <= held[_DECIDED]).any()))


def _unasked(part: View, asked: Asked, problem: Exception) -> str:
    reason = (str(problem).splitlines() or [""])[0]
    return (
        f"Whether the feature view {part.name!r} tells rows of {asked.table!r} their own label is not known: its query "
        f"fails on few or no rows ({type(problem).__name__}: {reason})."
    )


def _own_label(part: View, column: str, asked: Asked) -> InvalidInput:
    feature = f"{part.name}_{column}"
    told = f"by the row's decision {asked.at!r}" if part.time else "without a time"
    return InvalidInput(
        f"The feature {feature!r} tells rows of {asked.table!r} their own label {asked.label!r}: the feature view "
        f"{part.name!r} knows it {told}.",
        why="The label of a live request is not known while it is asked: training would see what serving cannot.",
        fix="Let the view's `time` name when a row's label became known, later than its decision; or drop the column.",
        field=feature,
    )
