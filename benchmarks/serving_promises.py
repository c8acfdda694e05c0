"""What an endpoint promises beside its speed: what it costs to be watched, to be replaced, and to be explained.

**Parts of a one-row request** are timed in process on a real body, each as the endpoint calls it: decoding with validation
against the contract, who calls and which arm answers, the counters, and the log (the row is made, queued, and appended to a
segment by the queue's thread; CPU time of all threads). Whether a request is a **probe** is one look through its headers: raw is
an app that does nothing, beside it the same behind that look. **Swaps**: requests come at fixed instants on connections that stay
open, none is sent twice, while one revision after another is published and the endpoint goes from one of two models to the
other; raw is the same load without swaps. **Explanations**: the five greatest contributions to one answer of 300 trees, in
CPU time on top of the prediction; raw is the prediction. The first explanation of a process, which lays the trees
out, is not in it. **Many rows**: CPU time of the endpoint's processes for each row, logging included, of an Arrow stream; raw
is the same rows in JSON, 1,000 a request. Beside it, how long a one-row request takes meanwhile; raw is without the stream.
"""

import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.closed_loop import cpu_ns
from benchmarks.compiled_models import fitted, histogram, plain, rows
from benchmarks.one_row_prediction import COLUMNS, NAME, deployed, deployed_revision
from slipway.client.endpoint import EndpointClient
from slipway.hosts.project import open_workspace
from slipway.ids import new_id
from slipway.models import bundle as bundles
from slipway.models.bundle import LoadedModel
from slipway.models.inputs import inputs
from slipway.models.manifest import decode_manifest
from slipway.models.model import Model
from slipway.models.packing import pack
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Challenger, Contract, Served
from slipway.records.predictions import PredictionRow
from slipway.records.schema import Field
from slipway.serving import counters as count
from slipway.serving.arms import arm_of
from slipway.serving.callers import CallerList
from slipway.serving.contracts import ContractReader
from slipway.serving.counters import Counters, request_counter
from slipway.serving.open_loop import Answer, at_rate
from slipway.serving.overdue import Overdue
from slipway.serving.probing import probed
from slipway.serving.row_queue import Counted, RowQueue
from slipway.serving.swap import publish
from slipway.tables.segments import SegmentWriter

SWAPS = 200
RATE = 500.0
EVERY_S = 0.35
_EDGE_S = 1.0
CALLS = 2000
BULK = 100_000
REMARK = """\
Arms are drawn in the parts as during a roll-out, by a key; without a roll-out nothing is drawn. A swap verifies the other
bundle's files, loads it and asks it its reference sample, in the worker that goes on answering: that is what the slowest
requests wait for.
"""
_PATH = "what an endpoint promises"


def _row(what: str, raw: float | None, ours: float, **goal: float) -> dict[str, Any]:
    ratio = None if raw is None else ours / raw
    return {"path": _PATH, "what": what, "raw": raw, "slipway": ours, "ratio": ratio, **goal}


def _cpu_us(work: Callable[[], Any], calls: int, after: Callable[[], None] = lambda: None) -> float:
    """CPU of a call in microseconds, the median of five times."""
    found = []
    for _ in range(5):
        started = time.process_time()
        for _ in range(calls):
            work()
        after()
        found.append((time.process_time() - started) / calls * 1e6)
    return statistics.median(found)


def _parts(calls: int, root: Path) -> list[dict[str, Any]]:
    asked = {"customer": "customer 42", **plain(rows(1), 1)[0]}
    kinds = {name: "string" if isinstance(value, str) else "float" for name, value in asked.items()}
    fields = tuple(Field(name, kind, nullable=name != "customer") for name, kind in kinds.items())
    contract = ContractReader(Contract(fields=fields, key=("customer",)))
    body = json.dumps({"rows": [asked]}).encode()
    row = contract.decode(body).rows[0]
    plan = Challenger(served=Served(model=NAME, number=2, bundle="0" * 64), fraction=0.1, rollout_id="r")
    counters = Counters(root / "counters.bin")
    callers = CallerList(root, None, lambda: False)
    segments = SegmentWriter(root / "log", "predictions")
    counted = Counted(count.LOG_WRITTEN, count.LOG_DROPPED, count.LOG_FAILED)
    queue: RowQueue[PredictionRow] = RowQueue(segments.append, counters, counted, what="predictions")

    def validate() -> None:
        contract.decode(body)
        contract.unknown_fields(body)

    def draw() -> None:
        callers.admit([], "predict", lambda: datetime.now(UTC))
        arm_of(plan, contract, row)

    def meter() -> None:
        counters.add(count.ROWS)
        counters.observe_ns(250_000)
        counters.add(request_counter("predict", 200))

    def note() -> None:
        now = time.time_ns() // 1000
        key = contract.key_of(row)
        queue.put(
            [PredictionRow(new_id(), now, now, 1, "0" * 16, key, row, list(row), 0.5, None, 1, "champion", 0.9, "")]
        )

    def written() -> None:
        while queue.waiting_rows:
            time.sleep(0.002)

    cost = {
        "decoding and validation": _cpu_us(validate, calls),
        "who calls, and the arm": _cpu_us(draw, calls),
        "counters": _cpu_us(meter, calls),
        "the log, written": _cpu_us(note, calls, written),
    }
    queue.close()
    segments.close()
    made = [_row(f"one row, {what}, CPU us", None, us) for what, us in cost.items()]
    return [*made, _row("one row, all of these, CPU us", None, sum(cost.values()), goal=100.0), _no_probe(calls, root)]


def _no_probe(calls: int, root: Path) -> dict[str, Any]:
    """What it costs a request that it is looked at for a probe's header."""

    async def answered(scope: Any, receive: Any, send: Any) -> None:
        pass

    names = (b"host", b"user-agent", b"accept", b"accept-encoding", b"connection", b"content-type", b"content-length")
    scope = {"path": f"/endpoints/{NAME}/predict", "method": "POST", "headers": [(name, b"-") for name in names]}
    home = root / "endpoints" / "bench" / NAME
    around = probed(answered, home, open_workspace(root, project="bench").signer, lambda: None, Overdue(), lambda _: ())

    def asked_through(app: Any) -> float:
        def work() -> None:
            with suppress(StopIteration):
                app(scope, None, None).send(None)

        return _cpu_us(work, calls)

    return _row("a request that is no probe, CPU us", asked_through(answered), asked_through(around))


def _swaps(swaps: int, rate: float, root: Path) -> list[dict[str, Any]]:
    frame = rows()
    workspace = open_workspace(root, project="bench")
    first = Model(histogram(frame), sample=frame)
    other = pack(workspace, Model(fitted(frame, HistGradientBoostingClassifier(max_iter=50)), sample=frame), name=NAME)
    folder = deployed(workspace, first)
    bundles.unpack(workspace, other.manifest, folder / "bundles" / other.digest, signature=other.signature)
    (one,) = (path.name for path in (folder / "bundles").iterdir() if path.name != other.digest)
    bodies = [json.dumps({"rows": [row]}).encode() for row in plain(frame, 64)]
    url, path = workspace.launcher.ensure(folder).url, f"/endpoints/{NAME}/predict"
    try:
        at_rate(url, path, bodies, rate=rate, seconds=1)
        quiet = at_rate(url, path, bodies, rate=rate, seconds=min(10.0, swaps * EVERY_S))
        during, within = _changed_under_load(
            lambda seconds: at_rate(url, path, bodies, rate=rate, seconds=seconds),
            lambda number: _change(workspace, folder, [one, other.digest], number),
            swaps,
        )
    finally:
        workspace.launcher.stop(folder)
        workspace.ledger.close()
    seen = {json.loads(answer.body)["revision"] for answer in during if answer.is_good}
    what = f"at {rate:g} requests/s"
    good = sum(answer.is_good for answer in during)
    return [
        _row("swaps that fell into the load", None, within, goal_least=swaps),
        _row(f"revisions that answered {what}", None, len(seen), goal_least=swaps + 1),
        _row("answered with 200 meanwhile (raw: sent)", len(during), good, goal_least=len(during)),
        *(_row(f"p{share} {what}, ms", _share(quiet, share), _share(during, share)) for share in (50, 99)),
    ]


def _share(answers: list[Answer], percent: int) -> float:
    took = sorted(answer.took_s for answer in answers)
    return took[int(percent / 100 * (len(took) - 1))] * 1000


def _changed_under_load(
    ask: Callable[[float], list[Answer]], change: Callable[[int], None], swaps: int
) -> tuple[list[Answer], int]:
    """Publish one revision after another while requests come; gives their answers, and how many swaps fell into the load.

    Where the machine is slow, and the time of the load is over before all are published, the rest has a load of its own.
    """
    answers, within, number = list[Answer](), 0, 2
    with ThreadPoolExecutor(1) as pool:
        while number < swaps + 2:
            seconds = (swaps + 2 - number) * EVERY_S + 2 * _EDGE_S
            asked, until = pool.submit(ask, seconds), time.monotonic() + seconds - _EDGE_S
            time.sleep(_EDGE_S)  # the former revision answers first, the last one long enough to be seen
            while number < swaps + 2 and time.monotonic() < until:
                began = time.monotonic()
                change(number)
                number, within = number + 1, within + (not asked.done())
                time.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))
            answers += asked.result()
    return answers, within


def _bulk(rows_sent: int, root: Path) -> list[dict[str, Any]]:
    frame = rows()
    workspace = open_workspace(root, project="bench")
    folder = deployed(workspace, Model(histogram(frame), sample=frame))
    known = plain(frame, 1000)
    sent = [known[place % len(known)] for place in range(rows_sent)]
    stream = pl.DataFrame(sent).write_ipc_stream(None, compression="uncompressed").getvalue()
    bodies = [json.dumps({"rows": sent[i : i + 1000]}).encode() for i in range(0, rows_sent, 1000)]
    status, path = workspace.launcher.ensure(folder), f"/endpoints/{NAME}/predict"
    one = [json.dumps({"rows": sent[:1]}).encode()]
    try:
        with EndpointClient(status.url, NAME, timeout_s=120) as client, ThreadPoolExecutor(1) as pool:

            def cpu_us(send: Callable[[], Any]) -> float:
                before = cpu_ns(status.pid)
                send()
                client.settle()
                return (cpu_ns(status.pid) - before) / 1000 / rows_sent

            def in_json() -> None:
                for body in bodies:
                    client.send("POST", path, body=body)

            client.send("POST", path, body=bodies[0])
            client.predict_arrow(stream)  # the first loads what reads it
            json_us, arrow_us = cpu_us(in_json), cpu_us(lambda: client.predict_arrow(stream))
            quiet, beside = at_rate(status.url, path, one, rate=50, seconds=2), list[Answer]()
            asked = pool.submit(client.predict_arrow, stream)
            while not asked.done() or not beside:
                beside += at_rate(status.url, path, one, rate=50, seconds=0.5)
            asked.result()
    finally:
        workspace.launcher.stop(folder)
        workspace.ledger.close()
    what = "a row beside an Arrow stream, ms"
    return [
        _row(f"a row of {rows_sent:,} in Arrow (raw: in JSON), CPU us", json_us, arrow_us),
        *(_row(f"p{share} of {what}", _share(quiet, share), _share(beside, share)) for share in (50, 99)),
    ]


def _change(workspace: Workspace, folder: Path, digests: list[str], number: int) -> None:
    """Publish a revision, and wait until it serves."""
    contract = decode_manifest((folder / "bundles" / digests[0] / bundles.MANIFEST).read_bytes()).signature.inputs
    publish(folder, deployed_revision(number, digests[(number - 1) % 2], contract), workspace.signer)
    while (status := workspace.launcher.status(folder)) is None or status.revision < number:
        time.sleep(0.01)


def _explained(calls: int, root: Path) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    numbers = pl.DataFrame({f"x{i}": rng.normal(size=2000) for i in range(COLUMNS)})
    fixed = inputs(numbers.with_columns(late=(numbers["x0"] + numbers["x1"] > 0).cast(pl.Int64)), label="late")
    data = lightgbm.Dataset(fixed.matrix, fixed.labels)
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, num_boost_round=300)
    frame = rows()
    boosting = fitted(frame, HistGradientBoostingClassifier(max_iter=300, early_stopping=False))
    models = {
        "LightGBM, 20 numbers": (Model(booster, inputs=fixed), [0.1 * i for i in range(COLUMNS)]),
        "histogram boosting, 12 columns": (Model(boosting, sample=frame), list(plain(frame, 1)[0].values())),
    }
    workspace, made = open_workspace(root / "store", project="bench"), []
    for number, (name, (model, row)) in enumerate(models.items()):
        packed = pack(workspace, model, name="m")
        bundles.unpack(workspace, packed.manifest, root / f"{number}", signature=packed.signature)
        loaded = bundles.load(root / f"{number}", signer=workspace.signer)
        made.append(_one_explained(name, loaded, row, calls))
    workspace.ledger.close()
    return made


def _one_explained(name: str, loaded: LoadedModel, row: list[Any], calls: int) -> dict[str, Any]:
    (score,) = loaded.predict_rows([row])
    loaded.explain(row, score, 5)
    asked = _cpu_us(lambda: loaded.predict_rows([row]), calls) / 1000
    explained = _cpu_us(lambda: loaded.explain(row, score, 5), max(1, calls // 10)) / 1000
    return _row(f"five contributions of {name}, 300 trees, CPU ms", asked, explained, goal=2.0)


def run(swaps: int = SWAPS, rate: float = RATE, calls: int = CALLS, bulk: int = BULK) -> list[dict[str, Any]]:
    """Rows of the table.

    Args:
        swaps: How many revisions are published under load.
        rate: Requests a second meanwhile.
        calls: How often each part is called each time.
        bulk: How many rows are sent at once.
    """
    made = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explained = (max(10, calls // 10),)
        for part, sizes in ((_parts, (calls,)), (_swaps, (swaps, rate)), (_explained, explained), (_bulk, (bulk,))):
            with tempfile.TemporaryDirectory() as root:
                made += part(*sizes, Path(root))
    return made


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for one in run():
        print(one)
