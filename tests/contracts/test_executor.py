"""Each executor against the port's suite, and that they come to the same."""

from contextlib import closing
from pathlib import Path

import pytest

from slipway import plugins
from slipway.backends.inprocess_executor import InProcessExecutor
from slipway.backends.process_executor import ProcessExecutor
from slipway.conformance.executor import ExecutorSuite, read_answer, write_task
from slipway.errors import BackendError
from slipway.hosts.step_worker import perform
from slipway.ports.executor import Executor


class TestProcessExecutor(ExecutorSuite):
    def make(self) -> Executor:
        return ProcessExecutor(1)


@pytest.mark.full
class TestRayExecutor(ExecutorSuite):
    def make(self) -> Executor:
        cluster: type[Executor] = plugins.load("executor", "ray")
        return cluster(workers=1)  # type: ignore[call-arg]


class TestInProcessExecutor(ExecutorSuite):
    isolates = False

    def make(self) -> Executor:
        return InProcessExecutor(perform)


def test_both_give_the_same_result(tmp_path: Path) -> None:
    outputs = []
    for name, executor in (("in", InProcessExecutor(perform)), ("out", ProcessExecutor(1))):
        write_task(tmp_path / name, "pair", n=7)
        with closing(executor):
            executor.execute(tmp_path / name)
        outputs.append(read_answer(tmp_path / name).outputs)
    assert outputs[0] == outputs[1]


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="No step worker could be started with"):
        ProcessExecutor(python=tmp_path / "python").execute(tmp_path)


def test_the_table_knows_both() -> None:
    assert plugins.load("executor", "processes") is ProcessExecutor
    assert plugins.load("executor", "inprocess") is InProcessExecutor
