"""A purge beside writers, and one whose process is killed."""

import random
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from purge_desk import Killed, age, blobs, kept, mortal, new_run, new_version, purge, put, verified

from slipway.hashing import digest
from slipway.ledger import entries
from slipway.models import numbered
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.records.trash import Purge
from slipway.runs import outside

CONTENTS = [b"content %d" % number for number in range(120)]
CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import purge_desk
from slipway.hosts.project import open_workspace

class Waiting(purge_desk.Mortal):
    def step(self):
        if self.left == 0:
            print("here", flush=True)
            time.sleep(3600)
        self.left -= 1

purge_desk.Mortal = Waiting
workspace = open_workspace(Path(sys.argv[1]), project="flights", environment="dev", say=print)
purge_desk.purge(purge_desk.mortal(workspace, int(sys.argv[2])), older_than_days=0)
print("done", flush=True)
"""


def test_a_writer_that_stores_the_same_bytes_meanwhile_never_loses_them(workspace: Workspace) -> None:
    for data in CONTENTS:
        put(workspace, f"run:{new_run(workspace, data)}")
    age(workspace, *CONTENTS)
    begin = threading.Barrier(3)
    made: list[str] = []

    def write(seed: int) -> None:
        mine = random.Random(seed).sample(CONTENTS, 60)
        begin.wait()
        for data in mine:
            stored = kept(workspace, "file0", data)
            with workspace.ledger.write() as tx:
                run = outside.create(tx, workspace, experiment="0", tags={})
                outside.store_file(tx, workspace, run.id, stored)
            made.append(run.id)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(2)]
    for writer in writers:
        writer.start()
    begin.wait()
    done = purge(workspace, older_than_days=0, grace_days=1)
    for writer in writers:
        writer.join()
    assert len(done.items) == len(CONTENTS)
    with workspace.ledger.read() as tx:
        files = [file.digest for id in made for file in entries.get(tx, Run, id).artifacts]
    assert len(files) == 120
    assert {digest(workspace.blobs.get(file)) for file in files} == set(files)
    assert blobs(workspace) >= set(files)


@pytest.mark.parametrize("steps", [0, 1, 3, 5])
def test_a_purge_that_was_killed_is_finished_by_the_next_one(workspace: Workspace, steps: int) -> None:
    going = [new_run(workspace, b"own %d" % number, b"shared") for number in range(4)]
    stays = new_run(workspace, b"shared")
    for run in going:
        put(workspace, f"run:{run}")
    here = str(Path(__file__).parent)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(workspace.root), str(steps), here], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == "here\n"
        child.send_signal(signal.SIGKILL)
    with workspace.ledger.read() as tx:
        left = {run.id for run in entries.every(tx, Run)}
        for id in left:
            assert {digest(workspace.blobs.get(file.digest)) for file in outside.get(tx, workspace, id).artifacts}
        assert bool(list(entries.every(tx, Purge))) == (steps > 0)
    assert left == ({*going, stays} if steps == 0 else {stays})
    done = purge(workspace, older_than_days=0)
    assert set(done.items) == {f"run:{id}" for id in left - {stays}}
    assert blobs(workspace) == {digest(b"shared")}
    with workspace.ledger.read() as tx:
        assert list(entries.every(tx, Purge)) == []
    assert verified(workspace) > 0


@pytest.mark.parametrize("steps", range(6))
def test_a_model_is_there_while_its_newest_version_is_purged(workspace: Workspace, steps: int) -> None:
    for number in range(1, 4):
        assert new_version(workspace, "m", new_run(workspace, b"%d" % number)).number == number
    put(workspace, "model:m:3", "model:m:2")
    with suppress(Killed):
        purge(mortal(workspace, steps), "model:m:3", "model:m:2")
    with workspace.ledger.read() as tx:
        assert numbered.look_up(tx, "flights", "m", "latest").number == 1
    purge(workspace, older_than_days=0)
    assert new_version(workspace, "m", new_run(workspace)).number == 4
