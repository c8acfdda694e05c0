"""What every runner of pipeline tasks must do. It starts real processes, so it takes seconds."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipway.errors import BackendError
from slipway.ports.runner import RESULT_FILE, Runner

__all__ = ["RunnerSuite"]

_LONG_S = 60.0


class RunnerSuite:
    """Override `make`, `stage`, `count`, `kill` and `start_and_die`; each test stages a task of its own."""

    def make(self) -> Runner:
        """A runner; two of them know of the same tasks."""
        raise NotImplementedError

    def stage(self, gate: Path) -> Path:
        """Stage a task that ends well as soon as the file `gate` exists; returns its folder."""
        raise NotImplementedError

    def begun(self, gate: Path) -> int:
        """Wait until the task that waits for `gate` has begun once more; returns how often it has begun so far."""
        raise NotImplementedError

    def kill(self, folder: Path) -> None:
        """End a running task as kill -9 does; return when it is gone."""
        raise NotImplementedError

    def start_and_die(self, folder: Path) -> None:
        """Start the task from a process that is killed with kill -9 right after it."""
        raise NotImplementedError

    @pytest.fixture
    def gate(self, tmp_path: Path) -> Path:
        return tmp_path / "gate"

    @pytest.fixture
    def runner(self) -> Runner:
        return self.make()

    @pytest.fixture
    def folder(self, gate: Path, runner: Runner) -> Iterator[Path]:
        staged = self.stage(gate)
        yield staged
        runner.stop(staged)

    def test_it_runs_once_to_its_end(self, runner: Runner, folder: Path, gate: Path) -> None:
        assert runner.state(folder) == "absent"
        assert runner.wait(folder, 0) == "absent"
        runner.start(folder)
        assert (runner.state(folder), self.make().state(folder)) == ("running", "running")
        assert runner.wait(folder, 0) == "running"
        starters: list[Callable[[Path], None]] = [runner.start, self.make().start, self.make().start]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda start: start(folder), starters))
        gate.touch()
        assert self.make().wait(folder, _LONG_S) == "ended"
        result = (folder / RESULT_FILE).read_bytes()
        runner.start(folder)
        assert (runner.state(folder), (folder / RESULT_FILE).read_bytes()) == ("ended", result)
        assert self.begun(gate) == 1

    def test_after_a_kill_it_is_known_to_be_gone_and_starts_again(
        self, runner: Runner, folder: Path, gate: Path
    ) -> None:
        runner.start(folder)
        assert self.begun(gate) == 1
        self.kill(folder)
        assert (runner.state(folder), runner.wait(folder, _LONG_S)) == ("absent", "absent")
        gate.touch()
        runner.start(folder)
        assert runner.wait(folder, _LONG_S) == "ended"

    def test_it_survives_the_kill_of_its_starter(self, runner: Runner, folder: Path, gate: Path) -> None:
        self.start_and_die(folder)
        assert runner.state(folder) == "running"
        gate.touch()
        assert runner.wait(folder, _LONG_S) == "ended"

    def test_it_stops_without_a_result_and_may_start_again(self, runner: Runner, folder: Path, gate: Path) -> None:
        runner.stop(folder)
        runner.start(folder)
        self.begun(gate)
        self.make().stop(folder)
        assert runner.state(folder) == "absent"
        runner.stop(folder)
        gate.touch()
        runner.start(folder)
        assert runner.wait(folder, _LONG_S) == "ended"

    def test_a_folder_that_is_not_there_is_a_sentence(self, runner: Runner, tmp_path: Path) -> None:
        assert runner.state(tmp_path / "nowhere") == "absent"
        with pytest.raises(BackendError, match="cannot be started"):
            runner.start(tmp_path / "nowhere")
