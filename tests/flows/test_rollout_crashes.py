"""Whoever moves a roll-out is killed at some moment of it: one pass later folder, record and newest revision agree."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_desk import BETTER, FIRST, NAME, Desk

import slipway as sw
from slipway.flows import rollouts
from slipway.flows.endpoints import revision_of
from slipway.loop import CONTROLLER
from slipway.loop.reconcile import reconcile
from slipway.operations.rollouts import Reconcile
from slipway.records.rollouts import Look, Rollout, RolloutVerdict
from slipway.serving.swap import REVISION_FILE, read_revision

pytestmark = pytest.mark.full

CHILD = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
sys.path[:0] = sys.argv[4].split(os.pathsep)
import small_desk
from test_rollout_crashes import MOVES
from slipway.backends.clocks import SimulatedClock
from slipway.flows import publish

def dies(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

name = {"before the ledger": "_numbered", "before the folder": "_publish", "before it serves": "_await"}[sys.argv[3]]
clock = SimulatedClock(datetime(2013, 4, 1, 1, tzinfo=UTC))
with small_desk.opened(Path(sys.argv[1]), clock) as desk:
    setattr(publish, name, dies)
    MOVES[sys.argv[2]](desk.without_processes())
"""


def _moved(verdict: RolloutVerdict) -> Callable[[Desk], object]:
    def move(desk: Desk) -> None:
        present = rollouts.under_way(desk.workspace, NAME)
        assert present is not None
        look = Look(at=desk.clock.now(), phase="canary", step=present.step, verdict=verdict, sentence=verdict)
        rollouts.advance(desk.workspace, present, look)

    return move


MOVES: dict[str, Callable[[Desk], object]] = {
    "begin": lambda desk: desk.deploy(BETTER),
    "step": _moved("not worse"),
    "promote": _moved("not worse"),
    "stop": _moved("worse"),
    "roll back": lambda desk: desk.rollback(),
}


def _prepared(desk: Desk, move: str) -> Desk:
    still = desk.without_processes()
    still.declare(
        rollout=[sw.Canary(steps=(50, 100) if move == "promote" else (10, 50, 100))],
        gate=sw.Gate(sw.metric("auc") >= 0.3),
    )
    still.deploy(FIRST)
    if move != "begin":
        still.deploy(BETTER)
    return still


def _killed(folder: Path, move: str, moment: str) -> None:
    paths = os.pathsep.join(path for path in sys.path if "tests" in path)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), move, moment, paths], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


def _newest(desk: Desk) -> Rollout | None:
    return rollouts.newest(desk.workspace, NAME)


@pytest.mark.parametrize("moment", ["before the ledger", "before the folder", "before it serves"])
@pytest.mark.parametrize("move", MOVES)
def test_one_pass_later_everything_says_what_the_newest_revision_says(
    desk: Desk, tmp_path: Path, move: str, moment: str
) -> None:
    still = _prepared(desk, move)
    before = revision_of(still.workspace, NAME).number
    was_serving = revision_of(still.workspace, NAME).served
    _killed(tmp_path / "small", move, moment)
    newest = revision_of(still.workspace, NAME)
    assert newest.number == before + (moment != "before the ledger"), "a move is written whole, or not at all"
    with_controller = replace(still.workspace, actor=CONTROLLER)
    reconcile(with_controller, Reconcile(endpoint=NAME))
    newest, rollout = revision_of(still.workspace, NAME), _newest(still)
    assert read_revision(still.folder / REVISION_FILE, still.workspace.signer) == newest
    if rollout is not None and rollout.is_under_way:
        assert newest.challenger is not None
        assert newest.challenger.rollout_id == rollout.id
    elif rollout is not None and rollout.state == "promoted":
        assert newest.challenger is not None, "the way back stays warm for the label delay"
        assert (newest.challenger.served, newest.challenger.fraction) == (rollout.champion, 0.0)
    else:
        assert newest.challenger is None
    is_promoted = rollout is not None and rollout.state == "promoted"
    assert (newest.served != was_serving) == is_promoted
    if is_promoted:
        assert rollout is not None
        assert [look.verdict for look in rollout.looks][-1] == "not worse", "nobody is promoted without a verdict"


def test_an_endpoint_whose_processes_are_killed_in_a_canary_answers_again_after_one_pass(desk: Desk) -> None:
    desk.declare(rollout=[sw.Canary(steps=(50, 100))], gate=sw.Gate(sw.metric("auc") >= 0.3))
    desk.deploy(FIRST)
    deployed = desk.deploy(BETTER)
    assert deployed.status is not None
    begun = revision_of(desk.workspace, NAME)
    workers = [int(path.stem.rpartition("-")[2]) for path in (desk.folder / "workers").glob("*.json")]
    for pid in (deployed.status.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    while desk.workspace.launcher.status(desk.folder) is not None:  # until the lock is free
        pass
    reconcile(desk.workspace, Reconcile(endpoint=NAME))
    status = desk.workspace.launcher.status(desk.folder)
    assert status is not None
    assert (status.state, status.revision) == ("ready", begun.number)
    desk.workspace.launcher.stop(desk.folder)
    reconcile(desk.workspace, Reconcile(endpoint=NAME))
    assert desk.workspace.launcher.status(desk.folder) is None, "who was stopped by a person stays stopped"
