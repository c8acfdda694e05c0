"""What a supervisor tells the front of its workers, and what the front counts: two small files in an endpoint's folder."""

import fcntl
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from slipway.ports.launcher import LOCK_FILE
from slipway.serving.counters import mapped

__all__ = [
    "AT_WORK",
    "FAILED",
    "FIGURES_FILE",
    "LEFT",
    "LOAD_NS",
    "REQUESTS",
    "RETRIED",
    "ROUTES_FILE",
    "TAKEN",
    "TIMED_OUT",
    "WAITING",
    "WORKERS",
    "Figures",
    "Routes",
    "has_ended",
    "hung_file",
    "is_held",
    "life_file",
    "read_figures",
    "read_routes",
    "socket_file",
    "write_routes",
]

WORKERS = "workers"
ROUTES_FILE = "routes.json"
FIGURES_FILE = "front.bin"
REQUESTS, RETRIED, FAILED, TIMED_OUT, WAITING, AT_WORK, LOAD_NS, TAKEN, LEFT = range(9)
_SLOTS, _WIDTH = 2, 16
_TOLD = (
    (REQUESTS, "counter", "slipway_front_requests_total", "Requests that the front gave to workers."),
    (
        RETRIED,
        "counter",
        "slipway_front_retried_total",
        "Requests given to another worker after one had ended on them.",
    ),
    (FAILED, "counter", "slipway_front_unavailable_total", "Requests answered 503 by the front."),
    (TIMED_OUT, "counter", "slipway_front_timeouts_total", "Requests whose worker took too long and was replaced."),
    (LEFT, "counter", "slipway_front_left_total", "Those of them for whose answer nobody waited any more."),
    (WAITING, "gauge", "slipway_front_waiting", "Requests that wait for a worker."),
    (AT_WORK, "gauge", "slipway_front_at_work", "Requests that workers are answering."),
)


class Routes(Struct, frozen=True, kw_only=True):
    """Where an endpoint's requests go now, one small file replaced by rename.

    Args:
        name: The endpoint's.
        edition: Later ones are greater; the front says which one it has taken up.
        workers: The serial numbers of the workers that answer; each names its socket.
        revision: What they serve.
        max_bytes: How large a request's body may be.
        bulk_bytes: How large one to its predict route may be: which kind of body it is, the worker says.
        sleeps: Whether no worker at all is a state to wait in: the first request wakes one.
        is_open: Whether anybody may read its metrics.
        is_shared: Whether it is asked on the port that the endpoints of its store share.
        timeout_s: How long a worker may take for a request before it counts as hung.
        wait_s: How long a request may wait for a worker.
    """

    name: str
    edition: int = 0
    workers: tuple[int, ...] = ()
    revision: int = 0
    max_bytes: int = 4 << 20
    bulk_bytes: int = 4 << 20
    sleeps: bool = False
    is_open: bool = False
    is_shared: bool = False
    timeout_s: float = 60.0
    wait_s: float = 30.0


def write_routes(folder: Path, routes: Routes) -> None:
    """Replace what the front reads of the endpoint in a folder.

    Raises:
        OSError: The file system failed.
    """
    path = folder / WORKERS / ROUTES_FILE
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(msgspec.json.encode(routes))
    part.rename(path)


def read_routes(folder: Path, seen: tuple[int, int] | None = None) -> tuple[Routes | None, tuple[int, int] | None]:
    """What the supervisor of the endpoint in a folder says, if it says something new.

    Args:
        folder: The endpoint's.
        seen: What this function returned last.

    Returns:
        The routes, None where there are none or they are as seen; and what tells them from the next ones.
    """
    path = folder / WORKERS / ROUTES_FILE
    try:
        found = os.stat(path)
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp == seen:
            return None, seen
        return msgspec.json.decode(path.read_bytes(), type=Routes), stamp
    except (FileNotFoundError, NotADirectoryError):
        return None, None


def socket_file(folder: Path, serial: int) -> Path:
    """Where the worker with a serial number listens for the front."""
    return folder / WORKERS / f"{serial}.sock"


def hung_file(folder: Path, serial: int) -> Path:
    """By this file the front tells the supervisor that a worker does not answer."""
    return folder / WORKERS / f"{serial}.hung"


def life_file(folder: Path, serial: int) -> Path:
    """A file that is locked as long as the worker with a serial number lives, whatever ends it."""
    return folder / WORKERS / f"{serial}.life"


def has_ended(folder: Path, serial: int) -> bool:
    """Whether a worker is gone for good: it writes nothing any more."""
    return not _is_locked(life_file(folder, serial))


class Figures:
    """What the front counts of one endpoint: a mapped file, so that it outlives the front and others can read it.

    Two fronts may be there for a moment, when one takes over from the other: each has a slot.

    Args:
        folder: The endpoint's.
        slot: 0 or 1.
    """

    def __init__(self, folder: Path, slot: int = 0) -> None:
        size = _SLOTS * _WIDTH * 8
        shared = mapped(folder / FIGURES_FILE, size)
        self._all = memoryview(bytearray(size) if shared is None else shared).cast("Q")
        self._mine = self._all[slot * _WIDTH : (slot + 1) * _WIDTH]

    def add(self, figure: int, n: int = 1) -> None:
        """Add to a figure."""
        self._mine[figure] += n

    def put(self, figure: int, value: int) -> None:
        """Set a figure."""
        self._mine[figure] = value

    def total(self, figure: int) -> int:
        """A figure's sum over both slots."""
        return sum(self._all[figure::_WIDTH])

    def newest(self, figure: int) -> int:
        """The greater value of both slots."""
        return max(self._all[figure::_WIDTH])

    def begin(self) -> None:
        """Nobody waits yet, whatever a killed predecessor in this slot left."""
        self._mine[WAITING] = self._mine[AT_WORK] = 0

    def text(self, endpoint: str) -> str:
        """The figures in Prometheus's text format."""
        lines = []
        for figure, kind, name, said in _TOLD:
            lines += [f"# HELP {name} {said}", f"# TYPE {name} {kind}"]
            lines.append(f'{name}{{endpoint="{endpoint}"}} {self.total(figure)}')
        return "\n".join(lines) + "\n"


def read_figures(path: Path) -> list[int] | None:
    """All figures of a file, each summed over both slots; None where there is none, or one of another release."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if len(content) != _SLOTS * _WIDTH * 8:
        return None
    cells = memoryview(content).cast("Q")
    return [sum(cells[figure::_WIDTH]) for figure in range(_WIDTH)]


def is_held(folder: Path) -> bool:
    """Whether a process holds a folder's lock."""
    return _is_locked(folder / LOCK_FILE)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
