"""The simulated data of the templates: the same every time, small, and with something in them that can be learnt."""

import math
import random
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta

__all__ = ["DATA"]

_START = datetime(2013, 1, 1, tzinfo=UTC)
_SHOPS, _DAYS = 8, 540
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_BUSY = (0.8, 0.75, 0.85, 1.0, 1.3, 1.6, 0.7)
_URGENT = (
    "the server is down", "nobody can log in", "payments fail since this morning", "we lost data", "the site does not load",
    "our customers cannot order", "the alarm does not stop", "everything stands still",
)  # fmt: skip
_CALM = (
    "how do I change my address", "a question about my invoice", "I would like to know more", "the colour looks odd",
    "can you send me a copy", "thank you for your help", "when is the new version out", "a typo on the page of prices",
)  # fmt: skip
_AROUND = ("hello", "dear team", "please", "again", "as I wrote before", "for two days", "regards", "kind regards", "since the update")  # fmt: skip


def customers(rows: int = 2000, seed: int = 20130401) -> str:
    """Those with short contracts and many calls leave more often."""
    chance = random.Random(seed)
    lines = ["customer_id,asked_at,plan,months,spent,calls,left"]
    for number in range(rows):
        plan = chance.choice(["basic", "plus", "pro"])
        months = int(chance.expovariate(1 / 24))
        calls = min(int(chance.expovariate(1 / 2)), 20)
        spent = "" if chance.random() < 0.03 else f"{max(0.0, chance.gauss(25, 10)) * max(months, 1):.2f}"
        risk = 0.12 + 0.04 * calls + (0.15 if months < 6 else 0.0) - (0.08 if plan == "pro" else 0.0)
        asked = (_START + timedelta(hours=number)).strftime("%Y-%m-%dT%H:%M:%S")
        lines.append(f"c{number},{asked},{plan},{months},{spent},{calls},{int(chance.random() < risk)}")
    return "\n".join(lines) + "\n"


def sales() -> str:
    """Eight shops over one and a half years until today: rhythm of week and year, promotions, and a level that wanders.

    Until today, because a forecast looks back on the last weeks.
    """
    chance = random.Random(7)
    last = datetime.now(UTC).date()
    lines = ["shop,day,weekday,promotion,units"]
    for shop in range(_SHOPS):
        level = 40.0 + 15 * shop
        for number in range(_DAYS):
            day = last - timedelta(days=_DAYS - number)
            level *= math.exp(chance.gauss(0, 0.012))
            promotion = chance.random() < 0.1
            mean = level * _BUSY[day.weekday()] * (1.5 if promotion else 1.0) * _of_year(day)
            units = max(0, round(chance.gauss(mean, math.sqrt(mean))))
            lines.append(f"s{shop},{day},{_WEEK[day.weekday()]},{str(promotion).lower()},{units}")
    return "\n".join(lines) + "\n"


def _of_year(day: date) -> float:
    return 1 + 0.15 * math.cos(2 * math.pi * (day.timetuple().tm_yday - 350) / 365)


def messages() -> str:
    """What people write to a help desk; a tenth was called the other way by who answered."""
    chance = random.Random(11)
    lines = ["message_id,asked_at,channel,text,urgent"]
    for number in range(1500):
        urgent = chance.random() < 0.3
        channel = chance.choice(["chat", "phone", "mail"] if urgent else ["mail", "mail", "chat", "phone"])
        parts = [chance.choice(_URGENT if urgent else _CALM), *chance.sample(_AROUND, 3)]
        chance.shuffle(parts)
        asked = (_START + timedelta(minutes=37 * number)).strftime("%Y-%m-%dT%H:%M:%S")
        said = urgent if chance.random() > 0.1 else not urgent
        lines.append(f"m{number},{asked},{channel},{' '.join(parts)},{int(said)}")
    return "\n".join(lines) + "\n"


DATA: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "tabular": {"data/customers.csv": customers},
    "forecasting": {"data/sales.csv": sales},
    "text": {"data/messages.csv": messages},
    "existing-model": {
        "data/customers.csv": lambda: customers(1000, seed=5),
        "data/trained_on.csv": customers,
    },
}
"""By template the files of data that it starts with, and what makes them."""
