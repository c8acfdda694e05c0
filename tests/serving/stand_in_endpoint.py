"""A real endpoint process for tests: supervisor and workers, around a model that is a plain function.

Run as `stand_in_endpoint.py FOLDER`; its workers as `stand_in_endpoint.py FOLDER INDEX LISTENER SUPERVISOR`. The store's keys lie
where an endpoint's lie. A revision whose bundle begins with "bad" cannot be loaded; a request whose distance is -1 takes a
while; the answer's score is the revision's number.
"""

import logging
import os
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
from slipway.serving.active import Active
from slipway.serving.app import build
from slipway.serving.counters import Counters
from slipway.serving.row_queue import RowQueue
from slipway.serving.shadow import Shadow
from slipway.serving.supervisor import COUNTERS_FILE, Supervisor, hold
from slipway.serving.swap import Swap, read_desired
from slipway.serving.worker import run_worker
from slipway.serving.worker_state import CANNOT_LOAD, WorkerState, state_file


def load(revision: Revision) -> Active:
    if revision.served.bundle.startswith("bad"):
        raise Corrupt("The bundle is bad.")

    def predict(rows: Any) -> list[float]:
        if rows[0][0] == -1:
            time.sleep(0.5)
        return [float(revision.number)] * len(rows)

    return replace(an_active(revision), predict=predict)


def work(folder: Path, index: int, listener: socket.socket, supervisor: int) -> int:
    is_ready = False

    def changed(swap: Swap) -> None:
        said = WorkerState(ready=is_ready, revision=swap.number, refused=swap.refused, note=swap.note)
        said.write(state_file(folder, index))

    counters = Counters(folder / COUNTERS_FILE, index)
    swap = Swap(folder, Ed25519Signer(keys_folder(folder), create=False), load, counters, changed)
    try:
        swap.load_first()
    except Corrupt:
        return CANNOT_LOAD

    def ready() -> None:
        nonlocal is_ready
        is_ready = True
        changed(swap)

    log = RowQueue[Any](lambda rows: None, counters, LOG, what="predictions")
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
    )
    run_worker(lambda closing: app(closing=closing), swap, listener, supervisor=supervisor, ready=ready)
    log.close()
    return 0


def main(folder: Path, *rest: str) -> int:
    logging.basicConfig(level=logging.INFO)
    if rest:
        return work(folder, int(rest[0]), socket.socket(fileno=int(rest[1])), int(rest[2]))

    def command(index: int, listener: int) -> list[str]:
        return [sys.executable, __file__, str(folder), str(index), str(listener), str(os.getpid())]

    with hold(folder):
        return Supervisor(
            folder, partial(read_desired, folder, Ed25519Signer(keys_folder(folder), create=False)), command
        ).run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
