"""A simulation's report for a terminal: the same months under three policies, and what came of them."""

import math
from collections.abc import Callable, Sequence

from slipway.cli.layout import columns, count, facts, figure
from slipway.records.simulations import Figures, Month, Promotion, Simulation

__all__ = ["simulation_text"]


def simulation_text(found: Simulation) -> str:
    """Tables by month, promotions in hindsight, faults, proofs, and the sentence that sums it up."""
    total = (found.total,) if found.total is not None else ()
    months = (*found.months, *total)
    unit = f", {found.unit}" if found.unit else ""
    tables = [
        _by_month(
            f"Log loss, then cost of errors{unit}: lower is better",
            months,
            lambda one: figure(round(one.log_loss, 4)),
            lambda one: figure(one.cost),
        ),
        _by_month(
            "Mean score minus rate: nearest to 0 is best; then AUC: higher is better",
            months,
            lambda one: figure(round(one.calibration, 3)),
            lambda one: figure(round(one.auc, 3)),
        ),
        _hindsight(found.promotions),
    ]
    return "\n\n".join(part for part in (*tables, facts(_facts(found))) if part)


def _by_month(title: str, months: Sequence[Month], *shown: Callable[[Figures], str]) -> str:
    if not months:
        return ""
    policies = list(months[-1].figures)
    rows = [
        (
            month.name,
            f"{month.asked:,}",
            f"{month.rate:.3f}",
            *(text(month.figures[policy]) for text in shown for policy in policies),
        )
        for month in months
    ]
    return f"{title}\n" + columns(("month", "asked", "rate", *policies * len(shown)), rows, empty="")


def _hindsight(promotions: Sequence[Promotion]) -> str:
    rows = [
        (
            f"{one.at:%Y-%m-%d}",
            f"{one.replaced} by {one.version}",
            f"{one.rows:,}",
            f"{one.log_loss:+.4f} ({one.low:+.4f} to {one.high:+.4f})" if math.isfinite(one.log_loss) else "-",
            one.verdict,
        )
        for one in promotions
    ]
    head = ("promoted", "version", "rows after", "log loss against the one replaced, same rows", "in hindsight")
    return columns(head, rows, empty="")


def _facts(found: Simulation) -> list[tuple[str, str]]:
    return [
        ("simulated", f"{found.name}, {found.since.date()} to {found.until.date()}, seed {found.seed}"),
        (
            "delivered",
            f"{count(found.requests, 'request')}, {count(found.events, 'event')}, {count(found.labels, 'label')}",
        ),
        *(
            (fault.name, f"{'handled' if fault.was_handled else 'NOT handled'}. {fault.sentence}")
            for fault in found.faults
        ),
        ("drift", found.drift),
        *(("compared", proof) for proof in found.proofs),
        ("costs", found.assumption),
        *(
            (name, f"{figure(value)} (measured, not judged in simulation)")
            for name, value in found.measured.items()
            if isinstance(value, float)
        ),
        ("same seed, same", f"decisions {found.fingerprint[:12]}" if found.fingerprint else ""),
        ("worth", found.sentence),
    ]
