"""What an endpoint counts of each of its look-ups: how fresh the rows are that it finds, and what is missing in them."""

from __future__ import annotations

from msgspec import Struct

from slipway.records.features import FeatureSetSpec, View, Windows

__all__ = [
    "AGE_MAX",
    "AGE_REST",
    "AGE_SUM",
    "LOOKED_UP",
    "NOT_FOUND",
    "NULLS",
    "TOO_OLD",
    "Feed",
    "FeedCounts",
    "feed_of",
    "feeds_of",
]

LOOKED_UP, NOT_FOUND, TOO_OLD, AGE_SUM, AGE_REST, AGE_MAX, NULLS = range(7)
"""Places of a feed's counters; from the last one on one for each feature.

Ages are summed in whole seconds and, beside them, the microseconds left over: one sum of microseconds would outgrow 64 bits
after some 300,000 rows that are a year old.
"""


class Feed(Struct, frozen=True):
    """A feature view or windows, as they are counted.

    Args:
        name: Its name in the feature set; of a second one of its kind and name with "#2" behind it.
        kind: "view" or "windows".
        features: The names of its features.
    """

    name: str
    kind: str
    features: tuple[str, ...]

    @property
    def key(self) -> str:
        """What tells it from the others of its set: windows and a view may share a name."""
        return self.features[0] if self.features else self.name

    @property
    def width(self) -> int:
        """How many counters it has."""
        return NULLS + len(self.features)


class FeedCounts(Struct, frozen=True, kw_only=True):
    """What was found under the keys of requests since these features first served, restarts of the endpoint included.

    Args:
        name: The feed's.
        kind: "view" or "windows".
        looked_up: How many keys were looked up and counted, each once a request, and of a large request about 8.
        not_found: Of these, without any row; for windows, without one in the widest window.
        too_old: Of these, whose row was older than the view's TTL allows.
        mean_age_s: Of the found rows, at the decision; None where none was found, and for windows.
        max_age_s: The greatest one; likewise.
        nulls: By feature, in how many found rows (for windows: of all keys) it was null.
        layout: What is counted together; figures of another layout are another model's, and go on where those stood.
    """

    name: str
    kind: str
    looked_up: int = 0
    not_found: int = 0
    too_old: int = 0
    mean_age_s: float | None = None
    max_age_s: float | None = None
    nulls: dict[str, int] = {}
    layout: str = ""

    @property
    def found(self) -> int:
        """In how many keys' rows nulls were counted."""
        return self.looked_up - self.not_found if self.kind == "view" else self.looked_up


def feeds_of(spec: FeatureSetSpec | None) -> tuple[Feed, ...]:
    """The feeds of a feature set, in its order."""
    found: list[Feed] = []
    for part in spec.parts if spec else ():
        if isinstance(part, View | Windows):
            feed = feed_of(part)
            alike = sum((one.kind, one.name.partition("#")[0]) == (feed.kind, feed.name) for one in found)
            found.append(Feed(f"{feed.name}#{alike + 1}", feed.kind, feed.features) if alike else feed)
    return tuple(found)


def feed_of(part: View | Windows) -> Feed:
    """One view or windows as a feed."""
    if isinstance(part, View):
        return Feed(part.name, "view", tuple(f"{part.name}_{one.name}" for one in part.fields))
    return Feed(part.name, "windows", tuple(f"{part.name}_{one.name}" for one in part.aggregates))
