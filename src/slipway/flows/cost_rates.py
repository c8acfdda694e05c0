"""Rates in the ledger, so that a server reckons with them without the project's slipway.toml; and what money comes of them."""

from __future__ import annotations

import msgspec

from slipway.errors import InvalidInput, InvalidSetting
from slipway.ledger import declared, events
from slipway.operations.costs import GetCosts, Used
from slipway.operations.declare import check_allowed
from slipway.operations.permissions import allowed
from slipway.ports.workspace import Workspace
from slipway.records.costs import KeptRates, Rates

__all__ = ["check_rates", "declare_rates", "kept_rates", "priced", "rates_meant"]

_FIX = 'Write numbers from 0 up, and of which currency: [cost] cpu_hour = 0.05, currency = "EUR".'
_HOUR_S = 3600.0
_GB = 1e9


def check_rates(rates: Rates) -> None:
    """Refuse rates that nobody could reckon with.

    Raises:
        InvalidSetting: One is negative or no number, or they are of no currency.
    """
    if rates.wrong:
        raise InvalidSetting(f"The setting {rates.wrong}.", fix=_FIX)


def declare_rates(workspace: Workspace, rates: Rates) -> None:
    """Keep what slipway.toml says; the same again writes nothing.

    Raises:
        Denied: They are others than before, and whoever asks may neither run the project nor deploy it.
    """
    former = _kept(workspace)
    if rates == (former.rates if former else Rates()):
        return
    if not allowed(workspace.actor, "runs.write"):
        check_allowed(workspace, "rates.declare", "endpoints.deploy")
    with workspace.ledger.write() as tx:
        kept = declared.keep(tx, workspace, KeptRates, rates=rates)
        events.record(tx, workspace, "rates.declare", f"rates:{kept.id}", **msgspec.to_builtins(rates))


def kept_rates(workspace: Workspace) -> Rates:
    """The rates as they were declared last; none at all where nobody did."""
    found = _kept(workspace)
    return found.rates if found else Rates()


def rates_meant(workspace: Workspace, request: GetCosts) -> Rates:
    """The rates that a request gives, or where it gives none those that were declared last.

    Raises:
        InvalidInput: They cannot be.
    """
    names = [field.name for field in msgspec.structs.fields(Rates)]
    given = Rates(**{name: getattr(request, name) for name in names})
    if given.wrong:
        raise InvalidInput(
            f"These rates cannot be: {given.wrong}.",
            fix=_FIX,
            field=given.wrong.partition(" ")[0].removeprefix("cost."),
        )
    return given if given.is_set else kept_rates(workspace)


def priced(used: Used, rates: Rates) -> Used:
    """The same with money, where there is a rate for it."""
    has_rate = rates.cpu_hour or rates.gpu_hour
    compute = (used.cpu_s * rates.cpu_hour + used.gpu_s * rates.gpu_hour) / _HOUR_S
    return msgspec.structs.replace(
        used,
        compute=compute if has_rate else None,
        keeping=used.size_bytes / _GB * rates.gb_month if rates.gb_month else None,
    )


def _kept(workspace: Workspace) -> KeptRates | None:
    with workspace.ledger.read() as tx:
        return declared.last(tx, workspace, KeptRates)
