"""Which of several models answers a row: sticky, so that nobody changes sides.

In a roll-out by the row's key, in an A/B test by its entity.
"""

from collections.abc import Callable, Sequence
from typing import Any

import blake3
import msgspec

from slipway.records.endpoints import Challenger, Split
from slipway.records.predictions import Arm
from slipway.serving.contracts import ContractReader, key_text

__all__ = ["Assign", "arm_of", "assigner", "entity_arm", "propensity", "share_of"]

Assign = Callable[[Sequence[Any]], int]
"""A row in the contract's order to the place of its challenger, -1 for the champion."""
_encode = msgspec.msgpack.Encoder().encode


def share_of(salt: str, text: str | bytes) -> float:
    """Where a row stands in a roll-out: a share in [0, 1), the same in every process and at every time.

    Rows spread evenly, and anew for each challenger, so that no caller meets every one of them first.

    Args:
        salt: The challenger's name and number: a simulation that is run again assigns the same rows.
        text: What names the row.
    """
    named = text.encode() if isinstance(text, str) else text
    hashed = blake3.blake3(b"%s\0%s" % (salt.encode(), named)).digest(length=8)
    return (int.from_bytes(hashed, "big") >> 11) / 2**53


def arm_of(challenger: Challenger, contract: ContractReader, row: Sequence[Any]) -> Arm:
    """The model that answers a row: the challenger while the row's share is below its fraction.

    A greater fraction therefore keeps every row that the challenger had. A row goes by its key; one without a key, or
    whose key is null, goes by all its values.

    Args:
        challenger: The roll-out's, with its fraction.
        contract: The endpoint's.
        row: The request's values in the contract's order.
    """
    if challenger.fraction <= 0.0:
        return "champion"
    text: str | bytes = contract.key_of(row)
    share = share_of(f"{challenger.served.model}/{challenger.served.number}", text or _encode(row))
    return "challenger" if share < challenger.fraction else "champion"


def entity_arm(salt: str, fractions: Sequence[float], text: str | bytes) -> int:
    """The arm of an entity in an A/B test: the place of its fraction, -1 for the champion, who has what is left.

    Args:
        salt: The test's.
        fractions: Of the challengers, together below 1.
        text: What names the entity.
    """
    share, above = share_of(salt, text), 0.0
    for place, fraction in enumerate(fractions):
        above += fraction
        if share < above:
            return place
    return -1


def assigner(plans: Sequence[Challenger], split: Split | None, contract: ContractReader) -> Assign:
    """What assigns a revision's rows; made once a revision.

    Args:
        plans: Its challengers.
        split: How an A/B test assigns, None in a roll-out, which has one challenger.
        contract: The endpoint's.
    """
    if not plans:
        return lambda row: -1
    if split is None:
        only = plans[0]
        return lambda row: 0 if arm_of(only, contract, row) == "challenger" else -1
    names = [one.name for one in contract.contract.fields]
    positions = [names.index(name) for name in split.entity]
    fractions, salt = [plan.fraction for plan in plans], split.salt

    def assign(row: Sequence[Any]) -> int:
        # One without an entity goes by all its values, as in a roll-out.
        named = [row[at] for at in positions]
        text = contract.key_of(row) if not positions else "" if all(one is None for one in named) else key_text(named)
        return entity_arm(salt, fractions, text or _encode(row))

    return assign


def propensity(challenger: Challenger, arm: Arm) -> float:
    """How likely a row's arm was before its key was known."""
    return challenger.fraction if arm == "challenger" else 1.0 - challenger.fraction
