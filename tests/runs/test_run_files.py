"""What a logging call acknowledged survives kill -9 at every moment, and reaches the ledger exactly once."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from slipway.errors import BackendError, Conflict, Corrupt, InvalidInput, NotFound, Unavailable
from slipway.ledger import entries, run_file, run_flusher, run_log, run_moving
from slipway.ledger.run_absorb import absorb
from slipway.ledger.run_file import MAGIC, RunFile, framed
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.run_entries import EDITION, FileBegun, ParamSet, Point
from slipway.records.runs import Run, RunWriter
from slipway.runs import recovery, search, tracking

# Logs 50 points, and is killed at the moment that its second argument names.
DIES = """
import os, sys, threading
from pathlib import Path
from slipway.hosts.project import open_workspace
from slipway.ledger import run_absorb, run_file, run_flusher, run_log, run_moving
from slipway.runs import tracking

def die(*_, **__):
    os.kill(os.getpid(), 9)

root, moment = sys.argv[1:]
run_flusher._INTERVAL_S = 3600  # nothing is written but by `flush`
workspace = open_workspace(Path(root), project="flights")
if moment == "begun, not in the ledger":
    run_log.move = die
with tracking.start(workspace, "doomed", params={"depth": 6}) as run:
    print(run.id, flush=True)
    for step in range(40):
        run.log_metric("loss", step / 2, step)
    if moment == "torn":
        append = os.write
        def half(handle, data):
            append(handle, data[: len(data) // 2])
            die()
        run.log_text("note.md", "kept")
        run.log_param("rate", 0.1)
        os.write = half
        run.log_metric("loss", 99.0, 99)
    if moment == "in the transaction":
        real = run_absorb.events.record
        run_moving.absorb = lambda *a, **k: run_absorb.absorb(*a, **{**k, "then": die})
        run.flush()
    if moment == "committed, not marked":
        def absorbed(*a, **k):
            run_absorb.absorb(*a, **k)
            die()
        run_moving.absorb = absorbed
        run.flush()
    if moment == "between two pieces":
        run_moving._PIECE_BYTES = 256
        count = []
        def absorbed(*a, **k):
            count.append(1)
            return run_absorb.absorb(*a, **k) if len(count) < 3 else die()
        run_moving.absorb = absorbed
        run.flush()
    if moment == "finished, file still there":
        run_file.RunFile.remove = die
    if moment == "logged":
        die()
"""
MOMENTS = [
    "torn",
    "in the transaction",
    "committed, not marked",
    "between two pieces",
    "finished, file still there",
    "logged",
]


def die(workspace: Workspace, moment: str) -> str:
    done = subprocess.run([sys.executable, "-c", DIES, str(workspace.root), moment], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.strip()


def left(workspace: Workspace) -> list[Path]:
    return RunFile.all_in(run_moving.files_of(workspace))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_process_is_killed(workspace: Workspace, said: list[str], moment: str) -> None:
    run_id = die(workspace, moment)
    assert len(left(workspace)) == 1
    recovery.recover(workspace)
    assert [(p.step, p.value) for p in search.history(workspace, run_id, "loss")] == [(s, s / 2) for s in range(40)]
    run = search.get_run(workspace, run_id)
    assert run.state == ("finished" if moment.startswith("finished") else "killed")
    assert run.params == {"depth": 6} | ({"rate": 0.1} if moment == "torn" else {})
    assert [artifact.name for artifact in run.artifacts] == (["note.md"] if moment == "torn" else [])
    assert any("cut off" in line for line in said) == (moment == "torn")
    assert left(workspace) == []
    with workspace.ledger.read() as tx:
        verbs = [event.verb for event in tx.events(subject=f"run:{run_id}")]
    assert verbs == ["runs.start", "runs.finish" if moment.startswith("finished") else "runs.recover"]


def test_a_process_is_killed_before_the_ledger_knows_the_run(workspace: Workspace) -> None:
    assert die(workspace, "begun, not in the ledger") == ""
    assert search.list_runs(workspace) == []
    recovery.recover(workspace)
    (run,) = search.list_runs(workspace)
    assert (run.name, run.state, run.params) == ("doomed", "killed", {"depth": 6})


def test_whoever_takes_a_file_in_may_be_killed_too(workspace: Workspace) -> None:
    run_id = die(workspace, "logged")
    killed = (
        "import os, sys\nfrom pathlib import Path\nfrom slipway.hosts.project import open_workspace\n"
        "from slipway.ledger.run_file import RunFile\nfrom slipway.runs import recovery\n"
        "RunFile.remove = lambda self: os.kill(os.getpid(), 9)\n"
        "recovery.recover(open_workspace(Path(sys.argv[1]), project='flights'))\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(workspace.root)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(left(workspace)) == 1
    recovery.recover(workspace)
    assert len(search.history(workspace, run_id, "loss")) == 40
    assert left(workspace) == []


def test_a_file_that_somebody_writes_is_left_alone(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        run.log_metric("loss", 1.0)
        assert recovery.take_in(workspace) == 0
        assert len(left(workspace)) == 1
    assert left(workspace) == []


def test_what_nobody_finished_is_taken_in(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log._flusher, "notice", lambda run: None)
    log = run_log.start(workspace)
    log.log_metric("loss", 1.0)
    run_id = log.id
    del log
    assert search.metrics(workspace, run_id) == {}
    assert recovery.take_in(workspace) == 1
    assert search.metrics(workspace, run_id) == {"loss": 1.0}


def test_a_call_that_cannot_be_kept_says_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a write (a full disk) is taken back: what comes next follows the last whole entry."""
    with tracking.start(workspace) as run:
        run.log_metric("loss", 1.0, 1)
        real = os.write
        monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:5]))
        with pytest.raises(Unavailable, match="no space is left"):
            run.log_metric("loss", 2.0, 2)
        with pytest.raises(Unavailable):
            run.log_param("depth", 6)
        monkeypatch.undo()
        assert run.record.params == {}
        run.log_metric("loss", 3.0, 3)
    assert [p.step for p in search.history(workspace, run.id, "loss")] == [1, 3]


def test_a_piece_counts_once_however_often_it_comes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log._flusher, "notice", lambda run: None)  # only this test brings pieces
    log = run_log.start(workspace)
    log.write()
    begin = log._file.size
    for step in range(10):
        log.log_metric("loss", 1.0, step)
    data = log._file.read(begin, 1 << 20)
    cut = 3 * (len(data) // 10)
    writer = log._file.writer
    assert absorb(workspace, log.id, writer, begin, data[:cut]) == begin + cut
    assert absorb(workspace, log.id, writer, begin, data[:cut]) == begin + cut
    assert absorb(workspace, log.id, writer, begin + 2 * cut, data[2 * cut :]) == begin + cut, "a gap takes nothing"
    assert len(search.history(workspace, log.id, "loss")) == 3
    assert absorb(workspace, log.id, writer, begin, data) == begin + len(data)
    assert len(search.history(workspace, log.id, "loss")) == 10
    with pytest.raises(InvalidInput, match="damaged"):
        absorb(workspace, log.id, writer, begin + len(data), data[:-1])
    log.finish()


def test_pieces_that_do_not_fit_are_refused(workspace: Workspace) -> None:
    log = run_log.start(workspace)
    run_id, writer = log.id, "f" * 32

    def file(edition: int = EDITION, project: str = "flights", run: str = run_id, *more: object) -> bytes:
        return MAGIC + b"".join(map(framed, [FileBegun(edition, project, run, writer), *more]))

    for data, kind, sentence in (
        (b"GIF89a..", InvalidInput, "do not begin as"),
        (MAGIC + framed(Point("a", 1.0, 0, 0)), InvalidInput, "whose it is"),
        (file(edition=EDITION + 1), InvalidInput, "Upgrade Slipway"),
        (file(project="other"), InvalidInput, "in 'other'"),
        (file(run="e" * 32), InvalidInput, "is of run e"),
        (MAGIC + framed(["nonsense"]), InvalidInput, "cannot be read"),
    ):
        with pytest.raises(kind, match=sentence) as refused:
            absorb(workspace, run_id, writer, 0, data)
        assert refused.value.fix
    missing = "e" * 32
    with pytest.raises(NotFound, match="no run"):
        absorb(workspace, missing, writer, 0, file(EDITION, "flights", missing, Point("a", 1.0, 0, 0)))
    with pytest.raises(Conflict, match="does not belong"):
        absorb(replace(workspace, project="other"), run_id, writer, 0, file())
    log.finish()


def test_two_processes_that_disagree_leave_a_finding(workspace: Workspace) -> None:
    with tracking.start(workspace, params={"depth": 6}) as run:
        other = RunFile.begun(run_moving.files_of(workspace), "flights", run.id, [ParamSet("depth", 7)])
        run_moving.move(workspace, other, 0)
        other.remove()
    stored = search.get_run(workspace, run.id)
    assert stored.params == {"depth": 6}
    assert [(f.kind, f.key) for f in stored.findings] == [("conflict", "depth")]


def test_what_others_changed_meanwhile_stays(workspace: Workspace) -> None:
    from slipway.ledger import entries

    with tracking.start(workspace) as run:
        with workspace.ledger.write() as tx:
            present = entries.get(tx, Run, run.id)
            entries.put(tx, msgspec.structs.replace(present, tags=present.tags | {"review": "good"}))
        run.set_tag("mine", "x")
    assert search.get_run(workspace, run.id).tags.items() >= {("review", "good"), ("mine", "x")}


@pytest.mark.parametrize("inside", [0, 5, 20])
def test_damage_in_the_middle_is_no_torn_tail(workspace: Workspace, said: list[str], inside: int) -> None:
    run_id = die(workspace, "logged")
    (path,) = left(workspace)
    data = bytearray(path.read_bytes())
    data[inside - 3 * len(framed(Point("loss", 1.0, 1, 2**50)))] ^= 1  # its length, its checksum, its content
    path.write_bytes(data)
    assert recovery.take_in(workspace) == 0
    assert any("damaged at byte" in line for line in said)
    assert path.read_bytes() == data
    file = RunFile.left(path)
    assert file is not None
    with pytest.raises(Corrupt):
        file.cut_torn_tail()
    assert search.get_run(workspace, run_id).name == "doomed"


def test_a_file_of_which_nothing_was_written_goes(workspace: Workspace) -> None:
    path = run_moving.files_of(workspace) / f"{'a' * 32}.{'b' * 32}.runlog"
    path.parent.mkdir()
    for content in (b"", MAGIC[:5], MAGIC, MAGIC + b"\x09"):
        path.write_bytes(content)
        assert recovery.take_in(workspace) == 0
        assert not path.exists()


def test_a_long_file_is_turned_over(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "_TURN_BYTES", 2000)
    with tracking.start(workspace) as run:
        seen = set()
        for step in range(300):
            run.log_metric("loss", 1.0, step)
            if step % 100 == 99:
                run.flush()
                seen |= {path.name for path in left(workspace)}
                assert len(left(workspace)) == 1
        assert len(seen) == 3
    assert len(search.history(workspace, run.id, "loss")) == 300
    assert left(workspace) == []


def test_a_large_entry_passes_whole(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_moving, "_PIECE_BYTES", 64)
    with tracking.start(workspace) as run:
        run.set_tags({"long": "x" * 8000, "short": "y"})
        run.log_metric("loss", 1.0)
    stored = search.get_run(workspace, run.id)
    assert (len(stored.tags["long"]), stored.tags["short"]) == (8000, "y")


FORKS = """
import os, sys, time
from pathlib import Path
from slipway.hosts.project import open_workspace
from slipway.runs import tracking

workspace = open_workspace(Path(sys.argv[1]), project="flights")
with tracking.start(workspace, "parent") as run:
    run.log_metric("loss", 1.0, 0)
    children = []
    for number in range(3):
        child = os.fork()
        if not child:
            for step in range(100):
                run.log_metric(f"worker/{number}", step, step)
            run.flush()
            if number == 2:
                sys.exit(0)  # leaves through the `with` block, and does not end the run
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert len(list((workspace.root / "run-logs").iterdir())) == 4
    run.log_metric("loss", 2.0, 1)
    assert run.record.state == "running"
print(run.id)
"""


def test_forked_workers_log_into_files_of_their_own(workspace: Workspace) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKS, str(workspace.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.split()[-1]
    assert [len(search.history(workspace, run_id, f"worker/{n}")) for n in range(3)] == [100] * 3
    assert search.metrics(workspace, run_id)["loss"] == 2.0
    assert search.get_run(workspace, run_id).state == "finished"
    assert left(workspace) == []


def test_a_ledger_put_back_to_an_older_state_gets_what_the_file_still_has(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_log._flusher, "notice", lambda run: None)
    with tracking.start(workspace) as run:
        for step in range(5):
            run.log_metric("loss", 1.0, step)
        run.flush()
        log = run._log
        with workspace.ledger.write() as tx:
            mark = entries.get(tx, RunWriter, f"{run.id}.{log._file.writer}")
            point = len(framed(Point("loss", 1.0, 1, 2**50)))
            entries.put(tx, msgspec.structs.replace(mark, offset=mark.offset - 2 * point))
        run.log_metric("loss", 1.0, 5)
        run.flush()
    assert [p.step for p in search.history(workspace, run.id, "loss")] == list(range(6))


def test_half_a_character_is_refused_at_the_call(workspace: Workspace) -> None:
    with tracking.start(workspace) as run, pytest.raises(InvalidInput, match="half of a character"):
        run.set_tag("note", "\udcff")


def test_a_number_beyond_64_bits_is_text(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        run.log_params({"seed": 2**70, "least": -(2**63), "most": 2**63 - 1})
    params = search.get_run(workspace, run.id).params
    assert params == {"seed": str(2**70), "least": -(2**63), "most": 2**63 - 1}


def test_the_folder_cannot_be_written(workspace: Workspace) -> None:
    run_moving.files_of(workspace).write_text("a file where the folder should be")
    with pytest.raises(BackendError, match="cannot be made"):
        run_log.start(workspace)
    assert search.list_runs(workspace) == []


def test_the_background_goes_on_when_the_ledger_is_back(
    workspace: Workspace, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_flusher, "_INTERVAL_S", 0.01)

    def away(*_: object, **__: object) -> int:
        raise Unavailable("The ledger is away.", fix="Wait.")

    with tracking.start(workspace) as run:
        with monkeypatch.context() as gone:
            gone.setattr(run_moving, "absorb", away)
            run.log_metric("loss", 1.0)
            end = time.monotonic() + 30
            while not said and time.monotonic() < end:
                time.sleep(0.01)
        assert sum("is away" in line for line in said) == 1
        while not search.metrics(workspace, run.id) and time.monotonic() < end:
            time.sleep(0.01)
        assert search.metrics(workspace, run.id) == {"loss": 1.0}


def test_frames_are_checked_byte_by_byte() -> None:
    data = b"".join(framed(Point("a", float(n), n, n)) for n in range(3))
    each = len(data) // 3
    for cut in range(len(data) + 1):
        assert run_file.whole(data[:cut]) == cut // each * each
    for place in range(each, 2 * each):
        damaged = bytearray(data)
        damaged[place] ^= 0x40
        assert run_file.whole(bytes(damaged)) == each


def test_what_is_to_happen_at_the_end_happens_with_it_or_not_at_all(workspace: Workspace) -> None:
    def point_at(tx: WriteTransaction) -> None:
        tx.set_ref("flights", "alias", "done", "yes", expect=None)

    def broken(tx: WriteTransaction) -> None:
        raise OSError("no")

    log = run_log.start(workspace)
    log.when_finished(point_at)
    log.finish(KeyError("x"))
    log = run_log.start(workspace)
    log.log_metric("loss", 1.0)
    log.when_finished(point_at)
    log.when_finished(broken)
    with pytest.raises(OSError, match="no"):
        log.finish()
    assert search.get_run(workspace, log.id).state == "running"
    log._at_end.pop()
    with workspace.ledger.read() as tx:
        assert tx.ref("flights", "alias", "done") is None
    log.log_metric("loss", 2.0, 1)
    assert log.finish().state == "finished"
    with workspace.ledger.read() as tx:
        assert tx.ref("flights", "alias", "done") == "yes"
    assert search.get_run(workspace, log.id) == log.run
    assert len(search.history(workspace, log.id, "loss")) == 2
    assert left(workspace) == []


def marks(workspace: Workspace) -> list[str]:
    with workspace.ledger.read() as tx:
        return [one.id for one in entries.every(tx, RunWriter)]


def test_what_counted_a_file_goes_with_it(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        run.log_metric("loss", 1.0)
        assert len(marks(workspace)) == 1
    assert marks(workspace) == []
    assert search.metrics(workspace, run.id)["loss"] == 1.0
    die(workspace, "logged")
    assert len(marks(workspace)) == 1
    recovery.recover(workspace)
    assert marks(workspace) == []


@pytest.mark.parametrize("piece", [1 << 20, 256])
def test_a_run_that_comes_whole_is_not_counted_and_comes_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(run_log._flusher, "notice", lambda run: None)  # its end alone brings it to the ledger
    monkeypatch.setattr(run_moving, "_PIECE_BYTES", piece)

    begun: list[str] = []

    def make() -> None:
        log = run_log.start(workspace, is_one_of_many=True)
        begun.append(log.id)
        for step in range(20):
            log.log_metric("loss", 1.0, step)
        log.finish()

    def killed(file: RunFile) -> None:
        file.close()
        raise KeyboardInterrupt

    make()
    assert marks(workspace) == left(workspace) == []
    with monkeypatch.context() as patch:
        patch.setattr(RunFile, "remove", killed)  # after the transaction
        with pytest.raises(KeyboardInterrupt):
            make()
    assert (len(left(workspace)), len(marks(workspace))) == (1, 0 if piece > 256 else 1)
    recovery.recover(workspace)
    assert marks(workspace) == left(workspace) == []
    assert len(search.history(workspace, begun[-1], "loss")) == 20
    with workspace.ledger.read() as tx:
        assert [event.verb for event in tx.events(subject=f"run:{begun[-1]}")] == ["runs.start", "runs.finish"]


def test_a_copy_whose_ledger_is_younger_than_a_file_has_the_run_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr(run_log._flusher, "notice", lambda run: None)
    log = run_log.start(workspace)
    log.log_metric("loss", 1.0, 0)
    (path,) = left(workspace)
    copied = path.read_bytes()
    log.log_metric("loss", 1.0, 1)
    log.finish()
    assert left(workspace) == []
    path.write_bytes(copied)  # the files of a store are copied first, the ledger after them
    told = len(said)
    assert recovery.recover(workspace) == []
    assert (left(workspace), said[told:]) == ([], [])
    assert [point.step for point in search.history(workspace, log.id, "loss")] == [0, 1]


def test_a_process_that_was_killed_between_the_two_leaves_nothing_for_good(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        path, mark = run._log._file.path, f"{run.id}.{run._log._file.writer}"
        run.flush()
        recovery.recover(workspace)
        assert marks(workspace) == [mark], "its file is there"
        with workspace.ledger.read() as tx:
            counted = entries.get(tx, RunWriter, mark)
    with workspace.ledger.write() as tx:
        entries.put(tx, counted)
        entries.put(tx, msgspec.structs.replace(counted, id=f"{run.id}.{'f' * 32}", name=""))
    assert not path.exists()
    recovery.recover(workspace)
    assert marks(workspace) == [f"{run.id}.{'f' * 32}"], "of a file elsewhere nobody here knows"


def test_another_machine_that_opens_its_folder_leaves_alone_what_is_written_here(
    workspace: Workspace, tmp_path: Path
) -> None:
    with tracking.start(workspace) as run:
        run.log_metric("loss", 1.0, 0)
        run.flush()
        recovery.recover(replace(workspace, root=tmp_path / "elsewhere"))
        assert len(marks(workspace)) == 1
        run.log_metric("loss", 0.5, 1)
    assert [point.value for point in search.history(workspace, run.id, "loss")] == [1.0, 0.5]
