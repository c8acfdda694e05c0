"""What lies before the judge, and the outcomes in which it speaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from slipway.gates.evidence import figures_of
from slipway.gates.wording import describe
from slipway.records.gates import Approval, CheckSpec, Evidence, Outcome
from slipway.records.models import MetricValue

__all__ = ["Bench", "Result", "listed", "outcome", "unknown", "untold"]

Result = Literal["passed", "refused", "cannot tell", "not applicable", "not judged"]
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What is on the table for one bundle."""

    evidence: Sequence[Evidence]
    approvals: Sequence[Approval]
    at: datetime
    champion_known: bool
    is_champion: bool
    model: str
    number: int
    authors: Sequence[str]

    @property
    def no_champion(self) -> str:
        """Why there is nothing to compare with."""
        return "it is the champion itself" if self.is_champion else "first release: there is no champion yet"

    def of(self, kind: str) -> list[Evidence]:
        """The evidence of a kind."""
        return [found for found in self.evidence if found.kind == kind]

    def about(self, check: CheckSpec) -> dict[str, Any] | None:
        """What was collected for this very check, None for nothing."""
        found = next((one.values for one in self.of(check.kind) if one.values.get("check") == describe(check)), None)
        return None if found is None else {name: value for name, value in found.items() if name != "check"}

    def figures(self) -> list[MetricValue]:
        """The figures of the evaluation."""
        return [figure for found in self.of("metric") for figure in figures_of(found)]


def untold(check: CheckSpec, bench: Bench) -> Outcome | None:
    """Why the evidence that a check reads could not be collected; None where nothing stood in the way."""
    for found in bench.of(check.kind):
        if "untold" in found.values and found.values.get("check", describe(check)) == describe(check):
            return unknown(check, found.values["untold"], found.values["fix"])
    return None


def listed(words: Sequence[str]) -> str:
    """The first of them, and how many more."""
    more = len(words) - _SHOWN
    return "; ".join(words[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def unknown(check: CheckSpec, why: str, fix: str) -> Outcome:
    """That nobody can tell, which refuses."""
    return outcome(check, "cannot tell", why, fix)


def outcome(check: CheckSpec, result: Result, found: str, fix: str, **values: Any) -> Outcome:
    """What one check said."""
    return Outcome(check=describe(check), kind=check.kind, result=result, found=found, fix=fix, values=values)
