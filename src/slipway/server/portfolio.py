"""The portfolio page: all use cases, how far each is, what it waits for, and what they cost and bring."""

from collections.abc import Sequence
from statistics import median

from slipway.charts import bars
from slipway.flows.business_words import Given, Said, amount, day, money
from slipway.operations.portfolio import STAGES, Portfolio, UseCase, Wait
from slipway.operations.responsibility import whom
from slipway.server.view import Context, View

__all__ = ["portfolio"]

TITLES = {
    "idea": "Ideas",
    "proof of concept": "Proofs of concept",
    "pilot": "Pilots",
    "in production": "In production",
    "retired": "Retired",
}
_WAITS = {
    "first work": ("Nobody has begun work on it", ""),
    "needs": ("{} of what it must take is not met", "{} of the things that it must take are not met"),
    "checks": ("{} check refused it", "{} checks refused it"),
    "approval": ("It waits for an approval", "It waits for {} approvals"),
    "promotion": ("It stands still on its way into production", ""),
    "next step": ("Nobody has begun the next step", ""),
    "incident": ("An incident is open for more than a day", "{} incidents are open for more than a day"),
    "signature": ("Its agreement is not signed", ""),
    "decision": ("A newer version waits for a decision", ""),
}


def portfolio(view: View) -> Context:
    """All use cases of the projects that whoever asks may see."""
    found: Portfolio | None = view.ask_later("portfolio.get")
    if found is None:
        return {"found": None, "made_up": ()}
    by_stage = [(TITLES[stage], [one for one in found.cases if one.stage == stage]) for stage in STAGES]
    counts = [(title, float(len(cases))) for title, cases in by_stage]
    return {
        "found": found,
        "made_up": found.simulated,
        "stages": [(title, [(one, _row(one)) for one in cases]) for title, cases in by_stage if cases],
        "funnel": bars.bar_chart(counts, title="Use cases by stage", value_label="use cases") if found.cases else "",
        "tiles": _tiles(found),
        "assumed": _assumed(found),
    }


def _row(one: UseCase) -> Context:
    first, *more = one.waits or (None,)
    return {
        "wait": _wait(first) if first is not None else (),
        "more": len(more),
        "waits_since": first.since if first is not None else None,
        "expected": money(one.expected, one.currency) if one.expected else (),
        "realised": money(one.realised, one.realised_unit) if one.realised is not None else (),
        "range": _range(one.realised_low, one.realised_high),
        "cost": money(one.cost, one.cost_unit) if one.cost is not None else (f"{amount(one.hours)} hours",),
    }


def _range(low: float | None, high: float | None) -> str:
    return f"likely between {amount(low)} and {amount(high)}" if low is not None and high is not None else ""


def _wait(one: Wait) -> Said:
    single, several = _WAITS[one.kind]
    told = (several if one.count > 1 and several else single).format(one.count)
    people: list[str] = []
    for place, name in enumerate(one.on):
        people += [", "] if place else []
        people.append(Given(whom(name)))
    return (told, *((": on ", *people) if people else ()))


def _tiles(found: Portfolio) -> list[tuple[str, Said, str]]:
    """A title, what stands large, and a line below."""
    total = len(found.cases)
    active = sum(one.stage != "retired" for one in found.cases)
    tiles: list[tuple[str, Said, str]] = [("Use cases", (str(total),), f"{active} active, {total - active} retired")]
    share = f"{100 * found.reached / total:.0f} % of them" if total else "none yet"
    tiles.append(("Reached production", (f"{found.reached} of {total}",), share))
    tiles.append(("Time to production", (_days(found.days),), _spread(found.days)))
    for one in found.money:
        if one.expected:
            tiles.append(("Expected a year", money(one.expected, one.currency), f"said of {one.expecting} of {total}"))
        if one.realised or one.realising:
            tiles.append(
                ("Measured a month", money(one.realised, one.currency), f"measured for {one.realising} of {total}")
            )
        if one.costing:
            tiles.append(("Cost so far", money(one.cost, one.currency), f"computing of {one.costing} of {total}"))
    if not any(one.costing for one in found.money):
        hours = sum(one.hours for one in found.cases)
        tiles.append(("Cost so far", (f"{amount(hours)} hours",), "of computing, in no currency"))
    return tiles


def _days(days: Sequence[float]) -> str:
    return f"{amount(round(median(days), 1))} days" if days else "\N{EN DASH}"


def _spread(days: Sequence[float]) -> str:
    if not days:
        return "nothing has reached it yet"
    if len(days) == 1:
        return "one use case"
    return f"median of {len(days)}; {amount(round(days[0], 1))} to {amount(round(days[-1], 1))} days"


def _assumed(found: Portfolio) -> list[Said]:
    """What the figures rest on."""
    told: list[Said] = [
        ("Expected value is what owners wrote down, a year; nobody has checked it. Measured value is a month's, and counts "
         "only where cases with the model and without it were compared at the same time, at the traffic of then.",),
        ("Cost is computing until now: the making and the running. Storage and the time of people are not in it.",),
        ("Time to production runs from the first record of a use case until it was first in production. A use case that "
         "never got there is in none of these times.",),
        (f"Sums are of one currency each, and never added. All is as of {day(found.at)}.",),
    ]  # fmt: skip
    for project, rates in found.rates.items():
        if rates.is_set:
            hour = f": an hour of computing costs {amount(rates.cpu_hour)} "
            graphics = (
                (f", of a graphics processor {amount(rates.gpu_hour)} ", Given(rates.currency))
                if rates.gpu_hour
                else ()
            )
            told.append(("In ", Given(project), hour, Given(rates.currency), *graphics, "."))
        else:
            told.append(("In ", Given(project), ", nobody has said what an hour of computing costs."))
    return told
