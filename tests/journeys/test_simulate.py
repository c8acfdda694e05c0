"""`slipway simulate`: a policy tried on past weeks through real processes, of which none is left, however it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import answer, kill, read_until, start

from looping_desk import SOURCE
from slipway.hosts.simulation import stop_all

for module in ("lightgbm", "polars"):
    pytest.importorskip(module, reason=f"the looping project needs {module}: pip install 'slipway[demo]'")
pytestmark = pytest.mark.full

NAME = "looping"
WEEKS = ("--since", "2013-04-01", "--until", "2013-04-20")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The project's folder; what a simulation leaves in it is stopped."""
    found = tmp_path / "looping"
    shutil.copytree(SOURCE, found, ignore=shutil.ignore_patterns("__pycache__", ".slipway"))
    yield found
    for store in (*found.glob(".slipway/simulations/*/"), *tmp_path.glob("other*/")):
        stop_all(store)


def simulated(folder: Path, *options: str, fails: int = 0) -> Any:
    """Run it to its end; gives its report, what it told, or its error."""
    command = [sys.executable, "-P", "-m", "slipway", "simulate", NAME, *options, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == fails, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout if not fails else done.stderr.splitlines()[-1])


def processes_of(store: Path) -> list[str]:
    """The commands of all processes that work on a store."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        text = b" ".join(words).decode(errors="replace")
        if str(store.resolve()) in text and place.parent.name != str(os.getpid()) and "slipway" in text:
            found.append(text)
    return found


def store_of(folder: Path) -> Path:
    return folder / ".slipway" / "simulations" / NAME


@pytest.mark.long
def test_weeks_end_in_a_report_twice_the_same_and_once_more_from_the_log(folder: Path) -> None:
    report = simulated(folder, *WEEKS, "--seed", "3")
    assert (report["state"], report["seed"], report["requests"], report["labels"]) == ("finished", 3, 3800, 3800)
    assert [month["name"] for month in report["months"]] == ["2013-04"]
    assert report["months"][0]["versions"] == [1, 2]
    assert [one["version"] for one in report["promotions"]] == [2]
    assert "bit for bit" in report["proofs"][0]
    assert "of all 3,800 answered rows" in report["proofs"][1]
    assert report["faults"] == []
    assert processes_of(store_of(folder)) == []
    assert not (store_of(folder) / "server.pid").exists()
    store = ("--root", str(store_of(folder)), "--project", NAME)
    actions = answer("api", "loop.actions", f"endpoint={NAME}", *store, cwd=folder)["actions"]
    done = [one["name"] for one in actions if one["name"] != "note"]  # what moved is noted whenever it does
    assert done[:5] == ["retrain", "shadow", "canary", "canary", "promote"]
    assert answer("audit", "verify", *store, cwd=folder)

    again = simulated(folder, *WEEKS, "--seed", "3")
    assert again["fingerprint"] == report["fingerprint"]
    assert (again["months"], again["worth"]) == (report["months"], report["worth"])
    assert simulated(folder, *WEEKS, "--seed", "4", "--root", str(folder.parent / "other4"))["seed"] == 4

    log = ("--from-log", str(store_of(folder)), "--root", str(folder.parent / "other"))
    replayed = simulated(folder, *WEEKS, *log)
    assert (replayed["requests"], replayed["labels"]) == (report["requests"], report["labels"])
    assert replayed["months"] == report["months"], "the same was asked, so the same was answered"


def test_a_log_is_not_replayed_out_of_the_store_that_is_replaced(folder: Path) -> None:
    week = ("--since", "2013-04-01", "--until", "2013-04-03")
    simulated(folder, *week)
    refused = simulated(folder, *week, "--from-log", str(store_of(folder)), fails=2)["error"]
    assert (refused["code"], refused["field"]) == ("InvalidInput", "from_log")
    assert "--root DIR" in str(refused)
    assert (store_of(folder) / "ledger.db").exists(), "nothing was moved"
    assert not store_of(folder).with_name(f"{NAME}.previous").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--since", "2013-04-10", "--until", "2013-04-01"), "must end after it begins"),
        (("--since", "yesterday", "--until", "2013-04-01"), "--since 'yesterday' is no day"),
        ((*WEEKS, "--tick", "soon"), "--tick 'soon' is no length of time"),
        ((*WEEKS, "--from-log", "."), "There is no prediction log in"),
        (("--since", "2019-04-10", "--until", "2019-05-01"), "no row that was decided from 2019-04-10"),
    ],
)
def test_what_cannot_be_simulated(folder: Path, options: tuple[str, ...], words: str) -> None:
    command = [sys.executable, "-P", "-m", "slipway", "simulate", NAME, *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode not in (0, 1)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert processes_of(store_of(folder)) == []


# What it says before it is ended: while it trains, once there is an endpoint, while a retraining runs, in a roll-out.
@pytest.mark.parametrize("words", ["Training set of orders", "retrain:"])
@pytest.mark.long
def test_ctrl_c_leaves_no_process_and_the_next_one_works(folder: Path, words: str) -> None:
    running = start("simulate", NAME, *WEEKS, cwd=folder)
    read_until(running, words)
    running.send_signal(signal.SIGINT)
    assert running.stdout is not None
    told = running.stdout.read()
    assert running.wait() not in (0, None)
    assert "Traceback" not in told, told
    running.stdout.close()
    assert processes_of(store_of(folder)) == []
    if words == "retrain:":
        store = ("--root", str(store_of(folder)), "--project", NAME)
        listed = answer("api", "simulations.list", f"endpoint={NAME}", *store, cwd=folder)["simulations"]
        assert [one["state"] for one in listed] == ["failed"]
    assert simulated(folder, "--since", "2013-04-01", "--until", "2013-04-03")["state"] == "finished"
    assert processes_of(folder) == []


@pytest.mark.parametrize(
    "words",
    [
        *(pytest.param(each, marks=pytest.mark.long) for each in ("approves its retraining policy", "retrain:")),
        "shadow:",
    ],
)
def test_after_kill_9_the_next_one_stops_what_was_left(folder: Path, words: str) -> None:
    running = start("simulate", NAME, *WEEKS, cwd=folder)
    read_until(running, words)
    kill(running)
    assert processes_of(store_of(folder)), "an endpoint was left"
    assert simulated(folder, "--since", "2013-04-01", "--until", "2013-04-03")["state"] == "finished"
    assert processes_of(folder) == []
    assert not store_of(folder).with_name(f"{NAME}.previous").exists(), "what never came to its report is not kept"
