"""Promotions: a version on its way from one environment into the next, stage by stage."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.records.load import Replay
from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["Promotion", "PromotionPlace", "PromotionStage", "StageState"]

StageState = Literal["to do", "under way", "waiting", "done", "failed"]


class PromotionStage(Struct, frozen=True, kw_only=True):
    """One stage of a promotion as it stands.

    Args:
        name: A built-in stage's, or the name of the project's function.
        state: "waiting" is for somebody or something else; "under way" after a kill means that it begins again.
        sentence: What came of it, or what it waits for.
        asked: Who is asked for the next step, by name; () where nobody is. Deputies are put in for who is away.
        consulted: Who is asked what they think of it meanwhile.
        informed: Who was told of what came of it.
        command: What to type next, "" for nothing.
        at: When it came to that state; None while it is to do.
        replay: What was found when stored training rows were asked of the model as it serves there; None where it was not
            looked for.
    """

    name: str
    state: StageState = "to do"
    sentence: str = ""
    asked: tuple[str, ...] = ()
    consulted: tuple[str, ...] = ()
    informed: tuple[str, ...] = ()
    command: str = ""
    at: datetime | None = None
    replay: Replay | None = None


class Promotion(Record, frozen=True, kw_only=True, tag="promotion"):
    """A version on its way into an environment. Id: `<project>/<environment>/<model>/<number>`; name: the model's.

    It is kept in the ledger of each environment that has to do with it, word for word.

    Args:
        number: Counts the model's promotions into the environment, from 1.
        source: The environment that it comes from.
        target: The environment that it goes into.
        workflow: The workflow's name.
        version: The version's number at the source.
        arrived: The version's number at the target, 0 before it is there.
        bundle: The bundle's digest, the same all the way.
        endpoint: Where it is to serve.
        stages: In order.
        state: That of the stage where it stands; "done" after the last.
        actor: Who began it.
        updated_at: When it last came further, or was looked at again.
        reason: Why, as who asked for it last said; "" where nobody did.
    """

    number: int
    source: str
    target: str
    workflow: str
    version: int
    arrived: int = 0
    bundle: str
    endpoint: str
    stages: tuple[PromotionStage, ...]
    state: StageState = "under way"
    actor: Actor
    updated_at: datetime
    reason: str = ""


class PromotionPlace(Struct, frozen=True, kw_only=True):
    """An environment into which a version may be taken from a server's pages.

    Args:
        target: The environment.
        source: The one before it.
        tokens: The environments whose stores know people: a token of each is asked for.
        obstacle: Why it cannot be done from there, "" where it can.
        is_one_store: Whether both keep their things in one place: then the endpoint needs a name of its own.
    """

    target: str
    source: str
    tokens: tuple[str, ...] = ()
    obstacle: str = ""
    is_one_store: bool = False
