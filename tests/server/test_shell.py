"""What all pages share: the menu, the path that a proxy shows them below, their live parts, who may send a form."""

import re

import pytest
from test_pages import PAGES

from filled_store import BAD_RUN, fill
from server_desk import Ask, asker
from slipway.operations.declare import call, convert
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.reach import Reach
from slipway.server import live, navigation
from slipway.serving.reach import checked

BELOW = Reach(prefix="/team/ml")
ADDRESS = re.compile(r'(?:href|src|action)="([^"#?]+)')


@pytest.mark.parametrize("is_stripped", [True, False], ids=["the proxy takes the prefix off", "the proxy leaves it"])
def test_below_a_prefix_every_address_leads_below_it(workspace: Workspace, is_stripped: bool) -> None:
    fill(workspace)
    ask = asker(workspace, BELOW)
    for path in PAGES[:: 1 if is_stripped else 8]:
        answer = ask("GET", path if is_stripped else f"{BELOW.prefix}{path}")
        assert answer.status_code == 200, path
        found = [one for one in ADDRESS.findall(answer.text) if not one.startswith(("data:", "./"))]
        assert [one for one in found if not one.startswith(f"{BELOW.prefix}/")] == [], path


def test_below_a_prefix_forms_and_log_ins_come_back_below_it(workspace: Workspace) -> None:
    fill(workspace)
    ask = asker(workspace, BELOW)
    sent = ask(
        "POST", "/projects/flights/comments", data={"about": "table:flights", "text": "Seen.", "back": "https://e.org"}
    )
    assert (sent.status_code, sent.headers["location"]) == (303, "/team/ml/")
    adding = operation("people.add")
    call(workspace, adding, convert(adding, {"name": "ada", "roles": ["admin"]}))
    led = asker(workspace, BELOW)("GET", "/projects/flights/runs?order=started")
    assert led.headers["location"] == "/team/ml/login?next=%2Fteam%2Fml%2Fprojects%2Fflights%2Fruns%3Forder%3Dstarted"
    form = asker(workspace, BELOW)("GET", "/login?next=/team/ml/projects/flights")
    assert 'action="/team/ml/login"' in form.text
    assert 'value="/team/ml/projects/flights"' in form.text


@pytest.mark.parametrize("prefix", ["ml", "/", "/ml/", "/a//b", "/../x", "/a b", '/"x', "//host"])
def test_a_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    with pytest.raises(Exception, match=r"no path that pages can be shown below.*--prefix /slipway"):
        checked(Reach(prefix=prefix), "The server")


def test_the_menu_says_where_one_is(ask: Ask) -> None:
    for _, entries in navigation.OF_PROJECT:
        for entry in entries:
            text = ask("GET", f"/projects/flights/{entry.word}").text
            assert re.findall(r'href="([^"]*)" aria-current="page"', text) == [f"/projects/flights/{entry.word}"]
    assert 'href="/projects/flights/runs" aria-current="page"' in ask("GET", f"/projects/flights/runs/{BAD_RUN}").text


def test_a_form_of_another_site_is_refused_with_or_without_its_origin(ask: Ask) -> None:
    form = {"about": "table:flights", "text": "Seen."}
    for headers in (
        {"origin": "https://e.org"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        assert ask("POST", "/projects/flights/comments", data=form, headers=headers).status_code == 403, headers
    for own in ({}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"origin": "http://127.0.0.1:8300"}):
        assert ask("POST", "/projects/flights/comments", data=form, headers=own).status_code == 303, own


def test_no_page_can_be_framed_or_load_from_elsewhere(ask: Ask) -> None:
    for path in ("/", "/projects/flights", "/nothing", "/api/v1/projects"):
        headers = ask("GET", path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"


def test_the_live_parts_of_a_page_are_found() -> None:
    page = "<main><!--live:one-->1<!--/live:one--> and <!--live:two-->2<p>\n</p><!--/live:two--></main>"
    assert live.digest_of(page) == live.digest_of(page.replace("and", "or"))
    assert live.digest_of(page) != live.digest_of(page.replace("2", "3"))


def test_a_page_that_is_gone_says_so_to_who_looks_at_it(ask: Ask) -> None:
    answer = ask("GET", "/projects/flights/runs/ffffffff", headers={"accept": "text/event-stream"})
    assert answer.text == "event: gone\ndata: {}\n\n"


def test_what_people_wrote_is_no_live_part(ask: Ask) -> None:
    written = "<!--live:log-->theirs<!--/live:log-->"
    form = {"about": "table:flights", "text": written}
    assert ask("POST", "/projects/flights/comments", data=form).status_code == 303
    text = ask("GET", "/projects/flights/tables/flights").text
    assert "theirs" in text
    assert "<!--live" not in text
