"""Judging a metric contract: whether its KPI holds on the evaluated rows, and whether its owner signed it as it stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slipway.gates.bench import Bench, Result, outcome, unknown
from slipway.records.contracts import ContractTerms
from slipway.records.gates import CheckSpec, Outcome

__all__ = ["CONTRACT"]

_ORDER: tuple[Result, ...] = ("refused", "cannot tell", "passed", "not applicable")


def _contract(check: CheckSpec, bench: Bench) -> Outcome:
    found, terms = bench.about(check), check.contract
    if found is None or terms is None:
        return unknown(check, "nobody reckoned the KPI", "Judge it again.")
    if found["value"] is None or found["low"] is None:
        fix = found.get("fix") or "Evaluate on more rows, or mend the formula: slipway contract show."
        return unknown(check, found["note"], fix)
    unit = f" {terms.unit}" if terms.unit else ""
    told = f"{terms.kpi} {found['value']:.4g} ({found['low']:.4g} to {found['high']:.4g}){unit}, {found['n']:,} rows"
    parts = [_beside_limit(found, terms), _beside_champion(found, terms, bench)]
    result, why, fix = min(parts, key=lambda one: _ORDER.index(one[0]))
    says = "; ".join([told, *(one[1] for one in parts if one[1])])
    return outcome(check, "passed" if result == "not applicable" else result, says, fix if why or fix else "", **found)


def _beside_limit(found: dict[str, Any], terms: ContractTerms) -> tuple[Result, str, str]:
    if terms.limit is None:
        return "not applicable", "", ""
    worse = found["low"] if terms.better == "higher" else found["high"]
    if terms.sign * (worse - terms.limit) >= 0:
        return "passed", "", ""
    short = terms.sign * (terms.limit - found["value"])
    if short > 0:
        return (
            "refused",
            f"the limit is {terms.limit:g}",
            f"It misses by {short:.4g}: improve the model, or argue the limit.",
        )
    return "cannot tell", f"its interval reaches beyond the limit {terms.limit:g}", "Evaluate on more rows."


def _beside_champion(found: dict[str, Any], terms: ContractTerms, bench: Bench) -> tuple[Result, str, str]:
    if not bench.champion_known:
        return "not applicable", bench.no_champion, ""
    difference = found.get("difference")
    if difference is None or found.get("difference_low") is None:
        return "cannot tell", found.get("why") or "it was not compared with the champion's", "Judge it again."
    low, high = found["difference_low"], found["difference_high"]
    told = f"{difference:+.4g} ({low:+.4g} to {high:+.4g}) beside the champion's on the same rows"
    worst = terms.sign * (low if terms.better == "higher" else high)
    if worst >= -terms.guard:
        return "passed", told, ""
    if terms.sign * difference < -terms.guard:
        return "refused", told, f"It is worse by more than {terms.guard:g}: improve the model or its threshold."
    return "cannot tell", told, "Evaluate on more rows, or argue a wider guard band."


def _signed(check: CheckSpec, bench: Bench) -> Outcome:
    found = bench.about(check)
    contracts = [] if found is None else found["contracts"]
    if not contracts:
        which = f" on {check.metric!r}" if check.metric else ""
        fix = "Declare one: sw.Endpoint(..., kpi=sw.MetricContract(...)), then: slipway contract draft"
        return outcome(check, "refused", f"the endpoint is under no metric contract{which}", fix)
    missing = [one for one in contracts if not one["by"]]
    if missing:
        one = missing[0]
        said = f"{one['kpi']!r} is not signed as it stands" + (f": {one['void']}" if one["void"] else "")
        return outcome(
            check, "refused", said, f"Its owner ({one['owner']}) signs it: slipway contract sign {one['slug']}"
        )
    told = "; ".join(f"{one['kpi']!r} was signed by {one['by']} on {one['on']}" for one in contracts)
    return outcome(check, "passed", told, "", contracts=contracts)


CONTRACT: dict[str, Callable[[CheckSpec, Bench], Outcome]] = {"contract": _contract, "contract_signed": _signed}
