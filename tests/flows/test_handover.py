"""Hand-overs: what is missing is computed, the receiver answers, and slipway.toml is compared with it."""

import msgspec
import pytest

from answering import ROWS, People, people_in, row
from slipway.errors import Conflict, Denied, InvalidInput, NotFound
from slipway.flows.handover import LONGEST_RUN_BOOK
from slipway.flows.people_check import check_rows
from slipway.ledger import entries
from slipway.operations.responsibility import HandoverPage
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import MonitorSpec
from slipway.records.responsibility import RaciRow

MODEL = "flight-delays"
BOOK = "# At night\n\n- call grace <b>first</b>\n"


@pytest.fixture
def people(workspace: Workspace) -> People:
    return people_in(workspace)


def page(people: People) -> HandoverPage:
    found: HandoverPage = people.do("gov", "handovers.get", model=MODEL)
    return found


def missing(people: People) -> set[str]:
    return {item.what for item in page(people).items if not item.is_done}


def offered(people: People, **fields: object) -> str:
    id: str = people.do("dan", "handovers.offer", model=MODEL, **{"to": "mia", **fields}).handover.id
    return id


def test_what_is_missing_is_found_in_the_ledger(people: People) -> None:
    assert missing(people) == {"card", "monitors", "run book"}
    asked = ("purpose", "users", "misuse", "harm", "limits", "owner", "license")
    for field in asked:
        assert "card" in missing(people)
        people.do("dan", "documents.answer", kind="card", name=MODEL, field=field, text="As agreed.")
    assert missing(people) == {"monitors", "run book"}
    offered(people, run_book=BOOK)
    assert missing(people) == {"monitors"}
    watched = MonitorSpec(kind="drift", name="drift")
    with people.writing() as tx:
        declared = DeclaredEndpoint(id=f"flights/dev/{MODEL}", project="flights", name=MODEL, model=MODEL, monitors=(watched,), created_at=people.workspace.clock.now())  # fmt: skip
        entries.put(tx, declared)
    assert missing(people) == set()
    with people.writing() as tx:  # another environment's monitors watch nothing here
        tx.remove("endpoint", declared.id)
        entries.put(tx, msgspec.structs.replace(declared, id=f"flights/prod/{MODEL}"))
    assert missing(people) == {"monitors"}
    people.do("gov", "approvals.grant", model=MODEL, role="governance", decision="rejected")
    assert missing(people) == {"approval", "monitors"}
    assert all(item.fix for item in page(people).items if not item.is_done)


def test_the_receiver_accepts_and_slipway_toml_is_compared(people: People) -> None:
    people.declare(*(row(stage, responsible=("dan",)) for stage in ("deploy", "monitor", "retrain")))
    id = offered(people, comment="it is yours", run_book=BOOK)
    assert [one.id for one in people.inbox("mia").handovers] == [id]
    answered = people.do("mia", "handovers.answer", id=id, accept=True, comment="gladly")
    assert answered.handover.state == "accepted"
    assert len(answered.changes) == 3
    assert "mia accepted flight-delays, and is not responsible for deploy" in answered.changes[0]
    assert '[raci.deploy] responsible = ["mia"]' in answered.changes[0]
    assert people.inbox("mia").handovers == ()
    assert any("mia accepted flight-delays: gladly" in said for said in people.told("dan"))
    rows: tuple[RaciRow, ...] = tuple(row(one.stage, responsible=("dan",)) for one in ROWS)
    assert sum("mia accepted" in gap.sentence for gap in check_rows(people.workspace, rows).gaps) == 3
    assert check_rows(people.workspace, ROWS).gaps == ()
    people.declare()
    assert page(people).changes == ()


def test_the_receiver_returns_it_and_says_why(people: People) -> None:
    id = offered(people)
    with pytest.raises(InvalidInput, match="without a comment"):
        people.do("mia", "handovers.answer", id=id, accept=False, comment=" ")
    people.do("mia", "handovers.answer", id=id, accept=False, comment="no run book")
    assert any("mia returned flight-delays: no run book" in said for said in people.told("dan"))
    with pytest.raises(Conflict, match="returned already"):
        people.do("mia", "handovers.answer", id=id, accept=True)


def test_nobody_else_answers(people: People) -> None:
    id = offered(people)
    for name in ("dan", "grace", "ada"):
        with pytest.raises(Denied, match="offered to mia"):
            people.do(name, "handovers.answer", id=id, accept=True)
    with pytest.raises(NotFound, match="no hand-over"):
        people.do("mia", "handovers.answer", id="0" * 32, accept=True)


def test_a_newer_offer_withdraws_the_older_and_keeps_its_run_book(people: People) -> None:
    first = offered(people, run_book=BOOK)
    second = offered(people, to="grace")
    with pytest.raises(Conflict, match="withdrawn already"):
        people.do("mia", "handovers.answer", id=first, accept=True)
    found = page(people)
    assert {one.id: one.state for one in found.handovers} == {first: "withdrawn", second: "offered"}
    assert found.run_book == BOOK
    assert people.inbox("mia").handovers == ()


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"to": "dan"}, InvalidInput, "themselves"),
        ({"to": "mai"}, NotFound, "'mia'"),
        ({"model": "flight-delay"}, NotFound, "flight-delays"),
        ({"version": "9"}, NotFound, "9"),
        ({"run_book": "x" * (LONGEST_RUN_BOOK + 1)}, InvalidInput, "200,001"),
    ],
)
def test_what_cannot_be_offered(people: People, fields: dict[str, str], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        people.do("dan", "handovers.offer", **{"model": MODEL, "to": "mia", **fields})
    assert people.told("mia") == []


def test_who_is_disabled_owns_nothing(people: People) -> None:
    people.do("ada", "people.change", name="mia", disabled=True)
    with pytest.raises(InvalidInput, match="disabled"):
        offered(people)
