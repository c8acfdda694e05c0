"""Hypotheses: did the KPI of a metric contract get better by as much as was expected? Looked at whenever the endpoint is.

Where an A/B test compares by the contract, its bounds hold however often one looks, and the first that decides is kept.
Without one, the KPI before the first deployment under the contract is set beside the KPI since. That shows no cause, and
its interval holds for one look: so it is looked at for good once, when the day has come.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl

from slipway.errors import SlipwayError
from slipway.flows.abtest_state import newest_abtest
from slipway.flows.answered import answered_rows
from slipway.flows.kpi_rows import business_rows
from slipway.governance.people import is_there
from slipway.governance.telling import assigned_owner, tell_of_contract
from slipway.ledger import entries, events
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.records.contracts import ContractTerms, KeptContract, Standing, StandingVerdict
from slipway.records.declarations import declared_id
from slipway.records.endpoints import Revision
from slipway.stats.kpi import kpi_figure, kpi_values
from slipway.tables.prediction_log import by_models

__all__ = ["look_at_hypothesis"]

_ABTEST, _BEFORE = "A/B test", "before and after"
_HOW = {_ABTEST: "as an A/B test shows", _BEFORE: "set beside what was before"}


def look_at_hypothesis(
    workspace: Workspace, revision: Revision, terms: ContractTerms, now: datetime
) -> Standing | None:
    """Look at how the hypothesis of an endpoint's contract stands; its author is told once it is decided, or its day has come.

    Args:
        workspace: Where the contract is kept.
        revision: What serves.
        terms: The contract's.
        now: Business time.

    Returns:
        How it stands; None where there is no hypothesis, or the contract was never kept.
    """
    if terms.hypothesis is None:
        return None
    id = declared_id(workspace.project, workspace.environment, terms.slug)
    with workspace.ledger.read() as tx:
        contract = entries.get(tx, KeptContract, id) if entries.etag(tx, KeptContract, id) else None
    if contract is None or contract.digest != terms.digest:
        return None
    if contract.standing is not None and contract.standing.is_final:
        return contract.standing
    is_due = now.astimezone(UTC).date().isoformat() > terms.hypothesis.by
    try:
        found = _by_abtest(workspace, revision, terms, now) or _by_time(workspace, revision, contract, now)
    except SlipwayError as problem:  # a table that is gone must not keep the monitors from their look
        found = Standing(verdict="cannot tell", sentence=f"It cannot be told: {problem}", at=now)
    is_decided = found.source == _ABTEST and found.verdict in ("confirmed", "refuted")
    if found.source == _BEFORE and not is_due and found.verdict in ("confirmed", "refuted"):
        told = f"{found.sentence} It is decided on {terms.hypothesis.by}, once."
        found = msgspec.structs.replace(found, verdict="undecided", sentence=told)
    found = msgspec.structs.replace(found, is_final=is_due or is_decided)
    _keep(workspace, contract, found)
    return found


def _keep(workspace: Workspace, contract: KeptContract, found: Standing) -> None:
    assert contract.terms.hypothesis is not None  # whose standing it is
    author = contract.terms.hypothesis.author or contract.actor.name
    with workspace.ledger.write() as tx:
        present = entries.get(tx, KeptContract, contract.id)
        if present.digest != contract.digest:  # another contract by now
            return
        entries.put(tx, msgspec.structs.replace(present, standing=found))
        if found.is_final:
            stays = is_there(tx, author)
            told = [author] if stays else assigned_owner(tx, workspace, contract.terms.owner)
            whose = "Your" if stays else f"{author}'s"
            sentence = f"{whose} hypothesis on {contract.terms.kpi!r} is {_WORDS[found.verdict]}. {found.sentence}"
            tell_of_contract(tx, workspace, told, contract, sentence, "asked", f"hypothesis {contract.digest}")
            about = f"contract:{contract.id}"
            events.record(tx, workspace, "contracts.judge", about, verdict=found.verdict, source=found.source)


_WORDS = {
    "confirmed": "confirmed",
    "refuted": "refuted",
    "undecided": "undecided, and its day has come",
    "cannot tell": "not to be told, and its day has come",
}


def _by_abtest(workspace: Workspace, revision: Revision, terms: ContractTerms, now: datetime) -> Standing | None:
    """What an A/B test by this very contract shows, None where there is none that tells anything."""
    test = newest_abtest(workspace, revision.name)
    if test is None or test.spec.contract is None or test.spec.contract.digest != terms.digest or not test.looks:
        return None
    look = test.looks[-1]
    arms = [one for one in look.arms[1:] if one.effect is not None and one.low is not None and one.high is not None]
    chosen = [one for one in arms if one.name == test.chosen] or sorted(
        arms, key=lambda one: -terms.sign * (one.effect or 0.0)
    )
    if not chosen or look.verdict == "void":
        return None
    arm = chosen[0]
    ends = sorted((terms.sign * (arm.low or 0.0), terms.sign * (arm.high or 0.0)))
    return _standing(
        terms, terms.sign * (arm.effect or 0.0), ends[0], ends[1], _ABTEST, f"arm {arm.name} beside the champion", now
    )


def _by_time(workspace: Workspace, revision: Revision, contract: KeptContract, now: datetime) -> Standing:
    """The KPI since the first deployment under the contract beside the KPI in the window before it."""
    terms = contract.terms
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=revision.name, limit=100_000)
    since = min((one.created_at for one in known if one.created_at >= contract.created_at), default=None)
    if since is None:
        told = "No deployment followed the contract yet."
        return Standing(verdict="cannot tell", sentence=told, source=_BEFORE, at=now)
    begin, until = since - timedelta(microseconds=terms.window_us), now - timedelta(microseconds=terms.delay_us)
    rows = _rows(workspace, known, terms, begin)
    parts = [
        rows.filter((pl.col("at") >= begin) & (pl.col("at") < since)),
        rows.filter((pl.col("at") >= since) & (pl.col("at") <= until)),
    ]
    figures = []
    for part, when in zip(parts, ("before", "since"), strict=True):
        found = kpi_figure(kpi_values(part, terms), terms, part["at"].dt.epoch("d").to_numpy())
        if not math.isfinite(found.value) or not math.isfinite(found.low):
            told = f"{terms.kpi} {when} {since:%Y-%m-%d} cannot be told: {found.note}."
            return Standing(verdict="cannot tell", sentence=told, source=_BEFORE, at=now)
        figures.append(found)
    before, after = figures
    effect = terms.sign * (after.value - before.value)
    half = float(np.hypot(after.high - after.value, before.high - before.value))
    told = f"{after.value:.4g} since {since:%Y-%m-%d}, {before.value:.4g} in the {terms.window_us // 86_400_000_000} days before"
    return _standing(terms, effect, effect - half, effect + half, _BEFORE, told, now)


def _rows(workspace: Workspace, known: list[Revision], terms: ContractTerms, begin: datetime) -> pl.DataFrame:
    """What all models of an endpoint answered since a time, with the contract's columns."""
    frames = []
    for one in {revision.served.bundle: revision for revision in known}.values():
        bundle = registry.bundle_of(workspace, registry.get(workspace, one.served.model, str(one.served.number)))
        rows = by_models(answered_rows(workspace, one, bundle, begin))
        frames.append(business_rows(workspace, terms, rows))
    return pl.concat(frames, how="diagonal_relaxed")


def _standing(
    terms: ContractTerms, effect: float, low: float, high: float, source: str, told: str, now: datetime
) -> Standing:
    assert terms.hypothesis is not None  # whose standing it is
    expected = terms.hypothesis.effect
    verdict: StandingVerdict = "confirmed" if low >= expected else "refuted" if high < expected else "undecided"
    unit = f" {terms.unit}" if terms.unit else ""
    caveat = " Before and after is not causal: whatever else changed is in it." if source == _BEFORE else ""
    sentence = (
        f"{terms.kpi} got better by {effect:+.4g} ({low:+.4g} to {high:+.4g}){unit}, {_HOW[source]} ({told}); "
        f"at least {expected:.4g} was expected.{caveat}"
    )
    return Standing(verdict=verdict, sentence=sentence, source=source, effect=effect, low=low, high=high, at=now)
