"""Erasing where endpoints look up: what was pushed is gone as well, wherever the online store is; what others pushed stays."""

import dataclasses
from datetime import UTC, datetime

import pytest
from small_desk import FIRST, NAME, Desk

import redis_here
from slipway.features.materialise import read_mark
from slipway.features.online import build_receiver, stored_definitions
from slipway.flows.erase import erase
from slipway.ids import new_id
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.erasures import Erase, ErasureReport
from slipway.records.consistency import ConsistencyReport, FeatureConsistency
from slipway.serving.online_place import read_place
from slipway.serving.pushes import event_rows
from slipway.tables.segments import SegmentWriter

PUSHED = datetime(2013, 4, 20, tzinfo=UTC)
HOUR_US = 3_600_000_000


def flight(id: str, hour: int, origin: str = "JFK") -> dict[str, object]:
    at = PUSHED.replace(hour=hour).isoformat()
    return {"flight_id": id, "origin": origin, "known_at": at, "delay": 95.5}


def push(desk: Desk, *rows: dict[str, object], name: str = "flights") -> None:
    """What a worker does with pushed rows: into the online store, and into the log."""
    bundle = registry.bundle_of(desk.workspace, desk.version(FIRST))
    assert bundle.features is not None
    store = desk.workspace.open_online(desk.folder, read_place(desk.folder))
    build_receiver(bundle.features, store)(name, rows)
    store.close()
    log = SegmentWriter(desk.folder / "log", "events")
    log.append(event_rows("source", name, list(rows)))
    log.close()


def seen(desk: Desk) -> tuple[int, int]:
    """How many events an airport has on the day of the pushes, and how many of all the time before."""
    bundle = registry.bundle_of(desk.workspace, desk.version(FIRST))
    assert bundle.features is not None
    ((stream,), _) = stored_definitions(bundle.features)
    store = desk.workspace.open_online(desk.folder, read_place(desk.folder))
    at = int(PUSHED.timestamp()) * 1_000_000
    ((day,),) = store.window_states(stream.name, ["JFK"], at + 24 * HOUR_US, [24 * HOUR_US])
    ((before,),) = store.window_states(stream.name, ["JFK"], at, [400 * 24 * HOUR_US])
    assert read_mark(store, stream.name).versions
    store.close()
    return day.rows, before.rows


def run_erase(desk: Desk, id: str) -> ErasureReport:
    report = erase(desk.workspace, Erase(table="flights", key=(id,), reason="request 17"))
    assert report.left == 0
    return report


def test_what_was_pushed_only_leaves_the_online_store_and_what_others_pushed_stays(desk: Desk) -> None:
    desk = desk.without_processes()
    desk.approve(FIRST)
    desk.deploy(FIRST)
    push(desk, flight("ADA", 9), flight("BOB", 10))
    assert seen(desk) == (2, before := seen(desk)[1])
    run_erase(desk, "ADA")
    assert seen(desk) == (1, before)


def test_rows_of_the_table_and_later_pushes_go_together(desk: Desk) -> None:
    desk = desk.without_processes()
    desk.approve(FIRST)
    desk.deploy(FIRST)
    push(desk, flight("F0", 9), flight("BOB", 10))
    (day, before) = seen(desk)
    run_erase(desk, "F0")
    assert seen(desk) == (day - 1, before - 1)


@pytest.mark.full
def test_a_shared_store_is_fed_anew_and_no_other(desk: Desk) -> None:
    with redis_here.cleaned(f"slipway:{NAME}"):
        shared = dataclasses.replace(desk.workspace, online=redis_here.URL)
        desk = Desk(dataclasses.replace(desk.project, workspace=shared), desk.clock).without_processes()
        desk.declare()
        desk.approve(FIRST)
        desk.deploy(FIRST)
        push(desk, flight("F0", 9), flight("BOB", 10))
        (day, before) = seen(desk)
        run_erase(desk, "F0")
        assert seen(desk) == (day - 1, before - 1)
        assert not (desk.folder / "online.db").exists()


def test_consistency_reports_do_not_name_the_person(desk: Desk) -> None:
    desk = desk.without_processes()
    desk.approve(FIRST)
    desk.deploy(FIRST)
    told = "95.5 was served, 1.0 is right, for {} at 2013-04-20T09:00:00+00:00"
    features = tuple(
        FeatureConsistency(feature=name, compared=9, mismatches=1, first=told.format(id))
        for name, id in (("hour", "F0"), ("wind", "F00"))
    )
    made = ConsistencyReport(
        id=new_id(),
        project=desk.workspace.project,
        name=NAME,
        created_at=PUSHED,
        parent_id=f"{desk.workspace.project}/{NAME}",
        model=f"{NAME} 1",
        bundle=desk.version(FIRST).bundle,
        features=features,
    )
    with desk.workspace.ledger.write() as tx:
        entries.put(tx, made, expect=0)
    assert f"consistency reports of {NAME}" in {place.place for place in run_erase(desk, "F0").places}
    with desk.workspace.ledger.read() as tx:
        kept = entries.get(tx, ConsistencyReport, made.id)
    assert [one.first for one in kept.features] == ["(erased)", told.format("F00")]
