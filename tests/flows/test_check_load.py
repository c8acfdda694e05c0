"""Check load: a real endpoint process under a real, small load; its figures kept, signed and judged."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_desk import FIRST, NAME, Desk

import slipway as sw
from slipway.errors import InvalidInput, NotFound
from slipway.flows.check_load import check_load
from slipway.flows.load_evidence import load_evidence, reports_of
from slipway.flows.passing import passing
from slipway.gates.judge import judge
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.load import CheckedLoad, CheckLoad
from slipway.records.gates import Outcome
from slipway.serving.footprint import cpu_seconds, family, load_average, memory_bytes, this_machine

HOUR_MS = 3_600_000


def needs(*checks: Any) -> sw.Gate:
    return sw.Gate(sw.metric("auc") >= 0.5, *checks)


def measured(desk: Desk, target: str = f"{NAME}:{FIRST}", **more: Any) -> CheckedLoad:
    return check_load(desk.workspace, CheckLoad(target=target, **{"rate": 10, "seconds": 1, **more}))


def judged(desk: Desk, check: Any, found: list[Any] | None = None) -> Outcome:
    version = desk.version(FIRST)
    bundle = registry.bundle_of(desk.workspace, version)
    evidence = load_evidence(desk.workspace, version, bundle) if found is None else found
    gate, at = sw.Gate(check).spec, desk.workspace.clock.now()
    return judge(gate, evidence, [], subject=version.bundle, at=at, champion_known=False, model=NAME, number=FIRST)[0]


def test_a_bundle_is_measured_kept_and_judged(desk: Desk) -> None:
    desk.declare(gate=needs(sw.load(rate=10, p95_ms=HOUR_MS), sw.load(rate=10, memory="100GB"), sw.load(size="1kB")))
    assert judged(desk, sw.load(rate=10, p95_ms=HOUR_MS)).result == "cannot tell"
    answer = measured(desk, rate=None)  # the rate is the gate's
    report = answer.report
    assert (report.parent_id, report.number, report.rate, report.sent) == (desk.version(FIRST).bundle, FIRST, 10, 10)
    assert (report.failed, report.failure, report.workers) == (0, "", 1)
    assert report.p50_ms is not None
    assert report.p95_ms is not None
    assert report.slowest_ms is not None
    assert 0 < report.p50_ms <= report.p95_ms <= report.slowest_ms
    assert report.throughput > 0
    assert report.bundle_bytes == sum(
        file.size_bytes for file in registry.bundle_of(desk.workspace, desk.version(FIRST)).files
    )
    if sys.platform == "linux":
        assert 0 < report.pss_bytes <= report.rss_bytes
        assert report.cpu_ms is not None
    assert [outcome.result for outcome in answer.outcomes] == ["passed", "passed", "refused"]  # a bundle of 1 kB
    assert not answer.holds
    assert reports_of(desk.workspace, report.parent_id) == [report]
    assert judged(desk, sw.load(rate=10, p95_ms=HOUR_MS)).result == "passed"
    assert judged(desk, sw.load(rate=10, p95_ms=1e-6)).result == "refused"
    assert judged(desk, sw.load(rate=11, p95_ms=HOUR_MS)).fix == f"slipway check-load {NAME}:{FIRST} --rate 11"
    assert [event.verb for event in desk.events()][-1] == "models.load"
    assert not list(desk.workspace.root.glob("endpoints/*/*"))  # nothing was deployed


def test_a_report_that_was_edited_counts_for_nothing(desk: Desk) -> None:
    report = measured(desk, target=registry.get(desk.workspace, NAME, FIRST).run_id[:12], rows=3).report
    assert report.rows == 3
    with desk.workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(report, p95_ms=0.001))
    assert reports_of(desk.workspace, report.parent_id) == []
    assert judged(desk, sw.load(rate=10, p95_ms=HOUR_MS)).found == "nobody measured these bytes under load"
    with desk.workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(report, signature=""))
    assert reports_of(desk.workspace, report.parent_id) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"rate": 0.0}, "rate 0 cannot"),
        ({"rate": -1.0}, "rate -1"),
        ({"rate": float("nan")}, "rate nan"),
        ({"rate": 1e9}, "at most 1,000,000"),
        ({"seconds": 0.0}, "seconds 0"),
        ({"seconds": 1e6}, "at most 600"),
        ({"rows": 0}, "rows 0"),
        ({"rows": 5000}, "rows 5000"),
    ],
)
def test_a_load_that_cannot_be_sent_is_refused(desk: Desk, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        measured(desk, **asked)


def test_what_is_not_there_is_said(desk: Desk) -> None:
    with pytest.raises(NotFound):
        measured(desk, target="nobody")
    with pytest.raises(NotFound):
        measured(desk, target=f"{NAME}:99")


def test_it_ends_with_whoever_started_it(desk: Desk, tmp_path: Path) -> None:
    """A starter that is killed leaves no process and no folder behind."""
    version = desk.version(FIRST)
    script = tmp_path / "starter.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from slipway.hosts.project import open_project\n"
        "from slipway.flows.passing import passing\n"
        "from slipway.models import registry\n"
        "with open_project(Path(sys.argv[1])) as project:\n"
        "    version = registry.get(project.workspace, sys.argv[2], int(sys.argv[3]))\n"
        "    with passing(project.workspace, version, registry.bundle_of(project.workspace, version)) as found:\n"
        "        print(found.pid, found.folder, flush=True)\n"
        "        time.sleep(600)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, str(script), str(desk.project.folder), NAME, str(version.number)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    pid, folder = starter.stdout.readline().split()
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    until = time.monotonic() + 90
    while Path(folder).exists() or _runs(int(pid)):
        assert time.monotonic() < until, "it outlived its starter"
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return "passing_endpoint" in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_it_is_gone_after_the_block(desk: Desk) -> None:
    version = desk.version(FIRST)
    with passing(desk.workspace, version, registry.bundle_of(desk.workspace, version)) as endpoint:
        pids = family(endpoint.pid)
        assert len(pids) >= 2
        assert not (endpoint.folder.parents[2] / "keys" / "signing.key").exists()
    assert not endpoint.folder.exists()
    assert not any(_runs(pid) for pid in pids)


def test_this_machine_is_known_by_what_it_is() -> None:
    assert this_machine() == this_machine()
    assert this_machine().cores >= 1
    assert load_average() is None or load_average() >= 0  # type: ignore[operator]
    own = [os.getpid()]
    if sys.platform == "linux":
        assert cpu_seconds(own) is not None
        assert memory_bytes(own)[1] > 1_000_000
    assert cpu_seconds([2**22 + 1]) is None
    assert memory_bytes([2**22 + 1]) == (0, 0)
