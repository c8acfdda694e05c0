"""Searches: the same trials whatever takes how long, each a run, found again when a search is run again."""

import dataclasses
import logging
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import slipway as sw
from slipway.errors import InvalidDeclaration, InvalidInput, StepFailed
from slipway.ledger import entries
from slipway.ledger.run_log import current_run
from slipway.ledger.step_scope import step_scope
from slipway.pipelines import engine
from slipway.pipelines.scheduling import Machine
from slipway.pipelines.scope import Scope
from slipway.pipelines.search import search
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run, RunWriter
from slipway.runs import recovery
from slipway.runs import search as found_runs


class _Seen(logging.Handler):
    """What steps do outside their code: a logger is the library's."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.late: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.calls.append(record.getMessage())


seen = _Seen()
logging.getLogger("trials").addHandler(seen)
logging.getLogger("trials").propagate = False

SPACE = {"x": sw.uniform(-1.0, 1.0), "depth": sw.integers(1, 9), "kind": ["a", "b"]}


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.calls.clear()


@sw.step
def bowl(x: float, depth: int, kind: str, at: float = 0.25) -> float:
    logging.getLogger("trials").warning(f"{x}")
    return (x - at) ** 2 + abs(depth - 5) + (kind == "b")


def children(workspace: Workspace, id: str) -> list[Run]:
    with workspace.ledger.read() as tx:
        runs = [run for run in entries.find(tx, Run, project=workspace.project, limit=1000) if run.parent_id == id]
    return sorted(runs, key=lambda run: int(run.tags["slipway.trial"]))


def test_a_search_finds_the_bottom_and_each_trial_is_a_run_below_it(workspace: Workspace) -> None:
    found = sw.search(bowl, SPACE, "loss", 25, 2, direction="minimize", fixed={"at": 0.5})
    assert found.best.value == min(trial.value for trial in found.trials) == found.result
    assert found.best.value < 1.5
    runs = children(workspace, found.run_id)
    assert [run.id for run in runs] == [trial.run_id for trial in found.trials]
    assert [run.params for run in runs] == [trial.params for trial in found.trials]
    assert {run.state for run in runs} == {"finished"}
    assert found_runs.metrics(workspace, found.best.run_id)["loss"] == found.best.value
    own = found_runs.get_run(workspace, found.run_id)
    assert own.tags["slipway.best_trial"] == found.best.run_id
    assert own.params["space.x"] == "-1 to 1"
    assert found_runs.metrics(workspace, found.run_id)["best loss"] == found.best.value
    assert f"{found.best.value:.6g}" in found._repr_html_()


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_one_seed_gives_the_same_trials_whatever_takes_how_long(workspace: Workspace, sampler: str) -> None:
    space: dict[str, Any] = {"n": list(range(6)), "m": [1, 2]}

    def slow_first(n: int, m: int) -> float:
        if n % 3 == 0:
            _turns(40)
        return float(n * m)

    def slow_last(n: int, m: int) -> float:
        if n % 3 == 2:
            _turns(40)
        return float(n * m)

    asked = [
        [
            trial.params
            for trial in sw.search(
                train, space, "v", 12, parallel, direction="maximize", sampler=sampler, seed=4
            ).trials
        ]
        for train, parallel in ((slow_first, 4), (slow_last, 4), (slow_first, 4))
    ]
    assert asked[0] == asked[1] == asked[2]
    if sampler == "grid":
        assert len({tuple(params.items()) for params in asked[0]}) == 12
    another = sw.search(slow_last, space, "v", 12, 4, direction="maximize", sampler=sampler, seed=5)
    assert [trial.params for trial in another.trials] != asked[0]


def _turns(count: int) -> None:
    """Let other threads go first, without a clock."""
    import os

    for _ in range(count):
        os.sched_yield()


def test_a_search_with_more_trials_goes_on_from_what_is_stored(workspace: Workspace) -> None:
    first = sw.search(bowl, SPACE, "loss", 8, 3, direction="minimize")
    seen.calls.clear()
    again = sw.search(bowl, SPACE, "loss", 12, 3, direction="minimize")
    assert [trial.params for trial in again.trials[:8]] == [trial.params for trial in first.trials]
    assert [trial.is_cached for trial in again.trials] == [True] * 8 + [False] * 4
    assert len(seen.calls) == 4


PROGRAM = """
import os, sys
from pathlib import Path
import slipway as sw
from slipway.hosts.project import open_workspace
from slipway.ports.workspace import current_workspace

class Killer:  # the library's, as far as the step is concerned
    left = int(sys.argv[2])

import logging
class Count(logging.Handler):
    def emit(self, record):
        print(record.getMessage(), flush=True)
        Killer.left -= 1
        if Killer.left == 0:
            os.kill(os.getpid(), 9)
logging.getLogger("trials").addHandler(Count())

@sw.step
def train(x: float) -> float:
    logging.getLogger("trials").warning(f"{x!r}")
    return x * x

if __name__ == "__main__":
    with current_workspace.filled(open_workspace(Path(sys.argv[1]), project="flights")):
        found = sw.search(train, {"x": sw.uniform(-1, 1)}, "loss", 12, 3, direction="minimize")
    print("best", found.best.value)
"""


def test_a_search_that_is_killed_goes_on_where_it_was(workspace: Workspace, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def run(left: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(program), str(workspace.root), str(left)]
        return subprocess.run(command, capture_output=True, text=True)

    died = run(8)
    assert died.returncode == -9, died.stderr
    begun = died.stdout.split()
    recovery.recover(workspace)
    again = run(0)
    assert again.returncode == 0, again.stderr
    lines = again.stdout.splitlines()
    made = [line for line in lines if not line.startswith("best")]
    assert len(set(begun)) == len(begun)
    assert len(set(made)) == len(made)
    assert len(set(begun) | set(made)) == 12  # none is lost
    assert len(set(begun) & set(made)) <= 3  # at most those that were under way are made twice


def test_a_failed_trial_is_told_and_the_search_goes_on(workspace: Workspace) -> None:
    def picky(n: int) -> float:
        if n == 2:
            raise ValueError("two is no number of trees")
        return math.nan if n == 3 else float(n)

    found = sw.search(picky, {"n": [1, 2, 3, 4]}, "score", 4, direction="maximize", sampler="grid")
    states = {trial.params["n"]: trial.state for trial in found.trials}
    assert states == {1: "finished", 2: "failed", 3: "failed", 4: "finished"}
    assert found.params == {"n": 4}
    errors = {trial.params["n"]: trial.error for trial in found.trials}
    assert "two is no number of trees" in errors[2]
    assert "'score' is nan" in errors[3]
    assert {run.state for run in children(workspace, found.run_id)} == {"finished", "failed"}


def test_a_search_of_which_nothing_works_says_why_and_ends_soon(workspace: Workspace) -> None:
    def broken(x: float) -> float:
        raise ValueError("no such column: delay")

    with pytest.raises(StepFailed, match=r"Its first 10 trials failed.*no such column: delay"):
        sw.search(broken, {"x": sw.uniform(0, 1)}, "score", 500, direction="maximize")
    with workspace.ledger.read() as tx:
        assert len(entries.find(tx, Run, project=workspace.project, limit=1000)) == 11
    with pytest.raises(StepFailed, match="None of its 1 trials"):
        sw.search(broken, {"x": [1, 2]}, "score", 1, direction="maximize")


def test_hopeless_trials_are_pruned_by_what_was_known_when_they_began(workspace: Workspace) -> None:
    @sw.step
    def curve(level: int) -> float:
        for step in range(8):
            sw.active_run().log_metric("auc", level / 20 + step / 100, step=step)
        return level / 20 + 0.07

    space = {"level": [19, 18, 17, 16, 15, 14, 13, 3, 2, 1]}
    found = [
        sw.search(curve, space, "auc", 10, parallel, sampler="grid", pruner="median", seed=1) for parallel in (1, 1, 3)
    ]
    states = [[(trial.params["level"], trial.state) for trial in one.trials] for one in found]
    assert states[0] == states[1]
    assert any(state == "pruned" for _, state in states[0])
    assert {level for level, state in states[0] if state == "pruned"} <= set(range(1, 19))
    for one in found:
        assert one.params == {"level": 19}
        pruned = [trial for trial in one.trials if trial.state == "pruned"]
        ended = [found_runs.get_run(workspace, trial.run_id) for trial in pruned]
        assert all("not worth its end" in run.ended_early for run in ended)


def test_what_a_trial_is_judged_by(workspace: Workspace) -> None:
    def mapping(n: int) -> dict[str, float]:
        return {"auc": n / 10, "other": 1.0}

    def logging_it(n: int) -> str:
        sw.active_run().log_metric("auc", n / 10, step=2)
        sw.active_run().log_metric("auc", 0.0, step=1)
        return "done"

    for train in (mapping, logging_it):
        found = sw.search(train, {"n": [1, 5, 3]}, "auc", 3, sampler="grid")
        assert (found.params, found.best.value) == ({"n": 5}, 0.5)
    assert sw.search(logging_it, {"n": [1, 5, 3]}, "auc", 3, sampler="grid").direction == "maximize"

    def silent(n: int) -> str:
        return "done"

    with pytest.raises(StepFailed, match="gave no 'auc': it returned a str"):
        sw.search(silent, {"n": [1, 2]}, "auc", 2, sampler="grid")


@sw.step
def rows() -> list[float]:
    return [0.1, 0.2, 0.4]


@sw.step
def fit(data: list[float], x: float) -> float:
    return sum((one - x) ** 2 for one in data)


@sw.pipeline
def tuned() -> float:
    found = sw.search(fit, {"x": sw.uniform(0, 1)}, "loss", 6, 2, direction="minimize", fixed={"data": rows()})
    return fit(rows(), found.params["x"])


def test_inside_a_pipeline_the_search_belongs_to_its_run(workspace: Workspace) -> None:
    done = engine.run(workspace, tuned)
    with workspace.ledger.read() as tx:
        runs = entries.find(tx, Run, project=workspace.project, limit=1000)
    searches = [run for run in runs if run.parent_id == done.run.id]
    assert [run.name for run in searches] == ["search of fit"]
    assert len(children(workspace, searches[0].id)) == 6
    again = engine.run(workspace, tuned)
    assert again.value == done.value


@sw.step
def searching_step() -> float:
    return sw.search(fit, {"x": sw.uniform(0, 1)}, "loss", 2, direction="minimize", fixed={"data": [1.0]}).best.value


@sw.pipeline
def wrong() -> float:
    return searching_step()


def test_inside_a_step_it_is_refused(workspace: Workspace) -> None:
    with pytest.raises(StepFailed, match="called inside a step"):
        engine.run(workspace, wrong)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"space": {}}, "what may be chosen"),
        ({"space": {"x": 3}}, "is no dimension"),
        ({"space": {"y": sw.uniform(0, 1)}}, "no parameter 'y'"),
        ({"space": {"depth": [1, 2]}}, "needs 'x'"),
        ({"fixed": {"x": 1.0}}, "fixed too"),
        ({"trials": 0}, "trials is 0"),
        ({"parallel": True}, "parallel is True"),
        ({"direction": "up"}, "direction 'up'"),
        ({"direction": None}, "whether a greater 'loss' is better"),
        ({"train": 3}, "to train"),
    ],
)
def test_what_does_not_fit_is_said(workspace: Workspace, change: dict[str, Any], sentence: str) -> None:
    given = {"train": bowl, "space": SPACE, "trials": 3, "parallel": 1, "direction": "minimize", "fixed": None} | change
    with pytest.raises(InvalidDeclaration, match=sentence):
        sw.search(given.pop("train"), given.pop("space"), "loss", **given)
    assert not found_runs.list_runs(workspace)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: sw.uniform(1, 1), "lower one first"),
        (lambda: sw.uniform(0, 1, log=True), "above 0"),
        (lambda: sw.uniform(0, math.inf), "finite"),
        (lambda: sw.integers(1, 2.5), "whole"),  # type: ignore[arg-type]
        (lambda: sw.integers(1, 9, step=0), "step"),
        (lambda: sw.choice(["a", "b"]), "one by one"),
        (lambda: sw.choice(), "plain values"),
        (lambda: sw.choice("a", "a"), "each once"),
        (lambda: sw.choice("a", object()), "plain"),
    ],
)
def test_dimensions_that_do_not_fit_are_said(make: Any, sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        make()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"sampler": "tpee"}, "Did you mean 'tpe'"), ({"sampler": "grid"}, "has no grid"), ({"pruner": "mean"}, "pruner")],
)
def test_samplers_and_pruners_that_do_not_exist_are_said(
    workspace: Workspace, change: dict[str, str], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        sw.search(bowl, SPACE, "loss", 2, direction="minimize", **change)


OUTER: list[Scope] = []


def _until_stopped() -> None:
    within = time.monotonic() + 30
    while OUTER[0].scheduler.stopped is None and time.monotonic() < within:
        time.sleep(0.001)


def _remember_scope() -> None:
    scope = step_scope.get()
    assert isinstance(scope, Scope)
    OUTER[:] = [scope]


@sw.step(cache=False)
def told(x: float) -> float:
    logging.getLogger("trials").warning(f"{x}")
    return x


@sw.pipeline
def two_steps(x: float) -> float:
    log = current_run.get()
    assert log is not None
    number = float(log.run.name.removeprefix("trial "))
    told(number)
    if number == 1:
        _remember_scope()
        logging.getLogger("trials").warning("under way")
        _until_stopped()
    return told(number + 10)


def test_an_interrupt_lets_no_further_step_of_a_trial_begin(workspace: Workspace) -> None:
    def interrupt(line: str) -> None:
        if line.startswith("trial 0"):
            within = time.monotonic() + 30
            while "under way" not in seen.calls and time.monotonic() < within:
                time.sleep(0.001)
            raise KeyboardInterrupt

    impatient = dataclasses.replace(workspace, say=interrupt)
    with pytest.raises(KeyboardInterrupt):
        search(impatient, two_steps, {"x": sw.uniform(0, 1)}, "loss", 4, 2, "minimize")
    assert sorted(seen.calls) == ["0.0", "1.0", "10.0", "under way"]
    with workspace.ledger.read() as tx:
        runs = entries.find(tx, Run, project=workspace.project, limit=1000)
    assert {run.name: run.state for run in runs if run.name.startswith("trial")} == {
        "trial 0": "finished",
        "trial 1": "failed",
    }


@sw.step
def fails() -> float:
    raise ValueError("beside the search")


@sw.pipeline
def fails_beside() -> float:
    _remember_scope()
    fails.submit()
    _until_stopped()
    return sw.search(told, {"x": sw.uniform(0, 1)}, "loss", 5, direction="minimize").best.value


def test_what_fails_beside_a_search_ends_it(workspace: Workspace) -> None:
    with pytest.raises(StepFailed, match="beside the search"):
        engine.run(workspace, fails_beside)
    assert seen.calls == []


@sw.step
def recorded(x: float) -> float:
    logging.getLogger("trials").warning(f"{x}")
    return x


@sw.pipeline
def searched() -> float:
    return sw.search(recorded, {"x": sw.uniform(0, 1)}, "loss", 3, direction="minimize").best.value


def test_a_run_that_takes_no_stored_results_takes_none_for_trials(workspace: Workspace) -> None:
    engine.run(workspace, searched)
    made = list(seen.calls)
    engine.run(workspace, searched)
    assert seen.calls == made  # stored
    engine.run(workspace, searched, use_cache=False)  # as a reproduction does
    assert seen.calls == made * 2


class _Together(logging.Handler):
    """How many steps are under way at once, by their beginnings and ends."""

    def __init__(self) -> None:
        super().__init__()
        self.running = self.most = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.running += 1 if record.getMessage() == "begins" else -1
        self.most = max(self.most, self.running)


def _under_way() -> Iterator[_Together]:
    together = _Together()
    logging.getLogger("together").addHandler(together)
    logging.getLogger("together").propagate = False
    yield together
    logging.getLogger("together").removeHandler(together)


together = pytest.fixture(_under_way)
MACHINE = Machine(cpus=8, memory_bytes=10_000_000_000, gpus=0)


@sw.step(memory="4GB", cache=False)
def heavy(x: float) -> float:
    logger = logging.getLogger("together")
    logger.warning("begins")
    time.sleep(0.02)  # room for another one to begin, if it may
    logger.warning("ends")
    return x


arrived = threading.Barrier(4, timeout=60)


@pytest.mark.parametrize("is_submitted", [False, True])
def test_trials_share_what_the_machine_has(workspace: Workspace, together: _Together, is_submitted: bool) -> None:
    def trial(x: float) -> float:
        arrived.wait()
        return heavy.submit(x).result() if is_submitted else heavy(x)

    @sw.pipeline
    def searched() -> float:
        beside = [heavy.submit(float(n)) for n in range(3)]
        found = sw.search(
            sw.pipeline(trial), {"x": sw.uniform(0.0, 1.0)}, "loss", 8, 4, direction="minimize", sampler="random"
        )
        return found.best.value + sum(one.result() for one in beside)

    engine.run(workspace, searched, workers=4, machine=MACHINE)
    assert together.most == 2, "two steps of 4 GB have room in 10 GB, over all trials and the pipeline's own steps"
    assert together.running == 0


@sw.step
def halved(x: int) -> float:
    logging.getLogger("trials").warning(f"halved {x}")
    return x / 2


@sw.step
def failing(half: float) -> float:
    raise ValueError(f"no way on from {half}")


def etags(workspace: Workspace, ids: list[str]) -> list[int]:
    with workspace.ledger.read() as tx:
        return [entries.etag(tx, Run, id) for id in ids]


def test_a_trial_of_one_step_is_one_transaction(workspace: Workspace) -> None:
    found = sw.search(bowl, SPACE, "loss", 24, 4, direction="minimize")
    stored = etags(workspace, [trial.run_id for trial in found.trials])
    # once a second whatever runs then is written too: that makes some of them two
    assert stored.count(1) >= 12
    with workspace.ledger.read() as tx:
        left = {one.parent_id for one in entries.every(tx, RunWriter)}
    assert not left & {trial.run_id for trial in found.trials}


def test_a_trial_that_goes_on_after_a_step_keeps_what_that_came_to(workspace: Workspace) -> None:
    @sw.pipeline
    def train(x: int) -> float:
        return failing(halved(x))

    with pytest.raises(StepFailed, match="no way on from"):
        sw.search(train, {"x": [1, 2, 3]}, "loss", 3, 2, direction="minimize", sampler="grid")
    assert sorted(seen.calls) == ["halved 1", "halved 2", "halved 3"]
    seen.calls.clear()
    found = sw.search(halved, {"x": [1, 2, 3]}, "loss", 3, direction="minimize", sampler="grid")
    assert seen.calls == []
    assert all(trial.is_cached for trial in found.trials)


def test_a_trial_may_make_one_call_twice_and_does_not_wait_for_itself(workspace: Workspace) -> None:
    @sw.pipeline
    def train(x: int) -> float:
        return halved(x) + halved(x) + halved.submit(x).result()

    found = sw.search(train, {"x": [4]}, "loss", 1, direction="minimize", sampler="grid")
    assert (found.best.value, seen.calls) == (6.0, ["halved 4"])


def test_two_trials_that_make_one_call_at_one_time_compute_it_once(workspace: Workspace) -> None:
    both, meeting = [], threading.Barrier(2)

    @sw.pipeline
    def train(x: int, turn: int) -> float:
        meeting.wait(60)  # both are under way
        both.append(halved(x) + turn)
        if len(both) == 1:
            assert others.wait(60)  # the first one's step has ended, its trial has not
        else:
            others.set()
        return both[-1]

    others = threading.Event()
    space = {"turn": [0, 1]}
    sw.search(train, space, "loss", 2, 2, direction="minimize", sampler="grid", fixed={"x": 8})
    assert (sorted(both), seen.calls) == ([4.0, 5.0], ["halved 8"])
