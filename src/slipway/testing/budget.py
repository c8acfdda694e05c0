"""What a training may cost: CPU seconds and memory, so that a test does not depend on how busy a machine is."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from slipway.errors import InvalidInput

__all__ = ["Spent", "within"]

_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(kB|MB|GB)", re.ASCII)
_BYTES = {"kB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(slots=True)
class Spent:
    """What was spent, known once the `with` block has ended.

    Args:
        cpu_s: CPU seconds of this process and of those that it waited for.
        peak_bytes: By how much the greatest memory of this process grew.
    """

    cpu_s: float = 0.0
    peak_bytes: int = 0


@contextmanager
def within(*, cpu_s: float | None = None, memory: str = "") -> Iterator[Spent]:
    """Refuse a training that costs more than it may.

    Args:
        cpu_s: CPU seconds of this process and of its own that ended, all cores added up. Not the time that passes.
        memory: By how much the process may grow at its peak: "500MB". What an earlier test took already is not counted, so
            that a test alone is the stricter one.

    Raises:
        InvalidInput: Nothing is limited, or a limit is none.
        AssertionError: It cost more.

    Example:
        with within(cpu_s=20, memory="500MB"):
            release(until=date(2013, 4, 1))
    """
    match = _SIZE.fullmatch(memory) if memory else None
    if (memory and match is None) or (cpu_s is None and not memory) or (cpu_s is not None and not cpu_s > 0):
        raise InvalidInput(
            f"cpu_s={cpu_s!r}, memory={memory!r} is no budget.", fix='For example within(cpu_s=20, memory="500MB").'
        )
    most = float(match[1]) * _BYTES[match[2]] if match else None
    spent, before, peak = Spent(), _cpu_s(), _peak_bytes()
    try:
        yield spent
    finally:
        spent.cpu_s, spent.peak_bytes = _cpu_s() - before, _peak_bytes() - peak
    if cpu_s is not None and spent.cpu_s > cpu_s:
        raise AssertionError(f"It took {spent.cpu_s:.2f} CPU seconds; {cpu_s:g} are allowed.")
    if most is not None and spent.peak_bytes > most:
        raise AssertionError(f"Its memory grew by {spent.peak_bytes / 1e6:,.0f} MB; {memory} are allowed.")


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
