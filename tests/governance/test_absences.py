"""Absences: deputies receive what is waited for, chains end with somebody, circles are refused."""

from datetime import datetime, timedelta

import pytest

from answering import People, people_in
from slipway.backends.clocks import SimulatedClock
from slipway.errors import Conflict, Denied, InvalidInput, NotFound
from slipway.governance.absences import stand_in
from slipway.governance.notices import tell
from slipway.ports.workspace import Workspace

DAY = timedelta(days=1)


@pytest.fixture
def people(workspace: Workspace) -> People:
    return people_in(workspace)


def day(people: People, number: int) -> str:
    return (people.workspace.clock.now() + number * DAY).isoformat()


def test_what_cannot_be_is_a_sentence(people: People) -> None:
    until = day(people, 2)
    for fields, error, words in (
        ({"until": until, "deputy": "grcae"}, NotFound, "grace"),
        ({"until": until, "deputy": "dan"}, InvalidInput, "away themselves"),
        ({"until": day(people, -1)}, InvalidInput, "cannot end"),
        ({"since": until, "until": until}, InvalidInput, "cannot end"),
        ({"until": "2030-01-01T00:00:00"}, InvalidInput, "no time zone"),
        ({"name": "grace", "until": until}, Denied, "Ask grace"),
    ):
        with pytest.raises(error, match=words):
            people.do("dan", "absences.add", **fields)
    assert people.do("eve", "absences.list").absences == ()
    with pytest.raises(NotFound, match="not away"):
        people.do("dan", "absences.end")


def test_a_disabled_person_and_a_service_stand_in_for_nobody(people: People) -> None:
    people.do("ada", "people.change", name="eve", disabled=True)
    people.do("ada", "people.add", name="ci", is_service=True)
    for deputy, why in (("eve", "is disabled"), ("ci", "is a service")):
        with pytest.raises(InvalidInput, match=why):
            people.do("dan", "absences.add", until=day(people, 1), deputy=deputy)


def test_twice_away_at_once_is_refused_and_one_after_the_other_is_not(people: People) -> None:
    people.do("dan", "absences.add", until=day(people, 2), deputy="mia")
    with pytest.raises(Conflict, match="already"):
        people.do("dan", "absences.add", since=day(people, 1), until=day(people, 3))
    people.do("dan", "absences.add", since=day(people, 2), until=day(people, 3))
    assert len(people.do("dan", "absences.end").absences) == 2
    assert people.do("dan", "absences.list").absences == ()


def test_a_circle_is_refused_at_whichever_instant_it_would_close(people: People) -> None:
    people.do("dan", "absences.add", since=day(people, 1), until=day(people, 5), deputy="mia")
    people.do("mia", "absences.add", since=day(people, 3), until=day(people, 8), deputy="grace")
    with pytest.raises(InvalidInput, match="grace -> dan -> mia -> grace"):
        people.do("grace", "absences.add", since=day(people, 0), until=day(people, 9), deputy="dan")
    people.do("grace", "absences.add", since=day(people, 0), until=day(people, 3), deputy="dan")
    people.do("grace", "absences.add", since=day(people, 5), until=day(people, 9), deputy="dan")


def test_a_chain_ends_with_who_is_there() -> None:
    away = {"a": "b", "b": "c", "d": "", "e": "d", "x": "y", "y": "x"}
    assert {name: stand_in(away, name) for name in (*away, "z")} == {
        "a": "c", "b": "c", "d": "", "e": "", "x": "", "y": "", "z": "z",
    }  # fmt: skip


def test_the_deputy_receives_what_is_waited_for_and_no_news(people: People, clock: SimulatedClock) -> None:
    with people.writing() as tx:
        for what in ("approve", "asked", "incident", "mention", "told"):
            tell(tx, people.workspace, ["grace"], what, about=f"bundle:{what}", sentence=f"{what} it")
    assert people.inbox("gov").notices == people.inbox("gov").approvals == ()
    people.do("grace", "absences.add", until=day(people, 1), deputy="gov")
    found = people.inbox("gov")
    assert found.stands_for == ("grace",)
    assert [one.what for one in found.approvals] == ["approve"]
    assert {one.what for one in found.notices} == {"asked", "incident"}
    assert len(people.inbox("grace").notices) == 4
    clock.advance_to(clock.now() + 2 * DAY)
    assert people.inbox("gov").notices == people.inbox("gov").approvals == ()


def test_somebody_elses_absence_needs_an_admin(people: People) -> None:
    kept = people.do("ada", "absences.add", name="dan", until=day(people, 1)).absence
    assert (kept.name, kept.actor.name, kept.deputy) == ("dan", "ada", "")
    assert isinstance(kept.since, datetime)
    people.do("dan", "absences.end")
