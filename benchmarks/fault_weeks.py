"""Faults of data, labels, models and money, injected into the endpoint behind features, over days of business time."""

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

import slipway as sw
from benchmarks.fault_world import BEFORE, DAY, START, Bent, Row, Weeks, write_depots
from slipway.data.schedules import declare_schedule
from slipway.data.sync import sync
from slipway.hosts.teller import Teller
from slipway.loop.escalations import has_mail
from slipway.tables import versions

__all__ = ["STRIKES"]

Strike = Callable[[Weeks], object]
STRUCK = START + BEFORE * DAY
_MILE = 0.621371
_SENT_WITHIN_S = 180.0


def _asked(column: str, value: Callable[[Row], Any]) -> Bent:
    """A field of the request arrives otherwise."""
    return Bent(asked=lambda at, rows: [{**row, column: value(row)} for row in rows])


def _drawn(row: Row, share: float) -> bool:
    """Whether a row is among a share of all, the same ones at every time."""
    return random.Random(row["parcel_id"]).random() < share


def _for(days: float, bent: Bent, *, every: int = 24) -> Strike:
    return lambda store: store.days(days, bent, every=every)


def _wandering(at: datetime, rows: list[Row]) -> list[Row]:
    """From day to day fewer of the short ways."""
    share = min(0.9, 0.12 * ((at - STRUCK) / DAY))
    return [row for row in rows if row["distance"] > 400 or not _drawn(row, share)]


def _mixed(at: datetime, rows: list[Row]) -> list[Row]:
    """Most parcels of the greatest carrier go away; nothing else changes."""
    return [row for row in rows if row["carrier"] != "alto" or not _drawn(row, 0.7)]


def _feast(at: datetime, rows: list[Row]) -> list[Row]:
    """On a holiday few parcels go, all of them far."""
    is_feast = at.date().isoformat() in ("2026-04-16",)
    return [row for row in rows if not is_feast or row["distance"] > 600]


def _inverted(at: datetime, labels: list[Row]) -> list[Row]:
    return [{**one, "value": 1 - one["value"]} for one in labels]


def _other_world(at: datetime, labels: list[Row]) -> list[Row]:
    """Since the fault struck every parcel of an even number is late or not by chance alone."""
    number = (int(one["key"]["parcel_id"][1:]) for one in labels)
    return [
        {**one, "value": int(random.Random(n).random() < 0.75)} if n % 2 == 0 else one
        for one, n in zip(labels, number, strict=True)
    ]


def _early(at: datetime, labels: list[Row]) -> list[Row]:
    """The clock of who sends labels goes three days slow: they are from before their decisions."""
    return [{**one, "observed_at": one["observed_at"] - 3 * DAY} for one in labels]


def _corrupted(folder: Path) -> None:
    """The newest wind of the north is another than was pushed, by half a metre a second: too little to show otherwise."""
    with closing(sqlite3.connect(folder / "online.db", timeout=10)) as link, link:
        (table,) = [name for (name,) in link.execute("SELECT name FROM sqlite_master") if name.startswith("v_weather")]
        newest = f"SELECT time_us, body FROM \"{table}\" WHERE key = 'north' ORDER BY time_us DESC"
        time_us, body = link.execute(newest).fetchone()
        (wind,) = msgspec.msgpack.decode(body)
        update = f"UPDATE \"{table}\" SET body = ? WHERE key = 'north' AND time_us = ?"
        link.execute(update, (msgspec.msgpack.encode((wind + 0.5,)), time_us))


def _prices_fall(store: Weeks) -> None:
    """From the day on which it strikes every parcel is sold for two fifths less."""
    rows = versions.read(store.workspace, "parcels").collect()
    is_new = pl.col("asked_at") >= STRUCK
    fallen = rows.with_columns(pl.when(is_new).then(pl.col("price") * 0.6).otherwise("price").alias("price"))
    versions.overwrite(store.workspace, "parcels", fallen, key=("parcel_id",), time="asked_at")
    store.days(9)


def _mix_moves(store: Weeks) -> None:
    """The mix of the segment moves at an endpoint that pages for no drift; the finding must say that it is the mix."""
    former = store.project.module().watched.monitors
    store.redeclare(monitors=[sw.Drift(segment="carrier") if isinstance(one, sw.Drift) else one for one in former])
    store.days(9, Bent(asked=_mixed))
    said = [one.sentence for one in store.findings("drift") if one.created_at > STRUCK]
    assert any("the mix of carrier moved" in one for one in said), said


def _mail_is_away(store: Weeks) -> None:
    """The mail server is away when it strikes, and there again half a day later."""
    store.post.close_mail()
    store.days(0.5, _asked("weight", lambda row: None), every=1)
    assert not store.post.letters
    store.post.open_mail()
    until = time.monotonic() + _SENT_WITHIN_S
    while has_mail(store.workspace) and time.monotonic() < until:
        time.sleep(0.5)
        Teller(store.workspace).look()


def _source_changes(store: Weeks) -> None:
    """A table that is synced from a shop's database every night: a number there becomes a text."""
    table = store.project.module().depots
    sync(store.workspace, table, store.project.folder)
    declare_schedule(store.workspace, table, snapshot=store.project.published(), folder=store.project.folder)
    write_depots(store.project.folder, doors="text", row="(2, 20, 'six')")
    store.days(3)


STRIKES: dict[str, Strike] = {
    "a feature's feed stops": _for(2, Bent(wind=lambda at, rows: []), every=1),
    "a field arrives empty": _for(2, _asked("weight", lambda row: None), every=1),
    "a field stands still": _for(2, _asked("distance", lambda row: 480.0), every=1),
    "kilometres become miles": _for(4, _asked("distance", lambda row: round(row["distance"] * _MILE, 1))),
    "three in five values are missing": _for(
        4, _asked("weight", lambda row: None if _drawn(row, 0.6) else row["weight"])
    ),
    "a fifth of a category is new": _for(
        4, _asked("carrier", lambda row: "eager" if _drawn(row, 0.2) else row["carrier"])
    ),
    "a source's column changes its type": _source_changes,
    "the online store has another value than was pushed": _for(3, Bent(online=_corrupted)),
    "labels arrive inverted": _for(9, Bent(labels=_inverted)),
    "inputs mean another thing (concept change)": _for(9, Bent(labels=_other_world)),
    "inputs wander off for two weeks": _for(14, Bent(asked=_wandering)),
    "labels stop": _for(9, Bent(labels=lambda at, labels: [])),
    "prices fall, the model is as good as before": _prices_fall,
    "a field arrives empty while the mail server is away": _mail_is_away,
    "two ordinary weeks with a holiday": _for(15, Bent(asked=_feast)),
    "the mix of carriers moves": _mix_moves,
    "labels with wrong clocks": _for(9, Bent(labels=_early)),
}
