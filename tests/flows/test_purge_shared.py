"""Trash and purge where servers share a ledger in PostgreSQL and blobs in an object store: what holds on one disk holds."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import test_purge
import test_purge_crash
from hypothesis import HealthCheck, settings
from test_purge_random import START, Purging

import objects_here
import postgres_here
from slipway.backends.clocks import SimulatedClock
from slipway.hosts.project import open_workspace
from slipway.ids import new_id
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.people import Actor

pytestmark = pytest.mark.full

OF_FOLDERS = {"test_tidying_takes_only_what_is_old"}


def of(module: Any) -> dict[str, Callable[..., None]]:
    return {name: test for name, test in vars(module).items() if name.startswith("test_") and name not in OF_FOLDERS}


globals().update(of(test_purge) | of(test_purge_crash))


def shared(root: Path, ledger: str, clock: SimulatedClock) -> Workspace:
    """A workspace as a machine opens it whose slipway.toml names both; its objects can be aged."""
    from slipway.backends.object_blobs import ObjectBlobs
    from slipway.backends.object_bucket import Bucket, Found

    class Aging(Bucket):
        aged: set[str]

        def put(self, name: str, data: bytes | memoryview, *, create: bool) -> bool:
            is_written = super().put(name, data, create=create)
            if is_written:
                self.aged.discard(name)
            return is_written

        def head(self, name: str) -> Found | None:
            found = super().head(name)
            return found and self._aged(found)

        def under(self, name: str) -> Iterator[Found]:
            return map(self._aged, super().under(name))

        def _aged(self, found: Found) -> Found:
            return found._replace(put_at=found.put_at - timedelta(days=2)) if found.name in self.aged else found

    place = f"s3://store/{new_id()}"
    actor = Actor("ada", roles=("admin",))
    opened = open_workspace(root, project="flights", actor=actor, clock=clock, ledger=ledger, blobs=place)
    bucket = Aging(place)
    bucket.aged = set()
    blobs = ObjectBlobs(place, bucket)
    return replace(opened, blobs=blobs, open_parts=blobs.parts)


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with objects_here.s3() as environment:
        yield environment


@pytest.fixture
def workspace(
    server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: SimulatedClock, said: list[str]
) -> Iterator[Workspace]:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    with postgres_here.cleaned() as url:
        opened = replace(shared(tmp_path / "store", url, clock), say=said.append)
        with closing(opened.ledger), current_workspace.filled(opened):
            yield opened


@pytest.fixture
def _environment(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.items():
        monkeypatch.setenv(name, value)


class SharedPurging(Purging):
    """The same, in a schema and a place of its own for each history."""

    def opened(self, root: Path) -> Workspace:
        self.schema = ExitStack()
        return shared(root, self.schema.enter_context(postgres_here.cleaned()), SimulatedClock(START))

    def teardown(self) -> None:
        super().teardown()
        self.schema.close()


SharedPurging.TestCase.settings = settings(
    max_examples=4, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
test_whatever_is_deleted_in_whatever_order = pytest.mark.usefixtures("_environment")(SharedPurging.TestCase)
