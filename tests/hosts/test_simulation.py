"""A simulation's store: empty and in its own time, with a first model that knows nothing of what comes."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.flows.endpoint import Endpoint
from slipway.flows.faults import Injected, KilledControlPlane
from slipway.flows.simulate import Simulated
from slipway.hosts.project import Project, open_project, open_workspace
from slipway.hosts.simulation import (
    first_model,
    fresh_store,
    label_delay_of,
    log_folder,
    pick_endpoint,
    witnessed,
)
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.loop import Action

START = datetime(2013, 4, 1, tzinfo=UTC)
MODULE = """
import slipway as sw

@sw.table(key="id")
def rows(): ...

features = sw.FeatureSet("x")

@sw.pipeline
def release(rounds: int = 3) -> int:
    return 1

one = sw.Endpoint("one", pipeline=release, features=features, key="id",
                  monitors=[sw.Drift(), sw.Quality("auc", label_delay="36h"), sw.KPI("cost of errors", label_delay="1d")])
"""
TWO = MODULE + 'two = sw.Endpoint("two", pipeline=release)\nthree = sw.Endpoint("three")\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Project]:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "p"\nmodule = "simulated_here"\n')
    (tmp_path / "simulated_here.py").write_text(getattr(request, "param", MODULE))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "simulated_here", raising=False)
    with open_project(tmp_path) as opened:
        yield opened
    sys.modules.pop("simulated_here", None)


def test_a_store_begins_empty_in_its_own_time_and_the_former_ones_are_kept_once(tmp_path: Path) -> None:
    root = tmp_path / "simulations" / "e"
    assert fresh_store(root, START) is None
    workspace = open_workspace(root, project="p")
    assert workspace.clock.now() == START
    workspace.ledger.close()
    for turn in (1, 2):
        (root / "mark").write_text(str(turn))
        (root / "simulation.done").touch()
        assert fresh_store(root, START + timedelta(days=turn)) == tmp_path / "simulations" / "e.previous"
        assert [one.name for one in root.iterdir()] == ["clock"]
    (root / "mark").write_text("this one never came to its report")
    assert fresh_store(root, START) is None
    assert (tmp_path / "simulations" / "e.previous" / "mark").read_text() == "2", "a finished one is kept"


def test_two_processes_do_not_share_a_simulations_store(tmp_path: Path) -> None:
    root = tmp_path / "e"
    code = (
        "import sys; from pathlib import Path; from slipway.hosts.simulation import fresh_store; from datetime import *"
    )
    begin = (
        f"{code}; fresh_store(Path(sys.argv[1]), datetime(2013, 4, 1, tzinfo=UTC)); print('begun', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", begin, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "begun\n"
        with pytest.raises(Conflict, match=f"process {first.pid}"):
            fresh_store(root, START)
        first.communicate("\n")
    assert fresh_store(root, START) is None


def test_what_is_no_simulations_store_is_not_moved(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("mine")
    with pytest.raises(Conflict, match="Name another folder"):
        fresh_store(tmp_path, START)
    assert (tmp_path / "ledger.db").read_text() == "mine"


def test_the_only_endpoint_needs_no_name(project: Project) -> None:
    endpoint = pick_endpoint(project, None)
    assert endpoint.name == "one"
    assert label_delay_of(endpoint) == timedelta(hours=36)


@pytest.mark.parametrize("project", [TWO], indirect=True)
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        (None, InvalidInput, "declares 3 endpoints: one, three, two"),
        ("tow", NotFound, "Did you mean 'two'"),
        ("two", InvalidInput, r"'two' names no feature set.*features=features"),
        ("three", InvalidInput, r"'three' names no pipeline.*pipeline=release"),
    ],
)
def test_an_endpoint_that_cannot_be_simulated(project: Project, name: str | None, kind: type, words: str) -> None:
    with pytest.raises(kind, match=words):
        pick_endpoint(project, name)


@pytest.mark.parametrize("project", [MODULE.replace(', key="id",', ",")], indirect=True)
def test_an_endpoint_without_a_key_cannot_be_simulated(project: Project) -> None:
    with pytest.raises(InvalidInput, match=r"'one' has no key.*order_id"):
        pick_endpoint(project, "one")


def test_a_pipeline_that_cannot_be_told_up_to_when_data_counts_is_refused(project: Project) -> None:
    with pytest.raises(InvalidInput, match=r"'release' has no parameter 'until'.*until: date"):
        first_model(project, pick_endpoint(project, "one"), START)


def test_a_log_is_found_in_an_endpoints_folder_and_in_the_store_around_it(tmp_path: Path) -> None:
    folder = tmp_path / "endpoints" / "p" / "e"
    (folder / "log").mkdir(parents=True)
    with pytest.raises(NotFound, match=r"no prediction log in .*--from-log \.slipway"):
        log_folder(tmp_path, "p", "e")
    (folder / "revision.json").write_text("{}")
    assert log_folder(tmp_path, "p", "e") == log_folder(folder, "p", "e") == folder


def test_what_the_time_machine_saw_and_how_faults_were_met(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        for number in (1, 2):
            entries.put(
                tx,
                Action(
                    id=f"a{number}", project=workspace.project, created_at=START, name="note",
                    parent_id=f"{workspace.project}/e", number=number, sentence="Noted.",
                ),
            )  # fmt: skip
    done = Simulated(
        scores={}, requests=9, failures=0, events=8, labels=7, ticks=4, latencies_ms=(3.0, 1.0, 2.0), actions=(),
        injected=(Injected(fault=KilledControlPlane(at=START)),),
    )  # fmt: skip
    found = witnessed(workspace, Endpoint("e"), done)
    assert (found.requests, found.events, found.labels) == (9, 8, 7)
    assert [fault.was_handled for fault in found.faults] == [False]
    assert found.measured == {"single-row requests": 3, "latency p50, ms": 2.0, "latency p99, ms": 3.0}
