"""What endpoints write: predictions, labels and pushed events, as rows of log segments."""

from typing import Any, Literal

from msgspec import Struct

__all__ = [
    "Arm",
    "FailureRow",
    "FallbackReason",
    "LabelRow",
    "PredictionRow",
    "PushedRow",
    "ShadowProblem",
    "ShadowRow",
]

Arm = str
"""Which model of several was asked: "champion", "challenger" in a roll-out, in an A/B test the name of the version."""
FallbackReason = Literal["timeout", "error", "invalid", "features"]
"""Why a model did not answer: it took too long, it failed, its score is none, or its features were missing."""

ShadowProblem = Literal["", "error", "invalid", "features", "refused", "timeout", "unreadable"]
"""Why an unseen score is missing: the model failed, its score is none (of its task), its features failed, it refuses the
row; an old system took too long, failed or could not be reached ("error"), or its answer has no score ("unreadable")."""


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
        arm: Which model of a roll-out answered; in an A/B test the arm of the row's entity, also where that arm failed and
            the champion, whose `version` it then is, answered in its place.
        propensity: How likely the row's arm was.
        caller: Who asked, "" where nobody asks who calls.
        log_share: How likely such a row was to be logged: each stands for 1 / `log_share` that were answered.
        fallback: Why the model did not answer and the revision's fallback did, "" where the model did. `version` is then
            the one that answered; `arm`, `propensity` and `bundle` are of the model that was asked, whose inputs are all
            written as null.
        took_us: Machine time that the features and the model of the row's arm took over the rows that it had in the
            request, 0 where no roll-out was under way: then nobody measures it.
        log_again: Whether a front had given the request to a worker before, which ended on it. If that one has logged the
            row, the two have the same id, and this one does not count; see `tables.log_twins`.
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
    arm: Arm = "champion"
    propensity: float = 1.0
    caller: str = ""
    log_share: float = 1.0
    fallback: FallbackReason | Literal[""] = ""
    took_us: int = 0
    log_again: bool = False


class ShadowRow(Struct, frozen=True, array_like=True):
    """What the arm that did not answer, or an old system, would have answered to one row.

    Args:
        prediction: The answered row's id.
        at_us: Its decision time (business), microseconds since the epoch.
        revision: The revision under which it was compared.
        arm: Which model scored it here: the one that did not answer; "reference" for an old system.
        bundle: First 16 digits of that model's digest; of an old system those of its declaration.
        score: Its score, None where it failed.
        took_ns: Machine time spent on it.
        problem: Why there is no score, "" where there is one or where an earlier release wrote the row.
        beside_ns: Machine time that the model which answered took when it was asked once more beside it; 0 for most rows,
            on which nobody measured.
        log_again: As of the answered row.
    """

    prediction: str
    at_us: int
    revision: int
    arm: Arm | Literal["reference"]
    bundle: str
    score: float | None
    took_ns: int = 0
    problem: ShadowProblem = ""
    beside_ns: int = 0
    log_again: bool = False


class FailureRow(Struct, frozen=True, array_like=True):
    """Rows that were drawn for an arm and that it could not answer.

    Args:
        at_us: The decision time (business).
        answered_us: Machine time, the same for all failures of a request.
        revision: The revision.
        arm: Which model failed.
        bundle: First 16 digits of its digest.
        rows: How many rows.
        step: "features" or "predict".
        was_covered: Whether the other model answered them in its place.
        kind: Why, "" where it was written before there was such a field.
    """

    at_us: int
    answered_us: int
    revision: int
    arm: Arm
    bundle: str
    rows: int
    step: str
    was_covered: bool = False
    kind: FallbackReason | Literal[""] = ""


class LabelRow(Struct, frozen=True, array_like=True):
    """One label that came in.

    Args:
        prediction: The prediction's id, "" when matched by key.
        key: The contract's key values, joined with "|", "" when matched by id.
        value: The truth.
        observed_us: When it became known (business time).
        received_us: Machine time.
        revision: Which version of the truth it is, 0 where nobody numbers them: a greater one counts instead.
        since_us: Of a label by key and time: it judges decisions of its key after this,
        until_us: and at or before this; None where it judges every decision of its key.
        came_us: Business time when it came in; None in rows of before there was such a field.
    """

    prediction: str
    key: str
    value: float
    observed_us: int
    received_us: int
    revision: int = 0
    since_us: int | None = None
    until_us: int | None = None
    came_us: int | None = None


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
