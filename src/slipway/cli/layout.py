"""Plain text for a terminal: aligned columns, numbers and times that people can read."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from slipway.operations import wire

__all__ = ["age", "columns", "count", "facts", "figure", "instant", "print_json", "share"]

_GAP = "  "


def print_json(value: Any) -> None:
    """Print a struct or plain value as one line of JSON."""
    click.echo(wire.encode(value).decode())


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> str:
    """Aligned columns under a head; columns that hold only figures are aligned to the right.

    Args:
        head: The columns' names.
        rows: As many texts a row.
        empty: The sentence for no rows.
    """
    if not rows:
        return empty
    cells = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    right = [all(_is_figure(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row in cells:
        texts = [text.rjust(w) if r else text.ljust(w) for text, w, r in zip(row, widths, right, strict=True)]
        lines.append(_GAP.join(texts).rstrip())
    return "\n".join(lines)


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values under each other; pairs without a value are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    indent = "\n" + " " * (width + len(_GAP))
    return "\n".join(f"{name.ljust(width)}{_GAP}{value.replace(chr(10), indent)}" for name, value in shown)


def share(part: int, whole: int) -> str:
    """A part in percent of the whole; a dash where there is nothing to be a part of."""
    return f"{part / whole:.2%}" if whole else "-"


def age(seconds: float) -> str:
    """How old something is, in the unit that fits."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def figure(value: float) -> str:
    """A number with about four digits that matter; what cannot be told is a dash."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 row", "3,000 rows"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def instant(moment: datetime | None) -> str:
    """An aware instant in UTC, to the minute; "" for None."""
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M")


def _is_figure(text: str) -> bool:
    bare = text.replace(",", "").replace("-", "").replace(".", "").replace("%", "")
    return bare.isdigit() or text == "-" or not text
