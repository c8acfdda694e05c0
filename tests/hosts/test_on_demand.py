"""Environments on demand: made beside slipway.toml, warned of, put into the trash, taken back."""

import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import endpoint_folder
import httpx
import msgspec
import pytest

from slipway.backends.clocks import SimulatedClock
from slipway.backends.process_launcher import ProcessLauncher
from slipway.errors import Conflict, Denied, InvalidInput, InvalidSetting, NotFound
from slipway.governance.people import add
from slipway.hosts import on_demand
from slipway.hosts.environment_use import using
from slipway.hosts.project import open_project
from slipway.hosts.settings import LOCAL_FILE, Settings, read_local, read_settings
from slipway.operations.people import AddPerson
from slipway.runs import tracking

TOML = '# mine\n[project]\nname = "boats"\n\n[environments.prod]\nstore = "prod-store"\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "slipway.toml").write_text(TOML)
    return tmp_path


def settings(home: Path) -> Settings:
    return read_settings(home)


def make(home: Path, name: str, **more: str) -> Path:
    made = on_demand.create(home, settings(home), name, by="ada", **more)
    return home / made.store


def use(home: Path, name: str) -> None:
    with open_project(home, environment=name) as project, tracking.start(project.workspace):
        pass


def let_pass(home: Path, name: str, days: float) -> None:
    """Let an environment be unused, and a warning be old, for some days more."""
    local = read_local(home)
    mark = home / local.environments[name].store / "on-demand"
    if mark.exists():
        then = mark.stat().st_mtime - days * 86_400
        os.utime(mark, (then, then))
    told = local.made[name]
    back = timedelta(days=days)
    told = msgspec.structs.replace(
        told,
        warned_at=told.warned_at and told.warned_at - back,
        destroyed_at=told.destroyed_at and told.destroyed_at - back,
    )
    on_demand._write(home, msgspec.structs.replace(local, made=local.made | {name: told}))


def look(home: Path) -> list[str]:
    said: list[str] = []
    on_demand.look_after(home, said.append)
    return said


def test_it_is_made_beside_the_users_file(home: Path) -> None:
    store = make(home, "try.1", like="prod")
    assert (home / "slipway.toml").read_text() == TOML
    chosen = settings(home).environment("try.1")
    assert (chosen.store, chosen.server) == (".slipway-try.1", "")
    use(home, "try.1")
    with open_project(home, environment="try.1") as project:
        assert project.workspace.root == store.resolve()
        assert project.workspace.environment == "try.1"
    told = read_local(home).made["try.1"]
    assert (told.like, told.made_by, told.expires) == ("prod", "ada", "7d")
    assert (store / ".gitignore").read_text() == "*\n"


def test_bad_input_is_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(home, "try")
    for name, more, kind, words in (
        ("a/b", {}, InvalidInput, "cannot be the name of an environment"),
        ("dev", {}, Conflict, "is an environment 'dev' already"),
        ("prod", {}, Conflict, r"already, in slipway\.toml"),
        ("try", {}, Conflict, r"already, in slipway\.local\.toml"),
        ("new", {"expires": "3w"}, InvalidInput, "'3w' is no time"),
        ("new", {"like": "prdo"}, NotFound, "no environment 'prdo'"),
    ):
        with pytest.raises(kind, match=words):
            make(home, name, **more)
    (home / ".slipway-new").mkdir()
    with pytest.raises(Conflict, match="where something lies already"):
        make(home, "new")
    with pytest.raises(InvalidInput, match="was not made by"):
        on_demand.destroy(home, settings(home), "prod")
    with pytest.raises(NotFound, match="no environment 'tri'"):
        on_demand.destroy(home, settings(home), "tri")
    with pytest.raises(InvalidInput, match="is not in the trash"):
        on_demand.restore(home, settings(home), "try")
    monkeypatch.setenv("SLIPWAY_STORE", str(home / "all"))
    with pytest.raises(InvalidSetting, match="every environment would have the same store"):
        make(home, "other")


def test_a_damaged_file_is_a_sentence(home: Path) -> None:
    make(home, "try")
    for text in ("[", "[made.x]\nlike = 1\n", '[environments.x]\nstore = "y"\n'):
        (home / LOCAL_FILE).write_text(text)
        with pytest.raises(InvalidSetting, match=r"slipway\.local\.toml cannot be read"):
            settings(home)


def test_an_empty_one_is_gone_and_a_used_one_is_kept_for_a_month(home: Path) -> None:
    store = make(home, "empty")
    with open_project(home, environment="empty"):
        pass
    assert on_demand.destroy(home, settings(home), "empty") is None
    assert not store.exists()
    assert not (home / LOCAL_FILE).exists()
    store = make(home, "full")
    use(home, "full")
    until = on_demand.destroy(home, settings(home), "full")
    assert until is not None
    assert timedelta(days=29) < until - datetime.now(UTC) <= timedelta(days=30)
    assert not store.exists()
    with pytest.raises(NotFound):
        settings(home).environment("full")
    with pytest.raises(Conflict, match="is in the trash"):
        make(home, "full")
    on_demand.restore(home, settings(home), "full")
    with open_project(home, environment="full") as project, project.workspace.ledger.read() as tx:
        assert len(tx.find("run", limit=10)) == 1
    assert on_demand.destroy(home, settings(home), "full", is_final=True) is None
    assert sorted(path.name for path in home.iterdir()) == ["slipway.toml"]


def test_a_run_that_the_ledger_does_not_know_yet_counts(home: Path) -> None:
    store = make(home, "try")
    with open_project(home, environment="try"):
        pass
    (store / "run-logs" / "boats").mkdir(parents=True)
    (store / "run-logs" / "boats" / "x.log").write_text("x")
    assert on_demand.destroy(home, settings(home), "try") is not None


def test_only_the_folder_that_was_made_is_taken_away(home: Path) -> None:
    store = make(home, "try")
    (store / "on-demand").write_text("another\n")
    with pytest.raises(Conflict, match="was not made for the environment 'try'"):
        on_demand.destroy(home, settings(home), "try", is_final=True)
    assert store.exists()


def test_nobody_loses_one_without_a_warning(home: Path) -> None:
    make(home, "try")
    use(home, "try")
    assert look(home) == []
    let_pass(home, "try", 400)
    (said,) = look(home)
    assert "It goes into the trash after" in said
    let_pass(home, "try", 1)
    assert "It goes into the trash after" in look(home)[0]
    let_pass(home, "try", 1.5)
    (said,) = look(home)
    assert "is in the trash until" in said
    assert not (home / ".slipway-try").exists()
    let_pass(home, "try", 29)
    assert look(home) == []
    assert (home / ".slipway.trash-try").exists()
    let_pass(home, "try", 2)
    assert look(home) == []
    assert sorted(path.name for path in home.iterdir()) == ["slipway.toml"]


def test_use_or_a_longer_time_ends_the_warning(home: Path) -> None:
    make(home, "try")
    use(home, "try")
    let_pass(home, "try", 8)
    assert len(look(home)) == 1
    use(home, "try")
    assert look(home) == []
    let_pass(home, "try", 8)
    assert "It goes into the trash after" in look(home)[0], "the old warning does not count"
    on_demand.keep(home, settings(home), "try", "30d")
    assert look(home) == []
    on_demand.keep(home, settings(home), "try", "never")
    let_pass(home, "try", 4000)
    assert look(home) == []
    with pytest.raises(InvalidInput, match="'1y' is no time"):
        on_demand.keep(home, settings(home), "try", "1y")


def test_a_kill_between_is_mended(home: Path) -> None:
    store = make(home, "try")
    use(home, "try")
    local = read_local(home)
    told = msgspec.structs.replace(local.made["try"], destroyed_at=datetime.now(UTC))
    on_demand._write(home, msgspec.structs.replace(local, made={"try": told}))  # and was killed before the folder moved
    look(home)
    assert not store.exists()
    on_demand.restore(home, settings(home), "try")
    assert store.exists()
    (home / LOCAL_FILE).unlink()  # killed after the store was made, before it was written down
    assert make(home, "try") == store
    with open_project(home, environment="try") as project, closing(project.workspace.ledger):
        pass


HOLD = """
import sys, time
from slipway.hosts.project import open_project
with open_project(sys.argv[1], environment="try"):
    print("open", flush=True)
    time.sleep(3600)
"""


def test_one_in_which_a_process_works_is_neither_warned_of_nor_destroyed(home: Path) -> None:
    make(home, "try")
    clock = SimulatedClock(datetime.now(UTC))
    said: list[str] = []
    with subprocess.Popen([sys.executable, "-c", HOLD, str(home)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"open\n"
            for days in (400, 800):
                clock.advance_to(datetime.now(UTC) + timedelta(days=days))
                on_demand.look_after(home, said.append, clock)
            with pytest.raises(Conflict, match="A process works in the environment 'try'"):
                on_demand.destroy(home, settings(home), "try", stops=True, is_final=True)
        finally:
            holder.kill()
    assert said == []
    on_demand.look_after(home, said.append, clock)
    assert said == [], "it counts as used until the process ended"
    clock.advance_to(clock.now() + timedelta(days=7))
    on_demand.look_after(home, said.append, clock)
    assert "It goes into the trash after" in said[0]
    assert on_demand.destroy(home, settings(home), "try") is None


def test_who_comes_when_it_was_just_taken_away_makes_no_second_store(home: Path) -> None:
    store = make(home, "try")
    store.rename(home / "away")
    with pytest.raises(NotFound, match="The store of the environment 'try' is not in"), using(store, name="try"):
        pass
    with pytest.raises(NotFound, match="slipway env restore try"), open_project(home, environment="try"):
        pass
    assert not store.exists()
    assert on_demand.destroy(home, settings(home), "try") is None, "what is left of it can be let go of"


def test_no_name_of_an_environment_is_that_of_the_trash(home: Path) -> None:
    for name in ("try", "try.destroyed", "try.going", "trash-try", "going-1"):
        make(home, name)
        use(home, name)
    on_demand.destroy(home, settings(home), "try")
    on_demand.destroy(home, settings(home), "try", is_final=True)
    assert {"try.destroyed", "try.going", "trash-try", "going-1"} <= settings(home).environments.keys()
    for name in ("try.destroyed", "try.going", "trash-try", "going-1"):
        with open_project(home, environment=name) as project, project.workspace.ledger.read() as tx:
            assert len(tx.find("run", limit=10)) == 1


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from slipway.backends.clocks import SimulatedClock
from slipway.hosts import on_demand
from slipway.hosts.settings import read_settings
home, task, now, left = Path(sys.argv[1]), sys.argv[2], datetime.fromisoformat(sys.argv[3]), int(sys.argv[4])
clock = SimulatedClock(now)

def before_each_change(event, arguments):
    global left
    is_change = event in ("os.rename", "shutil.rmtree", "os.rmdir") or (
        event == "open" and str(home) in str(arguments[0]) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    )
    if is_change:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(before_each_change)
if task == "look":
    on_demand.look_after(home, lambda line: None, clock)
else:
    on_demand.destroy(home, read_settings(home), "try", is_final=task == "final", clock=clock)
"""


@pytest.mark.parametrize(("task", "days"), [("look", 8), ("look", 11), ("look", 60), ("trash", 0), ("final", 0)])
def test_after_a_kill_before_any_change_the_next_look_goes_on(tmp_path: Path, task: str, days: int) -> None:
    """Warned of, put into the trash, gone for good; by itself and by command."""
    expected = {
        ("look", 8): [".slipway-try", "slipway.local.toml", "slipway.toml"],
        ("look", 11): [".slipway.trash-try", "slipway.local.toml", "slipway.toml"],
        ("trash", 0): [".slipway.trash-try", "slipway.local.toml", "slipway.toml"],
    }.get((task, days), ["slipway.toml"])
    killed = 0
    while True:
        home = tmp_path / str(killed)
        home.mkdir()
        (home / "slipway.toml").write_text(TOML)
        store = make(home, "try")
        with open_project(home, environment="try"):
            pass
        (store / "run-logs").mkdir(exist_ok=True)
        (store / "run-logs" / "x.log").write_text("x")
        clock = SimulatedClock(datetime.now(UTC) + timedelta(days=7.5))
        if days > 8:
            on_demand.look_after(home, lambda line: None, clock)  # warns
        if days > 11:
            clock.advance_to(clock.now() + timedelta(days=2.5))
            on_demand.look_after(home, lambda line: None, clock)  # puts it into the trash
        now = datetime.now(UTC) + timedelta(days=days)
        words = [sys.executable, "-c", KILLED, str(home), task, now.isoformat(), str(killed)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        clock.advance_to(max(now, clock.now()))
        on_demand.look_after(home, lambda line: None, clock)
        left = sorted(path.name for path in home.iterdir())
        if done.returncode == 0:
            break
        told = read_local(home).made.get("try")
        logs = list(home.glob(".slipway*/run-logs/x.log"))
        assert len(logs) == (told is not None), (killed, left)
        assert [path for path in left if "going" in path] == []
        if told is not None:
            assert logs[0].parent.parent.name == (".slipway-try" if told.destroyed_at is None else ".slipway.trash-try")
        if task != "look":  # who was killed says it again
            if told is not None:
                on_demand.destroy(home, settings(home), "try", is_final=task == "final", clock=clock)
            left = sorted(path.name for path in home.iterdir())
        assert left == expected, killed
        killed += 1
    assert killed >= 1
    assert left == expected


@pytest.mark.full
def test_an_endpoint_that_serves_is_named_or_stopped_and_keeps_its_environment(home: Path) -> None:
    store = make(home, "try")
    with open_project(home, environment="try") as project:
        endpoint_folder.deploy_plain(project.workspace)
        folder = endpoint_folder.folder_of(project.workspace)
    launcher = ProcessLauncher()
    status = launcher.ensure(folder)
    try:
        url = f"{status.url}/endpoints/{endpoint_folder.NAME}/predict"
        row = {"flight_id": "F1", "a": 20.0, "b": 40.0}
        clock = SimulatedClock(datetime.now(UTC) + timedelta(days=400))
        said: list[str] = []
        on_demand.look_after(home, said.append, clock)
        clock.advance_to(clock.now() + timedelta(days=6))
        on_demand.look_after(home, said.append, clock)
        assert said == [], "who answers is in use"
        with pytest.raises(Conflict, match=r"In the environment 'try' an endpoint serves: delays\.") as refused:
            on_demand.destroy(home, settings(home), "try")
        assert "slipway env destroy try --stop-endpoints" in refused.value.fix
        (store / "run-logs").mkdir(exist_ok=True)
        (store / "run-logs" / "x.log").write_text("x")
        answers: list[int] = []
        asking = threading.Thread(target=_ask_until_refused, args=(url, row, answers))
        asking.start()
        while len(answers) < 3:
            time.sleep(0.01)
        assert on_demand.destroy(home, settings(home), "try", stops=True) is not None
        asking.join()
    finally:
        launcher.stop(folder)
    assert set(answers) == {200}, "what was asked before the end was answered"
    assert not store.exists()
    on_demand.restore(home, settings(home), "try")
    assert (folder / "bundles").is_dir()
    assert launcher.status(folder) is None


def _ask_until_refused(url: str, row: dict[str, object], answers: list[int]) -> None:
    """Ask one after the other until nobody answers there any more."""
    while True:
        try:
            answers.append(httpx.post(url, json={"rows": [row]}, timeout=60, trust_env=False).status_code)
        except httpx.ConnectError:
            return


# Who may


def only(home: Path, role: str, *environments: str) -> None:
    """Make whoever runs the tests hold one role in the stores of some environments."""
    for name in environments:
        with open_project(home, environment=name) as project:
            there = replace(project.workspace, project="")
            add(there, AddPerson(name="boss", roles=("admin",), account="boss"))
            add(there, AddPerson(name="me", roles=(role,), account=pwd.getpwuid(os.getuid()).pw_name))


def test_who_may_not_makes_and_destroys_no_environment(home: Path) -> None:
    store = make(home, "try")
    use(home, "try")
    only(home, "business owner", "dev")
    with pytest.raises(Denied, match=r"me may not do environments\.create in 'boats'.*data scientist"):
        make(home, "other")
    assert "other" not in read_local(home).made
    with pytest.raises(Denied, match=r"environments\.destroy"):
        on_demand.destroy(home, settings(home), "try")
    with pytest.raises(Denied, match=r"environments\.keep"):
        on_demand.keep(home, settings(home), "try", "30d")
    assert store.is_dir()
    assert read_local(home).made["try"].expires == "7d"


def test_who_may_makes_destroys_and_takes_back(home: Path) -> None:
    only(home, "data scientist", "dev")
    make(home, "try")
    use(home, "try")
    assert on_demand.destroy(home, settings(home), "try") is not None
    on_demand.restore(home, settings(home), "try")


def test_an_environment_that_knows_people_is_theirs(home: Path) -> None:
    make(home, "try")
    use(home, "try")
    only(home, "data scientist", "dev")
    only(home, "business owner", "try")
    with pytest.raises(Denied, match=r"environments\.destroy"):
        on_demand.destroy(home, settings(home), "try")
    with pytest.raises(Denied, match=r"environments\.create"):
        make(home, "other", like="try")


def test_in_the_trash_it_is_theirs_still(home: Path) -> None:
    make(home, "try")
    only(home, "data scientist", "try")
    on_demand.destroy(home, settings(home), "try")
    only(home, "business owner", "dev")
    with pytest.raises(Denied, match=r"environments\.restore"):
        on_demand.restore(home, settings(home), "try")
    with pytest.raises(Denied, match=r"environments\.destroy"):
        on_demand.destroy(home, settings(home), "try", is_final=True)


def test_what_fails_in_a_lasting_store_is_told_without_the_mark_that_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine") as caught, using(tmp_path):
        raise ValueError("mine")
    assert caught.value.__context__ is None
