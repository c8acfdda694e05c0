"""Who calls an endpoint, and that no contract breaks one of them unsaid."""

import dataclasses
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from small_desk import BETTER, FIRST, NAME, Desk

from server_desk import asker
from slipway.cli.endpoints import _callers_text
from slipway.errors import Conflict
from slipway.flows.callers import SEEN_WITHIN, broken
from slipway.flows.deploy import deploy, rollback
from slipway.flows.endpoints import revision_of
from slipway.operations.declare import call, convert
from slipway.operations.endpoints import Deploy, Rollback
from slipway.operations.table import operation
from slipway.records.endpoints import Contract
from slipway.records.schema import Field
from slipway.serving.callers import CallerCounts, read_seen

FIELDS = (Field("id", "string", nullable=False), Field("count", "int"), Field("far", "float"))
PLAIN = Contract(fields=FIELDS, key=("id",))


def fields(*changed: Field, without: str = "") -> tuple[Field, ...]:
    by_name = {field.name: field for field in (*FIELDS, *changed) if field.name != without}
    return tuple(by_name.values())


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({}, []),
        ({"fields": tuple(reversed(FIELDS))}, []),
        ({"fields": fields(Field("count", "float"))}, []),
        ({"fields": fields(Field("id", "object", nullable=False))}, []),
        ({"fields": fields(Field("id", "string"))}, []),
        ({"fields": fields(without="far")}, []),
        ({"max_rows": 2000}, []),
        ({"fields": fields(Field("far", "int"))}, ["far is of int, and was of float"]),
        ({"fields": fields(Field("count", "int", nullable=False))}, ["count may be null no more"]),
        ({"fields": fields(Field("gate", "string"))}, ["gate is a new field, which every request must carry"]),
        ({"strict": True}, ["fields that the contract does not know are refused from now on"]),
        ({"max_rows": 10}, ["a request may carry 10 rows only, and could carry 1,000"]),
        ({"key": ("id", "far")}, ["labels are matched by id, far, and were by id"]),
        ({"key": ()}, ["labels are matched by nothing, and were by id"]),
    ],
)
def test_what_a_contract_takes_from_its_callers(changes: dict[str, Any], sentences: list[str]) -> None:
    found = broken(PLAIN, msgspec.structs.replace(PLAIN, **changes))
    assert [one.sentence for one in found] == sentences


def test_a_strict_contract_breaks_who_still_sends_a_field_that_went() -> None:
    strict = msgspec.structs.replace(PLAIN, strict=True)
    found = broken(strict, msgspec.structs.replace(strict, fields=fields(without="far")))
    assert [one.sentence for one in found] == ["far is no field any more, and is refused"]


@pytest.fixture
def files(desk: Desk) -> Desk:
    """An endpoint that is files only, in a store that knows Ada, the shop and a till that nobody owns any more."""
    desk = desk.without_processes()
    desk.approve(FIRST, BETTER)
    desk.deploy(FIRST)
    do = doing(desk)
    do("people.add", name="ada", roles=["admin"])
    for service in ("shop", "till"):
        do("people.add", name=service, is_service=True, roles=["software engineer"], project=desk.workspace.project)
    do("tokens.add", name="shop")
    return desk


def doing(desk: Desk) -> Callable[..., Any]:
    def do(name: str, /, **given: Any) -> Any:
        wanted = operation(name)
        return call(desk.workspace, wanted, convert(wanted, given))

    return do


def seen(desk: Desk, caller: str, route: str, at: datetime) -> None:
    """As a worker notes who called."""
    counts = CallerCounts(desk.folder, 0, home=desk.folder, now=lambda: at)
    counts.add(caller, route)
    counts.write()


def test_callers_are_listed_with_who_answers_for_them(files: Desk) -> None:
    now = files.clock.now()
    seen(files, "shop", "predict", now)
    seen(files, "till", "labels", now - timedelta(days=2))
    found = {one.name: one for one in doing(files)("endpoints.callers", name=NAME).callers}
    assert list(found) == ["shop", "till"]
    assert (found["shop"].is_service, found["shop"].may, found["shop"].owners) == (
        True,
        True,
        (files.workspace.actor.name,),
    )
    assert (found["shop"].predict, found["shop"].push) == (now, None)
    assert (found["till"].may, found["till"].push) == (False, now - timedelta(days=2))
    ada = doing(files)("tokens.add", name="ada").text
    path, shown = f"/projects/{files.workspace.project}/endpoints/{NAME}", {"authorization": f"Bearer {ada}"}
    page = asker(files.workspace)("GET", path, headers=shown).text
    assert "<h2>Callers</h2>" in page
    assert 'till <span class="quiet">has no good token' in page
    told = _callers_text(doing(files)("endpoints.callers", name=NAME))
    assert re.search(rf"shop +{files.workspace.actor.name} +2013", told), told


def test_a_contract_that_breaks_a_caller_is_refused_by_name(files: Desk) -> None:
    seen(files, "shop", "predict", files.clock.now())
    before = revision_of(files.workspace, NAME).number
    files.declare(key=("flight_id", "gate"), gate=None)
    with pytest.raises(Conflict) as refused:
        files.deploy(BETTER)
    assert "gate is a new field" in refused.value.what
    assert "labels are matched" not in refused.value.what, "the shop sent none"
    assert f"shop (for whom {files.workspace.actor.name} answers)" in refused.value.why
    assert "--break WHY" in refused.value.fix
    assert revision_of(files.workspace, NAME).number == before
    told: list[str] = []
    asked = Deploy(model=NAME, version=str(BETTER), dry_run=True)
    deploy(dataclasses.replace(files.workspace, say=told.append), asked)
    assert any("would break callers" in line for line in told)
    deployed = files.deploy(BETTER, breaking="the shop sends gates from Monday on")
    assert deployed.revision is not None
    written = [event.body for event in files.events() if event.verb == "endpoints.break"]
    assert [(one["callers"], one["reason"]) for one in written] == [(["shop"], "the shop sends gates from Monday on")]


@pytest.mark.parametrize("caller", ["nobody", "long ago", "labels only"])
def test_nobody_is_in_the_way_who_was_not_broken(files: Desk, caller: str) -> None:
    now = files.clock.now()
    if caller == "long ago":
        seen(files, "shop", "predict", now - SEEN_WITHIN - timedelta(minutes=2))
    if caller == "labels only":
        seen(files, "shop", "labels", now)
    files.declare(key=("flight_id", "gate"), gate=None)
    if caller == "labels only":
        with pytest.raises(Conflict, match="labels are matched by flight_id, gate"):
            files.deploy(BETTER)
    else:
        assert files.deploy(BETTER).revision is not None
    assert not [event for event in files.events() if event.verb == "endpoints.break"]


def test_the_way_back_stays_open_and_says_whom_it_breaks(files: Desk, said: list[str]) -> None:
    files.declare(key=("flight_id", "gate"), gate=None)
    files.deploy(BETTER)
    files.declare(key=("flight_id",), gate=None)
    files.deploy(FIRST)
    seen(files, "shop", "predict", files.clock.now())
    rollback(dataclasses.replace(files.workspace, say=said.append), Rollback(name=NAME))
    assert any("gate is a new field" in line for line in said)
    assert len([event for event in files.events() if event.verb == "endpoints.break"]) == 1


def test_when_a_caller_was_seen_outlives_the_process_and_is_told_of_all_workers(files: Desk) -> None:
    now = files.clock.now()
    seen(files, "shop", "predict", now)
    other = CallerCounts(files.folder, 1, home=files.folder, now=lambda: now + timedelta(hours=1))
    other.add("shop", "predict")
    other.add("till", "events")
    other.write()
    for left in files.folder.glob("*.callers"):  # as a supervisor does that starts
        left.unlink()
    assert read_seen(files.folder) == {
        "shop": {"predict": now + timedelta(hours=1)},
        "till": {"events": now + timedelta(hours=1)},
    }
