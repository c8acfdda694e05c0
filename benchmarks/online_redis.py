"""What features from a shared Redis cost a request, and how fast it is filled, beside redis-py by hand.

Look-ups by hand: one `MGET` of MessagePack values, one key a view and entity, decoded. Slipway's answer is a whole feature
set's: keys out of the request, history, ages against the ttl, a look whether the Redis was emptied, features in order.
Windows by hand: count and sum of the members of a sorted set between two times, in one pipeline. Filling by hand: a
pipeline of `SET` of values that lie ready; Slipway reads a stored table, sorts it, keeps history and running sums, compares
with what is there, and writes each chunk whole or not at all with the mark of how far it is. Needs a Redis: SLIPWAY_TEST_REDIS, or the one on this machine.
"""

import os
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from benchmarks import materialise as stored
from benchmarks import online_lookup as local
from benchmarks.pairs import Compared, compare, row, seconds_of
from slipway import plugins
from slipway.features.materialise import materialise
from slipway.features.online import build_receiver, build_resolver
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.features.states import stored_view_of, to_us
from slipway.hosts.project import open_workspace
from slipway.ports.online_store import OnlineStore
from slipway.ports.workspace import current_workspace
from slipway.records.features import View, ViewRow

ENTITIES = 20_000
EVENTS = 40_000
ROWS = 200_000
PAIRS = 15
CALLS = 300
REMARK = """\
Redis is for sharing, not for speed: in one process the embedded store is several times faster. A look-up is below raw
because the command is packed and read without redis-py's layers, which cost it more than features cost Slipway. For the
same reason filling is not slower than a pipeline of the client's.
"""

_PATH = "online look-up on Redis"
_URL = os.environ.get("SLIPWAY_TEST_REDIS", "redis://127.0.0.1:6379/0")
_BATCH = 20_000
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def run(
    entities: int = ENTITIES, events: int = EVENTS, pairs: int = PAIRS, calls: int = CALLS, rows: int = ROWS
) -> list[dict[str, Any]]:
    """Rows of the table; none where no Redis answers."""
    import redis

    client = redis.Redis.from_url(_URL, socket_connect_timeout=1)
    try:
        client.ping()
    except redis.exceptions.ConnectionError:
        return []
    home = f"bench:{os.getpid()}:{time.time_ns()}"
    store = plugins.load("online", "redis")(_URL, home)
    try:
        return [
            *_views(client, store, home, entities, pairs, calls),
            *_windows(client, store, home, events, pairs, calls),
            *_filling(client, store, home, rows),
        ]
    finally:
        store.close()
        for pattern in (f"{{{home}*", f"{home}*"):
            keys = list(client.scan_iter(match=pattern, count=5000))
            for first in range(0, len(keys), 5000):
                client.delete(*keys[first : first + 5000])
        client.close()


def _views(client: Any, store: OnlineStore, home: str, entities: int, pairs: int, calls: int) -> list[dict[str, Any]]:
    columns = dict.fromkeys(local.COLUMNS, pl.Float64)
    kind: dict[str, Any] = {"entity": pl.String, "known_at": pl.Datetime("us", "UTC"), **columns}
    tables = FrameTables({name: pl.DataFrame(schema=kind) for name in local.VIEWS})
    features = FeatureSet(*map(local.declared_view, local.VIEWS))
    spec = build_spec(features, {"entity": "string"}, tables, lambda function: function.__name__)
    resolve = build_resolver(spec, {}, store)
    views = local.view_rows(entities)
    pipeline = client.pipeline(transaction=False)
    for part in spec.parts:
        assert isinstance(part, View)
        rows = [ViewRow(key, at, tuple(values)) for key, at, *values in views[part.name]]
        for first in range(0, len(rows), _BATCH):
            store.put_rows(stored_view_of(part).name, rows[first : first + _BATCH])
        for one in rows[local.HISTORY - 1 :: local.HISTORY]:
            pipeline.set(f"{home}:{part.name}:{one.key}", _encode(one.values))
    pipeline.execute()

    def by_hand(keys: Sequence[str]) -> list[tuple[Any, ...]]:
        found = [_decode(one) for one in client.mget([f"{home}:{view}:{key}" for key in keys for view in local.VIEWS])]
        return [(*found[i], *found[i + 1], *found[i + 2]) for i in range(0, len(found), 3)]

    order = np.random.default_rng(2).integers(0, entities, 100_000).tolist()
    made = []
    for count in (1, 100):
        keys = [[f"e{order[(n * count + i) % len(order)]}" for i in range(count)] for n in range(calls)]
        requests = [[[key] for key in some] for some in keys]
        assert [tuple(values) for values in resolve(requests[0], local.AT)] == by_hand(keys[0])
        found = compare(
            partial(local.each_us, by_hand, [(some,) for some in keys]),
            partial(local.each_us, resolve, [(request, local.AT) for request in requests]),
            pairs,
        )
        what = f"{'1 entity' if count == 1 else f'{count} entities'} x {len(local.VIEWS)} views x 5 floats, us"
        made.append(row(_PATH, what, found, goal_ratio=1.3))
    return made


def _windows(client: Any, store: OnlineStore, home: str, events: int, pairs: int, calls: int) -> list[dict[str, Any]]:
    spec = local.windows_spec()
    receive, resolve = build_receiver(spec, store), build_resolver(spec, {}, store)
    given = local.events_of(events)
    pipeline = client.pipeline(transaction=False)
    for first in range(0, len(given), 2000):
        receive("events", given[first : first + 2000])
    for one in given:
        member = struct.pack("<qd", one["id"], one["x"])
        pipeline.zadd(f"{home}:{one['entity']}", {member: to_us(one["known_at"])})
    pipeline.execute()
    at_us = to_us(local.AT)

    def by_hand(key: str) -> list[float | None]:
        asked = client.pipeline(transaction=False)
        for width in local.WIDTHS.values():
            asked.zrangebyscore(f"{home}:{key}", f"({at_us - width // timedelta(microseconds=1)}", at_us)
        found: list[float | None] = []
        for members in asked.execute():
            values = [struct.unpack("<qd", member)[1] for member in members]
            found += [len(values), sum(values) / len(values) if values else None]
        return found

    keys = [f"e{key}" for key in np.random.default_rng(4).integers(0, max(events // 100, 1), calls)]
    assert resolve([[key] for key in keys], local.AT) == [by_hand(key) for key in keys]
    looked = compare(
        partial(local.each_us, by_hand, [(key,) for key in keys]),
        partial(local.each_us, resolve, [([[key]], local.AT) for key in keys]),
        pairs,
    )
    per_key = events // max(events // 100, 1)
    return [row(_PATH, f"1 entity x {len(spec.features)} window features, {per_key} events an entity, us", looked)]


def _filling(client: Any, store: OnlineStore, home: str, rows: int) -> list[dict[str, Any]]:
    """Stored tables materialised, beside values that lie ready."""
    tables = stored.make_tables(rows)
    made = []
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        stored.store_tables(Path(folder), tables)
        workspace = open_workspace(Path(folder), project="bench")
        for name, features in stored.SETS.items():
            ready = [(f"{home}:{name}:{row[0]}:{row[1]}", _encode(row[2:])) for row in _plain_rows(tables[name])]

            def by_hand(ready: list[tuple[str, bytes]] = ready) -> None:
                for first in range(0, len(ready), _BATCH):
                    pipeline = client.pipeline(transaction=False)
                    for key, value in ready[first : first + _BATCH]:
                        pipeline.set(key, value)
                    pipeline.execute()

            def ours(features: FeatureSet = features) -> None:
                spec = features.spec({"key": "int"})
                loaded = materialise(workspace, spec, store, until=stored.UNTIL, views=features.views).rows
                assert loaded == rows

            with current_workspace.filled(workspace):
                works: tuple[Callable[[], None], Callable[[], None]] = (by_hand, ours)
                raw, slipway = (rows / seconds_of(work) / 1000 for work in works)
            what = f"{rows:,} {'events' if name == 'events' else 'rows of a view'} materialised: thousand rows/s"
            compared = Compared(raw, slipway, raw / slipway)
            made.append({"path": _PATH, "what": what, **compared._asdict(), "goal_least": 80})
        workspace.ledger.close()
    return made


def _plain_rows(table: pl.DataFrame) -> list[tuple[Any, ...]]:
    return table.with_columns(pl.col("known_at").dt.epoch("us")).rows()
