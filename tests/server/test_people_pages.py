"""The pages of people and of settings: who is known and may what, acts for those who may, and never a secret."""

from typing import Any

import httpx
import pytest

from answering import People, people_in
from filled_store import NASTY, fill
from server_desk import Ask, asker
from slipway.governance import channels
from slipway.governance.people import person_named
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.notifications import ChannelSettings, NotifySettings
from slipway.records.people import RoleGrant, Token


@pytest.fixture
def people(workspace: Workspace) -> People:
    return people_in(workspace)


@pytest.fixture
def ask(people: People) -> Ask:
    return asker(people.workspace)


def known(people: People, name: str) -> dict[str, str]:
    text = people.do("ada", "tokens.add", name=name, label=f"{name} {NASTY}").text
    return {"cookie": f"slipway_session={text}"}


def grants(people: People, name: str) -> tuple[RoleGrant, ...]:
    with people.workspace.ledger.read() as tx:
        return person_named(tx, name).grants


def send(ask: Ask, path: str, headers: dict[str, str], **fields: str) -> httpx.Response:
    return ask("POST", path, headers=headers, data={"back": "/people", **fields})


def test_an_admin_lets_somebody_in_changes_roles_and_ends_what_they_may(people: People, ask: Ask) -> None:
    ada = known(people, "ada")
    answer = send(ask, "/people", ada, name="ben", title=NASTY, role="data scientist", project="flights", kind="person")
    assert (answer.status_code, answer.headers["location"]) == (303, "/people")
    assert grants(people, "ben") == (RoleGrant("data scientist", "flights"),)
    assert send(ask, "/people/ben/grant", ada, role="data engineer", project="").status_code == 303
    assert send(ask, "/people/ben/revoke", ada, role="data scientist", project="flights").status_code == 303
    assert grants(people, "ben") == (RoleGrant("data engineer"),)
    text = ask("GET", "/people", headers=ada).text
    assert NASTY not in text
    assert 'action="/people/ben/disable"' in text
    assert send(ask, "/people/ben/disable", ada, word="disable").status_code == 303
    with people.workspace.ledger.read() as tx:
        assert person_named(tx, "ben").disabled_at is not None


@pytest.mark.full
def test_who_may_not_write_people_sees_no_button_and_is_refused(people: People, ask: Ask) -> None:
    dan = known(people, "dan")
    text = ask("GET", "/people", headers=dan).text
    assert "grace" in text
    assert "Let somebody in" not in text
    assert "/grant" not in text
    for path, fields in (
        ("/people", {"name": "ben", "role": "admin"}),
        ("/people/dan/grant", {"role": "admin"}),
        ("/people/ada/disable", {"word": "disable"}),
    ):
        assert send(ask, path, dan, **fields).status_code == 403, path
    assert grants(people, "dan") == (RoleGrant("data scientist"),)


def test_tokens_are_told_by_name_and_never_by_their_secret(people: People, ask: Ask) -> None:
    ada, dan = known(people, "ada"), known(people, "dan")
    with people.workspace.ledger.read() as tx:
        tokens = list(entries.every(tx, Token))
    for cookie, names in ((ada, {"ada", "dan"}), (dan, {"dan"})):
        text = ask("GET", "/people", headers=cookie).text
        assert {one.name for one in tokens if f"/tokens/{one.id}/revoke" in text} == names
        for one in tokens:
            assert one.secret not in text
        assert cookie["cookie"].rpartition("_")[2] not in text
    own = next(one for one in tokens if one.name == "dan")
    assert send(ask, f"/tokens/{own.id}/revoke", dan).status_code == 303
    assert ask("GET", "/people", headers=dan).status_code == 303, "it is refused at once"
    other = next(one for one in tokens if one.name == "ada")
    grace = known(people, "grace")
    assert send(ask, f"/tokens/{other.id}/revoke", grace).status_code == 403


@pytest.mark.full
def test_what_a_role_may_is_said_in_words(people: People, ask: Ask) -> None:
    text = ask("GET", "/people?role=business+owner", headers=known(people, "dan")).text
    may, _, may_not = text.partition("What they may not")
    assert "approve a version, or retrainings until a date" in may
    assert "deploy, roll back, stop and retrain" in may_not
    assert ask("GET", "/people?role=king", headers=known(people, "dan")).status_code == 422


@pytest.mark.full
def test_the_last_admin_stays(people: People, ask: Ask) -> None:
    answer = send(ask, "/people/ada/disable", known(people, "ada"), word="disable")
    assert answer.status_code == 409
    assert "last admin" in answer.text


@pytest.mark.full
def test_a_store_that_knows_nobody_says_how_to_begin(workspace: Workspace) -> None:
    fill(workspace)
    text = asker(workspace)("GET", "/people").text
    assert "slipway people add NAME --role admin" in text
    assert "Let somebody in" not in text


SECRET = "hunter2hunter2"


def with_channels(workspace: Workspace) -> None:
    hook = ChannelSettings(kind="webhook", url=f"https://hooks.example.org/services/{SECRET}", secret="env:HOOK")
    mail = ChannelSettings(kind="mail", host="mail.example.org", sender="a@example.org", to=NASTY, password="env:MAIL")
    shown = ChannelSettings(kind="console")
    channels.remember(
        workspace.root, "flights", NotifySettings(escalate="2h", channels={"hook": hook, "mail": mail, "out": shown})
    )


def test_settings_say_where_they_come_from_and_no_secret(workspace: Workspace) -> None:
    fill(workspace)
    with_channels(workspace)
    ask = asker(workspace)
    text = ask("GET", "/settings").text
    for words in (
        "slipway.toml [notify] escalate",
        "2h",
        "after 30 days",
        "slipway.toml [cost] cpu_hour",
        "hooks.example.org",
    ):
        assert words in text, words
    assert NASTY not in text
    for answer in (text, ask("GET", "/api/v1/projects/flights/settings/get").text):
        assert SECRET not in answer
        assert "password" not in answer


@pytest.mark.full
def test_a_channel_is_tried_by_its_button(workspace: Workspace) -> None:
    fill(workspace)
    with_channels(workspace)
    ask = asker(workspace)
    assert 'action="/projects/flights/channels/out/test"' in ask("GET", "/settings").text
    answer = ask("POST", "/projects/flights/channels/out/test", data={"back": "/settings"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
    assert "sent</span>" in ask("GET", "/settings").text
    assert ask("POST", "/projects/flights/channels/nix/test", data={}).status_code == 404


@pytest.mark.full
def test_who_may_not_try_channels_sees_no_button(people: People, ask: Ask) -> None:
    with_channels(people.workspace)
    text = ask("GET", "/settings", headers=known(people, "dan")).text
    assert "hooks.example.org" in text
    assert "Send a test" not in text
    assert ask("POST", "/projects/flights/channels/out/test", headers=known(people, "dan"), data={}).status_code == 403
    viewer = ask("GET", "/settings", headers=known(people, "sam"))
    assert "hooks.example.org" not in viewer.text


@pytest.mark.full
@pytest.mark.parametrize(
    "path", ["/people", "/people/dan/grant", "/tokens/x/revoke", "/projects/flights/channels/out/test"]
)
def test_a_foreign_page_sends_nothing(people: People, ask: Ask, path: str) -> None:
    headers: dict[str, Any] = {**known(people, "ada"), "origin": "http://evil.example"}
    assert send(ask, path, headers, name="ben", role="admin").status_code == 403


@pytest.mark.parametrize("path", ["/", "/executions?limit=many", "/people", "/settings", "/inbox"])
def test_an_empty_store_has_these_pages_too(workspace: Workspace, path: str) -> None:
    assert asker(workspace)("GET", path).status_code == 200
