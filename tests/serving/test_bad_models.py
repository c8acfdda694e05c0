"""Models that misbehave in real workers: who asked is told, the worker is replaced, and nobody else notices."""

import os
import signal

import httpx
import pytest
from endpoint_desk import Endpoint, Steady, score, until

from slipway.records.endpoints import FallbackSpec, Way

VALUE = FallbackSpec(ways=(Way(by="value", value=0.25),), within_us=400_000)


def ask(url: str, distance: int, timeout: float = 30.0) -> httpx.Response:
    row = {"flight_id": "UA1", "distance": distance, "departure": None}
    return httpx.post(f"{url}/endpoints/delays/predict", json={"rows": [row]}, timeout=timeout)


def test_one_that_hangs_in_python_is_told_504_and_its_worker_is_replaced(endpoint: Endpoint) -> None:
    url = endpoint.start()
    (first,) = endpoint.workers()
    answer = ask(url, -2)
    assert answer.status_code == 504
    assert "took too long" in answer.json()["error"]["what"]
    assert answer.headers["retry-after"] == "1"
    with httpx.Client(base_url=url) as client:
        assert score(client) == 1.0
    until(lambda: endpoint.status.restarts == 1 and endpoint.workers() and first not in endpoint.workers())
    assert "did not come back" in endpoint.status.replaced
    with httpx.Client(base_url=url) as client:
        assert score(client) == 1.0


@pytest.mark.full
def test_one_that_hangs_where_no_signal_reaches_ends_with_its_process(endpoint: Endpoint) -> None:
    endpoint.publish(1, workers=2)
    url = endpoint.start()
    with pytest.raises(httpx.RemoteProtocolError):
        ask(url, -3)
    with httpx.Client(base_url=url, timeout=20) as client:
        assert score(client) == 1.0
    until(lambda: endpoint.status.restarts == 1 and len(endpoint.workers()) == 2)


@pytest.mark.full
@pytest.mark.parametrize("how", [-2, -3])
def test_with_a_fallback_nobody_waits_for_one_that_hangs(endpoint: Endpoint, how: int) -> None:
    endpoint.publish(1, fallback=VALUE)
    steady = Steady(endpoint.start(), clients=2)
    url = endpoint.status.url
    (first,) = endpoint.workers()
    until(lambda: steady.scores)
    found = ask(url, how).json()["predictions"][0]
    assert (found["score"], found["fallback"]) == (0.25, {"by": "value", "reason": "timeout"})
    until(lambda: endpoint.status.restarts >= 1 and endpoint.workers() and first not in endpoint.workers(), 60)
    answered = steady.answered
    until(lambda: steady.answered > answered + 20)
    steady.stop()
    assert steady.failures == []
    assert steady.scores <= {1.0, 0.25}
    assert "has not come back" in endpoint.status.replaced


@pytest.mark.full
def test_one_that_leaks_is_replaced_before_it_takes_all_and_no_request_is_lost(endpoint: Endpoint) -> None:
    endpoint.publish(1, memory_bytes=250_000_000)
    url = endpoint.start()
    (first,) = endpoint.workers()
    steady = Steady(url, clients=2)
    for _ in range(8):
        if first not in endpoint.workers():
            break
        assert ask(url, -4).status_code == 200
    until(lambda: endpoint.workers() and first not in endpoint.workers())
    steady.stop()
    assert steady.failures == []
    assert "MB of memory; 250 MB is its limit" in endpoint.status.replaced
    assert endpoint.status.restarts >= 1


@pytest.mark.full
def test_one_that_kills_its_process_takes_no_other_request_along(endpoint: Endpoint) -> None:
    endpoint.publish(1, workers=2)
    url = endpoint.start()
    with pytest.raises(httpx.RemoteProtocolError):
        ask(url, -5)
    with httpx.Client(base_url=url, timeout=20) as client:
        assert score(client) == 1.0
    until(lambda: endpoint.status.restarts == 1 and len(endpoint.workers()) == 2)
    assert "signal 9" in endpoint.status.replaced


@pytest.mark.full
def test_a_worker_without_a_sign_of_life_is_killed(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_SILENT_S", "10")  # a busy machine may leave a worker alone for seconds
    endpoint.start()
    (first,) = endpoint.workers()
    os.kill(first, signal.SIGSTOP)  # as code that holds the interpreter and never lets go
    until(lambda: endpoint.status.restarts == 1 and endpoint.workers() and first not in endpoint.workers())
    assert "no sign of life" in endpoint.status.replaced
    with httpx.Client(base_url=endpoint.status.url, timeout=20) as client:
        assert score(client) == 1.0
