"""What one prediction of one row costs an endpoint, beside an echo of the same bytes under the same uvicorn.

The endpoint is a real one: supervisor, worker, verified bundle, contract validation, prediction log, counters.
Counted is the CPU time of the answering process with all its threads (Linux: `/proc/PID/task/*/schedstat`), so that the
client beside it on the same machine does not count. Both are asked in turns within one run; what counts is the ratio.
"""

import json
import os
import signal
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

from benchmarks.closed_loop import cpu_ns, request, send
from benchmarks.compiled_models import histogram, plain, rows
from benchmarks.pairs import Compared, row
from slipway.hosts.project import open_workspace
from slipway.models import bundle as bundles
from slipway.models.inputs import inputs
from slipway.models.model import Model
from slipway.models.packing import pack
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, LogSpec, Revision, Served
from slipway.records.people import Actor
from slipway.records.schema import Field
from slipway.serving.swap import publish

ROUNDS = 5
REQUESTS = {1: 600, 16: 1600}
REMARK = """\
Both models are compiled: the worker has neither scikit-learn nor LightGBM loaded. What a row costs in the model alone is
the matter of the section on compiled models.
"""
NAME = "bench"
COLUMNS = 20
_LOGGED = LogSpec()

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


def ask(port: int, pid: int, asked: bytes, clients: int, times: int) -> float:
    """CPU milliseconds a request of the answering process."""
    before = cpu_ns(pid)
    answered = len(send(port, [asked], clients, times=times).took_s)
    time.sleep(0.05)  # the log's thread writes what was answered last: it is part of the price
    return (cpu_ns(pid) - before) / 1e6 / answered


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


def booster() -> tuple[Model, dict[str, Any]]:
    """A LightGBM booster of 100 trees on 20 numbers, and a row for it."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({f"x{i}": rng.normal(size=2000) for i in range(COLUMNS)})
    fixed = inputs(frame.with_columns(late=(frame["x0"] + frame["x1"] > 0).cast(pl.Int64)), label="late")
    data = lightgbm.Dataset(fixed.matrix, fixed.labels)
    made = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, num_boost_round=100)
    return Model(made, inputs=fixed), {f"x{i}": round(0.1 * i, 3) for i in range(COLUMNS)}


def pipeline() -> tuple[Model, dict[str, Any]]:
    """The histogram boosting of the section on compiled models, and a row for it."""
    frame = rows()
    return Model(histogram(frame), sample=frame), plain(frame, 1)[0]


MODELS = {
    f"{COLUMNS} numbers, LightGBM with 100 trees": booster,
    "12 columns, a pipeline of scikit-learn with 100 trees": pipeline,
}


def deployed(workspace: Workspace, model: Model, log: LogSpec = _LOGGED) -> Path:
    """The folder of an endpoint with a model, ready to be started."""
    packed = pack(workspace, model, name=NAME)
    folder = workspace.root / "endpoints" / "bench" / NAME
    bundles.unpack(workspace, packed.manifest, folder / "bundles" / packed.digest, signature=packed.signature)
    revision = deployed_revision(1, packed.digest, packed.bundle.signature.inputs, log)
    publish(folder, revision, workspace.signer)
    return folder


def deployed_revision(number: int, bundle: str, inputs: tuple[Field, ...], log: LogSpec = _LOGGED) -> Revision:
    """A revision that serves a bundle and is asked its inputs."""
    return Revision(
        id=f"bench/{NAME}/{number}",
        project="bench",
        name=NAME,
        created_at=datetime.now(UTC),
        number=number,
        environment="dev",
        served=Served(model=NAME, number=number, bundle=bundle),
        contract=Contract(fields=inputs),
        actor=Actor("bench", kind="service"),
        log=log,
    )


@contextmanager
def endpoint(root: Path, model: Model, log: LogSpec = _LOGGED) -> Iterator[tuple[int, int]]:
    """Port of an endpoint with one worker, and the worker's process id."""
    workspace = open_workspace(root, project="bench")
    folder = deployed(workspace, model, log)
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
    found = []
    for name, make in MODELS.items():
        model, asked = make()
        found += _measured(name, model, json.dumps({"rows": [asked]}).encode(), rounds, requests)
    return found


def _measured(name: str, model: Model, body: bytes, rounds: int, requests: dict[int, int]) -> list[dict[str, Any]]:
    measured: dict[tuple[str, int], list[float]] = {}
    asked = request(f"/endpoints/{NAME}/predict", body)
    with (
        tempfile.TemporaryDirectory() as folder,
        echo() as bare,
        endpoint(Path(folder, "logged"), model, LogSpec()) as ours,
        endpoint(Path(folder, "synced"), model, LogSpec(sync=True)) as synced,
    ):
        sides = (("raw", bare, request("/", body)), ("slipway", ours, asked), ("synced", synced, asked))
        for _, (port, pid), one in sides:
            ask(port, pid, one, 1, 200)  # warm
        for number in range(rounds):
            for clients, times in requests.items():
                for side, (port, pid), asked in sides if number % 2 else reversed(sides):
                    measured.setdefault((side, clients), []).append(ask(port, pid, asked, clients, times))
    made = []
    for side, how in (("slipway", "logged"), ("synced", "on disk before it is answered")):
        for clients in requests:
            found = Compared.of(list(zip(measured["raw", clients], measured[side, clients], strict=True)))
            what = f"one row of {name}, {how}; {clients} at once, CPU ms a request"
            goal = {"goal": 0.22} if clients == 16 and side == "slipway" else {}
            made.append(row("one-row prediction", what, found, **goal))
    return made


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for one in run():
        print(f"{one['what']}: {one['raw']:.3f} echo, {one['slipway']:.3f} Slipway, {one['ratio']:.1f}x")
