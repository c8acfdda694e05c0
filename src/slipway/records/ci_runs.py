"""What became of a commit on its way to production: one record a commit, kept where its model was trained."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["WAITING", "CiRun", "CiStage", "CiState"]

WAITING = 8
"""The exit code of `slipway ci run` where it waits for a word or a roll-out. CI files take it for no failure, so it is no
other ending's: a store that cannot be reached has another."""

CiState = Literal["to do", "under way", "waiting", "done", "failed"]


class CiStage(Struct, frozen=True, kw_only=True):
    """One stage of a commit's way as it stands.

    Args:
        name: "test", "train", "gate", "package", "deploy-test", "approve" or "deploy-prod".
        state: "waiting" is for somebody's word or for a roll-out; "under way" after a kill means that it begins again.
        sentence: What came of it, what it waits for, or why it failed.
        asked: Who is asked, by name.
        command: What they type, "" for nothing.
        at: When it came to that state; None while it is to do.
    """

    name: str
    state: CiState = "to do"
    sentence: str = ""
    asked: tuple[str, ...] = ()
    command: str = ""
    at: datetime | None = None


class CiRun(Record, frozen=True, kw_only=True, tag="ci_run"):
    """A commit on its way. Id: `<project>/<pipeline>/<commit>`; name: the pipeline's; number: counts them, from 1.

    Args:
        number: Counts the project's, from 1.
        commit: The commit's full hash.
        stages: All of them, in order.
        state: That of the stage where it stands; "done" after the last.
        model: The model that it made, "" before it did.
        version: The model's version where it was trained, 0 before there is one.
        actor: Who began it.
        updated_at: When it last came further.
    """

    number: int
    commit: str
    stages: tuple[CiStage, ...]
    state: CiState = "under way"
    model: str = ""
    version: int = 0
    actor: Actor
    updated_at: datetime
