"""A/B tests: several versions answer side by side, and a business metric says which of them is worth more."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.records.contracts import ContractTerms
from slipway.records.endpoints import Served
from slipway.records.record import Record

__all__ = ["ABArm", "ABLook", "ABTest", "ABTestSpec", "ABVerdict", "ArmResult", "ArmVerdict"]

ArmVerdict = Literal["better", "worse", "alike", "undecided"]
"""Against the control: surely better or worse, surely less different than is relevant, or none of these yet."""
ABVerdict = Literal["decided", "undecided", "void"]


class ABTestSpec(Struct, frozen=True, kw_only=True):
    """What an A/B test compares, and how.

    Args:
        metric: "label": the label's value; "cost": what the decision cost, by the cost matrix of the champion's decision;
            "contract": what a prediction yields by the endpoint's metric contract.
        times: A request field by which each row's value is multiplied, "" for none: the amount at stake.
        better: Whether a higher or a lower value is better.
        unit: What the metric is counted in: "EUR".
        entity: The request's fields that name the entity whose rows share an arm, () for the contract's key.
        window_us: An entity's outcome is that of its first answers within so much time, and counts when that is over.
        minimal_effect: The least difference of the metric's mean that matters to anybody, above 0.
        alpha: The chance that any arm is ever called better or worse, or alike, that is not.
        deadline_us: After that long a person is asked.
        covariate: A request field, or "prior" for the entity's mean of the metric in the four weeks before: what varies
            with it is taken out. "" for none.
        contract: The metric contract, taken from the endpoint's declaration when the test begins.
        looks_us: How long after its beginning the planned looks are; () for looks at any time.
    """

    metric: Literal["label", "cost", "contract"] = "label"
    times: str = ""
    better: Literal["higher", "lower"] = "higher"
    unit: str = ""
    entity: tuple[str, ...] = ()
    window_us: int = 7 * 86_400_000_000
    minimal_effect: float
    alpha: float = 0.05
    deadline_us: int = 60 * 86_400_000_000
    covariate: str = ""
    looks_us: tuple[int, ...] = ()
    contract: ContractTerms | None = None


class ABArm(Struct, frozen=True, kw_only=True):
    """One version that answers beside the control.

    Args:
        name: What the log calls it: the version's number.
        served: The version.
        fraction: Its share of the entities.
        verdict_id: The gate's verdict that let it answer.
    """

    name: str
    served: Served
    fraction: float
    verdict_id: str = ""


class ArmResult(Struct, frozen=True, kw_only=True):
    """One arm at a look; of the control the difference is none.

    Args:
        name: The arm's, "champion" for the control.
        assigned: Its entities so far.
        measured: Those whose window is over and who have a label.
        mean: The metric's mean over them, None without any.
        effect: Its mean minus the control's, after the covariate; None where it cannot be told.
        low: Lower bound of the effect.
        high: Upper bound.
        verdict: Against the control; "undecided" for the control.
        month: The effect times a month's rows at present traffic, in the metric's unit.
        month_low: The same of the lower bound.
        month_high: The same of the upper bound.
        covered: Its rows that the champion answered because its model failed.
    """

    name: str
    assigned: int
    measured: int
    mean: float | None = None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: ArmVerdict = "undecided"
    month: float | None = None
    month_low: float | None = None
    month_high: float | None = None
    covered: int = 0


class ABLook(Struct, frozen=True, kw_only=True):
    """One look.

    Args:
        at: Business time.
        verdict: "void" where the split is broken: then nothing else is told.
        sentence: The recommendation, or why there is none.
        arms: The control first.
        more_entities: How many more would show a difference of `minimal_effect`; None where nobody can say, 0 for none.
        more_days: How long they take to come at present traffic.
        unknown: What is not known, a sentence each.
        rows_a_month: Rows a month at present traffic.
        narrower: What the covariate took off the variance, a share of 1.
    """

    at: datetime
    verdict: ABVerdict
    sentence: str
    arms: tuple[ArmResult, ...] = ()
    more_entities: int | None = None
    more_days: float | None = None
    unknown: tuple[str, ...] = ()
    rows_a_month: float = 0.0
    narrower: float = 0.0


class ABTest(Record, frozen=True, kw_only=True, tag="abtest"):
    """One A/B test; name: the endpoint's.

    Args:
        parent_id: `<project>/<endpoint>`.
        state: "promoted": a person let an arm serve; "kept": a person kept the control; "superseded": somebody deployed
            something else meanwhile.
        control: What serves.
        arms: What answers beside it.
        spec: What is compared, and how.
        salt: What entities are hashed with.
        ended_at: Business time, None while it runs.
        chosen: The arm that was promoted, "" for none.
        reason: How it ended, in words.
        looks: Oldest first; of a day the last.
    """

    parent_id: str
    state: Literal["running", "promoted", "kept", "superseded"] = "running"
    control: Served
    arms: tuple[ABArm, ...]
    spec: ABTestSpec
    salt: str
    ended_at: datetime | None = None
    chosen: str = ""
    reason: str = ""
    looks: tuple[ABLook, ...] = ()

    @property
    def is_under_way(self) -> bool:
        """Whether nobody has ended it."""
        return self.ended_at is None
