"""The demo: the real flights' year, from raw data to its report; killed anywhere, the next one works."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from command_line import answer, children_of, kill, read_until, start

from slipway.hosts.simulation import stop_all
from slipway.records.simulations import BLIND, NEVER, Simulation

for module in ("lightgbm", "polars"):
    pytest.importorskip(module, reason=f"the demo needs {module}: pip install 'slipway[demo]'")
pytestmark = pytest.mark.full

PROJECT = ("--project", "flight-delays")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("demo") / "store"
    yield root
    stop_all(root)


def demo(store: Path, *options: str) -> Simulation:
    """Run it to its end; gives its report."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "slipway", "demo", *options, "--json", "--root", str(store)],
        cwd=store.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    # the answer alone: the story is told on standard error
    return msgspec.json.decode(done.stdout, type=Simulation, strict=False)  # "NaN" is a number that is not known


def has_stopped(store: Path) -> None:
    """Nothing runs, and nobody edited the history."""
    endpoints = answer("endpoints", "list", "--root", str(store), *PROJECT, cwd=store.parent)["endpoints"]
    assert [endpoint["status"] for endpoint in endpoints] == [None]
    assert not (store / "server.pid").exists()
    assert answer("audit", "verify", "--root", str(store), *PROJECT, cwd=store.parent)["unsealed"] <= 5


def evidence_fills_the_card(store: Path) -> None:
    """At least 70 of 100 fields of what serves."""
    card = answer("card", "flight-delays@champion", "--root", str(store), *PROJECT, cwd=store.parent)
    states = [field["state"] for section in card["sections"] for field in section["fields"]]
    assert states.count("auto") >= 0.7 * len(states)


# Where it is killed, in the order in which it comes there; each time it begins anew beside what was left.
MOMENTS = ["1. Data", "flights: version", "Training set of flights", "So it may not serve yet", "The pages:"]


@pytest.mark.long
def test_killed_anywhere_it_begins_again(store: Path) -> None:
    for words in MOMENTS:
        running = start("demo", "--root", str(store), cwd=store.parent)
        read_until(running, words)
        left = children_of(running.pid)
        kill(running)
        assert (store / "clock").is_file()
        if (store / "ledger.db").exists() and words != "1. Data":
            answer("audit", "verify", "--root", str(store), *PROJECT, cwd=store.parent)
    assert left, "an endpoint and a control plane were left running, for the next one to stop"


# With this seed the control plane is killed in the canary of the first days of June.
SPRING = ("--until", "2013-06-16", "--seed", "23")


def test_its_first_weeks_end_in_order(store: Path) -> None:
    weeks = demo(store, "--until", "2013-04-22")
    assert [month.name for month in weeks.months] == ["2013-04"]
    assert weeks.requests > 300
    assert weeks.labels > 5_000
    has_stopped(store)
    evidence_fills_the_card(store)


@pytest.mark.long
def test_a_shorter_year_ends_twice_the_same(store: Path) -> None:
    first, second = demo(store, *SPRING), demo(store, *SPRING)
    assert first.fingerprint == second.fingerprint
    assert (first.months, first.worth, first.promotions) == (second.months, second.worth, second.promotions)
    assert [month.name for month in first.months] == ["2013-04", "2013-05", "2013-06"]
    assert first.requests == second.requests > 2_000
    assert [(fault.name, fault.was_handled) for fault in first.faults] == [("control plane killed in a canary", True)]
    assert " failed; the same roll-out went on: promoted" in first.faults[0].sentence
    assert len(first.promotions) >= 3
    has_stopped(store)
    evidence_fills_the_card(store)


@pytest.mark.long
def test_the_year_meets_three_faults_and_is_worth_it(store: Path) -> None:
    year = demo(store)
    assert year.requests > 10_000
    assert year.labels > 240_000
    assert [(fault.name, fault.sentence) for fault in year.faults if not fault.was_handled] == []
    assert len(year.faults) == 3
    never, blind = (next(one for one in year.worth if one.other == name) for name in (NEVER, BLIND))
    assert never.log_loss_high < 0, "better than never retraining, beyond chance"
    assert never.cost_high < 0
    assert blind.log_loss_low <= 0, "not shown to be worse than retraining blindly"
    assert blind.cost_low <= 0
    assert len(year.promotions) >= 10
    assert all("bit for bit" in proof for proof in year.proofs)
    has_stopped(store)
