"""What a server counts of itself, for `GET /metrics`: requests, the ledger's transactions, the loop's passes.

In memory, from the start of the process on: whoever collects it takes rates. Names and units as Prometheus wants them:
https://prometheus.io/docs/practices/naming/
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from slipway.errors import BackendError
from slipway.ports.ledger_store import LedgerStore, ReadTransaction, WriteTransaction

__all__ = ["BUCKETS_S", "NAMES", "Figures", "TimedLedger"]

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[tuple[str, str], ...]

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of what a histogram counts, in seconds."""


class Named(NamedTuple):
    """A figure: what sort it is, and what it tells."""

    kind: Kind
    words: str


NAMES: dict[str, Named] = {
    "slipway_http_requests_total": Named("counter", "Requests that ended, by route, method and status."),
    "slipway_http_request_seconds": Named("histogram", "How long requests took, live streams left out."),
    "slipway_http_streams_open": Named("gauge", "Live streams that are open."),
    "slipway_ledger_read_seconds": Named("histogram", "How long the ledger was read at a time."),
    "slipway_ledger_write_seconds": Named(
        "histogram", "How long a transaction took, from waiting for its turn to its commit."
    ),
    "slipway_ledger_failures_total": Named(
        "counter", "Reads and writes that the ledger failed or could not be reached for."
    ),
    "slipway_controller_passes_total": Named("counter", "Passes of the loop over all projects, by how they ended."),
    "slipway_controller_pass_seconds": Named("histogram", "How long such a pass took."),
    "slipway_controller_pass_age_seconds": Named(
        "gauge", "For how long no such pass finished without trouble; before the first, since the start."
    ),
    "slipway_schedules_late": Named("gauge", "Firings that were to begin more than a minute ago, and did not."),
    "slipway_runs_active": Named("gauge", "Runs that are under way, at most 1,000."),
    "slipway_disk_free_bytes": Named("gauge", "Free bytes where the store's folder lies."),
    "slipway_blobs_bytes": Named("gauge", "Bytes of all blobs, counted every ten minutes."),
    "slipway_build_info": Named("gauge", "1, with the version of Slipway."),
}
"""Every figure that a server tells of itself."""


class Figures:
    """Counts, by name and labels. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, Labels], float] = {}
        self._buckets: dict[tuple[str, Labels], list[int]] = {}
        self._passed_at = time.monotonic()

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Add to a counter or gauge."""
        key = name, tuple(labels.items())
        with self._lock:
            self._values[key] = self._values.get(key, 0) + by

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Add a duration to a histogram."""
        key = name, tuple(labels.items())
        with self._lock:
            counts = self._buckets.setdefault(key, [0] * (len(BUCKETS_S) + 1))
            counts[bisect_left(BUCKETS_S, seconds)] += 1
            self._values[key] = self._values.get(key, 0) + seconds

    def passed(self, outcome: str, seconds: float) -> None:
        """A pass of the loop over all projects ended: "finished", "failed", or "elsewhere" where another server does it."""
        self.count("slipway_controller_passes_total", outcome=outcome)
        if outcome == "elsewhere":
            return
        self.observe("slipway_controller_pass_seconds", seconds)
        if outcome == "finished":
            with self._lock:
                self._passed_at = time.monotonic()

    def samples(self) -> Iterator[tuple[str, str, Labels, float]]:
        """What was counted: the figure, the sample's own name, labels, and the value; a figure's samples together."""
        with self._lock:
            values = sorted(self._values.items())
            buckets = {key: list(counts) for key, counts in self._buckets.items()}
            age = time.monotonic() - self._passed_at
        for (name, labels), value in values:
            counts = buckets.get((name, labels))
            if counts is None:
                yield name, name, labels, value
                continue
            so_far = 0
            for bound, found in zip((*map(repr, BUCKETS_S), "+Inf"), counts, strict=True):
                so_far += found
                yield name, f"{name}_bucket", (*labels, ("le", bound)), so_far
            yield name, f"{name}_sum", labels, value
            yield name, f"{name}_count", labels, so_far
        yield "slipway_controller_pass_age_seconds", "slipway_controller_pass_age_seconds", (), age


class TimedLedger:
    """A ledger's store whose transactions are counted.

    Args:
        store: The ledger's.
        figures: Where.
    """

    def __init__(self, store: LedgerStore, figures: Figures) -> None:
        self._store = store
        self._figures = figures

    @property
    def database(self) -> str:
        """See `LedgerStore.database`."""
        return self._store.database

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        """See `LedgerStore.read`."""
        with self._timed("read"), self._store.read() as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        """See `LedgerStore.write`."""
        with self._timed("write"), self._store.write() as tx:
            yield tx

    @property
    def schema(self) -> int:
        """See `LedgerStore.schema`."""
        return self._store.schema

    @property
    def upgraded_from(self) -> int:
        """See `LedgerStore.upgraded_from`."""
        return self._store.upgraded_from

    def copy_to(self, path: Path) -> None:
        """See `LedgerStore.copy_to`."""
        self._store.copy_to(path)

    def fill_from(self, path: Path) -> None:
        """See `LedgerStore.fill_from`."""
        self._store.fill_from(path)

    def close(self) -> None:
        """See `LedgerStore.close`."""
        self._store.close()

    @contextmanager
    def _timed(self, of: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        except BackendError:
            self._figures.count("slipway_ledger_failures_total", of=of)
            raise
        finally:
            self._figures.observe(f"slipway_ledger_{of}_seconds", time.perf_counter() - began)
