"""RACI: what slipway.toml says is kept, acts, and has no gaps."""

from datetime import timedelta

import pytest

from answering import ROWS, People, people_in, row
from filled_store import MODELS
from slipway.backends.clocks import SimulatedClock
from slipway.errors import Denied, InvalidInput
from slipway.flows.people_check import check_rows
from slipway.governance import raci
from slipway.governance.telling import assigned
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion
from slipway.records.monitors import Incident
from slipway.records.people import Actor
from slipway.records.responsibility import Raci, RaciRow

DAY = timedelta(days=1)


@pytest.fixture
def people(workspace: Workspace) -> People:
    return people_in(workspace)


def gaps(people: People, *rows: RaciRow) -> list[str]:
    other = {one.stage: one for one in rows}
    found = check_rows(people.workspace, tuple(other.get(one.stage, one) for one in ROWS))
    assert all(gap.sentence.endswith(".") and gap.fix for gap in found.gaps)
    return [gap.sentence for gap in found.gaps]


def made_by(people: People, name: str) -> None:
    with people.writing() as tx:
        for id in MODELS:
            version = entries.get(tx, ModelVersion, id)
            fields = {key: getattr(version, key) for key in version.__struct_fields__}
            entries.put(tx, ModelVersion(**{**fields, "actor": Actor(name)}))


def test_it_is_kept_once_for_each_change_and_each_environment(people: People) -> None:
    people.declare()
    people.declare()
    people.declare(row("deploy", responsible=("dan",)))
    with people.workspace.ledger.read() as tx:
        kept = list(entries.every(tx, Raci, project="flights"))
        told = [event for event in tx.events(limit=1000) if event.verb == "raci.declare"]
        assert raci.named(tx, people.workspace, "deploy", "responsible") == ("dan",)
    assert sorted(one.number for one in kept) == [1, 2, 3]  # the filled store's own is the first
    assert len(told) == 2
    assert people.do("eve", "raci.get").raci.number == 3
    raci.declare(people.workspace, ())
    assert people.do("eve", "raci.get").raci.rows == ()


def test_who_was_and_who_is_accountable_for_approving_hears_of_the_change(people: People) -> None:
    people.declare()
    people.declare(row("approve", accountable=("gov",)))
    assert any("grace before, gov now" in said for said in people.told("grace"))
    assert any("grace before, gov now" in said for said in people.told("gov"))
    assert not any("gov now" in said for said in people.told("dan"))


def test_a_whole_table_has_no_gap(people: People) -> None:
    assert gaps(people) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (row("train", responsible=()), "Nobody is responsible for train."),
        (row("train", accountable=()), "Nobody is accountable for train."),
        (row("train", accountable=("grace", "gov")), "grace and gov are accountable for train"),
        (row("train", informed=("evve",)), "evve, informed for train, is nobody this store knows."),
        (row("approve", accountable=("mia",)), "mia, accountable for approve, lacks the right 'approvals.grant'."),
        (row("approve", accountable=("ada",)), "ada is accountable for approving, and made flight-delays 4."),
    ],
)
def test_a_gap_is_a_sentence(people: People, changed: RaciRow, words: str) -> None:
    found = gaps(people, changed)
    assert len(found) == 1
    assert words in found[0]


def test_a_name_that_is_nearly_one_is_said(people: People) -> None:
    rows = tuple(one if one.stage != "data" else row("data", informed=("evve",)) for one in ROWS)
    assert "Did you mean 'eve'?" in check_rows(people.workspace, rows).gaps[0].fix


def test_nobody_anywhere_is_said_once(people: People) -> None:
    nobody = [row(one.stage, accountable=()) for one in ROWS]
    (found,) = gaps(people, *nobody)
    assert "scope, data, feature" in found
    assert check_rows(people.workspace, ()).stages == 0
    assert "does not say who answers for what" in check_rows(people.workspace, ()).gaps[0].sentence


def test_who_is_disabled_or_away_alone_is_a_gap(people: People, clock: SimulatedClock) -> None:
    people.do("ada", "people.change", name="gov", disabled=True)
    assert gaps(people) == ["gov, consulted for scope, is disabled since 2013-04-01."]
    people.do("ada", "people.change", name="gov", disabled=False)
    until = (clock.now() + 3 * DAY).isoformat()
    people.do("mia", "absences.add", until=until)
    assert gaps(people) == ["mia, responsible for scope, is away, and nobody stands in."]
    people.do("mia", "absences.end")
    people.do("grace", "absences.add", until=until, deputy="dan")
    assert gaps(people) == [
        "grace, accountable for approve, is away, and their deputy dan lacks the right 'approvals.grant'."
    ]
    people.do("grace", "absences.end")
    people.do("grace", "absences.add", until=until, deputy="gov")
    assert gaps(people) == []


def test_only_who_is_accountable_approves_as_accountable(people: People, clock: SimulatedClock) -> None:
    people.declare()
    with pytest.raises(Denied, match=r"gov is not accountable .* accountable: grace\. Ask grace"):
        people.do("gov", "approvals.grant", model="flight-delays", version="1")
    assert people.do("gov", "approvals.grant", model="flight-delays", decision="rejected").approval
    assert people.do("gov", "approvals.grant", model="flight-delays", role="governance").approval
    assert people.do("grace", "approvals.grant", model="flight-delays").approval.actor.name == "grace"
    with pytest.raises(Denied, match="not accountable"):
        people.do("gov", "approvals.stand", endpoint="flight-delays", until=(clock.now() + DAY).isoformat())


def test_a_deputy_approves_while_the_absence_lasts_and_no_longer(people: People, clock: SimulatedClock) -> None:
    people.declare()
    people.do("grace", "absences.add", until=(clock.now() + DAY).isoformat(), deputy="gov")
    assert people.do("gov", "approvals.grant", model="flight-delays").approval.actor.name == "gov"
    clock.advance_to(clock.now() + 2 * DAY)
    with pytest.raises(Denied, match="not accountable"):
        people.do("gov", "approvals.grant", model="flight-delays")


def test_a_deputy_who_made_it_or_lacks_the_right_still_may_not(people: People, clock: SimulatedClock) -> None:
    people.declare()
    until = (clock.now() + DAY).isoformat()
    people.do("grace", "absences.add", until=until, deputy="dan")
    with pytest.raises(Denied, match=r"approvals\.grant"):
        people.do("dan", "approvals.grant", model="flight-delays")
    people.do("grace", "absences.end")
    people.do("grace", "absences.add", until=until, deputy="gov")
    made_by(people, "gov")
    with pytest.raises(Denied, match="made"):
        people.do("gov", "approvals.grant", model="flight-delays")


def test_where_nobody_is_accountable_nobody_approves(people: People) -> None:
    people.declare(row("approve", accountable=()))
    with pytest.raises(Denied, match="makes accountable: nobody"):
        people.do("grace", "approvals.grant", model="flight-delays")


def test_without_a_raci_all_is_as_it_was(people: People) -> None:
    raci.declare(people.workspace, ())
    assert people.do("gov", "approvals.grant", model="flight-delays").approval


def test_names_with_deputies_put_in(people: People, clock: SimulatedClock) -> None:
    people.declare(row("deploy", responsible=("mia", "dan")))
    people.do("mia", "absences.add", until=(clock.now() + DAY).isoformat(), deputy="dan")
    now = clock.now()
    assert raci.responsible(people.workspace, "deploy", "responsible", now) == ("dan",)
    assert raci.responsible(people.workspace, "deploy", "responsible", now + 2 * DAY) == ("mia", "dan")
    people.do("dan", "absences.add", until=(clock.now() + DAY).isoformat())
    assert raci.responsible(people.workspace, "deploy", "responsible", now) == ("mia", "dan")
    with pytest.raises(InvalidInput, match="'deploy'"):
        raci.responsible(people.workspace, "depoly", "responsible", now)


@pytest.mark.parametrize(
    ("cause", "owner"), [("broken feed", "dan"), ("quality", "mia"), ("break-glass", "grace"), ("new one", "mia")]
)
def test_an_incident_is_whose_it_is_by_its_cause(people: People, cause: str, owner: str) -> None:
    people.declare(row("data", responsible=("dan",)))
    opened = Incident(
        id="i9",
        project="flights",
        name="drift",
        created_at=people.workspace.clock.now(),
        parent_id="flights/flight-delays",
        sentence="distance moved.",
        owner="data engineer",
        cause=cause,
    )
    with people.writing() as tx:
        for _ in range(2):  # a look that is taken again tells nobody again
            kept = assigned(tx, people.workspace, opened)
        entries.put(tx, kept)
    assert (kept.owner, kept.people) == (owner, (owner,))
    assert people.told(owner).count("incident: distance moved.") == 1
    assert people.told("eve") == ["told: Incident: distance moved."]
    assert [one.id for one in people.inbox(owner).incidents] == ["i9"]
    assert people.inbox("sam").incidents == ()
