"""Users get no results, told apart by why: real processes, real HTTP, and what the control plane makes of it."""

import dataclasses
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from small_desk import FIRST, NAME, Desk

import slipway as sw
from authority import Authority
from slipway.backends.clocks import SystemClock
from slipway.backends.process_launcher import ProcessLauncher
from slipway.errors import BackendError
from slipway.flows.health import HEALTH_FILE, Probes, look, read_state
from slipway.flows.probe import ask, question
from slipway.governance.callers import tell_endpoint
from slipway.hashing import digest
from slipway.hosts.shared_front import is_held
from slipway.ledger import entries
from slipway.loop.reconcile import reconcile
from slipway.monitoring.judge import Found
from slipway.monitoring.service import Service
from slipway.operations.declare import call, convert
from slipway.operations.rollouts import Reconcile
from slipway.operations.table import operation
from slipway.ports.launcher import LOCK_FILE, STATUS_FILE
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.monitors import Incident
from slipway.records.reach import Reach
from slipway.records.schema import Field
from slipway.serving.former_counts import read_lives
from slipway.serving.probing import PROBE, PROBE_TYPE, Marked
from slipway.serving.reach import REACH_FILE, encoded
from slipway.serving.worker_state import state_file

sys.path.insert(0, str(Path(__file__).parents[1] / "hosts"))
import endpoint_folder as ef  # beside the tests of hosts

pytestmark = pytest.mark.full
ROW = {"flight_id": "UA1", "a": 30.0, "b": 40.0}
HOME = f"/endpoints/{ef.NAME}/predict"
QUICK = Service(probe="1s", down_after="1s").spec()


def until(look_: Callable[[], Any], within_s: float = 180.0) -> Any:
    end = time.monotonic() + within_s
    while not (found := look_()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


class Watched:
    """An endpoint that runs, and looks at it."""

    def __init__(self, workspace: Workspace, revision: Revision) -> None:
        self.workspace, self.revision, self.probes = workspace, revision, Probes()
        self.kept: list[Found] = []
        self.folder = ef.folder_of(workspace)
        self.url = workspace.launcher.ensure(self.folder).url
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def look(self) -> Found:
        found = look(self.workspace, self.revision, self.probes, keep=self.kept.append, settle=True)
        assert found is not None
        return found

    def until(self, about: str) -> Found:
        """Look until exactly this is wrong."""
        return until(lambda: (found := self.look()) and [one.about for one in found.causes] == [about] and found)

    def post(self, **changes: Any) -> httpx.Response:
        return self.client.post(HOME, json={"rows": [{**ROW, **changes}]})

    @property
    def worker(self) -> int:
        return until(
            lambda: [int(path.stem.rpartition("-")[2]) for path in state_file(self.folder, 0).parent.glob("*-*.json")]
        )[0]


@pytest.fixture
def watched(workspace: Workspace) -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def start(revision: Revision) -> Watched:
        made.append(Watched(workspace, revision))
        return made[-1]

    yield start
    for one in made:
        one.client.close()
        workspace.launcher.stop(one.folder)


Start = Callable[[Revision], Watched]


def test_what_is_well_says_so_and_a_probe_leaves_no_trace(workspace: Workspace, watched: Start) -> None:
    desk = watched(ef.deploy_plain(workspace, monitors=(QUICK,)))
    assert desk.look().state == "ok"
    before = read_lives(desk.folder)
    metrics = desk.client.get("/metrics").text
    assert [desk.post().status_code for _ in range(3)] == [200] * 3
    time.sleep(1.1)
    found = desk.look()
    assert (found.state, found.rows) == ("ok", 3)
    assert "answered 5 reference rows as at packaging" in found.sentence
    state = read_state(desk.folder)
    assert state.probe is not None
    assert state.probe.how == "rows"
    assert sum(one.probes for one in state.hours.values()) == 2
    assert [life.held.requests for life in before] == [0]
    until(lambda: "slipway_log_written_total" in desk.client.get("/metrics").text)
    after = desk.client.get("/metrics").text
    for line in (line for line in metrics.splitlines() if line.startswith(("slipway_feed", "slipway_unknown"))):
        assert line in after
    assert f'slipway_rows_total{{endpoint="{ef.NAME}"}} 3' in after
    assert len(desk.kept) == 1, "a look that finds the same again is no news"


def test_nobody_hides_traffic_by_calling_it_a_probe(workspace: Workspace, watched: Start) -> None:
    desk = watched(ef.deploy_plain(workspace, monitors=(QUICK,)))
    body = json.dumps({"bundle": desk.revision.served.bundle, "rows": [ROW]}).encode()
    now = time.time_ns() // 1000
    home = f"{workspace.project}/{ef.NAME}"

    def mark(said: Marked, kind: str = PROBE_TYPE) -> bytes:
        return workspace.signer.sign(msgspec.json.encode(said), kind)

    def sent(shown: bytes) -> bool:
        headers = {PROBE.decode(): shown.decode(), "content-type": "application/json"}
        return PROBE.decode() in desk.client.post(HOME, content=body, headers=headers).headers

    assert sent(mark(Marked(home, now, digest(body))))
    bad = {
        "another body": mark(Marked(home, now, digest(b"{}"))),
        "too old": mark(Marked(home, now - 120_000_000, digest(body))),
        "another endpoint": mark(Marked("flights/fares", now, digest(body))),
        "another statement": mark(Marked(home, now, digest(body)), "application/json"),
        "no signature": b"true",
    }
    assert not any(sent(shown) for shown in bad.values())
    body = json.dumps({"rows": [ROW]}).encode()
    assert not sent(bad["another body"])
    until(lambda: sum(life.held.requests for life in read_lives(desk.folder)) == 1)  # it was answered, and counted


def test_a_killed_process_that_cannot_come_back_is_down(workspace: Workspace, watched: Start) -> None:
    desk = watched(ef.deploy_plain(workspace, monitors=(QUICK,)))
    assert desk.look().state == "ok"
    status = workspace.launcher.status(desk.folder)
    assert status is not None
    os.kill(status.pid, signal.SIGKILL)
    found = desk.until("process down")
    assert found.state == "alert"
    assert found.causes[0].since is not None
    assert sum(one.ended for one in read_state(desk.folder).hours.values()) == 1
    workspace.launcher.ensure(desk.folder)
    assert until(lambda: (found := desk.look()).state == "ok" and found)


def test_one_that_was_stopped_in_order_calls_nobody(workspace: Workspace, watched: Start) -> None:
    desk = watched(ef.deploy_plain(workspace, monitors=(QUICK,)))
    assert desk.look().state == "ok"
    workspace.launcher.stop(desk.folder)
    time.sleep(1.1)
    assert [desk.look().state for _ in range(3)] == ["cannot tell"] * 3


def test_a_worker_that_hangs_times_out(workspace: Workspace, watched: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.flows.health.ask", lambda *given: ask(*given, timeout_s=0.5))
    desk = watched(ef.deploy_plain(workspace, monitors=(QUICK,)))
    assert desk.look().state == "ok"
    worker = desk.worker
    os.kill(worker, signal.SIGSTOP)
    try:
        found = desk.until("time-outs")
    finally:
        os.kill(worker, signal.SIGCONT)
    assert "3 probes in a row: no answer from" in found.sentence
    assert until(lambda: (found := desk.look()).state == "ok" and found)


def test_scores_that_are_none_are_invalid_answers_over_workers_and_restarts(
    workspace: Workspace, watched: Start
) -> None:
    model = ef.a_model([Field("a", "float"), Field("b", "float")], scale=1e20)
    desk = watched(ef.deploy(workspace, model, ef.FIELDS, monitors=(QUICK,), workers=2))
    desk.look()

    def fail(n: int) -> None:
        for _ in range(n):  # a connection each: whichever worker takes it
            assert httpx.post(f"{desk.url}{HOME}", json={"rows": [{**ROW, "a": 1e300}]}, timeout=60).status_code == 422

    fail(4)
    workspace.launcher.stop(desk.folder)  # what was counted is put aside, and still counts
    workspace.launcher.ensure(desk.folder)
    desk.url = json.loads((desk.folder / STATUS_FILE).read_bytes())["url"]
    fail(3)
    found = desk.until("invalid answers")
    assert (found.rows, found.causes[0].rows, found.values["without_result"]) == (7, 7, 7)
    assert found.values["urgency"] == "page"


def test_rows_that_fit_the_contract_and_that_the_model_refuses_are_errors(workspace: Workspace, watched: Start) -> None:
    desk = watched(ef.deploy_plain(workspace, monitors=(QUICK,)))
    desk.look()
    assert [desk.post(a=None).status_code for _ in range(7)] == [
        422
    ] * 7  # a line through it cannot be had without a value
    assert [desk.post(a="far").status_code for _ in range(7)] == [422] * 7, "that one is the caller's mistake"
    found = desk.until("errors")
    assert (found.rows, found.causes[0].rows) == (7, 7)


def test_a_full_queue_is_saturation(workspace: Workspace, watched: Start) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    desk = watched(ef.deploy_plain(workspace, monitors=(QUICK,)))
    desk.look()
    where = urlsplit(desk.url)
    assert where.hostname is not None
    head = f"POST {HOME} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: 100\r\n\r\n".encode()
    held = []
    try:
        for _ in range(1000):
            held.append(socket.create_connection((where.hostname, where.port or 0)))
            held[-1].sendall(head)
        until(lambda: desk.post().status_code == 503)
        assert [desk.post().status_code for _ in range(20)] == [503] * 20
        desk.until("saturation")
        until(lambda: desk.look().causes[0].rows >= 21)  # a request is counted after its answer
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_answer_that_is_another_than_at_packaging_is_wrong(workspace: Workspace, watched: Start) -> None:
    desk = watched(ef.deploy_plain(workspace, monitors=(QUICK,)))
    assert desk.look().state == "ok"
    sample = desk.folder / "bundles" / desk.revision.served.bundle / "sample.json"
    cases = json.loads(sample.read_bytes())
    sample.write_text(json.dumps([{**case, "answer": (case["answer"] or 0) + 1} for case in cases]))
    found = desk.until("wrong answers")
    assert "5 of 5 reference rows are answered otherwise than at packaging" in found.sentence


def test_behind_features_the_model_itself_is_asked_and_no_look_up_is_counted(
    workspace: Workspace, watched: Start, tmp_path: Path
) -> None:
    desk = watched(ef.deploy_with_features(workspace, tmp_path, monitors=(QUICK,)))
    found = desk.look()
    assert found.state == "ok"
    assert "features were not asked" in found.sentence
    assert read_state(desk.folder).probe.how == "model"  # type: ignore[union-attr]
    lines = [line for line in desk.client.get("/metrics").text.splitlines() if "looked_up_total{" in line]
    assert lines
    assert all(line.endswith(" 0") for line in lines)


@pytest.mark.parametrize("least", [1, 0], ids=["behind a front", "one that may sleep"])
def test_a_probe_goes_through_the_front_and_wakes_nobody(workspace: Workspace, watched: Start, least: int) -> None:
    desk = watched(ef.deploy_plain(workspace, monitors=(QUICK,), least=least, workers=2, idle_us=2_000_000))
    if least:
        assert "answered 5 reference rows" in desk.look().sentence
        return
    until(lambda: desk.look().values["process"] == "asleep")
    assert read_state(desk.folder).probe is None
    time.sleep(1.5)
    assert desk.look().values["process"] == "asleep"
    assert desk.post().status_code == 200
    time.sleep(0.2)
    assert "answered 5 reference rows" in desk.look().sentence
    until(lambda: desk.look().values["process"] == "asleep")


REACHED = {
    "by TLS": Reach(host="0.0.0.0", names=("localhost",)),
    "by TLS through a front": Reach(names=("localhost",)),
    "by TLS at a shared port": Reach(host="0.0.0.0", names=("models.example.org",), port=1),
    "through a proxy": Reach(host="0.0.0.0", names=("models.example.org",), proxies=("10.0.0.1",)),
}


@pytest.mark.parametrize("way", REACHED)
def test_a_probe_needs_no_token_however_the_endpoint_is_reached(
    workspace: Workspace, watched: Start, tmp_path: Path, way: str
) -> None:
    store, reach = dataclasses.replace(workspace, clock=SystemClock()), REACHED[way]
    if "TLS" in way:
        certificate, key = Authority(tmp_path).sign(*reach.names)
        reach = msgspec.structs.replace(reach, certificate=str(certificate), key=str(key))
    if reach.port:
        with socket.create_server(("127.0.0.1", 0)) as free:
            reach = msgspec.structs.replace(reach, port=free.getsockname()[1])
    for name, fields in (
        ("projects.add", {"name": store.project}),
        ("people.add", {"name": "ada", "roles": ["admin"]}),
    ):
        wanted = operation(name)
        call(store, wanted, convert(wanted, fields))
    endpoints = ef.folder_of(store).parents[1]
    (store.root / REACH_FILE).write_bytes(encoded(reach))
    more: dict[str, Any] = {"least": 1, "workers": 2} if "front" in way else {}
    try:
        desk = watched(ef.deploy_plain(store, by_token=tell_endpoint(store, ef.NAME), monitors=(QUICK,), **more))
        found = desk.look()
        assert found.state == "ok"
        assert "answered 5 reference rows as at packaging" in found.sentence
        status = store.launcher.status(desk.folder)
        assert status is not None
        bare = question(store, desk.revision)._replace(body=b"", how="health")  # as where its sample was erased
        assert ask(store, desk.revision, status, bare).outcome == "answered"
        answer = httpx.post(
            desk.url.replace(reach.names[0], "localhost").replace("0.0.0.0", "localhost") + HOME,
            json={"rows": [ROW]}, verify=False, headers={"host": reach.names[0]} if "TLS" in way else {}, timeout=60,
        )  # fmt: skip
        assert answer.status_code == 401, "whoever else asks needs one"
    finally:
        if reach.port:
            store.launcher.stop(ef.folder_of(store))
            os.kill(int((endpoints / LOCK_FILE).read_text()), signal.SIGTERM)
            until(lambda: not is_held(endpoints))


def test_health_that_cannot_be_kept_ends_no_look(workspace: Workspace, watched: Start) -> None:
    desk = watched(ef.deploy_plain(workspace, monitors=(QUICK,)))
    desk.look()
    home = desk.folder / "bundles" / desk.revision.served.bundle
    kept = (home / "sample.json").read_bytes()
    (home / "sample.json").write_bytes(b"")
    assert question(workspace, desk.revision).how == "health", "a damaged bundle on the disk keeps nobody from looking"
    (home / "sample.json").write_bytes(kept)
    (desk.folder / HEALTH_FILE).write_bytes(b"damaged")
    assert desk.look().state == "ok"
    assert question(workspace, desk.revision).how == "rows"
    assert isinstance(workspace.launcher, ProcessLauncher)


def test_the_loop_opens_an_incident_before_it_fails_to_start_the_process_again(desk: Desk) -> None:
    desk.declare(monitors=[sw.Service(probe="1s", down_after="1s")])
    desk.approve(FIRST)
    deployed = desk.deploy(FIRST)
    assert deployed.status is not None

    def incidents() -> list[str]:
        with desk.workspace.ledger.read() as tx:
            found = entries.find(tx, Incident, parent=f"{desk.workspace.project}/{NAME}", state="open", limit=10)
        return [f"{one.cause}: {one.sentence}" for one in found]

    reconcile(desk.workspace, Reconcile(endpoint=NAME, settle=True))
    assert incidents() == []
    unable = dataclasses.replace(desk.workspace, launcher=ProcessLauncher("/bin/false", ready_within_s=2.0))
    os.kill(deployed.status.pid, signal.SIGKILL)

    def down() -> list[str]:
        desk.clock.advance_to(
            desk.clock.now() + timedelta(seconds=2)
        )  # the project is simulated: its time is the clock's
        with suppress(BackendError):
            reconcile(unable, Reconcile(endpoint=NAME, settle=True))
        return incidents()

    (told,) = until(down)
    assert told.startswith("service: nothing has answered since")
