"""`sw.Fallback`: what answers where an endpoint's model does not, as a project declares it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from slipway import code
from slipway.errors import InvalidDeclaration
from slipway.features.scalars import Feature
from slipway.records.endpoints import FallbackSpec, MonitorSpec, Rule, Way

__all__ = ["EarlierVersion", "Fallback", "earlier_version"]

_WITHIN = re.compile(r"(\d{1,6})(ms|s)", re.ASCII)
_UNITS_US = {"ms": 1000, "s": 1_000_000}
_LEAST_US, _MOST_US = 5_000, 60_000_000
_HOUR_US = 3_600_000_000
_ANSWERS = ("float", "int", "bool")


@dataclass(frozen=True, slots=True)
class EarlierVersion:
    """An earlier version of the model, kept loaded beside the one that serves; see `earlier_version`."""

    number: int = 0


def earlier_version(number: int = 0) -> EarlierVersion:
    """An earlier version of an endpoint's model, as a fallback.

    Args:
        number: Which, 0 for the one that served before. At the first deployment there is none yet: what else the fallback
            names answers until then.

    Raises:
        InvalidDeclaration: The number is none.
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise InvalidDeclaration(
            f"{number!r} is no number of a version.", fix="Give 1 or more, or leave it out for the one before."
        )
    return EarlierVersion(number)


class Fallback:
    """What answers where the model does not: it takes too long, fails, gives no valid score, or lacks its features.

    Args:
        ways: What to ask in its place, in this order until one has an answer: `sw.earlier_version()`, a plain function of
            the request's fields (annotated as a feature is; None is no answer), or a number.
        within: How long a request may take in all: "200ms", "2s". The model has four fifths of it.
        alert_above: The share of answers by the fallback above which an incident opens, None for never.
        required: Inputs of the model that it must not be asked without: where one is null, the fallback answers.

    Raises:
        InvalidDeclaration: Nothing is given to ask, or something that cannot be asked.

    Example:
        `sw.Endpoint("flight-delays", fallback=sw.Fallback(sw.earlier_version(), usual_delay, 0.2, within="200ms"))`
    """

    def __init__(
        self,
        *ways: EarlierVersion | Callable[..., Any] | float,
        within: str = "1s",
        alert_above: float | None = 0.05,
        required: Sequence[str] = (),
    ) -> None:
        if not ways:
            raise InvalidDeclaration(
                "A fallback was declared that has nothing to answer with.",
                fix="Give sw.earlier_version(), a function of the request's fields, or a number.",
            )
        self.ways = tuple(_checked(way) for way in ways)
        if any(isinstance(way, float) for way in self.ways[:-1]):
            raise InvalidDeclaration(
                "The fallback names something behind a number.",
                why="A number always answers, so that what stands behind it is never asked.",
                fix="Let the number be the last.",
            )
        self.within_us = _within(within)
        is_share = isinstance(alert_above, int | float) and not isinstance(alert_above, bool) and 0 <= alert_above < 1
        if alert_above is not None and not is_share:
            raise InvalidDeclaration(
                f"The fallback's alert_above is {alert_above!r}.", fix="Give a share below 1, such as 0.05, or None."
            )
        self.alert_above = None if alert_above is None else float(alert_above)
        self.required = (required,) if isinstance(required, str) else tuple(required)
        if not all(isinstance(name, str) and name for name in self.required):
            raise InvalidDeclaration(
                f"The fallback requires {required!r}.", fix="Give names of the model's inputs: required=['delay_6h']."
            )

    def spec(self) -> FallbackSpec:
        """The fallback as data, with the code that its functions reach.

        Raises:
            InvalidDeclaration: That code cannot be taken out of the project.
        """
        return FallbackSpec(
            ways=tuple(map(_way, self.ways)),
            within_us=self.within_us,
            alert_above=self.alert_above,
            required=self.required,
        )

    def monitor(self) -> MonitorSpec | None:
        """What watches how often it answers, None where nobody is to be told."""
        if self.alert_above is None:
            return None
        return MonitorSpec(kind="fallback", name="fallback", limit=self.alert_above, window_us=_HOUR_US)


def _checked(way: object) -> EarlierVersion | Feature | float:
    if isinstance(way, EarlierVersion | Feature):
        return _rule(way) if isinstance(way, Feature) else way
    if isinstance(way, int | float) and not isinstance(way, bool):
        if not math.isfinite(way):
            raise InvalidDeclaration(f"{way!r} is no answer.", fix="Give a finite number.")
        return float(way)
    if callable(way) and not isinstance(way, type):
        return _rule(Feature(way))
    raise InvalidDeclaration(
        f"A fallback was given {way!r}.",
        fix="Give sw.earlier_version(), a function of the request's fields, or a number.",
    )


def _rule(found: Feature) -> Feature:
    if found.returns not in _ANSWERS:
        raise InvalidDeclaration(
            f"The rule {found.name!r} returns {found.returns}.",
            why="It answers in a model's place, whose answer is a number.",
            fix=f"Annotate it with a number: `def {found.name}(...) -> float:`.",
        )
    return found


def _within(written: object) -> int:
    match = _WITHIN.fullmatch(written) if isinstance(written, str) else None
    found = int(match[1]) * _UNITS_US[match[2]] if match else 0
    if not _LEAST_US <= found <= _MOST_US:
        raise InvalidDeclaration(
            f"A fallback was told to answer within {written!r}.",
            fix="Give a time from '5ms' to '60s', such as '200ms'.",
        )
    return found


def _way(way: EarlierVersion | Feature | float) -> Way:
    if isinstance(way, EarlierVersion):
        return Way(by="version", number=way.number)
    if isinstance(way, Feature):
        scalar = msgspec.structs.replace(way.scalar(), returns="float")
        return Way(by="rule", rule=Rule(function=scalar, sources=code.extract([way.function])))
    return Way(by="value", value=way)
