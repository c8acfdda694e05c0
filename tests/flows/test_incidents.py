"""One incident for each cause: what goes inside, what silences it, when it closes, and when it goes on."""

from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest

import postgres_here
from answering import People
from incident_desk import (
    DAY,
    broken,
    finding,
    incidents,
    later,
    look,
    monitor,
    notifications,
    shows,
    tellings,
    verbs,
)
from slipway.backends.clocks import SimulatedClock
from slipway.flows.incidents import BY_HAND, close, close_unwatched, hold_id
from slipway.ledger import entries
from slipway.loop.escalations import escalate
from slipway.operations.declare import call, convert
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Cause, Incident
from slipway.records.notifications import Hold, NotifySettings

DRIFT, FRESH = monitor("drift"), monitor("freshness", "freshness of weather")
QUALITY, KPI, SKEW = monitor("quality", "quality of log_loss"), monitor("kpi", "cost of errors"), monitor("consistency")
LATENCY = monitor("health", "health")


@pytest.fixture(params=postgres_here.LEDGERS)
def ledger_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with postgres_here.ledger_of(request.param) as found:
        yield found


def worse(value: float = 0.6) -> Cause:
    return Cause(kind="quality", sentence="Log loss is worse.", value=value, low=value - 0.01, high=value + 0.01)


def test_forty_columns_and_two_monitors_are_one_incident_and_one_notification(workspace: Workspace) -> None:
    columns = [f"weather_{place}" for place in range(40)]
    first = broken(columns=columns[:25], since=workspace.clock.now() - timedelta(hours=5))
    also = broken(columns=columns[15:], since=workspace.clock.now() - timedelta(hours=7))
    found = look(workspace, (DRIFT, finding(workspace, DRIFT, first)), (FRESH, finding(workspace, FRESH, also)))
    (one,) = found
    assert (one.name, one.cause, one.about, one.owner) == (
        "drift", "broken feed", "feature view weather", "data engineer"
    )  # fmt: skip
    assert sorted(one.columns) == sorted(columns)
    assert (one.monitors, one.since) == (("drift", "freshness of weather"), also.since)
    assert [(told.name, told.level, told.state) for told in notifications(workspace)] == [("opened", "alert", "due")]
    shows(workspace, DRIFT, first)
    assert len(notifications(workspace)) == 1, "what goes on is told once"


def test_two_causes_of_one_finding_are_two_incidents(workspace: Workspace) -> None:
    two = (broken(), broken("windows over flights", ["delay_6h"]))
    assert [one.about for one in shows(workspace, DRIFT, *two)] == [cause.about for cause in two]
    (left,) = shows(workspace, DRIFT, two[1])
    assert left.about == "windows over flights"
    (gone,) = incidents(workspace, "closed")
    assert gone.why == "another cause: windows over flights: 1 inputs are missing."


def test_a_cause_that_a_finding_names_twice_is_one(workspace: Workspace) -> None:
    (one,) = shows(workspace, DRIFT, broken(columns=["a", "b"]), broken(columns=["b", "c"]))
    assert one.columns == ("a", "b", "c")


def test_it_closes_when_nobody_shows_it_any_more_and_says_why(workspace: Workspace) -> None:
    look(workspace, *((spec, finding(workspace, spec, broken())) for spec in (DRIFT, FRESH)))
    (one,) = shows(workspace, DRIFT)
    assert one.monitors == ("freshness of weather",)
    assert shows(workspace, FRESH, state="cannot tell") == [one], "who cannot tell closes nothing"
    assert shows(workspace, FRESH, state="note") == []
    assert incidents(workspace)[0].why == "note: freshness of weather is note."


def test_a_finding_without_causes_is_one_as_a_whole_with_its_figures(workspace: Workspace) -> None:
    figures = {"value": 0.6, "low": 0.55, "high": 0.65, "limit": 0.5}
    (one,) = shows(workspace, QUALITY, state="alert", values=figures)
    assert (one.cause, one.about, one.owner) == ("quality", "", "data scientist")
    assert (one.value, one.low, one.high, one.before) == (0.6, 0.55, 0.65, 0.5)


def test_what_a_broken_feed_explains_is_written_and_not_told_until_its_rows_have_passed(
    workspace: Workspace, clock: SimulatedClock
) -> None:
    drifted = Cause(kind="drift", about="inputs", sentence="wind moved.", columns=("weather_wind",))
    other = Cause(kind="drift", about="request", sentence="carrier moved.", columns=("carrier",))
    shows(workspace, DRIFT, broken(since=clock.now() - timedelta(hours=6)))
    kept = look(
        workspace,
        (QUALITY, finding(workspace, QUALITY, worse(), days=7)),
        (SKEW, finding(workspace, SKEW, drifted, other)),
    )
    silent = {one.about or one.cause: one.silenced for one in kept if one.silenced}
    assert set(silent) == {"quality", "inputs"}, "what names a column beyond the feed's is news of its own"
    assert "feature view weather is broken since 2013-03-31 18:00 UTC" in silent["quality"]
    assert {told.sentence for told in notifications(workspace)} == {broken().sentence, "carrier moved."}
    assert verbs(workspace).count("incidents.silence") == 2

    later(clock, days=1)
    shows(workspace, DRIFT)  # mended
    later(clock, days=3)
    (quality,) = (one for one in shows(workspace, QUALITY, worse(), days=7) if one.cause == "quality")
    assert "was broken from 2013-03-31 18:00 UTC to 2013-04-02 00:00 UTC" in quality.silenced
    later(clock, days=5)
    (quality,) = (one for one in shows(workspace, QUALITY, worse(), days=7) if one.cause == "quality")
    assert (quality.silenced, quality.silenced_by, quality.told_at) == ("", "", clock.now())
    assert notifications(workspace)[-1].sentence == "Log loss is worse."


def test_a_dead_process_silences_what_it_cannot_but_do(workspace: Workspace) -> None:
    dead = Cause(kind="no results", sentence="The process is down.")
    slow = Cause(kind="service", about="latency", sentence="Slow.")
    found = look(
        workspace,
        (QUALITY, finding(workspace, QUALITY, worse())),
        (LATENCY, finding(workspace, LATENCY, slow, dead)),
    )
    assert {one.cause: bool(one.silenced) for one in found} == {"quality": True, "service": True, "no results": False}
    assert [(told.level, told.sentence) for told in notifications(workspace)] == [("page", "The process is down.")]
    shows(workspace, LATENCY, slow)
    told = {told.sentence for told in notifications(workspace)}
    assert told == {"The process is down.", "Log loss is worse.", "Slow."}, "it answers again, and they are still so"


def test_a_process_that_is_down_explains_its_errors_and_a_ticket_is_no_page_until_it_becomes_one(
    workspace: Workspace,
) -> None:
    service = monitor("service")
    errors = Cause(kind="service", about="errors", sentence="2 % failed.")
    down = Cause(kind="service", about="process down", sentence="Its process is down.")
    shows(workspace, service, errors, values={"urgency": "ticket"})
    assert [told.level for told in notifications(workspace)] == ["alert"]
    shows(workspace, service, errors, values={"urgency": "page"})
    shows(workspace, service, errors, values={"urgency": "page"})
    assert sorted(told.level for told in notifications(workspace)) == ["alert", "page"]
    slow = Cause(kind="service", about="slow answers", sentence="Slow.")
    found = shows(workspace, service, errors, slow, down, values={"urgency": "page"})
    assert {one.about: bool(one.silenced) for one in found} == {
        "errors": False, "process down": False, "slow answers": True
    }  # fmt: skip


def test_a_ticket_beside_a_page_is_none_and_is_escalated_a_day_later(
    workspace: Workspace, clock: SimulatedClock
) -> None:
    service = monitor("service")
    down = Cause(kind="service", about="errors", sentence="2 % failed.", urgency="page")
    slow = Cause(kind="service", about="slow answers", sentence="Ticket, no hurry: slow.", urgency="ticket")
    found = shows(workspace, service, down, slow, values={"urgency": "page"})
    assert {one.about: one.level for one in found} == {"errors": "page", "slow answers": "ticket"}
    assert sorted((told.level, told.sentence) for told in notifications(workspace)) == [
        ("alert", "Ticket, no hurry: slow."), ("page", "2 % failed.")
    ]  # fmt: skip
    later(clock, hours=5)
    settings = NotifySettings()
    assert escalate(workspace, settings, clock.now()) == [one.id for one in found if one.level == "page"]
    later(clock, hours=20)
    assert escalate(workspace, settings, clock.now()) == [one.id for one in found if one.level == "ticket"]
    shows(workspace, service, down, msgspec.structs.replace(slow, urgency="page", sentence="Slow."))
    assert [told.level for told in notifications(workspace) if told.sentence == "Slow."] == ["page"]


def test_whom_a_cause_names_must_look(workspace: Workspace) -> None:
    revenue = Cause(kind="kpi", about="revenue", sentence="Less.", owner="grace")
    (one,) = shows(workspace, KPI, revenue)
    assert (one.owner, one.people) == ("grace", ("grace",))
    by_role = Cause(kind="quality", sentence="Worse.", owner="governance")
    (other,) = (each for each in shows(workspace, QUALITY, by_role) if each.cause == "quality")
    assert (other.owner, other.people) == ("governance", ())


def test_where_whom_a_cause_names_has_left_it_is_whose_it_is_by_its_kind(workspace: Workspace) -> None:
    people = People(workspace)
    for name, roles in {"ada": ["admin"], "grace": ["business owner"], "zoe": ["business owner"]}.items():
        people.do("ada", "people.add", name=name, roles=roles) if name != "ada" else call(
            workspace,
            operation("people.add"),
            convert(operation("people.add"), {"name": "ada", "roles": roles, "account": "a"}),
        )
    revenue = Cause(kind="kpi", about="revenue", sentence="Less.", owner="zoe")
    (one,) = shows(workspace, KPI, revenue)
    assert one.owner == "zoe"
    people.do("ada", "people.change", name="zoe", disabled=True)
    again = Cause(kind="kpi", about="profit", sentence="Less.", owner="zoe")
    (_, two) = sorted(shows(workspace, KPI, revenue, again), key=lambda each: each.about != "revenue")
    assert two.owner == "business owner"


def test_what_was_told_before_is_not_silenced_afterwards(workspace: Workspace, clock: SimulatedClock) -> None:
    shows(workspace, QUALITY, worse())
    later(clock, days=1)
    found = look(
        workspace, (DRIFT, finding(workspace, DRIFT, broken())), (QUALITY, finding(workspace, QUALITY, worse()))
    )
    assert [one.silenced for one in found] == ["", ""]


def test_what_comes_back_within_the_cool_down_goes_on_and_is_not_told_again(
    workspace: Workspace, clock: SimulatedClock
) -> None:
    (first,) = shows(workspace, DRIFT, broken())
    for _ in range(3):
        later(clock, days=1)
        shows(workspace, DRIFT)
        later(clock, days=1)
        (again,) = shows(workspace, DRIFT, broken())
    assert (again.id, again.reopened, again.why, again.closed_at) == (first.id, 3, "", None)
    assert (len(incidents(workspace)), len(tellings(workspace))) == (1, 1)
    assert [told.name for told in notifications(workspace)] == ["opened", "closed"], "nor of its end again"
    shows(workspace, DRIFT)
    later(clock, days=4)
    (new,) = shows(workspace, DRIFT, broken())
    assert new.id != first.id
    assert len(tellings(workspace)) == 2


def test_what_was_closed_by_hand_and_comes_back_is_told(workspace: Workspace, clock: SimulatedClock) -> None:
    (one,) = shows(workspace, DRIFT, broken())
    one = msgspec.structs.replace(one, acknowledged_by="dan", acknowledged_at=clock.now(), escalated_at=clock.now())
    with workspace.ledger.write() as tx:
        close(tx, workspace, one, f"{BY_HAND} by ada: mended", clock.now())
    later(clock, hours=1)
    (again,) = shows(workspace, DRIFT, broken())
    assert (again.id, again.told_at, again.acknowledged_by) == (one.id, clock.now(), "")
    assert [told.name for told in tellings(workspace)] == ["opened", "opened"]


def test_what_is_like_something_judged_noise_is_held_back_unless_it_is_greater(
    workspace: Workspace, clock: SimulatedClock
) -> None:
    parent = f"{workspace.project}/flight-delays"
    hold = Hold(
        id=hold_id(parent, "quality", ""), project="flights", name="quality", created_at=clock.now(), parent_id=parent,
        word="noise", by="grace", until=clock.now() + 30 * DAY, value=0.6,
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, hold)
    (one,) = shows(workspace, QUALITY, worse(0.65))
    assert "grace judged its like noise; such are held back until 2013-05-01 00:00 UTC" in one.held
    assert notifications(workspace) == []
    (one,) = shows(workspace, QUALITY, worse(0.7))
    assert (one.told_at, notifications(workspace)) == (None, [])
    shows(workspace, QUALITY)
    later(clock, days=5)
    shows(workspace, QUALITY, worse(0.95))
    assert len(tellings(workspace)) == 1, "what is clearly greater is told"
    shows(workspace, QUALITY)
    later(clock, days=31)
    shows(workspace, QUALITY, worse(0.65))
    assert len(tellings(workspace)) == 2, "and so is everything when the hold has lapsed"
    with workspace.ledger.read() as tx:
        assert entries.get(tx, Hold, hold.id).repeats == 1


def test_what_is_held_back_and_grows_is_told(workspace: Workspace, clock: SimulatedClock) -> None:
    parent = f"{workspace.project}/flight-delays"
    hold = Hold(
        id=hold_id(parent, "quality", ""), project="flights", name="quality", created_at=clock.now(), parent_id=parent,
        word="noise", by="grace", until=clock.now() + 30 * DAY, value=0.6,
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, hold)
    shows(workspace, QUALITY, worse(0.65))
    assert notifications(workspace) == []
    (one,) = shows(workspace, QUALITY, worse(1.2))
    assert (one.held, len(notifications(workspace))) == ("", 1)


def test_what_only_monitors_showed_that_are_gone_is_closed(workspace: Workspace) -> None:
    look(workspace, *((spec, finding(workspace, spec, broken())) for spec in (DRIFT, FRESH)))
    parent = f"{workspace.project}/flight-delays"
    for names, state in (({"drift"}, "open"), (set(), "closed")):
        with workspace.ledger.write() as tx:
            close_unwatched(tx, workspace, parent, names, workspace.clock.now())
        assert [one.state for one in incidents(workspace)] == [state]


def test_a_record_of_before_causes_were_told_apart_is_followed_and_closed(workspace: Workspace) -> None:
    written = b'{"kind":"incident","id":"i7","project":"flights","name":"drift","created_at":"2013-03-30T00:00:00Z",'
    written += b'"parent_id":"flights/flight-delays","findings":["f1"],"sentence":"A feed.","owner":"data engineer",'
    written += b'"cause":"broken feed"}'
    old = msgspec.json.decode(written, type=Incident)
    with workspace.ledger.write() as tx:
        entries.put(tx, old)
    (one,) = shows(workspace, DRIFT, broken())
    assert (one.id, one.about, one.told_at) == ("i7", "feature view weather", workspace.clock.now())
    assert notifications(workspace) == [], "its people were told when it was opened"
    assert shows(workspace, DRIFT) == []


@pytest.mark.parametrize("kind", ["service", "drift", "something that nobody knows yet"])
def test_whatever_kind_a_cause_is_of_somebody_owns_it(workspace: Workspace, kind: str) -> None:
    (one,) = shows(workspace, monitor("other"), Cause(kind=kind, sentence="Something."))
    assert one.owner


def test_what_keeps_a_monitor_from_telling_is_told_and_closes_nothing_else(workspace: Workspace) -> None:
    silent = Cause(kind="labels", sentence="No labels come any more.", value=0.0, high=0.01, unit="share", before=1.0)
    (bad,) = shows(workspace, QUALITY, worse())
    found = shows(workspace, QUALITY, silent, state="cannot tell")
    assert {(one.cause, one.owner) for one in found} == {("quality", "data scientist"), ("labels", "data engineer")}
    assert shows(workspace, QUALITY, state="cannot tell") == found, "who cannot tell at all leaves both"
    assert [one.id for one in shows(workspace, QUALITY, worse())] == [bad.id], "labels are back"
    assert shows(workspace, QUALITY) == []


def test_a_broken_feed_explains_that_the_answers_drift(workspace: Workspace) -> None:
    drifted = Cause(kind="drift", about="request", sentence="The score drifted.", columns=("score",), value=0.2)
    found = shows(workspace, DRIFT, broken(), drifted)
    assert [one.cause for one in found if one.silenced_by] == ["drift"]
    assert len(notifications(workspace)) == 1
