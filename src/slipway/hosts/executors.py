"""Where an environment's pipelines carry out their steps: the settings `executor` and `workers`."""

from __future__ import annotations

import re

from slipway import plugins
from slipway.errors import InvalidSetting, near
from slipway.ports.executor import Executor, Placement

__all__ = ["THREADS", "check_executor", "placement"]

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


def placement(given: str, workers: int) -> Placement:
    """Where the steps of pipelines are carried out.

    Args:
        given: The setting `executor`.
        workers: The setting `workers`, 0 for as many as there is room for.

    Raises:
        InvalidSetting: They do not fit.
    """
    check_executor(given, workers)
    if given == THREADS:
        return Placement(workers=workers)
    if given == "processes":
        return Placement(lambda: _opened("processes", workers), workers, setting=given)
    match = _RAY.fullmatch(given)
    address = "" if match is None else given if "://" in given else match["place"]
    return Placement(lambda: _opened("ray", address, workers), workers, is_elsewhere=True, setting=given)


def _opened(name: str, *given: object) -> Executor:
    """Open an executor.

    Raises:
        MissingExtra: What it needs is not installed.
    """
    executor: Executor = plugins.load("executor", name)(*given)
    return executor
