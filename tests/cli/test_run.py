"""`slipway run`: a pipeline's parameters as text, and the endpoint that it feeds."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main

MODULE = """
from datetime import date, datetime
import slipway as sw

@sw.pipeline
def told(n: int, share: float = 0.5, on: bool = False, day: date = date(2013, 1, 1), until: datetime | None = None,
         names: list[str] | None = None, kind: complex = 1j) -> str:
    return repr((n, share, on, day, until))

@sw.pipeline
def shared() -> int:
    return 1

one = sw.Endpoint("one", pipeline=shared)
two = sw.Endpoint("two", pipeline=shared)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "p"\nmodule = "told_on_the_command_line"\n')
    (tmp_path / "told_on_the_command_line.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "told_on_the_command_line", raising=False)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["run", *arguments])


def test_parameters_are_read_by_their_types(folder: Path) -> None:
    given = ["n=3", "share=0.25", "on=true", "day=2013-04-01", "until=2013-04-01T12:00:00"]
    answer = run("told", *(f"--set={setting}" for setting in given), "--json")
    assert answer.exit_code == 0, answer.output
    params = json.loads(answer.stdout)["run"]["params"]
    assert (params["n"], params["share"], params["on"]) == (3, 0.25, True)
    assert params["day"].startswith("2013-04-01")
    assert params["until"].startswith("2013-04-01T12:00")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([], "needs 'n'"),
        (["n"], "not NAME=VALUE"),
        (["n=3", "shar=1"], "Did you mean 'share'?"),
        (["n=three"], "'three' does not fit the parameter 'n'"),
        (["n=3", "on=perhaps"], "'perhaps' does not fit"),
        (["n=3", "day=first of May"], "Write it as 2013-04-01"),
        (["n=3", "until=soon"], "Write it as 2013-04-01"),
        (["n=3", "kind=1j"], "Give a value of type complex, or call the pipeline from Python"),
    ],
)
def test_what_does_not_fit_is_a_sentence_and_no_run(folder: Path, settings: list[str], words: str) -> None:
    answer = run("told", *(f"--set={setting}" for setting in settings))
    assert answer.exit_code == 2, answer.output
    assert words in answer.stderr
    listed = CliRunner().invoke(main, ["runs", "list", "--json"])
    assert json.loads(listed.stdout)["runs"] == []


def test_an_unknown_pipeline_names_the_nearest(folder: Path) -> None:
    answer = run("tol")
    assert answer.exit_code == 5
    assert "Did you mean 'told'?" in answer.stderr


def test_a_pipeline_of_two_endpoints_is_not_guessed(folder: Path) -> None:
    answer = run("shared")
    assert answer.exit_code == 2
    assert "feeds 2 endpoints: 'one', 'two'" in answer.stderr


def test_a_script_s_run_makes_no_store_beside_a_server(folder: Path) -> None:
    """It waits in the outbox for the server, which is away; a store is opened where the server keeps it."""
    from slipway.errors import InvalidSetting
    from slipway.hosts import session

    with (folder / "slipway.toml").open("a") as file:
        file.write('[environments.dev]\nserver = "http://127.0.0.1:9"\n')
    with pytest.raises(InvalidSetting, match="kept by the server"), session.open(folder):
        pass
    assert not (folder / ".slipway").exists()
    with session.run("x"):
        pass
    assert not (folder / ".slipway" / "ledger.db").exists()
    assert len(list((folder / ".slipway" / "outbox" / "run-logs").iterdir())) == 1


WORK = """
import os, signal, sys, time
from pathlib import Path
import slipway as sw

DONE = Path(os.environ["WORK_FOLDER"])


def told(name):
    with (DONE / "begun").open("a") as file:
        file.write(name + "\\n")


@sw.step(cache=False)
def fetch(n: int) -> int:
    told("fetch")
    return n


@sw.step
def work(n: int) -> int:
    told("work")
    print("working hard")
    if (DONE / "fail").exists():
        raise ValueError("no")
    if (DONE / "wait").exists():
        (DONE / "waits").touch()
        while (DONE / "wait").exists():
            time.sleep(0.01)
    return n * 2


@sw.pipeline
def release(n: int = 1) -> int:
    return work(fetch(n))
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "p"\nmodule = "work_on_the_command_line"\n')
    (tmp_path / "work_on_the_command_line.py").write_text(WORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORK_FOLDER", str(tmp_path))
    return tmp_path


def slipway(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "slipway", *arguments], capture_output=True, text=True, check=False)


def first_run() -> str:
    id: str = json.loads(slipway("runs", "list", "--json").stdout)["runs"][-1]["run"]["id"]
    return id


def begun(folder: Path) -> list[str]:
    return (folder / "begun").read_text().split()


def test_exit_codes_say_how_it_ended_and_a_run_is_resumed(work: Path) -> None:
    (work / "fail").touch()
    failed = slipway("run", "release", "--set", "n=3", "--json")
    assert failed.returncode == 4
    error = json.loads(failed.stderr.splitlines()[-1])["error"]
    assert (error["step"], error["code"]) == ("work", "StepFailed")
    (work / "fail").unlink()
    refused = slipway("run", "--resume", "last", "--set", "n=4")
    assert refused.returncode == 2
    assert "A run goes on with the parameters" in refused.stderr
    path = work / "work_on_the_command_line.py"
    path.write_text(path.read_text().replace("n * 2", "n * 20"))
    resumed = slipway("run", "--resume", "last", "--json")
    assert resumed.returncode == 0, resumed.stderr
    run = json.loads(resumed.stdout)["run"]
    assert (run["params"], run["tags"]["slipway.resumes"]) == ({"n": 3}, error["run_id"])
    assert begun(work) == ["fetch", "work", "work"]  # what had finished is not repeated, though it may not be cached
    assert "work_on_the_command_line.py changed" in resumed.stderr
    shown = slipway("runs", "logs", run["id"], "work")
    assert shown.stdout == "working hard\n"
    assert slipway("runs", "logs", run["id"]).stdout == "--- work ---\nworking hard\n"
    assert slipway("runs", "logs", run["id"], "nothing").returncode == 5
    assert json.loads(slipway("runs", "show", "last", "--json").stdout)["run"]["id"] == run["id"]
    assert "work: begins (" in resumed.stderr


def test_a_quota_holds_for_the_runs_of_the_command_line(work: Path) -> None:
    with (work / "slipway.toml").open("a") as file:
        file.write("[quota]\nruns_a_day = 2\npipelines = 1\n")
    assert slipway("run", "release").returncode == 0
    (work / "wait").touch()
    first = subprocess.Popen([sys.executable, "-m", "slipway", "run", "release", "--set", "n=2"])
    try:
        while not (work / "waits").exists():
            assert first.poll() is None
            time.sleep(0.05)
        refused = slipway("run", "release", "--set", "n=3")
        assert refused.returncode == 75
        assert "[quota] runs_a_day = 2" in refused.stderr
        beside = slipway("run", "--resume", first_run(), "--json")
        assert beside.returncode == 75
        assert "[quota] pipelines = 1" in beside.stderr
    finally:
        (work / "wait").unlink()
        assert first.wait() == 0
    assert slipway("run", "--resume", first_run()).returncode == 0
    assert slipway("run", "release").returncode == 75


def test_a_key_runs_once(work: Path) -> None:
    (work / "fail").touch()
    assert slipway("run", "release", "--key", "monday").returncode == 4
    (work / "fail").unlink()
    first = json.loads(slipway("run", "release", "--key", "monday", "--json").stdout)
    again = json.loads(slipway("run", "release", "--key", "monday", "--json").stdout)
    assert (first["is_new"], again["is_new"]) == (True, False)
    assert first["run"]["id"] == again["run"]["id"]
    assert begun(work) == ["fetch", "work", "work"]
    assert "has this key and finished before" in slipway("run", "release", "--key", "monday").stdout
    other = slipway("run", "release", "--key", "monday", "--set", "n=2")
    assert other.returncode == 6
    assert "which had other parameters: n=1" in other.stderr
    assert slipway("run", "release", "--key", "").returncode == 2


def test_two_callers_of_a_key_at_the_same_time_run_once_and_a_kill_does_not_stop_the_second(work: Path) -> None:
    (work / "wait").touch()
    command = [sys.executable, "-m", "slipway", "run", "release", "--key", "k", "--json"]
    callers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    while not (work / "waits").exists():
        time.sleep(0.02)
    running = json.loads(slipway("runs", "list", "--json").stdout)["runs"][0]["run"]["host"]
    first = next(one for one in callers if one.pid == int(running.split(".")[0]))
    second = next(one for one in callers if one is not first)
    first.kill()
    first.communicate()
    (work / "wait").unlink()
    answer, _ = second.communicate(timeout=900)
    assert second.returncode == 0
    assert json.loads(answer)["is_new"]
    assert begun(work) == ["fetch", "work", "work"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_process_that_is_asked_to_end_ends_in_order(work: Path, number: signal.Signals, code: int) -> None:
    (work / "wait").touch()
    running = subprocess.Popen(
        [sys.executable, "-m", "slipway", "run", "release"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (work / "waits").exists():
        time.sleep(0.02)
    running.send_signal(number)
    _, told = running.communicate(timeout=900)
    assert running.returncode == code
    assert "Go on with: slipway run --resume last" in told
    (work / "wait").unlink()
    listed = json.loads(slipway("runs", "list", "--json").stdout)["runs"][0]["run"]
    assert listed["state"] == "failed"
    assert slipway("run", "--resume", "last").returncode == 0
    assert begun(work) == ["fetch", "work", "work"]
