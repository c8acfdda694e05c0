"""Loads that are divided, killed, resumed and overtaken end in the state of the batch."""

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import slipway.features.windows as w
from redis_here import URL, cleaned
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.features import loading
from slipway.features.loading import event_rows, read_mark, view_rows_of
from slipway.features.materialise import materialise
from slipway.features.online import build_receiver, stored_definitions
from slipway.features.sets import FeatureSet
from slipway.features.states import to_us
from slipway.features.views import feature_view
from slipway.ports.online_store import OnlineStore
from slipway.ports.workspace import Workspace
from slipway.records.features import EventRow, FeatureSetSpec, ViewRow
from slipway.tables import versions

T = datetime(2013, 1, 1, tzinfo=UTC)
INSTANT = pl.Datetime("us", "UTC")


@feature_view(entity="origin", time="known_at")
def seen_at(events: pl.LazyFrame) -> pl.LazyFrame:
    return events.select("origin", "known_at", "delay", day=pl.col("known_at").dt.date())


@feature_view(entity="origin")
def port(ports: pl.LazyFrame) -> pl.LazyFrame:
    return ports


FEATURES = FeatureSet(
    w.windows(
        "events",
        time="known_at",
        by={"origin": "origin", "both": ["origin", "carrier"]},
        delay=w.mean("delay", "3h"),
        spread=w.std("delay", "9h"),
        last=w.last("delay", "9h"),
        seen=w.count("3h"),
    ),
    seen_at,
    port,
)
REQUEST = {"origin": "string", "carrier": "string"}


def events(count: int, seed: int = 0, first: int = 0) -> pl.DataFrame:
    """In no order, with ties, nulls and repeated rows."""
    made = random.Random(seed)
    rows = [
        {
            "id": first + n,
            "known_at": made.choice([T + timedelta(minutes=made.randrange(6000))] * 20 + [None]),
            "origin": made.choice(["EWR", "JFK", "LGA", "a|b", None]),
            "carrier": made.choice(["UA", "\\", None]),
            "delay": made.choice([None, float("nan"), made.gauss(0, 30), made.gauss(0, 30)]),
        }
        for n in range(count)
    ]
    return pl.DataFrame(
        rows + made.sample(rows, count // 9), schema_overrides={"known_at": INSTANT, "delay": pl.Float64}
    )


def write_tables(workspace: Workspace, count: int = 400) -> None:
    versions.overwrite(workspace, "events", events(count), key=("id",))
    versions.overwrite(workspace, "ports", pl.DataFrame({"origin": ["EWR", "JFK"], "gates": [110, None]}))


def spec() -> FeatureSetSpec:
    return FEATURES.spec(REQUEST)


def load(workspace: Workspace, store: OnlineStore, until: datetime) -> int:
    return materialise(workspace, spec(), store, until=until, views=FEATURES.views).rows


def content(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All that a store's file holds, marks apart, by names without the fingerprint of their definition."""
    store = SqliteOnlineStore(path)
    tables = [str(row[0]) for row in store._all("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    found = {name: store._all(f'SELECT * FROM "{name}" ORDER BY 1, 2, 3') for name in tables if name[1] == "_"}
    store.close()
    return {name.rpartition("_")[0]: rows for name, rows in found.items()}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few rows, chunks of fewer."""
    monkeypatch.setattr(loading, "PART_ROWS", 60)
    monkeypatch.setattr(loading, "CHUNK_ROWS", 7)
    monkeypatch.setattr(loading, "_READ_ROWS", 25)


def loaded_at_once(workspace: Workspace, folder: Path, until: datetime) -> dict[str, list[tuple[object, ...]]]:
    store = SqliteOnlineStore(folder / "whole.db")
    load(workspace, store, until)
    store.close()
    return content(folder / "whole.db")


END = T + timedelta(hours=90)


def test_parts_and_chunks_give_the_state_of_the_whole(
    workspace: Workspace, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write_tables(workspace)
    whole = loaded_at_once(workspace, tmp_path, END)
    request.getfixturevalue("small")
    store = SqliteOnlineStore(tmp_path / "parts.db")
    rows = load(workspace, store, END)
    assert rows > 600
    assert load(workspace, store, END) == 0 or content(tmp_path / "parts.db") == whole
    store.close()
    assert content(tmp_path / "parts.db") == whole
    assert not list((workspace.root / "aside").iterdir())


class Stopped(Exception):
    pass


class Stopping(SqliteOnlineStore):
    """Fails at the given write."""

    def __init__(self, path: Path, after: int) -> None:
        super().__init__(path)
        self.left = after

    def set_mark(self, name: str, value: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stopped
        super().set_mark(name, value)


@pytest.mark.full
@settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stops=st.lists(st.integers(0, 40), min_size=1, max_size=4), pushed=st.integers(0, 30), seed=st.integers(0, 9))
def test_stopped_anywhere_and_pushed_into_meanwhile_it_ends_in_the_same_state(
    workspace: Workspace,
    small: None,
    tmp_path_factory: pytest.TempPathFactory,
    stops: list[int],
    pushed: int,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("load")
    versions.overwrite(workspace, "events", events(250, seed), key=("id",))
    versions.overwrite(workspace, "ports", pl.DataFrame({"origin": ["EWR", "JFK"], "gates": [110, None]}))
    late = events(pushed, 100 + seed, first=10_000).to_dicts()
    whole = SqliteOnlineStore(folder / "whole.db")
    load(workspace, whole, END)
    build_receiver(spec(), whole)("events", late)
    whole.close()
    path = folder / "stopped.db"
    for number, after in enumerate(stops):
        stopping = Stopping(path, after)
        # The time goes on while it is down: what had begun is ended, then the rest comes.
        with suppress(Stopped):
            load(workspace, stopping, END - timedelta(hours=10 * (len(stops) - number)))
        stopping.close()
        if number == 0:
            store = SqliteOnlineStore(path)
            store.define(*stored_definitions(spec()))
            build_receiver(spec(), store)("events", late)
            store.close()
    store = SqliteOnlineStore(path)
    load(workspace, store, END)
    store.close()
    assert content(path) == content(folder / "whole.db")


def test_it_goes_on_where_it_stopped(workspace: Workspace, small: None, tmp_path: Path) -> None:
    write_tables(workspace)
    fresh = SqliteOnlineStore(tmp_path / "fresh.db")
    all_rows = load(workspace, fresh, END)
    fresh.close()
    stopping = Stopping(tmp_path / "stopped.db", 30)
    with pytest.raises(Stopped):
        load(workspace, stopping, END)
    stopping.close()
    store = SqliteOnlineStore(tmp_path / "stopped.db")
    stream = stored_definitions(spec())[0][0].name
    begun = read_mark(store, stream).loading
    assert begun is not None
    assert begun.part > 0
    assert load(workspace, store, END) == all_rows - 30 * 7 + sum(
        7 - size for size in chunk_rests(workspace, tmp_path, 30)
    )
    assert read_mark(store, stream).loading is None
    store.close()
    assert content(tmp_path / "stopped.db") == content(tmp_path / "fresh.db")


def chunk_rests(workspace: Workspace, folder: Path, writes: int) -> list[int]:
    """The sizes of the first chunks that were put."""
    sizes: list[int] = []

    class Counting(SqliteOnlineStore):
        def push_events(self, stream: str, rows: list[EventRow], **more: int | None) -> int:  # type: ignore[override]
            sizes.append(len(rows))
            return super().push_events(stream, rows, **more)

    store = Counting(folder / "counting.db")
    load(workspace, store, END)
    store.close()
    return sizes[:writes]


def test_a_table_overwritten_while_a_load_was_down_leaves_no_old_row(
    workspace: Workspace, small: None, tmp_path: Path
) -> None:
    write_tables(workspace)
    stopping = Stopping(tmp_path / "stopped.db", 12)
    with pytest.raises(Stopped):
        load(workspace, stopping, END)
    stopping.close()
    versions.overwrite(workspace, "events", events(200, seed=5), key=("id",))
    store = SqliteOnlineStore(tmp_path / "stopped.db")
    load(workspace, store, END)
    store.close()
    assert content(tmp_path / "stopped.db") == loaded_at_once(workspace, tmp_path, END)


KILLED = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[1].split(os.pathsep)
import test_loading as t
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.features import loading
from slipway.hosts.project import open_workspace
from slipway.ports.workspace import current_workspace

class Telling(SqliteOnlineStore):
    def set_mark(self, name, value):
        super().set_mark(name, value)
        print("put", flush=True)

loading.PART_ROWS, loading.CHUNK_ROWS, loading._READ_ROWS = 60, 3, 25
workspace = open_workspace(Path(sys.argv[2]), project="flights")
with current_workspace.filled(workspace):
    t.load(workspace, Telling(Path(sys.argv[3])), t.END)
print("ended", flush=True)
"""


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.full) for n in (1, 2, 3))])
def test_killed_at_random_moments_it_ends_in_the_same_state(workspace: Workspace, tmp_path: Path, seed: int) -> None:
    write_tables(workspace, 500)
    path, made, kills, told = tmp_path / "killed.db", random.Random(seed), 0, ""
    here = Path(__file__).parent
    folders = os.pathsep.join([str(here), str(here.parent)])
    command = [sys.executable, "-c", KILLED, folders, str(workspace.root), str(path)]
    while told != "ended":
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(made.randrange(1, 200)):
            told = process.stdout.readline().strip()
            if told != "put":
                break
        else:  # somewhere between two chunks, or in one
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.stdout.close()
        assert process.wait() == (0 if told == "ended" else -signal.SIGKILL)
    assert kills > 0
    assert content(path) == loaded_at_once(workspace, tmp_path, END)


@pytest.mark.full
def test_on_redis_too_it_goes_on_where_it_stopped(workspace: Workspace, small: None, tmp_path: Path) -> None:
    from slipway.backends.redis_online import RedisOnlineStore

    class StoppingRedis(RedisOnlineStore):
        left = 25

        def set_mark(self, name: str, value: str) -> None:
            self.left -= 1
            if self.left < 0:
                raise Stopped
            super().set_mark(name, value)

    write_tables(workspace)
    whole = SqliteOnlineStore(tmp_path / "whole.db")
    load(workspace, whole, END)
    with cleaned(f"loading-{uuid4().hex}") as namespace:
        stopping = StoppingRedis(URL, namespace)
        with pytest.raises(Stopped):
            load(workspace, stopping, END)
        stopping.close()
        store = RedisOnlineStore(URL, namespace)
        load(workspace, store, END)
        keys = ["EWR", "JFK", "LGA", "a|b", "EWR|UA", "a\\|b|\\\\", "nowhere"]
        streams, views = stored_definitions(spec())
        for hour in range(0, 101, 10):
            at_us = to_us(T + timedelta(hours=hour))
            for stream in streams:
                asked = (stream.name, keys, at_us, [3 * 3600 * 10**6, 10**15])
                assert store.window_states(*asked) == whole.window_states(*asked)
            names = tuple(view.name for view in views)
            assert store.view_rows(names, keys, at_us) == whole.view_rows(names, keys, at_us)
        store.close()
    whole.close()


def test_rows_are_made_of_columns() -> None:
    table = pl.DataFrame({"__key": ["a", "b"], "__time": [1, 2], "__id": ["x", "y"], "v": [None, 3]})
    assert event_rows(table) == [EventRow("a", 1, "x", (None,)), EventRow("b", 2, "y", (3,))]
    assert isinstance(event_rows(table)[0], EventRow)
    assert event_rows(table.drop("v")) == [EventRow("a", 1, "x", ()), EventRow("b", 2, "y", ())]
    assert view_rows_of(table.drop("__id")) == [ViewRow("a", 1, (None,)), ViewRow("b", 2, (3,))]
