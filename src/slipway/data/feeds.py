"""What feeds a declared table: a source or a function that asks for what is newer, how far it was read, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, Protocol

from slipway.data.sources import place_of
from slipway.errors import InvalidDeclaration
from slipway.records.loop import TriggerSpec
from slipway.records.sources import SourceSpec
from slipway.schema.schedules import check_schedule

__all__ = ["Feed", "Scheduled", "feed_of"]


class Scheduled(Protocol):
    """What `sw.cron(...)` gives."""

    @property
    def spec(self) -> TriggerSpec:
        """The times."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Where a table's rows come from.

    Args:
        source: The declared source, None where the function fetches the rows itself.
        watermark: The column of the source that only grows, "" where everything is read each time.
        schedule: When it is synced without anybody's hand, None for never.
        takes: What the function takes: "rows" of the source, "since" which watermark, or nothing.
    """

    source: SourceSpec | None = None
    watermark: str = ""
    schedule: TriggerSpec | None = None
    takes: str = ""

    @property
    def is_declared(self) -> bool:
        """Whether the table says more than its function: then it can be synced without being named."""
        return self.source is not None or bool(self.watermark) or self.schedule is not None

    def place(self, function: str) -> str:
        """The source in words, without secrets."""
        return place_of(self.source) if self.source is not None else function


def feed_of(
    name: str,
    function: Callable[..., Any],
    *,
    source: SourceSpec | None,
    watermark: str,
    schedule: str | Scheduled | None,
) -> Feed:
    """What a table's declaration says about its source.

    Raises:
        InvalidDeclaration: The function takes what nobody gives it, or something given is none of its kind.
    """
    if source is not None and not isinstance(source, SourceSpec):
        raise InvalidDeclaration(
            f"The table {name!r} was given {source!r} as its source.",
            fix="Use sw.files, sw.sql, sw.api, sw.delta or sw.custom_source; or fetch the rows in the function itself.",
        )
    if not isinstance(watermark, str):
        raise InvalidDeclaration(
            f"The table {name!r} was given {watermark!r} as its watermark.", fix="Name one column of the source."
        )
    takes = _takes(name, function, source, watermark)
    return Feed(source=source, watermark=watermark, schedule=_schedule(name, schedule), takes=takes)


def _takes(name: str, function: Callable[..., Any], source: SourceSpec | None, watermark: str) -> str:
    needed = [p.name for p in signature(function).parameters.values() if p.default is Parameter.empty]
    if source is not None:
        if len(needed) > 1:
            raise InvalidDeclaration(
                f"The table function {name!r} takes {' and '.join(needed)}.",
                why="It is given the rows of its source, and nothing else.",
                fix="Read another table inside it: `other.read()`.",
            )
        return "rows" if needed else ""
    if watermark:
        if len(needed) != 1:
            raise InvalidDeclaration(
                f"The table function {name!r} has the watermark {watermark!r} and takes {len(needed)} arguments.",
                why="It is given the greatest watermark of what is stored, None the first time.",
                fix=f"Write def {name}(since: datetime | None), and return what is as new or newer.",
            )
        return "since"
    if needed:
        raise InvalidDeclaration(
            f"The table function {name!r} takes {needed[0]!r}.",
            why="A table is made from nothing but what its function reads, or its source gives.",
            fix="Read another table inside it: `other.read()`; or name a source: source=sw.files('data/*.csv').",
        )
    return ""


def _schedule(name: str, given: str | Scheduled | None) -> TriggerSpec | None:
    if given is None:
        return None
    spec = TriggerSpec(kind="schedule", cron=given) if isinstance(given, str) else getattr(given, "spec", None)
    if not isinstance(spec, TriggerSpec) or spec.kind != "schedule":
        raise InvalidDeclaration(
            f"The table {name!r} was given {given!r} as its schedule.",
            fix='Write five fields, "0 3 * * *" in UTC, or sw.cron("0 3 * * *", timezone="Europe/Berlin").',
        )
    check_schedule(spec.cron, spec.timezone)
    return spec
