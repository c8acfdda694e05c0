"""A server's operations and an endpoint, asked over HTTP."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from filled_store import GOOD_RUN, fill
from hosts_up import up
from slipway.client.api import Client
from slipway.client.endpoint import EndpointClient
from slipway.errors import BackendError, Denied, InvalidInput, NotFound, SlipwayError, Unavailable
from slipway.operations import declare, wire
from slipway.operations.table import OPERATIONS
from slipway.ports.trust import trusted
from slipway.ports.workspace import Workspace

Answer = tuple[int, bytes]


@pytest.fixture
def stand_in() -> Iterator[Callable[[Answer], tuple[str, list[tuple[str, str, bytes]]]]]:
    """Starts a server of the standard library that gives one answer to everything, and keeps what it was asked."""
    running: list[HTTPServer] = []

    def start(answer: Answer) -> tuple[str, list[tuple[str, str, bytes]]]:
        asked: list[tuple[str, str, bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                asked.append((self.command, self.path, body))
                self.send_response(answer[0])
                self.send_header("content-length", str(len(answer[1])))
                self.end_headers()
                self.wfile.write(answer[1])

            do_GET = do_POST = respond

            def log_message(self, *arguments: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        running.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}", asked

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_a_call_over_http_is_a_call_here(workspace: Workspace) -> None:
    fill(workspace)
    with up(workspace.root) as (url, _), Client(url, "flights") as client:
        for name, fields in (
            ("runs.search", {"limit": 1}),
            ("runs.get", {"id": GOOD_RUN[:8]}),
            ("models.get", {"name": "flight-delays"}),
            ("endpoints.list", {}),
            ("projects.list", {}),
        ):
            operation = OPERATIONS[name]
            here = declare.call(workspace, operation, declare.convert(operation, fields))
            assert wire.encode(client.call(name, **fields)) == wire.encode(here)
        moved = client.call("models.alias", name="flight-delays", version="1", alias="challenger")
        assert (moved.number, moved.before) == (1, 0)
        with pytest.raises(NotFound, match="Did you mean 'flight-delays'"):
            client.call("models.get", name="flight-delay")
        with pytest.raises(InvalidInput) as refused:
            client.call("runs.search", where="gone")
        assert refused.value.field == "where"
    with workspace.ledger.read() as tx:
        assert tx.ref("flights", "alias", "flight-delays/challenger") == "1"


def test_a_wrong_field_is_refused_before_anything_is_sent() -> None:
    with Client("http://127.0.0.1:9", "flights") as client, pytest.raises(InvalidInput, match="has no field 'limt'"):
        client.call("runs.search", limt=5)


def test_a_project_cannot_lead_elsewhere(
    stand_in: Callable[[Answer], tuple[str, list[tuple[str, str, bytes]]]],
) -> None:
    url, asked = stand_in((200, b'{"runs": []}'))
    with Client(url, "../../health?x") as client:
        client.call("runs.search")
    assert asked[0][1].startswith("/api/v1/projects/..%2F..%2Fhealth%3Fx/runs/search?")


def test_nobody_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(url, "flights") as client, pytest.raises(Unavailable, match=r"Nobody answers.*slipway up"):
            client.call("runs.search")
        with EndpointClient(url, "e") as endpoint, pytest.raises(Unavailable, match="slipway endpoints show e"):
            endpoint.predict([{}])


def test_an_answer_that_takes_too_long() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, "flights", timeout_s=0.05) as client, pytest.raises(Unavailable, match="in time"):
            client.call("runs.search")


@pytest.mark.parametrize("url", ["127.0.0.1:8300", "ftp://x", "", "http://", "http://a b", "http://[::1"])
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(SlipwayError) as refused, Client(url, "flights") as client:
        client.call("runs.search")
    assert refused.value.fix


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        ((200, b"<html>"), BackendError, "cannot be read"),
        ((404, b"<html>not here</html>"), BackendError, "answered 404, and not in Slipway's words"),
        ((401, b"who are you?"), Denied, "answered 401: it wants to know who asks"),
        ((500, b'{"error": "text"}'), BackendError, "not in Slipway's words"),
        ((302, b""), BackendError, "answered 302"),
        ((418, b'{"error": {"code": "Teapot", "what": "I am a teapot."}}'), BackendError, "teapot"),
        ((503, b'{"error": {"code": "Busy", "what": "Later."}}'), Unavailable, "Later"),
        ((422, b'{"error": {"code": "Odd", "what": "No.", "field": "x"}}'), InvalidInput, "No"),
    ],
)
def test_answers_of_strangers(
    stand_in: Callable[[Answer], tuple[str, list[tuple[str, str, bytes]]]],
    answer: Answer,
    kind: type[SlipwayError],
    sentence: str,
) -> None:
    url, _ = stand_in(answer)
    with Client(url, "flights") as client, pytest.raises(kind, match=sentence) as refused:
        client.call("runs.search")
    assert type(refused.value) is kind


def test_an_endpoint_is_asked_in_its_own_words(
    stand_in: Callable[[Answer], tuple[str, list[tuple[str, str, bytes]]]],
) -> None:
    url, asked = stand_in((200, b'{"predictions": [], "accepted": 3, "new": 2}'))
    at = datetime(2013, 4, 1, 12, tzinfo=UTC)
    rows: list[dict[str, Any]] = [{"carrier": "AA", "departure": at}]
    with EndpointClient(url, "flight-delays") as endpoint:
        assert endpoint.predict(rows)["predictions"] == []
        endpoint.predict(rows, at=at)
        assert endpoint.labels([{"prediction": "p1", "value": True}]) == 3
        assert endpoint.events("flights", rows) == 2
        assert endpoint.view_rows("weather", rows) == 2
        endpoint.describe()
    sent = [(method, path, json.loads(body) if body else None) for method, path, body in asked]
    instant = "2013-04-01T12:00:00Z"
    row = {"carrier": "AA", "departure": instant}
    home = "/endpoints/flight-delays"
    assert sent == [
        ("POST", f"{home}/predict", {"rows": [row]}),
        ("POST", f"{home}/predict", {"rows": [row], "at": instant}),
        ("POST", f"{home}/labels", {"labels": [{"prediction": "p1", "value": True}]}),
        ("POST", f"{home}/events", {"source": "flights", "rows": [row]}),
        ("POST", f"{home}/events", {"view": "weather", "rows": [row]}),
        ("GET", home, None),
    ]


def test_an_endpoint_that_says_something_else(
    stand_in: Callable[[Answer], tuple[str, list[tuple[str, str, bytes]]]],
) -> None:
    url, _ = stand_in((200, b"[]"))
    with EndpointClient(url, "e") as endpoint, pytest.raises(BackendError, match="cannot be read"):
        endpoint.predict([])


def test_the_environment_gives_no_proxy(
    stand_in: Callable[[Answer], tuple[str, list[tuple[str, str, bytes]]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    url, asked = stand_in((200, b'{"runs": []}'))
    with Client(url, "flights") as client:
        client.call("runs.search")
    assert len(asked) == 1


def test_where_no_certificate_can_come_none_would_be_believed() -> None:
    plain = trusted("HTTP://127.0.0.1:8300")
    assert isinstance(plain, ssl.SSLContext)
    assert (plain.verify_mode, plain.check_hostname, plain.get_ca_certs()) == (ssl.CERT_REQUIRED, True, [])
    other = trusted("https://127.0.0.1:8300")
    assert other is True or other.get_ca_certs()  # type: ignore[union-attr]
