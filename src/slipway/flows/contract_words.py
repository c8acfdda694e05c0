"""A metric contract in plain words, for who signs it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from slipway.operations.permissions import ROLES
from slipway.records.contracts import ContractTerms
from slipway.schema.durations import in_words

__all__ = ["changed_words", "changes", "words"]

_OWN = {
    "score": "score is what the model predicts",
    "decision": "decision is whether it says yes",
    "label": "label is what turned out to be true",
}


def words(terms: ContractTerms, endpoints: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What a contract says: a heading and a sentence each, in the order in which somebody asks.

    Args:
        terms: The contract's.
        endpoints: Which endpoints are under it.
    """
    unit = f" {terms.unit}" if terms.unit else ""
    way = "Higher is better." if terms.better == "higher" else "Lower is better."
    says = [
        ("What it is for", f"{terms.kpi}: {_figure(terms)}{f', in {terms.unit}' if terms.unit else ''}. {way}"),
        ("How it is reckoned", _reckoned(terms)),
        ("What is good enough", _enough(terms, unit)),
        ("When it is known", _known(terms)),
        ("What stands for it meanwhile", _metric(terms)),
        ("Where it holds", f"At {', '.join(endpoints)}." if endpoints else "At no endpoint yet."),
        ("Who answers for it", f"{_named(terms.owner).capitalize() if terms.owner in ROLES else terms.owner}, who signs it and is told when it gets worse."),
        ("What happens when it gets worse", _falls(terms, unit)),
    ]  # fmt: skip
    if terms.hypothesis is not None:
        hoped, by = (
            terms.hypothesis,
            f" {terms.hypothesis.author} says so" if terms.hypothesis.author else " It is expected",
        )
        says.append(
            (
                "What is expected",
                f"{by.strip()}: it gets better by {hoped.effect:g}{unit} or more, known by {hoped.by}.",
            )
        )
    return tuple(says)


def changed_words(
    before: ContractTerms, after: ContractTerms, endpoints: Sequence[str]
) -> tuple[tuple[str, str, str], ...]:
    """What two contracts say differently: the heading, what the first says and what the second, "" for nothing.

    Args:
        before: What was signed.
        after: What stands now.
        endpoints: Which endpoints are under it.
    """
    one, other = dict(words(before, endpoints)), dict(words(after, endpoints))
    titles = dict.fromkeys([*one, *other])
    found = [(title, one.get(title, ""), other.get(title, "")) for title in titles]
    told = tuple(each for each in found if each[1] != each[2])
    # What no sentence says, such as how a row of the table is found, is said as it was declared.
    return told or tuple(("As declared", each, "") for each in changes(before, after))


def changes(before: Struct, after: Struct) -> tuple[str, ...]:
    """What differs between two contracts or scopes: field, before, after."""
    one, other = msgspec.structs.asdict(before), msgspec.structs.asdict(after)
    return tuple(f"{name}: {one[name]!r}, then {other[name]!r}" for name in one if one[name] != other[name])


def _figure(terms: ContractTerms) -> str:
    if terms.per:
        return "what all predictions yield together, divided by what they count for together"
    return "the mean over predictions of what each yields"


def _reckoned(terms: ContractTerms) -> str:
    own = [told for name, told in _OWN.items() if name in terms.columns]
    if terms.costs:
        each = ", ".join(f"a {name.replace('_', ' ')} costs {cost:g}" for name, cost in terms.costs.items())
        return f"{each[:1].upper()}{each[1:]}; other outcomes cost nothing. As a formula: {terms.formula}{_per(terms)}"
    others = [name for name in terms.columns if name not in _OWN]
    if others:
        where = f"of the table {terms.table} or the request" if terms.table else "of the request"
        own.append(f"{', '.join(others)} {'is a field' if len(others) == 1 else 'are fields'} {where}")
    where = f", where {'; '.join(own)}" if own else ""
    return f"One prediction yields {terms.formula}{_per(terms)}{where}."


def _per(terms: ContractTerms) -> str:
    return f" and counts for {terms.per}" if terms.per else ""


def _enough(terms: ContractTerms, unit: str) -> str:
    side = "below" if terms.better == "higher" else "above"
    limit = "" if terms.limit is None else f"Anything {side} {terms.limit:g}{unit} is not good enough. "
    may = (
        f"It may get worse than before by up to {terms.guard:g}{unit}"
        if terms.guard
        else "It may not get worse than before"
    )
    return f"{limit}{may}; what chance alone can do is allowed for."


def _known(terms: ContractTerms) -> str:
    return (
        f"{in_words(terms.delay_us)} after a prediction. The last {in_words(terms.window_us)} are judged together, "
        f"and fewer than {terms.min_rows:,} predictions with a known value do not tell."
    )


def _named(owner: str) -> str:
    return f"the {owner}" if owner in ROLES else owner


def _metric(terms: ContractTerms) -> str:
    if not terms.metric:
        return "No metric of the model does: whether the model is to blame cannot be told."
    return f"The model's {terms.metric.replace('_', ' ')}. Where it stays good and {terms.kpi} gets worse, that is an alarm of its own."


def _falls(terms: ContractTerms, unit: str) -> str:
    guard = f" by more than {terms.guard:g}{unit}" if terms.guard else ""
    return (
        f"An incident opens for {_named(terms.owner)}. Where a gate goes by it, a model that makes it worse{guard} does not pass; "
        "where a roll-out does, such a model is stopped. Nobody is alarmed by what cannot be told: too few rows, a missing column, a division by zero."
    )
