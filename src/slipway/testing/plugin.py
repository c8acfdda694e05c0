"""What pytest loads by itself where Slipway is installed: one fixture. It imports the rest once a test asks for it."""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from slipway.hosts.project import Project

__all__ = ["slipway_project"]


@pytest.fixture
def slipway_project(request: pytest.FixtureRequest) -> "Iterator[Project]":
    """The project around the test's file, open and current, with an empty store that is thrown away."""
    with import_module("slipway.testing.project").opened(request.path.parent) as project:
        yield project
