"""A version's page with its way to production, and an endpoint's with its acts: what is offered to whom, and what comes of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from filled_store import GOOD_RUN, MODELS, NASTY, fill
from server_desk import Ask, asker
from slipway.flows import ask_endpoint
from slipway.ledger import entries
from slipway.operations.asking import AskEndpoint, EndpointAnswer
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.loop import RetrainSpec
from slipway.records.models import ModelVersion
from slipway.records.people import Actor
from slipway.records.promotions import Promotion, PromotionPlace, PromotionStage

AT = datetime(2013, 4, 1, tzinfo=UTC)
HOME = "/projects/flights/models/flight-delays/1"
ENDPOINT = "/projects/flights/endpoints/flight-delays"
TEST = PromotionPlace(target="test", source="dev")
PROD = PromotionPlace(target="prod", source="test", tokens=("prod",))


class Neighbours:
    """The other environments, without any: it keeps what was asked for."""

    def __init__(self, *places: PromotionPlace) -> None:
        self.known = places
        self.asked: list[dict[str, Any]] = []

    def places(self, project: str) -> tuple[PromotionPlace, ...]:
        return self.known if project == "flights" else ()

    def promote(self, place: PromotionPlace, model: str, version: str, **more: Any) -> Promotion | None:
        self.asked.append({"target": place.target, "model": model, "version": version, **more})
        return None

    def approve(self, place: PromotionPlace, model: str, version: str, **more: Any) -> None:
        self.asked.append({"target": place.target, "model": model, "version": version, **more})


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    fill(workspace)
    return workspace


def by(workspace: Workspace, role: str, **more: Any) -> Ask:
    return asker(replace(workspace, actor=Actor("somebody", roles=(role,)), **more))


def promoted(workspace: Workspace, target: str, **stage: Any) -> None:
    """Keep a promotion of the first version that stands at a stage."""
    with workspace.ledger.write() as tx:
        version = next(one for one in (entries.get(tx, ModelVersion, id) for id in MODELS) if one.number == 1)
        told = PromotionStage(**{"sentence": NASTY, "at": AT, **stage})
        promotion = Promotion(
            id=f"flights/{target}/flight-delays/1", project="flights", name="flight-delays", created_at=AT, number=1,
            source="dev" if target == "test" else "test", target=target, workflow="default", version=1, arrived=3,
            bundle=version.bundle, endpoint="flight-delays", stages=(told,), state=told.state, actor=Actor("dan"),
            updated_at=AT,
        )  # fmt: skip
        entries.put(tx, promotion)


def test_a_run_leads_to_the_way_of_what_it_registered(filled: Workspace) -> None:
    text = by(filled, "ml engineer")("GET", f"/projects/flights/runs/{GOOD_RUN}").text
    assert "From here to production" in text
    assert f'href="{HOME}#way"' in text


def test_without_the_projects_folder_the_page_says_the_command(filled: Workspace) -> None:
    text = by(filled, "ml engineer")("GET", HOME).text
    assert "not started in the project&#39;s folder" in text
    assert "slipway promote flight-delays:1 --to test" in text
    answer = by(filled, "ml engineer")("POST", f"{HOME}/promote", data={"target": "test", "number": "1"})
    assert (answer.status_code, "Start it there: slipway up" in answer.text) == (409, True)


def test_the_next_step_is_a_button_for_who_may(filled: Workspace) -> None:
    others = Neighbours(TEST, PROD)
    ask = by(filled, "ml engineer", environments=others)
    text = ask("GET", HOME).text
    assert "Deploy to test" in text
    assert "Promote to prod" not in text
    assert "Deploy to test" not in by(filled, "business owner", environments=others)("GET", HOME).text
    sent = {"target": "test", "number": "1", "back": f"{HOME}#way"}
    answer = ask("POST", f"{HOME}/promote", data=sent)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{HOME}#way")
    assert others.asked == [
        {
            "target": "test",
            "model": "flight-delays",
            "version": "1",
            "endpoint": "",
            "key": "",
            "reason": "",
            "tokens": {},
        }
    ]
    with filled.ledger.read() as tx:
        told = [event for event in tx.events() if event.verb == "promotions.ask"]
    assert [(one.actor.name, one.body["target"]) for one in told] == [("somebody", "test")]


def test_a_store_that_knows_people_is_entered_by_its_own_token_only(filled: Workspace) -> None:
    others = Neighbours(TEST, PROD)
    promoted(filled, "test", name="registry", state="done")
    ask = by(filled, "ml engineer", environments=others)
    text = ask("GET", HOME).text
    assert "Your token of prod" in text
    assert 'name="number" value="3"' in text  # the version's number in test
    refused = ask("POST", f"{HOME}/promote", data={"target": "prod", "number": "3"})
    assert refused.status_code == 422
    assert "no token of it was shown" in refused.text
    ask("POST", f"{HOME}/promote", data={"target": "prod", "number": "3", "token_prod": "slw_a_secret"})
    assert [one["tokens"] for one in others.asked] == [{"prod": "slw_a_secret"}]
    with filled.ledger.read() as tx:
        assert not [event for event in tx.events() if "secret" in str(event)]


@pytest.mark.parametrize(
    ("stage", "shown"),
    [
        ({"name": "approval", "state": "waiting", "command": "slipway approve m --version 3 --role governance"}, "for test"),
        ({"name": "copy", "state": "waiting", "command": "slipway promote m --to test --trust abc"}, "trust abc and go on"),
        ({"name": "gate", "state": "failed"}, "Try again"),
        ({"name": "deploy", "state": "waiting"}, "Go on"),
        ({"name": "deploy", "state": "under way"}, "Go on"),
        ({"name": "registry", "state": "done"}, "went all the way"),
    ],
)  # fmt: skip
def test_wherever_it_stands_the_page_says_what_is_next(filled: Workspace, stage: Mapping[str, Any], shown: str) -> None:
    promoted(filled, "test", **stage)
    text = by(filled, "admin", environments=Neighbours(TEST))("GET", HOME).text
    assert shown in text
    assert NASTY not in text
    assert ('name="role" value="governance"' in text) == (stage["name"] == "approval")


def test_what_hinders_is_said(filled: Workspace) -> None:
    far = PromotionPlace(target="test", source="dev", obstacle="A server keeps it.")
    ask = by(filled, "admin", environments=Neighbours(far))
    assert "A server keeps it." in ask("GET", HOME).text
    answer = ask("POST", f"{HOME}/promote", data={"target": "test", "number": "1"})
    assert answer.status_code == 409
    assert ask("POST", f"{HOME}/promote", data={"target": "moon", "number": "1"}).status_code == 404


def test_a_promotion_is_asked_for_with_a_reason_that_the_audit_log_and_the_story_keep(filled: Workspace) -> None:
    others = Neighbours(TEST)
    ask = by(filled, "ml engineer", environments=others)
    assert 'name="reason"' in ask("GET", HOME).text
    sent = {"target": "test", "number": "1", "reason": f"  the summer\nschedule {NASTY} "}
    assert ask("POST", f"{HOME}/promote", data=sent).status_code == 303
    assert others.asked[0]["reason"] == f"the summer schedule {NASTY}"
    with filled.ledger.read() as tx:
        (asked,) = [event for event in tx.events() if event.verb == "promotions.ask"]
    assert asked.body["reason"] == f"the summer schedule {NASTY}"
    assert ask("POST", f"{HOME}/promote", data={**sent, "reason": "x" * 1001}).status_code == 422
    promoted(filled, "test", name="deploy", state="waiting")
    with filled.ledger.write() as tx:
        kept = entries.get(tx, Promotion, "flights/test/flight-delays/1")
        entries.put(tx, msgspec.structs.replace(kept, reason=NASTY))
    text = ask("GET", HOME).text
    assert "Because: &lt;script&gt;" in text
    assert NASTY not in text


def test_retraining_is_approved_ahead_only_where_the_endpoint_declares_one(filled: Workspace) -> None:
    ask = by(filled, "governance")
    assert "Approve retraining ahead of time" not in ask("GET", ENDPOINT).text
    declared = DeclaredEndpoint(
        id="flights/dev/flight-delays", project="flights", name="flight-delays", created_at=AT, model="flight-delays",
        retrain=RetrainSpec(pipeline="release"),
    )  # fmt: skip
    with filled.ledger.write() as tx:
        entries.put(tx, declared)
    assert "Approve retraining ahead of time" in ask("GET", ENDPOINT).text
    assert "Approve retraining ahead of time" not in by(filled, "executive viewer")("GET", ENDPOINT).text


def test_a_word_is_given_in_the_next_store(filled: Workspace) -> None:
    others = Neighbours(TEST)
    said = {"target": "test", "number": "3", "role": "accountable", "decision": "approved", "comment": NASTY}
    ask = by(filled, "business owner", environments=others)
    assert ask("POST", f"{HOME}/answer", data=said).status_code == 303
    assert others.asked[0]["comment"] == NASTY
    assert ask("POST", f"{HOME}/answer", data={**said, "decision": "perhaps"}).status_code == 422
    assert ask("POST", f"{HOME}/answer", data={**said, "number": "x" * 40}).status_code in (303, 404, 422)
    assert by(filled, "data scientist", environments=others)("POST", f"{HOME}/answer", data=said).status_code == 403


def test_who_may_gives_their_word_on_the_page(filled: Workspace) -> None:
    ask = by(filled, "governance")
    assert "Give your word" in ask("GET", HOME).text
    assert "Give your word" not in by(filled, "data scientist")("GET", HOME).text
    sent = {"decision": "rejected", "comment": "the <b>slices</b> differ", "role": "accountable", "back": HOME}
    assert ask("POST", f"{HOME}/approve", data=sent).status_code == 303
    text = ask("GET", HOME).text
    assert "the &lt;b&gt;slices&lt;/b&gt; differ" in text


def test_any_two_versions_stand_side_by_side(filled: Workspace) -> None:
    ask = by(filled, "business owner")
    listed = ask("GET", "/projects/flights/models").text
    assert 'value="flight-delays:1"' in listed
    home = "/projects/flights/models/compare"
    text = ask("GET", f"{home}?version=flight-delays:1&version=flight-delays:1").text
    assert "Nothing moved." in text
    assert "<td>auc</td>" in text
    for query in (
        "",
        f"?after={NASTY}",
        "?after=flight-delays:1&before=x:9",
        "?version=a&version=b&version=c",
        "?after=%00",
    ):
        answer = ask("GET", home + query)
        assert answer.status_code == 200, query
        assert NASTY not in answer.text


# The endpoint


def test_the_endpoints_page_says_first_what_serves_and_what_is_asked(filled: Workspace) -> None:
    text = by(filled, "ml engineer")("GET", ENDPOINT).text
    for words in (
        "Serves",
        "Does it answer?",
        "Asked of people",
        "decide?what=pause",
        "decide?what=abort",
        f"{ENDPOINT}/try",
    ):
        assert words in text
    reader = by(filled, "executive viewer")("GET", ENDPOINT).text
    assert "decide?what=" not in reader
    assert f"{ENDPOINT}/try" not in reader


@pytest.mark.parametrize("what", ["rollback", "pause", "resume", "advance", "abort", "stop", "start"])
def test_each_act_is_shown_before_it_is_done(filled: Workspace, what: str) -> None:
    answer = by(filled, "ml engineer")("GET", f"{ENDPOINT}/decide?what={what}")
    assert answer.status_code == 200
    assert "Now revision 1 serves" in answer.text
    assert by(filled, "executive viewer")("GET", f"{ENDPOINT}/decide?what={what}").status_code == 403


def test_an_act_that_is_none_is_refused(filled: Workspace) -> None:
    ask = by(filled, "ml engineer")
    assert ask("GET", f"{ENDPOINT}/decide?what={NASTY}").status_code == 422
    assert ask("GET", f"{ENDPOINT}/decide?what=rollback&to=99999999999999999999").status_code == 200
    assert ask("POST", f"{ENDPOINT}/rollback", data={"to": "1"}).status_code == 422  # it needs a reason
    assert ask("POST", f"{ENDPOINT}/stand", data={"until": "soon"}).status_code == 422


def test_a_roll_out_is_paused_with_a_reason(filled: Workspace) -> None:
    """The filled store's revision carries no challenger, so the operation itself says what does not fit."""
    answer = by(filled, "ml engineer")("POST", f"{ENDPOINT}/pause", data={"reason": "the data of today is late"})
    assert answer.status_code in (303, 409)
    assert by(filled, "data scientist")("POST", f"{ENDPOINT}/pause", data={"reason": "x"}).status_code == 403


def test_a_prediction_is_typed_into_the_contracts_fields(filled: Workspace) -> None:
    ask = by(filled, "ml engineer")
    text = ask("GET", f"{ENDPOINT}/try").text
    assert '<select name="row.carrier"' in text
    assert 'name="row.distance"' in text
    refused = ask("POST", f"{ENDPOINT}/try", data={"row.carrier": NASTY, "row.distance": "nan"})
    assert refused.status_code == 200
    assert "does not run" in refused.text
    assert NASTY not in refused.text
    assert "You may not ask it" in by(filled, "executive viewer")("GET", f"{ENDPOINT}/try").text
    assert ask("POST", f"{ENDPOINT}/try", data={"row.carrier": "x" * 300_000}).status_code == 413


@pytest.mark.parametrize(
    "query", ["?days=3", "?days=1e9", "?did=rollback", f"?did={NASTY}", "?quality=1", "?what=ever"]
)
def test_whatever_is_asked_of_the_page_is_answered(filled: Workspace, query: str) -> None:
    answer = by(filled, "ml engineer")("GET", ENDPOINT + query)
    assert answer.status_code == 200
    assert NASTY not in answer.text


def test_operations_of_the_page_refuse_what_does_not_fit(filled: Workspace) -> None:
    ask = by(filled, "ml engineer")
    api = "/api/v1/projects/flights/endpoints"
    assert ask("GET", f"{api}/traffic?name=flight-delays&days=0").status_code == 422
    row = {"name": "flight-delays", "row": {}}
    assert ask("POST", f"{api}/ask", json={**row, "explain": 1000}).status_code == 422
    assert ask("POST", f"{api}/ask", json={**row, "token": "\u00e9\n"}).status_code == 422
    assert ask("POST", f"{api}/ask", json=row).json()["error"]["code"] == "Unavailable"
    assert msgspec.json.decode(ask("GET", f"{api}/sample?name=flight-delays").content)["rows"] == 0


def test_an_answer_is_shown_with_what_moved_it(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = {"input": NASTY, "value": None, "contribution": 0.98}
    why = {"scale": "log-odds", "how": "exact", "base": 0.1, "score": 1.2, "contributions": [moved]}
    by_rule = {"by": "rule", "reason": NASTY}
    first = {"id": "p1", "score": 0.75, "decision": True, "version": 1, "explanation": why, "fallback": by_rule}
    asked: list[AskEndpoint] = []

    def answered(workspace: Workspace, request: AskEndpoint) -> EndpointAnswer:
        asked.append(request)
        body = {"predictions": [first], "model": {"name": "flight-delays", "version": 1}, "revision": 1}
        return EndpointAnswer(body=body, took_ms=3.25, at=AT)

    monkeypatch.setattr(ask_endpoint, "ask", answered)
    sent = {"row.carrier": "UA", "row.distance": "1400.5", "explain": "1"}
    text = by(filled, "ml engineer")("POST", f"{ENDPOINT}/try", data=sent).text
    assert (asked[0].row["carrier"], asked[0].row["distance"], asked[0].explain) == ("UA", 1400.5, 10)
    for words in ("0.75", "yes", "3.2 ms", "+0.9800", "The fallback answered"):
        assert words in text
    assert NASTY not in text
