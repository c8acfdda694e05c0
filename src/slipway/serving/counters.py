"""Counters that all workers of an endpoint share: a mapped file of integers, one slot a worker.

Each worker adds to its own slot and any of them can render the sum, so `GET /metrics` tells of the whole endpoint
whichever worker answers it. A replaced worker goes on in its predecessor's slot: nothing counted is lost with a process.
"""

import logging
import mmap
import os
from bisect import bisect_left
from pathlib import Path
from typing import Literal, get_args

from slipway.records.endpoints import FallbackBy
from slipway.records.health import LATENCY_BUCKETS_S
from slipway.records.predictions import FallbackReason

__all__ = [
    "BULK_ROWS",
    "CHALLENGER_ROWS",
    "COUNTERS_FILE",
    "COVERED_ROWS",
    "EVENTS",
    "EVENTS_NEW",
    "EXPLAINED_ROWS",
    "FAILURES",
    "FAILURES_DROPPED",
    "FAILURES_LOST",
    "FAILURES_WRITTEN",
    "FAILED_REQUESTS",
    "FALLBACK_ROWS",
    "JOINED_REQUESTS",
    "LABELS",
    "LATENCY_BUCKETS_S",
    "LOG_DROPPED",
    "LOG_FAILED",
    "LOG_PASSED_OVER",
    "LOG_WRITTEN",
    "MAX_WORKERS",
    "MODEL_FAILURES",
    "ROWS",
    "OLD_COMPARED",
    "OLD_DROPPED",
    "OLD_FAILED",
    "OLD_LOST",
    "OLD_SAMPLED",
    "SHADOW_COMPARED",
    "SHADOW_DROPPED",
    "SHADOW_FAILED",
    "SHADOW_LOST",
    "SHADOW_SAMPLED",
    "SPANS_DROPPED",
    "SPANS_LOST",
    "SPANS_SENT",
    "STREAM_BEHIND",
    "STREAM_NEW",
    "STREAM_REFUSED",
    "STREAM_TAKEN",
    "SWAPS",
    "SWAPS_REFUSED",
    "UNKNOWN_FIELDS",
    "Counters",
    "mapped",
    "read_totals",
    "request_counter",
    "slower_than",
]

_logger = logging.getLogger("slipway.serving")

COUNTERS_FILE = "counters.bin"
MAX_WORKERS = 64

_ROUTES = ("predict", "labels", "events", "endpoint", "health", "metrics", "other")
_STATUSES = (200, 401, 403, 404, 405, 413, 415, 422, 429, 499, 500, 503, 504)
_REQUESTS = {(route, status): i for i, (route, status) in enumerate((r, s) for r in _ROUTES for s in _STATUSES)}

_first = len(_REQUESTS)
(
    ROWS,
    UNKNOWN_FIELDS,
    MODEL_FAILURES,
    LABELS,
    EVENTS,
    EVENTS_NEW,
    LOG_WRITTEN,
    LOG_DROPPED,
    LOG_PASSED_OVER,
    LOG_FAILED,
    SWAPS,
    SWAPS_REFUSED,
    CHALLENGER_ROWS,
    COVERED_ROWS,
    SHADOW_SAMPLED,
    SHADOW_COMPARED,
    SHADOW_DROPPED,
    SHADOW_LOST,
    SHADOW_FAILED,
    FAILURES,
    FAILURES_WRITTEN,
    FAILURES_DROPPED,
    FAILURES_LOST,
    STREAM_TAKEN,
    STREAM_NEW,
    STREAM_REFUSED,
    STREAM_BEHIND,
    EXPLAINED_ROWS,
    JOINED_REQUESTS,
    SPANS_SENT,
    SPANS_DROPPED,
    SPANS_LOST,
    OLD_SAMPLED,
    OLD_COMPARED,
    OLD_DROPPED,
    OLD_LOST,
    OLD_FAILED,
    BULK_ROWS,
    _LATENCY_SUM_NS,
    _LATENCY,
) = range(_first, _first + 40)
_behind = _LATENCY + len(LATENCY_BUCKETS_S) + 1
FALLBACK_ROWS: dict[tuple[FallbackBy, FallbackReason], int] = {
    (by, reason): _behind + i
    for i, (by, reason) in enumerate((b, r) for b in get_args(FallbackBy) for r in get_args(FallbackReason))
}
"""The counters of rows that the fallback answered, by what did and why."""
FAILED_REQUESTS: dict[FallbackReason | Literal["away", "none", "refused"], int] = {
    reason: _behind + len(FALLBACK_ROWS) + i
    for i, reason in enumerate((*get_args(FallbackReason), "away", "none", "refused"))
}
"""The counters of requests that got no result because of the model, by why; "away" is an online store that is away, "none" a
score that is no number and was told 422, for the row may be what is wrong; "refused" is a row that fits the contract, and on
which the model raised, told 422 for the same reason."""
_WIDTH = _behind + len(FALLBACK_ROWS) + len(FAILED_REQUESTS)

# What is begun, and the counters that between them count each of it once when it is done; the last is for what is lost.
_ACCOUNTS = (
    (ROWS, (LOG_WRITTEN, LOG_DROPPED, LOG_PASSED_OVER, LOG_FAILED)),
    (SHADOW_SAMPLED, (SHADOW_COMPARED, SHADOW_DROPPED, SHADOW_LOST)),
    (FAILURES, (FAILURES_WRITTEN, FAILURES_DROPPED, FAILURES_LOST)),
    (OLD_SAMPLED, (OLD_COMPARED, OLD_DROPPED, OLD_LOST)),
)
_PLAIN: tuple[tuple[tuple[int, ...], str, str], ...] = (
    ((ROWS,), "slipway_rows_total", "Rows answered."),
    ((EXPLAINED_ROWS,), "slipway_explained_rows_total", "Those whose answer was explained."),
    ((BULK_ROWS,), "slipway_bulk_rows_total", "Rows of Arrow streams among the answered ones."),
    ((JOINED_REQUESTS,), "slipway_joined_requests_total", "Requests that were scored together with others."),
    ((UNKNOWN_FIELDS,), "slipway_unknown_fields_total", "Values in requests that the contract does not know."),
    ((MODEL_FAILURES,), "slipway_model_failures_total", "Requests on which features or model failed."),
    ((LABELS,), "slipway_labels_total", "Labels accepted."),
    ((EVENTS,), "slipway_events_total", "Pushed rows accepted."),
    ((EVENTS_NEW,), "slipway_events_new_total", "Pushed rows that the online store had not seen."),
    ((LOG_WRITTEN,), "slipway_log_written_total", "Prediction rows written to the log."),
    ((LOG_DROPPED,), "slipway_log_dropped_total", "Prediction rows dropped because the queue was full."),
    ((LOG_PASSED_OVER,), "slipway_log_passed_over_total", "Prediction rows outside the share that is logged."),
    ((LOG_FAILED,), "slipway_log_failed_total", "Prediction rows lost: unwritable log, or a worker killed before."),
    ((SWAPS,), "slipway_swaps_total", "Revisions loaded, summed over workers."),
    ((SWAPS_REFUSED,), "slipway_swaps_refused_total", "Revisions that could not be loaded, summed over workers."),
    ((CHALLENGER_ROWS,), "slipway_challenger_rows_total", "Rows that the challenger answered."),
    ((COVERED_ROWS,), "slipway_covered_rows_total", "Rows that the champion answered after the challenger failed."),
    ((SHADOW_SAMPLED,), "slipway_shadow_sampled_total", "Answered rows to be scored by the other model too."),
    ((SHADOW_COMPARED,), "slipway_shadow_compared_total", "Those whose second score, or its failure, is written."),
    ((SHADOW_DROPPED, SHADOW_LOST), "slipway_shadow_dropped_total", "Those that were dropped or lost instead."),
    ((SHADOW_FAILED,), "slipway_shadow_failed_total", "Those compared whose second model failed on them."),
    ((OLD_SAMPLED,), "slipway_old_system_sampled_total", "Answered rows that the old system is to be asked for too."),
    ((OLD_COMPARED,), "slipway_old_system_compared_total", "Those whose answer by it, or its failure, is written."),
    ((OLD_DROPPED, OLD_LOST), "slipway_old_system_dropped_total", "Those that were dropped or lost instead."),
    ((OLD_FAILED,), "slipway_old_system_failed_total", "Those compared for which it gave no score."),
    ((FAILURES,), "slipway_failures_total", "Failures of either model to be noted in the log."),
    ((FAILURES_WRITTEN,), "slipway_failures_written_total", "Failures noted in the log."),
    ((STREAM_TAKEN,), "slipway_stream_taken_total", "Entries of streams that the online store has."),
    ((STREAM_NEW,), "slipway_stream_new_total", "Those that the online store had not seen."),
    ((STREAM_REFUSED,), "slipway_stream_refused_total", "Entries of streams that did not fit, put aside."),
    ((SPANS_SENT,), "slipway_spans_sent_total", "Spans of traces that their receiver has."),
    ((SPANS_DROPPED, SPANS_LOST), "slipway_spans_dropped_total", "Spans dropped: full queue, or no receiver."),
    ((FAILURES_DROPPED, FAILURES_LOST), "slipway_failures_lost_total", "Failures that could not be noted."),
)


def request_counter(route: str, status: int) -> int:
    """The counter of a route's answers with an HTTP status; a status that is not listed counts as 500."""
    return _REQUESTS[(route, status) if (route, status) in _REQUESTS else (route, 500)]


def read_totals(path: Path) -> list[int] | None:
    """All counters of a file, each summed over its workers; None where there is no such file, or one of another release.

    Args:
        path: The file of an endpoint that runs, or one that a former process left.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if len(content) != MAX_WORKERS * _WIDTH * 8:
        return None
    cells = memoryview(content).cast("Q")
    return [sum(cells[counter::_WIDTH]) for counter in range(_WIDTH)]


def slower_than(totals: list[int], limit_s: float) -> tuple[int, int]:
    """How many answers were timed, and how many of them took longer than a bound of the histogram.

    Args:
        totals: From `read_totals`.
        limit_s: One of `LATENCY_BUCKETS_S`.
    """
    times = totals[_LATENCY : _LATENCY + len(LATENCY_BUCKETS_S) + 1]
    return sum(times), sum(times[LATENCY_BUCKETS_S.index(limit_s) + 1 :])


def mapped(path: Path, size: int) -> mmap.mmap | None:
    """The file in memory, all of its blocks had in advance; None, which is logged, where they cannot be had."""
    try:
        with path.open("a+b") as file:
            if hasattr(os, "posix_fallocate"):
                # A block that is only wanted when it is touched, on a full disk, ends the process with SIGBUS.
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return mmap.mmap(file.fileno(), size)
    except OSError as problem:
        _logger.error("%s cannot be used (%s): what it counts is told of this worker alone.", path, problem)
        return None


class Counters:
    """One worker's slot in the shared file. Each counter is written by one thread only.

    Where the file cannot be had, as on a full disk, it counts for this process alone: an endpoint answers nonetheless.

    Args:
        path: The file, made when it does not exist. None for counters of this process alone.
        slot: The worker's index, from 0 to `MAX_WORKERS` - 1.
    """

    def __init__(self, path: Path | None = None, slot: int = 0) -> None:
        size = MAX_WORKERS * _WIDTH * 8
        shared = None if path is None else mapped(path, size)
        self._all = memoryview(bytearray(size) if shared is None else shared).cast("Q")
        self._mine = self._all[slot * _WIDTH : (slot + 1) * _WIDTH]

    def add(self, counter: int, n: int = 1) -> None:
        """Add to one of this worker's counters."""
        self._mine[counter] += n

    def observe_ns(self, nanoseconds: int) -> None:
        """Count one predict request's time from its body to its answer."""
        mine = self._mine
        mine[_LATENCY + bisect_left(LATENCY_BUCKETS_S, nanoseconds / 1e9)] += 1
        mine[_LATENCY_SUM_NS] += nanoseconds

    def set_shared(self, counter: int, value: int) -> None:
        """Set a figure of the whole endpoint; for the one worker at a time that knows it."""
        self._all[counter] = value

    def total(self, counter: int) -> int:
        """A counter's sum over all workers."""
        return sum(self._all[counter::_WIDTH])

    def take_over(self) -> None:
        """Count as lost what a predecessor in this slot had begun and not done when it was killed."""
        for begun, done in _ACCOUNTS:
            self._mine[done[-1]] += max(self._mine[begun] - sum(self._mine[counter] for counter in done), 0)

    def text(self, endpoint: str) -> str:
        """All counters in Prometheus's text format.

        Source: https://prometheus.io/docs/instrumenting/exposition_formats/
        """
        label = f'endpoint="{endpoint}"'
        lines = ["# HELP slipway_requests_total Requests by route and status.", "# TYPE slipway_requests_total counter"]
        for (route, status), counter in _REQUESTS.items():
            if count := self.total(counter):
                lines.append(f'slipway_requests_total{{{label},route="{route}",status="{status}"}} {count}')
        name = "slipway_fallback_rows_total"
        lines += [f"# HELP {name} Rows that the fallback answered, by what did and why.", f"# TYPE {name} counter"]
        for (by, reason), counter in FALLBACK_ROWS.items():
            if count := self.total(counter):
                lines.append(f'{name}{{{label},by="{by}",reason="{reason}"}} {count}')
        name = "slipway_failed_requests_total"
        lines += [f"# HELP {name} Requests that got no result because of the model, by why.", f"# TYPE {name} counter"]
        for why, counter in FAILED_REQUESTS.items():
            if count := self.total(counter):
                lines.append(f'{name}{{{label},reason="{why}"}} {count}')
        for name, said, found in self._plain():
            lines += [f"# HELP {name} {said}", f"# TYPE {name} counter", f"{name}{{{label}}} {found}"]
        name = "slipway_stream_behind"
        lines += [f"# HELP {name} Entries of streams that are not taken in yet.", f"# TYPE {name} gauge"]
        lines.append(f"{name}{{{label}}} {self.total(STREAM_BEHIND)}")
        name = "slipway_predict_seconds"
        lines += [f"# HELP {name} Time from a predict request's body to its answer.", f"# TYPE {name} histogram"]
        count = 0
        for i, bound in enumerate((*LATENCY_BUCKETS_S, "+Inf")):
            count += self.total(_LATENCY + i)
            lines.append(f'{name}_bucket{{{label},le="{bound}"}} {count}')
        lines.append(f"{name}_sum{{{label}}} {self.total(_LATENCY_SUM_NS) / 1e9}")
        lines.append(f"{name}_count{{{label}}} {count}")
        return "\n".join(lines) + "\n"

    def _plain(self) -> list[tuple[str, str, int]]:
        # What is begun is read after what is done: where the two are equal, nothing begun before the reading is under way.
        begun = {(counter,) for counter, _ in _ACCOUNTS}
        totals: dict[tuple[int, ...], int] = {}
        for counters, _, _ in sorted(_PLAIN, key=lambda row: row[0] in begun):
            totals[counters] = sum(map(self.total, counters))
        return [(name, said, totals[counters]) for counters, name, said in _PLAIN]
