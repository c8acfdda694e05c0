"""Scorings: each time that a batch endpoint scores rows of its table."""

from datetime import datetime
from typing import Literal

from slipway.records.endpoints import Challenger, Served
from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["Scoring", "ScoringState"]

ScoringState = Literal["running", "finished", "unchanged", "failed"]


class Scoring(Record, frozen=True, kw_only=True, tag="scoring"):
    """Rows of one version of a table, scored by one revision of a batch endpoint. Name: the endpoint's.

    All that decides the result is fixed when it begins, so that whoever goes on with it comes to the same: the versions of
    tables, the revision, and `created_at`, which is the decision time of rows that have none of their own.

    Args:
        parent_id: `<project>/<endpoint>`.
        number: Counts the endpoint's scorings from 1.
        state: "unchanged": there was nothing to score.
        environment: "dev", "test" or "prod".
        revision: The revision's number.
        served: Its model.
        trigger: What asked, in words: "by hand", "schedule 0 5 * * *", "table flights".
        actor: Who asked.
        table: The table whose rows are scored.
        source_version: At which version, by its hash.
        source_number: The same by its number.
        erased: How often rows had been erased from that version.
        into: The table that gets the scores.
        every: Whether rows that have a score are scored again.
        former: The scoring to whose result it adds, "" where its result stands alone.
        former_source: The version of `table` that one has scored.
        is_whole: Whether all scores of its result are this revision's.
        pins: The versions at which features look back on tables: `<project>/<table>` -> hash.
        rows: How many rows it scores, once known.
        parts: In how many parts, once known.
        refused: How many rows got no score.
        reasons: Why, with how many rows each; the most frequent ones.
        result_version: The version of `into` that it made, "" where it made none.
        result_number: The same by its number.
        attempts: How often its process was begun in the present try.
        tries: How often it has failed and was gone on with.
        seconds: Machine time that its processes have taken, those aside that were killed.
        ended_at: When it ended, business time.
        sentence: What came of it, in words.
        challenger: What its revision compares with `served`, None outside roll-outs.
        by_challenger: How many rows that one answered.
        unloaded: Why the challenger could not be asked at all, "" where it was.
        is_crash: Of one that failed: whether the process that scored a part crashed, or could not go on.
        is_void: Of one that failed: whether it did because its challenger was taken back meanwhile.
    """

    parent_id: str
    number: int
    state: ScoringState = "running"
    environment: str
    revision: int
    served: Served
    trigger: str
    actor: Actor
    table: str
    source_version: str
    source_number: int
    erased: int = 0
    into: str
    every: bool = False
    former: str = ""
    former_source: str = ""
    is_whole: bool = False
    pins: dict[str, str] = {}
    rows: int = 0
    parts: int = 0
    refused: int = 0
    reasons: dict[str, int] = {}
    result_version: str = ""
    result_number: int = 0
    attempts: int = 1
    tries: int = 0
    seconds: float = 0.0
    ended_at: datetime | None = None
    sentence: str = ""
    challenger: Challenger | None = None
    by_challenger: int = 0
    unloaded: str = ""
    is_crash: bool = False
    is_void: bool = False
