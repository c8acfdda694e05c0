"""Judging: checks, evidence and approvals in, outcomes out. Pure, and closed by default.

What has no evidence refuses as "cannot tell" and names the next step. Evidence and approvals count only for the very
bytes that they name. A figure is compared by its value, its interval is shown. The champion is compared by the paired
interval on the same rows: only what is shown to be within the margin passes. A slice with too few rows to tell is
listed and does not refuse; when no slice can be told, the check cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from slipway.errors import near
from slipway.gates.bench import Bench, listed, outcome, unknown, untold
from slipway.gates.judge_behaviour import BEHAVIOUR
from slipway.gates.judge_contract import CONTRACT
from slipway.gates.load import judge_load, judge_replayed
from slipway.gates.who import helper
from slipway.hashing import fingerprint
from slipway.ids import new_id
from slipway.records.gates import Approval, CheckSpec, Evidence, GateSpec, Outcome, Verdict
from slipway.records.models import MetricValue
from slipway.records.people import Actor

__all__ = ["gate_fingerprint", "judge", "passes", "verdict"]

_PASSING = ("passed", "not applicable", "not judged")
_BIAS = "calibration_in_the_large"
_RECENT = timedelta(days=7)
"""How old a report on what is served may be."""


def judge(
    gate: GateSpec,
    evidence: Sequence[Evidence],
    approvals: Sequence[Approval],
    *,
    subject: str,
    at: datetime,
    champion_known: bool,
    is_champion: bool = False,
    model: str = "MODEL",
    number: int = 0,
    authors: Sequence[str] = (),
) -> tuple[Outcome, ...]:
    """Judge a bundle.

    Args:
        gate: The effective gate.
        evidence: Whatever was collected; what is about another bundle does not count.
        approvals: Whatever was given; what is bound to another bundle or has lapsed does not count.
        subject: The bundle's digest.
        at: Business time.
        champion_known: Whether another bundle is the champion now.
        is_champion: Whether this very bundle is.
        model: The model's name, for the next steps.
        number: The version's number, for the next steps.
        authors: Who made the bundle: their own approval of it does not count.

    Returns:
        One outcome a check, in the gate's order.
    """
    bench = Bench(
        evidence=[found for found in evidence if found.subject == subject],
        approvals=[given for given in approvals if given.bundle == subject],
        at=at,
        champion_known=champion_known,
        is_champion=is_champion,
        model=model,
        number=number,
        authors=authors,
    )
    return tuple(_judged(check, bench) for check in gate.checks)


def passes(outcomes: Sequence[Outcome]) -> bool:
    """Whether every check lets the bundle through."""
    return all(outcome.result in _PASSING for outcome in outcomes)


def verdict(
    outcomes: Sequence[Outcome],
    *,
    gate: GateSpec,
    subject: str,
    environment: str,
    actor: Actor,
    project: str,
    model: str,
    at: datetime,
) -> Verdict:
    """The record of a judgement, bound to the digests of bundle and gate.

    Args:
        outcomes: What `judge` said of this gate.
        gate: The effective gate.
        subject: The bundle's digest.
        environment: Where it would be deployed.
        actor: Who asked.
        project: The project.
        model: The model's name.
        at: Business time.
    """
    return Verdict(
        id=new_id(),
        project=project,
        name=model,
        created_at=at,
        bundle=subject,
        gate=gate_fingerprint(gate),
        environment=environment,
        passed=passes(outcomes),
        outcomes=tuple(outcomes),
        actor=actor,
    )


def gate_fingerprint(gate: GateSpec) -> str:
    """The fingerprint that a verdict carries of its gate."""
    return fingerprint(gate)


def _judged(check: CheckSpec, bench: Bench) -> Outcome:
    try:
        found = untold(check, bench) or (_JUDGES | BEHAVIOUR | CONTRACT)[check.kind](check, bench)
    except Exception as problem:  # evidence of another shape than the judge knows: it must not open the gate
        told = f"judging it raised {type(problem).__name__}: {problem}"
        found = unknown(check, told, "Judge again with the release of Slipway that collected the evidence.")
    if found.result in _PASSING:
        return found
    return msgspec.structs.replace(found, helper=found.helper or helper(check))


def _metric(check: CheckSpec, bench: Bench) -> Outcome:
    figures = bench.figures()
    if not figures:
        return unknown(check, "there is no evaluation", "Evaluate it in the pipeline: sw.evaluate(model, rows, ...).")
    named = [figure for figure in figures if figure.metric == check.metric]
    if not named:
        known = {figure.metric for figure in figures}
        return unknown(check, f"the evaluation has no {check.metric!r}", near(check.metric, known, what="metrics"))
    if check.slice:
        return _slices(check, [figure for figure in named if figure.slice.startswith(f"{check.slice}=")])
    overall = next((figure for figure in named if not figure.slice), None)
    if overall is None or math.isnan(overall.value):
        why = overall.note if overall else "the evaluation tells it by slice only"
        return unknown(check, why, "Evaluate on more rows.")
    held = _holds(check, overall)
    fix = "" if held else f"It misses by {abs(overall.value - check.limit):.4g}: improve the model, or argue the limit."
    return outcome(check, "passed" if held else "refused", _figure(overall), fix, **_values(overall))


def _slices(check: CheckSpec, figures: Sequence[MetricValue]) -> Outcome:
    if not figures:
        fix = f"Evaluate by slice: sw.evaluate(model, rows, slices=[{check.slice!r}])."
        return unknown(check, f"the evaluation has no slices by {check.slice!r}", fix)
    told = [figure for figure in figures if not math.isnan(figure.value)]
    small = [f"{figure.slice} cannot tell, n={figure.n:,}" for figure in figures if math.isnan(figure.value)]
    if not told:
        return unknown(check, listed(small), "Evaluate on more rows.")
    failing = [figure for figure in told if not _holds(check, figure)]
    order = sorted(failing or told, key=lambda figure: figure.value, reverse=check.op == "<=")
    if failing:
        found = listed([f"{figure.slice}: {_figure(figure)}" for figure in order])
        fix = f"{len(failing)} of {len(told)} slices miss the limit: look at {order[0].slice} first."
        return outcome(check, "refused", found, fix, **_values(order[0]), slices=len(told))
    found = f"all {len(told)} hold, the weakest is {order[0].slice}: {_figure(order[0])}"
    return outcome(check, "passed", "; ".join([found, *small]), "", **_values(order[0]), slices=len(told))


def _champion(check: CheckSpec, bench: Bench) -> Outcome:
    if not bench.champion_known:
        return outcome(check, "not applicable", bench.no_champion, "")
    found = next((e for e in bench.of("champion") if e.values.get("metric") == check.metric), None)
    if found is None:
        return unknown(
            check,
            f"{check.metric} was not compared with the champion's",
            "Evaluate with sw.evaluate, so that both can be asked for the same rows, and judge again.",
        )
    values = found.values
    if values["difference"] is None or values["low"] is None:
        return unknown(check, f"{values['n']:,} rows tell no difference", "Evaluate on more rows.")
    # Harm: how much worse than the champion, whichever way is better.
    sign = -1.0 if check.op == ">=" else 1.0
    harm = sign * values["difference"]
    worst = max(sign * values["low"], sign * values["high"])
    side = "better" if harm <= 0 else "worse"
    told = (
        f"{abs(harm):.4g} {side} than {values['champion']} "
        f"({values['low']:+.4g} to {values['high']:+.4g}), {values['n']:,} rows"
    )
    if worst <= check.margin:
        return outcome(check, "passed", told, "", **values)
    if harm > check.margin:
        return outcome(check, "refused", told, "Keep the champion, or improve the challenger.", **values)
    needed = math.ceil(values["n"] * ((worst - harm) / max(check.margin - harm, 1e-12)) ** 2)
    fix = f"About {needed:,} evaluation rows would show it, or state a wider margin."
    return outcome(check, "cannot tell", told, fix, **values)


def _calibrated(check: CheckSpec, bench: Bench) -> Outcome:
    bias = next((f for f in bench.figures() if f.metric == _BIAS and not f.slice), None)
    if bias is None or math.isnan(bias.value):
        return unknown(
            check, "mean prediction and rate were not compared", "Evaluate it: sw.evaluate(model, rows, ...)."
        )
    held = abs(bias.value) <= check.limit
    found = f"mean prediction minus rate {bias.value:+.4f} ({bias.low:+.4f} to {bias.high:+.4f}), {bias.n:,} rows"
    fix = "" if held else "Calibrate on rows it was not trained on, or train on rows more like those to come."
    return outcome(check, "passed" if held else "refused", found, fix, **_values(bias))


def _latency(check: CheckSpec, bench: Bench) -> Outcome:
    if not bench.champion_known:
        return outcome(check, "not applicable", bench.no_champion, "")
    found = bench.of("latency")
    if not found:
        return unknown(check, "nobody measured it", "Judge again where both bundles can be loaded.")
    own, champion = found[0].values["candidate_ms"], found[0].values["champion_ms"]
    told = f"{own:.3g} ms a row, the champion {champion:.3g} ms"
    held = own <= check.limit * champion
    fix = "" if held else "Fewer or shallower trees, or fewer inputs, make it faster."
    return outcome(check, "passed" if held else "refused", told, fix, **found[0].values)


def _consistent(check: CheckSpec, bench: Bench) -> Outcome:
    found = bench.of("consistent")
    if not found and not bench.champion_known:
        return outcome(check, "not applicable", bench.no_champion, "")
    ask = f"slipway endpoints consistency {bench.model}"
    if not found:
        return unknown(check, "nobody computed again what is served", ask)
    values, reported = found[0].values, found[0].at
    if not values["compared"]:
        return unknown(check, "the newest report compared nothing", f"{ask} --since DATE")
    if bench.at - reported > _RECENT:
        return unknown(check, f"the newest report is of {reported:%Y-%m-%d}", ask)
    if values["share"] > check.limit:
        fix = "Mend what differs before anything else is let through: it is served to callers now."
        return outcome(check, "refused", found[0].note, fix, **values)
    return outcome(check, "passed", found[0].note, "", **values)


def _environment(check: CheckSpec, bench: Bench) -> Outcome:
    found = [one for one in bench.of("environment") if one.values.get("where", "") == check.where]
    if not found:
        return unknown(check, "the lock was not compared", "Pack the model with its environment, and judge again.")
    if found[0].values.get("unknown"):
        ask = "Let uv ask its index: sw.environment_resolves(..., ask_index=True)"
        return unknown(check, found[0].values["unknown"], ask)
    differing = found[0].values["differing"]
    if differing:
        fix = "Install the lock's versions, or train again with what is installed."
        return outcome(check, "refused", listed(differing), fix, **found[0].values)
    return outcome(check, "passed", f"{found[0].values['checked']:,} distributions agree", "", **found[0].values)


def _proof(check: CheckSpec, bench: Bench) -> Outcome:
    found = bench.of(check.kind)
    if not found:
        return unknown(check, "nobody proved it", _PROOFS[check.kind])
    refuted = next((e for e in found if e.values.get("holds") is not True), None)
    if refuted is not None:
        return outcome(check, "refused", refuted.note, _PROOFS[check.kind], **refuted.values)
    return outcome(check, "passed", found[0].note, "", **found[0].values)


def _reproduced(check: CheckSpec, bench: Bench) -> Outcome:
    """By the newest verdict that could tell; that nobody can repeat it any more takes nothing from what was shown."""
    version = f":{bench.number}" if bench.number else ""
    ask = f"slipway reproduce {bench.model}{version}"
    found = bench.of("reproduced")
    told = next((one for one in found if one.values["verdict"] != "cannot"), None)
    if told is None:
        why = f"it cannot be repeated: {found[0].note}" if found else "nobody repeated the run that made it"
        again = found[0].values.get("next_step", "Train it again, and reproduce that run.") if found else ask
        return unknown(check, why, again)
    note = f"{told.values['verdict']}, on {told.at:%Y-%m-%d}: {told.note}"
    good = ("equal", "within tolerance") if check.limit else ("equal",)
    if told.values["verdict"] in good:
        return outcome(check, "passed", note, "", **told.values)
    return outcome(check, "refused", note, f"Mend what differs, train it again, and: {ask}", **told.values)


def _approval(check: CheckSpec, bench: Bench) -> Outcome:
    latest: dict[tuple[str, str], Approval] = {}
    lapsed = own = 0
    for given in sorted(bench.approvals, key=lambda given: (given.created_at, given.id)):
        if given.name != check.role:
            continue
        if given.expires_at is not None and given.expires_at <= bench.at:
            lapsed += 1
        elif given.actor.name in bench.authors and given.decision == "approved":
            own += 1
        else:
            latest[given.actor.name, given.actor.kind] = given
    version = f" --version {bench.number}" if bench.number else ""
    ask = f"slipway approve {bench.model}{version} --role {check.role}"
    words = [
        f"{given.actor} {given.decision} on {given.created_at:%Y-%m-%d}"
        + (f": {given.comment}" if given.comment else "")
        for given in latest.values()
    ]
    if any(given.decision == "rejected" for given in latest.values()):
        fix = f"Talk to them; who rejected may change their word: {ask}"
        return outcome(check, "refused", listed(words), fix)
    if len(latest) >= check.count:
        return outcome(check, "passed", listed(words), "", approvals=[given.id for given in latest.values()])
    notes = [*([f"{lapsed} lapsed"] if lapsed else []), *(["its author's own word does not count"] if own else [])]
    missing = f"{len(latest)} of {check.count} gave their word for these bytes" if latest else _NOBODY
    return unknown(check, listed([missing, *words, *notes]), ask)


def _load(check: CheckSpec, bench: Bench) -> Outcome:
    return judge_load(check, bench.of("load"), bench.at, model=bench.model, number=bench.number)


def _replayed(check: CheckSpec, bench: Bench) -> Outcome:
    return judge_replayed(check, bench.of("replayed"), model=bench.model, number=bench.number)


def _listed_kind(check: CheckSpec, bench: Bench) -> Outcome:
    found = bench.of(check.kind)
    if not found:
        return unknown(check, "nobody knows which it is", _LISTED[check.kind])
    name = str(found[0].values["name"])
    if name in check.allowed:
        return outcome(check, "passed", name, "")
    return outcome(check, "refused", f"it is {name or 'none of them'}", _LISTED[check.kind])


_NOBODY = "nobody gave their word for these bytes"
_LISTED = {
    "format": "Train a model that one of these formats holds, or talk to governance: slipway floor show",
    "target": "Deploy to one of these, or talk to governance: slipway floor show",
    "template": "Begin the project from one of these (slipway new --template), or talk to governance: slipway floor show",
}
_PROOFS = {
    "signature": "Release it again: packing signs.",
    "parity": "Release it again: packing proves the answers equal.",
    "loads": "Install the versions in its lock, or release it again in this environment.",
    "no_finding": "Watch the loss where it trains, and mend what is found: sw.active_run().watch('loss').",
    "no_skew": "Release it from a pipeline whose rows come from features.training_set(...).",
}

_JUDGES: dict[str, Callable[[CheckSpec, Bench], Outcome]] = {
    "metric": _metric,
    "champion": _champion,
    "calibrated": _calibrated,
    "latency": _latency,
    "consistent": _consistent,
    "reproduced": _reproduced,
    "environment": _environment,
    "approval": _approval,
    "format": _listed_kind,
    "target": _listed_kind,
    "template": _listed_kind,
    "load": _load,
    "replayed": _replayed,
    "signature": _proof,
    "parity": _proof,
    "loads": _proof,
    "no_skew": _proof,
    "no_finding": _proof,
}


def _holds(check: CheckSpec, figure: MetricValue) -> bool:
    return figure.value >= check.limit if check.op == ">=" else figure.value <= check.limit


def _figure(figure: MetricValue) -> str:
    interval = "" if math.isnan(figure.low) else f" ({figure.low:.4g} to {figure.high:.4g})"
    return f"{figure.value:.4g}{interval}, {figure.n:,} rows"


def _values(figure: MetricValue) -> dict[str, Any]:
    pairs = {"value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n, "slice": figure.slice}
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in pairs.items()}
