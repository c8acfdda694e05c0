"""Endpoints that take in a Redis stream: nothing lost, nothing doubled, whatever is killed; no control plane runs here."""

import json
import os
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command_line import children_of, wait_for
from small_desk import FIRST, NAME, Desk

import redis_here
import slipway as sw
from slipway.client.endpoint import EndpointClient
from slipway.errors import InvalidDeclaration, InvalidSetting

NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)


def test_a_stream_is_declared_with_whose_rows_it_has() -> None:
    spec = sw.redis_stream("redis://:${SECRET}@h", "flights", source="flights")
    assert (spec.name, spec.source, spec.view) == ("flights", "flights", "")
    for wrong in ({}, {"source": "flights", "view": "weather_now"}):
        with pytest.raises(InvalidDeclaration, match="Say whose rows"):
            sw.redis_stream("redis://h", "flights", **wrong)
    for wrong in ({"url": None}, {"url": ""}, {"name": 5}, {"source": None}):
        with pytest.raises(InvalidDeclaration, match=r"A Redis stream was given .* as its"):
            sw.redis_stream(**{"url": "redis://h", "name": "flights", "source": "flights"} | wrong)
    with pytest.raises(InvalidDeclaration, match="no name"):
        sw.redis_stream("redis://h", "", source="flights")
    with pytest.raises(InvalidSetting, match="holds a password"):
        sw.redis_stream("redis://:hunter2@h", "flights", source="flights")
    with pytest.raises(InvalidDeclaration, match="redis_stream"):
        sw.Endpoint("small", streams=["flights"])
    other = sw.redis_stream(spec.url, "flights", view="weather_now")
    with pytest.raises(InvalidDeclaration, match="takes in the stream 'flights' twice"):
        sw.Endpoint("small", streams=[spec, other])
    elsewhere = sw.redis_stream("redis://elsewhere", "flights", view="weather_now")
    assert sw.Endpoint("small", streams=[spec, elsewhere]).streams == [spec, elsewhere]


def arrivals(count: int) -> list[dict[str, Any]]:
    made = random.Random(1)
    return [
        {
            "flight_id": f"P{made.randrange(count)}",
            "origin": made.choice(["JFK", "EWR"]),
            "known_at": (NOON - timedelta(minutes=made.randrange(300))).isoformat(),
            "delay": made.choice([None, made.uniform(-30, 200)]),
        }
        for _ in range(count)
    ]


def seen(client: EndpointClient, column: str = "slipway_stream_taken_total") -> int:
    text = client.send("GET", "/metrics").decode()
    return int(next(line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(column + "{")))


def answers(client: EndpointClient) -> list[Any]:
    rows = [
        {"flight_id": "Q", "origin": origin, "distance": 300, "departure": "2013-04-01T12:30:00Z"}
        for origin in ("JFK", "EWR")
    ]
    times = [NOON - timedelta(minutes=20 * step) for step in range(12)]
    return [one["score"] for at in times for one in client.predict(rows, at=at)["predictions"]]


@pytest.mark.full
def test_pushes_and_look_ups_need_no_ledger(desk: Desk) -> None:
    """Nothing of the platform is asked while a request waits: with the ledger gone, all goes on, in a new worker too."""
    desk.approve(FIRST)
    deployed = desk.deploy(FIRST)
    assert deployed.status is not None
    with EndpointClient(deployed.status.url, NAME) as client:
        before = answers(client)
        desk.workspace.ledger.close()
        files = [*desk.workspace.root.glob("ledger.db*"), desk.workspace.root / "blobs"]
        for path in files:
            path.rename(path.with_name(f"away-{path.name}"))
        try:
            assert client.events("flights", arrivals(200)) > 0
            pushed = answers(client)
            assert pushed != before
            os.kill(children_of(deployed.status.pid)[0], signal.SIGKILL)
            assert wait_for(lambda: _quietly(client, lambda: answers(client)), "another worker answers") == pushed
            assert client.events("flights", arrivals(200)) == 0
        finally:
            for path in files:
                path.with_name(f"away-{path.name}").rename(path)


def some_children_of(pid: int) -> list[int]:
    """The workers that run; those that were killed just now are being started again."""
    deadline = time.monotonic() + 60
    while not (found := children_of(pid)):
        assert time.monotonic() < deadline, "no worker was started again"
        time.sleep(0.02)
    return found


@pytest.mark.full
def test_a_stream_is_taken_in_whoever_is_killed(desk: Desk, tmp_path: Path) -> None:
    desk.approve(FIRST)
    rows = arrivals(1500)
    pushed = desk.deploy(FIRST)
    assert pushed.status is not None
    with EndpointClient(pushed.status.url, NAME) as client:
        before = answers(client)
        for first in range(0, len(rows), 100):
            client.events("flights", rows[first : first + 100])
        expected = answers(client)
    assert expected != before
    desk.workspace.launcher.stop(desk.folder)
    (desk.folder / "online.db").unlink()
    with redis_here.cleaned(str(tmp_path)) as prefix:
        name = f"{{{prefix}}}:flights"
        streams = [
            sw.redis_stream(redis_here.URL, name, source="flights"),
            sw.redis_stream(redis_here.URL, name + "2", view="weather_now"),
        ]
        desk.declare(streams=streams, workers=2)
        deployed = desk.deploy(FIRST)
        assert deployed.status is not None
        with redis_here.client() as redis, EndpointClient(deployed.status.url, NAME) as client:
            assert answers(client) == before
            made = random.Random(2)
            for number, row in enumerate(rows):
                redis.xadd(name, {"row": json.dumps(row)})
                if number % 250 == 100:
                    os.kill(made.choice(some_children_of(deployed.status.pid)), signal.SIGKILL)
                if number % 500 == 0:
                    redis.xadd(name, {"row": json.dumps({**row, "delay": "much"})})
                    redis.xadd(name, {"row": "no json"})
            wait_for(lambda: redis.xinfo_groups(name), "a group reads")
            wait_for(lambda: _group(redis, name) == (0, 0), "all is taken in")
            wait_for(lambda: _quietly(client, lambda: answers(client)) == expected, "the features know all of it")
            reasons = [fields[b"reason"].decode() for _, fields in redis.xrange(f"{name}:refused")]
            assert len(reasons) == 6
            assert sum("much" in reason or "rows[0].delay" in reason for reason in reasons) == 3
            assert sum("no JSON object" in reason for reason in reasons) == 3
            wait_for(lambda: _quietly(client, lambda: seen(client, "slipway_stream_behind")) == 0, "nothing is behind")
            assert seen(client) >= 1000  # a killed worker may have taken in what it did not count
            assert seen(client, "slipway_stream_refused_total") >= 4
            group = redis.xinfo_groups(name)[0]["name"].decode()
            assert group == f"slipway:{NAME}:dev:{NAME}"
            redis.xadd(
                name + "2", {"row": json.dumps({"origin": "JFK", "observed_at": NOON.isoformat(), "wind": 90.0})}
            )
            wait_for(lambda: _quietly(client, lambda: answers(client)) != expected, "the view's row counts")


def _group(redis: Any, name: str) -> tuple[int, int]:
    (found,) = redis.xinfo_groups(name)
    return found["pending"], found["lag"]


def _quietly(client: EndpointClient, ask: Any) -> Any:
    """What an endpoint says, None while a killed worker is being replaced."""
    from slipway.errors import SlipwayError

    try:
        return ask()
    except SlipwayError:
        return None
