"""What an endpoint counted, over its restarts: a supervisor that starts puts the counters of its predecessor aside.

Whoever reads them knows a file by its inode, which a new name does not change. So what was counted between the last
reading and the end of a process is still there for the next reading.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from slipway.records.health import Counted, Life
from slipway.records.predictions import FallbackReason
from slipway.serving import front_routes as figure
from slipway.serving.counters import (
    COUNTERS_FILE,
    FAILED_REQUESTS,
    FALLBACK_ROWS,
    ROWS,
    read_totals,
    request_counter,
    slower_than,
)
from slipway.serving.front_routes import FIGURES_FILE, read_figures

__all__ = ["put_aside", "read_lives"]

_KEPT = 4


def put_aside(path: Path) -> None:
    """Give a file of counters another name, so that the next process begins with none; the last few are kept.

    Args:
        path: The file; where there is none, nothing is done.
    """
    if path.exists():
        path.rename(path.with_name(f"{path.name}.{time.time_ns()}"))
    for old in _former(path)[:-_KEPT]:
        old.unlink(missing_ok=True)


def read_lives(folder: Path, latency_us: int = 0) -> list[Life]:
    """What the processes of an endpoint counted, those that ended lately among them, each by itself.

    Args:
        folder: The endpoint's.
        latency_us: From which time on an answer is slow, a bound of the histogram; 0 for never.
    """
    found = []
    for path in _files(folder / COUNTERS_FILE):
        totals, name = read_totals(path), _name(path)
        if totals is not None and name:
            found.append(Life(name, _of_workers(totals, latency_us)))
    for path in _files(folder / FIGURES_FILE):
        figures, name = read_figures(path), _name(path)
        if figures is not None and name:
            found.append(Life(name, _of_front(figures)))
    return found


def _files(path: Path) -> Iterator[Path]:
    yield from _former(path)
    yield path


def _former(path: Path) -> list[Path]:
    return sorted(one for one in path.parent.glob(f"{path.name}.*") if one.suffix[1:].isdigit())


def _name(path: Path) -> str:
    try:
        return f"{path.name.split('.')[0]}-{path.stat().st_ino}"
    except OSError:
        return ""


def _of_workers(totals: list[int], latency_us: int) -> Counted:
    """What workers counted. A request's reason is counted before its status: for a moment `errors` may lack one."""
    told = {status: totals[request_counter("predict", status)] for status in (200, 500, 503, 504)}
    failed = {reason: totals[counter] for reason, counter in FAILED_REQUESTS.items()}
    timed, slow = slower_than(totals, latency_us / 1e6) if latency_us else (0, 0)
    features: FallbackReason = "features"
    return Counted(
        requests=sum(told.values()) + failed["none"] + failed["refused"],
        time_outs=told[504],
        errors=told[500] - failed["invalid"] - failed[features] + failed["refused"],
        saturated=told[503] - failed["away"],
        invalid=failed["invalid"] + failed["none"],
        features=failed[features] + failed["away"],
        timed=timed,
        slow=slow,
        rows=totals[ROWS],
        fallen=sum(totals[counter] for counter in FALLBACK_ROWS.values()),
    )


def _of_front(figures: list[int]) -> Counted:
    """What a front answered itself: a worker's time-out is told 503 there, or nobody waits for it any more."""
    refused = figures[figure.FAILED] - (figures[figure.TIMED_OUT] - figures[figure.LEFT])
    return Counted(
        requests=figures[figure.FAILED] + figures[figure.LEFT],
        time_outs=figures[figure.TIMED_OUT],
        saturated=refused,
    )
