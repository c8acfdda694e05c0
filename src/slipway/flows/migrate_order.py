"""Which old models are representative pilots, and in which waves the others follow: plain points, said in words."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from slipway.errors import NotFound, near
from slipway.records.migrations import OldModel, Pilot

__all__ = ["pilots_of", "waves_of"]

_RISK = {"low": 25, "medium": 12, "high": 0}
_SECOND = 0.25


def pilots_of(models: Sequence[OldModel], chosen: Sequence[str] = ()) -> tuple[Pilot, ...]:
    """One or two pilots, the best first.

    A second one is taken where a quarter of the models, two at least, are of kinds that the first is not.

    Args:
        models: All of them.
        chosen: Names that a person chose instead.

    Raises:
        NotFound: No model has a chosen name.
    """
    by_name = {one.name: one for one in models}
    for name in chosen:
        if name not in by_name:
            raise NotFound(f"The inventory has no model {name!r}.", fix=near(name, list(by_name), what="models"))
    if chosen:
        return tuple(_pilot(by_name[name], models, is_chosen=True) for name in dict.fromkeys(chosen))
    first, *rest = sorted((_pilot(one, models) for one in models), key=lambda one: (-one.score, one.name))
    kind = by_name[first.name].kind
    others = [one for one in rest if by_name[one.name].kind != kind]
    return (first, others[0]) if len(others) >= max(2, _SECOND * len(models)) else (first,)


def _pilot(one: OldModel, models: Sequence[OldModel], *, is_chosen: bool = False) -> Pilot:
    alike = sum(other.kind == one.kind for other in models)
    usual = median(other.requests_a_day for other in models)
    is_used = one.users > 0 or one.requests_a_day > 0
    is_busiest = one.requests_a_day > usual > 0
    points = [
        (round(40 * alike / len(models)), f"{alike} of {len(models)} models are of its kind, {one.kind}"),
        (_RISK[one.risk], f"its risk is {one.risk}"),
        (
            0 if not is_used else 10 if is_busiest else 20,
            "nobody uses it" if not is_used else "it is asked more than most" if is_busiest else "it is really used, and not the busiest",
        ),
        (10 if one.url else 0, "its answers can be compared over HTTP" if one.url else "it answers nowhere over HTTP"),
        (5 if one.owner else 0, f"{one.owner} answers for it" if one.owner else "nobody answers for it"),
    ]  # fmt: skip
    why = "; ".join(f"{words} ({count})" for count, words in points)
    return Pilot(name=one.name, score=sum(count for count, _ in points), why=why, is_chosen=is_chosen)


def waves_of(models: Sequence[OldModel], pilots: Sequence[Pilot]) -> tuple[tuple[str, ...], ...]:
    """The names of the models that follow: first those like a pilot, of low and medium risk; then one thing new; then both."""
    first = {one.name for one in pilots}
    shown = {one.kind for one in models if one.name in first}
    news = {one.name: (one.kind not in shown) + (one.risk == "high") for one in models}
    order = sorted((one for one in models if one.name not in first), key=lambda one: (-one.value, one.name))
    waves = (tuple(one.name for one in order if news[one.name] == new) for new in range(3))
    return tuple(wave for wave in waves if wave)
