"""One worker of an endpoint: everything that a request needs, built from the endpoint's folder alone.

`python -m slipway.hosts.endpoint_worker FOLDER INDEX LISTENER SUPERVISOR` is what `hosts.endpoint` starts. It loads no
pipeline, no ledger, no SQLAlchemy and no Polars; a test counts.
"""

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from slipway.errors import BackendError, Corrupt
from slipway.hosts.endpoint import keys_folder, open_reach, open_signer, start_logging
from slipway.hosts.endpoint_guests import hold_environment, inviting
from slipway.hosts.endpoint_loader import Loader
from slipway.hosts.online_stores import open_stream
from slipway.hosts.store_clock import open_clock
from slipway.hosts.traces import open_tracer
from slipway.models import bundle as bundles
from slipway.ports.clock import Clock
from slipway.ports.tracer import Tracer
from slipway.records.endpoints import Revision
from slipway.records.predictions import FailureRow, PredictionRow
from slipway.records.reach import Reach
from slipway.serving import counters as count
from slipway.serving.app import build
from slipway.serving.behind_front import behind_front
from slipway.serving.callers import CallerCounts, CallerList
from slipway.serving.counters import COUNTERS_FILE, Counters
from slipway.serving.front_routes import Figures
from slipway.serving.http import REQUEST_ID, App, for_callers
from slipway.serving.old_system import OldSystem
from slipway.serving.overdue import Overdue
from slipway.serving.probing import probed
from slipway.serving.row_queue import Counted, RowQueue
from slipway.serving.shadow import Shadow
from slipway.serving.streams import StreamReader
from slipway.serving.swap import Swap
from slipway.serving.tls import Tls
from slipway.serving.worker import run_worker
from slipway.serving.worker_state import CANNOT_LOAD, WorkerState, answering, state_file
from slipway.tables.segments import SegmentWriter

__all__ = ["main"]

_LOG = "log"
_PREDICTIONS = Counted(count.LOG_WRITTEN, count.LOG_DROPPED, count.LOG_FAILED)
_FAILURES = Counted(count.FAILURES_WRITTEN, count.FAILURES_DROPPED, count.FAILURES_LOST)
_UNKNOWN_EVERY_S = 2.0
_KINDS = ("predictions", "failures", "shadows", "labels", "events")
_ROUTES = (
    "/endpoints/{}", "/endpoints/{}/predict", "/endpoints/{}/labels", "/endpoints/{}/events", "/invocations",
    "/v2", "/v2/models/{}", "/v2/models/{}/ready", "/v2/models/{}/infer",
)  # fmt: skip
"""What a trace calls by its path; any other path may be somebody's name."""
_logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Load what is deployed and answer until told to stop; returns the process's exit code."""
    start_logging()
    folder, index, listener, supervisor = Path(arguments[0]), *map(int, arguments[1:4])
    hold_environment()
    return _work(folder, index, socket.socket(fileno=listener), supervisor, *arguments[4:6])


def _work(folder: Path, index: int, listener: socket.socket, supervisor: int, environment: str, home: str) -> int:
    state, counters = _State(state_file(folder, index)), _open_counters(folder, index)
    signer, invite = open_signer(folder), inviting(folder, index, home, state.has_lost)
    loader = Loader(folder, signer, index, tracer := _open_tracer(folder, counters), invite=invite)
    swap = Swap(folder, signer, loader.load, counters, state.serves, environment=environment)
    try:
        reach, tls = _opened(folder, listener)
        swap.load_first()
    except Exception as problem:
        _logger.error("Worker %d has nothing to serve: %s", index, problem)
        return CANNOT_LOAD
    assert swap.active is not None
    served, rows = swap.active.revision, partial(_reference_rows, folder)
    callers = CallerList(folder, signer, lambda: swap.active is not None and swap.active.revision.by_token)
    clock = open_clock(keys_folder(folder).parent)
    counts = CallerCounts(state_file(folder, index).parent, index, home=folder, now=lambda: _present(clock))
    segments, overdue = {kind: SegmentWriter(folder / _LOG, kind) for kind in _KINDS}, Overdue()
    log, failures, shadow, old_system = queues = _open_queues(segments, swap, counters)
    writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
    streams = _reading(folder, swap, served, segments["events"], counters)

    def make_app(closing: Callable[[], bool]) -> App:
        app = build(
            name=served.name,
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
            overdue=overdue,
            unknown=state.unknown,
            old_system=old_system,
            front=partial(Figures(folder).text, served.name) if _is_fronted(listener) else str,
            workers=lambda: answering(folder),
        )
        return _wrapped(probed(app, folder, signer, lambda: swap.active, overdue, rows), tracer, listener)

    run_worker(
        make_app,
        swap,
        listener,
        supervisor=supervisor,
        accepts=lambda is_open: state.accepts(swap, is_open),
        tls=tls,
        each_time=lambda: _look(callers, counts, tls, segments.values(), swap, loader),
        overdue=overdue,
        beat=lambda: state.beats(swap, overdue.trouble),
    )
    counts.write()
    _close(streams, queues, writer, segments, loader, tracer)
    return 0


def _opened(folder: Path, listener: socket.socket) -> tuple[Reach, Tls | None]:
    """Where the endpoint answers, and what this worker speaks TLS with."""
    reach = open_reach(folder)
    return reach, Tls(reach, _logger.error) if reach.certificate and not _is_fronted(listener) else None


def _wrapped(app: App, tracer: Tracer | None, listener: socket.socket) -> App:
    """An app as it is asked: what the front says of a connection is taken first, so that traces tell of it too."""
    traced = app if tracer is None else tracer.around(app)
    return behind_front(traced) if _is_fronted(listener) else traced


def _open_counters(folder: Path, index: int) -> Counters:
    counters = Counters(folder / COUNTERS_FILE, index)
    counters.take_over()
    return counters


class _Queues(NamedTuple):
    """What was answered, what failed, what the other model and what an old system is to answer."""

    log: RowQueue[PredictionRow]
    failures: RowQueue[FailureRow]
    shadow: Shadow
    old_system: OldSystem


def _open_queues(segments: dict[str, SegmentWriter], swap: Swap, counters: Counters) -> _Queues:
    """What takes rows off the request's path."""

    def append(rows: list[PredictionRow]) -> None:
        segments["predictions"].append(rows, sync=swap.active is not None and swap.active.revision.log.sync)

    return _Queues(
        RowQueue(append, counters, _PREDICTIONS, what="predictions"),
        RowQueue(segments["failures"].append, counters, _FAILURES, what="failures"),
        Shadow(segments["shadows"].append, counters),
        OldSystem(segments["shadows"].append, counters),
    )


def _reference_rows(folder: Path, digest: str) -> list[list[Any]]:
    """What a probe may ask a model for by its place."""
    sample = folder / "bundles" / digest / bundles.SAMPLE
    return [case.row for case in bundles.decode_cases(sample.read_bytes())] if sample.exists() else []


def _open_tracer(folder: Path, counters: Counters) -> Tracer | None:
    routes = {path.format(folder.name) for path in _ROUTES}
    return open_tracer(
        folder.name,
        told={"slipway.project": folder.parent.name, "slipway.endpoint": folder.name},
        request_id=lambda: REQUEST_ID.get().decode(),
        route_of=lambda scope: scope["path"] if scope["path"] in routes else "",
        sent=partial(counters.add, count.SPANS_SENT),
        dropped=partial(counters.add, count.SPANS_DROPPED),
        lost=partial(counters.add, count.SPANS_LOST),
    )


def _is_fronted(listener: socket.socket) -> bool:
    """Whether a front asks, which ends TLS; otherwise clients do."""
    return listener.family == socket.AF_UNIX


def _reading(folder: Path, swap: Swap, served: Revision, events: SegmentWriter, counters: Counters) -> StreamReader:
    """The worker's part in reading streams, begun."""
    group = f"slipway:{served.project}:{served.environment}:{served.name}"
    streams = StreamReader(
        folder,
        lambda: None if swap.stands_by else swap.active,  # entries are for the environment that serves
        lambda spec: open_stream(spec, group),
        events.append,
        counters,
    )
    streams.start()
    return streams


def _close(
    streams: StreamReader,
    queues: _Queues,
    writer: ThreadPoolExecutor,
    segments: dict[str, SegmentWriter],
    loader: Loader,
    tracer: Tracer | None,
) -> None:
    """Close what writes and what reads, when nothing comes any more."""
    streams.close()
    for queue in queues:
        queue.close()
    writer.shutdown()
    for written in segments.values():
        written.close()
    loader.close()
    if tracer is not None:
        tracer.close()


def _look(
    callers: CallerList,
    counts: CallerCounts,
    tls: Tls | None,
    segments: Iterable[SegmentWriter],
    swap: Swap,
    loader: Loader,
) -> None:
    """What is looked at as often as for another revision."""
    callers.look()
    counts.write()
    loader.look(0 if swap.active is None else swap.active.revision.memory_bytes)
    for writer in segments:
        if swap.active is not None:
            writer.roll_age_s = swap.active.revision.log.roll_us / 1e6
        writer.close_if_old()
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
        self._trouble = ""
        self._told = (0, 0.0)
        self._fallen = 0
        self._lost = 0
        self.unknown: dict[str, int] = {}

    def serves(self, swap: Swap) -> None:
        said = WorkerState(
            ready=self._ready,
            revision=swap.number,
            refused=swap.refused,
            note=swap.note,
            trouble=self._trouble,
            unknown=dict(self.unknown),
            stands_by=swap.stands_by,
            fallen=self._fallen,
        )
        said.write(self._path)

    def beats(self, swap: Swap, trouble: str) -> None:
        seen, now = sum(list(self.unknown.values())), time.monotonic()
        is_news = seen != self._told[0] and now - self._told[1] > _UNKNOWN_EVERY_S
        if is_news or (trouble and not self._trouble) or self._lost != self._fallen:
            self._trouble, self._told, self._fallen = trouble, (seen, now), self._lost
            self.serves(swap)
        with suppress(OSError):  # a full disk is told of elsewhere
            os.utime(self._path)

    def has_lost(self) -> None:
        """A challenger in a process of its own has ended; the next beat tells it."""
        self._lost += 1

    def accepts(self, swap: Swap, is_open: bool) -> None:
        self._ready = is_open
        self.serves(swap)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
