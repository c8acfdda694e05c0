"""Scales: from values to places, the round numbers at which an axis is marked, and the axes themselves."""

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from slipway.charts.svg import SMALL, Svg, label, line
from slipway.charts.text import decimals_of, number, width_of

__all__ = ["LogScale", "Scale", "bottom_axis", "grid", "left_axis", "room_for", "spanning"]

_MOST = sys.float_info.max
_FAINT = "0.16"


@dataclass(frozen=True)
class Scale:
    """A line from the values `low` to `high` onto the places `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value, kept between start and end."""
        # Halves, because the span between two floats may be more than a float can hold.
        span = self.high / 2 - self.low / 2
        share = (value / 2 - self.low / 2) / span if span > 0 else 0.5
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[tuple[float, str]]:
        """Values within the scale at round distances (1, 2 or 5 times a power of ten), ascending, each with its label.

        Args:
            about: How many, more or less.
        """
        rough = (self.high / 2 - self.low / 2) / about * 2
        # Where floats of this size are hardly finer than the distance, there are no round values to be had.
        if not max(sys.float_info.min * 10, 4 * math.ulp(max(abs(self.low), abs(self.high)))) < rough < _MOST / 100:
            return [(value, number(value)) for value in dict.fromkeys((self.low, self.high))]
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(place * step, number(place * step, decimals_of(step))) for place in range(first, last + 1)]


@dataclass(frozen=True)
class LogScale(Scale):
    """A line from the values `low` to `high`, both above zero and apart, onto places by their logarithms."""

    def at(self, value: float) -> float:
        """The place of a value, kept between start and end."""
        low, high = math.log10(self.low), math.log10(self.high)
        share = (math.log10(value) - low) / (high - low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[tuple[float, str]]:
        """Powers of ten within the scale, ascending, each with its label; its ends where there are none.

        Args:
            about: How many, more or less.
        """
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        values = [10.0**power for power in range(first, last + 1, max(1, math.ceil((last - first) / about)))]
        return [(value, number(value)) for value in (values if len(values) > 1 else (self.low, self.high))]


def spanning(values: Iterable[float], start: float, end: float, *, zero: bool = False) -> Scale:
    """A scale that holds all the values.

    Args:
        values: At least one, finite.
        start: The place of the smallest.
        end: The place of the greatest.
        zero: Whether zero must be on it.
    """
    held = [*values, 0.0] if zero else list(values)
    low, high = min(held), max(held)
    if zero and low == high:
        high = 1.0
    if low == high:
        pad = abs(low) * 0.1 or 1.0
        low, high = max(-_MOST, low - pad), min(_MOST, high + pad)
    return Scale(low, high, start, end)


def room_for(labels: Iterable[str], most: float) -> float:
    """How wide the widest of the labels is, but not more than `most`."""
    return min(most, max((width_of(label, SMALL) for label in labels), default=0.0))


def left_axis(scale: Scale, left: float, right: float) -> Svg:
    """Grid lines from left to right at the round values of an upright scale, with labels to their left."""
    parts = []
    for value, name in scale.ticks():
        y = scale.at(value)
        parts.append(line((left, y), (right, y), opacity=_FAINT))
        parts.append(label(name, left - 6, y + 4, room=left - 6, anchor="end", quiet=True))
    return Svg("".join(parts))


def grid(across: Scale, top: float, bottom: float) -> Svg:
    """Upright grid lines at the round values of a scale that runs across."""
    places = [across.at(value) for value, _ in across.ticks()]
    return Svg("".join(line((x, top), (x, bottom), opacity=_FAINT) for x in places))


def bottom_axis(marks: Iterable[tuple[float, str]], y: float, left: float, right: float) -> Svg:
    """Labels under a line, those left out that would touch the one before.

    Args:
        marks: Places with their labels, ascending.
        y: The height of the line.
        left: Where the paper begins: no label stands out of it.
        right: Where it ends.
    """
    parts, free = [], -math.inf
    for x, name in marks:
        half = min(width_of(name, SMALL), 110.0) / 2
        middle = min(max(x, left + half), right - half)
        if middle - half < free:
            continue
        free = middle + half + 8
        parts.append(line((x, y), (x, y + 4), opacity="0.4"))
        parts.append(label(name, middle, y + 16, room=111, anchor="middle", quiet=True))
    return Svg("".join(parts))
