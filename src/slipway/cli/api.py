"""`slipway api`: any operation, by name."""

import click

from slipway.cli.door import Way, way_options
from slipway.cli.layout import columns, print_json
from slipway.errors import InvalidInput
from slipway.operations.table import OPERATIONS, operation

__all__ = ["api"]


@click.command()
@click.argument("name", metavar="[OPERATION]", default="")
@click.argument("fields", metavar="[FIELD=VALUE]...", nargs=-1)
@way_options
def api(way: Way, name: str, fields: tuple[str, ...]) -> None:
    """Call an operation and print its answer as JSON; without a name, list the operations."""
    if name:
        with way.open() as door:
            print_json(door.perform(operation(name).name, _given(fields), texts=True))
    elif way.as_json:
        print_json(_described())
    else:
        click.echo(_listing())


def _given(fields: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for text in fields:
        field, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(
                f"{text!r} does not say which field it is for.", fix=f"Write it as FIELD={text}.", field=text
            )
        given[field] = value
    return given


def _described() -> list[dict[str, object]]:
    return [
        {
            "name": found.name,
            "summary": found.summary,
            "permission": found.permission,
            "changes": found.changes,
            "fields": list(found.request.__struct_fields__),
        }
        for found in OPERATIONS.values()
    ]


def _listing() -> str:
    rows = [
        (found.name, " ".join(found.request.__struct_fields__), found.summary)
        for _, found in sorted(OPERATIONS.items())
    ]
    return columns(("operation", "fields", "what it does"), rows, empty="")
