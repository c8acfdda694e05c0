"""A step in a process of its own gives what it gives here, and every way of failing is a sentence."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slipway.backends.inprocess_executor import InProcessExecutor
from slipway.backends.process_executor import ProcessExecutor
from slipway.errors import BackendError, InvalidInput, StepFailed, Unavailable
from slipway.hosts import step_worker
from slipway.ledger import run_log
from slipway.pipelines import engine, reasons, snapshot
from slipway.pipelines.declare import Pipeline, pipeline, step
from slipway.pipelines.remote import Remote
from slipway.ports.executor import Ending, Executor, Resources
from slipway.ports.workspace import Workspace
from slipway.records.runs import WorkerTime

PROJECT = """
import os
import polars as pl
import slipway as sw
from helping import double


@sw.step(returns=["fit", "test"])
def split(rows: pl.DataFrame, at: int):
    return rows[:at], rows[at:].lazy()


@sw.step
def total(rows, factor: float = 1.0):
    return double(float(rows.lazy().collect()["n"].sum())) * factor


@sw.step
def refuse(n):
    raise ValueError(f"no {n}")


@sw.step
def crash(n):
    print("goodbye", flush=True)
    os.abort()


@sw.step
def look(name):
    with open(name) as file:
        return os.environ.get("RATE"), file.read()


@sw.step
def start():
    return os.system("true")


@sw.step(allow=("subprocess",))
def start_and_say_so():
    return os.system("true")


@sw.pipeline
def looking(name: str):
    return look(name), start(), start_and_say_so()


@sw.pipeline
def release(n: int = 4):
    fit, test = split(pl.DataFrame({"n": list(range(n))}), 2)
    return total(fit) + total(test, 0.5)


@sw.pipeline
def refused():
    return refuse(1)


@sw.pipeline
def crashed():
    return crash(1)


@sw.step
def losses():
    for step, value in enumerate([1.0, 0.5, 0.5]):
        sw.active_run().log_metric("loss", value, step)
    return 3


@sw.pipeline
def logged():
    return losses()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "remote_flow.py").write_text(PROJECT)
    (folder / "helping.py").write_text("def double(x):\n    return x * 2\n")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in ("remote_flow", "helping"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessExecutor]:
    with closing(ProcessExecutor(1)) as opened:
        yield opened


def _remote(workspace: Workspace, folder: Path, executor: Executor) -> Remote:
    return Remote(executor, code=snapshot.pack(folder), folder=workspace.root / "tasks")


def _pipeline(name: str) -> Pipeline[..., Any]:
    import remote_flow  # type: ignore[import-not-found]  # written by the fixture

    return getattr(remote_flow, name)  # type: ignore[no-any-return]


def test_the_same_result_in_and_out_of_process(workspace: Workspace, project: Path, pool: ProcessExecutor) -> None:
    release = _pipeline("release")
    outputs = []
    executors: list[Executor | None] = [None, InProcessExecutor(step_worker.perform), pool]
    for n, executor in enumerate(executors):
        # Another argument each time would be another result: forget the stored ones instead.
        with workspace.ledger.write() as tx:
            for key, target in tx.refs(workspace.project, "cache").items():
                tx.set_ref(workspace.project, "cache", key, "", expect=target)
        remote = None if executor is None else _remote(workspace, project, executor)
        result = engine.run(workspace, release, remote=remote)
        assert result.value == 7.0, n
        with workspace.ledger.read() as tx:
            steps = reasons.steps_of(tx, result.run.id)
        assert [s.state for s in steps] == ["finished"] * 3
        outputs.append([[(a.name, a.fingerprint) for a in s.outputs] for s in steps])
    assert outputs[0] == outputs[1] == outputs[2]
    assert engine.run(workspace, release).value == 7.0
    assert list((workspace.root / "tasks").iterdir()) == []


@pytest.mark.parametrize("make", [lambda: InProcessExecutor(step_worker.perform), lambda: ProcessExecutor(1)])
def test_what_it_reads_by_itself_is_recorded_as_here(
    make: Callable[[], Executor], workspace: Workspace, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def states(executor: Executor | None) -> dict[str, tuple[str, str]]:
        with nullcontext() if executor is None else closing(executor):
            remote = None if executor is None else _remote(workspace, project, executor)
            found = engine.run(workspace, _pipeline("looking"), {"name": str(project / "in.txt")}, remote=remote)
        with workspace.ledger.read() as tx:
            return {step.name: (step.state, step.reason) for step in reasons.steps_of(tx, found.run.id)}

    monkeypatch.chdir(project)
    monkeypatch.setenv("RATE", "1")
    (project / "in.txt").write_text("1")
    assert "it starts true" in states(make())["start"][1]
    # What the worker recorded is compared here, without a worker.
    assert {name: state for name, (state, _) in states(None).items()} == {
        "look": "cached",
        "start": "finished",
        "start_and_say_so": "cached",
    }
    monkeypatch.setenv("RATE", "2")
    (project / "in.txt").write_text("2")
    state, reason = states(make())["look"]
    assert state == "finished"
    assert reason.startswith("environment variable RATE changed, file ")
    assert reason.endswith("in.txt changed")
    assert states(make())["look"][0] == "cached"


@pytest.mark.parametrize("make", [lambda: InProcessExecutor(step_worker.perform), lambda: ProcessExecutor(1)])
def test_relative_paths_lead_where_they_lead_here(
    make: Callable[[], Executor], workspace: Workspace, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("RATE", "1")
    (project / "in.txt").write_text("1")
    (project / "remote_flow.py").write_text(
        PROJECT + "\nfrom pathlib import Path\nWHEN_IMPORTED = Path('in.txt').read_text()\n"
    )
    with closing(make()) as executor:
        remote = _remote(workspace, project, executor)
        found = engine.run(workspace, _pipeline("looking"), {"name": "in.txt"}, remote=remote)
    assert found.value[0] == ("1", "1")
    assert Path.cwd() == project
    again = engine.run(workspace, _pipeline("looking"), {"name": "in.txt"})
    (project / "in.txt").write_text("2")
    changed = engine.run(workspace, _pipeline("looking"), {"name": "in.txt"})
    with workspace.ledger.read() as tx:
        looks = [reasons.steps_of(tx, one.run.id)[0] for one in (again, changed)]
    assert [(one.state, one.reason) for one in looks[1:]] == [("finished", "file in.txt changed")]
    assert looks[0].state == "cached"


def test_a_raising_step_is_told_as_here(workspace: Workspace, project: Path, pool: ProcessExecutor) -> None:
    with pytest.raises(StepFailed, match="The step 'refuse' failed: ValueError: no 1") as caught:
        engine.run(workspace, _pipeline("refused"), remote=_remote(workspace, project, pool))
    assert 'raise ValueError(f"no {n}")' in caught.value.trace
    assert caught.value.run_id
    with workspace.ledger.read() as tx:
        body = json.loads(tx.find("run")[0].body)
    assert body["error"]["step"] == "refuse"
    assert "no 1" in body["error"]["message"]


def test_a_crash_is_a_sentence(workspace: Workspace, project: Path, pool: ProcessExecutor) -> None:
    with pytest.raises(StepFailed, match="The step 'crash' failed: its process was killed by SIGABRT") as caught:
        engine.run(workspace, _pipeline("crashed"), remote=_remote(workspace, project, pool))
    assert "goodbye" in caught.value.trace


class _Fake:
    """An executor that leaves what it is told to leave."""

    def __init__(self, leave: Callable[[Path], None], ending: Ending | None = None) -> None:
        self._leave = leave
        self._ending = ending or Ending()

    def execute(self, folder: Path, needs: Resources = Resources()) -> Ending:  # noqa: B008  # it is frozen
        self._leave(folder)
        return self._ending

    def time(self) -> WorkerTime:
        return WorkerTime(executor="fake", workers=1, used_s=0, idle_s=0, paid_s=0)

    def close(self) -> None:
        pass


def _leave(result: bytes | dict[str, object]) -> Callable[[Path], None]:
    data = result if isinstance(result, bytes) else json.dumps(result).encode()
    return lambda folder: (folder / "result.json").write_bytes(data) and None  # type: ignore[func-returns-value]


_ARTIFACT = {"name": "result", "fingerprint": "f", "format": "json", "size_bytes": 1}


@pytest.mark.parametrize(
    ("executor", "sentence"),
    [
        (_Fake(lambda folder: None), "its process ended without a result"),
        (_Fake(_leave(b"")), "a result that cannot be read"),
        (_Fake(_leave(b"garbage")), "a result that cannot be read"),
        (_Fake(_leave({"state": "odd"})), "a result that cannot be read"),
        (_Fake(_leave({"state": "finished", "protocol": 2})), "answered in protocol 2, expected was 1"),
        (_Fake(_leave({"state": "finished"})), "a result that cannot be used"),
        (_Fake(_leave({"state": "failed"})), "gave no reason"),
        (_Fake(_leave({"state": "finished", "outputs": [_ARTIFACT | {"digest": "a" * 64}]})), "are missing"),
        (_Fake(_leave({"state": "finished", "outputs": [_ARTIFACT | {"digest": "../../task.json"}]})), "is not a digest"),
        (_Fake(lambda folder: None, Ending(problem="took longer than 5 seconds")), "took longer than 5 seconds"),
    ],
    ids=["none", "empty", "garbage", "odd", "protocol", "no outputs", "no reason", "missing", "path", "time-out"],
)  # fmt: skip
def test_nonsense_is_a_sentence_that_names_the_step(
    workspace: Workspace, project: Path, executor: Executor, sentence: str
) -> None:
    with pytest.raises(StepFailed, match="The step 'refuse' failed") as caught:
        engine.run(workspace, _pipeline("refused"), remote=_remote(workspace, project, executor))
    assert sentence in str(caught.value)


def test_altered_output_bytes_are_not_taken(workspace: Workspace, project: Path) -> None:
    def alter(folder: Path) -> None:
        step_worker.perform(folder)
        answer = json.loads((folder / "result.json").read_bytes())
        (folder / "artifacts" / answer["outputs"][0]["digest"]).write_bytes(b"forged")

    with pytest.raises(StepFailed, match="not what their digest says"):
        engine.run(workspace, _pipeline("release"), remote=_remote(workspace, project, _Fake(alter)))


@step
def odd(thing: object) -> int:
    return 1


def test_what_cannot_be_handed_over_says_so(workspace: Workspace, project: Path, pool: ProcessExecutor) -> None:
    @step
    def local(n: int) -> int:
        return n

    @pipeline
    def inside() -> int:
        return local(1)

    @pipeline
    def unsendable() -> int:
        return odd(i for i in range(2))

    remote = _remote(workspace, project, pool)
    with pytest.raises(StepFailed, match="defined inside another function") as caught:
        engine.run(workspace, inside, remote=remote)
    assert isinstance(caught.value.__cause__, InvalidInput)
    with pytest.raises(StepFailed, match="A generator cannot be stored"):
        engine.run(workspace, unsendable, remote=remote)


def test_a_worker_without_a_task_says_so(tmp_path: Path) -> None:
    step_worker.perform(tmp_path)
    answer = json.loads((tmp_path / "result.json").read_bytes())
    assert answer["state"] == "failed"
    assert "There is no task in" in answer["error"]["message"]


def test_the_worker_never_touches_the_ledger(workspace: Workspace, project: Path, pool: ProcessExecutor) -> None:
    frame = pl.DataFrame({"n": [1]})
    remote, log = _remote(workspace, project, pool), run_log.start(workspace)
    workspace.ledger.close()
    moved = workspace.root / "ledger.db"
    moved.rename(workspace.root / "hidden.db")
    import remote_flow

    from slipway.ledger.step_scope import StepCall

    call = StepCall(
        name="total", compute=lambda: None, inputs={"rows": frame, "factor": 1.0}, function=remote_flow.total.function
    )
    assert remote(call, log) == 2.0
    assert not moved.exists()


def test_a_task_whose_place_is_lost_is_run_again_and_what_it_logs_counts_once(
    workspace: Workspace, project: Path
) -> None:
    left = [2]

    class Losing(InProcessExecutor):
        def execute(self, folder: Path, needs: Resources = Resources()) -> Ending:  # noqa: B008  # it is frozen
            super().execute(folder, needs)
            if left[0]:
                left[0] -= 1
                return Ending(problem="was on a node that was lost", is_lost=True)
            return Ending()

    done = engine.run(workspace, _pipeline("logged"), remote=_remote(workspace, project, Losing(step_worker.perform)))
    assert done.value == 3
    with workspace.ledger.read() as tx:
        assert [(point.step, point.value) for point in tx.points(done.run.id, "loss")] == [(0, 1.0), (1, 0.5), (2, 0.5)]
    lost = [finding for finding in done.run.findings if finding.kind == "lost"]
    assert [finding.step for finding in lost] == [1, 2]
    assert lost[0].words == "The step 'losses' was on a node that was lost; it was run again elsewhere"


def test_a_place_that_is_lost_each_time_is_not_the_steps_failure(workspace: Workspace, project: Path) -> None:
    losing = _Fake(lambda folder: None, Ending(problem="was on a node that was lost", is_lost=True))
    with pytest.raises(Unavailable, match="begun 5 times, and each time what ran it was lost"):
        engine.run(workspace, _pipeline("refused"), remote=_remote(workspace, project, losing))


def test_a_disk_that_cannot_be_written_is_not_the_steps_failure(workspace: Workspace, project: Path) -> None:
    (workspace.root / "tasks").write_text("a file where the folder of tasks should be")
    remote = _remote(workspace, project, InProcessExecutor(step_worker.perform))
    with pytest.raises(BackendError, match="The task of the step 'refuse' cannot be written or read"):
        engine.run(workspace, _pipeline("refused"), remote=remote)
