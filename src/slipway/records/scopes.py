"""Scopes: which decision a model is wanted for, what that is worth, and what it must take at full scale."""

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from slipway.hashing import digest
from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["KeptScope", "Requirement", "ScopeTerms"]


class ScopeTerms(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a scope says, as data. A need that is 0, "" or {} is not asked.

    Args:
        name: The scope's, and the endpoint's where `endpoint` is empty.
        decision: Which decision is taken with an answer, and by whom.
        owner: The person or role that wants it and answers for it.
        kpi: The business figure by which it is judged: that of a metric contract.
        better: Which way of it is better.
        value: What it is expected to be worth in a year, as its owner says.
        currency: Of the value: "USD".
        mode: "live": an endpoint answers requests; "batch": a table is scored.
        endpoint: The endpoint that it becomes.
        sources: The tables that it needs.
        consumers: Who asks the endpoint, in words.
        requests_per_second: How many requests it must take.
        latency_ms: 99 of 100 requests are answered within it, at that rate.
        rows_per_hour: How many rows must be scored in an hour.
        freshness: How old the newest row of each source may be: "10m".
        training_rows: How many rows the data have at full scale.
        availability: The share of requests that gets a result.
        metrics: How good it must be on rows that it was not trained on: at least, or at most where lower is better.
        note: Whatever else is to be known.
    """

    name: str
    decision: str
    owner: str
    kpi: str = ""
    better: Literal["higher", "lower"] = "higher"
    value: float = 0.0
    currency: str = ""
    mode: Literal["live", "batch"] = "live"
    endpoint: str = ""
    sources: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    requests_per_second: float = 0.0
    latency_ms: float = 0.0
    rows_per_hour: float = 0.0
    freshness: str = ""
    training_rows: int = 0
    availability: float = 0.0
    metrics: dict[str, float] = {}
    note: str = ""

    @property
    def serves(self) -> str:
        """The name of its endpoint."""
        return self.endpoint or self.name

    @property
    def digest(self) -> str:
        """Of all that it says."""
        return digest(msgspec.json.encode(self))


class KeptScope(Record, frozen=True, kw_only=True, tag="scope"):
    """A scope as it stands. Id: `<project>/<name>`.

    Args:
        number: Counts its changes, from 1.
        terms: What it says.
        digest: Of the terms.
        actor: Who wrote it as it is.
        updated_at: When.
        changes: What that changed, in words.
    """

    number: int
    terms: ScopeTerms
    digest: str
    actor: Actor
    updated_at: datetime
    changes: tuple[str, ...] = ()


class Requirement(Struct, frozen=True, kw_only=True):
    """One need of a scope beside what is known of it.

    Args:
        need: What is needed, in a word or two: "latency".
        asked: How much of it: "at most 100 ms for 99 of 100 requests".
        state: "measured" and so it is, "missed": measured, and it is not so, or "not yet measured".
        found: What is known, in words.
        evidence: Which record says so, as a node: "load:...", "" for none.
        at: When that was.
        next: The command that brings it, or mends it; "" where nothing is to be done.
    """

    need: str
    asked: str
    state: Literal["measured", "missed", "not yet measured"]
    found: str = ""
    evidence: str = ""
    at: datetime | None = None
    next: str = ""
