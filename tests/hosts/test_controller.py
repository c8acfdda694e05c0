"""The controller: passes by itself over all projects of a store, and no project's trouble is another's."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from msgspec import structs

from looping_desk import NAME, OWNER, prepare, train_more
from looping_desk import opened as opened_in_its_time
from looping_hand import HandRunner, by_hand
from slipway.backends.clocks import SimulatedClock
from slipway.flows.endpoints import folder_of
from slipway.hosts import controller, on_demand, simulation
from slipway.hosts.controller import Controller
from slipway.hosts.environment_use import note_use
from slipway.hosts.project import open_project
from slipway.hosts.settings import LOCAL_FILE, read_settings
from slipway.hosts.store_clock import CLOCK_FILE
from slipway.ledger import entries
from slipway.ledger.projects import register
from slipway.loop.actions import list_actions
from slipway.loop.reconcile import reconcile
from slipway.loop.retrain import start_by_hand
from slipway.models import registry
from slipway.operations.rollouts import ListActions, Reconcile, Reconciled, StartRetraining
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, Revision, Served
from slipway.records.events import Event
from slipway.records.runs import Run
from slipway.runs import tracking

GOOD = 2
SERVED, CONTRACT = Served(model="m", number=1, bundle="b" * 64), Contract(fields=())
SERVE = """
import sys
from pathlib import Path
from slipway.hosts.control_plane import serve
from slipway.server.app import make_app
said = lambda line: print(line, flush=True)
home = Path(sys.argv[2]) if sys.argv[2:] else None
serve(Path(sys.argv[1]), make_app, port=0, say=said, once_ready=said, pass_every_s=0.05, home=home)
"""


def broken(workspace: Workspace, name: str) -> Workspace:
    """A project with an endpoint whose revision is not there."""
    project = replace(workspace, project=name)
    register(project)
    with project.ledger.write() as tx:
        tx.set_ref(name, "endpoint", "gone", f"{name}/gone/1", expect=None)
    folder_of(project, "gone").mkdir(parents=True)
    return project


def mend(project: Workspace) -> None:
    """Give the endpoint a revision of another environment, which is left alone."""
    with project.ledger.write() as tx:
        entries.put(
            tx,
            Revision(
                id=f"{project.project}/gone/1", project=project.project, name="gone", created_at=project.clock.now(),
                number=1, environment="prod", served=SERVED, contract=CONTRACT, actor=project.actor,
            ),
        )  # fmt: skip


def test_what_was_long_in_the_trash_is_purged_once_a_day(workspace: Workspace, clock: SimulatedClock) -> None:
    register(workspace)
    gone, stays = "a" * 32, "b" * 32
    now = clock.now()
    common = {"project": "flights", "created_at": now, "actor": workspace.actor, "started_at": now, "state": "failed"}
    with workspace.ledger.write() as tx:
        entries.put(tx, Run(id=gone, deleted_at=now, **common))  # type: ignore[arg-type]
        entries.put(tx, Run(id=stays, deleted_at=now + timedelta(days=10), **common))  # type: ignore[arg-type]
    clock.advance_to(now + timedelta(days=31))
    Controller(workspace).look()
    with workspace.ledger.read() as tx:
        assert [run.id for run in entries.every(tx, Run)] == [stays]
        told = [(event.verb, event.actor.name) for event in tx.events(project="flights")]
    assert told == [("runs.purge", "upkeep"), ("trash.purge", "upkeep")]
    clock.advance_to(now + timedelta(days=90))
    Controller(workspace).look()
    with workspace.ledger.read() as tx:
        assert [run.id for run in entries.every(tx, Run)] == [stays], "another server has done today's purge"


def test_a_run_whose_process_is_gone_is_marked_while_only_pages_are_looked_at(workspace: Workspace) -> None:
    register(workspace)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with tracking.start(workspace, "left", system_metrics=False) as run:
        run.log_metric("auc", 0.7)
    with workspace.ledger.write() as tx:
        ended = entries.get(tx, Run, run.id)
        host = f"{gone.pid}.1@{ended.host.partition('@')[2]}"
        entries.put(tx, structs.replace(ended, state="running", ended_at=None, host=host))
    assert Controller(workspace).look()
    with workspace.ledger.read() as tx:
        assert entries.get(tx, Run, run.id).state == "killed"


def test_each_projects_trouble_is_said_once_until_it_is_another(workspace: Workspace, said: list[str]) -> None:
    one, _ = broken(workspace, "one"), broken(workspace, "two")
    controller = Controller(workspace)
    for _ in range(3):
        controller.look()
    assert [line.partition(" did not")[0] for line in said] == ["The loop of one", "The loop of two"]
    mend(one)
    controller.look()
    assert len(said) == 2
    with workspace.ledger.write() as tx:
        tx.set_ref("one", "endpoint", "gone", "one/gone/2", expect="one/gone/1")
    controller.look()
    controller.look()
    assert [line.partition(" did not")[0] for line in said[2:]] == ["The loop of one"]


def test_a_store_that_cannot_be_read_is_said_and_tried_again(workspace: Workspace, said: list[str]) -> None:
    controller = Controller(workspace, every_s=0.01)
    path = workspace.root / "ledger.db"
    workspace.ledger.close()
    path.write_bytes(b"not a ledger any more" * 500)
    controller.look()
    controller.look()
    assert len(said) == 1
    assert said[0].startswith("The loop cannot read which projects there are: ")
    controller.start()
    controller.stop()


def test_of_two_servers_one_passes_until_it_stops(workspace: Workspace) -> None:
    first, second = Controller(workspace, every_s=600), Controller(workspace, every_s=600)
    assert first.look()
    assert not second.look()
    assert first.look()
    first.start()
    first.stop()
    assert second.look()
    assert not first.look()


def test_an_endpoint_is_looked_after_where_its_folder_lies(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = broken(workspace, "one")
    mend(one)
    asked: list[tuple[str, str]] = []

    def note(asking: Workspace, _: object, request: object) -> None:
        asked.append((asking.root.name, getattr(request, "endpoint", "purge")))

    monkeypatch.setattr(controller, "call", note)
    elsewhere = replace(workspace, root=tmp_path / "elsewhere")
    elsewhere.root.mkdir()
    first, second = Controller(elsewhere, every_s=600), Controller(workspace, every_s=600)
    assert first.look()
    assert second.look()
    assert asked == [("elsewhere", ""), ("elsewhere", "purge"), ("store", "gone")]
    assert reconcile(elsewhere, Reconcile()).actions == ()
    assert not folder_of(elsewhere, "gone").exists(), "nothing of it begins to lie there"
    assert not Controller(workspace, every_s=600).look(), "its folder has a server"


def test_between_two_passes_only_projects_with_a_roll_out_under_way_are_passed_over(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        mend(broken(workspace, name))
    rolling, asked = {"two"}, list[str]()

    def note(asking: Workspace, _: object, request: object) -> object:
        if not isinstance(request, Reconcile):
            return None
        asked.append(asking.project)
        return Reconciled(actions=(), retraining=0, rolling_out=int(asking.project in rolling))

    monkeypatch.setattr(controller, "call", note)
    passing, other = Controller(workspace, every_s=600), Controller(workspace, every_s=600)
    assert not passing.look_again(), "nothing is known to be rolled out"
    passing.look()
    assert asked == ["one", "two"]
    assert passing.look_again()
    assert not other.look_again(), "it has not the lease"
    assert asked[2:] == ["two"]
    rolling.clear()
    assert passing.look_again()
    assert not passing.look_again(), "it has ended"
    assert asked[3:] == ["two"]


def environment(home: Path, clock: SimulatedClock) -> Path:
    """A project with an environment on demand in which something was done; gives its store."""
    (home / "slipway.toml").write_text('[project]\nname = "flights"\n')
    made = on_demand.create(home, read_settings(home), "try", by="ada", expires="7d", clock=clock)
    with open_project(home, environment="try") as project, tracking.start(project.workspace):
        pass
    note_use(home / made.store, clock.now())
    return home / made.store


def test_environments_that_nobody_uses_are_warned_of_and_go(
    workspace: Workspace, clock: SimulatedClock, said: list[str], tmp_path: Path
) -> None:
    (home := tmp_path / "home").mkdir()
    store = environment(home, clock)
    controller = Controller(workspace, home=home)
    other = Controller(workspace, home=home)  # of another of the project's stores, and so beside this one

    def after(**more: float) -> list[str]:
        said.clear()
        clock.advance_to(clock.now() + timedelta(**more))
        controller.look()
        controller.look()
        return list(said)

    assert after(days=6) == []
    (line,) = after(days=2)
    assert "'try' was last used on 2013-04-01. It goes into the trash after 2013-04-11 00:00 UTC" in line
    assert after(days=1) == []
    note_use(store, clock.now())
    assert after(days=6) == []
    (line,) = after(days=2)
    assert "was last used on 2013-04-10" in line, "use ended the first warning"
    (line,) = after(days=3)
    assert line.startswith("The environment 'try' was not used and is in the trash until 2013-05-21")
    other.look()
    assert len(said) == 1
    assert not store.exists()
    on_demand.restore(home, read_settings(home), "try")
    with open_project(home, environment="try") as project, project.workspace.ledger.read() as tx:
        assert len(tx.find("run", limit=10)) == 1
    on_demand.destroy(home, read_settings(home), "try", clock=clock)
    assert after(days=29) == []
    assert list(home.glob(".slipway*")) != []
    after(days=2)
    assert [path.name for path in home.iterdir()] == ["slipway.toml"]


def test_trouble_with_environments_is_said_once_and_stops_nothing(
    workspace: Workspace, clock: SimulatedClock, said: list[str], tmp_path: Path
) -> None:
    (home := tmp_path / "home").mkdir()
    environment(home, clock)
    text = (home / LOCAL_FILE).read_text()
    (home / LOCAL_FILE).write_text("[")
    controller = Controller(workspace, home=home)
    assert [controller.look(), controller.look()] == [True, True]
    assert len(said) == 1
    assert "slipway.local.toml cannot be read" in said[0]
    (home / LOCAL_FILE).write_text(text)
    clock.advance_to(clock.now() + timedelta(days=8))
    controller.look()
    assert "It goes into the trash after" in said[1]


@pytest.mark.full
def test_a_server_of_a_project_takes_away_what_was_warned_of(tmp_path: Path) -> None:
    store = environment(tmp_path, SimulatedClock(datetime.now(UTC) - timedelta(days=30)))
    on_demand.look_after(tmp_path, lambda line: None, SimulatedClock(datetime.now(UTC) - timedelta(days=20)))
    with serving(tmp_path / ".slipway", tmp_path) as (_, process):
        assert process.stdout is not None
        line = process.stdout.readline()
    assert "'try' was not used and is in the trash until" in line
    assert not store.exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "looping"
    prepare(folder)
    train_more(folder)
    return folder


@contextmanager
def serving(root: Path, home: Path | None = None) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A control plane that passes every 50 ms, unless the store lives in simulated time."""
    command = [sys.executable, "-P", "-c", SERVE, str(root), *([str(home)] if home else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.mark.full
def test_a_store_gets_passes_by_itself_and_a_broken_project_does_not_stop_them(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "looping"
    shutil.copytree(trained, folder)
    root = folder / "store"
    (root / CLOCK_FILE).unlink()
    with opened_in_its_time(folder) as desk, open_project(folder, root=root) as project:
        runner = HandRunner()
        workspace = replace(project.workspace, runner=runner)
        broken(workspace, "aaa-comes-first")
        version = registry.get(workspace, NAME, 1)
        until = datetime.now(UTC) + timedelta(days=1)
        simulation.approve_first(workspace, desk.endpoint, version, OWNER, until, "as agreed")
        start_by_hand(workspace, StartRetraining(endpoint=NAME, reason="new data"))
        runner.brings(GOOD)
        assert [one.name for one in list_actions(workspace, ListActions(endpoint=NAME)).actions] == ["retrain"]
        with serving(root) as (_, process):
            assert process.stdout is not None
            said = ""
            for said in process.stdout:
                if said.startswith(f"{NAME}: shadow."):
                    break
        assert "looping 2 passed its gate, under the standing approval of Grace (simulated)" in said
        assert list_actions(workspace, ListActions(endpoint=NAME)).actions[1].name == "shadow"
        passed = next(event for event in events(workspace) if event.verb == "loop.reconcile")
        assert passed.actor.name == "controller"


@pytest.mark.full
@pytest.mark.long
def test_in_a_simulation_it_waits_to_be_asked(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "looping"
    shutil.copytree(trained, folder)
    with opened_in_its_time(folder) as found:
        desk = by_hand(found)
        start_by_hand(desk.workspace, StartRetraining(endpoint=NAME, reason="new data"))
        desk.runner.brings(1)
        with serving(folder / "store") as (url, _):
            asked = httpx.post(f"{url}/api/v1/projects/{NAME}/loop/reconcile", json={}, timeout=60)
            assert [one["name"] for one in asked.json()["actions"]] == ["ignore"], "nobody had looked before"


def events(workspace: Workspace) -> list[Event]:
    with workspace.ledger.read() as tx:
        return list(tx.events(limit=10_000))
