"""What probably caused an incident: nearest in time and lineage first, and never what came after."""

from datetime import UTC, datetime, timedelta

import pytest

from incident_desk import broken, later, monitor, shows
from slipway.backends.clocks import SimulatedClock
from slipway.flows.suspects import Change, rank, suspects
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, Revision, Served
from slipway.records.people import Actor

SINCE = datetime(2013, 4, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def change(sort: str, hours: float, near: str = "read by it") -> Change:
    return Change(sort=sort, sentence=sort, at=SINCE - hours * HOUR, node=f"{sort}:{hours}:{near}", near=near)  # type: ignore[arg-type]


def named(kind: str, *changes: Change, most: int = 3) -> list[str]:
    return [one.change.node for one in rank(kind, changes, SINCE, most=most)]


def test_of_the_same_sort_the_nearest_in_time_is_first() -> None:
    assert named("broken feed", change("table", 50), change("table", 2), change("table", 30)) == [
        "table:2:read by it", "table:30:read by it", "table:50:read by it"
    ]  # fmt: skip


def test_its_own_feed_comes_before_another_that_changed_later() -> None:
    assert named("broken feed", change("table", 1), change("table", 10, "its own"))[0] == "table:10:its own"


def test_what_is_wrong_says_what_is_likely() -> None:
    changes = [change("model", 5, "its own"), change("table", 5, "its own")]
    assert named("quality", *changes)[0].startswith("model")
    assert named("broken feed", *changes)[0].startswith("table")
    assert named("never heard of", *changes) != []


@pytest.mark.parametrize(
    ("hours", "is_suspect"), [(-2, False), (-0.5, True), (0, True), (13 * 24, True), (15 * 24, False)]
)
def test_what_came_after_or_long_before_is_no_cause(hours: float, is_suspect: bool) -> None:
    assert bool(named("quality", change("model", hours))) == is_suspect


def test_there_are_three_at_most_and_each_has_its_weight() -> None:
    found = rank("quality", [change("model", hours, "its own") for hours in (24, 0, 48, 72)], SINCE)
    assert [one.weight for one in found] == [1.0, 0.5, 0.25]


def test_a_deployment_before_is_read_from_the_ledger(workspace: Workspace, clock: SimulatedClock) -> None:
    for number in (1, 2):
        revision = Revision(
            id=f"flights/flight-delays/{number}", project="flights", name="flight-delays", created_at=clock.now(),
            number=number, environment="dev", served=Served(model="delays", number=number, bundle="b" * 63 + str(number)),
            contract=Contract(fields=()), actor=Actor("grace"),
        )  # fmt: skip
        with workspace.ledger.write() as tx:
            entries.put(tx, revision)
        later(clock, days=3)
    (one,) = shows(workspace, monitor("quality"), state="alert")
    (deployed, first) = suspects(workspace, one)
    assert deployed.change.sentence == "delays 2 began to serve (revision 2, deploy, by grace)"
    assert (first.change.sort, first.weight < deployed.weight) == ("deployment", True)
    (feed,) = (each for each in shows(workspace, monitor("drift"), broken()) if each.cause == "broken feed")
    assert suspects(workspace, feed)[0].weight < deployed.weight


def test_nothing_is_suspected_where_nothing_is_known(workspace: Workspace) -> None:
    (one,) = shows(workspace, monitor("drift"), broken())
    assert suspects(workspace, one) == ()
