"""Controllers that are killed between any two writes, and two at once whose clocks differ: each firing runs once."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import postgres_here
from scheduled import CRON, START, Desk, firings_in
from slipway.backends.clocks import FileClock
from slipway.hosts.project import open_workspace
from slipway.hosts.store_clock import CLOCK_FILE
from slipway.records.schedules import Firing

DIE = """
import os, signal, sys
from contextlib import contextmanager
from dataclasses import replace
from slipway.hosts.project import open_project
from slipway.loop.schedules import pass_over_schedules

folder, at = sys.argv[1], int(sys.argv[2])
moments = 0

def moment():
    global moments
    moments += 1
    if moments == at:
        os.kill(os.getpid(), signal.SIGKILL)

class Ledger:
    def __init__(self, real):
        self.real = real
    def __getattr__(self, name):
        return getattr(self.real, name)
    @contextmanager
    def write(self):
        with self.real.write() as tx:
            yield tx
            moment()  # all is written, nothing is committed
        moment()

class Runner:
    def __init__(self, real):
        self.real = real
    def __getattr__(self, name):
        return getattr(self.real, name)
    def start(self, folder):
        moment()
        self.real.start(folder)
        moment()

with open_project(folder) as project:
    real = project.workspace
    for _ in range(2):
        pass_over_schedules(replace(real, ledger=Ledger(real.ledger), runner=Runner(real.runner)))
print(moments)
"""
LOOK = """
import sys, time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from slipway.errors import SlipwayError
from slipway.hosts.project import open_workspace
from slipway.loop.schedules import pass_over_schedules

root, minutes = Path(sys.argv[1]), float(sys.argv[2])
workspace = open_workspace(root, project="flights")

class Clock:
    def now(self):
        return workspace.clock.now() + timedelta(minutes=minutes)

while True:
    try:
        pass_over_schedules(replace(workspace, clock=Clock()))
    except SlipwayError as problem:
        print(problem, flush=True)
    time.sleep(0.05)
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    folder = tmp_path / "one"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return Desk(folder)


def dying(desk: Desk, moment: int) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-P", "-c", DIE, str(desk.folder), str(moment)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.full
def test_a_controller_that_is_killed_between_any_two_writes_goes_on(desk: Desk) -> None:
    desk.declare(f'{CRON}, catch_up="all"')
    moment, killed = 0, 0
    for day in range(1, 20):
        moment += 1
        desk.at(days=day, hours=1.5)
        done = dying(desk, moment)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        desk.look(3)
        assert desk.states()[-1] == (f"{day + 1:02d} 01:00", "finished")
        assert len(desk.log()) == len(desk.firings()) == day
        if done.returncode == 0:
            break
        killed += 1
    assert killed >= 6  # two writes and a start, and after each of them
    assert int(done.stdout) < moment


class Controllers:
    """Two of them, whose clocks differ; either may be killed and is started again."""

    def __init__(self, roots: list[Path]) -> None:
        self.roots = roots
        self.processes = [self._start(number) for number in range(2)]

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        root = self.roots[number % len(self.roots)]
        skew = "-4" if number else "6"
        with (root.parent / f"controller{number}.log").open("ab") as log:
            words = [sys.executable, "-P", "-c", LOOK, str(root), skew]
            return subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)

    def kill(self, number: int) -> None:
        self.processes[number].kill()
        self.processes[number].wait()

    def again(self, number: int) -> None:
        self.processes[number] = self._start(number)

    def end(self) -> None:
        for number in range(2):
            self.kill(number)


def firings(root: Path) -> list[Firing]:
    workspace = open_workspace(root, project="flights")
    try:
        return firings_in(workspace)
    finally:
        workspace.ledger.close()


def counted(roots: list[Path], log: Path, seed: int) -> None:
    """Let two controllers look while time goes by and either is killed; every time must have run once."""
    draw = random.Random(seed)
    clocks = [FileClock(root / CLOCK_FILE) for root in roots]
    controllers = Controllers(roots)
    try:
        for minutes in range(10, 151, 10):
            for clock in clocks:
                clock.advance_to(START + timedelta(minutes=minutes))
            time.sleep(draw.uniform(0.1, 0.7))
            if draw.random() < 0.5:
                number = draw.randrange(2)
                controllers.kill(number)
                time.sleep(draw.uniform(0, 0.3))
                controllers.again(number)
        expected = [START + timedelta(minutes=20 * number) for number in range(1, 8)]
        until = time.monotonic() + 120
        while [one.state for one in firings(roots[0])] != ["finished"] * len(expected):
            assert time.monotonic() < until, firings(roots[0])
            time.sleep(0.3)
    finally:
        controllers.end()
    assert [one.due_at for one in firings(roots[0])] == expected
    assert len(log.read_text().splitlines()) == len(expected)


EVERY = 'when=[sw.cron("*/20 * * * *")], catch_up="all", overlap="allow"'


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2))
def test_two_controllers_of_one_folder(desk: Desk, seed: int) -> None:
    desk.declare(EVERY)
    counted([desk.folder / ".slipway"], desk.folder / "log", seed)


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_here.cleaned() as found:
        yield found


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2))
def test_two_controllers_of_two_folders_on_one_database(desk: Desk, url: str, seed: int) -> None:
    shutil.rmtree(desk.folder / ".slipway")
    (desk.folder / ".slipway").mkdir()
    FileClock(desk.folder / ".slipway" / CLOCK_FILE).advance_to(START)
    more = f'[environments.dev]\nledger = "{url}"\n'
    settings = desk.folder / "slipway.toml"
    settings.write_text(settings.read_text() + more)
    desk.declare(EVERY)
    second = desk.folder.parent / "two" / ".slipway"
    second.parent.mkdir()
    shutil.copytree(desk.folder / ".slipway", second, ignore=shutil.ignore_patterns("folder.id", "tasks"))
    counted([desk.folder / ".slipway", second], desk.folder / "log", seed)
