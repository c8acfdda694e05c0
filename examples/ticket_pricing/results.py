"""*SIMULATED*: what the learned prices earn a seat beside the fixed-fare rule, in markets that nobody has learned from.

python results.py [SEEDS]: trains as the pipeline does, then sells the flights of May and June to the customers of each
seed twice, by the model and by the rule, and writes RESULTS.md. Both meet the same customers, so seeds are pairs.
"""

import sys
from datetime import date
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import simulator

import slipway as sw
import ticket_pricing as project

T_95 = {3: 4.303, 10: 2.262}
"""Student's t for a 95 % interval, by the number of pairs."""


def learned() -> simulator.Policy:
    """The model as a policy: what the pipeline makes in a store of its own, limits and steps of its prices included."""
    here = Path(__file__).parent
    with TemporaryDirectory() as folder:
        for name in ("slipway.toml", "ticket_pricing.py", "simulator.py"):
            copy(here / name, folder)
        with sw.open(folder):
            for table in (project.offers, project.rival_fares):
                table.overwrite(table())
            model = project.release()
    names = [field.name for field in model.signature.inputs]

    def fares(offers: pl.DataFrame) -> np.ndarray:
        asked = offers.with_columns(
            flight_sold=pl.col("seats_sold").cast(pl.Float64),
            flight_searched=pl.col("searches").cast(pl.Float64),
            weekday=pl.col("departure").dt.weekday().cast(pl.Int64),
            seats_left=pl.col("seats") - pl.col("seats_sold"),
        )
        return model.predict(asked.select(names))

    return fares


def compared(seeds: list[int], every: int = 6) -> pl.DataFrame:
    """Revenue a seat by seed, of the model, of the rule, and their difference."""
    policy, rule = learned(), simulator.by_rule()
    flights = simulator.flights_between(date(2013, 5, 1), date(2013, 6, 30), every=every)
    rows = []
    for seed in seeds:
        market = simulator.market(flights, seed)
        sold = {name: simulator.sell(market, one) for name, one in (("model", policy), ("rule", rule))}
        earned = {name: simulator.revenue_a_seat(told) for name, told in sold.items()}
        load = {f"{name}_load": float(told["booked"].sum() / flights["seats"].sum()) for name, told in sold.items()}
        rows.append({"seed": seed, **earned, "more": earned["model"] - earned["rule"], **load})
    return pl.DataFrame(rows)


def interval(more: pl.Series) -> tuple[float, float, float]:
    """The mean of paired differences and its 95 % interval by Student's t."""
    mean, half = float(more.mean()), T_95[len(more)] * float(more.std()) / len(more) ** 0.5  # type: ignore[arg-type]
    return mean, mean - half, mean + half


def report(found: pl.DataFrame) -> str:
    """The table, and the sentence that says whether the model is better."""
    mean, low, high = interval(found["more"])
    share = mean / float(found["rule"].mean())  # type: ignore[arg-type]
    verdict = (
        "beats the rule" if low > 0 else "does worse than the rule" if high < 0 else "cannot be told from the rule"
    )
    lines = [
        "# *SIMULATED*: revenue a seat in markets that were never learned from", "",
        f"The learned price {verdict}: {mean:+.2f} USD a seat, {share:+.1%} (95 % interval {low:+.2f} to {high:+.2f}, "
        f"{found.height} seeds as pairs).", "",
        "| seed | model, USD a seat | rule, USD a seat | difference | seats sold, model | seats sold, rule |",
        "|---|---|---|---|---|---|",
        *(
            f"| {seed} | {model:.2f} | {rule:.2f} | {more:+.2f} | {model_load:.1%} | {rule_load:.1%} |"
            for seed, model, rule, more, model_load, rule_load in found.iter_rows()
        ),
        "", "Made by `python results.py`. Customers, bookings and fares are made up: see `simulator.py`.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    told = report(compared(list(range(101, 101 + count))))
    Path(__file__).with_name("RESULTS.md").write_text(told, encoding="utf-8")
    print(told)
