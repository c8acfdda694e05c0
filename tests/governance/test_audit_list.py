"""The audit log is searched by person, act, thing and time, in both directions, page by page."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from server_desk import asker
from slipway.errors import InvalidInput
from slipway.governance import audit
from slipway.ledger import events, projects
from slipway.operations.governance import ListEvents
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor

PAGE = "/projects/flights/audit"


@pytest.fixture
def told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """30 events of flights by ada and dan in turn, one of ships between any two, a day apart; small pages."""
    monkeypatch.setattr(audit, "_PAGE", 7)
    projects.register(workspace)
    at = workspace.clock.now()
    with workspace.ledger.write() as tx:
        for number in range(30):
            who = Actor("ada" if number % 2 else "dan", roles=("admin",))
            clock = type(workspace.clock)(at + timedelta(days=number))
            one = replace(workspace, actor=who, clock=clock)
            verb = "models.register" if number % 3 else "endpoints.deploy"
            events.record(tx, one, verb, f"thing:flights/{number}")
            events.record(tx, replace(one, project="ships"), verb, f"thing:ships/{number}")
    return workspace


def found(workspace: Workspace, **asked: Any) -> list[str]:
    return [one.subject for one in audit.list_events(workspace, ListEvents(**asked)).events if "thing" in one.subject]


def test_it_is_read_in_both_directions(told: Workspace) -> None:
    everything = [f"thing:flights/{number}" for number in range(30)]
    assert found(told) == everything
    assert found(told, newest=True) == everything[::-1]


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("limit", [1, 4, 7, 30])
def test_pages_follow_each_other_without_a_gap(told: Workspace, newest: bool, limit: int) -> None:
    seen: list[int] = []
    bound: dict[str, int] = {}
    while True:
        page = audit.list_events(told, ListEvents(newest=newest, limit=limit, **bound))
        seen += [one.seq for one in page.events]
        if not page.next:
            break
        bound = {"before" if newest else "after": page.next}
    assert len(seen) == len(set(seen)) == len(audit.list_events(told, ListEvents(limit=1000)).events)
    assert seen == sorted(seen, reverse=newest)


def test_each_filter_leaves_what_it_says(told: Workspace) -> None:
    assert len(found(told, person="ada")) == 15
    assert len(found(told, act="endpoints")) == len(found(told, act="endpoints.deploy")) == 10
    assert found(told, act="endpoint") == []
    assert found(told, thing="flights/2", person="dan", limit=1000) == [
        f"thing:flights/{n}" for n in (2, 20, 22, 24, 26, 28)
    ]
    day = told.clock.now() + timedelta(days=3)
    assert found(told, since=day, until=day + timedelta(days=2)) == ["thing:flights/3", "thing:flights/4"]


def test_few_are_looked_at_at_once_and_the_rest_later(told: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_LOOKED_AT", 14)
    seen, before, asked = [], 0, 0
    while True:
        page = audit.list_events(told, ListEvents(newest=True, thing="flights/0", before=before))
        seen += [one.subject for one in page.events]
        asked += 1
        if not page.next:
            break
        before = page.next
    assert seen == ["thing:flights/0"]
    assert asked > 2


def test_a_time_without_a_zone_is_refused(told: Workspace) -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        found(told, since=told.clock.now().replace(tzinfo=None))


def test_the_page_filters_by_its_address_and_offers_the_same_as_a_file(told: Workspace) -> None:
    ask = asker(told)
    text = ask("GET", f"{PAGE}?person=ada&act=models").text
    assert "<td>ada</td>" in text
    assert "<td>dan</td>" not in text
    assert 'value="ada"' in text
    link = text.partition('download="audit-flights.json"')[0].rpartition('href="')[2].partition('"')[0]
    listed = ask("GET", link.replace("&amp;", "&")).json()["events"]
    assert {one["actor"]["name"] for one in listed} == {"ada"}
    day = f"{told.clock.now() + timedelta(days=3):%Y-%m-%d}"
    text = ask("GET", f"{PAGE}?since={day}&until={day}").text
    assert "flights/3" in text
    assert "flights/4" not in text
    assert "is no day" in ask("GET", f"{PAGE}?since=yesterday").text
    assert "Nothing of this happened." in ask("GET", f"{PAGE}?person=nix").text
    assert ask("GET", f"{PAGE}?before=many").status_code in (200, 422)
    assert "Earlier events" not in text
