"""Metric contracts: which business figure a model is for, which metric stands for it, who signed that, and what is hoped for."""

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from slipway.hashing import digest
from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["ContractSignature", "ContractTerms", "HypothesisTerms", "KeptContract", "Standing", "StandingVerdict"]

StandingVerdict = Literal["confirmed", "refuted", "undecided", "cannot tell"]


class HypothesisTerms(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody expects a model to do to a KPI.

    Args:
        effect: By how much the KPI gets better at least, in its unit, above 0.
        by: By which day: "2026-12-31".
        author: Who says so, and is told what came of it.
    """

    effect: float
    by: str
    author: str = ""


class ContractTerms(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a metric contract says, as data. Every place that uses it, gate, monitor, roll-out, A/B test, holds these terms.

    Args:
        kpi: What the business calls it: "revenue per seat".
        formula: What one prediction yields, over `score`, `decision`, `label` and columns; the KPI is its mean.
        per: What one prediction counts for, in the same names: then the KPI is all yields over all of this, "" for the mean.
        columns: The names in both.
        costs: The cost matrix that the formula was made of, {} where it was written.
        unit: Of the figure: "EUR a seat".
        better: Which way is better.
        guard: By how much it may be worse than before, in the unit, before anybody is alarmed.
        least: What one prediction yields at least, None where nobody says.
        most: What it yields at most.
        per_least: What it counts for at least, None where nobody says.
        per_most: What it counts for at most.
        limit: A KPI worse than this is never good enough, None where it is only compared with before.
        owner: The person or role that signs it and answers for it.
        delay_us: How long labels and business figures take to be known.
        window_us: How much business time is judged together.
        min_rows: Fewer predictions with a known value do not tell.
        table: The table with the business columns, "" where the request and the label have all.
        key: The table's columns that find the row, each with the request's field of the same value.
        metric: The model's metric that stands for the KPI, "" for none.
        threshold: From which score on the decision is "yes", None where the model says that.
        hypothesis: What is expected of it, None for nothing.
    """

    kpi: str
    formula: str
    columns: tuple[str, ...]
    per: str = ""
    costs: dict[str, float] = {}
    unit: str = ""
    better: Literal["higher", "lower"] = "higher"
    guard: float = 0.0
    least: float | None = None
    most: float | None = None
    per_least: float | None = None
    per_most: float | None = None
    limit: float | None = None
    owner: str = "business owner"
    delay_us: int = 86_400_000_000
    window_us: int = 28 * 86_400_000_000
    min_rows: int = 200
    table: str = ""
    key: tuple[tuple[str, str], ...] = ()
    metric: str = ""
    threshold: float | None = None
    hypothesis: HypothesisTerms | None = None

    @property
    def digest(self) -> str:
        """What a signature is bound to: anything that changes in the terms makes another one."""
        return digest(msgspec.json.encode(self))  # what is not said is not in it: a later field leaves it as it is

    @property
    def slug(self) -> str:
        """The KPI's name as it stands in addresses."""
        return self.kpi.replace(" ", "-")

    @property
    def is_bounded(self) -> bool:
        """Whether it says between what the numbers of one prediction lie, without which no roll-out can compare it."""
        return self.least is not None and (not self.per or self.per_least is not None)

    @property
    def most_share(self) -> float | None:
        """The guard band as a share of what one prediction may yield: of a ratio the greatest that it can be; None for none."""
        if self.least is None or self.most is None:
            return None
        share = self.guard * (self.per_most or 1.0 if self.per else 1.0) / (self.most - self.least)
        return share if 0 < share < 1 else None

    @property
    def sign(self) -> float:
        """1 where higher is better, else -1."""
        return 1.0 if self.better == "higher" else -1.0


class Standing(Struct, frozen=True, kw_only=True):
    """How a hypothesis stands.

    Args:
        verdict: "confirmed": the whole interval of the effect is at least what was expected; "refuted": all of it is less.
        sentence: In words, with the interval.
        source: "A/B test", or "before and after", which shows no cause.
        effect: By how much the KPI got better, in its unit, None where it cannot be told.
        low: Lower end of the interval.
        high: Upper end.
        at: Business time.
        is_final: Whether nothing that comes later changes it.
    """

    verdict: StandingVerdict
    sentence: str
    source: str = ""
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    at: datetime
    is_final: bool = False


class KeptContract(Record, frozen=True, kw_only=True, tag="metric_contract"):
    """A metric contract as it stands. Id: `<project>/<environment>/<slug>`; name: the slug.

    Args:
        number: Counts its changes, from 1.
        terms: What it says.
        digest: Of the terms.
        endpoints: Which endpoints are under it, as declared.
        actor: Who drafted it as it is.
        standing: How its hypothesis stands, None before anybody looked.
    """

    number: int
    terms: ContractTerms
    digest: str
    endpoints: tuple[str, ...] = ()
    actor: Actor
    standing: Standing | None = None


class ContractSignature(Record, frozen=True, kw_only=True, tag="contract_signature"):
    """A person's name under a metric contract; name: the contract's slug.

    Args:
        parent_id: `<project>/<slug>`.
        digest: Of the terms that were signed: other terms, and it is void.
        state: "withdrawn" takes the name back.
        actor: Who.
        comment: Why.
        terms: What was signed, so that a page can say what changed since; None in names of before it was kept.
    """

    parent_id: str
    digest: str
    state: Literal["signed", "withdrawn"] = "signed"
    actor: Actor
    comment: str = ""
    terms: ContractTerms | None = None
