"""Numbers, times and names as a person reads them on a page."""

import math
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from markupsafe import Markup

from slipway.charts.log_lines import log_line
from slipway.operations.responsibility import whom
from slipway.records.models import MetricValue

__all__ = [
    "FILTERS",
    "PREFIX",
    "below",
    "count",
    "cut",
    "duration",
    "figure",
    "figure_to",
    "href",
    "interval",
    "moment",
    "day",
    "node_name",
    "quoted",
    "sentence",
    "signed",
    "size",
    "whole",
]

PREFIX: ContextVar[str] = ContextVar("PREFIX", default="")
"""The path below which the present request's server is shown, as its proxy has it; "" for none."""

_MINUS = "\N{MINUS SIGN}"
_DASH = "\N{EN DASH}"


def figure(value: float) -> str:
    """A number with about four digits that matter; a dash for what cannot be told."""
    if math.isnan(value):
        return _DASH
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    if float(value).is_integer() and abs(value) < 1e15:
        text = f"{int(value):,}"
    else:
        text = f"{value:,.1f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"
    return text.replace("-", _MINUS, 1) if text.startswith("-") else text


def figure_to(value: float, decimals: int) -> str:
    """A number to so many decimals; a dash for what cannot be told."""
    return _DASH if math.isnan(value) else f"{value:,.{decimals}f}".replace("-", _MINUS)


def signed(value: float) -> str:
    """A difference to four decimals, with its sign; a dash for what cannot be told."""
    if math.isnan(value):
        return _DASH
    return f"{value:+.4f}".replace("-", _MINUS)


def sentence(text: str) -> str:
    """A reason as a sentence of its own: it begins large and ends with a full stop."""
    plain = text.strip()
    return plain[:1].upper() + plain[1:] + ("" if plain.endswith((".", "!", "?")) else ".") if plain else ""


def whole(value: int) -> str:
    """A count with its thousands set apart."""
    return f"{value:,}"


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 package", "3,000 packages"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def interval(metric: MetricValue) -> str:
    """A metric's bounds, "" where they are not known."""
    if math.isnan(metric.low) or math.isnan(metric.high):
        return ""
    return f"{figure(metric.low)} to {figure(metric.high)}"


def size(size_bytes: int) -> str:
    """Bytes in the unit that fits."""
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def duration(span: timedelta | float | None) -> str:
    """A span (seconds, where it is a number) in the unit that fits; "" for None."""
    if span is None:
        return ""
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} days"


def moment(instant: datetime | None) -> Markup:
    """An aware instant as an HTML time in UTC; empty for None."""
    if instant is None:
        return Markup()
    at = instant.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC">{} {}</time>').format(
        at.isoformat(), at.isoformat(" ", "seconds").removesuffix("+00:00"), at.day, at.strftime("%b %Y, %H:%M")
    )


def day(instant: datetime | None) -> Markup:
    """The day of an aware instant as an HTML time in UTC; empty for None."""
    if instant is None:
        return Markup()
    at = instant.astimezone(UTC)
    return Markup('<time datetime="{}">{} {}</time>').format(at.isoformat(), at.day, at.strftime("%b %Y"))


def href(*segments: str | int) -> str:
    """The address of a page out of segments, each escaped; no segments: the first page."""
    return below("/" + "/".join(quote(str(segment), safe="@") for segment in segments))


def below(path: str) -> str:
    """A path of the server's as browsers ask for it: below the prefix that a proxy shows it under."""
    return PREFIX.get() + path


def quoted(text: str) -> str:
    """A text as the value of an address's query."""
    return quote(text, safe="")


def cut(text: str, most: int) -> str:
    """The beginning of a text that may be very long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def node_name(node: str) -> str:
    """A node of the lineage in short: the kind, and as much of the id as a person compares."""
    kind, _, rest = node.partition(":")
    name, at, version = rest.partition("@")
    if at:
        return f"{kind} {name.rpartition('/')[2]}@{version[:8]}"
    return f"{kind} {rest[:14] if len(rest) > 24 else rest}"


FILTERS = {
    "count": count,
    "cut": cut,
    "figure": figure,
    "figure_to": figure_to,
    "whole": whole,
    "interval": interval,
    "size": size,
    "duration": duration,
    "moment": moment,
    "day": day,
    "node_name": node_name,
    "quoted": quoted,
    "sentence": sentence,
    "signed": signed,
    "whom": whom,
    "log_line": log_line,
}
