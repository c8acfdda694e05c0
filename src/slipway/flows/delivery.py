"""How well models are delivered: the four DORA figures from revisions and incidents, and where the way is hard.

Source of the figures: N. Forsgren, J. Humble and G. Kim, "Accelerate", 2018, chapter 2.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from slipway.flows.suspects import suspects
from slipway.ledger import entries
from slipway.operations.journey import Delivery, Friction, Median, Refusals, Share, SlowStage
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.gates import BreakGlass, Verdict
from slipway.records.models import ModelVersion
from slipway.records.monitors import Incident
from slipway.records.promotions import Promotion
from slipway.records.runs import Run
from slipway.stats.binomial import least_share, most_share
from slipway.stats.medians import median_interval
from slipway.stats.poisson import mean_interval

__all__ = ["FEWEST", "Deployment", "deliveries", "deployments", "friction"]

FEWEST = 5
"""Fewer deployments than these tell neither how often nor how well."""
_INCIDENTS = 200
_ALPHA = 0.05
_LIKELY = 0.5
_WEEK = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One version that began to serve.

    Args:
        revision: By which revision.
        until: When the next version came, None while it serves.
        is_back: Whether it was the way back to what had served.
        was_undone: Whether the next change was the way back.
    """

    revision: Revision
    until: datetime | None
    is_back: bool
    was_undone: bool


def deployments(revisions: Sequence[Revision]) -> list[Deployment]:
    """What began to serve at one endpoint, oldest first: the steps of a roll-out and drills are none.

    Args:
        revisions: Of one endpoint, oldest first.
    """
    real = [one for one in revisions if not (_is_back(one) and ": drill" in one.reason)]
    changes = [one for place, one in enumerate(real) if not place or real[place - 1].served.bundle != one.served.bundle]
    following: list[Revision | None] = [*changes[1:], None]
    return [
        Deployment(
            revision=one,
            until=None if then is None else then.created_at,
            is_back=_is_back(one),
            was_undone=then is not None and _is_back(then),
        )
        for one, then in zip(changes, following, strict=True)
    ]


def deliveries(workspace: Workspace) -> tuple[Delivery, tuple[Delivery, ...]]:
    """The figures of all endpoints together, and of each."""
    by_name: dict[str, list[Revision]] = defaultdict(list)
    with workspace.ledger.read() as tx:
        for one in entries.every(tx, Revision, project=workspace.project):
            by_name[one.name].append(one)
        began = _began(tx, workspace)
        incidents = {
            name: entries.find(tx, Incident, parent=f"{workspace.project}/{name}", limit=_INCIDENTS) for name in by_name
        }
    seen = []
    for name, revisions in sorted(by_name.items()):
        changes = deployments(sorted(revisions, key=lambda one: one.number))
        seen.append(_Seen(workspace, name, changes, incidents[name], began))
    now = workspace.clock.now()
    return _figures("", seen, now), tuple(_figures(one.name, [one], now) for one in seen)


class _Seen:
    """What is known of one endpoint's deliveries: durations in seconds."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        changes: Sequence[Deployment],
        incidents: Sequence[Incident],
        began: dict[tuple[str, int], datetime],
    ) -> None:
        self.name = name
        self.forward = [one for one in changes if not one.is_back]
        blamed = _blamed(workspace, incidents)
        self.failed = sum(one.was_undone or f"revision:{one.revision.id}" in blamed for one in self.forward)
        waits = [_wait(one, began) for one in self.forward]
        self.leads = [wait for wait in waits if wait is not None]
        self.untold = len(waits) - len(self.leads)
        closed = [one for one in incidents if one.closed_at is not None]
        spans = [(one.closed_at - one.created_at).total_seconds() for one in closed if one.closed_at is not None]
        undone = [one for one in self.forward if one.was_undone and f"revision:{one.revision.id}" not in blamed]
        spans += [(one.until - one.revision.created_at).total_seconds() for one in undone if one.until is not None]
        self.restored = [span for span in spans if span >= 0]
        self.open = sum(one.state == "open" for one in incidents)


def _figures(name: str, seen: Sequence[_Seen], now: datetime) -> Delivery:
    forward = [one for each in seen for one in each.forward]
    count, failed = len(forward), sum(each.failed for each in seen)
    first = min((one.revision.created_at for one in forward), default=now)
    days = max(0.0, (now - first) / timedelta(days=1))
    is_told = count >= FEWEST and days > 0
    low, high = mean_interval(count, _ALPHA) if is_told else (0.0, 0.0)
    return Delivery(
        endpoint=name,
        days=days,
        deployments=count,
        a_week=count / days * _WEEK if is_told else None,
        low=low / days * _WEEK if is_told else None,
        high=high / days * _WEEK if is_told else None,
        lead_time=_median([one for each in seen for one in each.leads]),
        change_fail=Share(
            part=failed,
            whole=count,
            low=least_share(failed, count, _ALPHA / 2) if count >= FEWEST else None,
            high=most_share(failed, count, _ALPHA / 2) if count >= FEWEST else None,
        ),
        restore=_median([one for each in seen for one in each.restored]),
        untold=sum(each.untold for each in seen),
        open=sum(each.open for each in seen),
    )


def friction(workspace: Workspace) -> Friction:
    """Which checks refuse, how often a gate was passed over, and which stages of promotions are slow."""
    with workspace.ledger.read() as tx:
        verdicts = list(entries.every(tx, Verdict, project=workspace.project))
        broken = sum(1 for _ in entries.every(tx, BreakGlass, project=workspace.project))
        promotions = list(entries.every(tx, Promotion, project=workspace.project))
    refused = [one for one in verdicts if not one.passed]
    return Friction(
        verdicts=len(verdicts),
        refused=len(refused),
        refusals=_refusals(refused),
        break_glass=broken,
        stages=_stages(promotions),
    )


def _refusals(refused: Iterable[Verdict]) -> tuple[Refusals, ...]:
    times, untold, bundles = Counter[str](), Counter[str](), defaultdict[str, set[str]](set)
    for one in refused:
        for outcome in one.outcomes:
            if outcome.result in ("refused", "cannot tell"):
                check = outcome.check
                times[check] += 1
                untold[check] += outcome.result == "cannot tell"
                bundles[check].add(one.bundle)
    ordered = sorted(times.items(), key=lambda one: (-one[1], one[0]))
    return tuple(
        Refusals(check=check, verdicts=count, bundles=len(bundles[check]), cannot_tell=untold[check])
        for check, count in ordered
    )


def _stages(promotions: Iterable[Promotion]) -> tuple[SlowStage, ...]:
    took, waiting = defaultdict[str, list[float]](list), Counter[str]()
    for one in promotions:
        since = one.created_at
        for stage in one.stages:
            waiting[stage.name] += stage.state == "waiting"
            if stage.state != "done" or stage.at is None:
                break
            span = (stage.at - since).total_seconds()
            if span >= 0:  # stages of other stores may have other clocks
                took[stage.name].append(span)
            since = stage.at
    names = {*took, *(name for name, count in waiting.items() if count)}
    found = [SlowStage(stage=name, took=_median(took[name]), waiting=waiting[name]) for name in names]
    return tuple(sorted(found, key=lambda one: (-(one.took.seconds or 0.0), one.stage)))


def _median(seconds: Sequence[float]) -> Median:
    if not seconds:
        return Median(count=0)
    told = median_interval(seconds, _ALPHA)
    return Median(
        count=len(seconds),
        seconds=float(median(seconds)),
        low=None if told is None else told[1],
        high=None if told is None else told[2],
    )


def _is_back(revision: Revision) -> bool:
    return revision.reason.startswith("rollback to ")


def _node(revision: Revision) -> tuple[str, int]:
    return revision.served.model, revision.served.number


def _wait(one: Deployment, began: dict[tuple[str, int], datetime]) -> float | None:
    """From the first record of its run until it served; None where that is not known or clocks disagree."""
    since = began.get(_node(one.revision))
    span = None if since is None else (one.revision.created_at - since).total_seconds()
    return None if span is None or span < 0 else span


def _began(tx: ReadTransaction, workspace: Workspace) -> dict[tuple[str, int], datetime]:
    """When the run that made each version was first recorded; a commit's own time is not kept."""
    found = {}
    for version in entries.every(tx, ModelVersion, project=workspace.project):
        if version.run_id and entries.etag(tx, Run, version.run_id):
            found[(version.name, version.number)] = entries.as_stored(tx, Run, version.run_id).created_at
    return found


def _blamed(workspace: Workspace, incidents: Sequence[Incident]) -> set[str]:
    """The revisions, as nodes, that are the likeliest cause of an incident, by what changed within about a day before it."""
    found = set()
    for one in incidents:
        likeliest = next(iter(suspects(workspace, one)), None)
        if likeliest is not None and likeliest.weight >= _LIKELY:
            found.add(likeliest.change.node)
    return found
