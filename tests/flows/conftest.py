"""A small project, released three times once a session, and a fresh copy of it for each test."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_desk import Desk, opened

from slipway.backends.clocks import SimulatedClock
from slipway.data.declare import Table
from slipway.data.ingest import ingest
from slipway.flows.release import run_pipeline
from slipway.hosts.project import Project, open_project

SOURCE = Path(__file__).parent / "small_project"
BORROWER = Path(__file__).parent / "borrowing_project"


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project's folder with three registered versions; nobody may write here."""
    folder = tmp_path_factory.mktemp("released") / "small"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__", ".slipway"))
    path = list(sys.path)
    with open_project(folder, clock=at_start()) as project:
        module = project.module()
        for table in project.declared(Table).values():
            ingest(project.workspace, table)
        for params in ({}, {"rounds": 15}, {"guess": True}):
            run_pipeline(project.workspace, module.release, params, endpoint=module.delays, simulation=True)
    yield folder
    sys.path[:] = path


@pytest.fixture
def clock() -> SimulatedClock:
    return at_start()


@pytest.fixture
def desk(released: Path, tmp_path: Path, clock: SimulatedClock) -> Iterator[Desk]:
    """A copy of the released project, opened."""
    shutil.copytree(released, tmp_path / "small")
    path = list(sys.path)
    with opened(tmp_path / "small", clock) as found:
        yield found
    sys.path[:] = path


@pytest.fixture
def borrower(desk: Desk, tmp_path: Path) -> Iterator[Project]:
    """The other project, opened on the same store."""
    shutil.copytree(BORROWER, tmp_path / "freight", ignore=shutil.ignore_patterns("__pycache__"))
    path = list(sys.path)
    with open_project(tmp_path / "freight", clock=desk.clock) as project:
        yield project
    sys.path[:] = path
    sys.modules.pop("borrowing_freight", None)


def at_start() -> SimulatedClock:
    from datetime import UTC, datetime

    return SimulatedClock(datetime(2013, 4, 1, tzinfo=UTC))
