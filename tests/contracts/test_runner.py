"""Each runner against the port's suite."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway import plugins
from slipway.backends.process_runner import ProcessRunner
from slipway.conformance.runner import RunnerSuite
from slipway.pipelines import snapshot, staging
from slipway.ports.runner import LOCK_FILE, Runner
from slipway.ports.workspace import Workspace

PROJECT = '''
import os, time
import slipway as sw

@sw.pipeline
def wait(gate: str) -> int:
    """Say that it began, then wait."""
    with open(gate + ".begun", "a") as file:
        file.write("x")
    while not os.path.exists(gate):
        time.sleep(0.01)
    return 1
'''
STARTER = """
import os, sys
from pathlib import Path
from slipway.backends.process_runner import ProcessRunner
ProcessRunner().start(Path(sys.argv[1]))
os.kill(os.getpid(), 9)
"""


@pytest.mark.full
class TestProcessRunner(RunnerSuite):
    @pytest.fixture(autouse=True)
    def _store(self, workspace: Workspace, tmp_path: Path) -> None:
        self.workspace = workspace
        code = tmp_path / "code"
        code.mkdir()
        (code / "slipway.toml").write_text('[project]\nname = "flights"\nmodule = "waiting"\n')
        (code / "waiting.py").write_text(PROJECT)
        self.snapshot = snapshot.take(workspace, code)

    def make(self) -> Runner:
        return ProcessRunner()

    def stage(self, gate: Path) -> Path:
        task = staging.task(self.workspace, snapshot=self.snapshot, pipeline="wait", params={"gate": str(gate)})
        return staging.stage(self.workspace, "waits", task)

    def begun(self, gate: Path) -> int:
        said = Path(f"{gate}.begun")
        while not said.exists():
            time.sleep(0.01)
        return len(said.read_text())

    def kill(self, folder: Path) -> None:
        os.kill(int((folder / LOCK_FILE).read_text()), signal.SIGKILL)
        while ProcessRunner().state(folder) == "running":
            time.sleep(0.01)

    def start_and_die(self, folder: Path) -> None:
        died = subprocess.run([sys.executable, "-c", STARTER, str(folder)], check=False)
        assert died.returncode == -signal.SIGKILL


def test_the_table_knows_it() -> None:
    assert plugins.load("runner", "process") is ProcessRunner
