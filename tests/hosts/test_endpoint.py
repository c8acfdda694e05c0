"""An endpoint from its folder alone: loading in this process, answering in its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import endpoint_folder as ef
import httpx
import msgspec
import pytest

from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.backends.process_launcher import ProcessLauncher
from slipway.errors import BackendError, Corrupt
from slipway.hosts.endpoint import keys_folder, open_signer
from slipway.hosts.endpoint_loader import Loader
from slipway.ports.launcher import LOCK_FILE, STATUS_FILE
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import LogSpec, Served
from slipway.records.predictions import LabelRow, PredictionRow, PushedRow
from slipway.serving.swap import GOOD_FILE, REVISION_FILE, publish, read_revision
from slipway.tables.segments import read_segments

T = TypeVar("T")
ROW = {"flight_id": "UA1", "a": 30.0, "b": 40.0}


def until(look: Callable[[], T], within_s: float = 180.0) -> T:
    end = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    return ef.folder_of(workspace)


@pytest.fixture
def loader(folder: Path, workspace: Workspace) -> Iterator[Loader]:
    made = Loader(folder, open_signer(folder))
    yield made
    made.close()


@pytest.fixture
def launcher(folder: Path) -> Iterator[ProcessLauncher]:
    made = ProcessLauncher()
    yield made
    made.stop(folder)


def test_a_plain_model_takes_the_requests_fields_by_name(workspace: Workspace, loader: Loader) -> None:
    active = loader.load(ef.deploy_plain(workspace))
    rows = active.resolve([["UA1", 40.0, 30.0]], ef.NOW)
    assert [list(row) for row in rows] == [[30.0, 40.0]]
    assert active.predict(rows) == pytest.approx([0.07])
    assert active.threshold == 0.05
    assert active.contract.key_of(["UA1", 1.0, 2.0]) == "UA1"
    assert (dict(active.sources), dict(active.views)) == ({}, {})


def test_features_come_from_pushed_rows_and_the_bundles_own_code(
    workspace: Workspace, loader: Loader, tmp_path: Path
) -> None:
    active = loader.load(ef.deploy_with_features(workspace, tmp_path))
    assert (set(active.sources), set(active.views)) == ({"flights"}, {"weather"})
    events = [{**row, "known_at": row["known_at"].isoformat()} for row in ef.EVENTS.to_dicts()]
    active.sources["flights"](events)
    assert active.receive("flights", events).changed == 2
    assert active.receive("flights", events).changed == 0
    active.receive("weather", [{**row, "observed_at": row["observed_at"].isoformat()} for row in ef.WEATHER.to_dicts()])
    names = [field.name for field in active.revision.contract.fields]
    given = {"flight_id": "F3", "origin": "JFK", "distance": 5.0, "departure": datetime(2013, 4, 1, 3, tzinfo=UTC)}
    rows = active.resolve([[given[name] for name in names]], ef.NOW)
    assert [list(row) for row in rows] == [[15.0, 2, 7.0, True, 5.0]]
    assert active.predict(rows) == pytest.approx([0.030])


def test_a_contract_that_lacks_what_the_model_needs_is_refused(workspace: Workspace, loader: Loader) -> None:
    with pytest.raises(Corrupt, match="model needs 'b'"):
        loader.load(ef.without(ef.deploy_plain(workspace), "b"))


def test_an_altered_bundle_is_refused(workspace: Workspace, folder: Path, loader: Loader) -> None:
    revision = ef.deploy_plain(workspace)
    card = folder / "bundles" / revision.served.bundle / "card.md"
    card.write_text(card.read_text() + "!")
    with pytest.raises(Corrupt, match=r"'card\.md' in the bundle .* is altered"):
        loader.load(revision)


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_an_unsigned_bundle_is_refused(workspace: Workspace, folder: Path, loader: Loader, environment: str) -> None:
    revision = ef.deploy_plain(workspace, environment=environment)
    (folder / "bundles" / revision.served.bundle / "signature.json").unlink()
    with pytest.raises(Corrupt, match="is not signed"):
        loader.load(revision)


def test_another_bundle_than_the_revision_names_is_refused(workspace: Workspace, folder: Path, loader: Loader) -> None:
    revision = ef.deploy_plain(workspace)
    other = msgspec.structs.replace(revision, served=Served(model="delays", number=1, bundle="f" * 64))
    (folder / "bundles" / revision.served.bundle).rename(folder / "bundles" / ("f" * 64))
    with pytest.raises(Corrupt, match="has the digest"):
        loader.load(other)


def test_keys_come_from_the_store_and_never_from_the_endpoints_own_folder(workspace: Workspace, folder: Path) -> None:
    assert keys_folder(folder) == workspace.root / "keys"
    revision = ef.deploy_plain(workspace)
    stranger = Ed25519Signer(folder / "keys")
    publish(folder, msgspec.structs.replace(revision, number=2), stranger)
    with pytest.raises(Corrupt, match="no key that is trusted"):
        read_revision(folder / REVISION_FILE, open_signer(folder))


COUNT_MODULES = """
import json, sys
from pathlib import Path
from slipway.hosts.endpoint import open_signer
from slipway.hosts.endpoint_loader import Loader
from slipway.serving.swap import read_desired
import slipway.hosts.endpoint_worker
from datetime import UTC, datetime
folder = Path(sys.argv[1])
revision = read_desired(folder, open_signer(folder))
active = Loader(folder, open_signer(folder)).load(revision)
row = [{"string": "JFK", "float": 1.0, "datetime": datetime(2013, 4, 1, tzinfo=UTC)}[f.type] for f in revision.contract.fields]
assert len(active.resolve([row], datetime(2013, 4, 1, tzinfo=UTC))) == 1
print(json.dumps(sorted(sys.modules)))
"""
FORBIDDEN = ("polars", "sqlalchemy", "lightgbm", "jinja2", "httpx", "slipway.ledger", "slipway.pipelines")
FORBIDDEN += ("slipway.flows", "slipway.runs", "slipway.gates", "slipway.monitoring", "slipway.cli", "slipway.server")
FORBIDDEN += ("slipway.features.offline", "slipway.features.point_in_time", "slipway.backends.sqlite_ledger")
FORBIDDEN += ("project_of_delays", "starlette")


def test_a_worker_loads_nothing_of_training_and_nothing_of_the_ledger(workspace: Workspace, tmp_path: Path) -> None:
    ef.deploy_with_features(workspace, tmp_path)
    folder = str(ef.folder_of(workspace))
    run = [sys.executable, "-P", "-c", COUNT_MODULES, folder]
    found = json.loads(subprocess.run(run, check=True, capture_output=True).stdout)
    assert "slipway.serving.app" in found
    assert [name for name in found if name.startswith(tuple(f"{f}." for f in FORBIDDEN)) or name in FORBIDDEN] == []


def test_a_supervisor_loads_no_server_and_no_model() -> None:
    said = "import sys, slipway.hosts.endpoint; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", said], check=True, capture_output=True, text=True).stdout.split()
    assert not {"uvicorn", "uvloop", "numpy", "asyncio", "slipway.models", "slipway.features"} & set(found)


def test_a_front_loads_no_model_and_no_numbers() -> None:
    said = "import sys, slipway.hosts.front; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", said], check=True, capture_output=True, text=True).stdout.split()
    assert not {"numpy", "polars", "sqlalchemy", "starlette", "httpx", "slipway.models", "slipway.features"} & set(
        found
    )


def predict(client: httpx.Client, *rows: dict[str, object]) -> dict[str, object]:
    answer = client.post("/endpoints/delays/predict", json={"rows": rows})
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


@pytest.mark.full
def test_from_start_to_stop(workspace: Workspace, folder: Path, launcher: ProcessLauncher) -> None:
    assert launcher.status(folder) is None
    ef.deploy_plain(workspace)
    status = launcher.ensure(folder)
    assert (status.state, status.revision, status.endpoint) == ("ready", 1, "delays")
    assert launcher.ensure(folder) == status
    with httpx.Client(base_url=status.url) as client:
        said = predict(client, ROW)
        (prediction,) = said["predictions"]  # type: ignore[misc]
        assert prediction["score"] == pytest.approx(0.07)
        assert prediction["decision"] is True
        assert client.post("/endpoints/delays/labels", json={"labels": [{"key": {"flight_id": "UA1"}, "value": 1}]})
        ef.deploy_plain(workspace, number=2)
        until(lambda: (found := launcher.status(folder)) is not None and found.revision == 2)
        assert predict(client, ROW)["predictions"][0]["score"] == pytest.approx(0.03)  # type: ignore[index]
    launcher.stop(folder)
    assert launcher.status(folder) is None
    rows, _ = read_segments(folder / "log", "predictions", PredictionRow)
    assert [(row.version, row.key) for row in rows] == [(1, "UA1"), (2, "UA1")]
    assert rows[0].id == prediction["id"]
    labels, _ = read_segments(folder / "log", "labels", LabelRow)
    assert [(label.key, label.value) for label in labels] == [("UA1", 1.0)]


@pytest.mark.full
def test_events_over_http_become_features(workspace: Workspace, folder: Path, tmp_path: Path) -> None:
    launcher = ProcessLauncher()
    ef.deploy_with_features(workspace, tmp_path, simulation=True)
    try:
        with httpx.Client(base_url=launcher.ensure(folder).url, timeout=60) as client:
            events = [{**row, "known_at": row["known_at"].isoformat()} for row in ef.EVENTS.to_dicts()]
            answer = client.post("/endpoints/delays/events", json={"source": "flights", "rows": events})
            assert answer.json() == {"accepted": 2, "new": 2, "passed_over": 0}
            row = {"flight_id": "F3", "origin": "JFK", "distance": 5, "departure": "2013-04-01T13:00:00Z"}
            body = {"rows": [row], "at": "2013-04-01T12:00:00Z"}
            assert client.post("/endpoints/delays/predict", json=body).status_code == 422  # no weather: null
            weather = [{**row, "observed_at": row["observed_at"].isoformat()} for row in ef.WEATHER.to_dicts()]
            client.post("/endpoints/delays/events", json={"view": "weather", "rows": weather}).raise_for_status()
            answer = client.post("/endpoints/delays/predict", json=body)
            assert answer.json()["predictions"][0]["score"] == pytest.approx((15 + 2 + 7 + 0 + 5) / 1000)
    finally:
        launcher.stop(folder)
    pushed, _ = read_segments(folder / "log", "events", PushedRow)
    assert [(row.kind, row.name) for row in pushed] == [("source", "flights")] * 2 + [("view", "weather")]
    (logged,), _ = read_segments(folder / "log", "predictions", PredictionRow)
    assert logged.features == [15.0, 2, 7.0, False, 5.0]


@pytest.mark.full
def test_a_start_that_fails_says_why_and_the_next_one_works(
    workspace: Workspace, folder: Path, launcher: ProcessLauncher
) -> None:
    with pytest.raises(BackendError, match="slipway deploy"):
        launcher.ensure(folder)
    revision = ef.deploy_plain(workspace)
    card = folder / "bundles" / revision.served.bundle / "card.md"
    whole = card.read_text()
    card.write_text("")
    with pytest.raises(BackendError, match=r"'card\.md' in the bundle .* is altered"):
        launcher.ensure(folder)
    failed = launcher.status(folder)
    assert failed is not None
    assert failed.state == "failed"
    card.write_text(whole)
    assert launcher.ensure(folder).state == "ready"


@pytest.mark.full
def test_after_kill_minus_nine_of_everything_the_folder_works_again(
    workspace: Workspace, folder: Path, launcher: ProcessLauncher
) -> None:
    ef.deploy_plain(workspace, log=LogSpec(sync=True))
    first = launcher.ensure(folder)
    with httpx.Client(base_url=first.url) as client:
        predict(client, ROW)
    workers = [int(path.stem.rpartition("-")[2]) for path in (folder / "workers").glob("*.json")]
    for pid in [first.pid, *workers]:
        os.kill(pid, signal.SIGKILL)
    until(lambda: launcher.status(folder) is None)
    (segment,) = (folder / "log").glob("predictions-*.seg")
    with segment.open("ab") as file:
        file.write(b"\x40\x00\x00\x00torn")  # what a kill in the middle of a frame leaves
    (folder / LOCK_FILE).write_text(f"{os.getpid()}\n")  # and a process id that belongs to somebody else now
    second = launcher.ensure(folder)
    assert second.pid != first.pid
    assert second.url == first.url
    with httpx.Client(base_url=second.url) as client:
        predict(client, ROW)
    rows, _ = read_segments(folder / "log", "predictions", PredictionRow)
    assert len(rows) == 2


@pytest.mark.full
def test_a_supervisor_killed_alone_is_replaced_by_ensure(
    workspace: Workspace, folder: Path, launcher: ProcessLauncher
) -> None:
    ef.deploy_plain(workspace)
    first = launcher.ensure(folder)
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: launcher.status(folder) is None)
    second = launcher.ensure(folder)
    assert second.pid != first.pid
    with httpx.Client(base_url=second.url) as client:
        predict(client, ROW)


@pytest.mark.full
def test_it_serves_and_restarts_without_ledger_and_blobs(
    workspace: Workspace, folder: Path, launcher: ProcessLauncher
) -> None:
    ef.deploy_plain(workspace)
    for left in ("ledger.db", "blobs"):
        (workspace.root / left).rename(workspace.root / f"{left}.away")
    launcher.ensure(folder)
    launcher.stop(folder)
    with httpx.Client(base_url=launcher.ensure(folder).url) as client:
        predict(client, ROW)


@pytest.mark.full
def test_a_starter_that_ends_leaves_the_endpoint_running(
    workspace: Workspace, folder: Path, launcher: ProcessLauncher
) -> None:
    ef.deploy_plain(workspace)
    said = (
        "import sys; from pathlib import Path; from slipway.backends.process_launcher import ProcessLauncher\n"
        "print(ProcessLauncher().ensure(Path(sys.argv[1])).url)"
    )
    run = subprocess.run([sys.executable, "-c", said, str(folder)], check=True, capture_output=True, text=True)
    with httpx.Client(base_url=run.stdout.strip()) as client:
        predict(client, ROW)
    assert launcher.status(folder) is not None


@pytest.mark.full
def test_many_starters_at_once_get_the_same_endpoint(
    workspace: Workspace, folder: Path, launcher: ProcessLauncher
) -> None:
    ef.deploy_plain(workspace)
    said = (
        "import sys; from pathlib import Path; from slipway.backends.process_launcher import ProcessLauncher\n"
        "print(ProcessLauncher().ensure(Path(sys.argv[1])).pid)"
    )
    starters = [
        subprocess.Popen([sys.executable, "-c", said, str(folder)], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    pids = {starter.communicate(timeout=900)[0].strip() for starter in starters}
    assert len(pids) == 1
    assert (folder / STATUS_FILE).exists()
    assert (folder / GOOD_FILE).exists()
