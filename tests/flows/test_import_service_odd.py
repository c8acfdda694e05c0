"""An old service that answers what no service should: each ends in one sentence that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from slipway.backends.old_service import ask_service, path_for
from slipway.errors import InvalidInput, NotFound, Unavailable

DEEP = b"[" * 5000 + b"]" * 5000


class Old(BaseHTTPRequestHandler):
    """Answers always the same."""

    content, coded = b"", ""

    def log_message(self, *said: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.send_response(200)
        self.send_header("content-length", str(len(Old.content)))
        if Old.coded:
            self.send_header("content-encoding", Old.coded)
        self.end_headers()
        self.wfile.write(Old.content)

    do_POST = do_GET


@pytest.fixture
def url() -> Iterator[str]:
    Old.content, Old.coded = b"", ""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Old)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def taking(schema: Any) -> dict[str, Any]:
    return {"paths": {"/score": {"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}}}}


@pytest.mark.parametrize(
    "said",
    [
        b"<!doctype html><p>an application</p>",
        DEEP,
        {"paths": None},
        {"paths": ["/score"]},
        {"paths": {"/score": None, "/other": ["post"], "/more": {"post": 3}, "/last": {"post": {"requestBody": []}}}},
        taking({"$ref": 3}),
        taking({"$ref": "#/components/schemas/Row"}) | {"components": {"schemas": [1]}},
        taking({"required": True, "properties": ["a"]}),
        taking({"required": [["a"]]}),
    ],
)
def test_what_is_no_openapi_is_told_with_the_way_out(url: str, said: Any) -> None:
    Old.content = said if isinstance(said, bytes) else json.dumps(said).encode()
    with pytest.raises(NotFound) as told:
        path_for(url, ["a"])
    assert "--path" in told.value.fix


@pytest.mark.parametrize("content", [b'{"score": %s}' % (b"9" * 400), DEEP, b"null", b'{"score": true}'])
def test_an_answer_without_a_number_names_the_row(url: str, content: bytes) -> None:
    Old.content = content
    with pytest.raises(InvalidInput, match="answer to row 1 has no number at 'score'") as told:
        ask_service(url, "/score", [{"a": 1}], "score")
    assert "--score" in told.value.fix


def test_an_answer_that_is_not_packed_as_it_says_is_none(url: str) -> None:
    Old.content, Old.coded = b"no gzip", "gzip"
    with pytest.raises(Unavailable, match="does not answer at row 1"):
        ask_service(url, "/score", [{"a": 1}], "score")


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://", "file:///etc/passwd", "http://[::1"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not the address of a service"):
        path_for(url, ["a"])
