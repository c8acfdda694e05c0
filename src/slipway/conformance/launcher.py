"""What every launcher of endpoints must do. It starts real endpoints, so it takes seconds."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipway.errors import BackendError
from slipway.ports.launcher import Launcher
from slipway.records.endpoints import EndpointStatus

__all__ = ["LauncherSuite"]


class LauncherSuite:
    """Override `make`, `deploy` and `kill`; each test deploys to a folder of its own."""

    def make(self) -> Launcher:
        """A launcher; two of them know of the same endpoints."""
        raise NotImplementedError

    def deploy(self, folder: Path) -> Path:
        """Put a revision and its bundle into an endpoint's folder; returns that folder."""
        raise NotImplementedError

    def kill(self, status: EndpointStatus) -> None:
        """End the endpoint as kill -9 does, without letting it say anything; return when it is gone."""
        raise NotImplementedError

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "endpoints" / "project" / "endpoint"

    @pytest.fixture
    def launcher(self, folder: Path) -> Iterator[Launcher]:
        folder.mkdir(parents=True)
        made = self.make()
        yield made
        made.stop(folder)

    def test_it_starts_once_and_stops(self, launcher: Launcher, folder: Path) -> None:
        assert launcher.status(folder) is None
        launcher.stop(folder)
        self.deploy(folder)
        status = launcher.ensure(folder)
        assert (status.state, status.revision) == ("ready", 1)
        assert self.make().ensure(folder).pid == status.pid
        assert self.make().status(folder) is not None
        self.make().stop(folder)
        assert launcher.status(folder) is None
        launcher.stop(folder)

    def test_a_start_that_cannot_succeed_says_why_and_is_remembered(self, launcher: Launcher, folder: Path) -> None:
        with pytest.raises(BackendError) as refused:
            launcher.ensure(folder)
        status = self.make().status(folder)
        assert status is not None
        assert status.state == "failed"
        assert status.note in str(refused.value)
        self.deploy(folder)
        assert launcher.ensure(folder).state == "ready"

    def test_many_starters_get_one_endpoint(self, launcher: Launcher, folder: Path) -> None:
        self.deploy(folder)
        starters: list[Callable[[Path], EndpointStatus]] = [launcher.ensure, self.make().ensure, self.make().ensure]
        with ThreadPoolExecutor(3) as pool:
            assert len({status.pid for status in pool.map(lambda ensure: ensure(folder), starters)}) == 1

    def test_after_a_kill_it_is_known_to_be_gone_and_starts_again(self, launcher: Launcher, folder: Path) -> None:
        self.deploy(folder)
        killed = launcher.ensure(folder)
        self.kill(killed)
        again = launcher.ensure(folder)
        assert again.pid != killed.pid
        assert again.state == "ready"
