"""What all tests share: a real workspace in a temporary folder."""

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
from slipway.hosts.online_stores import open_online
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.people import Actor

settings.register_profile("slipway", deadline=None)  # no test depends on how fast a machine is
settings.load_profile("slipway")

START = datetime(2013, 4, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START)


@pytest.fixture
def said() -> list[str]:
    """What the workspace said to a person."""
    return []


@pytest.fixture
def workspace(tmp_path: Path, clock: SimulatedClock, said: list[str]) -> Iterator[Workspace]:
    """A workspace on SQLite and a local folder, current for the test."""
    root = tmp_path / "store"
    ledger = SqliteLedger(root / "ledger.db")
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
