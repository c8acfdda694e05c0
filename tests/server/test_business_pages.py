"""Pages for people who know nothing of machine learning, a link that shows just one of them, and the portfolio."""

import re
import zlib
from typing import Any

import httpx
import msgspec
import pytest
from test_pages import read

from answering import People, people_in
from business_desk import FORBIDDEN, prosper, words_of
from filled_store import NASTY, fill
from incident_desk import later
from server_desk import Ask, asker
from slipway.backends.clocks import SimulatedClock
from slipway.backends.fpdf_document import pdf
from slipway.flows.business_document import document
from slipway.ledger import entries
from slipway.operations.business import GetBusiness
from slipway.operations.declare import call
from slipway.operations.table import OPERATIONS
from slipway.ports.workspace import Workspace
from slipway.records.business import SharedPage

HOME = "/projects/flights/business"
AT = f"{HOME}/flight-delays"


@pytest.fixture
def people(workspace: Workspace) -> People:
    return people_in(workspace)


def known(people: People, name: str) -> dict[str, str]:
    return {"cookie": f"slipway_session={people.do('ada', 'tokens.add', name=name).text}"}


def link_of(people: People, **more: Any) -> str:
    return str(people.do("grace", "business.share", model="flight-delays", **more).path)


def verbs(workspace: Workspace) -> list[str]:
    with workspace.ledger.read() as tx:
        return [event.verb for event in tx.events(limit=1000) if event.verb.startswith("business.")]


# Words


@pytest.mark.parametrize("make", [fill, prosper])
@pytest.mark.parametrize("path", [HOME, AT, "/portfolio"])
def test_no_word_of_machine_learning_is_in_what_the_page_says_itself(
    workspace: Workspace, make: Any, path: str
) -> None:
    make(workspace)
    found = FORBIDDEN.findall(words_of(asker(workspace)("GET", path).text))
    assert found == []


def test_the_page_says_what_is_known_and_what_is_not(workspace: Workspace) -> None:
    prosper(workspace)
    text = " ".join(words_of(asker(workspace)("GET", AT).text).split())
    for part in (
        "In production since 20 Mar 2013",
        "worse than agreed",
        "0.85 (likely between 0.81 and 0.89), over 905 cases until 1 Apr 2013",
        "At least 0.9 is agreed",
        "Nobody has signed that yet",
        "So far it got worse by 0.05 (likely between -0.1 and 0.2)",
        "Whatever else changed meanwhile is in that too",
        "15,000 a month (likely between 6,000 and 24,000). Measured on 16,000 cases",
        "Expected: 120,000 a year",
        "0.12 worse than before over 905 cases",
        "Ended on 1 Apr 2013 by",
        "Going back was last tried out on 1 Apr 2013 in use, and worked",
        "Who answers for it?",
    ):
        assert part in text.replace("  ", " "), part
    assert "<figure" in asker(workspace)("GET", AT).text


def test_what_people_named_is_escaped_and_nobody_else_is_asked(people: People) -> None:
    ask = asker(people.workspace)
    people.do("grace", "business.share", model="flight-delays", label=NASTY)
    people.do("grace", "business.mail", model="flight-delays", to=["a@example.org"])
    for path in (HOME, AT, "/portfolio", link_of(people, label=NASTY)):
        answer = ask("GET", path, headers=known(people, "grace"))
        assert answer.status_code == 200
        assert NASTY not in answer.text
        assert [link for link in read(answer.text).links if "//" in link and not link.startswith("data:")] == []
    assert ask("GET", f"{HOME}/{NASTY}", headers=known(people, "grace")).status_code == 404


@pytest.mark.full
def test_as_a_pdf(workspace: Workspace) -> None:
    prosper(workspace)
    answer = asker(workspace)("GET", f"{AT}/pdf")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    assert answer.content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", answer.content)) <= 2


@pytest.mark.full
@pytest.mark.parametrize("looks", [6, 1])
def test_the_pdf_draws_how_the_figure_went_where_it_was_measured_more_than_once(
    workspace: Workspace, looks: int
) -> None:
    prosper(workspace)
    page = call(workspace, OPERATIONS["business.get"], GetBusiness(model="flight-delays"))
    figure = msgspec.structs.replace(page.figures[0], looks=page.figures[0].looks[-looks:])
    drawn = _drawn(pdf(document(msgspec.structs.replace(page, figures=(figure,)))))
    bands = re.findall(rb"(?:\S+ \S+ [ml]\s+){12}h?\s*f", drawn)  # six upper and six lower ends, filled
    dashes = re.findall(rb"\[\S+ \S+\] \S+ d", drawn)  # the agreed limit
    assert (len(bands), len(dashes)) == ((1, 1) if looks > 1 else (0, 0))


def _drawn(data: bytes) -> bytes:
    """What the pages of a PDF draw, as its operators."""
    streams = re.findall(rb"/Filter /FlateDecode.*?stream\n(.*?)\nendstream", data, re.DOTALL)
    return b"\n".join(zlib.decompress(one) for one in streams if one[:1] == b"x")


# Links


def test_a_link_shows_one_page_to_somebody_nobody_knows_and_leads_nowhere_else(people: People) -> None:
    ask = asker(people.workspace)
    assert ask("GET", AT).status_code == 303  # they must log in
    path = link_of(people, label="the board")
    answer = ask("GET", path)
    assert answer.status_code == 200
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "revenue per seat" in answer.text
    reader = read(answer.text)
    inside = [link for link in reader.links if not link.startswith("data:")]
    assert [link for link in inside if not re.fullmatch(r"/static/[\w.-]+\.css", link)] == [f"{path}/pdf"]
    assert reader.tags & {"form", "script", "button", "input"} == set()
    assert FORBIDDEN.findall(words_of(answer.text)) == []
    assert ask("GET", f"{path}/pdf").content.startswith(b"%PDF")
    assert verbs(people.workspace) == ["business.share", "business.opened"]  # the second time is no news


def test_a_link_opens_no_other_route_however_it_is_shown(people: People) -> None:
    ask = asker(people.workspace)
    path = link_of(people)
    text = path.removeprefix("/shared/")
    shown = (
        {},
        {"authorization": f"Bearer {text}"},
        {"authorization": f"Bearer slw_{text.replace('.', '_')}"},
        {"cookie": f"slipway_session={text}"},
    )
    for one in OPERATIONS.values():
        address = one.path.replace("{project}", "flights")
        for headers in (
            shown if one.name in ("runs.search", "business.get", "portfolio.get", "business.share") else shown[:1]
        ):
            assert ask(one.method, address, headers=headers).status_code == 401, one.name
    for below in ("/x", "/pdf/x", "/../..", "/../projects/flights", "/%2e%2e/%2e%2e/projects"):
        assert ask("GET", path + below).status_code in (303, 404), below
    assert ask("POST", path).status_code == 405
    assert ask("DELETE", f"{path}/pdf").status_code == 405


def test_a_link_ends_by_time_by_hand_and_is_nothing_when_it_is_altered(people: People, clock: SimulatedClock) -> None:
    ask, first, second = asker(people.workspace), link_of(people, days=2), link_of(people)
    for wrong in (
        first[:-1],
        f"{first}x",
        first.replace(".", "_"),
        f"/shared/{'0' * 32}.{'x' * 43}",
        "/shared/x",
        "/shared/%00",
    ):
        answer = ask("GET", wrong)
        assert answer.status_code == 404, wrong
        assert [link for link in read(answer.text).links if "/projects" in link] == []
    assert ask("GET", first).status_code == 200
    id = second.partition(".")[0].removeprefix("/shared/")
    told = people.do("grace", "business.revoke", id=id)
    assert [one.revoked_by for one in told.links] == ["grace", ""]
    assert {one.secret for one in told.links} == {""}
    assert ask("GET", second).status_code == 404
    later(clock, days=2, hours=1)
    assert ask("GET", first).status_code == 404
    assert verbs(people.workspace) == ["business.share", "business.share", "business.opened", "business.revoke"]
    with people.workspace.ledger.read() as tx:
        for one in entries.find(tx, SharedPage, project="flights"):
            assert not re.search(second.partition(".")[2], msgspec.json.encode(one).decode())


def test_a_link_to_a_model_that_is_gone_names_no_other(people: People) -> None:
    path = link_of(people)
    with people.writing() as tx:
        link = entries.find(tx, SharedPage, project="flights")[0]
        entries.put(tx, msgspec.structs.replace(link, name="flight-delay"))
    answer = asker(people.workspace)("GET", path)
    assert answer.status_code == 404
    assert "flight" not in words_of(answer.text)


def test_a_form_makes_a_link_that_is_shown_once(people: People) -> None:
    ask, grace = asker(people.workspace), known(people, "grace")
    answer = ask("POST", f"{AT}/links", headers=grace, data={"label": "the board", "days": "7", "back": AT})
    assert answer.status_code == 200
    (path,) = re.findall(r'value="http://127\.0\.0\.1:8300(/shared/[^"]+)"', answer.text)
    assert ask("GET", path).status_code == 200
    page = ask("GET", AT, headers=grace).text
    assert "the board" in page
    assert path not in page
    id = path.partition(".")[0].removeprefix("/shared/")
    assert ask("POST", f"{AT}/links/end", headers=grace, data={"id": id, "back": AT}).status_code == 303
    assert ask("GET", path).status_code == 404
    for days in ("0", "many", "400", ""):
        assert ask("POST", f"{AT}/links", headers=grace, data={"days": days, "back": AT}).status_code == 422, days


def test_who_may_not_share_is_not_asked_to_and_is_refused(people: People) -> None:
    ask = asker(people.workspace)
    for who in ("sam", "dan"):
        assert "Make a link" not in ask("GET", AT, headers=known(people, who)).text
        assert ask("POST", f"{AT}/links", headers=known(people, who), data={"days": "7"}).status_code == 403
        assert ask("POST", f"{AT}/mail", headers=known(people, who), data={"to": "a@example.org"}).status_code == 403
    assert "Make a link" in ask("GET", AT, headers=known(people, "grace")).text
    foreign = {**known(people, "grace"), "origin": "http://evil.example"}
    assert ask("POST", f"{AT}/links", headers=foreign, data={"days": "7"}).status_code == 403


def test_mail_is_set_by_a_form(people: People) -> None:
    ask, grace = asker(people.workspace), known(people, "grace")

    def post(**given: str) -> httpx.Response:
        return ask("POST", f"{AT}/mail", headers=grace, data={"weekday": "4", "hour": "6", "back": AT, **given})

    assert post(to="a@example.org, b@example.org").status_code == 303
    page = ask("GET", AT, headers=grace).text
    assert "It goes to 2 addresses" in page
    assert "a@example.org b@example.org" in page
    assert "No mail leaves this store yet" in page
    for wrong in ({"to": "nobody"}, {"to": "a@b@c"}, {"weekday": "9"}, {"hour": "x"}, {"to": "a@example.org\nBcc:"}):
        assert post(**{"to": "a@example.org", **wrong}).status_code == 422, wrong
    assert post(to="").status_code == 303
    assert "It goes to nobody" in ask("GET", AT, headers=grace).text


# The portfolio


def test_the_portfolio_says_how_far_each_is_and_on_whom_it_waits(workspace: Workspace) -> None:
    prosper(workspace)
    text = words_of(asker(workspace)("GET", "/portfolio").text)
    for part in (
        "Ideas, 1",
        "In production, 1",
        "Retired, 1",
        "Nobody has begun work on it",
        "An incident is open for more than a day",
        "1 of 3",
        "33 % of them",
        "150,000",
        "15,000",
        "48 days",
        "an hour of computing costs 0.05",
    ):
        assert part in text, part


def test_the_portfolio_has_only_projects_that_whoever_asks_may_see(people: People) -> None:
    people.do("ada", "people.add", name="out", roles=[])
    people.do("ada", "people.add", name="soft", roles=["software engineer"])
    for who in ("out", "soft"):
        answer = asker(people.workspace)("GET", "/portfolio", headers=known(people, who))
        assert "flight-delays" not in answer.text, who
    assert "flight-delays" in asker(people.workspace)("GET", "/portfolio", headers=known(people, "sam")).text


def test_an_empty_store_says_how_to_begin(workspace: Workspace) -> None:
    ask: Ask = asker(workspace)
    assert "There is no use case yet" in ask("GET", "/portfolio").text
