"""`slipway cost`: compute time, storage and money by run, model and endpoint, and what is idle."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, count, facts, figure, instant
from slipway.operations.costs import CostDetail, Costs, EndpointCost, Idle, ModelCost, RunCost, Used
from slipway.records.costs import Rates

__all__ = ["cost"]

_HOUR_S = 3600.0
_LEAST = 0.01
_NO_RATES = (
    "Hours and bytes only: slipway.toml has no rates. For money, write:\n"
    '  [cost]\n  cpu_hour = 0.05\n  gb_month = 0.02\n  currency = "EUR"'
)


@click.command()
@click.argument("name", metavar="[MODEL|ENDPOINT|RUN]", required=False)
@opened
def cost(door: Door, name: str | None) -> None:
    """Say what MODEL, ENDPOINT or RUN costs: compute time, storage and money; without a name all of them, and what is idle.

    Rates are those of slipway.toml; through a server or a store alone, those of the last run or deployment.
    """
    if name:
        door.show(door.call("costs.get", name=name, **_rates(door)), _detail_text)
    else:
        found = door.call("costs.all", **_rates(door))
        idle = (*found.idle, *_environments(door))
        door.show(msgspec.structs.replace(found, idle=idle), _all_text)


def _rates(door: Door) -> dict[str, Any]:
    """The rates that slipway.toml has now, in a checkout."""
    return {} if door.checkout is None else dict(msgspec.to_builtins(door.checkout.settings.cost))


def _environments(door: Door) -> list[Idle]:
    """Environments on demand of this checkout that nobody used for a week."""
    if door.checkout is None:
        return []
    from datetime import UTC, datetime, timedelta

    from slipway.flows.costs import IDLE_DAYS
    from slipway.hosts.environment_use import last_used, serving
    from slipway.hosts.settings import read_local

    found = []
    local = read_local(door.checkout.folder)
    for name, one in sorted(local.made.items()):
        store = door.checkout.folder / local.environments[name].store
        if one.destroyed_at is not None or serving(store):
            continue
        used = last_used(store)
        if used is not None and datetime.now(UTC) - used >= timedelta(days=IDLE_DAYS):
            told = f"used last {used:%Y-%m-%d}"
            found.append(Idle(what="environment", name=name, sentence=told, command=f"slipway env destroy {name}"))
    return found


def _hours(seconds: float) -> str:
    return f"{seconds / _HOUR_S:,.2f}" if seconds >= 36 else f"{seconds / _HOUR_S:.4f}"


def _bytes(size: int) -> str:
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= length:
            return f"{size / length:,.1f} {unit}"
    return f"{size} B"


def _money(value: float | None, rates: Rates) -> str:
    if value is None:
        return ""
    return f"under {_LEAST} {rates.currency}" if 0 < value < _LEAST else f"{figure(round(value, 2))} {rates.currency}"


def _cells(used: Used, rates: Rates) -> tuple[str, str, str, str, str]:
    return (
        _hours(used.cpu_s),
        _hours(used.gpu_s) if used.gpu_s else "",
        _bytes(used.size_bytes),
        _money(used.compute, rates),
        _money(used.keeping, rates),
    )


_HEAD = ("CPU hours", "GPU hours", "kept", "compute", "a month")


def _all_text(found: Costs) -> str:
    rates = found.rates
    rows = [("all runs", "", *_cells(found.runs, rates))]
    rows += [("model", one.model, *_cells(one.used, rates)) for one in found.models]
    rows += [("endpoint", one.endpoint, *_cells(one.used, rates)) for one in found.endpoints]
    parts = [columns(("of", "name", *_HEAD), rows, empty="")]
    parts += [line for one in found.models if (line := _way(one))]
    parts += [line for one in found.endpoints if (line := _worth(one, rates))]
    if found.idle:
        idle = [(one.what, one.name, one.sentence, _bytes(one.size_bytes), one.command) for one in found.idle]
        parts.append("Idle:\n" + columns(("what", "name", "why", "kept", "ends it"), idle, empty=""))
    else:
        parts.append("Nothing is idle.")
    return "\n\n".join([*parts, *([] if rates.is_set else [_NO_RATES])])


def _way(one: ModelCost) -> str:
    if one.days is None:
        return ""
    where = "production" if one.environment == "prod" else f"serving in {one.environment}"
    return f"{one.model}: {one.days:.1f} days from its first run to {where} ({instant(one.serving_since)})."


def _worth(one: EndpointCost, rates: Rates) -> str:
    thousand = f"{one.endpoint}: {_money(one.a_thousand, rates)} a thousand requests." if one.a_thousand else ""
    return "\n".join(filter(None, [thousand, *(f"{one.endpoint}, {each.by}: {each.sentence}" for each in one.worth)]))


def _detail_text(found: CostDetail) -> str:
    rates, parts = found.rates, []
    if (model := found.model) is not None:
        told = [("model", model.model), ("runs", _runs_told(model)), *_facts(model.used, rates)]
        parts.append("\n".join(filter(None, [facts(told), _way(model)])))
    if (endpoint := found.endpoint) is not None:
        told = [
            ("endpoint", endpoint.endpoint),
            ("served", f"{_hours(endpoint.served_s)} hours, by the store's clock"),
            ("requests", f"{endpoint.requests:,}"),
            *_facts(endpoint.used, rates),
        ]
        parts.append("\n".join(filter(None, [facts(told), _worth(endpoint, rates)])))
    if found.runs:
        rows = [_run_row(one, rates) for one in found.runs]
        parts.append(columns(("run", "name", "state", "started (UTC)", *_HEAD, ""), rows, empty=""))
    return "\n\n".join([*parts, *([] if rates.is_set else [_NO_RATES])])


def _runs_told(model: ModelCost) -> str:
    return count(model.runs, "run") + (f", {model.untold} of unknown time" if model.untold else "")


def _facts(used: Used, rates: Rates) -> list[tuple[str, str]]:
    return [pair for pair in zip(_HEAD, _cells(used, rates), strict=True) if pair[1]]


def _run_row(one: RunCost, rates: Rates) -> tuple[str, ...]:
    return (one.run_id[:12], one.name, one.state, instant(one.started_at), *_cells(one.used, rates), one.note)
