"""Real processes behind a front: other environments, crashes, hangs, growing, sleeping, and a front that is replaced."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import duckdb
import httpx
import pytest
from endpoint_desk import Endpoint, KeepAlive, Steady, alive, score, until
from serving_desk import CONTRACT

from slipway.records.endpoints import LogSpec, Served
from slipway.records.predictions import PredictionRow
from slipway.records.schema import Field
from slipway.tables.log_layouts import LogLayout, write_layout
from slipway.tables.log_rolling import roll
from slipway.tables.log_rows import read_rows
from slipway.tables.segments import read_segments

pytestmark = pytest.mark.full

OTHER = "b" * 64
INPUTS = (Field("distance", "float"), Field("hour", "int"))


def served(number: int, environment: str = OTHER, bundle: str = "good") -> Served:
    return Served(model="delays", number=number, bundle=bundle, environment=environment)


def fronts(endpoint: Endpoint) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"slipway.hosts.front" in words and os.fsencode(endpoint.folder) in words:
            found.append(int(place.parent.name))
    return found


def figures(client: httpx.Client) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {line.partition("{")[0]: float(line.split()[-1]) for line in lines if not line.startswith("#")}


def test_switches_between_environments_lose_no_request(endpoint: Endpoint) -> None:
    steady = Steady(endpoint.start(), clients=4)
    until(lambda: steady.scores)
    for number in range(2, 12):
        environment = OTHER if number % 2 == 0 else ""
        endpoint.publish(number, served=served(number, environment))
        until(lambda number=number: float(number) in steady.scores and endpoint.status.revision == number)
        answered = steady.answered
        until(lambda answered=answered: steady.answered > answered + 20)
    steady.stop()
    assert steady.failures == []
    assert steady.scores == {float(number) for number in range(1, 12)}
    assert endpoint.status.restarts == 0


def test_the_way_back_is_short_because_the_former_environment_stays_warm(endpoint: Endpoint) -> None:
    with httpx.Client(base_url=endpoint.start()) as client:
        (former,) = endpoint.workers()
        endpoint.publish(2, served=served(2))
        until(lambda: score(client) == 2.0)
        assert score(client) == 2.0  # from now on every answer is the new one's
        until(lambda: not alive(former))  # it had answered clients itself
        (warm,) = until(lambda: [pid for pid in endpoint.workers() if environment_of(pid) == ""])
        endpoint.publish(3, served=served(3, ""))
        until(lambda: score(client) == 3.0)
        assert alive(warm)
        assert warm in endpoint.workers()
        until(lambda: figures(client)["slipway_workers"] == 1.0)  # the other one only stays warm


def test_a_revision_serves_when_no_worker_accepts_beside_the_front_any_more(endpoint: Endpoint) -> None:
    url = endpoint.start()
    (former,) = endpoint.workers()
    os.kill(former, signal.SIGSTOP)  # it is slow to let go of the socket that the front accepts on too
    try:
        endpoint.publish(2, served=served(2))
        until(lambda: endpoint.folder.joinpath("workers", "routes.json").exists())
        with httpx.Client(base_url=url, timeout=30) as client:
            until(lambda: score(client) == 2.0)
        for _ in range(20):
            assert endpoint.status.revision == 1
            time.sleep(0.05)
    finally:
        os.kill(former, signal.SIGCONT)
    until(lambda: endpoint.status.revision == 2)
    for _ in range(20):
        with httpx.Client(base_url=url, timeout=30) as client:
            assert score(client) == 2.0


def environment_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-2].decode()
    except (FileNotFoundError, IndexError):
        return "gone"


def test_a_revision_that_its_environment_cannot_load_changes_nothing(endpoint: Endpoint) -> None:
    steady = Steady(endpoint.start(), clients=2)
    endpoint.publish(2, served=served(2, bundle="bad"))
    until(lambda: endpoint.status.refused == 2)
    assert "cannot be loaded" in endpoint.status.note
    endpoint.publish(3, served=served(3))
    until(lambda: endpoint.status.revision == 3)
    until(lambda: 3.0 in steady.scores)
    endpoint.publish(4, served=served(4, "", bundle="bad"))
    until(lambda: endpoint.status.refused == 4)
    steady.stop()
    assert steady.failures == []
    assert steady.scores == {1.0, 3.0}
    endpoint.end()
    with httpx.Client(base_url=endpoint.start()) as client:  # what is published still cannot be loaded
        assert score(client) == 3.0
    assert endpoint.status.refused == 4


def test_a_request_whose_worker_is_killed_is_answered_by_another_one(endpoint: Endpoint) -> None:
    endpoint.publish(1, workers=2, least=1, idle_us=600_000_000, served=served(1))
    steady = Steady(endpoint.start(), clients=3)
    with httpx.Client(base_url=steady.url, timeout=30) as client:
        assert score(client, -7) == 1.0  # it kills its first worker
        refused = client.post("/endpoints/delays/predict", json=row(-5))  # it kills every worker
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert "ended on this request" in refused.json()["error"]["what"]
        assert score(client) == 1.0
        said = figures(client)
    answered = steady.answered
    until(lambda: steady.answered > answered + 50)
    steady.stop()
    assert steady.failures == []  # whoever else was at a worker that was killed was answered by another one
    assert said["slipway_front_retried_total"] >= 2
    assert said["slipway_front_unavailable_total"] == 1
    until(lambda: endpoint.status.restarts == 3)


@pytest.mark.parametrize("sync", [False, True])
def test_a_row_that_a_killed_worker_had_logged_counts_once(endpoint: Endpoint, sync: bool) -> None:
    endpoint.publish(1, workers=2, least=1, idle_us=600_000_000, served=served(1), log=LogSpec(sync=sync))
    with httpx.Client(base_url=endpoint.start(), timeout=30) as client:
        ask = {"rows": [{"flight_id": name, "distance": -8, "departure": None} for name in ("a", "b")]}
        answer = client.post("/endpoints/delays/predict?explain=1", json=ask)  # it kills its first worker
        assert answer.status_code == 200, answer.text
        told = [one["id"] for one in answer.json()["predictions"]]
        assert score(client) == 1.0
        assert figures(client)["slipway_front_retried_total"] == 1
    endpoint.end()
    log = endpoint.folder / "log"
    written = read_segments(log, "predictions", PredictionRow)[0]
    assert sorted(row.id for row in written)[:4] == sorted([*told, *told]), "both workers have logged it"
    once, cursor = read_rows(log, "predictions", PredictionRow)
    assert [row.id for row in once][:2] == told
    assert len(once) == 3
    write_layout(log, LogLayout(1, "good", CONTRACT.fields, INPUTS))
    assert roll(log).rows == 3
    assert read_rows(log, "predictions", PredictionRow, cursor)[0] == []
    (counted,) = duckdb.sql(
        f"select count(*), count(distinct id) from '{log}/parquet/predictions/*/*.parquet'"
    ).fetchall()
    assert counted == (3, 3)


def row(distance: float) -> dict[str, object]:
    return {"rows": [{"flight_id": "x", "distance": distance, "departure": None}]}


def test_workers_follow_the_load_and_the_idle_time(endpoint: Endpoint) -> None:
    endpoint.publish(1, workers=3, least=1, idle_us=2_000_000)
    url = endpoint.start()
    assert len(endpoint.workers()) == 1
    slow = [threading.Thread(target=ask_slowly, args=(url,)) for _ in range(8)]
    for thread in slow:
        thread.start()
    until(lambda: endpoint.status.workers == 3)
    for thread in slow:
        thread.join()
    steady = Steady(url, clients=1)
    until(lambda: len(endpoint.workers()) == 1)
    answered = steady.answered
    until(lambda: steady.answered > answered + 20)
    steady.stop()
    assert steady.failures == []
    assert endpoint.status.restarts == 0


def ask_slowly(url: str) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        for _ in range(4):
            assert score(client, -1) == 1.0


def test_it_sleeps_when_nobody_asks_and_the_first_request_waits_for_it(endpoint: Endpoint) -> None:
    endpoint.publish(1, workers=2, least=0, idle_us=1_000_000)
    url = endpoint.start()
    kept = KeepAlive(url)
    assert kept.score() == 1.0
    until(lambda: endpoint.status.workers == 0)
    assert endpoint.status.state == "ready"
    until(lambda: endpoint.workers() == [])
    with httpx.Client(base_url=url, timeout=30) as client:
        assert client.get("/health").json() == {"status": "asleep", "revision": 1}
        assert "slipway_front_requests_total" in client.get("/metrics").text
        assert client.get("/metrics").status_code == 200
        assert endpoint.status.workers == 0  # a scrape wakes nobody
        assert kept.score() == 1.0  # on the connection that it had
        assert kept.connection.sock is not None
        until(lambda: endpoint.status.workers == 1)
        until(lambda: endpoint.status.workers == 0)
        endpoint.publish(2, workers=2, least=0, idle_us=1_000_000)
        until(lambda: endpoint.status.revision == 2)  # it woke for it
        assert score(client) == 2.0
    kept.connection.close()


def test_another_front_takes_over_without_a_client_noticing(endpoint: Endpoint) -> None:
    endpoint.publish(1, served=served(1))
    steady = Steady(endpoint.start(), clients=3)
    idle = KeepAlive(steady.url)
    assert idle.score() == 1.0
    assert endpoint.process
    for _ in range(3):
        before = set(fronts(endpoint))
        endpoint.process.send_signal(signal.SIGHUP)
        until(lambda before=before: set(fronts(endpoint)) - before)
        answered = steady.answered
        until(lambda answered=answered: steady.answered > answered + 30)
    time.sleep(2.5)  # longer than clients are waited for when an endpoint stops
    assert idle.score() == 1.0
    idle.connection.close()
    steady.stop()
    assert steady.failures == []


def test_a_killed_front_is_replaced_on_the_same_address(endpoint: Endpoint) -> None:
    endpoint.publish(1, served=served(1))
    url = endpoint.start()
    (front,) = fronts(endpoint)
    os.kill(front, signal.SIGKILL)
    with httpx.Client(base_url=url, timeout=20) as client:
        assert score(client) == 1.0  # waits in the socket's queue for the next front
    endpoint.end()
    until(lambda: fronts(endpoint) == [])


def test_an_orderly_stop_answers_what_was_begun(endpoint: Endpoint) -> None:
    endpoint.publish(1, served=served(1))
    url = endpoint.start()
    idle = KeepAlive(url)
    assert idle.score() == 1.0
    answers: list[float] = []
    with httpx.Client(base_url=url, timeout=20) as slow:
        thread = threading.Thread(target=lambda: answers.append(score(slow, -1)))
        thread.start()
        assert endpoint.process
        time.sleep(0.1)
        endpoint.process.terminate()
        until(lambda: endpoint.status.state == "draining")
        assert idle.score() == 1.0
        assert idle.connection.sock is None  # told to close
        thread.join()
    assert answers == [1.0]
    assert endpoint.process.wait(40) == 0


def test_a_killed_supervisor_leaves_nobody(endpoint: Endpoint) -> None:
    endpoint.publish(1, served=served(1))
    url = endpoint.start()
    workers, front = endpoint.workers(), fronts(endpoint)
    endpoint.end(signal.SIGKILL)
    until(lambda: not any(map(alive, [*workers, *front])))
    assert endpoint.start() == url
    with httpx.Client(base_url=url) as client:
        assert score(client) == 1.0


def test_a_changed_contract_and_another_number_of_workers_lose_no_request(endpoint: Endpoint) -> None:
    endpoint.publish(1, served=served(1))
    steady = Steady(endpoint.start(), clients=3)
    for number, changes in enumerate(
        ({"workers": 3}, {"workers": 1}, {"workers": 4, "least": 1}, {"log": LogSpec(sync=True)}), 2
    ):
        endpoint.publish(number, served=served(number), **changes)
        until(lambda number=number: endpoint.status.revision == number)
        until(lambda number=number: float(number) in steady.scores)
    steady.stop()
    assert steady.failures == []
    routes = endpoint.folder / "workers" / "routes.json"
    until(lambda: json.loads(routes.read_bytes())["revision"] == 5)


def test_a_worker_in_trouble_is_relieved_by_one_of_its_environment_and_no_request_is_lost(endpoint: Endpoint) -> None:
    endpoint.publish(1, served=served(1))
    steady = Steady(endpoint.start(), clients=2)
    (first,) = endpoint.workers()
    with httpx.Client(base_url=steady.url, timeout=30) as client:
        assert client.post("/endpoints/delays/predict", json=row(-2)).status_code == 504  # it hangs, and is interrupted
    until(lambda: endpoint.status.restarts == 1 and not alive(first))
    assert "did not come back" in endpoint.status.replaced
    (second,) = until(lambda: [pid for pid in endpoint.workers() if pid != first])
    assert environment_of(second) == OTHER
    answered = steady.answered
    until(lambda: steady.answered > answered + 20)
    steady.stop()
    assert steady.failures == []


def test_a_worker_whose_hanging_ends_it_takes_no_other_request_along(endpoint: Endpoint) -> None:
    endpoint.publish(1, workers=2, served=served(1))
    steady = Steady(endpoint.start(), clients=2)
    with httpx.Client(base_url=steady.url, timeout=60) as client:
        refused = client.post("/endpoints/delays/predict", json=row(-3))  # no signal reaches it, at two workers
    assert refused.status_code == 503
    until(lambda: endpoint.status.restarts == 2 and endpoint.status.workers == 2)
    assert endpoint.status.replaced in ("It ended with exit code 1.", "It left a request without an answer.")
    answered = steady.answered
    until(lambda: steady.answered > answered + 20)
    steady.stop()
    assert steady.failures == []
