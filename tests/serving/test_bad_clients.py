"""Bad input over real sockets, at a real endpoint: each is told what is wrong, and nobody else is harmed."""

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from endpoint_desk import Endpoint, KeepAlive, score, until

from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.hosts.endpoint import keys_folder

HOME = "/endpoints/delays/predict"
ROW = b'{"flight_id":"UA1","distance":5,"departure":null}'


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("clients") / "endpoints" / "flights" / "delays"
    folder.mkdir(parents=True)
    Ed25519Signer(keys_folder(folder))
    endpoint = Endpoint(folder)
    endpoint.publish(1)
    yield endpoint.start()
    assert endpoint.status.restarts == 0, "the worker lives, whatever came"
    endpoint.end()


def of(*rows: bytes) -> bytes:
    return b'{"rows":[' + b",".join(rows) + b"]}"


def with_distance(text: bytes) -> bytes:
    return of(b'{"flight_id":"UA1","distance":' + text + b',"departure":null}')


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 422, ""),
        (b"rows", 422, ""),
        (b"[]", 422, "rows"),
        (b'{"rows": {}}', 422, "rows"),
        (b'{"rows": [[1, 2]]}', 422, "rows[0]"),
        (b'{"rows": [null]}', 422, "rows[0]"),
        (b'{"rows": []}', 422, "rows"),
        (b'{"rows": [{"flight_id": "a"}]}', 422, "rows[0].distance"),
        (with_distance(b"NaN"), 422, ""),
        (with_distance(b"Infinity"), 422, ""),
        (with_distance(b"-Infinity"), 422, ""),
        (with_distance(b"1e999"), 422, "rows[0].distance"),
        (with_distance(b'"far"'), 422, "rows[0].distance"),
        (with_distance(b"[" * 900 + b"]" * 900), 422, "rows[0].distance"),
        (b"[" * 1900, 422, ""),
        (b'{"rows":[{"flight_id":"\xff\xfe","distance":1,"departure":null}]}', 422, ""),
        (b'{"rows":[{"flight_id":"\\ud800","distance":1,"departure":null}]}', 422, ""),
        (of(*[ROW] * 6), 413, "rows"),
        (with_distance(b'"' + b"x" * 5_000 + b'"'), 413, ""),
        (of(*[ROW] * 1_000_000), 413, ""),
    ],
)
def test_a_body_that_cannot_be_answered(url: str, body: bytes, status: int, field: str) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:
        try:
            answer = client.post(HOME, content=body)
        except httpx.WriteError:
            assert len(body) > 1_000_000, "only what is far too long is not read to its end"
        else:
            assert answer.status_code == status, answer.text
            assert answer.json()["error"]["field"] == field
            assert answer.json()["error"]["what"]
        assert score(client) == 1.0


def test_unknown_fields_are_counted(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        row = {"flight_id": "UA1", "distance": 5, "departure": None, "mood": 1}
        assert client.post(HOME, json={"rows": [row]}).status_code == 200
        assert client.get("/endpoints/delays").json()["unknown_fields"] == {"mood": 1}
        assert 'slipway_unknown_fields_total{endpoint="delays"} 1' in client.get("/metrics").text


def connected(url: str) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20)
    made.settimeout(20)
    return made


def head(length: int, *more: bytes) -> bytes:
    lines = [b"POST %b HTTP/1.1" % HOME.encode(), b"host: localhost", b"content-length: %d" % length, *more, b"", b""]
    return b"\r\n".join(lines)


def rest(connection: socket.socket) -> bytes:
    """All that still comes, until the other side closes."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01 hello\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ten\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: " + b"9" * 40 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_400_and_closed(url: str, sent: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(sent)
        found = rest(connection)
    assert found.startswith(b"HTTP/1.1 400 ")
    assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["what"] == "The request is not HTTP."


def test_a_chunked_body_over_the_limit_is_413(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(
            head(0).replace(b"content-length: 0", b"transfer-encoding: chunked") + b"bb8\r\n" + b" " * 3000 + b"\r\n"
        )
        assert rest(connection).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("sent", [b"", b"POST /endpo", head(20)[:-2], head(20), head(20) + b'{"rows"'])
def test_a_client_that_stops_half_way_is_told_and_cut_off(url: str, sent: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(sent)
        found = rest(connection)
    assert found.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_trickles_is_cut_off_and_holds_nobody(url: str) -> None:
    with connected(url) as connection, httpx.Client(base_url=url) as other:
        until(lambda: trickle(connection) or score(other) != 1.0)


def trickle(connection: socket.socket) -> bool:
    """Send one byte of a head that never ends; whether the other side has closed."""
    try:
        connection.sendall(b"x")
        connection.settimeout(0.01)
        return connection.recv(10) in (b"", b"HTTP/1.1 4")
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_half_closed_client_gets_its_answer(url: str) -> None:
    body = of(ROW)
    with connected(url) as connection:
        connection.sendall(head(len(body)) + body)
        connection.shutdown(socket.SHUT_WR)
        found = rest(connection)
    assert found.startswith(b"HTTP/1.1 200 ")
    assert b'"score":1.0' in found


def test_a_client_that_leaves_in_the_middle_harms_nobody(url: str) -> None:
    for _ in range(5):
        with connected(url) as connection:
            connection.sendall(head(100) + b'{"rows"')
    idle = KeepAlive(url)
    assert idle.score() == 1.0
    idle.connection.close()


def test_pipelined_requests_are_answered_in_order(url: str) -> None:
    body, bad = of(ROW), b"nonsense"
    requests = [head(len(body)) + body, head(len(bad)) + bad, head(len(body), b"connection: close") + body]
    with connected(url) as connection:
        connection.sendall(b"".join(requests))
        found = rest(connection)
    statuses = [part.split()[0] for part in found.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"422", b"200"]


def test_more_bytes_than_announced_are_the_next_request(url: str) -> None:
    body = of(ROW)
    with connected(url) as connection:
        connection.sendall(head(len(body)) + body + b"\x00\x01\x02\x03\r\n\r\n")
        found = rest(connection)
    assert found.count(b"HTTP/1.1 ") == 2 or found.startswith(b"HTTP/1.1 400 ")
    assert b" 400 " in found


def test_a_thousand_connections_that_say_nothing_hold_nobody(url: str) -> None:
    many = [connected(url) for _ in range(200)]
    with httpx.Client(base_url=url, timeout=20) as client:
        assert score(client) == 1.0
    begun = time.monotonic()
    while many and time.monotonic() - begun < 30:
        many.pop().close()


def test_a_model_that_gives_no_scores_is_500(url: str) -> None:
    with httpx.Client(base_url=url, timeout=20) as client:
        answer = client.post(HOME, content=with_distance(b"-6"))
        assert answer.status_code == 500
        assert "no list of numbers" not in answer.text or "cannot be used" in answer.text
        assert score(client) == 1.0
