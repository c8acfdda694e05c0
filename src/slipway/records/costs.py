"""What computing and keeping costs: the rates of a project, as slipway.toml says them."""

import math

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["KeptRates", "Rates"]


class Rates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[cost]`: what an hour and a gigabyte cost. 0 for what is not counted in money.

    Args:
        cpu_hour: One process for an hour.
        gpu_hour: One graphics processor for an hour.
        gb_month: A gigabyte (10^9 bytes) kept for a month.
        currency: Of the three: "EUR".
    """

    cpu_hour: float = 0.0
    gpu_hour: float = 0.0
    gb_month: float = 0.0
    currency: str = ""

    @property
    def is_set(self) -> bool:
        """Whether anything is counted in money."""
        return any((self.cpu_hour, self.gpu_hour, self.gb_month))

    @property
    def wrong(self) -> str:
        """Why it cannot be reckoned with, "" where it can."""
        for name in ("cpu_hour", "gpu_hour", "gb_month"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                return f"cost.{name} is {value}"
        return "cost.currency is empty" if self.is_set and not self.currency.strip() else ""


class KeptRates(Record, frozen=True, kw_only=True, tag="rates"):
    """The rates when the project was last run or deployed. Id: `<project>/<environment>/<number>`; name: the environment's.

    Args:
        number: Counts the changes within the project and environment, from 1.
        rates: What slipway.toml said.
        actor: Who ran or deployed the project with them first.
    """

    number: int
    rates: Rates
    actor: Actor
