"""`slipway doctor --security`: are our data and code protected?"""

import click

from slipway.cli.door import Way
from slipway.cli.layout import print_json
from slipway.hosts.settings import FILE, read_settings
from slipway.records.security import Point

__all__ = ["security"]

_MARKS = {"good": ("good       ", "green"), "to mend": ("TO MEND    ", "red"), "cannot tell": ("CANNOT TELL", "yellow")}


def security(way: Way) -> None:
    """Answer point by point; exits with 1 where something is to be mended."""
    from slipway.hosts.security import look_at_security

    with way.open() as door:
        checkout = None if door.checkout is None else door.checkout.folder / FILE
        file = checkout if checkout is not None and checkout.is_file() else None
        url = "" if file is None else read_settings(file.parent).environment(way.environment).ledger
        points = tuple(look_at_security(door.workspace, file, ledger_url=url))
    if way.as_json:
        print_json(points)
    else:
        for point in points:
            _show(point)
        counts = {state: sum(point.state == state for point in points) for state in _MARKS}
        click.echo(f"\n{', '.join(f'{count} {state}' for state, count in counts.items())}.")
    if any(point.state == "to mend" for point in points):
        raise click.exceptions.Exit(1)


def _show(point: Point) -> None:
    text, color = _MARKS[point.state]
    click.echo(f"{click.style(text, fg=color)}  {point.about}: {point.found}")
    if point.fix:
        click.echo(f"             {point.fix}")
