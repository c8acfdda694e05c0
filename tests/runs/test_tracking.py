"""What a script logs is what is read back, on every way out."""

import math
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.backends.clocks import SimulatedClock
from slipway.errors import Conflict, InvalidInput, NotFound, RunStopped, UserError
from slipway.ledger import artifacts, entries, locks, run_log
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.runs import recovery, search, tracking


def test_a_run_keeps_what_it_was_told(workspace: Workspace, clock: SimulatedClock) -> None:
    with tracking.start(
        workspace, "baseline", experiment="first try", params={"depth": 6}, tags={"team": "ops"}
    ) as run:
        run.log_param("rate", 0.1)
        run.log_params({"solver": "sag", "on": True, "seed": np.int64(7)})
        run.log_metrics({"auc": 0.71, "auc[carrier=AA]": np.float32(0.5)}, step=3)
        run.set_tag("note", "good")
        clock.advance_to(clock.now() + timedelta(hours=1))
    stored = search.get_run(workspace, run.id)
    assert stored == run.record
    assert (stored.state, stored.name, stored.actor.name) == ("finished", "baseline", "ada")
    assert stored.params == {"depth": 6, "rate": 0.1, "solver": "sag", "on": True, "seed": 7}
    assert type(stored.params["seed"]) is int
    assert stored.tags["team"] == "ops"
    assert stored.tags["note"] == "good"
    # How long it took is machine time, whatever the business clock did meanwhile.
    assert stored.ended_at is not None
    assert timedelta(0) <= stored.ended_at - stored.started_at < timedelta(minutes=10)
    assert search.metrics(workspace, run.id) == {"auc": 0.71, "auc[carrier=AA]": 0.5}
    assert [r.id for r in search.list_runs(workspace, experiment="first try")] == [run.id]
    with pytest.raises(NotFound, match="first try"):
        search.list_runs(workspace, experiment="first tri")


def test_the_environment_is_captured_unasked(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        pass
    environment = run.record.environment
    assert environment is not None
    assert environment.python.count(".") == 2
    assert environment.lock == ()
    lock = locks.lock_of(workspace.blobs, environment)
    assert lock is not None
    assert any(line.startswith("polars==") for line in lock.names)
    names = [one.name for one in lock.packages]
    assert names == sorted(names)
    assert run.record.host.startswith(f"{os.getpid()}.")
    assert run.record.tags["slipway.command"]


def test_params_are_write_once_and_keep_their_type(workspace: Workspace) -> None:
    with tracking.start(workspace, params={"rate": 1}) as run:
        run.log_param("rate", 1)
        for other in (2, 1.0, "1", True):
            with pytest.raises(Conflict, match="'rate' is 1 already"):
                run.log_params({"new": 1, "rate": other})
    assert run.record.params == {"rate": 1}


@pytest.mark.parametrize("value", ["0.5", None, [1.0], 1j, np.array([1, 2]), b"1"], ids=repr)
def test_a_metric_is_one_number(workspace: Workspace, value: object) -> None:
    with tracking.start(workspace) as run, pytest.raises(InvalidInput, match=r"The metric 'auc' was given"):
        run.log_metric("auc", value)
    assert search.metrics(workspace, run.id) == {}


def test_nan_and_infinities_are_metrics(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        run.log_metrics({"a": math.inf, "b": -math.inf, "c": math.nan})
    found = search.metrics(workspace, run.id)
    assert (found["a"], found["b"]) == (math.inf, -math.inf)
    assert math.isnan(found["c"])


@pytest.mark.parametrize(
    "key", ["", "a" * 251, "../up", "/root", "a//b", "a/", ".", "new\nline", "auc[", "a[b]c", "ü*"]
)
def test_keys_that_do_not_fit_are_refused(workspace: Workspace, key: str) -> None:
    with tracking.start(workspace) as run, pytest.raises(InvalidInput, match="metric"):
        run.log_metric(key, 1)


@pytest.mark.parametrize(
    "key", ["a" * 250, "val/loss", "top-1 acc.", "größe", "a:b", "auc[origin=New York/JFK & more]"]
)
def test_keys_that_fit(workspace: Workspace, key: str) -> None:
    with tracking.start(workspace) as run:
        run.log_metric(key, 1)
    assert search.metrics(workspace, run.id) == {key: 1.0}


def test_the_latest_point_is_the_greatest_by_step(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        for step in (0, 5, 2):
            run.log_metric("loss", step * 10, step=step)
    assert search.metrics(workspace, run.id) == {"loss": 50.0}
    assert [p.step for p in search.history(workspace, run.id, "loss")] == [0, 2, 5]


def test_a_failing_run_keeps_its_points_and_the_users_traceback(workspace: Workspace) -> None:
    def broken() -> None:
        raise KeyError("no such column")

    def train() -> None:
        with tracking.start(workspace, "doomed") as run:
            for step in range(1500):
                run.log_metric("loss", step, step=step)
            broken()

    with pytest.raises(KeyError):
        train()
    stored = search.list_runs(workspace, name="doomed")[0]
    assert stored.state == "failed"
    assert stored.error is not None
    assert (stored.error.type, stored.error.message) == ("KeyError", "'no such column'")
    assert "in broken" in stored.error.trace
    assert f"slipway{os.sep}runs" not in stored.error.trace
    assert len(search.history(workspace, stored.id, "loss")) == 1500


def test_leaving_the_process_on_purpose_is_no_failure(workspace: Workspace) -> None:
    with pytest.raises(SystemExit), tracking.start(workspace) as run:
        sys.exit(0)
    assert search.get_run(workspace, run.id).state == "finished"
    with pytest.raises(SystemExit), tracking.start(workspace) as run:
        sys.exit("no data")
    assert search.get_run(workspace, run.id).state == "failed"


def test_many_threads_lose_nothing(workspace: Workspace) -> None:
    def log(part: int) -> None:
        for i in range(500):
            run.log_metric(f"loss/{part}", i, step=i)

    with tracking.start(workspace) as run:
        threads = [threading.Thread(target=log, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [len(search.history(workspace, run.id, f"loss/{part}")) for part in range(4)] == [500] * 4


def test_points_reach_the_ledger_while_the_run_goes_on(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        run.log_metric("loss", 1.0)
        end = time.monotonic() + 20
        while not search.metrics(workspace, run.id) and time.monotonic() < end:
            threading.Event().wait(0.02)
        assert search.metrics(workspace, run.id) == {"loss": 1.0}
        assert search.get_run(workspace, run.id).state == "running"


def test_what_could_not_be_written_is_kept(workspace: Workspace) -> None:
    log = run_log.start(workspace)
    log.log_metric("loss", 1.0)

    def broken(tx: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        log.write(broken)
    assert search.metrics(workspace, log.id) == {}
    log.finish()
    assert search.metrics(workspace, log.id) == {"loss": 1.0}


def test_an_ended_run_takes_nothing_more(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        pass
    for late in (lambda: run.log_metric("a", 1), lambda: run.log_param("a", 1), lambda: run.set_tag("a", 1)):
        with pytest.raises(Conflict, match="has ended"):
            late()


def test_runs_nest(workspace: Workspace) -> None:
    with tracking.start(workspace, "outer") as outer, tracking.start(workspace, "inner") as inner:
        pass
    assert search.get_run(workspace, inner.id).parent_id == outer.id
    assert search.get_run(workspace, outer.id).parent_id == ""


def test_files_folders_and_values(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "plots"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.svg").write_text("<svg/>")
    (folder / "deep" / "b.txt").write_text("b")
    frame = pl.DataFrame({"a": [1, 2]})
    with tracking.start(workspace) as run:
        run.log_artifact("plots", folder)
        run.log_artifact(folder / "a.svg")
        rows = run.log_artifact("rows", frame)
        run.log_json("answer.json", {"n": 42})
        run.log_text("note.md", "# hi")
        run.log_text("note.md", "# again")
    stored = {a.name: a for a in search.get_run(workspace, run.id).artifacts}
    assert sorted(stored) == ["a.svg", "answer.json", "note.md", "plots/a.svg", "plots/deep/b.txt", "rows"]
    assert workspace.blobs.get(stored["plots/deep/b.txt"].digest) == b"b"
    assert workspace.blobs.get(stored["note.md"].digest) == b"# again"
    assert workspace.blobs.get(stored["answer.json"].digest) == b'{"n":42}'
    assert artifacts.load(workspace.blobs, rows).equals(frame)
    with workspace.ledger.read() as tx:
        assert f"artifact:{stored['rows'].digest}" in [link.target for link in tx.links(f"run:{run.id}", towards=False)]


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../../b", "a\\b", "."])
def test_an_artifacts_name_leads_nowhere_else(workspace: Workspace, name: str) -> None:
    with tracking.start(workspace) as run, pytest.raises(InvalidInput, match="name of an artifact"):
        run.log_text(name, "x")


def test_what_cannot_be_stored_says_so(workspace: Workspace, tmp_path: Path) -> None:
    with tracking.start(workspace) as run:
        with pytest.raises(InvalidInput, match="There is no file"):
            run.log_artifact("x", tmp_path / "missing.csv")
        with pytest.raises(InvalidInput, match="more than plain values"):
            run.log_json("x", {"frame": pl.DataFrame({"a": [1]})})
        with pytest.raises(UserError, match="cannot package models"):
            run.log_model(object())


def test_the_name_comes_first_and_other_orders_are_refused(workspace: Workspace) -> None:
    rows: Any = {"a": [1, 2]}
    with tracking.start(workspace) as run:
        for wrong in (
            lambda: run.log_table(rows, "rows.json"),
            lambda: run.log_figure(rows, "roc.png"),
            lambda: run.log_json(rows, "settings.json"),
            lambda: run.log_artifact(rows),
        ):
            with pytest.raises(InvalidInput, match="comes first, and a dict was given"):
                wrong()
    assert run.record.artifacts == ()


def test_a_run_names_itself_and_what_it_cannot_do(workspace: Workspace) -> None:
    with tracking.start(workspace, "baseline") as run:
        assert repr(run) == f"<run baseline {run.id}: running>"
        asked: Any = run
        with pytest.raises(AttributeError, match=r"has no 'log_dict'\. Here that is: run\.log_json"):
            asked.log_dict({"a": 1}, "a.json")
        with pytest.raises(AttributeError, match=r"has no 'fly'\.$"):
            asked.fly()


def test_models_are_logged_by_what_the_face_passes_in(workspace: Workspace) -> None:
    def logger(run: tracking.ActiveRun, estimator: object, **options: object) -> object:
        return run.id, estimator, options

    with tracking.start(workspace, model_logger=logger) as run:
        assert run.log_model("m", sample=1, name="n") == (run.id, "m", {"sample": 1, "name": "n"})


def test_secrets_of_the_command_line_are_masked(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--api-key=abc", "--password", "hunter2", "--epochs", "3"])
    with tracking.start(workspace) as run:
        pass
    assert run.record.tags["slipway.command"] == "train.py --api-key=*** --password *** --epochs 3"
    assert run.record.name == "train"


def test_git_commit_and_dirty_tree(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    monkeypatch.chdir(repository)
    with tracking.start(workspace) as run:
        pass
    outside = run.record.code
    assert (outside.commit, outside.dirty) == ("", False)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    (repository / "a.py").write_text("x = 1\n")
    for words in (["init", "-q"], ["add", "a.py"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    with tracking.start(workspace) as run:
        pass
    assert len(run.record.code.commit) == 40
    assert not run.record.code.dirty
    (repository / "a.py").write_text("x = 2\n")
    with tracking.start(workspace) as run:
        pass
    assert run.record.code.dirty


def test_no_git_at_all_is_fine(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with tracking.start(workspace) as run:
        pass
    assert run.record.code.commit == ""


_DIES = """
import os, sys
from pathlib import Path
from typing import Any
from slipway.hosts.project import open_workspace
from slipway.runs import tracking
workspace = open_workspace(Path(sys.argv[1]), project="flights")
with tracking.start(workspace, "doomed") as run:
    run.log_metric("loss", 1.0)
    run.flush()
    print(run.id, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_killed_run_is_found(workspace: Workspace) -> None:
    died = subprocess.run([sys.executable, "-c", _DIES, str(workspace.root)], capture_output=True, text=True)
    run_id = died.stdout.strip()
    assert search.get_run(workspace, run_id).state == "running"
    with tracking.start(workspace, "alive") as alive:
        assert [run.id for run in recovery.recover(workspace)] == [run_id]
        assert recovery.recover(workspace) == []
        assert search.get_run(workspace, alive.id).state == "running"
    killed = search.get_run(workspace, run_id)
    assert killed.state == "killed"
    assert killed.ended_at is not None
    assert search.metrics(workspace, run_id) == {"loss": 1.0}


def test_another_process_with_the_same_id_is_not_the_run(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        host = run.record.host
    pid, _, machine = host.partition("@")
    with workspace.ledger.write() as tx:
        for i, where in enumerate([f"{pid.split('.')[0]}.1@{machine}", "1.1@elsewhere"]):
            record = entries.get(tx, Run, run.id)
            changed = {"id": f"{i:032d}", "state": "running", "host": where}
            entries.put(tx, Run(**{f: getattr(record, f) for f in record.__struct_fields__} | changed))
    gone = [r.id for r in recovery.recover(workspace)]
    assert gone == (["0" * 32] if sys.platform == "linux" else [])


def test_an_error_that_cannot_be_stored_as_it_is_reaches_the_caller_and_is_kept(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="bad \udc80 msg"), tracking.start(workspace) as run:
        raise ValueError("bad \udc80 msg")
    kept = search.get_run(workspace, run.id)
    assert kept.state == "failed"
    assert kept.error is not None
    assert (kept.error.type, kept.error.message) == ("ValueError", "bad \\udc80 msg")
    with tracking.start(workspace) as stopped:
        raise RunStopped("no \udc80 use", run_id=stopped.id, fix="")
    assert search.get_run(workspace, stopped.id).ended_early == "no \\udc80 use"
