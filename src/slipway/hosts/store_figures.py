"""Figures of a store that are looked up when somebody collects them: what is late, what runs, how much room there is."""

import shutil
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version

from slipway.errors import SlipwayError
from slipway.hosts.blob_places import remembered_place
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.records.schedules import Firing

__all__ = ["StoreFigures"]

_AT_MOST = 1000
_LATE = timedelta(minutes=1)
_COUNT_EVERY_S = 600.0
_BUILD = version("slipway")


class StoreFigures:
    """Looks figures up, for `hosts.figures.NAMES`.

    Blobs are counted beside the answer, at most every ten minutes, for there may be millions; the first answers are
    without them. In an object store they are not counted: its own figures tell, and listing it costs.

    Args:
        workspace: The server's.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._counted_at: float | None = None
        self._bytes: int | None = None

    def samples(self, workspace: Workspace) -> Iterator[tuple[str, str, tuple[tuple[str, str], ...], float]]:
        """The figures as `Figures.samples` gives them; those of the ledger only while it can be read."""
        yield _of("slipway_build_info", 1, ("version", _BUILD))
        try:
            with workspace.ledger.read() as tx:
                before = workspace.clock.now() - _LATE
                due = tx.find(entries.kind_of(Firing), state="due", limit=_AT_MOST)
                late = sum(entries.decoded(one, Firing).due_at < before for one in due)
                running = len(tx.find(entries.kind_of(Run), state="running", limit=_AT_MOST))
            yield _of("slipway_schedules_late", late)
            yield _of("slipway_runs_active", running)
        except SlipwayError:  # told by slipway_ledger_failures_total: what the process counted is wanted just then
            pass
        yield _of("slipway_disk_free_bytes", shutil.disk_usage(workspace.root).free)
        if not remembered_place(workspace.root):
            self._count_now_and_then()
            if self._bytes is not None:
                yield _of("slipway_blobs_bytes", self._bytes)

    def _count_now_and_then(self) -> None:
        with self._lock:
            if self._counted_at is not None and time.monotonic() - self._counted_at < _COUNT_EVERY_S:
                return
            self._counted_at = time.monotonic()
        threading.Thread(target=self.count_blobs, name="slipway-blob-figures", daemon=True).start()

    def count_blobs(self) -> None:
        """Count the bytes of all blobs; while they cannot be listed the figure is missing, as those of the ledger are."""
        try:
            self._bytes = sum(one.size_bytes for one in self._workspace.blobs.stored())
        except (SlipwayError, OSError):
            self._bytes = None


def _of(name: str, value: float, *labels: tuple[str, str]) -> tuple[str, str, tuple[tuple[str, str], ...], float]:
    return name, name, labels, value
