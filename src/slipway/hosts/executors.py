"""Where an environment's pipelines carry out their steps: the settings `executor` and `workers`."""

from __future__ import annotations

import re
from collections.abc import Callable

from slipway import plugins
from slipway.errors import InvalidSetting, near
from slipway.ports.executor import Executor

__all__ = ["THREADS", "check_executor", "executor_opener"]

THREADS = "threads"
_NAMES = (THREADS, "processes", "ray")
_RAY = re.compile(r"ray(://|:)(?P<place>[^/\s]+)")


def check_executor(given: str, workers: int) -> None:
    """Check the settings `executor` and `workers`.

    Raises:
        InvalidSetting: They do not fit.
    """
    if given not in _NAMES and not _RAY.fullmatch(given):
        raise InvalidSetting(
            f"The setting executor is {given!r}.",
            why='It is "threads", "processes", "ray", or a running Ray cluster: "ray://host:10001", "ray:host:6379".',
            fix=near(given, _NAMES, what="executors"),
        )
    if workers < 0:
        raise InvalidSetting(f"The setting workers is {workers}.", fix="Give a number of workers, or leave it out.")


def executor_opener(given: str, workers: int) -> Callable[[], Executor] | None:
    """What opens the executor of one run; None for threads of this process.

    Args:
        given: The setting `executor`.
        workers: The setting `workers`, 0 for as many as there is room for.

    Raises:
        InvalidSetting: They do not fit.
        MissingExtra: What the executor needs is not installed.
    """
    check_executor(given, workers)
    if given == THREADS:
        return None
    if given == "processes":
        pool = plugins.load("executor", "processes")
        return lambda: _typed(pool(workers))
    cluster = plugins.load("executor", "ray")
    match = _RAY.fullmatch(given)
    address = "" if match is None else given if "://" in given else match["place"]
    return lambda: _typed(cluster(address, workers))


def _typed(executor: Executor) -> Executor:
    return executor
