"""Publishing: the ledger is first, and the endpoint's folder comes to say what it says, whatever was killed."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from small_desk import BETTER, FIRST, NAME, Desk

import slipway as sw
from slipway.errors import BackendError
from slipway.flows.endpoints import revision_of
from slipway.flows.publish import converge, publish_revision
from slipway.flows.release import declare_endpoint
from slipway.ports.launcher import Launcher
from slipway.records.endpoints import Revision
from slipway.records.tables import AboutTable
from slipway.serving.log_policy import KEY_FILE
from slipway.serving.swap import REVISION_FILE, read_revision
from slipway.tables.catalog import head
from slipway.tables.commits import note_about
from slipway.tables.log_layouts import read_layouts


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def still(desk: Desk) -> Desk:
    """The first version deployed, without a process."""
    still = desk.without_processes()
    still.approve(FIRST, BETTER)
    still.deploy(FIRST)
    return still


@contextmanager
def killed_after_the_ledger(desk: Desk) -> Iterator[Desk]:
    """A desk whose process ends right after a revision was written into the ledger."""
    signer = desk.workspace.signer

    class Dying(type(signer)):  # type: ignore[misc]
        def sign(self, *given: object) -> bytes:
            raise Killed

    dying = Dying(desk.workspace.root / "keys")
    workspace = dataclasses.replace(desk.workspace, signer=dying)
    with pytest.raises(Killed):
        yield Desk(dataclasses.replace(desk.project, workspace=workspace), desk.clock)


def in_folder(desk: Desk) -> Revision:
    return read_revision(desk.folder / REVISION_FILE, desk.workspace.signer)


def test_what_was_killed_between_ledger_and_folder_is_made_good(still: Desk) -> None:
    with killed_after_the_ledger(still) as dying:
        dying.deploy(BETTER)
    newest = revision_of(still.workspace, NAME)
    assert (newest.number, newest.served.number) == (2, BETTER)
    assert in_folder(still).number == 1
    converge(still.workspace, newest)
    assert in_folder(still) == newest
    status = still.workspace.launcher.status(still.folder)
    assert status is not None
    assert status.revision == 2


def test_what_agrees_is_left_as_it_is(still: Desk) -> None:
    file = still.folder / REVISION_FILE
    before = file.stat().st_mtime_ns, file.read_bytes()
    converge(still.workspace, revision_of(still.workspace, NAME))
    assert (file.stat().st_mtime_ns, file.read_bytes()) == before


@pytest.mark.parametrize("damage", ["gone", "altered"])
def test_what_is_gone_or_damaged_in_the_folder_is_published_anew(still: Desk, said: list[str], damage: str) -> None:
    file = still.folder / REVISION_FILE
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:-40])
    loud = dataclasses.replace(still.workspace, say=said.append)
    converge(loud, revision_of(still.workspace, NAME))
    assert in_folder(still).number == 1
    assert any(line.endswith("It is published anew.") for line in said)


def test_an_endpoint_that_was_stopped_is_not_started_by_it(still: Desk) -> None:
    with killed_after_the_ledger(still) as dying:
        dying.deploy(BETTER)
    still.workspace.launcher.stop(still.folder)
    converge(still.workspace, revision_of(still.workspace, NAME))
    assert in_folder(still).number == 2
    assert still.workspace.launcher.status(still.folder) is None


def test_what_is_written_beside_a_revision_is_written_with_it_or_not_at_all(still: Desk) -> None:
    draft = msgspec.structs.replace(revision_of(still.workspace, NAME), reason="again")
    seen: list[int] = []

    def fail(tx: object, revision: Revision) -> None:
        seen.append(revision.number)
        raise Killed

    with pytest.raises(Killed):
        publish_revision(still.workspace, draft, [still.version(FIRST)], "endpoints.deploy", also=fail)
    assert seen == [2]
    assert revision_of(still.workspace, NAME).number == 1
    assert in_folder(still).number == 1


def test_a_process_that_refuses_a_revision_is_said(still: Desk) -> None:
    class Refusing:
        def __init__(self, launcher: Launcher) -> None:
            self._launcher = launcher

        def ensure(self, folder: object) -> object:
            found = self._launcher.ensure(folder)  # type: ignore[arg-type]
            return msgspec.structs.replace(found, revision=1, refused=2, note="no such file")

        status = ensure

    workspace = dataclasses.replace(still.workspace, launcher=Refusing(still.workspace.launcher))  # type: ignore[arg-type]
    draft = revision_of(still.workspace, NAME)
    with pytest.raises(
        BackendError, match=r"did not take revision 2; revision 1 still serves.*no such file.*front.log"
    ):
        publish_revision(workspace, draft, [still.version(FIRST)], "endpoints.deploy")
    assert revision_of(still.workspace, NAME).number == 2, "the ledger says what was wanted"


def test_a_revision_names_the_inputs_that_tell_of_a_person(still: Desk) -> None:
    assert in_folder(still).personal == ()
    note_about(still.workspace, head(still.workspace, "flights"), AboutTable(personal=("distance", "delay")))
    still.deploy(BETTER)
    assert in_folder(still).personal == ("distance", "origin_delay_6h")


def test_a_log_knows_its_columns_and_what_stays_out_of_it_before_the_first_row(still: Desk) -> None:
    assert still.project is not None
    note_about(still.workspace, head(still.workspace, "flights"), AboutTable(personal=("distance", "flight_id")))
    log = sw.Log(keep="400d", sample=0.5, sync=True, redact="personal")
    declare_endpoint(still.workspace, dataclasses.replace(still.project.module().delays, log=log))
    still.deploy(BETTER)
    served = in_folder(still)
    assert {"distance", "flight_id"} <= set(served.log.redacted)
    assert (served.log.keep_us // 86_400_000_000, served.log.sample, served.log.sync) == (400, 0.5, True)
    layout = read_layouts(still.folder / "log")[served.number, served.served.bundle[:16]]
    assert layout.fields == served.contract.fields
    key = (still.folder / KEY_FILE).read_bytes()
    assert len(key) == 32
    still.deploy(BETTER)
    assert (still.folder / KEY_FILE).read_bytes() == key, "rows of before are matched by the same key"
