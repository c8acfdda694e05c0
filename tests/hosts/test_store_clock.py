"""A store's business time: one file that all processes of a simulation read."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import endpoint_folder as ef
import httpx
import pytest

from slipway.backends.clocks import FileClock, SystemClock
from slipway.backends.process_launcher import ProcessLauncher
from slipway.errors import BackendError, Corrupt, InvalidInput
from slipway.hosts.project import open_workspace
from slipway.hosts.store_clock import open_clock
from slipway.ports.workspace import Workspace
from slipway.records.predictions import PredictionRow
from slipway.tables.segments import read_segments

NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clock"


def test_whoever_reads_the_file_sees_what_was_written_last(path: Path) -> None:
    writer, reader = FileClock(path), FileClock(path)
    writer.advance_to(NOON)
    assert (reader.now(), path.read_text()) == (NOON, "2013-04-01T12:00:00+00:00\n")
    writer.advance_to(NOON)
    writer.advance_to((NOON + timedelta(hours=1)).astimezone(timezone(timedelta(hours=-5))))
    assert reader.now() == NOON + timedelta(hours=1)
    assert reader.now().tzinfo is UTC
    assert [one.name for one in path.parent.iterdir()] == ["clock"]


def test_another_process_reads_the_same(path: Path) -> None:
    FileClock(path).advance_to(NOON)
    said = "import sys; from pathlib import Path; from slipway.hosts.store_clock import open_clock\n"
    said += "print(open_clock(Path(sys.argv[1])).now().isoformat())"
    run = subprocess.run([sys.executable, "-c", said, str(path.parent)], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == NOON.isoformat()


def test_it_never_goes_back_whoever_moved_it(path: Path) -> None:
    FileClock(path).advance_to(NOON)
    with pytest.raises(InvalidInput, match=r"stands at 2013-04-01T12.* cannot go back to 2013-04-01T11"):
        FileClock(path).advance_to(NOON - timedelta(hours=1))
    with pytest.raises(InvalidInput, match="no time zone"):
        FileClock(path).advance_to(datetime(2013, 5, 1))
    assert FileClock(path).now() == NOON


@pytest.mark.parametrize(
    "told", [b"", b"yesterday", b"2013-04-01T12:00:00", b"\xff\xfe", b"2013-04-01T12:00:00+00:00 x"]
)
def test_a_damaged_clock_is_a_sentence(path: Path, told: bytes) -> None:
    path.write_bytes(told)
    for ask in (FileClock(path).now, lambda: FileClock(path).advance_to(NOON)):
        with pytest.raises(Corrupt, match=r"holds b'.*', which is no instant .*Write the simulation's present"):
            ask()


def test_a_clock_that_cannot_be_read_is_a_sentence(path: Path) -> None:
    with pytest.raises(BackendError, match="cannot be read"):
        FileClock(path).now()
    with pytest.raises(BackendError, match="cannot be written"):
        FileClock(path.parent / "missing" / "clock").advance_to(NOON)


def test_a_store_with_a_clock_lives_in_its_time_and_any_other_in_ours(tmp_path: Path) -> None:
    assert isinstance(open_clock(tmp_path), SystemClock)
    FileClock(tmp_path / "clock").advance_to(NOON)
    workspace = open_workspace(tmp_path, project="p")
    assert workspace.clock.now() == NOON
    workspace.ledger.close()


@pytest.mark.full
def test_an_endpoint_decides_at_its_stores_time(workspace: Workspace) -> None:
    folder, launcher = ef.folder_of(workspace), ProcessLauncher()
    clock = FileClock(workspace.root / "clock")
    clock.advance_to(NOON)
    ef.deploy_plain(workspace)
    body = {"rows": [{"flight_id": "UA1", "a": 30.0, "b": 40.0}]}
    try:
        with httpx.Client(base_url=launcher.ensure(folder).url) as client:
            client.post("/endpoints/delays/predict", json=body).raise_for_status()
            clock.advance_to(NOON + timedelta(hours=1))
            client.post("/endpoints/delays/predict", json=body).raise_for_status()
            (workspace.root / "clock").write_text("yesterday")
            refused = client.post("/endpoints/delays/predict", json=body)
            assert refused.status_code == 503
            assert "yesterday" not in refused.text
    finally:
        launcher.stop(folder)
    rows, _ = read_segments(folder / "log", "predictions", PredictionRow)
    assert [row.at_us for row in rows] == [int(at.timestamp()) * 10**6 for at in (NOON, NOON + timedelta(hours=1))]
