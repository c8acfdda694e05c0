"""Texts in a drawing: made harmless, measured, shortened, and numbers as a person reads them."""

import math
import unicodedata

__all__ = ["clean", "decimals_of", "finite", "number", "percent", "shortened", "width_of"]

_MINUS = "\N{MINUS SIGN}"
_DASH = "\N{EN DASH}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_NARROW = frozenset("iljtfrI.,:;'|!()[] ")
_BROAD = frozenset("mwMW@%_")
_REORDERING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str) -> str:
    """A text of one line that XML may hold.

    White space becomes one blank a run. Control characters, halves of surrogate pairs and non-characters, which XML
    forbids, become U+FFFD; so do the marks that turn the direction of writing, with which a name could pose as another.
    """
    flat = " ".join(text.split())
    if flat.isascii() and flat.isprintable():
        return flat
    return "".join(_harmless(letter) for letter in flat)


def _harmless(letter: str) -> str:
    code = ord(letter)
    bad = unicodedata.category(letter) in ("Cc", "Cs") or code & 0xFFFE == 0xFFFE or letter in _REORDERING
    return "\N{REPLACEMENT CHARACTER}" if bad else letter


def width_of(text: str, size: float) -> float:
    """About how wide a text is in a sans-serif face; rather too wide than too narrow.

    Args:
        text: One line.
        size: The size of the letters, in units of the drawing.
    """
    return size * sum(map(_em, text))


def _em(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    if letter in _NARROW:
        return 0.36
    if letter in _BROAD:
        return 0.92
    return 0.72 if letter.isupper() else 0.62


def shortened(text: str, room: float, size: float) -> str:
    """A text that fits: its middle left out where it is too long, for the ends of names and versions tell them apart.

    Args:
        text: One line, as `clean` gives it.
        room: How wide it may be, in units of the drawing.
        size: The size of the letters, in the same units.
    """
    if width_of(text, size) <= room:
        return text
    left = room - width_of(_ELLIPSIS, size)
    front: list[str] = []
    back: list[str] = []
    start, end = 0, len(text) - 1
    while start <= end:
        take_front = len(front) <= len(back)
        letter = text[start] if take_front else text[end]
        left -= width_of(letter, size)
        if left < 0:
            break
        if take_front:
            front.append(letter)
            start += 1
        else:
            back.append(letter)
            end -= 1
    return "".join(front).rstrip() + _ELLIPSIS + "".join(reversed(back)).lstrip()


def finite(value: float | None) -> float | None:
    """The value as a float, or None for what cannot be drawn: None, NaN, the infinities, integers beyond a float."""
    if value is None:
        return None
    try:
        plain = float(value)
    except OverflowError:
        return None
    return plain if math.isfinite(plain) else None


def decimals_of(step: float) -> int:
    """How many decimals tell apart two numbers a step from each other."""
    return max(0, math.ceil(-math.log10(step) - 1e-9)) if step > 0 else 0


def number(value: float | None, decimals: int | None = None) -> str:
    """A number for a label: thousands set apart, a true minus; a dash for what cannot be told.

    Args:
        value: The number.
        decimals: How many decimals; None for about four digits that matter.
    """
    plain = finite(value)
    if plain is None:
        return _DASH
    size = abs(plain)
    if plain == 0:
        text = f"{0:.{decimals or 0}f}"
    elif size >= 1e7 or size < 1e-4:
        text = f"{plain:.3g}"
    elif decimals is not None:
        text = f"{plain:,.{min(decimals, 8)}f}"
    else:
        text = f"{plain:,.0f}" if plain.is_integer() else f"{plain:,.1f}" if size >= 1000 else f"{plain:.4g}"
    return text.replace("-", _MINUS, 1) if text.startswith("-") else text


def percent(count: int, of: int) -> str:
    """A share for a sentence: "0.7 %", "under 0.1 %".

    Args:
        count: How many.
        of: Among how many, at least one.
    """
    share = 100 * count / of
    return "under 0.1 %" if 0 < share < 0.05 else f"{share:.1f} %"
