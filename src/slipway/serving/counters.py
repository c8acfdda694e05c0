"""Counters that all workers of an endpoint share: a mapped file of integers, one slot a worker.

Each worker adds to its own slot and any of them can render the sum, so `GET /metrics` tells of the whole endpoint
whichever worker answers it. A replaced worker goes on in its predecessor's slot: nothing counted is lost with a process.
"""

import logging
import mmap
import os
from bisect import bisect_left
from pathlib import Path

__all__ = [
    "EVENTS",
    "EVENTS_NEW",
    "LABELS",
    "LATENCY_BUCKETS_S",
    "LOG_DROPPED",
    "LOG_FAILED",
    "LOG_WRITTEN",
    "MAX_WORKERS",
    "MODEL_FAILURES",
    "ROWS",
    "SWAPS",
    "SWAPS_REFUSED",
    "UNKNOWN_FIELDS",
    "Counters",
    "request_counter",
]

_logger = logging.getLogger("slipway.serving")

MAX_WORKERS = 64
LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_ROUTES = ("predict", "labels", "events", "endpoint", "health", "metrics", "other")
_STATUSES = (200, 403, 404, 405, 413, 422, 499, 500, 503)
_REQUESTS = {(route, status): i for i, (route, status) in enumerate((r, s) for r in _ROUTES for s in _STATUSES)}

_first = len(_REQUESTS)
ROWS = _first
UNKNOWN_FIELDS = _first + 1
MODEL_FAILURES = _first + 2
LABELS = _first + 3
EVENTS = _first + 4
EVENTS_NEW = _first + 5
LOG_WRITTEN = _first + 6
LOG_DROPPED = _first + 7
LOG_FAILED = _first + 8
SWAPS = _first + 9
SWAPS_REFUSED = _first + 10
_LATENCY_SUM_NS = _first + 11
_LATENCY = _first + 12
_WIDTH = _LATENCY + len(LATENCY_BUCKETS_S) + 1

_PLAIN = (
    (ROWS, "slipway_rows_total", "Rows answered."),
    (UNKNOWN_FIELDS, "slipway_unknown_fields_total", "Values in requests that the contract does not know."),
    (MODEL_FAILURES, "slipway_model_failures_total", "Requests on which features or model failed."),
    (LABELS, "slipway_labels_total", "Labels accepted."),
    (EVENTS, "slipway_events_total", "Pushed rows accepted."),
    (EVENTS_NEW, "slipway_events_new_total", "Pushed rows that the online store had not seen."),
    (LOG_WRITTEN, "slipway_log_written_total", "Prediction rows written to the log."),
    (LOG_DROPPED, "slipway_log_dropped_total", "Prediction rows dropped because the queue was full."),
    (LOG_FAILED, "slipway_log_failed_total", "Prediction rows lost because the log could not be written."),
    (SWAPS, "slipway_swaps_total", "Revisions loaded, summed over workers."),
    (SWAPS_REFUSED, "slipway_swaps_refused_total", "Revisions that could not be loaded, summed over workers."),
)


def request_counter(route: str, status: int) -> int:
    """The counter of a route's answers with an HTTP status; a status that is not listed counts as 500."""
    found = _REQUESTS.get((route, status))
    return _REQUESTS[route, 500] if found is None else found


def _mapped(path: Path, size: int) -> mmap.mmap | None:
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
        _logger.error("%s cannot be used (%s): /metrics tells of this worker alone.", path, problem)
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
        shared = None if path is None else _mapped(path, size)
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

    def total(self, counter: int) -> int:
        """A counter's sum over all workers."""
        return sum(self._all[counter::_WIDTH])

    def text(self, endpoint: str) -> str:
        """All counters in Prometheus's text format.

        Source: https://prometheus.io/docs/instrumenting/exposition_formats/
        """
        label = f'endpoint="{endpoint}"'
        lines = ["# HELP slipway_requests_total Requests by route and status.", "# TYPE slipway_requests_total counter"]
        for (route, status), counter in _REQUESTS.items():
            if count := self.total(counter):
                lines.append(f'slipway_requests_total{{{label},route="{route}",status="{status}"}} {count}')
        for counter, name, said in _PLAIN:
            lines += [f"# HELP {name} {said}", f"# TYPE {name} counter", f"{name}{{{label}}} {self.total(counter)}"]
        name = "slipway_predict_seconds"
        lines += [f"# HELP {name} Time from a predict request's body to its answer.", f"# TYPE {name} histogram"]
        count = 0
        for i, bound in enumerate((*LATENCY_BUCKETS_S, "+Inf")):
            count += self.total(_LATENCY + i)
            lines.append(f'{name}_bucket{{{label},le="{bound}"}} {count}')
        lines.append(f"{name}_sum{{{label}}} {self.total(_LATENCY_SUM_NS) / 1e9}")
        lines.append(f"{name}_count{{{label}}} {count}")
        return "\n".join(lines) + "\n"
