"""What every executor of steps must do."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

import io
import os
import time
import zipfile
from pathlib import Path

import msgspec

from slipway.hashing import digest, fingerprint
from slipway.ids import new_id
from slipway.ports.executor import Ending, Executor
from slipway.records.runs import Artifact
from slipway.records.tasks import StepAnswer, StepTask

__all__ = ["ExecutorSuite", "read_answer", "write_task"]

_STEPS = """
import os
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
    return os.getcwd()


def die(number):
    print("last words", flush=True)
    os.kill(os.getpid(), number)


def leave(code):
    os._exit(code)


def hang(marker):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(marker, "w") as file:
        file.write(str(child.pid))
    time.sleep(600)


def scribble(n):
    with open("result.json", "w") as file:
        file.write("{not json")
    os._exit(0)
"""


def write_task(folder: Path, function: str, **inputs: object) -> str:
    """Write a task that calls one of the suite's functions with plain arguments; returns the module's name."""
    module = f"suite_steps_{new_id()}"  # a name of its own: an executor in this process would meet an older one
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
        """An executor."""
        raise NotImplementedError

    def _execute(self, folder: Path, function: str, **inputs: object) -> Ending:
        write_task(folder, function, **inputs)
        return self.make().execute(folder)

    def test_a_result_lies_in_the_folder_with_its_fingerprint(self, tmp_path: Path) -> None:
        assert self._execute(tmp_path, "add", a=2, b=3).problem == ""
        answer = read_answer(tmp_path)
        assert answer.state == "finished"
        assert [(a.name, a.format, a.fingerprint) for a in answer.outputs] == [("result", "json", fingerprint(5))]
        assert (tmp_path / "artifacts" / answer.outputs[0].digest).read_bytes() == b"5"
        assert not list(tmp_path.rglob("*.part"))

    def test_types_of_arguments_and_results_are_kept(self, tmp_path: Path) -> None:
        self._execute(tmp_path, "pair", n=1.0)
        assert read_answer(tmp_path).outputs[0].fingerprint == fingerprint((1.0, "1.0"))

    def test_a_raising_step_tells_the_users_traceback(self, tmp_path: Path) -> None:
        assert self._execute(tmp_path, "refuse", n=9).problem == ""
        error = read_answer(tmp_path).error
        assert error is not None
        assert (error.type, error.message, error.step) == ("ValueError", "9 is too much", "refuse")
        assert "in refuse" in error.trace
        assert "step_worker" not in error.trace

    def test_another_protocol_is_refused(self, tmp_path: Path) -> None:
        write_task(tmp_path, "add", a=1, b=1)
        task = msgspec.json.decode((tmp_path / "task.json").read_bytes())
        (tmp_path / "task.json").write_bytes(msgspec.json.encode(task | {"protocol": 99}))
        assert self.make().execute(tmp_path).problem == ""
        answer = read_answer(tmp_path)
        assert answer.state == "failed"
        assert answer.error is not None
        assert "protocol 99" in answer.error.message

    def test_damaged_inputs_and_code_are_refused(self, tmp_path: Path) -> None:
        for name in ("input", "code"):
            folder = tmp_path / name
            write_task(folder, "add", a=1, b=2)
            damaged = folder / "code.zip" if name == "code" else next((folder / "artifacts").iterdir())
            damaged.write_bytes(damaged.read_bytes() + b" ")
            self.make().execute(folder)
            error = read_answer(folder).error
            assert error is not None
            assert error.type == "Corrupt"

    def test_a_function_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        module = write_task(tmp_path, "nothing")
        self.make().execute(tmp_path)
        error = read_answer(tmp_path).error
        assert error is not None
        assert error.type == "NotFound"
        assert f"{module}:nothing" in error.message

    def test_a_killed_step_is_an_ending(self, tmp_path: Path) -> None:
        if not self.isolates:
            return
        ending = self._execute(tmp_path, "die", number=9)
        assert ending.problem == "was killed by SIGKILL"
        assert "last words" in ending.output
        assert not (tmp_path / "result.json").exists()

    def test_an_exit_code_is_an_ending(self, tmp_path: Path) -> None:
        if not self.isolates:
            return
        assert self._execute(tmp_path, "leave", code=3).problem == "ended with exit code 3"

    def test_after_the_time_out_nothing_of_the_task_runs(self, tmp_path: Path) -> None:
        if not self.isolates:
            return
        marker = tmp_path / "pid"
        write_task(tmp_path / "task", "hang", marker=str(marker))
        ending = self.make().execute(tmp_path / "task", timeout_s=2.0)
        assert ending.problem == "took longer than 2 seconds"
        if marker.exists():  # not, where even starting took longer
            assert _is_gone(int(marker.read_text()))

    def test_a_step_sees_only_its_folder(self, tmp_path: Path) -> None:
        if not self.isolates:
            return
        self._execute(tmp_path, "where")
        stored = tmp_path / "artifacts" / read_answer(tmp_path).outputs[0].digest
        assert msgspec.json.decode(stored.read_bytes()) == str(tmp_path)


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
