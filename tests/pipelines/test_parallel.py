"""Submitted and mapped steps: beside each other, in the order of their calls, and ended together."""

import logging
import threading
import time
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any

import pytest

import slipway as sw
from slipway.errors import InvalidDeclaration, InvalidInput, StepFailed
from slipway.ledger.run_log import current_run
from slipway.pipelines import engine, reasons
from slipway.pipelines.scheduling import Machine
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run, StepRun
from slipway.runs import search


class _Gate(logging.Handler):
    """What steps reach from outside, without being a part of their code: a logger is the library's."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.open = threading.Event()
        self.both = threading.Barrier(2, timeout=20)

    def createLock(self) -> None:
        self.lock = None  # steps shall meet in here

    def emit(self, record: logging.LogRecord) -> None:
        name = record.getMessage()
        self.names.append(name)
        if name.startswith("wait"):
            assert self.open.wait(20)
        elif name.startswith("meet"):
            self.both.wait()


gate = _Gate()
logging.getLogger("gate").addHandler(gate)
logging.getLogger("gate").propagate = False
colour: ContextVar[str] = ContextVar("colour", default="none")


def tell(name: str) -> None:
    logging.getLogger("gate").warning(name)


@pytest.fixture(autouse=True)
def _fresh_gate() -> None:
    gate.names.clear()
    gate.open.clear()
    gate.both.reset()


def steps(workspace: Workspace, run: Run) -> list[StepRun]:
    with workspace.ledger.read() as tx:
        return reasons.steps_of(tx, run.id)


def newest(workspace: Workspace) -> Run:
    return search.list_runs(workspace)[0]


@sw.step
def double(n: int) -> int:
    tell(f"double {n}")
    return n * 2


@sw.step
def meet(n: int) -> int:
    tell(f"meet {n}")
    return n


@sw.step
def add(numbers: list[int], more: int = 0) -> int:
    return sum(numbers) + more


def test_submitted_steps_run_beside_each_other(workspace: Workspace) -> None:
    @sw.pipeline
    def both() -> int:
        first, second = meet.submit(1), meet.submit(2)  # each waits until the other has begun
        return first.result() + second.result()

    assert engine.run(workspace, both, workers=2).value == 3


def test_futures_among_arguments_are_waited_for(workspace: Workspace) -> None:
    @sw.pipeline
    def chained() -> int:
        one = double.submit(double.submit(1))
        every: Future[int] = add.submit([one, double.submit(10)], more=one)
        return add([every.result()], more=double.submit(100))  # type: ignore[arg-type]

    result = engine.run(workspace, chained, workers=1)
    assert result.value == 4 + 20 + 4 + 200
    assert [s.name for s in steps(workspace, result.run)] == ["double", "double", "double", "add", "double", "add"]


def test_map_takes_what_each_gives_side_by_side(workspace: Workspace) -> None:
    @sw.step
    def name(prefix: str, number: int, suffix: str = "") -> str:
        return f"{prefix}{number}{suffix}"

    @sw.pipeline
    def mapped() -> list[str]:
        return name.map("n", sw.each([1, 2, 3]), suffix=sw.each(["a", "b", "c"]))

    assert engine.run(workspace, mapped).value == ["n1a", "n2b", "n3c"]
    assert mapped() == ["n1a", "n2b", "n3c"]
    assert double.map(sw.each(range(0))) == []
    assert double.map(sw.each(double.submit(n) for n in (1, 2))) == [4, 8]  # type: ignore[arg-type]
    with pytest.raises(
        InvalidInput, match=r"name.map\(\.\.\.\) was given lists of different lengths: argument 1 has 2, "
    ):
        name.map(sw.each(["a", "b"]), number=sw.each([1]))
    with pytest.raises(InvalidInput, match="no argument by `each`"):
        double.map(1)
    with pytest.raises(InvalidInput, match="It takes several values"):
        sw.each("abc")


def test_outside_a_pipeline_submit_just_calls() -> None:
    assert add.submit([double.submit(1), 3], more=double.submit(5)).result() == 15
    failed = double.submit(None)
    assert isinstance(failed.exception(), TypeError)
    with pytest.raises(InvalidInput, match="used as a condition before it was there"):
        bool(double.submit(1))


def test_inside_a_step_submit_just_calls(workspace: Workspace) -> None:
    @sw.step
    def inner() -> int:
        return sum(double.map(sw.each([1, 2]))) + double.submit(3).result()

    @sw.pipeline
    def nested() -> list[int]:
        return [one.result() for one in [inner.submit() for _ in range(1)]]

    result = engine.run(workspace, nested, workers=1)
    assert result.value == [12]
    assert [s.name for s in steps(workspace, result.run)] == ["inner"]


def test_records_stand_in_the_order_of_calls_not_of_completion(workspace: Workspace) -> None:
    @sw.step
    def wait(n: int) -> int:
        tell("wait" if n == 1 else "go on")
        return n

    @sw.pipeline
    def ordered(shift: int = 0) -> int:
        slow, quick = wait.submit(1), wait.submit(2 + shift)
        quick.result()
        gate.open.set()
        return slow.result()

    engine.run(workspace, ordered, workers=2)
    again = engine.run(workspace, ordered, {"shift": 1}, workers=2)
    found = steps(workspace, again.run)
    assert [s.state for s in found] == ["cached", "finished"]
    assert found[1].reason == "argument n changed"


def test_context_variables_go_along_and_what_a_step_logs_is_its_own(workspace: Workspace) -> None:
    @sw.step(cache=False)
    def painted(n: int) -> str:
        current_run.get().log_metric("n", n, n)  # type: ignore[union-attr]
        return colour.get()

    @sw.pipeline
    def painting() -> list[str]:
        colour.set("red")
        first = painted.submit(1)
        colour.set("blue")
        return [first.result(), painted.submit(2).result()]

    result = engine.run(workspace, painting)
    assert result.value == ["red", "blue"]
    assert [point.value for point in search.history(workspace, result.run.id, "n")] == [1.0, 2.0]
    assert all(s.notes is not None and s.notes.points for s in steps(workspace, result.run))


def test_a_failure_lets_what_runs_end_and_nothing_begin(workspace: Workspace) -> None:
    @sw.step
    def fail() -> int:
        tell("meet")
        raise ValueError("no")

    @sw.step
    def run_on() -> int:
        tell("meet")
        tell("wait")
        return 7

    @sw.pipeline
    def failing() -> int:
        running, failed, after = run_on.submit(), fail.submit(), [double.submit(n) for n in (1, 2)]
        with pytest.raises(StepFailed):
            after[1].result()  # it never begins: the failure is what it gives
        with pytest.raises(StepFailed):
            failed.result()
        gate.open.set()
        running.result()
        return failed.result()

    with pytest.raises(StepFailed, match="The step 'fail' failed: ValueError: no") as caught:
        engine.run(workspace, failing, workers=2)
    assert caught.value.step == "fail"
    found = steps(workspace, newest(workspace))
    assert [(s.name, s.state) for s in found] == [
        ("run_on", "finished"),
        ("fail", "failed"),
        ("double", "cancelled"),
        ("double", "cancelled"),
    ]
    assert found[2].reason == "it did not begin, because the step 'fail' had failed"
    assert not [name for name in gate.names if name.startswith("double")]

    @sw.pipeline
    def mended() -> int:
        return double.submit(1).result()

    again = engine.run(workspace, mended)
    assert steps(workspace, again.run)[0].reason == f"it did not begin in run {found[2].parent_id[:12]}"


def test_a_failure_that_nobody_asked_for_fails_the_run(workspace: Workspace) -> None:
    @sw.step
    def fail() -> int:
        raise ValueError("no")

    @sw.pipeline
    def careless() -> int:
        fail.submit()
        return 1

    with pytest.raises(StepFailed, match="'fail'"):
        engine.run(workspace, careless)
    assert newest(workspace).state == "failed"


def test_a_failure_that_is_caught_lets_the_pipeline_go_on(workspace: Workspace) -> None:
    @sw.step
    def fail() -> int:
        raise ValueError("no")

    @sw.pipeline
    def careful() -> int:
        try:
            return fail.submit().result()
        except StepFailed:
            return double.submit(2).result()

    assert engine.run(workspace, careful).value == 4
    assert newest(workspace).state == "finished"


def test_an_interrupt_lets_what_runs_end(workspace: Workspace) -> None:
    @sw.step
    def first() -> int:
        tell("meet")
        tell("wait")
        return 1

    @sw.pipeline
    def interrupted() -> int:
        first.submit()
        [double.submit(n) for n in range(3)]
        tell("meet")  # the first one has begun
        raise KeyboardInterrupt

    def let_go(step: StepRun, name: str) -> None:
        if step.state == "cancelled":
            gate.open.set()

    with pytest.raises(KeyboardInterrupt):
        engine.run(workspace, interrupted, workers=1, progress=let_go)
    run = newest(workspace)
    assert run.state == "failed"
    assert [s.state for s in steps(workspace, run)] == ["finished", *["cancelled"] * 3]
    assert "the run was ended by Ctrl-C" in steps(workspace, run)[-1].reason


def test_equal_calls_at_the_same_time_compute_once(workspace: Workspace) -> None:
    @sw.step
    def slow(n: int) -> int:
        tell("slow")
        time.sleep(0.05)
        return n

    @sw.pipeline
    def same() -> int:
        return sum(slow.map(sw.each([1] * 6)))

    result = engine.run(workspace, same, workers=6)
    assert result.value == 6
    assert gate.names == ["slow"]
    assert sorted(s.state for s in steps(workspace, result.run)) == ["cached"] * 5 + ["finished"]
    assert not list((workspace.root / "step-locks").iterdir())


def test_a_step_that_waits_for_another_leaves_its_place(workspace: Workspace) -> None:
    later: dict[str, Future[int]] = {}

    @sw.step(cache=False)
    def asks() -> int:
        while "double" not in later:
            time.sleep(0.001)
        return later["double"].result() + 1

    @sw.pipeline
    def waiting() -> int:
        asked = asks.submit()
        later["double"] = double.submit(3)
        return asked.result()

    assert engine.run(workspace, waiting, workers=1).value == 7


def test_steps_that_wait_for_each_other_are_told_so(workspace: Workspace) -> None:
    later: dict[str, Future[Any]] = {}

    @sw.step(cache=False)
    def egg() -> int:
        tell("meet")
        return int(later["hen"].result())

    @sw.step(cache=False)
    def hen() -> int:
        tell("meet")
        return int(later["egg"].result())

    @sw.pipeline
    def circle() -> int:
        first, second = egg.submit(), hen.submit()
        later.update(egg=first, hen=second)
        gate.both.wait()
        return first.result() + second.result()

    gate.both = threading.Barrier(3, timeout=20)
    try:
        with pytest.raises(
            StepFailed, match=r"The step '(egg|hen)' waits for itself: (egg -> hen -> egg|hen -> egg -> hen)"
        ):
            engine.run(workspace, circle, workers=2)
    finally:
        gate.both = threading.Barrier(2, timeout=20)


def test_a_pipeline_that_calls_itself_is_refused(workspace: Workspace) -> None:
    @sw.pipeline
    def outer(n: int = 0) -> int:
        return inner(n)

    @sw.pipeline
    def inner(n: int) -> int:
        return outer(double(n))

    with pytest.raises(InvalidDeclaration, match="The pipeline 'outer' calls itself: outer -> inner -> outer"):
        engine.run(workspace, outer)
    assert newest(workspace).state == "failed"


def test_steps_take_turns_where_the_machine_has_not_enough(workspace: Workspace) -> None:
    most, now, lock = [0], [0], threading.Lock()

    @sw.step(memory="6GB", cache=False)
    def big(n: int) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return n

    @sw.pipeline
    def hungry() -> int:
        return sum(big.map(sw.each(range(5)))) + big(10)

    assert engine.run(workspace, hungry, workers=5, machine=Machine(8, 13e9, 0)).value == 20
    assert most == [2]
    most[0] = 0
    assert engine.run(workspace, hungry, workers=5, machine=Machine(8, 4e9, 0)).value == 20  # more than there is: alone
    assert most == [1]


def test_gpus_that_are_not_there_are_refused(workspace: Workspace) -> None:
    @sw.step(gpus=1)
    def fast() -> int:
        return 1

    @sw.pipeline
    def needs() -> int:
        return fast()

    with pytest.raises(InvalidInput, match="The step 'fast' needs 1 GPUs, and this machine has 0"):
        engine.run(workspace, needs, machine=Machine(2, 8e9, 0))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retries": -1}, "retries=-1"),
        ({"timeout_s": 0}, "timeout_s=0"),
        ({"cpus": 0}, "cpus=0"),
        ({"memory": "4 apples"}, "'4 apples' is no amount of memory"),
        ({"gpus": float("nan")}, "gpus=nan"),
    ],
)
def test_options_that_do_not_fit_are_refused_where_they_are_declared(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidDeclaration, match=told):
        sw.step(**options)(lambda: 1)
