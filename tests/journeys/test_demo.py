"""The demo: the real flights, from raw data to answers in production; killed anywhere, the next one works."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import answer, kill, read_until, start, stop_all

for module in ("lightgbm", "polars"):
    pytest.importorskip(module, reason=f"the demo needs {module}: pip install 'slipway[demo]'")
pytestmark = pytest.mark.full

PROJECT = ("--project", "flight-delays")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("demo") / "store"
    yield root
    stop_all(root)


def demo(store: Path) -> dict[str, str]:
    """Run it to its end; gives the last table."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "slipway", "demo", "--json", "--root", str(store)],
        cwd=store.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, str] = json.loads(done.stdout)  # the answer alone: the story is told on standard error
    return found


def check(told: dict[str, str]) -> None:
    assert float(told["AUC of the answers"].split()[0]) >= 0.73
    compared = re.fullmatch(
        r"all ([\d,]+) served answers equal the offline scores .*bit for bit", told["served = offline"]
    )
    assert compared, told["served = offline"]
    assert int(compared[1].replace(",", "")) > 27_000
    assert told["asked in April"].startswith("28,3")
    assert "(simulated)" in told["approved by"]
    assert told["quality of log_loss"].partition(".")[0] in ("ok", "alert")


# Where it is killed, in the order in which it comes there; what was done before is not done again.
MOMENTS = [
    "1. Data",
    "flights: version",
    "Training set of flights",
    "train:",
    "So it may not serve yet",
    "answers at",
    "asked of",
]


def test_killed_anywhere_it_begins_again_and_ends_well(store: Path) -> None:
    store.parent.mkdir(exist_ok=True)
    for words in MOMENTS:
        running = start("demo", "--root", str(store), cwd=store.parent)
        read_until(running, words)
        kill(running)
        if (store / "ledger.db").exists():
            answer("audit", "verify", "--root", str(store), *PROJECT, cwd=store.parent)
    check(demo(store))
    answer("audit", "seal", "--root", str(store), *PROJECT, cwd=store.parent)
    assert answer("audit", "verify", "--root", str(store), *PROJECT, cwd=store.parent)["unsealed"] == 0
    states = {
        row["run"]["state"] for row in answer("runs", "list", "--root", str(store), *PROJECT, cwd=store.parent)["runs"]
    }
    assert states <= {"finished", "killed"}


def test_it_runs_again_on_the_same_store(store: Path) -> None:
    first, second = demo(store), demo(store)
    check(first)
    check(second)
    assert first["AUC of the answers"] == second["AUC of the answers"]
    endpoints = answer("endpoints", "list", "--root", str(store), *PROJECT, cwd=store.parent)["endpoints"]
    assert [endpoint["status"] for endpoint in endpoints] == [None], "it stops what it started"
