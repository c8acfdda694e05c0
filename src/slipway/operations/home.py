"""What stands at the beginning: what is in production, whether it is well, what needs whoever asks, what happened."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.operations.declare import Operation

__all__ = ["AskHome", "Happened", "Home", "HomeEndpoint", "Need", "Wellness", "operations"]

Wellness = Literal["well", "alert", "ticket", "down", "stopped", "starting", "not watched"]


class AskHome(Struct, frozen=True, kw_only=True):
    """What counts as lately: so many hours back from now, 1 to 744."""

    hours: int = 24


class HomeEndpoint(Struct, frozen=True, kw_only=True):
    """What serves, and whether it is well.

    Args:
        name: The endpoint's.
        environment: Where it serves.
        model: Which model.
        version: Its number.
        since: When its present revision began.
        is_batch: Whether it scores a table instead of answering requests.
        word: How it is. "alert" and "ticket": an incident is open; "not watched": it answers, and no monitor looks.
        sentence: The same in one sentence.
        incident: The id of the loudest open incident, "" for none.
        incidents: How many are open.
        rollout: A roll-out under way in words, "" for none.
        traffic: Requests that should have got a result, an hour each, the oldest first; () where nobody counts them.
        drift: The newest finding about drift in words, "" where there is none.
        drift_state: Its state.
    """

    name: str
    environment: str
    model: str
    version: int
    since: datetime
    is_batch: bool = False
    word: Wellness = "well"
    sentence: str = ""
    incident: str = ""
    incidents: int = 0
    rollout: str = ""
    traffic: tuple[int, ...] = ()
    drift: str = ""
    drift_state: str = ""


class Need(Struct, frozen=True, kw_only=True):
    """Something that waits for whoever asks.

    Args:
        kind: What sort of thing.
        sentence: What it is.
        act: What is to be done, in a word or two.
        place: Where: the parts of the page's address within the project.
        since: Since when it waits, None where that is not known.
        name: Whose place is taken, where somebody is away; "" for one's own.
    """

    kind: Literal["approval", "incident", "rollout", "contract", "handover", "promotion", "document", "scope"]
    sentence: str
    act: str
    place: tuple[str, ...]
    since: datetime | None = None
    name: str = ""


class Happened(Struct, frozen=True, kw_only=True):
    """Something that happened, or the same thing several times: who did what, when it last did, and where it is shown."""

    at: datetime
    who: str
    is_simulated: bool = False
    sentence: str
    place: tuple[str, ...] = ()
    times: int = 1


class Home(Struct, frozen=True, kw_only=True):
    """One project at a glance.

    Args:
        endpoints: What serves, what is unwell first.
        incidents: Open incidents of schedules and tables, in words, with the parts of their pages' addresses.
        needs: What needs whoever asks.
        happened: What happened lately, the newest first.
        more: How much more than that happened.
        roles: The roles that whoever asks holds here.
        is_open: Whether the store knows nobody, so that everything is shown.
        now: Business time.
    """

    endpoints: tuple[HomeEndpoint, ...] = ()
    incidents: tuple[Need, ...] = ()
    needs: tuple[Need, ...] = ()
    happened: tuple[Happened, ...] = ()
    more: int = 0
    roles: tuple[str, ...] = ()
    is_open: bool = False
    now: datetime


operations = (
    Operation(
        name="projects.home",
        summary="Say what serves and whether it is well, what needs whoever asks, and what happened lately.",
        permission="projects.read",
        request=AskHome,
        response=Home,
        body="slipway.flows.home:get_home",
    ),
)
