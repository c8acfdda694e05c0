"""What only a store on Redis can show: it is emptied, killed, full, and written from several machines."""

import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import redis_here
from slipway.conformance.online_store import STREAM, TIMED, TIMELESS, check_states, events_of
from slipway.errors import BackendError, InvalidSetting, Unavailable
from slipway.ports.online_store import ViewsAsked, WindowsAsked
from slipway.records.features import EventRow, ViewRow

pytestmark = pytest.mark.full
store_module = pytest.importorskip("slipway.backends.redis_online", reason="pip install 'slipway[redis]'")
ABSENT = (None,) * (len(STREAM.columns) - 2)
RedisOnlineStore = store_module.RedisOnlineStore


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[str]:
    with redis_here.cleaned(f"test:{tmp_path}") as found:
        yield found


def opened(url: str, namespace: str = "test"):
    store = RedisOnlineStore(url, namespace)
    store.define([STREAM], [TIMED, TIMELESS])
    return store


def test_writers_of_the_same_keys_lose_nothing(namespace: str) -> None:
    """Several stores push shuffled, repeated and late events of the same keys at once."""
    rows = events_of(11, 200)
    stores = [opened(redis_here.URL, namespace) for _ in range(4)]

    def push(number: int) -> int:
        made = random.Random(number)
        mine = made.sample(rows, 150)
        for first in range(0, 150, 10):
            stores[number].push_events(STREAM.name, mine[first : first + 10])
            stores[number].put_rows(TIMED.name, [ViewRow(row.key, row.time_us, row.values) for row in mine[first:]])
        return number

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(push, range(4)))
    for number in range(4):
        push(number)
    stores[0].push_events(STREAM.name, rows)
    check_states(stores[1], rows)
    alone = opened(redis_here.URL, namespace + ":alone")
    alone.put_rows(TIMED.name, [ViewRow(row.key, row.time_us, row.values) for row in rows])
    stores[2].put_rows(TIMED.name, [ViewRow(row.key, row.time_us, row.values) for row in rows])
    for at_us in range(14):
        keys = ["EWR", "JFK", "a|b", "", "é"]
        assert stores[3].view_rows((TIMED.name,), keys, at_us) == alone.view_rows((TIMED.name,), keys, at_us)
    for store in (*stores, alone):
        store.close()


def test_a_request_is_one_round_trip(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows and views of many keys are one exchange; a decision time in the past costs a second one."""
    store = opened(redis_here.URL, namespace)
    store.push_events(STREAM.name, events_of(12, 50))
    store.put_rows(TIMED.name, [ViewRow(f"e{i}", time, (time,)) for i in range(50) for time in (1, 5)])
    keys = [f"e{i}" for i in range(50)]
    asked = [WindowsAsked(STREAM.name, ["EWR", "JFK"], [1, 3]), ViewsAsked((TIMED.name, TIMELESS.name), keys)]
    store.look_up(asked, 9)
    trips = []
    ask_all = store._link.ask_all
    monkeypatch.setattr(store._link, "ask_all", lambda *given, **more: trips.append(given) or ask_all(*given, **more))
    assert store.look_up(asked, 9)[1][7] == [(5, (5,)), None]
    assert store.view_rows((TIMED.name, TIMELESS.name), keys, 9)[49] == [(5, (5,)), None]
    assert len(trips) == 2
    assert store.look_up(asked, 4)[1][7] == [(1, (1,)), None]
    assert len(trips) == 4
    store.close()


def test_an_emptied_redis_is_not_one_without_rows(tmp_path: Path) -> None:
    """Look-ups, pushes and a load under way are refused until it was loaded again; then they go on."""
    with redis_here.own_redis(tmp_path / "redis") as own:
        loader = opened(own.url)
        loader.put_rows(TIMED.name, [ViewRow("EWR", 1, (1,))])
        expected = [loader.identity()]
        reader = RedisOnlineStore(own.url, "test", lambda: expected[0])
        reader.define([STREAM], [TIMED])
        asked = [ViewsAsked((TIMED.name,), ["EWR"]), WindowsAsked(STREAM.name, ["EWR"], [5])]
        assert reader.look_up(asked, 9)[0] == [[(1, (1,))]]
        own.kill()
        own.start()
        for refused in (
            lambda: reader.view_rows((TIMED.name,), ["EWR"], 9),
            lambda: reader.look_up(asked, 9),
            lambda: reader.push_events(STREAM.name, [EventRow("EWR", 1, "1", (1, 1, *ABSENT))]),
            lambda: loader.put_rows(TIMED.name, [ViewRow("JFK", 1, (1,))]),
            lambda: loader.set_mark("load", "done"),
        ):
            with pytest.raises(Unavailable, match="has lost what was loaded into it"):
                refused()
        reader.define([STREAM], [TIMED])  # a reader that starts now does not make it look loaded
        assert loader.identity() == "" == loader.mark("load")
        again = opened(own.url)
        again.put_rows(TIMED.name, [ViewRow("EWR", 2, (2,))])
        with pytest.raises(Unavailable, match="deploy the endpoint again"):
            reader.view_rows((TIMED.name,), ["EWR"], 9)
        expected[0] = again.identity()
        assert reader.view_rows((TIMED.name,), ["EWR"], 9) == [[(2, (2,))]]
        for store in (loader, reader, again):
            store.close()


def test_killed_while_pushes_come_it_keeps_whole_pushes(tmp_path: Path) -> None:
    """Redis is killed again and again under a writer that repeats what failed: no push is there in part, none is lost."""
    keys = [f"k{number}" for number in range(20)]
    with redis_here.own_redis(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always") as own:
        writer, reader = opened(own.url), opened(own.url)
        failed = 0
        made = random.Random(5)
        for push in range(60):
            rows = [EventRow(key, push, "1", (push, 1, *ABSENT)) for key in keys]
            with ThreadPoolExecutor(1) as pool:
                pushing = pool.submit(writer.push_events, STREAM.name, rows)
                if push % 6 == 5:
                    while not pushing.done() and made.random() < 0.9:
                        pass
                    own.kill()
                    own.start()
            try:
                pushing.result()
            except Unavailable:
                failed += 1
                seen = {states[0].rows for states in _asked_patiently(reader, keys)}
                assert seen in ({push}, {push + 1})
                assert _pushed_patiently(writer, rows) in (0, len(keys))
            assert {states[0].rows for states in _asked_patiently(reader, keys)} == {push + 1}
        assert failed
        writer.close()
        reader.close()


def _asked_patiently(store, keys):
    for _ in range(50):
        try:
            return store.window_states(STREAM.name, keys, 1000, [10_000])
        except Unavailable:
            time.sleep(0.05)
    return store.window_states(STREAM.name, keys, 1000, [10_000])


def _pushed_patiently(store, rows):
    for _ in range(50):
        try:
            return store.push_events(STREAM.name, rows)
        except Unavailable:
            time.sleep(0.05)
    raise AssertionError("Redis did not come back")


def test_a_redis_that_hangs_holds_up_one_request(tmp_path: Path) -> None:
    """Who waited in vain is followed by requests that are told at once; then it is asked again."""
    with redis_here.own_redis(tmp_path / "redis") as own:
        store = opened(own.url)
        store.put_rows(TIMED.name, [ViewRow("EWR", 1, (1,))])
        own.send(signal.SIGSTOP)
        for told in ("did not answer within 2 seconds", "a moment ago", "a moment ago"):
            with pytest.raises(Unavailable, match=told):
                store.view_rows((TIMED.name,), ["EWR"], 9)
        own.send(signal.SIGCONT)
        assert _asked_patiently(store, ["EWR"])[0][0].rows == 0
        assert store.view_rows((TIMED.name,), ["EWR"], 9) == [[(1, (1,))]]
        store.close()


def test_a_long_key_is_replaced_by_putting_its_new_content_in_its_place(
    namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays for good, nothing is left beside it; and content that is gone before its turn replaces nothing."""
    writes = pytest.importorskip("slipway.backends.redis_writes")
    monkeypatch.setattr(writes, "_LONG", 3)
    store, rows, others = opened(redis_here.URL, namespace), events_of(6, 80), events_of(7, 60)
    store.push_events(STREAM.name, rows)
    store.push_events(STREAM.name, others, replacing_until_us=100)
    check_states(store, others)
    with redis_here.client() as client:
        keys = list(client.scan_iter(match=f"{{{namespace}}}*", count=1000))
        assert sum(b":e:" in key for key in keys) == 5
        assert all(client.ttl(key) == -1 for key in keys)
        assert not [key for key in keys if b":s:" in key]
    monkeypatch.setattr(writes, "_STAGED_S", b"0")
    monkeypatch.setattr(writes, "_PATIENCE_S", 0.3)
    with pytest.raises(Unavailable, match="busy"):
        store.push_events(STREAM.name, rows, replacing_until_us=100)
    check_states(store, others)
    store.close()


def test_what_is_dropped_is_found_without_a_look_at_what_is_others(tmp_path: Path) -> None:
    """Nothing of it stays, others' keys stay, and Redis is never asked for all the keys that it has."""
    with redis_here.own_redis(tmp_path / "redis") as own:
        store, other = opened(own.url, "test"), opened(own.url, "test:other")
        for one in (store, other):
            one.push_events(STREAM.name, events_of(3, 60))
            one.push_events(STREAM.name, events_of(4, 10), replacing_until_us=0)
            one.put_rows(TIMED.name, [ViewRow(key, time, (1,)) for key in "abc" for time in (5, 1, 9)])
            one.put_rows(TIMELESS.name, [ViewRow(f"{{test}}*{number}", 0, (1,)) for number in range(9)])
            one.set_mark("load", "done")
        with pytest.importorskip("redis").Redis.from_url(own.url) as client:
            left = {key for key in client.scan_iter() if key.startswith(b"{test:other}")}
            client.config_resetstat()
            store.drop()
            assert not {"cmdstat_scan", "cmdstat_keys"} & client.info("commandstats").keys()
            assert set(client.scan_iter()) == left
        check_states(other, [row for row in events_of(3, 60) if row.time_us > 0] + events_of(4, 10))
        store.close()
        other.close()


def test_a_full_memory_refuses_a_push_whole(tmp_path: Path) -> None:
    with redis_here.own_redis(tmp_path / "redis") as own:
        store = opened(own.url)
        client = pytest.importorskip("redis").Redis.from_url(own.url)
        client.config_set("maxmemory", "1mb")
        rows = [EventRow(f"k{number}", 1, "1", (1, 1, *ABSENT)) for number in range(50)]
        with pytest.raises(BackendError, match="memory") as caught:
            store.push_events(STREAM.name, rows)
        assert "maxmemory" in caught.value.fix
        client.config_set("maxmemory", "0")
        assert {states[0].rows for states in store.window_states(STREAM.name, [row.key for row in rows], 9, [9])} == {0}
        assert store.push_events(STREAM.name, rows) == 50
        store.close()


def test_a_redis_that_is_busy_is_not_one_with_another_password(tmp_path: Path) -> None:
    """While somebody's script runs, a request is told so, and that it may try again."""
    with redis_here.own_redis(tmp_path / "redis", "--lua-time-limit", "50") as own, ThreadPoolExecutor(1) as pool:
        store = opened(own.url)
        redis = pytest.importorskip("redis")
        client = redis.Redis.from_url(own.url)
        running = pool.submit(client.eval, "while true do end", 0)
        refused = None
        while refused is None or "did not answer" in refused.what:  # it says so after a moment only
            assert not running.done()
            try:
                store.view_rows((TIMED.name,), ["EWR"], 9)
            except Unavailable as problem:
                refused = problem
        assert "somebody's long script" in refused.why
        assert refused.fix == "Try again in a moment."
        with redis.Redis.from_url(own.url) as other:
            other.script_kill()
        with pytest.raises(redis.exceptions.ResponseError):
            running.result()
        client.close()
        assert _asked_patiently(store, ["EWR"])[0][0].rows == 0
        store.close()


def test_what_redis_refuses_is_said_with_what_to_do(tmp_path: Path) -> None:
    """A replica, a user without rights and a wrong password are three things, with three remedies."""
    redis = pytest.importorskip("redis")
    with redis_here.own_redis(tmp_path / "redis") as own:
        store = opened(own.url)
        with redis.Redis.from_url(own.url) as client:
            client.replicaof("127.0.0.1", "1")
            with pytest.raises(BackendError, match=r"replica, which takes no changes.*primary"):
                store.put_rows(TIMED.name, [ViewRow("EWR", 1, (1,))])
            client.replicaof("NO", "ONE")
            client.acl_setuser("reader", enabled=True, passwords=["+word"], keys=["*"], commands=["+get", "+mget"])
        as_reader = RedisOnlineStore(own.url.replace("//", "//reader:word@"), "test")
        with pytest.raises(BackendError, match=r"may not run this command.*ACL SETUSER"):
            as_reader.mark("load")
        with pytest.raises(BackendError, match="right user and password") as caught:
            RedisOnlineStore(own.url.replace("//", "//reader:other-word@"), "test").mark("load")
        assert "other-word" not in str(caught.value)
        as_reader.close()
        store.close()


def test_whoever_forgets_keys_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with redis_here.own_redis(tmp_path / "redis", "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru") as own:
        opened(own.url).close()
    assert "maxmemory-policy noeviction" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0?foo=1",
        "rediss://127.0.0.1:6379/0?ssl_cert_reqs=foo",
        "redis://127.0.0.1:6379/0?connection_class=x",
        "redis://127.0.0.1:6379/0?socket_timeout=soon",
        "redis://:secret-word@127.0.0.1:secret-port/0",
        "redis://me:secret/word@127.0.0.1/0",
        "redis://[::1/0",
    ],
)
def test_a_url_whose_options_do_not_fit_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(InvalidSetting, match=r"URL of the online store.*setting `online` in slipway\.toml") as refused:
        RedisOnlineStore(url, "test")
    assert "secret" not in str(refused.value)


def test_an_option_that_fails_at_the_first_connection_is_refused_too() -> None:
    store = RedisOnlineStore("redis://127.0.0.1:1/0?retry_on_error=5", "test")
    with pytest.raises(InvalidSetting, match="URL of the online store"):
        store.mark("load")
    store.close()


def test_a_redis_that_is_away_is_said_without_its_password(tmp_path: Path) -> None:
    store = RedisOnlineStore("redis://:secret-word@127.0.0.1:1/0", "test")
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"redis://127\.0\.0\.1:1/0 cannot be reached") as caught:
            store.mark("load")
        assert "secret-word" not in str(caught.value)
    with pytest.raises(InvalidSetting, match="does not name a Redis") as refused:
        RedisOnlineStore("http://:secret-word@127.0.0.1", "test")
    assert "secret-word" not in str(refused.value)
