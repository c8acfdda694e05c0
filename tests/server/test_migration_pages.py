"""The page of a migration: planned, gaps taken, users turned and turned back, by its forms; and what they refuse."""

import pytest

from answering import People, people_in
from server_desk import Ask, asker
from slipway.flows.migrate_phases import CRITERIA
from slipway.ports.workspace import Workspace

AT = "/projects/flights/migration"
INVENTORY = "name,owner,kind,url,users,risk\nchurn,ada,pickle,http://old/churn,12,low\nfraud,grace,onnx,,3,high\n"


@pytest.fixture
def people(workspace: Workspace) -> People:
    found = people_in(workspace)
    with workspace.ledger.write() as tx:
        tx.remove("migration", "flights")
    return found


@pytest.fixture
def ask(people: People) -> Ask:
    return asker(people.workspace)


def known(people: People, name: str) -> dict[str, str]:
    return {"cookie": f"slipway_session={people.do('ada', 'tokens.add', name=name).text}"}


def test_an_inventory_is_planned_and_planned_again(people: People, ask: Ask) -> None:
    ada = known(people, "ada")
    assert "<details open><summary>Plan it</summary>" in ask("GET", AT, headers=ada).text
    sent = {"inventory": INVENTORY.replace("\n", "\r\n"), "pilots": "", "back": AT}
    answer = ask("POST", f"{AT}/plan", headers=ada, data=sent)
    assert (answer.status_code, answer.headers["location"]) == (303, AT)
    text = ask("GET", AT, headers=ada).text
    assert "0 of 2 models moved; the pilots are under way" in text
    assert "churn,ada,pickle,,http://old/churn,12,,,low,," in text
    assert ask("POST", f"{AT}/plan", headers=ada, data=sent | {"pilots": "fraud"}).status_code == 303
    text = ask("GET", AT, headers=ada).text
    assert "chosen by a person" in text
    assert '<input name="pilots" value="fraud">' in text


def test_what_another_person_planned_meanwhile_is_not_deleted(people: People, ask: Ask) -> None:
    ada = known(people, "ada")
    first = {"inventory": INVENTORY, "pilots": "", "number": "0"}
    assert 'name="number" value="0"' in ask("GET", AT, headers=ada).text
    assert ask("POST", f"{AT}/plan", headers=ada, data=first).status_code == 303
    assert ask("POST", f"{AT}/plan", headers=ada, data=first).status_code == 409, "it was planned meanwhile"
    assert 'name="number" value="1"' in ask("GET", AT, headers=ada).text
    more = {"inventory": f"{INVENTORY}added,bob,pickle,,1,low\n", "number": "1"}
    assert ask("POST", f"{AT}/plan", headers=ada, data=more).status_code == 303
    answer = ask("POST", f"{AT}/plan", headers=ada, data=first | {"number": "1"})
    assert (answer.status_code, "The plan changed meanwhile" in answer.text) == (409, True)
    assert [one.old.name for one in people.do("ada", "migrations.get").models] == ["churn", "added", "fraud"]
    assert ask("POST", f"{AT}/plan", headers=ada, data=first | {"number": "2"}).status_code == 303


@pytest.mark.parametrize(
    ("word", "sent", "status", "told"),
    [
        ("plan", {"inventory": "name,ownr\nchurn,ada\n"}, 422, "has no &#39;ownr&#39;"),
        ("plan", {"inventory": ""}, 422, "names no model"),
        ("plan", {"inventory": INVENTORY, "pilots": "chrun"}, 404, "no model &#39;chrun&#39;"),
        ("gap", {"model": "churn", "criterion": "gate"}, 422, "Nothing is said of the gap"),
        ("gap", {"model": "churn", "criterion": "gates", "owner": "ada"}, 404, "no criterion &#39;gates&#39;"),
        ("gap", {"model": "churn", "criterion": "gate", "due": "soon"}, 422, "due"),
        ("activate", {"model": "churn", "to": "chosen"}, 422, "Nobody is chosen"),
        ("activate", {"model": "churn", "to": "chosen", "percent": "ten"}, 422, "&#39;ten&#39; is no share"),
        ("activate", {"model": "churn", "to": "chosen", "users": "ada"}, 409, "is missing"),
        ("activate", {"model": "churn", "to": "nobody"}, 422, "needs a reason"),
        ("activate", {"model": "churn", "to": "everybody", "users": "ada"}, 422, "everybody"),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(
    people: People, ask: Ask, word: str, sent: dict[str, str], status: int, told: str
) -> None:
    ada = known(people, "ada")
    ask("POST", f"{AT}/plan", headers=ada, data={"inventory": INVENTORY})
    answer = ask("POST", f"{AT}/{word}", headers=ada, data=sent)
    assert (answer.status_code, told in answer.text) == (status, True), answer.text
    assert people.do("ada", "migrations.get").number == 1


def test_gaps_are_taken_and_users_turned_there_and_back(people: People, ask: Ask) -> None:
    ada = known(people, "ada")
    ask("POST", f"{AT}/plan", headers=ada, data={"inventory": INVENTORY})
    gap = {"model": "churn", "criterion": "proven", "owner": "grace", "due": "2030-01-31", "close": "", "back": AT}
    assert ask("POST", f"{AT}/gap", headers=ada, data=gap).status_code == 303
    text = ask("GET", AT, headers=ada).text
    assert "grace, 2030-01-31" in text
    assert "Turn users" not in text, "Development is not done"
    for one in CRITERIA:
        if one.phase != "Activation":
            closed = {"model": "churn", "criterion": one.name, "close": "shown <by> paper"}
            assert ask("POST", f"{AT}/gap", headers=ada, data=closed).status_code == 303
    text = ask("GET", AT, headers=ada).text
    assert "shown &lt;by&gt; paper" in text
    assert "Turn users" in text
    turned = {"model": "churn", "to": "chosen", "users": "c1, c2", "percent": "12.5 %", "why": "", "back": AT}
    assert ask("POST", f"{AT}/activate", headers=ada, data=turned).status_code == 303
    text = ask("GET", AT, headers=ada).text
    assert "Open to c1, c2 12 % of the users since" in text
    assert 'value="12.5"' in text, "who changes the users keeps the share"
    assert people.do("ada", "migrations.way", model="churn", user="c2").to == "here"
    back = {"model": "churn", "to": "nobody", "users": "c1, c2", "percent": "12.5", "why": "to try it"}
    assert ask("POST", f"{AT}/activate", headers=ada, data=back).status_code == 303
    assert people.do("ada", "migrations.way", model="churn", user="c2").to == "old system"
    assert people.do("ada", "migrations.get").models[0].served.users == ()
    onward = turned | {"users": "c1"}
    assert ask("POST", f"{AT}/activate", headers=ada, data=onward).status_code == 303
    answer = ask("POST", f"{AT}/activate", headers=ada, data=onward | {"to": "all"})
    assert (answer.status_code, "chosen users is missing" in answer.text) == (409, True), (
        "the share is not what is refused"
    )


def test_who_may_not_is_offered_nothing_and_refused(people: People, ask: Ask) -> None:
    ask("POST", f"{AT}/plan", headers=known(people, "ada"), data={"inventory": INVENTORY})
    sam = known(people, "sam")
    text = ask("GET", AT, headers=sam).text
    assert "0 of 2 models moved" in text
    assert 'method="post"' not in text.partition("<main")[2].replace('action="/search"', "")
    sent = {"inventory": INVENTORY, "model": "churn", "criterion": "gate", "owner": "sam", "to": "nobody", "why": "x"}
    assert [
        ask("POST", f"{AT}/{word}", headers=sam, data=sent).status_code for word in ("plan", "gap", "activate")
    ] == [403] * 3
