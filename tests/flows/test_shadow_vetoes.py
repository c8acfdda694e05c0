"""A shadow's rows in the endpoint's log, as the controller judges them before any label has come."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from small_desk import BETTER, FIRST, NAME, Desk

import slipway as sw
from slipway.errors import InvalidDeclaration
from slipway.flows import rollouts
from slipway.flows.endpoints import revision_of
from slipway.loop.reconcile import reconcile
from slipway.operations.rollouts import Reconcile
from slipway.records.predictions import PredictionRow, ShadowRow
from slipway.records.rollouts import Rollout
from slipway.tables.segments import SegmentWriter

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GOOD = [1.0, 4, 10.0, 9, "JFK", 500]


@pytest.fixture
def shadowing(desk: Desk) -> Desk:
    return begun(desk, sw.Shadow(deadline="6d"))


def begun(desk: Desk, shadow: sw.Shadow) -> Desk:
    still = desk.without_processes()
    still.declare(rollout=[shadow, sw.Canary(steps=(10, 100))], gate=sw.Gate(sw.metric("auc") >= 0.3))
    still.deploy(FIRST)
    still.deploy(BETTER)
    return still


def answered(desk: Desk, scores: Sequence[float | None], *, dropped: int = 0, problem: str = "error") -> None:
    """The champion has answered 0.2 to each row, the challenger its scores unseen; then some rows were dropped."""
    revision = revision_of(desk.workspace, NAME)
    assert revision.challenger is not None
    start = (desk.clock.now() - EPOCH) // timedelta(microseconds=1) + 1
    n = len(scores) + dropped
    predictions = [
        PredictionRow(
            id=f"{start}-{i}", at_us=start + i, answered_us=start + i, version=FIRST, bundle=revision.served.bundle[:16],
            key=f"F{start}-{i}", request=[None for _ in revision.contract.fields], features=GOOD, score=0.2,
            decision=False, revision=revision.number,
        )
        for i in range(n)
    ]  # fmt: skip
    other = revision.challenger.served.bundle[:16]
    # The first are those that were dropped: what comes after the last comparison may still be waiting.
    shadows = [
        ShadowRow(row.id, row.at_us, revision.number, "challenger", other, score, 1000, "" if score is not None else problem, 900)  # type: ignore[arg-type]
        for row, score in zip(predictions[dropped:], scores, strict=True)
    ]  # fmt: skip
    for kind, rows in (("predictions", predictions), ("shadows", shadows)):
        writer = SegmentWriter(desk.folder / "log", kind)
        writer.append(rows)
        writer.close()


def tick(desk: Desk, hours: float = 1) -> Rollout:
    desk.clock.advance_to(desk.clock.now() + timedelta(hours=hours))
    reconcile(desk.workspace, Reconcile())
    found = rollouts.newest(desk.workspace, NAME)
    assert found is not None
    return found


def test_a_challenger_that_fails_is_stopped_at_the_next_look_and_no_caller_ever_met_it(shadowing: Desk) -> None:
    answered(shadowing, [0.2] * 20)
    assert tick(shadowing).state == "shadow"
    answered(shadowing, [None] * 30, problem="invalid")
    found = tick(shadowing)
    assert found.state == "stopped"
    assert "failed on 30 of 50 rows that the champion could score (30 invalid)" in found.reason
    revision = revision_of(shadowing.workspace, NAME)
    assert (revision.served.number, revision.challenger) == (FIRST, None)


def test_the_look_tells_exact_counts_and_is_renewed_as_rows_come(shadowing: Desk) -> None:
    answered(shadowing, [0.25] * 8, dropped=2)
    first = tick(shadowing)
    figures = first.looks[-1].values["unseen"]
    assert [figures[name] for name in ("sampled", "compared", "dropped", "waiting")] == [10, 8, 2, 0]
    assert "Both scored 8 of 10 sampled rows (2 dropped)" in first.looks[-1].sentence
    answered(shadowing, [0.25] * 4)
    assert tick(shadowing, 0.1).looks[-1].values["unseen"]["compared"] == 8, "half as many more are no news"
    answered(shadowing, [0.25] * 4)
    assert tick(shadowing, 0.1).looks[-1].values["unseen"]["compared"] == 16


def test_decisions_that_flip_are_a_veto_where_a_limit_is_declared(desk: Desk) -> None:
    flipping = begun(desk, sw.Shadow(deadline="6d", most_flips=0.05))
    answered(flipping, [0.9] * 40)
    found = tick(flipping)
    assert (found.state, "would decide 40 of 40 rows otherwise" in found.reason) == ("stopped", True)


def test_scores_that_moved_too_far_are_a_veto(desk: Desk) -> None:
    moving = begun(desk, sw.Shadow(deadline="6d", most_moved=0.1))
    answered(moving, [0.9] * 40)
    found = tick(moving)
    assert (found.state, "further than 0.1 from the champion's" in found.reason) == ("stopped", True)


@pytest.mark.parametrize("given", [{"sample": 0}, {"sample": 1.5}, {"most_flips": 1}, {"most_slower": -1}, {"most_moved": True}])  # fmt: skip
def test_what_is_no_limit_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeclaration, match="of a shadow"):
        sw.Shadow(**given)


def test_a_share_of_the_rows_is_in_the_revision(desk: Desk) -> None:
    begun(desk, replace(sw.Shadow(deadline="6d"), sample=0.25))
    carried = revision_of(desk.workspace, NAME).challenger
    assert carried is not None
    assert carried.sample == 0.25
