"""What `[retention]` lets go and what it leaves, and what `[quota]` refuses."""

import os
import time
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from purge_desk import do, kept, nested, new_logged, new_run, new_version, purge, verified

from slipway.backends.clocks import SimulatedClock
from slipway.errors import Denied, InvalidSetting, OverQuota
from slipway.flows.limits import check_limits, declare_limits
from slipway.ledger import entries
from slipway.ledger.limits import check_room, kept_limits
from slipway.operations.trash import Expired
from slipway.ports.runner import RESULT_FILE, TASK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.limits import Quota, Retention
from slipway.records.people import Actor
from slipway.records.runs import Run
from slipway.runs import outside, tracking
from slipway.server.errors import status_of

CLERK = Actor("cleo", roles=("data scientist",))


def later(clock: SimulatedClock, **more: float) -> None:
    clock.advance_to(clock.now() + timedelta(**more))


def expire(workspace: Workspace, **more: object) -> Expired:
    found: Expired = do(workspace, "trash.expire", **more)
    return found


def in_trash(workspace: Workspace) -> set[str]:
    return {item.item for item in do(workspace, "trash.list").items}


def test_old_runs_that_nothing_needs_go_into_the_trash(workspace: Workspace, clock: SimulatedClock) -> None:
    free, made, has_model = new_run(workspace, b"x" * 100), new_run(workspace), new_run(workspace)
    around = new_run(workspace)
    version = new_version(workspace, "churn", run_id=made)
    logged = new_logged(workspace, b"weights", run_id=has_model)
    later(clock, days=40)
    young = new_run(workspace)
    with workspace.ledger.write() as tx:
        inside = entries.get(tx, Run, young)
        entries.put(tx, msgspec.structs.replace(inside, parent_id=around))
    with workspace.ledger.write() as tx:
        under_way = outside.create(tx, workspace, experiment="0", tags={}).id
    nothing = expire(workspace)
    assert (nothing.runs, nothing.kept, in_trash(workspace)) == ((), (), set())

    declare_limits(workspace, Retention(runs=30), Quota())
    foretold = expire(workspace, dry_run=True)
    assert foretold.runs == (f"run:{free}",)
    assert foretold.runs_bytes == 100
    assert {one.item: one.why for one in foretold.kept}.keys() == {f"run:{one}" for one in (made, has_model, around)}
    assert any(f"the model {logged}" in one.why for one in foretold.kept)
    assert any("inside it is not as old" in one.why for one in foretold.kept)
    assert in_trash(workspace) == set()

    assert expire(workspace).runs == (f"run:{free}",)
    assert in_trash(workspace) == {f"run:{free}"}
    assert expire(workspace).runs == ()
    with workspace.ledger.read() as tx:
        assert all(entries.get(tx, Run, one).deleted_at is None for one in (made, has_model, around, young, under_way))
        assert tx.get("model", version.id) is not None
    later(clock, days=31)
    assert purge(workspace).items == (f"run:{free}",)
    assert verified(workspace) > 0


def test_a_run_stays_while_one_inside_it_stays_at_any_depth(workspace: Workspace, clock: SimulatedClock) -> None:
    named, logs, around_young, free = ([new_run(workspace) for _ in range(3)] for _ in range(4))
    for chain in (named, logs, around_young, free):
        nested(workspace, *chain)
    new_version(workspace, "churn", run_id=named[-1])
    new_logged(workspace, b"weights", run_id=logs[-1])
    later(clock, days=40)
    nested(workspace, around_young[-1], new_run(workspace))
    declare_limits(workspace, Retention(runs=30), Quota())
    done = expire(workspace)
    assert set(done.runs) == {f"run:{one}" for one in free}
    why = {one.item.removeprefix("run:"): one.why for one in done.kept}
    assert why.keys() == {*named, *logs, *around_young}
    assert [why[one] for one in named[:2]] == [f"the run {one} inside it stays" for one in named[1:]]
    assert "names it" in why[named[2]] or "made" in why[named[2]]
    later(clock, days=31)
    assert purge(workspace).items == tuple(f"run:{one}" for one in reversed(free))
    assert verified(workspace) > 0


def test_folders_of_ended_tasks_and_unnamed_bytes_go(workspace: Workspace) -> None:
    tasks = workspace.root / "tasks"
    for name, project, days in (("old", "flights", 9), ("young", "flights", 1), ("other", "trains", 9), ("odd", "", 9)):
        (tasks / name).mkdir(parents=True)
        if project:
            (tasks / name / TASK_FILE).write_text(f'{{"project":"{project}"}}')
        (tasks / name / RESULT_FILE).write_bytes(b"x" * 50)
        for path in (*(tasks / name).iterdir(), tasks / name):
            os.utime(path, (time.time() - days * 86_400,) * 2)
    unnamed = kept(workspace, "left", b"y" * 70).digest
    path = workspace.root / "blobs" / unnamed[:2] / unnamed[2:]
    os.utime(path, (time.time() - 9 * 86_400,) * 2)
    declare_limits(workspace, Retention(tasks=7, unnamed=7), Quota())
    foretold = expire(workspace, dry_run=True)
    assert (foretold.tasks, foretold.tasks_bytes, foretold.unnamed, foretold.unnamed_bytes) == (1, 71, 1, 70)
    assert path.exists()
    done = expire(workspace)
    assert (done.tasks, done.unnamed) == (1, 1)
    assert sorted(one.name for one in tasks.iterdir()) == ["odd", "other", "young"]
    assert not path.exists()


def test_what_a_project_uses_up_is_refused_until_it_uses_less(workspace: Workspace, clock: SimulatedClock) -> None:
    declare_limits(workspace, Retention(), Quota(runs_a_day=2, pipelines=1, endpoints=1))
    for _ in range(2):
        with tracking.start(workspace, "tries"):
            pass
    with pytest.raises(OverQuota, match=r"2 runs within 24 hours .* \[quota\] runs_a_day = 2") as refused:
        new_run(workspace)
    assert status_of(refused.value) == 429
    with pytest.raises(OverQuota), tracking.start(workspace, "tries"):
        pass
    shown = {one.name: one.value for one in do(workspace, "settings.get").settings if "[quota]" in one.source}
    assert shown == {"Runs within 24 hours": "2 of 2", "Pipelines at once": "0 of 1", "Endpoints": "0 of 1"}
    later(clock, days=1, minutes=1)
    with tracking.start(workspace, "tries"):
        pass
    with workspace.ledger.write() as tx:
        tried = entries.find(tx, Run, project=workspace.project, limit=1)[0]
        entries.put(tx, msgspec.structs.replace(tried, state="running", pipeline="release"))
    with workspace.ledger.write() as tx:
        tx.set_ref(workspace.project, "endpoint", "delays", "flights/delays/1", expect=None)
    for name in ("pipelines", "endpoints"):
        with workspace.ledger.read() as tx, pytest.raises(OverQuota, match="as many as it may"):
            check_room(tx, workspace, name)


def test_who_may_not_purge_changes_no_limits(workspace: Workspace, said: list[str]) -> None:
    declare_limits(workspace, Retention(runs=90), Quota(endpoints=3))
    declare_limits(workspace, Retention(runs=90), Quota(endpoints=3))
    clerk = replace(workspace, actor=CLERK)
    declare_limits(clerk, Retention(), Quota(endpoints=300))
    with workspace.ledger.read() as tx:
        standing = kept_limits(tx, workspace)
    assert standing is not None
    assert (standing.number, standing.retention.runs, standing.quota.endpoints) == (1, 90, 3)
    assert "stay without effect until a platform engineer" in said[-1]
    with pytest.raises(Denied):
        expire(clerk)
    with pytest.raises(InvalidSetting, match=r"quota.endpoints is -1"):
        check_limits(Retention(), Quota(endpoints=-1))
