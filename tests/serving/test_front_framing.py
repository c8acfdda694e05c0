"""What the front makes of bytes: requests whole and framed anew, or refused with the right number; nothing in between."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from endpoint_desk import until
from front_desk import FrontDesk, answers, read_all, read_one

from slipway.serving import front_routes as figure
from slipway.serving.front_requests import Reader

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[FrontDesk]:
    made = FrontDesk(tmp_path / "delays")
    yield made
    made.close()


def post(body: bytes, *lines: bytes) -> bytes:
    head = b"\r\n".join((b"POST /x HTTP/1.1", b"Host: a", *lines, b"", b""))
    return head + body


def test_a_worker_gets_what_was_sent_and_how_it_came(desk: FrontDesk) -> None:
    (answer,) = answers(desk.say(post(b"hello", b"X-Request-Id: me", b"Content-Length: 5", b"Connection: close")))
    assert (answer["status"], answer["method"], answer["target"], answer["text"]) == (200, "POST", "/x", "hello")
    (how, came), (named, first), *headers = answer["headers"]
    assert (how, came.split()[:2]) == ("x-slipway-from", ["http", "127.0.0.1"])
    assert named == "x-slipway-named"
    assert re.fullmatch("1 [0-9a-f]{32}", first)
    assert headers == [["host", "a"], ["x-request-id", "me"], ["content-length", "5"]]
    assert "connection: close" in answer["head"]


def test_nobody_else_says_how_a_request_came(desk: FrontDesk) -> None:
    forged = (b"X-Slipway-From: https 10.0.0.1 1 10.0.0.1 1", b"X-Slipway-Named: 2 " + b"0" * 32)
    (answer,) = answers(desk.say(post(b"", *forged, b"Connection: close")))
    names = [name for name, _ in answer["headers"]]
    assert (names.count("x-slipway-from"), names.count("x-slipway-named")) == (1, 1)
    assert answer["headers"][0][1].startswith("http 127.0.0.1")
    assert answer["headers"][1][1].startswith("1 ")


def test_chunks_become_one_body_and_trailers_nothing(desk: FrontDesk) -> None:
    chunks = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"
    first, last = answers(desk.say(post(chunks, b"Transfer-Encoding: chunked"), LAST))
    assert first["text"] == "abcde"
    assert first["headers"][2:] == [["host", "a"], ["content-length", "5"]]
    assert last["target"] == "/last"


def test_bytes_may_come_one_by_one(desk: FrontDesk) -> None:
    said = post(b"3\r\nabc\r\n0\r\n\r\n", b"Transfer-Encoding: chunked") + LAST
    first, last = answers(desk.say(*(said[i : i + 1] for i in range(len(said)))))
    assert (first["text"], last["target"]) == ("abc", "/last")


def test_pipelined_requests_are_answered_in_their_order(desk: FrontDesk) -> None:
    said = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50))
    assert [answer["target"] for answer in answers(desk.say(said + LAST))] == [*(f"/{n}" for n in range(50)), "/last"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (post(b"0\r\n\r\n", b"Content-Length: 3", b"Transfer-Encoding: chunked"), 400),
        (post(b"0\r\n\r\n", b"Transfer-Encoding: chunked", b"Content-Length: 3"), 400),
        (post(b"abcd", b"Content-Length: 3", b"Content-Length: 4"), 400),
        (post(b"abc", b"Content-Length: +3"), 400),
        (post(b"abc", b"Content-Length : 3"), 400),
        (post(b"x\r\n", b"Transfer-Encoding: chunked"), 400),
        (post(b"abc", b"Transfer-Encoding: identity"), 501),
        (post(b"3\r\nabc\r\n0\r\n\r\n", b"Transfer-Encoding: gzip, chunked"), 501),
        (post(b"abc", b"Transfer-Encoding: xchunked"), 501),
        (b"GET /x HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (post(b"abc", b"Content-Length: 3", b"Connection: Upgrade", b"Upgrade: h2c"), 400),
        (post(b"", b"Expect: wonders", b"Content-Length: 3"), 417),
        (post(b"", b"Content-Length: 10001"), 413),
        (post(b"2711\r\n" + b"a" * 10001 + b"\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"), 413),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET /x HTTP/1.1\r\nHost: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /x HTTP/1.1\r\n" + b"a: b\r\n" * 300 + b"\r\n", 431),
    ],
)
def test_what_cannot_be_read_in_one_way_is_refused_and_nothing_after_it_is_read(
    desk: FrontDesk, said: bytes, status: int
) -> None:
    first, refused = answers(desk.say(GET + said + GET))
    assert (first["status"], refused["status"]) == (200, status)
    assert refused["error"]["what"]
    assert "connection: close" in refused["head"]
    assert len(desk.workers[0].seen) == 1


def test_an_endless_header_is_refused(desk: FrontDesk) -> None:
    with desk.connect() as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\nA: ")
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered and closed before all is sent
            for _ in range(40):
                connection.sendall(b"a" * 4096)
        assert answers(read_all(connection))[0]["status"] == 431


def test_who_asks_for_leave_gets_it_once(desk: FrontDesk) -> None:
    with desk.connect() as connection:
        connection.sendall(post(b"", b"Expect: 100-continue", b"Content-Length: 3"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        head, body = read_one(connection)
        assert head.startswith(b"HTTP/1.1 200")
        assert json.loads(body)["text"] == "abc"
        connection.sendall(post(b"", b"Expect: 100-continue", b"Content-Length: 30000"))
        assert answers(read_all(connection))[0]["status"] == 413  # and no leave


def test_an_offer_of_another_protocol_is_passed_over(desk: FrontDesk) -> None:
    said = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n"
    (answer,) = answers(desk.say(said))
    assert answer["status"] == 200
    assert [name for name, _ in answer["headers"][2:]] == ["host", "content-length"]


def test_a_head_is_answered_without_a_body(desk: FrontDesk) -> None:
    with desk.connect() as connection:
        connection.sendall(b"HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        said = read_all(connection)
    assert said.startswith(b"HTTP/1.1 200")
    assert said.endswith(b"\r\n\r\n")


def test_headers_of_the_connection_go_no_further(desk: FrontDesk) -> None:
    (answer,) = answers(
        desk.say(post(b"", b"X-Mine: 1", b"Keep-Alive: 5", b"TE: trailers", b"Connection: close, X-Mine"))
    )
    assert [name for name, _ in answer["headers"][2:]] == ["host", "content-length"]


def test_a_half_closed_client_is_answered(desk: FrontDesk) -> None:
    assert answers(desk.say(GET, ends=True))[0]["target"] == "/x"


def test_half_a_request_and_nothing_more_is_no_request(desk: FrontDesk) -> None:
    assert desk.say(post(b"ab", b"Content-Length: 3"), ends=True) == b""
    assert desk.workers[0].seen == []


def test_a_client_of_the_former_protocol_is_told_to_close(desk: FrontDesk) -> None:
    (answer,) = answers(desk.say(b"GET /x HTTP/1.0\r\n\r\n"))
    assert "connection: close" in answer["head"]


def test_a_whole_address_is_read_as_its_path(desk: FrontDesk) -> None:
    (answer,) = answers(desk.say(b"GET http://elsewhere/x?y=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    assert answer["target"] == "/x?y=1"


def test_a_worker_that_leaves_costs_its_client_no_connection(desk: FrontDesk) -> None:
    first, second = answers(desk.say(b"GET /leaving HTTP/1.1\r\nHost: a\r\n\r\n", LAST))
    assert "connection" not in first["head"]
    assert second["target"] == "/last"


def test_a_slow_reader_gets_all_of_a_large_answer_and_holds_up_nobody(desk: FrontDesk) -> None:
    with desk.connect() as slow:
        slow.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" + LAST)
        until(lambda: desk.workers[0].seen)
        assert answers(desk.say(LAST))[0]["target"] == "/last"
        _head, body = read_one(slow)
        assert len(body) == 20_000_000
        assert json.loads(read_one(slow)[1])["target"] == "/last"


def test_when_it_stops_every_client_is_told_and_none_is_cut_off(tmp_path: Path) -> None:
    desk = FrontDesk(tmp_path / "delays")
    with desk.connect() as connection:
        connection.sendall(GET)
        assert b"connection" not in read_one(connection)[0]
        desk.loop.call_soon_threadsafe(desk.stopping.set)
        until(lambda: desk.front.closing)
        connection.sendall(GET)
        assert b"connection: close" in read_one(connection)[0]
        assert connection.recv(10) == b""
    desk.close()


def test_a_request_whose_worker_ends_is_answered_by_another_one(tmp_path: Path) -> None:
    desk = FrontDesk(tmp_path / "delays", workers=2)
    try:
        first = desk.connect()
        first.sendall(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
        (worker,) = until(lambda: [worker for worker in desk.workers if worker.seen])
        desk.call(worker.end)
        other = next(one for one in desk.workers if one is not worker)
        until(lambda: other.seen)
        desk.call(other.end)
        head, body = read_one(first)
        assert head.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in head
        assert "ended on this request" in json.loads(body)["error"]["what"]
        first.close()
        figures = desk.backend.figures
        assert (figures.total(figure.RETRIED), figures.total(figure.FAILED)) == (1, 1)
    finally:
        desk.close()


def test_without_a_supervisor_it_says_so_at_once(tmp_path: Path) -> None:
    desk = FrontDesk(tmp_path / "delays", workers=1)
    try:
        desk.call(desk.workers[0].end)
        (answer,) = answers(desk.say(LAST))
        assert answer["status"] == 503
        assert "does not run" in answer["error"]["what"]
    finally:
        desk.close()


def test_a_worker_that_hangs_is_told_of_and_others_are_answered(tmp_path: Path) -> None:
    desk = FrontDesk(tmp_path / "delays", workers=2, timeout_s=0.3)
    try:
        with desk.connect() as stuck:
            stuck.sendall(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
            started = time.monotonic()
            head, body = read_one(stuck)
            assert time.monotonic() - started >= 0.3
            assert head.startswith(b"HTTP/1.1 503")
            assert "did not answer within" in json.loads(body)["error"]["what"]
        until(lambda: [path.name for path in (desk.folder / "workers").glob("*.hung")])
        assert {answer["status"] for _ in range(5) for answer in answers(desk.say(LAST))} == {200}
    finally:
        desk.close()


def test_the_end_of_a_large_body_is_no_head_that_is_too_long() -> None:
    reader, body = Reader(lambda target: 1 << 20, lambda size: True), b"x" * 300_000
    reader.feed(post(b"", b"Content-Length: 300000"))
    reader.feed(body)  # as one piece, which is more than a head may be
    assert [len(request.body) for request in reader.whole] == [300_000]
    assert [request.problem for request in reader.whole] == [None]
    assert not reader.is_done
