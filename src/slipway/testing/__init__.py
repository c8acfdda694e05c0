"""Tests of a project's own code, for pytest or any other runner: each helper raises AssertionError and says what it found.

`pytest` finds the fixture `slipway_project` by itself: the project around the tests, with an empty store of its own. As in
`slipway` itself, each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipway.testing.budget import Spent as Spent
    from slipway.testing.budget import within as within
    from slipway.testing.data import check_features as check_features
    from slipway.testing.data import check_table as check_table
    from slipway.testing.project import Ran as Ran
    from slipway.testing.project import opened as opened
    from slipway.testing.project import run as run
    from slipway.testing.training import check_learns as check_learns
    from slipway.testing.training import check_overfits as check_overfits
    from slipway.testing.training import check_repeats as check_repeats

__all__ = [
    "Ran", "Spent", "check_features", "check_learns", "check_overfits", "check_repeats", "check_table", "opened", "run", "within",
]  # fmt: skip

_HOMES = {
    "Ran": "project",
    "Spent": "budget",
    "check_features": "data",
    "check_learns": "training",
    "check_overfits": "training",
    "check_repeats": "training",
    "check_table": "data",
    "opened": "project",
    "run": "project",
    "within": "budget",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'slipway.testing' has no attribute {name!r}")
    return getattr(import_module(f"slipway.testing.{_HOMES[name]}"), name)
