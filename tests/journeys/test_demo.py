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


def demo(store: Path, *more: str) -> Simulation:
    """Run it to its end; gives its report."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "slipway", "demo", "--json", "--root", str(store), *more],
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


def test_a_shortened_year_twice_takes_the_same_decisions(store: Path) -> None:
    # of this seed's faults one lies within it: the control plane is killed in the canary of early June
    first, second = (demo(store, "--until", "2013-06-12", "--seed", "0") for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert first.requests == second.requests > 1_500
    assert first.total is not None
    assert first.total.figures["slipway"].log_loss == second.total.figures["slipway"].log_loss  # type: ignore[union-attr]
    assert len(first.promotions) >= 2
    assert [(fault.name, fault.was_handled) for fault in first.faults] == [("control plane killed in a canary", True)]


def test_the_year_ends_well_and_stops_what_it_started(store: Path) -> None:
    year = demo(store)
    assert year.requests > 10_000
    assert year.labels > 240_000
    assert [(fault.name, fault.sentence) for fault in year.faults if not fault.was_handled] == []
    assert len(year.faults) == 3
    never, blind = year.worth
    assert never.log_loss_high < 0 > never.cost_high, "better than the first model, shown and not assumed"
    assert blind.log_loss_low <= 0 >= blind.cost_low, "not shown to be worse than blind retraining"
    assert [proof.split()[0] for proof in year.proofs] == ["All", "The"], "everything served equals everything offline"
    endpoints = answer("endpoints", "list", "--root", str(store), *PROJECT, cwd=store.parent)["endpoints"]
    assert [endpoint["status"] for endpoint in endpoints] == [None]
    assert not (store / "server.pid").exists()
    assert answer("audit", "verify", "--root", str(store), *PROJECT, cwd=store.parent)["unsealed"] <= 5
