"""Going through the journey: each behaviour in its order, whatever became of the one before."""

import time
import traceback
from pathlib import Path

import pytest

from conformance_journey.behaviours import BEHAVIOURS, Behaviour
from conformance_journey.world import World, opened


def walked(column: str, home: Path, slowest: dict[str, float] | None = None) -> dict[str, str]:
    """Go through a column.

    Args:
        column: "embedded" or "scaled".
        home: An empty folder.
        slowest: Receives the seconds that each behaviour took.

    Returns:
        What failed: the traceback by the behaviour's name.
    """
    failed: dict[str, str] = {}
    with opened(column, home) as world:
        for behaviour in BEHAVIOURS:
            began = time.perf_counter()
            if said := _said(behaviour, world):
                failed[name_of(behaviour)] = said
            if slowest is not None:
                slowest[name_of(behaviour)] = time.perf_counter() - began
    return failed


def name_of(behaviour: Behaviour) -> str:
    """The behaviour's place in the code."""
    return f"{behaviour.__module__.rpartition('.')[2]}.{behaviour.__name__}"


def _said(behaviour: Behaviour, world: World) -> str:
    try:
        behaviour(world)
    except (Exception, pytest.fail.Exception):  # the page tells of each
        return traceback.format_exc()
    return ""
