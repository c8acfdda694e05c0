"""Each launcher against the port's suite."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from slipway.backends.process_launcher import ProcessLauncher
from slipway.conformance.launcher import LauncherSuite
from slipway.ports.launcher import Launcher
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import EndpointStatus

sys.path.insert(0, str(Path(__file__).parents[1] / "hosts"))
import endpoint_folder as ef


@pytest.mark.full
class TestProcessLauncher(LauncherSuite):
    @pytest.fixture(autouse=True)
    def _store(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def make(self) -> Launcher:
        return ProcessLauncher()

    @pytest.fixture
    def folder(self) -> Path:
        return self.workspace.root / "endpoints" / self.workspace.project / ef.NAME

    def deploy(self, folder: Path) -> Path:
        ef.deploy_plain(self.workspace)
        return folder

    def kill(self, status: EndpointStatus) -> None:
        os.kill(status.pid, signal.SIGKILL)
        while ProcessLauncher().status(ef.folder_of(self.workspace)) is not None:
            time.sleep(0.01)
