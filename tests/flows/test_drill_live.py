"""The drill in earnest: under load nobody is dropped, what it counts is what callers got, and it is kept."""

import dataclasses
from datetime import datetime
from typing import Any

import msgspec
import pytest
from small_desk import BETTER, FIRST, NAME, Desk
from steady_load import ROWS, steady
from test_rollouts import PHASES, prepared

import slipway as sw
from slipway.errors import Conflict, GateRefused
from slipway.flows import drill as drills
from slipway.flows.approve import grant
from slipway.flows.deploy import rollback
from slipway.flows.drill import drill
from slipway.flows.endpoints import revision_of
from slipway.flows.release import declare_endpoint
from slipway.flows.revision_changes import MARKS
from slipway.ledger import entries
from slipway.operations.endpoints import Deployed, Rollback, StartDrill
from slipway.operations.governance import Grant
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.predictions import FailureRow
from slipway.records.rollouts import Drill
from slipway.tables.segments import SegmentWriter

LOOSE = sw.Gate(sw.metric("auc") >= 0.3)


def declare(desk: Desk, *phases: Any) -> None:
    """As of real times: those of a simulation time nothing."""
    declared = dataclasses.replace(desk.project.module().delays, rollout=phases, gate=LOOSE)
    declare_endpoint(desk.workspace, declared, simulation=False)


def kept(desk: Desk) -> list[Drill]:
    with desk.workspace.ledger.read() as tx:
        return list(entries.find(tx, Drill, parent=f"{desk.workspace.project}/{NAME}", limit=10))


def revision(desk: Desk, number: int) -> Revision:
    with desk.workspace.ledger.read() as tx:
        (found,) = entries.find(tx, Revision, project=desk.workspace.project, name=NAME, number=number, limit=1)
    return found


def test_a_live_drill_is_refused_before_anything_moves(desk: Desk) -> None:
    still = desk.without_processes()
    declare(still)
    still.deploy(FIRST)
    still.deploy(BETTER)
    grant(still.workspace, Grant(model=NAME, version=str(FIRST), decision="rejected", comment="it errs"))
    with pytest.raises(GateRefused, match="it errs"):
        drill(still.workspace, StartDrill(name=NAME, live=True))
    grant(still.workspace, Grant(model=NAME, version=str(FIRST)))
    grant(still.workspace, Grant(model=NAME, version=str(BETTER), decision="rejected", comment="too dear"))
    with pytest.raises(GateRefused, match="too dear"):  # there would be no way forward again
        drill(still.workspace, StartDrill(name=NAME, live=True))
    assert (revision_of(still.workspace, NAME).number, kept(still)) == (2, [])


def test_a_live_drill_is_refused_during_a_roll_out(desk: Desk) -> None:
    still = prepared(desk.without_processes(), PHASES)
    still.deploy(BETTER)
    with pytest.raises(Conflict, match=r"A roll-out is under way .*would end it.*rollout status"):
        drill(still.workspace, StartDrill(name=NAME, live=True, to=1))
    assert (revision_of(still.workspace, NAME).number, kept(still)) == (2, [])


def test_a_live_drill_in_simulation_is_refused(desk: Desk) -> None:
    still = prepared(desk.without_processes(), ())
    still.deploy(BETTER)
    with pytest.raises(Conflict, match=r"simulated times.*Leave --live out"):
        drill(still.workspace, StartDrill(name=NAME, live=True))


@pytest.mark.full
def test_under_load_nobody_is_dropped_and_what_was_shown_is_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(desk)
    desk.deploy(FIRST)
    served = desk.deploy(BETTER)
    assert served.status is not None
    before = revision_of(desk.workspace, NAME)
    with steady(served.status.url) as load:
        load.until_more()

        def go(workspace: Workspace, request: Rollback) -> Deployed:
            done = rollback(workspace, request)
            if not request.dry_run:
                load.until_more()  # so that callers are answered by each
            return done

        monkeypatch.setattr(drills, "rollback", go)
        done = drill(desk.workspace, StartDrill(name=NAME, live=True, reason="friday")).drill
        load.until_more()
    assert load.failures == []
    assert (done.state, done.present, done.back_to, done.live, done.revisions) == ("passed", 2, 1, True, (3, 4)), done
    assert (done.failures, done.differing) == (0, 0)
    by_revision = {
        number: [one for one in load.answers if one["revision"] == number]
        for number in {one["revision"] for one in load.answers}
    }
    assert by_revision.keys() == {2, 3, 4}, "each of them answered callers"
    assert {one["model"]["version"] for one in by_revision[3]} == {FIRST}
    assert {one["model"]["version"] for number in (2, 4) for one in by_revision[number]} == {BETTER}
    assert ROWS * len(by_revision[3]) <= done.requests <= ROWS * len(load.answers)
    assert done.back_s is not None
    assert done.forth_s is not None
    assert max(done.back_s, done.forth_s) < 60, "as long as a revision may take to serve"
    newest, between = revision_of(desk.workspace, NAME), revision(desk, 3)
    for name in set(Revision.__struct_fields__) - MARKS:
        assert getattr(newest, name) == getattr(before, name), name
        assert getattr(between, name) == getattr(revision(desk, 1), name), name
    assert (between.reason, newest.reason) == ("rollback to 1: drill: friday", "rollback to 2: drill: friday")
    assert desk.champion() == BETTER
    assert kept(desk) == [done]
    (told,) = [event for event in desk.events() if event.verb == "endpoints.drill"]
    assert {"state": "passed", "live": True, "failures": 0, "reason": "friday"}.items() <= told.body.items()


@pytest.mark.full
def test_rows_that_fail_meanwhile_are_counted_and_the_drill_failed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(desk)
    desk.deploy(FIRST)
    served = desk.deploy(BETTER)
    assert served.status is not None
    broken: list[datetime] = []

    def go(workspace: Workspace, request: Rollback) -> Deployed:
        done = rollback(workspace, request)
        if not request.dry_run and not broken:
            broken.append(datetime.now().astimezone())
            failed = _failure(done)
            writer = SegmentWriter(desk.folder / "log", "failures")
            writer.append([failed])
            writer.close()
        return done

    monkeypatch.setattr(drills, "rollback", go)
    with steady(served.status.url) as load:
        load.until_more()
        done = drill(desk.workspace, StartDrill(name=NAME, live=True)).drill
    assert (done.state, done.failures) == ("failed", 7), done
    assert "7 of " in done.sentence
    assert revision_of(desk.workspace, NAME).served.number == BETTER, "it went forward again all the same"
    assert msgspec.structs.asdict(kept(desk)[0])["state"] == "failed"


def _failure(done: Deployed) -> FailureRow:
    """Seven rows that the earlier version could not answer, as its workers log them."""
    assert done.revision is not None
    now_us = int(datetime.now().astimezone().timestamp() * 1e6)
    bundle = done.revision.served.bundle[:16]
    return FailureRow(now_us, now_us, done.revision.number, "champion", bundle, 7, "predict", False, "error")
