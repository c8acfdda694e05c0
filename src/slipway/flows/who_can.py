"""What a verdict says of people: who can help with each refusal, and which words can never be given as things are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from slipway.gates.who import stage_of
from slipway.governance.asked import Asked
from slipway.records.gates import Approval, CheckSpec, Outcome

__all__ = ["Words", "answered_for", "is_hopeless", "is_waiting", "words_of"]

_AGAINST = ("refused", "cannot tell")
_HOPELESS = "hopeless"


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """Words that were given for a bundle.

    Args:
        given: By role, whose approval counts.
        authors: Who made the bundle.
    """

    given: Mapping[str, Collection[str]]
    authors: Collection[str] = ()


def words_of(approvals: Sequence[Approval], authors: Collection[str], at: datetime) -> Words:
    """Whose words count at an instant.

    Args:
        approvals: All that were given for the bundle.
        authors: Who made it.
        at: When, business time.
    """
    given: dict[str, set[str]] = {}
    for one in approvals:
        counts = one.expires_at is None or one.expires_at > at
        if counts and one.decision == "approved" and one.actor.name not in authors:
            given.setdefault(one.name, set()).add(one.actor.name)
    return Words(given=given, authors=authors)


def answered_for(
    people: Asked, checks: Sequence[CheckSpec], outcomes: Sequence[Outcome], words: Words
) -> tuple[Outcome, ...]:
    """Outcomes with the names of who can help; words that nobody can give are refused instead of waited for.

    Args:
        people: Who answers for what.
        checks: The checks.
        outcomes: What was found, one a check.
        words: The words that were given so far.
    """
    return tuple(_one(people, check, found, words) for check, found in zip(checks, outcomes, strict=True))


def is_hopeless(outcome: Outcome) -> bool:
    """Whether it waits for words that can never be given as things are."""
    return bool(outcome.values.get(_HOPELESS))


def is_waiting(outcome: Outcome) -> bool:
    """Whether words that can be given are all that it lacks."""
    return outcome.kind == "approval" and outcome.result == "cannot tell"


def _one(people: Asked, check: CheckSpec, found: Outcome, words: Words) -> Outcome:
    if found.result not in _AGAINST:
        return found
    if check.kind == "approval" and found.result == "cannot tell":
        given = words.given.get(check.role, ())
        never = people.too_few(check.role, check.count, authors=words.authors, given=given)
        if never is not None:
            found = msgspec.structs.replace(
                found, result="refused", found=never.found, fix=never.fix, values={_HOPELESS: True}
            )
    return msgspec.structs.replace(found, helper=_helper(people, check, found, words))


def _helper(people: Asked, check: CheckSpec, found: Outcome, words: Words) -> str:
    """Whose it is by the RACI; where that names nobody, who holds the role."""
    stage, letters = stage_of(check, found.helper)
    if is_hopeless(found):
        letters = ("responsible", "accountable")
    elif check.kind == "approval" and not (check.role == "accountable" and people.rows):
        others = people.speakers(check.role, (*words.authors, *words.given.get(check.role, ()))) or ()
        return people.helpers(check.role, others)
    named = next((letter for letter in letters if people.named(stage, letter)), None)
    return f"{people.shown(stage, named)} ({named} for {stage})" if named else people.helpers(found.helper)
