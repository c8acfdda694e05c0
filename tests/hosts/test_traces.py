"""Traces of an endpoint's requests, as a receiver of the standard's protocol gets them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import endpoint_folder as ef
import httpx
import pytest

from otlp_receiver import receiver
from slipway.backends.process_launcher import ProcessLauncher
from slipway.client.endpoint import EndpointClient
from slipway.hosts.traces import open_tracer, traces_environment
from slipway.ports.workspace import Workspace

ROW = {"flight_id": "UA-personal-1", "a": 30.0, "b": 40.0}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(workspace: Workspace) -> Iterator[Path]:
    found = ef.folder_of(workspace)
    yield found
    ProcessLauncher().stop(found)


def test_nobody_asks_and_nothing_is_loaded() -> None:
    told = (
        "import sys; from slipway.hosts.traces import open_tracer; assert open_tracer('x') is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", told], check=True)


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
    ],
)
def test_who_says_no_gets_none(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert open_tracer("x", "http://y") is None


@pytest.mark.full
def test_a_request_is_a_trace_of_its_caller_with_look_up_and_model(workspace: Workspace, folder: Path) -> None:
    ef.deploy_plain(workspace)
    with receiver() as collector:
        quick = {**traces_environment(collector.url), "OTEL_BSP_SCHEDULE_DELAY": "50"}
        url = ProcessLauncher(environment=quick).ensure(folder).url
        with httpx.Client(base_url=url) as client:
            headers = {"traceparent": PARENT, "x-request-id": "mine-7"}
            path = f"/endpoints/{ef.NAME}/predict"
            assert client.post(path, json={"rows": [ROW, ROW]}, headers=headers).status_code == 200
            spans = collector.wait(3)
            assert client.post("/who/is/ada@example.org", json={}).status_code == 404
            assert client.post(path, json={"rows": [{"a": "no"}]}).status_code == 422
            client.get("/health")
            later = collector.wait(5)[3:]
        ProcessLauncher().stop(folder)
    request = next(span for span in spans if span["name"] == f"POST {path}")
    assert (request["trace"], request["parent"]) == (PARENT.split("-")[1], PARENT.split("-")[2])
    assert request["service"] == ef.NAME
    assert request["slipway.endpoint"] == ef.NAME
    assert request["slipway.request_id"] == "mine-7"
    assert request["http.response.status_code"] == 200
    inside = {span["name"]: span for span in spans if span is not request}
    assert set(inside) == {"features", "model"}
    assert {span["parent"] for span in inside.values()} == {request["id"]}
    assert {span["slipway.rows"] for span in inside.values()} == {2}
    assert (inside["model"]["slipway.version"], inside["model"]["slipway.arm"]) == (1, "champion")
    assert [span["http.response.status_code"] for span in later] == [404, 422]
    assert "http.route" not in later[0]
    assert b"personal" not in collector.raw, "no value of a request is in a trace"
    assert b"ada@" not in collector.raw


@pytest.mark.full
def test_a_receiver_that_is_away_costs_spans_and_no_request(workspace: Workspace, folder: Path) -> None:
    ef.deploy_plain(workspace)
    nobody = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        "OTEL_BSP_MAX_QUEUE_SIZE": "16",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    url = ProcessLauncher(environment=nobody).ensure(folder).url
    with EndpointClient(url, ef.NAME) as client:
        for _ in range(200):
            client.predict([ROW])
        client.settle()
        metrics = client.send("GET", "/metrics").decode()
    counts = dict(line.split(" ")[:2] for line in metrics.splitlines() if line.startswith("slipway_"))
    of = f'{{endpoint="{ef.NAME}"}}'
    assert int(counts[f"slipway_spans_dropped_total{of}"]) > 500
    assert int(counts[f"slipway_spans_sent_total{of}"]) == 0
    assert int(counts[f"slipway_log_written_total{of}"]) == 200


@pytest.mark.full
def test_the_servers_requests_are_traced_by_their_routes(tmp_path: Path) -> None:
    with receiver() as collector:
        environment = {**os.environ, **traces_environment(collector.url), "OTEL_BSP_SCHEDULE_DELAY": "50"}
        command = [sys.executable, "-m", "slipway", "up", "--root", str(tmp_path), "--port", "0", "--json"]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        try:
            assert server.stdout is not None
            said = b""
            while not said.rstrip().endswith(b"}"):
                said += server.stdout.readline()
            url = json.loads(said)["url"]
            assert httpx.get(f"{url}/projects/ada-lovelace/runs").status_code in (200, 404)
            (span, *_) = collector.wait(1)
        finally:
            server.terminate()
            server.wait(30)
            if server.stdout is not None:
                server.stdout.close()
    assert span["service"] == "slipway"
    assert span["name"].startswith("GET /")
    assert b"lovelace" not in collector.raw
