"""What all tests share: a real workspace in a temporary folder."""

import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings

from slipway.backends.clocks import SimulatedClock
from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.backends.local_blobs import LocalBlobs
from slipway.backends.process_launcher import ProcessLauncher
from slipway.backends.process_runner import ProcessRunner
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.hosts.ledgers import open_ledger
from slipway.hosts.online_stores import open_online
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.people import Actor

settings.register_profile("slipway", deadline=None)  # no test depends on how fast a machine is
settings.load_profile("slipway")

START = datetime(2013, 4, 1, tzinfo=UTC)
LONGEST = ("journeys/test_demo.py", "journeys/test_notebooks.py", "journeys/test_simulate.py", "rollout/test_judge.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes begin first: at the end one of them would run alone, while the other workers wait."""
    places = {f"tests/{file}": place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


@pytest.fixture(autouse=True)
def no_modules_of_removed_folders() -> Iterator[None]:
    """What a test imported from its temporary folder goes with it: the next project may have modules of the same names."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and not os.path.exists(file):
            del sys.modules[name]


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START)


@pytest.fixture
def said() -> list[str]:
    """What the workspace said to a person."""
    return []


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger as it is made, with nothing in it; to be copied."""
    path = tmp_path_factory.mktemp("empty") / "ledger.db"
    SqliteLedger(path).close()
    return path


@pytest.fixture
def ledger_url() -> str:
    """The database of the workspace's ledger; a module whose tests run on both has a fixture of its own, see postgres_here."""
    return ""


@pytest.fixture
def workspace(
    tmp_path: Path, empty_ledger: Path, clock: SimulatedClock, said: list[str], ledger_url: str
) -> Iterator[Workspace]:
    """A workspace on SQLite, or the database, and a local folder; current for the test."""
    root = tmp_path / "store"
    root.mkdir(exist_ok=True)
    if not ledger_url:
        shutil.copyfile(empty_ledger, root / "ledger.db")
    ledger = open_ledger(root, ledger_url or None)
    opened = Workspace(
        project="flights",
        environment="dev",
        actor=Actor("ada", roles=("admin",)),
        root=root,
        ledger=ledger,
        blobs=LocalBlobs(root / "blobs"),
        clock=clock,
        signer=Ed25519Signer(root / "keys"),
        launcher=ProcessLauncher(),
        runner=ProcessRunner(),
        open_online=open_online,
        say=said.append,
    )
    with current_workspace.filled(opened):
        yield opened
    ledger.close()
