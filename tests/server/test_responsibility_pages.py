"""The pages on which people talk and answer: comments with forms, what needs one, hand-overs."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import polars as pl
import pytest
from msgspec import structs

import slipway as sw
from answering import People, people_in
from filled_store import GOOD_RUN, NASTY
from incident_desk import later
from server_desk import Ask, asker
from slipway.data.ingest import ingest
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.responsibility import Comment

HOME = "/projects/flights"
RUN = f"{HOME}/runs/{GOOD_RUN}"


@pytest.fixture
def people(workspace: Workspace) -> People:
    return people_in(workspace)


@pytest.fixture
def ask(people: People) -> Ask:
    return asker(people.workspace)


def known(people: People, name: str) -> dict[str, str]:
    text = people.do("ada", "tokens.add", name=name).text
    return {"cookie": f"slipway_session={text}"}


def send(ask: Ask, path: str, headers: dict[str, str], **fields: str) -> httpx.Response:
    return ask("POST", path, headers=headers, data=fields)


def said(people: People, about: str) -> list[Comment]:
    with people.workspace.ledger.read() as tx:
        return list(entries.every(tx, Comment, parent=about))


def test_a_comment_is_said_changed_and_deleted_on_the_page(people: People, ask: Ask) -> None:
    dan, eve = known(people, "dan"), known(people, "eve")
    answer = send(ask, f"{HOME}/comments", dan, about=f"run:{GOOD_RUN}", text=f"**Why** @eve {NASTY}", back=RUN)
    assert (answer.status_code, answer.headers["location"]) == (303, RUN)
    own = next(one for one in said(people, f"run:{GOOD_RUN}") if "@eve" in one.text)
    text = ask("GET", RUN, headers=dan).text
    assert f'action="{HOME}/comments/{own.id}/edit"' in text
    assert "<strong>Why</strong>" in text
    assert NASTY not in text
    text = ask("GET", RUN, headers=eve).text
    assert f"{own.id}/edit" not in text
    assert "dan mentions you" in ask("GET", "/inbox", headers=eve).text
    assert send(ask, f"{HOME}/comments/{own.id}/edit", eve, text="mine", back=RUN).status_code == 403
    assert send(ask, f"{HOME}/comments/{own.id}/edit", dan, text="again", back=RUN).status_code == 303
    assert send(ask, f"{HOME}/comments/{own.id}/delete", dan, back=RUN).status_code == 303
    text = ask("GET", RUN, headers=dan).text
    assert "by dan." in text
    assert "again</p>" not in text


@sw.table(key="id", origin="simulated")
def invented() -> pl.DataFrame:
    return pl.DataFrame({"id": [1]})


def test_the_inbox_says_what_is_simulated_in_the_projects_that_it_tells_of(people: People, ask: Ask) -> None:
    dan, eve = known(people, "dan"), known(people, "eve")
    send(ask, f"{HOME}/comments", dan, about=f"run:{GOOD_RUN}", text="Why @eve", back=RUN)
    assert "SIMULATED" not in ask("GET", "/inbox", headers=eve).text
    ingest(people.workspace, invented)
    for path in ("/inbox", "/", f"{HOME}/incidents"):
        assert "<strong>SIMULATED</strong>: rows of invented are made up." in ask("GET", path, headers=eve).text, path
    assert "SIMULATED" not in ask("GET", f"{HOME}/models/flight-delays/1", headers=eve).text, (
        "it learned from real rows"
    )


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999"])
@pytest.mark.parametrize(
    "path", [f"{HOME}/comments", f"{HOME}/comments/c0/edit", f"{HOME}/comments/c0/delete", "/inbox/read", f"{HOME}/handovers/h1"]
)  # fmt: skip
def test_a_foreign_page_sends_nothing(people: People, ask: Ask, path: str, origin: str) -> None:
    before = said(people, f"run:{GOOD_RUN}")
    headers = {**known(people, "dan"), "origin": origin}
    assert send(ask, path, headers, about=f"run:{GOOD_RUN}", text="x", word="accept").status_code == 403
    assert said(people, f"run:{GOOD_RUN}") == before


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_the_way_back_stays_inside(people: People, ask: Ask, back: str) -> None:
    answer = send(ask, f"{HOME}/comments", known(people, "dan"), about="table:flights", text="x", back=back)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_what_does_not_fit_is_a_sentence(people: People, ask: Ask) -> None:
    dan = known(people, "dan")
    for fields, status in (
        ({"about": "table:flights", "text": ""}, 422),
        ({"about": "nothing", "text": "x"}, 422),
        ({"about": "run:none", "text": "x"}, 404),
        ({"about": "table:flights", "text": "x" * 300_000}, 413),
    ):
        answer = send(ask, f"{HOME}/comments", dan, **fields)
        assert answer.status_code == status, answer.text
        assert "<h1>" in answer.text
    assert send(ask, f"{HOME}/comments", {}, about="table:flights", text="x").status_code in (303, 401)
    assert [one for one in said(people, "table:flights/flights") if one.text == "x"] == []


def test_who_may_not_see_a_thing_sees_no_comments_on_it(people: People, ask: Ask) -> None:
    sam = known(people, "sam")
    people.do("sam", "comments.add", about="model:flight-delays:1", text="slow answers")
    assert "slow answers" in ask("GET", f"{HOME}/models/flight-delays/1", headers=sam).text
    assert ask("GET", RUN, headers=sam).status_code == 403
    assert send(ask, f"{HOME}/comments", sam, about=f"run:{GOOD_RUN}", text="x").status_code == 403


def test_all_comments_stand_on_one_page_newest_first_by_person_and_kind(people: People, ask: Ask) -> None:
    later(people.workspace.clock, hours=1)
    people.do("dan", "comments.add", about="table:flights", text=f"late rows @eve @mia {NASTY}")
    later(people.workspace.clock, hours=1)
    people.do("mia", "comments.add", about="table:flights", text="seen by mia")
    later(people.workspace.clock, hours=1)
    run = people.do("dan", "comments.add", about=f"run:{GOOD_RUN}", text="tidy curves")
    dan = known(people, "dan")
    for home in ("", HOME):
        page = ask("GET", f"{home}/comments", headers=dan).text
        places = [page.index(text) for text in ("tidy curves", "seen by mia", "late rows")]
        assert places == sorted(places)
        assert NASTY not in page
        assert f'href="{RUN}#comment-{run.comment.id}"' in page
        assert '<span class="state warn">waits for eve</span> <span class="quiet">1 later comment' in page
    of_mia = ask("GET", f"{HOME}/comments?person=mia", headers=dan).text
    assert [text in of_mia for text in ("seen by mia", "late rows", "tidy curves")] == [True, True, False]
    of_runs = ask("GET", f"{HOME}/comments?kind=run&person=dan", headers=dan).text
    assert [text in of_runs for text in ("tidy curves", "seen by mia")] == [True, False]
    assert ask("GET", f"{HOME}/comments?kind=hat", headers=dan).status_code == 422
    assert ask("GET", f"{HOME}/comments?limit=0", headers=dan).status_code == 422
    one = people.do("dan", "comments.all", limit=1)
    assert [remark.comment.id for remark in one.remarks] == [run.comment.id]
    assert one.more == people.do("dan", "comments.all").more + len(people.do("dan", "comments.all").remarks) - 1


def test_the_list_of_comments_leaves_out_what_one_may_not_see(people: People, ask: Ask) -> None:
    people.do("dan", "comments.add", about=f"run:{GOOD_RUN}", text="tidy curves")
    people.do("sam", "comments.add", about="model:flight-delays:1", text="slow answers")
    seen = people.do("sam", "comments.all")
    assert {one.kind for one in seen.remarks} == {"model", "verdict"} == set(seen.kinds)
    assert people.do("sam", "comments.all", kind="run").remarks == ()
    page = ask("GET", "/comments", headers=known(people, "sam")).text
    assert "slow answers" in page
    assert "tidy curves" not in page


def test_what_was_said_of_a_thing_outlives_it(people: People, ask: Ask) -> None:
    kept = people.do("dan", "comments.add", about="table:flights", text="dear table").comment
    with people.workspace.ledger.write() as tx:
        entries.put(tx, structs.replace(kept, parent_id="table:flights/gone"))
    page = ask("GET", f"{HOME}/comments", headers=known(people, "dan")).text
    assert "on a table that is gone" in page
    assert "dear table" in page


def test_a_hand_over_is_answered_on_its_page_by_whom_it_is_offered_to(people: People, ask: Ask) -> None:
    offer: dict[str, Any] = {"model": "flight-delays", "to": "mia", "run_book": f"# Night\n\n{NASTY}"}
    id = people.do("dan", "handovers.offer", **offer).handover.id
    at = f"{HOME}/models/flight-delays/latest/handover"
    assert "Your word" not in ask("GET", at, headers=known(people, "gov")).text
    mia = known(people, "mia")
    text = ask("GET", at, headers=mia).text
    assert "Your word" in text
    assert NASTY not in text
    assert "<h3>Night</h3>" in text
    assert send(ask, f"{HOME}/handovers/{id}", mia, word="perhaps", back=at).status_code == 422
    assert send(ask, f"{HOME}/handovers/{id}", mia, word="accept", comment="mine", back=at).status_code == 303
    text = ask("GET", at, headers=mia).text
    assert "accepted" in text
    assert "Your word" not in text


def test_the_inbox_is_marked_as_read(people: People, ask: Ask) -> None:
    people.do("dan", "comments.add", about="table:flights", text="@sam @mia")
    people.do("dan", "comments.add", about="model:flight-delays:1", text="@sam")
    sam = known(people, "sam")
    assert ask("GET", "/inbox", headers=sam).text.count("mentions you") == 1  # sam may not see tables
    assert send(ask, "/inbox/read", sam).headers["location"] == "/"
    assert "Nothing needs you" in ask("GET", "/inbox", headers=sam).text
    assert "mentions you" in ask("GET", "/inbox", headers=known(people, "mia")).text


def test_the_projects_page_shows_who_answers_for_what(people: People, ask: Ask) -> None:
    people.declare()
    people.do("grace", "absences.add", until="2030-01-01T00:00:00Z", deputy="gov")
    text = ask("GET", HOME, headers=known(people, "eve")).text
    assert "Who answers for what" in text
    assert "grace is away; gov stands in." in text


def test_names_from_addresses_are_escaped(people: People) -> None:
    alone = asker(replace(people.workspace))
    answer = alone("GET", f"{HOME}/models/{quote(NASTY, safe='')}/1/handover", headers=known(people, "ada"))
    assert answer.status_code == 404
    assert NASTY not in answer.text
