"""The pages on which anybody writes down what a model is wanted for."""

from filled_store import GOOD_RUN, fill
from server_desk import asker
from slipway.ports.workspace import Workspace

HOME = "/projects/flights/scopes"
AT = f"{HOME}/flight-delays"
FIELDS = {
    "name": "flight-delays",
    "decision": "Whether <b>a passenger</b> is told",
    "owner": "business owner",
    "mode": "live",
    "sources": "flights, weather",
    "requests_per_second": "1,000",
    "latency_ms": "100",
    "metrics": "auc = 0.7\nlog_loss=0.6",
    "back": AT,
}


def test_a_scope_is_written_changed_and_studied_on_pages(workspace: Workspace) -> None:
    fill(workspace)
    ask = asker(workspace)
    assert "Write a new one" in ask("GET", HOME).text
    answer = ask("POST", HOME, data=FIELDS)
    assert (answer.status_code, answer.headers["location"]) == (303, AT)
    text = ask("GET", AT).text
    assert "<b>a passenger</b>" not in text
    for part in ("1000 requests a second", "at least 0.7", "at most 0.6", "not yet measured", "Change it"):
        assert part in text
    digest = text.partition('name="former" value="')[2].partition('"')[0]
    changed = {**FIELDS, "latency_ms": "50", "former": digest}
    assert ask("POST", AT, data=changed).status_code == 303
    assert "within 50 ms" in ask("GET", AT).text
    assert ask("POST", AT, data=changed).status_code == 409  # it changed since that form was read
    assert "flight-delays" in ask("GET", HOME).text
    text = ask("GET", f"{AT}/study/{GOOD_RUN}").text
    assert "What is missing to full scale" in text
    assert "<b>a passenger</b>" not in text


def test_what_cannot_be_is_refused_in_words(workspace: Workspace) -> None:
    fill(workspace)
    ask = asker(workspace)
    for change, told in (
        ({"owner": ""}, "has no owner"),
        ({"latency_ms": "fast"}, "is no number"),
        ({"requests_per_second": ""}, "a latency at no rate"),
        ({"metrics": "auc"}, "is no number"),
        ({"name": "../x"}, "scope"),
        ({"value": "9"}, "of nothing"),
    ):
        answer = ask("POST", HOME, data={**FIELDS, **change})
        assert answer.status_code == 422, change
        assert told in answer.text
    assert ask("POST", HOME, data=FIELDS, headers={"origin": "http://evil.example"}).status_code == 403
    assert ask("GET", f"{HOME}/nothing").status_code == 404
