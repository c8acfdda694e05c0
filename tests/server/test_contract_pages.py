"""The page on which a business owner reads a metric contract and signs it."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

from answering import People, people_in
from server_desk import Ask, asker
from slipway.flows.endpoints import revision_of
from slipway.flows.hypotheses import look_at_hypothesis
from slipway.flows.metric_contracts import draft, keep
from slipway.ports.workspace import Workspace
from slipway.schema.metric_contract import Hypothesis, MetricContract

HOME = "/projects/flights/contracts"
AT = f"{HOME}/revenue-per-seat"
REVENUE = MetricContract(
    "revenue per seat", value="price * label / seats", unit="<b>EUR</b>", metric="log_loss", guard=0.05,
    hypothesis=Hypothesis(effect=0.1, by="2030-01-01", author="dan"),
)  # fmt: skip


@pytest.fixture
def people(workspace: Workspace) -> People:
    found = people_in(workspace)
    draft(found.as_("dan"), REVENUE.terms())
    return found


@pytest.fixture
def ask(people: People) -> Ask:
    return asker(people.workspace)


def known(people: People, name: str) -> dict[str, str]:
    return {"cookie": f"slipway_session={people.do('ada', 'tokens.add', name=name).text}"}


def test_the_owner_reads_it_in_plain_words_and_signs(people: People, ask: Ask) -> None:
    grace = known(people, "grace")
    text = ask("GET", AT, headers=grace).text
    for part in (
        "What it is for",
        "price * label / seats",
        "Higher is better",
        "What happens when it gets worse",
        "nobody signed it",
    ):
        assert part in text
    assert "<b>EUR</b>" not in text
    assert any("waits for its owner" in one for one in people.told("grace"))
    digest = REVENUE.terms().digest
    for who, status in (("dan", 403), ("sam", 403)):
        assert (
            ask("POST", AT, headers=known(people, who), data={"digest": digest, "word": "sign", "back": AT}).status_code
            == status
        )
    stale = ask("POST", AT, headers=grace, data={"digest": "0" * 64, "word": "sign", "back": AT})
    assert stale.status_code == 409
    answer = ask("POST", AT, headers=grace, data={"digest": digest, "word": "sign", "comment": "agreed", "back": AT})
    assert (answer.status_code, answer.headers["location"]) == (303, AT)
    text = ask("GET", AT, headers=grace).text
    assert "agreed" in text
    assert "Take my name back" in text
    assert "signed by grace" in ask("GET", HOME, headers=known(people, "sam")).text.replace("</span>", "").replace(
        "\n", " "
    )


def test_a_change_makes_the_name_void_and_the_page_says_so(people: People, ask: Ask) -> None:
    people.do("grace", "contracts.sign", kpi="revenue per seat")
    draft(people.as_("dan"), MetricContract("revenue per seat", value="price * label", metric="log_loss").terms())
    text = ask("GET", AT, headers=known(people, "grace")).text
    assert '<span class="state bad">void</span>' in text
    assert "grace signed other terms" in text
    assert "signed other terms</td>" in text
    assert "What changed since it was signed" in text
    assert "One prediction yields price * label / seats" in text
    assert "One prediction yields price * label, where" in text
    assert any("is void, for it changed" in one for one in people.told("grace"))


def test_only_its_owner_is_offered_to_sign(people: People, ask: Ask) -> None:
    assert "Sign it as it stands" in ask("GET", AT, headers=known(people, "grace")).text
    text = ask("GET", AT, headers=known(people, "dan")).text
    assert "Sign it as it stands" not in text
    assert "Its owner, the business owner, signs it" in text


def test_an_owner_who_left_is_told_on_the_page(people: People, ask: Ask) -> None:
    draft(people.as_("dan"), dataclasses.replace(REVENUE, owner="mia").terms())
    assert "Nobody here is called" not in ask("GET", AT, headers=known(people, "dan")).text
    people.do("ada", "people.change", name="mia", disabled=True)
    assert (
        "Nobody here is called mia (any more): declare it with another owner"
        in ask("GET", AT, headers=known(people, "dan")).text
    )
    people.do("ada", "people.revoke", name="grace", role="business owner")
    draft(people.as_("dan"), REVENUE.terms())
    assert "Nobody holds the role business owner" in ask("GET", AT, headers=known(people, "dan")).text


def test_a_foreign_page_signs_nothing(people: People, ask: Ask) -> None:
    headers = {**known(people, "grace"), "origin": "http://evil.example"}
    assert ask("POST", AT, headers=headers, data={"word": "sign", "back": AT}).status_code == 403
    assert people.do("grace", "contracts.get", kpi="revenue per seat").found.state == "drafted"


def test_a_contract_that_is_not_there_is_a_page(people: People, ask: Ask) -> None:
    answer = ask("GET", f"{HOME}/revenue", headers=known(people, "grace"))
    assert answer.status_code == 404
    assert "revenue-per-seat" in answer.text


def test_two_owners_who_sign_at_once_are_both_kept(people: People) -> None:
    people.do("ada", "people.grant", name="mia", role="business owner")
    who = ["grace", "mia", "grace", "mia"]
    with ThreadPoolExecutor(len(who)) as pool:
        states = list(pool.map(lambda name: people.do(name, "contracts.sign", kpi="revenue per seat").state, who))
    assert states == ["signed"] * 4
    detail = people.do("sam", "contracts.get", kpi="revenue per seat")
    assert sorted(one.actor.name for one in detail.signatures) == ["grace", "mia"], "each once"
    assert detail.found.by in ("grace", "mia")
    people.do(detail.found.by, "contracts.sign", kpi="revenue per seat", withdraw=True)
    assert people.do("sam", "contracts.get", kpi="revenue per seat").found.state == "signed", "the other's name stands"


def test_what_came_of_a_hypothesis_whose_author_left_is_told_to_the_owner(people: People) -> None:
    """Its day passed, and there is nothing to tell it by."""
    late = dataclasses.replace(REVENUE, hypothesis=Hypothesis(effect=0.1, by="2013-03-01", author="dan"))
    with people.writing() as tx:
        keep(tx, people.as_("mia"), late.terms(), endpoint="flight-delays")
    people.do("ada", "people.change", name="dan", disabled=True)
    found = look_at_hypothesis(
        people.workspace, revision_of(people.workspace, "flight-delays"), late.terms(), people.workspace.clock.now()
    )
    assert found is not None
    assert (found.verdict, found.is_final) == ("cannot tell", True)
    assert not any("hypothesis" in one for one in people.told("dan"))
    assert any(
        "dan's hypothesis on 'revenue per seat' is not to be told, and its day has come" in one
        for one in people.told("grace")
    )
