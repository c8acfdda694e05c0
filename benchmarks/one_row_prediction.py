"""What one prediction of one row costs an endpoint, beside an echo of the same bytes under the same uvicorn.

The endpoint is a real one: supervisor, worker, verified LightGBM bundle, contract validation, prediction log, counters.
Counted is the CPU time of the answering process with all its threads (Linux: `/proc/PID/task/*/schedstat`), so that the
client beside it on the same machine does not count. Both are asked in turns within one run; what counts is the ratio.
"""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import lightgbm
import numpy as np
import polars as pl

from benchmarks.pairs import Compared, row
from slipway.hosts.project import open_workspace
from slipway.models import bundle as bundles
from slipway.models.inputs import inputs
from slipway.models.model import Model
from slipway.models.packing import pack
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, Revision, Served
from slipway.records.people import Actor
from slipway.serving.swap import publish

ROUNDS = 5
REQUESTS = {1: 600, 16: 1600}
REMARK = """\
The goal is reached or just missed, run by run. By profile, about 140 us of a request pass in the worker's Python, and half of them in the model:
LightGBM's `Booster.predict` takes 46 us a row, since it prepares a predictor at every call, where its C interface for
single rows gives the same bits in 5; encoding and checking the row take the rest of that half. The other half is the
contract, the ids, the answer and the log's record; HTTP itself is the echo's figure.
"""
NAME = "bench"
COLUMNS = 20

_ECHO = """
import socket, uvicorn
async def echo(scope, receive, send):
    body = (await receive())["body"]
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(echo, http="httptools", loop="auto", ws="none", lifespan="off", interface="asgi3",
    access_log=False, log_config=None, server_header=False, proxy_headers=False, timeout_keep_alive=75,
)).run(sockets=[listener])
"""


def cpu_ns(pid: int) -> int:
    """CPU time that all threads of a process have had."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


async def _client(port: int, request: bytes, times: int, seconds: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        seconds.append(time.perf_counter() - started)
    writer.close()
    await writer.wait_closed()


def ask(port: int, pid: int, request: bytes, clients: int, requests: int) -> tuple[float, float]:
    """CPU milliseconds a request of the answering process, and the median latency in milliseconds."""
    seconds: list[float] = []

    async def all_clients() -> None:
        await asyncio.gather(*(_client(port, request, requests // clients, seconds) for _ in range(clients)))

    before = cpu_ns(pid)
    asyncio.run(all_clients())
    time.sleep(0.05)  # the log's thread writes what was answered last: it is part of the price
    return (cpu_ns(pid) - before) / 1e6 / len(seconds), statistics.median(seconds) * 1000


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def echo() -> Iterator[tuple[int, int]]:
    """Port and process id of the echo."""
    process = subprocess.Popen([sys.executable, "-c", _ECHO], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def deployed(workspace: Workspace) -> Path:
    """The folder of an endpoint with a LightGBM model of 100 trees, ready to be started."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({f"x{i}": rng.normal(size=2000) for i in range(COLUMNS)})
    fixed = inputs(frame.with_columns(late=(frame["x0"] + frame["x1"] > 0).cast(pl.Int64)), label="late")
    data = lightgbm.Dataset(fixed.matrix, fixed.labels)
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, num_boost_round=100)
    packed = pack(workspace, Model(booster, inputs=fixed), name=NAME)
    folder = workspace.root / "endpoints" / "bench" / NAME
    bundles.unpack(workspace, packed.manifest, folder / "bundles" / packed.digest, signature=packed.signature)
    revision = Revision(
        id=f"bench/{NAME}/1",
        project="bench",
        name=NAME,
        created_at=datetime.now(UTC),
        number=1,
        environment="dev",
        served=Served(model=NAME, number=1, bundle=packed.digest),
        contract=Contract(fields=packed.bundle.signature.inputs),
        actor=Actor("bench", kind="service"),
    )
    publish(folder, revision, workspace.signer)
    return folder


@contextmanager
def endpoint(root: Path) -> Iterator[tuple[int, int]]:
    """Port of an endpoint with one worker, and the worker's process id."""
    workspace = open_workspace(root, project="bench")
    folder = deployed(workspace)
    try:
        port = urlsplit(workspace.launcher.ensure(folder).url).port
        (state,) = (folder / "workers").glob("*.json")
        yield port or 0, int(state.stem.rpartition("-")[2])
    finally:
        workspace.launcher.stop(folder)
        workspace.ledger.close()


def run(rounds: int = ROUNDS, requests: dict[int, int] = REQUESTS) -> list[dict[str, Any]]:
    """Rows of the table: medians of the rounds, CPU milliseconds a request of the answering process.

    Args:
        rounds: How often both sides are asked.
        requests: How many requests a round, by the number of clients at once.
    """
    asked = {f"x{i}": round(0.1 * i, 3) for i in range(COLUMNS)}
    body = json.dumps({"rows": [asked]}).encode()
    measured: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, echo() as bare, endpoint(Path(folder)) as ours:
        sides = (("raw", bare, _request("/", body)), ("slipway", ours, _request(f"/endpoints/{NAME}/predict", body)))
        for _, (port, pid), request in sides:
            ask(port, pid, request, 1, 200)  # warm
        for number in range(rounds):
            for clients, times in requests.items():
                for side, (port, pid), request in sides if number % 2 else reversed(sides):
                    measured.setdefault((side, clients), []).append(ask(port, pid, request, clients, times)[0])
    rows = []
    for clients in requests:
        found = Compared.of(list(zip(measured["raw", clients], measured["slipway", clients], strict=True)))
        what = f"one row of {COLUMNS} numbers, LightGBM with 100 trees, logged; {clients} at once, CPU ms a request"
        goal = {"goal": 0.22} if clients == 16 else {}
        rows.append(row("one-row prediction", what, found, **goal))
    return rows


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for one in run():
        print(f"{one['what']}: {one['raw']:.3f} echo, {one['slipway']:.3f} Slipway, {one['ratio']:.1f}x")
