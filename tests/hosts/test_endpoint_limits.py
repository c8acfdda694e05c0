"""A deployed endpoint of several workers: the limit of each caller is counted over all of them, and many rows come as Arrow."""

import io
import time
from collections.abc import Iterator
from typing import Any

import endpoint_folder as ef
import httpx
import polars as pl
import pytest

from slipway.backends.process_launcher import ProcessLauncher
from slipway.client.endpoint import EndpointClient
from slipway.errors import InvalidInput
from slipway.ports.workspace import Workspace
from slipway.serving.worker_state import state_file

pytestmark = pytest.mark.full
ROW = {"flight_id": "UA1", "a": 30.0, "b": 40.0}
HOME = f"/endpoints/{ef.NAME}/predict"
MANY = 50_000


@pytest.fixture
def launcher(workspace: Workspace) -> Iterator[ProcessLauncher]:
    made = ProcessLauncher()
    yield made
    made.stop(ef.folder_of(workspace))


def workers_of(workspace: Workspace) -> set[str]:
    return {path.stem.rpartition("-")[2] for path in state_file(ef.folder_of(workspace), 0).parent.glob("*-*.json")}


@pytest.mark.parametrize("least", [None, 1], ids=["without a front", "behind a front"])
def test_the_limit_of_each_caller_is_counted_over_all_workers(
    workspace: Workspace, launcher: ProcessLauncher, least: int | None
) -> None:
    hour = 3600.0  # so slow that no request is paid for while the test runs
    ef.deploy_plain(workspace, workers=3, least=least, caller_rate=1 / hour)
    url = launcher.ensure(ef.folder_of(workspace)).url
    told: list[httpx.Response] = []
    for _ in range(12):  # a connection each: whichever worker takes it
        with httpx.Client(base_url=url, timeout=60) as client:
            told.append(client.post(HOME, json={"rows": [ROW]}))
    assert [answer.status_code for answer in told] == [200] + [429] * 11
    assert all(0 < int(answer.headers["retry-after"]) <= hour for answer in told[1:])
    with httpx.Client(base_url=url, timeout=60) as client:
        text = client.get("/metrics").text
        assert f'slipway_requests_total{{endpoint="{ef.NAME}",route="predict",status="429"}} 11' in text
        if least is None:
            assert len({answer.headers["x-request-id"].partition("-")[0] for answer in told}) > 1, (
                "more than one worker"
            )
        ef.deploy_plain(workspace, number=2, workers=3, least=least, caller_rate=0.0)
        until_revision(client, 2)
        assert [client.post(HOME, json={"rows": [ROW]}).status_code for _ in range(5)] == [200] * 5


def until_revision(client: httpx.Client, number: int) -> None:
    end, fresh = time.monotonic() + 60, 0
    while fresh < 20:  # of several workers each takes it up by itself
        with httpx.Client(base_url=client.base_url, timeout=60) as other:
            fresh = fresh + 1 if other.get(f"/endpoints/{ef.NAME}").json()["revision"] == number else 0
        assert time.monotonic() < end
        time.sleep(0.02)


def stream_of(rows: int, **columns: Any) -> bytes:
    plain = {"b": [float(row) for row in range(rows)], "flight_id": [f"F{row}" for row in range(rows)], "a": [1] * rows}
    target = io.BytesIO()
    pl.DataFrame({**plain, **columns}).write_ipc_stream(target, compression="uncompressed")
    return target.getvalue()


@pytest.mark.parametrize("least", [None, 1], ids=["without a front", "behind a front"])
def test_many_rows_come_and_go_as_arrow(workspace: Workspace, launcher: ProcessLauncher, least: int | None) -> None:
    ef.deploy_plain(workspace, workers=2, least=least)
    url = launcher.ensure(ef.folder_of(workspace)).url
    with EndpointClient(url, ef.NAME, timeout_s=120) as client:
        found = pl.read_ipc_stream(client.predict_arrow(stream_of(MANY)))
        assert found["score"].to_list() == pytest.approx([(1 + row) / 1000 for row in range(MANY)])
        assert found["id"].n_unique() == MANY
        one = client.predict([{"flight_id": "F7", "a": 1, "b": 7.0}])["predictions"][0]
        assert one["score"] == found["score"][7]
        client.settle()
        text = client.send("GET", "/metrics").decode()
        assert f'slipway_log_written_total{{endpoint="{ef.NAME}"}} {MANY + 1}' in text
        assert f'slipway_bulk_rows_total{{endpoint="{ef.NAME}"}} {MANY}' in text
        with pytest.raises(InvalidInput, match=r"rows\[49999\]\.b is inf"):
            client.predict_arrow(stream_of(MANY, b=[1.0] * (MANY - 1) + [float("inf")]))
        with pytest.raises(InvalidInput, match="1,000,000 in an Arrow stream"):
            client.predict_arrow(stream_of(1_000_001))
        assert client.predict([ROW])["predictions"]
