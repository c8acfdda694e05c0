"""Endpoints over one Redis: the same answers as from the embedded store, and what they say when it is gone or emptied."""

import contextlib
import dataclasses
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from command_line import wait_for
from small_desk import FIRST, NAME, Desk

import redis_here
from slipway.client.endpoint import EndpointClient
from slipway.errors import InvalidSetting, SlipwayError, Unavailable
from slipway.flows.deploy import deploy
from slipway.flows.endpoints import get_endpoint, revision_of
from slipway.flows.erase import erase
from slipway.flows.publish import converge
from slipway.operations.endpoints import Deploy, Deployed, GetEndpoint
from slipway.operations.erasures import Erase
from slipway.serving.online_place import read_place
from slipway.tables.versions import read

pytestmark = pytest.mark.full
NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)


def on(desk: Desk, url: str) -> Desk:
    """The desk in an environment whose settings name a store."""
    found = dataclasses.replace(desk.project, workspace=dataclasses.replace(desk.workspace, online=url))
    moved = Desk(found, desk.clock)
    moved.declare()
    return moved


def rows() -> list[dict[str, Any]]:
    return [
        {"flight_id": f"Q{i}", "origin": origin, "distance": 100 * i, "departure": f"2013-04-01T{i:02}:30:00Z"}
        for i in range(20)
        for origin in ("JFK", "EWR", "LGA")
    ]


def scores(deployed: Deployed, name: str = NAME) -> list[Any]:
    """What an endpoint answers at several times, and after pushes of events and of a view's rows."""
    assert deployed.status is not None
    with EndpointClient(deployed.status.url, name) as client:
        found = [client.predict(rows(), at=datetime(2013, 3, day, 5, tzinfo=UTC)) for day in range(1, 32)]
        found.append(client.predict(rows(), at=NOON))
        flight = {"flight_id": "P1", "origin": "JFK", "known_at": "2013-04-01T11:00:00Z", "delay": 95.5}
        client.events("flights", [flight, flight, {**flight, "flight_id": "P2", "origin": "EWR", "delay": None}])
        client.view_rows("weather_now", [{"origin": "LGA", "observed_at": "2013-04-01T10:00:00Z", "wind": 31.0}])
        found.append(client.predict(rows(), at=NOON))
    return [[one["score"] for one in answer["predictions"]] for answer in found]


def test_redis_answers_what_sqlite_answers(desk: Desk) -> None:
    desk.approve(FIRST)
    embedded = scores(desk.deploy(FIRST))
    assert len({score for some in embedded for score in some}) > 10
    assert embedded[-2] != embedded[-1]
    with redis_here.cleaned(f"slipway:{NAME}") as _:
        shared = on(desk, redis_here.URL)
        assert scores(shared.deploy(FIRST)) == embedded
        feeds = {feed.name: feed for feed in get_endpoint(shared.workspace, GetEndpoint(name=NAME)).feeds}
        assert (
            feeds["weather_now"].looked_up == 2 * 33 * 3
        )  # each airport once a request, of the embedded store before too
        assert feeds["weather_now"].not_found == 2 * 32  # LGA, before it was pushed
        assert feeds["weather_now"].max_age_s > 3 * 3600
        assert feeds["weather_now"].too_old > 0
        place = read_place(desk.folder)
        assert (place.url, place.namespace) == (redis_here.URL, f"slipway:{NAME}:dev")
        assert place.identity
        said: list[str] = []
        second = dataclasses.replace(shared.workspace, say=said.append)
        deploy(second, Deploy(model=NAME, version="1", endpoint="other-delays"))
        assert read_place(desk.folder.with_name("other-delays")) == place  # what is loaded already is shared
        assert [line for line in said if "rows loaded" in line] == [
            "Online store: 0 rows loaded, known up to 2013-04-01T00:00:00+00:00."
        ]
        assert scores(shared.deploy(FIRST)) == [*embedded[:-2], embedded[-1], embedded[-1]]
        assert scores(on(desk, "").deploy(FIRST)) == [*embedded[:-2], embedded[-1], embedded[-1]]
        assert read_place(desk.folder).url == ""


def test_an_erased_row_leaves_the_shared_store_and_the_embedded_one_before_it(desk: Desk) -> None:
    desk.approve(FIRST)
    desk.deploy(FIRST)
    with redis_here.cleaned(f"slipway:{NAME}"):
        shared = on(desk, redis_here.URL)
        deployed = shared.deploy(FIRST)
        assert deployed.status is not None
        ids = read(desk.workspace, "flights").collect()["flight_id"]
        theirs = next(id for id in ids if len(id) == 5)  # "F0" may stand in any bytes by chance
        assert theirs in everything(f"slipway:{NAME}")
        assert theirs in embedded(desk.folder)
        report = erase(shared.workspace, Erase(table="flights", key=(theirs,), reason="request 17"))
        assert report.left == 0
        assert theirs not in everything(f"slipway:{NAME}")
        assert theirs not in embedded(desk.folder)
        with EndpointClient(deployed.status.url, NAME) as client:
            assert len(client.predict(rows(), at=NOON)["predictions"]) == len(rows())


def everything(namespace: str) -> str:
    """All keys of a namespace with what they hold."""
    redis = redis_here.client()
    read = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"list": lambda key: redis.lrange(key, 0, -1),
    }
    try:
        return repr([(key, read[redis.type(key)](key)) for key in redis.scan_iter(match=f"{{{namespace}*", count=1000)])
    finally:
        redis.close()


def embedded(folder: Path) -> str:
    """All rows of an endpoint's own store."""
    with contextlib.closing(sqlite3.connect(folder / "online.db")) as db:
        names = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")]
        return repr([db.execute(f'select * from "{name}"').fetchall() for name in names])


def test_a_redis_that_is_gone_or_emptied_is_never_one_without_rows(desk: Desk, tmp_path: Path) -> None:
    desk.approve(FIRST)
    with redis_here.own_redis(tmp_path / "redis") as own:
        shared = on(desk, own.url)
        deployed = shared.deploy(FIRST)
        before = scores(deployed)
        assert deployed.status is not None
        with EndpointClient(deployed.status.url, NAME) as client:
            own.kill()
            for _ in range(3):
                with pytest.raises(Unavailable, match="store could not be read"):
                    client.predict(rows(), at=NOON)
            converge(shared.workspace, revision_of(shared.workspace, NAME))  # nothing to load into: said, and no error
            own.start()
            for asked in (
                lambda: client.predict(rows(), at=NOON),
                lambda: client.events(
                    "flights", [{"flight_id": "P9", "origin": "JFK", "known_at": None, "delay": 1.0}]
                ),
            ):
                with pytest.raises(Unavailable, match="store could not be read"):
                    asked()
            assert "has lost what was loaded into it" in (desk.folder / "front.log").read_text()
            former = read_place(desk.folder).identity
            converge(shared.workspace, revision_of(shared.workspace, NAME))
            assert read_place(desk.folder).identity != former
            assert wait_for(lambda: _answers(client), "it answers again")
            assert scores(deployed) == before


def _answers(client: EndpointClient) -> bool:
    try:
        return bool(client.predict(rows(), at=NOON))
    except Unavailable:
        return False


def test_a_load_goes_on_where_redis_vanished(desk: Desk, tmp_path: Path) -> None:
    """Redis is killed while an endpoint is loaded: nothing serves half of it, and deploying again loads what is missing."""
    desk.approve(FIRST)
    embedded = scores(desk.deploy(FIRST))
    with redis_here.own_redis(tmp_path / "redis", "--appendonly", "yes") as own:
        shared = on(desk, own.url)
        vanishing = dataclasses.replace(shared.workspace, open_online=_killing(shared, own, after=1))
        with pytest.raises(SlipwayError, match="cannot be reached"):
            deploy(vanishing, Deploy(model=NAME, version="1"))
        assert read_place(desk.folder).url == ""
        own.start()
        assert scores(shared.deploy(FIRST)) == embedded


def _killing(desk: Desk, own: redis_here.OwnRedis, *, after: int) -> Any:
    """Opens stores under which Redis is killed once something was put."""

    def open_online(folder: Path, place: Any) -> Any:
        store = desk.workspace.open_online(folder, place)
        set_mark, marks = store.set_mark, []

        def killing(name: str, value: str) -> None:
            set_mark(name, value)
            marks.append(name)
            if len(marks) == after:
                own.kill()

        store.set_mark = killing
        return store

    return open_online


def test_passwords_stay_in_the_environment(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.approve(FIRST)
    with redis_here.own_redis(tmp_path / "redis", "--requirepass", "secret-word") as own:
        shared = on(desk, own.url.replace("redis://", "redis://:${REDIS_PASSWORD}@"))
        monkeypatch.delenv("REDIS_PASSWORD", raising=False)
        with pytest.raises(InvalidSetting, match="REDIS_PASSWORD is not set"):
            shared.deploy(FIRST)
        monkeypatch.setenv("REDIS_PASSWORD", "secret-word")
        deployed = shared.deploy(FIRST)
        assert scores(deployed)
        for path in desk.workspace.root.rglob("*"):
            if path.is_file():
                assert b"secret-word" not in path.read_bytes(), path
    assert os.environ["REDIS_PASSWORD"] == "secret-word"
