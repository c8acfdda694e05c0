"""Runs sent to a server that goes away and comes back: nothing lost, nothing doubled, nobody waits."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import slipway as sw
from hosts_up import up
from slipway.errors import BackendError, Conflict, InvalidInput, NotFound, SlipwayError, UserError
from slipway.hashing import digest
from slipway.hosts.project import open_workspace
from slipway.ledger import artifacts, run_flusher, run_log
from slipway.ledger.run_file import MAGIC, RunFile, framed
from slipway.operations.runs import SyncRun, Upload
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.run_entries import (
    EDITION,
    ArtifactKept,
    Begun,
    FileBegun,
    Finished,
    LinkMade,
    ParamSet,
    Point,
    StepKept,
    TagSet,
    WorkersHeld,
)
from slipway.records.runs import Artifact, Run, StepRun, WorkerTime
from slipway.runs import receiving, search


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def project(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project whose runs go to a server; it is the present one."""
    folder = tmp_path / "project"
    folder.mkdir()
    server = f'[project]\nname = "flights"\n[environments.dev]\nserver = "http://127.0.0.1:{port}"\n'
    (folder / "slipway.toml").write_text(server)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(run_flusher, "_INTERVAL_S", 0.05)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Workspace]:
    """The server's store, looked at from beside it."""
    opened = open_workspace(tmp_path / "kept", project="flights")
    yield opened
    opened.ledger.close()


def waiting(project: Path) -> list[Path]:
    return RunFile.all_in(project / ".slipway" / "outbox" / "run-logs")


def until(what: Any) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_server_is_killed_and_comes_back(
    project: Path, store: Workspace, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = os.urandom(5 << 20)
    (project / "picture.bin").write_bytes(picture)
    with sw.run("baseline", experiment="first", params={"depth": 6}) as run:  # nobody answers yet
        run.log_metric("loss", 1.0, 0)
        with up(store.root, "--port", str(port)) as (_, server):
            until(lambda: search.list_runs(store))
            for step in range(1, 50):
                run.log_metric("loss", 1.0, step)
            until(lambda: search.history(store, run.id, "loss"))
            server.send_signal(signal.SIGKILL)
            server.wait()
            for step in range(50, 100):
                run.log_metric("loss", 1.0, step)
            run.log_artifact(Path("picture.bin"))
            run.set_tag("note", "while it was away")
        with up(store.root, "--port", str(port)):
            until(lambda: len(search.history(store, run.id, "loss")) == 100)
            rows = run.log_artifact("rows", {"a": [1, 2]})
    with up(store.root, "--port", str(port)):
        sw_run = search.get_run(store, run.id)
        if sw_run.state == "running":  # the last piece waited for the server
            with sw.run("another"):
                pass
    stored = search.get_run(store, run.id)
    assert (stored.state, stored.name, stored.params) == ("finished", "baseline", {"depth": 6})
    assert stored.tags["note"] == "while it was away"
    assert [p.step for p in search.history(store, run.id, "loss")] == list(range(100))
    assert [one.name for one in stored.artifacts] == ["picture.bin", "rows"]
    assert store.blobs.get(stored.artifacts[0].digest) == picture
    assert artifacts.load(store.blobs, rows) == {"a": [1, 2]}
    assert [r.id for r in search.list_runs(store, experiment="first")] == [run.id]
    assert waiting(project) == []
    assert not any(path.is_file() for path in (project / ".slipway/outbox/blobs").rglob("*")), "bytes are kept once"
    assert "could not be written yet" in capsys.readouterr().err
    with store.ledger.read() as tx:
        verbs = [event.verb for event in tx.events(subject=f"run:{run.id}")]
    assert verbs == ["runs.start", "runs.sync", "runs.finish"]


DIES = """
import os
import slipway as sw
from slipway.ledger import run_flusher
run_flusher._INTERVAL_S = 3600
with sw.run("doomed") as run:
    print(run.id, flush=True)
    for step in range(40):
        run.log_metric("loss", step, step)
    run.log_text("note.md", "kept")
    os.kill(os.getpid(), 9)
"""


def test_a_killed_process_is_sent_by_the_next_command(project: Path, store: Workspace, port: int) -> None:
    died = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    run_id = died.stdout.strip()
    with waiting(project)[0].open("ab") as file:
        file.write(framed(Point("loss", 99.0, 99, 0))[:20])  # what it was about to write
    command = [sys.executable, "-c", "from slipway.cli import main; main()", "runs", "sync"]
    away = subprocess.run(command, capture_output=True, text=True)
    assert "0 files of runs sent" in away.stdout
    assert "1 waiting" in away.stdout
    assert "Nobody answers" in away.stderr
    with up(store.root, "--port", str(port)):
        sent = subprocess.run([*command, "--json"], capture_output=True, text=True)
        assert sent.stdout.strip() == '{"taken": 1, "waiting": 0}', sent.stderr
    run = search.get_run(store, run_id)
    assert (run.state, [one.name for one in run.artifacts]) == ("killed", ["note.md"])
    assert len(search.history(store, run_id, "loss")) == 40


def test_a_killed_run_goes_on_over_http(project: Path, store: Workspace, port: int) -> None:
    run_id = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True).stdout.strip()
    with pytest.raises(SlipwayError, match="Nobody answers"), sw.run("doomed", resume=True):
        pass
    with up(store.root, "--port", str(port)):
        with sw.run("doomed", resume=True) as run:
            assert run.id == run_id
            run.log_metric("loss", 40, 40)
        with sw.run(resume=run_id, params={"depth": 6}):
            pass
    stored = search.get_run(store, run_id)
    assert (stored.state, stored.params) == ("finished", {"depth": 6})
    assert [point.step for point in search.history(store, run_id, "loss")] == list(range(41))
    with store.ledger.read() as tx:
        told = [event.verb for event in tx.events(subject=f"run:{run_id}") if event.verb != "runs.sync"]
    assert told == ["runs.start", "runs.finish", "runs.resume", "runs.finish", "runs.resume", "runs.finish"]


def test_an_answer_that_got_lost_counts_once(
    project: Path, store: Workspace, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server commits, and its answer does not arrive: the same bytes are sent again."""
    from slipway.backends.http_runs import HttpRuns
    from slipway.errors import Unavailable

    perform, lost = HttpRuns.perform, []

    def losing(self: HttpRuns, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        answer = perform(self, name, fields)
        if name in ("runs.sync", "runs.upload") and len(lost) < 8 and len(lost) % 2 == 0:
            lost.append(name)
            raise Unavailable("The answer got lost.", fix="Send it again.")
        lost.append(name)
        return answer

    monkeypatch.setattr(HttpRuns, "perform", losing)
    with up(store.root, "--port", str(port)):
        with sw.run("baseline") as run:
            for step in range(20):
                run.log_metric("loss", 1.0, step)
            run.log_text("note.md", "x" * 100)
            until(lambda: len(lost) > 12 or waiting(project) == [] or _try(run.flush))
        with sw.run("next"):
            pass
    assert [p.step for p in search.history(store, run.id, "loss")] == list(range(20))
    stored = search.get_run(store, run.id)
    assert [one.name for one in stored.artifacts] == ["note.md"]
    with store.ledger.read() as tx:
        assert [e.verb for e in tx.events(subject=f"run:{run.id}")].count("runs.start") == 1


def _try(work: Any) -> bool:
    try:
        work()
    except BackendError:
        return False
    return True


def test_what_needs_the_store_says_where_it_is(project: Path) -> None:
    with sw.run("baseline") as run, pytest.raises(UserError, match="is kept by the server"):
        run.log_model(object(), sample=None)


RUN, WRITER, NOW = "e" * 32, "f" * 32, datetime(2013, 4, 1, tzinfo=UTC)
BEGUN = Run(id=RUN, project="flights", created_at=NOW, started_at=NOW, actor=Actor("mallory", roles=("admin",)))


def piece(*told: object, begun: Run | None = BEGUN) -> bytes:
    first = [FileBegun(EDITION, "flights", RUN, WRITER), *([] if begun is None else [Begun(begun)])]
    return MAGIC + b"".join(map(framed, [*first, *told]))


def sync(workspace: Workspace, data: bytes, offset: int = 0, **other: Any) -> int:
    fields = {"run_id": RUN, "writer": WRITER, "offset": offset, "data": data} | other
    return receiving.sync_run(workspace, SyncRun(**fields)).offset


def test_a_run_is_whoevers_sent_it(workspace: Workspace) -> None:
    sync(workspace, piece())
    assert search.get_run(workspace, RUN).actor == workspace.actor


MISSING = Artifact(name="a", digest="0" * 64, fingerprint="0" * 64, format="bytes", size_bytes=1)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (piece(LinkMade("a", "b", "c")), "steps"),
        (piece(WorkersHeld(WorkerTime(executor="ray", workers=1, used_s=1, idle_s=0, paid_s=1))), "steps"),
        (piece(begun=structs.replace(BEGUN, pipeline="release")), "no pipeline's"),
        (piece(begun=structs.replace(BEGUN, state="finished")), "begins empty"),
        (piece(begun=structs.replace(BEGUN, params={"a\n": 1})), "key of a parameter"),
        (piece(StepKept(StepRun(id=f"{RUN}.1", project="flights", created_at=NOW, parent_id=RUN))), "steps"),
        (piece(ArtifactKept(MISSING)), "are not here"),
        (piece(ArtifactKept(Artifact(name="../up", digest="", fingerprint="", format="", size_bytes=0))), "name of an"),
        (piece(Point("a\nb", 1.0, 0, 0)), "key of a metric"),
        (piece(Point("a", 1.0, 2**63, 0)), "step"),
        (piece(ParamSet("../up", 1)), "key of a parameter"),
        (piece(TagSet("a", "x" * 9000)), "8000"),
        (piece(Finished("running", NOW)), "cannot end as"),
        (b"GIF89a", "do not begin"),
        (piece()[:-1], "inside an entry"),
    ],
)
def test_what_a_stranger_may_not_say(workspace: Workspace, data: bytes, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        sync(workspace, data)
    assert search.list_runs(workspace) == [], "a piece is taken whole or not at all"


def test_an_artifact_that_is_too_large_is_noted_instead(workspace: Workspace) -> None:
    large = structs.replace(MISSING, name="long.txt", size_bytes=10)
    sync(replace(workspace, largest_upload=9), piece(ArtifactKept(large), Point("loss", 1.0, 0, 0)))
    run = search.get_run(workspace, RUN)
    assert (run.artifacts, [(one.kind, one.key) for one in run.findings]) == ((), [("not taken", "long.txt")])
    assert search.metrics(workspace, RUN) == {"loss": 1.0}


def test_pieces_of_others_are_refused(workspace: Workspace) -> None:
    sync(workspace, piece())
    other = "d" * 32
    with pytest.raises(Conflict, match="does not belong"):
        sync(replace(workspace, project="other"), piece())
    twice = MAGIC + framed(FileBegun(EDITION, "flights", RUN, other)) + framed(Begun(BEGUN))
    with pytest.raises(Conflict, match="begins once"):
        sync(workspace, twice, writer=other)
    headless = MAGIC + framed(FileBegun(EDITION, "flights", other, WRITER)) + framed(Point("a", 1.0, 0, 0))
    with pytest.raises(NotFound, match="no run"):
        sync(workspace, headless, run_id=other)
    for fields in ({"run_id": "../../x"}, {"writer": "x"}, {"offset": -1}):
        with pytest.raises(InvalidInput):
            sync(workspace, piece(), **fields)


def test_a_pipelines_run_takes_nothing_from_a_stranger(workspace: Workspace) -> None:
    """What it holds is loaded when it is reproduced, pickles too."""
    log = run_log.start(workspace, name="release", pipeline="release")
    params = Artifact(name="params", digest=workspace.blobs.put(b"x"), fingerprint="", format="pickle", size_bytes=1)
    told = MAGIC + framed(FileBegun(EDITION, "flights", log.id, WRITER)) + framed(ArtifactKept(params))
    with pytest.raises(Conflict, match="of the pipeline 'release'"):
        sync(workspace, told, run_id=log.id)
    log.finish()
    assert search.get_run(workspace, log.id).artifacts == ()


def test_what_reproducing_runs_is_never_taken_from_a_stranger(workspace: Workspace) -> None:
    code = structs.replace(BEGUN.code, snapshot="0" * 64, closure="c", commit="abc")
    sync(workspace, piece(begun=structs.replace(BEGUN, code=code)))
    kept = search.get_run(workspace, RUN).code
    assert (kept.snapshot, kept.closure, kept.commit) == ("", "", "abc")


def send(workspace: Workspace, data: bytes, offset: int = 0, **other: Any) -> tuple[int, bool]:
    answer = receiving.upload(
        workspace, Upload(**({"digest": DIGEST, "size": 10, "offset": offset, "data": data} | other))
    )
    return answer.offset, answer.whole


DIGEST = digest(b"0123456789")


def test_bytes_come_in_pieces_and_go_on_where_they_stopped(workspace: Workspace) -> None:
    assert send(workspace, b"") == (0, False)
    assert send(workspace, b"0123") == (4, False)
    assert send(workspace, b"0123") == (4, False), "a piece that comes twice"
    assert send(workspace, b"89", 8) == (4, False), "a piece that comes too early"
    assert send(workspace, b"456789xyz", 4) == (10, True), "no more than was said"
    assert send(workspace, b"") == (10, True)
    assert workspace.blobs.get(DIGEST) == b"0123456789"
    assert list((workspace.root / "incoming").iterdir()) == []
    assert send(workspace, b"", digest=digest(b""), size=0) == (0, True), "an empty file"


def test_bytes_that_are_others_are_thrown_away(workspace: Workspace) -> None:
    send(workspace, b"abcd")
    with pytest.raises(InvalidInput, match="are not those of"):
        send(workspace, b"efghij", 4)
    assert not workspace.blobs.has(DIGEST)
    assert send(workspace, b"0123456789") == (10, True)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_a_digest_is_no_path(workspace: Workspace, name: str) -> None:
    with pytest.raises(InvalidInput, match="no digest"):
        send(workspace, b"x", digest=name)


def test_an_artifact_may_be_too_large(workspace: Workspace) -> None:
    with pytest.raises(InvalidInput, match="At most 9 bytes") as refused:
        send(replace(workspace, largest_upload=9), b"0123456789")
    assert "--largest-artifact" in refused.value.fix
    assert not (workspace.root / "incoming").exists()


def test_what_never_came_whole_is_forgotten_after_a_week(workspace: Workspace) -> None:
    send(workspace, b"0123")
    (part,) = (workspace.root / "incoming").iterdir()
    receiving.forget_abandoned(workspace)
    assert part.exists()
    os.utime(part, (0, 0))
    receiving.forget_abandoned(workspace)
    assert not part.exists()


def test_what_is_larger_than_the_server_takes_is_left_out_by_itself(
    store: Workspace, port: int, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with up(store.root, "--port", str(port), "--largest-artifact", "1"), sw.run("baseline") as run:
        run.log_text("long.txt", "x" * 1_000_001)
        run.log_text("short.txt", "y")
        run.log_metric("loss", 1.0)
    assert waiting(project) == [], "the rest went on"
    stored = search.get_run(store, run.id)
    assert (stored.state, [one.name for one in stored.artifacts]) == ("finished", ["short.txt"])
    (told,) = stored.findings
    assert (told.kind, told.key) == ("not taken", "long.txt")
    assert told.words == "the artifact 'long.txt' has 1,000,001 bytes; at most 1,000,000 are taken here"
    assert search.metrics(store, run.id)["loss"] == 1.0
    assert "does not take the artifact 'long.txt'" in capsys.readouterr().err
    kept = [path for path in (project / ".slipway/outbox/blobs").rglob("*") if path.is_file()]
    assert [path.stat().st_size for path in kept] == [1_000_001], "its bytes stay where they were logged"
