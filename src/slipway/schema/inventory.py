"""An inventory of old models as a team fills it in: a CSV or TOML file, refused where it says what cannot be."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Iterable
from typing import Any

import msgspec

from slipway.errors import InvalidInput, SlipwayError, near
from slipway.ids import check_name
from slipway.records.migrations import OldModel

__all__ = ["MOST", "checked", "not_utf8", "of_csv", "of_toml", "to_csv"]

MOST = 1000
"""How many models an inventory may have."""
_LARGEST = 1e15
_FIELDS = [field.name for field in msgspec.structs.fields(OldModel)]
_NUMBERS = ("users", "requests_a_day", "value")


def of_csv(text: str) -> tuple[OldModel, ...]:
    """The old models of a CSV file whose head names fields; `name` is needed, an empty cell says nothing.

    Raises:
        InvalidInput: It has a column that no model has, no name, or a value that cannot be.
    """
    if "\ufffd" in text:
        raise not_utf8("The inventory")
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    head: list[str] = []
    found = []
    try:
        for row in reader:
            if not head:
                head = [name.strip() for name in row]
                _check_head(head)
            elif given := _given(head, row, reader.line_num):
                found.append(given)
    except csv.Error as problem:
        raise InvalidInput(
            f"Line {reader.line_num} of the inventory cannot be read: {problem}.", fix="Save it as CSV with commas."
        ) from problem
    return _models(found)


def not_utf8(what: str) -> InvalidInput:
    """That a text is not UTF-8, as a spreadsheet may write it."""
    return InvalidInput(
        f"{what} is not written in UTF-8.",
        why="Its letters cannot be told from each other.",
        fix="Save it as UTF-8: in a spreadsheet, as 'CSV UTF-8'.",
        field="models",
    )


def of_toml(text: str) -> tuple[OldModel, ...]:
    """The old models of a TOML file with one `[[model]]` each.

    Raises:
        InvalidInput: As of a CSV file.
    """
    try:
        given = tomllib.loads(text)
    except (ValueError, RecursionError) as problem:  # also a number of thousands of digits
        raise InvalidInput(f"The inventory is no TOML: {problem}.", fix="One [[model]] a model.") from problem
    found = given.get("model")
    if not isinstance(found, list):
        raise InvalidInput("The inventory has no [[model]].", fix='Write:  [[model]]  name = "churn"  kind = "pickle"')
    for one in found:
        if not isinstance(one, dict):
            raise InvalidInput(f"{one!r} is no model of an inventory.", fix='Write:  [[model]]  name = "churn"')
        _check_fields(one)
    return _models(found)


def to_csv(models: Iterable[OldModel]) -> str:
    """Old models as the file that says them: what `of_csv` reads."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: "" if value in (0, 0.0) else value for name, value in msgspec.to_builtins(one).items()} for one in models
    )
    return out.getvalue()


def checked(models: tuple[OldModel, ...]) -> tuple[OldModel, ...]:
    """Old models that can be, by name.

    Raises:
        InvalidInput: None, too many, two of one name, or one with a name or number that cannot be.
    """
    if not models:
        raise InvalidInput(
            "The inventory names no model.",
            fix="Begin with what is found: slipway migrate scan FOLDER --out models.csv",
        )
    if len(models) > MOST:
        raise InvalidInput(f"The inventory names {len(models):,} models.", fix=f"At most {MOST:,} of a project.")
    for what, names in (("name", [one.name for one in models]), ("name here", [one.model for one in models])):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidInput(f"Two models of the inventory have the {what} {twice[0]!r}.", fix="Give each its own.")
    for one in models:
        if not one.name.strip() or not one.name.isprintable():
            raise InvalidInput(f"{one.name!r} is no name of a model.", fix="Fill in its column name.")
        try:
            check_name(one.model, "model")
        except SlipwayError as problem:
            raise InvalidInput(
                f"The model {one.name!r} cannot be called so here: {problem}",
                fix="Fill in its column becomes.",
                field="becomes",
            ) from problem
        for field in _NUMBERS:
            value = getattr(one, field)
            if not 0 <= value <= _LARGEST:
                raise InvalidInput(
                    f"{one.name!r} has {field} = {str(value)[:30]}.",
                    fix=f"Give a number from 0 to {_LARGEST:g}.",
                    field=field,
                )
    return tuple(sorted(models, key=lambda one: one.name))


def _check_head(head: list[str]) -> None:
    if len(head) == 1 and ";" in head[0]:
        raise InvalidInput("The inventory has semicolons between its cells.", fix="Save it as CSV with commas.")
    _check_fields(head)
    twice = [name for name in head if head.count(name) > 1]
    if twice:
        raise InvalidInput(f"The inventory has two columns {twice[0]!r}.", fix="Leave one of them out.", field=twice[0])


def _given(head: list[str], row: list[str], line: int) -> dict[str, Any]:
    """What a line says, by column."""
    if any(value.strip() for value in row[len(head) :]):
        raise InvalidInput(
            f"Line {line} of the inventory has {len(row)} cells, and its head {len(head)}.",
            why="What stands beyond the head would be lost.",
            fix='Put a cell that has commas in quotes, as "Smith, Ada" or "50,000"; or name the column.',
        )
    return {
        name: _number(name, value.strip()) if name in _NUMBERS else value.strip()
        for name, value in zip(head, row, strict=False)
        if value.strip()
    }


def _check_fields(given: Iterable[str]) -> None:
    for name in given:
        if name not in _FIELDS:
            raise InvalidInput(
                f"A model of an inventory has no {name!r}.", fix=near(name, _FIELDS, what="columns"), field=name
            )


def _number(name: str, text: str) -> float | int:
    try:
        found = float(text.replace(",", ""))
    except ValueError as problem:
        raise InvalidInput(f"{text!r} is no number.", fix="Write it as 100 or 0.5.", field=name) from problem
    return int(found) if found.is_integer() else found


def _models(found: list[dict[str, Any]]) -> tuple[OldModel, ...]:
    try:
        return checked(msgspec.convert(tuple(found), tuple[OldModel, ...]))
    except msgspec.ValidationError as problem:
        raise InvalidInput(f"The inventory cannot be read: {problem}.", fix="See docs/migrate.md.") from problem
