"""Two people, two processes, one endpoint: whoever has its turn first wins, the other gets a sentence, and nothing is half."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_desk import BETTER, FIRST, GUESSING, NAME, Desk
from steady_load import steady

from slipway.flows import rollouts
from slipway.flows.endpoints import revision_of
from slipway.flows.turns import turn
from slipway.ledger import entries
from slipway.records.endpoints import Revision
from slipway.records.rollouts import Rollout
from slipway.serving.swap import REVISION_FILE, read_revision

pytestmark = pytest.mark.full

DECLARED = """
delays = sw.Endpoint(
    "small-delays",
    pipeline=release,
    features=features,
    gate=sw.Gate(sw.metric("auc") >= 0.3),
    key=["flight_id"],
    rollout=[sw.Canary(steps=(50, 100))],
)
"""


@pytest.fixture
def folder(desk: Desk, tmp_path: Path) -> Path:
    """The project as both people see it; its first version serves."""
    with (tmp_path / "small" / "small_delays.py").open("a") as module:
        module.write(DECLARED)
    code, said = run(tmp_path / "small", "deploy", f"{NAME}:{FIRST}")
    assert code == 0, said
    return tmp_path / "small"


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "slipway", *words]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(folder: Path, *words: str) -> tuple[int, str]:
    """How a command ended, and what it said."""
    process = command(folder, *words)
    said = process.communicate(timeout=900)[0]
    return process.returncode, said


def waits(process: subprocess.Popen[str]) -> bool:
    """Whether a process stands at the endpoint's turn: it has read what serves, and decided."""
    found = []
    for entry in Path(f"/proc/{process.pid}/fd").glob("*"):
        try:
            found.append(entry.readlink().name)
        except OSError:  # closed meanwhile
            continue
    return "deploy.lock" in found


def at_once(desk: Desk, folder: Path, *each: tuple[str, ...]) -> list[tuple[int, str]]:
    """Run commands that all have decided before any of them may act; gives how each ended and what it said."""
    with turn(desk.workspace, NAME):
        processes = [command(folder, *words) for words in each]
        until = time.monotonic() + 120
        while not all(waits(one) for one in processes):
            assert time.monotonic() < until, [one.poll() for one in processes]
            assert all(one.poll() is None for one in processes), [one.communicate()[0] for one in processes]
            time.sleep(0.02)
    ended = [(one.communicate(timeout=900)[0], one.returncode) for one in processes]
    return [(code, said) for said, code in ended]


def revisions(desk: Desk) -> list[Revision]:
    """All of them, oldest first; the folder says what the newest says."""
    with desk.workspace.ledger.read() as tx:
        found = entries.find(tx, Revision, project=desk.workspace.project, name=NAME, limit=100)
    newest = revision_of(desk.workspace, NAME)
    assert read_revision(desk.folder / REVISION_FILE, desk.workspace.signer) == newest
    status = desk.workspace.launcher.status(desk.folder)
    assert status is not None
    assert status.revision == newest.number
    return sorted(found, key=lambda one: one.number)


def all_rollouts(desk: Desk) -> list[Rollout]:
    with desk.workspace.ledger.read() as tx:
        return list(entries.find(tx, Rollout, project=desk.workspace.project, name=NAME, limit=100))


@pytest.mark.parametrize("expect", [(), ("--expect", "1")])
def test_of_two_that_deploy_at_once_one_begins_its_roll_out(desk: Desk, folder: Path, expect: tuple[str, ...]) -> None:
    status = desk.workspace.launcher.status(desk.folder)
    assert status is not None
    with steady(status.url) as load:
        load.until_more(10)
        told = at_once(desk, folder, *(("deploy", f"{NAME}:{number}", *expect) for number in (BETTER, GUESSING)))
        load.until_more(10)
    assert load.failures == []
    won = [place for place, (code, _) in enumerate(told) if code == 0]
    assert len(won) == 1, told
    winner, loser = (BETTER, GUESSING) if won == [0] else (GUESSING, BETTER)
    _, said = told[1 - won[0]]
    assert "published revision 2 of 'small-delays' meanwhile" in said, said
    assert f"small-delays {winner} beside it" in said
    assert "Traceback" not in said
    assert [(one.served.number, one.challenger and one.challenger.served.number) for one in revisions(desk)] == [
        (FIRST, None),
        (FIRST, winner),
    ]
    (rollout,) = all_rollouts(desk)
    assert (rollout.challenger.number, rollout.is_under_way) == (winner, True)
    with desk.workspace.ledger.read() as tx:
        judged = [link.target for link in tx.links(f"bundle:{desk.version(loser).bundle}", towards=False)]
    assert not [one for one in judged if one.startswith("revision:")], judged


def test_during_a_roll_out_a_deployment_is_refused_and_of_two_that_end_it_one_does(desk: Desk, folder: Path) -> None:
    code, said = run(folder, "deploy", f"{NAME}:{BETTER}")
    assert code == 0, said
    for expect in ((), ("--expect", "2")):
        code, said = run(folder, "deploy", f"{NAME}:{GUESSING}", *expect)
        assert code != 0
        assert f"small-delays {BETTER} is being rolled out at 'small-delays' (canary)." in said
    code, said = run(folder, "deploy", f"{NAME}:{GUESSING}", "--at-once", "--expect", "1")
    assert code != 0
    assert "published revision 2 of 'small-delays' meanwhile" in said
    assert len(revisions(desk)) == 2
    told = at_once(
        desk,
        folder,
        ("deploy", f"{NAME}:{GUESSING}", "--at-once"),
        ("rollout", "abort", NAME, "--expect", "2", "--reason", "complaints"),
    )
    assert sorted(code == 0 for code, _ in told) == [False, True], told
    is_replaced = told[0][0] == 0
    assert "published revision 3 of 'small-delays' meanwhile" in told[1 if is_replaced else 0][1]
    *_, newest = revisions(desk)
    assert (newest.number, newest.challenger) == (3, None)
    assert newest.served.number == (GUESSING if is_replaced else FIRST)
    assert is_replaced or rollouts.under_way(desk.workspace, NAME) is None
