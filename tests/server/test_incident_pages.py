"""The pages of incidents: the forms do what the operations do, and a run book is found by the address in a message."""

import pytest

from incident_desk import broken, incidents, monitor, shows
from server_desk import Ask, asker
from slipway.ledger import projects
from slipway.ports.workspace import Workspace

HOME = "/projects/flights/incidents"


@pytest.fixture
def ask(workspace: Workspace) -> Ask:
    projects.register(workspace)
    return asker(workspace)


def test_an_incident_is_answered_on_its_page(workspace: Workspace, ask: Ask) -> None:
    (one,) = shows(workspace, monitor("drift"), broken(about="<script>alert(1)</script>"))
    page = f"{HOME}/{one.id}"
    text = ask("GET", page).text
    assert ("&lt;script&gt;alert(1)" in text, "<script>" in text) == (True, False)
    assert "Do not retrain meanwhile" in text
    sent = {"headers": {"origin": "http://127.0.0.1:8300", "content-type": "application/x-www-form-urlencoded"}}
    for verb, said in (
        ("ack", "comment=seen"),
        ("snooze", "until=2030-01-01T08:00"),
        ("feedback", "word=known&comment=the+mast"),
        ("close", "comment=mended"),
    ):
        answer = ask("POST", f"{page}/{verb}", content=f"back={page}&{said}", **sent)
        assert (answer.status_code, answer.headers["location"]) == (303, page), answer.text
    (now,) = incidents(workspace)
    assert (now.acknowledged_by, now.feedback, now.comment, now.state) == ("ada", "known", "the mast", "closed")
    assert "closed by hand by ada: mended" in ask("GET", page).text
    assert "<b>0 %</b> of the 1 that were judged" in ask("GET", HOME).text
    answer = ask("POST", f"{page}/snooze", content="until=soon", **sent)
    assert answer.status_code == 422


def test_a_silent_one_says_what_explains_it(workspace: Workspace, ask: Ask) -> None:
    shows(workspace, monitor("drift"), broken())
    shows(workspace, monitor("quality"), state="alert", days=7)
    quality = next(one for one in incidents(workspace) if one.cause == "quality")
    assert "explained by" in ask("GET", HOME).text
    assert "Nobody was told of it: feature view weather is broken since" in ask("GET", f"{HOME}/{quality.id}").text


@pytest.mark.parametrize("path", [f"{HOME}/{'0' * 32}", "/runbook/nothing-like-it", "/runbook/..%2F..%2FREADME"])
def test_what_is_not_there_is_a_404(ask: Ask, path: str) -> None:
    assert ask("GET", path).status_code == 404
