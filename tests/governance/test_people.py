"""Who is known, which roles they hold, and by what they are known: by the operations and by the server."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from filled_store import fill
from server_desk import asker
from slipway.errors import Conflict, Denied, InvalidInput, NotFound, Unauthenticated
from slipway.governance.tokens import identified
from slipway.hosts import identity
from slipway.ledger import entries
from slipway.operations.declare import call, convert
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace, in_project
from slipway.records.people import Actor, Identity, Person

Do = Callable[..., Any]


def doing(workspace: Workspace) -> Do:
    def do(name: str, /, **fields: Any) -> Any:
        wanted = operation(name)
        return call(workspace, wanted, convert(wanted, fields))

    return do


@pytest.fixture
def admin(workspace: Workspace) -> Do:
    """Does things as Ada, the admin of a store that knows people."""
    fill(workspace)
    doing(workspace)("people.add", name="ada", roles=["admin"], account="ada-s")
    return doing(workspace)


def token_of(admin: Do, name: str, **limits: Any) -> str:
    text: str = admin("tokens.add", name=name, **limits).text
    return text


def known_by(workspace: Workspace, text: str) -> Workspace:
    known = identified(workspace.ledger, text, workspace.clock.now())
    return in_project(replace(workspace, identity=known), workspace.project)


def test_the_first_person_is_an_admin_and_whoever_asks(workspace: Workspace) -> None:
    do = doing(workspace)
    assert do("people.me").is_open
    with pytest.raises(InvalidInput, match="could not let anybody else in"):
        do("people.add", name="grace", roles=["business owner"])
    with pytest.raises(InvalidInput, match="could not let anybody else in"):
        do("people.add", name="ci", roles=["admin"], is_service=True)
    assert do("people.add", name="ada", roles=["admin"]).person.account == workspace.actor.name
    assert not do("people.me").is_open
    assert do("people.add", name="grace", roles=["business owner"]).person.account == ""


def test_who_cannot_be_known_is_said(admin: Do) -> None:
    for fields, error, words in (
        ({"name": "Grace H"}, InvalidInput, "grace-h"),
        ({"name": "ada"}, Conflict, "already"),
        ({"name": "eve", "roles": ["data sientist"]}, InvalidInput, "data scientist"),
        ({"name": "eve", "roles": ["member"]}, InvalidInput, "no role"),
        ({"name": "eve", "roles": ["admin"], "project": "flihgts"}, NotFound, "flights"),
        ({"name": "eve", "account": "ada-s"}, Conflict, "ada's"),
        ({"name": "eve", "email": "eve@example.org\r\nBcc: all@example.org"}, InvalidInput, "no address"),
        ({"name": "eve", "email": "Eve <eve@example.org>"}, InvalidInput, "no address"),
        ({"name": "eve", "title": "E" * 101}, InvalidInput, "no name for pages"),
        ({"name": "eve", "title": "Eve\nBloggs"}, InvalidInput, "no name for pages"),
        (
            {"name": "eve", "roles": ["governance", "ml engineer"]},
            InvalidInput,
            "exclude each other.*one of the two",
        ),
    ):
        with pytest.raises(error, match=words):
            admin("people.add", **fields)
    assert [one.name for one in admin("people.list").people] == ["ada"]


def test_an_odd_address_of_before_keeps_nobody_from_losing_rights(workspace: Workspace, admin: Do) -> None:
    admin("people.add", name="eve", email="eve@example.org", roles=["data scientist"])
    with workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(entries.get(tx, Person, "eve"), email="Eve <eve@example.org>"))
    admin("people.revoke", name="eve", role="data scientist")
    assert admin("people.change", name="eve", disabled=True).person.disabled_at is not None
    with pytest.raises(InvalidInput, match="no address"):
        admin("people.change", name="eve", email="Eve <other@example.org>")


@pytest.mark.parametrize(("first", "second"), [("", ""), ("flights", ""), ("", "flights"), ("flights", "flights")])
def test_roles_that_exclude_each_other_are_not_held_together(admin: Do, first: str, second: str) -> None:
    admin("people.add", name="eve", roles=["governance"], project=first)
    with pytest.raises(InvalidInput, match="exclude each other") as refused:
        admin("people.grant", name="eve", role="data scientist", project=second)
    assert refused.value.fix.endswith("slipway people revoke eve 'governance'" + (f" --in {first}" if first else ""))


def test_the_last_admin_stays(admin: Do) -> None:
    for name, fields in (
        ("people.revoke", {"name": "ada", "role": "admin"}),
        ("people.change", {"name": "ada", "disabled": True}),
    ):
        with pytest.raises(Conflict, match="last admin"):
            admin(name, **fields)
    admin("people.add", name="bob", roles=["admin"])
    admin("people.change", name="ada", disabled=True)
    with pytest.raises(Conflict, match="last admin"):
        admin("people.revoke", name="bob", role="admin")


def test_a_role_in_one_project_is_none_in_another(workspace: Workspace, admin: Do) -> None:
    admin("projects.add", name="tickets")
    admin("people.add", name="dan", roles=["data scientist"], project="flights")
    dan = known_by(workspace, token_of(admin, "dan"))
    assert [one.name for one in doing(dan)("projects.list").projects] == ["flights"]
    assert doing(dan)("runs.search").runs
    with pytest.raises(Denied, match="no role"):
        doing(in_project(dan, "tickets"))("runs.search")
    with pytest.raises(Denied, match=r"people\.write"):
        doing(dan)("people.add", name="eve")


def test_a_project_s_admin_lets_nobody_into_the_store(workspace: Workspace, admin: Do) -> None:
    admin("people.add", name="pat", roles=["admin"], project="flights")
    pat = doing(known_by(workspace, token_of(admin, "pat")))
    for name, fields in (
        ("people.add", {"name": "eve", "roles": ["admin"]}),
        ("people.grant", {"name": "pat", "role": "admin"}),
        ("tokens.add", {"name": "ada"}),
        ("tokens.list", {"everybody": True}),
    ):
        with pytest.raises(Denied):
            pat(name, **fields)


def test_how_to_reach_somebody_is_not_everybody_s(workspace: Workspace, admin: Do) -> None:
    admin("people.add", name="dan", email="dan@example.org", account="dan-s", roles=["data scientist"])
    assert {one.email for one in admin("people.list").people} == {"", "dan@example.org"}
    seen = doing(known_by(workspace, token_of(admin, "dan")))("people.list").people
    assert [(one.name, one.email, one.account) for one in seen] == [("ada", "", ""), ("dan", "", "")]


def test_a_token_s_secret_is_kept_nowhere(workspace: Workspace, admin: Do) -> None:
    text = token_of(admin, "ada")
    secret = text.rpartition("_")[2] if "_" not in text.split("_", 2)[2] else text.split("_", 2)[2]
    files = [path for path in workspace.root.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert {one.secret for one in admin("tokens.list", everybody=True).tokens} == {""}


def test_scopes_and_a_project_limit_a_token(workspace: Workspace, admin: Do) -> None:
    reader = known_by(workspace, token_of(admin, "ada", scopes=["*.read"]))
    assert doing(reader)("runs.search").runs
    with pytest.raises(Denied, match="limited to"):
        doing(reader)("trash.keep", days=3)
    with pytest.raises(Denied, match="cannot make another"):
        doing(known_by(workspace, token_of(admin, "ada", scopes=["tokens.own"])))("tokens.add")
    admin("projects.add", name="tickets")
    elsewhere = known_by(workspace, token_of(admin, "ada", only="tickets"))
    with pytest.raises(Denied):
        doing(elsewhere)("runs.search")
    with pytest.raises(Denied, match="for tickets alone cannot make another"):
        doing(elsewhere)("tokens.add")
    with pytest.raises(NotFound, match="tickets"):
        admin("tokens.add", name="ada", only="tickts")
    with pytest.raises(InvalidInput, match="no scope"):
        admin("tokens.add", scopes=["runs.fly"], name="ada")
    with pytest.raises(InvalidInput, match="366"):
        admin("tokens.add", days=1000, name="ada")


def test_what_ended_is_good_for_nothing(workspace: Workspace, admin: Do) -> None:
    admin("people.add", name="dan", roles=["data scientist"])
    old, revoked, disabled = (token_of(admin, "dan", days=1) for _ in range(3))
    store, now = workspace.ledger, workspace.clock.now()
    with pytest.raises(Unauthenticated, match="ended on"):
        identified(store, old, now + timedelta(days=1))
    admin("tokens.revoke", id=revoked.split("_")[1])
    with pytest.raises(Unauthenticated, match="revoked"):
        identified(store, revoked, now)
    assert identified(store, disabled, now).name == "dan"
    admin("people.change", name="dan", disabled=True)
    with pytest.raises(Unauthenticated, match="disabled"):
        identified(store, disabled, now)
    admin("people.change", name="dan", disabled=False)
    assert identified(store, disabled, now).name == "dan"


@pytest.mark.parametrize(
    "change",
    [
        "",
        "x",
        "slw_",
        "slw__",
        "slw_{id}_",
        "slw_{id}_{secret}x",
        "slw_{id}",
        "abc_{id}_{secret}",
        "slw_{other}_{secret}",
        "x" * 10_000,
        "\0",
    ],
)
def test_what_is_no_token_is_nobody_s(workspace: Workspace, admin: Do, change: str) -> None:
    _, id, secret = token_of(admin, "ada").split("_", 2)
    other = token_of(admin, "ada").split("_")[1]
    with pytest.raises(Unauthenticated):
        identified(workspace.ledger, change.format(id=id, secret=secret, other=other), workspace.clock.now())


def test_an_account_that_is_nobody_s_has_no_role(
    workspace: Workspace, admin: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = workspace.clock.now()
    monkeypatch.setattr(identity, "_account", lambda: "mallory")
    monkeypatch.setenv("LOGNAME", "ada-s")
    actor, known = identity.local_actor(workspace.ledger, "flights", now)
    assert (actor.roles, known) == ((), Identity(name="mallory"))
    with pytest.raises(Denied, match="make you known"):
        doing(replace(workspace, actor=actor, identity=known))("runs.search")
    monkeypatch.setattr(identity, "_account", lambda: "ada-s")
    assert identity.local_actor(workspace.ledger, "flights", now)[0] == Actor("ada", roles=("admin", "member"))
    monkeypatch.setenv(identity.TOKEN_VARIABLE, "slw_nothing_good")
    with pytest.raises(Unauthenticated):
        identity.local_actor(workspace.ledger, "flights", now)
    monkeypatch.setenv("SLIPWAY_TOKEN_IN_EU_1", token_of(admin, "ada"))
    assert identity.local_actor(workspace.ledger, "flights", now, "in-eu.1")[0].name == "ada"
    with pytest.raises(Unauthenticated, match="each environment's knows its own"):
        identity.local_actor(workspace.ledger, "flights", now, "prod")


def test_a_server_that_knows_people_answers_to_them_alone(workspace: Workspace, admin: Do) -> None:
    ask = asker(workspace)
    text = token_of(admin, "ada")
    paths = ["/api/v1/projects", "/api/v1/openapi.json", "/metrics", "/api/2.0/mlflow/experiments/get?experiment_id=0"]
    for path in paths:
        refused = ask("GET", path)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer"), path
        assert ask("GET", path, headers={"authorization": "Bearer " + text + "x"}).status_code == 401, path
        assert ask("GET", path, headers={"authorization": "Bearer " + text}).status_code == 200, path
        basic = b64encode(f"ada:{text}".encode()).decode()
        assert ask("GET", path, headers={"authorization": "Basic " + basic}).status_code == 200, path
    for path in ("/", "/projects/flights/runs?limit=2", "/nowhere"):
        led = ask("GET", path)
        assert led.status_code == 303, path
        assert led.headers["location"].startswith("/login?next=")
    assert ask("GET", "/health").status_code == 200
    with_slash = ask("GET", "/api/v1/projects/", headers={"authorization": "Basic !"})
    assert with_slash.status_code == 401


def test_a_browser_logs_in_and_out(workspace: Workspace, admin: Do) -> None:
    admin("people.add", name="grace", roles=["business owner"], project="flights")
    ask = asker(workspace)
    form = {"token": token_of(admin, "grace"), "next": "/projects/flights"}
    entered = ask("POST", "/login", data=form)
    assert (entered.status_code, entered.headers["location"]) == (303, "/projects/flights")
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    session = {"cookie": cookie.partition(";")[0]}
    page = ask("GET", "/projects/flights", headers=session)
    assert page.status_code == 200
    assert "grace" in page.text
    assert ask("GET", "/", headers=session).status_code == 200
    assert ask("POST", "/api/v1/projects/flights/trash/keep", headers=session, json={"days": 3}).status_code == 403
    assert ask("POST", "/logout", headers=session).status_code == 303
    assert ask("GET", "/projects/flights", headers=session).status_code == 303


def test_a_log_in_leads_only_to_this_server_s_pages(workspace: Workspace, admin: Do) -> None:
    ask, text = asker(workspace), token_of(admin, "ada")
    for address in (
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/a\r\nx: y",
        "",
    ):
        entered = ask("POST", "/login", data={"token": text, "next": address})
        assert (entered.status_code, entered.headers["location"]) == (303, "/"), address
    refused = ask("POST", "/login", data={"token": text[:-1], "next": "/projects/flights"})
    assert refused.status_code == 401
    assert "Nobody is known by this token" in refused.text
    assert "set-cookie" not in refused.headers
    assert ask("POST", "/login", content=b"x" * 10_000).status_code == 413


def test_a_foreign_page_can_neither_log_in_nor_use_a_session(workspace: Workspace, admin: Do) -> None:
    ask, text = asker(workspace), token_of(admin, "ada")
    foreign = {"origin": "https://evil.example"}
    assert ask("POST", "/login", data={"token": text}, headers=foreign).status_code == 403
    cookie = ask("POST", "/login", data={"token": text}).headers["set-cookie"].partition(";")[0]
    again: httpx.Response = ask("POST", "/logout", headers={**foreign, "cookie": cookie})
    assert again.status_code == 403
    assert ask("GET", "/", headers={"cookie": cookie}).status_code == 200


def test_what_is_logged_is_the_bearer_s(workspace: Workspace, admin: Do) -> None:
    admin("people.add", name="dan", roles=["data scientist"], project="flights")
    ask, head = asker(workspace), {"authorization": "Bearer " + token_of(admin, "dan")}
    made = ask("POST", "/api/2.0/mlflow/runs/create", headers=head, json={"experiment_id": "0", "run_name": "x"})
    assert made.status_code == 200, made.text
    run = ask(
        "GET", "/api/v1/projects/flights/runs/get", headers=head, params={"id": made.json()["run"]["info"]["run_id"]}
    )
    assert run.json()["run"]["actor"]["name"] == "dan"


def test_every_change_of_people_is_told_without_their_addresses(workspace: Workspace, admin: Do) -> None:
    admin("people.add", name="dan", email="dan@example.org", roles=["data scientist"])
    admin("people.grant", name="dan", role="ml engineer")
    admin("people.revoke", name="dan", role="ml engineer")
    admin("people.change", name="dan", disabled=True)
    admin("tokens.revoke", id=token_of(admin, "ada").split("_")[1])
    with workspace.ledger.read() as tx:
        told = [event for event in tx.events() if event.verb.startswith(("people.", "tokens."))]
    assert [event.verb for event in told] == [
        "people.add", "people.add", "people.grant", "people.revoke", "people.change", "tokens.add", "tokens.revoke",
    ]  # fmt: skip
    assert "example.org" not in repr(told)
