"""A warm worker beyond the port's suite: what a fork takes along, and who ends what when somebody is killed."""

import os
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from slipway.backends.process_executor import ProcessExecutor
from slipway.conformance.executor import read_answer
from slipway.hashing import digest
from slipway.hosts import warm_worker
from slipway.records.tasks import StepTask

PLAIN = """
import os, time

def where():
    return [os.getpid(), os.getppid()]

def wait(folder):
    import subprocess, sys
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    with open(os.path.join(folder, "part"), "w") as file:
        file.write(f"{os.getpid()} {os.getppid()} {child.pid}")
    os.rename(os.path.join(folder, "part"), os.path.join(folder, "begun"))
    time.sleep(600)
"""
SLOW_IMPORT = """
import time

time.sleep(6)

def wait():
    return 1
"""
LONG = "import time\n\ndef wait():\n    time.sleep(600)\n"
THREADED = """
import threading, os
threading.Thread(target=threading.Event().wait, daemon=True).start()

def where():
    return [os.getpid(), os.getppid()]

def draw():
    return threading.active_count()
"""
SEEDED = """
import random
import numpy as np
random.seed(7)
np.random.seed(7)

def draw():
    return [random.random(), float(np.random.random())]
"""
UNSEEDED = SEEDED.replace("random.seed(7)\nnp.random.seed(7)\n", "")
DEADLY = "import os\nos.kill(os.getpid(), 9)\n\ndef draw():\n    return 1\n"
HANGING = "import time\ntime.sleep(600)\n\ndef draw():\n    return 1\n"


@pytest.fixture
def pool() -> Iterator[ProcessExecutor]:
    with closing(ProcessExecutor(1)) as opened:
        yield opened


def _stage(folder: Path, code: str, function: str, **inputs: str) -> Path:
    sink = BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("warm_steps.py", code)
    (folder / "artifacts").mkdir(parents=True)
    (folder / "code.zip").write_bytes(sink.getvalue())
    task = StepTask(step=function, function=f"warm_steps:{function}", code=digest(sink.getvalue()))
    (folder / "task.json").write_bytes(msgspec.json.encode(task))
    return folder


def _value(folder: Path) -> object:
    answer = read_answer(folder)
    assert answer.state == "finished", answer.error
    return msgspec.json.decode((folder / "artifacts" / answer.outputs[0].digest).read_bytes())


def _drawn(pool: ProcessExecutor, home: Path, code: str, function: str = "draw", times: int = 2) -> list[object]:
    found = []
    for n in range(times):
        folder = _stage(home / f"{digest(code.encode())[:6]}-{function}-{n}", code, function)
        assert pool.execute(folder).problem == ""
        found.append(_value(folder))
    return found


def _until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_tasks_of_one_worker_are_its_own_processes(pool: ProcessExecutor, tmp_path: Path) -> None:
    first, second = _drawn(pool, tmp_path, PLAIN, "where")
    assert first[0] != second[0]  # type: ignore[index]
    assert first[1] == second[1]  # type: ignore[index]
    assert pool.time().workers == 1


def test_a_module_that_starts_threads_is_imported_by_each_task_itself(pool: ProcessExecutor, tmp_path: Path) -> None:
    assert _drawn(pool, tmp_path, THREADED) == [2, 2]


def test_other_code_is_another_worker_to_its_tasks(pool: ProcessExecutor, tmp_path: Path) -> None:
    assert _drawn(pool, tmp_path, "def draw():\n    return 1\n") == [1, 1]
    assert _drawn(pool, tmp_path, "def draw():\n    return 2\n") == [2, 2]


def test_random_numbers_are_what_the_module_seeds_or_new_in_each_task(pool: ProcessExecutor, tmp_path: Path) -> None:
    seeded = _drawn(pool, tmp_path, SEEDED)
    assert seeded[0] == seeded[1]
    first, second = _drawn(pool, tmp_path, UNSEEDED)
    assert first[0] != second[0]  # type: ignore[index]
    assert first[1] != second[1]  # type: ignore[index]


@pytest.mark.full
def test_random_numbers_of_pytorch_are_so_too(pool: ProcessExecutor, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: make .venv/stamps/torch")
    drawing = "import torch\n{}\ndef draw():\n    return [float(torch.rand(()))]\n"
    seeded = _drawn(pool, tmp_path, drawing.format("torch.manual_seed(7)"))
    assert seeded[0] == seeded[1]
    first, second = _drawn(pool, tmp_path, drawing.format(""))
    assert first != second


@pytest.mark.full
def test_a_worker_that_dies_or_hangs_while_it_imports_is_one_failed_task(pool: ProcessExecutor, tmp_path: Path) -> None:
    from slipway.ports.executor import Resources

    assert pool.execute(_stage(tmp_path / "deadly", DEADLY, "draw")).problem == "was killed by SIGKILL"
    needs, hanging = Resources(timeout_s=2.0, begin_s=2.0), _stage(tmp_path / "hanging", HANGING, "draw")
    assert pool.execute(hanging, needs).problem == "did not begin within 2 seconds"
    assert _drawn(pool, tmp_path, PLAIN, "where", times=1)


@pytest.mark.full
def test_a_time_out_counts_from_where_the_function_begins(pool: ProcessExecutor, tmp_path: Path) -> None:
    from slipway.ports.executor import Resources

    needs = Resources(timeout_s=5.0)
    for place, code in (
        ("warm", SLOW_IMPORT),
        ("anew", THREADED + SLOW_IMPORT),
    ):  # imported before the fork, or by the task
        assert pool.execute(_stage(tmp_path / place, code, "wait"), needs).problem == ""
    late = pool.execute(_stage(tmp_path / "late", LONG, "wait"), Resources(timeout_s=0.5))
    assert late.problem == "took longer than 0.5 seconds"


def test_a_worker_that_was_killed_while_it_waited_is_replaced(pool: ProcessExecutor, tmp_path: Path) -> None:
    ((_, worker),) = _drawn(pool, tmp_path, PLAIN, "where", times=1)  # type: ignore[misc]
    os.kill(worker, signal.SIGKILL)
    _until(lambda: not any(one.is_alive for one in pool._idle))  # its memory goes a moment before it can be waited for
    assert _drawn(pool, tmp_path / "again", PLAIN, "where", times=1)
    assert pool.time().workers == 1


def _waiting(code: str, home: Path) -> Path:
    """A task that waits, and says into `home` which processes it is."""
    return _stage(home / "task", code.replace("def wait(folder):", f"def wait(folder={str(home)!r}):"), "wait")


def test_closing_ends_what_runs(tmp_path: Path) -> None:
    pool = ProcessExecutor(1)
    folder = _waiting(PLAIN, tmp_path)
    thread = threading.Thread(target=pool.execute, args=(folder,))
    thread.start()
    _until((tmp_path / "begun").exists)
    pool.close()
    thread.join(60)
    assert not thread.is_alive()
    assert all(_is_gone(int(pid)) for pid in (tmp_path / "begun").read_text().split())


def test_a_killed_pipeline_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    folder = _waiting(PLAIN, tmp_path)
    program = (
        "import sys; from pathlib import Path\n"
        "from slipway.backends.process_executor import ProcessExecutor\n"
        "ProcessExecutor(1).execute(Path(sys.argv[1]))\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", program, str(folder)], environment)
    _until((tmp_path / "begun").exists)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pids = [int(one) for one in (tmp_path / "begun").read_text().split()]
    _until(lambda: all(map(_is_gone, pids)))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_of_much_that_is_printed_the_end_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_worker, "_OUTPUT_BYTES", 1000)
    monkeypatch.setattr(warm_worker, "_KEPT_BYTES", 10)
    output = tmp_path / "output.log"
    output.write_bytes(b"x" * 5000 + b"0123456789")
    warm_worker._cut(output)
    with output.open("ab") as file:
        file.write(b" and on")
    assert output.read_bytes() == b"... 5,000 bytes were printed before this ...\n0123456789 and on"
    warm_worker._cut(tmp_path / "missing")
