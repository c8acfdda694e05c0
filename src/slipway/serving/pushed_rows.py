"""Pushed rows checked against what reads them, so that a wrong value is refused by its place: `rows[3].dep_delay`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from slipway.errors import InvalidInput, near
from slipway.records.features import Aggregate, FeatureSetSpec, View, Windows
from slipway.records.schema import Field, FieldType
from slipway.schema.validation import decoder, shown

__all__ = ["RowCheck", "checks_of"]


class RowCheck:
    """Checks rows of a table or view; columns that no feature reads may hold anything.

    Args:
        fields: The columns that features read; null is allowed in each, absence in none.
        whole: Which of them go onto a grid of whole numbers.
        truth: Which of these are truth values.
    """

    def __init__(self, fields: Sequence[Field], whole: Collection[str] = (), truth: Collection[str] = ()) -> None:
        self._whole = frozenset(whole)
        self._truth = frozenset(truth)
        self._names = [field.name for field in fields]
        self._decoder = decoder(tuple(Field(field.name, field.type) for field in fields))

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Check rows as JSON gave them.

        Raises:
            InvalidInput: A row lacks a column or holds a value of another type; row and column are named.
        """
        for index, row in enumerate(rows):
            for name in self._names:
                if name not in row:
                    raise InvalidInput(
                        f"rows[{index}] has no {name!r}.",
                        why=near(name, row, what="columns that came"),
                        fix="Send null where it is not known.",
                        field=f"rows[{index}].{name}",
                    )
                if name in self._truth:
                    _check_truth(row[name], f"rows[{index}].{name}")
                elif name in self._whole:
                    _check_whole(row[name], f"rows[{index}].{name}")
        read = [{name: row[name] for name in self._names} for row in rows]
        self._decoder.decode(msgspec.json.encode({"rows": read}))


def _check_whole(value: Any, where: str) -> None:
    fits = isinstance(value, int | float) and -(2**63) <= value < 2**63 and not value % 1
    if value is not None and not fits:
        raise _misfit(value, where, "a whole number of at most 64 bits")


def _check_truth(value: Any, where: str) -> None:
    # 0 and 1 are how some writers of JSON say it; on the store's grid any other number would count as itself.
    if value is not None and (not isinstance(value, int | float) or value not in (0, 1)):
        raise _misfit(value, where, "true or false")


def _misfit(value: Any, where: str, expected: str) -> InvalidInput:
    return InvalidInput(
        f"{where} is {shown(value)}.",
        why=f"Expected {expected}.",
        fix="Send null where it is not known.",
        field=where,
    )


def checks_of(spec: FeatureSetSpec) -> tuple[dict[str, RowCheck], dict[str, RowCheck]]:
    """The checks of a feature set: by the tables that its windows read, and by its views' names."""
    sources: dict[str, dict[str, Field]] = {}
    whole: dict[str, set[str]] = {}
    truth: dict[str, set[str]] = {}
    views: dict[str, RowCheck] = {}
    for part in spec.parts:
        if isinstance(part, Windows):
            sources.setdefault(part.source, {}).update({field.name: field for field in _columns(part)})
            on_grid = [a for a in part.aggregates if a.column and _type_of(a) == "object"]
            whole.setdefault(part.source, set()).update(a.column for a in on_grid)
            truth.setdefault(part.source, set()).update(a.column for a in on_grid if a.type == "bool")
        elif isinstance(part, View):
            fields = [Field(name, kind) for name, kind in zip(part.entity, part.entity_types, strict=True)]
            fields += [Field(part.time, "datetime")] if part.time else []
            views[part.name] = RowCheck([*fields, *part.fields])
    checks = {name: RowCheck(list(fields.values()), whole[name], truth[name]) for name, fields in sources.items()}
    return checks, views


def _type_of(aggregate: Aggregate) -> FieldType:
    """The type by which values of an aggregate's column are checked."""
    if aggregate.type in ("string", "date", "datetime"):
        return aggregate.type
    # Whole numbers and truth values are one kind on the store's grid, which takes 3.0 for 3: looked at by themselves.
    return "object" if aggregate.integer else "float"


def _columns(windows: Windows) -> list[Field]:
    aggregates = [a for a in windows.aggregates if a.column]
    return [
        *(Field(a.column, _type_of(a)) for a in aggregates),
        *(Field(name, kind) for name, kind in zip(windows.event_id, windows.event_id_types, strict=True)),
        *(Field(name, kind) for name, kind in zip(windows.by, windows.key_types, strict=True)),
        Field(windows.time, "datetime"),
    ]
