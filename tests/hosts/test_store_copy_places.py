"""A store copied between PostgreSQL, an object store and folders, through kills, and what people see of it afterwards."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import endpoint_folder as ef
import httpx
import msgspec
import pytest

import objects_here
import postgres_here
from filled_store import BAD_RUN, GOOD_RUN
from moving_house import build, opened
from server_desk import asker
from slipway.backends.clocks import SimulatedClock
from slipway.backends.process_launcher import ProcessLauncher
from slipway.errors import Conflict
from slipway.governance.audit import verify
from slipway.hosts import store_copy
from slipway.hosts.copied_files import COPY_FILE
from slipway.hosts.ledgers import open_ledger
from slipway.hosts.settings import read_settings
from slipway.operations.declare import Empty
from slipway.records.copies import StoreCopy
from watched_store import INCIDENT

pytestmark = pytest.mark.full

START = datetime(2013, 4, 1, tzinfo=UTC)
HOME = "/projects/flights"
PAGES = (
    HOME,
    f"{HOME}/runs",
    f"{HOME}/runs/{GOOD_RUN}",
    f"{HOME}/runs/{GOOD_RUN}/curves",
    f"{HOME}/runs/compare?run={GOOD_RUN}&run={BAD_RUN}",
    f"{HOME}/models/flight-delays/champion",
    f"{HOME}/endpoints/flight-delays",
    f"{HOME}/endpoints/flight-delays/monitoring",
    f"{HOME}/endpoints/flight-delays/monitoring/column?column=distance",
    f"{HOME}/incidents/{INCIDENT}",
    f"{HOME}/tables/flights",
    f"{HOME}/audit",
    f"{HOME}/trash",
    f"{HOME}/lineage?what=hour",
)
ELSEWHERE = """[project]
name = "flights"

[environments.big]
store = "big"
ledger = "env:SLIPWAY_TEST_LEDGER"
blobs = "s3://store/{prefix}"

[environments.disk]
store = "disk"

[environments.back]
store = "back"
"""
COPY = """
import os, signal, sys
from pathlib import Path
from slipway.hosts import store_copy
from slipway.hosts.settings import read_settings

home, source, target, killed_at = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]

def notice(what, done, of):
    if what == killed_at and (done or not of or what.startswith("compare: ledger")):
        os.kill(os.getpid(), signal.SIGKILL)

made = store_copy.copy_store(home, read_settings(home), source, target, notice=notice)
assert made.differences == (), made.differences
"""
MOMENTS = (
    "the copy is marked",
    "copy: files",
    "copy: ledger, entries",
    "copy: ledger, bodies",
    "copy: ledger, events",
    "copy: blobs",
    "copy: table flights",
    "compare: ledger, links",
    "compare: blobs",
    "compare: files",
    "the verdict is kept",
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose dev is filled and watched, to be copied for each test."""
    home = tmp_path_factory.mktemp("filled")
    build(home, clock(), watched=True)
    return home


@pytest.fixture
def home(tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Such a project, and its other places: one of them PostgreSQL and an object store."""
    home = shutil.copytree(filled, tmp_path / "home", symlinks=True)
    with postgres_here.cleaned() as url, objects_here.s3() as environment:
        for name, value in {**environment, "SLIPWAY_TEST_LEDGER": url}.items():
            monkeypatch.setenv(name, value)
        (home / "slipway.toml").write_text(ELSEWHERE.format(prefix=objects_here.named_bucket(home)))
        yield home


def clock() -> SimulatedClock:
    return SimulatedClock(START)


def pages(root: Path) -> list[str]:
    """What people see of a store; of its own folder only the name may differ."""
    with opened(root, clock()) as workspace:
        ask = asker(workspace)
        answers = [ask("GET", path) for path in PAGES]
    assert [answer.status_code for answer in answers] == [200] * len(PAGES)
    texts = [answer.text.replace(str(root), "ROOT") for answer in answers]
    return [re.sub(r"\b\d+ (?:microseconds|ms)\b", "", text) for text in texts]


def kept(root: Path) -> StoreCopy:
    return msgspec.json.decode((root / COPY_FILE).read_bytes(), type=StoreCopy)


def slipway(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from slipway.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=900)


def test_people_see_the_same_in_postgres_and_objects_and_back_on_a_disk(home: Path) -> None:
    seen = pages(home / ".slipway")
    said = slipway(home, "env", "copy", "dev", "big")
    assert (said.returncode, said.stderr.splitlines()[-1]) == (0, "the verdict is kept"), said.stderr
    assert "All are equal in dev and big." in said.stdout
    assert '[environments.dev]\nstore = "big"\nledger = "env:SLIPWAY_TEST_LEDGER"\nblobs = "s3://store/' in said.stdout
    for secret in (objects_here.SECRET, os.environ["SLIPWAY_TEST_LEDGER"]):
        assert secret not in said.stdout + said.stderr + (home / "big" / COPY_FILE).read_text()
    assert pages(home / "big") == seen
    with opened(home / "big", clock()) as workspace:
        audited = verify(workspace, Empty())
    assert audited.sealed > 0
    # Whoever looked at the pages wrote nothing: so the copy is still what was copied, and the same command may come again.
    assert slipway(home, "env", "copy", "dev", "big").returncode == 0
    assert slipway(home, "env", "copy", "big", "back").returncode == 0
    assert pages(home / "back") == seen
    assert kept(home / "back").ledger == kept(home / "big").ledger
    with opened(home / "back", clock()) as workspace:
        assert verify(workspace, Empty()) == audited


@pytest.mark.parametrize(("target", "moments"), [("disk", MOMENTS), ("big", MOMENTS[::2])])
def test_killed_at_any_moment_it_goes_on_and_ends_equal(home: Path, target: str, moments: tuple[str, ...]) -> None:
    source, root = "dev", home / target
    for moment in moments:
        done = subprocess.run(
            [sys.executable, "-c", COPY, str(home), source, target, moment], capture_output=True, text=True
        )
        assert done.returncode == -signal.SIGKILL, (moment, done.stderr)
        with pytest.raises(Conflict, match=r"is a copy that is not whole.*slipway env copy dev"):
            open_ledger(root)
        if moment == "copy: ledger, entries":
            refused = slipway(home, "runs", "list", "--env", target)
            assert (refused.returncode, "is a copy that is not whole" in refused.stderr) == (6, True), refused.stderr
            up = slipway(home, "up", "--env", target, "--port", "0")
            assert (up.returncode, "is a copy that is not whole" in up.stderr) == (6, True), up.stderr
    done = subprocess.run([sys.executable, "-c", COPY, str(home), source, target, ""], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert slipway(home, "env", "copy", "dev", "back").returncode == 0
    assert kept(root).ledger == kept(home / "back").ledger
    assert kept(root).files == kept(home / "back").files
    assert pages(root) == pages(home / "back")
    assert not list(root.rglob(".copying*"))
    assert not list(root.rglob(".part-*"))


def test_looking_at_a_place_first_is_in_no_copys_way(home: Path) -> None:
    """docs/growing.md lets people ask the doctor first."""
    told = slipway(home, "doctor", "--env", "big").stdout
    assert "the database of its ledger answers, and has no ledger yet" in told, told
    assert re.search(r"object store: s3://\S+ answers", told)
    assert not (home / "big").exists()
    psycopg = pytest.importorskip("psycopg", reason="pip install 'slipway[postgres]'")
    with psycopg.connect(os.environ["SLIPWAY_TEST_LEDGER"]) as database:
        (count,) = database.execute("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()").fetchone()
    assert count == 0
    assert slipway(home, "runs", "list", "--env", "big").returncode == 0
    copied = slipway(home, "env", "copy", "dev", "big")
    assert copied.returncode == 0, copied.stdout + copied.stderr
    assert slipway(home, "audit", "verify", "--env", "big").returncode == 0
    assert "has a ledger" not in slipway(home, "doctor", "--env", "big").stdout, "it is a store now"
    shutil.rmtree(home / "big")
    assert "and has a ledger of schema" in slipway(home, "doctor", "--env", "big").stdout


def test_a_database_that_is_away_is_a_finding(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_TEST_LEDGER", "postgresql://127.0.0.1:9/x")
    told = slipway(home, "doctor", "--env", "big")
    assert told.returncode == 1
    assert re.search(r"MISSING  store: .*cannot be reached", told.stdout), told.stdout
    assert not (home / "big").exists()


def test_another_ledgers_place_in_the_object_store_is_refused(home: Path) -> None:
    assert slipway(home, "env", "copy", "dev", "big").returncode == 0
    text = (home / "slipway.toml").read_text()
    place = re.search(r"s3://\S+\w", text)
    assert place is not None
    (home / "slipway.toml").write_text(text.replace('store = "disk"\n', f'store = "disk"\nblobs = "{place[0]}"\n'))
    with pytest.raises(Conflict, match="something lies in its place"):
        store_copy.copy_store(home, read_settings(home), "dev", "disk", notice=lambda what, done, of: None)


def test_an_endpoint_answers_the_same_from_the_copy_of_its_folder(home: Path, tmp_path: Path) -> None:
    """Its online store, its bundle and its log come with it; while it serves, nothing is copied."""
    launcher = ProcessLauncher()
    row = {"flight_id": "F3", "origin": "JFK", "distance": 5, "departure": "2013-04-01T13:00:00Z"}
    body = {"rows": [row], "at": "2013-04-01T12:00:00Z"}
    with opened(home / ".slipway", clock()) as workspace:
        ef.deploy_with_features(workspace, tmp_path, simulation=True)
        folder = ef.folder_of(workspace)
    try:
        with httpx.Client(base_url=launcher.ensure(folder).url, timeout=60, trust_env=False) as client:
            events = [{**one, "known_at": one["known_at"].isoformat()} for one in ef.EVENTS.to_dicts()]
            client.post("/endpoints/delays/events", json={"source": "flights", "rows": events}).raise_for_status()
            weather = [{**one, "observed_at": one["observed_at"].isoformat()} for one in ef.WEATHER.to_dicts()]
            client.post("/endpoints/delays/events", json={"view": "weather", "rows": weather}).raise_for_status()
            answer = client.post("/endpoints/delays/predict", json=body).json()
            refused = slipway(home, "env", "copy", "dev", "disk")
            assert (refused.returncode, "Endpoints serve in 'dev': delays" in refused.stderr) == (6, True)
    finally:
        launcher.stop(folder)
    assert slipway(home, "env", "copy", "dev", "disk").returncode == 0
    moved = home / "disk" / folder.relative_to(home / ".slipway")
    try:
        with httpx.Client(base_url=launcher.ensure(moved).url, timeout=60, trust_env=False) as client:
            again = client.post("/endpoints/delays/predict", json=body).json()
    finally:
        launcher.stop(moved)
    scores = [[one["score"] for one in told["predictions"]] for told in (answer, again)]
    assert scores[0] == scores[1] != []


def test_a_store_that_is_written_to_is_copied_as_of_a_moment_and_caught_up(home: Path) -> None:
    """A real process logs a run while it is copied; when it has ended, the same command brings the rest."""
    writer = subprocess.Popen([sys.executable, "-c", WRITE], cwd=home, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    try:
        assert writer.stdout.readline() == "begun\n"
        assert slipway(home, "env", "copy", "dev", "big").returncode == 0
    finally:
        writer.terminate()
        writer.wait()
        writer.stdout.close()
    assert slipway(home, "env", "copy", "dev", "big").returncode == 0
    assert slipway(home, "env", "copy", "dev", "back").returncode == 0
    assert kept(home / "big").ledger == kept(home / "back").ledger
    with closing(open_ledger(home / "big")) as ledger, ledger.read() as tx:
        assert any(entry.name == "busy" for entry in tx.find("run", project="flights"))


WRITE = """
import time
import slipway as sw

with sw.run("busy", system_metrics=False) as run:
    run.log_metrics({"loss": 1.0}, step=0)
    print("begun", flush=True)
    step = 0
    while True:
        step += 1
        run.log_metrics({"loss": 1 / step}, step=step)
        time.sleep(0.002)  # what it writes is to be copied, not to outrun the copy
        if step % 50 == 0:
            run.log_text(str(step), f"note-{step}.txt")
"""
