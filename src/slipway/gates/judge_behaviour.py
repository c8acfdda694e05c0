"""Judging how a model behaves: groups, dirty input, single inputs, leaks, and what stands behind it.

As everywhere in a gate, only what is shown passes. Intervals decide where rows are a sample of those to come (groups, dirty
input, costs); a share of rows that break a rule is compared as it was found, for it is about these very rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from statistics import NormalDist
from typing import Any, NamedTuple

import msgspec

from slipway.gates.bench import Bench, listed, outcome, unknown
from slipway.records.gates import CheckSpec, Outcome

__all__ = ["BEHAVIOUR"]

_CONFIDENCE = 0.95
_MOST_GROUPS = 200


class _Apart(NamedTuple):
    """How far two groups are apart: the first is the greater one."""

    first: Mapping[str, Any]
    second: Mapping[str, Any]
    value: float
    low: float
    high: float

    def words(self, by: str) -> str:
        return (
            f"{self.value:.4g} ({self.low:+.4g} to {self.high:+.4g}) between {by}={self.first['group']} "
            f"({self.first['value']:.4g}, {self.first['n']:,} rows) and {self.second['group']} "
            f"({self.second['value']:.4g}, {self.second['n']:,} rows)"
        )


def _fair(check: CheckSpec, bench: Bench) -> Outcome:
    found = bench.about(check)
    if found is None:
        return unknown(check, "the groups were not measured", "Judge it again.")
    groups = [one for one in found["groups"] if one["n"] >= check.count]
    aside = [f"{check.slice}={one['group']} aside, n={one['n']:,}" for one in found["groups"] if one not in groups]
    told = [one for one in groups if one["value"] is not None and one["low"] is not None]
    small = [
        f"{check.slice}={one['group']} cannot tell: {one['note'] or 'it has no interval'}"
        for one in groups
        if one not in told
    ]
    if len(groups) < 2 or len(groups) > _MOST_GROUPS:
        fix = "Compare by a column of a few groups, which the evaluated rows hold."
        return unknown(check, listed([f"there are {len(groups):,} groups by {check.slice}", *aside]), fix)
    # An excess is claimed of the worst of all pairs, and so each is corrected for all; that all are within is one claim.
    apart = [_apart(one, other, 1.0) for one, other in combinations(told, 2)]
    wider = _z(_CONFIDENCE, max(len(apart), 1)) / _z(_CONFIDENCE, 1)
    shown = [pair for pair in (_apart(p.first, p.second, wider) for p in apart) if pair.low > check.margin]
    if shown:
        worst = max(shown, key=lambda pair: pair.value)
        fix = f"See why {check.slice}={worst.second['group']} is treated so: in the rows, the label or the threshold."
        return outcome(check, "refused", worst.words(check.slice), fix, groups=groups)
    open_ = [pair for pair in apart if max(pair.high, -pair.low) > check.margin]
    words = [pair.words(check.slice) for pair in sorted(open_, key=lambda pair: -pair.high)[:1]]
    if open_ or small:
        return unknown(check, listed([*words, *small, *aside]), _more(check, open_, small))
    worst = max(apart, key=lambda pair: pair.value)
    return outcome(check, "passed", listed([f"at most {worst.words(check.slice)}", *aside]), "", groups=groups)


def _apart(one: Mapping[str, Any], other: Mapping[str, Any], wider: float) -> _Apart:
    """The difference of two groups' figures, the interval by MOVER (Zou and Donner 2008), its arms drawn out."""
    first, second = (one, other) if one["value"] >= other["value"] else (other, one)
    value = first["value"] - second["value"]
    below = wider * math.hypot(first["value"] - first["low"], second["high"] - second["value"])
    above = wider * math.hypot(first["high"] - first["value"], second["value"] - second["low"])
    return _Apart(first, second, value, value - below, value + above)


def _z(confidence: float, claims: int) -> float:
    return NormalDist().inv_cdf(1 - (1 - confidence) / 2 / claims)


def _more(check: CheckSpec, apart: Sequence[_Apart], small: Sequence[str]) -> str:
    over = [pair for pair in apart if pair.value >= check.margin]
    if apart and not over:
        pair = max(apart, key=lambda pair: pair.high)
        rows = min(pair.first["n"], pair.second["n"])
        needed = rows * ((pair.high - pair.value) / max(check.margin - pair.value, 1e-12)) ** 2
        return (
            f"About {math.ceil(needed):,} evaluated rows in the smaller group would show it, or state a wider margin."
        )
    if apart:
        return "Evaluate on more rows of these groups, or bring them closer: they look further apart than the margin."
    return f"Evaluate on more rows of {len(small)} small groups, or name them as not judged: least=50."


def _robust(check: CheckSpec, bench: Bench) -> Outcome:
    found = bench.about(check)
    if found is None:
        return unknown(check, "the model was not asked with dirty input", "Judge it again.")
    if found["refused"]:
        told = [f"{one['column']} {one['what']}: {one['said']}" for one in found["refused"]]
        first = found["refused"][0]["column"]
        fix = f"Let the pipeline take what {first} may be: impute, clip or ignore it; or declare it required."
        return outcome(check, "refused", listed(told), fix, **found)
    left = f"; required, so that it cannot be missing: {', '.join(found['required'])}" if found["required"] else ""
    judged = [_fall(check, run) for run in found["runs"]]
    bad = [one for one in judged if one[0] != "passed"]
    result, told_, fix = min(bad, key=lambda one: one[0] != "refused") if bad else ("passed", "", "")
    if bad:
        return outcome(check, "refused" if result == "refused" else "cannot tell", told_ + left, fix, **found)
    told = [one[1] for one in judged]
    rows = f"{found['asked']:,} rows with values out of range or never seen were answered with numbers"
    return outcome(check, "passed", listed([*told, rows]) + left, "", **found)


def _fall(check: CheckSpec, run: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a run with dirty input shows: the result, in words, the next step."""
    if run["fall"] is None or run["high"] is None:
        return "cannot tell", f"{run['what']}: {run['n']:,} rows tell no difference", "Evaluate on more rows."
    told = (
        f"{run['what']}: {run['metric']} falls by {run['fall']:.4g} ({run['low']:+.4g} to {run['high']:+.4g}), "
        f"from {run['before']:.4g}, {run['n']:,} rows"
    )
    if run["high"] <= check.margin:
        return "passed", told, ""
    if run["low"] > check.margin:
        return "refused", told, "Train it with such values among its rows, or lean less on the inputs that fail."
    return "cannot tell", told, f"{_rows_for(run['n'], run['high'] - run['fall'], check.margin - run['fall'])}."


def _rows_for(n: int, half: float, room: float) -> str:
    if room <= 0:
        return "Evaluate on more rows, or improve the model: it looks worse than tolerated"
    return f"About {math.ceil(n * (half / room) ** 2):,} evaluated rows would show it, or tolerate more"


def _rule(check: CheckSpec, bench: Bench) -> Outcome:
    """For `invariant` and `monotonic`: how many rows break the rule, and which does so most."""
    found = bench.about(check)
    if found is None:
        return unknown(check, f"nobody asked with other values of {check.column!r}", "Judge it again.")
    if not found["is_input"]:
        return outcome(check, "passed", f"{check.column} is neither an input nor part of one", "", **found)
    interval = f"{round(found['low'], 12):.4g} to {found['high']:.4g}"
    told = f"{found['broken']:,} of {found['n']:,} rows break it (a share of {interval})"
    if found["broken"]:
        told += f"; the worst is {found['worst']}"
    if found["broken"] <= check.limit * found["n"]:
        return outcome(check, "passed", told, "", **found)
    if check.kind == "invariant":
        fix = f"Train without {check.column} and what stands for it, or tolerate more."
    else:
        fix = f"Constrain it: LightGBM's monotone_constraints, scikit-learn's monotonic_cst, for {check.column}."
    return outcome(check, "refused", told, fix, **found)


def _no_leakage(check: CheckSpec, bench: Bench) -> Outcome:
    found = bench.about(check)
    if found is None:
        return unknown(check, "nobody looked for leaks", "Judge it again.")
    if found["findings"]:
        told = [f"{one['column']}: {one['found']}" for one in found["findings"]]
        fix = found["findings"][0]["fix"]
        return outcome(check, "refused", listed(told), fix, **found)
    if found["open"]:
        return outcome(check, "cannot tell", listed(found["open"]), found["next"], **found)
    return outcome(check, "passed", listed(found["looked"]), "", **found)


def _data_checks(check: CheckSpec, bench: Bench) -> Outcome:
    found = bench.about(check)
    if found is None or not found["tables"]:
        fix = "Release it from a pipeline that reads its rows from declared tables."
        return unknown(check, "nobody knows which tables it was trained on", fix)
    tables = found["tables"]
    failed = [f"{one['table']}: {told}" for one in tables for told in one["failed"]]
    if failed:
        first = next(one for one in tables if one["failed"])
        fix = f"Mend the rows, ingest again and train again: slipway data show {first['name']}"
        return outcome(check, "refused", listed(failed), fix, tables=tables)
    bare = [one["name"] for one in tables if not one["checks"]]
    undecided = [f"{one['table']}: {told}" for one in tables for told in one["undecided"]]
    if bare or undecided:
        told = listed([*(f"{name} declares no checks" for name in bare), *undecided])
        example = f"@sw.table(checks=[...]) on {bare[0]}" if bare else "more rows"
        return unknown(check, told, f"Give it {example}, ingest and train again.")
    counted = sum(one["checks"] for one in tables)
    names = ", ".join(one["table"] for one in tables)
    return outcome(check, "passed", f"{counted} checks of {len(tables)} tables passed: {names}", "", tables=tables)


def _real_data(check: CheckSpec, bench: Bench) -> Outcome:
    found = bench.about(check)
    if found is None or not found["tables"]:
        fix = "Release it from a pipeline that reads its rows from declared tables."
        return unknown(check, "nobody knows which tables it was trained on", fix)
    if found["simulated"]:
        told = f"it learned from simulated rows of {listed(found['simulated'])}"
        return outcome(check, "refused", told, "Train it again on tables of real rows.", **found)
    return outcome(check, "passed", f"none of {len(found['tables'])} tables is simulated", "", **found)


def _documented(check: CheckSpec, bench: Bench) -> Outcome:
    found = bench.about(check)
    if found is None:
        return unknown(check, "nobody looked what is written down", "Judge it again.")
    missing = found["missing"]
    if not missing:
        return outcome(check, "passed", f"all {len(check.columns)} are there", "", **found)
    told = listed([f"{one['field']} is missing ({one['role']})" for one in missing])
    made = outcome(check, "refused", told, missing[0]["fix"], **found)
    return msgspec.structs.replace(made, helper=missing[0]["role"])


def _kpi(check: CheckSpec, bench: Bench) -> Outcome:
    found = bench.about(check)
    if found is None:
        return unknown(check, "nobody reckoned what decisions cost", "Judge it again.")
    if found["value"] is None or found["low"] is None:
        return unknown(check, found["note"] or "the evaluated rows tell no cost", "Evaluate on more rows.")
    sign = -1.0 if check.op == ">=" else 1.0
    value, ends = sign * found["value"], sorted((sign * found["low"], sign * found["high"]))
    what = "gain" if check.op == ">=" else "cost"
    unit = f" {found['unit']}" if found["unit"] else ""
    told = f"an expected {what} of {value:.4g}{unit} a decision ({ends[0]:.4g} to {ends[1]:.4g}), {found['n']:,} rows"
    # As a cost, whichever was asked: at most the limit.
    limit = sign * check.limit
    if found["high"] <= limit:
        return outcome(check, "passed", told, "", **found)
    if found["value"] > limit:
        fix = f"It misses by {found['value'] - limit:.4g}: improve the model, its threshold, or argue the number."
        return outcome(check, "refused", told, fix, **found)
    fix = f"{_rows_for(found['n'], found['high'] - found['value'], limit - found['value'])}."
    return outcome(check, "cannot tell", told, fix, **found)


BEHAVIOUR: dict[str, Callable[[CheckSpec, Bench], Outcome]] = {
    "fair": _fair,
    "robust": _robust,
    "invariant": _rule,
    "monotonic": _rule,
    "no_leakage": _no_leakage,
    "data_checks": _data_checks,
    "real_data": _real_data,
    "documented": _documented,
    "kpi": _kpi,
}
