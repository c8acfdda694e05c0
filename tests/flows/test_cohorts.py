"""An endpoint's quality by day: by the log, only what was added read again, and shown on the command line."""

from datetime import timedelta
from pathlib import Path

import pytest
from small_desk import BETTER, FIRST, NAME, Desk
from test_watch import answer

from slipway.cli.monitor_quality import _text
from slipway.errors import InvalidInput
from slipway.flows.cohorts import CohortReader, quality
from slipway.operations.quality import AskQuality
from slipway.records.predictions import LabelRow
from slipway.tables.log_rolling import roll
from slipway.tables.segments import SegmentWriter


@pytest.fixture
def serving(desk: Desk) -> Desk:
    """The first version deployed, without a process."""
    still = desk.without_processes()
    still.approve(FIRST, BETTER)
    still.deploy(FIRST)
    return still


def tell(log: Path, rows: list[LabelRow]) -> None:
    writer = SegmentWriter(log, "labels")
    writer.append(rows)
    writer.close()


def test_what_was_added_is_absorbed_and_equals_a_new_reading(serving: Desk) -> None:
    now = serving.clock.now()
    now_us = int(now.timestamp() * 1e6)
    log = serving.workspace.root / "endpoints" / NAME / "log"
    empty = quality(serving.workspace, AskQuality(name=NAME))
    assert (empty.labels, empty.tables[0].cohorts) == (0, ())
    assert "answered nothing in these days" in _text(empty)
    keys = answer(serving, 120, days=3)
    log = next(serving.workspace.root.rglob("log/*.seg")).parent
    reader = CohortReader(log, "classification", now - timedelta(days=30))
    reader.refresh()
    first = quality(serving.workspace, AskQuality(name=NAME))
    assert [row.state for row in first.tables[0].cohorts] == ["waiting"] * 3
    labels = [LabelRow("", key, float(i % 2), now_us, now_us) for i, key in enumerate(keys[:90])]
    tell(
        log,
        [*labels, labels[0], LabelRow("", keys[1], 0.0, now_us, now_us), LabelRow("", "nobody", 1.0, now_us, now_us)],
    )
    reader.refresh()
    roll(log)
    tell(log, [LabelRow("", keys[90], 0.5, now_us, now_us)])
    reader.refresh()
    once = CohortReader(log, "classification", now - timedelta(days=30))
    once.refresh()
    assert reader.cohorts.states().equals(once.cohorts.states())
    assert reader.cohorts.told() == once.cohorts.told()
    found = quality(serving.workspace, AskQuality(name=NAME, days=30))
    assert (found.labels, found.duplicates, found.contradictions, found.unknown) == (94, 1, 1, 1)
    assert "1 contradict another one of the same revision, 1 name nothing that was answered" in found.sentence
    assert sum(row.labels for row in found.tables[0].cohorts) == 90
    assert sum(row.misfits for row in found.tables[0].cohorts) == 1
    told = _text(found)
    assert "1 labels do not fit the task" in told
    assert "labels due after" in told
    with pytest.raises(InvalidInput, match="0 days"):
        quality(serving.workspace, AskQuality(name=NAME, days=0))
