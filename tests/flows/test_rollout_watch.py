"""After a promotion: the way back stays warm, late labels are judged; and crashes that stop a roll-out at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from small_desk import BETTER, FIRST, NAME, Desk
from test_rollouts import PHASES, at, carried, move

import slipway as sw
from slipway.flows import rollout_watch, rollouts
from slipway.ledger import entries
from slipway.loop import evidence
from slipway.loop.after import watch_over
from slipway.loop.alarms import close_former, crashed
from slipway.ports.launcher import STATUS_FILE
from slipway.records.endpoints import Contract, EndpointStatus
from slipway.records.monitors import Incident
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.records.schema import Field, Signature
from slipway.tables.log_reader import LogReader
from slipway.tables.segments import SegmentWriter

LAYOUT = Contract(fields=(Field("k", "string"),), key=("k",)), Signature((Field("x", "float"),), ())


@pytest.fixture
def promoted(desk: Desk) -> Desk:
    still = desk.without_processes()
    delayed = [sw.Quality("log_loss", label_delay="3d")]
    still.declare(rollout=PHASES, gate=sw.Gate(sw.metric("auc") >= 0.3), monitors=delayed)
    still.deploy(FIRST)
    still.deploy(BETTER)
    for _ in range(3):
        move(still, "not worse")
    return still


def us(instant: datetime) -> int:
    return int(instant.timestamp() * 1e6)


def write_canary(desk: Desk, wrong: float) -> None:
    """Rows that both arms answered in the canary, all of them labelled 1; the challenger's score is lower by so much."""
    rollout = at(desk)
    begun, number = us(rollout.created_at), min(evidence.canary_fractions(desk.workspace, rollout))
    rows, labels = [], []
    for i in range(400):
        arm = "challenger" if i % 2 else "champion"
        served = rollout.challenger if i % 2 else rollout.champion
        plain: dict[str, Any] = {"id": f"p{i}", "at_us": begun + i, "answered_us": begun + i, "version": served.number}
        score = 0.9 - (wrong if i % 2 else 0.0)
        rows.append(
            PredictionRow(
                **plain,
                bundle=served.bundle[:16],
                key=f"k{i}",
                request=[f"k{i}"],
                features=[1.0],
                score=score,
                decision=score >= 0.5,
                revision=number,
                arm=arm,
                propensity=0.5,
            )
        )
        labels.append(LabelRow("", f"k{i}", 1.0, begun + i, begun + i))
    for kind, some in (("predictions", rows), ("labels", labels)):
        writer = SegmentWriter(desk.folder / "log", kind)
        writer.append(some)
        writer.close()


def pass_over(desk: Desk, *, after: timedelta) -> list[str]:
    desk.clock.advance_to(desk.clock.now() + after)
    reader = LogReader(desk.folder / "log")
    reader.refresh(lambda number, bundle: LAYOUT, at(desk).created_at - timedelta(days=1))
    done = watch_over(desk.workspace, NAME, reader, evidence.Replays(), desk.clock.now())
    return [one.name for one in done]


def test_the_former_champion_stays_loaded_until_labels_have_had_their_time(promoted: Desk) -> None:
    assert at(promoted).watched_until == promoted.clock.now() + timedelta(days=3)
    assert carried(promoted) == (BETTER, FIRST, 0.0)
    assert rollouts.under_way(promoted.workspace, NAME) is None, "the next one may begin"
    assert pass_over(promoted, after=timedelta(days=1)) == []
    assert at(promoted).looks[-1].verdict == "undecided"
    assert "None of the rows that it answered in its canary has a label yet" in at(promoted).looks[-1].sentence
    assert carried(promoted) == (BETTER, FIRST, 0.0)
    assert pass_over(promoted, after=timedelta(days=3)) == []
    assert carried(promoted) == (BETTER, 0, 0)
    assert at(promoted).state == "promoted"
    assert rollout_watch.watched(promoted.workspace, NAME) is None
    assert pass_over(promoted, after=timedelta(days=1)) == []


def test_late_labels_bring_the_former_champion_back(promoted: Desk) -> None:
    write_canary(promoted, wrong=0.7)
    assert pass_over(promoted, after=timedelta(days=1)) == ["stop"]
    found = at(promoted)
    assert (found.state, carried(promoted)) == ("reverted", (FIRST, 0, 0))
    assert "Its 200 labelled rows of the canary lose " in found.reason
    assert promoted.champion() == FIRST
    with promoted.workspace.ledger.read() as tx:
        (incident,) = entries.find(tx, Incident, parent=found.parent_id, state="open", limit=10)
    assert (incident.name, incident.owner) == ("roll-out", "data scientist")
    assert "was taken back after its promotion; small-delays 1 serves again" in incident.sentence
    newer = msgspec.structs.replace(found, created_at=promoted.clock.now() + timedelta(hours=1))
    close_former(promoted.workspace, newer)
    with promoted.workspace.ledger.read() as tx:
        assert entries.find(tx, Incident, parent=found.parent_id, state="open", limit=10) == []


def test_labels_that_are_as_good_change_nothing(promoted: Desk) -> None:
    write_canary(promoted, wrong=0.0)
    assert pass_over(promoted, after=timedelta(days=1)) == []
    assert carried(promoted) == (BETTER, FIRST, 0.0)


def test_a_deployment_ends_the_watch(promoted: Desk) -> None:
    promoted.deploy(FIRST)
    assert rollout_watch.watched(promoted.workspace, NAME) is None
    assert at(promoted).state == "shadow"


@pytest.mark.parametrize(
    ("crashes", "stops"),
    [
        ([(2, 0), (2, 1), (2, 2)], True),
        ([(2, 0), (2, 1)], False),
        ([(2, 0), (2, 20), (2, 40)], False),
        ([(1, 0), (1, 1), (1, 2), (2, 3), (2, 4), (2, 5)], False),
        ([(1, 0), (2, 3), (2, 4), (2, 5)], True),
    ],
)
def test_workers_that_crash_again_and_again_stop_it(desk: Desk, crashes: list[tuple[int, int]], stops: bool) -> None:
    still = desk.without_processes()
    still.declare(rollout=PHASES, gate=sw.Gate(sw.metric("auc") >= 0.3))
    still.deploy(FIRST)
    still.deploy(BETTER)
    assert crashed(still.workspace, at(still)) == ""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    seen = tuple((number, began + timedelta(minutes=minute)) for number, minute in crashes)
    status = EndpointStatus(endpoint=NAME, pid=1, url="", revision=2, state="ready", crashes=seen, at=began)
    (still.folder / STATUS_FILE).write_bytes(msgspec.json.encode(status))
    said = crashed(still.workspace, at(still))
    assert bool(said) == stops
    if stops:
        assert "3 workers ended without being told to since it is in them" in said
