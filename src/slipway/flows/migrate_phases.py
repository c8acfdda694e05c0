"""The three phases of a model that moves: what each begins and ends with, judged over what the ledger knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from shlex import quote
from typing import Literal, NamedTuple

from slipway.flows.journey_evidence import Known
from slipway.operations.migrations import Criterion, PhaseState
from slipway.operations.old_systems import Agreement
from slipway.records.migrations import Activation, Comparison, Gap, OldModel, Phase

__all__ = ["AGREE", "CRITERIA", "FIRST_ANSWERS", "LEAST_COMPARED", "Case", "phases_of"]

LEAST_COMPARED = 100
"""How many requests both must have answered."""
AGREE = 0.99
"""The share of them on which both must agree."""
FIRST_ANSWERS = 20
"""How many answers chosen users must have had before it is opened to all."""


class Opened(NamedTuple):
    """A step of an activation, with the answers that were given while it held: to chosen users, and to others."""

    step: Activation
    chosen: int = 0
    others: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is known of a model that moves.

    Args:
        old: What the inventory says.
        known: What the ledger has under its name here, None for nothing.
        comparison: The newest comparison of what serves with the old system, None for none.
        agreement: How live traffic agrees with the old system, None where it is not declared.
        opened: The steps of its activation, oldest first.
        before: Why it has to wait for models that move before it, "" where it has not.
    """

    old: OldModel
    known: Known | None = None
    comparison: Comparison | None = None
    agreement: Agreement | None = None
    opened: tuple[Opened, ...] = ()
    before: str = ""

    @property
    def endpoint(self) -> str:
        """The endpoint that commands name."""
        return self.known.endpoint if self.known is not None else self.old.model


class _Shown(NamedTuple):
    found: str
    evidence: str = ""
    at: datetime | None = None


class _Missing(NamedTuple):
    found: str
    next: str


_Judged = _Shown | _Missing


class _Asked(NamedTuple):
    phase: Phase
    side: Literal["entry", "exit"]
    name: str
    asked: str
    judge: Callable[[Case], _Judged]


def phases_of(case: Case, gaps: dict[str, Gap], dues: dict[Phase, date], today: date) -> tuple[PhaseState, ...]:
    """All three phases of a model. A phase begins when its own entry criteria are met and the phase before it is done.

    Args:
        case: What is known of it.
        gaps: What people said of its criteria, by their names.
        dues: Until when each phase is to be done.
        today: The day of business time.
    """
    found: list[PhaseState] = []
    is_over = bool(case.opened) and case.opened[-1].step.to == "all"  # nothing is missing when that is allowed
    for phase in dues:
        criteria = tuple(_criteria(case, phase, gaps, dues[phase], today))
        may_begin = all(one.is_met for one in criteria if one.side == "entry")
        may_begin = may_begin and all(one.state == "done" for one in found)
        is_done = is_over or (may_begin and all(one.is_met for one in criteria))
        found.append(
            PhaseState(
                name=phase, state="done" if is_done else "under way" if may_begin else "not yet", criteria=criteria
            )
        )
    return tuple(found)


def _criteria(case: Case, phase: Phase, gaps: dict[str, Gap], due: date, today: date) -> Iterator[Criterion]:
    for one in CRITERIA:
        if one.phase != phase:
            continue
        answer, gap = one.judge(case), gaps.get(one.name)
        owner = (gap.owner if gap else "") or case.old.owner
        if isinstance(answer, _Shown):
            yield Criterion(
                name=one.name, side=one.side, asked=one.asked, state="shown", found=answer.found,
                evidence=answer.evidence, at=answer.at, owner=owner,
            )  # fmt: skip
        elif gap is not None and gap.closed:
            yield Criterion(
                name=one.name, side=one.side, asked=one.asked, state="said",
                found=f"{gap.actor} takes it without: {gap.closed}", at=gap.at, owner=owner,
            )  # fmt: skip
        else:
            until = (gap.due if gap else None) or due
            yield Criterion(
                name=one.name, side=one.side, asked=one.asked, state="missing", found=answer.found, next=answer.next,
                owner=owner or "nobody", due=until, is_late=until < today,
            )  # fmt: skip


def _owned(case: Case) -> _Judged:
    if case.old.owner:
        return _Shown(case.old.owner)
    return _Missing("nobody answers for it", "fill in its owner, then: slipway migrate plan INVENTORY")


def _found(case: Case) -> _Judged:
    where = case.old.place or case.old.url
    if where:
        return _Shown(where)
    return _Missing("nobody knows where it lies", "fill in its place or url, then: slipway migrate plan INVENTORY")


def _turn(case: Case) -> _Judged:
    return _Missing(case.before, "slipway migrate status") if case.before else _Shown("nothing moves before it")


def _imported(case: Case) -> _Judged:
    version = case.known.version if case.known is not None else None
    if version is not None and version.bundle:
        return _Shown(f"version {version.number} with a signed bundle", f"model:{version.id}", version.created_at)
    return _Missing("no version of it with a bundle is here", _import(case.old))


def _import(old: OldModel) -> str:
    name, place = quote(old.model), quote(old.place or "PLACE")
    if old.kind == "mlflow":
        return f"slipway import mlflow {place} --trust --sample {name}=ROWS.csv"
    if old.kind in ("script", "onnx", "pickle"):
        more = " --trust" if old.kind == "pickle" else ""
        return f"slipway import {old.kind} {place}{more} --sample ROWS.csv --name {name}"
    if old.kind == "notebook":
        return f"slipway import notebook {place}"
    return f"slipway run PIPELINE, which trains {name} anew, or slipway import pickle FILE --name {name}"


def _proven(case: Case) -> _Judged:
    version = case.known.version if case.known is not None else None
    proofs = version.imported if version is not None else ()
    for one in proofs:
        if version is not None and one.rows >= 1000 and not one.apart:
            why = f" Accepted: {one.accepted}" if one.accepted else ""
            return _Shown(f"{one.sentence}{why}", f"model:{version.id}", version.created_at)
    url = quote(case.old.url or "URL")
    ask = f"slipway import fastapi {url} --model {quote(case.old.model)} --sample ROWS.csv"
    if proofs:
        return _Missing(proofs[0].sentence, ask)
    return _Missing("no 1,000 rows were asked of both", _import(case.old) if version is None else ask)


def _gated(case: Case) -> _Judged:
    version = case.known.version if case.known is not None else None
    for one in case.known.verdicts if case.known is not None else ():
        if version is not None and one.bundle == version.bundle and one.passed:
            return _Shown(f"{len(one.outcomes)} checks in {one.environment}", f"verdict:{one.id}", one.created_at)
    return _Missing("no gate let it through", f"slipway deploy {quote(case.old.model)}")


def _beside(case: Case) -> _Judged:
    for one in case.known.live if case.known is not None else ():
        return _Shown(f"{one.name} serves version {one.served.number}", f"revision:{one.id}", one.created_at)
    return _Missing("no endpoint serves it", f"slipway deploy {quote(case.old.model)}")


def _compared(case: Case) -> _Judged:
    one, live = case.comparison, case.agreement
    if one is not None and _enough(one.scored, one.agreeing):
        return _Shown(one.sentence, f"migration_comparison:{one.id}", one.created_at)
    if live is not None and _enough(live.scored, live.agreeing):
        return _Shown(live.sentence, f"endpoint:{live.endpoint}")
    url = f" --url {quote(case.old.url or 'URL')}"
    ask = f"slipway migrate compare {quote(case.old.name)}{'' if live is not None else url} --requests ROWS.csv"
    found = one.sentence if one is not None else live.sentence if live is not None else "it was compared with nothing"
    return _Missing(found, ask)


def _enough(scored: int, agreeing: int) -> bool:
    return scored >= LEAST_COMPARED and agreeing >= AGREE * scored


def _monitored(case: Case) -> _Judged:
    for one in case.known.live if case.known is not None else ():
        if one.monitors:
            told = ", ".join(each.name for each in one.monitors)
            return _Shown(f"{one.name}: {told}", f"revision:{one.id}", one.created_at)
    line = f'sw.Endpoint("{case.endpoint}", ..., monitors=[sw.Drift()])'
    return _Missing("nothing watches it", f"write {line}, then: slipway deploy {quote(case.old.model)}")


def _approved(case: Case) -> _Judged:
    for one in reversed(case.known.approvals if case.known is not None else ()):
        if one.decision == "approved":
            return _Shown(f"by {one.actor} as {one.name}", f"approval:{one.id}", one.created_at)
    return _Missing("nobody said that it may serve", f"slipway approve {quote(case.old.model)}")


def _chosen_first(case: Case) -> _Judged:
    command = f"slipway migrate activate {quote(case.old.name)} --users ADA,GRACE"
    held = [one for one in case.opened if one.step.to == "chosen"]
    for one in held:
        if one.chosen >= FIRST_ANSWERS:
            others = f", and {one.others:,} to others" if one.others else ""
            return _Shown(
                f"{one.chosen:,} answers to {_whom(one.step)}{others}", f"endpoint:{case.endpoint}", one.step.at
            )
    if held and held[-1].others and not held[-1].chosen:
        return _Missing(
            f"{held[-1].others:,} answers, none of them to {_whom(held[-1].step)}",
            f'let callers be known by tokens, or name the field of the user: sw.Endpoint("{case.endpoint}", key="USER", ...)',
        )
    if held:
        return _Missing(
            f"{held[-1].chosen} of {FIRST_ANSWERS} answers to {_whom(held[-1].step)}",
            f"let them ask: slipway migrate way {quote(case.old.name)} USER",
        )
    return _Missing("it is open to nobody", command)


def _whom(step: Activation) -> str:
    parts = [", ".join(step.users)] if step.users else []
    parts += (
        [f"{step.share:.0%} of the others" if step.users else f"{step.share:.0%} of the users"] if step.share else []
    )
    return " and ".join(parts)


def _way_back(case: Case) -> _Judged:
    for one, after in zip(case.opened, case.opened[1:], strict=False):
        if one.step.to == "nobody" and after.step.to != "nobody":
            return _Shown("all went back to the old system, and here again", "", one.step.at)
    for drill in case.known.drills if case.known is not None else ():
        if drill.state == "passed":
            return _Shown(drill.sentence[:160], f"drill:{drill.id}", drill.created_at)
    name = quote(case.old.name)
    return _Missing(
        "nobody tried the way back", f'slipway migrate activate {name} --nobody --why "to try the way back"'
    )


def _open_to_all(case: Case) -> _Judged:
    if case.opened and case.opened[-1].step.to == "all":
        step = case.opened[-1].step
        return _Shown(f"by {step.actor}", f"endpoint:{case.endpoint}", step.at)
    return _Missing("not all users are served by it", f"slipway migrate activate {quote(case.old.name)} --all")


CRITERIA = (
    _Asked("Development", "entry", "turn", "what moves before it has moved", _turn),
    _Asked("Development", "entry", "owner", "somebody answers for it", _owned),
    _Asked("Development", "entry", "place", "it is known where it lies", _found),
    _Asked("Development", "exit", "imported", "a version of it with a signed bundle is here", _imported),
    _Asked("Development", "exit", "proven", "1,000 rows were answered by both, and none differs", _proven),
    _Asked("Test/Release", "exit", "gate", "the gate of its endpoint let it through", _gated),
    _Asked("Test/Release", "exit", "beside", "an endpoint serves it, beside the old system", _beside),
    _Asked(
        "Test/Release", "exit", "compared",
        f"of {LEAST_COMPARED} requests that both answered, {AGREE:.0%} agree", _compared,
    ),
    _Asked("Test/Release", "exit", "monitors", "monitors are declared", _monitored),
    _Asked("Test/Release", "exit", "approval", "somebody said by name that it may serve", _approved),
    _Asked(
        "Activation", "exit", "chosen users",
        f"chosen users had {FIRST_ANSWERS} answers before all others", _chosen_first,
    ),
    _Asked("Activation", "exit", "way back", "the way back to the old system was tried", _way_back),
    _Asked("Activation", "exit", "all users", "all users are served by it", _open_to_all),
)  # fmt: skip
"""Every criterion, in the order in which a model meets them."""
