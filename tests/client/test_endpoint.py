"""What the client makes of an endpoint's counters."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from slipway.client.endpoint import EndpointClient
from slipway.errors import BackendError, Unavailable
from slipway.serving import counters as count
from slipway.serving.counters import Counters

Serve = Callable[[Callable[[], tuple[int, str]]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server of the standard library whose every answer is made by a function."""
    running: list[HTTPServer] = []

    def start(answer: Callable[[], tuple[int, str]]) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, text = answer()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        running.append(server)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_it_waits_until_everything_is_written_compared_and_noted(serve: Serve) -> None:
    counters, asked = Counters(), []
    for begun in (count.ROWS, count.SHADOW_SAMPLED, count.FAILURES):
        counters.add(begun, 3)
    done = [
        (count.LOG_WRITTEN, 1),
        (count.LOG_DROPPED, 1),
        (count.LOG_FAILED, 1),
        (count.SHADOW_COMPARED, 1),
        (count.SHADOW_DROPPED, 1),
        (count.SHADOW_LOST, 1),
        (count.FAILURES_WRITTEN, 3),
    ]

    def answer() -> tuple[int, str]:
        asked.append(1)
        if len(asked) == 2:
            return 503, ""
        if done and len(asked) > 3:
            counters.add(*done.pop(0))
        return 200, counters.text("delays")

    with EndpointClient(serve(answer), "delays") as client:
        with pytest.raises(BackendError):
            client.settle()  # an answer that is not the endpoint's own is not waited for
        client.settle()
    assert not done


def test_what_never_settles_is_said(serve: Serve) -> None:
    counters = Counters()
    counters.add(count.ROWS, 1200)
    counters.add(count.LOG_WRITTEN, 1195)
    counters.add(count.SHADOW_SAMPLED, 2)
    with (
        EndpointClient(serve(lambda: (200, counters.text("delays"))), "delays") as client,
        pytest.raises(Unavailable) as late,
    ):
        client.settle(timeout_s=0.01)
    assert "5 of 1,200 answered rows are on their way. 2 of 2 rows of the comparison" in late.value.what
    assert "0.01 s" in late.value.what
    assert late.value.fix


def test_nobody_there_is_said_in_time() -> None:
    with (
        EndpointClient("http://127.0.0.1:9", "delays") as client,
        pytest.raises(Unavailable, match="Nobody answers"),
    ):
        client.settle(timeout_s=0.0)


def test_an_endpoint_of_an_older_release_is_told(serve: Serve) -> None:
    with (
        EndpointClient(serve(lambda: (200, 'slipway_rows_total{endpoint="x"} 1\n')), "x") as client,
        pytest.raises(BackendError, match="no slipway_log_written_total"),
    ):
        client.settle()
