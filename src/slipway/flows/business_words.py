"""A business page in words that need no knowledge of machine learning: for the page, the mail and the PDF alike.

What users wrote (names, units, reasons) stands in sentences as `Given`, so that a page can mark it and a test can leave it
out when it looks for words that a business owner need not know.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from slipway.operations.business import Expected, Figure, Paper, Spent, Stage, Trouble, Trust, Value
from slipway.operations.responsibility import whom
from slipway.records.documents import Tone

__all__ = [
    "PAPERS", "STAGES", "TROUBLES", "Given", "Said", "Told", "agreed", "amount", "day", "expected",
    "measured", "money", "paper", "plain", "spent", "standing", "trouble", "trusted", "values", "what_it_is",
]  # fmt: skip


class Given(str):
    """What a user wrote, within a sentence."""

    __slots__ = ()


Said = tuple[str, ...]
"""A sentence in parts; those that a user wrote are `Given`."""


class Told(Struct, frozen=True, kw_only=True):
    """Something that is asked, what is known of it in a word or two, and the sentence."""

    title: str
    word: str
    tone: Tone
    said: tuple[str, ...]


STAGES: dict[Stage, str] = {
    "idea": "An idea: nothing of it exists yet",
    "proof of concept": "A proof of concept: it exists, and nobody uses it yet",
    "pilot": "A pilot: it answers, outside of production",
    "in production": "In production",
    "retired": "Retired: it answers no more",
}
PAPERS: dict[str, str] = {
    "card": "Fact sheet: what it is, what it was made of, known limits",
    "scope": "What it is wanted for, and what it must take",
    "case study": "Case study: what the proof of concept showed",
    "agreement": "Agreement on the figure",
    "costs": "Costs in detail",
    "incidents": "All incidents",
}
TROUBLES = {
    "broken feed": "Data that it needs stopped arriving as they should",
    "labels": "Nobody reported any more what really happened",
    "sync": "Fresh data could not be fetched",
    "skew": "In use it was given other values than when it was checked",
    "consistency": "In use it was given other values than when it was checked",
    "freshness": "Data that it needs were out of date",
    "schedule": "A planned job did not run",
    "scoring": "A planned batch of answers failed",
    "retraining": "It could not be renewed with recent data",
    "service": "It answered too slowly, or not at all",
    "no results": "Those who asked it got no answer",
    "fallback": "A stand-in answered too often in its place",
    "drift": "The cases that it sees changed",
    "dependence": "The cases that it sees changed",
    "quality": "Its answers became worse",
    "estimated quality": "Its answers probably became worse",
    "kpi": "The business figure got worse",
    "kpi against metric": "The business figure got worse, though its answers did not",
    "custom": "Something that its makers watch is not as it should be",
    "cost": "Its mistakes cost more than before",
    "rollout": "A newer version waits for somebody's decision",
    "break-glass": "A version was let into use by way of exception",
}
_OWN = {"label": "what really happened", "decision": "its yes or no", "score": "its answer"}
_MISTAKES = {
    "false_positive": "a wrong yes",
    "false_negative": "a wrong no",
    "true_positive": "a right yes",
    "true_negative": "a right no",
}
_VERDICTS: dict[str, tuple[str, Tone]] = {
    "confirmed": ("confirmed", "good"),
    "refuted": ("refuted", "bad"),
    "undecided": ("undecided", "warn"),
    "cannot tell": ("cannot be told", "warn"),
}
_HOUR_S = 3600.0
_GB = 1e9
_NONE: Said = ("Nobody is named",)


def plain(said: Sequence[str]) -> str:
    """A sentence as plain text."""
    return "".join(said)


def day(at: datetime) -> str:
    """The day of an instant: "3 Apr 2026"."""
    return f"{at.day} {at:%b %Y}"


def amount(value: float | None) -> str:
    """A number as a person reads it."""
    if value is None or not math.isfinite(value):
        return "an unknown amount"
    shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return "0" if shown == "-0" else shown


def money(value: float | None, unit: str) -> Said:
    """An amount with its unit, money to two decimals where it is small."""
    if value is None or not math.isfinite(value):
        return ("an unknown amount",)
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}", *_unit(unit))


def what_it_is(figure: Figure) -> Said:
    """What a figure counts, and which way is better."""
    way = " Higher is better." if figure.better == "higher" else " Lower is better."
    if figure.costs:
        told = [f"{_MISTAKES.get(name, name)} costs {amount(each)}" for name, each in figure.costs.items()]
        return (f"What its answers cost, a case: {', '.join(told)}", *_unit(figure.unit), ".", way)
    if not figure.formula:
        return ("What its wrong answers cost, a case", *((" in ", Given(figure.unit)) if figure.unit else ()), ".", way)
    words = re.sub(r"\b(label|decision|score)\b", lambda found: f"[{_OWN[found[0]]}]", figure.formula)
    unit: Said = (", in ", Given(figure.unit)) if figure.unit else ()
    return ("One case counts ", Given(words), *unit, "; the figure is that over all cases.", way)


def standing(figure: Figure) -> tuple[str, Tone]:
    """Where a figure stands against what was agreed, in a word or two."""
    if not figure.looks:
        return "not yet measured", "warn"
    is_limited = figure.agreed is not None and figure.agreed.limit is not None
    if figure.is_worse:
        return ("worse than agreed" if is_limited else "worse than before"), "bad"
    return ("as agreed" if is_limited else "not worse than before"), "good"


def measured(figure: Figure) -> Said:
    """What was measured last, with its range."""
    if not figure.looks:
        return ("Nobody has measured it yet.",)
    last = figure.looks[-1]
    return (
        amount(last.value),
        *_unit(figure.unit),
        _range(last.low, last.high),
        f", over {last.cases:,} cases until {day(last.at)}.",
    )


def agreed(figure: Figure) -> Said:
    """What was agreed on a figure, and who signed that."""
    found = figure.agreed
    before: Said = (f" It was {amount(figure.before)} before.",) if figure.before is not None else ()
    if found is None:
        return ("Nobody has agreed on a limit.", *before)
    if found.limit is not None:
        word = "At least" if figure.better == "higher" else "At most"
        terms: Said = (f"{word} {amount(found.limit)}", *_unit(figure.unit), " is agreed.")
    elif found.guard:
        terms = ("It may not get worse than before by more than ", amount(found.guard), *_unit(figure.unit), ".")
    else:
        terms = ("It may not get worse than before.",)
    owner = Given(whom(found.owner))
    if found.state == "signed" and found.on is not None:
        signed: Said = (" Signed by ", Given(found.by), f" on {day(found.on)}.")
    elif found.state == "void":
        signed = (" The terms changed since they were signed; ", owner, " is to sign them again.")
    else:
        signed = (" Nobody has signed that yet; ", owner, " is asked to.")
    return (*terms, *before, *signed)


def expected(figure: Figure) -> Told | None:
    """What is expected of a figure by when, and what came of that; None where nothing is."""
    hoped = figure.expected
    if hoped is None:
        return None
    word, tone = _VERDICTS[hoped.verdict] if hoped.verdict is not None else ("not yet looked at", "warn")
    who: Said = (Given(hoped.author), " expects that ") if hoped.author else ("It is expected that ",)
    said: Said = (
        *who, Given(figure.name), f" gets better by at least {amount(hoped.effect)}", *_unit(figure.unit), " by ",
        Given(hoped.by), ". ", *_outcome(hoped, figure.unit),
    )  # fmt: skip
    return Told(title="What was expected", word=word, tone=tone, said=said)


def _outcome(hoped: Expected, unit: str) -> Said:
    if hoped.found is None or hoped.at is None:
        told = f" Last looked at on {day(hoped.at)}." if hoped.at is not None else ""
        return (f"There is not enough to tell yet.{told}",)
    how = (
        "measured with it and without it side by side."
        if hoped.is_cause
        else "after it came into use compared with before. Whatever else changed meanwhile is in that too."
    )
    way = "better" if hoped.found >= 0 else "worse"
    low, high = hoped.low, hoped.high
    if hoped.found < 0 and low is not None and high is not None:
        low, high = -high, -low
    return (
        f"So far it got {way} by {amount(abs(hoped.found))}",
        *_unit(unit),
        _range(low, high),
        f" by {day(hoped.at)}: {how}",
    )


def values(found: Sequence[Value]) -> list[Said]:
    """What it brings in money, and what that rests on."""
    said: list[Said] = []
    is_measured = any(one.is_measured for one in found)
    for one in found:
        if one.is_measured:
            on = f" Measured on {one.cases:,} cases, with it and without it side by side, until {day(one.at)}."
            said.append(("About ", *money(one.amount, one.unit), f" a {one.per}", _range(one.low, one.high), ".", on))
        else:
            rest = "." if is_measured else ". Nothing has measured that yet."
            who = Given(whom(one.by))
            said.append(
                ("Expected: ", *money(one.amount, one.unit), f" a {one.per}, says ", who, f" ({day(one.at)}){rest}")
            )
    return said or [("Nobody has said what it is to bring in money, and nothing has measured it.",)]


def spent(found: Spent) -> list[Said]:
    """What it takes, in hours and bytes, and in money where the project says what these cost."""
    since = f" since {day(found.since)}" if found.since is not None else ""
    tries = f"{found.runs:,} attempt{'' if found.runs == 1 else 's'}"
    asked = f", for {found.requests:,} questions answered" if found.requests else ""
    said: list[Said] = [
        (f"Making it took {_hours(found.making.cpu_s)} of computing in {tries}{since}.",),
        (f"Running it took {_hours(found.running.cpu_s)} of computing so far{asked}.",),
    ]
    made, run = found.making.compute, found.running.compute
    keeping = (found.making.keeping or 0.0) + (found.running.keeping or 0.0)
    unit = found.rates.currency
    if made is None and run is None and not keeping:
        said.append(("There is no figure in money: nobody has said what an hour of computing costs.",))
    else:
        kept: Said = (", and ", *money(keeping, unit), " a month to keep it") if keeping else ()
        said.append(
            (
                "In money: ",
                *money(made or 0.0, unit),
                " to make it, ",
                *money(run or 0.0, unit),
                " to run it so far",
                *kept,
                ".",
            )
        )
    said.append(("Computing and storage only: the time of people is not counted.",))
    return said


def trouble(one: Trouble) -> tuple[Said, Said, Said]:
    """An incident: what happened, what it cost, how it ended."""
    what: Said = (
        TROUBLES.get(one.cause, "Something was not as it should be"),
        *((": ", Given(one.figure)) if one.figure else ()),
        ".",
    )
    if one.worse_by is not None:
        cases = f" over {one.cases:,} cases" if one.cases else ""
        cost: Said = (f"{amount(one.worse_by)}", *_unit(one.unit), f" worse than before{cases}.")
    elif one.meanwhile == "held":
        cost = ("The business figures held meanwhile.",)
    elif one.meanwhile == "worse":
        cost = ("The business figures were worse meanwhile.",)
    else:
        cost = ("Not measured.",)
    if one.ended_at is None:
        seen: Said = (
            (Given(one.seen_by), " looks at it.")
            if one.seen_by
            else ("Nobody has said yet that they look at it; ", Given(whom(one.owner)), " is asked to.")
        )
        return what, cost, ("Still open. ", *seen)
    if one.ended_by:
        said: Said = (": ", Given(one.said)) if one.said else (".",)
        return what, cost, (f"Ended on {day(one.ended_at)} by ", Given(one.ended_by), *said)
    return what, cost, (f"Over on {day(one.ended_at)}: it was no longer to be seen.",)


def trusted(found: Trust) -> list[Told]:
    """Why it may be trusted: a question each."""
    return [_who(found), _approval(found), _checked(found), _back(found), _claims(found)]


def _who(found: Trust) -> Told:
    accountable = _named(found.accountable)
    daily: Said = ("; from day to day ", *_named(found.responsible)) if found.responsible else ()
    said = (*accountable, *daily, ".")
    if not found.accountable:
        return Told(title="Who answers for it?", word="nobody", tone="warn", said=said)
    return Told(title="Who answers for it?", word="named", tone="good", said=said)


def _approval(found: Trust) -> Told:
    title = "Who approved it?"
    if found.approved_at is None:
        return Told(title=title, word="nobody", tone="warn", said=("Nobody has approved the version in question.",))
    until = f", which counts until {day(found.approved_until)}" if found.approved_until is not None else ""
    comment: Said = (" They said: ", Given(found.said)) if found.said else ()
    what = " for whatever is renewed the same way and passes the same checks" if found.approved_ahead else ""
    said = (Given(found.approved_by), f" on {day(found.approved_at)}{what}{until}.", *comment)
    return Told(title=title, word="approved", tone="good", said=said)


def _checked(found: Trust) -> Told:
    title = "Is it checked every day?"
    if found.checked_at is None:
        return Told(title=title, word="never", tone="bad", said=("Nothing has looked at it since it came into use.",))
    if not found.checks_a_day:
        return Told(
            title=title,
            word="no",
            tone="warn",
            said=(f"It was last looked at on {day(found.checked_at)}, more than a day ago.",),
        )
    of = f" of {found.watches}" if found.watches else ""
    said = (f"{found.checks_a_day}{of} regular checks ran within the last day, the last on {day(found.checked_at)}.",)
    return Told(title=title, word="yes", tone="good", said=said)


def _back(found: Trust) -> Told:
    title = "Can it go back?"
    if found.back_to:
        way: Said = (f"Yes, to version {found.back_to}.",)
    else:
        way = () if found.drilled_at is not None else ("There is no earlier version to go back to.",)
    if found.drilled_at is None:
        tried = " Going back was never tried out."
    else:
        how = " in use" if found.drill_live else " beside what is in use"
        tried = f"{' ' if way else ''}Going back was last tried out on {day(found.drilled_at)}{how}, and {'worked' if found.drill_held else 'failed'}."
    is_fine = found.drilled_at is not None and found.drill_held
    tone: Tone = "bad" if found.drilled_at is not None and not found.drill_held else "good" if is_fine else "warn"
    word = "yes, tried" if is_fine else "tried, failed" if tone == "bad" else "yes, untried" if found.back_to else "no"
    return Told(title=title, word=word, tone=tone, said=(*way, tried))


def _claims(found: Trust) -> Told:
    title = "Is every claim verified?"
    again = ""
    if found.repeated_at is not None:
        with_what = "with the same result" if found.repeated_alike else "and the same did not come of it"
        again = f" It was made again from what is stored on {day(found.repeated_at)}, {with_what}."
    if not found.claims or found.judged_at is None:
        said = (f"No checks on it are on record.{again}",)
        return Told(title=title, word="no", tone="warn", said=said)
    open_ones = found.claims - found.shown - found.unjudged
    rest = f", {found.unjudged} did not apply or were not judged" if found.unjudged else ""
    against = f", {open_ones} are not shown" if open_ones else ""
    said = (
        f"Of {found.claims} claims {found.shown} are shown by evidence{rest}{against} ({day(found.judged_at)}).{again}",
    )
    is_whole = not open_ones and (found.repeated_at is None or found.repeated_alike)
    word = "yes" if is_whole and not found.unjudged else "as far as judged" if is_whole else "no"
    return Told(title=title, word=word, tone="good" if is_whole else "warn", said=said)


def _named(people: Sequence[str]) -> Said:
    if not people:
        return _NONE
    said: list[str] = []
    for place, name in enumerate(people):
        said += [", "] if place else []
        said.append(Given(whom(name)))
    return tuple(said)


def _unit(unit: str) -> Said:
    return (" ", Given(unit)) if unit else ()


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None or not math.isfinite(low + high):
        return ""
    return f" (likely between {amount(low)} and {amount(high)})"


def _hours(seconds: float) -> str:
    return f"{seconds / _HOUR_S:,.1f} hours" if seconds >= _HOUR_S / 10 else f"{seconds / 60:,.1f} minutes"


def paper(one: Paper) -> Said:
    """A document to open, by what it is and of what."""
    return (PAPERS[one.kind], *((": ", Given(one.name)) if one.kind in ("agreement", "case study") else ()))
