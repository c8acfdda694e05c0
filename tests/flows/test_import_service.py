"""An old HTTP service: its answers are kept with the version that takes its place, all of them or none."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from slipway.errors import InvalidInput, Unavailable
from slipway.flows.import_model import Original, import_model
from slipway.flows.import_service import compare_service
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion

pytestmark = pytest.mark.full  # a thousand requests each

X = pd.DataFrame({"a": np.linspace(0, 9, 50), "b": np.arange(50) % 7})
MODEL = LinearRegression().fit(X, 2 * X["a"] + X["b"])


class Old(BaseHTTPRequestHandler):
    """Answers as the model does, to nine places; after `most` rows it is gone."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    answered, most, off = 0, 10_000, 0.0

    def log_message(self, *said: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """OpenAPI."""
        schema = {"$ref": "#/components/schemas/Row"}
        body = {"content": {"application/json": {"schema": schema}}}
        components = {"schemas": {"Row": {"required": ["a", "b"]}}}
        self.say(
            {"paths": {"/score": {"post": {"requestBody": body}}, "/health": {"get": {}}}, "components": components}
        )

    def do_POST(self) -> None:
        """A score."""
        row = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Old.answered += 1
        if Old.answered > Old.most:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        value = float(MODEL.intercept_ + MODEL.coef_ @ [row["a"], row["b"]])
        self.say({"result": {"value": round(value, 9) + (Old.off if row["b"] == 3 else 0)}})

    def say(self, what: object) -> None:
        """Answer in JSON."""
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def url() -> Iterator[str]:
    Old.answered, Old.most, Old.off = 0, 10_000, 0.0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Old)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def version(workspace: Workspace) -> ModelVersion:
    original = Original(door="pickle", source="m.pkl", digest="", model=MODEL, rows=X)
    return import_model(workspace, original, name="value")


def test_its_answers_are_kept_with_the_version(workspace: Workspace, version: ModelVersion, url: str) -> None:
    kept, address = compare_service(workspace, version, url, X, score="result.value")
    assert address == f"{url}/score"
    proof = registry.get(workspace, "value").imported[1]
    assert proof == kept.imported[1]
    assert (proof.door, proof.rows, proof.apart) == ("fastapi", 1000, 0)


def test_one_that_answers_otherwise_or_stops_leaves_nothing(
    workspace: Workspace, version: ModelVersion, url: str
) -> None:
    with pytest.raises(InvalidInput, match="has no number at 'score'"):
        compare_service(workspace, version, url, X)
    Old.off = 0.25
    with pytest.raises(InvalidInput, match=r"rows are answered differently: row 4 was answered"):
        compare_service(workspace, version, url, X, score="result.value")
    Old.answered, Old.most = 0, 200
    with pytest.raises(Unavailable, match="does not answer at row"):
        compare_service(workspace, version, url, X, score="result.value")
    assert len(registry.get(workspace, "value").imported) == 1
