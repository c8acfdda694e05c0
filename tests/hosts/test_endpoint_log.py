"""What an endpoint has answered is in its log: kill -9 of workers, a log that cannot be written, and the roll beside."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import endpoint_folder as ef
import httpx
import polars as pl
import pytest

from slipway.backends.process_launcher import ProcessLauncher
from slipway.client.endpoint import EndpointClient
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import LogSpec
from slipway.records.predictions import PredictionRow
from slipway.records.schema import Field
from slipway.tables.log_layouts import LogLayout, write_layout
from slipway.tables.log_rows import read_rows

T = TypeVar("T")
ROW = {"flight_id": "UA1", "a": 30.0, "b": 40.0}
PREDICT = f"/endpoints/{ef.NAME}/predict"


def until(look: Callable[[], T], within_s: float = 180.0) -> T:
    end = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


@pytest.fixture
def folder(workspace: Workspace) -> Iterator[Path]:
    found = ef.folder_of(workspace)
    yield found
    ProcessLauncher().stop(found)


def workers_of(folder: Path) -> list[int]:
    return [int(path.stem.rpartition("-")[2]) for path in (folder / "workers").glob("*.json")]


@pytest.mark.full
def test_in_sync_mode_whatever_was_answered_is_in_the_log_whoever_is_killed(workspace: Workspace, folder: Path) -> None:
    revision = ef.deploy_plain(workspace, log=LogSpec(sync=True))
    layout = LogLayout(1, revision.served.bundle[:16], ef.FIELDS, (Field("a", "float"), Field("b", "float")))
    write_layout(folder / "log", layout)
    url = ProcessLauncher().ensure(folder).url
    answered: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                with httpx.Client(base_url=url) as client:
                    while not done.is_set():
                        found = client.post(PREDICT, json={"rows": [ROW, ROW]}).raise_for_status().json()
                        answered.extend(one["id"] for one in found["predictions"])
            except httpx.HTTPError:
                time.sleep(0.02)

    askers = [threading.Thread(target=ask) for _ in range(6)]
    for asker in askers:
        asker.start()
    for _ in range(4):
        before = len(answered)
        until(lambda before=before: len(answered) > before + 40)
        for pid in until(lambda: workers_of(folder)):
            os.kill(pid, signal.SIGKILL)
    before = len(answered)
    until(lambda: len(answered) > before + 40)
    done.set()
    for asker in askers:
        asker.join()
    until(lambda: list((folder / "log" / "parquet").glob("predictions/*/*.parquet")))  # beside the workers
    logged = [row.id for row in read_rows(folder / "log", "predictions", PredictionRow)[0]]
    assert set(answered) <= set(logged)
    assert len(logged) == len(set(logged))
    outside = pl.read_parquet(folder / "log/parquet/predictions/**/*.parquet")
    assert set(outside["id"]) <= set(logged)


@pytest.mark.full
def test_a_log_that_cannot_be_written_is_counted_and_shown_and_written_again_when_it_can(
    workspace: Workspace, folder: Path
) -> None:
    ef.deploy_plain(workspace)
    launcher = ProcessLauncher()
    with EndpointClient(launcher.ensure(folder).url, ef.NAME) as client:
        shutil.rmtree(folder / "log")
        for _ in range(5):
            client.predict([ROW])
        client.settle()
        until(lambda: (status := launcher.status(folder)) and status.unlogged == 5)
        (folder / "log").mkdir()
        client.predict([ROW])
        client.settle()
    assert len(read_rows(folder / "log", "predictions", PredictionRow)[0]) == 1
