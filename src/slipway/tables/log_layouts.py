"""What the values of a logged prediction are called, so that whoever holds the log alone can read it.

It is written beside the log with each revision. A row's request is a list in the order of its contract, its features one in the order of its model's inputs. In Parquet
each is a column of its own name and type. A name keeps its type in the whole log: a later field of the same name and
another type gets the column `<name>.<type>`, so that the files of all contracts can be read as one table. DuckDB and Spark
do not tell capitals from small letters: a name that differs by them alone from an earlier one gets the column `<name>.2`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from slipway.errors import Corrupt
from slipway.records.schema import Field, FieldType
from slipway.tables.durable import replace_file

__all__ = ["Columns", "LogLayout", "columns_of", "read_layouts", "taken_names", "write_layout"]

_FOLDER = "layouts"


class LogLayout(msgspec.Struct, frozen=True):
    """What rows of one revision and one bundle consist of.

    Args:
        revision: The revision's number.
        bundle: First 16 digits of the bundle's digest.
        fields: The request's fields, in the contract's order.
        inputs: The model's inputs, in the signature's order.
    """

    revision: int
    bundle: str
    fields: tuple[Field, ...]
    inputs: tuple[Field, ...]


class Columns(msgspec.Struct, frozen=True):
    """In which columns of a Parquet file the values of its rows are; kept in the file itself.

    Args:
        fields: Name and type of each field of the request, in order.
        inputs: Name and type of each of the model's inputs, in order.
        of_fields: The column of each field; where the file has none of that name, the value is that of `of_inputs`.
        of_inputs: The column of each input.
    """

    fields: tuple[tuple[str, FieldType], ...]
    inputs: tuple[tuple[str, FieldType], ...]
    of_fields: tuple[str, ...]
    of_inputs: tuple[str, ...]


def write_layout(folder: Path, layout: LogLayout) -> None:
    """Keep what rows of a revision and a bundle consist of, before the first of them is written.

    Args:
        folder: The endpoint's log.
        layout: Of its rows.

    Raises:
        OSError: The file system failed.
    """
    home = folder / _FOLDER
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{layout.revision}-{layout.bundle}.json"
    if not path.exists():
        replace_file(path, msgspec.json.encode(layout))


def read_layouts(folder: Path) -> dict[tuple[int, str], LogLayout]:
    """All layouts of a log by revision and bundle.

    Raises:
        Corrupt: One cannot be read.
    """
    found = []
    for path in (folder / _FOLDER).glob("*.json"):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=LogLayout))
        except msgspec.DecodeError as problem:
            raise Corrupt(
                f"The layout {path} of a prediction log cannot be read: {problem}.",
                fix="Remove it and deploy the endpoint's model again, which writes it anew.",
            ) from problem
    return {(one.revision, one.bundle): one for one in sorted(found, key=lambda one: (one.revision, one.bundle))}


def taken_names(layouts: Iterable[LogLayout], own: Iterable[str]) -> dict[str, FieldType]:
    """Which type each column has that is called by its field's name: that of the revision which had it first."""
    taken: dict[str, FieldType] = {}
    names = _folded(own)
    for layout in layouts:
        for role, fields in (("feature", layout.inputs), ("request", layout.fields)):
            for field in fields:
                taken.setdefault(_plain_name(role, field.name, names), _plain(field.type))
    return taken


def columns_of(layout: LogLayout, own: Iterable[str], taken: Mapping[str, FieldType]) -> Columns:
    """The columns of rows of one layout.

    Args:
        layout: Of the rows.
        own: Columns that every row has.
        taken: From `taken_names`.
    """
    names = _folded(own)
    spelled: dict[str, list[str]] = {}
    for name in taken:
        spelled.setdefault(name.casefold(), []).append(name)

    def place(name: str) -> str:
        found = spelled.get(name.casefold(), [name]).index(name) + 1
        return "" if found == 1 else f".{found}"

    def column(role: str, field: Field) -> str:
        name, kind = _plain_name(role, field.name, names), _plain(field.type)
        told = f"{name}{place(name)}"
        return told if taken.get(name, kind) == kind else f"{told}.{kind}"

    inputs = {field.name: _plain(field.type) for field in layout.inputs}
    of_fields = []
    for field in layout.fields:
        # One that is a model's input too is that, as a rule; where it is not, it has a column of its own.
        is_input = field.name in inputs
        named = column("request", field)
        of_fields.append(
            f"request.{field.name}{place(_plain_name('feature', field.name, names))}.{_plain(field.type)}"
            if is_input
            else named
        )
    return Columns(
        fields=tuple((field.name, field.type) for field in layout.fields),
        inputs=tuple((field.name, field.type) for field in layout.inputs),
        of_fields=tuple(of_fields),
        of_inputs=tuple(column("feature", field) for field in layout.inputs),
    )


def _plain_name(role: str, name: str, own: frozenset[str]) -> str:
    return f"{role}.{name}" if name.casefold() in own else name


def _folded(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)


def _plain(kind: FieldType) -> FieldType:
    """A category is the text that it is; what has no plain type is written as text too."""
    return "string" if kind in ("category", "object") else kind
