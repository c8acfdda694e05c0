"""One check of a suite: asked, timed, and told as a sentence whatever comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from slipway.errors import SlipwayError, StepFailed
from slipway.ledger.provenance import user_trace
from slipway.records.ci import CiCheck, State

__all__ = ["Ask", "Found", "Tell", "look", "raised"]

Tell = Callable[[CiCheck], None]
"""Hears of each check once it has ended."""


class Ask(NamedTuple):
    """What is to be checked.

    Args:
        only: The suites, () for all.
        since: The commit, branch or tag that the code is compared with, "" for the champion's commit.
        rows: How many rows of a table a model is trained on at most, 0 for all.
        image: Whether images are built.
    """

    only: tuple[str, ...] = ()
    since: str = ""
    rows: int = 20_000
    image: bool = True


class Found(NamedTuple):
    """What came of a check; see `CiCheck`."""

    state: State
    sentence: str
    fix: str = ""
    detail: str = ""


def look(suite: str, name: str, function: Callable[[], Found], *, spent: float = 0.0) -> CiCheck:
    """Ask, and tell what came of it; what it raises has failed.

    Args:
        suite: The suite.
        name: What is looked at.
        function: Asks.
        spent: Seconds that were spent on it before.
    """
    began = time.monotonic()
    try:
        found = function()
    except Exception as problem:  # the other checks are to be heard, and this one says what it was
        found = raised(problem)
    seconds = round(spent + time.monotonic() - began, 3)
    return CiCheck(
        suite=suite,
        name=name,
        state=found.state,
        seconds=seconds,
        sentence=found.sentence,
        fix=found.fix,
        detail=found.detail,
    )


def raised(problem: Exception) -> Found:
    """What was raised, as a check that failed."""
    if isinstance(problem, SlipwayError):
        trace = problem.trace if isinstance(problem, StepFailed) else ""
        return Found("failed", " ".join(part for part in (problem.what, problem.why) if part), problem.fix, trace)
    told = f"{type(problem).__name__}: {problem}"
    return Found("failed", told, "Mend what the trace points at.", user_trace(problem))
