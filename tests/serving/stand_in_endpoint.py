"""A real endpoint process for tests: supervisor and workers, around a model that is a plain function.

Run as `stand_in_endpoint.py FOLDER`; its workers as `stand_in_endpoint.py FOLDER INDEX LISTENER SUPERVISOR ENVIRONMENT`. The
store's keys lie where an endpoint's lie. A revision whose bundle begins with "bad" cannot be loaded; the answer's score is the
revision's number. A request whose distance is below zero makes the model misbehave: see `misbehave`.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from serving_desk import FAILURES, LOG, an_active

from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.errors import Corrupt
from slipway.hosts.endpoint import keys_folder
from slipway.records.endpoints import Revision
from slipway.records.explanations import Explanation
from slipway.serving.active import Active
from slipway.serving.app import build
from slipway.serving.behind_front import behind_front
from slipway.serving.counters import Counters
from slipway.serving.fallback import LoadedFallback, LoadedWay
from slipway.serving.front_routes import Figures
from slipway.serving.overdue import Overdue
from slipway.serving.row_queue import LINGER_S, RowQueue
from slipway.serving.shadow import Shadow
from slipway.serving.supervisor import COUNTERS_FILE, Supervisor, hold
from slipway.serving.swap import Swap, read_desired, read_good
from slipway.serving.worker import run_worker
from slipway.serving.worker_state import CANNOT_LOAD, WorkerState, state_file
from slipway.tables.segments import SegmentWriter


def load(revision: Revision, calm: Path) -> Active:
    if revision.served.bundle.startswith("bad"):
        raise Corrupt("The bundle is bad.")

    def predict(rows: Any) -> Any:
        if (rows[0][0] or 0) < 0:
            return misbehave(int(rows[0][0]), revision, len(rows), calm)
        return [float(revision.number)] * len(rows)

    behind = None
    if revision.fallback is not None:
        value = revision.fallback.ways[0].value
        way = LoadedWay(by="value", ask=lambda rows, at: [value] * len(rows), value=value)
        behind = LoadedFallback(spec=revision.fallback, ways=(way,))
    return replace(an_active(revision), predict=predict, fallback=behind, width=2, explain=partial(explain, calm=calm))


_leaked: list[bytes] = []


def misbehave(how: int, revision: Revision, rows: int, calm: Path) -> Any:
    """What models do: -1 takes a while, -2 hangs in Python, -3 in C, -4 leaks, -5 kills its process, -6 gives no scores.

    -7 kills its process too, but not where the file `calm` is, which it leaves.
    """
    if how == -1:
        time.sleep(0.5)
    elif how == -2:
        while True:
            time.sleep(0.01)
    elif how == -3:
        _hang_in_c()
    elif how == -4:
        _leaked.append(os.urandom(1 << 20) * 48)
    elif how == -5 or (how == -7 and not calm.exists()):
        calm.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == -6:
        return [[0.5, 0.5]] * rows
    return [float(revision.number)] * rows


def explain(values: Any, score: float, top: int, *, calm: Path) -> Explanation:
    """Explain nothing. A worker is killed by it once where the distance is -8: what it was to answer is logged then."""
    if values[0] == -8 and not calm.exists():
        calm.touch()
        time.sleep(20 * LINGER_S)
        os.kill(os.getpid(), signal.SIGKILL)
    return Explanation(
        scale="value", how="not at all", score=score, base=score, contributions=(), rest=0.0, residual=0.0
    )


def _hang_in_c() -> None:
    """Wait for a lock that nobody gives back, in a way that no signal's handler interrupts."""
    libc = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


def work(folder: Path, index: int, listener: socket.socket, supervisor: int, environment: str) -> int:
    is_ready, trouble, overdue = False, "", Overdue(limit_s=1.0, grace_s=0.5)

    def changed(swap: Swap) -> None:
        said = WorkerState(ready=is_ready, revision=swap.number, refused=swap.refused, note=swap.note, trouble=trouble)
        said.write(state_file(folder, index))

    counters = Counters(folder / COUNTERS_FILE, index)
    signer = Ed25519Signer(keys_folder(folder), create=False)
    loads = partial(load, calm=folder / "calm")
    swap = Swap(folder, signer, loads, counters, changed, environment=environment)
    try:
        swap.load_first()
    except Corrupt:
        return CANNOT_LOAD

    def accepts(is_open: bool) -> None:
        nonlocal is_ready
        is_ready = is_open
        changed(swap)

    segments = SegmentWriter(folder / "log", "predictions")

    def append(rows: list[Any]) -> None:
        segments.append(rows, sync=swap.active is not None and swap.active.revision.log.sync)

    log = RowQueue[Any](append, counters, LOG, what="predictions")
    app = partial(
        build,
        name="delays",
        current=lambda: swap.active,
        now=lambda: datetime.now(UTC),
        log=log,
        failures=RowQueue[Any](lambda rows: None, counters, FAILURES, what="failures"),
        shadow=Shadow(lambda rows: None, counters),
        append_labels=lambda rows: None,
        append_events=lambda rows: None,
        writer=ThreadPoolExecutor(1),
        counters=counters,
        note=lambda: swap.note,
        overdue=overdue,
        front=lambda: Figures(folder).text("delays"),
    )
    wrapped = behind_front if listener.family == socket.AF_UNIX else lambda app: app

    def beat() -> None:
        nonlocal trouble
        if overdue.trouble and not trouble:
            trouble = overdue.trouble
            changed(swap)
        os.utime(state_file(folder, index))

    run_worker(
        lambda closing: wrapped(app(closing=closing)),
        swap,
        listener,
        supervisor=supervisor,
        accepts=accepts,
        overdue=overdue,
        beat=beat,
        slow_s=0.5,
    )
    log.close()
    segments.close()
    return 0


def main(folder: Path, *rest: str) -> int:
    logging.basicConfig(level=logging.INFO)
    if rest:
        return work(folder, int(rest[0]), socket.socket(fileno=int(rest[1])), int(rest[2]), rest[3])

    def command(index: int, listener: int, environment: str) -> list[str]:
        return [sys.executable, __file__, str(folder), str(index), str(listener), str(os.getpid()), environment]

    def front(listener: int, slot: int, tells: int) -> list[str]:
        numbers = map(str, (listener, slot, tells, os.getpid()))
        return [sys.executable, "-m", "slipway.hosts.front", str(folder), *numbers]

    signer = Ed25519Signer(keys_folder(folder), create=False)
    with hold(folder):
        desired, good = partial(read_desired, folder, signer), partial(read_good, folder, signer)
        silent_s = float(os.environ.get("STAND_IN_SILENT_S", "60"))
        return Supervisor(folder, desired, command, front=front, good=good, silent_s=silent_s).run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
