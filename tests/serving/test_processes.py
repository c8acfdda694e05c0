"""Real processes: what happens when one of them is killed, stopped or given another revision."""

import os
import signal
import threading
import time

import httpx
import pytest
from endpoint_desk import Endpoint, KeepAlive, Steady, alive, is_refused, score, until

from slipway.ports.launcher import STATUS_FILE
from slipway.records.endpoints import Served


def test_a_status_that_cannot_be_written_is_tried_again(endpoint: Endpoint) -> None:
    (endpoint.folder / f".{STATUS_FILE}.part").symlink_to("/dev/full")
    with httpx.Client(base_url=endpoint.start()) as client:
        assert score(client) == 1.0
    assert "No space left" in (endpoint.folder / "front.log").read_text()


def test_it_answers_swaps_and_stops(endpoint: Endpoint) -> None:
    url = endpoint.start()
    with httpx.Client(base_url=url) as client:
        assert client.get("/health").json() == {"status": "ready", "revision": 1}
        assert score(client) == 1.0
        endpoint.publish(2)
        until(lambda: score(client) == 2.0)
        until(lambda: endpoint.status.revision == 2)
    assert endpoint.end() == 0
    assert endpoint.status.note == "Stopped."


def test_a_first_start_that_cannot_load_fails_with_its_reason(endpoint: Endpoint) -> None:
    endpoint.publish(1, served=Served(model="delays", number=1, bundle="bad"))
    endpoint.launch()
    assert endpoint.process
    assert endpoint.process.wait(20) == 1
    assert endpoint.status.state == "failed"
    assert "The bundle is bad." in endpoint.status.note


@pytest.mark.full
def test_a_killed_worker_is_replaced_and_the_others_go_on(endpoint: Endpoint) -> None:
    endpoint.publish(1, workers=2)
    url = endpoint.start()
    first, second = endpoint.workers()
    os.kill(first, signal.SIGKILL)
    with httpx.Client(base_url=url) as client:
        assert score(client) == 1.0
    until(lambda: endpoint.status.restarts == 1)
    until(lambda: len(endpoint.workers()) == 2 and first not in endpoint.workers())
    assert second in endpoint.workers()
    with httpx.Client(base_url=url) as client:
        assert score(client) == 1.0
    assert endpoint.status.state == "ready"


@pytest.mark.full
def test_a_killed_only_worker_is_replaced_and_waiting_clients_are_answered(endpoint: Endpoint) -> None:
    url = endpoint.start()
    (worker,) = endpoint.workers()
    os.kill(worker, signal.SIGKILL)
    with httpx.Client(base_url=url, timeout=20) as client:
        assert score(client) == 1.0  # waits in the socket's queue for the new worker


@pytest.mark.full
def test_after_a_killed_supervisor_its_workers_stop_and_the_next_start_has_the_same_address(
    endpoint: Endpoint,
) -> None:
    endpoint.publish(1, workers=2)
    url = endpoint.start()
    workers = endpoint.workers()
    endpoint.end(signal.SIGKILL)
    assert endpoint.start() == url
    with httpx.Client(base_url=url) as client:
        assert score(client) == 1.0
    until(lambda: not any(map(alive, workers)))


@pytest.mark.full
def test_a_second_supervisor_on_the_same_folder_is_refused(endpoint: Endpoint) -> None:
    endpoint.start()
    first = endpoint.process
    endpoint.launch()
    assert endpoint.process
    assert endpoint.process.wait(20) == 1
    endpoint.process = first
    assert endpoint.status.state == "ready"


@pytest.mark.full
def test_workers_follow_the_revision(endpoint: Endpoint) -> None:
    endpoint.start()
    endpoint.publish(2, workers=3)
    until(lambda: len(endpoint.workers()) == 3)
    endpoint.publish(3, workers=1)
    until(lambda: len(endpoint.workers()) == 1)
    assert endpoint.status.restarts == 0


@pytest.mark.full
def test_swaps_under_steady_traffic_lose_no_request(endpoint: Endpoint) -> None:
    endpoint.publish(1, workers=2)
    steady = Steady(endpoint.start(), clients=4)
    until(lambda: steady.scores)
    for number in range(2, 8):
        if number == 4:
            endpoint.publish(number, workers=2, served=Served(model="delays", number=4, bundle="bad"))
            until(lambda: endpoint.status.refused == 4 and "The bundle is bad." in endpoint.status.note)
        else:
            endpoint.publish(number, workers=2)
            until(lambda number=number: float(number) in steady.scores and endpoint.status.revision == number)
    steady.stop()
    assert steady.failures == []
    assert steady.answered > 100
    assert steady.scores == {1.0, 2.0, 3.0, 5.0, 6.0, 7.0}


@pytest.mark.full
def test_fewer_workers_under_steady_traffic_lose_no_request(endpoint: Endpoint) -> None:
    endpoint.publish(1, workers=3)
    steady = Steady(endpoint.start(), clients=6)
    endpoint.publish(2, workers=1)
    until(lambda: len(endpoint.workers()) == 1)
    answered = steady.answered
    until(lambda: steady.answered > answered + 100)
    steady.stop()
    assert steady.failures == []


@pytest.mark.full
def test_an_orderly_stop_answers_what_was_begun_and_tells_keep_alive_clients(endpoint: Endpoint) -> None:
    url = endpoint.start()
    idle = KeepAlive(url)
    assert idle.score() == 1.0
    answers: list[float] = []
    with httpx.Client(base_url=url, timeout=20) as slow:
        thread = threading.Thread(target=lambda: answers.append(score(slow, -1)))
        thread.start()
        assert endpoint.process
        time.sleep(0.1)  # the slow request is on its way; were it not, the test would pass all the same
        endpoint.process.terminate()
        until(lambda: is_refused(url))
        assert idle.score() == 1.0
        assert idle.connection.sock is None  # told to close
        thread.join()
    assert answers == [1.0]
    assert endpoint.process.wait(20) == 0
