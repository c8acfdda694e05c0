"""A Ray cluster that loses nodes, or its head, while a pipeline's steps run there."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import Unavailable
from slipway.hosts.executors import placement
from slipway.hosts.project import Project, open_project
from slipway.ledger import entries
from slipway.pipelines import engine
from slipway.pipelines.declare import Pipeline
from slipway.records.runs import Run, StepRun

pytestmark = [
    pytest.mark.full,
    # Ray's own helper for tests leaves the log files of what it starts open.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]

PROJECT = """
import os
import time
from pathlib import Path
import polars as pl
import slipway as sw


@sw.step
def load(n: int) -> pl.DataFrame:
    return pl.DataFrame({"x": range(n)})


@sw.step
def train(rows: pl.DataFrame, part: int, folder: str) -> dict[str, float]:
    run = sw.active_run()
    for epoch in range(3):
        run.log_metric(f"loss.{part}", 1 / (1 + epoch + part), epoch)
    if folder:  # tell that it has come so far, and on which node, then wait
        node = Path("/proc/self/environ").read_bytes().partition(b"RAY_RAYLET_PID=")[2].partition(b"\\0")[0].decode()
        (Path(folder) / f"{part}.{node}.{os.getpid()}").touch()
        while not (Path(folder) / "go").exists():
            time.sleep(0.02)
    for epoch in range(3, 5):
        run.log_metric(f"loss.{part}", 1 / (1 + epoch + part), epoch)
    return {"sum": float(rows["x"].sum() * part)}


@sw.pipeline
def release(folder: str = "", parts: int = 3) -> float:
    rows = load(100)
    begun = [train.submit(rows, part, folder) for part in range(parts)]
    return sum(one.result()["sum"] for one in begun)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "spread"
    place.mkdir()
    (place / "spread_flow.py").write_text(PROJECT)
    (place / "slipway.toml").write_text('[project]\nname = "spread"\nmodule = "spread_flow"\n')
    yield place
    sys.modules.pop("spread_flow", None)
    if str(place) in sys.path:
        sys.path.remove(str(place))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without processors and two nodes with four each, on this machine."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    utils = pytest.importorskip("ray.cluster_utils")
    made = utils.Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "ray_client_server_port": 25311, "include_dashboard": False},
    )
    try:
        made.nodes = [made.add_node(num_cpus=4), made.add_node(num_cpus=4)]
        yield made
    finally:
        with suppress(Exception):  # its head may have been killed
            made.shutdown()


def _opened(folder: Path, executor: str, use: Callable[[Project, Pipeline[..., Any]], Any]) -> Any:
    from dataclasses import replace

    with open_project(folder) as project:
        pipeline: Pipeline[..., Any] = project.pick(Pipeline, "release", "pipeline")
        workspace = replace(project.workspace, placement=placement(executor, 4))
        return use(Project(project.folder, project.settings, workspace), pipeline)


def _ran(project_folder: Path, executor: str, **params: object) -> tuple[Run, float, dict[str, Any]]:
    def use(project: Project, pipeline: Pipeline[..., Any]) -> tuple[Run, float, dict[str, Any]]:
        done = engine.run(project.workspace, pipeline, params, snapshot=project.snapshot(), use_cache=False)
        with project.workspace.ledger.read() as tx:
            steps = [entries.get(tx, StepRun, f"{done.run.id}.{n}") for n in range(1, 5)]
            points = [[(p.step, p.value) for p in tx.points(done.run.id, f"loss.{part}")] for part in range(3)]
        made = sorted((step.name, step.state, [one.fingerprint for one in step.outputs]) for step in steps)
        return done.run, done.value, {"steps": made, "points": points}

    return _opened(project_folder, executor, use)  # type: ignore[no-any-return]


def _markers(place: Path) -> list[tuple[int, int, int]]:
    return [tuple(map(int, path.name.split("."))) for path in place.glob("*.*.*")]  # type: ignore[misc]


def _until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def _in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def test_a_node_that_is_killed_loses_nothing(folder: Path, tmp_path: Path, cluster: Any) -> None:
    _, value, expected = _ran(folder, "threads")
    place = tmp_path / "told"
    place.mkdir()
    thread, results = _in_background(lambda: _ran(folder, f"ray:{cluster.address}", folder=str(place)))
    try:
        _until(lambda: len({part for part, _, _ in _markers(place)}) == 3 or bool(results))
        assert not results, results
        first = _markers(place)
        doomed = next(node for node in cluster.nodes if _raylet(node) in {raylet for _, raylet, _ in first})
        killed = _raylet(doomed)
        lost = {part for part, raylet, _ in first if raylet == killed}
        assert lost
        cluster.remove_node(doomed, allow_graceful=False)
        _until(lambda: all(sum(part == one for one, _, _ in _markers(place)) == 2 for part in lost) or bool(results))
        ended = [pid for _, raylet, pid in first if raylet == killed]
        _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ended))
    finally:
        (place / "go").touch()
        thread.join()
    assert not isinstance(results[0], BaseException), results[0]
    run, there, found = results[0]
    assert there == value
    assert [step[2] for step in found["steps"]] == [step[2] for step in expected["steps"]]
    assert found["points"] == expected["points"]
    assert run.state == "finished"
    assert run.worker_time.executor == "ray"
    assert {finding.kind for finding in run.findings} == {"lost"}


@pytest.mark.long
def test_a_lost_head_fails_the_run_with_a_sentence_and_it_can_be_taken_up(
    folder: Path, tmp_path: Path, cluster: Any
) -> None:
    place = tmp_path / "told"
    place.mkdir()

    def use(project: Project, pipeline: Pipeline[..., Any]) -> Any:
        return engine.run(project.workspace, pipeline, {"folder": str(place)}, snapshot=project.snapshot())

    thread, results = _in_background(lambda: _opened(folder, f"ray:{cluster.address}", use))
    _until(lambda: len(_markers(place)) == 3 or bool(results))
    assert not results, results
    cluster.remove_node(cluster.head_node, allow_graceful=False)
    thread.join(120)
    assert not thread.is_alive()
    assert isinstance(results[0], Unavailable)
    assert "The Ray cluster at" in str(results[0])
    assert "was lost" in str(results[0])
    with open_project(folder) as project, project.workspace.ledger.read() as tx:
        (failed,) = entries.find(tx, Run, project="spread", limit=10)
        steps = [entries.get(tx, StepRun, f"{failed.id}.{n}") for n in range(1, 5)]
    assert failed.state == "failed"
    assert sorted(step.state for step in steps) == ["failed", "failed", "failed", "finished"]
    (place / "go").touch()
    again = _opened(folder, "processes", use)
    with open_project(folder) as project, project.workspace.ledger.read() as tx:
        assert entries.get(tx, StepRun, f"{again.run.id}.1").state == "cached"
    assert again.value == 4950.0 * 3


@pytest.mark.long
def test_by_ray_client(folder: Path, cluster: Any) -> None:
    _, value, expected = _ran(folder, "threads")
    _, there, found = _ran(folder, "ray://127.0.0.1:25311")
    assert (there, found) == (value, expected)


@pytest.mark.long
def test_a_cluster_that_is_not_there_is_a_sentence(folder: Path) -> None:
    with pytest.raises(Unavailable, match=r"Ray cannot be reached at 127\.0\.0\.1:1"):
        _ran(folder, "ray:127.0.0.1:1")


@pytest.mark.long
def test_a_killed_process_of_the_user_leaves_nothing_of_ray(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "told"
    place.mkdir()
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from dataclasses import replace\n"
        "from slipway.hosts.executors import placement\n"
        "from slipway.hosts.project import open_project\n"
        "from slipway.pipelines import engine\n"
        "with open_project(sys.argv[1]) as project:\n"
        "    import spread_flow\n"
        "    workspace = replace(project.workspace, placement=placement('ray', 2))\n"
        "    params = {'folder': sys.argv[2], 'parts': 2}\n"
        "    engine.run(workspace, spread_flow.release, params, snapshot=project.snapshot())\n"
    )
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", program, str(folder), str(place)], os.environ)
    _until(lambda: len(_markers(place)) == 2)
    steps = [(raylet, worker) for _, raylet, worker in _markers(place)]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    _until(lambda: not any(Path(f"/proc/{one}").exists() for pair in steps for one in pair))


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)
