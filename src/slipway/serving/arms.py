"""Which of two models answers a row: sticky by the row's key, so that nobody changes sides while a roll-out goes on."""

from collections.abc import Sequence
from typing import Any

import blake3
import msgspec

from slipway.records.endpoints import Challenger
from slipway.records.predictions import Arm
from slipway.serving.contracts import ContractReader

__all__ = ["arm_of", "propensity", "share_of"]

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


def propensity(challenger: Challenger, arm: Arm) -> float:
    """How likely a row's arm was before its key was known."""
    return challenger.fraction if arm == "challenger" else 1.0 - challenger.fraction
