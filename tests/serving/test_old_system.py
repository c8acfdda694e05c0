"""An old system that really answers over HTTP: paired, bounded, counted, and followed nowhere else."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from serving_desk import Desk, a_revision
from two_models import flights

from slipway.records.endpoints import OldSystemSpec, Revision
from slipway.records.predictions import PredictionRow
from slipway.serving import counters as count
from slipway.serving.counters import Counters
from slipway.serving.old_system import OldSystem, scores_in

ROWS = flights()


class Server(ThreadingHTTPServer):
    daemon_threads = True


Answer = tuple[int, dict[str, str], bytes]


class Old:
    """The old system: what it was asked, and how it answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.most = self._now = 0
        self._lock = threading.Lock()
        self.answer: Callable[[Any], Answer] = lambda body: said({"result": {"score": body["distance"] / 1000}})
        old = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                with old._lock:
                    old._now += 1
                    old.most = max(old.most, old._now)
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                old.asked.append((self.path, dict(self.headers), body))
                status, headers, content = old.answer(body)
                with old._lock:
                    old._now -= 1
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that gave up waiting
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/score?v=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def said(body: Any) -> Answer:
    return 200, {}, json.dumps(body).encode()


@pytest.fixture
def old() -> Iterator[Old]:
    made = Old()
    yield made
    made.server.shutdown()
    made.server.server_close()


def spec(old: Old, **changes: Any) -> OldSystemSpec:
    return OldSystemSpec(**{"url": old.url, "score": "result.score", **changes})


def counted(counters: Counters) -> tuple[int, int, int, int]:
    return (
        counters.total(count.OLD_SAMPLED),
        counters.total(count.OLD_COMPARED),
        counters.total(count.OLD_DROPPED) + counters.total(count.OLD_LOST),
        counters.total(count.OLD_FAILED),
    )


def test_each_answer_is_paired_with_that_of_the_old_system_and_touched_by_nothing(desk: Desk, old: Old) -> None:
    desk.serve(old_system=spec(old, fields={"dist": "distance", "distance": "distance"}))
    answer = desk.predict(*ROWS).json()["predictions"]
    desk.close()
    assert [(p["score"], p["version"]) for p in answer] == [(0.5, 1)] * 5
    assert {body["dist"] for _, _, body in old.asked} == {500.0}
    assert all(path == "/score?v=1" and set(body) == {"dist", "distance"} for path, _, body in old.asked)
    found = {row.prediction: (row.arm, row.score, row.problem) for row in desk.shadows}
    assert found == {p["id"]: ("reference", 0.5, "") for p in answer}
    assert counted(desk.counters) == (5, 5, 0, 0)


def test_several_rows_go_in_one_request(desk: Desk, old: Old) -> None:
    old.answer = lambda body: said({"predictions": [{"score": i} for i, _ in enumerate(body["rows"])]})
    desk.serve(old_system=spec(old, rows="rows", score="predictions.*.score", at_once=1))
    desk.predict(*ROWS)
    desk.close()
    assert [len(body["rows"]) for _, _, body in old.asked] == [5]
    assert [row.score for row in desk.shadows] == [0.0, 1.0, 2.0, 3.0, 4.0]


def slow(body: Any) -> Answer:
    time.sleep(1.0)
    return said({"result": {"score": 1}})


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda body: (500, {}, b"{}"), "error"),
        (lambda body: (302, {"location": "/elsewhere"}, b""), "error"),
        (lambda body: (200, {}, b"<html>"), "unreadable"),
        (lambda body: said({"result": {}}), "unreadable"),
        (lambda body: said({"result": {"score": "high"}}), "unreadable"),
        (lambda body: (200, {}, b'{"result": {"score": NaN}}'), "unreadable"),
        (lambda body: said("x" * (5 << 20)), "unreadable"),
        (slow, "timeout"),
    ],
)
def test_what_goes_wrong_there_is_counted_apart_and_followed_nowhere(
    desk: Desk, old: Old, answer: Callable[[Any], Answer], problem: str
) -> None:
    old.answer = answer
    desk.serve(old_system=spec(old, timeout_us=300_000))
    assert desk.predict(ROWS[0]).status_code == 200
    desk.close()
    assert [(row.score, row.problem) for row in desk.shadows] == [(None, problem)]
    assert [path for path, _, _ in old.asked] == ["/score?v=1"]
    assert counted(desk.counters) == (1, 1, 0, 1)


def test_nobody_there_is_an_error_and_no_harm(desk: Desk, old: Old) -> None:
    desk.serve(old_system=spec(old, url="http://127.0.0.1:9/score"))
    assert desk.predict(*ROWS).status_code == 200
    desk.close()
    assert {row.problem for row in desk.shadows} == {"error"}
    assert counted(desk.counters) == (5, 5, 0, 5)


def test_secrets_come_from_the_environment(desk: Desk, old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD_TOKEN", "s3cret")
    desk.serve(old_system=spec(old, headers={"Authorization": "Bearer ${OLD_TOKEN}"}))
    desk.predict(ROWS[0])
    desk.close()
    assert [headers["Authorization"] for _, headers, _ in old.asked] == ["Bearer s3cret"]


def rows(n: int) -> list[PredictionRow]:
    return [PredictionRow(f"p{i}", 0, 0, 1, "b", "", ["UA1", 5.0, None], [5.0, 12], 0.5) for i in range(n)]


def revision(old: Old, **changes: Any) -> Revision:
    return msgspec.structs.replace(a_revision(), old_system=spec(old, **changes))


def test_at_most_so_many_requests_at_once(old: Old) -> None:
    gate = threading.Event()

    def held(body: Any) -> Answer:
        gate.wait(5)
        return said({"result": {"score": 1}})

    old.answer = held
    made = OldSystem(lambda rows: None, counters := Counters())
    made.put(revision(old, at_once=3, timeout_us=9_000_000), rows(10))
    until = time.monotonic() + 10
    while old.most < 3 and time.monotonic() < until:
        time.sleep(0.01)
    gate.set()
    while counted(counters)[1] < 10 and time.monotonic() < until:
        time.sleep(0.01)
    made.close()
    assert old.most == 3
    assert counted(counters) == (10, 10, 0, 0)


def test_a_stop_waits_for_no_slow_old_system_and_the_counts_add_up(old: Old) -> None:
    old.answer = slow
    made = OldSystem(lambda rows: None, counters := Counters(), capacity_rows=100)
    made.put(revision(old, at_once=1), rows(64))
    made.put(revision(old, at_once=1), rows(64))  # does not fit
    made.close()
    sampled, compared, dropped, _ = counted(counters)
    assert sampled == 128 == compared + dropped
    assert compared < 64


def test_a_share_is_sampled_by_the_prediction(old: Old) -> None:
    made = OldSystem(lambda rows: None, counters := Counters())
    made.put(revision(old, sample=0.25), rows(400))
    made.close()
    assert 50 < counted(counters)[0] < 150


def test_a_number_that_no_float_holds_is_no_score() -> None:
    assert scores_in(b"%s" % (b"9" * 400), "", 1) == [None]
    assert scores_in(b'{"a": [1, %s, true, NaN]}' % (b"9" * 400), "a.*", 4) == [1.0, None, None, None]
