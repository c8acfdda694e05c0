import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from serving_desk import NOW, Desk
from two_models import flights, in_rollout, is_theirs

from slipway.records.predictions import PredictionRow, ShadowRow
from slipway.serving import counters as count
from slipway.serving.active import Active
from slipway.serving.counters import Counters
from slipway.serving.shadow import Shadow

ROWS = flights()


def broken(*arguments: Any) -> Any:
    raise RuntimeError("secret inside")


def counted(counters: Counters) -> tuple[int, int, int, int]:
    """Sampled, compared, dropped and failed, as /metrics tells them."""
    found = {}
    for line in counters.text("delays").splitlines():
        name, _, figure = line.partition('{endpoint="delays"} ')
        found[name] = figure
    sampled, compared, dropped, failed = (
        int(found[f"slipway_shadow_{what}_total"]) for what in ("sampled", "compared", "dropped", "failed")
    )
    return sampled, compared, dropped, failed


def test_without_a_challenger_nothing_is_compared(desk: Desk) -> None:
    desk.predict(*ROWS)
    desk.close()
    assert (desk.shadows, counted(desk.counters)) == ([], (0, 0, 0, 0))


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_whoever_did_not_answer_a_row_scores_it_unseen(desk: Desk, fraction: float) -> None:
    in_rollout(desk, fraction)
    said = desk.predict(*ROWS).json()["predictions"]
    desk.close()
    theirs = [is_theirs(row, fraction) for row in ROWS]
    assert [p["score"] for p in said] == [1.0 if of else 0.5 for of in theirs]
    at_us = int(NOW.timestamp()) * 1_000_000
    seen = {row.prediction: row for row in desk.shadows}
    for prediction, of in zip(said, theirs, strict=True):
        shadow = seen.pop(prediction["id"])
        expected = ("champion", "1" * 16, 0.5) if of else ("challenger", "2" * 16, 1.0)
        assert (shadow.arm, shadow.bundle, shadow.score) == expected
        assert (shadow.at_us, shadow.revision) == (at_us, 1)
    assert not seen
    assert counted(desk.counters) == (5, 5, 0, 0)


def test_a_model_with_its_own_features_has_them_computed_for_the_decision_time(desk: Desk) -> None:
    def resolve(rows: list[list[Any]], at: datetime) -> list[list[Any]]:
        return [[1000.0 * at.month + row[1]] for row in rows]

    in_rollout(desk, 0.0, resolve=resolve)
    desk.serve(simulation=True)
    for month in (4, 5):
        desk.predict(ROWS[0], at=f"2013-0{month}-01T06:00:00Z")
    desk.close()
    assert [row.score for row in desk.shadows] == [9.0, 11.0]


def test_the_champions_own_features_are_used_where_the_challenger_has_others(desk: Desk) -> None:
    in_rollout(desk, 1.0, resolve=lambda rows, at: [[1.0] for _ in rows])
    desk.predict(ROWS[0])
    desk.close()
    assert [(row.arm, row.score) for row in desk.shadows] == [("champion", 0.5)]


def test_a_row_on_which_the_other_model_fails_has_no_score_and_the_others_have_theirs(desk: Desk) -> None:
    def picky(rows: Any) -> list[float]:
        if any(row[0] == 13 for row in rows):
            raise RuntimeError("unlucky")
        return [row[0] / 500 for row in rows]

    in_rollout(desk, 0.0, predict=picky)
    assert desk.predict(*ROWS).status_code == 200
    assert desk.predict({**ROWS[0], "distance": 13}, ROWS[1]).status_code == 200
    desk.close()
    assert [row.score for row in desk.shadows] == [1.0] * 5 + [None, 1.0]
    assert counted(desk.counters) == (7, 7, 0, 1)


def test_a_challenger_that_fails_on_everything_touches_no_answer(desk: Desk) -> None:
    in_rollout(desk, 0.0, predict=broken, resolve=broken)
    for _ in range(3):
        assert [p["score"] for p in desk.predict(*ROWS).json()["predictions"]] == [0.5] * 5
    desk.close()
    assert {row.score for row in desk.shadows} == {None}
    assert counted(desk.counters) == (15, 15, 0, 15)
    assert desk.failed == []  # it answered nobody, so it failed nobody


class Held:
    """A log of shadows that can be held up, and can fail."""

    def __init__(self) -> None:
        self.rows: list[ShadowRow] = []
        self.free = threading.Event()
        self.busy = threading.Event()
        self.problem: Exception | None = None

    def append(self, rows: list[ShadowRow]) -> None:
        self.busy.set()
        assert self.free.wait(10)
        if self.problem:
            raise self.problem
        self.rows += rows


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    yield made
    made.free.set()


def with_challenger(**changes: Any) -> Active:
    desk = Desk()
    in_rollout(desk, 0.0, **changes)
    desk.close()
    assert desk.active is not None
    return desk.active


def answered(*ids: str) -> list[PredictionRow]:
    return [PredictionRow(id, 0, 0, 1, "b", "", ["UA1", 5.0, None], [5.0, 12], 0.5) for id in ids]


def test_a_full_queue_drops_and_the_counts_stay_exact(held: Held) -> None:
    counters, active = Counters(), with_challenger()
    shadow = Shadow(held.append, counters, capacity_rows=3)
    assert shadow.put(active, answered("a"))
    assert held.busy.wait(10)
    assert shadow.put(active, answered("b", "c"))
    assert not shadow.put(active, answered("d", "e"))
    assert counted(counters) == (5, 0, 2, 0)
    held.free.set()
    shadow.close()
    assert [row.prediction for row in held.rows] == ["a", "b", "c"]
    assert counted(counters) == (5, 3, 2, 0)
    assert not shadow.put(active, answered("f"))
    assert counted(counters) == (6, 3, 3, 0)


def test_shadows_that_cannot_be_written_are_dropped_ones(held: Held, caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    held.problem = OSError("no space left")
    held.free.set()
    shadow = Shadow(held.append, counters)
    shadow.put(with_challenger(), answered("a", "b"))
    shadow.close()
    assert counted(counters) == (2, 0, 2, 0)
    assert "log of shadows" in caplog.text


def test_rows_are_scored_by_the_models_that_were_active_then(held: Held) -> None:
    shadow = Shadow(held.append, Counters())
    shadow.put(with_challenger(), answered("a"))
    shadow.put(with_challenger(predict=lambda rows: [0.25] * len(rows)), answered("b"))
    held.free.set()
    shadow.close()
    assert [(row.prediction, row.score) for row in held.rows] == [("a", 0.01), ("b", 0.25)]


def test_a_successor_counts_as_lost_what_a_killed_worker_had_not_done(tmp_path: Any) -> None:
    killed = Counters(tmp_path / "counters", 1)
    killed.add(count.ROWS, 10)
    killed.add(count.LOG_WRITTEN, 7)
    killed.add(count.LOG_DROPPED, 1)
    killed.add(count.SHADOW_SAMPLED, 5)
    killed.add(count.FAILURES, 2)
    other = Counters(tmp_path / "counters", 0)
    other.add(count.ROWS, 3)
    successor = Counters(tmp_path / "counters", 1)
    successor.take_over()
    successor.take_over()
    assert successor.total(count.LOG_FAILED) == 2  # the other worker's three are its own affair
    assert counted(successor) == (5, 0, 5, 0)
    assert (successor.total(count.FAILURES), successor.total(count.FAILURES_LOST)) == (2, 2)
