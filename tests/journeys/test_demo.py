"""The demo: the real flights' year, from raw data to its report; killed anywhere, the next one works."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from command_line import answer, children_of, kill, read_until, start

from slipway.hosts.simulation import stop_all
from slipway.records.simulations import Simulation

for module in ("lightgbm", "polars"):
    pytest.importorskip(module, reason=f"the demo needs {module}: pip install 'slipway[demo]'")
pytestmark = pytest.mark.full

PROJECT = ("--project", "flight-delays")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("demo") / "store"
    yield root
    stop_all(root)


def demo(store: Path) -> Simulation:
    """Run it to its end; gives its report."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "slipway", "demo", "--json", "--root", str(store)],
        cwd=store.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    # the answer alone: the story is told on standard error
    return msgspec.json.decode(done.stdout, type=Simulation)


# Where it is killed, in the order in which it comes there; each time it begins anew beside what was left.
MOMENTS = ["1. Data", "flights: version", "Training set of flights", "So it may not serve yet", "The pages:"]


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


def test_the_year_ends_well_twice_the_same_and_stops_what_it_started(store: Path) -> None:
    first, second = demo(store), demo(store)
    assert first.fingerprint == second.fingerprint
    assert first.requests == second.requests > 10_000
    assert first.labels == second.labels > 240_000
    assert [(fault.name, fault.sentence) for fault in first.faults if not fault.was_handled] == []
    assert len(first.faults) == 3
    endpoints = answer("endpoints", "list", "--root", str(store), *PROJECT, cwd=store.parent)["endpoints"]
    assert [endpoint["status"] for endpoint in endpoints] == [None]
    assert not (store / "server.pid").exists()
    assert answer("audit", "verify", "--root", str(store), *PROJECT, cwd=store.parent)["unsealed"] <= 5
