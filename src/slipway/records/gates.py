"""Gates as data, the evidence they read, and their verdicts."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.records.contracts import ContractTerms
from slipway.records.display import table
from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = [
    "LEAKS_FROM", "Approval", "BreakGlass", "CheckKind", "CheckSpec", "Evidence", "Floor", "GateSpec", "Outcome", "Verdict",
]  # fmt: skip

LEAKS_FROM = 0.98
"""An input that alone predicts the label with this AUC or rank correlation is looked at as a leak."""

CheckKind = Literal[
    "metric",
    "champion",
    "calibrated",
    "no_skew",
    "latency",
    "environment",
    "approval",
    "signature",
    "parity",
    "loads",
    "consistent",
    "no_finding",
    "reproduced",
    "format",
    "target",
    "template",
    "fair",
    "robust",
    "invariant",
    "monotonic",
    "no_leakage",
    "data_checks",
    "documented",
    "kpi",
    "load",
    "replayed",
    "contract",
    "contract_signed",
    "real_data",
]


class CheckSpec(Struct, frozen=True, kw_only=True):
    """One check of a gate, as data.

    Args:
        kind: "metric" compares a figure with a limit; "champion" compares it with the champion's on the same rows.
        metric: For metric, champion, fair and robust: which figure. For kpi, contract and contract_signed: what the business calls it.
        op: For metric and kpi: ">=" or "<=". For monotonic: ">=" where the answer may not fall, "<=" where it may not rise.
        limit: For metric: the limit. For calibrated: the greatest tolerated difference of mean prediction and rate.
            For latency: how many times the champion's. For consistent: the greatest share of served values that differ.
            For reproduced: 0 where only equal results will do, 1 where results within tolerance do too.
            For invariant and monotonic: the greatest share of rows that may break it. For no_leakage: how well one input
            alone may predict the label. For load: milliseconds, bytes, or requests a second. For replayed: the share of
            rows that may differ. For environment: 1 where an index may be asked.
        margin: For champion: how much worse is tolerated; for robust, how much the figure may fall; for fair, how far
            groups may lie apart; for invariant and monotonic, what change of an answer is none.
        slice: For metric: the column whose every slice must hold, "" for overall. For fair: the column of the groups.
        role: For approval: who must approve.
        count: For approval: how many people. For fair: groups of fewer rows are named and not judged. For load: rows a
            request. For replayed: how many rows.
        allowed: For format, target and template: which ones may be.
        column: For invariant and monotonic: which input is changed.
        columns: For documented: what must be written.
        amounts: For robust: the share of values that go missing, and the noise in standard deviations of a column.
        rate: For load: requests a second.
        contract: For contract: the metric contract whose KPI is judged.
        where: For environment: the target, "<platform> <Python>", "" for this machine and its own Python.
    """

    kind: CheckKind
    metric: str = ""
    op: Literal["", ">=", "<="] = ""
    limit: float = 0.0
    margin: float = 0.0
    slice: str = ""
    role: str = ""
    count: int = 1
    allowed: tuple[str, ...] = ()
    column: str = ""
    columns: tuple[str, ...] = ()
    amounts: tuple[float, ...] = ()
    rate: float = 0.0
    where: str = ""
    contract: ContractTerms | None = None


class GateSpec(Struct, frozen=True, kw_only=True):
    """The checks that a model must pass, in order."""

    checks: tuple[CheckSpec, ...]


class Evidence(Struct, frozen=True, kw_only=True):
    """Something that was measured or attested about one bundle. Gates read it and never fetch it.

    Args:
        kind: The kind of check that it serves.
        subject: The bundle's digest.
        at: Business time.
        values: Plain values; what they mean depends on the kind.
        note: A sentence for a reader.
    """

    kind: CheckKind
    subject: str
    at: datetime
    values: dict[str, Any] = {}
    note: str = ""


class Outcome(Struct, frozen=True, kw_only=True):
    """What one check said.

    Args:
        check: The check in words: "auc at least 0.70".
        result: "not applicable" and "not judged" pass and say why; "cannot tell" refuses.
        found: What the evidence shows, in words: "0.746 (0.738 to 0.754), 28,330 rows".
        fix: For a refusal: the shortest next step.
        values: The evidence's figures, to be checked again later.
        helper: For a refusal: who can help with it: by the RACI, else by role.
        kind: The check's, "" in verdicts of before it was written.
    """

    check: str
    result: Literal["passed", "refused", "cannot tell", "not applicable", "not judged"]
    kind: CheckKind | Literal[""] = ""
    found: str = ""
    fix: str = ""
    values: dict[str, Any] = {}
    helper: str = ""


class Verdict(Record, frozen=True, kw_only=True, tag="verdict"):
    """A gate's word on one bundle; bound to the digests of both.

    Args:
        bundle: The bundle's digest.
        gate: The fingerprint of the effective gate.
        environment: "dev", "test" or "prod".
        passed: Whether it may be deployed.
        outcomes: One a check, in the gate's order.
        actor: Who asked.
    """

    bundle: str
    gate: str
    environment: str
    passed: bool
    outcomes: tuple[Outcome, ...]
    actor: Actor

    def _repr_html_(self) -> str:
        rows = [(one.check, one.result, one.found, one.fix, one.helper) for one in self.outcomes]
        word = "passed" if self.passed else "refused"
        return table(
            f"{word}: {self.name or self.bundle[:12]} in {self.environment}",
            ("check", "result", "found", "fix", "who can help"),
            rows,
        )


class Approval(Record, frozen=True, kw_only=True, tag="approval"):
    """A person's word for one bundle, bound to its digest; name: the role in which it was given.

    Args:
        bundle: The bundle's digest: another byte, and the approval is void.
        actor: Who approved.
        decision: What.
        comment: Why.
        expires_at: When it lapses, None for never.
    """

    bundle: str
    actor: Actor
    decision: Literal["approved", "rejected"]
    comment: str = ""
    expires_at: datetime | None = None


class Floor(Record, frozen=True, kw_only=True, tag="floor"):
    """What every model must show in an environment, whatever a project declares; name: the environment's.

    Args:
        number: Counts the changes within the environment, from 1.
        checks: What is asked besides signature, parity and loading, which no floor can leave out.
        written: The same, as somebody wrote it.
        needs_gate: Whether a project must declare a gate of its own.
        formats: The models' formats that may be, () for any.
        targets: Where bundles may go ("process" is Slipway's own), () for anywhere.
        templates: The templates from which a project may have been made, () for any.
        actor: Who set it.
        reason: Why.
    """

    number: int
    checks: tuple[CheckSpec, ...] = ()
    written: tuple[str, ...] = ()
    needs_gate: bool = False
    formats: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    actor: Actor
    reason: str = ""


class BreakGlass(Record, frozen=True, kw_only=True, tag="break_glass"):
    """A named person's word that a bundle may serve although its gate refused it; name: the endpoint's.

    Args:
        bundle: The bundle's digest.
        model: The model's name.
        version: The version's number.
        environment: Where.
        verdict_id: What it went against.
        actor: Who.
        reason: Why.
        expires_at: Until when it lets that bundle be deployed; what serves after that must have passed.
        incident_id: The incident that stays open meanwhile.
    """

    bundle: str
    model: str
    version: int
    environment: str
    verdict_id: str
    actor: Actor
    reason: str
    expires_at: datetime
    incident_id: str
