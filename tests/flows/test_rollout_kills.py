"""`slipway up`, an endpoint's supervisor and its workers are killed while a challenger is rolled out under load.

After each restart everything is as the newest revision says, and a kill of what decides costs no caller anything.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benchmarks.rollout_faults import NAME, Load, registered

import slipway as sw
from slipway.flows import rollouts
from slipway.flows.deploy import deploy
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.release import declare_endpoint
from slipway.hosts.project import open_workspace
from slipway.ledger import entries
from slipway.ledger.projects import register
from slipway.operations.endpoints import Deploy
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import EndpointStatus, Revision
from slipway.records.rollouts import Rollout
from slipway.serving.swap import REVISION_FILE, read_revision

pytestmark = pytest.mark.full

CALLERS = 4


class Up:
    """A real `slipway up` in the hands of a test."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-m", "slipway", "up", "--root", str(root), "--port", "0", "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A sound model serves, by two workers; its endpoint declares a canary in three steps."""
    opened = open_workspace(tmp_path / "store", project=NAME)
    register(opened)
    registered(opened, ("sound", "equal"))
    plan = [sw.Canary(steps=(20, 60, 100), margin=0.2, alpha=0.05, deadline="1h", slow="1s")]
    declare_endpoint(opened, sw.Endpoint(NAME, key="case", rollout=plan, workers=2))
    deploy(opened, Deploy(model=NAME, version="1"))
    yield opened
    opened.launcher.stop(folder_of(opened, NAME))
    opened.ledger.close()


def until(look: Callable[[], object], within_s: float = 150.0) -> None:
    end = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def status_of(workspace: Workspace) -> EndpointStatus | None:
    found: EndpointStatus | None = workspace.launcher.status(folder_of(workspace, NAME))
    return found


def number(workspace: Workspace) -> int:
    return revision_of(workspace, NAME).number


def rollout_of(workspace: Workspace) -> Rollout:
    found = rollouts.newest(workspace, NAME)
    assert found is not None
    return found


def is_whole(workspace: Workspace) -> None:
    """Record, newest revision, signed file and process all say the same."""

    def agree() -> bool:
        newest, status = revision_of(workspace, NAME), status_of(workspace)
        told = read_revision(folder_of(workspace, NAME) / REVISION_FILE, workspace.signer)
        return told == newest and status is not None and (status.revision, status.state) == (newest.number, "ready")

    until(agree)
    rollout, newest = rollout_of(workspace), revision_of(workspace, NAME)
    if rollout.is_under_way:
        assert newest.challenger is not None
        assert newest.challenger.fraction == pytest.approx(rollout.percent / 100)
        assert newest.served == rollout.champion
    else:
        assert newest.served == (rollout.challenger if rollout.state == "promoted" else rollout.champion)


@pytest.mark.long
def test_whoever_decides_is_killed_at_every_step_and_it_goes_on_to_the_end(
    workspace: Workspace, tmp_path: Path
) -> None:
    status = status_of(workspace)
    assert status is not None
    load = Load(status.url, 60.0)
    server = Up(tmp_path / "store")
    load.start()
    try:
        deploy(workspace, Deploy(model=NAME, version="2"))
        for step, moment_s in enumerate((0.0, 0.05, 0.3)):  # in the middle of a step's publication, or just after it
            had = step + 2
            until(lambda had=had: number(workspace) >= had)  # type: ignore[misc]
            time.sleep(moment_s)
            server.kill()
            killed_at, answered = number(workspace), len(load.answers)
            until(lambda answered=answered: len(load.answers) > answered + 30)  # type: ignore[misc]
            assert number(workspace) == killed_at, "nobody decides meanwhile"
            server = Up(tmp_path / "store")
            is_whole(workspace)
        until(lambda: not rollout_of(workspace).is_under_way)
        is_whole(workspace)
    finally:
        load.stop()
        server.kill()
    assert rollout_of(workspace).state == "promoted", rollout_of(workspace).reason
    assert load.failures == [], "the endpoint is not the control plane's child"
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=NAME, limit=100)
    shares = [one.challenger.fraction if one.challenger else None for one in sorted(known, key=lambda one: one.number)]
    assert [one for one in shares if one] == [0.2, 0.6], "no step twice, and none left out"
    looks = [look for look in rollout_of(workspace).looks if look.verdict == "not worse"]
    assert [look.step for look in looks] == [0, 1], "no step without its verdict"


def workers(workspace: Workspace) -> list[int]:
    folder = folder_of(workspace, NAME) / "workers"
    found = [int(path.stem.rpartition("-")[2]) for path in folder.glob("*.json")]
    return [pid for pid in found if Path(f"/proc/{pid}").exists()]


@pytest.mark.long
def test_supervisor_and_workers_are_killed_in_a_canary_and_it_is_what_it_was(
    workspace: Workspace, tmp_path: Path
) -> None:
    deploy(workspace, Deploy(model=NAME, version="2"))
    status = status_of(workspace)
    assert status is not None
    load = Load(status.url, 60.0)
    load.start()
    try:
        until(lambda: len(load.answers) > 30)
        os.kill(workers(workspace)[0], signal.SIGKILL)
        until(lambda: len(workers(workspace)) == 2)
        answered = len(load.answers)
        until(lambda: len(load.answers) > answered + 60)
        assert len(load.failures) <= CALLERS, load.failures  # what it had in hand, one a connection at most
        former = revision_of(workspace, NAME)
        supervisor = status_of(workspace)
        assert supervisor is not None
        os.kill(supervisor.pid, signal.SIGKILL)  # its workers stop by themselves: nobody answers until a pass starts it
        until(lambda: not workers(workspace))
        server = Up(tmp_path / "store")
        try:
            until(lambda: (found := status_of(workspace)) is not None and found.pid != supervisor.pid)
            is_whole(workspace)
            again = len(load.answers)
            until(lambda: len(load.answers) > again + 30)
        finally:
            server.kill()
    finally:
        load.stop()
    now = revision_of(workspace, NAME)
    assert now.number >= former.number
    assert {version for _, found in load.answers for version in found} == {1, 2}
