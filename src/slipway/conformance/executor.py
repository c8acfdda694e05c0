"""What every executor of steps must do."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from slipway.errors import BackendError
from slipway.hashing import digest, fingerprint
from slipway.ids import new_id
from slipway.ports.executor import Executor, Resources
from slipway.records.runs import Artifact
from slipway.records.tasks import StepAnswer, StepTask

__all__ = ["ExecutorSuite", "read_answer", "write_task"]

_STEPS = """
import os
import random
import signal
import subprocess
import sys
import time


def add(a, b):
    return a + b


def pair(n):
    return n, str(n)


def refuse(n):
    print("about to refuse")
    raise ValueError(f"{n} is too much")


def where():
    return sorted(name for name in os.listdir(".") if name.endswith(".json"))


def die(number):
    print("last words", flush=True)
    os.kill(os.getpid(), number)


def leave(code):
    os._exit(code)


def hang(marker):
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = subprocess.Popen(sleeping)
    away = subprocess.Popen(sleeping, start_new_session=True)  # no signal to the task's group reaches it
    with open(marker, "w") as file:
        file.write(f"{child.pid} {away.pid}")
    time.sleep(600)


def leave_behind(marker):
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    with open(marker, "w") as file:
        file.write(str(subprocess.Popen(sleeping, start_new_session=True).pid))
    return 1


SEEN = []


def leave_traces(n):
    found = [len(SEEN), os.environ.get("SUITE_TRACE", ""), os.umask(0o077), random.random() == 0.5]
    SEEN.append(n)
    os.environ["SUITE_TRACE"] = "left"
    random.random = lambda: 0.5
    os.chdir("/")
    return found


def hoard(megabytes):
    held = bytearray(megabytes << 20)
    for n in range(0, len(held), 4096):
        held[n] = 1
    time.sleep(600)


def draw(n):
    return random.random()


def scribble(n):
    with open("result.json", "w") as file:
        file.write("{not json")
    os._exit(0)
"""


_MODULE = f"suite_steps_{new_id()}"  # a name of its own: an executor in this process could meet an older one


def write_task(folder: Path, function: str, *, module: str = _MODULE, **inputs: object) -> str:
    """Write a task that calls one of the suite's functions with plain arguments; returns the module's name."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(f"{module}.py", _STEPS)
    (folder / "artifacts").mkdir(parents=True)
    (folder / "code.zip").write_bytes(sink.getvalue())
    written: dict[str, tuple[Artifact, ...]] = {}
    for name, value in inputs.items():
        data = msgspec.json.encode(value)
        stored = Artifact(
            name=name, digest=digest(data), fingerprint=fingerprint(value), format="json", size_bytes=len(data)
        )
        (folder / "artifacts" / stored.digest).write_bytes(data)
        written[name] = (stored,)
    task = StepTask(step=function, function=f"{module}:{function}", code=digest(sink.getvalue()), inputs=written)
    (folder / "task.json").write_bytes(msgspec.json.encode(task))
    return module


def read_answer(folder: Path) -> StepAnswer:
    """The answer in a task folder."""
    return msgspec.json.decode((folder / "result.json").read_bytes(), type=StepAnswer)


class ExecutorSuite:
    """Override `make`. An executor that isolates nothing sets `isolates = False`: it need not survive a task's crash."""

    isolates = True

    def make(self) -> Executor:
        """An executor with one worker."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls) -> Iterator[Executor]:
        with closing(cls().make()) as opened:
            yield opened

    @pytest.fixture
    def apart(self, executor: Executor) -> Executor:
        if not self.isolates:
            pytest.skip("it isolates nothing")
        return executor

    def test_a_result_lies_in_the_folder_with_its_fingerprint(self, executor: Executor, tmp_path: Path) -> None:
        write_task(tmp_path, "add", a=2, b=3)
        assert executor.execute(tmp_path).problem == ""
        answer = read_answer(tmp_path)
        assert answer.state == "finished"
        assert [(a.name, a.format, a.fingerprint) for a in answer.outputs] == [("result", "json", fingerprint(5))]
        assert (tmp_path / "artifacts" / answer.outputs[0].digest).read_bytes() == b"5"
        assert not list(tmp_path.rglob("*.part"))

    def test_types_of_arguments_and_results_are_kept(self, executor: Executor, tmp_path: Path) -> None:
        write_task(tmp_path, "pair", n=1.0)
        executor.execute(tmp_path)
        assert read_answer(tmp_path).outputs[0].fingerprint == fingerprint((1.0, "1.0"))

    def test_a_raising_step_tells_the_users_traceback(self, executor: Executor, tmp_path: Path) -> None:
        write_task(tmp_path, "refuse", n=9)
        assert executor.execute(tmp_path).problem == ""
        error = read_answer(tmp_path).error
        assert error is not None
        assert (error.type, error.message, error.step) == ("ValueError", "9 is too much", "refuse")
        assert "in refuse" in error.trace
        assert "step_worker" not in error.trace

    def test_another_protocol_is_refused(self, executor: Executor, tmp_path: Path) -> None:
        write_task(tmp_path, "add", a=1, b=1)
        task = msgspec.json.decode((tmp_path / "task.json").read_bytes())
        (tmp_path / "task.json").write_bytes(msgspec.json.encode(task | {"protocol": 99}))
        assert executor.execute(tmp_path).problem == ""
        answer = read_answer(tmp_path)
        assert answer.state == "failed"
        assert answer.error is not None
        assert "protocol 99" in answer.error.message

    def test_damaged_inputs_and_code_are_refused(self, executor: Executor, tmp_path: Path) -> None:
        for name in ("input", "code"):
            folder = tmp_path / name
            write_task(folder, "add", module=f"suite_steps_{new_id()}", a=1, b=2)
            damaged = folder / "code.zip" if name == "code" else next((folder / "artifacts").iterdir())
            damaged.write_bytes(damaged.read_bytes() + b" ")
            executor.execute(folder)
            error = read_answer(folder).error
            assert error is not None
            assert error.type == "Corrupt"

    def test_a_function_that_is_not_there_is_named(self, executor: Executor, tmp_path: Path) -> None:
        module = write_task(tmp_path, "nothing")
        executor.execute(tmp_path)
        error = read_answer(tmp_path).error
        assert error is not None
        assert error.type == "NotFound"
        assert f"{module}:nothing" in error.message

    def test_the_time_of_workers_adds_up(self, executor: Executor, tmp_path: Path) -> None:
        write_task(tmp_path, "add", a=1, b=1)
        before = executor.time().used_s
        executor.execute(tmp_path)
        time = executor.time()
        assert before < time.used_s <= time.paid_s
        assert time.idle_s == pytest.approx(time.paid_s - time.used_s)
        assert time.workers >= 1

    def test_a_killed_step_is_an_ending_and_the_next_one_runs(self, apart: Executor, tmp_path: Path) -> None:
        write_task(tmp_path / "dies", "die", number=9)
        ending = apart.execute(tmp_path / "dies")
        assert ending.problem == "was killed by SIGKILL"
        assert not ending.is_lost
        assert "last words" in ending.output
        assert not (tmp_path / "dies" / "result.json").exists()
        write_task(tmp_path / "next", "add", a=1, b=1)
        assert apart.execute(tmp_path / "next").problem == ""
        assert read_answer(tmp_path / "next").state == "finished"

    def test_an_exit_code_is_an_ending(self, apart: Executor, tmp_path: Path) -> None:
        write_task(tmp_path, "leave", code=3)
        assert apart.execute(tmp_path).problem == "ended with exit code 3"

    def test_after_the_time_out_nothing_of_the_task_runs(self, apart: Executor, tmp_path: Path) -> None:
        marker = tmp_path / "pid"
        write_task(tmp_path / "task", "hang", marker=str(marker))
        ending = apart.execute(tmp_path / "task", Resources(timeout_s=2.0))
        assert ending.problem == "took longer than 2 seconds"
        if marker.exists():  # not, where even starting took longer
            assert all(_is_gone(int(pid)) for pid in marker.read_text().split())

    def test_what_a_task_leaves_running_ends_with_it(self, apart: Executor, tmp_path: Path) -> None:
        marker = tmp_path / "pid"
        write_task(tmp_path / "task", "leave_behind", marker=str(marker))
        assert apart.execute(tmp_path / "task").problem == ""
        assert _is_gone(int(marker.read_text()))

    def test_a_task_that_holds_too_much_memory_is_ended(self, apart: Executor, tmp_path: Path) -> None:
        write_task(tmp_path, "hoard", megabytes=900)
        ending = apart.execute(tmp_path, Resources(memory_bytes=500_000_000, timeout_s=60.0))
        assert ending.problem == "held more than the 500 MB of memory that it was given"

    def test_a_step_stands_in_its_folder(self, apart: Executor, tmp_path: Path) -> None:
        write_task(tmp_path, "where")
        apart.execute(tmp_path)
        stored = tmp_path / "artifacts" / read_answer(tmp_path).outputs[0].digest
        assert msgspec.json.decode(stored.read_bytes()) == ["task.json"]

    def test_what_a_task_changes_the_next_one_does_not_see(self, apart: Executor, tmp_path: Path) -> None:
        found = []
        for name in ("first", "second", "third"):
            write_task(tmp_path / name, "leave_traces", n=1)
            apart.execute(tmp_path / name)
            answer = read_answer(tmp_path / name)
            assert answer.state == "finished", answer.error
            found.append(answer.outputs[0].fingerprint)
        assert found[0] == found[1] == found[2]

    def test_two_tasks_draw_other_random_numbers(self, apart: Executor, tmp_path: Path) -> None:
        found = set()
        for name in ("first", "second", "third"):
            write_task(tmp_path / name, "draw", n=1)
            apart.execute(tmp_path / name)
            found.add(read_answer(tmp_path / name).outputs[0].fingerprint)
        assert len(found) == 3

    def test_a_closed_executor_refuses_tasks(self, tmp_path: Path) -> None:
        if not self.isolates:
            pytest.skip("it has nothing to close")
        executor = self.make()
        executor.close()
        executor.close()
        write_task(tmp_path, "add", a=1, b=1)
        with pytest.raises(BackendError, match="closed"):
            executor.execute(tmp_path)
        assert executor.time().paid_s == executor.time().paid_s


def _is_gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":  # ended; its adopted parent has not asked yet
            return True
    return False
