"""What runs record unasked, what they go on with, and the data, tables and figures that they are given."""

import io
import os
import signal
import site
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

import slipway as sw
from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.ledger import artifacts, provenance
from slipway.ports.workspace import Workspace
from slipway.records.runs import CONTEXT
from slipway.runs import figures, search, system, tracking
from slipway.tables import versions


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one commit; it is the present folder."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    (folder / "train.py").write_text("rate = 1\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    return folder


def installed(folder: Path) -> None:
    (folder / "colours-1.2.dist-info").mkdir(parents=True)
    (folder / "colours-1.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: colours\nVersion: 1.2\n")


@pytest.mark.parametrize(("where", "is_of_the_lock"), [("", True), ("ray/thirdparty", False)])
def test_what_a_library_carries_inside_itself_is_not_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, is_of_the_lock: bool
) -> None:
    """As Ray does, which puts a folder of its own on the path when it is imported."""
    folder = tmp_path / "site-packages" / where
    installed(folder)
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(tmp_path / "site-packages")])
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    assert ("colours==1.2" in provenance.environment.__wrapped__().lock) is is_of_the_lock


def difference(workspace: Workspace) -> bytes:
    with tracking.start(workspace) as run:
        pass
    code = search.get_run(workspace, run.id).code
    if not code.diff:
        assert code.diff_bytes == 0
        return b""
    data = workspace.blobs.get(code.diff)
    assert len(data) == code.diff_bytes
    return data


def test_what_differs_from_the_commit_is_kept(workspace: Workspace, repository: Path) -> None:
    assert difference(workspace) == b""
    (repository / "train.py").write_text("rate = 2\n")
    (repository / "unknown.py").write_text("nobody added it")
    told = difference(workspace)
    assert b"-rate = 1\n+rate = 2\n" in told
    assert b"unknown" not in told
    patched = subprocess.run(["git", "apply", "-R", "--check"], input=told, cwd=repository)
    assert patched.returncode == 0, "it is a patch that git takes"


def test_secrets_of_the_environment_are_masked(
    workspace: Workspace, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", "hunter2-hunter2")
    monkeypatch.setenv("DB_PASSWORD", "x")  # too short to tell from text
    (repository / "train.py").write_text("key = 'hunter2-hunter2'\nx = 1\n")
    told = difference(workspace)
    assert b"hunter2" not in told
    assert b"key = '***'" in told
    assert b"+x = 1" in told
    monkeypatch.setattr(sys, "argv", ["train.py", "hunter2-hunter2"])
    assert provenance.command_line() == "train.py ***"


def test_what_is_masked_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "was-secret, is-secret"
    monkeypatch.setenv("SERVICE_TOKEN", "was-secret")
    assert provenance.without_secrets(told) == "***, is-secret"
    monkeypatch.setenv("SERVICE_TOKEN", "is-secret")
    assert provenance.without_secrets(told) == "was-secret, ***"
    monkeypatch.delenv("SERVICE_TOKEN")
    assert provenance.without_secrets(told) == told
    monkeypatch.setenv("SERVICE_NAME", "is-secret")
    assert provenance.without_secrets(told) == told


def test_a_long_difference_is_cut_off(workspace: Workspace, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_DIFF_BYTES", 5000)
    (repository / "train.py").write_text("".join(f"line = {n}\n" for n in range(20_000)))
    told = difference(workspace)
    assert len(told) < 5100
    assert told.endswith(b"[cut off here: the difference is longer]\n")


def test_the_machine_is_sampled(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system.Sampler.__init__, "__kwdefaults__", {"every_s": 0.01})
    with tracking.start(workspace) as run:
        end = time.monotonic() + 30
        while "system/cpu_percent" not in search.metrics(workspace, run.id) and time.monotonic() < end:
            run.flush()
            time.sleep(0.01)
    found = search.metrics(workspace, run.id)
    assert 1 < found["system/memory_mb"] < 1e6
    assert found["system/cpu_percent"] >= 0
    assert found["system/disk_free_gb"] > 0
    if sys.platform == "linux":
        assert 0 < found["system/machine_memory_percent"] < 100
    assert not [one for one in threading.enumerate() if one.name == "slipway-system" and not _ends(one)]


def _ends(thread: threading.Thread) -> bool:
    thread.join(30)
    return not thread.is_alive()


def test_sampling_can_be_switched_off(workspace: Workspace) -> None:
    with tracking.start(workspace, system_metrics=False):
        assert not [one for one in threading.enumerate() if one.name == "slipway-system"]
    with tracking.start(workspace):
        assert [one for one in threading.enumerate() if one.name == "slipway-system"]


def test_graphics_cards_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho '0, 37, 1024'\necho '1, 0, 3'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = system.sample(tmp_path)
    assert (found["gpu0_percent"], found["gpu0_memory_mb"], found["gpu1_memory_mb"]) == (37.0, 1024.0, 3.0)
    command.write_text("#!/bin/sh\necho 'N/A, [Not Supported]'\n")
    assert not [name for name in system.sample(tmp_path) if name.startswith("gpu")]


DIES = """
import os, sys
from pathlib import Path
from slipway.hosts.project import open_workspace
from slipway.ledger import run_flusher
from slipway.runs import tracking
run_flusher._INTERVAL_S = 3600
workspace = open_workspace(Path(sys.argv[1]), project="flights")
with tracking.start(workspace, "long", params={"depth": 6}, resume=True) as run:
    print(run.id, flush=True)
    for step in range(10):
        run.log_metric("loss", step, step)
    run.log_param("late", 1)  # in its file only
    os.kill(os.getpid(), 9)
"""


def test_a_killed_run_goes_on(workspace: Workspace) -> None:
    died = subprocess.run([sys.executable, "-c", DIES, str(workspace.root)], capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    with tracking.start(workspace, "long", params={"depth": 6, "more": 1}, resume=True) as run:
        assert run.id == died.stdout.strip()
        assert search.get_run(workspace, run.id).state == "running"
        with pytest.raises(Conflict, match="'depth' is 6 already"):
            run.log_param("depth", 7)
        with pytest.raises(Conflict, match="'late' is 1 already"):
            run.log_param("late", 2)
        run.log_metric("loss", 10, 10)
    stored = search.get_run(workspace, run.id)
    assert (stored.state, stored.params) == ("finished", {"depth": 6, "late": 1, "more": 1})
    assert [p.step for p in search.history(workspace, run.id, "loss")] == list(range(11))
    assert stored == run.record
    with workspace.ledger.read() as tx:
        verbs = [event.verb for event in tx.events(subject=f"run:{run.id}")]
    assert verbs == ["runs.start", "runs.resume", "runs.finish"]
    with tracking.start(workspace, "long", resume=True) as another:
        assert another.id != run.id, "it finished: a new one begins"
    with tracking.start(workspace, resume=run.id) as again:
        assert again.id == run.id, "by its id any ended run goes on"


def test_a_run_that_still_runs_is_not_gone_on_with(workspace: Workspace) -> None:
    with tracking.start(workspace, "long") as run:
        with pytest.raises(Conflict, match="still running"), tracking.start(workspace, "long", resume=True):
            pass
        with pytest.raises(Conflict, match="still running"), tracking.start(workspace, resume=run.id):
            pass
    with pytest.raises(NotFound), tracking.start(workspace, resume="f" * 32):
        pass


def test_a_failed_run_goes_on(workspace: Workspace) -> None:
    with pytest.raises(KeyError), tracking.start(workspace, "long") as run:
        raise KeyError("x")
    assert search.get_run(workspace, run.id).error is not None
    with tracking.start(workspace, "long", resume=True) as again:
        assert again.id == run.id
    stored = search.get_run(workspace, run.id)
    assert (stored.state, stored.error) == ("finished", None)


def test_children_of_other_threads_name_their_parent(workspace: Workspace) -> None:
    made: list[str] = []

    def child(parent: tracking.ActiveRun | str) -> None:
        with tracking.start(workspace, "fold", parent=parent) as run:
            made.append(run.id)

    with tracking.start(workspace, "outer") as outer:
        for parent in (outer, outer.id):
            thread = threading.Thread(target=child, args=(parent,))
            thread.start()
            thread.join()
    assert [search.get_run(workspace, id).parent_id for id in made] == [outer.id] * 2


def test_tables_and_frames_as_inputs(workspace: Workspace) -> None:
    rows = pl.DataFrame({"id": [1, 2], "delay": [0.5, 1.5]})
    first = versions.overwrite(workspace, "flights", rows)
    second = versions.append(workspace, "flights", pl.DataFrame({"id": [3], "delay": [2.5]}))

    @sw.table(key="id")
    def flights() -> pl.DataFrame:
        return rows

    with tracking.start(workspace) as run:
        assert run.log_input(flights, context="training").profile == '{"num_rows":3}'
        run.log_input("flights@1", name="before", context="validation")
        run.log_input(second)
        frame = run.log_input(rows, context="test")
        again = run.log_input(pl.DataFrame({"id": [1, 2], "delay": [0.5, 1.5]}), context="test")
        assert frame == again, "the same values are the same data"
        assert run.log_input(rows.to_pandas()).schema == '{"id":"int64","delay":"float64"}'
        with pytest.raises(InvalidInput, match="lazy"):
            run.log_input(rows.lazy())
        with pytest.raises(NotFound):
            run.log_input("flight")
        with pytest.raises(InvalidInput, match="501 characters"):
            run.log_input(rows, context="x" * 501)
    stored = search.get_run(workspace, run.id)
    node = f"table:flights/flights@{second.version}"
    assert [(d.name, d.tags.get(CONTEXT, ""), d.profile[12:-1], d.source) for d in stored.datasets] == [
        ("flights", "training", "3", node),
        ("before", "validation", "2", f"table:flights/flights@{first.version}"),
        ("flights", "", "3", node),
        ("data", "test", "2", ""),
        ("data", "", "2", ""),
    ]
    assert stored.datasets[0].schema == '{"id":"int","delay":"float"}'
    assert stored.datasets[3].schema == '{"id":"Int64","delay":"Float64"}'
    assert stored.inputs == (node, f"table:flights/flights@{first.version}")
    with workspace.ledger.read() as tx:
        assert [link.target for link in tx.links(node, towards=False)] == [f"run:{run.id}"]


def test_tables(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        for rows in ({"a": [1, 2]}, [{"a": 1}, {"a": 2}], pl.DataFrame({"a": [1, 2]})):
            kept = run.log_table("rows", rows)
            assert artifacts.load(workspace.blobs, kept).equals(pl.DataFrame({"a": [1, 2]}))
        kept = run.log_table("pandas", pd.DataFrame({"a": [1, 2]}))
        assert artifacts.load(workspace.blobs, kept).equals(pd.DataFrame({"a": [1, 2]}))
        for wrong in (5, [{"a": 1}, 7], {"a": [1], "b": [1, 2]}):
            with pytest.raises(InvalidInput, match="no table"):
                run.log_table("rows", wrong)


class Picture:
    """Writes itself as a Matplotlib figure does."""

    def savefig(self, file: io.BytesIO, format: str) -> None:
        file.write(format.encode())


class Axes:
    def get_figure(self) -> Picture:
        return Picture()


class Page:
    """Writes itself as Plotly's and Altair's figures do."""

    def to_html(self) -> str:
        return "<html>"

    def to_json(self) -> str:
        return "{}"

    def to_dict(self) -> dict[str, Any]:
        return {}


def test_figures_write_themselves(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        for name, figure, called, data in (
            ("roc", Picture(), "roc.png", b"png"),
            ("roc.svg", Axes(), "roc.svg", b"svg"),
            ("deep/roc", Page(), "deep/roc.html", b"<html>"),
            ("roc.json", Page(), "roc.json", b"{}"),
        ):
            kept = run.log_figure(name, figure)
            assert (kept.name, workspace.blobs.get(kept.digest)) == (called, data)
        with pytest.raises(InvalidInput, match="cannot be stored as") as refused:
            run.log_figure("roc.html", Picture())
        assert "'roc.png'" in refused.value.fix
        with pytest.raises(InvalidInput, match="no figure"):
            run.log_figure("roc", pl.DataFrame({"a": [1]}))
        with pytest.raises(InvalidInput, match="no figure"):
            run.log_figure("roc", pd.DataFrame({"a": [1]}))
        with pytest.raises(InvalidInput, match="name of an artifact"):
            run.log_figure("../roc.png", Picture())


def test_real_figures(workspace: Workspace) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    figure = matplotlib.figure.Figure()
    figure.add_subplot().plot([1, 2, 3])
    assert figures.figure_bytes("a", figure)[1].startswith(b"\x89PNG")
    assert b"<svg" in figures.figure_bytes("a.svg", figure.axes[0])[1]
