"""What is to come of each injected fault: the class of its incident and whom it is for, written down from the documentation.

Nothing here was read off what the code does. Who answers for what is in watched/slipway.toml.
"""

from dataclasses import dataclass

__all__ = ["CONTROLS", "FAULTS", "Expected"]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One fault, and what must come of it.

    Args:
        name: What happens.
        kind: The kind of cause, "" where nobody is to be told of anything.
        about: What the cause is about, "" for all of the endpoint.
        person: Who must be told.
        level: How loud.
        page: Which page of docs/ says so.
        suspect: What the first suspect must say, "" where nothing changed before it.
        follows: Kinds that may be told of after it, to whom, since they are so too.
    """

    name: str
    kind: str = ""
    about: str = ""
    person: str = ""
    level: str = ""
    page: str
    suspect: str = ""
    follows: tuple[tuple[str, str], ...] = ()


def _service(name: str, about: str, *, level: str = "page", suspect: str = "") -> Expected:
    return Expected(
        name=name, kind="service", about=about, person="mia", level=level, page="service-health", suspect=suspect
    )


def _feed(name: str, about: str, *, page: str = "monitoring", suspect: str = "") -> Expected:
    return Expected(
        name=name, kind="broken feed", about=about, person="dora", level="alert", page=page, suspect=suspect
    )


WEATHER, REQUEST = "feature view weather_now", "request"
QUALITY = ("estimated quality", "moe"), ("kpi", "bea")

FAULTS = (
    _service("killed, and its model's file is damaged", "process down"),
    _service("the model hangs", "time-outs"),
    _service("the model raises on some rows", "errors"),
    _service("callers hold all the room there is", "saturation"),
    _service("scores are no numbers", "invalid answers"),
    _service("one answer to everybody", "constant answers"),
    Expected(
        name="the fallback answers everything", kind="fallback", person="mia", level="alert", page="fallback"
    ),
    _service("one request in 33 fails for three days", "errors", level="alert"),
    _service("another answer than at packaging, while nobody asks", "wrong answers"),
    _service("a bad deployment", "errors", suspect="customers 2 began to serve"),
    _feed("a feature's feed stops", WEATHER),
    _feed("a field arrives empty", REQUEST),
    _feed("a field stands still", REQUEST),
    _feed("kilometres become miles", REQUEST),
    _feed("three in five values are missing", REQUEST),
    _feed("a fifth of a category is new", REQUEST),
    Expected(
        name="a source's column changes its type", kind="sync", person="dora", level="alert", page="responsibility"
    ),
    Expected(
        name="the online store has another value than was pushed", kind="skew", person="finn", level="alert",
        page="skew",
    ),
    Expected(
        name="labels arrive inverted", kind="quality", person="moe", level="alert", page="monitoring-quality",
        follows=QUALITY,
    ),
    Expected(
        name="inputs mean another thing (concept change)", kind="quality", person="moe", level="alert", page="loop",
        follows=QUALITY,
    ),
    Expected(
        name="inputs wander off for two weeks",
        kind="drift",
        about=REQUEST,
        person="moe",
        level="alert",
        page="monitoring",
        follows=(("estimated quality", "moe"), ("quality", "moe")),
    ),
    Expected(name="labels stop", kind="labels", person="dora", level="alert", page="monitoring-quality"),
    Expected(
        name="prices fall, the model is as good as before", kind="kpi against metric", about="profit per parcel",
        person="bea", level="page", page="metric-contract",
    ),
    _feed("a field arrives empty while the mail server is away", REQUEST, page="incidents"),
)  # fmt: skip

CONTROLS = (
    Expected(name="two ordinary weeks with a holiday", page="monitoring"),
    Expected(name="the mix of carriers moves", page="monitoring"),
    Expected(name="nobody asks", page="service-health"),
    Expected(name="callers make mistakes", page="service-health"),
    Expected(name="labels with wrong clocks", page="monitoring-quality"),
)
