"""The trials of a run's searches, made again, beside those of then: each is compared as a run of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import zip_longest

from slipway.flows.repeatable import searches_of, trials_of
from slipway.ledger.run_tags import SEARCH, TRIAL
from slipway.pipelines.comparison import Compared
from slipway.ports.workspace import Workspace
from slipway.records.reproductions import SearchCompared
from slipway.records.runs import Run

__all__ = ["compare_searches", "with_trials"]

Compare = Callable[[Run, Run], Compared]


def compare_searches(
    workspace: Workspace, before: Run, after: Run, compare: Compare
) -> tuple[tuple[SearchCompared, ...], Compared | None]:
    """Compare the trials of each search of a run with those of its repetition.

    Args:
        workspace: Where they are recorded.
        before: The run.
        after: Its repetition.
        compare: Compares two runs.

    Returns:
        What came of each search; and what is to be said of the first trial that differs, None where none does.
    """
    with workspace.ledger.read() as tx:
        pairs = zip_longest(searches_of(tx, before), searches_of(tx, after))
        trials = [
            (
                (old or new).tags[SEARCH],
                trials_of(tx, old) if old is not None else [],
                trials_of(tx, new) if new is not None else [],
            )
            for old, new in pairs
        ]
    found: list[SearchCompared] = []
    first: Compared | None = None
    for name, old, new in trials:
        told, differs = _search(name, old, new, compare)
        found.append(told)
        first = first or differs
    return tuple(found), first


def _search(
    name: str, old: Sequence[Run], new: Sequence[Run], compare: Compare
) -> tuple[SearchCompared, Compared | None]:
    former, again = ({int(one.tags[TRIAL]): one for one in trials} for trials in (old, new))
    counts = {"equal": 0, "within tolerance": 0, "differs": 0, "cannot": 0}
    first: Compared | None = None
    for number in sorted(former.keys() | again.keys()):
        came = _trial(former.get(number), again.get(number), compare)
        counts[came.verdict] += 1
        if came.verdict == "differs" and first is None:
            told = f"Trial {number} of {name}: {came.sentence[0].lower()}{came.sentence[1:]}"
            first = dataclasses.replace(came, sentence=told, step=f"trial {number}")
    compared = SearchCompared(
        name=name,
        equal=counts["equal"],
        near=counts["within tolerance"],
        differing=counts["differs"],
        untold=counts["cannot"],
        first="" if first is None else first.sentence,
    )
    return compared, first


def _trial(before: Run | None, after: Run | None, compare: Compare) -> Compared:
    if before is None or after is None:
        told = "It was not made again." if after is None else "It was not made the first time."
        return Compared(verdict="differs", sentence=told, cause="unknown")
    if after.params != before.params:
        told = f"It was tried with other parameters: {after.params}, and {before.params} before."
        return Compared(verdict="differs", sentence=told, cause="unknown")
    if before.state == "failed" and after.state == "failed":
        return Compared(verdict="equal", sentence="It failed both times.")
    return compare(before, after)


def with_trials(found: Compared, searches: Sequence[SearchCompared], first: Compared | None) -> Compared:
    """The verdict on a run, with what came of the trials: where one differs, the run does."""
    if not searches:
        return found
    told = f"{found.sentence} Compared were {'; '.join(map(str, searches))}."
    if first is None:
        return dataclasses.replace(found, sentence=told)
    told = f"{told} {first.sentence}"
    if found.verdict == "differs":
        return dataclasses.replace(found, sentence=told)
    return dataclasses.replace(found, verdict="differs", sentence=told, step=first.step, cause=first.cause)
