"""Who is asked, who can help, and words that nobody can give."""

from datetime import timedelta

import pytest

from answering import ROWS, People, people_in, row
from slipway.flows.floors import set_floor
from slipway.flows.people_check import check_rows
from slipway.governance.asked import Asked, asked
from slipway.operations.floors import SetFloor
from slipway.ports.workspace import Workspace

DAY = timedelta(days=1)


@pytest.fixture
def people(workspace: Workspace) -> People:
    return people_in(workspace)


def now(people: People, *changes: object) -> Asked:
    if changes:
        people.declare(*changes)  # type: ignore[arg-type]
    with people.workspace.ledger.read() as tx:
        return asked(tx, people.workspace)


def away(people: People, name: str, deputy: str) -> None:
    at = people.workspace.clock.now()
    people.do("ada", "absences.add", name=name, until=(at + DAY).isoformat(), deputy=deputy)


def test_a_deputy_is_asked_in_their_place(people: People) -> None:
    people.declare()
    away(people, "grace", "gov")
    found = now(people)
    assert found.acting("approve", "accountable") == ("gov",)
    assert found.shown("approve", "accountable") == "gov for grace, who is away"
    away(people, "mia", "")
    assert now(people).acting("deploy", "responsible") == ("mia",)
    assert "named no deputy" in now(people).shown("deploy", "responsible")


def test_who_helps_in_a_role_is_named_where_somebody_is_known(people: People) -> None:
    assert now(people).helpers("data scientist") == "dan (data scientist)"
    assert now(people).helpers("platform engineer") == "platform engineer"
    for name in ("ann", "bob", "cem", "dia"):
        people.do("ada", "people.add", name=name, roles=["data scientist"])
    assert now(people).helpers("data scientist") == "ann, bob, cem and 2 more (data scientist)"


@pytest.mark.parametrize(
    ("changes", "given", "found", "fix"),
    [
        ({}, {"count": 2}, "2 people are asked to approve as accountable, and slipway.toml makes 1", "another role"),
        ({}, {"authors": ("grace",)}, "grace made it, and nobody approves their own", "Name somebody else"),
        ({"accountable": ()}, {}, "makes nobody accountable", "Name somebody in"),
        ({"accountable": ("dan",)}, {}, "dan may not approve", 'people grant dan "business owner" --in flights'),
    ],
)
def test_words_that_nobody_can_give_as_accountable(
    people: People, changes: dict[str, tuple[str, ...]], given: dict[str, object], found: str, fix: str
) -> None:
    never = now(people, row("approve", **changes)).too_few("accountable", **{"count": 1, **given})  # type: ignore[arg-type]
    assert never is not None
    assert found in never.found
    assert fix in never.fix


def test_words_that_somebody_can_give(people: People) -> None:
    found = now(people, row("approve"))
    assert found.too_few("accountable", 1) is None
    assert found.too_few("accountable", 2, given={"gov"}) is None  # given while gov was accountable
    assert found.too_few("governance", 1) is None
    assert now(people, row("approve", accountable=("grace", "gov"))).too_few("accountable", 2) is None
    away(people, "grace", "gov")
    found = now(people, row("approve"))
    assert found.too_few("accountable", 1, authors=("grace",)) is None
    never = found.too_few("accountable", 3)
    assert never is not None
    assert never.found.endswith("makes 1 accountable for approving: grace (gov standing in)")


def test_a_role_that_too_few_hold(people: People) -> None:
    found = now(people)
    never = found.too_few("governance", 2)
    assert never is not None
    assert never.found == "2 people are asked to approve as governance, and 1 may: gov"
    assert 'slipway people grant NAME "governance" --in flights' in never.fix
    never = found.too_few("data scientist", 1)
    assert never is not None
    assert "nobody who is known may" in never.found
    assert "business owner, governance" in never.fix
    never = found.too_few("risk desk", 9)  # the project's own word: whoever may approve
    assert never is not None
    assert "3 may: ada, gov, grace" in never.found


def test_where_nobody_is_known_anybody_may(workspace: Workspace) -> None:
    with workspace.ledger.read() as tx:
        found = asked(tx, workspace)
        alone = asked(tx, workspace, ROWS)
    assert found.speakers("governance") is None
    assert found.too_few("governance", 2) is None
    assert alone.too_few("accountable", 2) is not None


def test_the_check_finds_a_floor_that_can_never_be_passed(people: People) -> None:
    people.declare()
    checks = ("sw.approval('accountable', count=2)", "sw.approval('governance')")
    set_floor(people.as_("gov"), SetFloor(environment="dev", checks=checks, reason="four eyes"))
    gaps = [gap for gap in check_rows(people.workspace, ROWS).gaps if "can never be passed" in gap.sentence]
    assert [gap.sentence for gap in gaps] == [
        "The floor of dev can never be passed: 2 people are asked to approve as accountable, and slipway.toml makes 1 "
        "accountable for approving: grace."
    ]
