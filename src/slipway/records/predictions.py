"""What endpoints write: predictions, labels and pushed events, as rows of log segments."""

from typing import Any, Literal

from msgspec import Struct

__all__ = ["LabelRow", "PredictionRow", "PushedRow"]


class PredictionRow(Struct, frozen=True, array_like=True):
    """One answered row. Encoded as an array: the order of fields is the format.

    Args:
        id: The prediction's id.
        at_us: The decision time (business), microseconds since the epoch.
        answered_us: Machine time of the answer.
        version: The model version's number.
        bundle: First 16 digits of the bundle's digest.
        key: The contract's key values, joined with "|".
        request: The request's fields, in the contract's order.
        features: The model's inputs, in the signature's order.
        score: The answer.
        decision: What was decided, None without a threshold.
        revision: The revision that answered: its contract says what `request` means.
    """

    id: str
    at_us: int
    answered_us: int
    version: int
    bundle: str
    key: str
    request: list[Any]
    features: list[Any]
    score: float
    decision: bool | None = None
    revision: int = 0


class LabelRow(Struct, frozen=True, array_like=True):
    """One label that came in.

    Args:
        prediction: The prediction's id, "" when matched by key.
        key: The contract's key values, joined with "|", "" when matched by id.
        value: The truth.
        observed_us: When it became known (business time).
        received_us: Machine time.
    """

    prediction: str
    key: str
    value: float
    observed_us: int
    received_us: int


class PushedRow(Struct, frozen=True, array_like=True):
    """One row that was pushed for the online store.

    Args:
        kind: Whether it is an event of a table or a row of a feature view.
        name: The table's or view's.
        received_us: Machine time.
        row: All its columns as they came, features or not.
    """

    kind: Literal["source", "view"]
    name: str
    received_us: int
    row: dict[str, Any]
