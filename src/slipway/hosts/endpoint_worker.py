"""One worker of an endpoint: everything that a request needs, built from the endpoint's folder alone.

`python -m slipway.hosts.endpoint_worker FOLDER INDEX LISTENER SUPERVISOR` is what `hosts.endpoint` starts. It loads no
pipeline, no ledger, no SQLAlchemy and no Polars; a test counts.
"""

import logging
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from slipway.errors import BackendError, Corrupt
from slipway.hosts.endpoint import keys_folder, open_reach, open_signer, start_logging
from slipway.hosts.endpoint_loader import Loader
from slipway.hosts.online_stores import open_stream
from slipway.hosts.store_clock import open_clock
from slipway.ports.clock import Clock
from slipway.records.predictions import FailureRow, PredictionRow
from slipway.serving import counters as count
from slipway.serving.app import build
from slipway.serving.callers import CallerCounts, CallerList
from slipway.serving.counters import Counters
from slipway.serving.http import for_callers
from slipway.serving.row_queue import Counted, RowQueue
from slipway.serving.shadow import Shadow
from slipway.serving.streams import StreamReader
from slipway.serving.supervisor import COUNTERS_FILE
from slipway.serving.swap import Swap
from slipway.serving.tls import Tls
from slipway.serving.worker import run_worker
from slipway.serving.worker_state import CANNOT_LOAD, WorkerState, state_file
from slipway.tables.segments import SegmentWriter

__all__ = ["main"]

_LOG = "log"
_PREDICTIONS = Counted(count.LOG_WRITTEN, count.LOG_DROPPED, count.LOG_FAILED)
_FAILURES = Counted(count.FAILURES_WRITTEN, count.FAILURES_DROPPED, count.FAILURES_LOST)
_KINDS = ("predictions", "failures", "shadows", "labels", "events")
_logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Load what is deployed and answer until told to stop; returns the process's exit code."""
    start_logging()
    folder, index, listener, supervisor = Path(arguments[0]), *map(int, arguments[1:4])
    return _work(folder, index, socket.socket(fileno=listener), supervisor)


def _work(folder: Path, index: int, listener: socket.socket, supervisor: int) -> int:
    state = _State(state_file(folder, index))
    counters = Counters(folder / COUNTERS_FILE, index)
    counters.take_over()
    signer = open_signer(folder)
    loader = Loader(folder, signer, index)
    swap = Swap(folder, signer, loader.load, counters, state.serves)
    try:
        reach = open_reach(folder)
        tls = Tls(reach, _logger.error) if reach.certificate else None
        swap.load_first()
    except Exception as problem:
        _logger.error("Worker %d has nothing to serve: %s", index, problem)
        return CANNOT_LOAD
    assert swap.active is not None
    name = swap.active.revision.name
    callers = CallerList(folder, signer, lambda: swap.active is not None and swap.active.revision.by_token)
    counts = CallerCounts(state_file(folder, index).parent, index)
    segments = {kind: SegmentWriter(folder / _LOG, kind) for kind in _KINDS}
    log: RowQueue[PredictionRow] = RowQueue(segments["predictions"].append, counters, _PREDICTIONS, what="predictions")
    failures: RowQueue[FailureRow] = RowQueue(segments["failures"].append, counters, _FAILURES, what="failures")
    shadow = Shadow(segments["shadows"].append, counters)
    writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
    clock = open_clock(keys_folder(folder).parent)
    served = swap.active.revision
    group = f"slipway:{served.project}:{served.environment}:{name}"
    streams = StreamReader(
        folder, lambda: swap.active, lambda spec: open_stream(spec, group), segments["events"].append, counters
    )
    streams.start()
    run_worker(
        lambda closing: build(
            name=name,
            current=lambda: swap.active,
            now=lambda: _present(clock),
            log=log,
            failures=failures,
            shadow=shadow,
            append_labels=segments["labels"].append,
            append_events=segments["events"].append,
            writer=writer,
            counters=counters,
            note=lambda: swap.note,
            closing=closing,
            reach=reach,
            admit=callers.admit,
            callers=counts,
        ),
        swap,
        listener,
        supervisor=supervisor,
        ready=lambda: state.accepts(swap),
        tls=tls,
        each_time=lambda: _look(callers, counts, tls),
    )
    counts.write()
    streams.close()
    _close((log, failures, shadow), writer, segments, loader)
    return 0


def _close(
    queues: tuple[RowQueue[PredictionRow], RowQueue[FailureRow], Shadow],
    writer: ThreadPoolExecutor,
    segments: dict[str, SegmentWriter],
    loader: Loader,
) -> None:
    """Close what writes and what reads, when nothing comes any more."""
    for queue in queues:
        queue.close()
    writer.shutdown()
    for written in segments.values():
        written.close()
    loader.close()


def _look(callers: CallerList, counts: CallerCounts, tls: Tls | None) -> None:
    """What is looked at as often as for another revision."""
    callers.look()
    counts.write()
    if tls is not None:
        tls.look()


def _present(clock: Clock) -> datetime:
    """Business time. A simulation's clock that cannot be read is told to the log, not to callers."""
    try:
        return clock.now()
    except (BackendError, Corrupt) as problem:
        raise for_callers(problem) from problem


class _State:
    """What the supervisor is told."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ready = False

    def serves(self, swap: Swap) -> None:
        said = WorkerState(ready=self._ready, revision=swap.number, refused=swap.refused, note=swap.note)
        said.write(self._path)

    def accepts(self, swap: Swap) -> None:
        self._ready = True
        self.serves(swap)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
