"""The pages of documents that fill themselves."""

from filled_store import NASTY, fill
from server_desk import asker
from slipway.ports.workspace import Workspace

HOME = "/projects/flights/documents"
CARD = f"{HOME}/card/flight-delays"
ANSWER = {"field": "purpose", "text": "To <b>warn</b> passengers.", "back": f"{CARD}#purpose"}


def test_a_document_shows_its_states_and_is_answered_there(workspace: Workspace) -> None:
    fill(workspace)
    ask = asker(workspace)
    listed = ask("GET", HOME).text
    assert f'href="{CARD}?version=' in listed
    assert "Data sheet" in listed
    before = ask("GET", CARD)
    assert before.status_code == 200
    for part in ("Model details", "Nobody answered it yet.", "What is it for?", "Quantitative"):
        assert part in before.text
    assert NASTY not in before.text
    answer = ask("POST", CARD, data=ANSWER)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{CARD}#purpose")
    after = ask("GET", CARD).text
    assert "<b>warn</b>" not in after
    assert "&lt;b&gt;warn&lt;/b&gt;" in after
    assert "Answered by" in after
    assert ask("POST", CARD, data={**ANSWER, "field": "quality"}).status_code == 422
    assert ask("POST", CARD, data=ANSWER, headers={"origin": "http://evil.example"}).status_code == 403


def test_a_document_is_taken_away_as_a_file(workspace: Workspace) -> None:
    fill(workspace)
    ask = asker(workspace)
    ask("POST", CARD, data=ANSWER)
    for form, kind in (
        ("markdown", "text/markdown"),
        ("html", "text/html"),
        ("json", "application/json"),
        ("pdf", "application/pdf"),
    ):
        answer = ask("GET", f"{CARD}/as/{form}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["content-disposition"].startswith('attachment; filename="card-flight-delays-')
        assert form in ("json", "pdf") or "<b>" not in answer.text.replace("\\<b\\>", "")


def test_what_there_is_not_is_said(workspace: Workspace) -> None:
    fill(workspace)
    ask = asker(workspace)
    assert ask("GET", f"{HOME}/card/nothing").status_code == 404
    assert ask("GET", f"{HOME}/poem/flight-delays").status_code == 422
    assert ask("GET", f"{CARD}/as/poem").status_code == 404
    assert ask("GET", f"{CARD}?version=99").status_code == 404
    model = ask("GET", "/projects/flights/models/flight-delays/1").text
    assert f"{CARD}?version=1" in model
