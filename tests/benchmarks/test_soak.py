"""The soak in three minutes, its start and its search included: kill whom it kills, nothing acknowledged is lost."""

import pytest
from benchmarks.soak import memory_of, soak


@pytest.mark.full
def test_nothing_acknowledged_is_lost_whoever_is_killed_and_the_server_keeps_its_size() -> None:
    one, rows = soak(minutes=1.5)
    assert one.broken == []
    assert {kind: ids[:5] for kind, ids in one.lost.items() if ids} == {}
    assert set(one.lost) == {
        *("prediction", "label", "pipeline", "run logged in the store", "run logged by the outbox"),
    }
    assert one.killer.has_met_all
    assert one.told.by_kind.keys() >= {"page", "look of monitors"}
    assert one.sealed > 0
    warm, last, _ = memory_of(one.server)
    assert last.shares < warm.shares + 400e6
    assert last.files < warm.files + 200
    assert last.threads < warm.threads + 100
    assert last.zombies < 5  # whoever ended a moment ago is collected when the next process starts
    assert all(row["slipway"] == 0 for row in rows if row["what"].startswith(("lost", "other errors")))
